//! `once` makes the replica identical: every kind, mode, owner, time and name, at any depth.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use alike_testkit::{Pair, Snapshot, compare, name, odd_names, root_or_say};
use common::{events, pair, steps};

#[test]
fn every_kind_is_mirrored() {
    let pair = pair();
    pair.source
        .file("file", "content")
        .file("folder/inner", "inside")
        .folder("folder/hollow")
        .symlink("link", "file")
        .symlink("link to folder", "folder")
        .symlink("dangling", "no/such/thing")
        .symlink("absolute", "/etc/hostname")
        .symlink("loop", "loop")
        .fifo("pipe");
    pair.mirrored();
}

#[test]
fn an_empty_source_makes_an_empty_replica() {
    let pair = pair();
    pair.source.mtime("", 1_234_567_890, 987_654_321);
    pair.mirrored();
}

#[test]
fn empty_files_folders_and_their_chains_are_mirrored() {
    let pair = pair();
    pair.source.file("empty", "").folder("a/b/c/d").file("x/empty too", "");
    pair.mirrored();
}

#[test]
fn the_replica_and_the_folders_above_it_are_made() {
    let pair = pair();
    pair.source.file("file", "content");
    let replica = pair.beside("not/yet/there");
    pair.alike.once(&[], pair.source.top(), &replica).expect(0);
    assert_eq!(compare(pair.source.top(), &replica), [""; 0]);
}

#[test]
fn every_mode_is_mirrored() {
    let pair = pair();
    for mode in [0o644, 0o600, 0o755, 0o777, 0o444, 0o400, 0o4755, 0o2755, 0o1644, 0o6711] {
        pair.source.file(format!("file-{mode:o}"), "x").mode(format!("file-{mode:o}"), mode);
    }
    for mode in [0o755, 0o700, 0o1777, 0o2775, 0o555, 0o500, 0o3770] {
        pair.source.file(format!("folder-{mode:o}/inner"), "x").mode(format!("folder-{mode:o}"), mode);
    }
    pair.source.mode("", 0o750);
    pair.mirrored();
}

#[test]
fn modes_without_any_read_bit_are_mirrored_by_root() {
    if !root_or_say("reading a file without read permission") {
        return;
    }
    let pair = pair();
    pair.source.file("file", "secret").mode("file", 0).file("folder/inner", "x").mode("folder", 0);
    pair.mirrored();
}

#[test]
fn the_umask_changes_no_mode() {
    let mut pair = pair();
    pair.alike.run_after("umask 077");
    pair.source
        .file("folder/file", "x")
        .mode("folder/file", 0o666)
        .mode("folder", 0o777)
        .mode("", 0o775)
        .fifo("pipe");
    pair.mirrored();
}

#[test]
fn owners_are_mirrored_by_root() {
    if !root_or_say("other owners") {
        return;
    }
    let pair = pair();
    pair.source.file("file", "x").folder("folder").symlink("link", "file").fifo("pipe").file("set-id", "x");
    for (i, path) in (1000..).zip(["file", "folder", "link", "pipe", "set-id", ""]) {
        pair.source.owner(path, i, i + 500);
    }
    pair.source.mode("set-id", 0o6755);
    pair.mirrored();
    pair.source.owner("file", 4242, 4243).owner("link", 4244, 4245).owner("", 4246, 4247);
    pair.mirrored();
}

#[test]
fn times_are_mirrored_to_the_nanosecond() {
    let pair = pair();
    let times = [
        (0, 0),
        (0, 1),
        (1, 999_999_999),
        (-1, 500_000_000),
        (-1_000_000_000, 1),
        (4_102_444_800, 123_456_789),
    ];
    for (i, (seconds, nanoseconds)) in times.into_iter().enumerate() {
        let (file, folder, link, pipe) =
            (format!("file-{i}"), format!("folder-{i}"), format!("link-{i}"), format!("pipe-{i}"));
        pair.source
            .file(&file, "x")
            .file(format!("{folder}/inner"), "x")
            .symlink(&link, "nowhere")
            .fifo(&pipe);
        for path in [file, folder, link, pipe] {
            pair.source.mtime(path, seconds, nanoseconds);
        }
    }
    pair.source.mtime("", 987_654_321, 123_456_789);
    pair.mirrored();
}

#[test]
fn a_folder_keeps_its_time_when_things_inside_come_and_go() {
    let pair = pair();
    pair.source.file("folder/old", "x").file("folder/stays", "x");
    pair.mirrored();
    pair.source
        .remove("folder/old")
        .file("folder/new", "x")
        .mtime("folder", 1_000_000_000, 1)
        .mtime("", 5, 7);
    pair.mirrored();
}

#[test]
fn a_time_that_alone_changed_is_mirrored_on_every_kind() {
    let pair = pair();
    pair.source.file("file", "x").folder("folder").symlink("link", "x").fifo("pipe");
    pair.mirrored();
    for path in ["file", "folder", "link", "pipe", ""] {
        pair.source.mtime(path, 1_500_000_000, 1);
    }
    pair.mirrored();
    pair.source.mtime("file", 1_500_000_000, 2).mtime("link", 1_500_000_000, 2);
    pair.mirrored();
}

