//! Files that are written to while they are copied: a torn copy is never published as good, a file that never rests is
//! there all the same and marked, and no writer is kept waiting.
//!
//! Every version of a file consists of one letter, so a torn copy has two.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use alike_testkit::{Mount, Pair, Tree, root_or_say, wait_until};
use common::{Event, SOON, count, events, nothing_to_do, pair, parse};

const MIB: usize = 1 << 20;
const SIZE: usize = 32 * MIB;

fn version(letter: u8, size: usize) -> Vec<u8> {
    vec![letter; size]
}

#[track_caller]
fn assert_one_version(bytes: &[u8], context: &str) {
    let first = bytes.first().copied();
    let torn = bytes.iter().position(|byte| Some(*byte) != first);
    assert!(torn.is_none(), "torn at {torn:?} of {}\n{context}", bytes.len());
}

/// Starts a pass, lets it stand still once it has copied `at` bytes, changes the world, and lets it go on to its end.
fn changed_half_way(pair: &Pair, at: u64, change: impl FnOnce()) -> (Option<i32>, Vec<Event>) {
    let mut run = pair.alike.start_once(&["--json"], pair.source.top(), pair.replica.top());
    while run.bytes_read().is_some_and(|read| read < at) && run.is_running() {
        std::hint::spin_loop();
    }
    run.stand_still();
    change();
    run.go_on();
    let code = run.wait_exit(Duration::from_secs(60));
    // What it wrote last may take a moment to come through the pipe.
    wait_until(SOON, || run.out().contains("pass-end"));
    (code, parse(&run.out()))
}

/// A process that has a file mapped for writing, and stores when told.
struct Mapping {
    shell: Child,
    file: File,
    size: usize,
}

impl Mapping {
    fn of(path: &Path, size: usize) -> Self {
        let shell = Command::new("xfs_io").arg(path).stdin(Stdio::piped()).stdout(Stdio::null()).spawn();
        let mut mapping = Self { shell: shell.expect("run xfs_io"), file: File::open(path).unwrap(), size };
        mapping.tell(&format!("mmap -rw 0 {size}"));
        mapping
    }

    fn tell(&mut self, words: &str) {
        writeln!(self.shell.stdin.as_mut().unwrap(), "{words}").unwrap();
    }

    /// Stores one letter all over, and waits until that is done.
    fn store(&mut self, letter: u8) {
        self.tell(&format!("mwrite -S {letter} 0 {}", self.size));
        let mut last = [0];
        let end = self.size as u64 - 1;
        let done = wait_until(SOON, || self.file.read_at(&mut last, end).is_ok() && last[0] == letter);
        assert!(done, "the store did not come");
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        drop(self.shell.stdin.take());
        let _ = self.shell.wait();
    }
}

/// Threads that write to a file without rest, until the value ends.
struct Restless {
    over: Arc<AtomicBool>,
    threads: Vec<JoinHandle<()>>,
}

impl Restless {
    /// Calls `write` from two threads, with how often it was called.
    fn new(write: impl Fn(u64) + Send + Sync + 'static) -> Self {
        let (over, write) = (Arc::new(AtomicBool::new(false)), Arc::new(write));
        let turns = Arc::new(AtomicU64::new(0));
        let threads = (0..2).map(|_| {
            let (over, write, turns) = (Arc::clone(&over), Arc::clone(&write), Arc::clone(&turns));
            std::thread::spawn(move || {
                for turn in 0.. {
                    if over.load(Ordering::Relaxed) {
                        return;
                    }
                    write(turn);
                    turns.fetch_add(1, Ordering::Relaxed);
                    std::thread::sleep(Duration::from_micros(200));
                }
            })
        });
        let threads = threads.collect();
        // A busy machine may start them late.
        assert!(wait_until(SOON, || turns.load(Ordering::Relaxed) > 10), "nobody writes");
        Self { threads, over }
    }

    /// Writes over a file in place.
    fn in_place(path: &Path) -> Self {
        let file = File::options().write(true).open(path).unwrap();
        let blocks = fs::metadata(path).unwrap().len() / 4096;
        let write = move |turn: u64| {
            let letter = b'a' + (turn % 26) as u8;
            file.write_all_at(&[letter; 4096], turn * 7919 % blocks * 4096).unwrap();
        };
        Self::new(write)
    }

