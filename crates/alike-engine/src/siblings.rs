//! The names that files with several have in the source, as full passes saw them: so that a mirror, when it hears of one
//! name, can look at the others too.
//!
//! Only a hint. A name that is missing here, or stands here and is no longer true, costs a look, or a full pass a little
//! later; nothing is believed because of it.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Mutex, PoisonError};

use alike_model::entry::Stamp;
use alike_model::path::RelPath;

/// More names are not kept: some 10 MB.
const MOST: usize = 100_000;

/// Names by device and inode number.
#[derive(Debug, Default)]
pub struct Siblings(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    names: HashMap<(u64, u64), BTreeSet<RelPath>>,
    count: usize,
}

impl Siblings {
    /// Forgets all, before a full pass sees them anew.
    pub(crate) fn forget(&self) {
        *self.lock() = Known::default();
    }

    /// Notes a name.
    pub(crate) fn note(&self, source: &Stamp, path: RelPath) {
        let mut known = self.lock();
        if known.count < MOST && known.names.entry((source.dev, source.ino)).or_default().insert(path) {
            known.count += 1;
        }
    }

    /// The names of an inode.
    pub(crate) fn of(&self, source: &Stamp) -> Vec<RelPath> {
        self.lock().names.get(&(source.dev, source.ino)).into_iter().flatten().cloned().collect()
    }

    /// The names of the inode that had this one.
    pub(crate) fn beside(&self, path: &RelPath) -> Vec<RelPath> {
        let known = self.lock();
        let groups = known.names.values().filter(|names| names.contains(path));
        groups.flatten().cloned().collect()
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
