//! Folders and files of both trees change places with links, pipes and folders outside, as fast as can be, while the tool
//! runs again and again.

use std::ffi::OsString;
use std::fs;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use alike_testkit::{Tree, remove_tree};
use rustix::fs::{
    AtFlags, CWD, FileType, Mode, OFlags, RenameFlags, ResolveFlags, linkat, mknodat, openat2, renameat,
    renameat_with, symlinkat, unlinkat,
};

use crate::days;
use crate::judge::{Fault, Shown, fault, last_words, recovers, show};
use crate::room::{Ground, Room};
use crate::supervise::End;
use crate::sweep::{Dice, Sums};

/// What lies outside for the flips of one side: a tool that brings it into the replica by way of the source leaks it.
const SIDES: [&str; 2] = ["for source", "for replica"];

/// Folders and files of the second day.
const FOLDERS: [&str; 6] = ["d", "d/e", "moved", "moved/deep", "new", "new/folder"];
const FILES: [&str; 7] = ["d/one", "d/two", "moved/one", "new/folder/file", "grows", "large", "d/e/four"];

/// After so many passes nothing is flipped, and one more pass must make all equal.
const RESTS: u32 = 5;

pub fn run(ground: &Ground) -> Sums {
    if ground.only_point.as_deref().is_some_and(|only| only != "flipper") {
        return Sums::default();
    }
    let seconds = if ground.full { 3_600.0 } else { 20.0 };
    let until = Instant::now() + Duration::from_secs_f64(seconds * ground.share);
    let room = ground.ready("flipper");
    for side in SIDES {
        let lie = |what: &str| format!("outside {side} {what}");
        let tree = Tree::make(room.outside.path(side));
        tree.file("secret", lie("secret")).file("one", lie("one")).file("deep/er/three", lie("three"));
    }
    let before = sentinel(&room);
    let flippers = [&room.source, &room.replica].map(|tree| Flipper::of(tree, &room));
    let (over, mut sums) = (AtomicBool::new(false), Sums::default());
    std::thread::scope(|scope| {
        for (at, flipper) in flippers.iter().enumerate() {
            let (over, seed) = (&over, ground.seed + at as u64);
            scope.spawn(move || flipper.flip_until(over, Dice::new(seed)));
        }
        let mut pass = 0;
        while Instant::now() < until {
            pass += 1;
            edit(&flippers, &room, pass);
            let end = ground.pass(&room);
            // A look at what is being flipped may wait for ever at a pipe.
            let _still = flippers.each_ref().map(Flipper::still);
            sums.take(&format!("flipper, pass {pass}"), &judge(&room, &before, &end));
            // What a disturbed pass has written down wrongly, a later one may mend by chance.
            if pass % RESTS == 0 {
                let at_rest = recovers(ground, &room);
                sums.take(&format!("flipper, at rest after pass {pass}"), &at_rest);
            }
        }
        over.store(true, Ordering::Relaxed);
    });
    sums.take("flipper, at rest", &recovers(ground, &room));
    let flips: u64 = flippers.iter().map(|flipper| flipper.flips.load(Ordering::Relaxed)).sum();
    (sums.of, sums.note) = (sums.points, format!("{flips} flips"));
    sums
}

/// Lets there be something to do. Nothing is flipped meanwhile, or the edit itself would go astray.
fn edit(flippers: &[Flipper<'_>; 2], room: &Room, version: u32) {
    let _still = flippers.each_ref().map(Flipper::still);
    let aside = Tree::make(room.aside.join("edits"));
    for path in FILES {
        let at = room.source.path(path);
        if at.parent().is_some_and(Path::is_dir) {
            aside.file("new", days::content(path, version, 2_000 + (version as usize * 37) % 3_000));
            let _ = fs::rename(aside.path("new"), at);
        }
    }
    let extra = room.source.path(format!("d/extra {}", version % 7));
    let _ = if extra.exists() { fs::remove_file(extra) } else { fs::write(extra, "extra") };
}

fn judge(room: &Room, before: &[Kept], end: &End) -> Vec<Fault> {
    let mut faults = Vec::new();
    if end.hung || end.panicked() {
        faults.push(fault("hang or panic", format!("{} {}", end.ending(), last_words(&end.said))));
    }
    let now = sentinel(room);
    if now != before {
        let changed = before.iter().filter(|kept| !now.contains(kept)).map(|kept| show(&kept.0));
        let new = now.iter().filter(|kept| !before.iter().any(|old| old.0 == kept.0));
        let which: Vec<String> =
            changed.chain(new.map(|kept| format!("{} is new", show(&kept.0)))).take(4).collect();
        faults.push(fault("escape", which.join(", ")));
    }
    let secret = format!("outside {}", SIDES[0]).into_bytes();
    let shown = Shown::of(room.replica.top());
    let leaked = shown.files().filter(|(_, content)| content.starts_with(&secret));
    faults.extend(leaked.map(|(path, _)| fault("leak", show(path))));
    faults
}

/// A path outside, with mode, time and content; how many names a file has is the flipper's own doing.
type Kept = (Vec<u8>, u32, i64, Option<Vec<u8>>);

fn sentinel(room: &Room) -> Vec<Kept> {
    use std::os::unix::fs::MetadataExt;
    let top = room.outside.top();
    let entry = |path: &Vec<u8>| {
        use std::os::unix::ffi::OsStrExt;
        let at = top.join(std::ffi::OsStr::from_bytes(path));
        let found = at.symlink_metadata().ok()?;
        Some((path.clone(), found.mode(), found.mtime_nsec() ^ found.mtime(), fs::read(at).ok()))
    };
    Shown::of(top).0.keys().filter_map(entry).collect()
}

/// Flips names of one tree.
struct Flipper<'a> {
    tree: &'a Tree,
    outside: PathBuf,
    aside: PathBuf,
    is_source: bool,
    gate: Mutex<()>,
    flips: AtomicU64,
}

