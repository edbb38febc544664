//! Several replicas of one source in one pass: all become identical, and none depends on another.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use alike_testkit::{Mount, Pair, Run, Snapshot, root_or_say, wait_until};
use common::several::{also, assert_identical, of, one};
use common::{SOON, events, pair, pair_with_files, steps, text};

fn everything(pair: &Pair, replicas: &[PathBuf]) -> Vec<Snapshot> {
    let own = [pair.source.top().to_owned(), pair.replica.top().to_owned(), pair.alike.state_dir()];
    own.iter().chain(replicas).map(|top| Snapshot::of(top)).collect()
}

// ---- one pass ----

#[test]
fn one_pass_makes_all_replicas_identical_and_the_next_has_nothing_to_do() {
    let pair = pair_with_files(40);
    pair.source.symlink("link", "even").file("one", "x").hard_link("one", "two");
    let others = [pair.beside("second"), pair.beside("third")];
    let run = pair.once_with(&also(&others, &["--json"]));
    run.expect(0);
    for replica in others.iter().map(PathBuf::as_path).chain([pair.replica.top()]) {
        assert_identical(&pair, replica, &run.report());
        let events = events(&run);
        assert_eq!(of(&events, replica).iter().filter(|event| event.action == "pass-end").count(), 1);
    }
    assert!(events(&run).iter().all(|event| !event.text("replica").is_empty()), "{}", run.out());
    let again = pair.once_with(&also(&others, &["--json"]));
    again.expect(0);
    assert_eq!(steps(&events(&again)), [""; 0]);
}

#[test]
fn of_one_replica_no_line_says_which() {
    let pair = pair_with_files(2);
    let run = pair.mirrored_with(&["--json"]);
    assert!(events(&run).iter().all(|event| event.line.get("replica").is_none()), "{}", run.out());
    let plan = pair.plan_with(&[]);
    assert!(!plan.out().contains(text(pair.replica.top())), "{}", plan.report());
}

#[test]
fn a_line_of_text_has_its_replica_after_the_time() {
    let pair = pair_with_files(2);
    let second = pair.beside("the second");
    let run = pair.once_with(&also(one(&second), &[]));
    run.expect(0);
    let (first, second) = (text(pair.replica.top()), text(&second));
    let width = first.len().max(second.len());
    for replica in [first, second] {
        let lines: Vec<String> = run
            .out()
            .lines()
            .filter(|line| line.contains(&format!("{replica:<width$}  create")))
            .map(str::to_owned)
            .collect();
        assert_eq!(lines.len(), 2, "{}", run.report());
        assert!(lines.iter().all(|line| line.find(replica) == Some("2026-11-21 21:05:07.123 ".len())));
    }
}

#[test]
fn the_exit_code_is_the_worst_and_the_others_are_served() {
    let pair = pair_with_files(20);
    let others = [pair.beside("second"), pair.beside("third")];
    pair.once_with(&also(&others, &[])).expect(0);
    // Most of the second is not in the source: more than may be deleted.
    for number in 0..60 {
        fs::write(others[0].join(format!("foreign-{number}")), "x").unwrap();
    }
    pair.source.file("fresh", "x");
    let run = pair.once_with(&also(&others, &[]));
    run.expect(3);
    assert_identical(&pair, pair.replica.top(), &run.report());
    assert_identical(&pair, &others[1], &run.report());
    assert!(others[0].join("fresh").exists() && others[0].join("foreign-59").exists(), "{}", run.report());
    run.expect_message_with(text(&others[0]));
    assert!(!run.err().contains(text(&others[1])), "{}", run.report());
    pair.once_with(&also(&others, &["--allow-deletes"])).expect(0);
    assert_identical(&pair, &others[0], "after --allow-deletes");
}

#[test]
fn a_replica_that_is_missing_is_told_of_and_the_others_are_made() {
    let pair = pair_with_files(4);
    let missing = pair.beside("missing");
    std::os::unix::fs::symlink(pair.beside("nowhere"), &missing).unwrap();
    let run = pair.once_with(&also(one(&missing), &[]));
    run.expect(3).expect_message_with(text(&missing));
    assert_identical(&pair, pair.replica.top(), &run.report());
}

