//! On a full disk what is kept makes room, unless all of it would not be enough: versions that later ones of the same path
//! followed, then what was kept longest; and it is said what went.
//!
//! A trash may keep more than the tree has, and a full disk refuses file after file: what is known of the trash is kept
//! from one to the next, and room is made for more than one.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use alike_storage::{Folder, linux, remove_tree};
use walkdir::{DirEntry, WalkDir};

use crate::trash::{Trash, number};

/// Of a filesystem's room, the trash leaves at least one part in this many free.
const SPARE: u64 = 20;
/// When a file does not fit, one part in this many is made free beside, and at most so much: the next would not fit either.
const AHEAD: u64 = 200;
const MOST_AHEAD: u64 = 1 << 30;
/// What a block counts for in `st_blocks`, whatever the filesystem.
pub(crate) const BLOCK: u64 = 512;

/// What went for want of room since that was last told.
#[derive(Default)]
pub(crate) struct Evicted(Mutex<Option<(String, u64)>>);

impl Evicted {
    fn note(&self, bucket: &str, n: u64) {
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        noted.get_or_insert_with(|| (format!("{bucket}/{n}"), 0)).1 += 1;
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_none()
    }

    /// For the log; `None`: nothing went.
    pub(crate) fn tell(&self) -> Option<String> {
        let (first, count) = self.0.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        Some(match count {
            1 => format!("the disk needs room: trash {first} is gone"),
            _ => format!("the disk needs room: {count} that were kept are gone, from trash {first} on"),
        })
    }
}

/// How far the trash was filled when something was found out.
type FilledTo = Option<(String, u64)>;

/// What was found out of the trash, as long as room is wanted.
#[derive(Default)]
pub(crate) struct Room(Mutex<Found>);

#[derive(Default)]
struct Found {
    /// What all that is kept takes on the disk.
    takes: Option<(u64, FilledTo)>,
    /// The bucket that was filled first, and what is left in it.
    oldest: (String, VecDeque<u64>),
    /// Nothing was left to drop.
    nothing: Option<FilledTo>,
    /// How many entries were looked at to find that out.
    looked_at: u64,
}

impl Found {
    /// What all that is at a path takes on the disk; what is not there takes nothing.
    fn weigh(&mut self, path: &Path) -> u64 {
        use std::os::unix::fs::MetadataExt;
        let takes = |entry: walkdir::Result<DirEntry>| match entry.and_then(|entry| entry.metadata()) {
            Ok(meta) => meta.blocks() * BLOCK,
            Err(why) if why.io_error().is_some_and(|why| why.kind() == io::ErrorKind::NotFound) => 0,
            Err(_) => u64::MAX,
        };
        let entries = WalkDir::new(path).follow_root_links(false).into_iter();
        entries.inspect(|_| self.looked_at += 1).map(takes).fold(0, u64::saturating_add)
    }
}

impl Room {
    fn lock(&self) -> MutexGuard<'_, Found> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The trash changed in a way that nobody counts.
    pub(crate) fn forget(&self) {
        *self.lock() = Found::default();
    }
}

impl Trash {
    /// Makes room where so many bytes are wanted, for them and a little more, and drops at least one entry: it is not always
    /// bytes that are missing. False when nothing is left to drop, or when all of it would not be enough: then it stays.
    ///
    /// # Errors
    /// When something cannot be removed.
    pub(crate) fn make_room(&self, bytes: u64) -> io::Result<bool> {
        let mut found = self.room.lock();
        let (free, whole) = linux::room(&self.path())?;
        if bytes > free && bytes - free > self.takes(&mut found) {
            return Ok(false);
        }
        let Some(freed) = self.drop_one(&mut found)? else { return Ok(false) };
        let want = bytes.saturating_add((whole / AHEAD).min(MOST_AHEAD));
        self.drop_until(&mut found, want, free.saturating_add(freed))?;
        Ok(true)
    }

    /// Drops what is kept until a part of the filesystem's room is free.
    ///
    /// # Errors
    /// When something cannot be removed.
    pub(crate) fn leave_room(&self) -> io::Result<()> {
        if !self.path().exists() {
            return Ok(());
        }
        let (free, whole) = linux::room(&self.path())?;
        self.drop_until(&mut self.room.lock(), whole / SPARE, free)
    }

