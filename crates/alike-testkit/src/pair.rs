//! A source, a place for its replica, and the binary to run on them: what nearly every test starts from.

use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::{Alike, Leave, Live, Run, Snapshot, Tree, compare, compare_but};

/// A source folder (made, empty) and a replica path (not made) in one temporary folder.
#[derive(Debug)]
pub struct Pair {
    /// The folder to mirror.
    pub source: Tree,
    /// Where the replica will be; its parent exists, it does not.
    pub replica: Tree,
    /// The program, with its own state folder.
    pub alike: Alike,
    room: TempDir,
}

impl Pair {
    /// A fresh pair for this binary.
    pub fn new(binary: impl Into<PathBuf>) -> Self {
        let room = TempDir::with_prefix("alike-pair-").expect("make a room");
        Self {
            source: Tree::make(room.path().join("source")),
            replica: Tree::at(room.path().join("replica")),
            alike: Alike::new(binary),
            room,
        }
    }

    /// A path beside source and replica.
    pub fn beside(&self, name: impl AsRef<Path>) -> PathBuf {
        self.room.path().join(name)
    }

    /// Hands all of the pair to another user and runs alike as that user (needs root).
    pub fn hand_to(&mut self, user: u32) {
        crate::give_tree_to(self.room.path(), user).expect("hand over the pair");
        self.alike.run_as(user);
    }

    /// `alike once`.
    #[track_caller]
    pub fn once(&self) -> Run {
        self.once_with(&[])
    }

    /// `alike once` with flags.
    #[track_caller]
    pub fn once_with(&self, flags: &[&str]) -> Run {
        self.alike.once(flags, self.source.top(), self.replica.top())
    }

    /// `alike once`, which must succeed and leave the replica identical.
    #[track_caller]
    pub fn mirrored(&self) -> Run {
        self.mirrored_with(&[])
    }

    /// `alike once` with flags, which must succeed and leave the replica identical.
    #[track_caller]
    pub fn mirrored_with(&self, flags: &[&str]) -> Run {
        let run = self.once_with(flags);
        run.expect(0);
        self.assert_identical(&run.report());
        run
    }

    /// `alike once`, which must succeed and leave the replica identical in all but these classes.
    #[track_caller]
    pub fn mirrored_but(&self, leave: &[Leave]) -> Run {
        let run = self.once();
        run.expect(0);
        self.assert_identical_but(leave, &run.report());
        run
    }

    /// `alike plan` with flags.
    #[track_caller]
    pub fn plan_with(&self, flags: &[&str]) -> Run {
        self.alike.plan(flags, self.source.top(), self.replica.top())
    }

    /// `alike check` with flags.
    #[track_caller]
    pub fn check_with(&self, flags: &[&str]) -> Run {
        self.alike.check(flags, self.source.top(), self.replica.top())
    }

    /// Starts `alike mirror` with flags.
    #[track_caller]
    pub fn mirror_with(&self, flags: &[&str]) -> Live {
        self.alike.mirror(flags, self.source.top(), self.replica.top())
    }

    /// How the replica differs from the source.
    pub fn differences(&self) -> Vec<String> {
        compare(self.source.top(), self.replica.top())
    }

    /// Panics with the differences (and `context`) unless the replica is identical.
    #[track_caller]
    pub fn assert_identical(&self, context: &str) {
        self.assert_identical_but(&[], context);
    }

    /// Panics with the differences (and `context`) unless the replica is identical in all but these classes.
    #[track_caller]
    pub fn assert_identical_but(&self, leave: &[Leave], context: &str) {
        let mut differences = compare_but(self.source.top(), self.replica.top(), leave);
        let count = differences.len();
        differences.truncate(20);
        assert!(count == 0, "{count} differences:\n{}\n{context}", differences.join("\n"));
    }

    /// A record of the source.
    pub fn source_now(&self) -> Snapshot {
        Snapshot::of(self.source.top())
    }

    /// A record of the replica, alike's own folder left out.
    pub fn replica_now(&self) -> Snapshot {
        Snapshot::of(self.replica.top()).without_own_folder()
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        // Deeper than PATH_MAX the standard library needs a descriptor a level; this needs one.
        for top in [self.source.top(), self.replica.top()] {
            let _ = crate::remove_tree(top);
        }
    }
}
