//! Hostile names, random bytes, alike's own private names, and depth.

use alike_testkit::{name, odd_names};

use crate::judge::{Fault, fault, last_words, show};
use crate::room::{Ground, PATIENCE, Room};
use crate::supervise::run as run_tool;
use crate::sweep::{Dice, Limit, Sums, keep_when_asked, sweep};
use crate::tools::Tool;

use super::flips::differences;

const NAMES_A_POINT: u64 = 500;

#[derive(Debug, Clone, Copy)]
enum Point {
    Random(u64),
    Odd,
    OurOwn,
    /// So many folders with names of 250 bytes inside one another.
    Deep(usize),
}

pub fn run(ground: &Ground) -> Sums {
    let mut points: Vec<Point> = vec![Point::Odd, Point::OurOwn];
    points.extend([15, 40, 400].map(Point::Deep));
    let rounds = if ground.full { 2_000 } else { 20 };
    points.extend((0..rounds).map(Point::Random));
    let limit = Limit { points: usize::MAX, seconds: if ground.full { 1_800.0 } else { 20.0 } };
    let label = |point: &Point| format!("names {point:?}");
    let mut sums = sweep(ground, points, limit, label, |point, room| try_point(ground, *point, room));
    sums.note = format!("{NAMES_A_POINT} names in each of {rounds} random points");
    sums
}

fn build(ground: &Ground, room: &Room, point: Point) {
    match point {
        Point::Odd => odd_names().into_iter().for_each(|odd| {
            room.source.file(&odd, "x").file(name(b"in").join(odd), "y");
        }),
        Point::OurOwn => our_own(room),
        Point::Deep(levels) => {
            room.source.deep_file("deep", levels, 250, b"at the bottom");
        }
        Point::Random(round) => {
            let mut dice = Dice::new(ground.seed.wrapping_add(round));
            for at in 0..NAMES_A_POINT {
                let length = [1, 2, 8, 20, 100, 254, 255][dice.below(7) as usize];
                let mut bytes: Vec<u8> = (0..length).map(|_| 1 + dice.below(255) as u8).collect();
                bytes.iter_mut().filter(|byte| **byte == b'/').for_each(|byte| *byte = 0x1b);
                let dots = bytes.iter().all(|byte| *byte == b'.') && bytes.len() < 3;
                // The top's own `.alike` is another matter.
                if dots || room.source.has(name(&bytes)) || bytes == b".alike" {
                    continue;
                }
                let folder = at % 5;
                room.source.file(name(format!("d{folder}").as_bytes()).join(name(&bytes)), "x");
            }
        }
    }
}

/// Names that alike gives to things of its own.
fn our_own(room: &Room) {
    for path in
        ["d/.alike/staging/x", "d/.alike/trash/y", "d/.alike/pair.json", "staging/0", "trash/1", ".alike~"]
    {
        room.source.file(path, path);
    }
    for path in [".alikeignored", "d/.alike-0", "pair.json", "lock", ".alike.tmp"] {
        room.source.file(path, path);
    }
}

fn try_point(ground: &Ground, point: Point, name: &str) -> Vec<Fault> {
    let mut room = ground.room(name);
    keep_when_asked(ground, &mut room);
    build(ground, &room, point);
    let mut faults = Vec::new();
    for words in [&[][..], &["--json"], &["-v"]] {
        // The log has all names once: nothing is new in the passes that follow, so each gets a replica of its own.
        if ground.tool != Tool::Alike && !words.is_empty() {
            break;
        }
        alike_testkit::remove_tree(room.replica.top()).expect("empty the replica");
        std::fs::create_dir(room.replica.top()).expect("make the replica");
        let mut command = ground.programs.command(ground.tool, &room);
        let log = room.home.join("log");
        if ground.tool == Tool::Alike {
            command.args(words).arg("--log-file").arg(&log);
            if words == ["--json"] {
                command.args(["--log-format", "json"]);
            }
        }
        let end = run_tool(&mut command, &room.said(), PATIENCE);
        if end.hung || end.panicked() {
            faults.push(fault("hang or panic", end.ending()));
        }
        let wrong = differences(ground, &room);
        for what in wrong.into_iter().take(2) {
            faults.push(fault("not equal", format!("{what} [{}: {}]", end.ending(), last_words(&end.said))));
        }
        for path in [room.said(), log] {
            let said = std::fs::read(&path).unwrap_or_default();
            if let Some(line) = raw(&said) {
                faults.push(fault("raw control byte", format!("{}: {line}", path.display())));
            }
            let _ = std::fs::remove_file(path);
        }
    }
    faults
}

/// The first line that is no text, or that could move a terminal's cursor or forge another line.
fn raw(said: &[u8]) -> Option<String> {
    let bad = |c: char| c.is_control() || matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    let wrong = |line: &&[u8]| std::str::from_utf8(line).map_or(true, |line| line.chars().any(bad));
    said.split(|byte| *byte == b'\n').find(wrong).map(show)
}