    /// Drops until so much is free, or should be, by what was dropped: some filesystems free it only later, and all that is
    /// kept would go meanwhile.
    fn drop_until(&self, found: &mut Found, want: u64, mut counted: u64) -> io::Result<()> {
        while counted < want && linux::room(&self.path())?.0 < want {
            match self.drop_one(found)? {
                Some(freed) => counted = counted.saturating_add(freed),
                None => break,
            }
        }
        Ok(())
    }

    /// What all that is kept takes on the disk; what cannot be looked at may take any amount. What was kept since that was
    /// found out is added, in this bucket by its numbers.
    fn takes(&self, found: &mut Found) -> u64 {
        let now = self.filled_to();
        let takes = match found.takes.take() {
            Some((takes, then)) if then == now => takes,
            Some((takes, Some((then, before))))
                if now.as_ref().is_some_and(|(bucket, _)| *bucket == then) =>
            {
                let new = before + 1..=now.as_ref().map_or(before, |(_, n)| *n);
                new.map(|n| found.weigh(&self.kept_at(&then, n))).fold(takes, u64::saturating_add)
            }
            // Below its path, which is a link.
            _ => found.weigh(&self.path().join(".")),
        };
        found.takes = Some((takes, now));
        takes
    }

    /// Drops a version that a later one followed, else what was kept longest. Returns what it took on the disk; `None` when
    /// nothing is left to drop.
    fn drop_one(&self, found: &mut Found) -> io::Result<Option<u64>> {
        // It only says what had better go first; what is wrong with it must not keep a disk full.
        while let Ok(Some((bucket, n))) = self.next_superseded() {
            if let Some(freed) = self.drop_kept(found, &bucket, n)? {
                return Ok(Some(freed));
            }
        }
        loop {
            while let Some(n) = found.oldest.1.pop_front() {
                let bucket = found.oldest.0.clone();
                if let Some(freed) = self.drop_kept(found, &bucket, n)? {
                    return Ok(Some(freed));
                }
            }
            let now = self.filled_to();
            if found.nothing.as_ref() == Some(&now) {
                return Ok(None);
            }
            if !self.find_oldest(found)? {
                found.nothing = Some(now);
                return Ok(None);
            }
        }
    }

    /// Drops one entry. Returns what it took; `None` when it is gone already.
    fn drop_kept(&self, found: &mut Found, bucket: &str, n: u64) -> io::Result<Option<u64>> {
        let at = self.kept_at(bucket, n);
        if let Err(why) = at.symlink_metadata()
            && why.kind() == io::ErrorKind::NotFound
        {
            return Ok(None);
        }
        let freed = found.weigh(&at);
        remove_tree(&Folder::open(&self.path().join(bucket))?, &number(n)?)?;
        self.evicted.note(bucket, n);
        // What could not be weighed leaves the sum unknown.
        found.takes = found.takes.take().and_then(|(takes, then)| Some((takes.checked_sub(freed)?, then)));
        Ok(Some(freed))
    }

    /// Lists the bucket that was filled first, and drops those that keep nothing. False when none keeps anything.
    fn find_oldest(&self, found: &mut Found) -> io::Result<bool> {
        for bucket in self.buckets()? {
            let numbers = self.numbers_in(&bucket)?;
            found.looked_at += numbers.len() as u64 + 1;
            if !numbers.is_empty() {
                found.oldest = (bucket, numbers.into_iter().collect());
                return Ok(true);
            }
            if !self.is_current(&bucket) {
                self.remove_bucket(&bucket)?;
            }
        }
        Ok(false)
    }

