//! One watcher for all mirrors of a source: whoever is free hears, and each of the others gets a copy.
//!
//! All of them wait for the same queue. The first to wake empties it, and lays a copy of what it heard into the inbox of
//! each other. So nothing stands between the kernel and a mirror, and one that is busy or stuck holds up no other: its inbox
//! only grows coarser.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::BorrowedFd;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use alike_model::dirty::Dirty;
use alike_model::path::RelPath;
use alike_storage::linux::{self, Waker};
use alike_storage::{Folder, Local, Source, plain};

use crate::watch::{Heard, Means, Unwatched, Watch, Watcher};

/// Where the mirrors of one source find its watcher.
#[derive(Default)]
pub(crate) struct Hub(Mutex<Weak<Shared>>);

/// A watcher, and who waits for what it hears.
struct Shared {
    of: Top,
    watcher: Watcher,
    inboxes: Mutex<BTreeMap<u64, Inbox>>,
    said: AtomicBool,
}

/// The top folder that is watched, and how it is reached: after its drive was mounted anew, another watcher is needed.
#[derive(PartialEq, Eq)]
struct Top {
    inode: (u64, u64),
    mount: u64,
    path: PathBuf,
}

struct Inbox {
    heard: Heard,
    waker: Arc<Waker>,
    /// A folder was found to be unwatched, or had to give up its mark for another.
    lacks: bool,
}

impl Hub {
    /// A seat for one more mirror of `source`, at the watcher of the others where there is one.
    pub(crate) fn join(&self, source: &Local, means: Means, waker: &Arc<Waker>) -> io::Result<Seat> {
        let root = source.root().map_err(io::Error::other)?;
        let stamp = source.stamp(&root).map_err(io::Error::other)?;
        let of = Top {
            inode: (stamp.dev, stamp.ino),
            mount: linux::mount_and_time(root.descriptor())?.0,
            path: linux::where_is(root.descriptor())?,
        };
        let mut open = lock(&self.0);
        let shared = match open.upgrade().filter(|shared| shared.of == of) {
            Some(shared) => shared,
            None => {
                let watcher = Watcher::new(&root, means)?;
                let fresh = Shared { of, watcher, inboxes: Mutex::default(), said: AtomicBool::new(false) };
                let fresh = Arc::new(fresh);
                *open = Arc::downgrade(&fresh);
                fresh
            }
        };
        Ok(Seat::take(shared, Arc::clone(waker)))
    }
}

/// The place of one mirror at a watcher, given up with the value.
pub(crate) struct Seat {
    shared: Arc<Shared>,
    number: u64,
    unwatched: Mutex<Unwatched>,
}

impl Seat {
    fn take(shared: Arc<Shared>, waker: Arc<Waker>) -> Self {
        let number = {
            let mut inboxes = lock(&shared.inboxes);
            let number = inboxes.last_key_value().map_or(0, |(last, _)| last + 1);
            inboxes.insert(number, Inbox { heard: Heard::default(), waker, lacks: false });
            number
        };
        Self { shared, number, unwatched: Mutex::default() }
    }

    /// What is watched, and by which means.
    pub(crate) fn watcher(&self) -> &Watcher {
        &self.shared.watcher
    }

