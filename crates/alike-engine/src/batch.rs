//! Contents are on the disk before they get a name: what is prepared waits for others, and one call brings all to the disk.
//!
//! A name that a power cut leaves with half of its contents, or none, is what mirrors lose most. A `fsync` for each file
//! would cost more than all copying.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError};
use std::time::Instant;

use alike_model::entry::{Kind, Time};
use alike_model::plan::{Step, Verb};
use alike_storage::{Error, Replica, Result, Source};

use crate::hands::{Done, Hands, Prepared};
use crate::pass::Run;
use crate::place::{Here, Place};

/// Whether contents are on the disk before they get a name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Settles {
    /// They need not be.
    No,
    /// They are, many together.
    #[default]
    Together,
    /// They are, one by one, and the name is as well before the next step.
    Each,
}

/// So many files wait at most, each with a descriptor; fewer when the process may not have as many.
const MOST: usize = 8192;
/// And so many bytes: a disk should not be given too much to do at once.
const MOST_BYTES: u64 = 256 * 1024 * 1024;

/// A step of which all is done but giving the entry its name.
pub(crate) struct Ready<S: Source, R: Replica> {
    place: Here<S, R>,
    step: Step,
    prepared: Prepared<R::Staged>,
    begun: (Time, Instant),
}

impl<S: Source, R: Replica, H: Hands<S, R>> Run<'_, S, R, H> {
    /// Takes a step in an open folder and writes down what came of it; or prepares it, and does the rest with others.
    pub(crate) fn take(&self, place: &Here<S, R>, step: &Step, now: Time) {
        if self.is_left_until_closed(place, step) {
            return;
        }
        let begun = (now, Instant::now());
        let waits = self.work.settles == Settles::Together
            && matches!(step.verb, Verb::Create { .. } | Verb::Update { .. })
            && step.verb.source().is_some_and(|source| source.kind == Kind::File && source.size > 0);
        if !waits {
            return self.took(place, step, self.copied(place, step), now);
        }
        match self.hands.prepare(place, step) {
            Ok(prepared) => {
                let ready = Ready { place: place.retain(), step: step.clone(), prepared, begun };
                if self.is_enough(ready) {
                    self.publish_ready();
                }
            }
            Err(error) if error.is_changed() && self.has_waited_enough(step.verb.source(), begun.1) => {
                self.took(place, step, self.copied_in_motion(place, step), now);
            }
            Err(error) => self.again(place, &step.name, error),
        }
    }

    /// Adds one; true when no more should wait.
    fn is_enough(&self, one: Ready<S, R>) -> bool {
        let most = MOST.min(self.work.held_folders / self.work.threads);
        let mut ready = self.ready.lock().unwrap_or_else(PoisonError::into_inner);
        ready.push(one);
        let bytes = || ready.iter().filter_map(|one| one.prepared.bytes).sum::<u64>();
        ready.len() >= most || ready.len().is_multiple_of(16) && bytes() >= MOST_BYTES
    }

    /// Gives all that is prepared its name, once it is on the disk.
    pub(crate) fn publish_ready(&self) {
        let ready = std::mem::take(&mut *self.ready.lock().unwrap_or_else(PoisonError::into_inner));
        if ready.is_empty() {
            return;
        }
        let settled = match self.work.stop.is_set() {
            true => Err(Error::Interrupted),
            false => self.hands.settle(&ready.iter().map(|one| &one.prepared).collect::<Vec<_>>()),
        };
        let mut inside: HashMap<*const Place<S, R>, bool> = HashMap::new();
        for Ready { place, step, prepared, begun: (now, since) } in ready {
            let is_inside =
                *inside.entry(Arc::as_ptr(&place)).or_insert_with(|| self.check_inside(&place).is_ok());
            let taken: Result<Done> = match &settled {
                Ok(()) if !is_inside => Err(Error::Changed),
                Ok(()) => {
                    let publish = |step: &Step| self.hands.publish(&place, step, prepared);
                    self.timed(&place, &step, since, publish, Done::came_to)
                }
                Err(error) => Err(error.twin()),
            };
            if let (Ok(Done { has_writers: true, .. }), Some(source)) = (&taken, step.verb.source()) {
                self.note_open(source);
            }
            self.took(&place, &step, taken, now);
            self.release(place);
        }
    }
}
