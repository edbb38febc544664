//! What passes take away is kept whole, for a while, and can be emptied.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::path::PathBuf;

use alike_testkit::{Mount, Pair, Run, root_or_say};
use common::{SOON, events, pair, text};

fn trash(pair: &Pair, words: &[&str]) -> Run {
    let mut all = vec!["trash", text(pair.replica.top())];
    all.extend(words);
    pair.alike.run(all)
}

fn buckets(pair: &Pair) -> Vec<PathBuf> {
    let Ok(all) = std::fs::read_dir(pair.replica.path(".alike/trash")) else { return Vec::new() };
    let mut all: Vec<PathBuf> = all.map(|bucket| bucket.unwrap().path()).collect();
    all.sort();
    all
}

/// `action path kind bytes` of all that is kept, sorted.
fn listed(pair: &Pair) -> Vec<String> {
    let run = trash(pair, &["--json"]);
    run.expect(0);
    let mut all: Vec<String> = events(&run)
        .iter()
        .map(|event| {
            format!("{} {} {} {}", event.action, event.path, event.text("kind"), event.line["bytes"])
        })
        .collect();
    all.sort();
    all
}

#[test]
fn each_deletion_and_each_replacement_is_kept_and_listed() {
    let pair = pair();
    pair.source.file("edited", "old one").file("gone", "four").symlink("link", "x").folder("flips");
    pair.source.file("folder/a", "12345").file("folder/sub/b", "1234567").file("stays", "x");
    pair.mirrored();
    assert_eq!(listed(&pair), [""; 0]);
    pair.source.file("edited", "newer").remove("gone").remove("link").remove("folder").remove("flips");
    pair.source.file("flips", "a file now");
    let run = pair.mirrored();
    let expected = [
        "delete gone file 4",
        "delete link symlink 1",
        "rmdir folder folder 12",
        "update edited file 7",
        "update flips folder 0",
    ];
    assert_eq!(listed(&pair), expected, "{}", run.report());
    let shown = trash(&pair, &[]);
    shown.expect(0);
    assert!(shown.out().contains("5 entries, 24 B"), "{}", shown.report());
    for event in events(&trash(&pair, &["--json"])) {
        let at = pair.replica.path(".alike/trash").join(event.text("trash"));
        assert!(at.symlink_metadata().is_ok(), "{} is named but not there", at.display());
        if event.path == "edited" {
            assert_eq!(std::fs::read(&at).unwrap(), b"old one");
        }
        if event.path == "folder" {
            assert_eq!(std::fs::read(at.join("sub/b")).unwrap(), b"1234567");
        }
    }
}

#[test]
fn without_trash_nothing_is_kept() {
    let pair = pair();
    pair.source.file("edited", "old").file("gone", "x").file("folder/a", "x");
    pair.mirrored_with(&["--trash", "off"]);
    pair.source.file("edited", "newer").remove("gone").remove("folder");
    pair.mirrored_with(&["--trash", "off"]);
    assert_eq!(buckets(&pair), Vec::<PathBuf>::new());
    trash(&pair, &[]).expect(0);
}

#[test]
fn emptying_removes_what_is_old_enough_and_the_replica_stays_as_it_is() {
    let pair = pair();
    pair.source.file("a", "old").file("b/c", "old").file("stays", "x");
    pair.mirrored();
    pair.source.file("a", "newer").remove("b");
    pair.mirrored();
    assert_eq!(listed(&pair).len(), 2);
    trash(&pair, &["--empty", "--older", "7d"]).expect(0).expect_message_with("nothing to remove");
    assert_eq!(listed(&pair).len(), 2);
    pair.alike.run(["trash", "--help"]).expect(0);
    assert!(pair.alike.run(["trash", "--help"]).out().contains("and the history of that time"));
    let run = trash(&pair, &["--empty"]);
    run.expect(0).expect_message_with("2 entries, 6 B").expect_message_with("the history of that time");
    // It was said.
    pair.alike.run(["log", text(pair.replica.top())]).expect(1);
    assert_eq!(listed(&pair), [""; 0]);
    assert_eq!(buckets(&pair), Vec::<PathBuf>::new());
    pair.assert_identical("emptied");
    pair.mirrored();
}