    /// Can be read when there is something to hear that nobody has heard yet.
    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        self.shared.watcher.descriptor()
    }

    /// True when another mirror has heard something meanwhile.
    pub(crate) fn has_post(&self) -> bool {
        lock(&self.shared.inboxes).get(&self.number).is_some_and(|inbox| inbox.heard.is_any())
    }

    /// Takes all that is there, and what others have heard meanwhile; does not wait.
    pub(crate) fn hear(&self) -> Heard {
        // In one piece: nobody may find the queue empty before what was in it lies in the inboxes.
        let mut inboxes = lock(&self.shared.inboxes);
        let fresh = self.shared.watcher.hear().unwrap_or_else(|why| Heard {
            dirty: Dirty::everything(),
            left: true,
            trouble: Some(plain(&why)),
            ..Heard::default()
        });
        let mut mine = Heard::default();
        for (number, inbox) in inboxes.iter_mut() {
            if *number == self.number {
                mine = std::mem::take(&mut inbox.heard);
            } else if fresh.is_any() {
                inbox.heard.absorb(fresh.for_another());
                inbox.waker.wake();
            }
        }
        mine.absorb(fresh);
        mine
    }

    /// Waits no longer for the other half of a rename.
    pub(crate) fn give_up_halves(&self) {
        self.shared.watcher.give_up_halves();
    }

    /// Folders that could not be watched when this mirror looked at them since the last call, with the reason of the first.
    pub(crate) fn take_refused(&self) -> Option<(u64, io::Error)> {
        if let Some(inbox) = lock(&self.shared.inboxes).get_mut(&self.number) {
            inbox.lacks = false;
        }
        std::mem::take(&mut *lock(&self.unwatched)).told()
    }

    /// True when any mirror has met such a folder since then.
    pub(crate) fn has_refused(&self) -> bool {
        lock(&self.shared.inboxes).get(&self.number).is_some_and(|inbox| inbox.lacks)
    }

    /// Watches a folder that was at this path, and probably is.
    pub(crate) fn expect(&self, path: &RelPath, folder: &Folder) {
        self.note(self.shared.watcher.about_to_look((&|| path.clone(), true), folder));
    }

    fn note(&self, unwatched: Unwatched) {
        if unwatched.is_any() {
            lock(&self.unwatched).absorb(unwatched);
            lock(&self.shared.inboxes).values_mut().for_each(|inbox| inbox.lacks = true);
        }
    }

    /// True once for all mirrors: who says by which means the source is watched.
    pub(crate) fn may_say_means(&self) -> bool {
        !self.shared.said.swap(true, Ordering::Relaxed)
    }

    /// The watch of a pass that begins now.
    pub(crate) fn watch(&self) -> FromNow<'_> {
        FromNow { seat: self, since: self.shared.watcher.looks() }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        lock(&self.shared.inboxes).remove(&self.number);
    }
}

/// A watcher as one pass tells it of folders. What another pass has looked at since this one began is not forgotten, whatever
/// this one believes to be gone.
pub(crate) struct FromNow<'a> {
    seat: &'a Seat,
    since: u64,
}

