//! Cuts the power of one filesystem.

use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;

/// `_IOR('X', 125, __u32)`
const SHUTDOWN: libc::c_ulong = 0x8004_587D;

/// How a filesystem goes down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// The journal is written out first, data is not: what a journal that went out just before the cut leaves behind.
    Journal,
    /// Nothing more is written.
    Now,
}

/// From now on nothing reaches the disk of the filesystem on which `folder` is.
pub fn cut_power(folder: &File, cut: Cut) -> io::Result<()> {
    let mode: u32 = match cut {
        Cut::Journal => 1,
        Cut::Now => 2,
    };
    // SAFETY: the kernel reads one number.
    let done = unsafe { libc::ioctl(folder.as_raw_fd(), SHUTDOWN, &raw const mode) };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}
