//! What happened lately, in order, for whoever follows it: the status page, hooks.
//!
//! The last few thousand events are kept. Who is slower than that misses some and can tell, for they are numbered.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use alike_engine::monitor::Event;
use jiff::Timestamp;

use super::report::Standing;

/// How many are kept.
const KEPT: usize = 4096;

/// Something that happened.
#[derive(Clone, Debug)]
pub(crate) struct Told {
    /// One more than that of the event before.
    pub(crate) number: u64,
    pub(crate) at: Timestamp,
    pub(crate) job: Arc<str>,
    pub(crate) replica: Arc<str>,
    pub(crate) what: What,
}

#[derive(Clone, Debug)]
pub(crate) enum What {
    /// An action, as the log has it.
    Event(Arc<Event>),
    /// What is known of the replica became another.
    Verdict { was: Standing, is: Standing, why: String },
    /// What it is doing, or how far it is behind, changed.
    Stands,
}

/// Whoever wants to be woken.
type Listener = dyn Fn() + Send + Sync;

/// The events.
#[derive(Default)]
pub(crate) struct Feed {
    kept: Mutex<Kept>,
    listeners: Mutex<Vec<Weak<Listener>>>,
}

#[derive(Default)]
struct Kept {
    next: u64,
    told: VecDeque<Told>,
}

impl Feed {
    /// Tells of something that a replica of a job does.
    pub(crate) fn tell(&self, (job, replica): (&Arc<str>, &Arc<str>), what: What) {
        {
            let mut kept = lock(&self.kept);
            let number = kept.next;
            kept.next += 1;
            if kept.told.len() == KEPT {
                kept.told.pop_front();
            }
            let (job, replica) = (Arc::clone(job), Arc::clone(replica));
            kept.told.push_back(Told { number, at: Timestamp::now(), job, replica, what });
        }
        let mut is_any_gone = false;
        for listener in lock(&self.listeners).iter() {
            match listener.upgrade() {
                Some(listener) => listener(),
                None => is_any_gone = true,
            }
        }
        if is_any_gone {
            lock(&self.listeners).retain(|listener| listener.strong_count() > 0);
        }
    }

    /// The number that the next event will have.
    pub(crate) fn next(&self) -> u64 {
        lock(&self.kept).next
    }

    /// What is kept from this number on, oldest first.
    pub(crate) fn from(&self, number: u64) -> Vec<Told> {
        let kept = lock(&self.kept);
        let at = kept.told.partition_point(|told| told.number < number);
        kept.told.range(at..).cloned().collect()
    }

    /// Calls this whenever something is told, as long as the value lives. It must be quick.
    pub(crate) fn listen(&self, listener: &Arc<Listener>) {
        lock(&self.listeners).push(Arc::downgrade(listener));
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[test]
    fn who_follows_is_woken_at_each_event_and_who_is_slow_can_tell_what_it_missed() {
        let (feed, woken) = (Feed::default(), Arc::new(AtomicU64::new(0)));
        let count = Arc::clone(&woken);
        let listener: Arc<Listener> = Arc::new(move || {
            count.fetch_add(1, Ordering::Relaxed);
        });
        feed.listen(&listener);
        let (job, replica): (Arc<str>, Arc<str>) = ("job".into(), "/r".into());
        for _ in 0..KEPT + 10 {
            feed.tell((&job, &replica), What::Stands);
        }
        assert_eq!(woken.load(Ordering::Relaxed), KEPT as u64 + 10);
        let from = |number| feed.from(number).iter().map(|told| told.number).collect::<Vec<_>>();
        assert_eq!(from(feed.next() - 2), [KEPT as u64 + 8, KEPT as u64 + 9]);
        assert_eq!(from(0).first(), Some(&10), "the first ten are gone");
        drop(listener);
        feed.tell((&job, &replica), What::Stands);
        assert_eq!(woken.load(Ordering::Relaxed), KEPT as u64 + 10);
        assert!(lock(&feed.listeners).is_empty());
    }
}
