//! Storms: whatever broke loose in the source, and by whatever means it was heard, `once` finds nothing left to do after it.
//!
//! `ALIKE_SEED=N` takes another way through.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use alike_testkit::{Live, Pair, root_or_say, wait_until};
use common::{Dice, events, pair, steps};

/// A storm that has not settled by then has been lost.
const SETTLED: Duration = Duration::from_secs(60);
/// What a storm may do to a tree must not be held back.
const FREE: [&str; 2] = ["--max-delete", "100%"];
const INOTIFY: [&str; 2] = ["--watcher", "inotify"];
const FANOTIFY: [&str; 2] = ["--watcher", "fanotify"];
const DEAF: [&str; 3] = ["--no-watch", "--interval", "1"];

/// What breaks loose below a folder that has no fewer than two levels of folders with files.
type Storm = fn(&Path, &mut Dice);
const STORMS: [(&str, Storm); 8] = [
    ("a tree is unpacked", unpack),
    ("folders are renamed in chains", rename_in_chains),
    ("another version is checked out", check_out),
    ("everything is touched", touch),
    ("anything happens", anything),
    ("files are saved by rename", save_by_rename),
    ("everything is deleted", delete),
    ("everything is deleted and unpacked again", replace),
];

#[test]
fn after_any_storm_that_inotify_hears_once_finds_nothing_left() {
    storms(&INOTIFY);
}

#[test]
fn after_any_storm_that_fanotify_hears_once_finds_nothing_left() {
    if root_or_say("fanotify") {
        storms(&FANOTIFY);
    }
}

#[test]
fn after_any_storm_that_the_interval_finds_once_finds_nothing_left() {
    storms(&DEAF);
}

#[test]
fn a_storm_without_end_that_inotify_hears_keeps_nobody_else_waiting() {
    without_rest(&INOTIFY);
}

#[test]
fn a_storm_without_end_that_fanotify_hears_keeps_nobody_else_waiting() {
    if root_or_say("fanotify") {
        without_rest(&FANOTIFY);
    }
}

#[test]
fn a_queue_of_inotify_that_runs_over_leaves_nothing_undone() {
    overflow(&INOTIFY, "inotify");
}

#[test]
fn a_queue_of_fanotify_that_runs_over_leaves_nothing_undone() {
    if root_or_say("fanotify") {
        overflow(&FANOTIFY, "fanotify");
    }
}

/// Two at full speed, in folders of their own.
#[track_caller]
fn without_rest(heard_by: &[&str]) {
    let (pair, mut dice) = (pair(), Dice(11));
    furnish(pair.source.top(), &mut dice, 12, 10);
    let mut live = mirror(&pair, heard_by);
    let (over, (files, _)) = (AtomicBool::new(false), paths(pair.source.top()));
    std::thread::scope(|scope| {
        for half in files.chunks(files.len().div_ceil(2)) {
            let over = &over;
            scope.spawn(move || {
                let opened: Vec<fs::File> = half.iter().map(|path| fs::File::open(path).unwrap()).collect();
                for seconds in (1_400_000_000..).take_while(|_| !over.load(Ordering::Relaxed)) {
                    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
                    opened.iter().for_each(|file| file.set_modified(time).unwrap());
                }
            });
        }
        let arrived = (0..3).all(|number| {
            let name = format!("calm-{number}");
            pair.source.file(&name, "written once");
            wait_until(Duration::from_secs(10), || pair.replica.has(&name))
        });
        over.store(true, Ordering::Relaxed);
        assert!(arrived, "a file waited for ten seconds because others were touched all the time");
    });
    live.wait_identical(SETTLED);
    live.stop();
}

/// One storm after another over one tree, each with a mirror of its own.
#[track_caller]
fn storms(heard_by: &[&str]) {
    let seed = std::env::var("ALIKE_SEED").map_or(20_261_122, |seed| seed.parse().unwrap());
    let (pair, mut dice) = (pair(), Dice(seed));
    furnish(pair.source.top(), &mut dice, 12, 10);
    pair.source.file("always", "here");
    for (name, storm) in STORMS {
        let mut live = mirror(&pair, heard_by);
        // Some break loose while the first pass is at work, others when all is quiet.
        std::thread::sleep(Duration::from_millis(300 * dice.below(3) as u64));
        storm(pair.source.top(), &mut dice);
        let took = live.wait_identical(SETTLED);
        live.stop();
        eprintln!("{name}: {took:?}");
        nothing_left(&pair, &format!("{name}, {heard_by:?}, seed {seed}\n{}", live.out()));
        if pair.source.top().read_dir().unwrap().count() < 5 {
            furnish(pair.source.top(), &mut dice, 12, 10);
        }
    }
}

