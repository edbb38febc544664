//! How far the replica is behind: since when the oldest change waits that is not on it yet.

use std::time::{Duration, Instant};

/// Who is behind for less is not worth a line in the log.
const WORTH_A_LINE: Duration = Duration::from_secs(10);

/// Since when something waits.
#[derive(Debug, Default)]
pub(crate) struct Lag {
    /// What was heard and not looked at yet.
    heard: Option<Instant>,
    /// What was left to the full pass that is under way.
    in_full: Option<Instant>,
    /// What was looked at, and is still not as in the source.
    late: Option<Instant>,
    /// What the log has been told last.
    told: Option<Duration>,
}

/// What the log should be told of it.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// It is behind for this long.
    Behind(Duration),
    /// It was, for as long as was told last and perhaps a little more.
    CaughtUp,
}

impl Lag {
    /// Something was heard.
    pub(crate) fn hear(&mut self, now: Instant) {
        self.heard.get_or_insert(now);
    }

    /// All that was heard is about to be looked at. Returns since when the oldest of it waits, for [`Lag::looked`].
    pub(crate) fn begin(&mut self) -> Option<Instant> {
        self.heard.take()
    }

    /// A full pass begins, and looks at all that was heard.
    pub(crate) fn begin_full(&mut self) {
        self.in_full = self.in_full.into_iter().chain(self.heard.take()).min();
    }

    /// It is over. Returns since when the oldest of what was left to it waits, for [`Lag::looked`].
    pub(crate) fn end_full(&mut self) -> Option<Instant> {
        self.in_full.take()
    }

    /// It has been looked at; `waits`: not all of it, or of what was looked at before, is as in the source.
    pub(crate) fn looked(&mut self, began: Option<Instant>, waits: bool) {
        self.late = if waits { self.late.into_iter().chain(began).min() } else { None };
    }

    /// Since when the oldest change waits; `None`: nothing does.
    pub(crate) fn since(&self) -> Option<Instant> {
        [self.heard, self.in_full, self.late].into_iter().flatten().min()
    }

    /// What the log should be told now, each time for twice as long as before.
    pub(crate) fn tell(&mut self, now: Instant) -> Option<Told> {
        match self.since().map(|since| now.saturating_duration_since(since)) {
            None => self.told.take().map(|_| Told::CaughtUp),
            Some(behind) if behind >= self.told.map_or(WORTH_A_LINE, |told| told * 2) => {
                self.told = Some(behind);
                Some(Told::Behind(behind))
            }
            Some(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_oldest_change_that_is_not_on_the_replica_counts_until_it_is() {
        let (start, mut lag) = (Instant::now(), Lag::default());
        assert_eq!(lag.since(), None);
        lag.hear(start);
        lag.hear(start + SECOND);
        let began = lag.begin();
        lag.hear(start + SECOND * 2);
        lag.looked(began, true);
        assert_eq!(lag.since(), Some(start), "it failed, and waits on");
        let began = lag.begin();
        lag.looked(began, false);
        assert_eq!(lag.since(), None);
    }

    #[test]
    fn what_is_left_to_a_full_pass_counts_until_that_is_over() {
        let (start, mut lag) = (Instant::now(), Lag::default());
        lag.hear(start);
        lag.begin_full();
        lag.hear(start + SECOND);
        let began = lag.begin();
        lag.looked(began, false);
        assert_eq!(lag.since(), Some(start), "a live pass beside it has looked at something else");
        let began = lag.end_full();
        lag.looked(began, false);
        assert_eq!(lag.since(), None);
    }

    #[test]
    fn the_log_is_told_of_a_lag_of_ten_seconds_at_each_doubling_and_of_its_end() {
        let (start, mut lag) = (Instant::now(), Lag::default());
        lag.hear(start);
        let told: Vec<u32> = (0..60).filter(|at| lag.tell(start + SECOND * *at).is_some()).collect();
        assert_eq!(told, [10, 20, 40]);
        let began = lag.begin();
        lag.looked(began, false);
        assert_eq!((lag.tell(start), lag.tell(start)), (Some(Told::CaughtUp), None));
    }
}
