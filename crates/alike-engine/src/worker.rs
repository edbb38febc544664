//! The mirror: a first pass, then a pass for whatever the watcher, the interval or the user makes dirty, until stopped.
//!
//! One loop and one code path: whatever wakes it, dirt is collected, and a pass cleans it. What cannot be cleaned (a
//! drive that is gone, a path that fails) is tried again after a while that grows.

use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::Scope;
use std::time::{Duration, Instant};

use alike_model::entry::Time;
use alike_model::event::Action;
use alike_model::policy::{Deletes, Policy};

use crate::agenda::{Agenda, FLUSH_AFTER};
use crate::aside::Aside;
use crate::batch::Settles;
use crate::common::Common;
use crate::confined::confined;
use crate::controls::Controls;
use crate::early::watch_known;
use crate::error::PassError;
use crate::hearing::Ear;
use crate::monitor::{Event, Monitor, State, damaged};
use crate::pair::{Pair, Spec};
use crate::passing::Passed;
use crate::refusal::Refusal;
use crate::scrub::{Scrub, Turn};
use crate::siblings::Siblings;
use crate::stop::Stop;
use crate::turns::Share;
use crate::watch::Means;
use crate::watching::join_watcher;

/// How a mirror runs.
#[derive(Clone, Debug)]
pub struct Rhythm {
    /// A full pass this long after the last one.
    pub interval: Duration,
    /// By what the source is watched beside.
    pub watch: Means,
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
    /// Contents are copied no faster than so many bytes a second.
    pub bwlimit: Option<u64>,
    /// How many folders may be held open at once.
    pub held_folders: usize,
    /// Everything is read once in this time.
    pub scrub: Option<Duration>,
    /// Pairs that are refused at the start are waited for, all of them, as they are later.
    pub waits_at_start: bool,
    /// Full passes take turns with those of other sources on a disk.
    pub turns: Option<Share>,
}

/// How often a missing drive is looked for.
const LOOK_FOR_DRIVE: Duration = Duration::from_secs(1);

/// Keeps one replica identical, whatever becomes of the others.
pub(crate) struct Worker<'a> {
    pub(crate) spec: &'a Spec,
    pub(crate) policy: Policy,
    pub(crate) rhythm: &'a Rhythm,
    pub(crate) monitor: &'a dyn Monitor,
    pub(crate) clock: &'a (dyn Fn() -> Time + Sync),
    pub(crate) controls: &'a Controls,
    /// What it shares with those of other replicas, and its number among them.
    pub(crate) common: &'a Common,
    pub(crate) number: usize,
}

impl Worker<'_> {
    /// Opens the pair for the first time.
    pub(crate) fn open(&self) -> Result<Pair, Refusal> {
        self.open_as(self.spec)
    }

    fn open_as(&self, spec: &Spec) -> Result<Pair, Refusal> {
        self.common.claims.claim(self.number, &spec.replica)?;
        Pair::open(spec)
    }

    /// Runs until stopped. A pair that is refused, at the start (then it says why) or later, halts it until that is over. Returns how
    /// much the scrub found damaged.
    pub(crate) fn run(&self, opened: Result<Pair, String>) -> u64 {
        let Self { rhythm, monitor, controls, .. } = *self;
        let found = AtomicU64::new(0);
        let mut allowed = self.policy.deletes;
        // What the first pass may delete does not hold for later ones.
        let spec = &Spec {
            deletes: if allowed == Deletes::Allowed { rhythm.later_deletes } else { allowed },
            ..self.spec.clone()
        };
        let mut next = match opened {
            Ok(pair) => Some(pair),
            Err(why) => self.wait_for_pair(spec, Some(why)),
        };
        while let Some(pair) = next {
            let means = (&pair.source, rhythm.watch);
            let seat = join_watcher(&self.common.hub, means, &controls.waker, monitor);
            pair.notes(&self.policy).iter().for_each(|note| monitor.note(note));
            let mirror = Mirror {
                spec,
                policy: self.policy.within(&pair.holds),
                refuses: pair.refuses(&self.policy),
                rhythm,
                monitor,
                clock: self.clock,
                controls,
                stop: controls.stop.part(),
                common: self.common,
                number: self.number,
                pair: &pair,
                ear: Ear { seat: seat.as_ref(), controls, monitor },
                flushing: Aside::default(),
                full: Aside::default(),
                siblings: Siblings::default(),
                found: &found,
                turn: Turn::default(),
            };
            confined(&pair, monitor, &mut || mirror.run(&mut allowed));
            drop(seat);
            drop(pair);
            self.common.claims.leave(self.number);
            next = if controls.stop.is_set() { None } else { self.wait_for_pair(spec, None) };
        }
        let found = found.into_inner();
        let stopped = match found {
            0 => "stopped".to_owned(),
            found => format!("stopped; {}", damaged(found)),
        };
        monitor.event(Event::general(0, Action::Stop, stopped));
        found
    }

    /// Waits until both ends are back; `None` when stopped meanwhile. `why` they are not, where that is known already.
    fn wait_for_pair(&self, spec: &Spec, why: Option<String>) -> Option<Pair> {
        let _waits = self.common.one_waits();
        let mut said = why.inspect(|why| self.halt(why)).unwrap_or_default();
        while !self.controls.stop.is_set() {
            // Allowed for what is asked now: a drive that comes back next week is judged as ever.
            let allows = self.controls.allows_deletes.swap(false, Ordering::Relaxed);
            match self.open_as(&Spec { deletes: spec.deletes.for_once(allows), ..spec.clone() }) {
                Ok(pair) => {
                    self.controls.allows_deletes.fetch_or(allows, Ordering::Relaxed);
                    return Some(pair);
                }
                Err(refusal) => {
                    let text = refusal.to_string();
                    if text != said {
                        self.halt(&text);
                        said = text;
                    }
                }
            }
            self.controls.waker.clear();
            let _ = self.controls.waker.wait(None, LOOK_FOR_DRIVE);
        }
        None
    }

    fn halt(&self, why: &str) {
        self.monitor.state(State::Halted(why.to_owned()));
        self.monitor.event(Event::general(0, Action::Halt, why));
    }
}

