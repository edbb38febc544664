//! Somebody else changes the tree between a look and the act that follows it: at each path call, deterministically.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use alike_testkit::Snapshot;
use rustix::fs::{CWD, FileType, Mode, mknodat};

use crate::judge::{Fault, Shown, Sight, fault, last_words, show};
use crate::room::{Ground, PATIENCE, Room, SECRET};
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
}

use Trick::{FolderForLink, LeafForHardLink, LeafForLink, LeafForPipe, MountOver, MovedOut};

const TRICKS: [Trick; 6] = [FolderForLink, MovedOut, LeafForLink, LeafForPipe, LeafForHardLink, MountOver];

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
    mounted: Option<PathBuf>,
    /// The folder that was moved out, and how it looked when the call in flight was over.
    taken: Option<(PathBuf, u32, Option<Snapshot>)>,
}

fn try_point(ground: &Ground, k: u64, trick: Trick, name: &str) -> Vec<Fault> {
    let mut room = ground.ready(name);
    keep_when_asked(ground, &mut room);
    let outside = sentinel(&room);
    let (mut count, mut done) = (0, None::<Done>);
    let end = ground.directed(&room, PATIENCE, &mut |call: &Call| {
        if let Some(Done { taken: Some((at, thread, seen @ None)), .. }) = &mut done
            && *thread == call.thread()
        {
            // The call that was in flight when the folder went could not know. Whatever comes later could.
            *seen = Some(Snapshot::of(at));
        }
        if let Some(path) = target(call, &room) {
            count += 1;
            if count == k {
                done = play(&room, &path, trick, call.thread());
            }
        }
        Verdict::Go
    });
    if let Some(at) = done.as_ref().and_then(|done| done.mounted.as_ref()) {
        let _ = Command::new("umount").arg("-l").arg(at).output();
    }
    let Some(done) = done else { return Vec::new() };
    let mut faults = Vec::new();
    if end.hung || end.panicked() {
        faults.push(fault("hang or panic", format!("{} {}", end.ending(), last_words(&end.said))));
    }
    let side = if done.on_replica { "replica" } else { "source" };
    let changed = outside != sentinel(&room);
    if changed {
        faults.push(fault("escape", format!("{trick:?} in the {side}: what lies outside was changed")));
    }
    if let Some((at, _, Some(seen))) = &done.taken {
        for what in seen.changes(&Snapshot::of(at)).into_iter().take(2) {
            faults.push(fault("moved out, written on", format!("{trick:?} in the {side}: {what}")));
        }
    }
    faults.extend(leaks(&room, trick, &done).into_iter().map(|what| fault("leak", what)));
    faults
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

fn play(room: &Room, path: &Path, trick: Trick, thread: u32) -> Option<Done> {
    let on_replica = path.starts_with(room.replica.top());
    let top = if on_replica { room.replica.top() } else { room.source.top() };
    let folder = path.parent()?;
    let mut done = Done { on_replica, ..Done::default() };
    match trick {
        FolderForLink | MovedOut | MountOver if folder == top => return None,
        FolderForLink | MovedOut => {
            let away = room.aside.join("taken");
            fs::rename(folder, &away).ok()?;
            if trick == FolderForLink {
                std::os::unix::fs::symlink(room.outside.path("folder"), folder).ok()?;
            }
            done.taken = Some((away, thread, None));
        }
        MountOver => {
            let (from, at) = (room.outside.path("folder"), folder);
            let mounted = Command::new("mount").arg("--bind").args([from.as_path(), at]).output().ok()?;
            mounted.status.success().then_some(())?;
            done.mounted = Some(folder.to_owned());
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
fn leaks(room: &Room, trick: Trick, done: &Done) -> Vec<String> {
    // What is mounted in the source is in the source; what somebody put into the replica is no leak of ours.
    if done.on_replica || trick == MountOver {
        return Vec::new();
    }
    let shown = Shown::of(room.replica.top());
    let secret = |content: &Vec<u8>| content == SECRET || content.starts_with(b"outside");
    shown.files().filter(|(_, content)| secret(content)).map(|(path, _)| show(path)).collect()
}
