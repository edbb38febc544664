//! Contents before names: what must be on the disk, and when.

use std::io::{Error, Result};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

/// Filesystems that write names and lengths in the order in which they were made, by way of a journal, and a length only
/// after the contents that it covers.
const IN_ORDER: [i64; 2] = [libc::EXT4_SUPER_MAGIC, libc::XFS_SUPER_MAGIC];

/// Filesystems without a block device of their own of which one `syncfs` brings all to the disk, and tells of all that failed.
const SYNCED_AS_A_WHOLE: [i64; 8] =
    [libc::BTRFS_SUPER_MAGIC, libc::TMPFS_MAGIC, libc::NFS_SUPER_MAGIC, RAMFS, CEPH, ZFS, BCACHEFS, UBIFS];
const RAMFS: i64 = 0x8584_58F6;
const CEPH: i64 = 0x00C3_6400;
const ZFS: i64 = 0x2FC1_2FC1;
const BCACHEFS: i64 = 0xCA45_1A4E;
const UBIFS: i64 = 0x2405_1905;

/// True when one call brings all of a filesystem's changes to the disk and tells when it could not.
///
/// What lies on a block device of its own is brought there by the kernel itself. Others need a word of their own for it, and
/// without one `syncfs` says yes all the same: FUSE tells its server nothing (and counts as without, whatever it lies on), nor do
/// 9p, SMB or eCryptfs; overlayfs passes it on, but not what went wrong with contents. What is not known for sure is synced
/// file by file, which costs time and loses nothing.
///
/// # Errors
/// When the system refuses to look.
pub fn is_synced_as_a_whole(open: BorrowedFd<'_>) -> Result<bool> {
    let filesystem = rustix::fs::fstatfs(open)?.f_type;
    let has_device = rustix::fs::major(rustix::fs::fstat(open)?.st_dev) != 0;
    Ok(has_device && filesystem != libc::FUSE_SUPER_MAGIC || SYNCED_AS_A_WHOLE.contains(&filesystem))
}

/// Sees to it that no power cut leaves a name that is given to a file from now on without the contents that it has now.
/// The name itself may be lost.
///
/// Where the journal keeps the order it is enough that the contents are written, which takes a tenth of what `fdatasync` takes;
/// trials that cut the power at each call watch over that.
///
/// # Errors
/// When they may not be there.
#[allow(unsafe_code)]
pub fn settle_contents(open: BorrowedFd<'_>) -> Result<()> {
    let filesystem = rustix::fs::fstatfs(open)?.f_type;
    if filesystem == libc::TMPFS_MAGIC {
        return Ok(());
    }
    if !IN_ORDER.contains(&filesystem) {
        let synced = match is_synced_as_a_whole(open)? {
            true => rustix::fs::fdatasync(open),
            // Nobody will bring its attributes later.
            false => rustix::fs::fsync(open),
        };
        return synced.map_err(Error::from);
    }
    let flags =
        libc::SYNC_FILE_RANGE_WAIT_BEFORE | libc::SYNC_FILE_RANGE_WRITE | libc::SYNC_FILE_RANGE_WAIT_AFTER;
    // SAFETY: a call with numbers only; the descriptor is borrowed for as long as it takes.
    match unsafe { libc::sync_file_range(open.as_raw_fd(), 0, 0, flags) } {
        0 => Ok(()),
        _ => Err(Error::last_os_error()),
    }
}

/// Lets the disk begin with what [`settle_contents`] waits for; false where that is a matter of a whole `fdatasync`. Files of
/// which all have begun are waited for together.
///
/// # Errors
/// When it cannot be told where the file is.
#[allow(unsafe_code)]
pub fn begin_to_settle(open: BorrowedFd<'_>) -> Result<bool> {
    let begins = IN_ORDER.contains(&rustix::fs::fstatfs(open)?.f_type);
    if begins {
        // SAFETY: a call with numbers only; the descriptor is borrowed for as long as it takes. What fails here fails again when
        // it is waited for.
        let _ = unsafe { libc::sync_file_range(open.as_raw_fd(), 0, 0, libc::SYNC_FILE_RANGE_WRITE) };
    }
    Ok(begins)
}

/// Brings one file to the disk.
///
/// # Errors
/// When any of it may not be there.
pub fn sync_file(open: BorrowedFd<'_>) -> Result<()> {
    Ok(rustix::fs::fsync(open)?)
}

/// Brings to the disk the names in a folder and in those above it on its filesystem, as far as they can be opened.
///
/// # Errors
/// When any of them may not be there.
pub fn sync_way_to(open: BorrowedFd<'_>) -> Result<()> {
    let place = |open: BorrowedFd<'_>| rustix::fs::fstat(open).map(|now| (now.st_dev, now.st_ino));
    let mut here = open.try_clone_to_owned()?;
    loop {
        sync_folder(here.as_fd())?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let Ok(above) = rustix::fs::openat(&here, "..", flags, Mode::empty()) else { return Ok(()) };
        let (this, next) = (place(here.as_fd())?, place(above.as_fd())?);
        if this.0 != next.0 || this == next {
            return Ok(());
        }
        here = above;
    }
}

/// Brings the names in one folder, and its attributes, to the disk.
///
/// # Errors
/// When any of them may not be there.
pub fn sync_folder(open: BorrowedFd<'_>) -> Result<()> {
    match rustix::fs::fsync(open) {
        // Where folders cannot be synced (SMB), names are the server's at once.
        Err(Errno::INVAL) => Ok(()),
        other => Ok(other?),
    }
}
