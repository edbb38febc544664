//! What people are told of watching.

use std::sync::Arc;

use alike_model::event::Action;
use alike_storage::Local;
use alike_storage::linux::Waker;

use crate::hub::{Hub, Seat};
use crate::monitor::{Event, Monitor};
use crate::watch::{Means, Watcher};

/// A seat at the watcher of a source, where one is wanted and can be had; says so where it cannot.
pub(crate) fn join_watcher(
    hub: &Hub,
    (source, means): (&Local, Means),
    waker: &Arc<Waker>,
    monitor: &dyn Monitor,
) -> Option<Seat> {
    if means == Means::None {
        return None;
    }
    match hub.join(source, means, waker) {
        Ok(seat) => Some(seat),
        Err(why) => {
            let text = format!("not watching ({why}); every interval finds what changed");
            monitor.event(Event::general(0, Action::Watch, text));
            None
        }
    }
}

/// Says how much is watched, at first, and what cannot be. True when nothing can change unheard but through a mapping.
pub(crate) fn say_watching(seat: &Seat, monitor: &dyn Monitor, first: bool) -> bool {
    let watcher = seat.watcher();
    if first && seat.may_say_means() {
        monitor.event(Event::general(0, Action::Watch, by_which_means(watcher)));
    }
    let refused = seat.take_refused();
    let hears_all = refused.is_none() && !watcher.is_shared();
    if let Some((count, why)) = refused {
        let advice = match why.kind() {
            std::io::ErrorKind::StorageFull => {
                "; raise the limit: sysctl fs.inotify.max_user_watches=1048576".to_owned()
            }
            _ => format!(" ({why})"),
        };
        let text = format!(
            "inotify: {} folders; {count} unwatched, looked at again and again{advice}",
            watcher.watched()
        );
        monitor.event(Event::general(0, Action::Watch, text));
    }
    hears_all
}

fn by_which_means(watcher: &Watcher) -> String {
    let count = watcher.watched();
    let noun = if count == 1 { "folder" } else { "folders" };
    let means = match (watcher.is_wide(), count) {
        (true, 0) => "fanotify: the whole filesystem".to_owned(),
        (true, _) => format!("fanotify: the whole filesystem; inotify: {count} {noun} on others"),
        (false, _) => {
            let why = watcher.why_narrow().map(|why| match why.kind() {
                std::io::ErrorKind::PermissionDenied => {
                    "; with CAP_SYS_ADMIN one mark would do (fanotify)".to_owned()
                }
                _ => format!("; no fanotify here ({why})"),
            });
            format!("inotify: {count} {noun}{}", why.unwrap_or_default())
        }
    };
    let elsewhere = "; what other machines change on this filesystem is not told: looked at again and again";
    if watcher.is_shared() { means + elsewhere } else { means }
}
