//! Hashes that a check learnt, on their way into the index.
//!
//! Whoever checks may do so beside a mirror, which has the index. So what is learnt is laid beside the index, and the next
//! full pass takes it in. Lost on the way, it is learnt again.

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::Path;

use alike_model::entry::Time;
use alike_model::known::{Digest, FolderId, Known};
use alike_model::path::Name;
use serde::{Deserialize, Serialize};

use crate::index::Index;

const FILE: &str = "learnt";

/// Hashes by folder.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Learnt(HashMap<FolderId, Vec<Hashed>>);

#[derive(Debug, Serialize, Deserialize)]
struct Hashed {
    name: Name,
    hash: Digest,
    /// The change times under which it was taken, the source's and the replica's.
    ctimes: (Time, Time),
}

impl Learnt {
    /// Learns the hash of what looked on both sides like `known`.
    pub(crate) fn learn(&mut self, folder: FolderId, name: &Name, known: &Known, hash: Digest) {
        let ctimes = (known.source.ctime, known.replica.ctime);
        self.0.entry(folder).or_default().push(Hashed { name: name.clone(), hash, ctimes });
    }

    /// True when nothing was learnt.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Puts it into rows that still tell of the same stamps.
    pub(crate) fn put_into(self, index: &Index) {
        for (folder, hashed) in self.0 {
            let Some(row) = index.row(folder) else { continue };
            let edits: Vec<_> = hashed
                .into_iter()
                .filter_map(|Hashed { name, hash, ctimes }| {
                    let known = row.get(&name)?;
                    let same = (known.source.ctime, known.replica.ctime) == ctimes;
                    (same && known.hash != Some(hash)).then(|| (name, Some(known.read_as(hash))))
                })
                .collect();
            if !edits.is_empty() {
                index.edit(folder, |row| row.edited(edits));
            }
        }
    }

    /// What lies beside the index in `folder`; nothing when that cannot be read.
    pub(crate) fn read(folder: &Path) -> Self {
        let bytes = fs::read(folder.join(FILE)).unwrap_or_default();
        postcard::from_bytes(&bytes).unwrap_or_default()
    }

    /// Takes away what lies beside the index in `folder`.
    pub(crate) fn take(folder: &Path) -> Self {
        let learnt = Self::read(folder);
        // What stays is taken in twice, which changes nothing.
        let _ = fs::remove_file(folder.join(FILE));
        learnt
    }

    /// Lays it beside the index in `folder`, with what lies there.
    pub(crate) fn lay(self, folder: &Path) -> io::Result<()> {
        let mut all = Self::read(folder);
        for (id, hashed) in self.0 {
            all.0.entry(id).or_default().extend(hashed);
        }
        let beside = folder.join("learnt.new");
        fs::write(&beside, postcard::to_allocvec(&all).map_err(io::Error::other)?)?;
        fs::rename(beside, folder.join(FILE))
    }
}
