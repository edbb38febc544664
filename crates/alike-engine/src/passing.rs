//! The passes of a mirror: full ones on a thread of their own, and beside them live ones for what the watcher announces.
//!
//! A full pass may take long, and what people change meanwhile should not wait for it. But a step that it has prepared may
//! be taken right after a live pass has looked at the same name. So all that live passes looked at beside a full one is
//! looked at once more when that is over: they serve early, and nothing depends on them. They keep to folders that the
//! index knows, for what is missing in others was not announced.

use std::sync::atomic::Ordering;
use std::thread::Scope;
use std::time::{Duration, Instant};

use alike_model::dirty::Dirty;
use alike_model::event::Action;
use alike_model::outcome::{Ending, Outcome};
use alike_model::path::Name;
use alike_model::policy::{Deletes, MaxDelete, Policy};
use alike_storage::{Folder, linux};

use crate::agenda::Agenda;
use crate::error::PassError;
use crate::hub::Seat;
use crate::lag::Told;
use crate::monitor::{Event, State};
use crate::pair::Spec;
use crate::pass::{Top, Work, pass};
use crate::refusal::Refusal;
use crate::watch::{NoWatch, Watch};
use crate::watching::say_watching;
use crate::worker::Mirror;

/// The limit of deletions that the watcher saw happen: none.
const SEEN: MaxDelete = MaxDelete::Entries(u64::MAX);

/// So often in a row a pass leaves something for the next one, to see both ends of a rename.
const MOST_ROUNDS: u32 = 3;

/// Where not everything is heard, everything is looked at this often, but for at most one part in so many of the time.
const POLL: Duration = Duration::from_secs(10);
const SHARE: u32 = 20;

/// A full pass that is over.
pub(crate) struct Passed {
    done: Result<Outcome, Failed>,
    /// What the next may delete, when nothing came of this one.
    deletes: Deletes,
    is_first: bool,
}

/// Why nothing came of a full pass.
enum Failed {
    Refused(Refusal),
    Broken(PassError),
}

/// Which part a pass has among others.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part<'a> {
    Full,
    /// A live pass, on its own or beside a full one.
    Live {
        beside_full: bool,
        patient: Option<&'a Dirty>,
    },
}

