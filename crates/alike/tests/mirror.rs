//! `mirror` while things happen: changes arrive, storms end identical, it stops when told.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::fs;
use std::time::{Duration, Instant};

use alike_testkit::{Pair, Tree, odd_names, wait_until};
use common::{SOON, has, nothing_to_do, pair, pair_with_files, parse};

/// One change in the source.
type Step = fn(&Tree) -> &Tree;

#[test]
fn everything_that_happens_in_the_source_arrives() {
    let pair = pair_with_files(10);
    let mut live = pair.mirror_with(&[]);
    live.wait_identical(SOON);
    let steps: [(&str, Step); 16] = [
        ("a file is created", |s| s.file("new", "x")),
        ("a file is edited", |s| s.file("new", "edited, and longer")),
        ("a file is added to", |s| s.append("new", "more")),
        ("a file is cut", |s| s.file("new", "")),
        ("a mode changes", |s| s.mode("new", 0o600)),
        ("a time changes", |s| s.mtime("new", 1_000_000_000, 1)),
        ("a folder is made", |s| s.folder("folder")),
        ("nested folders are made with files", |s| s.file("folder/a/b/c/d/file", "x")),
        ("a file deep inside is edited", |s| s.file("folder/a/b/c/d/file", "edited")),
        ("a folder's mode changes", |s| s.mode("folder/a", 0o700)),
        ("a link is made", |s| s.symlink("link", "new")),
        ("a pipe is made", |s| s.fifo("pipe")),
        ("a file is replaced by rename", |s| s.file("t", "replaced").rename("t", "new")),
        ("a file is deleted", |s| s.remove("new")),
        ("a folder is deleted", |s| s.remove("folder")),
        ("the top's mode changes", |s| s.mode("", 0o700)),
    ];
    for (what, step) in steps {
        step(&pair.source);
        eprintln!("{what}: {:?}", live.wait_identical(SOON));
    }
    live.stop();
}

#[test]
fn a_change_arrives_within_a_second() {
    let pair = pair_with_files(10);
    let mut live = pair.mirror_with(&[]);
    live.wait_identical(SOON);
    for round in 0..5 {
        pair.source.file("even/file-000", format!("round {round}"));
        let took = live.wait_identical(SOON);
        assert!(took < Duration::from_secs(1), "round {round} took {took:?}");
    }
    live.stop();
}

#[test]
fn odd_names_arrive_and_go() {
    let pair = pair();
    let mut live = pair.mirror_with(&["--max-delete", "100%"]);
    live.wait_identical(SOON);
    for odd in odd_names() {
        pair.source.file(&odd, "x");
    }
    live.wait_identical(SOON);
    for odd in odd_names() {
        pair.source.remove(&odd).file(odd.join("inner"), "a folder now");
    }
    live.wait_identical(SOON);
    pair.source.deep_file("deep", 30, 250, b"below");
    live.wait_identical(SOON);
    pair.source.deep_file("deep", 30, 250, b"edited below");
    live.wait_identical(SOON);
    live.stop();
}

#[test]
fn sigterm_and_sigint_stop_it_cleanly() {
    let pair = pair_with_files(10);
    for interrupted in [false, true] {
        // Something to do, so that being identical means that it is up.
        pair.source.file(format!("interrupted-{interrupted}"), "x");
        let mut live = pair.mirror_with(&[]);
        live.wait_identical(SOON);
        let start = Instant::now();
        if interrupted {
            live.interrupt();
        } else {
            live.terminate();
        }
        assert_eq!(live.wait_exit(Duration::from_secs(2)), Some(0), "{}", live.err());
        assert!(start.elapsed() < Duration::from_secs(2));
        pair.assert_identical("after the stop");
    }
}

#[test]
fn what_changed_while_it_was_stopped_arrives_when_it_starts() {
    let pair = pair_with_files(10);
    for round in 0..3 {
        let mut live = pair.mirror_with(&[]);
        live.wait_identical(SOON);
        live.stop();
        pair.source
            .edit_keeping_stamp("even/file-000", format!("content {round}"))
            .remove(format!("odd/file-00{}", 1 + 2 * round));
        pair.source.rename("even", "t").rename("t", "even").file(format!("new-{round}"), "x");
    }
    pair.mirror_with(&[]).wait_identical(SOON);
}

/// A source large enough that its first pass is still at work when the signal comes.
fn long_work() -> Pair {
    let pair = pair();
    for i in 0..3000 {
        pair.source.file(format!("folder-{}/file-{i}", i % 30), format!("content {i}").repeat(50));
    }
    pair
}

