//! What people are told of watching.

use alike_model::event::Action;

use crate::monitor::{Event, Monitor};
use crate::watch::Watcher;

/// A watcher, where one is wanted and can be had; says so where it cannot.
pub(crate) fn open_watcher(wanted: bool, monitor: &dyn Monitor) -> Option<Watcher> {
    if !wanted {
        return None;
    }
    match Watcher::new() {
        Ok(watcher) => Some(watcher),
        Err(why) => {
            let text = format!("not watching ({why}); every interval finds what changed");
            monitor.event(Event::general(0, Action::Watch, text));
            None
        }
    }
}

/// Says how much is watched, at first, and what cannot be.
pub(crate) fn say_watching(watcher: &Watcher, monitor: &dyn Monitor, first: bool) {
    if first {
        let noun = if watcher.watched() == 1 { "folder" } else { "folders" };
        let text = format!("inotify: {} {noun}", watcher.watched());
        monitor.event(Event::general(0, Action::Watch, text));
    }
    if let Some((count, why)) = watcher.take_refused() {
        let advice = match why.kind() {
            std::io::ErrorKind::StorageFull => {
                "; raise the limit: sysctl fs.inotify.max_user_watches=1048576".to_owned()
            }
            _ => format!(" ({why})"),
        };
        let text =
            format!("inotify: {} folders; {count} unwatched, found each interval{advice}", watcher.watched());
        monitor.event(Event::general(0, Action::Watch, text));
    }
}
