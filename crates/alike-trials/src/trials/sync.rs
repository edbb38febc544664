//! Disks that fail to bring to rest what they were given, once or from there on, or say that they did: what is left when the
//! power is cut after the tool has ended.
//!
//! Two disks: one whose cache is a FUSE server's, file by file, and ext4 on such a disk, where the kernel's own cache is
//! between: a page that could not be written looks clean there ever after.

use std::fs::File;
use std::process::Command;

use alike_testkit::{Asked, Faults, FaultyDisk, Tree};

use crate::days;
use crate::disk::Disk;
use crate::judge::{Fault, Shown, fault, gaps, last_words, recovers, torn, unusual};
use crate::room::{Ground, PATIENCE, Room, Usual};
use crate::supervise::run as run_tool;
use crate::sweep::{Dice, Limit, Sums, keep_when_asked, sweep};
use crate::system::{Cut, cut_power};
use crate::tools::Tool;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Under {
    Fuse,
    Ext4,
}

/// What goes wrong, as the seed has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wrong {
    Nothing,
    FileSync,
    FolderSync,
    LateWrite,
    Write,
    Lie,
}

pub fn run(ground: &Ground) -> Sums {
    let mut sums = Sums::default();
    for (under, quick, full, seconds) in [(Under::Fuse, 50, 200, 12.0), (Under::Ext4, 12, 120, 3.0)] {
        let (ground, asked) = learn(ground, under);
        let points = (1..=if ground.full { full } else { quick }).collect();
        let limit = Limit { points: usize::MAX, seconds: if ground.full { 1_200.0 } else { seconds } };
        let label = |seed: &u64| format!("sync {under:?} seed {seed}");
        sums.add(sweep(&ground, points, limit, label, |seed, room| {
            try_seed(&ground, (under, asked), *seed, room)
        }));
    }
    sums.add(super::sync_calls::run(ground));
    sums
}

/// A room whose replica lies on a disk that can fail.
struct Rig {
    // In this order they must go.
    ext4: Option<Disk>,
    disk: FaultyDisk,
    room: Room,
}

impl Rig {
    /// With the first day safely on the disk.
    fn make(ground: &Ground, under: Under, writeback: bool, name: &str) -> Self {
        let mut room = ground.room(name);
        let disk = FaultyDisk::mount(&room.top().join("disk"), writeback);
        let ext4 =
            (under == Under::Ext4).then(|| Disk::make(&disk.at().join("ext4"), "ext4").expect("make ext4"));
        room.replica = Tree::make(ext4.as_ref().map_or(disk.at(), |ext4| &ext4.at).join("replica"));
        days::first(&room.source, ground.plain());
        let mut rig = Self { ext4, disk, room };
        let end = ground.pass(&rig.room);
        assert!(!end.hung && !end.panicked(), "the first pass: {}\n{}", end.ending(), end.said);
        if let Some(ext4) = &mut rig.ext4 {
            ext4.unmount().and_then(|()| ext4.mount()).expect("mount ext4 again");
        }
        rig.disk.rest();
        rig
    }

    /// Only what is on the disk is left. What the disk itself was said to have lost is mended as an owner would.
    fn cut_power(&mut self) -> Result<(), String> {
        if let Some(ext4) = &mut self.ext4 {
            let top = File::open(&ext4.at).map_err(|why| why.to_string())?;
            // Refused, the filesystem has gone down by itself.
            let _ = cut_power(&top, Cut::Now);
            drop(top);
            ext4.detach()?;
        }
        self.disk.cut_power();
        self.ext4.as_mut().map_or(Ok(()), Disk::attach)
    }
}

/// What is usual on this disk, and how often it is asked for what.
fn learn(ground: &Ground, under: Under) -> (Ground, Asked) {
    let rig = Rig::make(ground, under, false, "sync-usual");
    let mut usual = Usual { first: Shown::of(rig.room.source.top()), ..Usual::default() };
    ground.second_day(&rig.room);
    usual.second = Shown::of(rig.room.source.top());
    rig.disk.arm(Faults::default());
    usual.code = ground.pass(&rig.room).code;
    if let Some(ext4) = &rig.ext4 {
        let top = File::open(&ext4.at).expect("open the top of ext4");
        rustix::fs::syncfs(top).expect("bring ext4 to the disk");
    }
    let asked = rig.disk.disarm();
    usual.differences =
        crate::judge::keys(&alike_testkit::compare(rig.room.source.top(), rig.room.replica.top()));
    (Ground { usual, ..ground.clone() }, asked)
}