#[test]
fn every_odd_name_is_mirrored_and_removed_again() {
    let pair = pair();
    for odd in odd_names() {
        pair.source.file(name(b"files").join(&odd), "x");
        pair.source.file(name(b"folders").join(&odd).join(&odd), "x");
        pair.source.symlink(name(b"links").join(&odd), &odd);
    }
    pair.mirrored();
    for odd in odd_names().iter().step_by(4) {
        pair.source.remove(name(b"files").join(odd)).remove(name(b"folders").join(odd).join(odd));
        pair.source.file(name(b"folders").join(odd).join("now"), "y").remove(name(b"links").join(odd));
    }
    pair.mirrored();
}

#[test]
fn a_symlink_target_of_any_bytes_is_mirrored() {
    let pair = pair();
    pair.source.symlink("raw", name(b"\xff\n\x1b[0m/../..")).symlink("long", "t".repeat(4095));
    pair.mirrored();
}

#[test]
fn alikes_own_name_below_the_top_is_a_name_like_any_other() {
    let pair = pair();
    pair.source.file("folder/.alike/file", "x").file(".alike-not", "x").file("folder/sub/.alike", "x");
    pair.mirrored();
}

#[test]
fn a_source_that_is_some_other_pairs_replica_is_mirrored_without_its_own_folder() {
    let pair = pair();
    pair.source.file("file", "x").file(".alike/marker", "of another pair");
    let run = pair.mirrored();
    assert!(!pair.replica.has(".alike/marker"), "{}", run.report());
    assert!(run.err().contains(".alike") || run.out().contains(".alike"), "it says so: {}", run.report());
}

#[test]
fn paths_deeper_than_path_max_are_mirrored_edited_and_removed() {
    let pair = pair();
    pair.source.deep_file("deep", 30, 250, b"below").file("stays", "x");
    pair.mirrored();
    pair.source.deep_file("deep", 30, 250, b"edited below");
    pair.mirrored();
    pair.source.rename("deep", "moved");
    pair.mirrored();
    pair.source.remove("moved");
    pair.mirrored_with(&["--allow-deletes"]);
}

#[test]
fn two_thousand_levels_are_mirrored_with_few_descriptors() {
    let mut pair = pair();
    pair.alike.run_after("ulimit -n 512");
    pair.source.deep_file("deep", 2200, 1, b"below");
    pair.mirrored();
    pair.source.remove("deep").file("other", "x");
    pair.mirrored_with(&["--allow-deletes"]);
}

#[test]
fn large_and_sparse_files_are_mirrored() {
    let pair = pair();
    let content: Vec<u8> = (0..5_000_003_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    pair.source.file("large", &content).file("sparse", "x");
    let sparse = std::fs::File::options().write(true).open(pair.source.path("sparse")).unwrap();
    sparse.set_len(50_000_000).unwrap();
    drop(sparse);
    pair.mirrored();
}

#[test]
fn a_second_pass_writes_nothing_on_either_side() {
    let pair = full_pair();
    pair.mirrored();
    let (source, replica) = (pair.source_now(), pair.replica_now());
    for _ in 0..3 {
        let run = pair.once_with(&["--json"]);
        run.expect(0);
        assert_eq!(steps(&events(&run)), [""; 0]);
        assert_eq!(replica.changes(&pair.replica_now()), [""; 0]);
        assert_eq!(source.changes_and_reads(&pair.source_now()), [""; 0]);
    }
}

#[test]
fn a_second_pass_writes_nothing_in_alikes_own_folder_either() {
    let pair = full_pair();
    pair.mirrored();
    let before = Snapshot::of(pair.replica.top());
    pair.once().expect(0);
    assert_eq!(before.changes(&Snapshot::of(pair.replica.top())), [""; 0]);
}

#[test]
fn the_first_pass_writes_nothing_on_the_source_not_even_an_access_time() {
    let pair = full_pair();
    for path in ["file", "folder/inner", "folder", ""] {
        pair.source.atime_and_mtime(path, 1_000_000_000, 1_500_000_000);
    }
    let before = pair.source_now();
    pair.mirrored();
    pair.mirrored_with(&["--compare", "content"]);
    assert_eq!(before.changes_and_reads(&pair.source_now()), [""; 0]);
}

fn full_pair() -> Pair {
    let pair = pair();
    pair.source
        .file("file", "content")
        .file("folder/inner", "inside")
        .folder("hollow")
        .symlink("link", "file")
        .fifo("pipe")
        .mtime("folder", 1_000_000_000, 5);
    for odd in odd_names() {
        pair.source.file(name(b"odd").join(odd), "x");
    }
    pair.source.deep_file("deep", 30, 250, b"below");
    pair
}

#[test]
fn alikes_own_folder_is_private() {
    use std::os::unix::fs::PermissionsExt;
    let pair = pair();
    pair.source.file("file", "x");
    pair.mirrored();
    let found = std::fs::symlink_metadata(pair.replica.path(".alike")).expect("the first pass makes .alike");
    assert!(found.is_dir());
    assert_eq!(found.permissions().mode() & 0o7777, 0o700);
}

#[test]
fn a_trailing_slash_and_a_relative_path_name_the_same_pair() {
    let pair = pair();
    pair.source.file("file", "x");
    pair.mirrored();
    let before = pair.replica_now();
    let state = pair.alike.state_dir();
    let mut words = pair.alike.command(["once", "--state-dir"]);
    words.arg(state).args(["source/", "./replica/."]).current_dir(pair.beside(""));
    let run = words.output().unwrap();
    assert_eq!(run.status.code(), Some(0), "{}", String::from_utf8_lossy(&run.stderr));
    assert_eq!(before.changes(&pair.replica_now()), [""; 0]);
}
