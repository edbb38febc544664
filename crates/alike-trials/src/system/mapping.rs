//! Rewrites a file through a shared mapping, as databases do.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

/// Writes `content` over the start of an open file, by memory.
pub fn rewrite_by_mapping(file: &File, content: &[u8]) -> io::Result<()> {
    // SAFETY: a fresh shared mapping of a file at least as long as `content`, unmapped before the call returns; a
    // file cut shorter meanwhile would be a SIGBUS, and nobody but us writes to a source of a trial.
    unsafe {
        let rights = libc::PROT_READ | libc::PROT_WRITE;
        let at =
            libc::mmap(std::ptr::null_mut(), content.len(), rights, libc::MAP_SHARED, file.as_raw_fd(), 0);
        if at == libc::MAP_FAILED {
            return Err(io::Error::last_os_error());
        }
        std::ptr::copy_nonoverlapping(content.as_ptr(), at.cast::<u8>(), content.len());
        libc::munmap(at, content.len());
    }
    Ok(())
}
