//! What a mirror has to do, and when.

use std::time::{Duration, Instant};

use alike_model::dirty::Dirty;

use crate::watch::Heard;

/// A file that was made is looked at when it is closed, or after this, for links are never closed.
const CREATED_WAITS: Duration = Duration::from_millis(5);
/// A file that is written to without being closed is looked at this long after.
const WRITTEN_WAITS: Duration = Duration::from_millis(500);
/// The longest pause before something that failed is tried again; the first is a second, and it doubles.
const LONGEST_RETRY: Duration = Duration::from_secs(64);
/// How long live changes may be on the replica without being brought to its disk.
pub(crate) const FLUSH_AFTER: Duration = Duration::from_secs(1);

/// What is to be done, and when.
pub(crate) struct Agenda {
    /// To be looked at now.
    pub(crate) dirty: Dirty,
    /// To be looked at a little later, when nothing else is heard of it.
    pub(crate) created: (Dirty, Option<Instant>),
    pub(crate) written: (Dirty, Option<Instant>),
    /// What failed, when to try it again, and how long to wait after that.
    pub(crate) failed: (Dirty, Option<Instant>),
    pub(crate) pause: Duration,
    /// When the next full pass is due.
    pub(crate) full: Instant,
    /// Since when something is not on the disk.
    pub(crate) unflushed: Option<Instant>,
    /// The last full pass was halted: no deletion until one is not.
    pub(crate) halted: bool,
    /// Something was unmounted inside: what is missing was not seen being deleted.
    pub(crate) judge: bool,
    /// Some of what is dirty failed before: it was not seen changing.
    pub(crate) retrying: bool,
    /// Something was left to the next full pass.
    pub(crate) left_to_full: bool,
    /// The last pass left something for what would be heard next.
    pub(crate) waited: bool,
    /// How long the last full pass took.
    pub(crate) full_takes: Duration,
    pub(crate) files: u64,
    /// A pass has been done since the pair was opened.
    pub(crate) seen: bool,
}

impl Agenda {
    pub(crate) fn new() -> Self {
        Self {
            dirty: Dirty::new(),
            created: (Dirty::new(), None),
            written: (Dirty::new(), None),
            failed: (Dirty::new(), None),
            pause: Duration::from_secs(1),
            full: Instant::now(),
            unflushed: None,
            halted: false,
            judge: false,
            retrying: false,
            left_to_full: false,
            waited: false,
            full_takes: Duration::ZERO,
            files: 0,
            seen: false,
        }
    }

    /// A full pass sees all of it.
    pub(crate) fn begin_full(&mut self) {
        self.dirty = Dirty::new();
        self.created = (Dirty::new(), None);
        self.failed = (Dirty::new(), None);
        self.judge = false;
        self.left_to_full = false;
    }

    /// While nothing may be deleted, whatever is dirty waits for a full pass, which is judged and may end that. It comes
    /// soon, but leaves time for other things.
    pub(crate) fn wait_for_full(&mut self) {
        self.dirty = Dirty::new();
        self.full_soon();
    }

    /// A full pass comes soon, but not so often that it is all that is done.
    pub(crate) fn full_soon(&mut self) {
        let soon = Instant::now() + Duration::from_secs(1).max(self.full_takes * 5);
        self.full = self.full.min(soon);
    }

    pub(crate) fn take_in(&mut self, heard: Heard) {
        let now = Instant::now();
        self.created.0.absorb(heard.created);
        self.written.0.absorb(heard.written);
        self.created.0.leave_to(&heard.dirty);
        self.written.0.leave_to(&heard.dirty);
        self.dirty.absorb(heard.dirty);
        for ((dirty, due), waits) in [(&mut self.created, CREATED_WAITS), (&mut self.written, WRITTEN_WAITS)]
        {
            *due = if dirty.is_empty() { None } else { due.or(Some(now + waits)) };
        }
    }

    pub(crate) fn bring_due(&mut self, now: Instant) {
        self.retrying |= self.failed.1.is_some_and(|due| now >= due);
        for (dirty, due) in [&mut self.created, &mut self.written, &mut self.failed] {
            if due.is_some_and(|due| now >= due) {
                self.dirty.absorb(std::mem::take(dirty));
                *due = None;
            }
        }
    }

    pub(crate) fn next_due(&self) -> Instant {
        let flush = self.unflushed.map(|since| since + FLUSH_AFTER);
        let dues = [self.created.1, self.written.1, self.failed.1, flush];
        dues.into_iter().flatten().fold(self.full, Instant::min)
    }

    pub(crate) fn fail(&mut self, dirty: Dirty) {
        let again = Instant::now() + self.pause;
        if dirty.is_everything() {
            // Nothing was seen of it, so it is judged like any other full pass.
            self.full = self.full.min(again);
        } else {
            self.failed.0.absorb(dirty);
            self.failed.1 = Some(again);
        }
        self.pause = (self.pause * 2).min(LONGEST_RETRY);
    }

    pub(crate) fn settled(&mut self) {
        if self.failed.0.is_empty() {
            self.pause = Duration::from_secs(1);
        }
    }
}