impl Watch<Folder> for FromNow<'_> {
    fn about_to_look(&self, path: &dyn Fn() -> RelPath, folder: &Folder) {
        self.seat.note(self.seat.shared.watcher.about_to_look((path, false), folder));
    }

    fn gone(&self, path: &RelPath) {
        self.seat.shared.watcher.gone(path, self.since);
    }

    fn is_mounted_as_heard(&self) -> bool {
        self.seat.shared.watcher.is_mounted_as_heard()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs;
    use std::time::Duration;

    use alike_model::path::Name;

    use super::*;

    struct Room(PathBuf);

    impl Room {
        fn new(name: &str) -> (Self, Local) {
            let top = std::env::temp_dir().join(format!("alike-hub-{name}-{}", std::process::id()));
            fs::create_dir(&top).unwrap();
            let source = Local::open(&top).unwrap();
            (Self(top), source)
        }
    }

    impl Drop for Room {
        fn drop(&mut self) {
            let _ = fs::remove_dir_all(&self.0);
        }
    }

    fn seats(hub: &Hub, source: &Local) -> [(Seat, Arc<Waker>); 2] {
        [(); 2].map(|()| {
            let waker = Arc::new(Waker::new().unwrap());
            (hub.join(source, Means::Inotify, &waker).unwrap(), waker)
        })
    }

    fn looks_at(seat: &Seat, source: &Local, path: &str) {
        let mut folder = source.root().unwrap();
        let path = RelPath::parse(path.as_bytes()).unwrap_or_default();
        for name in path.names() {
            folder = source.open_folder(&folder, &name).unwrap();
        }
        seat.watch().about_to_look(&|| path.clone(), &folder);
    }

    fn has(heard: &Heard, folder: &str, name: &str) -> bool {
        let folder = RelPath::parse(folder.as_bytes()).unwrap_or_default();
        let name = Name::new(name.as_bytes()).unwrap();
        [&heard.dirty, &heard.created, &heard.written].iter().any(|dirty| dirty.has(&folder, &name))
    }

    #[test]
    fn what_one_mirror_hears_the_other_gets_too_and_is_woken_and_nobody_twice() {
        let (room, source) = Room::new("copies");
        let hub = Hub::default();
        let [(one, _), (other, waker)] = seats(&hub, &source);
        looks_at(&one, &source, "");
        fs::write(room.0.join("new"), "x").unwrap();
        assert!(!other.has_post());
        assert!(has(&one.hear(), "", "new"));
        assert!(other.has_post());
        let long = Duration::from_secs(5);
        let start = std::time::Instant::now();
        waker.wait(Some(other.descriptor()), long).unwrap();
        assert!(start.elapsed() < long, "it was not woken");
        assert!(has(&other.hear(), "", "new"));
        assert!(!one.hear().is_any() && !other.hear().is_any() && !one.has_post());
    }

    #[test]
    fn who_comes_later_hears_from_then_on_and_who_leaves_is_written_to_no_more() {
        let (room, source) = Room::new("later");
        let hub = Hub::default();
        let [(one, _), (other, _)] = seats(&hub, &source);
        looks_at(&one, &source, "");
        drop(other);
        fs::write(room.0.join("before"), "x").unwrap();
        one.hear();
        let waker = Arc::new(Waker::new().unwrap());
        let late = hub.join(&source, Means::Inotify, &waker).unwrap();
        fs::write(room.0.join("after"), "x").unwrap();
        let heard = late.hear();
        assert!(has(&heard, "", "after") && !has(&heard, "", "before"));
        assert!(has(&one.hear(), "", "after"));
        assert_eq!(lock(&one.shared.inboxes).len(), 2);
    }

    #[test]
    fn a_slow_pass_takes_no_mark_from_a_folder_that_came_back_and_was_looked_at_by_another() {
        let (room, source) = Room::new("slow");
        let hub = Hub::default();
        let [(slow, _), (quick, _)] = seats(&hub, &source);
        fs::create_dir(room.0.join("folder")).unwrap();
        looks_at(&quick, &source, "");
        looks_at(&quick, &source, "folder");
        // It saw the folder gone, and is about to say so.
        let believes = slow.watch();
        fs::rename(room.0.join("folder"), room.0.join("away")).unwrap();
        fs::create_dir(room.0.join("folder")).unwrap();
        looks_at(&quick, &source, "folder");
        quick.hear();
        believes.gone(&RelPath::parse(b"folder").unwrap());
        fs::write(room.0.join("folder/inside"), "x").unwrap();
        assert!(has(&quick.hear(), "folder", "inside"));
        // A pass that begins now may well say that it is gone.
        slow.watch().gone(&RelPath::parse(b"folder").unwrap());
        fs::write(room.0.join("folder/more"), "x").unwrap();
        assert!(!has(&quick.hear(), "folder", "more"));
    }

    #[test]
    fn a_source_that_is_another_folder_gets_a_watcher_of_its_own() {
        let (room, source) = Room::new("another");
        let hub = Hub::default();
        let [(one, _), (other, _)] = seats(&hub, &source);
        assert!(Arc::ptr_eq(&one.shared, &other.shared));
        fs::create_dir(room.0.join("inner")).unwrap();
        let inner = Local::open(&room.0.join("inner")).unwrap();
        let waker = Arc::new(Waker::new().unwrap());
        let third = hub.join(&inner, Means::Inotify, &waker).unwrap();
        assert!(!Arc::ptr_eq(&one.shared, &third.shared));
    }
}