#[test]
fn beside_a_running_mirror_only_the_last_hour_stays() {
    let pair = pair();
    pair.source.file("a", "old").file("b", "x");
    let mut live = pair.mirror_with(&["--interval", "1h"]);
    live.wait_identical(SOON);
    pair.source.arrives("a", "newer");
    live.wait_identical(SOON);
    trash(&pair, &["--empty"]).expect(0).expect_message_with("mirror is running");
    assert_eq!(listed(&pair), ["update a file 3"]);
    pair.source.remove("b");
    live.wait_identical(SOON);
    assert_eq!(listed(&pair).len(), 2, "the bucket in use still takes what comes");
    live.stop();
}

#[test]
fn what_is_too_old_goes_by_itself() {
    let pair = pair();
    pair.source.file("a", "old").file("b", "x");
    pair.mirrored();
    pair.source.file("a", "newer");
    pair.mirrored();
    let bucket = buckets(&pair).pop().unwrap();
    std::fs::rename(&bucket, bucket.with_file_name("20200101T000000Z")).unwrap();
    pair.source.file("b", "newer");
    pair.mirrored();
    assert!(bucket.with_file_name("20200101T000000Z").exists(), "the clock may have jumped");
    let earlier = jiff::Timestamp::now().as_second() - 4 * 24 * 3600;
    std::fs::write(pair.replica.path(".alike/overdue"), earlier.to_string()).unwrap();
    pair.mirrored();
    assert!(!bucket.with_file_name("20200101T000000Z").exists());
    pair.mirrored();
    assert!(!pair.replica.has(".alike/overdue"));
    assert_eq!(listed(&pair), ["update b file 1"]);
}

#[test]
fn on_a_full_disk_what_was_kept_longest_goes_before_a_copy_fails() {
    if !root_or_say("a small filesystem") {
        return;
    }
    for kind in ["tmpfs", "ext4"] {
        let pair = pair();
        let mount = match kind {
            "tmpfs" => Mount::tmpfs(pair.replica.top(), "24m"),
            _ => Mount::loop_filesystem(pair.replica.top(), kind, 32),
        };
        for round in 0..12_u8 {
            pair.source.file("large", vec![round; 5 << 20]).file("small", [round]);
            let run = pair.once();
            assert_eq!(run.code, Some(0), "{kind}, round {round}\n{}", run.report());
            assert_eq!(pair.replica.read("large"), vec![round; 5 << 20]);
        }
        let kept = listed(&pair);
        assert!(
            kept.iter().any(|line| line.starts_with("update large")) || kind == "ext4",
            "{kind}: {kept:?}"
        );
        assert!(kept.len() < 22, "{kind}: {kept:?}");
        drop(mount);
    }
}

#[test]
fn a_file_that_is_written_to_all_day_does_not_drive_out_what_was_deleted() {
    if !root_or_say("a small filesystem") {
        return;
    }
    let pair = pair();
    let mount = Mount::tmpfs(pair.replica.top(), "24m");
    pair.source.file("precious", vec![7; 2 << 20]).file("edited once", "first").file("log", "x");
    pair.once().expect(0);
    pair.source.remove("precious").file("edited once", "second, and longer");
    pair.once().expect(0);
    for round in 0..60_u8 {
        pair.source.file("log", vec![round; 3 << 20]);
        let run = pair.once();
        assert_eq!(run.code, Some(0), "round {round}\n{}", run.report());
    }
    let kept = listed(&pair);
    assert!(kept.iter().any(|line| line.starts_with("delete precious")), "{kept:?}");
    assert!(kept.iter().any(|line| line.starts_with("update edited once")), "{kept:?}");
    assert!(
        kept.iter().any(|line| line.starts_with("update log")),
        "its last version is kept as well: {kept:?}"
    );
    drop(mount);
}

#[test]
fn a_pass_with_nothing_to_do_makes_no_bucket() {
    let pair = pair();
    pair.source.file("a", "x");
    pair.mirrored();
    let before = buckets(&pair);
    pair.mirrored();
    assert_eq!(buckets(&pair), before);
}

