//! Moves: what is gone from one name and stands under another is renamed on the replica.
//!
//! Folders are matched before files and in rounds: a folder that moved brings along what is in it, and what left it is
//! found when it is visited under its new name.

use std::collections::HashMap;
use std::sync::Arc;

use alike_model::compare::{Finding, Verdict, compare_entry};
use alike_model::dirty::Extent;
use alike_model::entry::{Identity, Kind, Stamp};
use alike_model::known::{FolderId, Known};
use alike_model::path::{Name, RelPath};
use alike_model::plan::{Removal, Step, Verb};
use alike_model::reason::Reason;
use alike_storage::{Error, Replica, Result, Source};

use crate::doubt::compare_contents;
use crate::hands::Hands;
use crate::pass::Run;
use crate::place::Place;
use crate::visit::{How, Task};

/// What is gone from its old name, by what it was.
#[derive(Default)]
pub(crate) struct Departures {
    by_identity: HashMap<(Identity, Kind), Departure>,
    /// How many of the removals have been taken in.
    seen: usize,
}

/// Where something used to be: at a removal, or below one.
#[derive(Clone)]
struct Departure {
    removal: usize,
    below: Vec<Name>,
    known: Known,
}

impl Departures {
    /// True when the step's source is one of them.
    pub(crate) fn have(&self, step: &Step) -> bool {
        step.verb
            .source()
            .is_some_and(|source| self.by_identity.contains_key(&(source.identity(), source.kind)))
    }
}

/// A match: what moved, from where.
struct Move<S: Source, R: Replica> {
    place: Arc<Place<S, R>>,
    step: Step,
    departure: Departure,
}

