//! Looking, listing, opening, naming: thin words over the system calls.

use std::cell::RefCell;
use std::io::Result;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use alike_model::entry::{Entry, Kind, Stamp, Time, Unreadable};
use alike_model::path::Name;
use rustix::fs::{
    AtFlags, CWD, FileType, Gid, Mode, OFlags, RawDir, RenameFlags, SeekFrom, Statx, StatxAttributes,
    StatxFlags, StatxTimestamp, Timespec, Timestamps, UTIME_OMIT, Uid,
};
use rustix::io::{Errno, retry_on_intr};

use crate::error::is_any;

/// What std's options of opening want to follow no symlink.
pub const NO_FOLLOW: i32 = OFlags::NOFOLLOW.bits().cast_signed();

const LOOK: StatxFlags = StatxFlags::BASIC_STATS.union(StatxFlags::BTIME);
const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// Opens a folder by path, following symlinks: only for the roots that the user named.
///
/// # Errors
/// When the system refuses.
pub fn open_root(path: &Path) -> Result<OwnedFd> {
    Ok(open_quietly(CWD, path, FOLDER)?)
}

/// Opens a folder in a folder.
///
/// # Errors
/// When the system refuses, and when it is no folder.
pub fn open_folder(parent: BorrowedFd<'_>, name: &Name) -> Result<OwnedFd> {
    Ok(open_quietly(parent, name.as_bytes(), FOLDER | OFlags::NOFOLLOW)?)
}

/// Opens a file for reading; never waits for a pipe's other end, never becomes a controlling terminal.
///
/// # Errors
/// When the system refuses, and when it is a symlink.
pub fn open_for_reading(folder: BorrowedFd<'_>, name: &Name) -> Result<OwnedFd> {
    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    Ok(open_quietly(folder, name.as_bytes(), flags)?)
}

/// Opens a file that exists for reading and writing in place.
///
/// # Errors
/// When the system refuses, and when it is a symlink.
pub fn open_for_changing(folder: BorrowedFd<'_>, name: &Name) -> Result<OwnedFd> {
    let flags = OFlags::RDWR | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
    Ok(open_quietly(folder, name.as_bytes(), flags)?)
}

/// Opens without leaving an access time behind, where the rights allow that (owner, or `CAP_FOWNER`).
fn open_quietly<P: rustix::path::Arg + Copy>(
    at: BorrowedFd<'_>,
    path: P,
    flags: OFlags,
) -> rustix::io::Result<OwnedFd> {
    match retry_on_intr(|| rustix::fs::openat(at, path, flags | OFlags::NOATIME, Mode::empty())) {
        Err(Errno::PERM) => retry_on_intr(|| rustix::fs::openat(at, path, flags, Mode::empty())),
        other => other,
    }
}

/// Opens an entry of any kind just to hold it: neither read nor written, no device woken.
///
/// # Errors
/// When the system refuses.
pub fn hold(folder: BorrowedFd<'_>, name: &Name) -> Result<OwnedFd> {
    let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(retry_on_intr(|| rustix::fs::openat(folder, name.as_bytes(), flags, Mode::empty()))?)
}