#[test]
fn what_lies_on_another_filesystem_inside_the_replica_is_said_not_to_be_kept() {
    if !root_or_say("mounts") {
        return;
    }
    let pair = pair();
    pair.source.file("inside/edited", "old").file("inside/gone", "x").file("kept", "x");
    pair.replica.folder("inside");
    let _disk = Mount::tmpfs(&pair.replica.path("inside"), "4m");
    pair.once().expect(0);
    pair.source.file("inside/edited", "new, and longer").remove("inside/gone").remove("kept");
    let run = pair.once_with(&["--json"]);
    run.expect(0);
    for event in events(&run).iter().filter(|event| ["update", "delete"].contains(&event.action.as_str())) {
        let is_said = event.text("reason").contains("not kept");
        assert_eq!(is_said, event.path.starts_with("inside/"), "{}", run.report());
        assert_eq!(is_said, event.line["trash"].is_null(), "{}", run.report());
    }
}

#[test]
fn what_goes_for_want_of_room_is_said_and_nothing_goes_where_that_would_not_be_enough() {
    if !root_or_say("a small filesystem") {
        return;
    }
    let pair = pair();
    let mount = Mount::tmpfs(pair.replica.top(), "24m");
    for round in [1_u8, 2] {
        pair.source.file("a", vec![round; 4 << 20]);
        pair.once().expect(0);
    }
    pair.source.file("large", vec![3; 30 << 20]);
    let run = pair.once();
    run.expect(1);
    assert!(!run.out().contains("needs room"), "{}", run.report());
    assert_eq!(listed(&pair), ["update a file 4194304"]);
    pair.source.file("large", vec![3; 18 << 20]);
    let run = pair.once();
    run.expect(0);
    assert!(run.out().contains("skip    the disk needs room: trash "), "{}", run.report());
    assert_eq!(listed(&pair), [""; 0]);
    drop(mount);
}

/// The places in the trash, which are numbered in the order in which they were filled. Names are not: more than one thread
/// deletes.
fn numbers_kept(pair: &Pair) -> Vec<usize> {
    let mut numbers = Vec::new();
    for bucket in pair.replica.path(".alike/trash").read_dir().unwrap() {
        let kept = bucket.unwrap().path().read_dir().unwrap();
        let names = kept.map(|kept| kept.unwrap().file_name());
        numbers.extend(names.filter_map(|name| name.to_str().unwrap().parse::<usize>().ok()));
    }
    numbers.sort_unstable();
    numbers
}

#[test]
fn no_more_goes_than_a_file_needs_and_a_little() {
    if !root_or_say("a small filesystem") {
        return;
    }
    let pair = pair();
    let mount = Mount::tmpfs(pair.replica.top(), "24m");
    let kib = |of: u64| usize::try_from(of).unwrap() << 10;
    for n in 0..300 {
        pair.source.file(format!("many/{n:03}"), vec![7; kib(16)]);
    }
    pair.once().expect(0);
    for n in 0..300 {
        pair.source.remove(format!("many/{n:03}"));
    }
    pair.once_with(&["--allow-deletes"]).expect(0);
    assert_eq!(numbers_kept(&pair), (1..=300).collect::<Vec<_>>());
    let free =
        std::process::Command::new("df").args(["--output=avail", "-k"]).arg(pair.replica.top()).output();
    let free: u64 =
        String::from_utf8(free.unwrap().stdout).unwrap().lines().last().unwrap().trim().parse().unwrap();
    pair.source.file("large", vec![8; kib(free + 1024)]);
    let run = pair.once();
    run.expect(0);
    let kept = numbers_kept(&pair);
    let freed = 16 * (300 - kept.len());
    // What a pass leaves free when it ends is a twentieth.
    assert!((1024..1024 + 24 * 1024 / 20 + 256).contains(&freed), "{freed} KiB went\n{}", run.report());
    let newest: Vec<usize> = (301 - kept.len()..=300).collect();
    assert_eq!(kept, newest, "the oldest go\n{}", run.report());
    drop(mount);
}
