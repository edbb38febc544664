//! The k-th system call fails with an error, once or from there on.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::judge::{Fault, Shown, fault, gaps, judge_run, recovers, torn};
use crate::room::{Before, Ground, PATIENCE, Room};
use crate::supervise::{Call, End, Verdict};
use crate::sweep::{Limit, Sums, keep_when_asked, sweep};

pub const ERRORS: [(&str, i32); 17] = [
    ("EIO", libc::EIO),
    ("ENOSPC", libc::ENOSPC),
    ("EDQUOT", libc::EDQUOT),
    ("EACCES", libc::EACCES),
    ("EPERM", libc::EPERM),
    ("EROFS", libc::EROFS),
    ("EINTR", libc::EINTR),
    ("ENOMEM", libc::ENOMEM),
    ("EMFILE", libc::EMFILE),
    ("ENFILE", libc::ENFILE),
    ("ESTALE", libc::ESTALE),
    ("ELOOP", libc::ELOOP),
    ("EBUSY", libc::EBUSY),
    ("ETIMEDOUT", libc::ETIMEDOUT),
    ("EAGAIN", libc::EAGAIN),
    ("ENAMETOOLONG", libc::ENAMETOOLONG),
    ("EOPNOTSUPP", libc::EOPNOTSUPP),
];

/// A call that is always interrupted may be tried for ever; one that is interrupted this often goes through.
const STORM: u32 = 200;

/// Longer than any pause that a tool makes between tries.
const BOUND: Duration = Duration::from_secs(20);

#[derive(Debug, Clone, Copy)]
struct Point {
    k: u64,
    call: &'static str,
    error: (&'static str, i32),
    on: bool,
}

pub fn run(ground: &Ground) -> Sums {
    let calls = census(ground);
    let mut points = Vec::new();
    for (at, call) in calls.iter().enumerate() {
        for error in ERRORS.into_iter().filter(|(name, _)| !is_an_answer(call, name)) {
            for on in [false, true] {
                points.push(Point { k: at as u64 + 1, call, error, on });
            }
        }
    }
    let of = points.len();
    if !ground.full && ground.only_point.is_none() {
        points = spread(points, ground);
    }
    let limit = match ground.full {
        true => Limit { points: 30_000, seconds: 7_200.0 },
        false => Limit { points: 2_000, seconds: 110.0 },
    };
    let mut sums = sweep(ground, points, limit, label, |point, room| try_point(ground, *point, room));
    sums.of = of;
    sums
}

/// True for what is no failure: a filesystem that has no attributes says so in these words, and is believed.
fn is_an_answer(call: &str, error: &str) -> bool {
    call.ends_with("listxattr") && error == "EOPNOTSUPP"
}

fn label(point: &Point) -> String {
    let Point { k, call, error, on } = point;
    format!("errno {k} {call} {}{}", error.0, if *on { " on" } else { "" })
}

/// Which calls a pass makes, in order.
fn census(ground: &Ground) -> Vec<&'static str> {
    let room = ground.ready("count");
    let mut calls = Vec::new();
    ground.directed(&room, PATIENCE, &mut |call: &Call| {
        calls.push(call.known.name);
        Verdict::Go
    });
    calls
}

/// As many points of each call as of every other: there are hundreds of looks for one sync.
fn spread(mut points: Vec<Point>, ground: &Ground) -> Vec<Point> {
    crate::sweep::Dice::new(ground.seed).shuffle(&mut points);
    let mut taken: BTreeMap<&str, usize> = BTreeMap::new();
    points.retain(|point| {
        let count = taken.entry(point.call).or_default();
        *count += 1;
        *count <= 90
    });
    points
}

fn try_point(ground: &Ground, point: Point, name: &str) -> Vec<Fault> {
    let mut room = ground.ready(name);
    keep_when_asked(ground, &mut room);
    let before = Before::look(&room);
    let (mut broken, mut times) = (None, 0);
    let end = ground.directed(&room, BOUND, &mut |call: &Call| {
        if call.k == point.k {
            // Threads may make their calls in another order than when they were counted; the k-th it is.
            broken = Some(call.known.nr);
        }
        let hit = call.k == point.k || (point.on && broken == Some(call.known.nr));
        if !hit || (point.error.1 == libc::EINTR && times >= STORM) {
            return Verdict::Go;
        }
        times += 1;
        Verdict::Fail(point.error.1)
    });
    judge(ground, &room, &before, &end)
}

/// What a fault may not do, during the run and after it.
pub fn judge(ground: &Ground, room: &Room, before: &Before, end: &End) -> Vec<Fault> {
    let mut faults = judge_run(ground, room, end);
    let replica = Shown::of(room.replica.top());
    let versions = [&ground.usual.first, &ground.usual.second];
    faults.extend(torn(&versions, &replica).into_iter().map(|what| fault("torn", what)));
    faults.extend(gaps(ground, &replica).into_iter().map(|what| fault("deleted", what)));
    faults.extend(before.source_changes(room).into_iter().map(|what| fault("source written", what)));
    faults.extend(before.outside_changes(room).into_iter().map(|what| fault("outside", what)));
    if end.hung || end.panicked() || !faults.is_empty() {
        let words = crate::judge::last_words(&end.said);
        for fault in &mut faults {
            fault.what = format!("{} [{}; {words}]", fault.what, end.ending());
        }
    }
    faults.extend(recovers(ground, room));
    faults
}
