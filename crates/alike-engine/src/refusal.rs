//! What alike refuses to start on, and what to do then.

use std::io;
use std::path::PathBuf;

use alike_storage::plain;

use crate::index::IndexError;

/// A refusal. Nothing was changed when it is returned.
#[derive(Debug, thiserror::Error)]
#[allow(missing_docs, reason = "the message of each says it")]
pub enum Refusal {
    #[error("source and replica are the same folder, {}; name two different ones", .0.display())]
    Same(PathBuf),
    #[error("the replica {} lies inside the source; exclude it (--exclude /{}) or choose another place", path.display(), exclude.display())]
    ReplicaInside { path: PathBuf, exclude: PathBuf },
    #[error("the source {} lies inside the replica; exclude it (--exclude /{}) or choose another place", path.display(), exclude.display())]
    SourceInside { path: PathBuf, exclude: PathBuf },
    #[error("the source {} does not exist; check the path, or mount its drive", .0.display())]
    SourceMissing(PathBuf),
    #[error("the source {} is not a folder; name the folder that holds it", .0.display())]
    SourceNoFolder(PathBuf),
    #[error("the source {} cannot be read: {}", .0.display(), plain(.1))]
    SourceUnreadable(PathBuf, io::Error),
    #[error("the source {} is empty, but the replica is not: is its drive mounted? If it is meant to be empty, run once with --allow-deletes (a job of alike up: alike pass JOB --allow-deletes)", .0.display())]
    SourceEmptied(PathBuf),
    #[error("the source {is} is on another filesystem than last time: is its drive mounted? If this is right, remove {}/.alike/pair.json", replica.display())]
    SourceElsewhere { is: String, replica: PathBuf },
    #[error("the replica {} does not exist; \"alike once\" makes it", .0.display())]
    ReplicaMissing(PathBuf),
    #[error("the replica {} is not a folder; move it away or choose another place", .0.display())]
    ReplicaNoFolder(PathBuf),
    #[error("the replica {} cannot be used: {}", .0.display(), plain(.1))]
    ReplicaUnusable(PathBuf, io::Error),
    #[error("the replica {} is on another filesystem than last time: mount its drive. If it moved for good, remove {}", replica.display(), state.display())]
    ReplicaElsewhere { replica: PathBuf, state: PathBuf },
    #[error("the replica {} would lie on the disk below {}, where a drive belongs (by /etc/fstab, or as desktops mount those of users) and none is mounted: mount it. If there is to be none, choose another place or take its line out of /etc/fstab", replica.display(), point.display())]
    DriveAway { replica: PathBuf, point: PathBuf },
    #[error("the replica {} belongs to another source, {of}; choose another place, or remove {}/.alike/pair.json to give it to this one", replica.display(), replica.display())]
    OtherSource { replica: PathBuf, of: String },
    #[error("the replica {} is named twice, perhaps by two paths; name it once", .0.display())]
    SameReplica(PathBuf),
    #[error("the replica {} lies inside the replica {}; choose another place for one of them", path.display(), of.display())]
    ReplicaInReplica { path: PathBuf, of: PathBuf },
    #[error("the replica {} is in use by another alike; stop that one first", .0.display())]
    InUse(PathBuf),
    #[error("the replica {} is held: {why}. Until you say so, no pass is made, for it would do that again: alike undo {} --resume lets the mirror go on", replica.display(), replica.display())]
    Held { replica: PathBuf, why: String },
    #[error("the replica {} is in use by {who}, which did not let go of it; stop that one first", replica.display())]
    NotLetGo { replica: PathBuf, who: String },
    #[error("{} is no replica of alike: it has no .alike folder", .0.display())]
    NoReplica(PathBuf),
    #[error("{} is damaged; remove it, and the pair is compared afresh", .0.display())]
    MarkerDamaged(PathBuf),
    #[error("{} cannot be read: {}", .0.display(), plain(.1))]
    MarkerUnreadable(PathBuf, io::Error),
    #[error("the state folder {} cannot be used: {}; choose another with --state-dir", .0.display(), plain(.1))]
    StateUnusable(PathBuf, io::Error),
    #[error("the system has no more descriptors: {}", plain(.0))]
    NoDescriptor(io::Error),
    #[error("--watcher fanotify cannot be had: {0}. --watcher auto takes what there is")]
    NoFanotify(String),
    #[error("a top folder: {0}")]
    Look(alike_storage::Error),
    #[error(transparent)]
    Index(#[from] IndexError),
}

impl Refusal {
    /// What is said of a marker, said of this path.
    pub(crate) fn about(self, path: &std::path::Path) -> Self {
        match self {
            Self::MarkerDamaged(_) => Self::MarkerDamaged(path.to_owned()),
            Self::MarkerUnreadable(_, why) => Self::MarkerUnreadable(path.to_owned(), why),
            other => other,
        }
    }

    /// True when the command itself is wrong, whatever the state of the world.
    #[must_use]
    pub fn is_usage(&self) -> bool {
        matches!(
            self,
            Self::Same(_)
                | Self::ReplicaInside { .. }
                | Self::SourceInside { .. }
                | Self::SameReplica(_)
                | Self::ReplicaInReplica { .. }
                | Self::NoReplica(_)
                | Self::NoFanotify(_)
        )
    }

    /// True when something just could not be used: no danger was seen, so it is a failure rather than a halt.
    #[must_use]
    pub fn is_failure(&self) -> bool {
        matches!(
            self,
            Self::ReplicaUnusable(..)
                | Self::ReplicaMissing(_)
                | Self::StateUnusable(..)
                | Self::SourceUnreadable(..)
                | Self::MarkerUnreadable(..)
                | Self::NoDescriptor(_)
                | Self::Index(_)
        )
    }
}
