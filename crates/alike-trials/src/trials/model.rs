//! Random histories against a naive mirror, which is the source itself; every invariant is asked for after every pass.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use alike_testkit::{Snapshot, remove_tree};

use super::errno::ERRORS;
use crate::edits::{self, Place, SHARED};
use crate::judge::{Fault, fault, last_words};
use crate::room::{Ground, PATIENCE, Room};
use crate::steps::{Fate, Filter, Pass, Step, What, filter, history};
use crate::supervise::{Call, End, Verdict, run as run_tool, supervise};
use crate::sweep::{Limit, Sums, keep_when_asked, sweep};
use crate::witness::{Asked, Before, Witness, everything};

/// Steps of a history, but for the pass that ends it.
const LENGTH: usize = 250;
/// Entries of a source: more make passes slow, and tell nothing new.
const ENTRIES: u64 = 50;
/// Histories that went wrong once: each run begins with them.
const WENT_WRONG: [u64; 14] = [
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
];
/// A failing history is made shorter for this long.
const SHORTENING: Duration = Duration::from_secs(30);

/// A history, and which of its steps are lived; all, unless it was made shorter.
#[derive(Debug, Clone)]
struct Point {
    seed: u64,
    only: Option<Vec<usize>>,
}

#[derive(Default)]
struct Tally {
    edits: AtomicUsize,
    passes: AtomicUsize,
    kills: AtomicUsize,
    errors: AtomicUsize,
}

pub fn run(ground: &Ground) -> Sums {
    let histories = if ground.full { 10_000_000 } else { 100_000 } / LENGTH;
    let first = ground.seed * 1_000_000;
    let mut points: Vec<Point> =
        (0..histories as u64).map(|at| Point { seed: first + at, only: None }).collect();
    if let Some(only) = &ground.only_point {
        points = parse(only).into_iter().collect();
    }
    let limit = Limit { points: usize::MAX, seconds: if ground.full { 14_400.0 } else { 40.0 } };
    let tally = Tally::default();
    let try_all = |points: Vec<Point>| {
        sweep(ground, points, limit, label, |point, room| try_point(ground, point, room, &tally))
    };
    let mut sums = Sums::default();
    if ground.only_point.is_none() {
        sums.add(try_all(WENT_WRONG.map(|seed| Point { seed, only: None }).to_vec()));
    }
    sums.add(try_all(points));
    let [edits, passes, kills, errors] =
        [&tally.edits, &tally.passes, &tally.kills, &tally.errors].map(|count| count.load(Ordering::Relaxed));
    sums.note = format!(
        "{} histories: {edits} edits, {passes} passes, {kills} of them killed, {errors} with an error",
        sums.points
    );
    // A history ends at its first bad step, so that bad histories are bad steps.
    (sums.points, sums.of) = (edits + passes, histories * LENGTH);
    sums
}

fn label(point: &Point) -> String {
    let only = |only: &Vec<usize>| only.iter().map(usize::to_string).collect::<Vec<_>>().join(",");
    match &point.only {
        None => format!("model {}", point.seed),
        Some(steps) => format!("model {} of {}", point.seed, only(steps)),
    }
}

fn parse(label: &str) -> Option<Point> {
    let (seed, only) = match label.strip_prefix("model ")?.split_once(" of ") {
        None => (label.strip_prefix("model ")?, None),
        Some((seed, only)) => (seed, Some(only.split(',').map(str::parse).collect::<Result<_, _>>().ok()?)),
    };
    Some(Point { seed: seed.parse().ok()?, only })
}

fn try_point(ground: &Ground, point: &Point, name: &str, tally: &Tally) -> Vec<Fault> {
    let steps = history(point.seed, LENGTH, &ERRORS.map(|(_, errno)| errno));
    let chosen = point.only.clone().unwrap_or_else(|| (0..steps.len()).collect());
    let (mut faults, lived) = live((ground, name), (&steps, filter(point.seed)), &chosen, tally);
    if !faults.is_empty() && point.only.is_none() && ground.only_point.is_none() {
        let short =
            shorten((ground, name), (&steps, filter(point.seed)), chosen[..lived].to_vec(), &faults[0]);
        // What does not come again with fewer steps has to do with time or with the machine.
        let again = label(&Point { seed: point.seed, only: (short.len() < lived).then_some(short) });
        faults[0].what = format!("{} (shorter: {again})", faults[0].what);
        faults.truncate(3);
    }
    faults
}

/// Where a history is lived: the ground, and the name of the room.
type Where<'a> = (&'a Ground, &'a str);

type History<'a> = (&'a [Step], Option<Filter>);

