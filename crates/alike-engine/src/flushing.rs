//! One flush at a time, beside the passes.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::error::PassError;
use crate::index::Index;

/// A last flush is waited for only when the ones before took no longer.
const QUICK: Duration = Duration::from_millis(700);

/// Whether a flush is under way, and how the last one ended.
#[derive(Default)]
pub(crate) struct Flushing(Mutex<Progress>);

#[derive(Default)]
struct Progress {
    since: Option<Instant>,
    ended: Option<Result<(), PassError>>,
    took: Duration,
}

impl Flushing {
    /// Begins, and seals what the index has taken in so far: what comes later is for the next one. False when one is
    /// under way.
    pub(crate) fn begin(&self, index: &Index) -> bool {
        let mut progress = self.lock();
        if progress.since.is_some() {
            return false;
        }
        progress.since = Some(Instant::now());
        index.seal();
        true
    }

    /// Ends it.
    pub(crate) fn end(&self, result: Result<(), PassError>) {
        let mut progress = self.lock();
        progress.took = progress.since.take().map(|since| since.elapsed()).unwrap_or_default();
        progress.ended = Some(result);
    }

    /// How the last one ended; told once.
    pub(crate) fn take(&self) -> Option<Result<(), PassError>> {
        self.lock().ended.take()
    }

    /// True when the last one did not take long.
    pub(crate) fn is_quick(&self) -> bool {
        self.lock().took < QUICK
    }

    fn lock(&self) -> MutexGuard<'_, Progress> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
