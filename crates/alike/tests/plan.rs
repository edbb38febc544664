//! `plan` says what `once` then does, and touches nothing.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use alike_testkit::{Pair, Snapshot};
use common::{CHANGES, events, pair_with_files, steps};

/// A mirrored pair whose source then changed in every way.
fn changed_pair() -> Pair {
    let pair = pair_with_files(40);
    pair.source
        .file("edited", "before")
        .file("touched", "x")
        .file("renamed from", "moves as it is")
        .file("folder/inner", "x")
        .file("flips", "x")
        .symlink("link", "edited")
        .file("gone/with/all", "x")
        .folder("hollow");
    pair.mirrored();
    pair.source
        .file("edited", "after, and longer")
        .mode("touched", 0o600)
        .rename("renamed from", "renamed to")
        .rename("folder", "moved/folder")
        .file("moved/folder/fresh", "y")
        .remove("flips")
        .file("flips/now/a folder", "x")
        .remove("link")
        .symlink("link", "touched")
        .remove("gone")
        .remove("hollow")
        .fifo("pipe")
        .file("new\nname", "x")
        .mtime("", 1_000_000_000, 1);
    pair
}

fn everything(pair: &Pair) -> [Snapshot; 3] {
    [pair.source.top(), pair.replica.top(), &pair.alike.state_dir()].map(Snapshot::of)
}

#[test]
fn a_plan_changes_nothing_not_even_alikes_own_state() {
    let pair = changed_pair();
    let before = everything(&pair);
    for flags in
        [&[][..], &["--json"], &["--compare", "content"], &["--allow-deletes"], &["--delete-excluded"]]
    {
        pair.plan_with(flags).expect_one_of(&[0, 1]);
        for (was, is) in before.iter().zip(everything(&pair)) {
            assert_eq!(was.changes(&is), [""; 0], "plan {flags:?}");
        }
    }
    pair.once_with(&["-n"]).expect_one_of(&[0, 1]);
    pair.once_with(&["--dry-run"]).expect_one_of(&[0, 1]);
    for (was, is) in before.iter().zip(everything(&pair)) {
        assert_eq!(was.changes(&is), [""; 0], "once -n");
    }
}

#[test]
fn a_first_plan_makes_neither_replica_nor_state() {
    let pair = pair_with_files(5);
    let source = pair.source_now();
    let run = pair.plan_with(&["--json"]);
    run.expect_one_of(&[0, 1]);
    assert!(!pair.replica.has(""), "no replica");
    assert!(!pair.alike.state_dir().exists(), "no state");
    assert_eq!(source.changes_and_reads(&pair.source_now()), [""; 0]);
    let once = pair.mirrored_with(&["--json"]);
    assert_eq!(steps(&events(&run)), steps(&events(&once)));
}

#[test]
fn once_does_the_steps_that_plan_prints() {
    let pair = changed_pair();
    let plan = pair.plan_with(&["--json"]);
    let once = pair.mirrored_with(&["--json"]);
    let planned = steps(&events(&plan));
    assert!(planned.len() > 10, "{}", plan.report());
    assert_eq!(planned, steps(&events(&once)));
}

#[test]
fn dry_run_prints_what_plan_prints() {
    let pair = changed_pair();
    let plan = pair.plan_with(&["--json"]);
    for flag in ["-n", "--dry-run"] {
        let dry = pair.once_with(&[flag, "--json"]);
        assert_eq!(steps(&events(&plan)), steps(&events(&dry)));
        assert_eq!(plan.code, dry.code);
    }
}

#[test]
fn every_planned_step_has_a_reason() {
    let pair = changed_pair();
    for event in events(&pair.plan_with(&["--json"])) {
        if event.changes() {
            assert!(!event.text("reason").trim().is_empty(), "{:?}", event.line);
        }
    }
}

#[test]
fn the_plan_in_text_has_one_line_a_step() {
    let pair = changed_pair();
    let (json, text) = (pair.plan_with(&["--json"]), pair.plan_with(&[]));
    let lines = text.out();
    let lines: Vec<&str> = lines
        .lines()
        .filter(|line| line.split_whitespace().take(3).any(|word| CHANGES.contains(&word)))
        .collect();
    assert_eq!(lines.len(), steps(&events(&json)).len(), "{}", text.report());
    assert!(lines.iter().any(|line| line.contains("edited") && line.contains("update")), "{}", text.report());
}

#[test]
fn a_plan_with_nothing_to_do_has_no_step_and_exits_0() {
    let pair = pair_with_files(5);
    pair.mirrored();
    let run = pair.plan_with(&["--json"]);
    run.expect(0);
    assert_eq!(steps(&events(&run)), [""; 0]);
}

#[test]
fn a_plan_is_the_same_twice() {
    let pair = changed_pair();
    let order = |run| events(&run).iter().filter(|e| e.changes()).map(|e| e.path.clone()).collect::<Vec<_>>();
    assert_eq!(order(pair.plan_with(&["--json"])), order(pair.plan_with(&["--json"])));
}

#[test]
fn a_plan_that_the_guard_would_hold_says_so() {
    let pair = pair_with_files(40);
    pair.mirrored();
    pair.source.remove("even").remove("odd").file("left", "x");
    let before = everything(&pair);
    let run = pair.plan_with(&["--json"]);
    run.expect_one_of(&[1, 3]);
    let events = events(&run);
    assert!(!events.iter().any(|e| e.action == "delete" || e.action == "rmdir"), "{}", run.report());
    assert!(events.iter().any(|e| e.action == "hold" || e.action == "halt"), "{}", run.report());
    for (was, is) in before.iter().zip(everything(&pair)) {
        assert_eq!(was.changes(&is), [""; 0]);
    }
}
