//! Folders that go whole: in one step to the trash, or out of the way of what takes their place.

use std::sync::Arc;
use std::time::Instant;

use alike_model::entry::{Kind, Stamp};
use alike_model::plan::{Removal, Step, Verb};
use alike_storage::{Replica, Result, Source};

use crate::hands::{Done, Hands};
use crate::monitor::Event;
use crate::pass::Run;
use crate::place::Here;
use crate::walk::Walking;

impl<S: Source, R: Replica, H: Hands<S, R>> Run<'_, S, R, H> {
    /// Moves a folder to the trash; `None` when it has to go entry by entry.
    pub(crate) fn remove_whole(&self, place: &Here<S, R>, removal: &Removal) -> Result<Option<bool>> {
        if !self.goes_whole(place, removal)? {
            return Ok(None);
        }
        let started = Instant::now();
        let folder = place.replica(self.work.replica)?;
        self.unlock_whole(place, removal)?;
        let (name, reason) = (removal.name.clone(), removal.reason.clone());
        let step = Step { name, verb: Verb::Rmdir { replica: removal.replica }, reason };
        let kept = self.hands.remove(&folder, &place.path().join(&removal.name), &step)?;
        self.tell_gone(place, removal, kept, started);
        Ok(Some(true))
    }

    /// Puts what takes the place of a folder there in one step, so that the name is never missing. False when the folder has
    /// to go first.
    pub(crate) fn replace_whole(&self, place: &Here<S, R>, removal: &Removal) -> Result<bool> {
        let Some(then) = &removal.then else { return Ok(false) };
        let Verb::Create { source } = &then.verb else { return Ok(false) };
        let is_linked = source.nlink > 1;
        if is_linked && self.is_elsewhere(source) || !self.goes_whole(place, removal)? {
            return Ok(false);
        }
        let (now, started) = ((self.work.clock)(), Instant::now());
        self.unlock_whole(place, removal)?;
        let verb = Verb::Update { source: *source, replica: removal.replica };
        let step = Step { verb, ..Step::clone(then) };
        let linked = if is_linked { self.link_over(place, then, &removal.replica)? } else { None };
        if let Some(kept) = linked {
            self.tell_gone(place, removal, kept, started);
            return Ok(true);
        }
        // Told as what was planned: a folder is deleted, and something created.
        let done = self.timed(place, then, started, |_| self.hands.take(place, &step), Done::came_to)?;
        self.tell_gone(place, removal, done.kept.clone(), started);
        match is_linked {
            true => self.lead_others(place, then, source, done, now),
            false => self.took(place, then, Ok(done), now),
        }
        Ok(true)
    }

    /// True when nothing in a folder stays, none of its files has other names, and all of it can be kept.
    fn goes_whole(&self, place: &Here<S, R>, removal: &Removal) -> Result<bool> {
        if removal.replica.kind != Kind::Folder || self.hands.keeps(&removal.replica) != Some(true) {
            return Ok(false);
        }
        let mut is_plain = true;
        let is_linked = |old: &Stamp| old.kind != Kind::Folder && old.nlink > 1;
        let goes = self.walk(place, removal, Walking::Counting, &mut |_, _, step| {
            let device = removal.replica.dev;
            is_plain &= step.verb.replaces().is_some_and(|old| !is_linked(old) && old.dev == device);
            Ok(true)
        })?;
        Ok(goes && is_plain)
    }

    /// Without root only a folder that its owner may write to can be moved.
    fn unlock_whole(&self, place: &Here<S, R>, removal: &Removal) -> Result<()> {
        let opened = self.work.replica.open_folder(&*place.replica(self.work.replica)?, &removal.name)?;
        self.hands.unlock(&opened, &removal.replica).map(drop)
    }

    /// Tells of all that went with a folder, which is in the trash by now. What cannot be looked at there is not told.
    fn tell_gone(&self, place: &Here<S, R>, removal: &Removal, kept: Option<String>, started: Instant) {
        let Some((folder, name)) = kept.as_ref().and_then(|kept| self.hands.open_kept(kept).ok()) else {
            return;
        };
        let took = Some(started.elapsed());
        let _ = self.walk_in(
            (Arc::new(folder), &name),
            (place, removal),
            Walking::Telling,
            &mut |_, path, step| {
                let event =
                    Event::about(self.number, step.verb.action(), path.clone(), step.reason.to_string());
                self.tell(Event { took, kept: kept.clone(), ..event });
                Ok(true)
            },
        );
    }
}
