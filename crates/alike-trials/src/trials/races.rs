//! Somebody else changes the tree between a look and the act that follows it: at each path call, deterministically.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use alike_testkit::Snapshot;
use rustix::fs::{CWD, FileType, Mode, mknodat};

use crate::judge::{Fault, Shown, Sight, fault, last_words, show};
use crate::room::{Ground, PATIENCE, Room, SECRET, unmount_all};
use crate::supervise::{Call, Verdict};
use crate::sweep::{Limit, Sums, keep_when_asked, sweep};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trick {
    /// The folder is moved out, and a link to one outside takes its name.
    FolderForLink,
    MovedOut,
    LeafForLink,
    LeafForPipe,
    LeafForHardLink,
    MountOver,
    /// The same over the entry itself, when it is a folder.
    MountOnLeaf,
}

use Trick::{FolderForLink, LeafForHardLink, LeafForLink, LeafForPipe, MountOnLeaf, MountOver, MovedOut};

const TRICKS: [Trick; 7] =
    [FolderForLink, MovedOut, LeafForLink, LeafForPipe, LeafForHardLink, MountOver, MountOnLeaf];

pub fn run(ground: &Ground) -> Sums {
    let calls = count_paths(ground);
    let points: Vec<(u64, Trick)> = (1..=calls).flat_map(|k| TRICKS.map(|trick| (k, trick))).collect();
    let limit = match ground.full {
        true => Limit { points: 10_000, seconds: 3_600.0 },
        false => Limit { points: 500, seconds: 45.0 },
    };
    let label = |(k, trick): &(u64, Trick)| format!("races {k} {trick:?}");
    sweep(ground, points, limit, label, |(k, trick), room| try_point(ground, *k, *trick, room))
}

/// The entry of either tree that the call is about: the last path it names, which is where something comes to be.
fn target(call: &Call, room: &Room) -> Option<PathBuf> {
    let paths = (0..call.known.paths.len()).rev().filter_map(|which| call.path(which));
    let inside = |path: &PathBuf| {
        [&room.source, &room.replica].iter().any(|tree| path.starts_with(tree.top()) && path != tree.top())
    };
    paths.into_iter().find(inside)
}

fn count_paths(ground: &Ground) -> u64 {
    let room = ground.ready("count");
    let mut count = 0;
    ground.directed(&room, PATIENCE, &mut |call: &Call| {
        count += u64::from(target(call, &room).is_some());
        Verdict::Go
    });
    count
}

/// What was done to the tree.
#[derive(Default)]
struct Done {
    on_replica: bool,
    /// The call before which it was done.
    call: String,
    taken: Option<Taken>,
    mounted: Option<PathBuf>,
    /// The tool came to what is mounted when it was mounted already: as far as it can tell it was always there, and is part
    /// of the tree. It may write there.
    was_there: bool,
}

/// A folder that was moved out of its tree while the tool may have held it open.
///
/// No call of the system changes a folder only if it still stands where it stood. So what a tool does between its look and
/// its change cannot be helped: one call of each thread that was at work at the moment of the move. Nothing else is.
struct Taken {
    at: PathBuf,
    seen: Snapshot,
    /// Threads whose next call may be a change that was looked for before the move.
    excused: BTreeSet<u32>,
    /// Those that are making that call.
    flying: BTreeSet<u32>,
    written: Vec<String>,
}

impl Taken {
    fn look(&mut self, thread: u32) {
        let now = Snapshot::of(&self.at);
        if self.flying.is_empty() {
            self.written.extend(self.seen.changes_but_for_links(&now));
        }
        self.seen = now;
        if !self.flying.remove(&thread) && self.excused.remove(&thread) {
            self.flying.insert(thread);
        }
    }
}

fn try_point(ground: &Ground, k: u64, trick: Trick, name: &str) -> Vec<Fault> {
    let mut room = ground.ready(name);
    keep_when_asked(ground, &mut room);
    let outside = sentinel(&room);
    let (mut count, mut done) = (0, None::<Done>);
    let (mut threads, mut named) = (BTreeSet::new(), BTreeSet::new());
    let end = ground.directed(&room, PATIENCE, &mut |call: &Call| {
        if let Some(Done { taken: Some(taken), .. }) = &mut done {
            taken.look(call.thread());
        }
        threads.insert(call.thread());
        if let Some(path) = target(call, &room) {
            count += 1;
            if count == k {
                done = play(&room, &path, trick, &threads);
                done.iter_mut().for_each(|done| done.begin(call, &path, &named));
            }
            named.insert(path);
        }
        Verdict::Go
    });
    unmount_all(room.top());
    let Some(mut done) = done else { return Vec::new() };
    let mut faults = Vec::new();
    if end.hung || end.panicked() {
        faults.push(fault("hang or panic", format!("{} {}", end.ending(), last_words(&end.said))));
    }
    let side = if done.on_replica { "replica" } else { "source" };
    let place = format!("{trick:?} in the {side} before {}", done.call);
    let now = sentinel(&room);
    if outside != now && !done.was_there {
        let changed = now.iter().filter(|kept| !outside.contains(kept)).map(|kept| show(&kept.0));
        let gone = outside.iter().filter(|kept| !now.iter().any(|one| one.0 == kept.0));
        let which = changed.chain(gone.map(|kept| format!("{} gone", show(&kept.0)))).collect::<Vec<_>>();
        faults.push(fault("escape", format!("{place}: outside, changed: {}", which.join(", "))));
    }
    if let Some(taken) = &mut done.taken {
        taken.look(0);
        let written = taken.written.iter().take(2);
        faults.extend(written.map(|what| fault("moved out, written on", format!("{place}: {what}"))));
    }
    faults.extend(leaks(&room, &done).into_iter().map(|what| fault("leak", what)));
    faults
}