    /// Adds to a file.
    fn log(path: &Path) -> Self {
        let file = File::options().append(true).open(path).unwrap();
        Self::new(move |_| (&file).write_all(&[b'x'; 100]).unwrap())
    }
}

impl Drop for Restless {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

fn best_efforts(events: &[Event]) -> usize {
    events.iter().filter(|event| event.text("result") == "best-effort").count()
}

/// Where in a copy of [`SIZE`] bytes the world changes.
fn points() -> impl Iterator<Item = u64> {
    (0..12).map(|point| (1 + point * 27 / 10) * MIB as u64)
}

fn never_torn(how: &str, change: impl Fn(&Tree, u8)) {
    let mut in_time = 0;
    for at in points() {
        let pair = pair();
        pair.source.file("file", version(b'A', SIZE));
        let (code, events) = changed_half_way(&pair, at, || change(&pair.source, b'B'));
        let context = format!("{how} at {at}: {events:?}");
        assert_eq!(code, Some(0), "{context}");
        assert_one_version(&pair.replica.read("file"), &context);
        assert_eq!((count(&events, "create"), best_efforts(&events)), (1, 0), "{context}");
        // What changed after the last look at it is for the next pass.
        in_time += u32::from(pair.replica.read("file") == pair.source.read("file"));
        pair.mirrored();
    }
    assert!(in_time > 0, "{how}: no change came while the file was copied");
}

#[test]
fn a_file_that_is_rewritten_in_place_while_it_is_copied_is_never_torn() {
    never_torn("in place", |source, letter| {
        let file = File::options().write(true).open(source.path("file")).unwrap();
        file.write_all_at(&version(letter, SIZE), 0).unwrap();
    });
}

#[test]
fn a_file_that_is_cut_off_and_written_anew_while_it_is_copied_is_never_torn() {
    never_torn("cut off", |source, letter| {
        source.file("file", version(letter, SIZE / 2));
    });
}

#[test]
fn a_file_that_is_replaced_while_it_is_copied_is_never_torn() {
    never_torn("replaced", |source, letter| {
        source.file("new", version(letter, SIZE)).rename("new", "file");
    });
}

#[test]
fn a_file_that_grows_while_it_is_copied_arrives_with_all_of_it() {
    never_torn("added to", |source, _| {
        source.append("file", version(b'A', MIB));
    });
}

/// A store to a page that is dirty already leaves no stamp at all.
fn stores_through_a_mapping_are_seen(pair: &Pair) {
    pair.source.file("file", version(b'0', SIZE));
    for (letter, at) in (b'A'..).step_by(2).zip(points()) {
        pair.replica.remove("file");
        let mut mapping = Mapping::of(&pair.source.path("file"), SIZE);
        mapping.store(letter);
        let (code, events) = changed_half_way(pair, at, || mapping.store(letter + 1));
        let context = format!("mapped, at {at}: {events:?}");
        let copy = pair.replica.read("file");
        assert_one_version(&copy, &context);
        assert_eq!((code, best_efforts(&events)), (Some(0), 0), "{context}");
        // What is stored after the copy leaves no stamp either, and is found all the same.
        mapping.store(b'z');
        pair.once().expect(0);
        assert_eq!(pair.replica.read("file")[..1], *b"z");
        drop(mapping);
        pair.mirrored();
        nothing_to_do(pair);
    }
}

#[test]
fn stores_through_a_mapping_that_leave_no_stamp_do_not_tear_a_copy_and_are_found() {
    let pair = pair();
    pair.replica.file("file", "x");
    stores_through_a_mapping_are_seen(&pair);
}

#[test]
fn the_same_holds_on_xfs_and_btrfs_where_the_copy_is_a_clone() {
    if !root_or_say("filesystems of its own") {
        return;
    }
    for (kind, mib) in [("xfs", 2_000), ("btrfs", 2_000)] {
        let mut pair = pair();
        let disk = pair.beside("disk");
        let _mount = Mount::loop_filesystem(&disk, kind, mib);
        (pair.source, pair.replica) = (Tree::make(disk.join("source")), Tree::at(disk.join("replica")));
        pair.replica.file("file", "x");
        stores_through_a_mapping_are_seen(&pair);
    }
}

#[test]
fn a_mapping_that_is_made_while_a_file_is_copied_from_memory_does_not_tear_it() {
    if !root_or_say("a filesystem in memory") {
        return;
    }
    let mut pair = pair();
    let memory = pair.beside("memory");
    let _mount = Mount::tmpfs(&memory, "100m");
    pair.source = Tree::make(memory.join("source"));
    for at in points() {
        pair.source.file("file", version(b'A', SIZE));
        let (code, events) = changed_half_way(&pair, at, || {
            let mut mapping = Mapping::of(&pair.source.path("file"), SIZE);
            // What has been read through it can be stored to, and leaves no stamp, ever.
            mapping.tell(&format!("mread 0 {SIZE}"));
            mapping.store(b'B');
        });
        let context = format!("mapped meanwhile, at {at}: {events:?}");
        assert_one_version(&pair.replica.read("file"), &context);
        assert_eq!((code, best_efforts(&events)), (Some(0), 0), "{context}");
        pair.source.remove("file");
        pair.mirrored_with(&["--allow-deletes"]);
    }
}

#[test]
fn a_huge_open_file_that_changes_in_place_gets_the_change_as_good() {
    let pair = pair();
    pair.source.sparse("file", 300 * MIB as u64, &[(0, b"here")]);
    pair.mirrored();
    let writer = File::options().write(true).open(pair.source.path("file")).unwrap();
    writer.write_all_at(b"there", 200 * MIB as u64).unwrap();
    let run = pair.mirrored_with(&["--json"]);
    assert_eq!(best_efforts(&events(&run)), 0);
}

#[test]
fn a_file_that_somebody_has_open_but_does_not_write_to_is_as_good_as_any() {
    let pair = pair();
    pair.source.file("idle", "all of it").file("large", version(b'A', 3 * MIB));
    let _idle = File::options().append(true).open(pair.source.path("idle")).unwrap();
    let _large = File::options().write(true).open(pair.source.path("large")).unwrap();
    let run = pair.mirrored_with(&["--json"]);
    assert_eq!(best_efforts(&events(&run)), 0);
    nothing_to_do(&pair);
}

#[test]
fn a_file_that_never_rests_is_copied_as_best_effort_in_bounded_time_and_as_good_when_it_rests() {
    for (how, write) in [("in place", Restless::in_place as fn(&Path) -> Restless), ("log", Restless::log)] {
        let pair = pair();
        // Long enough to be copied that no writer sleeps through it.
        pair.source.file("busy", version(b'a', 128 * MIB)).file("calm", "x");
        let busy = write(&pair.source.path("busy"));
        for action in ["create", "update"] {
            let started = Instant::now();
            let run = pair.once_with(&["--json", "--log-file", common::text(&pair.beside("log"))]);
            assert!(started.elapsed() < Duration::from_secs(20), "{how}: {:?}", started.elapsed());
            run.expect(1);
            let events = events(&run);
            let told = events.iter().find(|event| event.path == "busy").expect("a line about it");
            assert_eq!((&*told.action, told.text("result")), (action, "best-effort"), "{}", run.report());
            let reason = told.text("reason");
            assert!(reason.ends_with("still being written: best effort, not a proven version"), "{reason}");
            assert!(run.err().contains("1 still being written"), "{}", run.report());
            assert!(pair.replica.read("busy").len() >= 128 * MIB && pair.replica.has("calm"));
        }
        let log = fs::read_to_string(pair.beside("log")).unwrap();
        assert_eq!(log.matches("best effort, not a proven version").count(), 2, "{log}");
        drop(busy);
        pair.mirrored();
        nothing_to_do(&pair);
    }
}

#[test]
fn a_file_that_never_rests_keeps_a_mirror_neither_busy_nor_from_others() {
    let pair = pair();
    pair.source.file("busy", version(b'a', 8 * MIB)).file("calm", "x");
    let mut live = pair.mirror_with(&["--json"]);
    live.wait_identical(SOON);
    let busy = Restless::in_place(&pair.source.path("busy"));
    live.wait_for_output("best-effort", SOON);
    let started = Instant::now();
    for turn in 0.. {
        let text = format!("calm {turn}");
        pair.source.file("calm", &text);
        let changed = Instant::now();
        assert!(wait_until(SOON, || pair.replica.read("calm") == text.as_bytes()));
        assert!(changed.elapsed() < Duration::from_secs(2), "turn {turn} took {:?}", changed.elapsed());
        if started.elapsed() > Duration::from_secs(8) {
            break;
        }
    }
    let copies = best_efforts(&parse(&live.out()));
    assert!((1..=6).contains(&copies), "{copies} copies in {:?}", started.elapsed());
    drop(busy);
    live.wait_identical(Duration::from_secs(20));
    live.stop();
}

/// Opens a file for writing again and again while `work` goes on; returns how long the longest took, and how many there were.
fn opened_meanwhile<T>(path: &Path, work: impl FnOnce() -> T) -> (T, Duration, u64) {
    let over = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let opener = scope.spawn(|| {
            let (mut longest, mut opened) = (Duration::ZERO, 0);
            while !over.load(Ordering::Relaxed) {
                let started = Instant::now();
                drop(File::options().write(true).open(path).unwrap());
                longest = longest.max(started.elapsed());
                opened += 1;
            }
            (longest, opened)
        });
        let done = work();
        over.store(true, Ordering::Relaxed);
        let (longest, opened) = opener.join().unwrap();
        (done, longest, opened)
    })
}