#[test]
fn the_limit_of_the_pace_is_for_all_replicas_together() {
    let pair = pair();
    let contents: Vec<u8> = (0..1 << 20).map(|n: u32| (n.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    pair.source.file("file", contents);
    let started = Instant::now();
    let second = [pair.beside("second")];
    pair.once_with(&also(&second, &["--bwlimit", "1M", "--reflink", "never"])).expect(0);
    let took = started.elapsed();
    assert!(took >= Duration::from_millis(1600), "2 MiB at 1 MiB a second took {took:?}");
}

// ---- a plan ----

#[test]
fn a_plan_has_a_heading_for_each_replica_and_changes_nothing() {
    let pair = pair_with_files(4);
    let others = [pair.beside("second"), pair.beside("third")];
    pair.once_with(&also(&others[..1], &[])).expect(0);
    pair.source.file("fresh", "x").remove("odd");
    let before = everything(&pair, &others[..1]);
    let plan = pair.plan_with(&also(&others, &[]));
    plan.expect(0);
    let said = plan.out();
    let heads: Vec<usize> = [pair.replica.top(), &others[0], &others[1]]
        .iter()
        .map(|replica| {
            said.find(&format!("{}:\n", text(replica))).unwrap_or_else(|| panic!("{}", plan.report()))
        })
        .collect();
    assert!(heads.is_sorted(), "{said}");
    // The third is not there yet: all is new to it, and nothing is deleted.
    let (second, third) = (&said[heads[1]..heads[2]], &said[heads[2]..]);
    assert!(second.contains("delete") && !second.contains("even/file-000"), "{said}");
    assert!(third.contains("even/file-000") && !third.contains("delete"), "{said}");
    for (was, is) in before.iter().zip(everything(&pair, &others[..1])) {
        assert_eq!(was.changes(&is), [""; 0]);
    }
    assert!(!others[1].exists());
    let json = pair.plan_with(&also(&others, &["--json"]));
    assert!(events(&json).iter().all(|event| !event.text("replica").is_empty()), "{}", json.out());
}

// ---- refusals ----

#[track_caller]
fn refused(run: &Run, what: &str) {
    run.expect(2).expect_short_message().expect_message_with(what);
}

#[test]
fn one_replica_twice_one_inside_another_and_the_source_as_a_replica_are_refused_before_anything_is_done() {
    let pair = pair_with_files(4);
    let (first, second) = (pair.replica.top().to_owned(), pair.beside("second"));
    let link = pair.beside("link");
    fs::create_dir(&first).unwrap();
    std::os::unix::fs::symlink(&first, &link).unwrap();
    fs::write(first.join("precious"), "x").unwrap();
    let inside = first.join("folder/deep");
    fs::create_dir_all(&inside).unwrap();
    let source = pair.source.top().to_owned();
    let before = [Snapshot::of(&first), Snapshot::of(&source)];
    for (other, what) in [
        (&first, "named twice"),
        (&link, "named twice"),
        (&inside, "inside the replica"),
        (&link.join("folder/new"), "inside the replica"),
        (&pair.beside(""), "inside the replica"),
        (&source, "same folder"),
        (&source.join("even"), "inside the source"),
    ] {
        for others in [vec![other.clone()], vec![second.clone(), other.clone()]] {
            refused(&pair.once_with(&also(&others, &[])), what);
            refused(&pair.plan_with(&also(&others, &[])), what);
            let mut live = pair.mirror_with(&also(&others, &[]));
            assert_eq!(live.wait_exit(SOON), Some(2), "{}", live.err());
        }
    }
    for (was, top) in before.iter().zip([&first, &source]) {
        assert_eq!(was.changes(&Snapshot::of(top)), [""; 0]);
    }
    assert!(!second.exists());
}

#[test]
fn a_replica_whose_link_leads_into_another_is_refused_also_while_its_drive_is_not_there() {
    let pair = pair_with_files(4);
    let (link, drive) = (pair.beside("link"), pair.replica.path("usb"));
    fs::create_dir(pair.replica.top()).unwrap();
    for to in [drive.clone(), "replica/usb/./deep".into(), "gone/../replica/usb".into()] {
        std::os::unix::fs::symlink(&to, &link).unwrap();
        for other in [link.clone(), link.join("in it")] {
            refused(&pair.once_with(&also(one(&other), &[])), "inside the replica");
            let mut live = pair.mirror_with(&also(one(&other), &[]));
            assert_eq!(live.wait_exit(SOON), Some(2), "{}", live.err());
        }
        fs::remove_file(&link).unwrap();
    }
    assert_eq!(fs::read_dir(pair.replica.top()).unwrap().count(), 0);
}

#[test]
fn two_replicas_that_are_one_through_a_bind_mount_are_refused() {
    if !root_or_say("a bind mount") {
        return;
    }
    let pair = pair_with_files(4);
    fs::create_dir_all(pair.replica.path("inner")).unwrap();
    let same = Mount::bind(pair.replica.top(), &pair.beside("same"));
    refused(&pair.once_with(&also(&[same.at().to_owned()], &[])), "named twice");
    let inner = Mount::bind(&pair.replica.path("inner"), &pair.beside("bound"));
    refused(&pair.once_with(&also(&[inner.at().to_owned()], &[])), "inside the replica");
}

#[test]
fn a_replica_that_turns_up_inside_another_later_is_not_deleted_there() {
    if !root_or_say("a bind mount") {
        return;
    }
    let pair = pair_with_files(4);
    let second = pair.beside("second");
    pair.once_with(&also(one(&second), &[])).expect(0);
    let precious = second.join(".alike/precious");
    fs::write(&precious, "what only the second has").unwrap();
    let mut live = pair.mirror_with(&also(one(&second), &["--interval", "1h", "--json"]));
    assert!(wait_until(SOON, || live.out().matches("pass-end").count() == 2), "{}", live.out());
    let inside = Mount::bind(&second, &pair.replica.path("inside"));
    live.ask_for_a_pass();
    let told = wait_until(SOON, || live.out().contains("top folder of the source or of a replica"));
    assert!(told, "{}\n{}", live.out(), live.err());
    assert!(precious.exists() && second.join("even/file-000").exists());
    drop(inside);
    live.stop();
}

// ---- the end ----

#[test]
fn a_pass_that_is_stopped_half_way_says_so_and_the_next_goes_on() {
    let pair = pair_with_files(4);
    pair.source.file("large", vec![7; 8 << 20]);
    let second = pair.beside("second");
    let flags =
        [&also(std::slice::from_ref(&second), &[])[..], &["--bwlimit", "1M", "--reflink", "never"]].concat();
    let mut run = pair.alike.start_once(&flags, pair.source.top(), pair.replica.top());
    std::thread::sleep(Duration::from_millis(800));
    run.terminate();
    assert_eq!(run.wait_exit(SOON), Some(143), "{}", run.err());
    pair.once_with(&also(std::slice::from_ref(&second), &[])).expect(0);
    assert_identical(&pair, pair.replica.top(), "the first");
    assert_identical(&pair, &second, "the second");
}

#[test]
fn each_replica_has_a_history_of_its_own() {
    let pair = pair_with_files(4);
    let second = pair.beside("second");
    pair.once_with(&also(one(&second), &[])).expect(0);
    pair.source.file("even/file-000", "changed");
    pair.once_with(&also(one(&second), &[])).expect(0);
    let undone = pair.alike.run(["undo", "--yes", text(&second)]);
    undone.expect(0);
    assert_eq!(fs::read(second.join("even/file-000")).unwrap(), b"content 0");
    assert_eq!(pair.replica.read("even/file-000"), b"changed");
    // The one is held now, the other is not.
    pair.source.file("fresh", "x");
    let run = pair.once_with(&also(one(&second), &[]));
    run.expect(3).expect_message_with("is held");
    assert_identical(&pair, pair.replica.top(), &run.report());
}
