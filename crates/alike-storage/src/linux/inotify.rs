//! inotify: the kernel's word that something in a folder changed.

use std::io::{Error, Result};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use alike_model::path::Name;
use rustix::fs::inotify::{CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;

/// A queue of changes in the folders that were marked.
#[derive(Debug)]
pub struct Inotify {
    queue: OwnedFd,
}

/// The number of a marked folder. Marking a folder again, also under another name, gives the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mark(i32);

/// Something that the kernel said.
#[derive(Debug, PartialEq, Eq)]
pub struct Change {
    /// The folder; `None` when the queue ran over.
    pub mark: Option<Mark>,
    /// The name in it; `None` when it is about the folder itself.
    pub name: Option<Name>,
    /// What happened.
    pub what: What,
    /// The half of a rename that this is.
    pub half: Option<Half>,
}

/// A rename is told in two halves, a moment apart, with one number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Half {
    /// The old name is gone; the new one, if it is in a folder that is marked, comes next.
    From(u32),
    /// The new name.
    To(u32),
}

/// What happened, as far as it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// A name was made that is no folder; if it is a file, it is likely to be written to and closed at once.
    Created,
    /// Bytes were written; the file is still open.
    Written,
    /// Anything else: made, removed, renamed, closed after writing, attributes set.
    Changed,
    /// A folder came by a rename.
    FolderCame,
    /// The marked folder was moved or removed itself.
    FolderLeft,
    /// The filesystem was unmounted.
    Unmounted,
    /// The mark is gone.
    Unmarked,
    /// The queue ran over: any change may be missing.
    Overflow,
}

impl Inotify {
    /// Opens a queue.
    ///
    /// # Errors
    /// When there are too many already.
    pub fn new() -> Result<Self> {
        let queue = rustix::fs::inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)?;
        Ok(Self { queue })
    }

    /// Marks an open folder.
    ///
    /// # Errors
    /// `ENOSPC` when the user has no marks left (`fs.inotify.max_user_watches`).
    pub fn mark(&self, folder: BorrowedFd<'_>) -> Result<Mark> {
        let flags = WatchFlags::CREATE
            | WatchFlags::DELETE
            | WatchFlags::MOVE
            | WatchFlags::CLOSE_WRITE
            | WatchFlags::MODIFY
            | WatchFlags::ATTRIB
            | WatchFlags::MOVE_SELF
            | WatchFlags::DELETE_SELF
            | WatchFlags::EXCL_UNLINK
            | WatchFlags::ONLYDIR;
        // Through /proc the mark is set on the folder that is held, whatever its path is by now, and however long.
        let path = format!("/proc/self/fd/{}", folder.as_raw_fd());
        Ok(Mark(rustix::fs::inotify::add_watch(&self.queue, path, flags)?))
    }

    /// Takes a mark back; one that is gone already is fine.
    pub fn unmark(&self, mark: Mark) {
        let _ = rustix::fs::inotify::remove_watch(&self.queue, mark.0);
    }

    /// Can be read when there are changes to take.
    #[must_use]
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.queue.as_fd()
    }

    /// Takes what the queue holds now, at most one buffer of it; empty when it holds nothing.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn take(&self, buffer: &mut [MaybeUninit<u8>]) -> Result<Vec<Change>> {
        let mut changes = Vec::new();
        let mut reader = Reader::new(self.queue.as_fd(), buffer);
        loop {
            match reader.next() {
                Ok(event) => changes.push(Change {
                    mark: (!event.events().contains(ReadFlags::QUEUE_OVERFLOW)).then_some(Mark(event.wd())),
                    name: event.file_name().and_then(|name| Name::new(name.to_bytes())),
                    what: what(event.events()),
                    half: half(event.events(), event.cookie()),
                }),
                Err(Errno::WOULDBLOCK) => return Ok(changes),
                Err(Errno::INTR) => {}
                Err(errno) => return Err(errno.into()),
            }
            if reader.is_buffer_empty() {
                return Ok(changes);
            }
        }
    }
}

/// What would help against an error of [`Inotify::new`] or [`Inotify::mark`].
#[must_use]
pub fn advice(why: &Error) -> Option<&'static str> {
    match Errno::from_io_error(why) {
        Some(Errno::MFILE) => Some("raise the limit: sysctl fs.inotify.max_user_instances=1024"),
        _ if why.kind() == std::io::ErrorKind::StorageFull => {
            Some("raise the limit: sysctl fs.inotify.max_user_watches=1048576")
        }
        _ => None,
    }
}

fn half(events: ReadFlags, cookie: u32) -> Option<Half> {
    if events.contains(ReadFlags::MOVED_FROM) {
        Some(Half::From(cookie))
    } else {
        events.contains(ReadFlags::MOVED_TO).then_some(Half::To(cookie))
    }
}

fn what(events: ReadFlags) -> What {
    if events.contains(ReadFlags::QUEUE_OVERFLOW) {
        What::Overflow
    } else if events.contains(ReadFlags::UNMOUNT) {
        What::Unmounted
    } else if events.contains(ReadFlags::IGNORED) {
        What::Unmarked
    } else if events.intersects(ReadFlags::DELETE_SELF | ReadFlags::MOVE_SELF) {
        What::FolderLeft
    } else if events.contains(ReadFlags::MOVED_TO | ReadFlags::ISDIR) {
        What::FolderCame
    } else if events.contains(ReadFlags::CREATE) && !events.contains(ReadFlags::ISDIR) {
        What::Created
    } else if events.contains(ReadFlags::MODIFY) {
        What::Written
    } else {
        What::Changed
    }
}
