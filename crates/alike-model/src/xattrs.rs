//! Extended attributes, ACLs among them: which are copied, and how two sets differ.
//!
//! An ACL is kept by Linux as the attribute `system.posix_acl_access` or `system.posix_acl_default`, whose bytes are the same
//! on every filesystem, so it is copied as one.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::path::Escaped;

/// A class of attributes that a target holds or refuses as a whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Namespace {
    /// `user.*`.
    User,
    /// `trusted.*`: seen and set with `CAP_SYS_ADMIN` only.
    Trusted,
    /// `security.*`, but for the two that follow.
    Security,
    /// `security.capability`: what a program may do that its user may not.
    Capability,
    /// POSIX ACLs.
    Acl,
}

impl Namespace {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::User, Self::Trusted, Self::Security, Self::Capability, Self::Acl];

    /// The class of an attribute; `None` for those that are not copied: what belongs to one filesystem (`btrfs.*`,
    /// `system.*` but ACLs, and the names under which XFS shows the same ACLs once more) or to one inode (`security.evm`
    /// is a seal over the inode number).
    #[must_use]
    pub fn of(name: &[u8]) -> Option<Self> {
        match name {
            b"system.posix_acl_access" | b"system.posix_acl_default" => Some(Self::Acl),
            b"security.capability" => Some(Self::Capability),
            b"security.evm" | b"trusted.SGI_ACL_FILE" | b"trusted.SGI_ACL_DEFAULT" => None,
            _ if name.starts_with(b"user.") => Some(Self::User),
            _ if name.starts_with(b"trusted.") => Some(Self::Trusted),
            _ if name.starts_with(b"security.") => Some(Self::Security),
            _ => None,
        }
    }

    fn bit(self) -> u8 {
        match self {
            Self::User => 1,
            Self::Trusted => 2,
            Self::Security => 4,
            Self::Capability => 8,
            Self::Acl => 16,
        }
    }
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::User => "user attributes",
            Self::Trusted => "trusted attributes",
            Self::Security => "security attributes",
            Self::Capability => "file capabilities",
            Self::Acl => "ACLs",
        })
    }
}

/// Some of the namespaces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Namespaces(u8);

impl Namespaces {
    /// None of them.
    pub const NONE: Self = Self(0);
    /// All of them.
    pub const ALL: Self = Self(31);

    /// These and one more.
    #[must_use]
    pub fn with(self, one: Namespace) -> Self {
        Self(self.0 | one.bit())
    }

    /// Those that are in both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// True when it is one of them.
    #[must_use]
    pub fn has(self, one: Namespace) -> bool {
        self.0 & one.bit() != 0
    }

    /// True when an attribute of that name belongs to one of them.
    #[must_use]
    pub fn copy(self, name: &[u8]) -> bool {
        self.0 != 0 && Namespace::of(name).is_some_and(|one| self.has(one))
    }

    /// True when all of `other` are among them.
    #[must_use]
    pub fn cover(self, other: Self) -> bool {
        other.0 & !self.0 == 0
    }

    /// True when there is none.
    #[must_use]
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// The extended attributes of one inode, as far as they are copied, sorted by name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Xattrs(Vec<(Vec<u8>, Vec<u8>)>);

impl Xattrs {
    /// From names and values in any order.
    #[must_use]
    pub fn new(mut all: Vec<(Vec<u8>, Vec<u8>)>) -> Self {
        all.sort_unstable();
        Self(all)
    }

    /// Names and values, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.0.iter().map(|(name, value)| (name.as_slice(), value.as_slice()))
    }

    /// The value of that name.
    #[must_use]
    pub fn get(&self, name: &[u8]) -> Option<&[u8]> {
        let at = self.0.binary_search_by(|(have, _)| have.as_slice().cmp(name)).ok()?;
        Some(&self.0[at].1)
    }

    /// True when there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The names that `self`, the replica's, has not as `source` has them.
    #[must_use]
    pub fn differ_from(&self, source: &Self) -> XattrsDiff {
        let changed = source.iter().filter(|(name, value)| self.get(name) != Some(value));
        let extra = self.iter().filter(|(name, _)| source.get(name).is_none());
        let mut names: Vec<Vec<u8>> = changed.chain(extra).map(|(name, _)| name.to_vec()).collect();
        names.sort_unstable();
        XattrsDiff(names)
    }
}

/// The names of attributes that differ, sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct XattrsDiff(Vec<Vec<u8>>);

impl XattrsDiff {
    /// True when none does.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for XattrsDiff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const SHOWN: usize = 3;
        for (at, name) in self.0.iter().take(SHOWN).enumerate() {
            f.write_str(if at == 0 { "" } else { ", " })?;
            match name.as_slice() {
                b"system.posix_acl_access" => f.write_str("ACL")?,
                b"system.posix_acl_default" => f.write_str("default ACL")?,
                name => write!(f, "xattr {}", Escaped(name))?,
            }
        }
        match self.0.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}
