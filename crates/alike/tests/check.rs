//! `alike check`: every byte is compared, each difference is named with the side that changed, and nothing is written.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::time::{Duration, Instant};

use alike_testkit::{Pair, Run, Snapshot, root_or_say};
use common::{pair, pair_with_files, text};
use serde_json::Value;

/// `finding side path` of each line of a check with `--json`, sorted.
#[track_caller]
fn findings(run: &Run) -> Vec<String> {
    let line = |text: &str| -> String {
        let line: Value = serde_json::from_str(text).unwrap_or_else(|why| panic!("{why} in {text:?}"));
        let of = |key: &str| line[key].as_str().unwrap_or_else(|| panic!("no {key} in {text}")).to_owned();
        format!("{} {} {}", of("finding"), of("side"), of("path"))
    };
    let mut all: Vec<String> = run.out().lines().map(line).collect();
    all.sort();
    all
}

/// A check must find just this.
#[track_caller]
fn finds(pair: &Pair, flags: &[&str], expected: &[&str]) -> Run {
    let run = pair.check_with(&[&["--json"], flags].concat());
    run.expect(i32::from(!expected.is_empty()));
    assert_eq!(findings(&run), expected, "{}", run.report());
    run
}

/// A pass, of stamps that are no longer so fresh that they are not believed, and will be believed on the replica too.
#[track_caller]
fn mirrored(pair: &Pair) {
    std::thread::sleep(Duration::from_millis(60));
    pair.mirrored();
    std::thread::sleep(Duration::from_millis(60));
}

#[test]
fn a_check_of_equal_trees_finds_nothing_and_leaves_no_trace() {
    let pair = pair();
    pair.source.everything();
    mirrored(&pair);
    let before = (pair.source_now(), Snapshot::of(pair.replica.top()));
    for _ in 0..2 {
        let run = pair.check_with(&[]);
        run.expect(0).expect_message_with("identical: ");
        assert_eq!(run.out(), "", "{}", run.report());
    }
    let after = (pair.source_now(), Snapshot::of(pair.replica.top()));
    assert_eq!(before.0.changes_and_reads(&after.0), [""; 0]);
    assert_eq!(before.1.changes(&after.1), [""; 0]);
    let read = before.1.without_own_folder().changes_and_reads(&after.1.without_own_folder());
    assert_eq!(read, [""; 0]);
}

#[test]
fn a_file_written_on_the_replica_is_drift_even_with_its_stamp_restored() {
    let pair = pair();
    pair.source.file("a", "right").file("b", "right").file("same", "x");
    mirrored(&pair);
    pair.check_with(&[]).expect(0);
    pair.replica.edit_keeping_stamp("a", "wrong").file("b", "wrong, and longer");
    let before = Snapshot::of(pair.replica.top());
    finds(&pair, &[], &["drift replica a", "drift replica b"]);
    assert_eq!(before.changes(&Snapshot::of(pair.replica.top())), [""; 0]);
}

#[test]
fn a_file_written_in_the_source_is_stale_until_a_pass_has_followed() {
    let pair = pair();
    pair.source.file("a", "old").file("b", "old").file("same", "x");
    mirrored(&pair);
    pair.check_with(&[]).expect(0);
    pair.source.file("a", "new, and longer").edit_keeping_stamp("b", "new");
    finds(&pair, &[], &["stale source a", "stale source b"]);
    pair.mirrored();
    finds(&pair, &[], &[]);
}

#[test]
fn what_only_one_side_has_is_named_and_whose_doing_it_is() {
    let pair = pair();
    for name in ["kept", "lost", "deleted"] {
        pair.source.file(format!("folder/{name}"), name);
    }
    mirrored(&pair);
    pair.source.remove("folder/deleted").file("folder/new", "x");
    pair.replica.remove("folder/lost").file("folder/stranger", "x");
    finds(
        &pair,
        &[],
        &[
            // The time of the folder has changed on both sides.
            "differs unknown folder",
            "drift replica folder/lost",
            "drift replica folder/stranger",
            "stale source folder/deleted",
            "stale source folder/new",
        ],
    );
}

