//! The judge is judged: each kind of difference is seen, and what is equal is called equal.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use alike_testkit::{Pair, Snapshot, Tree, compare, is_root, name, odd_names, remove_tree, root_or_say};
use std::os::unix::fs::MetadataExt;

fn two() -> Pair {
    let pair = Pair::new("/bin/true");
    pair.replica.folder("");
    for tree in [&pair.source, &pair.replica] {
        tree.file("folder/file", "content")
            .file("empty", "")
            .folder("folder/hollow")
            .symlink("link", "folder/file")
            .fifo("pipe");
        settle(tree);
    }
    pair
}

fn settle(tree: &Tree) {
    for path in ["folder/file", "empty", "folder/hollow", "link", "pipe", "folder", ""] {
        tree.mtime(path, 1_000_000_000, 123_456_789);
    }
}

#[track_caller]
fn sees(change: impl Fn(&Tree) -> &Tree, expected: &str) {
    let pair = two();
    assert_eq!(pair.differences(), [""; 0], "equal before");
    change(&pair.replica);
    settle(&pair.replica);
    let found = pair.differences();
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(found[0].starts_with(expected), "{found:#?}");
    assert_eq!(compare(pair.replica.top(), pair.source.top()).len(), 1, "seen from the other side too");
}

#[test]
fn every_kind_of_difference_is_seen() {
    sees(|replica| replica.file("folder/file", "CONTENT"), "folder/file: content");
    sees(|replica| replica.file("folder/file", "longer content"), "folder/file: size");
    sees(|replica| replica.mode("folder/file", 0o600), "folder/file: mode");
    sees(|replica| replica.mode("folder/hollow", 0o700), "folder/hollow: mode");
    sees(|replica| replica.mode("", 0o700), ".: mode");
    sees(|replica| replica.mode("pipe", 0o600), "pipe: mode");
    sees(|replica| replica.remove("link").symlink("link", "elsewhere"), "link: target");
    sees(|replica| replica.remove("empty").folder("empty"), "empty: kind");
    sees(|replica| replica.remove("pipe").file("pipe", ""), "pipe: kind");
    sees(|replica| replica.remove("link").file("link", "content"), "link: kind");
    sees(|replica| replica.file("folder/more", ""), "folder/more: only on the replica");
    sees(|replica| replica.file("folder/.alike", ""), "folder/.alike: only on the replica");
    if is_root() {
        sees(|replica| replica.owner("empty", 12, 0), "empty: owner");
        sees(|replica| replica.owner("link", 0, 12), "link: owner");
    }
}

#[test]
fn a_missing_entry_is_seen() {
    let pair = two();
    pair.source.file("folder/more", "");
    settle(&pair.source);
    assert_eq!(pair.differences(), ["folder/more: missing on the replica"]);
}

#[test]
fn one_nanosecond_is_seen_everywhere() {
    for path in ["folder/file", "empty", "folder/hollow", "link", "pipe", "folder", ""] {
        let pair = two();
        pair.replica.mtime(path, 1_000_000_000, 123_456_788);
        let found = pair.differences();
        let shown = if path.is_empty() { "." } else { path };
        assert_eq!(found.len(), 1, "{found:#?}");
        assert!(found[0].starts_with(&format!("{shown}: mtime")), "{found:#?}");
    }
}

#[test]
fn only_alikes_own_folder_at_the_top_is_left_out() {
    let pair = two();
    pair.replica.file(".alike/lock", "x");
    settle(&pair.replica);
    assert_eq!(pair.differences(), [""; 0]);
    pair.source.symlink(".alike", "x");
    settle(&pair.source);
    assert_eq!(pair.differences(), [""; 0]);
}

#[test]
fn a_replica_that_is_missing_or_a_file_is_a_difference() {
    let pair = Pair::new("/bin/true");
    assert_eq!(pair.differences().len(), 1);
    std::fs::write(pair.replica.top(), "x").unwrap();
    assert_eq!(pair.differences().len(), 1);
}

#[test]
fn trees_deeper_than_any_path_are_compared_recorded_and_removed() {
    let pair = Pair::new("/bin/true");
    for (levels, length) in [(30, 250), (3000, 1)] {
        for tree in [&pair.source, &pair.replica] {
            tree.folder("").deep_file("deep", levels, length, b"below");
        }
        let content: Vec<String> =
            pair.differences().into_iter().filter(|line| !line.contains("mtime")).collect();
        assert_eq!(content, [""; 0]);
        pair.replica.deep_file("deep", levels, length, b"BELOW");
        let content: Vec<String> =
            pair.differences().into_iter().filter(|line| !line.contains("mtime")).collect();
        assert_eq!(content.len(), 1, "{content:#?}");
        assert!(content[0].contains("bottom: content: differs from byte 0"), "{content:#?}");
        assert_eq!(Snapshot::of(pair.source.top()).paths().len(), levels + 2);
        for tree in [&pair.source, &pair.replica] {
            tree.remove("deep");
            assert!(!tree.has("deep"));
        }
    }
}

