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
use crate::motion::is_fresh;
use crate::names::{inode, source_inode};
use crate::pass::Run;
use crate::place::Here;
use crate::waiting::At;

/// Longer than a change of a folder can hide behind its stamp.
const REST: Duration = Duration::from_millis(25);

impl<S: Source, R: Replica, H: Hands<S, R>> Run<'_, S, R, H> {
    /// Notes a name that is proven, by which others are measured, or which is measured by them.
    pub(crate) fn note_proven(&self, place: &Here<S, R>, finding: &Finding, (source, replica): (Stamp, Stamp)) {
        let key = source_inode(&source, place);
        let is_alone = finding.known.is_some_and(|known| known.alone);
        let (here, name) = (Here::clone(place), finding.name.clone());
        let anchor = Anchor { place: here, name, source, replica: Some(replica), is_equal: true, is_alone };
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
                    let is_other = first.replica.as_ref().is_some_and(|first| inode(first) != inode(&replica));
                    self.full && is_other && !is_alone
                }
                _ => {
                    waiting.anchors.insert(key, anchor);
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
        let is_fresh = |folders: &[(Identity, Time)]| folders.iter().any(|(_, ctime)| is_fresh(*ctime, now));
        if !is_known && (is_fresh(&before.0) || is_fresh(&before.1)) {
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