/// More happens while the mirror stands still than the queue holds.
#[track_caller]
fn overflow(heard_by: &[&str], queue: &str) {
    let limit = fs::read_to_string(format!("/proc/sys/fs/{queue}/max_queued_events")).unwrap();
    let (pair, mut dice) = (pair(), Dice(7));
    furnish(pair.source.top(), &mut dice, 12, 10);
    let mut live = mirror(&pair, heard_by);
    live.wait_identical(SETTLED);
    live.wait_for_output(queue, SETTLED);
    pair.source.file("heard", "so it listens");
    live.wait_identical(SETTLED);
    live.stand_still();
    let mut before = pair.source.path("heard");
    // Each a name that was never told of, so that no two are told as one.
    for number in 0..limit.trim().parse::<usize>().unwrap() + 1_000 {
        let after = pair.source.path(format!("called-{number}"));
        fs::rename(&before, &after).unwrap();
        before = after;
    }
    // Told too late for the queue.
    anything(pair.source.top(), &mut dice);
    live.go_on();
    live.wait_identical(SETTLED);
    live.wait_for_output("ran over", SETTLED);
    pair.source.file("heard", "so it listens still");
    live.wait_identical(SETTLED);
    live.stop();
    nothing_left(&pair, &live.out());
}

fn mirror(pair: &Pair, heard_by: &[&str]) -> Live {
    let mut live = pair.mirror_with(&[&FREE, heard_by].concat());
    live.wait_identical(SETTLED);
    live
}

/// Neither by stamps nor by contents.
#[track_caller]
fn nothing_left(pair: &Pair, context: &str) {
    for compare in ["auto", "content"] {
        let run = pair.once_with(&[&FREE[..], &["--json", "--compare", compare]].concat());
        run.expect(0);
        let found = steps(&events(&run));
        assert!(found.is_empty(), "--compare {compare} found {found:?} after {context}");
    }
    pair.assert_identical(context);
}

// ---- what breaks loose ----

/// So many folders with so many files each, some in one another.
fn furnish(top: &Path, dice: &mut Dice, folders: usize, files: usize) {
    let mut made = vec![top.to_owned()];
    for number in 0..folders {
        let folder = dice.pick(&made).unwrap().join(format!("folder-{number}"));
        fs::create_dir_all(&folder).unwrap();
        for file in 0..files {
            fs::write(folder.join(format!("file-{file}")), content(dice)).unwrap();
        }
        made.push(folder);
    }
}

fn content(dice: &mut Dice) -> String {
    format!("content {}\n", dice.below(1_000_000)).repeat(1 + dice.below(40))
}

/// As tar does it: what is in a folder, then its times and mode.
fn unpack(top: &Path, dice: &mut Dice) {
    let folder = top.join(format!("unpacked-{}", dice.below(1_000_000)));
    fs::create_dir(&folder).unwrap();
    furnish(&folder, dice, 30, 20);
    let (files, folders) = paths(&folder);
    for path in files.iter().chain(folders.iter().rev()) {
        set_time(path, 1_600_000_000 + dice.below(100_000_000) as u64);
    }
    set_mode(&folder, 0o750);
}

/// Each takes the name of the one before, over and over; then they go into one another.
fn rename_in_chains(top: &Path, dice: &mut Dice) {
    let chain = top.join("chain");
    let name = |number: usize| chain.join(format!("link-{number}"));
    for number in 0..15 {
        fs::create_dir_all(name(number)).unwrap();
        furnish(&name(number), dice, 2, 5);
    }
    std::thread::sleep(Duration::from_millis(500 * dice.below(2) as u64));
    for _ in 0..10 {
        fs::rename(name(0), chain.join("aside")).unwrap();
        for number in 1..15 {
            fs::rename(name(number), name(number - 1)).unwrap();
        }
        fs::rename(chain.join("aside"), name(14)).unwrap();
    }
    for number in 1..15 {
        fs::rename(name(number), name(number - 1).join("within")).unwrap_or_else(|_| {
            fs::rename(name(number), chain.join(format!("left-{number}"))).unwrap();
        });
    }
}

