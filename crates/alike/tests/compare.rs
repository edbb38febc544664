//! What counts as changed: edits that hide, drift on the replica, and the ways of `--compare`.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::fs;

use alike_testkit::root_or_say;
use common::{SOON, events, has, pair, pair_with_files, steps, steps_but_meta};

#[test]
fn an_edit_that_kept_size_and_time_is_seen() {
    let pair = pair();
    pair.source.file("file", "before").file("folder/other", "unchanged");
    pair.mirrored();
    pair.source.edit_keeping_stamp("file", "edited");
    let run = pair.mirrored_with(&["--json"]);
    assert_eq!(steps_but_meta(&events(&run)), ["update file"]);
}

#[test]
fn a_file_replaced_by_another_with_its_size_and_time_is_seen() {
    let pair = pair();
    pair.source.file("file", "before").mtime("file", 1_000_000_000, 5);
    pair.mirrored();
    pair.source.file("other", "edited").mtime("other", 1_000_000_000, 5).rename("other", "file");
    pair.mirrored();
}

#[test]
fn an_edit_right_after_a_pass_is_seen() {
    let pair = pair();
    pair.source.file("file", "round 00").mtime("file", 1_000_000_000, 5);
    for round in 0..20 {
        pair.once().expect(0);
        pair.source.edit_keeping_stamp("file", format!("round {round:02}"));
        pair.mirrored();
    }
}

#[test]
fn edits_in_quick_succession_are_seen_live() {
    let pair = pair();
    pair.source.file("file", "round 00").mtime("file", 1_000_000_000, 5);
    let mut live = pair.mirror_with(&[]);
    live.wait_identical(SOON);
    for round in 1..40 {
        pair.source.edit_keeping_stamp("file", format!("round {round:02}"));
        if round % 3 == 0 {
            live.wait_identical(SOON);
        }
    }
    live.wait_identical(SOON);
    live.stop();
}

#[test]
fn a_file_that_grows_shrinks_and_is_cut_to_nothing_arrives() {
    let pair = pair();
    pair.source.file("file", "x");
    for content in ["longer", "l", "", &"x".repeat(300_000), "x"] {
        pair.source.file("file", content);
        pair.mirrored();
    }
}

#[test]
fn a_replica_that_was_touched_is_repaired() {
    let pair = pair_with_files(20);
    pair.source.symlink("link", "x").folder("hollow").fifo("pipe");
    pair.mirrored();
    let replica = &pair.replica;
    replica.mtime("even/file-000", 5, 5);
    pair.mirrored();
    replica.mode("even/file-002", 0o600).mode("hollow", 0o700);
    pair.mirrored();
    replica.mtime("hollow", 5, 5).mtime("", 5, 5).mtime("link", 5, 5);
    pair.mirrored();
    replica.remove("even/file-004").remove("link").remove("hollow").remove("pipe");
    pair.mirrored();
    replica.file("stranger", "x").file("even/strangers/one", "x");
    pair.mirrored();
    replica.remove("link").symlink("link", "elsewhere");
    pair.mirrored();
}

#[test]
fn a_replica_that_was_edited_is_repaired_even_when_its_stamp_was_kept() {
    let pair = pair();
    pair.source.file("file", "right").file("longer", "right");
    pair.mirrored();
    pair.replica.file("longer", "wrong, and longer");
    pair.mirrored();
    pair.replica.edit_keeping_stamp("file", "wrong");
    let run = pair.mirrored_with(&["--json"]);
    assert!(has(&events(&run), "update", "file"), "{}", run.report());
}

#[test]
fn an_owner_changed_on_the_replica_is_repaired_by_root() {
    if !root_or_say("other owners") {
        return;
    }
    let pair = pair();
    pair.source.file("file", "x").symlink("link", "x");
    pair.mirrored();
    pair.replica.owner("file", 12, 13).owner("link", 14, 15);
    pair.mirrored();
}

#[test]
fn a_change_of_mode_rewrites_no_content() {
    let pair = pair();
    pair.source.file("file", "content").folder("folder").fifo("pipe");
    pair.mirrored();
    let (ino, folder) = (pair.replica.ino("file"), pair.replica.ino("folder"));
    pair.source.mode("file", 0o600).mode("folder", 0o700).mode("pipe", 0o600);
    let run = pair.mirrored_with(&["--json"]);
    assert_eq!(steps(&events(&run)), ["meta file", "meta folder", "meta pipe"]);
    assert_eq!((pair.replica.ino("file"), pair.replica.ino("folder")), (ino, folder));
}

#[test]
fn a_change_of_owner_rewrites_no_content() {
    if !root_or_say("other owners") {
        return;
    }
    let pair = pair();
    pair.source.file("file", "content");
    pair.mirrored();
    let ino = pair.replica.ino("file");
    pair.source.owner("file", 12, 13);
    let run = pair.mirrored_with(&["--json"]);
    assert_eq!(steps(&events(&run)), ["meta file"]);
    assert_eq!(pair.replica.ino("file"), ino);
}

