//! The k-th call that syncs fails with an error, on a real ext4 and xfs: whoever is told so must not say done, and must copy
//! again rather than sync again.

use std::collections::{BTreeMap, BTreeSet};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use crate::judge::{Fault, Shown, fault, gaps, judge_run, last_words, recovers, torn, unusual};
use crate::rig::Rig;
use crate::room::{Ground, PATIENCE, Room};
use crate::supervise::{Call, Verdict};
use crate::sweep::{Limit, Sums, sweep};
use crate::tools::Tool;

const SYNCS: [&str; 4] = ["syncfs", "fsync", "fdatasync", "sync_file_range"];
const ERRORS: [(&str, i32); 3] = [("EIO", libc::EIO), ("ENOSPC", libc::ENOSPC), ("EDQUOT", libc::EDQUOT)];

#[derive(Debug, Clone, Copy)]
struct Point {
    k: u64,
    error: (&'static str, i32),
    on: bool,
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
    let rig = Rig::make(ground, "sync", kind, false)?;
    let mut calls = 0;
    ground.directed(&rig.room, PATIENCE, &mut |call: &Call| {
        calls += u64::from(is_about(call, &rig.room));
        Verdict::Go
    });
    let rig = Mutex::new(rig);
    let points = (1..=calls)
        .flat_map(|k| {
            ERRORS.into_iter().flat_map(move |error| [false, true].map(|on| Point { k, error, on }))
        })
        .collect();
    let ground = Ground { jobs: 1, ..ground.clone() };
    let limit = match ground.full {
        true => Limit { points: usize::MAX, seconds: 600.0 },
        false => Limit { points: 16, seconds: 1.5 },
    };
    let label = |point: &Point| {
        format!("sync {kind} {} {}{}", point.k, point.error.0, if point.on { " on" } else { "" })
    };
    Ok(sweep(&ground, points, limit, label, |point, _| {
        try_point(&ground, &mut rig.lock().unwrap_or_else(PoisonError::into_inner), *point)
    }))
}

/// True for a call that syncs something of the replica.
fn is_about(call: &Call, room: &Room) -> bool {
    SYNCS.contains(&call.known.name)
        && call.open_file(0).is_some_and(|path| path.starts_with(room.replica.top()))
}

fn try_point(ground: &Ground, rig: &mut Rig, point: Point) -> Vec<Fault> {
    rig.put_back();
    let room = &rig.room;
    let before = files(room);
    let (mut syncs, mut told) = (0, false);
    let end = ground.directed(room, PATIENCE, &mut |call: &Call| {
        if !is_about(call, room) {
            return Verdict::Go;
        }
        syncs += 1;
        if syncs == point.k || point.on && syncs > point.k {
            told = true;
            return Verdict::Fail(point.error.1);
        }
        Verdict::Go
    });
    let mut faults = judge_run(ground, room, &end);
    let replica = Shown::of(room.replica.top());
    let versions = [&ground.usual.first, &ground.usual.second];
    faults.extend(torn(&versions, &replica).into_iter().map(|what| fault("torn", what)));
    faults.extend(gaps(ground, &replica).into_iter().map(|what| fault("gap", what)));
    if told && end.code == Some(0) {
        faults.push(fault("told, and exit 0", last_words(&end.said)));
    }
    let after = files(room);
    faults.extend(recovers(ground, room));
    if told && ground.tool == Tool::Alike {
        let now = files(room);
        // What was written in the pass that was told, and stands there as it was, was only synced again.
        let old: BTreeSet<u64> = before.into_values().collect();
        let is_new = |path: &&PathBuf| !old.contains(&after[*path]);
        let same = after.keys().filter(is_new).filter(|path| now.get(*path) == after.get(*path));
        faults.extend(same.take(3).map(|path| fault("not copied again", path.display().to_string())));
    }
    faults.extend(unusual(ground, room).into_iter().take(1).map(|what| fault("not converged", what)));
    faults
}

/// The inode of each regular file with contents, by its path.
fn files(room: &Room) -> BTreeMap<PathBuf, u64> {
    let mut found = BTreeMap::new();
    let mut folders = vec![room.replica.top().to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let Ok(now) = entry.metadata() else { continue };
            match now.is_dir() {
                true if entry.file_name() != ".alike" => folders.push(entry.path()),
                false if now.is_file() && now.len() > 0 => drop(found.insert(entry.path(), now.ino())),
                _ => {}
            }
        }
    }
    found
}
