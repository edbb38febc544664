//! The power of the replica's disk is cut at the k-th system call, or soon after the tool said that it is done.

use std::fs::File;
use std::sync::Mutex;
use std::time::Duration;

use crate::judge::{Fault, Shown, fault, gaps, recovers, torn, unusual};
use crate::rig::Rig;
use crate::room::{Ground, PATIENCE};
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

fn on(ground: &Ground, kind: &str) -> Result<Sums, String> {
    let mut sums = Sums::default();
    for state_goes_down in [true, false] {
        let rig = Rig::make(ground, "power", kind, !state_goes_down)?;
        let calls = ground.directed(&rig.room, PATIENCE, &mut |_: &Call| Verdict::Go).calls;
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

fn try_point(ground: &Ground, rig: &mut Rig, point: Point) -> Vec<Fault> {
    rig.put_back();
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
