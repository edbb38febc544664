//! Rot: bytes that change on the disk under a stamp that stays. It is found, told from every change that somebody made,
//! and never copied from the source over a good replica.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::time::Duration;

use alike_testkit::{Mount, Pair, Run, Tree, forget_cached, mark, root_or_say};
use common::{events, has, pair};
use serde_json::Value;

struct Disks {
    pair: Pair,
    source: Mount,
    replica: Mount,
}

/// A pair on two small ext4 filesystems, with `count` files, each with a mark of its own; none when not root.
fn disks(count: usize) -> Option<Disks> {
    if !root_or_say("rot on a disk of its own") {
        return None;
    }
    let mut pair = pair();
    let source = Mount::loop_filesystem(&pair.beside("from"), "ext4", 48);
    let replica = Mount::loop_filesystem(&pair.beside("to"), "ext4", 48);
    pair.source = Tree::make(source.at().join("tree"));
    pair.replica = Tree::at(replica.at().join("tree"));
    for i in 0..count {
        let content = format!("{}{}{}", "before ".repeat(i % 900), mark(&name(i)), " after".repeat(i % 70));
        pair.source.file(format!("folder-{}/{}", i % 7, name(i)), content);
    }
    // Stamps that are too fresh are not believed.
    std::thread::sleep(Duration::from_millis(60));
    pair.mirrored();
    std::thread::sleep(Duration::from_millis(60));
    Some(Disks { pair, source, replica })
}

fn name(i: usize) -> String {
    format!("file-{i:04}")
}

fn path(i: usize) -> String {
    format!("folder-{}/{}", i % 7, name(i))
}

/// What a check with `--json` says of `finding` and `side`, sorted by path.
#[track_caller]
fn found(run: &Run, finding: &str, side: &str) -> Vec<String> {
    let lines = run.out().lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<Value>>();
    let is = |line: &&Value| line["finding"] == finding && line["side"] == side;
    let mut paths: Vec<String> =
        lines.iter().filter(is).map(|line| line["path"].as_str().unwrap().to_owned()).collect();
    assert_eq!(paths.len(), lines.len(), "other findings as well\n{}", run.report());
    paths.sort();
    paths
}

fn sorted(mut paths: Vec<String>) -> Vec<String> {
    paths.sort();
    paths
}

#[test]
fn five_hundred_flipped_bits_are_all_found_and_mended() {
    let Some(Disks { pair, source: _source, replica }) = disks(600) else { return };
    pair.check_with(&[]).expect(0);
    let rotten: Vec<usize> = (0..600).filter(|i| i % 6 != 0).collect();
    let before = pair.replica_now();
    replica.rot(&rotten.iter().map(|i| name(*i)).collect::<Vec<_>>());
    let run = pair.check_with(&["--json"]);
    run.expect(1);
    let expected = sorted(rotten.iter().map(|i| path(*i)).collect());
    assert_eq!(found(&run, "rot", "replica"), expected, "{} found", run.out().lines().count());
    assert_eq!(before.changes(&pair.replica_now()), [""; 0], "nothing is written without --repair");
    let run = pair.check_with(&["--json", "--repair"]);
    run.expect(0);
    assert_eq!(found(&run, "rot", "replica"), expected);
    rotten.iter().for_each(|i| forget_cached(&pair.replica.path(path(*i))));
    pair.assert_identical("after --repair");
    pair.check_with(&[]).expect(0);
}

#[test]
fn without_a_hash_rot_is_found_and_left_alone_unless_the_source_is_trusted() {
    let Some(Disks { pair, source: _source, replica }) = disks(20) else { return };
    replica.rot(&[name(3), name(4)]);
    let expected = sorted(vec![path(3), path(4)]);
    let run = pair.check_with(&["--json"]);
    run.expect(1);
    assert_eq!(found(&run, "rot", "unknown"), expected);
    let before = pair.replica_now();
    let run = pair.check_with(&["--json", "--repair"]);
    run.expect(1);
    assert_eq!(found(&run, "rot", "unknown"), expected);
    assert_eq!(before.changes(&pair.replica_now()), [""; 0], "{}", run.report());
    pair.check_with(&["--repair", "--trust-source"]).expect(0);
    expected.iter().for_each(|path| forget_cached(&pair.replica.path(path)));
    pair.assert_identical("after --trust-source");
    pair.check_with(&[]).expect(0);
}

