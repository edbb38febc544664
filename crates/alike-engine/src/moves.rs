//! Moves: what is gone from one name and stands under another is renamed on the replica.
//!
//! Folders are matched before files and in rounds: a folder that moved brings along what is in it, and what left it is
//! found when it is visited under its new name. Where the new name is taken by something that is wanted elsewhere, or by
//! a folder, the two change names in one step, so that swaps, rings and rotations come out right without a moment in
//! which a name is missing.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use alike_model::compare::{Finding, Verdict, compare_entry};
use alike_model::dirty::Extent;
use alike_model::entry::{Kind, Stamp, Time};
use alike_model::path::{Name, RelPath};
use alike_model::plan::{Arrival, Removal, Step, Verb};
use alike_model::reason::Reason;
use alike_storage::{Error, Replica, Result, Source};

use crate::departures::{Departure, Key};
use crate::hands::{Done, Hands};
use crate::pass::Run;
use crate::place::Place;
use crate::waiting::{At, How, Task};

/// What could not be moved, to be compared under its new name.
type Stays<S, R> = Option<At<S, R, Arrival>>;

/// What arrived and where it came from.
struct Move<S: Source, R: Replica> {
    place: Arc<Place<S, R>>,
    arrival: Arrival,
    departure: Departure,
    from: RelPath,
    /// What is in its way is wanted under another name.
    taken_by_wanted: bool,
}

