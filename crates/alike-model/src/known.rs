//! What the index knows of a folder: for each name, how both sides looked when they were last proven equal.

use serde::{Deserialize, Serialize};

use crate::entry::{Identity, Kind, Stamp, Time};
use crate::path::Name;
use crate::xattrs::Namespaces;

/// The number of a folder in the index. A moved folder keeps its number, so that a move touches two rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct FolderId(pub u64);

impl FolderId {
    /// The root of the pair.
    pub const ROOT: Self = Self(0);
}

/// The source inode as it looked when the replica was proven equal to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceSeen {
    /// Number and birth.
    pub identity: Identity,
    /// Length in bytes.
    pub size: u64,
    /// Modification time.
    pub mtime: Time,
    /// Change time.
    pub ctime: Time,
    /// The stamp was taken so soon after the last change that a further change may hide behind it: not to be trusted.
    pub racy: bool,
}

/// The replica inode as it looked just after it was proven equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReplicaSeen {
    /// Inode number.
    pub ino: u64,
    /// Change time: nothing can change an inode without changing it.
    pub ctime: Time,
}

/// The first 128 bits of the BLAKE3 hash of a file's contents: enough against rot, which is no adversary.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Digest(pub [u8; 16]);

/// One entry of a row. Rows absorb outcomes only: an entry stands here because both sides were seen equal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Known {
    /// What it was.
    pub kind: Kind,
    /// The source side.
    pub source: SourceSeen,
    /// The replica side.
    pub replica: ReplicaSeen,
    /// For a folder: its own row.
    pub folder: Option<FolderId>,
    /// Of a file that was read on both sides while it looked like this, long enough after its last change: the hash of its
    /// contents.
    pub hash: Option<Digest>,
    /// It is one of several names of a file, and the target could not make it one more of what the others are there.
    pub alone: bool,
}

impl Known {
    /// Puts down that both sides were seen equal, looking like this.
    #[must_use]
    pub fn equal(source: &Stamp, racy: bool, replica: &Stamp, folder: Option<FolderId>) -> Self {
        Self {
            kind: source.kind,
            source: SourceSeen {
                identity: source.identity(),
                size: source.size,
                mtime: source.mtime,
                ctime: source.ctime,
                racy,
            },
            replica: ReplicaSeen { ino: replica.ino, ctime: replica.ctime },
            folder,
            hash: None,
            alone: false,
        }
    }

    /// The same of a name that the target could not make one with the others of its file.
    #[must_use]
    pub fn standing_alone(self) -> Self {
        Self { alone: true, ..self }
    }

    /// The same, after both sides were read and had this hash.
    #[must_use]
    pub fn read_as(self, hash: Digest) -> Self {
        Self { source: SourceSeen { racy: false, ..self.source }, hash: Some(hash), ..self }
    }

    /// The same, but contents are compared at the next look.
    #[must_use]
    pub fn distrusted(self) -> Self {
        Self { source: SourceSeen { racy: true, ..self.source }, ..self }
    }

    /// The hash, as long as `later` tells of the same stamps; a hash belongs to the stamps under which it was taken.
    #[must_use]
    pub fn hash_under(&self, later: &Self) -> Option<Digest> {
        let source = SourceSeen { racy: later.source.racy, ..self.source };
        let same = self.kind == later.kind && source == later.source && self.replica == later.replica;
        self.hash.filter(|_| same)
    }

    /// True when nothing has changed the source inode since, as far as evidence goes.
    #[must_use]
    pub fn holds_for_source(&self, now: &Stamp) -> bool {
        !self.source.racy && self.still_looks_like_source(now)
    }

    /// As [`Known::holds_for_source`], but for the racy rule.
    #[must_use]
    pub fn still_looks_like_source(&self, now: &Stamp) -> bool {
        self.kind == now.kind
            && self.source.identity == now.identity()
            && self.source.size == now.size
            && self.source.mtime == now.mtime
            && self.source.ctime == now.ctime
    }

    /// True when nothing has changed the replica inode since.
    #[must_use]
    pub fn holds_for_replica(&self, now: &Stamp) -> bool {
        self.kind == now.kind && self.replica.ino == now.ino && self.replica.ctime == now.ctime
    }
}

/// What the index knows of one folder.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// Fingerprint of the filters that were in force when the row was written.
    pub filter: u64,
    /// The extended attributes that were compared when its entries were proven equal.
    pub xattrs: Namespaces,
    /// Entries, sorted by name.
    pub entries: Vec<(Name, Known)>,
}

impl Row {
    /// The entry of that name.
    #[must_use]
    pub fn get(&self, name: &Name) -> Option<&Known> {
        let at = self.entries.binary_search_by(|(have, _)| have.cmp(name)).ok()?;
        Some(&self.entries[at].1)
    }

    /// This row as evidence where `xattrs` are compared: proven under fewer of them, its entries prove nothing.
    #[must_use]
    pub fn for_xattrs(mut self, xattrs: Namespaces) -> Self {
        if !self.xattrs.cover(xattrs) {
            self.entries.iter_mut().for_each(|(_, known)| known.source.racy = true);
        }
        self.xattrs = xattrs;
        self
    }

    /// This row with some entries put in, replaced (`Some`) or taken out (`None`); of several edits of one name the
    /// last counts. What is proven equal anew under the same stamps keeps its hash.
    #[must_use]
    pub fn edited(self, edits: Vec<(Name, Option<Known>)>) -> Self {
        let mut entries: std::collections::BTreeMap<Name, Known> = self.entries.into_iter().collect();
        for (name, edit) in edits {
            match edit {
                Some(known) => {
                    let kept = entries.get(&name).and_then(|before| before.hash_under(&known));
                    entries.insert(name, Known { hash: known.hash.or(kept), ..known })
                }
                None => entries.remove(&name),
            };
        }
        Self { entries: entries.into_iter().collect(), ..self }
    }
}
