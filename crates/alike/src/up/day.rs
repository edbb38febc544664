//! The last day of a replica, minute by minute: how much changed, and how long changes took to arrive.

use std::collections::VecDeque;
use std::time::Duration;

use jiff::Timestamp;
use serde::Serialize;

/// Minutes of a day.
const MINUTES: usize = 24 * 60;

/// One minute.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(crate) struct Minute {
    /// Minutes since 1970.
    pub(crate) at: i64,
    /// Actions that changed the replica.
    pub(crate) changes: u64,
    /// Bytes that they copied.
    pub(crate) bytes: u64,
    /// The longest that a change waited, in milliseconds.
    pub(crate) latency_ms: u64,
}

/// The minutes in which something happened, oldest first.
#[derive(Clone, Debug, Default)]
pub(crate) struct Day(VecDeque<Minute>);

impl Day {
    /// Something was changed on the replica.
    pub(crate) fn changed(&mut self, bytes: u64) {
        let minute = self.minute(now());
        minute.changes += 1;
        minute.bytes += bytes;
    }

    /// The oldest change that waited did so for this long.
    pub(crate) fn caught_up(&mut self, waited: Duration) {
        let minute = self.minute(now());
        minute.latency_ms = minute.latency_ms.max(u64::try_from(waited.as_millis()).unwrap_or(u64::MAX));
    }

    /// Those of the last day.
    pub(crate) fn minutes(&self) -> impl Iterator<Item = &Minute> {
        let oldest = now() - MINUTES as i64;
        self.0.iter().filter(move |minute| minute.at > oldest)
    }

    fn minute(&mut self, at: i64) -> &mut Minute {
        // A clock that was set back adds to the newest.
        if self.0.back().is_none_or(|last| last.at < at) {
            if self.0.len() == MINUTES {
                self.0.pop_front();
            }
            self.0.push_back(Minute { at, ..Minute::default() });
        }
        let last = self.0.len() - 1;
        &mut self.0[last]
    }
}

fn now() -> i64 {
    Timestamp::now().as_second().div_euclid(60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_keeps_its_minutes_and_no_more() {
        let mut day = Day::default();
        (0..MINUTES as i64 + 100).for_each(|at| day.minute(at).changes += 1);
        assert_eq!(day.0.len(), MINUTES);
        assert_eq!(day.0.front().map(|minute| minute.at), Some(100));
    }

    #[test]
    fn what_happens_in_one_minute_is_added_up() {
        let mut day = Day::default();
        day.minute(5).changes += 1;
        day.minute(5).changes += 1;
        day.minute(4).changes += 1;
        assert_eq!(day.0.iter().map(|minute| (minute.at, minute.changes)).collect::<Vec<_>>(), [(5, 3)]);
    }
}
