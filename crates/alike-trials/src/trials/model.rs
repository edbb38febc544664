//! Random histories against a naive mirror: what is run of them, and how a bad one is made shorter.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::errno::ERRORS;
use crate::clock;
use crate::edits::SHARED;
use crate::judge::Fault;
use crate::life::{Life, Tally};
use crate::room::Ground;
use crate::rules::Rules;
use crate::steps::{Kind, Pass, Step, history, rules};
use crate::sweep::{Limit, Sums, keep_when_asked, sweep};

/// Histories that went wrong once: each run begins with them.
const WENT_WRONG: [(Kind, &[u64]); 3] = [
    (
        Kind::Passes,
        &[
            11_000_222,
            11_000_254,
            11_000_052,
            103_000_086,
            103_000_107,
            104_000_139,
            107_000_002,
            107_000_261,
            108_000_329,
            108_000_386,
            109_000_157,
            110_000_110,
            131_000_275,
            133_000_147,
        ],
    ),
    (
        Kind::Mixed,
        &[
            4_000_100,
            4_000_145,
            502_000_074,
            502_000_089,
            502_000_094,
            502_000_129,
            503_000_062,
            503_000_117,
            504_000_157,
            510_000_052,
            4_000_069,
            4_000_172,
        ],
    ),
    (Kind::Live, &[502_000_823, 4_000_568, 4_000_702, 7_000_525]),
];
/// A failing history is made shorter for this long.
const SHORTENING: Duration = Duration::from_secs(30);
/// A mirror is waited for most of the time, so that more than one on each processor can be.
const AT_ONCE: usize = 3;

/// A history, and which of its steps are lived; all, unless it was made shorter.
#[derive(Debug, Clone)]
struct Point {
    kind: Kind,
    seed: u64,
    only: Option<Vec<usize>>,
}

/// Edits and passes.
pub fn run(ground: &Ground) -> Sums {
    lived(ground, Kind::Passes)
}

/// With rules that change, passes taken back, and clocks that are wrong.
pub fn mixed(ground: &Ground) -> Sums {
    lived_by_any_clock(ground, Kind::Mixed)
}

/// The same with mirrors that run.
pub fn live(ground: &Ground) -> Sums {
    lived_by_any_clock(&Ground { jobs: ground.jobs * AT_ONCE, ..ground.clone() }, Kind::Live)
}

fn lived_by_any_clock(ground: &Ground, kind: Kind) -> Sums {
    match clock::can_be_wrong() {
        true => lived(ground, kind),
        false => Sums::not_run("faketime is not here, for clocks that are wrong"),
    }
}

fn lived(ground: &Ground, kind: Kind) -> Sums {
    let steps = if ground.full { 10_000_000 } else { 100_000 };
    let first = ground.seed * 1_000_000;
    let point = |seed: u64| Point { kind, seed, only: None };
    let tally = Tally::default();
    let try_all = |ground: &Ground, points: Vec<Point>, seconds: f64| {
        let limit = Limit { points: usize::MAX, seconds };
        sweep(ground, points, limit, label, |point, room| try_point(ground, point, room, &tally))
    };
    let seconds = |quick, full| if ground.full { full } else { quick };
    let mut sums = Sums::default();
    match &ground.only_point {
        Some(only) => sums.add(try_all(ground, parse(only).into_iter().collect(), 0.0)),
        None => {
            let wrong = WENT_WRONG.iter().filter(|(of, _)| *of == kind).flat_map(|(_, seeds)| seeds.iter());
            sums.add(try_all(ground, wrong.map(|seed| point(*seed)).collect(), seconds(20.0, 600.0)));
            let histories = (steps / kind.length()) as u64;
            let fresh = (0..histories).map(|at| point(first + at)).collect();
            sums.add(try_all(ground, fresh, seconds(60.0, 14_400.0)));
        }
    }
    let count = |count: &AtomicUsize| count.load(Ordering::Relaxed);
    let Tally { edits, passes, kills, errors, mirrors, undos } = &tally;
    let [edits, passes, kills, errors, mirrors, undos] =
        [edits, passes, kills, errors, mirrors, undos].map(count);
    sums.note = format!(
        "{} histories: {edits} edits, {passes} passes, {kills} of them killed, {errors} with an error; {mirrors} mirrors, \
         {undos} undone",
        sums.points
    );
    // A history ends at its first bad step, so that bad histories are bad steps.
    (sums.points, sums.of) = (edits + passes, steps);
    sums
}

