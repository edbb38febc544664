//! What a mirror has to do, and when.

use std::time::{Duration, Instant};

use alike_model::dirty::Dirty;
use alike_model::outcome::Withheld;
use alike_model::path::Name;

use crate::lag::Lag;
use crate::watch::Heard;

/// A file that was made is looked at when it is closed, or after this, for links are never closed.
const CREATED_WAITS: Duration = Duration::from_millis(5);
/// A file that is written to without being closed is looked at this long after.
const WRITTEN_WAITS: Duration = Duration::from_millis(500);
/// The first pause before something is tried again.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// The longest pause before something that failed is tried again; it doubles up to here.
const LONGEST_RETRY: Duration = Duration::from_secs(64);
/// The longest pause before a file that never rests is copied again; it doubles up to here.
const LONGEST_REST: Duration = Duration::from_secs(16);
/// How long live changes may be on the replica without being brought to its disk.
pub(crate) const FLUSH_AFTER: Duration = Duration::from_secs(1);

/// What is to be done, and when.
pub(crate) struct Agenda {
    /// When a change of the source was heard last.
    pub(crate) heard: Option<Instant>,
    /// To be looked at now.
    pub(crate) dirty: Dirty,
    /// To be looked at a little later, when nothing else is heard of it.
    pub(crate) created: (Dirty, Option<Instant>),
    pub(crate) written: (Dirty, Option<Instant>),
    /// What failed, when to try it again, and how long to wait after that.
    pub(crate) failed: (Dirty, Option<Instant>),
    pub(crate) pause: Duration,
    /// What kept changing, when to look at it again, and how long to wait after that. What is heard of it meanwhile waits
    /// as well: else a file that is written to without rest would be all that is ever copied.
    pub(crate) restless: (Dirty, Option<Instant>),
    pub(crate) rest: Duration,
    /// What was held back or skipped, and was not looked at since.
    pub(crate) withheld: Withheld,
    /// What was looked at beside the full pass that is under way.
    pub(crate) beside_full: Dirty,
    /// When the next full pass is due.
    pub(crate) full: Instant,
    /// Since when something is not on the disk.
    pub(crate) unflushed: Option<Instant>,
    /// The last full pass was halted: no deletion until one is not.
    pub(crate) halted: bool,
    /// Something was mounted or unmounted inside: what is missing was not seen being deleted.
    pub(crate) judge: bool,
    /// Some of what is dirty failed before: it was not seen changing.
    pub(crate) retrying: bool,
    /// Something was left to the next full pass.
    pub(crate) left_to_full: bool,
    /// What the last pass left for what would be heard next.
    pub(crate) awaited: Dirty,
    /// How many passes in a row did.
    pub(crate) rounds: u32,
    /// How long the last full pass took.
    pub(crate) full_takes: Duration,
    pub(crate) files: u64,
    /// A pass has been done since the pair was opened.
    pub(crate) seen: bool,
    /// How far the replica is behind.
    pub(crate) lag: Lag,
}

impl Agenda {
    pub(crate) fn new() -> Self {
        Self {
            heard: None,
            dirty: Dirty::new(),
            created: (Dirty::new(), None),
            written: (Dirty::new(), None),
            failed: (Dirty::new(), None),
            pause: FIRST_PAUSE,
            restless: (Dirty::new(), None),
            rest: FIRST_PAUSE,
            withheld: Withheld::default(),
            beside_full: Dirty::new(),
            full: Instant::now(),
            unflushed: None,
            halted: false,
            judge: false,
            retrying: false,
            left_to_full: false,
            awaited: Dirty::new(),
            rounds: 0,
            full_takes: Duration::ZERO,
            files: 0,
            seen: false,
            lag: Lag::default(),
        }
    }

    /// A full pass sees all of it.
    pub(crate) fn begin_full(&mut self) {
        self.lag.begin_full();
        self.dirty = Dirty::new();
        self.created = (Dirty::new(), None);
        self.failed = (Dirty::new(), None);
        self.restless = (Dirty::new(), None);
        self.withheld = Withheld::default();
        self.judge = false;
        self.retrying = false;
        self.left_to_full = false;
    }

