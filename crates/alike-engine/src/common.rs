//! What the mirrors of one source share: its watcher, the pace of copies, where their replicas are, and the threads.

use std::sync::atomic::{AtomicUsize, Ordering};

use crate::claims::Claims;
use crate::hub::Hub;
use crate::pace::Pace;

/// What the mirrors of one source share.
pub(crate) struct Common {
    pub(crate) hub: Hub,
    /// How fast all of them together copy.
    pub(crate) pace: Pace,
    /// Where their replicas are.
    pub(crate) claims: Claims,
    /// How many replicas are there.
    present: AtomicUsize,
}

impl Common {
    /// Of mirrors whose replicas are these; all of them together copy no more than so many bytes a second.
    pub(crate) fn of(claims: Claims, replicas: usize, bwlimit: Option<u64>) -> Self {
        let present = AtomicUsize::new(replicas);
        Self { hub: Hub::default(), pace: Pace::new(bwlimit), claims, present }
    }

    /// The part of `threads` that one of them may use: those that wait for their replica need none.
    pub(crate) fn share_of(&self, threads: usize) -> usize {
        threads.div_ceil(self.present.load(Ordering::Relaxed).max(1))
    }

    /// One of them waits for its replica, until the value ends.
    pub(crate) fn one_waits(&self) -> Waits<'_> {
        self.present.fetch_sub(1, Ordering::Relaxed);
        Waits(&self.present)
    }
}

/// A replica is waited for.
pub(crate) struct Waits<'a>(&'a AtomicUsize);

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}