fn word(kind: Kind) -> &'static str {
    match kind {
        Kind::Passes => "model",
        Kind::Mixed => "mixed",
        Kind::Live => "live",
    }
}

fn label(point: &Point) -> String {
    let only = |only: &Vec<usize>| only.iter().map(usize::to_string).collect::<Vec<_>>().join(",");
    let Point { seed, kind, .. } = point;
    match &point.only {
        None => format!("{} {seed}", word(*kind)),
        Some(steps) => format!("{} {seed} of {}", word(*kind), only(steps)),
    }
}

fn parse(label: &str) -> Option<Point> {
    let (kind, which) = label.split_once(' ')?;
    let kind = [Kind::Passes, Kind::Mixed, Kind::Live].into_iter().find(|one| word(*one) == kind)?;
    let (seed, only) = match which.split_once(" of ") {
        None => (which, None),
        Some((seed, only)) => (seed, Some(only.split(',').map(str::parse).collect::<Result<_, _>>().ok()?)),
    };
    Some(Point { kind, seed: seed.parse().ok()?, only })
}

fn try_point(ground: &Ground, point: &Point, name: &str, tally: &Tally) -> Vec<Fault> {
    let history = History {
        steps: history(point.kind, point.seed, &ERRORS.map(|(_, errno)| errno)),
        rules: rules(point.kind, point.seed),
    };
    let chosen = point.only.clone().unwrap_or_else(|| (0..history.steps.len()).collect());
    let (mut faults, lived) = live_steps((ground, name), &history, &chosen, tally);
    if !faults.is_empty() && point.only.is_none() && ground.only_point.is_none() {
        let short = shorten((ground, name), &history, chosen[..lived].to_vec(), &faults[0]);
        // What does not come again with fewer steps has to do with time or with the machine.
        let again = label(&Point { only: (short.len() < lived).then_some(short), ..point.clone() });
        faults[0].what = format!("{} (shorter: {again})", faults[0].what);
        faults.truncate(3);
    }
    faults
}

/// Where a history is lived: the ground, and the name of the room.
type Where<'a> = (&'a Ground, &'a str);

struct History {
    steps: Vec<Step>,
    rules: Rules,
}

/// Leaves out steps, as long as the same goes wrong.
fn shorten(at: Where<'_>, history: &History, mut chosen: Vec<usize>, wanted: &Fault) -> Vec<usize> {
    let until = Instant::now() + SHORTENING;
    let mut size = chosen.len().div_ceil(2);
    while size > 0 {
        let mut from = 0;
        while from < chosen.len() && Instant::now() < until {
            let mut fewer = chosen.clone();
            fewer.drain(from..(from + size).min(fewer.len()));
            let (faults, _) = live_steps(at, history, &fewer, &Tally::default());
            match faults.iter().any(|fault| fault.class == wanted.class) {
                true => chosen = fewer,
                false => from += size,
            }
        }
        size = if size == 1 { 0 } else { size.div_ceil(2) };
    }
    chosen
}

/// Lives these steps of a history up to the first that breaks anything; also tells how many were lived.
fn live_steps(
    (ground, name): Where<'_>,
    history: &History,
    chosen: &[usize],
    tally: &Tally,
) -> (Vec<Fault>, usize) {
    let mut room = ground.room(name);
    keep_when_asked(ground, &mut room);
    room.outside.file(SHARED, "a file outside, of which the replica may have names");
    let mut life = Life::new((ground, &room), history.rules.clone(), tally);
    let steps = chosen.iter().filter_map(|at| Some((*at, history.steps.get(*at)?)));
    for (lived, (at, step)) in steps.enumerate() {
        let faults = life.step(at, step);
        if !faults.is_empty() {
            return (faults, lived + 1);
        }
    }
    (life.pass(Pass::last()), chosen.len())
}