#[test]
fn kinds_targets_attributes_and_links_count_as_much_as_contents() {
    let pair = pair();
    pair.source.file("mode", "x").file("flip", "x").symlink("link", "here").file("time", "x");
    pair.source.file("one", "x").hard_link("one", "two").file("three", "x").folder("folder").fifo("pipe");
    mirrored(&pair);
    pair.replica.mode("mode", 0o600).remove("flip").folder("flip").mtime("time", 5, 5).mode("folder", 0o700);
    pair.replica.remove("link").symlink("link", "away").mtime("link", 5, 5).mode("pipe", 0o600);
    pair.replica.remove("two").file("two", "x").remove("three").hard_link("one", "three");
    let run = pair.check_with(&["--json"]);
    run.expect(1);
    let found = findings(&run);
    for path in ["mode", "flip", "time", "folder", "link", "pipe", "three"] {
        assert!(found.contains(&format!("drift replica {path}")), "no {path}\n{}", run.report());
    }
    let reason = |path: &str| -> String {
        let lines: Vec<Value> = run.out().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let of_path = lines.iter().filter(|line| line["path"] == path);
        of_path.map(|line| line["reason"].as_str().unwrap().to_owned()).collect::<Vec<_>>().join(" | ")
    };
    assert!(reason("two").contains("not one file with one on the replica"), "{}", run.report());
    assert!(reason("three").contains("one file with one on the replica only"), "{}", run.report());
    assert!(reason("mode").contains("mode 600→644"), "{}", run.report());
    pair.check_with(&["--repair"]).expect(0);
    pair.assert_identical("after --repair");
    finds(&pair, &[], &[]);
}

#[test]
fn extended_attributes_count_unless_they_are_left_out() {
    let pair = pair();
    pair.source.file("file", "x");
    if !pair.source.takes_xattrs() {
        eprintln!("NOT RUN: extended attributes need a filesystem that has them");
        return;
    }
    pair.source.xattr("file", "user.color", "red");
    mirrored(&pair);
    pair.replica.xattr("file", "user.color", "blue");
    finds(&pair, &[], &["drift replica file"]);
    finds(&pair, &["--no-xattrs"], &[]);
}

#[test]
fn what_the_filters_leave_out_is_not_compared() {
    let pair = pair();
    pair.source.file("keep", "x").file("scratch/one", "x").file(".alikeignore", "*.tmp\n").file("a.tmp", "x");
    pair.once_with(&["--exclude", "/scratch/"]).expect(0);
    finds(&pair, &["--exclude", "/scratch/"], &[]);
    // Without the filter, what it left out is missing; its own ignore file still counts.
    let run = pair.check_with(&["--json"]);
    assert_eq!(findings(&run), ["stale source scratch"], "{}", run.report());
}

#[test]
fn a_folder_that_only_what_is_left_out_keeps_is_no_difference_to_a_check_and_to_a_pass() {
    let pair = pair();
    pair.source.file("a", "x").file("logs/deep/b", "x").file("logs/.alikeignore", "*.old\n");
    pair.once_with(&["--exclude", "*.log"]).expect(0);
    pair.replica.file("logs/deep/of-the-replica.log", "x").file("logs/deep/other/one.old", "x");
    pair.source.remove("logs");
    let flags = ["--exclude", "*.log"];
    for _ in 0..2 {
        pair.once_with(&flags).expect(0);
        finds(&pair, &flags, &[]);
    }
    finds(&pair, &[], &["stale source logs"]);
    pair.replica.file("logs/deep/more", "x");
    finds(&pair, &flags, &["stale source logs"]);
}

#[test]
fn without_a_state_no_side_is_blamed() {
    let pair = pair();
    pair.source.file("a", "right");
    pair.mirrored();
    pair.replica.edit_keeping_stamp("a", "wrong");
    std::fs::remove_dir_all(pair.alike.state_dir()).expect("forget the state");
    finds(&pair, &[], &["differs unknown a"]);
    assert!(!pair.alike.state_dir().exists(), "a check of what it does not know makes no state");
    // No stamps of a time when they were equal: the source counts, as in a pass.
    pair.check_with(&["--repair"]).expect(0);
    pair.assert_identical("after --repair");
}

