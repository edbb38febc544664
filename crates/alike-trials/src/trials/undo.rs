//! SIGKILL at the k-th call that writes of `alike undo` and of `alike restore`, and what the same command, or the next pass,
//! makes of what is left.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::process::Command;

use alike_testkit::compare;

use crate::calls::Kind;
use crate::judge::{Fault, Shown, Sight, fault, last_words, recovers, torn};
use crate::room::{Before, Ground, PATIENCE, Room};
use crate::supervise::{Call, End, Verdict, run as run_tool, supervise};
use crate::sweep::{Dice, Limit, Sums, keep_when_asked, sweep};

/// What is killed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Deed {
    Undo,
    Restore(&'static str),
}

/// A file that was replaced, a folder that was deleted, a folder in which much changed, a file below what is gone, and one that
/// became a folder.
const BROUGHT: [&str; 5] = ["large", "leaves", "d", "leaves/two/three", "becomes folder"];

#[derive(Debug, Clone, Copy)]
struct Point {
    deed: Deed,
    k: u64,
    then: Then,
}

/// What follows a kill.
#[derive(Debug, Clone, Copy)]
enum Then {
    /// The same command.
    Again,
    /// The same command, killed too, and once more.
    Twice(u64),
    /// A pass.
    Pass,
}

/// The second kill comes at one of so many calls, which is about how many there are.
const MOST: u64 = 150;

pub fn run(ground: &Ground) -> Sums {
    let mut dice = Dice::new(ground.seed);
    let mut points = Vec::new();
    for deed in [Deed::Undo].into_iter().chain(BROUGHT.map(Deed::Restore)) {
        let calls = count(ground, deed);
        let all = (1..=calls)
            .flat_map(|k| [Then::Again, Then::Twice(1 + dice.below(MOST)), Then::Pass].map(|then| (k, then)));
        points.extend(all.map(|(k, then)| Point { deed, k, then }));
    }
    let limit = match ground.full {
        true => Limit { points: usize::MAX, seconds: 3_600.0 },
        false => Limit { points: usize::MAX, seconds: 40.0 },
    };
    let label = |Point { deed, k, then }: &Point| format!("{deed:?} {k} {then:?}");
    sweep(ground, points, limit, label, |point, room| try_point(ground, *point, room))
}

/// A replica of the second day, with the first in its trash.
fn second_day(ground: &Ground, name: &str) -> Room {
    let room = ground.equal(name);
    let photo = Command::new("cp").arg("-a").arg(room.source.top()).arg(first_day(&room)).status();
    assert!(photo.is_ok_and(|done| done.success()), "cp failed");
    ground.second_day(&room);
    // One thread does things in the same order each time, and so does what undoes them.
    let end = run_tool(&mut ground.programs.ours(&room, "once", &[]), &room.said(), PATIENCE);
    assert!(end.code == Some(0), "the second pass: {}\n{}", end.ending(), end.said);
    room
}

/// The source of the first day, in a copy.
fn first_day(room: &Room) -> PathBuf {
    room.top().join("first-day")
}

/// How many calls that write it makes.
fn count(ground: &Ground, deed: Deed) -> u64 {
    let room = second_day(ground, "count");
    let mut calls = 0;
    killed(ground, &room, deed, u64::MAX, &mut calls);
    calls
}

fn command(ground: &Ground, room: &Room, deed: Deed) -> Command {
    match deed {
        Deed::Undo => ground.programs.on_replica(room, "undo", &["--yes"]),
        Deed::Restore(path) => ground.programs.on_replica(room, "restore", &[path]),
    }
}

/// Makes the room's deed, killed at the k-th call that writes.
fn killed(ground: &Ground, room: &Room, deed: Deed, k: u64, calls: &mut u64) -> End {
    let mut kill = |call: &Call| {
        *calls += u64::from(writes(call));
        if *calls == k && writes(call) { Verdict::Kill } else { Verdict::Go }
    };
    supervise(&mut command(ground, room, deed), room.top(), &room.said(), PATIENCE, &mut kill)
}

/// True for a call that changes something, or may.
fn writes(call: &Call) -> bool {
    const MAKES: u64 = (libc::O_CREAT | libc::O_TRUNC) as u64;
    match call.known.kind {
        Kind::Change | Kind::Write(_) => true,
        Kind::Look => call.known.name == "openat" && call.argument(2) & MAKES != 0,
        Kind::Read(_) => call.known.name == "copy_file_range",
    }
}

