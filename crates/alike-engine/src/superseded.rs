//! On a full disk the trash first gives up what a later version of the same path followed: else a file that is written to all
//! day would drive out all that was ever deleted.

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};

use alike_model::entry::Kind;
use alike_model::path::RelPath;

use crate::history::Deed;
use crate::trash::{Slot, Trash};

/// So many paths are told apart, newest first; and so many versions are found at once.
const PATHS: usize = 200_000;
const FOUND: usize = 10_000;

/// What may go, oldest first. Once the journals were read, what is kept meanwhile is added.
#[derive(Default)]
pub(crate) struct Superseded(Mutex<Option<Found>>);

#[derive(Default)]
struct Found {
    hasher: RandomState,
    versions: VecDeque<(String, u64)>,
    /// There were more than are remembered.
    are_more: bool,
    /// By path, where its newest version is kept: the bucket by its place in the list, and the number.
    newest: HashMap<u64, (usize, u64)>,
    buckets: Vec<String>,
}

impl Superseded {
    fn lock(&self) -> MutexGuard<'_, Option<Found>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Something was kept.
    pub(crate) fn note(&self, (path, kind): (&RelPath, Kind), slot: &Slot) {
        if let (Some(found), true) = (&mut *self.lock(), can_be_followed(kind)) {
            found.note(path, slot.bucket.name(), slot.n);
        }
    }

    /// No room is wanted any more.
    pub(crate) fn forget(&self) {
        *self.lock() = None;
    }
}

/// False for a folder: what it held may have had no later version.
fn can_be_followed(kind: Kind) -> bool {
    kind != Kind::Folder
}

impl Found {
    fn note(&mut self, path: &RelPath, bucket: &str, n: u64) {
        if self.buckets.last().is_none_or(|last| last != bucket) {
            self.buckets.push(bucket.to_owned());
        }
        let (hash, newest) = (self.hasher.hash_one(path.as_bytes()), (self.buckets.len() - 1, n));
        if self.newest.len() >= PATHS && !self.newest.contains_key(&hash) {
            return;
        }
        // Who has just read the journals has seen this one already.
        if let Some((bucket, n)) = self.newest.insert(hash, newest).filter(|before| *before != newest) {
            self.versions.push_back((self.buckets[bucket].clone(), n));
            self.keep_short();
        }
    }

    fn keep_short(&mut self) {
        if self.versions.len() > FOUND {
            self.versions.pop_back();
            self.are_more = true;
        }
    }
}

impl Trash {
    /// The oldest version that a later one of the same path followed, each once; it may be gone already. `None`: there is
    /// none.
    ///
    /// # Errors
    /// When the journals cannot be read; they are not read again soon.
    pub(crate) fn next_superseded(&self) -> io::Result<Option<(String, u64)>> {
        let mut found = self.superseded.lock();
        if found.as_ref().is_none_or(|found| found.versions.is_empty() && found.are_more) {
            *found = Some(Found::default());
            *found = Some(self.find_superseded()?);
        }
        Ok(found.as_mut().and_then(|found| found.versions.pop_front()))
    }

    /// Of each path that several are kept of, all but the newest.
    fn find_superseded(&self) -> io::Result<Found> {
        let mut found = Found { buckets: self.buckets()?, ..Found::default() };
        for at in (0..found.buckets.len()).rev() {
            let bucket = found.buckets[at].clone();
            let there = self.numbers_in(&bucket)?;
            let is_meant = |deed: &&Deed| deed.old.is_none_or(|old| can_be_followed(old.kind));
            for deed in
                self.deeds(&bucket)?.iter().rev().filter(|deed| there.contains(&deed.n)).filter(is_meant)
            {
                let path = found.hasher.hash_one(deed.path.as_bytes());
                if found.newest.contains_key(&path) {
                    found.versions.push_front((bucket.clone(), deed.n));
                    found.keep_short();
                } else if found.newest.len() < PATHS {
                    found.newest.insert(path, (at, deed.n));
                }
            }
        }
        Ok(found)
    }
}
