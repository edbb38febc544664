//! What people are told of watching.

use alike_model::event::Action;
use alike_storage::{Local, Source};

use crate::monitor::{Event, Monitor};
use crate::watch::{Means, Watcher};

/// A watcher of a source, where one is wanted and can be had; says so where it cannot.
pub(crate) fn open_watcher(source: &Local, means: Means, monitor: &dyn Monitor) -> Option<Watcher> {
    if means == Means::None {
        return None;
    }
    let opened = source.root().map_err(std::io::Error::other).and_then(|root| Watcher::new(&root, means));
    match opened {
        Ok(watcher) => Some(watcher),
        Err(why) => {
            let text = format!("not watching ({why}); every interval finds what changed");
            monitor.event(Event::general(0, Action::Watch, text));
            None
        }
    }
}

/// Says how much is watched, at first, and what cannot be. True when nothing can change unheard but through a mapping.
pub(crate) fn say_watching(watcher: &Watcher, monitor: &dyn Monitor, first: bool) -> bool {
    if first {
        monitor.event(Event::general(0, Action::Watch, by_which_means(watcher)));
    }
    let refused = watcher.take_refused();
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
