//! What people should know of their kernel, its limits and a filesystem's room before they rely on them.

use std::io::Result;
use std::os::fd::BorrowedFd;
use std::path::Path;

use rustix::fs::{Access, AtFlags, CWD, StatVfsMountFlags};

/// The kernel's release in its own words, and the two numbers that it begins with.
#[must_use]
pub fn kernel() -> (String, (u32, u32)) {
    let release = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let release = release.trim().to_owned();
    let mut numbers = release.split(|ch: char| !ch.is_ascii_digit()).map(|part| part.parse().unwrap_or(0));
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    (release, version)
}

/// How much of watching the kernel allows; `None` where it does not tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Folders that one user may mark.
    pub marks: Option<u64>,
    /// The setting that says so.
    pub marks_by: &'static str,
    /// Reports that wait at most, of inotify.
    pub inotify_queue: Option<u64>,
    /// The same of fanotify.
    pub fanotify_queue: Option<u64>,
}

/// The limits that hold for this process.
#[must_use]
pub fn limits() -> Limits {
    // In a user namespace the second one may be less.
    const BY: [&str; 2] = ["fs.inotify.max_user_watches", "user.max_inotify_watches"];
    let marks = BY.into_iter().filter_map(|by| Some((setting(by)?, by))).min();
    Limits {
        marks: marks.map(|(most, _)| most),
        marks_by: marks.map_or(BY[0], |(_, by)| by),
        inotify_queue: setting("fs.inotify.max_queued_events"),
        fanotify_queue: setting("fs.fanotify.max_queued_events"),
    }
}

fn setting(name: &str) -> Option<u64> {
    let path = Path::new("/proc/sys").join(name.replace('.', "/"));
    std::fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// What is left of a filesystem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Space {
    /// Bytes that this process may still fill.
    pub free: u64,
    /// Bytes in all.
    pub bytes: u64,
    /// Entries that may still be made, and may be in all; `None` where they are not counted.
    pub entries: Option<(u64, u64)>,
    /// Mounted so that nothing can be written.
    pub is_read_only: bool,
}

/// What is left of the filesystem of an open folder.
///
/// # Errors
/// When the system refuses.
pub fn space(open: BorrowedFd<'_>) -> Result<Space> {
    let stat = rustix::fs::fstatvfs(open)?;
    Ok(Space {
        free: stat.f_bavail.saturating_mul(stat.f_frsize),
        bytes: stat.f_blocks.saturating_mul(stat.f_frsize),
        entries: (stat.f_files > 0).then_some((stat.f_favail, stat.f_files)),
        is_read_only: stat.f_flag.contains(StatVfsMountFlags::RDONLY),
    })
}

/// True when names that differ in case alone are one name in this folder, or in those that are made in it.
#[must_use]
pub fn folds_case(open: BorrowedFd<'_>) -> bool {
    // From `linux/magic.h`: FAT, exFAT, NTFS.
    const FOLDING: [u32; 3] = [0x4D44, 0x2011_BAB0, 0x7366_746E];
    // `FS_CASEFOLD_FL`.
    const FOLDS_CASE: u32 = 0x4000_0000;
    let kind = rustix::fs::fstatfs(open).map_or(0, |stat| stat.f_type as u32);
    FOLDING.contains(&kind)
        || rustix::fs::ioctl_getflags(open).is_ok_and(|flags| flags.bits() & FOLDS_CASE != 0)
}

/// Whether entries can be made in the folder at a path, as far as its rights tell.
///
/// # Errors
/// Why not.
pub fn may_write(folder: &Path) -> Result<()> {
    let wanted = Access::WRITE_OK | Access::EXEC_OK;
    Ok(rustix::fs::accessat(CWD, folder, wanted, AtFlags::EACCESS)?)
}
