//! Watching folder by folder: one mark each, and when the user has no more, for those that changed last.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::BorrowedFd;
use std::sync::{Mutex, MutexGuard, PoisonError};

use alike_model::dirty::{Dirty, Extent};
use alike_model::path::RelPath;
use alike_storage::Folder;
use alike_storage::linux::{Change, Half, Inotify, Mark, What};

use crate::watch::{Heard, MOST_BUFFERS, Unwatched};

/// Marks of folders, and the queue of what happens in them.
pub(crate) struct Marks {
    inotify: Inotify,
    known: Mutex<Known>,
    /// Held while the kernel and the table get a mark or lose one, so that one is never without the other: two passes may be at the
    /// same folder. Whoever hears does not wait for it, for a folder may be on a drive that does not answer.
    turn: Mutex<()>,
}

#[derive(Default)]
struct Known {
    folders: HashMap<Mark, Marked>,
    marks: BTreeMap<RelPath, Mark>,
    /// Those that changed longest ago first; kept from when marks ran out.
    oldest: Option<BTreeSet<(Changed, Mark)>>,
    /// So often something was heard.
    heard: u64,
    /// Renames of which only the old name was heard.
    halves: HashSet<u32>,
    /// So often a folder was marked, or marked once more.
    looks: u64,
}

struct Marked {
    path: RelPath,
    changed: Changed,
    /// The last look at it.
    looked: u64,
}

/// When a folder changed last: the time it has, or, of those in which something was heard, in which order.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Changed {
    At(i64),
    Heard(u64),
}

impl Marks {
    /// Opens a queue.
    pub(crate) fn new() -> io::Result<Self> {
        Ok(Self { inotify: Inotify::new()?, known: Mutex::default(), turn: Mutex::default() })
    }

    /// Number of folders that are marked.
    pub(crate) fn count(&self) -> usize {
        self.lock().folders.len()
    }

    /// How many looks there have been.
    pub(crate) fn looks(&self) -> u64 {
        self.lock().looks
    }