fn try_point(ground: &Ground, point: Point, name: &str) -> Vec<Fault> {
    let mut room = second_day(ground, name);
    keep_when_asked(ground, &mut room);
    let (before, all) = (Before::look(&room), versions(&room));
    let mut faults = Vec::new();
    let second = if let Then::Twice(k) = point.then { Some(k) } else { None };
    for k in [Some(point.k), second].into_iter().flatten() {
        if !is_done(&room) {
            killed(ground, &room, point.deed, k, &mut 0);
            faults.extend(whole(ground, &room, &all, "killed"));
        }
    }
    if !matches!(point.then, Then::Pass) && !is_done(&room) {
        let end = run_tool(&mut command(ground, &room, point.deed), &room.said(), PATIENCE);
        faults.extend(ends_well(&room, point.deed, &end));
        faults.extend(whole(ground, &room, &all, "done again"));
    }
    let end = run_tool(&mut ground.programs.on_replica(&room, "undo", &["--resume"]), &room.said(), PATIENCE);
    if end.code != Some(0) {
        faults.push(fault("stuck", format!("--resume: {}: {}", end.ending(), last_words(&end.said))));
    }
    faults.extend(recovers(ground, &room));
    faults.extend(whole(ground, &room, &all, "the next pass"));
    let end = run_tool(&mut ground.programs.ours(&room, "check", &[]), &room.said(), PATIENCE);
    if end.code != Some(0) {
        faults.push(fault("check", format!("{}: {}", end.ending(), last_words(&end.said))));
    }
    if room.replica.has(".alike/restoring") {
        faults.push(fault("litter", ".alike/restoring"));
    }
    faults.extend(before.outside_changes(&room).into_iter().map(|what| fault("outside", what)));
    faults.extend(before.source_changes(&room).into_iter().map(|what| fault("source written", what)));
    faults
}

/// The hold says when it is over: the same command after that is another deed.
fn is_done(room: &Room) -> bool {
    let hold = std::fs::read_to_string(room.replica.path(".alike/hold")).unwrap_or_default();
    ["was undone", "was brought back"].iter().any(|over| hold.contains(over))
}

/// What the replica and its trash show, under whatever name; journals grow.
fn versions(room: &Room) -> BTreeSet<Sight> {
    let trash = Shown::of(&room.replica.path(".alike/trash"));
    let kept = trash.0.into_iter().filter(|(path, _)| !path.ends_with(b"/journal"));
    Shown::of(room.replica.top()).0.into_iter().chain(kept).map(|(_, sight)| sight).collect()
}

/// Nothing is torn, nothing is lost, and the history can be read.
fn whole(ground: &Ground, room: &Room, all: &BTreeSet<Sight>, when: &str) -> Vec<Fault> {
    let mut faults = Vec::new();
    let days = [&ground.usual.first, &ground.usual.second];
    let torn = torn(&days, &Shown::of(room.replica.top()));
    faults.extend(torn.into_iter().map(|what| fault("torn", format!("{when}: {what}"))));
    let left = versions(room);
    for lost in all.iter().filter(|sight| !left.contains(sight)) {
        faults.push(fault("lost", format!("{when}: {}", told(lost))));
    }
    let end = run_tool(&mut ground.programs.on_replica(room, "log", &[]), &room.said(), PATIENCE);
    if end.code != Some(0) || end.panicked() {
        faults.push(fault("log", format!("{when}: {}: {}", end.ending(), last_words(&end.said))));
    }
    faults
}

fn told(sight: &Sight) -> String {
    match sight {
        Sight::File(content) => {
            format!(
                "{} bytes: {:?}",
                content.len(),
                String::from_utf8_lossy(&content[..content.len().min(40)])
            )
        }
        other => format!("{other:?}"),
    }
}

/// The same command, after one that was killed, ends as if nothing had been.
fn ends_well(room: &Room, deed: Deed, end: &End) -> Vec<Fault> {
    let mut faults = Vec::new();
    if end.code != Some(0) || end.hung || end.panicked() {
        faults.push(fault("stuck", format!("again: {}: {}", end.ending(), last_words(&end.said))));
    }
    let wrong = match deed {
        Deed::Undo => compare(&first_day(room), room.replica.top()),
        Deed::Restore(path) => compare_at(room, path),
    };
    // What the trash keeps may be one more name of a file that stays.
    let wrong = wrong.into_iter().filter(|line| !line.contains(" of them inside it"));
    faults.extend(wrong.take(3).map(|what| fault("not as it was", what)));
    faults
}

fn compare_at(room: &Room, path: &str) -> Vec<String> {
    let (then, now) = (first_day(room).join(path), room.replica.path(path));
    match then.is_dir() {
        true => compare(&then, &now),
        false if std::fs::read(&then).ok() == std::fs::read(&now).ok() => Vec::new(),
        false => vec![format!("{path}: not the version of the first day")],
    }
}
