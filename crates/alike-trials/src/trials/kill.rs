//! SIGKILL at the k-th system call: of a pass, of the pass that recovers, and of a running mirror.

use std::time::Duration;

use crate::judge::{Fault, after_fault, recovers};
use crate::room::{Before, Ground, PATIENCE};
use crate::supervise::{Call, Director, Verdict, supervise};
use crate::sweep::{Dice, Limit, Sums, keep_when_asked, sweep};

#[derive(Debug, Clone, Copy)]
struct Point {
    k: u64,
    /// Where the pass that follows is killed, too.
    again: Option<u64>,
}

pub fn once(ground: &Ground) -> Sums {
    let calls = count(ground);
    let mut dice = Dice::new(ground.seed);
    let mut points: Vec<Point> = (1..=calls).map(|k| Point { k, again: None }).collect();
    points.extend((1..=calls).map(|k| Point { k, again: Some(1 + dice.below(calls)) }));
    let limit = match ground.full {
        true => Limit { points: usize::MAX, seconds: 7_200.0 },
        false => Limit { points: 3_000, seconds: 90.0 },
    };
    let label = |point: &Point| match point.again {
        None => format!("kill {}", point.k),
        Some(again) => format!("kill {} then {again}", point.k),
    };
    sweep(ground, points, limit, label, |point, room| try_once(ground, *point, room))
}

/// How many calls a pass makes from the first day's replica to the second day.
pub fn count(ground: &Ground) -> u64 {
    let room = ground.ready("count");
    ground.directed(&room, PATIENCE, &mut |_: &Call| Verdict::Go).calls
}

fn try_once(ground: &Ground, point: Point, name: &str) -> Vec<Fault> {
    let mut room = ground.ready(name);
    keep_when_asked(ground, &mut room);
    let before = Before::look(&room);
    let mut faults = Vec::new();
    for k in [Some(point.k), point.again].into_iter().flatten() {
        let mut kill = |call: &Call| if call.k == k { Verdict::Kill } else { Verdict::Go };
        ground.directed(&room, PATIENCE, &mut kill);
        faults.extend(after_fault(ground, &room, &before));
    }
    faults.extend(recovers(ground, &room));
    faults
}

/// Lets the mirror come to rest, changes the source, and counts from there.
struct Alive<'a> {
    change: Option<Box<dyn FnOnce() + Send + 'a>>,
    kill_at: u64,
    idle: Duration,
}

/// No call for this long: the first pass is over.
const SETTLED: Duration = Duration::from_millis(60);
/// The mirror brings its index to the disk about a second after a change.
const DONE: Duration = Duration::from_millis(1_600);

impl Director for Alive<'_> {
    fn at(&mut self, call: &Call) -> Verdict {
        if call.k == self.kill_at { Verdict::Kill } else { Verdict::Go }
    }

    fn at_rest(&mut self, idle: Duration) -> bool {
        if idle < SETTLED {
            return true;
        }
        if let Some(change) = self.change.take() {
            change();
            return true;
        }
        idle < self.idle
    }

    fn counting(&self) -> bool {
        self.change.is_none()
    }
}

pub fn mirror(ground: &Ground) -> Sums {
    let calls = {
        let room = ground.equal("count");
        let before = || ground.second_day(&room);
        let mut alive = Alive { change: Some(Box::new(before)), kill_at: u64::MAX, idle: DONE };
        let mut command = ground.programs.mirror(&room);
        supervise(&mut command, room.top(), &room.said(), PATIENCE, &mut alive).calls
    };
    let limit = match ground.full {
        true => Limit { points: usize::MAX, seconds: 3_600.0 },
        false => Limit { points: 600, seconds: 60.0 },
    };
    sweep(
        ground,
        (1..=calls).collect(),
        limit,
        |k| format!("kill-mirror {k}"),
        |k, room| try_mirror(ground, *k, room),
    )
}

fn try_mirror(ground: &Ground, k: u64, name: &str) -> Vec<Fault> {
    let mut room = ground.equal(name);
    keep_when_asked(ground, &mut room);
    let mut command = ground.programs.mirror(&room);
    {
        let change = || ground.second_day(&room);
        let mut alive = Alive { change: Some(Box::new(change)), kill_at: k, idle: DONE };
        supervise(&mut command, room.top(), &room.said(), PATIENCE, &mut alive);
    }
    // The source changed because it was meant to: what it is now must stay so in the pass that follows.
    let before = Before::look(&room);
    let mut faults = after_fault(ground, &room, &before);
    faults.extend(recovers(ground, &room));
    faults.extend(after_fault(ground, &room, &before));
    faults
}
