//! Why a step is taken, in words that stand in the log.

use std::fmt;

use crate::difference::Side;
use crate::entry::{Attrs, Kind, Time};
use crate::path::RelPath;
use crate::policy::Policy;
use crate::xattrs::XattrsDiff;

/// Why a step is taken, held or skipped. Shown in the plan and the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reason {
    /// The replica lacks it.
    New,
    /// The lengths differ: replica's, source's.
    Size(u64, u64),
    /// The contents differ, and the source's time says it was written.
    Mtime,
    /// The contents differ though length and time agree.
    Content,
    /// The replica holds another kind: replica's, source's.
    Kind(Kind, Kind),
    /// The contents differ though nothing touched them: rot, on this side.
    Rot(Side),
    /// The symlinks point elsewhere.
    Target,
    /// The device numbers differ.
    Device,
    /// Only attributes differ.
    Attrs(Box<AttrsDiff>),
    /// It is one inode with another name of the source.
    LinkTo(RelPath),
    /// It is one inode with something that it is not one with in the source.
    LinkedElsewhere,
    /// It may not have reached the disk when it was copied, whatever it looks like.
    Unsure,
    /// It stands under another name in the source now.
    Moved(RelPath),
    /// The source no longer has it.
    Gone,
    /// The source has another kind under this name.
    Displaced(Kind),
    /// A filter leaves it out, and excluded entries are to be deleted.
    Excluded,
    /// The replica's is newer, and only newer files are copied.
    ReplicaNewer,
    /// `--no-delete`.
    DeletesOff,
    /// The filters changed since, and what they left out before was never alike's to delete.
    FilterChanged,
    /// Entries below are kept, so their folder is.
    KeptBelow,
    /// The source has no such folder, and on the replica something is mounted on it: what is there is not alike's.
    MountedHere,
    /// The source has no such folder, and on the replica it is, or was, another source's.
    OtherReplica,
    /// The pass would delete more than its limit.
    OverLimit,
    /// Pipes, sockets and devices are not copied.
    SpecialsOff,
    /// The target cannot hold device nodes.
    NoDevices,
    /// It never rests: what could be read of it is copied, for that reason, but nothing proves that it is one version.
    StillWritten(Box<Self>),
    /// Somebody changed the replica: the source is as it was when both were equal.
    Drift(Box<Self>),
}

impl Reason {
    /// True when what is done for this reason proves nothing about contents.
    #[must_use]
    pub fn is_best_effort(&self) -> bool {
        matches!(self, Self::StillWritten(_))
    }

    /// The same, without a word on who changed what.
    #[must_use]
    pub fn plain(&self) -> &Self {
        if let Self::Drift(reason) = self { reason.plain() } else { self }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::New => f.write_str("new"),
            Self::Size(old, new) => write!(f, "size {old}→{new}"),
            Self::Mtime => f.write_str("content, mtime"),
            Self::Content => f.write_str("content (same size and mtime)"),
            Self::Rot(Side::Replica) => f.write_str("content (rot on the replica: its stamp did not change)"),
            Self::Rot(Side::Source | Side::Both) => f.write_str(
                "rot in the source: its bytes changed, its stamp did not; restore it, or touch it if it is right",
            ),
            Self::Rot(Side::Unknown) => f.write_str(
                "bytes changed, stamps did not, on which side is not known; restore the bad one, or touch the source's if \
                 that is right",
            ),
            Self::Kind(old, new) => write!(f, "kind {old}→{new}"),
            Self::Displaced(new) => write!(f, "gone, now a {new}"),
            Self::Target => f.write_str("target"),
            Self::Device => f.write_str("device number"),
            Self::Attrs(diff) => diff.fmt(f),
            Self::LinkTo(path) => write!(f, "hard link to {path}"),
            Self::LinkedElsewhere => f.write_str("was a hard link to something else"),
            Self::Unsure => f.write_str("may not have reached the disk; copied again"),
            Self::Moved(from) => write!(f, "moved from {from}"),
            Self::Gone => f.write_str("gone from the source"),
            Self::Excluded => f.write_str("excluded"),
            Self::ReplicaNewer => f.write_str("the replica's is newer"),
            Self::DeletesOff => f.write_str("gone from the source; kept by --no-delete"),
            Self::FilterChanged => {
                f.write_str("was excluded before the filters changed; --allow-deletes lets it go")
            }
            Self::KeptBelow => f.write_str("gone from the source; kept for what is below"),
            Self::MountedHere => {
                f.write_str("something is mounted here on the replica; unmount it, or exclude it")
            }
            Self::OtherReplica => f.write_str(
                "it is the replica of another source; move it away, exclude it, or delete it yourself",
            ),
            Self::OverLimit => f.write_str("more deletions than --max-delete allows"),
            Self::SpecialsOff => f.write_str("special file; left out by --no-special"),
            Self::NoDevices => f.write_str("device node; making one needs root, --no-special leaves it out"),
            Self::Drift(reason) if **reason == Self::New => f.write_str("lost on the replica"),
            Self::Drift(reason) => write!(f, "{reason}; the replica was changed"),
            Self::StillWritten(why) => {
                write!(f, "{why}; still being written: best effort, not a proven version")
            }
        }
    }
}