#[test]
fn a_touch_rewrites_no_content() {
    let pair = pair();
    pair.source.file("file", "content");
    pair.mirrored();
    let ino = pair.replica.ino("file");
    pair.source.mtime("file", 1_600_000_000, 1);
    let run = pair.mirrored_with(&["--json"]);
    assert_eq!(steps(&events(&run)), ["meta file"]);
    assert_eq!(pair.replica.ino("file"), ino);
}

#[test]
fn an_update_is_published_by_rename_so_an_open_reader_keeps_the_old_version() {
    use std::io::Read;
    let pair = pair();
    pair.source.file("file", "old version");
    pair.mirrored();
    let mut reader = fs::File::open(pair.replica.path("file")).unwrap();
    pair.source.file("file", "new");
    pair.mirrored();
    let mut seen = String::new();
    reader.read_to_string(&mut seen).unwrap();
    assert_eq!(seen, "old version");
}

#[test]
fn a_replica_file_with_a_second_name_is_not_written_through() {
    let pair = pair();
    pair.source.file("file", "old");
    pair.mirrored();
    fs::hard_link(pair.replica.path("file"), pair.beside("second name")).unwrap();
    pair.source.file("file", "new and longer");
    pair.mirrored();
    assert_eq!(fs::read(pair.beside("second name")).unwrap(), b"old");
}

#[test]
fn compare_content_finds_a_difference_under_equal_stamps() {
    for hash in ["blake3", "xxh3", "sha256"] {
        let pair = pair();
        for tree in [&pair.source, &pair.replica] {
            tree.file("same", "equal")
                .file("differs", if tree.top() == pair.source.top() { "right" } else { "wrong" });
            tree.mtime("same", 1_000_000_000, 1).mtime("differs", 1_000_000_000, 1);
        }
        let same = pair.replica.ino("same");
        let run = pair.mirrored_with(&["--json", "--compare", "content", "--hash", hash]);
        let events = events(&run);
        assert!(
            has(&events, "update", "differs") && !has(&events, "update", "same"),
            "{hash}: {}",
            run.report()
        );
        assert_eq!(pair.replica.ino("same"), same);
        let again = pair.mirrored_with(&["--json", "--compare", "content", "--hash", hash]);
        assert_eq!(steps(&common::events(&again)), [""; 0]);
    }
}

#[test]
fn compare_content_rewrites_nothing_when_only_times_differ() {
    let pair = pair();
    for tree in [&pair.source, &pair.replica] {
        tree.file("file", "equal");
    }
    pair.source.mtime("file", 1_000_000_000, 1);
    let ino = pair.replica.ino("file");
    pair.mirrored_with(&["--compare", "content"]);
    assert_eq!(pair.replica.ino("file"), ino);
}

#[test]
fn compare_newer_copies_only_what_is_newer_in_the_source() {
    let pair = pair();
    for tree in [&pair.source, &pair.replica] {
        let side = if tree.top() == pair.source.top() { "source" } else { "replica" };
        tree.file("newer in the source", side).file("newer on the replica", side).file("both", "x");
    }
    pair.source.mtime("newer in the source", 2_000_000_000, 0).mtime(
        "newer on the replica",
        1_000_000_000,
        0,
    );
    pair.replica.mtime("newer in the source", 1_000_000_000, 0).mtime(
        "newer on the replica",
        2_000_000_000,
        0,
    );
    pair.source.file("missing", "source");
    pair.once_with(&["--compare", "newer"]).expect_one_of(&[0, 1]);
    assert_eq!(pair.replica.read("newer in the source"), b"source");
    assert_eq!(pair.replica.read("newer on the replica"), b"replica");
    assert_eq!(pair.replica.read("missing"), b"source");
}

#[test]
fn every_way_to_compare_makes_a_fresh_replica_identical() {
    for way in ["auto", "content", "newer"] {
        let pair = pair_with_files(10);
        pair.source.symlink("link", "x").fifo("pipe").folder("hollow");
        pair.mirrored_with(&["--compare", way]);
        pair.source.file("even/file-000", "edited later").remove("odd/file-001");
        pair.mirrored_with(&["--compare", way]);
    }
}

#[test]
fn without_its_state_alike_rewrites_nothing_that_is_right() {
    let pair = pair_with_files(20);
    pair.mirrored();
    let before = pair.replica_now();
    fs::remove_dir_all(pair.alike.state_dir()).unwrap();
    pair.mirrored();
    assert_eq!(before.changes(&pair.replica_now()), [""; 0]);
    pair.source.edit_keeping_stamp("even/file-000", "CONTENT 0");
    pair.mirrored();
}

#[test]
fn a_broken_state_is_rebuilt_and_never_believed() {
    let pair = pair_with_files(20);
    pair.mirrored();
    let mut spoiled = 0;
    let mut folders = vec![pair.alike.state_dir()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap().map(Result::unwrap) {
            if entry.file_type().unwrap().is_dir() {
                folders.push(entry.path());
            } else {
                fs::write(entry.path(), "this is not what you wrote").unwrap();
                spoiled += 1;
            }
        }
    }
    assert!(spoiled > 0, "there is a state");
    pair.source.file("even/file-000", "edited").file("new", "x");
    pair.mirrored();
}
