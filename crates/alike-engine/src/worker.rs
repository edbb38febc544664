//! The mirror: a first pass, then a pass for whatever the watcher, the interval or the user makes dirty, until stopped.
//!
//! One loop and one code path: whatever wakes it, dirt is collected, and a pass cleans it. What cannot be cleaned (a
//! drive that is gone, a path that fails) is tried again after a while that grows.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::Scope;
use std::time::{Duration, Instant};

use alike_model::dirty::Dirty;
use alike_model::entry::Time;
use alike_model::event::Action;
use alike_model::outcome::{Ending, Outcome};
use alike_model::policy::{Deletes, MaxDelete, Policy};
use alike_storage::linux::Waker;
use alike_storage::{Folder, Replica};

use crate::agenda::{Agenda, FLUSH_AFTER};
use crate::batch::Settles;
use crate::confined::confined;
use crate::error::PassError;
use crate::flushing::Flushing;
use crate::monitor::{Event, Monitor, State};
use crate::pair::{Pair, Spec};
use crate::pass::{Top, Work, pass};
use crate::refusal::Refusal;
use crate::scrub::{Scrub, Turn};
use crate::siblings::Siblings;
use crate::stop::Stop;
use crate::watch::{NoWatch, Watch, Watcher};
use crate::watching::{open_watcher, say_watching};

/// How a mirror runs.
#[derive(Clone, Debug)]
pub struct Rhythm {
    /// A full pass this long after the last one.
    pub interval: Duration,
    /// Watch the source beside.
    pub watch: bool,
    /// Wait until the source has been quiet this long, but not longer than ten times that.
    pub settle: Duration,
    /// What may be deleted after the first pass, where that one may delete everything.
    pub later_deletes: Deletes,
    /// Threads of a pass.
    pub threads: usize,
    /// What is done is brought to the disk.
    pub sync: bool,
    /// Whether contents are on the disk before they get a name.
    pub settles: Settles,
    /// How many folders may be held open at once.
    pub held_folders: usize,
    /// Everything is read once in this time.
    pub scrub: Option<Duration>,
}

/// How a mirror is told something while it runs.
#[derive(Debug)]
pub struct Controls {
    /// Ends it.
    pub stop: Stop,
    /// A full pass is wanted now.
    pub pass_now: AtomicBool,
    /// Ends its wait, so that it sees the others.
    pub waker: Waker,
}

/// The limit of deletions that the watcher saw happen: none.
const SEEN: MaxDelete = MaxDelete::Entries(u64::MAX);
/// How often a missing drive is looked for.
const LOOK_FOR_DRIVE: Duration = Duration::from_secs(1);

/// Runs until stopped. A pair that is refused at the start ends it; one that is refused later halts it until that is over.
///
/// # Errors
/// When the pair is refused at the start.
pub fn mirror(
    spec: &Spec,
    policy: Policy,
    rhythm: &Rhythm,
    (monitor, clock): (&dyn Monitor, &(dyn Fn() -> Time + Sync)),
    controls: &Controls,
) -> Result<(), Refusal> {
    let mut pair = Pair::open(spec)?;
    let mut allowed = policy.deletes;
    // What the first pass may delete does not hold for later ones.
    let spec = &Spec {
        deletes: if allowed == Deletes::Allowed { rhythm.later_deletes } else { allowed },
        ..spec.clone()
    };
    while !controls.stop.is_set() {
        let watcher = open_watcher(rhythm.watch, monitor);
        pair.notes(&policy).iter().for_each(|note| monitor.note(note));
        let mirror = Mirror {
            spec,
            policy: policy.within(&pair.holds),
            refuses: pair.refuses(&policy),
            rhythm,
            monitor,
            clock,
            controls,
            pair: &pair,
            watcher: watcher.as_ref(),
            flushing: Flushing::default(),
            siblings: Siblings::default(),
            turn: Turn::default(),
        };
        confined(&pair, monitor, &mut || mirror.run(&mut allowed));
        drop(pair);
        if controls.stop.is_set() {
            break;
        }
        match wait_for_pair(spec, monitor, controls) {
            Some(back) => pair = back,
            None => break,
        }
    }
    monitor.event(Event::general(0, Action::Stop, "stopped"));
    Ok(())
}

