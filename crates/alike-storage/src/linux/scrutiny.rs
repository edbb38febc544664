//! Reading what is really on the disk, and leaving the machine to those who work on it.

use std::io::Result;
use std::num::NonZeroU64;
use std::os::fd::BorrowedFd;

use rustix::fs::{Advice, OFlags};

/// What direct reads must be aligned to, in memory and in the file: the largest block that disks have.
const ALIGNED: usize = 4096;

/// Room for a block that can be read past the page cache.
#[derive(Debug)]
pub struct Block {
    bytes: Vec<u8>,
    start: usize,
    len: usize,
}

impl Block {
    /// Room for at least `len` bytes.
    #[must_use]
    pub fn new(len: usize) -> Self {
        let len = len.max(1).next_multiple_of(ALIGNED);
        let bytes = vec![0; len + ALIGNED];
        let start = bytes.as_ptr().align_offset(ALIGNED).min(ALIGNED);
        Self { bytes, start, len }
    }

    /// The room.
    pub fn room(&mut self) -> &mut [u8] {
        &mut self.bytes[self.start..self.start + self.len]
    }
}

/// From here on reads of an open file come from the disk, not from the page cache; false where the filesystem has no such
/// way. What a program wrote and the kernel has not brought to the disk yet, it brings there first.
#[must_use]
pub fn read_direct(file: BorrowedFd<'_>, direct: bool) -> bool {
    let Ok(flags) = rustix::fs::fcntl_getfl(file) else { return false };
    let flags = if direct { flags | OFlags::DIRECT } else { flags - OFlags::DIRECT };
    rustix::fs::fcntl_setfl(file, flags).is_ok()
}

/// Lets go of pages of an open file that are on the disk as well: from `at` on `len` bytes, or (0) all that follow. Others
/// may hold on to them; then they stay.
pub fn drop_cached(file: BorrowedFd<'_>, at: u64, len: u64) {
    // Only advice: refused, pages stay.
    let _ = rustix::fs::fadvise(file, at, NonZeroU64::new(len), Advice::DontNeed);
}

/// Lets the kernel read ahead.
pub fn will_read_on(file: BorrowedFd<'_>) {
    // Only advice: refused, it is slower.
    let _ = rustix::fs::fadvise(file, 0, None, Advice::Sequential);
}

/// This thread, and those that it starts from now on, work and read when nobody else wants to.
///
/// # Errors
/// When the system refuses part of it; the rest is done.
pub fn stand_back() -> Result<()> {
    let nice = rustix::process::nice(19).map(drop);
    idle::read_last()?;
    Ok(nice?)
}

#[allow(unsafe_code)]
mod idle {
    //! `ioprio_set`, which rustix has no word for.

    /// `IOPRIO_WHO_PROCESS`; with 0, this thread.
    const THREAD: libc::c_long = 1;
    /// `IOPRIO_CLASS_IDLE`, shifted to its place.
    const IDLE: libc::c_long = 3 << 13;

    pub(super) fn read_last() -> std::io::Result<()> {
        // SAFETY: ioprio_set takes three numbers and no pointer.
        match unsafe { libc::syscall(libc::SYS_ioprio_set, THREAD, 0 as libc::c_long, IDLE) } {
            -1 => Err(std::io::Error::last_os_error()),
            _ => Ok(()),
        }
    }
}