/// As git does it: what differs is removed and made anew, and a few folders are files now.
fn check_out(top: &Path, dice: &mut Dice) {
    let (files, folders) = paths(top);
    for file in files.iter().filter(|path| !path.ends_with("always")) {
        match dice.below(5) {
            0 => fs::remove_file(file).unwrap(),
            1 | 2 => {
                fs::remove_file(file).unwrap();
                fs::write(file, content(dice)).unwrap();
            }
            _ => {}
        }
    }
    for folder in folders.iter().rev() {
        match dice.below(6) {
            0 => {
                fs::remove_dir_all(folder).unwrap();
                fs::write(folder, content(dice)).unwrap();
            }
            1 => fs::write(folder.join(format!("new-{}", dice.below(1_000))), content(dice)).unwrap(),
            _ => {}
        }
    }
}

fn touch(top: &Path, dice: &mut Dice) {
    let (files, folders) = paths(top);
    for round in 0..10 {
        for path in files.iter().chain(&folders) {
            set_time(path, 1_500_000_000 + round * 1_000 + dice.below(1_000) as u64);
        }
    }
}

fn save_by_rename(top: &Path, dice: &mut Dice) {
    let (files, _) = paths(top);
    for _ in 0..5 {
        for file in files.iter().filter(|path| !path.ends_with("always")) {
            let beside = file.with_extension("new");
            fs::write(&beside, content(dice)).unwrap();
            fs::rename(&beside, file).unwrap();
        }
    }
}

/// All but one file: a source that became empty is refused, on purpose.
fn delete(top: &Path, _: &mut Dice) {
    for entry in top.read_dir().unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() && !path.is_symlink() {
            true => fs::remove_dir_all(path).unwrap(),
            false if path.ends_with("always") => {}
            false => fs::remove_file(path).unwrap(),
        }
    }
}

fn replace(top: &Path, dice: &mut Dice) {
    for _ in 0..3 {
        furnish(top, dice, 30, 10);
        std::thread::sleep(Duration::from_millis(100 * dice.below(3) as u64));
        delete(top, dice);
    }
    furnish(top, dice, 20, 10);
}

/// Names are looked up for a few changes at a time: in between they are stale, as they are to whoever works in a tree with
/// others. What does not work, because the one before took it away, does not happen.
fn anything(top: &Path, dice: &mut Dice) {
    for _ in 0..60 {
        a_few_things(top, dice);
    }
}

fn a_few_things(top: &Path, dice: &mut Dice) {
    let (mut files, mut folders) = paths(top);
    files.retain(|path| !path.ends_with("always"));
    folders.push(top.to_owned());
    for _ in 0..25 {
        let (Some(file), Some(folder), Some(other)) =
            (dice.pick(&files), dice.pick(&folders), dice.pick(&folders))
        else {
            return;
        };
        let to = other.join(format!("any-{}", dice.below(60)));
        let _ = match dice.below(13) {
            0 | 1 => fs::write(&to, content(dice)),
            2 => fs::write(file, content(dice)),
            3 => fs::rename(file, &to),
            4 if folder != top => fs::rename(folder, &to),
            5 => fs::create_dir(&to),
            6 => fs::remove_file(file),
            7 if folder != top && dice.below(4) == 0 => fs::remove_dir_all(folder),
            8 => fs::hard_link(file, &to),
            9 => std::os::unix::fs::symlink("nowhere", &to),
            10 => fs::set_permissions(file, fs::Permissions::from_mode(0o600 + dice.below(64) as u32)),
            11 => append(file, dice),
            _ => fs::rename(file, folder.join("swapped")).and_then(|()| fs::rename(&to, file)),
        };
    }
}

fn append(file: &Path, dice: &mut Dice) -> std::io::Result<()> {
    use std::io::Write;
    fs::OpenOptions::new().append(true).open(file)?.write_all(content(dice).as_bytes())
}

fn set_time(path: &Path, seconds: u64) {
    let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    fs::File::open(path).unwrap().set_modified(time).unwrap();
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Files and folders below a folder, parents first.
fn paths(top: &Path) -> (Vec<PathBuf>, Vec<PathBuf>) {
    let (mut files, mut folders, mut left) = (Vec::new(), Vec::new(), vec![top.to_owned()]);
    while let Some(folder) = left.pop() {
        let mut entries: Vec<PathBuf> =
            folder.read_dir().unwrap().map(|entry| entry.unwrap().path()).collect();
        // The order of a listing is the filesystem's, and a seed should mean one storm.
        entries.sort();
        for path in entries {
            let meta = path.symlink_metadata().unwrap();
            match meta.file_type() {
                kind if kind.is_dir() => {
                    folders.push(path.clone());
                    left.push(path);
                }
                kind if kind.is_file() => files.push(path),
                _ => {}
            }
        }
    }
    folders.sort();
    (files, folders)
}
