//! A full pass that takes long: the pair may be held or go meanwhile, and what is done beside it stands in the history in the
//! order in which it was done.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::fs;
use std::process::Command;
use std::time::{Duration, Instant};

use alike_testkit::{Live, Pair, Run, compare, wait_until};
use common::{SOON, events, pair, text};

/// A mirror whose first pass copies a large file for so many seconds before it gets to any folder.
fn busy_for(pair: &Pair, seconds: usize) -> Live {
    pair.source.file("large", vec![7; seconds << 20]);
    let flags = ["--interval", "1h", "--threads", "1", "--bwlimit", "1M", "--reflink", "never"];
    let mut live = pair.mirror_with(&flags);
    live.wait_for_output("pass-start", SOON);
    std::thread::sleep(Duration::from_millis(700));
    live
}

fn on_replica(pair: &Pair, verb: &str, words: &[&str]) -> Run {
    pair.alike.run([&[verb, text(pair.replica.top())], words].concat())
}

/// Now, as `--at` takes it, and away from what is done before and after.
fn moment() -> String {
    std::thread::sleep(Duration::from_millis(50));
    let now = jiff::Timestamp::now().to_string();
    std::thread::sleep(Duration::from_millis(50));
    now
}

#[test]
fn a_full_pass_lets_go_of_a_replica_that_is_to_be_undone() {
    let pair = pair();
    pair.source.file("edited", "first");
    pair.mirrored();
    pair.source.file("edited", "second");
    pair.mirrored();
    let mut live = busy_for(&pair, 60);
    let started = Instant::now();
    on_replica(&pair, "undo", &["--yes"]).expect(0);
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    assert_eq!(pair.replica.read("edited"), b"first");
    live.wait_for_output("is held", SOON);
    assert!(!pair.replica.has("large"));
    live.stop();
}

#[test]
fn a_source_that_goes_during_a_full_pass_is_missed_at_once_and_found_again() {
    let pair = pair();
    pair.source.file("small", "x");
    pair.mirrored();
    let mut live = busy_for(&pair, 4);
    fs::rename(pair.source.top(), pair.beside("away")).unwrap();
    let halted = || live.out().lines().any(|line| line.contains(" halt ") && line.contains("does not exist"));
    assert!(wait_until(Duration::from_secs(3), halted), "{}", live.out());
    fs::rename(pair.beside("away"), pair.source.top()).unwrap();
    live.wait_identical(SOON * 3);
    live.stop();
}

#[test]
fn what_may_be_deleted_once_may_still_be_when_the_pass_was_broken_off_because_the_source_went() {
    let pair = pair();
    for n in 0..40 {
        pair.source.file(format!("gone/{n}"), "x");
    }
    pair.mirrored();
    pair.source.remove("gone").file("large", vec![7; 4 << 20]);
    let flags = ["--interval", "1h", "--allow-deletes", "--bwlimit", "1M", "--reflink", "never"];
    let mut live = pair.mirror_with(&flags);
    live.wait_for_output("pass-start", SOON);
    fs::rename(pair.source.top(), pair.beside("away")).unwrap();
    live.wait_for_output("does not exist", SOON);
    assert!(pair.replica.has("gone/7"), "{}", live.out());
    fs::rename(pair.beside("away"), pair.source.top()).unwrap();
    live.wait_identical(SOON * 3);
    live.stop();
}

#[test]
fn what_was_done_beside_a_full_pass_stands_in_the_history_where_it_was_done() {
    let pair = pair();
    pair.source.file("sub/doc", "first").file("sub/other", "x");
    fs::write(pair.beside("new"), "second, from elsewhere").unwrap();
    pair.mirrored();
    let then = pair.beside("then");
    assert!(Command::new("cp").arg("-a").arg(pair.source.top()).arg(&then).status().unwrap().success());
    let first = moment();
    let mut live = busy_for(&pair, 8);
    pair.source.remove("sub/doc");
    assert!(wait_until(SOON, || !pair.replica.has("sub/doc")), "{}", live.out());
    let between = moment();
    fs::rename(pair.beside("new"), pair.source.path("sub/doc")).unwrap();
    assert!(!pair.replica.has("large"), "it is over already: {}", live.out());
    live.wait_identical(SOON * 3);
    live.stop();

    let log = on_replica(&pair, "log", &["--json"]);
    let done: Vec<(String, u64)> = events(&log)
        .iter()
        .filter(|event| event.path == "sub/doc")
        .map(|event| (event.action.clone(), event.line["pass"].as_u64().unwrap()))
        .collect();
    let [.., (deleted, live), (created, full)] = &done[..] else { panic!("{}", log.report()) };
    assert_eq!([deleted.as_str(), created.as_str()], ["delete", "create"], "{}", log.report());
    assert!(full < live, "this is about passes beside each other: {}", log.report());

    let to = pair.beside("out");
    on_replica(&pair, "restore", &["sub/doc", "--at", &first, "--to", text(&to)]).expect(0);
    assert_eq!(fs::read(to.join("doc")).unwrap(), b"first");
    on_replica(&pair, "restore", &["sub/doc", "--at", &between, "--to", text(&pair.beside("none"))])
        .expect(1);
    let undone = on_replica(&pair, "undo", &["--yes", "--since", &first]);
    undone.expect(0);
    assert_eq!(compare(&then, pair.replica.top()), [""; 0], "{}", undone.report());
}