impl Mirror<'_> {
    /// Begins a full pass. It is not over when this returns.
    pub(crate) fn begin_full<'scope>(
        &'scope self,
        agenda: &mut Agenda,
        deletes: &mut Deletes,
        scope: &'scope Scope<'scope, '_>,
    ) {
        if !self.full.begin() {
            return;
        }
        self.controls.pass_now.store(false, Ordering::Relaxed);
        agenda.full = Instant::now() + self.rhythm.interval;
        agenda.begin_full();
        let (before, is_first, top) = (*deletes, !agenda.seen, self.top(agenda));
        let asked = self.controls.allows_deletes.swap(false, Ordering::Relaxed);
        let given = before.for_once(asked);
        // Allowed for one pass only.
        if before == Deletes::Allowed {
            *deletes = self.rhythm.later_deletes;
        }
        self.monitor.state(State::Working { full: true });
        scope.spawn(move || {
            let policy = Policy { deletes: given, ..self.policy };
            let disks = || self.pair.roots.map(|(device, _)| linux::disk_of(device));
            let _turn = self.rhythm.turns.as_ref().map(|share| share.take(disks(), &self.stop));
            let done = match self.refuse_emptied(given) {
                Err(refusal) => Err(Failed::Refused(refusal)),
                Ok(()) => self.pass((Part::Full, top), Dirty::everything(), policy).map_err(Failed::Broken),
            };
            self.full.end(Passed { done, deletes: before, is_first });
            self.controls.waker.wake();
        });
    }

    /// Takes in what came of a full pass that is over; true when there was one.
    pub(crate) fn see_full(&self, agenda: &mut Agenda, deletes: &mut Deletes) -> bool {
        let Some(Passed { done, deletes: before, is_first }) = self.full.take() else { return false };
        agenda.full_takes = self.full.took();
        let waited = agenda.lag.end_full();
        agenda.end_full();
        match done {
            Ok(outcome) => {
                if outcome.ending == Ending::Stopped {
                    // What it was allowed it did not come to.
                    *deletes = before;
                    agenda.left_to_full = true;
                }
                agenda.seen = true;
                agenda.halted = matches!(outcome.ending, Ending::Halted(_));
                agenda.files = outcome.tally.files;
                if outcome.tally.changes() > 0 {
                    agenda.unflushed.get_or_insert_with(Instant::now);
                }
                if let Some(seat) = self.ear.seat
                    && !say_watching(seat, self.monitor, is_first)
                {
                    agenda.full = agenda.full.min(Instant::now() + POLL.max(agenda.full_takes * SHARE));
                }
                self.end(agenda, (&outcome, &Dirty::everything()), agenda.full_takes);
                let began = waited.or_else(|| Instant::now().checked_sub(agenda.full_takes));
                agenda.lag.looked(began, agenda.waiting() > 0);
                self.tell_lag(agenda);
            }
            Err(failed) => {
                // It was not this pass that made use of it.
                *deletes = before;
                agenda.lag.looked(waited, waited.is_some());
                match failed {
                    Failed::Refused(refusal) => {
                        self.halt(refusal.to_string());
                        agenda.halted = true;
                    }
                    Failed::Broken(error) => {
                        self.trouble(&error);
                        agenda.fail(Dirty::everything());
                    }
                }
            }
        }
        true
    }

    /// A pass for what the watcher announced. Deletions seen as they happen need no judgement: the guard is for what is
    /// found missing, as by a look at what failed before.
    pub(crate) fn live_pass(&self, agenda: &mut Agenda, deletes: Deletes) {
        let deletes = match self.policy.deletes {
            Deletes::Never => Deletes::Never,
            Deletes::Within(_) | Deletes::Allowed if agenda.retrying => deletes,
            Deletes::Within(_) | Deletes::Allowed => Deletes::Within(SEEN),
        };
        let dirty = std::mem::take(&mut agenda.dirty);
        if agenda.retrying && dirty.is_everything() {
            // Nothing was seen of it: it is judged like any other full pass.
            agenda.full = Instant::now();
            return;
        }
        agenda.retrying = false;
        // Before a full pass has been through, nobody knows what is missing since when.
        let beside_full = self.full.is_under_way() || !agenda.seen;
        if beside_full {
            agenda.beside_full.absorb(dirty.clone());
            // Of a first copy nothing is known yet: what was renamed would look new.
            if agenda.beside_full.is_everything() || self.pair.index.indexed().is_none() {
                return;
            }
        } else {
            self.monitor.state(State::Working { full: false });
        }
        let started = Instant::now();
        let awaited = std::mem::take(&mut agenda.awaited);
        // Where something came from may not be in the index before the full pass is over.
        let is_patient = beside_full || self.ear.seat.is_some() && agenda.rounds < MOST_ROUNDS;
        let began = agenda.lag.begin();
        self.monitor.lag(began, dirty.names());
        let part = Part::Live { beside_full, patient: is_patient.then_some(&awaited) };
        let looked = dirty.clone();
        match self.pass((part, self.top(agenda)), dirty, Policy { deletes, ..self.policy }) {
            Ok(outcome) => {
                if !beside_full && outcome.ending != Ending::Stopped {
                    agenda.looked_at(&looked, &self.rules());
                }
                self.end_live(agenda, (&outcome, &looked, beside_full), started.elapsed());
                agenda.lag.looked(began, agenda.waiting() > 0);
                self.tell_lag(agenda);
            }
            Err(error) => {
                self.trouble(&error);
                agenda.fail(Dirty::everything());
            }
        }
    }

    fn end_live(
        &self,
        agenda: &mut Agenda,
        (outcome, looked, beside_full): (&Outcome, &Dirty, bool),
        took: Duration,
    ) {
        let tally = &outcome.tally;
        agenda.files = (agenda.files + tally.created + tally.linked).saturating_sub(tally.deleted);
        if tally.changes() > 0 {
            agenda.unflushed.get_or_insert_with(Instant::now);
        }
        if outcome.linked {
            agenda.left_to_full = true;
            agenda.full_soon();
        }
        if self.ear.seat.is_some_and(Seat::has_refused) {
            // A new folder has no mark, or has it from one that changed earlier.
            agenda.full = agenda.full.min(Instant::now() + POLL.max(agenda.full_takes * SHARE));
        }
        agenda.awaited = if beside_full { Dirty::new() } else { outcome.awaited.clone() };
        if beside_full {
            // What waits is looked at when the full pass is over.
            agenda.beside_full.absorb(outcome.awaited.clone());
        }
        if matches!(outcome.ending, Ending::Halted(_)) {
            agenda.full_soon();
        }
        agenda.rounds = if agenda.awaited.is_empty() { 0 } else { agenda.rounds + 1 };
        if !agenda.awaited.is_empty() {
            self.ear.hear_what_left(agenda);
            agenda.dirty.absorb(agenda.awaited.clone());
        }
        self.end(agenda, (outcome, looked), took);
    }

    /// Tells how far the replica is behind.
    pub(crate) fn tell_lag(&self, agenda: &mut Agenda) {
        self.monitor.lag(agenda.lag.since(), agenda.waiting());
        let text = match agenda.lag.tell(Instant::now()) {
            Some(Told::Behind(behind)) => {
                format!("behind for {} s: {} paths wait", behind.as_secs(), agenda.waiting())
            }
            Some(Told::CaughtUp) => "caught up".to_owned(),
            None => return,
        };
        self.monitor.event(Event::general(0, Action::Watch, text));
    }

    /// The names of files that say what is left out.
    fn rules(&self) -> Vec<Name> {
        self.spec.filter.ignore_files().iter().filter_map(|name| Name::new(name)).collect()
    }

    /// What is known of the replica's top folder.
    fn top(&self, agenda: &Agenda) -> Top {
        if agenda.seen { Top::There } else { self.pair.replica_top }
    }

    fn refuse_emptied(&self, deletes: Deletes) -> Result<(), Refusal> {
        match deletes {
            Deletes::Within(_) => self.pair.refuse_emptied(&Spec { deletes, ..self.spec.clone() }),
            Deletes::Never | Deletes::Allowed => Ok(()),
        }
    }

    fn pass(
        &self,
        (part, replica_top): (Part<'_>, Top),
        dirty: Dirty,
        policy: Policy,
    ) -> Result<Outcome, PassError> {
        let from_now = self.ear.seat.map(Seat::watch);
        let watch: &dyn Watch<Folder> = from_now.as_ref().map_or(&NoWatch, |from_now| from_now);
        let whole = dirty.is_everything();
        let (beside_full, patient) = match part {
            Part::Full => (false, None),
            Part::Live { beside_full, patient } => (beside_full, patient),
        };
        let most = self.rhythm.held_folders;
        let work = Work {
            source: &self.pair.source,
            replica: &self.pair.replica,
            replica_top,
            roots: self.common.claims.roots(self.number, self.pair.roots),
            index: &self.pair.index,
            policy,
            refuses: self.refuses.clone(),
            filter: &self.spec.filter,
            monitor: self.monitor,
            watch,
            clock: self.clock,
            stop: &self.stop,
            threads: self.common.share_of(self.rhythm.threads),
            pace: &self.common.pace,
            // Live changes are brought to the disk together, see `flush`.
            sync: self.rhythm.sync && whole,
            settles: self.rhythm.settles,
            trash: self.pair.trash.as_ref(),
            // Both may be under way at once.
            held_folders: if part == Part::Full { most - most / 4 } else { most / 4 },
            patient: patient.filter(|_| !whole),
            beside_full,
            siblings: Some(&self.siblings),
        };
        self.turn.taken_by(|| pass(&work, dirty))
    }

    fn end(&self, agenda: &mut Agenda, (outcome, looked): (&Outcome, &Dirty), took: Duration) {
        agenda.let_rest(outcome.restless.clone(), took);
        agenda.await_close(outcome.unclosed.clone());
        agenda.withheld.absorb(outcome.withheld.clone());
        match outcome.unsettled.is_empty() {
            // What was left to the next pass may be what failed before.
            true if !outcome.awaited.is_empty() => {}
            true => agenda.settled(),
            false => agenda.fail(outcome.unsettled.clone()),
        }
        let everything = Dirty::everything();
        // Where nothing is left to be looked at, nothing fails any more.
        let is_over = agenda.seen && !self.full.is_under_way() && outcome.awaited.is_empty();
        let is_all_well = is_over && agenda.has_nothing_left();
        self.pair.keep_failures(if is_all_well { &everything } else { looked }, outcome);
        if self.full.is_under_way() || !outcome.awaited.is_empty() {
            // It is still under way, or the next pass comes at once.
            return;
        }
        let found = self.found.load(Ordering::Relaxed);
        self.monitor.state(match &outcome.ending {
            Ending::Halted(over) => State::Halted(over.to_string()),
            _ if agenda.halted => State::Halted("deletions are held back; see the log".to_owned()),
            Ending::Identical if agenda.has_nothing_left() && found > 0 => State::Damaged { found },
            Ending::Identical if agenda.has_nothing_left() => State::Identical { files: agenda.files },
            Ending::Identical | Ending::Differs | Ending::Stopped => State::Differs {
                failed: outcome.tally.failed.max(agenda.failed.0.names()),
                held: agenda.withheld.count(),
                in_motion: agenda.restless.0.names(),
            },
        });
    }
}
