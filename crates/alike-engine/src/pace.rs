//! How fast may be read or copied: a number of bytes a second, over all threads.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use alike_storage::Flow;

/// A pace, shared by all who read, or by all who copy.
#[derive(Debug)]
pub struct Pace {
    /// Bytes a second; `None`: as fast as it goes.
    rate: Option<u64>,
    /// When all that was read so far should have been read.
    due: Mutex<Instant>,
}

/// The longest a wait goes on without a look whether to stop.
const NAP: Duration = Duration::from_millis(50);
/// What is read at once, at most and at least.
const MOST: usize = 1024 * 1024;
const LEAST: usize = 4096;

impl Pace {
    /// At most so many bytes a second.
    #[must_use]
    pub fn new(rate: Option<u64>) -> Self {
        Self { rate: rate.map(|rate| rate.max(1)), due: Mutex::new(Instant::now()) }
    }

    /// How much to read at once: a tenth of a second's worth, for larger blocks would make it a stutter.
    #[must_use]
    pub fn block(&self) -> usize {
        let tenth = self.rate.map_or(MOST, |rate| usize::try_from(rate / 10).unwrap_or(MOST));
        tenth.clamp(LEAST, MOST)
    }

    /// Waits until so many bytes more may be read; false when `interrupted` said so before.
    #[must_use]
    pub fn wait_for(&self, bytes: u64, interrupted: &dyn Fn() -> bool) -> bool {
        let Some(rate) = self.rate else { return !interrupted() };
        let mine = {
            let mut due = self.due.lock().unwrap_or_else(PoisonError::into_inner);
            // What was not read while nobody wanted to is not made up for.
            let from = (*due).max(Instant::now());
            #[allow(clippy::cast_precision_loss, reason = "a pace is no exact thing")]
            let takes = Duration::try_from_secs_f64(bytes as f64 / rate as f64).unwrap_or(Duration::MAX);
            *due = from.checked_add(takes).unwrap_or(from);
            from
        };
        loop {
            if interrupted() {
                return false;
            }
            match mine.saturating_duration_since(Instant::now()) {
                Duration::ZERO => return true,
                left => std::thread::sleep(left.min(NAP)),
            }
        }
    }
}

/// A pace for one who copies.
pub(crate) struct Paced<'a> {
    pub(crate) pace: &'a Pace,
    pub(crate) interrupted: &'a (dyn Fn() -> bool + Sync),
}

impl Flow for Paced<'_> {
    fn is_over(&self) -> bool {
        (self.interrupted)()
    }

    fn block(&self) -> usize {
        self.pace.rate.map_or(usize::MAX, |_| self.pace.block())
    }

    fn may_write(&self, bytes: u64) -> bool {
        self.pace.wait_for(bytes, &self.interrupted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_together_keep_the_pace() {
        let (pace, started) = (Pace::new(Some(1_000_000)), Instant::now());
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| (0..10).for_each(|_| assert!(pace.wait_for(10_000, &|| false))));
            }
        });
        let took = started.elapsed();
        assert!(took >= Duration::from_millis(285), "{took:?} for 300,000 bytes at 1,000,000 a second");
    }

    #[test]
    fn a_wait_ends_when_it_is_interrupted() {
        let pace = Pace::new(Some(1));
        assert!(pace.wait_for(1_000, &|| false));
        assert!(!pace.wait_for(1, &|| true));
    }
}