/// A mirror at work on a pair that is there.
pub(crate) struct Mirror<'a> {
    pub(crate) spec: &'a Spec,
    pub(crate) policy: Policy,
    pub(crate) refuses: Option<String>,
    pub(crate) rhythm: &'a Rhythm,
    pub(crate) monitor: &'a dyn Monitor,
    pub(crate) clock: &'a (dyn Fn() -> Time + Sync),
    pub(crate) controls: &'a Controls,
    /// Ends what is done beside with this pair.
    pub(crate) stop: Stop,
    pub(crate) common: &'a Common,
    pub(crate) number: usize,
    pub(crate) pair: &'a Pair,
    pub(crate) ear: Ear<'a>,
    pub(crate) flushing: Aside<Result<(), PassError>>,
    pub(crate) full: Aside<Passed>,
    pub(crate) siblings: Siblings,
    /// What the scrub found since the start.
    pub(crate) found: &'a AtomicU64,
    /// Passes and the scrub take turns.
    pub(crate) turn: Turn,
}

impl Mirror<'_> {
    /// Runs until stopped or until an end of the pair is no longer where it was.
    fn run(&self, deletes: &mut Deletes) {
        let mut agenda = Agenda::new();
        std::thread::scope(|scope| {
            if let Some(period) = self.rhythm.scrub {
                let (trees, stop) = ((&self.pair.source, &self.pair.replica), &self.stop);
                let told = (self.monitor, self.clock);
                let scrub = Scrub::new(trees, &self.pair.index, told, (stop, &self.turn, self.found), period);
                scope.spawn(move || scrub.run());
            }
            if let Some(seat) = self.ear.seat {
                let known = (&self.pair.source, &self.pair.index);
                scope.spawn(move || watch_known(known, seat, &self.stop));
            }
            self.work(&mut agenda, deletes, scope);
            // A full pass may have hours to go, on what is no longer the pair.
            self.stop.set();
            self.turn.end();
        });
        self.see_full(&mut agenda, deletes);
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
            if self.see_full(agenda, deletes) {
                self.flush(agenda, scope);
            }
            if !agenda.dirty.is_empty() {
                // What was unmounted meanwhile is heard of before what is missing is taken for deleted.
                self.ear.hear(agenda);
            }
            let now = Instant::now();
            let wants_full = self.controls.pass_now.load(Ordering::Acquire) || now >= agenda.full;
            if wants_full && !self.full.is_under_way() {
                if agenda.seen && self.can_watch_again() {
                    // Whoever opens the pair anew gets a watcher before the pass that is due.
                    return;
                }
                self.begin_full(agenda, deletes, scope);
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

    /// True when there is no watcher, for want of one when the pair was opened, and one can be had now.
    fn can_watch_again(&self) -> bool {
        let wants = self.ear.seat.is_none() && self.rhythm.watch != Means::None;
        let join = || self.common.hub.join(&self.pair.source, self.rhythm.watch, &self.controls.waker);
        wants && join().is_ok()
    }

    pub(crate) fn halt(&self, reason: String) {
        self.monitor.state(State::Halted(reason.clone()));
        self.monitor.event(Event::general(0, Action::Halt, reason));
    }

    pub(crate) fn trouble(&self, error: &PassError) {
        let event = Event::general(0, Action::Error, error.to_string());
        self.monitor.event(Event { error: Some(error.to_string()), ..event });
    }

    /// Waits for what comes first, and takes it in.
    fn wait(&self, agenda: &mut Agenda) {
        let now = Instant::now();
        agenda.bring_due(now);
        if !agenda.dirty.is_empty() {
            return;
        }
        let until = agenda.next_due(self.full.is_under_way()).saturating_duration_since(now);
        if !self.ear.wait(until) {
            return;
        }
        self.ear.hear(agenda);
        self.let_settle(agenda);
    }

    /// Waits until nothing was heard of the source for as long as it is given to settle; of what is elsewhere on its filesystem
    /// there may be something to hear all the time.
    fn let_settle(&self, agenda: &mut Agenda) {
        let settle = self.rhythm.settle;
        let patience = Instant::now() + settle * 10;
        while let (Some(heard), false) = (agenda.heard, self.controls.stop.is_set()) {
            let left = (heard + settle).min(patience).saturating_duration_since(Instant::now());
            if left.is_zero() {
                return;
            }
            if self.ear.wait(left) {
                self.ear.hear(agenda);
            }
        }
    }
}