#[test]
fn a_repair_mends_drift_and_staleness_and_says_so() {
    let pair = pair_with_files(30);
    mirrored(&pair);
    pair.replica
        .edit_keeping_stamp("even/file-000", "CONTENT 0")
        .remove("even/file-002")
        .file("odd/more", "x");
    pair.source.file("odd/file-001", "newer").remove("odd/file-003");
    let run = pair.check_with(&["--repair", "--json"]);
    run.expect(0);
    for line in run.out().lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        assert_eq!(line["mended"], true, "{}", run.report());
    }
    pair.assert_identical(&run.report());
    finds(&pair, &[], &[]);
}

#[test]
fn a_repair_deletes_no_more_than_a_pass_would() {
    let pair = pair_with_files(30);
    pair.mirrored();
    for i in 0..40 {
        pair.replica.file(format!("stranger-{i}"), "x");
    }
    let run = pair.check_with(&["--repair"]);
    run.expect(3).expect_message_with("--max-delete");
    assert!((0..40).all(|i| pair.replica.has(format!("stranger-{i}"))), "{}", run.report());
    pair.check_with(&["--repair", "--allow-deletes"]).expect(0);
    pair.assert_identical("after --allow-deletes");
}

#[test]
fn a_check_ends_as_it_says() {
    let pair = pair_with_files(3);
    pair.check_with(&[]).expect(1).expect_message_with("does not exist");
    assert!(!pair.replica.top().exists());
    pair.check_with(&["--repair"]).expect(1).expect_message_with("does not exist");
    pair.mirrored();
    pair.check_with(&["--bwlimit", "fast"]).expect(2).expect_short_message();
    pair.check_with(&["--trust-source"]).expect(2).expect_short_message();
    let source = pair.source.top();
    pair.alike.check(&[], source, source).expect(2).expect_short_message();
    let other = pair.beside("other");
    std::fs::create_dir(&other).unwrap();
    pair.alike.check(&[], &other, pair.replica.top()).expect(3).expect_short_message();
}

#[test]
fn quiet_says_it_by_the_exit_code_alone() {
    let pair = pair_with_files(3);
    pair.mirrored();
    pair.replica.file("stranger", "x");
    let run = pair.check_with(&["-q"]);
    run.expect(1);
    assert_eq!((run.out(), run.err()), (String::new(), String::new()));
}

#[test]
fn a_name_cannot_forge_a_line() {
    let pair = pair();
    pair.source.file("x", "x");
    pair.mirrored();
    pair.replica.file("evil\ndrift     x  content", "x");
    let run = pair.check_with(&[]);
    run.expect(1);
    let lines: Vec<String> =
        run.out().lines().filter(|line| line.contains("evil")).map(str::to_owned).collect();
    assert_eq!(lines.len(), 1, "{}", run.report());
    assert!(lines[0].contains("evil\\ndrift"), "{}", run.report());
    assert!(!run.out().lines().any(|line| line.starts_with("drift     x")), "{}", run.report());
}

#[test]
fn a_file_that_cannot_be_read_is_an_error_and_names_its_side() {
    if !root_or_say("another user") {
        return;
    }
    let mut pair = pair_with_files(3);
    pair.mirrored();
    pair.hand_to(alike_testkit::NOBODY);
    pair.source.owner("even/file-000", 0, 0).mode("even/file-000", 0o600);
    let run = pair.check_with(&["--json"]);
    run.expect(1);
    assert!(findings(&run).contains(&"error unknown even/file-000".to_owned()), "{}", run.report());
    assert!(run.out().contains("in the source"), "{}", run.report());
}

#[test]
fn a_tree_deeper_than_a_path_may_be_is_checked_with_few_descriptors() {
    let mut pair = pair();
    pair.source.deep_file("deep", 60, 200, b"right");
    pair.source.deep_file("other", 60, 200, b"right");
    mirrored(&pair);
    pair.alike.run_after("ulimit -n 256");
    finds(&pair, &[], &[]);
}

