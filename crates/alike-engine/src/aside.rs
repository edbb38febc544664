//! What is done one at a time on a thread of its own, while the worker goes on: a flush, a full pass.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Whether one is under way, and what came of the last.
pub(crate) struct Aside<T>(Mutex<Progress<T>>);

struct Progress<T> {
    since: Option<Instant>,
    ended: Option<T>,
    took: Duration,
}

impl<T> Default for Aside<T> {
    fn default() -> Self {
        Self(Mutex::new(Progress { since: None, ended: None, took: Duration::ZERO }))
    }
}

impl<T> Aside<T> {
    /// Begins; false when one is under way.
    pub(crate) fn begin(&self) -> bool {
        let mut progress = self.lock();
        let is_free = progress.since.is_none();
        if is_free {
            progress.since = Some(Instant::now());
        }
        is_free
    }

    /// Ends it.
    pub(crate) fn end(&self, result: T) {
        let mut progress = self.lock();
        progress.took = progress.since.take().map(|since| since.elapsed()).unwrap_or_default();
        progress.ended = Some(result);
    }

    /// True from its begin until what came of it is taken.
    pub(crate) fn is_under_way(&self) -> bool {
        let progress = self.lock();
        progress.since.is_some() || progress.ended.is_some()
    }

    /// What came of the last one; told once.
    pub(crate) fn take(&self) -> Option<T> {
        self.lock().ended.take()
    }

    /// How long the last one took; zero before the first.
    pub(crate) fn took(&self) -> Duration {
        self.lock().took
    }

    fn lock(&self) -> MutexGuard<'_, Progress<T>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_is_over_is_no_hindrance_to_the_next_and_is_under_way_until_what_came_of_it_is_taken() {
        let aside = Aside::default();
        assert!(aside.begin() && !aside.begin());
        aside.end("first");
        assert!(aside.is_under_way());
        assert_eq!(aside.take(), Some("first"));
        assert!(!aside.is_under_way() && aside.begin());
        aside.end("second");
        assert!(aside.begin() && aside.take() == Some("second"));
    }
}