/// Waits until both ends are back; `None` when stopped meanwhile.
fn wait_for_pair(spec: &Spec, monitor: &dyn Monitor, controls: &Controls) -> Option<Pair> {
    let mut said = String::new();
    while !controls.stop.is_set() {
        match Pair::open(spec) {
            Ok(pair) => return Some(pair),
            Err(refusal) => {
                let text = refusal.to_string();
                if text != said {
                    monitor.state(State::Halted(text.clone()));
                    monitor.event(Event::general(0, Action::Halt, text.clone()));
                    said = text;
                }
            }
        }
        controls.waker.clear();
        let _ = controls.waker.wait(None, LOOK_FOR_DRIVE);
    }
    None
}

struct Mirror<'a> {
    spec: &'a Spec,
    policy: Policy,
    refuses: Option<String>,
    rhythm: &'a Rhythm,
    monitor: &'a dyn Monitor,
    clock: &'a (dyn Fn() -> Time + Sync),
    controls: &'a Controls,
    pair: &'a Pair,
    watcher: Option<&'a Watcher>,
    flushing: Flushing,
    siblings: Siblings,
    /// Passes and the scrub take turns.
    turn: Turn,
}

impl Mirror<'_> {
    /// Runs until stopped or until an end of the pair is no longer where it was.
    fn run(&self, deletes: &mut Deletes) {
        let mut agenda = Agenda::new();
        std::thread::scope(|scope| {
            if let Some(period) = self.rhythm.scrub {
                let (trees, stop) = ((&self.pair.source, &self.pair.replica), &self.controls.stop);
                let told = (self.monitor, self.clock);
                let scrub = Scrub::new(trees, &self.pair.index, told, (stop, &self.turn), period);
                scope.spawn(move || scrub.run());
            }
            self.work(&mut agenda, deletes, scope);
            self.turn.end();
        });
        self.last_flush(&mut agenda);
    }

    fn work<'scope>(
        &'scope self,
        agenda: &mut Agenda,
        deletes: &mut Deletes,
        scope: &'scope Scope<'scope, '_>,
    ) {
        while !self.controls.stop.is_set() {
            if !self.pair.is_in_place(self.spec) {
                return;
            }
            self.see_flushed(agenda);
            let now = Instant::now();
            if self.controls.pass_now.swap(false, Ordering::Relaxed) || now >= agenda.full {
                self.full_pass(agenda, deletes);
                self.flush(agenda, scope);
            } else if !agenda.dirty.is_empty() && (agenda.halted || agenda.judge) {
                agenda.wait_for_full();
            } else if !agenda.dirty.is_empty() {
                self.live_pass(agenda, *deletes);
            } else if agenda.unflushed.is_some_and(|since| now >= since + FLUSH_AFTER) {
                self.flush(agenda, scope);
            } else {
                self.wait(agenda);
            }
        }
    }

    fn full_pass(&self, agenda: &mut Agenda, deletes: &mut Deletes) {
        let policy = Policy { deletes: *deletes, ..self.policy };
        agenda.full = Instant::now() + self.rhythm.interval;
        let first = !agenda.seen;
        agenda.begin_full();
        self.monitor.state(State::Working { full: true });
        let started = Instant::now();
        let done = self.pass(agenda, Dirty::everything(), policy);
        agenda.full_takes = started.elapsed();
        if let Some(outcome) = done {
            // Allowed for one pass only.
            if *deletes == Deletes::Allowed {
                *deletes = self.rhythm.later_deletes;
            }
            agenda.halted = matches!(outcome.ending, Ending::Halted(_));
            agenda.files = outcome.tally.files;
            if outcome.tally.changes() > 0 {
                agenda.unflushed.get_or_insert_with(Instant::now);
            }
            if let Some(watcher) = self.watcher {
                say_watching(watcher, self.monitor, first);
            }
            self.end(agenda, &outcome, agenda.full_takes);
        }
    }

    /// A pass for what the watcher announced. Deletions seen as they happen need no judgement: the guard is for what is
    /// found missing, as by a look at what failed before.
    fn live_pass(&self, agenda: &mut Agenda, deletes: Deletes) {
        let deletes = match self.policy.deletes {
            Deletes::Never => Deletes::Never,
            Deletes::Within(_) | Deletes::Allowed if agenda.retrying => deletes,
            Deletes::Within(_) | Deletes::Allowed => Deletes::Within(SEEN),
        };
        agenda.retrying = false;
        let dirty = std::mem::take(&mut agenda.dirty);
        self.monitor.state(State::Working { full: false });
        let started = Instant::now();
        if let Some(outcome) = self.pass(agenda, dirty, Policy { deletes, ..self.policy }) {
            let tally = &outcome.tally;
            agenda.files = (agenda.files + tally.created + tally.linked).saturating_sub(tally.deleted);
            if tally.changes() > 0 {
                agenda.unflushed.get_or_insert_with(Instant::now);
            }
            if outcome.linked {
                agenda.left_to_full = true;
                agenda.full_soon();
            }
            agenda.waited = !outcome.awaited.is_empty();
            if agenda.waited {
                // A name can be seen a moment before it is announced.
                std::thread::sleep(Duration::from_millis(1));
                self.hear(agenda);
                agenda.dirty.absorb(outcome.awaited.clone());
            }
            self.end(agenda, &outcome, started.elapsed());
        }
    }

    fn pass(&self, agenda: &mut Agenda, dirty: Dirty, policy: Policy) -> Option<Outcome> {
        let full = dirty.is_everything();
        let judged = matches!(policy.deletes, Deletes::Within(limit) if limit != SEEN);
        if judged
            && full
            && let Err(refusal) =
                self.pair.refuse_emptied(&Spec { deletes: policy.deletes, ..self.spec.clone() })
        {
            self.halt(refusal.to_string());
            agenda.halted = true;
            return None;
        }
        let watch: &dyn Watch<Folder> = self.watcher.map_or(&NoWatch, |watcher| watcher);
        let work = Work {
            source: &self.pair.source,
            replica: &self.pair.replica,
            replica_top: if agenda.seen { Top::There } else { self.pair.replica_top },
            roots: self.pair.roots,
            index: &self.pair.index,
            policy,
            refuses: self.refuses.clone(),
            filter: &self.spec.filter,
            monitor: self.monitor,
            watch,
            clock: self.clock,
            stop: &self.controls.stop,
            threads: self.rhythm.threads,
            // Live changes are brought to the disk together, see `flush`.
            sync: self.rhythm.sync && full,
            settles: self.rhythm.settles,
            trash: self.pair.trash.as_ref(),
            held_folders: self.rhythm.held_folders,
            patient: !full && !agenda.waited,
            siblings: Some(&self.siblings),
        };
        match self.turn.taken_by(|| pass(&work, dirty)) {
            Ok(outcome) => {
                agenda.seen = true;
                Some(outcome)
            }
            Err(error) => {
                self.trouble(&error);
                agenda.fail(Dirty::everything());
                None
            }
        }
    }

    fn end(&self, agenda: &mut Agenda, outcome: &Outcome, took: Duration) {
        agenda.let_rest(outcome.restless.clone(), took);
        if outcome.unsettled.is_empty() {
            agenda.settled();
        } else {
            agenda.fail(outcome.unsettled.clone());
        }
        self.monitor.state(match &outcome.ending {
            Ending::Halted(over) => State::Halted(over.to_string()),
            _ if agenda.halted => State::Halted("deletions are held back; see the log".to_owned()),
            Ending::Identical if agenda.has_nothing_left() => State::Identical { files: agenda.files },
            Ending::Identical | Ending::Differs | Ending::Stopped => State::Differs {
                failed: outcome.tally.failed,
                held: outcome.tally.held + outcome.tally.skipped,
                in_motion: agenda.restless.0.names(),
            },
        });
    }

    fn halt(&self, reason: String) {
        self.monitor.state(State::Halted(reason.clone()));
        self.monitor.event(Event::general(0, Action::Halt, reason));
    }

    fn trouble(&self, error: &PassError) {
        let event = Event::general(0, Action::Error, error.to_string());
        self.monitor.event(Event { error: Some(error.to_string()), ..event });
    }

    /// Brings what was done to the disk, replica first, index after, beside the passes that go on meanwhile.
    fn flush<'scope>(&'scope self, agenda: &mut Agenda, scope: &'scope Scope<'scope, '_>) {
        if self.flushing.begin(&self.pair.index) {
            agenda.unflushed = None;
            scope.spawn(|| {
                let result = self.bring_to_disk();
                self.flushing.end(result);
                self.controls.waker.wake();
            });
        } else {
            // One is under way: the next is due a while later, not at once and for ever.
            agenda.unflushed = Some(Instant::now());
        }
    }

    /// The last flush, when it can be had soon; else the next start compares again what was copied since the one before.
    fn last_flush(&self, agenda: &mut Agenda) {
        let is_stopped = self.controls.stop.is_set();
        if (!is_stopped || self.flushing.is_quick()) && self.flushing.begin(&self.pair.index) {
            let result = self.bring_to_disk();
            self.flushing.end(result);
        } else if is_stopped {
            self.pair.index.abandon();
        }
        self.see_flushed(agenda);
    }

    fn bring_to_disk(&self) -> Result<(), PassError> {
        let before = (self.clock)();
        if self.rhythm.sync {
            if let Err(error) = self.pair.replica.sync() {
                // What is on the disk is unknown now, so what the index says of it is worth nothing.
                self.pair.index.disk_failed()?;
                return Err(PassError::Sync(error));
            }
            self.pair.index.disk.took_all(before, false);
        }
        Ok(self.pair.index.commit()?)
    }

    fn see_flushed(&self, agenda: &mut Agenda) {
        if let Some(Err(error)) = self.flushing.take() {
            self.trouble(&error);
            agenda.fail(Dirty::everything());
        }
    }

    /// Waits for what comes first, and takes it in.
    fn wait(&self, agenda: &mut Agenda) {
        let now = Instant::now();
        agenda.bring_due(now);
        if !agenda.dirty.is_empty() {
            return;
        }
        let until = agenda.next_due().saturating_duration_since(now);
        let descriptor = self.watcher.map(Watcher::descriptor);
        let heard = self.controls.waker.wait(descriptor, until);
        self.controls.waker.clear();
        if !matches!(heard, Ok(true)) {
            return;
        }
        self.hear(agenda);
        let patience = Instant::now() + self.rhythm.settle * 10;
        while !self.rhythm.settle.is_zero() && !self.controls.stop.is_set() && Instant::now() < patience {
            match self.controls.waker.wait(descriptor, self.rhythm.settle) {
                Ok(true) => self.hear(agenda),
                _ => break,
            }
        }
    }

    fn hear(&self, agenda: &mut Agenda) {
        let Some(watcher) = self.watcher else { return };
        match watcher.hear() {
            Ok(heard) => {
                if heard.overflow {
                    let text = "inotify: the queue ran over; looking at everything. To avoid it: \
                                sysctl fs.inotify.max_queued_events=1048576";
                    self.monitor.event(Event::general(0, Action::Watch, text));
                }
                agenda.judge |= heard.unmounted;
                agenda.take_in(heard);
            }
            Err(why) => {
                self.monitor.event(Event::general(0, Action::Watch, format!("inotify: {why}")));
                agenda.dirty.absorb(Dirty::everything());
            }
        }
    }
}
