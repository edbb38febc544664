//! A difference between both sides, and which of them changed: what stamps, index and hash tell about that.

use std::fmt;

use crate::compare::Verdict;
use crate::entry::{Kind, Stamp};
use crate::known::{Digest, Known};
use crate::path::RelPath;
use crate::reason::{AttrsDiff, Reason};

/// A side of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Side {
    /// The source.
    Source,
    /// The replica.
    Replica,
    /// Both of them.
    Both,
    /// It cannot be told which.
    Unknown,
}

impl Side {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Replica => "replica",
            Self::Both => "both",
            Self::Unknown => "unknown",
        }
    }
}

/// How a difference came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Change {
    /// Somebody changed the replica.
    Drift,
    /// The source was changed, and the replica has not followed.
    Stale,
    /// Contents changed while nothing touched the inode: a disk, a cable or memory did it.
    Rot(Side),
    /// Both were changed, or nothing is known of it.
    Unclear(Side),
    /// It changed while it was looked at, each time.
    Moving,
    /// It could not be looked at.
    Failed,
}

impl Change {
    /// The word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Drift => "drift",
            Self::Stale => "stale",
            Self::Rot(_) => "rot",
            Self::Unclear(_) => "differs",
            Self::Moving => "changing",
            Self::Failed => "error",
        }
    }

    /// The side that changed.
    #[must_use]
    pub fn side(self) -> Side {
        match self {
            Self::Drift => Side::Replica,
            Self::Stale => Side::Source,
            Self::Rot(side) | Self::Unclear(side) => side,
            Self::Moving | Self::Failed => Side::Unknown,
        }
    }
}

/// What differs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// The replica lacks it.
    Missing(Kind),
    /// Only the replica has it.
    Extra(Kind),
    /// Both have it, and it is not the same: kind, size, contents, target, device number or attributes.
    Other(Reason),
    /// In the source it is one file with this name, on the replica it is not.
    Parted(RelPath),
    /// On the replica it is one file with this name, in the source it is not.
    Joined(RelPath),
    /// What the system said, and of which side.
    Said(String),
}

/// A difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Where.
    pub path: RelPath,
    /// What differs.
    pub what: What,
    /// Which side changed, and how.
    pub change: Change,
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(Kind::Folder) => f.write_str("missing on the replica, with all that is in it"),
            Self::Missing(_) => f.write_str("missing on the replica"),
            Self::Extra(Kind::Folder) => f.write_str("only on the replica, with all that is in it"),
            Self::Extra(_) => f.write_str("only on the replica"),
            Self::Other(Reason::Kind(replica, source)) => write!(f, "kind {replica}→{source}"),
            Self::Other(Reason::Content) => f.write_str("content"),
            Self::Other(reason) => reason.fmt(f),
            Self::Parted(path) => write!(f, "not one file with {path} on the replica"),
            Self::Joined(path) => write!(f, "one file with {path} on the replica only"),
            Self::Said(text) => f.write_str(text),
        }
    }
}

impl fmt::Display for Difference {
    /// What differs and who changed; values are the replica's, then the source's.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.what.fmt(f)?;
        f.write_str(match self.change {
            Change::Drift => "; the replica was changed",
            Change::Stale => "; the source was changed, the replica has not followed",
            Change::Rot(Side::Source) => "; rot in the source: its bytes changed, its stamp did not",
            Change::Rot(Side::Replica) => "; rot on the replica: its bytes changed, its stamp did not",
            Change::Rot(Side::Both) => "; rot on both sides: bytes changed, stamps did not",
            Change::Rot(Side::Unknown) => "; bytes changed, stamps did not; which side rotted cannot be told",
            Change::Unclear(Side::Both) => "; both sides were changed",
            Change::Unclear(_) => "; which side changed is not known",
            Change::Moving | Change::Failed => "",
        })
    }
}

