//! fanotify: the kernel's word that something changed, for a whole filesystem by one mark.
//!
//! It names folders by handles, which say where they are now, not where they were. Of `fanotify(7)`; what is used came with
//! Linux 5.9, the report of a rename as one with 5.17. It takes `CAP_SYS_ADMIN`, and `CAP_DAC_READ_SEARCH` for the handles.

use std::io::{Error, Result};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::path::PathBuf;

use alike_model::path::Name;
use rustix::fs::{Mode, OFlags};
use rustix::io::Errno;

use super::where_is;

/// A queue of changes on one filesystem.
#[derive(Debug)]
pub struct Fanotify {
    queue: OwnedFd,
    /// The folder whose filesystem it is, to resolve handles by.
    anchor: OwnedFd,
}

/// A folder, as the filesystem names it: stable as long as the folder is there, wherever it goes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Handle(Box<[u8]>);

/// Something that the kernel said of one or two names. Reports of one name may come as one.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The queue ran over: any report may be missing.
    pub overflow: bool,
    /// The folders, and the name in each; `None` when it is about the folder itself.
    pub at: Vec<(Handle, Option<Name>)>,
    /// A name was made that is no folder; if it is a file, it is likely to be written to and closed at once.
    pub created: bool,
    /// Bytes were written.
    pub written: bool,
    /// Anything else: removed, renamed, closed after writing, attributes set.
    pub changed: bool,
    /// A folder has another path now, and all below it.
    pub moved_folder: bool,
}

/// Where a folder is.
#[derive(Debug, PartialEq, Eq)]
pub struct Where {
    /// Its path, or that of a folder above it.
    pub path: PathBuf,
    /// It lies somewhere below: its own path is longer than the kernel tells one.
    pub is_below: bool,
}

const MODIFY: u64 = 0x2;
const ATTRIB: u64 = 0x4;
const CLOSE_WRITE: u64 = 0x8;
const MOVED_FROM: u64 = 0x40;
const MOVED_TO: u64 = 0x80;
const CREATE: u64 = 0x100;
const DELETE: u64 = 0x200;
const OVERFLOW: u64 = 0x4000;
const EVENT_ON_CHILD: u64 = 0x0800_0000;
const RENAME: u64 = 0x1000_0000;
const ON_FOLDER: u64 = 0x4000_0000;

/// Renames aside.
const ALL: u64 = MODIFY | ATTRIB | CLOSE_WRITE | CREATE | DELETE | ON_FOLDER;
/// One report of a rename, or where the kernel is older, two.
const RENAMES: [u64; 2] = [RENAME, MOVED_FROM | MOVED_TO];

impl Fanotify {
    /// Marks the filesystem of an open folder.
    ///
    /// # Errors
    /// `EPERM` without the rights; others where the kernel or the filesystem cannot do it.
    pub fn of_filesystem(folder: BorrowedFd<'_>) -> Result<Self> {
        let queue = calls::init()?;
        let anchor = folder.try_clone_to_owned()?;
        let mut marked = Err(Errno::INVAL.into());
        for renames in RENAMES {
            marked = calls::mark(&queue, calls::WHOLE_FILESYSTEM, ALL | renames, folder);
            if marked.is_ok() {
                // Without this, what is reported could not be found.
                let handle = calls::handle_of(folder)?;
                calls::open(&anchor, &handle)?;
                return Ok(Self { queue, anchor });
            }
        }
        marked.map(|()| unreachable!("it would have been returned"))
    }

    /// Can be read when there are reports to take.
    #[must_use]
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.queue.as_fd()
    }

    /// Takes what the queue holds now, at most one buffer of it, and tells whether there was any. What this process did
    /// itself is left out.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn take(&self, buffer: &mut [u8], reports: &mut Vec<Report>) -> Result<bool> {
        loop {
            match rustix::io::read(&self.queue, &mut *buffer) {
                Ok(got) => {
                    parse(&buffer[..got], reports);
                    return Ok(got > 0);
                }
                Err(Errno::AGAIN) => return Ok(false),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    /// Where a folder is now, as seen through the mount of the folder that was marked; `None` when it is gone.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn path_of(&self, handle: &Handle) -> Result<Option<Where>> {
        /// So many at once, for trees can be far deeper.
        const ABOVE: &str = "../../../../../../../..";
        let mut folder = match calls::open(&self.anchor, handle) {
            Ok(folder) if rustix::fs::fstat(&folder)?.st_nlink > 0 => folder,
            Ok(_) => return Ok(None),
            Err(why) if why.raw_os_error() == Some(Errno::STALE.raw_os_error()) => return Ok(None),
            Err(why) => return Err(why),
        };
        let mut is_below = false;
        loop {
            match where_is(folder.as_fd()) {
                Err(why) if why.raw_os_error() == Some(Errno::NAMETOOLONG.raw_os_error()) => {
                    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
                    folder = rustix::fs::openat(&folder, ABOVE, flags, Mode::empty())?;
                    is_below = true;
                }
                path => return Ok(Some(Where { path: path?, is_below })),
            }
        }
    }

    /// Where the folder is now whose filesystem is marked.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn anchored_at(&self) -> Result<PathBuf> {
        where_is(self.anchor.as_fd())
    }

    /// From now on nothing but renames is reported of what happens to the names in a folder: by a rename it may get where that
    /// is wanted. The kernel may forget this when it is short of memory. Linux 6.0.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn ignore(&self, handle: &Handle) -> Result<()> {
        let folder = calls::open(&self.anchor, handle)?;
        calls::mark(&self.queue, calls::IGNORE, ALL | EVENT_ON_CHILD, folder.as_fd())
    }

    /// Takes back all of [`Fanotify::ignore`].
    ///
    /// # Errors
    /// When the system refuses.
    pub fn ignore_none(&self) -> Result<()> {
        calls::mark(&self.queue, calls::FLUSH, 0, self.anchor.as_fd())
    }
}