impl<S: Source, R: Replica, H: Hands<S, R>> Run<'_, S, R, H> {
    /// Matches what arrived with what departed. Returns folders to visit: those that moved, or, when none did, those with
    /// arrivals that came from nowhere.
    pub(crate) fn match_moves(&self) -> Vec<Task<S, R>> {
        if self.work.stop.is_set() {
            return self.give_up_arrivals();
        }
        self.take_in_departures();
        let (mut folders, files) = self.wait_for(|waiting| {
            std::mem::take(&mut waiting.arrivals)
                .into_iter()
                .partition::<Vec<_>, _>(|(_, step)| is_folder(step))
        });
        let mut tasks = Vec::new();
        let mut left = Vec::new();
        for (place, step) in folders.drain(..) {
            match self.departure_of(&step) {
                Some(departure) => tasks.extend(self.move_folder(Move { place, step, departure })),
                None => left.push((place, step.name)),
            }
        }
        if !tasks.is_empty() {
            // What left a folder that moved is known only after a visit there: files wait for that.
            self.wait_for(|waiting| waiting.arrivals.extend(files));
            tasks.extend(self.tasks_for(left));
            return tasks;
        }
        for (place, step) in files {
            match self.departure_of(&step) {
                Some(departure) => self.move_file(Move { place, step, departure }),
                None => left.push((place, step.name)),
            }
        }
        self.tasks_for(left)
    }

    fn give_up_arrivals(&self) -> Vec<Task<S, R>> {
        let arrivals = self.wait_for(|waiting| std::mem::take(&mut waiting.arrivals));
        for (place, _) in arrivals {
            self.release(place);
        }
        Vec::new()
    }

    /// Lists what the removals found so far would take away; looks below gone folders only when something arrived.
    fn take_in_departures(&self) {
        let (mut departures, removals, wanted) = self.wait_for(|waiting| {
            let departures = waiting.departures.take().unwrap_or_default();
            let removals: Vec<(usize, Known)> = (departures.seen..waiting.removals.len())
                .filter_map(|at| {
                    let (_, removal) = waiting.removals[at].as_ref()?;
                    // A name that now holds another kind is gone as well; an excluded one is not.
                    (removal.reason != Reason::Excluded).then_some((at, removal.known?))
                })
                .collect();
            (departures, removals, !waiting.arrivals.is_empty())
        });
        departures.seen = self.wait_for(|waiting| waiting.removals.len());
        for (removal, known) in removals {
            let top = Departure { removal, below: Vec::new(), known };
            if let (Some(id), true) = (known.folder, wanted) {
                self.take_in_below(id, &top, &mut departures);
            }
            departures.by_identity.insert((known.source.identity, known.kind), top);
        }
        self.wait_for(|waiting| waiting.departures = Some(departures));
    }

    fn take_in_below(&self, id: FolderId, top: &Departure, departures: &mut Departures) {
        let mut folders = vec![(id, Vec::new())];
        while let Some((id, below)) = folders.pop() {
            for (name, known) in self.work.index.row(id).unwrap_or_default().entries {
                let mut path: Vec<Name> = below.clone();
                path.push(name);
                if let Some(id) = known.folder {
                    folders.push((id, path.clone()));
                }
                let departure = Departure { below: path, known, ..top.clone() };
                departures.by_identity.insert((known.source.identity, known.kind), departure);
            }
        }
    }

    /// Takes the departure that fits out of the list; when it is a folder, also all below it.
    fn departure_of(&self, step: &Step) -> Option<Departure> {
        let source = step.verb.source()?;
        self.wait_for(|waiting| {
            let list = &mut waiting.departures.as_mut()?.by_identity;
            let found = list.remove(&(source.identity(), source.kind))?;
            // Its name may be taken already: the removal was handled as part of another move.
            waiting.removals.get(found.removal)?.as_ref()?;
            if found.known.kind == Kind::Folder {
                list.retain(|_, other| {
                    other.removal != found.removal || !other.below.starts_with(&found.below)
                });
            }
            Some(found)
        })
    }

    fn move_folder(&self, moved: Move<S, R>) -> Option<Task<S, R>> {
        let Move { place, step, departure } = moved;
        let id = departure.known.folder;
        let known = departure.known;
        let moved = self.with_old_folder(&departure, |from, from_path| {
            let (folder, name) = (from, &from_path.1);
            let opened = self.work.replica.open_folder(folder, name)?;
            let before = self.work.replica.stamp(&opened)?;
            self.rename((folder, name), &place, &step, &before, from_path.0.join(name))?;
            Ok((opened, before))
        });
        match moved {
            Ok((opened, before)) => {
                self.departed(&departure);
                place.learn(&step.name, Some(known));
                place.draft(|draft| draft.touched = true);
                let how = How::Moved(opened, Box::new(before));
                Some(Task::Enter { parent: place, name: step.name, id, how, extent: Extent::Subtree })
            }
            Err(error) => {
                self.again(&place, &step.name, error);
                self.release(place);
                None
            }
        }
    }

    fn move_file(&self, moved: Move<S, R>) {
        let Move { place, step, departure } = moved;
        let now = (self.work.clock)();
        let renamed = self.with_old_folder(&departure, |from, from_path| {
            let (folder, name) = (from, &from_path.1);
            let before = self.work.replica.look(folder, name)?.ok_or(Error::Changed)?;
            let verdict = self.compare_moved(&place, &step, (folder, name), &before, &departure.known)?;
            let done = self.rename((folder, name), &place, &step, &before, from_path.0.join(name))?;
            Ok((verdict, done.replica.unwrap_or(before), done))
        });
        match renamed {
            Ok((verdict, replica, done)) => {
                self.departed(&departure);
                self.after_move(&place, &step, verdict, replica, done, now);
            }
            Err(error) => self.again(&place, &step.name, error),
        }
        self.release(place);
    }

    /// Compares a moved file before it is renamed: its change time says that something happened, not that it was only
    /// the move, so its contents are read.
    fn compare_moved(
        &self,
        place: &Arc<Place<S, R>>,
        step: &Step,
        from: (&R::Folder, &Name),
        before: &Stamp,
        known: &Known,
    ) -> Result<Verdict> {
        let source = *step.verb.source().ok_or(Error::Changed)?;
        let verdict = compare_entry(&source, before, Some(known), &self.work.policy);
        if verdict != Verdict::Doubt {
            return Ok(verdict);
        }
        let contents = compare_contents(
            (self.work.source, (&place.source, &step.name), &source),
            (self.work.replica, from, before),
            self.work.policy.compare,
            &|| self.work.stop.is_set(),
        )?;
        let finding = Finding {
            name: step.name.clone(),
            source: Some(source),
            replica: Some(*before),
            known: Some(*known),
            verdict,
        };
        Ok(finding.settle(contents, &self.work.policy).verdict)
    }

    fn after_move(
        &self,
        place: &Arc<Place<S, R>>,
        step: &Step,
        verdict: Verdict,
        replica: Stamp,
        done: crate::hands::Done,
        now: alike_model::entry::Time,
    ) {
        let Some(source) = step.verb.source().copied() else { return };
        let (verb, reason) = match verdict {
            Verdict::Meta(diff) => (Verb::Meta { source, replica }, Reason::Attrs(diff)),
            Verdict::Differs(reason) => (Verb::Update { source, replica }, reason),
            _ => return self.learn_step(place, step, done, now),
        };
        place.draft(|draft| draft.touched = true);
        self.take(place, &Step { name: step.name.clone(), verb, reason }, now);
    }

    fn rename(
        &self,
        from: (&R::Folder, &Name),
        place: &Arc<Place<S, R>>,
        step: &Step,
        before: &Stamp,
        from_path: RelPath,
    ) -> Result<crate::hands::Done> {
        let source = *step.verb.source().ok_or(Error::Changed)?;
        let replaces = step.verb.replaces().copied();
        let verb = Verb::Rename { source, replica: *before, replaces, from: from_path.clone() };
        let step = Step { name: step.name.clone(), verb, reason: Reason::Moved(from_path) };
        self.timed(place, &step, |step| self.hands.rename(from, place, step), |_| None)
    }

    /// Opens the replica's folder in which something used to be, and hands it on with its path and the name in it.
    fn with_old_folder<T>(
        &self,
        departure: &Departure,
        work: impl FnOnce(&R::Folder, &(RelPath, Name)) -> Result<T>,
    ) -> Result<T> {
        let (place, top) = self
            .wait_for(|waiting| {
                let (place, removal) = waiting.removals.get(departure.removal)?.as_ref()?;
                Some((Arc::clone(place), removal.name.clone()))
            })
            .ok_or(Error::Changed)?;
        let start = place.replica.as_ref().ok_or(Error::Changed)?;
        let mut path = place.path();
        let Some((name, between)) = departure.below.split_last() else {
            return work(start, &(path, top));
        };
        let mut folder = self.work.replica.open_folder(start, &top)?;
        path.push(&top);
        for part in between {
            folder = self.work.replica.open_folder(&folder, part)?;
            path.push(part);
        }
        let stamp = self.work.replica.stamp(&folder)?;
        self.hands.unlock(&folder, &stamp)?;
        work(&folder, &(path, name.clone()))
    }

    /// What departed has arrived: it is no longer to be removed.
    fn departed(&self, departure: &Departure) {
        let taken = self.wait_for(|waiting| {
            if departure.below.is_empty() {
                let (place, removal) = waiting.removals.get_mut(departure.removal)?.take()?;
                return Some((place, removal));
            }
            let (place, removal) = waiting.removals.get(departure.removal)?.as_ref()?;
            waiting.moved_away.insert(place.path().join(&removal.name).joined(&departure.below));
            None
        });
        if let Some((place, removal)) = taken {
            self.after_departure(place, removal);
        }
    }

    fn after_departure(&self, place: Arc<Place<S, R>>, removal: Removal) {
        place.learn(&removal.name, None);
        place.draft(|draft| draft.touched = true);
        match removal.then {
            // Something else stands under the old name now; it is looked at again, and made.
            Some(_) => self.wait_for(|waiting| waiting.again.push((place, removal.name))),
            None => self.release(place),
        }
    }
}

fn is_folder(step: &Step) -> bool {
    step.verb.source().is_some_and(|source| source.kind == Kind::Folder)
}