#[test]
fn a_repair_that_is_only_to_say_what_it_would_do_is_refused() {
    let pair = pair();
    pair.source.file("a", "good");
    mirrored(&pair);
    pair.replica.file("a", "badd");
    pair.check_with(&["--repair", "-n"]).expect(2).expect_message_with("without --repair");
    assert_eq!(pair.replica.read("a"), b"badd");
}

#[test]
fn the_pace_is_kept() {
    const RATE: u64 = 4 << 20;
    let pair = pair();
    // Together with the replica, twice that is read.
    let sizes = [3 << 20, 512 << 10, 256 << 10, 256 << 10];
    for (i, size) in sizes.into_iter().enumerate() {
        pair.source.file(format!("file-{i}"), vec![b'x'; size]);
    }
    pair.mirrored();
    let started = Instant::now();
    pair.check_with(&["--bwlimit", "4M"]).expect(0);
    let (took, should) =
        (started.elapsed().as_secs_f64(), 2.0 * sizes.iter().sum::<usize>() as f64 / RATE as f64);
    // A busy machine may take longer, never less.
    assert!((should * 0.8..should * 3.0).contains(&took), "took {took} s instead of {should}");
}

#[test]
fn a_check_that_is_stopped_says_by_which_signal() {
    let pair = pair();
    pair.source.file("large", vec![b'x'; 4 << 20]);
    pair.mirrored();
    for (code, terminate) in [(130, false), (143, true)] {
        let mut check = pair.alike.start_check(&["--bwlimit", "256K"], pair.source.top(), pair.replica.top());
        std::thread::sleep(Duration::from_millis(400));
        assert!(check.is_running());
        if terminate {
            check.terminate()
        } else {
            check.interrupt()
        }
        assert_eq!(check.wait_exit(Duration::from_secs(5)), Some(code), "{}", check.err());
    }
}

#[test]
fn beside_a_running_mirror_what_moves_is_no_drift() {
    let pair = pair_with_files(60);
    let mut live = pair.mirror_with(&[]);
    live.wait_identical(common::SOON);
    let over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for i in 0_u32.. {
                if over.load(std::sync::atomic::Ordering::Relaxed) {
                    return;
                }
                pair.source.file(format!("even/file-0{:02}", i % 20 * 2), format!("version {i}"));
                pair.source.file(format!("odd/new-{}", i % 7), format!("version {i}"));
                std::thread::sleep(Duration::from_millis(15));
            }
        });
        let runs: Vec<Run> = (0..3).map(|_| pair.check_with(&["--json"])).collect();
        over.store(true, std::sync::atomic::Ordering::Relaxed);
        for run in runs {
            run.expect_one_of(&[0, 1]);
            assert!(!run.out().contains("\"drift\""), "{}", run.report());
            assert!(!run.out().contains("\"rot\""), "{}", run.report());
        }
    });
    live.wait_identical(common::SOON);
    finds(&pair, &[], &[]);
    // What stays is named all the same, and a repair leaves the replica to who is at work on it.
    pair.check_with(&["--repair"]).expect(3).expect_message_with("in use");
    pair.replica.file("stranger", "x");
    let run = pair.check_with(&["--json"]);
    assert!(findings(&run).iter().any(|found| found.ends_with("replica stranger")), "{}", run.report());
    live.stop();
}

#[test]
fn what_a_mirror_is_about_to_copy_is_not_called_stale() {
    let pair = pair_with_files(3);
    let mut live = pair.mirror_with(&["--settle", "700ms"]);
    live.wait_identical(common::SOON);
    pair.source.file("even/file-000", "another version").file("even/new", "x");
    finds(&pair, &[], &[]);
    live.stop();
}

#[test]
fn findings_stand_in_the_log_file_too() {
    let pair = pair_with_files(2);
    pair.mirrored();
    pair.replica.file("stranger", "x");
    let log = pair.beside("check.log");
    pair.check_with(&["--log-file", text(&log)]).expect(1);
    let logged = std::fs::read_to_string(&log).expect("read the log");
    assert!(logged.contains("error   stranger  drift: only on the replica"), "{logged}");
}