/// What a buffer of `struct fanotify_event_metadata` says, each with its records.
fn parse(mut bytes: &[u8], reports: &mut Vec<Report>) {
    const HEAD: usize = 24;
    let own = std::process::id();
    while let Some(length) = number(bytes, 0).filter(|length| (HEAD..=bytes.len()).contains(length)) {
        let (event, rest) = bytes.split_at(length);
        bytes = rest;
        let mask = event.get(8..16).and_then(|mask| mask.try_into().ok()).map_or(0, u64::from_ne_bytes);
        if mask & OVERFLOW != 0 {
            reports.push(Report { overflow: true, ..Report::default() });
            continue;
        }
        if number(event, 20) == Some(own as usize) {
            continue;
        }
        let is_folder = mask & ON_FOLDER != 0;
        let moved = mask & (MOVED_FROM | MOVED_TO | RENAME) != 0;
        reports.push(Report {
            overflow: false,
            at: records(&event[HEAD..]),
            created: mask & CREATE != 0 && !is_folder,
            written: mask & MODIFY != 0,
            changed: moved || mask & (ATTRIB | CLOSE_WRITE | DELETE) != 0 || mask & CREATE != 0 && is_folder,
            moved_folder: moved && is_folder,
        });
    }
}

/// The folders and names that the records of a report have: `struct fanotify_event_info_fid`, with a name.
fn records(mut bytes: &[u8]) -> Vec<(Handle, Option<Name>)> {
    const DFID_NAME: u8 = 2;
    const OLD_DFID_NAME: u8 = 10;
    const NEW_DFID_NAME: u8 = 12;
    /// Its header, and the number of the filesystem.
    const BEFORE_HANDLE: usize = 12;
    let mut found = Vec::new();
    while let Some(length) = half(bytes, 2).filter(|length| (BEFORE_HANDLE..=bytes.len()).contains(length)) {
        let (record, rest) = bytes.split_at(length);
        bytes = rest;
        if ![DFID_NAME, OLD_DFID_NAME, NEW_DFID_NAME].contains(&record[0]) {
            continue;
        }
        let at = &record[BEFORE_HANDLE..];
        let Some(whole) = number(at, 0).and_then(|length| length.checked_add(8)) else { continue };
        let Some((handle, name)) = at.split_at_checked(whole) else { continue };
        let name = name.split(|byte| *byte == 0).next().unwrap_or_default();
        // The folder itself is called `.`, which is no name.
        found.push((Handle(handle.into()), Name::new(name)));
    }
    found
}

fn number(bytes: &[u8], at: usize) -> Option<usize> {
    let four = bytes.get(at..at + 4)?.try_into().ok()?;
    usize::try_from(u32::from_ne_bytes(four)).ok()
}

fn half(bytes: &[u8], at: usize) -> Option<usize> {
    Some(usize::from(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?)))
}

#[allow(unsafe_code)]
mod calls {
    //! The four calls that rustix does not have.

    use super::{AsRawFd, BorrowedFd, Error, FromRawFd, Handle, OwnedFd, Result};

    const CLASS_NOTIF: u32 = 0;
    const CLOSE_ON_EXEC: u32 = 0x1;
    const NONBLOCK: u32 = 0x2;
    const REPORT_DIR_FID: u32 = 0x400;
    const REPORT_NAME: u32 = 0x800;