    /// Can be read when there is something to hear.
    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        self.inotify.descriptor()
    }

    /// Takes what is there; does not wait.
    pub(crate) fn hear(&self, heard: &mut Heard) -> io::Result<()> {
        let mut buffer = [MaybeUninit::uninit(); 64 * 1024];
        for _ in 0..MOST_BUFFERS {
            let changes = self.inotify.take(&mut buffer)?;
            if changes.is_empty() {
                break;
            }
            let mut known = self.lock();
            for change in changes {
                known.sort_in(change, heard);
            }
        }
        heard.half = !self.lock().halves.is_empty();
        Ok(())
    }

    /// Waits no longer for the other half of a rename.
    pub(crate) fn give_up_halves(&self) {
        self.lock().halves.clear();
    }

    /// Marks a folder, which `changed` last then. When there are no marks left, one that changed earlier gives up its own.
    /// A path that is a `guess` does not take the place of one that is known.
    pub(crate) fn mark(
        &self,
        (path, guess): (&dyn Fn() -> RelPath, bool),
        folder: &Folder,
        changed: i64,
    ) -> Unwatched {
        let mut unwatched = Unwatched::default();
        let changed = Changed::At(changed);
        let _turn = self.turn();
        loop {
            match self.inotify.mark(folder.descriptor()) {
                Ok(mark) => {
                    let mut known = self.lock();
                    if !(guess && known.folders.contains_key(&mark)) {
                        known.add(mark, path(), changed);
                    }
                    return unwatched;
                }
                Err(why) => {
                    let is_full = why.kind() == io::ErrorKind::StorageFull;
                    // By itself, for within an `if` the lock would be held through all of it, and is taken once more there.
                    let given_up = if is_full { self.lock().give_up_before(changed) } else { None };
                    unwatched.note(why);
                    let Some(given_up) = given_up else { return unwatched };
                    // Another program may take what gets free: then the next one gives up its own.
                    self.inotify.unmark(given_up);
                }
            }
        }
    }

    /// Takes back the marks at and below a path, but not of what was looked at again since there were so many looks: that is
    /// something new. A folder that moved within the tree has been marked under its new path by then, which leaves that mark
    /// alone.
    pub(crate) fn gone(&self, path: &RelPath, since: u64) {
        let _turn = self.turn();
        let mut known = self.lock();
        let below: Vec<RelPath> = known
            .marks
            .range(path.clone()..)
            .map(|(at, _)| at)
            .take_while(|at| at.is_within(path))
            .cloned()
            .collect();
        for at in below {
            if let Some(mark) = known.marks.get(&at).copied()
                && let Some(folder) = known.folders.get(&mark).filter(|folder| folder.path == at)
            {
                if folder.looked > since {
                    continue;
                }
                known.forget(mark);
                self.inotify.unmark(mark);
            }
            known.marks.remove(&at);
        }
    }

    fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    fn add(&mut self, mark: Mark, path: RelPath, mut changed: Changed) {
        // The same folder, perhaps under another path.
        if let Some(before) = self.folders.get(&mark) {
            changed = changed.max(before.changed);
            self.forget(mark);
        }
        self.looks += 1;
        let folder = Marked { path, changed, looked: self.looks };
        if let Some(oldest) = &mut self.oldest {
            oldest.insert((folder.changed, mark));
        }
        self.marks.insert(folder.path.clone(), mark);
        self.folders.insert(mark, folder);
    }

    /// Forgets a mark; what the kernel has of it is another matter.
    fn forget(&mut self, mark: Mark) {
        let Some(folder) = self.folders.remove(&mark) else { return };
        if let Some(oldest) = &mut self.oldest {
            oldest.remove(&(folder.changed, mark));
        }
        if self.marks.get(&folder.path) == Some(&mark) {
            self.marks.remove(&folder.path);
        }
    }

    /// The mark of the folder that changed longest ago, if that was before `changed`; it is forgotten.
    fn give_up_before(&mut self, changed: Changed) -> Option<Mark> {
        let folders = &self.folders;
        let oldest = self
            .oldest
            .get_or_insert_with(|| folders.iter().map(|(mark, folder)| (folder.changed, *mark)).collect());
        let (then, mark) = oldest.first().copied()?;
        (then < changed).then(|| {
            self.forget(mark);
            mark
        })
    }

    fn note_heard(&mut self, mark: Mark) {
        let Some(oldest) = &mut self.oldest else { return };
        self.heard += 1;
        if let Some(folder) = self.folders.get_mut(&mark) {
            oldest.remove(&(folder.changed, mark));
            folder.changed = Changed::Heard(self.heard);
            oldest.insert((folder.changed, mark));
        }
    }

    fn sort_in(&mut self, change: Change, heard: &mut Heard) {
        let Some(mark) = change.mark else {
            heard.overflow = true;
            self.halves.clear();
            heard.dirty.absorb(Dirty::everything());
            return;
        };
        if change.what == What::Unmarked {
            return self.forget(mark);
        }
        if let Some(Half::To(number)) = change.half {
            self.halves.remove(&number);
        }
        let Some(path) = self.folders.get(&mark).map(|folder| folder.path.clone()) else { return };
        self.note_heard(mark);
        if let Some(Half::From(number)) = change.half {
            self.halves.insert(number);
            heard.left = true;
        }
        match (change.what, change.name) {
            (What::Written, Some(name)) => heard.written.mark_name(path, name),
            (What::Created, Some(name)) => heard.created.mark_name(path, name),
            (What::Unmounted, _) => {
                heard.judge = true;
                heard.dirty.mark(path, Extent::Subtree);
            }
            (What::FolderLeft, _) => {
                heard.left = true;
                match path.split() {
                    Some((parent, name)) => heard.dirty.mark_name(parent, name),
                    None => heard.dirty.absorb(Dirty::everything()),
                }
            }
            // What was changed in it while it had another name was heard under that name.
            (What::FolderCame, Some(name)) => {
                heard.dirty.mark(path.join(&name), Extent::Subtree);
                heard.dirty.mark_name(path, name);
            }
            (_, Some(name)) => heard.dirty.mark_name(path, name),
            (_, None) => heard.dirty.mark(path, Extent::Names(BTreeSet::new())),
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
        let marks = Marks::new().unwrap();
        assert!(!marks.mark((&RelPath::root, false), &Folder::open(&top).unwrap(), 0).is_any());
        let mark = *marks.lock().folders.keys().next().unwrap();
        let told = |name: &[u8], half| {
            let name = alike_model::path::Name::new(name);
            let mut heard = Heard::default();
            marks.lock().sort_in(Change { mark: Some(mark), name, what: What::Changed, half }, &mut heard);
            marks.hear(&mut heard).unwrap();
            (heard.half, heard.dirty.names())
        };
        assert_eq!(told(b"saved", None), (false, 1));
        assert_eq!(told(b"old", Some(Half::From(7))), (true, 1));
        assert_eq!(told(b"other", Some(Half::To(8))), (true, 1), "one of another rename, from outside");
        assert_eq!(told(b"new", Some(Half::To(7))), (false, 1));
        assert_eq!(told(b"out", Some(Half::From(9))), (true, 1));
        marks.give_up_halves();
        assert_eq!(told(b"saved", None), (false, 1));
        std::fs::remove_dir(top).unwrap();
    }

    #[test]
    fn a_folder_that_came_by_a_rename_is_looked_at_as_a_whole() {
        let top = a_folder_named("came");
        let marks = Marks::new().unwrap();
        std::fs::create_dir(top.join("old")).unwrap();
        assert!(!marks.mark((&RelPath::root, false), &Folder::open(&top).unwrap(), 0).is_any());
        std::fs::write(top.join("file"), "x").unwrap();
        std::fs::rename(top.join("old"), top.join("new")).unwrap();
        std::fs::rename(top.join("file"), top.join("other")).unwrap();
        let mut heard = Heard::default();
        marks.hear(&mut heard).unwrap();
        let folders = heard.dirty.into_folders();
        let whole = folders.iter().filter(|(_, extent)| *extent == Extent::Subtree).map(|(path, _)| path);
        assert_eq!(whole.map(ToString::to_string).collect::<Vec<_>>(), ["new"]);
        std::fs::remove_dir_all(top).unwrap();
    }

    #[test]
    fn when_marks_run_out_the_folder_that_changed_longest_ago_gives_up_its_own() {
        let mut known = Known::default();
        let top = a_folder_named("ages");
        let inotify = Inotify::new().unwrap();
        let names = ["old", "older", "new"];
        let mut marks = Vec::new();
        for (name, changed) in names.into_iter().zip([20, 10, 30]) {
            std::fs::create_dir(top.join(name)).unwrap();
            let mark = inotify.mark(Folder::open(&top.join(name)).unwrap().descriptor()).unwrap();
            let path = RelPath::parse(name.as_bytes()).unwrap();
            known.add(mark, path, Changed::At(changed));
            marks.push(mark);
        }
        assert_eq!(known.give_up_before(Changed::At(5)), None, "all others changed later");
        assert_eq!(known.give_up_before(Changed::At(25)), Some(marks[1]));
        known.note_heard(marks[0]);
        assert_eq!(known.give_up_before(Changed::At(40)), Some(marks[2]), "in the other something was heard");
        assert_eq!(known.folders.len(), 1);
        std::fs::remove_dir_all(top).unwrap();
    }

    #[test]
    fn what_is_in_the_table_is_marked_however_passes_meet() {
        let top = a_folder_named("meeting");
        let marks = Marks::new().unwrap();
        let folder = Folder::open(&top).unwrap();
        for _ in 0..5000 {
            let together = std::sync::Barrier::new(2);
            std::thread::scope(|scope| {
                scope.spawn(|| {
                    together.wait();
                    marks.gone(&RelPath::root(), u64::MAX);
                });
                together.wait();
                marks.mark((&RelPath::root, false), &folder, 0);
            });
            assert_eq!(marks.count(), in_the_kernel(&marks));
        }
        std::fs::remove_dir(top).unwrap();
    }

    fn in_the_kernel(marks: &Marks) -> usize {
        use std::os::fd::AsRawFd;
        let queue = format!("/proc/self/fdinfo/{}", marks.descriptor().as_raw_fd());
        std::fs::read_to_string(queue).unwrap().lines().filter(|line| line.starts_with("inotify ")).count()
    }

    fn a_folder() -> std::path::PathBuf {
        a_folder_named("halves")
    }

    fn a_folder_named(name: &str) -> std::path::PathBuf {
        let top = std::env::temp_dir().join(format!("alike-watch-{name}-{}", std::process::id()));
        std::fs::create_dir(&top).unwrap();
        top
    }
}
