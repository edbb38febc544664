//! What became of a pass, counted.

use std::collections::BTreeSet;

use crate::dirty::Dirty;
use crate::event::Action;
use crate::failures::Failures;
use crate::guard::OverLimit;
use crate::path::{Name, RelPath};

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

/// Paths that were held back or skipped. Nobody announces when that is over, so it counts until they are looked at again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Withheld {
    named: BTreeSet<RelPath>,
    /// How many more there are; only a look at everything ends these.
    others: u64,
}

impl Withheld {
    /// More than this are only counted.
    pub const MOST_NAMED: usize = 10_000;

    /// Adds one.
    pub fn note(&mut self, path: RelPath) {
        if self.named.len() < Self::MOST_NAMED {
            self.named.insert(path);
        } else if !self.named.contains(&path) {
            self.others += 1;
        }
    }

    /// Adds all of another's.
    pub fn absorb(&mut self, other: Self) {
        other.named.into_iter().for_each(|path| self.note(path));
        self.others += other.others;
    }

    /// Takes out what was looked at.
    pub fn leave_to(&mut self, looked: &Dirty) {
        self.named.retain(|path| {
            let at = path.split();
            !at.map_or(looked.is_everything(), |(folder, name)| looked.has(&folder, &name))
        });
    }

    /// True when one lies below what is dirty, or below a folder whose rules are: these may be one name of a folder.
    #[must_use]
    pub fn is_touched_by(&self, dirty: &Dirty, rules: &[Name]) -> bool {
        let are_rules_dirty = |folder: &RelPath| rules.iter().any(|rule| dirty.has(folder, rule));
        self.named.iter().any(|path| {
            dirty.is_at_or_above(path)
                || std::iter::successors(path.split(), |(folder, _)| folder.split())
                    .any(|(folder, _)| are_rules_dirty(&folder))
        })
    }

    /// True when there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.count() == 0
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.named.len() as u64 + self.others
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
    /// What failed, and why.
    pub failures: Failures,
    /// What failed: to be looked at again.
    pub unsettled: Dirty,
    /// What kept changing: to be looked at again, but not as often as it changes.
    pub restless: Dirty,
    /// What was just made and is still being written: its close will be heard.
    pub unclosed: Dirty,
    /// What was held back or skipped.
    pub withheld: Withheld,
    /// Something was done with a file that has more than one name: what happened under one is true of the others too, and
    /// nobody announces that.
    pub linked: bool,
    /// What came from an old name that is not known yet: to be looked at with what is heard next.
    pub awaited: Dirty,
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn path(text: &str) -> RelPath {
        RelPath::parse(text.as_bytes()).unwrap()
    }

    fn dirt(text: &str) -> Dirty {
        let (folder, name) = path(text).split().unwrap();
        let mut dirty = Dirty::new();
        dirty.mark_name(folder, name);
        dirty
    }

    #[test]
    fn what_was_withheld_counts_until_that_very_path_is_looked_at() {
        let mut withheld = Withheld::default();
        ["a/dist", "b", "b"].iter().for_each(|text| withheld.note(path(text)));
        for elsewhere in ["x", "a", "a/x"] {
            withheld.leave_to(&dirt(elsewhere));
            assert_eq!(withheld.count(), 2, "{elsewhere}");
        }
        withheld.leave_to(&dirt("a/dist"));
        assert_eq!(withheld.count(), 1);
        withheld.leave_to(&Dirty::everything());
        assert!(withheld.is_empty());
    }

    #[test]
    fn what_is_above_or_rules_it_touches_what_was_withheld() {
        let mut withheld = Withheld::default();
        withheld.note(path("a/b/dist"));
        let rules = [Name::new(b".gitignore").unwrap()];
        let touches = |text: &str| withheld.is_touched_by(&dirt(text), &rules);
        assert!(["a", "a/b", "a/b/dist", ".gitignore", "a/b/.gitignore"].iter().all(|text| touches(text)));
        assert!(!["x", "a/x", "x/.gitignore", "a/b/dist/y"].iter().any(|text| touches(text)));
    }

    #[test]
    fn withheld_paths_too_many_to_be_named_are_counted_still() {
        let mut withheld = Withheld::default();
        let most = Withheld::MOST_NAMED as u64;
        (0..most + 5).for_each(|number| withheld.note(path(&number.to_string())));
        assert_eq!(withheld.count(), most + 5);
        withheld.leave_to(&dirt("7"));
        assert_eq!(withheld.count(), most + 4);
    }
}