/// The mode of a file whose owner is not copied: a program that runs as its owner shall not run as somebody else.
#[must_use]
pub fn set_id_for(mode: u32, owner: (u32, u32), in_source: (u32, u32)) -> u32 {
    let user = if owner.0 == in_source.0 { 0 } else { 0o4000 };
    let group = if owner.1 == in_source.1 { 0 } else { 0o2000 };
    mode & !(user | group)
}

/// Which attributes differ, the replica's and the source's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AttrsDiff {
    /// Permission bits.
    pub mode: Option<(u32, u32)>,
    /// Owner and group.
    pub owner: Option<((u32, u32), (u32, u32))>,
    /// Modification time.
    pub mtime: Option<(Time, Time)>,
    /// Extended attributes and ACLs.
    pub xattrs: XattrsDiff,
}

impl AttrsDiff {
    /// Compares what stamps tell and can be kept of `kind` (a symlink has no mode); owners only where they are copied.
    #[must_use]
    pub fn between(replica: &Attrs, source: &Attrs, kind: Kind, policy: &Policy) -> Self {
        let whose = |attrs: &Attrs| (attrs.uid, attrs.gid);
        let mode = match kind {
            Kind::Folder => source.mode,
            _ if policy.owner => source.mode,
            _ => set_id_for(source.mode, whose(replica), whose(source)),
        };
        let owners = ((replica.uid, replica.gid), (source.uid, source.gid));
        Self {
            mode: (policy.modes && kind != Kind::Symlink && replica.mode != mode)
                .then_some((replica.mode, mode)),
            owner: (policy.owner && owners.0 != owners.1).then_some(owners),
            mtime: (replica.mtime != policy.times.fit(source.mtime)).then_some((replica.mtime, source.mtime)),
            xattrs: XattrsDiff::default(),
        }
    }

    /// True when nothing differs.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.mode.is_none() && self.owner.is_none() && self.mtime.is_none() && self.xattrs.is_empty()
    }
}

impl fmt::Display for AttrsDiff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut between = "";
        if let Some((old, new)) = self.mode {
            write!(f, "mode {old:o}→{new:o}")?;
            between = ", ";
        }
        if let Some((old, new)) = self.owner {
            write!(f, "{between}owner {}:{}→{}:{}", old.0, old.1, new.0, new.1)?;
            between = ", ";
        }
        if self.mtime.is_some() {
            write!(f, "{between}mtime")?;
            between = ", ";
        }
        if !self.xattrs.is_empty() {
            write!(f, "{between}{}", self.xattrs)?;
        }
        Ok(())
    }
}