    const ADD: u32 = 0x1;
    /// To be added for the whole filesystem.
    pub(super) const WHOLE_FILESYSTEM: u32 = ADD | 0x100;
    /// To be left out, also after it changes, as long as the kernel has room for that.
    pub(super) const IGNORE: u32 = ADD | 0x400 | 0x40 | 0x200;
    /// All that is marked by itself is no longer.
    pub(super) const FLUSH: u32 = 0x80;

    pub(super) fn init() -> Result<OwnedFd> {
        let flags = CLASS_NOTIF | CLOSE_ON_EXEC | NONBLOCK | REPORT_DIR_FID | REPORT_NAME;
        // SAFETY: numbers only; what comes back is a descriptor that nobody else owns, or -1.
        match unsafe { libc::fanotify_init(flags, 0) } {
            -1 => Err(Error::last_os_error()),
            // SAFETY: it was just made.
            queue => Ok(unsafe { OwnedFd::from_raw_fd(queue) }),
        }
    }

    pub(super) fn mark(queue: &OwnedFd, flags: u32, mask: u64, folder: BorrowedFd<'_>) -> Result<()> {
        let path = format!("/proc/self/fd/{}\0", folder.as_raw_fd());
        // SAFETY: the path ends with a zero and lives through the call; the rest are numbers.
        let done = unsafe {
            libc::fanotify_mark(queue.as_raw_fd(), flags, mask, libc::AT_FDCWD, path.as_ptr().cast())
        };
        if done == 0 { Ok(()) } else { Err(Error::last_os_error()) }
    }

    /// `struct file_handle`, as large as any filesystem makes it.
    #[repr(C)]
    struct FileHandle {
        bytes: u32,
        kind: i32,
        handle: [u8; libc::MAX_HANDLE_SZ as usize],
    }

    pub(super) fn handle_of(folder: BorrowedFd<'_>) -> Result<Handle> {
        let mut handle = FileHandle {
            bytes: libc::MAX_HANDLE_SZ as u32,
            kind: 0,
            handle: [0; libc::MAX_HANDLE_SZ as usize],
        };
        let mut mount: libc::c_int = 0;
        // SAFETY: the structure has the kernel's layout, says how much room it has, and lives through the call, as do the
        // empty path and the number of the mount.
        let done = unsafe {
            libc::syscall(
                libc::SYS_name_to_handle_at,
                folder.as_raw_fd(),
                c"".as_ptr(),
                std::ptr::from_mut(&mut handle),
                std::ptr::from_mut(&mut mount),
                libc::AT_EMPTY_PATH,
            )
        };
        if done != 0 {
            return Err(Error::last_os_error());
        }
        let used = handle.handle.get(..handle.bytes as usize).unwrap_or_default();
        let head = [handle.bytes.to_ne_bytes(), handle.kind.to_ne_bytes()].concat();
        Ok(Handle([&head, used].concat().into()))
    }