/// Every name on the replica is one of the source: no half file, no litter.
#[track_caller]
fn no_litter(pair: &Pair) {
    let source = pair.source_now();
    let replica = pair.replica_now();
    for path in replica.paths() {
        let (is, was) = (replica.get(&path).unwrap(), source.get(&path));
        let was = was.unwrap_or_else(|| panic!("litter: {}", String::from_utf8_lossy(&path)));
        let whole = is.mode & 0o170_000 != 0o100_000 || is.size == was.size;
        assert!(whole, "a half file: {}", String::from_utf8_lossy(&path));
    }
}

#[test]
fn a_first_pass_stops_within_two_seconds_without_litter() {
    for wait in [5, 40, 120] {
        let pair = long_work();
        let mut live = pair.mirror_with(&[]);
        wait_until(SOON, || pair.replica.has(""));
        std::thread::sleep(Duration::from_millis(wait));
        live.stop();
        no_litter(&pair);
        pair.mirrored();
    }
}

#[test]
fn a_stopped_once_exits_130_or_143_without_litter() {
    for (interrupted, code) in [(true, 130), (false, 143)] {
        let pair = long_work();
        let mut live = pair.alike.start_once(&[], pair.source.top(), pair.replica.top());
        wait_until(SOON, || pair.replica.has(""));
        std::thread::sleep(Duration::from_millis(20));
        if interrupted {
            live.interrupt();
        } else {
            live.terminate();
        }
        match live.wait_exit(Duration::from_secs(2)) {
            Some(0) => pair.assert_identical("it was done before the signal came"),
            ended => assert_eq!(ended, Some(code), "{}", live.err()),
        }
        no_litter(&pair);
        pair.mirrored();
    }
}

#[test]
fn after_a_kill_the_next_pass_puts_everything_right() {
    for wait in [5, 60, 150] {
        let pair = long_work();
        let mut live = pair.mirror_with(&[]);
        wait_until(SOON, || pair.replica.has(""));
        std::thread::sleep(Duration::from_millis(wait));
        live.kill();
        pair.source.remove("folder-7").file("folder-8/new", "x");
        pair.mirrored();
    }
}

#[test]
fn without_watching_the_interval_finds_everything() {
    let pair = pair_with_files(10);
    let mut live = pair.mirror_with(&["--no-watch", "--interval", "1"]);
    live.wait_identical(SOON);
    pair.source.file("new/deep/file", "x").remove("even/file-000").rename("odd", "renamed");
    live.wait_identical(SOON);
    pair.source.edit_keeping_stamp("new/deep/file", "y");
    live.wait_identical(SOON);
    live.stop();
}

#[test]
fn the_interval_finds_a_change_that_no_event_announced() {
    let pair = pair_with_files(10);
    // A write through another name, outside what is watched, sends no event to the folder of this one.
    fs::hard_link(pair.source.path("even/file-000"), pair.beside("outside")).unwrap();
    let mut live = pair.mirror_with(&["--interval", "1"]);
    live.wait_identical(SOON);
    fs::write(pair.beside("outside"), "written behind its back").unwrap();
    live.wait_identical(SOON);
    live.stop();
}

#[test]
fn the_interval_repairs_a_replica_that_was_touched() {
    let pair = pair_with_files(10);
    let mut live = pair.mirror_with(&["--interval", "1"]);
    live.wait_identical(SOON);
    pair.replica
        .file("even/file-000", "damaged")
        .file("stranger", "x")
        .mode("odd", 0o700)
        .remove("odd/file-001");
    live.wait_identical(SOON);
    live.stop();
}

#[test]
fn an_idle_mirror_writes_nothing() {
    let pair = pair_with_files(10);
    let mut live = pair.mirror_with(&["--interval", "1"]);
    live.wait_identical(SOON);
    std::thread::sleep(Duration::from_millis(500));
    let (source, replica) = (pair.source_now(), pair.replica_now());
    std::thread::sleep(Duration::from_secs(3));
    assert_eq!(source.changes_and_reads(&pair.source_now()), [""; 0]);
    assert_eq!(replica.changes(&pair.replica_now()), [""; 0]);
    live.stop();
}

#[test]
fn a_storm_of_new_nested_folders_renames_and_deletions_ends_identical() {
    let pair = pair_with_files(10);
    let mut live = pair.mirror_with(&["--max-delete", "100%"]);
    live.wait_identical(SOON);
    let limit = Duration::from_secs(30);
    for i in 0..2000 {
        pair.source.file(format!("storm/{}/{}/{}/file-{i}", i % 5, i % 7, i % 11), format!("content {i}"));
    }
    eprintln!("created: {:?}", live.wait_identical(limit));
    for i in 0..5 {
        pair.source.rename(format!("storm/{i}"), format!("renamed-{i}"));
    }
    pair.source.rename("renamed-0", "storm/again/0").rename("storm", "calm");
    eprintln!("renamed: {:?}", live.wait_identical(limit));
    for i in 1..5 {
        pair.source.remove(format!("renamed-{i}"));
    }
    pair.source.remove("calm");
    eprintln!("deleted: {:?}", live.wait_identical(limit));
    live.stop();
}

