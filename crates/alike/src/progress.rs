//! How far a full pass is, and how long it may take still: never less than was said before, and no time where none is known.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// To look at an entry takes about as long as to copy so many bytes.
const ENTRY: u64 = 16 * 1024;
/// Nothing is said before this has passed, and nothing of the time before a share of the work is done that tells something.
const BEGINNING: Duration = Duration::from_secs(3);
const TELLING: f64 = 0.03;
/// A time that was wrong by more than this is not said any more, until it is right again.
const WRONG: f64 = 1.5;

/// What is in the source, once it has been counted; 0: not yet.
#[derive(Debug, Default)]
pub(crate) struct Total {
    pub(crate) entries: AtomicU64,
    pub(crate) bytes: AtomicU64,
}

/// What has been done of a pass.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Done {
    /// Entries looked at.
    pub(crate) looked: u64,
    /// Files copied.
    pub(crate) copied: u64,
    /// Their bytes.
    pub(crate) bytes: u64,
}

/// What was said of a pass so far.
#[derive(Debug, Default)]
pub(crate) struct Progress(Mutex<Said>);

#[derive(Debug, Default)]
struct Said {
    began: Option<Instant>,
    /// The share of the work.
    share: f64,
    /// When it is to be over.
    end: Option<Instant>,
}

impl Progress {
    /// A pass begins.
    pub(crate) fn begin(&self, now: Instant) {
        *self.lock() = Said { began: Some(now), ..Said::default() };
    }

    /// The share of the work that is done, in percent, and how long the rest takes, as far as both are known.
    pub(crate) fn tell(&self, done: Done, total: &Total, now: Instant) -> Option<(u64, Option<Duration>)> {
        let mut said = self.lock();
        let began = *said.began.get_or_insert(now);
        let took = now.saturating_duration_since(began);
        if took < BEGINNING {
            return None;
        }
        // What is found on the way makes the work more; what was said stands.
        said.share = said.share.max(share(done, total)?);
        let percent = percent(said.share);
        if said.share < TELLING {
            return Some((percent, None));
        }
        let left = took.mul_f64((1.0 - said.share) / said.share);
        let end = *said.end.get_or_insert(now + left);
        let said_left = end.saturating_duration_since(now);
        if now + left < end {
            said.end = Some(now + left);
            return Some((percent, Some(left)));
        }
        let is_wrong = left > said_left.mul_f64(WRONG) + BEGINNING;
        Some((percent, (!is_wrong).then_some(said_left)))
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Said> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Of a first copy counts what has been copied, for looking is far ahead of that; where many files are as they should be, nobody
/// knows how many are not.
#[allow(clippy::cast_precision_loss, reason = "percents are shown")]
fn share(done: Done, total: &Total) -> Option<f64> {
    let entries = Some(total.entries.load(Ordering::Relaxed)).filter(|entries| *entries > 0)?;
    let bytes = total.bytes.load(Ordering::Relaxed);
    let is_first_copy = done.copied * 4 > done.looked;
    let (part, whole) = match is_first_copy && bytes > 0 {
        true => (done.copied * ENTRY + done.bytes, entries * ENTRY + bytes),
        false => (done.looked, entries),
    };
    Some((part as f64 / whole.max(part) as f64).min(1.0))
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 99")]
fn percent(share: f64) -> u64 {
    // It is over when the pass says so.
    ((share * 100.0) as u64).min(99)
}

/// A time left for people: coarse, for it is a guess.
pub(crate) fn about(left: Duration) -> String {
    match left.as_secs() {
        0..=9 => "a few seconds left".to_owned(),
        seconds @ 10..=89 => format!("about {} s left", seconds.div_ceil(10) * 10),
        seconds @ 90..=5399 => format!("about {} min left", seconds.div_ceil(60)),
        seconds => format!("about {} h left", seconds.div_ceil(3600)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn total(entries: u64, bytes: u64) -> Total {
        Total { entries: entries.into(), bytes: bytes.into() }
    }

    fn looked(looked: u64) -> Done {
        Done { looked, ..Done::default() }
    }

    #[test]
    fn neither_the_share_nor_the_time_goes_backwards_and_a_wrong_time_is_left_out() {
        let (progress, start, total) = (Progress::default(), Instant::now(), total(1_000, 0));
        progress.begin(start);
        let at = |second: u64, done: u64| {
            progress.tell(looked(done), &total, start + Duration::from_secs(second)).unwrap_or_default()
        };
        assert_eq!(at(1, 100), (0, None), "it is too early to tell");
        assert_eq!(at(4, 20), (2, None));
        assert_eq!(at(10, 500), (50, Some(Duration::from_secs(10))));
        assert_eq!(at(12, 500), (50, Some(Duration::from_secs(8))), "the clock runs, the work does not");
        assert_eq!(at(13, 400).0, 50);
        assert_eq!(at(30, 500), (50, None), "what was said was wrong");
        assert_eq!(at(31, 990).0, 99);
        assert_eq!(at(32, 1_000).0, 99, "the pass says when it is over");
    }

    #[test]
    fn of_a_first_copy_the_bytes_count_and_of_a_later_pass_the_entries() {
        let total = total(10, 1 << 30);
        let half = Done { looked: 10, copied: 9, bytes: 1 << 29 };
        assert!(share(half, &total).is_some_and(|share| (0.49..0.51).contains(&share)));
        let nothing_to_do = Done { looked: 5, copied: 0, bytes: 0 };
        assert!(share(nothing_to_do, &total).is_some_and(|share| (0.49..0.51).contains(&share)));
        assert_eq!(share(nothing_to_do, &Total::default()), None, "nobody has counted yet");
    }

    #[test]
    fn a_time_left_is_told_coarsely() {
        let told = |seconds| about(Duration::from_secs(seconds));
        assert_eq!(told(4), "a few seconds left");
        assert_eq!(told(42), "about 50 s left");
        assert_eq!(told(150), "about 3 min left");
        assert_eq!(told(7_300), "about 3 h left");
    }
}
