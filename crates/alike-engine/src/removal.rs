//! Deletions: counted as a whole, judged as a whole, and only then done, each after one more look.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use alike_model::entry::{Entry, Kind, Stamp};
use alike_model::event::Action;
use alike_model::filter::Filter;
use alike_model::guard::Proposal;
use alike_model::known::{FolderId, Row};
use alike_model::path::{Name, RelPath};
use alike_model::plan::{Removal, Step, Verb};
use alike_model::reason::Reason;
use alike_storage::{Error, Replica, Result, Source};

use crate::hands::Hands;
use crate::ignore_files::read_ignore_files;
use crate::monitor::Event;
use crate::pass::Run;
use crate::place::Place;

/// A folder of the replica on its way out.
struct Leaving<F> {
    folder: F,
    path: RelPath,
    name: Option<Name>,
    stamp: Stamp,
    id: Option<FolderId>,
    row: Row,
    filter: Filter,
    filter_changed: bool,
    left: std::vec::IntoIter<Entry>,
    /// Something in it stays, so it does.
    stays: bool,
}

/// What is done with each entry that may go: `Ok(true)` when it is gone.
type Remove<'a, F> = dyn FnMut(&F, &RelPath, Step) -> Result<bool> + 'a;

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
            let _ = self.walk(&place, &removal, false, &mut |_, _, _| {
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

    fn peek(&self, at: usize) -> Option<(Arc<Place<S, R>>, Removal)> {
        self.wait_for(|waiting| {
            waiting.removals.get(at)?.as_ref().map(|(place, removal)| (Arc::clone(place), removal.clone()))
        })
    }

    /// Does the waiting deletions, and makes what takes their place.
    pub(crate) fn delete(&self) {
        // There is no further round: what fails from here on is reported at once.
        self.round.store(u32::MAX - 1, Ordering::Relaxed);
        let removals = self.wait_for(|waiting| std::mem::take(&mut waiting.removals));
        for (place, removal) in removals.into_iter().flatten() {
            if !self.work.stop.is_set() {
                self.delete_one(&place, &removal);
            }
            self.release(place);
        }
        for (place, name) in self.wait_for(|waiting| std::mem::take(&mut waiting.again)) {
            self.put_off(place.path().join(&name), "changed meanwhile");
            self.release(place);
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
        let gone = self.check_gone(place, removal).and_then(|()| {
            let mut remove =
                |folder: &R::Folder, path: &RelPath, step: Step| self.remove(folder, path, &step);
            self.walk(place, removal, true, &mut remove)
        });
        match gone {
            Ok(true) => {
                self.work.watch.gone(&place.path().join(&removal.name));
                place.learn(&removal.name, None);
                place.draft(|draft| draft.touched = true);
                if let Some(step) = &removal.then {
                    self.take(place, step, (self.work.clock)());
                }
            }
            Ok(false) => place.draft(|draft| draft.touched = true),
            Err(Error::Interrupted) => {}
            Err(error) if error.is_changed() => {
                self.put_off(place.path().join(&removal.name), "changed meanwhile; left alone");
            }
            Err(error) => self.fail(place.path().join(&removal.name), error.to_string()),
        }
    }

    /// The last look: what is back in the source is not deleted.
    fn check_gone(&self, place: &Arc<Place<S, R>>, removal: &Removal) -> Result<()> {
        let now = self.work.source.look(&*place.source(self.work.source)?, &removal.name)?;
        match (now, &removal.reason) {
            (None, _) | (Some(_), Reason::Excluded) => Ok(()),
            (Some(now), Reason::Displaced(kind)) if now.kind == *kind => Ok(()),
            (Some(_), _) => Err(Error::Changed),
        }
    }

    fn remove(&self, folder: &R::Folder, path: &RelPath, step: &Step) -> Result<bool> {
        let started = Instant::now();
        match self.hands.remove(folder, step) {
            Ok(()) => {
                let action =
                    if matches!(step.verb, Verb::Rmdir { .. }) { Action::Rmdir } else { Action::Delete };
                let event = Event::about(self.number, action, path.clone(), step.reason.to_string());
                self.tell(Event { took: Some(started.elapsed()), ..event });
                Ok(true)
            }
            Err(error) => {
                self.fail(path.clone(), error.to_string());
                Ok(false)
            }
        }
    }

    /// Walks an entry of the replica, contents first, and hands each that may go to `remove`. Excluded entries, and
    /// folders that hold one, stay. Returns whether the entry itself is gone.
    fn walk(
        &self,
        place: &Arc<Place<S, R>>,
        removal: &Removal,
        aloud: bool,
        remove: &mut Remove<'_, R::Folder>,
    ) -> Result<bool> {
        let top = &*place.replica(self.work.replica)?;
        let path = place.path().join(&removal.name);
        let step = |verb| Step { name: removal.name.clone(), verb, reason: removal.reason.clone() };
        if removal.replica.kind != Kind::Folder {
            return remove(top, &path, step(Verb::Delete { replica: removal.replica }));
        }
        let id = removal.known.and_then(|known| known.folder);
        let mut stack = vec![self.leaving(
            top,
            &removal.name,
            (path, removal.replica, id),
            (&place.filter, false),
            aloud,
        )?];
        loop {
            if self.work.stop.is_set() {
                return Err(Error::Interrupted);
            }
            let Some(here) = stack.last_mut() else { return Ok(true) };
            if let Some(entry) = here.left.next() {
                if let Some(deeper) = self.walk_entry(here, entry, &removal.reason, aloud, remove)? {
                    stack.push(deeper);
                }
                continue;
            }
            let Some(done) = stack.pop() else { return Ok(true) };
            let (folder, name) = match stack.last() {
                Some(above) => (&above.folder, done.name.clone().unwrap_or_else(|| removal.name.clone())),
                None => (top, removal.name.clone()),
            };
            let step =
                Step { name, verb: Verb::Rmdir { replica: done.stamp }, reason: removal.reason.clone() };
            let gone = !done.stays && remove(folder, &done.path, step)?;
            match (gone, stack.last_mut()) {
                (true, _) if aloud => done.id.into_iter().for_each(|id| self.work.index.remove(id)),
                (true, _) => {}
                (false, Some(above)) => above.stays = true,
                (false, None) => {
                    if aloud && done.stays {
                        let reason = Reason::KeptBelow.to_string();
                        self.work.monitor.event(Event::about(self.number, Action::Hold, done.path, reason));
                    }
                    return Ok(false);
                }
            }
        }
    }

    /// Handles one entry of a folder that is leaving; returns it when it is a folder to walk.
    fn walk_entry(
        &self,
        here: &mut Leaving<R::Folder>,
        entry: Entry,
        reason: &Reason,
        aloud: bool,
        remove: &mut Remove<'_, R::Folder>,
    ) -> Result<Option<Leaving<R::Folder>>> {
        let path = here.path.join(&entry.name);
        let stamp = match entry.look {
            Ok(stamp) => stamp,
            Err(why) => {
                here.stays = true;
                if aloud {
                    self.fail(path, why.0);
                }
                return Ok(None);
            }
        };
        if self.wait_for(|waiting| waiting.moved_away.contains(&path)) {
            return Ok(None);
        }
        let is_folder = stamp.kind == Kind::Folder;
        if !self.work.policy.delete_excluded && here.filter.excludes(&here.path, &entry.name, is_folder) {
            here.stays = true;
            return Ok(None);
        }
        let known = here.row.get(&entry.name).copied();
        if here.filter_changed && known.is_none() && !self.deletes_allowed() {
            here.stays = true;
            if aloud {
                self.tell(Event::about(self.number, Action::Hold, path, Reason::FilterChanged.to_string()));
            }
            return Ok(None);
        }
        if is_folder {
            let id = known.and_then(|known| known.folder);
            let about = (path, stamp, id);
            return Ok(self.deeper(here, &entry.name, about, aloud));
        }
        let step = Step { name: entry.name, verb: Verb::Delete { replica: stamp }, reason: reason.clone() };
        if !remove(&here.folder, &path, step)? {
            here.stays = true;
        }
        Ok(None)
    }

    /// Opens a folder below; one that cannot be opened stays, and so does what holds it.
    fn deeper(
        &self,
        here: &mut Leaving<R::Folder>,
        name: &Name,
        about: (RelPath, Stamp, Option<FolderId>),
        aloud: bool,
    ) -> Option<Leaving<R::Folder>> {
        let path = about.0.clone();
        match self.leaving(&here.folder, name, about, (&here.filter, here.filter_changed), aloud) {
            Ok(leaving) => Some(leaving),
            Err(error) => {
                here.stays = true;
                if aloud {
                    self.fail(path, error.to_string());
                }
                None
            }
        }
    }

    fn leaving(
        &self,
        parent: &R::Folder,
        name: &Name,
        (path, stamp, id): (RelPath, Stamp, Option<FolderId>),
        (filter, filter_changed): (&Filter, bool),
        aloud: bool,
    ) -> Result<Leaving<R::Folder>> {
        let folder = self.work.replica.open_folder(parent, name)?;
        self.refuse_roots(&self.work.replica.stamp(&folder)?)?;
        if aloud {
            self.hands.unlock(&folder, &stamp)?;
        }
        // The source's ignore files are gone with the folder; the replica still has them as they were.
        let filter = read_ignore_files(self.work.replica, &folder, filter, &|| path.clone())?
            .unwrap_or_else(|(filter, _)| filter);
        let row = id.and_then(|id| self.work.index.row(id));
        let filter_changed =
            filter_changed || row.as_ref().is_some_and(|row| row.filter != filter.fingerprint());
        let left = self.work.replica.list(&folder)?.into_iter();
        let name = Some(name.clone());
        let row = row.unwrap_or_default();
        Ok(Leaving { folder, path, name, stamp, id, row, filter, filter_changed, left, stays: false })
    }
}
