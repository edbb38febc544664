//! Deletions: counted as a whole, judged as a whole, and only then done, each after one more look.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use alike_model::dirty::Extent;
use alike_model::entry::Kind;
use alike_model::event::Action;
use alike_model::guard::Proposal;
use alike_model::path::RelPath;
use alike_model::plan::{Removal, Step};
use alike_model::reason::Reason;
use alike_storage::{Error, Replica, Result, Source};

use crate::crew;
use crate::hands::Hands;
use crate::monitor::Event;
use crate::pass::Run;
use crate::place::{Here, Place};
use crate::waiting::At;
use crate::walk::Walking;

/// True for an ignore file of the replica that the source has no more, and nothing in its place.
fn is_of_rules<S: Source, R: Replica>(place: &Place<S, R>, removal: &Removal) -> bool {
    let is_named_so = place.filter.ignore_files().contains(&removal.name.as_bytes());
    is_named_so && removal.replica.kind == Kind::File && removal.reason == Reason::Gone
}

impl<S: Source, R: Replica, H: Hands<S, R>> Run<'_, S, R, H> {
    /// How much the waiting deletions come to.
    pub(crate) fn proposal(&self) -> Proposal {
        let mut deletions: u64 = 0;
        let mut below = 0;
        let count = self.wait_for(|waiting| waiting.removals.len());
        for at in 0..count {
            let Some((place, removal)) = self.peek(at) else { continue };
            if self.is_copied_away(&place.path().join(&removal.name)) {
                continue;
            }
            if removal.replica.kind != Kind::Folder {
                deletions += 1;
                continue;
            }
            let before = deletions;
            // What cannot be counted now cannot be deleted later either, and is reported then.
            let _ = self.walk(&place, &removal, Walking::Counting, &mut |_, _, _| {
                deletions += 1;
                Ok(true)
            });
            below += (deletions - before).saturating_sub(1);
        }
        let seen = self.tally(|tally| tally.replica_entries);
        Proposal { deletions, replica_entries: seen + below }
    }

    /// True for what moved but had to be copied: it stands elsewhere, so deleting it here loses nothing.
    fn is_copied_away(&self, path: &RelPath) -> bool {
        self.wait_for(|waiting| waiting.copied_away.iter().any(|moved| path.is_within(moved)))
    }

    pub(crate) fn peek(&self, at: usize) -> Option<(Arc<Place<S, R>>, Removal)> {
        self.wait_for(|waiting| {
            waiting.removals.get(at)?.as_ref().map(|(place, removal)| (Arc::clone(place), removal.clone()))
        })
    }

    /// Does the waiting deletions, and makes what takes their place.
    pub(crate) fn delete(&self) {
        // There is no further round: what fails from here on is reported at once.
        self.round.store(u32::MAX - 1, Ordering::Relaxed);
        let removals = self.wait_for(|waiting| std::mem::take(&mut waiting.removals));
        let gives_way_to_a_link = |(_, removal): &At<S, R, Removal>| {
            removal.then.as_ref().and_then(|then| then.verb.source()).is_some_and(|source| source.nlink > 1)
        };
        let (rules, removals): (Vec<_>, Vec<_>) =
            removals.into_iter().flatten().partition(|(place, removal)| is_of_rules(place, removal));
        let (linked, plain): (Vec<_>, Vec<_>) = removals.into_iter().partition(gives_way_to_a_link);
        self.note_staying();
        let delete = |(place, removal): At<S, R, Removal>| {
            if !self.work.stop.is_set() {
                self.delete_one(&place, &removal);
            }
            self.release(place);
        };
        crew::run(self.work.threads, plain, |one, _| delete(one));
        // One by one: the first of a group may be what the others are linked to.
        linked.into_iter().for_each(delete);
        // Last: now it is known what stays for their sake.
        for (place, removal) in rules {
            match self.holds_anything_in(&place.path()) {
                true => {
                    self.keep_rules(&place, &removal);
                    self.release(place);
                }
                false => delete((place, removal)),
            }
        }
        self.publish_ready();
        self.join_links();
        for (place, name) in self.wait_for(|waiting| std::mem::take(&mut waiting.again)) {
            self.put_off(place.path().join(&name), "changed meanwhile");
            self.release(place);
        }
    }

    fn holds_anything_in(&self, path: &RelPath) -> bool {
        self.wait_for(|waiting| waiting.held_by_rules.iter().any(|held| held.is_within(path)))
    }

    /// Without them nobody would know why what they keep stays, once the folder is another.
    fn keep_rules(&self, place: &Here<S, R>, removal: &Removal) {
        let (path, reason) = (place.path().join(&removal.name), Reason::KeptBelow.to_string());
        self.tell(Event::about(self.number, Action::Hold, path, reason));
    }

    /// Leaves a deletion for the next pass. Of a folder that is back by then, who looks at its name again would enter it for its own
    /// attributes only.
    pub(crate) fn postpone_removal(&self, place: &Arc<Place<S, R>>, removal: Removal) {
        let path = place.path();
        let mut awaited = self.awaited.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        if removal.known.is_some_and(|known| known.folder.is_some()) {
            awaited.mark(path.join(&removal.name), Extent::Subtree);
        }
        awaited.mark_name(path, removal.name);
        drop(awaited);
        self.release(Arc::clone(place));
    }

    /// Leaves the waiting deletions to a pass that is judged, where something was unmounted and nobody has heard of that yet:
    /// what is missing then was not deleted.
    pub(crate) fn postpone_unmounted(&self) {
        let is_any = self.wait_for(|waiting| waiting.removals.iter().any(Option::is_some));
        if self.full || !is_any || self.work.watch.is_mounted_as_heard() {
            return;
        }
        let removals = self.wait_for(|waiting| std::mem::take(&mut waiting.removals));
        for (place, removal) in removals.into_iter().flatten() {
            self.postpone_removal(&place, removal);
        }
    }

    /// Leaves the waiting deletions alone, and says so once for each.
    pub(crate) fn hold_deletions(&self) {
        let removals = self.wait_for(|waiting| std::mem::take(&mut waiting.removals));
        for (place, removal) in removals.into_iter().flatten() {
            let reason = Reason::OverLimit.to_string();
            self.tell(Event::about(self.number, Action::Hold, place.path().join(&removal.name), reason));
            self.release(place);
        }
    }

    fn delete_one(&self, place: &Arc<Place<S, R>>, removal: &Removal) {
        match self.check_gone(place, removal).and_then(|()| self.replace_whole(place, removal)) {
            Ok(false) => {}
            Ok(true) => return self.work.watch.gone(&place.path().join(&removal.name)),
            Err(error) => return self.not_deleted(place, removal, &error),
        }
        let gone = || {
            if self.work.replica.look(&*place.replica(self.work.replica)?, &removal.name)?.is_none() {
                return Ok(true);
            }
            if let Some(gone) = self.remove_whole(place, removal)? {
                return Ok(gone);
            }
            let mut remove =
                |folder: &R::Folder, path: &RelPath, step: Step| self.remove(folder, path, &step);
            self.walk(place, removal, Walking::Removing, &mut remove)
        };
        match gone() {
            Ok(true) => {
                self.work.watch.gone(&place.path().join(&removal.name));
                place.learn(&removal.name, None);
                place.draft(|draft| draft.touched = true);
                if let Some(step) = &removal.then {
                    self.take_or_join(place, step);
                }
            }
            Ok(false) => {
                // What went from a folder that stays left this one as it was, and so shall we.
                if !self.is_untouched(place) {
                    place.touch();
                }
                if place.filter_there.is_some() && self.holds_anything_in(&place.path().join(&removal.name)) {
                    place.was_under_others();
                }
                let reason = Reason::KeptBelow.to_string();
                let hold = Event::about(self.number, Action::Hold, place.path().join(&removal.name), reason);
                match removal.then {
                    // Something else should stand there: the replica is known to differ.
                    Some(_) => self.tell(hold),
                    None => self.work.monitor.event(hold),
                }
            }
            Err(error) => self.not_deleted(place, removal, &error),
        }
    }

    fn is_untouched(&self, place: &Here<S, R>) -> bool {
        let now = place.replica(self.work.replica).and_then(|folder| self.work.replica.stamp(&folder));
        place.replica_stamp.zip(now.ok()).is_some_and(|(then, now)| now.is_untouched_since(&then))
    }

    fn not_deleted(&self, place: &Here<S, R>, removal: &Removal, error: &Error) {
        let path = place.path().join(&removal.name);
        match error {
            Error::Interrupted => {}
            error if error.is_changed() => self.put_off(path, "changed meanwhile; left alone"),
            error => self.fail(path, error.to_string()),
        }
    }

    /// The last look: what is back in the source is not deleted, nor anything in a folder that was moved meanwhile.
    fn check_gone(&self, place: &Arc<Place<S, R>>, removal: &Removal) -> Result<()> {
        self.check_inside(place)?;
        if self.wait_for(|waiting| waiting.has_moved) {
            self.check_in_place(place)?;
        }
        let now = self.work.source.look(&*place.source(self.work.source)?, &removal.name)?;
        match (now, &removal.reason) {
            (None, _) | (Some(_), Reason::Excluded) => Ok(()),
            (Some(now), Reason::Displaced(kind)) if now.kind == *kind => Ok(()),
            (Some(_), _) => Err(Error::Changed),
        }
    }

    /// Checks that a folder that is held open on the replica is still where it was found.
    fn check_in_place(&self, place: &Arc<Place<S, R>>) -> Result<()> {
        let mut here = place;
        while let (Some(parent), Some(name)) = (&here.parent, &here.name) {
            let held = self.work.replica.stamp(&*here.replica(self.work.replica)?)?;
            let there = self.work.replica.look(&*parent.replica(self.work.replica)?, name)?;
            if there.is_none_or(|there| there.identity() != held.identity()) {
                return Err(Error::Changed);
            }
            here = parent;
        }
        Ok(())
    }

    fn remove(&self, folder: &R::Folder, path: &RelPath, step: &Step) -> Result<bool> {
        let started = Instant::now();
        match self.hands.remove(folder, path, step) {
            Ok(kept) => {
                let event = Event::about(self.number, step.verb.action(), path.clone(), self.reason(step));
                self.tell(Event { took: Some(started.elapsed()), kept, ..event });
                Ok(true)
            }
            Err(error) => {
                self.fail(path.clone(), error.to_string());
                Ok(false)
            }
        }
    }
}
