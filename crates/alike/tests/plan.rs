//! `plan` says what `once` then does, and touches nothing.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::path::Path;

use alike_testkit::{Pair, Scramble, Snapshot, Tree, rounds};
use common::{CHANGES, events, pair_with_files, paths, steps};

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

/// Lets a plan speak, and then a pass do: both must name the same steps. Tells those.
#[track_caller]
fn planned_and_done(pair: &Pair, what: &str, halts_first: bool) -> Vec<String> {
    let before = everything(pair);
    let held = pair.plan_with(&["--json", "--max-delete", "1"]);
    let flags = ["--json", "--allow-deletes"];
    let plan = pair.plan_with(&flags);
    for (was, is) in before.iter().zip(everything(pair)) {
        assert_eq!(was.changes(&is), [""; 0], "a plan after {what}");
    }
    // A pass that halts does the rest, and leaves another plan.
    let plan = match held.code {
        Some(3) if halts_first => {
            let halts = pair.once_with(&["--json", "--max-delete", "1"]);
            assert_eq!(halts.code, Some(3), "{what}\n{}", halts.report());
            assert_eq!(steps(&events(&held)), steps(&events(&halts)), "{what}\n{}", halts.report());
            pair.plan_with(&flags)
        }
        _ => plan,
    };
    let once = pair.mirrored_with(&flags);
    let (planned, done) = (steps(&events(&plan)), steps(&events(&once)));
    assert_eq!(planned, done, "{what}\n{}", once.report());
    done
}

#[test]
fn a_plan_tells_what_goes_from_a_folder_that_changed_places_with_another() {
    let pair = pair_with_files(20);
    pair.source.file("a/of a", "1").file("a/both", "2").file("b/of b", "3").file("b/both", "4");
    pair.mirrored();
    pair.source.rename("a", "t").rename("b", "a").rename("t", "b").remove("a").remove("b/both");
    pair.replica.file("b/nobody's", "5").file("a/nobody's either", "6");
    let done = planned_and_done(&pair, "a swap", false);
    for step in ["rename b", "delete a/of b", "delete a/nobody's", "rmdir a", "delete b/nobody's either"] {
        assert!(done.iter().any(|one| one == step), "{step} is not among {done:#?}");
    }
}

#[test]
fn a_plan_tells_what_goes_when_folders_go_round_in_a_ring_and_one_falls_out() {
    let pair = pair_with_files(20);
    pair.source.file("a/1", "1").file("b/2", "2").file("c/3/4", "3").file("d", "4");
    pair.mirrored();
    pair.source
        .rename("a", "t")
        .rename("b", "a")
        .rename("c", "b")
        .rename("d", "c")
        .rename("t", "d")
        .remove("b/3");
    planned_and_done(&pair, "a ring", false);
}

#[test]
fn whatever_changes_places_a_plan_says_just_what_a_pass_then_does() {
    let mut ways = Scramble::new("what changes places");
    for _ in 0..rounds(8) {
        let pair = pair_with_files(12);
        pair.source.file("a/b/c", "1").file("a/d/e", "2").file("b/a/d", "3").file("c", "4").folder("d/e");
        pair.mirrored();
        let mut told = String::new();
        for _ in 0..5 {
            for _ in 0..=ways.below(6) {
                told += &change(&pair.source, &mut ways);
            }
            if ways.below(3) == 0 {
                told += &change(&pair.replica, &mut ways);
            }
            told += "pass\n";
            planned_and_done(&pair, &told, ways.below(2) == 0);
        }
    }
}

/// Moves something, mostly, and tells what: names change places, go round, or are taken from what has them.
fn change(tree: &Tree, ways: &mut Scramble) -> String {
    const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];
    let (mut all, mut folders) = paths(tree.top());
    let own = tree.path(".alike");
    all.retain(|path| !path.starts_with(&own));
    folders.retain(|path| {
        !path.starts_with(&own) && path.components().count() < tree.top().components().count() + 4
    });
    let [one, other, third] = [(); 3].map(|()| ways.pick(&all).clone());
    let new = ways.pick(&folders).join(ways.pick(&NAMES));
    let (aside, tops) = (tree.path("aside"), tree.top().to_owned());
    let go = |from: &Path, to: &Path| drop(std::fs::rename(from, to));
    let shown = |path: &Path| path.strip_prefix(&tops).unwrap().display().to_string();
    let what = match ways.below(12) {
        0..=3 if !one.starts_with(&other) && !other.starts_with(&one) => {
            go(&one, &aside);
            go(&other, &one);
            go(&aside, &other);
            format!("swap {} {}", shown(&one), shown(&other))
        }
        4 => {
            let apart = |a: &Path, b: &Path| !a.starts_with(b) && !b.starts_with(a);
            if !(apart(&one, &other) && apart(&other, &third) && apart(&one, &third)) {
                return String::new();
            }
            go(&one, &aside);
            go(&other, &one);
            go(&third, &other);
            go(&aside, &third);
            format!("ring {} {} {}", shown(&one), shown(&other), shown(&third))
        }
        5..=7 => {
            go(&one, &new);
            format!("move {} {}", shown(&one), shown(&new))
        }
        8 => {
            let _ = std::fs::write(&new, format!("{}", ways.below(1000)));
            format!("write {}", shown(&new))
        }
        9 => {
            let _ = std::fs::create_dir(&new);
            format!("mkdir {}", shown(&new))
        }
        10 if all.len() > 14 => {
            tree.remove(shown(&one));
            format!("remove {}", shown(&one))
        }
        _ => {
            let _ = std::fs::hard_link(&one, &new);
            format!("link {} {}", shown(&one), shown(&new))
        }
    };
    format!("{} {what}\n", tops.file_name().unwrap().display())
}
