//! Names of one file that are proven, each by itself, and yet are not one on the replica; and which refusal of a link counts.
//!
//! A row tells of one name. That its file is one with others was so when the row was written, and nothing that can be seen of
//! the name tells if it was wrong then. So a full pass, which sees all names, holds them against each other.

use std::sync::Arc;
use std::time::Duration;

use alike_model::compare::Finding;
use alike_model::entry::{Identity, Stamp, Time};
use alike_model::plan::Linked;
use alike_storage::{Error, Replica, Result, Source};

use crate::hands::{Done, Hands};
use crate::links::Anchor;
use crate::motion::RACY_MILLIS;
use crate::names::{inode, source_inode};
use crate::pass::Run;
use crate::place::Here;
use crate::waiting::At;

/// Longer than a change of a folder can hide behind its stamp.
const REST: Duration = Duration::from_millis(25);

impl<S: Source, R: Replica, H: Hands<S, R>> Run<'_, S, R, H> {
    /// Notes a name that is proven, by which others are measured, or which is measured by them.
    pub(crate) fn note_proven(
        &self,
        place: &Here<S, R>,
        finding: &Finding,
        (source, replica): (Stamp, Stamp),
    ) {
        let key = source_inode(&source, place);
        let is_alone = finding.known.is_some_and(|known| known.alone);
        let anchor = || {
            let (place, name) = (Here::clone(place), finding.name.clone());
            Anchor { place, name, source, replica: Some(replica), is_equal: true, is_alone }
        };
        self.wait_for(|waiting| {
            if self.full && replica.nlink > 1 {
                let names = waiting.proven.entry(inode(&replica)).or_default();
                names.push((place.retain(), finding.name.clone()));
            }
            let seen = waiting.names_seen.get_mut(&inode(&replica)).filter(|_| self.full);
            // One on the replica, not in the source.
            let is_joined = seen.is_some_and(|seen| *seen.of.get_or_insert(key) != key);
            // One in the source, not on the replica.
            let is_parted = match waiting.anchors.get(&key) {
                _ if is_joined => false,
                Some(first) if !first.is_alone || is_alone => {
                    let is_other =
                        first.replica.as_ref().is_some_and(|first| inode(first) != inode(&replica));
                    self.full && is_other && !is_alone
                }
                _ => {
                    waiting.anchors.insert(key, anchor());
                    false
                }
            };
            if is_joined || is_parted {
                waiting.parted.push((place.retain(), Linked { finding: finding.clone(), source }));
            }
        });
    }

    /// Adds the names that are not linked as in the source, though each is proven, to those that are to be joined.
    pub(crate) fn add_parted(&self, linked: &mut Vec<At<S, R, Linked>>) {
        for (place, parted) in self.wait_for(|waiting| std::mem::take(&mut waiting.parted)) {
            let is_it = |(at, linked): &At<S, R, Linked>| {
                Arc::ptr_eq(at, &place) && linked.finding.name == parted.finding.name
            };
            // It may have been looked at again for another reason.
            match linked.iter().any(is_it) {
                true => self.release(place),
                false => linked.push((place, parted)),
            }
        }
    }

    /// Tries once more to make a link that was refused, at a time when both folders stay where they are in the tree: Landlock
    /// answers for a folder that somebody has moved out of it as a target does that cannot link.
    pub(crate) fn try_at_rest(
        &self,
        from: &Here<S, R>,
        to: &Here<S, R>,
        link: impl FnOnce() -> Result<Done>,
    ) -> Result<Done> {
        let is_known = self.wait_for(|waiting| waiting.links_forbidden);
        if !is_known {
            std::thread::sleep(REST);
        }
        let standing = || Ok((self.standing(from)?, self.standing(to)?));
        let before: (Vec<_>, Vec<_>) = standing()?;
        let now = (self.work.clock)();
        let is_fresh = |(_, ctime): &(Identity, Time)| ctime.plus_millis(RACY_MILLIS) > now;
        if !is_known && before.0.iter().chain(&before.1).any(is_fresh) {
            return Err(Error::Changed);
        }
        match link() {
            Err(error) if error.forbids_links() && standing()? != before => Err(Error::Changed),
            other => other,
        }
    }

    /// How a folder of the replica and those above it look: a rename leaves its trace in the ctime of what it renames.
    fn standing(&self, place: &Here<S, R>) -> Result<Vec<(Identity, Time)>> {
        self.check_inside(place)?;
        let above = std::iter::successors(Some(&**place), |place| place.parent.as_deref());
        // The top folder may go where it likes, and all with it.
        let below_top = above.filter(|place| place.parent.is_some());
        let look = |folder: &crate::place::Place<S, R>| {
            let stamp = self.work.replica.stamp(&*folder.replica(self.work.replica)?)?;
            Ok((stamp.identity(), stamp.ctime))
        };
        below_top.map(look).collect()
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use alike_model::dirty::Dirty;
    use alike_model::filter::{Filter, Patterns};
    use alike_model::known::{FolderId, Known};
    use alike_model::outcome::{Ending, Outcome};
    use alike_model::path::Name;
    use alike_model::policy::{Deletes, Policy};
    use alike_storage::Saving;
    use alike_testkit::Tree;

    use super::*;
    use crate::batch::Settles;
    use crate::monitor::{Event, Monitor};
    use crate::pace::Pace;
    use crate::pair::{Pair, Spec};
    use crate::pass::{Work, pass};
    use crate::stop::Stop;
    use crate::watch::NoWatch;

    struct Nobody;

    impl Monitor for Nobody {
        fn event(&self, _: Event) {}
    }

    /// A pair of which the index can be made to say what is not so.
    struct Rows {
        spec: Spec,
        source: Tree,
        replica: Tree,
    }

    impl Rows {
        fn at(called: &str) -> Self {
            let top = std::env::temp_dir().join(format!("alike-{called}-{}", std::process::id()));
            let tree = |name: &str| Tree::make(top.join(name));
            let (source, replica) = (tree("source"), tree("replica"));
            let spec = Spec {
                source: source.top().to_owned(),
                replica: replica.top().to_owned(),
                state: tree("state").top().to_owned(),
                filter: Filter::new(&Patterns::default()).unwrap(),
                deletes: Deletes::default(),
                saving: Saving::default(),
                keep: None,
                command_line: None,
            };
            Self { spec, source, replica }
        }

        fn file(&self, name: &str) {
            for tree in [&self.source, &self.replica] {
                tree.file(name, "of both").mode(name, 0o644).mtime(name, 1_000_000_000, 5);
            }
        }

        /// Lets the index say that each name is equal, and of one that it had to stand alone.
        fn say_equal(&self, pair: &Pair, names: &[&str], alone: &str) {
            let (source, replica) = (pair.source.root().unwrap(), pair.replica.root().unwrap());
            let known = |name: &str| {
                let at = Name::new(name.as_bytes()).unwrap();
                let original = pair.source.look(&source, &at).unwrap().unwrap();
                let copy = pair.replica.look(&replica, &at).unwrap().unwrap();
                (at, Some(Known { alone: name == alone, ..Known::equal(&original, false, &copy, None) }))
            };
            let edits = names.iter().map(|name| known(name)).collect();
            pair.index.edit(FolderId::ROOT, |row| row.edited(edits));
        }

        /// A full pass over what the index says.
        fn pass(&self, pair: &Pair) -> Outcome {
            // Long after all that was done: nothing hides behind a stamp.
            let now = || Time { secs: 4_000_000_000, nanos: 1 };
            let work = Work {
                source: &pair.source,
                replica: &pair.replica,
                replica_top: pair.replica_top,
                roots: pair.roots.to_vec(),
                index: &pair.index,
                policy: Policy { owner: false, ..Policy::default() },
                refuses: None,
                filter: &self.spec.filter,
                monitor: &Nobody,
                watch: &NoWatch,
                clock: &now,
                stop: &Stop::default(),
                threads: 1,
                pace: &Pace::new(None),
                sync: false,
                settles: Settles::No,
                trash: None,
                patient: None,
                beside_full: false,
                siblings: None,
                held_folders: 64,
            };
            let outcome = pass(&work, Dirty::everything()).unwrap();
            assert_eq!(outcome.ending, Ending::Identical);
            outcome
        }
    }

    impl Drop for Rows {
        fn drop(&mut self) {
            let _ = alike_testkit::remove_tree(self.source.top().parent().unwrap());
        }
    }

    #[test]
    fn two_names_of_one_file_become_one_though_each_is_proven_by_itself() {
        let rows = Rows::at("parted");
        rows.file("a");
        rows.file("b");
        rows.file("c");
        rows.source.remove("b").hard_link("a", "b").remove("c").hard_link("a", "c");
        let pair = Pair::open(&rows.spec).unwrap();
        rows.pass(&pair);
        rows.replica.remove("b").remove("c");
        std::fs::copy(rows.replica.path("a"), rows.replica.path("b")).unwrap();
        rows.replica.mtime("b", 1_000_000_000, 5).hard_link("b", "c");
        rows.say_equal(&pair, &["a", "b", "c"], "");
        assert_eq!(rows.pass(&pair).tally.linked, 2);
        let one = rows.replica.ino("a");
        assert_eq!((rows.replica.ino("b"), rows.replica.ino("c")), (one, one));
        rows.say_equal(&pair, &["a", "b", "c"], "");
        assert_eq!(rows.pass(&pair).tally.changes(), 0);
    }

    #[test]
    fn two_files_become_two_though_the_one_that_they_are_is_proven_under_each_name() {
        let rows = Rows::at("joined");
        rows.file("a");
        rows.file("b");
        let pair = Pair::open(&rows.spec).unwrap();
        rows.pass(&pair);
        rows.replica.remove("b").hard_link("a", "b");
        rows.say_equal(&pair, &["a", "b"], "");
        rows.pass(&pair);
        assert_ne!(rows.replica.ino("a"), rows.replica.ino("b"));
    }

    #[test]
    fn what_the_target_could_not_join_is_left_alone_and_measures_no_other() {
        let rows = Rows::at("alone");
        let pair = Pair::open(&rows.spec).unwrap();
        rows.pass(&pair);
        for name in ["a", "b", "c"] {
            rows.file(name);
        }
        rows.source.remove("b").hard_link("a", "b").remove("c").hard_link("a", "c");
        rows.replica.remove("c").hard_link("b", "c");
        rows.say_equal(&pair, &["a", "b", "c"], "a");
        let inodes = || ["a", "b", "c"].map(|name| rows.replica.ino(name));
        let before = inodes();
        assert_eq!((rows.pass(&pair).tally.linked, inodes()), (0, before));
    }
}