#[test]
fn who_opens_a_large_file_for_writing_while_it_is_copied_does_not_wait() {
    let pair = pair();
    let large = pair.source.path("large");
    {
        let file = File::create(&large).unwrap();
        for mib in 0..1024 {
            file.write_all_at(&version(b'A', MIB), (mib * MIB) as u64).unwrap();
        }
    }
    let (run, longest, opened) = opened_meanwhile(&large, || pair.once());
    run.expect(0);
    pair.assert_identical(&run.report());
    eprintln!("opened {opened} times, {longest:?} at most");
    assert!(longest < Duration::from_secs(1), "{longest:?} of {opened}");
}

#[test]
fn who_opens_a_fresh_file_for_writing_hardly_waits_and_the_mirror_lives_on() {
    let pair = pair();
    pair.source.file("fresh", version(b'A', 512 * 1024));
    let mut live = pair.mirror_with(&["--json"]);
    live.wait_identical(SOON);
    let fresh = pair.source.path("fresh");
    let ((), longest, opened) = opened_meanwhile(&fresh, || {
        for turn in 0..60_u8 {
            pair.source.file("fresh", version(b'A' + turn % 26, 512 * 1024));
            std::thread::sleep(Duration::from_millis(20));
        }
    });
    eprintln!("opened {opened} times, {longest:?} at most");
    assert!(longest < Duration::from_secs(1), "{longest:?} of {opened}");
    assert!(live.is_running(), "a broken lease must not end it");
    live.wait_identical(Duration::from_secs(20));
    live.stop();
}

