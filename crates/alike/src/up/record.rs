//! What is known of one replica, gathered from what its mirror tells.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use alike_engine::monitor::{Event, State, damaged};
use alike_model::event::Action;
use alike_model::path::RelPath;
use jiff::Timestamp;

use super::day::Day;
use super::report::{PassReport, Progress, ReplicaReport, Standing, Trouble};
use crate::log::{one_line, raw, shown};
use crate::standing::still_written;

/// So many paths in trouble are named; the others are counted.
const NAMED: usize = 200;
/// A replica that is behind for longer is not well.
pub(crate) const LATE: Duration = Duration::from_secs(60);

/// What is known of one replica.
pub(crate) struct Record(Mutex<Facts>);

struct Facts {
    /// What the last pass that ended found.
    verdict: Standing,
    why: String,
    /// The pass that is under way.
    working: Option<Working>,
    files: u64,
    identical_at: Option<Timestamp>,
    /// When a pass said last how it stands.
    told_at: Option<Instant>,
    /// Full passes come this often.
    interval: Duration,
    lag: Option<(Instant, u64)>,
    last_pass: Option<PassReport>,
    last_change: Option<Timestamp>,
    changes: u64,
    bytes: u64,
    counts: Progress,
    failed: Troubles,
    held: Troubles,
    day: Day,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Working {
    Full,
    Live,
}

/// Paths in trouble.
#[derive(Default)]
struct Troubles {
    named: BTreeMap<RelPath, (u64, Trouble)>,
    count: u64,
}

impl Troubles {
    fn note(&mut self, event: &Event, path: &RelPath) {
        if let Some((pass, trouble)) = self.named.get_mut(path) {
            (*pass, trouble.reason) = (event.pass, one_line(&event.reason));
        } else if self.named.len() < NAMED {
            let trouble = Trouble {
                path: shown(path),
                path_bytes: raw(path),
                action: event.action.as_str().to_owned(),
                reason: one_line(&event.reason),
                since: rfc(Timestamp::now()),
            };
            self.named.insert(path.clone(), (event.pass, trouble));
        }
    }

    fn over(&mut self, path: &RelPath) {
        self.named.remove(path);
    }

    /// A full pass would have told of them again.
    fn end_full(&mut self, pass: u64) {
        self.named.retain(|_, (told_in, _)| *told_in >= pass);
    }

    fn clear(&mut self) {
        *self = Self::default();
    }

    fn list(&self) -> Vec<Trouble> {
        self.named.values().map(|(_, trouble)| trouble.clone()).collect()
    }

    fn all(&self) -> u64 {
        self.count.max(self.named.len() as u64)
    }
}

/// What is known became another.
pub(crate) struct Turned {
    pub(crate) was: Standing,
    pub(crate) is: Standing,
    pub(crate) why: String,
}

impl Record {
    /// Of a mirror whose full passes come this often.
    pub(crate) fn new(interval: Duration) -> Self {
        Self(Mutex::new(Facts {
            verdict: Standing::Starting,
            why: String::new(),
            working: None,
            files: 0,
            identical_at: None,
            told_at: None,
            interval,
            lag: None,
            last_pass: None,
            last_change: None,
            changes: 0,
            bytes: 0,
            counts: Progress { looked: 0, copied: 0, bytes: 0 },
            failed: Troubles::default(),
            held: Troubles::default(),
            day: Day::default(),
        }))
    }

    pub(crate) fn event(&self, event: &Event) {
        let mut facts = self.lock();
        let bytes = event.bytes.unwrap_or(0);
        match (event.action, &event.path) {
            (Action::Error, Some(path)) => facts.failed.note(event, path),
            (Action::Hold | Action::Skip, Some(path)) => facts.held.note(event, path),
            (Action::PassEnd, _) => facts.end_full(event),
            (_, Some(path)) => {
                facts.failed.over(path);
                facts.held.over(path);
                facts.last_change = Some(Timestamp::now());
                facts.changes += 1;
                facts.bytes += bytes;
                facts.counts.copied += u64::from(event.bytes.is_some());
                facts.counts.bytes += bytes;
                facts.day.changed(bytes);
            }
            (_, None) => {}
        }
    }

