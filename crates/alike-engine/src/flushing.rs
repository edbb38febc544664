//! What live passes did is brought to the disk, beside the passes that go on meanwhile: replica first, index after.

use std::thread::Scope;
use std::time::{Duration, Instant};

use alike_model::dirty::Dirty;
use alike_storage::Replica;

use crate::agenda::Agenda;
use crate::error::PassError;
use crate::worker::Mirror;

/// A last flush is waited for only when the one before took no longer.
const QUICK: Duration = Duration::from_millis(700);

impl Mirror<'_> {
    /// Begins a flush, unless one is under way.
    pub(crate) fn flush<'scope>(&'scope self, agenda: &mut Agenda, scope: &'scope Scope<'scope, '_>) {
        if self.begin_flush() {
            agenda.unflushed = None;
            scope.spawn(|| {
                self.flushing.end(self.bring_to_disk());
                self.controls.waker.wake();
            });
        } else {
            // One is under way: the next is due a while later, not at once and for ever.
            agenda.unflushed = Some(Instant::now());
        }
    }

    /// The last flush, when it can be had soon; else the next start compares again what was copied since the one before.
    pub(crate) fn last_flush(&self, agenda: &mut Agenda) {
        // What came of the one before is not covered up by this one.
        self.see_flushed(agenda);
        let can_wait = !self.controls.stop.is_set() || self.flushing.took() < QUICK;
        if can_wait && self.begin_flush() {
            self.flushing.end(self.bring_to_disk());
        } else {
            self.pair.index.abandon();
        }
        self.see_flushed(agenda);
    }

    /// Seals what the index has taken in so far: what comes later is for the next one.
    fn begin_flush(&self) -> bool {
        let begins = self.flushing.begin();
        if begins {
            self.pair.index.seal();
        }
        begins
    }

    fn bring_to_disk(&self) -> Result<(), PassError> {
        let before = (self.clock)();
        if self.rhythm.sync {
            if let Err(error) = self.pair.index.disk.ask(|| self.pair.replica.sync()) {
                // What is on the disk is unknown now, so what the index says of it is worth nothing.
                self.pair.index.forget_all()?;
                return Err(PassError::Sync(error));
            }
            self.pair.index.disk.took_all(before, false);
        }
        Ok(self.pair.index.commit()?)
    }

    /// Takes in how the last one ended.
    pub(crate) fn see_flushed(&self, agenda: &mut Agenda) {
        if let Some(Err(error)) = self.flushing.take() {
            self.trouble(&error);
            agenda.fail(Dirty::everything());
        }
    }
}
