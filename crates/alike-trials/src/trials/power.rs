//! The power of the replica's disk is cut at the k-th system call, or soon after the tool said that it is done.

use std::fs::File;
use std::sync::Mutex;
use std::time::Duration;

use alike_testkit::Tree;

use crate::days;
use crate::disk::Disk;
use crate::judge::{Fault, Shown, fault, gaps, recovers, torn, unusual};
use crate::room::{Ground, PATIENCE, Room};
use crate::supervise::{Call, Verdict};
use crate::sweep::{Limit, Sums, sweep};
use crate::system::{Cut, cut_power};

#[derive(Debug, Clone, Copy)]
struct Point {
    cut: Cut,
    when: When,
    /// The tool's own state goes down with the replica, or survives on another disk.
    state_goes_down: bool,
}

#[derive(Debug, Clone, Copy)]
enum When {
    Call(u64),
    /// So many milliseconds after exit 0.
    After(u64),
}

pub fn run(ground: &Ground) -> Sums {
    let mut sums = Sums::default();
    for kind in ["ext4", "xfs"] {
        match on(ground, kind) {
            Ok(more) => sums.add(more),
            Err(why) => sums.add(Sums::not_run(format!("{kind}: {why}"))),
        }
    }
    sums
}

/// The rooms of one disk, each point on the same disk put back.
struct Rig {
    disk: Disk,
    room: Room,
}

fn on(ground: &Ground, kind: &str) -> Result<Sums, String> {
    let mut sums = Sums::default();
    for state_goes_down in [true, false] {
        let (rig, calls) = prepare(ground, kind, state_goes_down)?;
        let rig = Mutex::new(rig);
        let mut points = Vec::new();
        for cut in [Cut::Journal, Cut::Now] {
            points.extend((1..=calls).map(|k| Point { cut, when: When::Call(k), state_goes_down }));
            let after = [0, 0, 1, 5, 20, 100, 300, 1_000];
            points.extend(after.map(|ms| Point { cut, when: When::After(ms), state_goes_down }));
        }
        // One disk is one worker; what would be drawn at random leaves out too many of the few that come after the end.
        let ground = Ground { jobs: 1, ..ground.clone() };
        let (after, during): (Vec<_>, Vec<_>) =
            points.into_iter().partition(|point| matches!(point.when, When::After(_)));
        let label = |point: &Point| label(kind, point);
        let (few, many) = match ground.full {
            true => (usize::MAX, 5_000),
            false => (8, 60),
        };
        let limits = [few, many].map(|points| Limit {
            points,
            seconds: match (ground.full, points == few) {
                (true, _) => 3_000.0,
                (false, true) => 6.0,
                (false, false) => 18.0,
            },
        });
        for (points, limit) in [(after, limits[0]), (during, limits[1])] {
            sums.add(sweep(&ground, points, limit, label, |point, _| {
                let mut rig = rig.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                try_point(&ground, &mut rig, *point)
            }));
        }
    }
    Ok(sums)
}

fn label(kind: &str, point: &Point) -> String {
    let when = match point.when {
        When::Call(k) => format!("at {k}"),
        When::After(ms) => format!("{ms} ms after"),
    };
    let state = if point.state_goes_down { "with the state" } else { "state survives" };
    format!("power {kind} {:?} {when} {state}", point.cut)
}

/// The disk with a replica of the first day safely on it, and how many calls a pass makes there.
fn prepare(ground: &Ground, kind: &str, state_goes_down: bool) -> Result<(Rig, u64), String> {
    let mut room = ground.room(&format!("power-{kind}"));
    let mut disk = Disk::make(&room.top().join("disk"), kind)?;
    room.replica = Tree::make(disk.at.join("replica"));
    if state_goes_down {
        room.state = Tree::make(disk.at.join("state")).top().to_owned();
    }
    days::first(&room.source, ground.plain());
    let end = ground.pass(&room);
    if end.hung || end.panicked() {
        return Err(format!("the first pass: {}", end.said));
    }
    ground.second_day(&room);
    disk.unmount()?;
    disk.keep().map_err(|why| why.to_string())?;
    remember_state(&room)?;
    disk.mount()?;
    let calls = ground.directed(&room, PATIENCE, &mut |_: &Call| Verdict::Go).calls;
    Ok((Rig { disk, room }, calls))
}

/// State that survives must be put back as well for the next point.
fn remember_state(room: &Room) -> Result<(), String> {
    copy(&room.top().join("state"), &room.top().join("state-kept"))
}

fn copy(from: &std::path::Path, to: &std::path::Path) -> Result<(), String> {
    alike_testkit::remove_tree(to).map_err(|why| why.to_string())?;
    let done = std::process::Command::new("cp").arg("-a").arg(from).arg(to).status();
    done.map_err(|why| why.to_string())?.success().then_some(()).ok_or("cp failed".to_owned())
}

fn try_point(ground: &Ground, rig: &mut Rig, point: Point) -> Vec<Fault> {
    rig.disk.unmount().expect("unmount before a point");
    rig.disk.put_back().expect("put the disk back");
    rig.disk.mount().expect("mount a disk put back");
    copy(&rig.room.top().join("state-kept"), &rig.room.top().join("state")).expect("put the state back");
    let finished = disturb(ground, rig, point);
    rig.disk.unmount().expect("unmount after the cut");
    let mut faults = Vec::new();
    if let Err(why) = rig.disk.mount() {
        return vec![fault("trial broken", format!("it does not mount after the cut: {why}"))];
    }
    let replica = Shown::of(rig.room.replica.top());
    let versions = [&ground.usual.first, &ground.usual.second];
    faults.extend(torn(&versions, &replica).into_iter().map(|what| fault("torn", what)));
    faults.extend(gaps(ground, &replica).into_iter().map(|what| fault("gap", what)));
    if finished {
        let wrong = unusual(ground, &rig.room);
        faults.extend(wrong.into_iter().take(3).map(|what| fault("done, then gone", what)));
    }
    faults.extend(recovers(ground, &rig.room));
    faults
}

/// Runs the tool and cuts the power; true when the tool had said before that all is done.
fn disturb(ground: &Ground, rig: &Rig, point: Point) -> bool {
    let top = File::open(&rig.disk.at).expect("open the top of the disk");
    match point.when {
        When::Call(at) => {
            let mut cut = None;
            let end = ground.directed(&rig.room, PATIENCE, &mut |call: &Call| {
                if call.k == at {
                    cut = Some(cut_power(&top, point.cut));
                    return Verdict::Kill;
                }
                Verdict::Go
            });
            match cut {
                Some(done) => done.expect("cut the power"),
                // It made fewer calls this time: the cut comes after the end.
                None => cut_power(&top, point.cut).expect("cut the power"),
            }
            !end.killed && end.code == ground.usual.code
        }
        When::After(ms) => {
            let end = ground.pass(&rig.room);
            std::thread::sleep(Duration::from_millis(ms));
            cut_power(&top, point.cut).expect("cut the power");
            end.code == ground.usual.code
        }
    }
}
