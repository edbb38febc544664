//! Watching: the kernel's events come in, dirt comes out.
//!
//! Events say only "look here"; what changed is found by the same scan that serves the interval and the start. What may
//! have been missed (the queue ran over, a folder left) makes dirt that is coarser, never less.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use alike_model::dirty::Dirty;
use alike_model::path::RelPath;
use alike_storage::linux::Mounts;
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

    /// True while everything is mounted as it was when that was heard of last.
    fn is_mounted_as_heard(&self) -> bool;
}

/// Watches nothing.
#[derive(Debug)]
pub struct NoWatch;

impl<F> Watch<F> for NoWatch {
    fn about_to_look(&self, _: &dyn Fn() -> RelPath, _: &F) {}

    fn gone(&self, _: &RelPath) {}

    fn is_mounted_as_heard(&self) -> bool {
        true
    }
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
    /// Something was mounted or mounts: what is missing now was not deleted by anybody.
    pub mounts: bool,
    /// Of a rename only the old name was heard so far. A pass that looked now would take it for a deletion.
    pub half: bool,
    /// Something left its name: for another, for outside, or a folder for good.
    pub left: bool,
    /// Why nothing could be heard; then all is dirty.
    pub trouble: Option<String>,
}

impl Heard {
    /// True when there is anything in it.
    pub(crate) fn is_any(&self) -> bool {
        let told = self.overflow || self.mounts || self.left || self.trouble.is_some();
        told || [&self.dirty, &self.created, &self.written].iter().any(|dirty| !dirty.is_empty())
    }

    /// Adds what was heard later.
    pub(crate) fn absorb(&mut self, later: Self) {
        self.dirty.absorb(later.dirty);
        self.created.absorb(later.created);
        self.written.absorb(later.written);
        self.overflow |= later.overflow;
        self.mounts |= later.mounts;
        self.half = later.half;
        self.left |= later.left;
        self.trouble = self.trouble.take().or(later.trouble);
    }

    /// A copy for another mirror. Whoever heard it tells people of what went wrong; what it comes to is in the dirt.
    pub(crate) fn for_another(&self) -> Self {
        let (dirty, created, written) = (self.dirty.clone(), self.created.clone(), self.written.clone());
        let (mounts, half, left) = (self.mounts, self.half, self.left);
        Self { dirty, created, written, mounts, half, left, overflow: false, trouble: None }
    }
}

/// Folders that could not be watched, or had to give up their mark, and why the first could not.
#[derive(Debug, Default)]
pub struct Unwatched {
    count: u64,
    why: Option<io::Error>,
}

impl Unwatched {
    pub(crate) fn note(&mut self, why: io::Error) {
        self.count += 1;
        self.why.get_or_insert(why);
    }

    pub(crate) fn absorb(&mut self, more: Self) {
        self.count += more.count;
        self.why = self.why.take().or(more.why);
    }

    pub(crate) fn is_any(&self) -> bool {
        self.count > 0
    }

    pub(crate) fn told(self) -> Option<(u64, io::Error)> {
        self.why.map(|why| (self.count, why))
    }
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
    /// The source's top folder, and the mount that it is seen through.
    top: OwnedFd,
    mount: u64,
    /// Others than this kernel may change the source, or a part of it.
    is_shared: AtomicBool,
    mounts: Mounts,
    /// What is mounted in the source.
    mounted: Mutex<Vec<(PathBuf, u64)>>,
    /// How many folders were said to be unwatched.
    said: AtomicU64,
    any: OwnedFd,
    /// Has a part in `any`; asked for news, it has none any more, so it is not the one that is asked.
    _wakes: Mounts,
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
        let (mounts, wakes) = (Mounts::open()?, Mounts::open()?);
        let any = linux::any_of(&queues, wakes.descriptor())?;
        let top = root.descriptor().try_clone_to_owned()?;
        let (mount, _) = linux::mount_and_time(top.as_fd())?;
        let is_shared = AtomicBool::new(linux::is_shared(top.as_fd()));
        let mounted = Mutex::new(mounted_in(top.as_fd()));
        Ok(Self {
            wide,
            narrow,
            marks,
            top,
            mount,
            is_shared,
            mounts,
            mounted,
            said: AtomicU64::new(0),
            any,
            _wakes: wakes,
        })
    }

    /// True when the source's filesystem is watched as a whole.
    pub fn is_wide(&self) -> bool {
        self.wide.is_some()
    }

    /// Why the filesystem is not watched as a whole, where that was tried.
    pub fn why_narrow(&self) -> Option<&io::Error> {
        self.narrow.as_ref()
    }

    /// True when any of the source, as far as it was looked at, is on a filesystem that others than this kernel may change:
    /// nobody tells of that.
    pub fn is_shared(&self) -> bool {
        self.is_shared.load(Ordering::Relaxed)
    }

    /// Number of folders that are watched one by one.
    pub fn watched(&self) -> usize {
        self.marks.count()
    }

    /// True when so many unwatched folders are news.
    pub(crate) fn is_news(&self, unwatched: u64) -> bool {
        self.said.swap(unwatched, Ordering::Relaxed) != unwatched
    }

    /// Can be read when there is something to hear.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.any.as_fd()
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
        if self.mounts.have_changed() {
            let now = mounted_in(self.top.as_fd());
            let before = std::mem::replace(
                &mut *self.mounted.lock().unwrap_or_else(PoisonError::into_inner),
                now.clone(),
            );
            if now != before {
                heard.mounts = true;
                heard.dirty.absorb(Dirty::everything());
            }
        }
        Ok(heard)
    }

    /// True while everything below the source's top folder is mounted as it was when that was heard of last.
    pub(crate) fn is_mounted_as_heard(&self) -> bool {
        *self.mounted.lock().unwrap_or_else(PoisonError::into_inner) == mounted_in(self.top.as_fd())
    }

    /// Waits no longer for the other half of a rename: it led out of the tree, or into a folder that is not watched yet.
    pub fn give_up_halves(&self) {
        self.marks.give_up_halves();
    }

    /// The folder at `path` is about to be looked at; returns what cannot be watched from now on. A path that is a `guess` may be
    /// another by now, until somebody looks and knows better.
    pub(crate) fn about_to_look(&self, path: (&dyn Fn() -> RelPath, bool), folder: &Folder) -> Unwatched {
        let (mount, changed) = linux::mount_and_time(folder.descriptor()).unwrap_or_default();
        if mount != self.mount && !self.is_shared() && linux::is_shared(folder.descriptor()) {
            self.is_shared.store(true, Ordering::Relaxed);
        }
        match self.wide.as_ref().is_some_and(|wide| wide.covers(mount)) {
            true => Unwatched::default(),
            false => self.marks.mark(path, folder, changed),
        }
    }

    /// How many looks there have been, for [`Self::gone`].
    pub(crate) fn looks(&self) -> u64 {
        self.marks.looks()
    }

    /// What lay at `path` is gone from there, to whom began to look after so many looks. What others have looked at there since
    /// then is another matter.
    pub(crate) fn gone(&self, path: &RelPath, since: u64) {
        self.marks.gone(path, since);
    }
}

/// What is mounted below an open folder.
fn mounted_in(top: BorrowedFd<'_>) -> Vec<(PathBuf, u64)> {
    linux::where_is(top).map(|path| linux::mounts_below(&path)).unwrap_or_default()
}