impl Done {
    /// The call before which it was done is on its way, and could not know.
    fn begin(&mut self, call: &Call, path: &Path, named: &BTreeSet<PathBuf>) {
        let below = |mount: &PathBuf| named.iter().any(|named| named.starts_with(mount));
        self.was_there = self.mounted.as_ref().is_some_and(|mount| !below(mount));
        self.call = format!("{} of {}", call.known.name, path.file_name().unwrap_or_default().display());
        if let Some(taken) = &mut self.taken {
            taken.excused.remove(&call.thread());
            taken.flying.insert(call.thread());
        }
    }
}

/// A path outside, with its mode, size, time and what it shows.
type Kept = (Vec<u8>, u16, u64, (i64, u32), Sight);

/// What lies outside, as far as a tool could change it: a hard link made and dropped changes the count of names only.
fn sentinel(room: &Room) -> Vec<Kept> {
    let (seen, shown) = (Snapshot::of(room.outside.top()), Shown::of(room.outside.top()));
    let entry = |(path, sight): (Vec<u8>, Sight)| {
        let record = seen.get(&path)?;
        Some((path, record.mode, record.size, record.mtime, sight))
    };
    shown.0.into_iter().filter_map(entry).collect()
}

fn play(room: &Room, path: &Path, trick: Trick, threads: &BTreeSet<u32>) -> Option<Done> {
    let on_replica = path.starts_with(room.replica.top());
    let top = if on_replica { room.replica.top() } else { room.source.top() };
    let folder = path.parent()?;
    let mut done = Done { on_replica, ..Done::default() };
    match trick {
        FolderForLink | MovedOut | MountOver if folder == top => return None,
        MountOnLeaf if !path.symlink_metadata().is_ok_and(|leaf| leaf.is_dir()) => return None,
        FolderForLink | MovedOut => {
            let away = room.aside.join("taken");
            fs::rename(folder, &away).ok()?;
            if trick == FolderForLink {
                std::os::unix::fs::symlink(room.outside.path("folder"), folder).ok()?;
            }
            let (seen, excused) = (Snapshot::of(&away), threads.clone());
            let (flying, written) = (BTreeSet::new(), Vec::new());
            done.taken = Some(Taken { at: away, seen, excused, flying, written });
        }
        MountOver | MountOnLeaf => {
            let (from, at) = (room.outside.path("folder"), if trick == MountOver { folder } else { path });
            let mounted = Command::new("mount").arg("--bind").args([from.as_path(), at]).output().ok()?;
            mounted.status.success().then_some(())?;
            done.mounted = Some(at.to_owned());
        }
        LeafForLink | LeafForPipe | LeafForHardLink => {
            // A hard link in the source is a file of the source: nothing to leak.
            (trick != LeafForHardLink || on_replica).then_some(())?;
            let _ = fs::rename(path, room.aside.join("leaf"));
            folder.is_dir().then_some(())?;
            // Another thread of the tool may be quicker: then there is nothing to race for.
            match trick {
                LeafForLink => drop(std::os::unix::fs::symlink(room.outside.path("secret"), path)),
                LeafForPipe => drop(mknodat(CWD, path, FileType::Fifo, Mode::from_raw_mode(0o644), 0)),
                _ => drop(fs::hard_link(room.outside.path("secret"), path)),
            }
        }
    }
    Some(done)
}

/// Content from outside that came into the replica by way of the source.
fn leaks(room: &Room, done: &Done) -> Vec<String> {
    // What is mounted in the source is in the source; what somebody put into the replica is no leak of ours.
    if done.on_replica || done.mounted.is_some() {
        return Vec::new();
    }
    let shown = Shown::of(room.replica.top());
    let secret = |content: &Vec<u8>| content == SECRET || content.starts_with(b"outside");
    shown.files().filter(|(_, content)| secret(content)).map(|(path, _)| show(path)).collect()
}