impl<'a> Flipper<'a> {
    fn of(tree: &'a Tree, room: &Room) -> Self {
        let is_source = tree.top() == room.source.top();
        let side = SIDES[usize::from(!is_source)];
        let aside = Tree::make(room.aside.join(side)).top().to_owned();
        let outside = room.outside.path(side);
        Self { tree, outside, aside, is_source, gate: Mutex::default(), flips: AtomicU64::new(0) }
    }

    /// Nothing is flipped, and all is in its place, as long as this is held.
    fn still(&self) -> MutexGuard<'_, ()> {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn flip_until(&self, over: &AtomicBool, mut dice: Dice) {
        while !over.load(Ordering::Relaxed) {
            let still = self.still();
            for _ in 0..20 {
                self.flip(&mut dice);
            }
            drop(still);
            // Whoever waits at the gate has to be woken.
            std::thread::sleep(Duration::from_micros(50));
        }
    }

    fn flip(&self, dice: &mut Dice) {
        let is_folder = dice.below(3) > 0;
        let names: &[&str] = if is_folder { &FOLDERS } else { &FILES };
        let path = self.tree.path(names[dice.below(names.len() as u64) as usize]);
        self.flips.fetch_add(1, Ordering::Relaxed);
        let Some(at) = Spot::of(&path) else { return };
        let away = self.aside.join("away");
        let _ = remove_tree(&away);
        let to = if is_folder { self.outside.clone() } else { self.outside.join("secret") };
        let how = dice.below(4);
        // In one step, with no moment between the two: the link waits where the folder goes.
        if how == 0 && std::os::unix::fs::symlink(&to, &away).is_ok() {
            if at.swap(&away) {
                pause(dice);
                at.swap(&away);
            }
        } else if at.leave_for(&away) {
            match (how, is_folder) {
                (1, true) => {}
                (1, false) => at.put_pipe(),
                // In the source a hard link would be a file of the source: nothing to leak.
                (2, false) if !self.is_source => at.put_name_of(&to),
                _ => at.put_link(&to),
            }
            pause(dice);
            at.take_back(&away, is_folder && how == 1);
        }
    }
}

/// A name in a folder of the tree that is held open. A link that the tool made of what it saw in the source for a moment
/// leads outside: by path, the flips themselves would go there.
struct Spot {
    folder: OwnedFd,
    name: OsString,
}

impl Spot {
    fn of(path: &Path) -> Option<Self> {
        let how = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = openat2(CWD, path.parent()?, how, Mode::empty(), ResolveFlags::NO_SYMLINKS).ok()?;
        Some(Self { folder, name: path.file_name()?.to_owned() })
    }

    fn swap(&self, other: &Path) -> bool {
        renameat_with(&self.folder, &self.name, CWD, other, RenameFlags::EXCHANGE).is_ok()
    }

    fn leave_for(&self, away: &Path) -> bool {
        renameat(&self.folder, &self.name, CWD, away).is_ok()
    }

    fn put_pipe(&self) {
        let _ = mknodat(&self.folder, &self.name, FileType::Fifo, Mode::from_raw_mode(0o644), 0);
    }

    fn put_link(&self, to: &Path) {
        let _ = symlinkat(to, &self.folder, &self.name);
    }

    fn put_name_of(&self, file: &Path) {
        let _ = linkat(CWD, file, &self.folder, &self.name, AtFlags::empty());
    }

    /// What the tool has put there meanwhile stays; what was there before then goes.
    fn take_back(&self, away: &Path, is_free: bool) {
        if !is_free {
            // Fails for a folder.
            let _ = unlinkat(&self.folder, &self.name, AtFlags::empty());
        }
        let _ = renameat_with(CWD, away, &self.folder, &self.name, RenameFlags::NOREPLACE);
    }
}

/// Mostly none: the shorter, the more of them.
fn pause(dice: &mut Dice) {
    match dice.below(8) {
        0 => std::thread::sleep(Duration::from_micros(dice.below(2_000))),
        1..3 => std::thread::yield_now(),
        _ => {}
    }
}