/// Leaves out steps, as long as the same goes wrong.
fn shorten(at: Where<'_>, history: History<'_>, mut chosen: Vec<usize>, wanted: &Fault) -> Vec<usize> {
    let until = Instant::now() + SHORTENING;
    let mut size = chosen.len().div_ceil(2);
    while size > 0 {
        let mut from = 0;
        while from < chosen.len() && Instant::now() < until {
            let mut fewer = chosen.clone();
            fewer.drain(from..(from + size).min(fewer.len()));
            let (faults, _) = live(at, history, &fewer, &Tally::default());
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
fn live(
    (ground, name): Where<'_>,
    (steps, filter): History<'_>,
    chosen: &[usize],
    tally: &Tally,
) -> (Vec<Fault>, usize) {
    let mut room = ground.room(name);
    keep_when_asked(ground, &mut room);
    room.outside.file(SHARED, "a file outside, of which the replica may have names");
    let witness = Witness::of(filter.map(|filter| filter.name));
    let filters = filter.map_or(&[] as &[_], |filter| filter.flags);
    let mut life = Life { ground, room: &room, witness, filters, tally };
    let chosen_steps = chosen.iter().filter_map(|at| Some((*at, steps.get(*at)?)));
    for (lived, (at, step)) in chosen_steps.enumerate() {
        let faults = life.step(at, step);
        if !faults.is_empty() {
            return (faults, lived + 1);
        }
    }
    (life.pass(Pass::last()), chosen.len())
}

struct Life<'a> {
    ground: &'a Ground,
    room: &'a Room,
    witness: Witness,
    filters: &'static [&'static str],
    tally: &'a Tally,
}

impl Life<'_> {
    fn say(&self, what: impl FnOnce() -> String) {
        if self.ground.only_point.is_some() {
            eprintln!("{}", what());
        }
    }

    fn step(&mut self, at: usize, step: &Step) -> Vec<Fault> {
        let outside = &self.room.outside;
        let (tree, edit) = match step.what {
            What::Edit(edit) => (&self.room.source, edit),
            What::Drift(edit) => (&self.room.replica, edit),
            What::Pass(pass) => {
                self.say(|| format!("{at} {pass:?}"));
                return self.pass(pass);
            }
            What::Forget => {
                self.say(|| format!("{at} the state is deleted"));
                remove_tree(&self.room.state).expect("delete the state");
                return Vec::new();
            }
        };
        let done = edits::make(&Place { tree, outside, most: ENTRIES }, edit, step.seed);
        self.witness.drifted |= matches!(step.what, What::Drift(_));
        if let Some(done) = done {
            self.tally.edits.fetch_add(1, Ordering::Relaxed);
            let side = if matches!(step.what, What::Drift(_)) { "replica" } else { "source" };
            self.say(|| format!("{at} {side}: {done}"));
        }
        Vec::new()
    }

    fn pass(&mut self, pass: Pass) -> Vec<Fault> {
        match pass.fate {
            Fate::Plain => self.undisturbed(pass),
            Fate::Twice => {
                let mut faults = self.undisturbed(pass);
                if faults.is_empty() {
                    faults = self.idle(pass);
                }
                faults
            }
            Fate::Plan => self.plan(),
            Fate::Kill(_) | Fate::Error { .. } => self.disturbed(pass),
        }
    }

    /// A pass that nobody disturbs makes all equal, if need be with a person's word that so much may be deleted.
    fn undisturbed(&mut self, pass: Pass) -> Vec<Fault> {
        let asked = Asked { undisturbed: true, keeps_trash: pass.keeps_trash() };
        let before = Before::look(self.room);
        let end = self.run("once", pass.flags);
        let mut faults = self.witness.judge(self.room, &before, &end, asked);
        if !faults.is_empty() || end.code == Some(0) {
            return faults;
        }
        if end.code == Some(1) && !self.waits_for_a_word(&end) {
            // What one pass left is worse when the next leaves it too.
            let (code, more) = self.once_more(pass, asked);
            let class = if code == Some(0) { "one pass too few" } else { "stuck" };
            faults.extend(more);
            faults.push(fault(class, last_words(&end.said)));
            return faults;
        }
        // Too many deletions, or of what nobody knew: a person says that they are meant.
        let (code, mut faults) = self.once_more(pass, asked);
        if faults.is_empty() && code != Some(0) {
            faults.push(fault(
                "stuck",
                format!("{code:?} with --allow-deletes, after {}", last_words(&end.said)),
            ));
        }
        faults
    }

    /// A folder that moves comes under other rules, for they may be anchored: what is gone from it, and was never known to be
    /// in it, waits for a person's word.
    fn waits_for_a_word(&self, end: &End) -> bool {
        !self.filters.is_empty() && end.said.contains("was excluded before the filters changed")
    }

    fn once_more(&mut self, pass: Pass, asked: Asked) -> (Option<i32>, Vec<Fault>) {
        let before = Before::look(self.room);
        let end = self.run("once", &[pass.flags, &["--allow-deletes"]].concat());
        (end.code, self.witness.judge(self.room, &before, &end, asked))
    }

    /// The pass that follows has nothing to do.
    fn idle(&mut self, pass: Pass) -> Vec<Fault> {
        let look = || Snapshot::of(self.room.replica.top()).without_own_folder();
        let before = look();
        let end = self.run("once", pass.flags);
        // The disk failed in an earlier pass, and this one does not ask whether it has taken anything since.
        let is_unsure = pass.flags.contains(&"none") && end.said.contains("may not have reached the disk");
        let changes = before.changes(&look()).into_iter().filter(|_| !is_unsure);
        let mut faults: Vec<Fault> =
            changes.map(|what| fault("not idle", format!("{} after {what}", end.said))).collect();
        if end.code != Some(0) {
            faults.push(fault("not idle", format!("{}: {}", end.ending(), end.said)));
        }
        faults
    }

    fn plan(&mut self) -> Vec<Fault> {
        let before = everything(self.room);
        let end = self.run("plan", &[]);
        let changes = before.iter().zip(everything(self.room)).flat_map(|(was, is)| was.changes(&is));
        let mut faults: Vec<Fault> = changes.map(|what| fault("plan wrote", what)).collect();
        if end.hung || end.panicked() {
            faults.push(fault("hang or panic", format!("plan: {}: {}", end.ending(), end.said)));
        }
        faults
    }

    fn disturbed(&mut self, pass: Pass) -> Vec<Fault> {
        let before = Before::look(self.room);
        let (mut broken, mut times) = (None, 0);
        let mut command = self.ground.programs.ours(self.room, "once", &self.with_filters(pass.flags));
        let mut director = |call: &Call| match pass.fate {
            Fate::Kill(k) if call.k == k => Verdict::Kill,
            Fate::Error { k, errno, on } => {
                if call.k == k {
                    broken = Some(call.known.nr);
                }
                let hit = call.k == k || (on && broken == Some(call.known.nr));
                let hit = hit && !closes_elsewhere(call, self.room) && !tells_what_is_held(call, errno);
                // What is always interrupted may be tried for ever.
                times += u32::from(hit);
                if hit && times < STORM {
                    self.say(|| format!("call {} fails: {} {:?}", call.k, call.known.name, call.all_paths()));
                    return Verdict::Fail(errno);
                }
                Verdict::Go
            }
            _ => Verdict::Go,
        };
        let end = supervise(&mut command, self.room.top(), &self.room.said(), PATIENCE, &mut director);
        let count = if end.killed { &self.tally.kills } else { &self.tally.errors };
        count.fetch_add(usize::from(end.killed || times > 0), Ordering::Relaxed);
        self.note(&end);
        // A disk that is full drops what the trash has, the oldest first, down to what this pass put there.
        let is_full = matches!(pass.fate, Fate::Error { errno: libc::ENOSPC | libc::EDQUOT, .. });
        let asked = Asked { undisturbed: false, keeps_trash: pass.keeps_trash() && !is_full };
        self.witness.judge(self.room, &before, &end, asked)
    }

    fn run(&self, verb: &str, flags: &[&str]) -> End {
        let mut command = self.ground.programs.ours(self.room, verb, &self.with_filters(flags));
        let end = run_tool(&mut command, &self.room.said(), PATIENCE);
        self.note(&end);
        end
    }

    fn with_filters<'f>(&self, flags: &[&'f str]) -> Vec<&'f str> {
        flags.iter().chain(self.filters).copied().collect()
    }

    fn note(&self, end: &End) {
        self.tally.passes.fetch_add(1, Ordering::Relaxed);
        self.say(|| format!("{}{} after {} calls", end.said, end.ending(), end.calls));
    }
}

/// The library that knows time zones lists a folder of the system, and Rust's own library panics when that cannot be closed.
fn closes_elsewhere(call: &Call, room: &Room) -> bool {
    let inside = || call.open_file(0).is_some_and(|open| open.starts_with(room.top()));
    call.known.name == "close" && !inside()
}

/// A filesystem that says so has no such attributes: that is its word, and no fault of a disk.
fn tells_what_is_held(call: &Call, errno: i32) -> bool {
    errno == libc::EOPNOTSUPP && call.known.name.ends_with("xattr")
}

/// A call that is interrupted this often goes through.
const STORM: u32 = 200;