#[test]
fn rot_in_the_source_is_never_copied_over_a_good_replica() {
    let Some(Disks { pair, source, replica: _replica }) = disks(20) else { return };
    pair.check_with(&[]).expect(0);
    // The next pass takes in what was learnt.
    pair.mirrored();
    source.rot(&[name(3), name(5)]);
    let good = pair.replica.read(path(3));
    let before = pair.replica_now();
    let expected = sorted(vec![path(3), path(5)]);
    for flags in [&["--json"][..], &["--json", "--repair"], &["--json", "--repair", "--trust-source"]] {
        let run = pair.check_with(flags);
        run.expect(1);
        assert_eq!(found(&run, "rot", "source"), expected);
    }
    // Nor by passes that read contents, nor over a replica that somebody changed as well.
    let forget = || [3, 5].iter().for_each(|i| forget_cached(&pair.source.path(path(*i))));
    forget();
    let run = pair.once_with(&["--json", "--compare", "content"]);
    run.expect(1);
    assert!(has(&events(&run), "hold", &path(3)), "{}", run.report());
    pair.once().expect(0);
    assert_eq!(before.changes(&pair.replica_now()), [""; 0]);
    assert_eq!(pair.replica.read(path(3)), good);
    pair.replica.mode(path(3), 0o600);
    forget();
    let run = pair.once_with(&["--json"]);
    run.expect(1);
    assert!(has(&events(&run), "hold", &path(3)), "{}", run.report());
    assert_eq!(pair.replica.read(path(3)), good);
    // Who touches it says that it is right.
    pair.source.mtime(path(3), 5, 5).mtime(path(5), 5, 5);
    pair.once().expect(0);
    pair.assert_identical("after a touch");
}

#[test]
fn a_pass_that_reads_contents_mends_rot_of_the_replica_where_a_hash_says_so() {
    let Some(Disks { pair, source: _source, replica }) = disks(10) else { return };
    replica.rot(&[name(1)]);
    forget_cached(&pair.replica.path(path(1)));
    let before = pair.replica_now();
    let run = pair.once_with(&["--json", "--compare", "content"]);
    run.expect(1);
    assert!(has(&events(&run), "hold", &path(1)), "{}", run.report());
    assert_eq!(before.changes(&pair.replica_now()), [""; 0]);
    pair.check_with(&["--repair", "--trust-source"]).expect(0);
    std::thread::sleep(Duration::from_millis(60));
    pair.check_with(&[]).expect(0);
    replica.rot(&[name(1)]);
    forget_cached(&pair.replica.path(path(1)));
    pair.once_with(&["--compare", "content"]).expect(0);
    forget_cached(&pair.replica.path(path(1)));
    pair.assert_identical("after a pass");
}

#[test]
fn a_hash_goes_with_the_stamps_it_was_taken_under() {
    let Some(Disks { pair, source: _source, replica: _replica }) = disks(5) else { return };
    pair.check_with(&[]).expect(0);
    let edited = |tree: &Tree, i: usize| {
        let content = tree.read(path(i)).to_ascii_uppercase();
        tree.edit_keeping_stamp(path(i), content);
    };
    edited(&pair.source, 1);
    pair.source.mode(path(2), 0o640);
    pair.mirrored();
    std::thread::sleep(Duration::from_millis(60));
    let run = pair.check_with(&["--json"]);
    run.expect(0);
    edited(&pair.replica, 2);
    let run = pair.check_with(&["--json"]);
    assert_eq!(found(&run, "drift", "replica"), [path(2)]);
    pair.check_with(&["--repair"]).expect(0);
    pair.assert_identical("after --repair");
}