#[test]
fn odd_names_are_compared_and_reported_on_one_line() {
    let pair = Pair::new("/bin/true");
    pair.replica.folder("");
    for odd in odd_names() {
        pair.source.file(&odd, "x");
    }
    let found = pair.differences();
    assert_eq!(
        found.iter().filter(|line| line.ends_with(": missing on the replica")).count(),
        odd_names().len()
    );
    assert!(found.iter().all(|line| !line.chars().any(char::is_control)), "{found:#?}");
}

#[test]
fn a_snapshot_sees_every_write_and_reading_moves_nothing() {
    let pair = two();
    pair.source.file(name(b"odd-\xff"), "x").atime_and_mtime("folder/file", 5, 1_000_000_000);
    pair.source.atime_and_mtime("folder", 5, 1_000_000_000).atime_and_mtime("", 5, 1_000_000_000);
    let before = pair.source_now();
    assert_eq!(before.changes(&pair.source_now()), [""; 0]);
    let _ = pair.differences();
    assert_eq!(before.changes_and_reads(&pair.source_now()), [""; 0], "judging reads without a trace");

    pair.source.edit_keeping_stamp("folder/file", "CONTENT");
    let after = pair.source_now();
    assert_eq!(before.get("folder/file").unwrap().mtime, after.get("folder/file").unwrap().mtime);
    assert_eq!(before.changes(&after).len(), 1, "the ctime tells");

    pair.source.file("new", "").remove("empty");
    let changes = before.changes(&pair.source_now());
    assert!(
        changes.contains(&"new: new".to_owned()) && changes.contains(&"empty: gone".to_owned()),
        "{changes:#?}"
    );
    assert!(before.without("folder").get("folder/file").is_none());
}

#[test]
fn an_access_time_that_moved_is_seen() {
    let pair = two();
    pair.source.atime_and_mtime("empty", 5, 1_000_000_000);
    let before = pair.source_now();
    pair.source.atime_and_mtime("empty", 6, 1_000_000_000);
    let (mut was, mut is) =
        (before.get("empty").unwrap().clone(), pair.source_now().get("empty").unwrap().clone());
    assert_ne!(was.atime, is.atime);
    (was.atime, was.ctime, is.atime, is.ctime) = Default::default();
    assert_eq!(was, is);
}

#[test]
fn removing_does_not_follow_a_link() {
    let pair = two();
    pair.source.symlink("folder/away", pair.replica.top());
    remove_tree(&pair.source.path("folder")).unwrap();
    remove_tree(&pair.source.path("never was")).unwrap();
    assert!(!pair.source.has("folder") && pair.replica.has("folder/file"));
}

#[test]
fn mounts_and_other_users_work_as_root() {
    if !root_or_say("mounts and other users") {
        return;
    }
    let mut pair = two();
    let disk = alike_testkit::Mount::tmpfs(&pair.beside("disk"), "1m");
    assert!(std::fs::write(pair.beside("disk/big"), vec![0; 2 << 20]).is_err(), "the disk is small");
    let _twin = alike_testkit::Mount::bind(pair.source.top(), &pair.beside("twin"));
    assert!(pair.beside("twin/folder/file").exists());
    drop(disk);
    assert!(!pair.beside("disk/big").exists());
    pair.hand_to(alike_testkit::NOBODY);
    assert_eq!(std::fs::metadata(pair.source.path("folder/file")).unwrap().uid(), alike_testkit::NOBODY);
}

#[test]
fn a_run_is_captured_and_a_child_is_stopped() {
    let pair = Pair::new("/bin/sh");
    let run = pair.alike.run(["-c", "echo out; echo err >&2; exit 7"]);
    run.expect(7).expect_short_message().expect_message_with("err");
    assert_eq!(run.out(), "out\n");
    let umask = |words: &str| {
        let mut pair = Pair::new("/bin/sh");
        pair.alike.run_after(words);
        pair.alike.run(["-c", "umask"]).out()
    };
    assert_eq!(umask("umask 027").trim_start_matches('0'), "27\n");
}
