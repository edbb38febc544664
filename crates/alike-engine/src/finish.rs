//! Finishing a folder, and trying again what could not be done.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use alike_model::dirty::Extent;
use alike_model::event::Action;
use alike_model::known::{FolderId, Row};
use alike_model::path::{Name, RelPath};
use alike_model::plan::folder_meta;
use alike_storage::{Error, Replica, Result, Source};

use crate::hands::Hands;
use crate::monitor::Event;
use crate::pass::Run;
use crate::place::{Here, Place};
use crate::waiting::{At, Task};

/// How often a path that failed or changed meanwhile is looked at in one pass.
const ROUNDS: u32 = 3;

impl<S: Source, R: Replica, H: Hands<S, R>> Run<'_, S, R, H> {
    /// A path failed or changed meanwhile: it is looked at again, or reported when that was the last time.
    pub(crate) fn again(&self, place: &Here<S, R>, name: &Name, error: Error) {
        if matches!(error, Error::Interrupted) || self.work.stop.is_set() {
            return;
        }
        if !self.is_last_round() {
            self.wait_for(|waiting| waiting.again.push((place.retain(), name.clone())));
        } else if error.is_changed() {
            let reason = "keeps changing while it is copied; looked at again in the next pass";
            self.is_restless(place, name);
            self.tell(Event::about(self.number, Action::Skip, place.path().join(name), reason));
        } else {
            self.fail(place.path().join(name), error.to_string());
        }
    }

    /// Checks that a folder that is held open on the replica still lies in the tree: what is moved out of it meanwhile is not
    /// alike's any more. Changes come right after it, so the gap is small.
    pub(crate) fn check_inside(&self, place: &Here<S, R>) -> Result<()> {
        if place.has_replica { self.hands.check_inside(place) } else { Ok(()) }
    }

    /// True when nothing is looked at once more in this pass.
    pub(crate) fn is_last_round(&self) -> bool {
        self.round.load(Ordering::Relaxed) + 1 >= ROUNDS
    }

    /// The folders with something to look at again.
    pub(crate) fn look_again(&self) -> Vec<Task<S, R>> {
        let again = self.wait_for(|waiting| std::mem::take(&mut waiting.again));
        if !again.is_empty() {
            let round = self.round.fetch_add(1, Ordering::Relaxed);
            std::thread::sleep(std::time::Duration::from_millis(5 << (2 * round.min(3))));
        }
        self.tasks_for(again)
    }

    /// One task a folder for a list of names. Takes over the pending counts.
    pub(crate) fn tasks_for(&self, names: Vec<At<S, R, Name>>) -> Vec<Task<S, R>> {
        let mut by_place: Vec<At<S, R, BTreeSet<Name>>> = Vec::new();
        let mut at: HashMap<*const Place<S, R>, usize> = HashMap::new();
        for (place, name) in names {
            match at.get(&Arc::as_ptr(&place)) {
                Some(at) => {
                    by_place[*at].1.insert(name);
                    self.release(place);
                }
                None => {
                    at.insert(Arc::as_ptr(&place), by_place.len());
                    by_place.push((place, BTreeSet::from([name])));
                }
            }
        }
        by_place
            .into_iter()
            .map(|(place, names)| Task::Look { place, extent: Extent::Names(names) })
            .collect()
    }

    /// A folder that is looked at again by its name would be entered for its own attributes only: what it was to be
    /// entered for is kept for then, or nobody would ever list it and the pass would call it equal.
    pub(crate) fn owe(&self, id: Option<FolderId>, extent: Extent) {
        self.wait_for(|waiting| {
            if let Some(id) = id {
                let before = waiting.owed.remove(&id).unwrap_or(Extent::Names(BTreeSet::new()));
                waiting.owed.insert(id, before.with(extent));
            }
        });
    }

    pub(crate) fn owed(&self, id: Option<FolderId>) -> Option<Extent> {
        id.and_then(|id| self.wait_for(|waiting| waiting.owed.remove(&id)))
    }

    pub(crate) fn is_half_made(&self, parent: &Here<S, R>, name: &Name) -> bool {
        // Building a path costs its depth, and hardly ever is there any.
        if self.wait_for(|waiting| waiting.half_made.is_empty()) {
            return false;
        }
        let path = parent.path().join(name);
        self.wait_for(|waiting| waiting.half_made.remove(&path))
    }

    /// A folder was made, and nothing in it yet. What the row knows under its name is another, which stood there once.
    pub(crate) fn is_only_made(&self, parent: &Here<S, R>, name: &Name) {
        parent.learn(name, None);
        let path = parent.path().join(name);
        self.wait_for(|waiting| waiting.half_made.insert(path));
    }

    /// A folder that is open could not be listed, or must not be changed.
    pub(crate) fn not_looked_at(&self, place: &Here<S, R>, extent: Extent, error: Error) {
        self.owe(Some(place.id), extent);
        if let (None, Some(parent), Some(name)) = (&place.replica_stamp, &place.parent, &place.name) {
            self.is_only_made(parent, name);
        }
        self.fail_folder(place, error);
    }

    pub(crate) fn fail_folder(&self, place: &Here<S, R>, error: Error) {
        match (&place.parent, &place.name) {
            (Some(parent), Some(name)) => self.again(parent, name, error),
            _ => self.fail(RelPath::root(), error.to_string()),
        }
    }

    /// Gives back one pending count; finishes the folder, and then its parents, when it was the last.
    pub(crate) fn release(&self, place: Here<S, R>) {
        let mut next = Some(place);
        while let Some(here) = next {
            if !here.release() {
                return;
            }
            self.finish(&here);
            next = here.parent.clone();
        }
    }

    /// All in the folder is done: its own attributes, then its row.
    fn finish(&self, place: &Here<S, R>) {
        let draft = place.draft(std::mem::take);
        let name = place.name.clone();
        let meta = place.replica_stamp.as_ref().and_then(|replica| {
            let anonymous = Name::new(b"-")?;
            let name = name.as_ref().unwrap_or(&anonymous);
            folder_meta(name, &place.source_stamp, replica, place.xattrs.clone(), &self.work.policy)
        });
        let claims = !draft.edits.is_empty() || draft.filter.is_some();
        let dresses = (meta.is_some() || draft.touched) && !self.work.stop.is_set();
        if dresses {
            let started = Instant::now();
            match self.hands.dress(place) {
                Ok(()) => {
                    if let Some(step) = meta {
                        let event =
                            Event::about(self.number, Action::Meta, place.path(), step.reason.to_string());
                        self.tell(Event { took: Some(started.elapsed()), ..event });
                    }
                }
                // Moved away: what stands there now is looked at by the next pass.
                Err(error) if error.is_changed() => self.put_off(place.path(), "changed meanwhile"),
                Err(error) => self.fail(place.path(), error.to_string()),
            }
        }
        if (dresses || claims) && self.hands.must_settle_names(place.device()) {
            // What is to be called equal, whoever made it so: a pass that was killed may have left it in memory alone.
            let names: Vec<&Name> = draft.edits.iter().map(|(name, _)| name).collect();
            let folder = place.replica(self.work.replica);
            if let Err(error) = folder.and_then(|folder| self.hands.settle_names(&folder, &names)) {
                return self.fail(place.path(), error.to_string());
            }
        }
        if claims {
            let xattrs = self.work.policy.xattrs;
            let mut replaced = Vec::new();
            self.work.index.edit(place.id, |row| {
                let folder = |row: &Row, name: &Name| row.get(name).and_then(|known| known.folder);
                let had: Vec<_> = draft
                    .edits
                    .iter()
                    .filter_map(|(name, _)| folder(&row, name).map(|id| (name.clone(), id)))
                    .collect();
                let row = row.for_xattrs(xattrs).edited(draft.edits);
                let is_replaced =
                    |(name, id): &(Name, FolderId)| folder(&row, name).is_some_and(|now| now != *id);
                replaced.extend(had.into_iter().filter(is_replaced).map(|(_, id)| id));
                Row { filter: draft.filter.unwrap_or(row.filter), xattrs, ..row }
            });
            self.wait_for(|waiting| waiting.replaced.append(&mut replaced));
        }
    }

    /// Forgets folders whose names are others' now, and what was known below them, but for what moved elsewhere: nobody would
    /// ever come to their rows again.
    pub(crate) fn forget_replaced(&self) {
        let (mut left, mut seen) = self.wait_for(|waiting| {
            (std::mem::take(&mut waiting.replaced), std::mem::take(&mut waiting.moved_here))
        });
        while let Some(id) = left.pop() {
            // Rows that tell of what was never seen may tell of one folder twice, or in a circle.
            if seen.insert(id) {
                left.extend(self.work.index.folders(id).into_iter().map(|(_, id)| id));
                self.work.index.remove(id);
            }
        }
    }
}