    pub(super) fn open(anchor: &OwnedFd, handle: &Handle) -> Result<OwnedFd> {
        let mut room = FileHandle { bytes: 0, kind: 0, handle: [0; libc::MAX_HANDLE_SZ as usize] };
        let (head, rest) = handle.0.split_at(8.min(handle.0.len()));
        let word = |at: usize| head.get(at..at + 4).and_then(|four| four.try_into().ok()).unwrap_or_default();
        let used = rest.len().min(room.handle.len());
        (room.bytes, room.kind) = (used as u32, i32::from_ne_bytes(word(4)));
        room.handle[..used].copy_from_slice(&rest[..used]);
        // SAFETY: the structure has the kernel's layout, says how long it is, and lives through the call.
        let opened = unsafe {
            libc::syscall(
                libc::SYS_open_by_handle_at,
                anchor.as_raw_fd(),
                std::ptr::from_mut(&mut room),
                libc::O_PATH | libc::O_CLOEXEC,
            )
        };
        match i32::try_from(opened) {
            // SAFETY: it was just opened, and nobody else owns it.
            Ok(opened) if opened >= 0 => Ok(unsafe { OwnedFd::from_raw_fd(opened) }),
            _ => Err(Error::last_os_error()),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::fs::File;

    use alike_testkit::{Mount, root_or_say};
    use tempfile::TempDir;

    use super::*;

    /// A filesystem on which nobody else is, marked.
    struct Room {
        fanotify: Fanotify,
        mount: Mount,
        _folder: TempDir,
    }

    impl Room {
        fn new() -> Option<Self> {
            if !root_or_say("fanotify") {
                return None;
            }
            let folder = TempDir::new().unwrap();
            let mount = Mount::tmpfs(folder.path(), "4m");
            let fanotify = Fanotify::of_filesystem(File::open(mount.at()).unwrap().as_fd()).unwrap();
            Some(Self { fanotify, mount, _folder: folder })
        }

        /// Has another process do it, and returns what is told of it: the names, and what more there is to know.
        fn told(&self, words: &str) -> Vec<String> {
            let mut shell = std::process::Command::new("sh");
            let done = shell.args(["-ec", words]).current_dir(self.mount.at()).status().unwrap();
            assert!(done.success());
            self.take().iter().map(|report| self.shown(report)).collect()
        }

        fn take(&self) -> Vec<Report> {
            let (mut buffer, mut reports) = (vec![0; 4096], Vec::new());
            while self.fanotify.take(&mut buffer, &mut reports).unwrap() {}
            reports
        }

        fn shown(&self, report: &Report) -> String {
            let name = |(handle, name): &(Handle, Option<Name>)| {
                let place = self.fanotify.path_of(handle).unwrap();
                let path = place.map(|place| place.path.strip_prefix(self.mount.at()).unwrap().to_owned());
                let name = name.as_ref().map(|name| String::from_utf8_lossy(name.as_bytes()).into_owned());
                path.unwrap_or("gone".into()).join(name.unwrap_or(".".into())).display().to_string()
            };
            let words = [
                (report.created, " created"),
                (report.written, " written"),
                (report.changed, " changed"),
                (report.moved_folder, " moved"),
            ];
            let words: String = words.into_iter().filter(|(is, _)| *is).map(|(_, word)| word).collect();
            report.at.iter().map(name).collect::<Vec<_>>().join(" to ") + &words
        }

        fn handle(&self, path: &str) -> Handle {
            calls::handle_of(File::open(self.mount.at().join(path)).unwrap().as_fd()).unwrap()
        }
    }

    #[test]
    fn a_report_names_the_folder_where_it_is_now_and_the_name_in_it() {
        let Some(room) = Room::new() else { return };
        assert_eq!(room.told("mkdir a b a/d"), ["a changed", "b changed", "a/d changed"]);
        assert_eq!(room.told("mkfifo a/f"), ["a/f created"]);
        assert_eq!(room.told("mv a/f b/g"), ["a/f to b/g changed"]);
        assert_eq!(room.told("chmod 600 b/g"), ["b/g changed"]);
        assert_eq!(room.told("mv a/d b/e"), ["a/d to b/e changed moved"]);
        assert_eq!(room.told("rm b/g; rmdir b/e"), ["b/g changed", "b/e changed"]);
        assert_eq!(room.told("echo x > b/x"), ["b/x created written changed"]);
        assert_eq!(room.told("chmod 700 b; mv b c"), ["c/. changed", "b to c changed moved"]);
        assert_eq!(room.told("mkdir c/d; mkfifo c/d/f; rm -r c/d")[1], "gone/f created");
    }

    #[test]
    fn what_this_process_does_itself_is_left_out() {
        let Some(room) = Room::new() else { return };
        std::fs::write(room.mount.at().join("own"), "x").unwrap();
        std::fs::create_dir(room.mount.at().join("folder")).unwrap();
        assert_eq!(room.take(), []);
        assert_eq!(room.told("mkfifo folder/f"), ["folder/f created"]);
    }

    #[test]
    fn of_a_folder_that_is_left_out_only_renames_are_told_until_none_is() {
        let Some(room) = Room::new() else { return };
        room.told("mkdir noise noise/below quiet; mkfifo noise/one noise/two");
        room.fanotify.ignore(&room.handle("noise")).unwrap();
        assert_eq!(room.told("echo x > noise/f; echo y > noise/f; rm noise/f; mkfifo noise/g"), [""; 0]);
        assert_eq!(room.told("mkfifo noise/below/f"), ["noise/below/f created"]);
        assert_eq!(room.told("mv noise/one quiet/one"), ["noise/one to quiet/one changed"]);
        assert_eq!(room.told("mv noise quiet/noise"), ["noise to quiet/noise changed moved"]);
        room.fanotify.ignore_none().unwrap();
        assert_eq!(room.told("mkfifo quiet/noise/h"), ["quiet/noise/h created"]);
    }

    #[test]
    fn of_a_path_that_is_too_long_it_is_told_below_what_the_folder_lies() {
        let Some(room) = Room::new() else { return };
        let name = "n".repeat(250);
        let mut folder = OwnedFd::from(File::open(room.mount.at()).unwrap());
        for _ in 0..25 {
            rustix::fs::mkdirat(&folder, &name, Mode::RWXU).unwrap();
            folder = rustix::fs::openat(&folder, &name, OFlags::RDONLY, Mode::empty()).unwrap();
        }
        let place = room.fanotify.path_of(&calls::handle_of(folder.as_fd()).unwrap()).unwrap().unwrap();
        assert!(place.is_below && place.path.starts_with(room.mount.at().join(name)), "{place:?}");
    }
}