/// Who made the contents of one file differ. `row`: the index has a row of its folder; `digests`: of both sides, source first.
///
/// A hash of the source that is still the index's means that only the replica can have changed, whatever the stamps.
#[must_use]
pub fn blame_contents(
    known: Option<&Known>,
    (source, replica): (&Stamp, &Stamp),
    digests: Option<(Digest, Digest)>,
) -> Change {
    let Some(known) = known else { return Change::Unclear(Side::Unknown) };
    let stays = (known.still_looks_like_source(source), known.holds_for_replica(replica));
    if let (Some(hash), Some((original, copy))) = (known.hash, digests) {
        match stays {
            (_, true) if original == hash => return Change::Rot(Side::Replica),
            (_, false) if original == hash => return Change::Drift,
            (true, true) if copy != hash => return Change::Rot(Side::Both),
            (true, _) => return Change::Rot(Side::Source),
            (false, _) => {}
        }
    }
    match stays {
        (true, true) if !known.source.racy => Change::Rot(Side::Unknown),
        _ => by_stamps(known, stays),
    }
}

/// Who made anything but contents differ.
#[must_use]
pub fn blame(known: Option<&Known>, row: bool, source: Option<&Stamp>, replica: Option<&Stamp>) -> Change {
    let Some(known) = known else {
        return match (source, replica) {
            _ if !row => Change::Unclear(Side::Unknown),
            (Some(_), None) => Change::Stale,
            (None, Some(_)) => Change::Drift,
            _ => Change::Unclear(Side::Unknown),
        };
    };
    let folders = [source, replica].iter().flatten().filter(|now| now.kind == Kind::Folder).count();
    let stays = match known.kind {
        // What happens inside a folder moves its stamps, so two of them tell little, ...
        Kind::Folder if folders == 2 => (source.is_some_and(|now| known.still_looks_like_source(now)), false),
        // ... but where only one is left, it is enough that it is the same.
        Kind::Folder => (
            source.is_some_and(|now| now.kind == known.kind && now.identity() == known.source.identity),
            replica.is_some_and(|now| now.kind == known.kind && now.ino == known.replica.ino),
        ),
        _ => (
            source.is_some_and(|now| known.still_looks_like_source(now)),
            replica.is_some_and(|now| known.holds_for_replica(now)),
        ),
    };
    match stays {
        // The index said that they were equal, under other rules perhaps.
        (true, true) if !known.source.racy => Change::Unclear(Side::Unknown),
        (false, false) if folders == 2 => Change::Unclear(Side::Unknown),
        stays => by_stamps(known, stays),
    }
}

/// `stays`: the source, and the replica, look as they did when they were equal.
fn by_stamps(known: &Known, stays: (bool, bool)) -> Change {
    match stays {
        // A change in the tick of the last look left the stamp as it was.
        (true, true) => Change::Stale,
        (true, false) if known.source.racy => Change::Unclear(Side::Unknown),
        (true, false) => Change::Drift,
        (false, true) => Change::Stale,
        (false, false) => Change::Unclear(Side::Both),
    }
}

/// What a verdict of a comparison by stamps comes to; `None` where it is no difference, or contents must be read.
#[must_use]
pub fn difference_of(verdict: &Verdict, source: Option<&Stamp>, replica: Option<&Stamp>) -> Option<What> {
    match (verdict, source, replica) {
        (Verdict::Missing, Some(source), _) => Some(What::Missing(source.kind)),
        (Verdict::Skip(Reason::NoDevices), Some(source), None) => Some(What::Missing(source.kind)),
        (Verdict::Gone, _, Some(replica)) => Some(What::Extra(replica.kind)),
        (Verdict::OtherKind, Some(source), Some(replica)) => {
            Some(What::Other(Reason::Kind(replica.kind, source.kind)))
        }
        (Verdict::Differs(reason), ..) => Some(What::Other(reason.clone())),
        (Verdict::Unreadable(why), ..) => Some(What::Said(why.0.clone())),
        _ => None,
    }
}

/// A difference of attributes, when there is one.
#[must_use]
pub fn attributes(diff: AttrsDiff) -> Option<What> {
    (!diff.is_empty()).then_some(What::Other(Reason::Attrs(Box::new(diff))))
}