/// Looks at a name; `None` when there is none.
///
/// # Errors
/// When the system refuses.
pub fn look(folder: BorrowedFd<'_>, name: &Name) -> Result<Option<Stamp>> {
    match look_raw(folder, name.as_bytes(), AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stamp) => Ok(Some(stamp)),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

/// Looks at the folder that lies so many levels above an open one, whatever the names on the way are.
///
/// # Errors
/// When the system refuses.
pub fn look_above(folder: BorrowedFd<'_>, levels: usize) -> Result<Stamp> {
    // As many as fit into a path of the kernel's.
    const AT_ONCE: usize = 1024;
    if levels <= AT_ONCE {
        let path = if levels == 0 { ".".to_owned() } else { "../".repeat(levels) };
        return Ok(look_raw(folder, path.as_str(), AtFlags::empty())?);
    }
    let above = rustix::fs::openat(folder, "../".repeat(AT_ONCE), FOLDER, Mode::empty())?;
    look_above(above.as_fd(), levels - AT_ONCE)
}

/// True when an open folder is the top of what is mounted there.
///
/// # Errors
/// When the system refuses.
pub fn is_mount(folder: BorrowedFd<'_>) -> Result<bool> {
    let raw = retry_on_intr(|| rustix::fs::statx(folder, c"", AtFlags::EMPTY_PATH, StatxFlags::empty()))?;
    Ok(raw.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

/// Looks at what is open.
///
/// # Errors
/// When the system refuses.
pub fn look_at_open(open: BorrowedFd<'_>) -> Result<Stamp> {
    Ok(look_raw(open, c"", AtFlags::EMPTY_PATH)?)
}

fn look_raw<P: rustix::path::Arg + Copy>(
    at: BorrowedFd<'_>,
    path: P,
    flags: AtFlags,
) -> rustix::io::Result<Stamp> {
    let raw = retry_on_intr(|| rustix::fs::statx(at, path, flags | AtFlags::NO_AUTOMOUNT, LOOK))?;
    Ok(stamp_of(&raw))
}

fn stamp_of(raw: &Statx) -> Stamp {
    let mode = u32::from(raw.stx_mode);
    let kind = match FileType::from_raw_mode(mode) {
        FileType::Directory => Kind::Folder,
        FileType::Symlink => Kind::Symlink,
        FileType::Fifo => Kind::Fifo,
        FileType::Socket => Kind::Socket,
        FileType::BlockDevice => Kind::BlockDevice,
        FileType::CharacterDevice => Kind::CharDevice,
        _ => Kind::File,
    };
    Stamp {
        kind,
        dev: rustix::fs::makedev(raw.stx_dev_major, raw.stx_dev_minor),
        ino: raw.stx_ino,
        size: raw.stx_size,
        blocks: raw.stx_blocks,
        nlink: raw.stx_nlink,
        mode: mode & 0o7777,
        uid: raw.stx_uid,
        gid: raw.stx_gid,
        rdev: rustix::fs::makedev(raw.stx_rdev_major, raw.stx_rdev_minor),
        mtime: time_of(raw.stx_mtime),
        ctime: time_of(raw.stx_ctime),
        btime: (raw.stx_mask & StatxFlags::BTIME.bits() != 0).then(|| time_of(raw.stx_btime)),
    }
}

fn time_of(raw: StatxTimestamp) -> Time {
    Time { secs: raw.tv_sec, nanos: raw.tv_nsec }
}

const LISTING_BUFFER: usize = 64 * 1024;

thread_local! {
    static BUFFER: RefCell<Vec<MaybeUninit<u8>>> = const { RefCell::new(Vec::new()) };
}

/// Lists an open folder with a look at each entry, sorted by name.
///
/// # Errors
/// When any part of the listing failed. A single look that failed is in the entry; a name that was gone by then is left
/// out, since its absence was seen.
pub fn list(folder: BorrowedFd<'_>) -> Result<Vec<Entry>> {
    rustix::fs::seek(folder, SeekFrom::Start(0))?;
    let mut entries = Vec::new();
    BUFFER.with_borrow_mut(|buffer| -> Result<()> {
        buffer.resize(LISTING_BUFFER, MaybeUninit::uninit());
        let mut names = RawDir::new(folder, buffer);
        while let Some(name) = names.next() {
            let name = match name {
                Err(Errno::INTR) => continue,
                other => other?,
            };
            let Some(shown) = Name::new(name.file_name().to_bytes()) else { continue };
            let look = match look_raw(folder, name.file_name(), AtFlags::SYMLINK_NOFOLLOW) {
                Ok(stamp) => Ok(stamp),
                Err(Errno::NOENT) => continue,
                Err(errno) => Err(Unreadable(crate::Error::of("look at it", errno.into()).to_string())),
            };
            entries.push(Entry { name: shown, look });
        }
        Ok(())
    })?;
    entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    Ok(entries)
}

/// Lists an open folder without a look at any entry: names, and whether the system says at once that it is a folder.
///
/// # Errors
/// When any part of the listing failed.
pub fn names(folder: BorrowedFd<'_>) -> Result<Vec<(Name, bool)>> {
    rustix::fs::seek(folder, SeekFrom::Start(0))?;
    let mut found = Vec::new();
    let mut buffer = vec![MaybeUninit::uninit(); LISTING_BUFFER];
    let mut entries = RawDir::new(folder, &mut buffer);
    while let Some(entry) = entries.next() {
        let entry = match entry {
            Err(Errno::INTR) => continue,
            other => other?,
        };
        let is_folder = entry.file_type() == FileType::Directory;
        found.extend(Name::new(entry.file_name().to_bytes()).map(|name| (name, is_folder)));
    }
    Ok(found)
}

/// A flag that forbids writing to all, root too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flag {
    /// Nothing may be changed (`chattr +i`).
    Immutable,
    /// Bytes and names may only be added (`chattr +a`).
    AppendOnly,
}

/// The flag of a name in a folder, or of the folder itself.
#[must_use]
pub fn flag_of(folder: BorrowedFd<'_>, name: Option<&Name>) -> Option<Flag> {
    let look = |path: &[u8], flags| rustix::fs::statx(folder, path, flags, StatxFlags::empty());
    let raw = match name {
        Some(name) => look(name.as_bytes(), AtFlags::SYMLINK_NOFOLLOW),
        None => look(b"", AtFlags::EMPTY_PATH),
    };
    let flags = raw.ok()?.stx_attributes;
    if flags.contains(StatxAttributes::IMMUTABLE) {
        Some(Flag::Immutable)
    } else {
        flags.contains(StatxAttributes::APPEND).then_some(Flag::AppendOnly)
    }
}

/// True when the system says that it has no nameless files here.
#[must_use]
pub fn is_unsupported(error: &std::io::Error) -> bool {
    is_any(error, &[Errno::OPNOTSUPP, Errno::ISDIR, Errno::INVAL])
}

/// The target of a symlink.
///
/// # Errors
/// When the system refuses.
pub fn read_link(folder: BorrowedFd<'_>, name: &Name) -> Result<Vec<u8>> {
    Ok(rustix::fs::readlinkat(folder, name.as_bytes(), Vec::new())?.into_bytes())
}

/// Makes a file that has no name, in the filesystem of `folder`, with these permissions or fewer (umask). Nobody else can
/// open it as long as it has none.
///
/// # Errors
/// `EOPNOTSUPP`, `EISDIR` or `EINVAL` where there is no such thing.
pub fn create_nameless(folder: BorrowedFd<'_>, mode: u32) -> Result<OwnedFd> {
    let flags = OFlags::RDWR | OFlags::TMPFILE | OFlags::CLOEXEC;
    Ok(retry_on_intr(|| rustix::fs::openat(folder, c".", flags, Mode::from_raw_mode(mode & 0o777)))?)
}

/// Makes a file with a name that must be free; only its owner may read it.
///
/// # Errors
/// When the system refuses.
pub fn create_named(folder: BorrowedFd<'_>, name: &Name) -> Result<OwnedFd> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    Ok(retry_on_intr(|| rustix::fs::openat(folder, name.as_bytes(), flags, Mode::RUSR | Mode::WUSR))?)
}

/// Gives a nameless file, or one more to what is held, a name, which must be free.
///
/// # Errors
/// `EEXIST` when it is not.
pub fn link_nameless(file: BorrowedFd<'_>, folder: BorrowedFd<'_>, name: &Name) -> Result<()> {
    // By descriptor needs CAP_DAC_READ_SEARCH; by /proc does not, but is slower.
    match rustix::fs::linkat(file, c"", folder, name.as_bytes(), AtFlags::EMPTY_PATH) {
        Err(Errno::NOENT | Errno::PERM) => {
            let path = format!("/proc/self/fd/{}", file.as_raw_fd());
            Ok(rustix::fs::linkat(CWD, path, folder, name.as_bytes(), AtFlags::SYMLINK_FOLLOW)?)
        }
        other => Ok(other?),
    }
}

/// Renames, taking the place of what is there.
///
/// # Errors
/// When the system refuses.
pub fn rename_over(from: (BorrowedFd<'_>, &Name), to: (BorrowedFd<'_>, &Name)) -> Result<()> {
    Ok(rustix::fs::renameat(from.0, from.1.as_bytes(), to.0, to.1.as_bytes())?)
}

/// Renames to a name that must be free.
///
/// # Errors
/// `EEXIST` when it is not.
pub fn rename_to_free(from: (BorrowedFd<'_>, &Name), to: (BorrowedFd<'_>, &Name)) -> Result<()> {
    let (old, new) = (from.1.as_bytes(), to.1.as_bytes());
    match rustix::fs::renameat_with(from.0, old, to.0, new, RenameFlags::NOREPLACE) {
        // Filesystems without the flag: a look, and the gap that comes with it.
        Err(Errno::INVAL | Errno::NOSYS) => match look(to.0, to.1)? {
            None => rename_over(from, to),
            Some(_) => Err(Errno::EXIST.into()),
        },
        other => Ok(other?),
    }
}

/// Lets two names change places in one step.
///
/// # Errors
/// When the system refuses or cannot.
pub fn exchange(a: (BorrowedFd<'_>, &Name), b: (BorrowedFd<'_>, &Name)) -> Result<()> {
    Ok(rustix::fs::renameat_with(a.0, a.1.as_bytes(), b.0, b.1.as_bytes(), RenameFlags::EXCHANGE)?)
}

/// Makes a symlink.
///
/// # Errors
/// When the system refuses.
pub fn make_symlink(folder: BorrowedFd<'_>, name: &Name, target: &[u8]) -> Result<()> {
    Ok(rustix::fs::symlinkat(target, folder, name.as_bytes())?)
}

/// Makes a pipe, socket or device node like `like`; only its owner may open it.
///
/// # Errors
/// When the system refuses (device nodes need `CAP_MKNOD`).
pub fn make_special(folder: BorrowedFd<'_>, name: &Name, like: &Stamp) -> Result<()> {
    let kind = match like.kind {
        Kind::Fifo => FileType::Fifo,
        Kind::Socket => FileType::Socket,
        Kind::BlockDevice => FileType::BlockDevice,
        Kind::CharDevice => FileType::CharacterDevice,
        Kind::File | Kind::Folder | Kind::Symlink => return Err(Errno::INVAL.into()),
    };
    Ok(rustix::fs::mknodat(folder, name.as_bytes(), kind, Mode::RUSR | Mode::WUSR, like.rdev)?)
}

/// Makes a folder that only its owner may enter.
///
/// # Errors
/// When the system refuses.
pub fn make_folder(parent: BorrowedFd<'_>, name: &Name) -> Result<()> {
    Ok(rustix::fs::mkdirat(parent, name.as_bytes(), Mode::RWXU)?)
}

/// Removes a name that is no folder.
///
/// # Errors
/// When the system refuses.
pub fn remove_file(folder: BorrowedFd<'_>, name: &Name) -> Result<()> {
    Ok(rustix::fs::unlinkat(folder, name.as_bytes(), AtFlags::empty())?)
}

/// Removes an empty folder.
///
/// # Errors
/// When the system refuses.
pub fn remove_folder(parent: BorrowedFd<'_>, name: &Name) -> Result<()> {
    Ok(rustix::fs::unlinkat(parent, name.as_bytes(), AtFlags::REMOVEDIR)?)
}

/// Sets owner and group of an open or held inode.
///
/// # Errors
/// When the system refuses.
pub fn set_owner(open: BorrowedFd<'_>, (uid, gid): (u32, u32)) -> Result<()> {
    let (uid, gid) = (Some(Uid::from_raw(uid)), Some(Gid::from_raw(gid)));
    Ok(rustix::fs::chownat(open, c"", uid, gid, AtFlags::EMPTY_PATH)?)
}

/// Sets the permission bits of an open inode.
///
/// # Errors
/// When the system refuses.
pub fn set_mode(open: BorrowedFd<'_>, mode: u32) -> Result<()> {
    Ok(rustix::fs::fchmod(open, Mode::from_raw_mode(mode))?)
}

/// Sets the permission bits of a held inode (see [`hold`]), which need not be readable.
///
/// # Errors
/// When the system refuses.
pub fn set_mode_of_held(held: BorrowedFd<'_>, mode: u32) -> Result<()> {
    let path = format!("/proc/self/fd/{}", held.as_raw_fd());
    Ok(rustix::fs::chmodat(CWD, path, Mode::from_raw_mode(mode), AtFlags::empty())?)
}

/// Sets the modification time of an open or held inode.
///
/// # Errors
/// When the system refuses.
pub fn set_mtime(open: BorrowedFd<'_>, mtime: Time) -> Result<()> {
    let times = Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec: mtime.secs, tv_nsec: i64::from(mtime.nanos) },
    };
    Ok(rustix::fs::utimensat(open.as_fd(), c"", &times, AtFlags::EMPTY_PATH)?)
}