    fn kept_at(&self, bucket: &str, n: u64) -> PathBuf {
        self.path().join(bucket).join(n.to_string())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::time::Duration;

    use alike_model::entry::{Identity, Kind, Time};
    use alike_model::event::Action;
    use alike_model::path::{Name, RelPath};
    use alike_testkit::Tree;

    use super::*;
    use crate::history::{Deed, Look};

    const NOW: Time = Time { secs: 1_700_000_000, nanos: 0 };

    /// A trash in which something can be kept.
    struct Filled {
        tree: Tree,
        trash: Trash,
    }

    impl Filled {
        fn with(called: &str, kept: u64) -> Self {
            let top = std::env::temp_dir().join(format!("alike-{called}-{}", std::process::id()));
            let tree = Tree::make(top);
            tree.folder(".alike");
            let own = Folder::open(&tree.path(".alike")).unwrap();
            let filled = Self { tree, trash: Trash::of(own, Duration::MAX).unwrap() };
            (0..kept).for_each(|n| filled.keep(&n.to_string()));
            filled
        }

        fn keep(&self, name: &str) {
            self.keep_as(name, None);
        }

        fn keep_as(&self, name: &str, old: Option<Look>) {
            let path = RelPath::root().join(&Name::new(name.as_bytes()).unwrap());
            let deed = Deed { kept: true, old, ..Deed::of((1, NOW), Action::Delete, &path) };
            let slot = self.trash.begin(deed).unwrap();
            std::fs::write(slot.bucket.folder.path().join(slot.n.to_string()), "kept").unwrap();
            let kind = old.map_or(Kind::File, |old| old.kind);
            self.trash.superseded.note((&path, kind), &slot);
        }

        fn left(&self) -> Vec<u64> {
            let buckets = self.trash.buckets().unwrap();
            buckets.iter().flat_map(|bucket| self.trash.numbers_in(bucket).unwrap()).collect()
        }

        fn looked_at(&self) -> u64 {
            self.trash.room.lock().looked_at
        }
    }

    impl Drop for Filled {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(self.tree.top());
        }
    }

    #[test]
    fn that_the_trash_cannot_give_enough_is_found_out_once_and_not_for_each_file() {
        let filled = Filled::with("not-enough", 500);
        for n in 0..100 {
            filled.keep(&format!("later {n}"));
            assert!(!filled.trash.make_room(u64::MAX).unwrap());
        }
        assert_eq!(filled.left().len(), 600, "nothing goes for nothing");
        assert!(filled.looked_at() < 1000, "{} were looked at", filled.looked_at());
    }

    #[test]
    fn an_empty_trash_is_listed_once() {
        let filled = Filled::with("empty-trash", 3);
        while filled.trash.make_room(1).unwrap() {}
        let before = filled.looked_at();
        (0..100).for_each(|_| assert!(!filled.trash.make_room(1).unwrap()));
        assert_eq!((filled.looked_at(), filled.left()), (before, vec![]));
    }

    #[test]
    fn each_file_that_does_not_fit_costs_what_goes_for_it_and_not_a_walk() {
        let filled = Filled::with("each-file", 500);
        for n in 0..100 {
            filled.keep(&format!("later {n}"));
            assert!(filled.trash.make_room(1).unwrap());
        }
        let left = filled.left();
        assert!(left.len() <= 500 && left.last() == Some(&600), "{left:?}");
        let in_row: Vec<u64> = (left[0]..=600).collect();
        assert_eq!(left, in_row, "the oldest go");
        assert!(filled.looked_at() < 2000, "{} were looked at", filled.looked_at());
    }

    #[test]
    fn what_a_folder_held_is_followed_by_no_later_folder_of_that_name() {
        let filled = Filled::with("folders", 1);
        let id = Identity { ino: 1, btime: None };
        let folder =
            Look { kind: Kind::Folder, id, size: 0, mode: 0o755, uid: 0, gid: 0, mtime: NOW, nlink: 2 };
        filled.keep_as("project", Some(folder));
        filled.keep_as("project", Some(folder));
        assert!(filled.trash.make_room(1).unwrap());
        assert_eq!(filled.left(), [2, 3], "the oldest goes");
    }

    #[test]
    fn what_a_later_version_follows_goes_first_also_when_that_comes_while_room_is_made() {
        let filled = Filled::with("later-versions", 50);
        filled.keep("busy");
        filled.keep("busy");
        assert!(filled.trash.make_room(1).unwrap());
        assert!(!filled.left().contains(&51), "the first of two");
        for n in 53..60 {
            filled.keep("busy");
            assert!(filled.trash.make_room(1).unwrap());
            assert_eq!(filled.left(), (1..=50).chain([n]).collect::<Vec<_>>());
        }
        assert!(filled.trash.make_room(1).unwrap());
        assert_eq!(filled.left()[0], 2, "then the oldest");
    }
}
