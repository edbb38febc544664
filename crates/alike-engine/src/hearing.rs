//! Hearing: what the watcher has to tell goes on the agenda, and of a rename both ends before a pass looks.
//!
//! A pass that sees one end only takes it for a deletion, or for something new. The outcome is the same, but what was one
//! rename becomes a copy.

use std::time::{Duration, Instant};

use alike_model::dirty::Dirty;
use alike_model::event::Action;

use crate::agenda::Agenda;
use crate::monitor::{Event, Monitor};
use crate::watch::Watcher;
use crate::worker::Controls;

/// The kernel tells the two ends of a rename one right after the other, and both right after it is done, but a busy machine may
/// stop in between. So long is the rest waited for; what moved out of the tree, or into it, has none.
const REST_WAITS: Duration = Duration::from_millis(20);

/// Hears for a mirror.
pub(crate) struct Ear<'a> {
    pub(crate) watcher: Option<&'a Watcher>,
    pub(crate) controls: &'a Controls,
    pub(crate) monitor: &'a dyn Monitor,
}

impl Ear<'_> {
    /// Takes in what was heard; where that is half of a rename, the other half too. True when something left its name.
    pub(crate) fn hear(&self, agenda: &mut Agenda) -> bool {
        let Some(watcher) = self.watcher else { return false };
        let until = Instant::now() + REST_WAITS;
        let mut left = false;
        loop {
            let (half, more_left) = self.hear_once(watcher, agenda);
            left |= more_left;
            if !half {
                return left;
            }
            if !self.has_more(watcher, until) {
                watcher.give_up_halves();
                return left;
            }
        }
    }

    /// A name can be seen before it is announced: waits to hear what left its name, for that may be what was seen.
    pub(crate) fn hear_what_left(&self, agenda: &mut Agenda) {
        let Some(watcher) = self.watcher else { return };
        let until = Instant::now() + REST_WAITS;
        while self.has_more(watcher, until) && !self.hear(agenda) {}
    }

    /// Waits until there is something to hear; false when there is nothing by then.
    fn has_more(&self, watcher: &Watcher, until: Instant) -> bool {
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || self.controls.stop.is_set() {
                return false;
            }
            match self.controls.waker.wait(Some(watcher.descriptor()), left) {
                Ok(true) => return true,
                // Whoever that was, the worker looks at everything in a moment.
                Ok(false) => self.controls.waker.clear(),
                Err(_) => return false,
            }
        }
    }

    /// True when half of a rename is still to be heard, and when something left its name.
    fn hear_once(&self, watcher: &Watcher, agenda: &mut Agenda) -> (bool, bool) {
        match watcher.hear() {
            Ok(heard) => {
                if heard.overflow {
                    let by = if watcher.is_wide() { "fanotify" } else { "inotify" };
                    let text = format!(
                        "{by}: the queue ran over; looking at everything. To avoid it: \
                         sysctl fs.{by}.max_queued_events=1048576"
                    );
                    self.monitor.event(Event::general(0, Action::Watch, text));
                }
                agenda.judge |= heard.mounts;
                let told = (heard.half, heard.left);
                agenda.take_in(heard);
                told
            }
            Err(why) => {
                self.monitor.event(Event::general(0, Action::Watch, format!("not heard: {why}")));
                agenda.dirty.absorb(Dirty::everything());
                (false, true)
            }
        }
    }
}
