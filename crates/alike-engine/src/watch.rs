//! Watching: the kernel's events come in, dirt comes out.
//!
//! Events say only "look here"; what changed is found by the same scan that serves the interval and the start. What may
//! have been missed (the queue ran over, a folder left) makes dirt that is coarser, never less.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::BorrowedFd;
use std::sync::{Mutex, MutexGuard, PoisonError};

use alike_model::dirty::{Dirty, Extent};
use alike_model::path::RelPath;
use alike_storage::Folder;
use alike_storage::linux::{Change, Half, Inotify, Mark, What};

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

/// Watches by inotify, one mark a folder.
pub struct Watcher {
    inotify: Inotify,
    marks: Mutex<Marks>,
}

#[derive(Default)]
struct Marks {
    paths: HashMap<Mark, RelPath>,
    marks: BTreeMap<RelPath, Mark>,
    /// Renames of which only the old name was heard.
    halves: HashSet<u32>,
    /// Folders that could not be marked, and why the first of them could not.
    unwatched: u64,
    refused: Option<io::Error>,
}

impl Watcher {
    /// Opens a queue.
    ///
    /// # Errors
    /// When the system has none left.
    pub fn new() -> io::Result<Self> {
        Ok(Self { inotify: Inotify::new()?, marks: Mutex::default() })
    }

    /// Number of folders that are watched.
    pub fn watched(&self) -> usize {
        self.lock().paths.len()
    }

    /// Number of folders that could not be watched since the last call, with the reason of the first.
    pub fn take_refused(&self) -> Option<(u64, io::Error)> {
        let mut marks = self.lock();
        let count = std::mem::take(&mut marks.unwatched);
        marks.refused.take().map(|error| (count, error))
    }

    /// Can be read when there is something to hear.
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.inotify.descriptor()
    }

    /// Takes all that is there; does not wait.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn hear(&self) -> io::Result<Heard> {
        let mut heard = Heard::default();
        let mut buffer = [MaybeUninit::uninit(); 64 * 1024];
        loop {
            let changes = self.inotify.take(&mut buffer)?;
            let mut marks = self.lock();
            if changes.is_empty() {
                heard.half = !marks.halves.is_empty();
                return Ok(heard);
            }
            for change in changes {
                marks.sort_in(change, &mut heard);
            }
        }
    }

    /// Waits no longer for the other half of a rename: it led out of the tree, or into a folder that is not watched yet.
    pub fn give_up_halves(&self) {
        self.lock().halves.clear();
    }

    fn lock(&self) -> MutexGuard<'_, Marks> {
        self.marks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Marks {
    fn sort_in(&mut self, change: Change, heard: &mut Heard) {
        let Some(mark) = change.mark else {
            heard.overflow = true;
            self.halves.clear();
            heard.dirty.absorb(Dirty::everything());
            return;
        };
        if change.what == What::Unmarked {
            if let Some(path) = self.paths.remove(&mark)
                && self.marks.get(&path) == Some(&mark)
            {
                self.marks.remove(&path);
            }
            return;
        }
        if let Some(Half::To(number)) = change.half {
            self.halves.remove(&number);
        }
        let Some(path) = self.paths.get(&mark).cloned() else { return };
        if let Some(Half::From(number)) = change.half {
            self.halves.insert(number);
            heard.left = true;
        }
        match (change.what, change.name) {
            (What::Written, Some(name)) => heard.written.mark_name(path, name),
            (What::Created, Some(name)) => heard.created.mark_name(path, name),
            (What::Unmounted, _) => {
                heard.unmounted = true;
                heard.dirty.mark(path, Extent::Subtree);
            }
            (What::FolderLeft, _) => {
                heard.left = true;
                match path.split() {
                    Some((parent, name)) => heard.dirty.mark_name(parent, name),
                    None => heard.dirty.absorb(Dirty::everything()),
                }
            }
            (_, Some(name)) => heard.dirty.mark_name(path, name),
            (_, None) => heard.dirty.mark(path, Extent::Names(std::collections::BTreeSet::new())),
        }
    }
}

impl Watch<Folder> for Watcher {
    fn about_to_look(&self, path: &dyn Fn() -> RelPath, folder: &Folder) {
        match self.inotify.mark(folder.descriptor()) {
            Ok(mark) => {
                let path = path();
                let mut marks = self.lock();
                if let Some(old) = marks.paths.insert(mark, path.clone())
                    && old != path
                    && marks.marks.get(&old) == Some(&mark)
                {
                    marks.marks.remove(&old);
                }
                marks.marks.insert(path, mark);
            }
            Err(error) => {
                let mut marks = self.lock();
                marks.unwatched += 1;
                marks.refused.get_or_insert(error);
            }
        }
    }

    /// Takes back the marks at and below a path. A folder that moved within the tree has been marked under its new path
    /// by then, which leaves that mark alone.
    fn gone(&self, path: &RelPath) {
        let mut marks = self.lock();
        let below: Vec<RelPath> = marks
            .marks
            .range(path.clone()..)
            .map(|(at, _)| at)
            .take_while(|at| at.is_within(path))
            .cloned()
            .collect();
        for at in below {
            if let Some(mark) = marks.marks.remove(&at)
                && marks.paths.get(&mark) == Some(&at)
            {
                marks.paths.remove(&mark);
                self.inotify.unmark(mark);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn of_a_rename_the_other_half_is_waited_for_and_of_nothing_else() {
        let top = a_folder();
        let watcher = Watcher::new().unwrap();
        watcher.about_to_look(&RelPath::root, &Folder::open(&top).unwrap());
        let mark = *watcher.lock().paths.keys().next().unwrap();
        let told = |name: &[u8], half| {
            let name = alike_model::path::Name::new(name);
            let mut heard = Heard::default();
            watcher.lock().sort_in(Change { mark: Some(mark), name, what: What::Changed, half }, &mut heard);
            (watcher.hear().unwrap().half, heard.dirty.names())
        };
        assert_eq!(told(b"saved", None), (false, 1));
        assert_eq!(told(b"old", Some(Half::From(7))), (true, 1));
        assert_eq!(told(b"other", Some(Half::To(8))), (true, 1), "one of another rename, from outside");
        assert_eq!(told(b"new", Some(Half::To(7))), (false, 1));
        assert_eq!(told(b"out", Some(Half::From(9))), (true, 1));
        watcher.give_up_halves();
        assert!(!watcher.hear().unwrap().half);
        std::fs::remove_dir(top).unwrap();
    }

    fn a_folder() -> std::path::PathBuf {
        let top = std::env::temp_dir().join(format!("alike-watch-{}", std::process::id()));
        std::fs::create_dir(&top).unwrap();
        top
    }
}
