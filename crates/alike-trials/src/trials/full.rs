//! No room, no rights, no descriptors, no memory: old versions stay whole, and it goes on when there is room again.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::Command;

use alike_testkit::{Mount, Tree};

use crate::days;
use crate::disk::Disk;
use crate::judge::{Fault, Shown, fault, gaps, judge_run, recovers, torn};
use crate::room::{Ground, PATIENCE, Room};
use crate::supervise::{Call, End, Verdict, run as run_tool};
use crate::sweep::{Limit, Sums, keep_when_asked, sweep};
use crate::tools::Tool;

#[derive(Debug, Clone, Copy)]
enum Lack {
    /// A filesystem in memory with room for so many KiB more than the first day takes.
    Memory(u64),
    /// A disk with so many KiB left.
    Disk(&'static str, u64),
    Quota(u64),
    /// The disk becomes read-only at this call.
    ReadOnly(&'static str, u64),
    Descriptors(u32),
    /// A control group of 64 MiB.
    SmallMemory,
}

pub fn run(ground: &Ground) -> Sums {
    let mut points: Vec<Lack> = (0..10).map(|at| Lack::Memory(at * 40)).collect();
    for kind in ["ext4", "xfs", "btrfs"] {
        let step = if ground.full { 8 } else { 100 };
        points.extend((0..400).step_by(step).map(|left| Lack::Disk(kind, left as u64)));
        if kind != "xfs" {
            points.extend((1..6).map(|at| Lack::ReadOnly(kind, at * 150)));
        }
    }
    points.extend((0..4).map(|at| Lack::Quota(at * 120)));
    points.extend([6, 8, 10, 12, 16, 24].map(Lack::Descriptors));
    points.push(Lack::SmallMemory);
    let limit = Limit { points: usize::MAX, seconds: if ground.full { 1_800.0 } else { 40.0 } };
    sweep(ground, points, limit, |lack| format!("full {lack:?}"), |lack, room| try_point(ground, *lack, room))
}

/// What makes room again when it is dropped or asked to.
enum Rig {
    Nothing,
    #[allow(dead_code, reason = "the mount ends with the value")]
    Memory(Mount, PathBuf),
    Disk(Disk, PathBuf),
}

fn try_point(ground: &Ground, lack: Lack, name: &str) -> Vec<Fault> {
    let mut room = ground.room(&format!("{name}-full"));
    keep_when_asked(ground, &mut room);
    let rig = match rig(&mut room, lack) {
        Ok(rig) => rig,
        Err(why) => return vec![fault("trial broken", why)],
    };
    days::first(&room.source, ground.plain());
    let end = ground.pass(&room);
    assert!(!end.hung && !end.panicked(), "the first pass: {}\n{}", end.ending(), end.said);
    ground.second_day(&room);
    let end = disturbed(ground, &room, &rig, lack);
    let mut faults = judge_run(ground, &room, &end);
    let replica = Shown::of(room.replica.top());
    let versions = [&ground.usual.first, &ground.usual.second];
    faults.extend(torn(&versions, &replica).into_iter().map(|what| fault("torn", what)));
    faults.extend(gaps(ground, &replica).into_iter().map(|what| fault("gap", what)));
    make_room(&room, &rig, lack);
    faults.extend(recovers(ground, &room));
    // The replica goes before its disk.
    drop(rig);
    faults
}

fn rig(room: &mut Room, lack: Lack) -> Result<Rig, String> {
    let at = room.top().join("disk");
    let rig = match lack {
        Lack::Memory(_) => Rig::Memory(Mount::tmpfs(&at, "24m"), at.clone()),
        Lack::Disk(kind, _) | Lack::ReadOnly(kind, _) => Rig::Disk(Disk::make(&at, kind)?, at.clone()),
        Lack::Quota(_) => Rig::Disk(Disk::make(&at, "btrfs")?, at.clone()),
        Lack::SmallMemory => Rig::Disk(Disk::make(&at, "ext4")?, at.clone()),
        Lack::Descriptors(_) => Rig::Nothing,
    };
    if !matches!(rig, Rig::Nothing) {
        if let Lack::Quota(_) = lack {
            say(Command::new("btrfs").args(["quota", "enable"]).arg(&at))?;
            say(Command::new("btrfs").args(["subvolume", "create"]).arg(at.join("sub")))?;
            room.replica = Tree::make(at.join("sub/replica"));
        } else {
            room.replica = Tree::make(at.join("replica"));
        }
    }
    Ok(rig)
}

fn disturbed(ground: &Ground, room: &Room, rig: &Rig, lack: Lack) -> End {
    match (lack, rig) {
        (Lack::Memory(left) | Lack::Disk(_, left), Rig::Memory(_, at) | Rig::Disk(_, at)) => {
            fill(&at.join("filler"), left);
            ground.pass(room)
        }
        (Lack::Quota(left), Rig::Disk(_, at)) => {
            let _ = say(Command::new("btrfs").args(["filesystem", "sync"]).arg(at));
            let limit = format!("{}K", 1_200 + left);
            let _ = say(Command::new("btrfs").args(["qgroup", "limit", &limit]).arg(at.join("sub")));
            ground.pass(room)
        }
        (Lack::ReadOnly(_, k), Rig::Disk(disk, _)) => {
            let mut done = false;
            ground.directed(room, PATIENCE, &mut |call: &Call| {
                // A file open for writing puts it off to a later call.
                if call.k >= k && !done {
                    done = disk.remount("ro").is_ok();
                }
                Verdict::Go
            })
        }
        (Lack::Descriptors(most), _) => shelled(ground, room, &format!("ulimit -n {most}")),
        _ => {
            let group = "/sys/fs/cgroup/memory/alike-trials";
            let words =
                format!("echo 67108864 > {group}/memory.limit_in_bytes; echo $$ > {group}/cgroup.procs");
            let _ = fs::create_dir(group);
            for at in 0..4_000 {
                room.source.file(format!("many/{at}"), "x");
            }
            let end = shelled(ground, room, &words);
            let _ = fs::remove_dir(group);
            if ground.tool == Tool::Alike && end.code != Some(0) {
                return End { code: Some(101), said: format!("64 MiB were too few: {}", end.said), ..end };
            }
            End { code: None, ..end }
        }
    }
}

fn shelled(ground: &Ground, room: &Room, words: &str) -> End {
    let command = ground.programs.command(ground.tool, room);
    let mut shell = Command::new("sh");
    shell.arg("-c").arg(format!("{words}; exec \"$0\" \"$@\"")).arg(command.get_program());
    shell.args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    shell.current_dir(&room.home);
    run_tool(&mut shell, &room.said(), PATIENCE)
}

/// Fills the filesystem but for so many KiB.
fn fill(at: &PathBuf, left: u64) {
    let file = File::create(at).expect("make a filler");
    let stat = rustix::fs::fstatvfs(&file).expect("ask for the room left");
    let mut size = (stat.f_bavail * stat.f_frsize).saturating_sub(left << 10);
    // The last few blocks are never all to be had; what cannot be reserved at once is tried with less.
    while size > 0 && rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, size).is_err() {
        size = size.saturating_sub(64 << 10);
    }
}

fn make_room(room: &Room, rig: &Rig, lack: Lack) {
    match (rig, lack) {
        (Rig::Disk(disk, _), Lack::ReadOnly(..)) => drop(disk.remount("rw")),
        (Rig::Disk(_, at), Lack::Quota(_)) => {
            drop(say(Command::new("btrfs").args(["qgroup", "limit", "none"]).arg(at.join("sub"))));
        }
        (Rig::Disk(_, at) | Rig::Memory(_, at), _) => drop(fs::remove_file(at.join("filler"))),
        (Rig::Nothing, _) => drop(room.replica.has("")),
    }
}

fn say(command: &mut Command) -> Result<(), String> {
    let done = command.output().map_err(|why| format!("{command:?}: {why}"))?;
    if done.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&done.stderr).into_owned()) }
}
