//! Files rewritten with the same size soon after a pass, with the time as it comes or put back.

use std::time::Duration;

use crate::judge::{Fault, fault};
use crate::room::Ground;
use crate::sweep::{Dice, Limit, Sums, keep_when_asked, sweep};

use super::flips::differences;

const FILES: u32 = 200;

pub fn run(ground: &Ground) -> Sums {
    let rounds = if ground.full { 5_000 } else { 50 };
    let mut dice = Dice::new(ground.seed);
    let mut points = Vec::new();
    for round in 0..rounds {
        let pause = [0, 0, 1, 4, 20, 100, 1_000, 3_000][dice.below(8) as usize];
        points.push((round, dice.below(pause + 1), round % 2 == 1));
    }
    let limit = Limit { points: usize::MAX, seconds: if ground.full { 3_600.0 } else { 40.0 } };
    let label = |(round, pause, restored): &(u64, u64, bool)| {
        format!("rewrites {round} after {pause} ms{}", if *restored { " time put back" } else { "" })
    };
    let mut sums = sweep(ground, points, limit, label, |(_, pause, restored), room| {
        try_point(ground, Duration::from_millis(*pause), *restored, room)
    });
    sums.note = format!("{} rewrites", sums.points as u64 * u64::from(FILES));
    sums
}

fn try_point(ground: &Ground, pause: Duration, restored: bool, name: &str) -> Vec<Fault> {
    let mut room = ground.room(name);
    keep_when_asked(ground, &mut room);
    let put = |version: u32| {
        for at in 0..FILES {
            let (path, content) = (format!("d{}/f{at}", at % 7), format!("file {at} version {version}"));
            if version > 1 && restored {
                room.source.edit_keeping_stamp(path, content);
            } else {
                room.source.file(path, content);
            }
        }
    };
    put(1);
    ground.pass(&room);
    std::thread::sleep(pause);
    put(2);
    ground.pass(&room);
    let missed = differences(ground, &room);
    match missed.len() {
        0 => Vec::new(),
        count => vec![fault("missed", format!("{count} of {FILES}, such as {}", missed[0]))],
    }
}
