//! One folder: opened on both sides, scanned, compared, planned, and whatever need not wait applied.

use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::Instant;

use alike_model::compare::{Finding, compare_folder};
use alike_model::dirty::Extent;
use alike_model::entry::{Entry, Kind, Stamp, Time};
use alike_model::event::Action;
use alike_model::known::{FolderId, Known, Row};
use alike_model::path::{Name, OWN_FOLDER, RelPath};
use alike_model::plan::{Descent, FolderPlan, Horizon, Step, Verb, plan_folder};
use alike_model::reason::{AttrsDiff, Reason};
use alike_model::xattrs::XattrsDiff;
use alike_storage::{Error, Replica, Result, Source};

use crate::crew::Tasks;
use crate::hands::{Done, Hands};
use crate::ignore_files::{older_filter, read_ignore_files};
use crate::monitor::Event;
use crate::pass::Run;
use crate::place::{Here, Opened, Place};
use crate::waiting::{How, Task, Waiting};

impl<S: Source, R: Replica, H: Hands<S, R>> Run<'_, S, R, H> {
    /// Visits one folder, and adds its subfolders to the tasks.
    pub(crate) fn visit(&self, task: Task<S, R>, more: &Tasks<Task<S, R>>) {
        match task {
            Task::Enter { parent, .. } if self.work.stop.is_set() => self.release(parent),
            Task::Look { place, .. } if self.work.stop.is_set() => self.release(place),
            Task::Look { place, extent } => self.look(place, extent, more),
            // What is missing in a folder that was never proven equal was not announced.
            Task::Enter { parent, id: None, how: How::ByName(_), .. } if self.work.beside_full => {
                self.release(parent);
            }
            Task::Enter { parent, name, id, how, extent } => {
                let id = id.filter(|_| !self.is_half_made(&parent, &name));
                let makes = matches!(how, How::Make(_));
                let extent = match self.owed(id) {
                    Some(owed) => extent.with(owed),
                    None => extent,
                };
                match self.enter(&parent, &name, id, how) {
                    Ok((place, seen_before)) => {
                        // Held on to, it would keep the whole chain above open while that is being finished.
                        drop(parent);
                        self.look(place, if seen_before { extent } else { Extent::Subtree }, more);
                    }
                    Err(error) => {
                        self.owe(id, extent);
                        if makes {
                            self.is_only_made(&parent, &name);
                        }
                        match error {
                            // Looked at again it would be taken for the replica's own.
                            Error::MountedOver => self.fail(parent.path().join(&name), error.to_string()),
                            error => self.again(&parent, &name, error),
                        }
                        self.release(parent);
                    }
                }
            }
        }
    }

    /// Opens a folder on both sides; also tells whether the index knows it.
    pub(crate) fn enter(
        &self,
        parent: &Here<S, R>,
        name: &Name,
        id: Option<FolderId>,
        how: How<R::Folder>,
    ) -> Result<(Here<S, R>, bool)> {
        let source = self.work.source.open_folder(&*parent.source(self.work.source)?, name)?;
        let (replica, replica_stamp) = match how {
            How::Moved(folder, stamp) => (Some(folder), Some(*stamp)),
            How::Make(step) => {
                let make = |step: &Step| self.hands.make_folder(parent, step);
                let (made, _) =
                    self.timed(parent, &step, Instant::now(), make, |(_, kept)| (None, kept.clone()))?;
                parent.touch();
                (made, None)
            }
            How::ByName(seen) => {
                let folder = parent.replica(self.work.replica)?;
                let folder = self.work.replica.open_folder(&folder, name)?;
                let stamp = self.work.replica.stamp(&folder)?;
                self.refuse_roots(&stamp)?;
                if seen.is_some_and(|seen| seen != (stamp.dev, stamp.ino)) {
                    let is_mounted = self.work.replica.is_mount(&folder)?;
                    return Err(if is_mounted { Error::MountedOver } else { Error::Changed });
                }
                (Some(folder), Some(stamp))
            }
        };
        // Watch first, then look: what changes after the look is announced.
        let path = || parent.path().join(name);
        self.work.watch.about_to_look(&path, &source);
        let source_stamp = self.work.source.stamp(&source)?;
        self.refuse_roots(&source_stamp)?;
        let (filter, bad) = read_ignore_files(self.work.source, &source, &parent.filter, &path)?;
        if let Some(bad) = bad {
            self.fail(path(), format!("ignore file: {bad}"));
        }
        let seen_before = id.is_some();
        let id = id.unwrap_or_else(|| self.work.index.new_folder());
        if let (Some(folder), false) = (&replica, seen_before) {
            let now = self.work.replica.stamp(folder)?;
            parent.learn(name, Some(Known::equal(&source_stamp, false, &now, Some(id))));
        }
        let xattrs = match (&replica, &replica_stamp) {
            (Some(replica), Some(_)) => self.compare_folder_xattrs(&source, replica)?,
            _ => XattrsDiff::default(),
        };
        let unknown = replica.as_ref().filter(|_| !seen_before && replica_stamp.is_some());
        let around = parent.filter_there.as_ref().unwrap_or(&parent.filter);
        let older = |there| older_filter(self.work.replica, there, around, &filter, &path);
        let filter_there = unknown.map(older).transpose()?.flatten();
        let opened = Opened { source, replica, source_stamp, replica_stamp, xattrs, filter_there };
        let place = Place::new(Some((Arc::clone(parent), name.clone())), opened, id, filter);
        self.shelf.put(&place);
        Ok((place, seen_before))
    }

    fn look(&self, place: Here<S, R>, extent: Extent, more: &Tasks<Task<S, R>>) {
        let now = (self.work.clock)();
        let row = self.row(place.id);
        let listed = place.draft(|draft| draft.listed);
        let is_known = listed || row.is_some();
        if self.work.beside_full && !is_known && place.replica_stamp.is_some() {
            return self.release(place);
        }
        let extent = self.widen(&place, &extent, is_known, listed);
        place.draft(|draft| draft.listed |= !matches!(extent, Extent::Names(_)));
        match self.scan_folder(&place, &extent) {
            Ok((source, replica)) => {
                let plan = self.plan(&place, (&source, &replica), row, (&extent, listed));
                self.carry_out(&place, plan, &extent, now, more);
            }
            Err(error) => self.not_looked_at(&place, extent, error),
        }
        self.release(place);
    }

    /// How much of a folder has to be looked at: all, when the index has no row for it or its filters changed; but not once
    /// more when this pass has listed it under these filters, for what is seen twice below it would count twice.
    fn widen(&self, place: &Here<S, R>, extent: &Extent, is_known: bool, listed: bool) -> Extent {
        let own_filters = |names: &BTreeSet<Name>| {
            names.iter().any(|name| place.filter.ignore_files().contains(&name.as_bytes()))
        };
        let elsewhere = self.work.policy.one_filesystem
            && place.parent.as_ref().is_some_and(|parent| parent.source_stamp.dev != place.source_stamp.dev);
        match extent {
            _ if elsewhere => Extent::Names(BTreeSet::new()),
            _ if !is_known => Extent::Subtree,
            Extent::Names(names) if !listed && own_filters(names) => Extent::Subtree,
            other => other.clone(),
        }
    }

    fn scan_folder(&self, place: &Here<S, R>, extent: &Extent) -> Result<(Vec<Entry>, Vec<Entry>)> {
        let (source, replica) = (self.work.source, self.work.replica);
        let original = &*place.source(source)?;
        let copy = if place.has_replica { Some(place.replica(replica)?) } else { None };
        let mut lists = match (extent, &copy) {
            (Extent::Names(names), None) => (look_at(source, original, names)?, Vec::new()),
            (Extent::Names(names), Some(copy)) => {
                (look_at(source, original, names)?, look_at(replica, copy, names)?)
            }
            (Extent::Folder | Extent::Subtree, None) => (source.list(original)?, Vec::new()),
            (Extent::Folder | Extent::Subtree, Some(copy)) => (source.list(original)?, replica.list(copy)?),
        };
        if place.parent.is_none() {
            lists.0.retain(|entry| entry.name.as_bytes() != OWN_FOLDER);
            lists.1.retain(|entry| entry.name.as_bytes() != OWN_FOLDER);
        }
        self.work.monitor.looked(lists.0.len() as u64);
        Ok(lists)
    }

    /// Compares, settles doubts and plans.
    fn plan(
        &self,
        place: &Here<S, R>,
        (source, replica): (&[Entry], &[Entry]),
        row: Option<Row>,
        (extent, listed): (&Extent, bool),
    ) -> FolderPlan {
        let path = if place.filter.is_empty() { RelPath::root() } else { place.path() };
        let filter = place.filter.fingerprint_in(&path);
        // A folder that was left out has no row, and what changed above is why it is looked at now.
        let changed_above =
            || place.parent.as_ref().is_some_and(|parent| parent.draft(|draft| draft.filter_changed));
        let filter_changed = row.as_ref().map_or_else(changed_above, |row| row.filter != filter);
        let was_left_out = |name: &Name, is_folder: bool| {
            place.filter_there.as_ref().is_some_and(|there| there.excludes(&place.path(), name, is_folder))
        };
        place.draft(|draft| draft.filter_changed = filter_changed);
        let had_row = row.is_some();
        let mut row = row.unwrap_or_default();
        if let Extent::Names(names) = extent {
            row.entries.retain(|(name, _)| names.contains(name));
        }
        let excluded = |name: &Name, is_folder: bool| place.filter.excludes(&path, name, is_folder);
        let findings = compare_folder(source, replica, &row, &self.work.policy, excluded);
        let findings = self.distrust_links(self.distrust_disk(findings));
        self.note_links(place, &findings, !listed && !matches!(extent, Extent::Names(_)));
        let settle = |finding: Finding| match finding.waits_for_links() {
            true => finding,
            false => self.settle(place, finding),
        };
        let findings = findings.into_iter().map(settle).collect();
        let departed = |source: &Stamp| {
            self.wait_for(|waiting| {
                waiting.departures.as_ref().is_some_and(|known| known.have(source, self.indexed))
            })
        };
        let all_seen = self.wait_for(|waiting| waiting.departures.is_some());
        let departed = all_seen.then_some(&departed as &dyn Fn(&Stamp) -> bool);
        let horizon =
            Horizon { departed, indexed: self.indexed, filter_changed, was_left_out: &was_left_out };
        let plan = plan_folder(findings, &self.work.policy, horizon);
        let in_full = !matches!(extent, Extent::Names(_));
        // While something is held for what filters were, that they changed has to be remembered.
        let is_held = plan.holds.iter().any(|(_, reason)| {
            // What --no-delete keeps is to be held for that once it is deleted again.
            *reason == Reason::FilterChanged || place.filter_there.is_some()
        });
        match in_full {
            true if is_held && !had_row => place.was_under_others(),
            true if filter_changed && !plan.holds.is_empty() => {}
            true if filter_changed || !had_row => place.draft(|draft| draft.filter = Some(filter)),
            _ => {}
        }
        plan
    }

    fn carry_out(
        &self,
        place: &Here<S, R>,
        plan: FolderPlan,
        extent: &Extent,
        now: Time,
        more: &Tasks<Task<S, R>>,
    ) {
        if !matches!(extent, Extent::Names(_)) {
            self.tally(|tally| {
                tally.entries += plan.entries;
                tally.files += plan.files;
                tally.replica_entries += plan.replica_entries;
            });
        }
        let narrowed = self.narrow(place);
        self.unlock_for(place, &plan, narrowed);
        for (name, source, replica) in plan.learn {
            place.learn(&name, Some(Known::equal(&source, self.is_racy(&source, now), &replica, None)));
        }
        for name in plan.forget {
            place.learn(&name, None);
        }
        for (name, why) in plan.unreadable {
            self.fail(place.path().join(&name), why.0);
        }
        for (name, reason) in plan.skips {
            self.tell(Event::about(self.number, Action::Skip, place.path().join(&name), reason.to_string()));
        }
        for (name, reason) in plan.holds {
            if reason == Reason::FilterChanged {
                self.wait_for(|waiting| waiting.held_by_rules.push(place.path()));
            }
            self.tell(Event::about(self.number, Action::Hold, place.path().join(&name), reason.to_string()));
        }
        let mut tasks = Vec::new();
        if let (false, Err(error)) = (plan.now.is_empty(), self.check_inside(place)) {
            return self.not_looked_at(place, extent.clone(), error);
        }
        for step in plan.now {
            if self.work.stop.is_set() {
                return;
            }
            match step.verb {
                Verb::Mkdir { .. } => tasks.push(enter_new(place, step)),
                _ => self.take(place, &step, now),
            }
        }
        tasks.extend(plan.descents.into_iter().map(|descent| enter_known(place, descent, extent)));
        self.wait_for(|waiting| {
            waiting.linked.extend(plan.linked.into_iter().map(|linked| (place.retain(), linked)));
            waiting.arrivals.extend(plan.arrivals.into_iter().map(|arrival| (place.retain(), arrival)));
            waiting.displaced.extend(plan.displaced.into_iter().map(|displaced| (place.retain(), displaced)));
            waiting.removals.extend(plan.removals.into_iter().map(|removal| Some((place.retain(), removal))));
        });
        more.push(tasks.into_iter());
    }

    /// A folder that others may enter, and shall not in the end, is closed to them before anything in it is changed.
    /// Returns how it looks then; `None` for one that was just made, which is closed.
    fn narrow(&self, place: &Here<S, R>) -> Option<Stamp> {
        let (now, source) = (place.replica_stamp.as_ref()?, &place.source_stamp);
        let diff = AttrsDiff::between(&now.attrs(), &source.attrs(), Kind::Folder, &self.work.policy);
        let loses = diff.mode.is_some_and(|(old, new)| old & !new != 0);
        if !(loses || diff.owner.is_some() || !place.xattrs.is_empty()) {
            return Some(*now);
        }
        place.touch();
        // What fails here fails again when the folder is finished, and is told then.
        let done = self.hands.narrow(place, now);
        Some(Stamp { mode: if done.is_ok() { now.mode & source.mode } else { now.mode }, ..*now })
    }

    fn unlock_for(&self, place: &Here<S, R>, plan: &FolderPlan, now: Option<Stamp>) {
        let idle = plan.now.is_empty()
            && plan.arrivals.is_empty()
            && plan.removals.is_empty()
            && plan.linked.is_empty();
        if let (false, true, Some(stamp)) = (idle, place.has_replica, now) {
            match place.replica(self.work.replica).and_then(|folder| self.hands.unlock(&folder, &stamp)) {
                Ok(changed) => place.draft(|draft| draft.touched |= changed),
                Err(error) => self.fail(place.path(), error.to_string()),
            }
        }
    }

    /// Writes down what came of a step.
    pub(crate) fn took(&self, place: &Here<S, R>, step: &Step, taken: Result<Done>, now: Time) {
        match taken {
            // What stands there now is no version to learn, nor is what stood there before.
            Ok(Done { is_best_effort: true, .. }) => {
                place.touch();
                place.learn(&step.name, None);
            }
            Ok(Done { lacks: Some(lack), .. }) => {
                place.touch();
                self.again(place, &step.name, lack);
            }
            Ok(done) => match self.unkept(step, &done) {
                Some(what) => self.fail(place.path().join(&step.name), what),
                None => self.learn_step(place, step, done, now),
            },
            Err(error) => self.again(place, &step.name, error),
        }
    }

    /// What the target did not keep of the attributes that it was given, though it said that it would.
    pub(crate) fn unkept(&self, step: &Step, done: &Done) -> Option<String> {
        let (source, replica) = (step.verb.source()?, done.replica.filter(|_| !done.is_best_effort)?);
        let diff = AttrsDiff::between(&replica.attrs(), &source.attrs(), source.kind, &self.work.policy);
        (!diff.is_empty()).then(|| format!("the target did not keep what it was given: {diff}"))
    }

    /// Writes down that a step made both sides equal.
    pub(crate) fn learn_step(&self, place: &Here<S, R>, step: &Step, done: Done, now: Time) {
        if let (Some(source), Some(replica)) = (step.verb.source(), done.replica) {
            // Who does not look at all names of a file cannot say that they are one on the replica.
            let is_half = !self.full && source.kind != Kind::Folder && source.nlink > 1;
            let known = (!is_half).then(|| Known::equal(source, self.is_racy(source, now), &replica, None));
            self.linked.fetch_or(is_half, Ordering::Relaxed);
            place.learn(&step.name, known);
            // Setting attributes leaves the folder's own times alone.
            place.draft(|draft| draft.touched |= !matches!(step.verb, Verb::Meta { .. }));
        }
    }

    /// Why a step is taken; also where what it takes away cannot be kept: nobody is to count on the trash for that.
    pub(crate) fn reason(&self, step: &Step) -> String {
        let old = step.verb.replaces().filter(|_| !matches!(step.verb, Verb::Meta { .. }));
        match old.and_then(|old| self.hands.keeps(old)) {
            Some(false) => format!("{}; not kept, on another filesystem than the trash", step.reason),
            _ => step.reason.to_string(),
        }
    }

    /// Takes a step and tells the monitor of it when it succeeded. `came_to`: the bytes copied, and where is kept what was
    /// replaced.
    pub(crate) fn timed<T>(
        &self,
        place: &Here<S, R>,
        step: &Step,
        started: Instant,
        take: impl FnOnce(&Step) -> Result<T>,
        came_to: impl FnOnce(&T) -> (Option<u64>, Option<String>),
    ) -> Result<T> {
        let done = take(step)?;
        let from = match &step.verb {
            Verb::Rename { from, .. } => Some(from.clone()),
            _ => None,
        };
        let (bytes, kept) = came_to(&done);
        self.tell(Event {
            from,
            bytes,
            kept,
            took: Some(started.elapsed()),
            best_effort: step.reason.is_best_effort(),
            ..Event::about(self.number, step.verb.action(), place.path().join(&step.name), self.reason(step))
        });
        Ok(done)
    }

    /// Works on what waits.
    pub(crate) fn wait_for<T>(&self, work: impl FnOnce(&mut Waiting<S, R>) -> T) -> T {
        work(&mut self.waiting.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn enter_new<S: Source, R: Replica>(place: &Here<S, R>, step: Step) -> Task<S, R> {
    let (name, how) = (step.name.clone(), How::Make(Box::new(step)));
    Task::Enter { parent: place.retain(), name, id: None, how, extent: Extent::Subtree }
}

fn enter_known<S: Source, R: Replica>(place: &Here<S, R>, descent: Descent, extent: &Extent) -> Task<S, R> {
    // Beyond a look at single folders, only what is new is entered; of the others, just their own attributes count.
    let extent = match extent {
        Extent::Subtree => Extent::Subtree,
        Extent::Names(_) | Extent::Folder => Extent::Names(BTreeSet::new()),
    };
    let how = How::ByName(descent.replica);
    Task::Enter { parent: place.retain(), name: descent.name, id: descent.known, how, extent }
}

fn look_at<T: Source>(tree: &T, folder: &T::Folder, names: &BTreeSet<Name>) -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for name in names {
        if let Some(stamp) = tree.look(folder, name)? {
            entries.push(Entry { name: name.clone(), look: Ok(stamp) });
        }
    }
    Ok(entries)
}