fn choose(seed: u64, under: Under, asked: Asked) -> (Wrong, Faults, bool) {
    let mut dice = Dice::new(seed);
    let all =
        [Wrong::FileSync, Wrong::LateWrite, Wrong::Write, Wrong::FolderSync, Wrong::Nothing, Wrong::Lie];
    // The image of ext4 is one file; what it is told falsely, nobody can know.
    let kinds = if under == Under::Ext4 { &all[..3] } else { &all[..] };
    let wrong = kinds[dice.below(kinds.len() as u64) as usize];
    let mut nth = |count: u64| Some(1 + dice.below(count));
    let mut faults = Faults::default();
    match wrong {
        Wrong::Nothing => {}
        Wrong::FileSync => faults.sync_fails = nth(asked.file_syncs),
        Wrong::FolderSync => faults.folder_sync_fails = nth(asked.folder_syncs),
        Wrong::LateWrite => faults.write_fails_late = nth(asked.writes),
        Wrong::Write => faults.write_fails = nth(asked.writes),
        Wrong::Lie => faults.sync_lies = nth(asked.file_syncs + asked.folder_syncs),
    }
    faults.errno = [libc::EIO, libc::ENOSPC, libc::EDQUOT][dice.below(3) as usize];
    // A disk that is full takes it when there is room; one that always lies is none.
    faults.from_there_on = wrong != Wrong::Lie && dice.below(3) == 0;
    (wrong, faults, dice.below(2) == 0)
}

fn try_seed(ground: &Ground, (under, asked): (Under, Asked), seed: u64, name: &str) -> Vec<Fault> {
    let (wrong, chosen, writeback) = choose(seed, under, asked);
    let mut rig = Rig::make(ground, under, writeback && under == Under::Fuse, name);
    keep_when_asked(ground, &mut rig.room);
    ground.second_day(&rig.room);
    rig.disk.arm(chosen);
    let mut end = ground.pass(&rig.room);
    let met = format!("{wrong:?} {chosen:?} {:?}", rig.disk.disarm());
    let mut faults = Vec::new();
    if end.hung || end.panicked() {
        faults.push(fault("hang or panic", format!("{}: {}", end.ending(), last_words(&end.said))));
    }
    if end.code != ground.usual.code {
        // What it was told about it knew in this process; the next one must know as well.
        end = ground.pass(&rig.room);
    }
    let said_done = end.code == ground.usual.code;
    if let Err(why) = rig.cut_power() {
        return vec![fault("trial broken", why)];
    }
    let lied = wrong == Wrong::Lie;
    if said_done && !lied {
        faults.extend(judge_done(ground, &rig.room, "done, then gone"));
    }
    faults.extend(match lied && ground.tool == Tool::Alike {
        true => finds_lies(ground, &rig.room),
        false => recovers(ground, &rig.room),
    });
    if let Err(why) = rig.cut_power() {
        return vec![fault("trial broken", why)];
    }
    if !lied {
        faults.extend(judge_done(ground, &rig.room, "done, then gone, after it"));
    }
    faults.iter_mut().for_each(|fault| fault.what = format!("{} [{met}]", fault.what));
    faults
}

/// What was said to be done must be there.
fn judge_done(ground: &Ground, room: &Room, class: &'static str) -> Vec<Fault> {
    let replica = Shown::of(room.replica.top());
    let versions = [&ground.usual.first, &ground.usual.second];
    let mut faults: Vec<Fault> = Vec::new();
    faults.extend(torn(&versions, &replica).into_iter().map(|what| fault("torn", what)));
    faults.extend(gaps(ground, &replica).into_iter().map(|what| fault("gap", what)));
    faults.extend(unusual(ground, room).into_iter().take(3).map(|what| fault(class, what)));
    faults
}

/// Who was lied to can only find it later: by the stamps in the next pass, or byte by byte in a check, which must tell of all
/// that a pass does not mend. What it tells of is the owner's to decide: nothing says which side is right.
fn finds_lies(ground: &Ground, room: &Room) -> Vec<Fault> {
    let end = ground.pass(room);
    let left = unusual(ground, room);
    let mut check = Command::new(ground.programs.path(Tool::Alike));
    check.args(["check", "--state-dir"]).arg(&room.state).args([room.source.top(), room.replica.top()]);
    let checked = run_tool(check.current_dir(&room.home), &room.said(), PATIENCE);
    let untold = left.into_iter().filter(|what| {
        let path = what.split(": ").next().unwrap_or_default();
        checked.code != Some(1) || !checked.said.contains(path)
    });
    let told = format!("pass {}, check {}: {}", end.ending(), checked.ending(), last_words(&checked.said));
    untold.take(3).map(|what| fault("lie not found", format!("{what}: {told}"))).collect()
}
