//! Faults that were found once, each as the shortest story that shows it.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use alike_testkit::{Mount, root_or_say, wait_until};
use common::{SOON, pair, pair_with_files};

#[test]
fn what_took_the_old_name_of_a_moved_file_is_not_carried_off_with_it() {
    let pair = pair();
    pair.source.folder("b").file("g/d", "precious");
    pair.mirrored();
    pair.source.rename("g/d", "d").rename("b", "g/d").folder("b/in");
    pair.mirrored();
}

#[test]
fn nothing_is_deleted_in_a_folder_that_was_moved_while_its_namesake_was_compared() {
    let pair = pair();
    pair.source.folder("c/x");
    for at in 1..=5 {
        pair.source.file(format!("c/keep{at}"), format!("p{at}"));
    }
    pair.mirrored();
    pair.source.rename("c/x", "X").rename("c", "X/a").folder("c");
    let run = pair.mirrored();
    assert!(!run.out().contains("delete"), "{}", run.report());
}

#[test]
fn what_takes_the_name_of_a_folder_that_moved_out_of_it_is_made() {
    let pair = pair();
    pair.source.folder("f/e");
    pair.mirrored();
    pair.source.rename("f/e", "t").rename("f", "g").rename("t", "f").file("g/e", "now a file");
    pair.mirrored();
}

#[test]
fn moves_are_not_counted_as_deletions() {
    let pair = pair();
    for at in 0..40 {
        pair.source.file(format!("A/C/{at}"), "x");
    }
    pair.source.file("A/k", "k");
    pair.mirrored();
    pair.source.rename("A/C", "C").rename("A", "B");
    let run = pair.mirrored();
    assert!(!run.out().contains("create"), "{}", run.report());
}

#[test]
fn a_replica_inside_the_source_through_a_bind_mount_is_refused_and_the_source_not_written() {
    if !root_or_say("a bind mount") {
        return;
    }
    let pair = pair_with_files(3);
    pair.source.folder("sub");
    let before = pair.source_now();
    let door = pair.beside("door");
    std::fs::create_dir(&door).unwrap();
    let _mount = Mount::bind(&pair.source.path("sub"), &door);
    let run = pair.alike.run(["once", pair.source.top().to_str().unwrap(), door.to_str().unwrap()]);
    run.expect(2).expect_short_message();
    assert!(before.changes(&pair.source_now()).is_empty(), "{}", run.report());
}

#[test]
fn what_an_anchored_filter_kept_is_not_deleted_when_its_folder_moves() {
    let pair = pair();
    pair.source.file("a/f", "x");
    pair.mirrored_with(&["--exclude", "/a/*.o"]);
    pair.replica.file("a/k.o", "the replica's own");
    pair.source.rename("a", "b");
    pair.once_with(&["--exclude", "/a/*.o"]).expect(1);
    assert!(pair.replica.has("b/k.o"), "held, for nobody said that it may go");
}

#[test]
fn a_file_that_cannot_take_the_place_of_a_folder_makes_the_pass_say_that_the_two_differ() {
    let pair = pair();
    pair.source.file("a/f", "x");
    pair.mirrored_with(&["--exclude", "*.o"]);
    pair.replica.file("a/k.o", "the replica's own");
    pair.source.remove("a").file("a", "now a file");
    pair.once_with(&["--exclude", "*.o"]).expect(1);
    assert!(pair.replica.has("a/k.o"));
}

#[test]
fn a_refused_pair_is_left_as_it_was() {
    let pair = pair();
    pair.source.folder("");
    for at in 0..20 {
        pair.replica.file(format!("file-{at}"), "the replica's own");
    }
    let before = alike_testkit::Snapshot::of(pair.replica.top());
    pair.once().expect(3);
    let after = alike_testkit::Snapshot::of(pair.replica.top());
    assert!(before.changes(&after).is_empty(), "{:?}", before.changes(&after));
}

#[test]
fn a_deleted_top_folder_is_gone_within_moments_though_it_was_nearly_everything() {
    let pair = pair();
    for at in 0..300 {
        pair.source.file(format!("top/{}/file-{at}", at % 7), "x");
    }
    let mut live = pair.mirror_with(&[]);
    live.wait_identical(SOON);
    pair.source.remove("top");
    live.wait_identical(SOON);
    assert!(wait_until(SOON, || !pair.replica.has("top")));
    live.stop();
}

#[test]
fn a_state_folder_inside_an_end_is_refused_for_it_would_be_deleted_or_mirrored() {
    let pair = pair_with_files(3);
    for end in [&pair.source, &pair.replica] {
        let state = end.path("state");
        let words = ["once", "--state-dir", state.to_str().unwrap()];
        let ends = [pair.source.top().to_str().unwrap(), pair.replica.top().to_str().unwrap()];
        pair.alike.run(words.into_iter().chain(ends)).expect(2).expect_short_message();
    }
    assert!(!pair.replica.has("even"));
}

#[test]
fn a_live_change_through_one_of_two_names_reaches_the_other() {
    let pair = pair_with_files(3);
    pair.source.file("one", "before").hard_link("one", "folder/other");
    let mut live = pair.mirror_with(&["--interval", "1h"]);
    live.wait_identical(SOON);
    pair.source.append("one", " and after").mode("one", 0o600);
    live.wait_identical(SOON);
    live.stop();
}
