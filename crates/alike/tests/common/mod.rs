//! What every test file here starts from: a pair for the built binary, and its JSON lines as values.

#![allow(dead_code, reason = "each test file is a program of its own and uses a part of this")]

pub mod booted;
pub mod several;
pub mod undone;
pub mod up;

use std::path::{Path, PathBuf};
use std::time::Duration;

use alike_testkit::{Live, Pair, Run};
use serde_json::Value;

/// How long a change may take to arrive before a live test fails (not the latency that is promised).
pub const SOON: Duration = Duration::from_secs(30);

/// The actions that change the replica.
pub const CHANGES: [&str; 8] = ["create", "update", "meta", "rename", "delete", "mkdir", "rmdir", "link"];

/// A fresh source and a place for its replica.
pub fn pair() -> Pair {
    Pair::new(env!("CARGO_BIN_EXE_alike"))
}

/// A pair whose source has `count` small files in two folders.
pub fn pair_with_files(count: usize) -> Pair {
    let pair = pair();
    for i in 0..count {
        pair.source
            .file(format!("{}/file-{i:03}", if i % 2 == 0 { "even" } else { "odd" }), format!("content {i}"));
    }
    pair
}

/// Runs `alike once` until its `nth` call of one of these kinds, lets `change` happen, and goes on to the end.
pub fn stopped_at(
    pair: &mut Pair,
    at: (&str, usize),
    flags: &[&str],
    change: impl FnOnce(&Pair),
) -> Option<i32> {
    let flags = [&["--threads", "1", "--sync", "none"], flags].concat();
    stopped_in(pair, at, |pair| pair.alike.start_once(&flags, pair.source.top(), pair.replica.top()), change)
}

/// The same for any command.
pub fn stopped_in(
    pair: &mut Pair,
    (calls, nth): (&str, usize),
    start: impl FnOnce(&Pair) -> Live,
    change: impl FnOnce(&Pair),
) -> Option<i32> {
    let trace = pair.beside("trace");
    let strace = format!(
        "exec strace -f -q -o {} -e trace={calls} -e inject={calls}:signal=STOP:when={nth} \"$0\" \"$@\"",
        text(&trace)
    );
    pair.alike.run_after(&strace);
    let mut run = start(pair);
    let mut thread = String::new();
    let stopped = alike_testkit::wait_until(SOON, || {
        let said = std::fs::read_to_string(&trace).unwrap_or_default();
        let line = said.lines().find(|line| line.contains("stopped by SIGSTOP"));
        thread = line.and_then(|line| line.split_whitespace().next()).unwrap_or_default().to_owned();
        !thread.is_empty() || !run.is_running()
    });
    assert!(stopped && !thread.is_empty(), "it never came to the {nth}th {calls}:\n{}", run.err());
    change(pair);
    let went_on = std::process::Command::new("kill").args(["-CONT", &thread]).status().unwrap();
    assert!(went_on.success());
    let code = run.wait_exit(Duration::from_secs(60));
    pair.alike.run_after("true");
    code
}

/// One JSON line.
#[derive(Debug, Clone)]
pub struct Event {
    pub action: String,
    pub path: String,
    pub line: Value,
}

impl Event {
    pub fn text(&self, key: &str) -> &str {
        self.line[key].as_str().unwrap_or_default()
    }

    pub fn changes(&self) -> bool {
        CHANGES.contains(&self.action.as_str())
    }
}

/// The JSON lines of a run's stdout; a line that is not JSON fails the test.
#[track_caller]
pub fn events(run: &Run) -> Vec<Event> {
    parse(&run.out())
}

/// The JSON lines in a text.
#[track_caller]
pub fn parse(text: &str) -> Vec<Event> {
    text.lines()
        .map(|text| {
            let line: Value =
                serde_json::from_str(text).unwrap_or_else(|why| panic!("{why} in the line {text:?}"));
            let of = |key: &str| line[key].as_str().unwrap_or_default().to_owned();
            Event { action: of("action"), path: of("path"), line }
        })
        .collect()
}

/// `action path` of every event that changes the replica, sorted.
pub fn steps(events: &[Event]) -> Vec<String> {
    let mut steps: Vec<String> =
        events.iter().filter(|e| e.changes()).map(|e| format!("{} {}", e.action, e.path)).collect();
    steps.sort();
    steps
}

/// As [`steps`], without the times and modes of folders that follow from what changed inside.
pub fn steps_but_meta(events: &[Event]) -> Vec<String> {
    steps(events).into_iter().filter(|step| !step.starts_with("meta ")).collect()
}

/// As [`steps`], without those that give a folder its time, mode and attributes.
pub fn steps_but_folders(pair: &Pair, events: &[Event]) -> Vec<String> {
    let is_folder = |path: &str| pair.source.path(path).is_dir() && !pair.source.path(path).is_symlink();
    let of_folder = |step: &String| step.strip_prefix("meta ").is_some_and(is_folder);
    steps(events).into_iter().filter(|step| !of_folder(step)).collect()
}

/// Runs a pass, which must succeed and leave the replica identical, and returns its events.
#[track_caller]
pub fn pass(pair: &Pair) -> Vec<Event> {
    events(&pair.mirrored_with(&["--json"]))
}

/// Runs a pass that must have nothing to do.
#[track_caller]
pub fn nothing_to_do(pair: &Pair) {
    let run = pair.once_with(&["--json"]);
    run.expect(0);
    assert_eq!(steps(&events(&run)), [""; 0], "{}", run.report());
}

/// How many bytes of content the steps copied.
pub fn copied(events: &[Event]) -> u64 {
    events.iter().filter(|e| e.changes()).map(|e| e.line["bytes"].as_u64().unwrap_or(0)).sum()
}

/// How many steps there are of this action.
pub fn count(events: &[Event], action: &str) -> usize {
    events.iter().filter(|e| e.action == action).count()
}

/// True when there is an event with this action and path.
pub fn has(events: &[Event], action: &str, path: &str) -> bool {
    events.iter().any(|e| e.action == action && e.path == path)
}

/// Which of `paths` are on the replica.
pub fn there<'a>(pair: &Pair, paths: &[&'a str]) -> Vec<&'a str> {
    paths.iter().copied().filter(|path| pair.replica.has(path)).collect()
}

/// Files in the source, each with contents of its own.
pub fn plant(pair: &Pair, paths: &[&str]) {
    for path in paths {
        pair.source.file(path, format!("content of {path}"));
    }
}

/// A path of a test as text, for a flag.
pub fn text(path: &Path) -> &str {
    path.to_str().unwrap_or_else(|| panic!("not a plain path: {}", path.display()))
}

/// A small generator (xorshift64*), so that a history is the same everywhere.
pub struct Dice(pub u64);

impl Dice {
    pub fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        usize::try_from(self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33).unwrap() % limit
    }

    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> Option<&'a T> {
        if from.is_empty() { None } else { Some(&from[self.below(from.len())]) }
    }
}

/// All paths below `top`, and which of them are folders, both in order: the order of a listing is the filesystem's, and a seed should
/// mean one history.
pub fn paths(top: &Path) -> (Vec<PathBuf>, Vec<PathBuf>) {
    let (mut all, mut folders) = (Vec::new(), vec![top.to_owned()]);
    let mut next = 0;
    while next < folders.len() {
        let folder = folders[next].clone();
        next += 1;
        for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            all.push(entry.path());
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            }
        }
    }
    all.sort();
    folders.sort();
    (all, folders)
}
