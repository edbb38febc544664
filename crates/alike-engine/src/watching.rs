//! What people are told of watching.

use std::io;
use std::sync::Arc;

use alike_model::event::Action;
use alike_storage::linux::Waker;
use alike_storage::{Folder, Local, linux, plain};

use crate::hub::{Hub, Seat};
use crate::monitor::{Event, Monitor};
use crate::pair::Spec;
use crate::refusal::Refusal;
use crate::watch::{Means, Watcher};

/// Refuses to start where somebody asked for the one means that there is not: another one would not be what was asked for.
pub(crate) fn refuse_without(means: Means, spec: &Spec) -> Result<(), Refusal> {
    // What is wrong with the source itself is said by who opens the pair.
    match Folder::open(&spec.source) {
        Ok(top) if means == Means::Fanotify => {
            Watcher::new(&top, means).map(drop).map_err(|why| Refusal::NoFanotify(what_it_takes(&why)))
        }
        _ => Ok(()),
    }
}

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
            let advice = linux::advice(&why).map(|advice| format!("; {advice}")).unwrap_or_default();
            let text = format!("not watching ({}); every interval finds what changed{advice}", plain(&why));
            monitor.event(Event::general(0, Action::Watch, text));
            None
        }
    }
}

/// Says how much is watched, at first, and what cannot be, when that is news. True when nothing can change unheard but through a
/// mapping.
pub(crate) fn say_watching(seat: &Seat, monitor: &dyn Monitor, first: bool) -> bool {
    let watcher = seat.watcher();
    if first && seat.may_say_means() {
        monitor.event(Event::general(0, Action::Watch, by_which_means(watcher)));
    }
    let hears_all = !seat.has_refused() && !watcher.is_shared();
    let refused = seat.take_refused();
    let unwatched = refused.as_ref().map_or(0, |(count, _)| *count);
    if let (true, Some((count, why))) = (watcher.is_news(unwatched), refused) {
        let advice = match linux::advice(&why) {
            Some(advice) => format!("; {advice}"),
            None => format!(" ({})", plain(&why)),
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
            let why = watcher.why_narrow().map(|why| format!("; {}", without_fanotify(why)));
            format!("inotify: {count} {noun}{}", why.unwrap_or_default())
        }
    };
    let elsewhere = "; what other machines change on this filesystem is not told: looked at again and again";
    if watcher.is_shared() { means + elsewhere } else { means }
}

fn what_it_takes(why: &io::Error) -> String {
    let lacks = linux::lacking_for_fanotify();
    if why.kind() != io::ErrorKind::PermissionDenied || lacks.is_empty() {
        return without_fanotify(why);
    }
    let (all, each) = (lacks.join(" and "), lacks.join(" "));
    format!("it takes {all}: run it as root, or as a service with AmbientCapabilities={each}")
}

/// Why a filesystem cannot be watched as a whole, and what would help.
#[must_use]
pub fn without_fanotify(why: &io::Error) -> String {
    let lacks = linux::lacking_for_fanotify();
    match why.kind() {
        io::ErrorKind::PermissionDenied if lacks.is_empty() => {
            "fanotify is refused here, as it is in most containers".to_owned()
        }
        io::ErrorKind::PermissionDenied => {
            format!("with {} one mark would do (fanotify)", lacks.join(" and "))
        }
        _ => format!("no fanotify here ({})", plain(why)),
    }
}