#[test]
fn a_new_file_arrives_when_it_is_closed_and_not_half() {
    let pair = pair();
    let mut live = pair.mirror_with(&["--json"]);
    live.wait_identical(SOON);
    // A machine that is too busy to write it in time proves nothing, and gets another turn.
    for turn in 0..50 {
        let (name, begun) = (format!("new-{turn}"), Instant::now());
        let mut file = File::create(pair.source.path(&name)).unwrap();
        file.write_all(b"half").unwrap();
        std::thread::sleep(Duration::from_millis(100));
        let came_early = pair.replica.has(&name);
        file.write_all(b" and half").unwrap();
        drop(file);
        let took = begun.elapsed();
        assert!(wait_until(SOON, || pair.replica.has(&name) && pair.replica.read(&name) == b"half and half"));
        if took < Duration::from_millis(300) {
            assert!(!came_early, "after {took:?}");
            live.wait_identical(SOON);
            live.stop();
            let about = parse(&live.out()).into_iter().filter(|event| event.path == name);
            assert_eq!(about.map(|event| event.action).collect::<Vec<_>>(), ["create"]);
            return;
        }
    }
    panic!("50 times this machine took longer than 300 ms");
}

#[test]
fn a_new_file_that_stays_open_is_there_all_the_same_and_grows() {
    let pair = pair();
    let mut live = pair.mirror_with(&[]);
    live.wait_identical(SOON);
    let mut file = File::create(pair.source.path("log")).unwrap();
    let mut whole = String::new();
    for line in ["", "one\n", "two\n"] {
        file.write_all(line.as_bytes()).unwrap();
        whole += line;
        let is_there = || pair.replica.has("log") && pair.replica.read("log") == whole.as_bytes();
        assert!(wait_until(SOON, is_there), "{whole:?}");
    }
    drop(file);
    live.stop();
}
