//! How a mirror is told something while it runs: that it is to end, or to look at everything now.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use alike_storage::linux::Waker;

use crate::stop::Stop;

/// How a mirror is told something while it runs.
#[derive(Debug)]
pub struct Controls {
    /// Ends it.
    pub stop: Stop,
    /// A full pass is wanted now.
    pub(crate) pass_now: AtomicBool,
    /// That pass may delete as much as it has to.
    pub(crate) allows_deletes: AtomicBool,
    /// Ends its wait, so that it sees the others.
    pub waker: Arc<Waker>,
}

impl Controls {
    /// Those of a mirror to come.
    ///
    /// # Errors
    /// When the system has no more descriptors.
    pub fn new() -> std::io::Result<Self> {
        Self::ended_by(Stop::default())
    }

    /// Those of one more mirror, which ends with this one.
    pub(crate) fn another(&self) -> std::io::Result<Self> {
        Self::ended_by(self.stop.clone())
    }

    fn ended_by(stop: Stop) -> std::io::Result<Self> {
        let waker = Arc::new(Waker::new()?);
        Ok(Self { stop, pass_now: AtomicBool::new(false), allows_deletes: AtomicBool::new(false), waker })
    }

    /// What was allowed for a pass that did not come is not allowed for a later one.
    pub fn allow_no_more(&self) {
        self.allows_deletes.store(false, Ordering::Relaxed);
    }

    /// Asks for a full pass now, and for this one allows deletions as `--allow-deletes` does, if they are to be allowed.
    pub fn ask_for_pass(&self, allows_deletes: bool) {
        self.allows_deletes.fetch_or(allows_deletes, Ordering::Relaxed);
        // Whoever sees that a pass is wanted sees what it may do.
        self.pass_now.store(true, Ordering::Release);
        self.waker.wake();
    }
}
