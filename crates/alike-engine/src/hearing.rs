//! Hearing: what the watcher has to tell goes on the agenda, and of a rename both ends before a pass looks.
//!
//! A pass that sees one end only takes it for a deletion, or for something new. The outcome is the same, but what was one
//! rename becomes a copy.

use std::time::{Duration, Instant};

use alike_model::event::Action;

use crate::agenda::Agenda;
use crate::controls::Controls;
use crate::hub::Seat;
use crate::monitor::{Event, Monitor};

/// The kernel tells the two ends of a rename one right after the other, and both right after it is done, but a busy machine may
/// stop in between. So long is the rest waited for; what moved out of the tree, or into it, has none.
const REST_WAITS: Duration = Duration::from_millis(20);

/// Hears for a mirror.
pub(crate) struct Ear<'a> {
    pub(crate) seat: Option<&'a Seat>,
    pub(crate) controls: &'a Controls,
    pub(crate) monitor: &'a dyn Monitor,
}

impl Ear<'_> {
    /// Waits until there is something to hear (then true), somebody wakes it, or the time is over.
    pub(crate) fn wait(&self, longest: Duration) -> bool {
        let has_post = || self.seat.is_some_and(Seat::has_post);
        if has_post() {
            return true;
        }
        let rests = self.seat.and_then(Seat::rests);
        let queue = self.seat.filter(|_| rests.is_none()).map(Seat::descriptor);
        let woken = self.controls.waker.wait(queue, rests.map_or(longest, |rests| rests.min(longest)));
        // Before the look into the inbox: what is laid there later wakes it anew.
        self.controls.waker.clear();
        matches!(woken, Ok(true)) || has_post()
    }

    /// Takes in what was heard; where that is half of a rename, the other half too. True when something left its name.
    pub(crate) fn hear(&self, agenda: &mut Agenda) -> bool {
        let Some(seat) = self.seat else { return false };
        let until = Instant::now() + REST_WAITS;
        let mut left = false;
        loop {
            let (half, more_left) = self.hear_once(seat, agenda);
            left |= more_left;
            if !half {
                return left;
            }
            if !self.has_more(until) {
                seat.give_up_halves();
                return left;
            }
        }
    }

    /// A name can be seen before it is announced: waits to hear what left its name, for that may be what was seen.
    pub(crate) fn hear_what_left(&self, agenda: &mut Agenda) {
        let until = Instant::now() + REST_WAITS;
        while self.seat.is_some() && self.has_more(until) && !self.hear(agenda) {}
    }

    /// Waits until there is something to hear; false when there is nothing by then.
    fn has_more(&self, until: Instant) -> bool {
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || self.controls.stop.is_set() {
                return false;
            }
            // Whoever else wakes it, the worker looks at everything in a moment.
            if self.wait(left) {
                return true;
            }
        }
    }

    /// True when half of a rename is still to be heard, and when something left its name.
    fn hear_once(&self, seat: &Seat, agenda: &mut Agenda) -> (bool, bool) {
        let heard = seat.hear();
        if heard.overflow {
            let by = if seat.watcher().is_wide() { "fanotify" } else { "inotify" };
            let text = format!(
                "{by}: the queue ran over; looking at everything. To avoid it: \
                 sysctl fs.{by}.max_queued_events=1048576"
            );
            self.monitor.event(Event::general(0, Action::Watch, text));
        }
        if let Some(why) = &heard.trouble {
            self.monitor.event(Event::general(0, Action::Watch, format!("not heard: {why}")));
        }
        agenda.judge |= heard.judge;
        let told = (heard.half, heard.left);
        agenda.take_in(heard);
        told
    }
}
