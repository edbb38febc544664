//! On a full disk the trash first gives up what a later version of the same path followed: else a file that is written to all
//! day would drive out all that was ever deleted.

use std::collections::{HashSet, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::sync::{Mutex, PoisonError};

use alike_storage::{Folder, remove_tree};

use crate::trash::{Trash, number};

/// So many paths are told apart, newest first; and so many versions are found at once.
const PATHS: usize = 200_000;
const FOUND: usize = 10_000;
/// The journals are read again after so many more deeds.
const NEWS: u64 = 32;

/// What may go, oldest first, and when that was found out.
#[derive(Default)]
pub(crate) struct Superseded(Mutex<Found>);

#[derive(Default)]
struct Found {
    versions: VecDeque<(String, u64)>,
    as_of: Option<(String, u64)>,
}

impl Trash {
    /// Drops the oldest version that a later one of the same path followed, and tells which it was; `None`: there is none.
    ///
    /// # Errors
    /// When the journals cannot be read, or it cannot be removed.
    pub(crate) fn drop_superseded(&self) -> io::Result<Option<(String, u64)>> {
        let mut found = self.superseded.0.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            let Some((bucket, n)) = found.versions.pop_front() else {
                let now = self.filled_to();
                let is_news = match (&found.as_of, &now) {
                    (Some((then, before)), Some((bucket, n))) => then != bucket || *n >= before + NEWS,
                    _ => found.as_of.is_none(),
                };
                if !is_news {
                    return Ok(None);
                }
                *found = Found { versions: self.find_superseded()?, as_of: now.or(Some((String::new(), 0))) };
                if found.versions.is_empty() {
                    return Ok(None);
                }
                continue;
            };
            let removed =
                Folder::open(&self.path().join(&bucket)).and_then(|folder| remove_tree(&folder, &number(n)?));
            match removed {
                Ok(()) => return Ok(Some((bucket, n))),
                // It is gone already.
                Err(why) if why.kind() == io::ErrorKind::NotFound => {}
                Err(why) => return Err(why),
            }
        }
    }

    /// Of each path that several are kept of, all but the newest.
    fn find_superseded(&self) -> io::Result<VecDeque<(String, u64)>> {
        let (hasher, mut seen, mut found) = (RandomState::new(), HashSet::new(), VecDeque::new());
        for bucket in self.buckets()?.into_iter().rev() {
            let there = self.numbers_in(&bucket)?;
            for deed in self.deeds(&bucket)?.iter().rev().filter(|deed| there.contains(&deed.n)) {
                let path = hasher.hash_one(deed.path.as_bytes());
                if seen.contains(&path) {
                    found.push_front((bucket.clone(), deed.n));
                    found.truncate(FOUND);
                } else if seen.len() < PATHS {
                    seen.insert(path);
                }
            }
        }
        Ok(found)
    }
}