impl<S: Source, R: Replica, H: Hands<S, R>> Run<'_, S, R, H> {
    /// Matches what arrived with what departed. Returns folders to visit: those that moved, or, when none did, those with
    /// arrivals that came from nowhere.
    pub(crate) fn match_moves(&self) -> Vec<Task<S, R>> {
        self.take_in_departures();
        let mut arrivals = self.wait_for(|waiting| std::mem::take(&mut waiting.arrivals));
        // Of two that change names the first is told: not another in a plan, nor whichever thread came first.
        arrivals.sort_by_cached_key(|(place, arrival)| place.path().join(&arrival.name));
        if self.work.stop.is_set() {
            arrivals.into_iter().for_each(|(place, _)| self.release(place));
            let relook = self.wait_for(|waiting| std::mem::take(&mut waiting.relook));
            relook.into_iter().for_each(|(place, _)| self.release(place));
            return Vec::new();
        }
        let wanted: HashSet<Key> =
            arrivals.iter().map(|(_, arrival)| (arrival.source.identity(), arrival.source.kind)).collect();
        let (folders, files): (Vec<_>, Vec<_>) =
            arrivals.into_iter().partition(|(_, arrival)| arrival.source.kind == Kind::Folder);
        let mut tasks = Vec::new();
        let mut left = Vec::new();
        for (place, arrival) in folders {
            match self.match_one(&place, &arrival, &wanted) {
                Some(moved) => {
                    let (task, stays) = self.move_folder(moved);
                    tasks.extend(task);
                    left.extend(stays);
                }
                None => left.push((place, arrival)),
            }
        }
        if !tasks.is_empty() {
            // What left a folder that moved is known only after a visit there: all others wait for that.
            self.wait_for(|waiting| waiting.arrivals.extend(left.into_iter().chain(files)));
            return tasks;
        }
        // New folders next, for something may have moved into them.
        let (taken, free): (Vec<_>, Vec<_>) =
            left.into_iter().partition(|(_, arrival)| arrival.occupied.is_some());
        let (later, free): (Vec<_>, Vec<_>) =
            free.into_iter().partition(|(place, arrival)| self.may_wait(&place.path().join(&arrival.name)));
        self.folder_waits.fetch_or(!later.is_empty(), Ordering::Relaxed);
        later.into_iter().for_each(|(place, arrival)| self.postpone(&place, arrival.name));
        if !free.is_empty() {
            self.wait_for(|waiting| waiting.arrivals.extend(taken.into_iter().chain(files)));
            return self.tasks_for(free.into_iter().map(|(place, arrival)| (place, arrival.name)).collect());
        }
        let mut left = self.withdraw(taken);
        for (place, arrival) in files {
            let stays = match self.match_one(&place, &arrival, &wanted) {
                Some(moved) => self.move_file(moved),
                None => Some((place, arrival)),
            };
            match stays {
                Some((place, arrival))
                    if arrival.occupied.is_none() && self.may_wait(&place.path().join(&arrival.name)) =>
                {
                    self.postpone(&place, arrival.name);
                }
                Some(stays) => left.extend(self.withdraw(vec![stays])),
                None => {}
            }
        }
        left.extend(self.wait_for(|waiting| std::mem::take(&mut waiting.relook)));
        self.tasks_for(left)
    }

    /// True for what the next pass will know more of: where it came from, or went to.
    fn may_wait(&self, path: &RelPath) -> bool {
        self.work.patient.is_some_and(|before| !before.is_at_or_above(path))
    }

    pub(crate) fn postpone(&self, place: &Arc<Place<S, R>>, name: Name) {
        let mut awaited = self.awaited.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        awaited.mark_name(place.path(), name);
        drop(awaited);
        self.release(Arc::clone(place));
    }

    /// Leaves for the next pass what was found gone before anybody said so: it may have got another name, which this pass
    /// was not told to look at, or one in a folder that waits.
    pub(crate) fn postpone_unannounced(&self) {
        if self.work.patient.is_none() {
            return;
        }
        let folder_waits = self.folder_waits.load(Ordering::Relaxed);
        let is_early = |place: &Arc<Place<S, R>>, removal: &Removal| {
            if self.work.beside_full {
                // Of a folder that is to be looked at as a whole nobody said what went, and it may have been long ago.
                return !self.announced.has_exactly(&place.path(), &removal.name);
            }
            let known =
                removal.known.is_some() && removal.then.is_none() && removal.reason != Reason::Excluded;
            let path = place.path();
            let unannounced =
                || !self.announced.has(&path, &removal.name) && self.may_wait(&path.join(&removal.name));
            known && (folder_waits || unannounced())
        };
        let early: Vec<_> = self.wait_for(|waiting| {
            let meant = waiting
                .removals
                .iter_mut()
                .filter(|removal| removal.as_ref().is_some_and(|(place, removal)| is_early(place, removal)));
            meant.filter_map(Option::take).collect()
        });
        for (place, removal) in early {
            self.postpone_removal(&place, removal);
        }
    }

    /// What stands under these names will be compared where it is, so it can no longer be taken away from there.
    fn withdraw(&self, arrivals: Vec<At<S, R, Arrival>>) -> Vec<At<S, R, Name>> {
        self.wait_for(|waiting| {
            if let Some(departures) = &mut waiting.departures {
                for (place, arrival) in &arrivals {
                    departures.withdraw(place, &arrival.name);
                }
            }
        });
        arrivals.into_iter().map(|(place, arrival)| (place, arrival.name)).collect()
    }

    /// Takes in the names found gone or given away so far.
    fn take_in_departures(&self) {
        let displaced = self.wait_for(|waiting| {
            let mut departures = waiting.departures.take().unwrap_or_default();
            for at in departures.removals_seen..waiting.removals.len() {
                let Some((place, removal)) = &waiting.removals[at] else { continue };
                // What came here by an exchange is not what was known here.
                let known = removal.known.filter(|known| known.replica.ino == removal.replica.ino);
                // An excluded entry has not departed: the source still has it, or never had.
                if let (Some(known), true) = (known, removal.reason != Reason::Excluded) {
                    departures.add_origin(place, &removal.name, Some(at), known);
                }
            }
            departures.removals_seen = waiting.removals.len();
            let displaced = std::mem::take(&mut waiting.displaced);
            for (place, displaced) in &displaced {
                departures.add_origin(place, &displaced.name, None, displaced.known);
            }
            waiting.departures = Some(departures);
            displaced
        });
        for (place, _) in displaced {
            self.release(place);
        }
    }

    /// Takes the departure that fits an arrival out of the list; with a folder goes all below it.
    fn match_one(
        &self,
        place: &Arc<Place<S, R>>,
        arrival: &Arrival,
        wanted: &HashSet<Key>,
    ) -> Option<Move<S, R>> {
        let key = (arrival.source.identity(), arrival.source.kind);
        let to = place.path().join(&arrival.name);
        let is_top = |waiting: &mut crate::waiting::Waiting<S, R>| {
            waiting.departures.as_ref().is_some_and(|known| known.holds(&key))
        };
        if !self.wait_for(is_top) {
            self.expand_departures();
        }
        self.wait_for(|waiting| {
            let departures = waiting.departures.as_mut()?;
            let departure = departures.take(&key)?;
            let from = departures.path(&departure);
            let now = departures.path_now(&departure);
            // Where an exchange has brought it, it stays.
            let others = [&from, &now].into_iter().filter(|at| **at != to);
            if others.into_iter().any(|at| to.is_within(at) || at.is_within(&to)) {
                // Nothing can be renamed into itself, nor take the place of what holds it: it is copied.
                waiting.copied_away.push(from);
                return None;
            }
            let taken_by_wanted = departures.is_wanted(place, &arrival.name, wanted);
            let (place, arrival) = (Arc::clone(place), arrival.clone());
            Some(Move { place, arrival, departure, from, taken_by_wanted })
        })
    }

    /// The folder to visit under its new name, or what [`Run::could_not_move`] gives back.
    fn move_folder(&self, moved: Move<S, R>) -> (Option<Task<S, R>>, Stays<S, R>) {
        let renamed = self.with_origin(&moved.departure, |from, name| {
            let opened = self.work.replica.open_folder(from, name)?;
            let before = self.work.replica.stamp(&opened)?;
            moved.departure.check(&before)?;
            self.rename((from, name), &moved, &before)?;
            Ok((opened, before))
        });
        let (place, name) = (Arc::clone(&moved.place), moved.arrival.name.clone());
        match renamed {
            Ok((opened, before)) => {
                let known = moved.departure.known;
                place.learn(&name, Some(known));
                place.touch();
                self.wait_for(|waiting| waiting.moved_here.extend(known.folder));
                let how = How::Moved(opened, Box::new(before));
                let extent = Extent::Subtree;
                (Some(Task::Enter { parent: place, name, id: known.folder, how, extent }), None)
            }
            Err(error) => (None, self.could_not_move(moved, error)),
        }
    }

    /// Gives back what [`Run::could_not_move`] does.
    fn move_file(&self, moved: Move<S, R>) -> Stays<S, R> {
        let now = (self.work.clock)();
        let renamed = self.with_origin(&moved.departure, |from, name| {
            let before = self.work.replica.look(from, name)?.ok_or(Error::Changed)?;
            moved.departure.check(&before)?;
            let verdict = self.compare_moved(&moved, (from, name), &before)?;
            let done = self.rename((from, name), &moved, &before)?;
            Ok((verdict, done.replica.unwrap_or(before), done))
        });
        match renamed {
            Ok((verdict, replica, done)) => {
                self.after_move(&moved, verdict, replica, done, now);
                self.release(moved.place);
                None
            }
            Err(error) => self.could_not_move(moved, error),
        }
    }

    /// It is copied instead. Gives it back to be compared under its new name, unless it is looked at again because it failed.
    fn could_not_move(&self, moved: Move<S, R>, error: Error) -> Stays<S, R> {
        let key = (moved.arrival.source.identity(), moved.arrival.source.kind);
        self.wait_for(|waiting| {
            waiting.copied_away.push(moved.from);
            waiting.departures.iter_mut().for_each(|departures| departures.refuse(key));
        });
        // What the replica has there, or had, does not allow it. That stays so, and the few rounds are for what may pass.
        if error.is_changed() {
            return Some((moved.place, moved.arrival));
        }
        self.again(&moved.place, &moved.arrival.name, error);
        self.release(moved.place);
        None
    }

    /// Compares a moved file before it is renamed: its change time says that something happened, not that it was only
    /// the move, so its contents are read.
    fn compare_moved(
        &self,
        moved: &Move<S, R>,
        from: (&R::Folder, &Name),
        before: &Stamp,
    ) -> Result<Verdict> {
        let Move { place, arrival: Arrival { name, source, .. }, departure, .. } = moved;
        let verdict = compare_entry(source, before, Some(&departure.known), &self.work.policy);
        if verdict != Verdict::Doubt {
            return Ok(verdict);
        }
        let finding = Finding {
            name: name.clone(),
            source: Some(*source),
            replica: Some(*before),
            known: Some(departure.known),
            verdict,
        };
        let original = (&*place.source(self.work.source)?, name);
        let look = self.look_at_both(&finding, (original, source), (from, before))?;
        Ok(finding.settle(look, &self.work.policy).verdict)
    }

    fn after_move(&self, moved: &Move<S, R>, verdict: Verdict, replica: Stamp, done: Done, now: Time) {
        let source = moved.arrival.source;
        let is_told = matches!(verdict, Verdict::Same { .. } | Verdict::Meta(_) | Verdict::Differs(_));
        if is_told && (source.nlink > 1 || replica.nlink > 1) {
            let (name, known) = (moved.arrival.name.clone(), None);
            let finding = Finding { name, source: Some(source), replica: Some(replica), known, verdict };
            moved.place.touch();
            return self.put_aside(&moved.place, finding, source);
        }
        let (verb, reason) = match verdict {
            Verdict::Meta(diff) => (Verb::Meta { source, replica }, Reason::Attrs(Box::new(diff))),
            Verdict::Differs(reason) => (Verb::Update { source, replica }, reason),
            Verdict::Same { .. } => {
                let step = Step {
                    name: moved.arrival.name.clone(),
                    verb: Verb::Create { source },
                    reason: Reason::New,
                };
                return self.learn_step(&moved.place, &step, done, now);
            }
            // Not proven equal (a newer file that is left alone, say): the index must not say so.
            _ => {
                moved.place.touch();
                return self.wait_for(|waiting| {
                    waiting.relook.push((moved.place.retain(), moved.arrival.name.clone()))
                });
            }
        };
        moved.place.touch();
        self.take(&moved.place, &Step { name: moved.arrival.name.clone(), verb, reason }, now);
    }

    /// Gives what departed its new name, and notes what stands under the old one now.
    fn rename(&self, from: (&R::Folder, &Name), moved: &Move<S, R>, before: &Stamp) -> Result<Done> {
        let Move { place, arrival, departure, .. } = moved;
        let there = match place.has_replica {
            true => self.work.replica.look(&*place.replica(self.work.replica)?, &arrival.name)?,
            false => None,
        };
        // An exchange may have brought it here already.
        let is_here = there.is_some_and(|there| there.identity() == before.identity());
        let stands = self.wait_for(|waiting| Some(waiting.departures.as_ref()?.path_now(departure)));
        let stands = stands.unwrap_or_default();
        if is_here && stands == place.path().join(&arrival.name) {
            // The exchange was told.
            return Ok(Done::looks(*before));
        }
        let swaps = there.is_some_and(|there| {
            moved.taken_by_wanted || there.kind == Kind::Folder || before.kind == Kind::Folder
        });
        // Names are exchanged only with an acquaintance, at the top of what departed, and where no filter keeps things.
        let is_acquaintance = self.wait_for(|waiting| {
            waiting.departures.as_ref().is_some_and(|known| known.has_origin_at(place, &arrival.name))
        });
        let may_swap = is_acquaintance && departure.below.is_empty() && place.filter.is_empty();
        if swaps && !is_here && !may_swap {
            return Err(Error::Changed);
        }
        let verb = Verb::Rename {
            source: arrival.source,
            replica: *before,
            replaces: there,
            from: moved.from.clone(),
        };
        let step = Step { name: arrival.name.clone(), verb, reason: Reason::Moved(moved.from.clone()) };
        let stands = (from.0, from.1, &stands);
        let take = |step: &Step| match (is_here, swaps) {
            (true, _) => Ok(Done::looks(*before)),
            (false, true) => self.hands.exchange(stands, place, step),
            (false, false) => self.hands.rename(stands, place, step),
        };
        let done = self.timed(place, &step, Instant::now(), take, Done::came_to)?;
        if !is_here {
            self.note_departure(place, arrival, departure, swaps);
        }
        Ok(done)
    }

    /// The old name is free now, or holds what was in the way at the new one.
    fn note_departure(&self, to: &Arc<Place<S, R>>, arrival: &Arrival, departure: &Departure, swapped: bool) {
        // Nobody may visit the folder that held it in this pass, when its deletion is held.
        if let (Some(holder), Some(name)) = (departure.holder, departure.below.last())
            && self.work.index.row(holder).is_some()
        {
            self.work.index.edit(holder, |row| row.edited(vec![(name.clone(), None)]));
        }
        let freed = self.wait_for(|waiting| {
            waiting.recount_what_goes();
            waiting.has_moved = true;
            let departures = waiting.departures.as_mut()?;
            if !departure.below.is_empty() {
                return None;
            }
            let (old, name, removal) = {
                let origin = &departures.origins[departure.origin];
                (Arc::clone(&origin.place), origin.name.clone(), origin.removal_among(&waiting.removals))
            };
            if swapped {
                departures.relocate((to, &arrival.name), (&old, &name));
            }
            let taken = removal.and_then(|at| waiting.removals.get_mut(at)?.take());
            if let (Some((place, _)), false) = (&taken, swapped) {
                place.learn(&name, None);
            }
            Some((old, name, taken.map(|(place, removal)| (place, removal.then.is_some()))))
        });
        let Some((old, name, removal)) = freed else { return };
        old.touch();
        match removal {
            // What is there after a swap is compared like anything else: it goes, stays or moves on. And something may have
            // to be made under the old name.
            Some((place, makes)) if swapped || makes => {
                self.wait_for(|waiting| waiting.relook.push((place, name)))
            }
            Some((place, _)) => self.release(place),
            None => {}
        }
    }

    /// Opens the replica's folder in which something is that departed, and hands it on with the name in it.
    fn with_origin<T>(
        &self,
        departure: &Departure,
        work: impl FnOnce(&R::Folder, &Name) -> Result<T>,
    ) -> Result<T> {
        let found = self.wait_for(|waiting| {
            let departures = waiting.departures.as_ref()?;
            let origin = &departures.origins[departure.origin];
            Some((Arc::clone(&origin.place), origin.name.clone(), departures.path_now(departure)))
        });
        let (place, top, path) = found.ok_or(Error::Changed)?;
        let start = place.replica(self.work.replica)?;
        let Some((name, between)) = departure.below.split_last() else {
            return work(&start, &top);
        };
        let mut folder = self.work.replica.open_folder(&start, &top)?;
        for part in between {
            folder = self.work.replica.open_folder(&folder, part)?;
        }
        let stamp = self.work.replica.stamp(&folder)?;
        path.split().into_iter().for_each(|(parent, _)| self.hands.note_left(&parent, &stamp));
        self.hands.unlock(&folder, &stamp)?;
        work(&folder, name)
    }
}
