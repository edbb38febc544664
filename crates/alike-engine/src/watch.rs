//! Watching: the kernel's events come in, dirt comes out.
//!
//! Events say only "look here"; what changed is found by the same scan that serves the interval and the start. What may
//! have been missed (the queue ran over, a folder left) makes dirt that is coarser, never less.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use alike_model::dirty::Dirty;
use alike_model::path::RelPath;
use alike_storage::{Folder, linux};

use crate::marks::Marks;
use crate::wide::Wide;

/// So many buffers are taken in one go: who changes things faster than they can be heard must not keep all others waiting.
pub(crate) const MOST_BUFFERS: usize = 32;

/// Told of each folder of the source before it is looked at, so that no change falls between look and watch.
pub trait Watch<F>: Sync {
    /// The folder at `path` is about to be looked at.
    fn about_to_look(&self, path: &dyn Fn() -> RelPath, folder: &F);

    /// What lay at `path` is gone from there.
    fn gone(&self, path: &RelPath);
}

/// Watches nothing.
#[derive(Debug)]
pub struct NoWatch;

impl<F> Watch<F> for NoWatch {
    fn about_to_look(&self, _: &dyn Fn() -> RelPath, _: &F) {}

    fn gone(&self, _: &RelPath) {}
}

/// What was heard in one go.
#[derive(Debug, Default)]
pub struct Heard {
    /// What to look at.
    pub dirty: Dirty,
    /// What was made just now, and is likely to be written to and closed at once.
    pub created: Dirty,
    /// What was written to but is still open for writing, it seems: no hurry, the close will be heard.
    pub written: Dirty,
    /// The queue ran over.
    pub overflow: bool,
    /// Something was unmounted: what is missing now was not deleted by anybody.
    pub unmounted: bool,
    /// Of a rename only the old name was heard so far. A pass that looked now would take it for a deletion.
    pub half: bool,
    /// Something left its name: for another, for outside, or a folder for good.
    pub left: bool,
}

/// By which of the kernel's means a source is watched.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Means {
    /// By none.
    None,
    /// By the first of the others that there is.
    #[default]
    Auto,
    /// By one mark for the whole filesystem.
    Fanotify,
    /// By one mark a folder.
    Inotify,
}

/// Watches a source: its filesystem as a whole where that can be, and folder by folder what is on others.
pub struct Watcher {
    wide: Option<Wide>,
    /// Why there is no `wide` though it was wanted.
    narrow: Option<io::Error>,
    marks: Marks,
    /// Others than this kernel may change the source.
    is_shared: bool,
    either: OwnedFd,
}

impl Watcher {
    /// Begins to watch the source whose top folder is `root`. What is not on its filesystem, and all of it where that cannot
    /// be watched as a whole, is watched from the moment that it is looked at.
    ///
    /// # Errors
    /// When the system has no queue left, or does not do what was asked for.
    pub fn new(root: &Folder, means: Means) -> io::Result<Self> {
        let marks = Marks::new()?;
        let (wide, narrow) = match means {
            Means::None | Means::Inotify => (None, None),
            Means::Fanotify => (Some(Wide::new(root)?), None),
            Means::Auto => match Wide::new(root) {
                Ok(wide) => (Some(wide), None),
                Err(why) => (None, Some(why)),
            },
        };
        let mut queues = vec![marks.descriptor()];
        queues.extend(wide.as_ref().map(Wide::descriptor));
        let either = linux::any_of(&queues)?;
        let is_shared = linux::is_shared(root.descriptor());
        Ok(Self { wide, narrow, marks, is_shared, either })
    }

    /// True when the source's filesystem is watched as a whole.
    pub fn is_wide(&self) -> bool {
        self.wide.is_some()
    }

    /// Why the filesystem is not watched as a whole, where that was tried.
    pub fn why_narrow(&self) -> Option<&io::Error> {
        self.narrow.as_ref()
    }

    /// True when the source is on a filesystem that others than this kernel may change: nobody tells of that.
    pub fn is_shared(&self) -> bool {
        self.is_shared
    }

    /// Number of folders that are watched one by one.
    pub fn watched(&self) -> usize {
        self.marks.count()
    }

    /// Number of folders that could not be watched since the last call, with the reason of the first.
    pub fn take_refused(&self) -> Option<(u64, io::Error)> {
        self.marks.take_refused()
    }

    /// Can be read when there is something to hear.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.either.as_fd()
    }

    /// Takes what is there, or so much of it that it is time to look; does not wait.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn hear(&self) -> io::Result<Heard> {
        let mut heard = Heard::default();
        if let Some(wide) = &self.wide {
            wide.hear(&mut heard)?;
        }
        self.marks.hear(&mut heard)?;
        Ok(heard)
    }

    /// Waits no longer for the other half of a rename: it led out of the tree, or into a folder that is not watched yet.
    pub fn give_up_halves(&self) {
        self.marks.give_up_halves();
    }
}

impl Watch<Folder> for Watcher {
    fn about_to_look(&self, path: &dyn Fn() -> RelPath, folder: &Folder) {
        let (mount, changed) = linux::mount_and_time(folder.descriptor()).unwrap_or_default();
        if self.wide.as_ref().is_none_or(|wide| !wide.covers(mount)) {
            self.marks.mark(path, folder, changed);
        }
    }

    fn gone(&self, path: &RelPath) {
        self.marks.gone(path);
    }
}