#[test]
fn a_folder_that_is_renamed_while_it_fills_ends_identical() {
    let pair = pair_with_files(10);
    let mut live = pair.mirror_with(&[]);
    live.wait_identical(SOON);
    for round in 0..20 {
        let (from, to) = (format!("round-{round}"), format!("moved-{round}"));
        for i in 0..20 {
            pair.source.file(format!("{from}/sub-{}/file-{i}", i % 3), "x");
        }
        pair.source
            .rename(&from, &to)
            .file(format!("{to}/sub-0/late"), "x")
            .file(format!("{from}/reborn"), "x");
    }
    live.wait_identical(Duration::from_secs(30));
    live.stop();
}

#[test]
fn a_file_that_is_written_without_pause_ends_identical() {
    let pair = pair_with_files(10);
    pair.source.file("log", "");
    let mut live = pair.mirror_with(&[]);
    live.wait_identical(SOON);
    for i in 0..500 {
        pair.source.append("log", format!("line {i}\n").repeat(100));
        std::thread::sleep(Duration::from_millis(2));
    }
    live.wait_identical(SOON);
    live.stop();
}

#[test]
fn a_source_that_goes_away_deletes_nothing_and_its_return_is_seen() {
    let pair = pair_with_files(20);
    let mut live = pair.mirror_with(&["--interval", "1"]);
    live.wait_identical(SOON);
    fs::rename(pair.source.top(), pair.beside("away")).unwrap();
    std::thread::sleep(Duration::from_millis(2500));
    assert!(pair.replica.has("even/file-000") && pair.replica.has("odd/file-019"));
    if live.is_running() {
        fs::rename(pair.beside("away"), pair.source.top()).unwrap();
        pair.source.file("back", "x");
        live.wait_identical(SOON);
        live.stop();
    } else {
        assert_eq!(live.wait_exit(SOON), Some(3), "halted: {}", live.err());
    }
}

#[test]
fn a_mirror_of_a_source_that_is_refused_does_not_start() {
    let pair = pair();
    pair.source.remove("");
    let run =
        pair.alike.run(["mirror".as_ref(), pair.source.top().as_os_str(), pair.replica.top().as_os_str()]);
    run.expect(3).expect_short_message();
    assert!(!pair.replica.has(""));
}

#[test]
fn sigusr1_starts_a_pass_now() {
    let pair = pair_with_files(10);
    let mut live = pair.mirror_with(&["--interval", "1h"]);
    live.wait_identical(SOON);
    std::thread::sleep(Duration::from_millis(500));
    pair.replica.file("even/file-000", "damaged");
    live.ask_for_a_pass();
    live.wait_identical(SOON);
    live.stop();
}

#[test]
fn after_a_kill_the_next_pass_has_every_group_of_links_whole() {
    let pair = pair();
    for i in 0..300 {
        let first = format!("folder-{}/file-{i}", i % 10);
        pair.source.file(&first, format!("content {i}"));
        pair.source
            .hard_link(&first, format!("other-{}/name-{i}", i % 7))
            .hard_link(&first, format!("third-{i}"));
    }
    for wait in [5, 20, 40] {
        let mut live = pair.mirror_with(&[]);
        std::thread::sleep(Duration::from_millis(wait));
        live.kill();
    }
    pair.mirrored();
    nothing_to_do(&pair);
}

#[test]
fn links_made_edited_and_parted_live_arrive() {
    let pair = pair();
    pair.source.file("a", "of one file").file("alone", "alone");
    pair.source.hard_link("a", "folder/b").hard_link("a", "folder/deep/c");
    let mut live = pair.mirror_with(&["--json"]);
    live.wait_identical(SOON);
    let steps: [(&str, Step); 9] = [
        ("a name joins", |s| s.hard_link("alone", "no longer")),
        ("a name joins in another folder", |s| s.hard_link("alone", "folder/deep/nor here")),
        ("an edit through the first name", |s| s.file("alone", "edited through the first name")),
        ("an edit through the last name", |s| s.append("folder/deep/nor here", ", and the last")),
        ("a mode", |s| s.mode("no longer", 0o600)),
        ("a name goes", |s| s.remove("alone")),
        ("a name becomes its own", |s| s.file("t", "of one file").rename("t", "folder/b")),
        ("a folder with names in it moves", |s| s.rename("folder", "moved")),
        ("a new group comes at once", |s| {
            s.file("new/x", "x").hard_link("new/x", "new/y").hard_link("new/x", "z")
        }),
    ];
    for (what, step) in steps {
        step(&pair.source);
        eprintln!("{what}: {:?}", live.wait_identical(SOON));
    }
    live.stop();
    assert!(has(&parse(&live.out()), "link", "no longer"), "{}", live.out());
    nothing_to_do(&pair);
}