    /// What was looked at beside it is looked at once more: it may have taken a step that was prepared before.
    pub(crate) fn end_full(&mut self) {
        self.dirty.absorb(std::mem::take(&mut self.beside_full));
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

    pub(crate) fn take_in(&mut self, mut heard: Heard) {
        let now = Instant::now();
        if [&heard.dirty, &heard.created, &heard.written].iter().any(|dirty| !dirty.is_empty()) {
            self.lag.hear(now);
            self.heard = Some(now);
        }
        self.withhold_restless(&mut heard, now);
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
        self.retrying |= [self.failed.1, self.restless.1].into_iter().flatten().any(|due| now >= due);
        for (dirty, due) in [&mut self.created, &mut self.written, &mut self.failed, &mut self.restless] {
            if due.is_some_and(|due| now >= due) {
                self.dirty.absorb(std::mem::take(dirty));
                *due = None;
            }
        }
    }

    /// When something is to be done next, if nothing is heard; with `in_full`, a full pass is under way.
    pub(crate) fn next_due(&self, in_full: bool) -> Instant {
        let flush = self.unflushed.map(|since| since + FLUSH_AFTER);
        let dues = [self.created.1, self.written.1, self.failed.1, self.restless.1, flush];
        let full = if in_full { Instant::now() + LONGEST_RETRY } else { self.full };
        dues.into_iter().flatten().fold(full, Instant::min)
    }

    pub(crate) fn fail(&mut self, dirty: Dirty) {
        let again = Instant::now() + self.pause;
        if dirty.is_everything() {
            // Nothing was seen of it, so it is judged like any other full pass. What was left before that is not known any more.
            self.left_to_full = true;
            self.full = self.full.min(again);
        } else {
            self.failed.0.absorb(dirty);
            self.failed.1 = Some(again);
        }
        self.pause = (self.pause * 2).min(LONGEST_RETRY);
    }

    /// A live pass looked at `dirty`. What it touched without a look at it is for a full pass to tell.
    pub(crate) fn looked_at(&mut self, dirty: &Dirty, rules: &[Name]) {
        self.withheld.leave_to(dirty);
        if self.withheld.is_touched_by(dirty, rules) {
            self.full_soon();
        }
    }

    pub(crate) fn settled(&mut self) {
        if self.failed.0.is_empty() {
            self.pause = FIRST_PAUSE;
        }
    }

    /// What kept changing is looked at again after a pause that grows, and is long beside the pass (which `took` that
    /// long), so that others get their turn.
    pub(crate) fn let_rest(&mut self, dirty: Dirty, took: Duration) {
        if dirty.is_empty() {
            if self.restless.0.is_empty() {
                self.rest = FIRST_PAUSE;
            }
            return;
        }
        self.restless.0.absorb(dirty);
        self.restless.1 = Some(Instant::now() + self.rest.max(took * 4));
        self.rest = (self.rest * 2).min(LONGEST_REST);
    }

    /// What was made and not closed is looked at when it is, or when it has been written to for a while.
    pub(crate) fn await_close(&mut self, unclosed: Dirty) {
        if !unclosed.is_empty() {
            self.written.0.absorb(unclosed);
            self.written.1.get_or_insert_with(|| Instant::now() + WRITTEN_WAITS);
        }
    }

    /// What is heard of a restless file waits until that is looked at. If it was more than one more write (it was closed,
    /// renamed, deleted), that comes soon.
    fn withhold_restless(&mut self, heard: &mut Heard, now: Instant) {
        let Some(due) = &mut self.restless.1 else { return };
        heard.created.leave_to(&self.restless.0);
        heard.written.leave_to(&self.restless.0);
        let before = heard.dirty.names();
        heard.dirty.leave_to(&self.restless.0);
        if heard.dirty.names() != before {
            *due = (*due).min(now + FIRST_PAUSE);
        }
    }

    /// How many paths wait; what is coarser counts as one.
    pub(crate) fn waiting(&self) -> u64 {
        let all = [&self.dirty, &self.created.0, &self.written.0, &self.failed.0, &self.restless.0];
        all.into_iter().map(Dirty::names).sum()
    }

    /// True when nothing failed, kept changing, was held back or was left for later.
    pub(crate) fn has_nothing_left(&self) -> bool {
        self.failed.0.is_empty()
            && self.restless.0.is_empty()
            && self.withheld.is_empty()
            && !self.left_to_full
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use alike_model::path::{Name, RelPath};

    use super::*;

    fn dirt(names: &[&str]) -> Dirty {
        let mut dirty = Dirty::new();
        for name in names {
            dirty.mark_name(RelPath::root(), Name::new(name.as_bytes()).unwrap());
        }
        dirty
    }

    #[test]
    fn what_is_heard_of_a_restless_file_waits_and_what_is_heard_of_others_does_not() {
        let mut agenda = Agenda::new();
        agenda.let_rest(dirt(&["busy"]), Duration::ZERO);
        let heard =
            || Heard { written: dirt(&["busy", "calm"]), dirty: dirt(&["other"]), ..Heard::default() };
        agenda.take_in(heard());
        assert_eq!((&agenda.written.0, &agenda.dirty), (&dirt(&["calm"]), &dirt(&["other"])));
        let due = agenda.restless.1.unwrap();
        agenda.bring_due(due);
        assert!(agenda.dirty.names() >= 2 && agenda.restless.0.is_empty());
        agenda.take_in(heard());
        assert_eq!(agenda.written.0.names(), 2, "it is not restless until it is met so again");
    }

    #[test]
    fn the_pause_of_a_restless_file_grows_is_long_beside_the_pass_and_ends_when_it_rests() {
        let mut agenda = Agenda::new();
        let pause = |agenda: &mut Agenda, took| {
            agenda.let_rest(dirt(&["busy"]), took);
            let due = agenda.restless.1.take().unwrap();
            agenda.restless.0 = Dirty::new();
            due.saturating_duration_since(Instant::now()).as_millis().div_ceil(1000)
        };
        let pauses: Vec<u128> = (0..6).map(|_| pause(&mut agenda, Duration::ZERO)).collect();
        assert_eq!(pauses, [1, 2, 4, 8, 16, 16]);
        assert_eq!(pause(&mut agenda, Duration::from_secs(30)), 120);
        agenda.let_rest(Dirty::new(), Duration::ZERO);
        assert_eq!(pause(&mut agenda, Duration::ZERO), 1);
    }

    #[test]
    fn a_close_of_a_restless_file_brings_the_next_look_forward() {
        let mut agenda = Agenda::new();
        agenda.let_rest(dirt(&["busy"]), Duration::from_secs(30));
        agenda.take_in(Heard { dirty: dirt(&["busy"]), ..Heard::default() });
        assert!(agenda.dirty.is_empty());
        assert!(agenda.restless.1.unwrap() <= Instant::now() + FIRST_PAUSE);
    }
}
