//! What the user asked for: the choices that deciding code looks at.

use std::str::FromStr;

use crate::holds::{Holds, Times};
use crate::xattrs::Namespaces;

/// How two files are told equal.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compare {
    /// Kind, size, mtime to the nanosecond, ctime and identity; contents where these leave a doubt.
    #[default]
    Auto,
    /// The contents, by hash, every time.
    Content(Hash),
    /// Copy only what is newer in the source (and what the replica lacks).
    Newer,
}

/// The hash that `--compare content` uses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hash {
    /// BLAKE3, 256 bits.
    #[default]
    Blake3,
    /// XXH3, 128 bits: fast, and no protection against someone who wants two files to look equal.
    Xxh3,
    /// SHA-256.
    Sha256,
}

/// How much one pass may delete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MaxDelete {
    /// A share of what the replica holds, in percent; fewer than [`MaxDelete::ALWAYS_FINE`] entries are always fine.
    Percent(u8),
    /// A number of entries.
    Entries(u64),
}

impl MaxDelete {
    /// Below this number of entries a percentage is not looked at.
    pub const ALWAYS_FINE: u64 = 10;
}

impl Default for MaxDelete {
    fn default() -> Self {
        Self::Percent(50)
    }
}

impl FromStr for MaxDelete {
    type Err = BadMaxDelete;

    fn from_str(text: &str) -> Result<Self, BadMaxDelete> {
        let bad = || BadMaxDelete(text.to_owned());
        match text.strip_suffix('%') {
            Some(share) => match share.trim().parse() {
                Ok(percent @ 0..=100) => Ok(Self::Percent(percent)),
                _ => Err(bad()),
            },
            None => text.trim().parse().map(Self::Entries).map_err(|_| bad()),
        }
    }
}

impl std::fmt::Display for MaxDelete {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Percent(percent) => write!(f, "{percent}%"),
            Self::Entries(count) => count.fmt(f),
        }
    }
}

/// A value of `--max-delete` that is neither.
#[derive(Debug, thiserror::Error)]
#[error("\"{0}\" is neither a share such as 50% (0% to 100%) nor a number of entries such as 1000")]
pub struct BadMaxDelete(String);

/// What may be deleted on the replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deletes {
    /// What the source no longer has, within this limit.
    Within(MaxDelete),
    /// What the source no longer has, however much (`--allow-deletes`).
    Allowed,
    /// Nothing (`--no-delete`).
    Never,
}

impl Deletes {
    /// For one pass, where a person asked for more (`allows`): however much, unless nothing is ever to be deleted.
    #[must_use]
    pub fn for_once(self, allows: bool) -> Self {
        if allows && self != Self::Never { Self::Allowed } else { self }
    }
}

impl Default for Deletes {
    fn default() -> Self {
        Self::Within(MaxDelete::default())
    }
}

/// The choices of one pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// How files are told equal.
    pub compare: Compare,
    /// What may be deleted.
    pub deletes: Deletes,
    /// Delete on the replica what the filters leave out.
    pub delete_excluded: bool,
    /// Owner and group are copied.
    pub owner: bool,
    /// Permission bits are copied.
    pub modes: bool,
    /// Extended attributes and ACLs that are copied.
    pub xattrs: Namespaces,
    /// Pipes, sockets and device nodes are copied.
    pub special: bool,
    /// Device nodes can be made.
    pub devices: bool,
    /// The modification times that the replica can hold.
    pub times: Times,
    /// Stay on the filesystem of the source's root.
    pub one_filesystem: bool,
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            compare: Compare::default(),
            deletes: Deletes::default(),
            delete_excluded: false,
            owner: true,
            modes: true,
            xattrs: Namespaces::ALL,
            special: true,
            devices: true,
            times: Times::default(),
            one_filesystem: false,
        }
    }
}

impl Policy {
    /// As far as the target can hold it: what cannot be set is neither compared nor tried.
    #[must_use]
    pub fn within(self, holds: &Holds) -> Self {
        Self {
            owner: self.owner && holds.owner,
            modes: holds.modes,
            xattrs: self.xattrs.and(holds.xattrs),
            devices: holds.devices,
            times: holds.times,
            ..self
        }
    }
}
