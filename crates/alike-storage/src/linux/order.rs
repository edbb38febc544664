//! Contents before names: what must be on the disk, and when.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::io::{Error, Result};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

/// What an ext4 says of itself when it has a journal, within itself or on another device, and waits with a length for what it
/// covers.
const ORDERED: [&str; 2] = ["data=ordered", "data=journal"];
/// For so long it is believed. While anything on it is open it stays as it is.
const IS_BELIEVED: Duration = Duration::from_secs(1);

/// Filesystems without a block device of their own of which one `syncfs` brings all to the disk, and tells of all that failed.
const SYNCED_AS_A_WHOLE: [i64; 8] =
    [libc::BTRFS_SUPER_MAGIC, libc::TMPFS_MAGIC, libc::NFS_SUPER_MAGIC, RAMFS, CEPH, ZFS, BCACHEFS, UBIFS];
const RAMFS: i64 = 0x8584_58F6;
const CEPH: i64 = 0x00C3_6400;
const ZFS: i64 = 0x2FC1_2FC1;
const BCACHEFS: i64 = 0xCA45_1A4E;
const UBIFS: i64 = 0x2405_1905;

/// True on filesystems that write names and lengths in the order in which they were made, by way of a journal, and a length
/// only after the contents that it covers.
fn keeps_order(open: BorrowedFd<'_>) -> Result<bool> {
    Ok(match rustix::fs::fstatfs(open)?.f_type {
        libc::XFS_SUPER_MAGIC => true,
        // It may be one without a journal, or an ext2: they have the same number.
        libc::EXT4_SUPER_MAGIC => is_ordered(open)?,
        _ => false,
    })
}

/// Looked up once a second for each filesystem: files are copied far more often.
fn is_ordered(open: BorrowedFd<'_>) -> Result<bool> {
    static KNOWN: Mutex<BTreeMap<(u64, u64), (Instant, bool)>> = Mutex::new(BTreeMap::new());
    let device = rustix::fs::fstat(open)?.st_dev;
    // The next one on the same device is another one.
    let which = (device, rustix::fs::fstatvfs(open)?.f_fsid);
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    match known.get(&which) {
        Some((looked, is_ordered)) if looked.elapsed() < IS_BELIEVED => Ok(*is_ordered),
        _ => {
            let name = name_of(device);
            let is_ordered = name.and_then(|name| by_options(&name).or_else(|| by_journal(&name)));
            // What does not tell, as an ext2 that is not served by ext4, keeps none.
            let is_ordered = is_ordered.unwrap_or(false);
            known.insert(which, (Instant::now(), is_ordered));
            Ok(is_ordered)
        }
    }
}

fn name_of(device: u64) -> Option<OsString> {
    let (major, minor) = (rustix::fs::major(device), rustix::fs::minor(device));
    let device = std::fs::read_link(format!("/sys/dev/block/{major}:{minor}")).ok()?;
    Some(device.file_name()?.to_owned())
}

fn by_options(name: &OsStr) -> Option<bool> {
    let options = std::fs::read_to_string(Path::new("/proc/fs/ext4").join(name).join("options")).ok()?;
    Some(options.lines().any(|option| ORDERED.contains(&option)))
}

/// The other way to tell, for services that see nothing but processes in `/proc`. It tells a journal, not what waits for what;
/// but whoever asks has waited for the contents by then.
fn by_journal(name: &OsStr) -> Option<bool> {
    let task = std::fs::read_to_string(Path::new("/sys/fs/ext4").join(name).join("journal_task")).ok()?;
    Some(task.trim() != "<none>")
}

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
    if !keeps_order(open)? {
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
    let begins = keeps_order(open)?;
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

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::fs::File;

    use alike_testkit::{Mount, root_or_say};
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn only_where_a_journal_keeps_the_order_contents_that_are_written_are_enough() {
        if !root_or_say("filesystems") {
            return;
        }
        let room = TempDir::new().unwrap();
        let keeps = |at: &Path| keeps_order(File::open(at).unwrap().as_fd()).unwrap();
        let kinds: [(&str, u64, &[&str], bool); 4] = [
            ("ext4", 16, &["-O", "has_journal"], true),
            ("ext4", 16, &["-O", "^has_journal"], false),
            ("ext4", 16, &["-t", "ext2"], false),
            ("xfs", 300, &[], true),
        ];
        for (number, (kind, size, words, has_order)) in kinds.into_iter().enumerate() {
            let mount = Mount::loop_filesystem_with(&room.path().join(number.to_string()), kind, size, words);
            assert_eq!(keeps(mount.at()), has_order, "{kind} {words:?}");
            let file = File::create(mount.at().join("file")).unwrap();
            assert_eq!(begin_to_settle(file.as_fd()).unwrap(), has_order, "{kind} {words:?}");
            settle_contents(file.as_fd()).unwrap();
            if kind == "ext4" {
                let name = name_of(rustix::fs::fstat(&file).unwrap().st_dev).unwrap();
                assert_eq!((by_options(&name), by_journal(&name)), (Some(has_order), Some(has_order)));
            }
        }
        let mount = Mount::tmpfs(&room.path().join("tmpfs"), "1m");
        assert!(!keeps(mount.at()));
    }
}