    pub(crate) fn looked(&self, entries: u64) {
        self.lock().counts.looked += entries;
    }

    pub(crate) fn lag(&self, since: Option<Instant>, paths: u64) {
        let mut facts = self.lock();
        if let (Some((began, _)), None) = (facts.lag, since) {
            facts.day.caught_up(began.elapsed());
        }
        facts.lag = since.map(|since| (since, paths));
    }

    /// Returns what became of the verdict.
    pub(crate) fn state(&self, state: &State) -> Option<Turned> {
        let mut facts = self.lock();
        let (is, why) = match state {
            State::Working { full } => {
                facts.working = Some(if *full { Working::Full } else { Working::Live });
                if *full {
                    facts.counts = Progress { looked: 0, copied: 0, bytes: 0 };
                }
                return None;
            }
            State::Identical { files } => {
                facts.files = *files;
                facts.identical_at = Some(Timestamp::now());
                facts.failed.clear();
                facts.held.clear();
                (Standing::Identical, String::new())
            }
            State::Damaged { found } => (Standing::Damaged, damaged(*found)),
            State::Differs { failed, held, in_motion } => {
                (facts.failed.count, facts.held.count) = (*failed, *held);
                let moving = still_written(*in_motion);
                (Standing::Differs, format!("{failed} failed, {held} held or skipped{moving}"))
            }
            State::Halted(why) => (Standing::Halted, one_line(why)),
        };
        facts.working = None;
        facts.told_at = Some(Instant::now());
        facts.turn(is, why)
    }

    /// Its mirror has ended, and why.
    pub(crate) fn ended(&self, is: Standing, why: String) -> Option<Turned> {
        let mut facts = self.lock();
        (facts.working, facts.lag) = (None, None);
        facts.turn(is, why)
    }

    pub(crate) fn report(&self, replica: &str) -> ReplicaReport {
        let facts = self.lock();
        let lag = facts.lag.map_or(Duration::ZERO, |(since, _)| since.elapsed());
        let is_full = facts.working == Some(Working::Full);
        ReplicaReport {
            replica: replica.to_owned(),
            state: facts.standing(),
            why: if facts.is_overdue() { facts.overdue() } else { facts.why.clone() },
            well: facts.verdict == Standing::Identical && lag <= LATE && !facts.is_overdue(),
            hold: None,
            files: facts.files,
            identical_at: facts.identical_at.map(rfc),
            lag_ms: u64::try_from(lag.as_millis()).unwrap_or(u64::MAX),
            lag_paths: facts.lag.map_or(0, |(_, paths)| paths),
            progress: is_full.then(|| facts.counts.clone()),
            last_pass: facts.last_pass.clone(),
            last_change: facts.last_change.map(rfc),
            changes: facts.changes,
            bytes: facts.bytes,
            failed: facts.failed.list(),
            held: facts.held.list(),
            failed_count: facts.failed.all(),
            held_count: facts.held.all(),
            trash: None,
        }
    }

