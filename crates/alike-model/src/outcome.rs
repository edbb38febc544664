//! What became of a pass, counted.

use crate::dirty::Dirty;
use crate::event::Action;
use crate::guard::OverLimit;

/// Counts of one pass.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Entries of the source that were looked at, folders included.
    pub entries: u64,
    /// Of these, the ones that are no folders.
    pub files: u64,
    /// Entries of the replica that were looked at, folders included.
    pub replica_entries: u64,
    /// Bytes copied.
    pub bytes: u64,
    /// Entries created.
    pub created: u64,
    /// Hard links made.
    pub linked: u64,
    /// Entries replaced.
    pub updated: u64,
    /// Entries whose attributes were set.
    pub meta: u64,
    /// Entries renamed.
    pub renamed: u64,
    /// Entries deleted that are no folders.
    pub deleted: u64,
    /// Folders deleted.
    pub folders_deleted: u64,
    /// Folders made.
    pub folders: u64,
    /// Paths that failed.
    pub failed: u64,
    /// Paths held back.
    pub held: u64,
    /// Paths skipped.
    pub skipped: u64,
    /// Files copied while they were being written: best effort, not a proven version. Each counts as created or updated too.
    pub in_motion: u64,
}

impl Tally {
    /// Counts one action.
    pub fn count(&mut self, action: Action, bytes: u64) {
        self.bytes += bytes;
        match action {
            Action::Create => self.created += 1,
            Action::Link => self.linked += 1,
            Action::Update => self.updated += 1,
            Action::Meta => self.meta += 1,
            Action::Rename => self.renamed += 1,
            Action::Delete => self.deleted += 1,
            Action::Rmdir => self.folders_deleted += 1,
            Action::Mkdir => self.folders += 1,
            Action::Hold => self.held += 1,
            Action::Skip => self.skipped += 1,
            Action::Error => self.failed += 1,
            Action::PassStart | Action::PassEnd | Action::Halt | Action::Watch | Action::Stop => {}
        }
    }

    /// Number of actions that changed the replica.
    #[must_use]
    pub fn changes(&self) -> u64 {
        self.created
            + self.linked
            + self.updated
            + self.meta
            + self.renamed
            + self.deleted
            + self.folders
            + self.folders_deleted
    }

    /// True when no path failed, was held back, skipped or copied as best effort.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.failed == 0 && self.held == 0 && self.skipped == 0 && self.in_motion == 0
    }
}

/// How a pass ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// The replica is identical.
    Identical,
    /// It finished, but some path failed, was held back or differs.
    Differs,
    /// It finished its copies and deleted nothing, for safety.
    Halted(OverLimit),
    /// It was asked to stop half-way.
    Stopped,
}

/// What became of a pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// Its number.
    pub pass: u64,
    /// What it did.
    pub tally: Tally,
    /// How it ended.
    pub ending: Ending,
    /// What failed: to be looked at again.
    pub unsettled: Dirty,
    /// What kept changing: to be looked at again, but not as often as it changes.
    pub restless: Dirty,
    /// Something was done with a file that has more than one name: what happened under one is true of the others too, and
    /// nobody announces that.
    pub linked: bool,
    /// What came from an old name that is not known yet: to be looked at with what is heard next.
    pub awaited: Dirty,
}