#[test]
fn rot_in_a_file_of_several_names_is_mended_under_all_of_them() {
    let Some(Disks { pair, source: _source, replica }) = disks(4) else { return };
    pair.source.hard_link(path(1), "second").hard_link(path(1), "folder-2/third");
    pair.mirrored();
    std::thread::sleep(Duration::from_millis(60));
    pair.check_with(&[]).expect(0);
    replica.rot(&[name(1)]);
    let run = pair.check_with(&["--json", "--repair"]);
    run.expect(0);
    assert_eq!(found(&run, "rot", "replica"), [path(1).as_str(), "folder-2/third", "second"]);
    forget_cached(&pair.replica.path("second"));
    pair.assert_identical(&run.report());
    pair.check_with(&[]).expect(0);
}

#[test]
fn rot_is_found_on_xfs_and_what_btrfs_refuses_to_read_is_an_error() {
    if !root_or_say("rot on a disk of its own") {
        return;
    }
    for (kind, size, word) in [("xfs", 320, "\"rot\""), ("btrfs", 130, "\"error\"")] {
        let mut pair = pair();
        let replica = Mount::loop_filesystem(&pair.beside("to"), kind, size);
        pair.replica = Tree::at(replica.at().join("tree"));
        // Larger than what btrfs keeps beside its inodes.
        pair.source.file("file", format!("{}{}", "before ".repeat(2000), mark("one")));
        std::thread::sleep(Duration::from_millis(60));
        pair.mirrored();
        std::thread::sleep(Duration::from_millis(60));
        pair.check_with(&[]).expect(0);
        replica.rot(&["one".to_owned()]);
        let run = pair.check_with(&["--json"]);
        run.expect(1);
        assert!(run.out().contains(word), "{kind}: {}", run.report());
    }
}

#[test]
fn a_scrub_beside_a_mirror_finds_rot_and_copies_nothing() {
    let Some(Disks { pair, source, replica }) = disks(12) else { return };
    // One round takes in the hashes; the full passes between hand them on.
    let mut live = pair.mirror_with(&["--json", "--scrub", "2s", "--interval", "1s"]);
    std::thread::sleep(Duration::from_secs(5));
    let before = (pair.source_now(), pair.replica_now());
    source.rot(&[name(2)]);
    replica.rot(&[name(7)]);
    let limit = Duration::from_secs(30);
    live.wait_for_output("rot in the source", limit);
    live.wait_for_output("rot on the replica", limit);
    let out = live.out();
    let errors: Vec<Value> = out
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|line| line["action"] == "error")
        .collect();
    for error in &errors {
        let (path_of, reason) = (error["path"].as_str().unwrap(), error["reason"].as_str().unwrap());
        let expected = if path_of == path(2) { "in the source" } else { "on the replica" };
        assert!(path_of == path(2) || path_of == path(7), "{out}");
        assert!(reason.starts_with("scrub: ") && reason.contains(expected), "{out}");
    }
    live.terminate();
    assert_eq!(live.wait_exit(Duration::from_secs(2)), Some(1), "a clean stop, but it differs");
    let out = live.out();
    let last: Value = serde_json::from_str(out.lines().last().unwrap()).unwrap();
    let reason = last["reason"].as_str().unwrap();
    assert!(last["action"] == "stop" && reason.contains("the scrub found"), "{out}");
    let after = (pair.source_now(), pair.replica_now());
    assert_eq!(before.0.changes(&after.0), [""; 0]);
    assert_eq!(before.1.changes(&after.1), [""; 0]);
}

#[test]
fn a_scrub_goes_on_where_it_was_stopped_and_finds_nothing_in_what_is_well() {
    let pair = common::pair_with_files(40);
    let state = || -> Option<Vec<u8>> {
        let pairs = std::fs::read_dir(pair.alike.state_dir()).ok()?;
        pairs.flatten().find_map(|entry| std::fs::read(entry.path().join("scrub")).ok())
    };
    for _ in 0..2 {
        let mut live = pair.mirror_with(&["--json", "--scrub", "1h"]);
        live.wait_identical(common::SOON);
        std::thread::sleep(Duration::from_secs(3));
        assert!(!live.out().contains("\"error\""), "{}", live.out());
        live.stop();
    }
    let text = String::from_utf8_lossy(&state().expect("how far it is")).into_owned();
    assert!(text.contains("even/file-0"), "{text:?}");
}