    /// The last day, minute by minute.
    pub(crate) fn day(&self) -> Day {
        self.lock().day.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Facts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Facts {
    fn turn(&mut self, is: Standing, why: String) -> Option<Turned> {
        let was = std::mem::replace(&mut self.verdict, is);
        let is_news = was != is || is == Standing::Halted && self.why != why;
        self.why.clone_from(&why);
        is_news.then_some(Turned { was, is, why })
    }

    fn end_full(&mut self, event: &Event) {
        self.failed.end_full(event.pass);
        self.held.end_full(event.pass);
        self.last_pass = Some(PassReport {
            pass: event.pass,
            ended: rfc(Timestamp::now()),
            ms: event.took.map_or(0, |took| u64::try_from(took.as_millis()).unwrap_or(u64::MAX)),
            summary: one_line(&event.reason),
        });
    }

    /// True when no pass has come to its end for much longer than one takes: it may hang.
    fn is_overdue(&self) -> bool {
        let takes = self.last_pass.as_ref().map_or(Duration::ZERO, |pass| Duration::from_millis(pass.ms));
        let longest = self.interval.saturating_mul(2).saturating_add(takes * 3).saturating_add(LATE);
        self.verdict == Standing::Identical && self.told_at.is_some_and(|at| at.elapsed() > longest)
    }

    fn overdue(&self) -> String {
        let since = self.told_at.map_or(Duration::ZERO, |at| at.elapsed());
        format!("no pass has come to its end for {}: does its drive answer?", crate::standing::ago(since))
    }

    /// What is wrong is said also while it is being mended.
    fn standing(&self) -> Standing {
        match (self.verdict, self.working) {
            (Standing::Starting | Standing::Identical, Some(Working::Full)) => Standing::Comparing,
            (Standing::Starting | Standing::Identical, Some(Working::Live)) => Standing::Copying,
            (verdict, _) => verdict,
        }
    }
}

/// A moment as JSON has it.
pub(crate) fn rfc(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn about(pass: u64, action: Action, path: &str) -> Event {
        Event::about(pass, action, RelPath::parse(path.as_bytes()).unwrap(), "no permission")
    }

    #[test]
    fn a_path_is_in_trouble_until_it_is_done_or_a_full_pass_says_nothing_of_it() {
        let record = Record::new(Duration::from_secs(600));
        let named = || -> Vec<String> {
            record.report("/r").failed.into_iter().map(|trouble| trouble.path).collect()
        };
        ["a", "b", "c"].iter().for_each(|path| record.event(&about(3, Action::Error, path)));
        record.event(&about(4, Action::Create, "a"));
        assert_eq!(named(), ["b", "c"]);
        record.event(&about(5, Action::Error, "c"));
        record.event(&Event::general(5, Action::PassEnd, "1 failed"));
        assert_eq!(named(), ["c"]);
        record.state(&State::Identical { files: 3 });
        assert_eq!((named().len(), record.report("/r").failed_count), (0, 0));
    }

    #[test]
    fn what_is_wrong_is_said_also_while_it_is_being_mended() {
        let record = Record::new(Duration::from_secs(600));
        assert_eq!(record.report("/r").state, Standing::Starting);
        record.state(&State::Working { full: true });
        assert_eq!(record.report("/r").state, Standing::Comparing);
        let turned = record.state(&State::Differs { failed: 2, held: 1, in_motion: 0 }).unwrap();
        assert_eq!((turned.was, turned.is), (Standing::Starting, Standing::Differs));
        record.state(&State::Working { full: false });
        let report = record.report("/r");
        assert_eq!((report.state, report.failed_count, report.held_count), (Standing::Differs, 2, 1));
        assert!(!report.well && record.state(&State::Identical { files: 9 }).is_some());
        assert!(record.report("/r").well && record.state(&State::Identical { files: 9 }).is_none());
    }

    #[test]
    fn a_replica_whose_passes_do_not_end_any_more_is_not_well() {
        let record = Record::new(Duration::from_secs(2));
        record.state(&State::Identical { files: 1 });
        record.state(&State::Working { full: true });
        assert!(record.report("/r").well, "a pass may well be under way");
        record.lock().told_at = Instant::now().checked_sub(LATE + Duration::from_secs(5));
        let report = record.report("/r");
        assert!(!report.well && report.why.contains("does its drive answer?"), "{report:?}");
    }

    #[test]
    fn a_replica_that_is_far_behind_is_not_well() {
        let record = Record::new(Duration::from_secs(600));
        record.state(&State::Identical { files: 1 });
        record.lag(Instant::now().checked_sub(LATE * 2), 7);
        let report = record.report("/r");
        assert!(!report.well && report.lag_paths == 7 && report.lag_ms >= 120_000);
        record.lag(None, 0);
        assert!(record.report("/r").well);
    }
}
