//! What a check found: told, or, while a pass is at work beside, looked at again first.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};

use alike_model::difference::{Change, Difference, What, blame};
use alike_model::entry::Stamp;
use alike_model::known::FolderId;
use alike_model::links::{Misjoined, ReplicaInode, SourceInode, misjoined};
use alike_model::path::{Name, RelPath};
use alike_storage::{Error, Replica, Result, Source};

use crate::check::{Found, LinkedName, PAUSES, Print, Task, Walk};
use crate::place::{Here, Place};

impl<S: Source, R: Replica> Walk<'_, S, R> {
    /// A name that both sides have as a file or another kind that is no folder: which inodes it is.
    pub(crate) fn note_links(&self, place: &Here<S, R>, name: &Name, source: &Stamp, replica: &Stamp) {
        if source.has_several_names() || replica.has_several_names() {
            let mut linked = self.linked.lock().unwrap_or_else(PoisonError::into_inner);
            linked.push((
                Arc::clone(place),
                name.clone(),
                (source.dev, source.ino, replica.dev),
                (replica.dev, replica.ino),
            ));
        }
    }

    /// A difference; rot, and whatever is found while a pass is at work, only when it stays.
    pub(crate) fn differs(
        &self,
        place: &Here<S, R>,
        name: &Name,
        (print, before): (Print, Option<&Print>),
        what: What,
        change: Change,
    ) {
        let round = self.round.load(Ordering::Relaxed);
        let is_moving = change == Change::Moving;
        let is_unsure = is_moving || (self.check.is_restless)();
        // Memory and cables err as well as disks: rot counts when it was read twice.
        let is_read_once = matches!(change, Change::Rot(_)) && round == 0;
        if is_unsure && round < PAUSES.len() || is_read_once {
            let mut again = self.again.lock().unwrap_or_else(PoisonError::into_inner);
            again.push((Arc::clone(place), name.clone(), print));
            return;
        }
        let stays = |one: Option<Stamp>, other: Option<Stamp>| match (one, other) {
            (None, None) => true,
            (Some(one), Some(other)) => one.is_untouched_since(&other),
            _ => false,
        };
        let is_steady = before.is_some_and(|before| stays(print.0, before.0) && stays(print.1, before.1));
        let (what, change) = match is_unsure && (is_moving || !is_steady) {
            true => (What::Said("keeps changing while it is looked at".to_owned()), Change::Moving),
            false => (what, change),
        };
        self.say(place.path().join(name), Some((place.id, name.clone())), what, change);
    }

    /// Something could not be looked at, or changed meanwhile.
    pub(crate) fn failed(
        &self,
        place: &Here<S, R>,
        name: &Name,
        print: Print,
        before: Option<&Print>,
        error: &Error,
    ) {
        match error {
            Error::Interrupted => {}
            error if error.is_changed() => {
                let what = What::Said(error.to_string());
                self.differs(place, name, (print, before), what, Change::Moving);
            }
            error => {
                let at = Some((place.id, name.clone()));
                self.say(place.path().join(name), at, What::Said(error.to_string()), Change::Failed);
            }
        }
    }

    pub(crate) fn failed_folder(&self, place: &Here<S, R>, error: &Error) {
        match (&place.parent, &place.name) {
            (Some(parent), Some(name)) => self.failed(parent, name, (None, None), None, error),
            _ => self.say(RelPath::root(), None, What::Said(error.to_string()), Change::Failed),
        }
    }

    pub(crate) fn say(&self, path: RelPath, at: Option<(FolderId, Name)>, what: What, change: Change) {
        if !self.check.stop.is_set() {
            self.differences.fetch_add(1, Ordering::Relaxed);
            (self.check.tell)(Found { difference: Difference { path, what, change }, at });
        }
    }

    pub(crate) fn what_is_left(&self) -> Vec<Task<S, R>> {
        // What was read under the old stamps is not what is there now.
        self.read.lock().unwrap_or_else(PoisonError::into_inner).clear();
        let again = std::mem::take(&mut *self.again.lock().unwrap_or_else(PoisonError::into_inner));
        let mut places: Vec<(Here<S, R>, BTreeMap<Name, Print>)> = Vec::new();
        let mut at: HashMap<*const Place<S, R>, usize> = HashMap::new();
        for (place, name, print) in again {
            let at = *at.entry(Arc::as_ptr(&place)).or_insert_with(|| {
                places.push((Arc::clone(&place), BTreeMap::new()));
                places.len() - 1
            });
            places[at].1.insert(name, print);
        }
        places.into_iter().map(|(place, names)| Task::Again(place, names)).collect()
    }

    /// Which names are one file: the same on both sides?
    pub(crate) fn check_links(&self) {
        let mut linked = std::mem::take(&mut *self.linked.lock().unwrap_or_else(PoisonError::into_inner));
        let inodes = |linked: &[LinkedName<S, R>]| -> Vec<(SourceInode, ReplicaInode)> {
            linked.iter().map(|(_, _, source, replica)| (*source, *replica)).collect()
        };
        let mut wrong = misjoined(&inodes(&linked));
        if !wrong.is_empty() && (self.check.is_restless)() {
            self.check.rest(PAUSES[1]);
            linked.retain_mut(|(place, name, source, replica)| {
                let look = || -> Result<Option<(Stamp, Stamp)>> {
                    let (original, copy) = (self.check.source, self.check.replica);
                    let source = original.look(&*place.source(original)?, name)?;
                    Ok(source.zip(copy.look(&*place.replica(copy)?, name)?))
                };
                let Ok(Some((original, copy))) = look() else { return false };
                *source = (original.dev, original.ino, copy.dev);
                *replica = (copy.dev, copy.ino);
                true
            });
            wrong = misjoined(&inodes(&linked));
        }
        for (at, misjoined) in wrong {
            let (place, name, ..) = &linked[at];
            let path = |at: usize| linked[at].0.path().join(&linked[at].1);
            let what = match misjoined {
                Misjoined::Parted(first) => What::Parted(path(first)),
                Misjoined::Joined(first) => What::Joined(path(first)),
            };
            let row = self.check.index.row(place.id);
            let known = row.as_ref().and_then(|row| row.get(name));
            let (original, copy) = (self.check.source, self.check.replica);
            let source =
                place.source(original).and_then(|folder| original.look(&folder, name)).ok().flatten();
            let replica = place.replica(copy).and_then(|folder| copy.look(&folder, name)).ok().flatten();
            let change = blame(known, row.is_some(), source.as_ref(), replica.as_ref());
            self.say(path(at), Some((place.id, name.clone())), what, change);
        }
    }
}
