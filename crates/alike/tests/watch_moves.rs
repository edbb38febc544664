//! Folders move under a mirror that watches, and back, and the source itself gets another path: nothing is lost of it.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::fs;
use std::os::unix::fs::symlink;
use std::time::Duration;

use alike_testkit::{Live, Mount, Pair, Tree, root_or_say};
use common::{SOON, pair, pair_with_files};

/// A mirror that looks at everything so seldom that what arrives was heard.
fn hearing(pair: &Pair, means: &str, flags: &[&str]) -> Option<Live> {
    if means == "fanotify" && !root_or_say("fanotify") {
        return None;
    }
    let mut live = pair.mirror_with(&[&["--watcher", means, "--interval", "1h"], flags].concat());
    live.wait_for_output(&format!("{means}: "), SOON);
    live.wait_identical(SOON);
    Some(live)
}

/// So long that the mirror has heard what was done.
fn until_heard() {
    std::thread::sleep(Duration::from_millis(150));
}

/// Each step is heard by itself, and a pass comes only when the folder is back.
fn what_is_changed_in_a_folder_that_comes_back_is_heard_by(means: &str) {
    let pair = pair_with_files(4);
    pair.source.file("a/sub/file", "x");
    let beside = Tree::make(pair.beside("elsewhere"));
    let Some(mut live) = hearing(&pair, means, &["--settle", "1s"]) else { return };
    for (round, to) in
        [pair.source.path("b"), beside.path("b"), pair.source.path("even/b")].iter().enumerate()
    {
        fs::rename(pair.source.path("a"), to).unwrap();
        until_heard();
        fs::write(to.join("sub/file"), format!("edited while it was away, {round}")).unwrap();
        fs::write(to.join("sub/new"), format!("made while it was away, {round}")).unwrap();
        until_heard();
        fs::rename(to, pair.source.path("a")).unwrap();
        live.wait_identical(SOON);
    }
    live.stop();
}

#[test]
fn what_is_changed_in_a_folder_that_comes_back_is_heard_by_fanotify() {
    what_is_changed_in_a_folder_that_comes_back_is_heard_by("fanotify");
}

#[test]
fn what_is_changed_in_a_folder_that_comes_back_is_heard_by_inotify() {
    what_is_changed_in_a_folder_that_comes_back_is_heard_by("inotify");
}

/// The path that was given goes on leading to the source, so that the mirror goes on.
#[test]
fn a_source_whose_own_path_changes_is_heard_all_the_same() {
    if !root_or_say("fanotify") {
        return;
    }
    let mut pair = pair();
    // Of its own, for others rename folders too.
    let room = Mount::tmpfs(&pair.beside("room"), "16m");
    Tree::make(room.at()).file("one/source/folder/file", "x");
    let link = room.at().join("link");
    symlink("one", &link).unwrap();
    pair.source = Tree::at(link.join("source"));
    let mut live = hearing(&pair, "fanotify", &[]).unwrap();
    for (from, to) in [("one", "two"), ("two", "one")] {
        live.stand_still();
        fs::rename(room.at().join(from), room.at().join(to)).unwrap();
        fs::remove_file(&link).unwrap();
        symlink(to, &link).unwrap();
        pair.source.file("folder/file", format!("edited at once in {to}"));
        live.go_on();
        live.wait_identical(SOON);
        for round in 0..2 {
            std::thread::sleep(Duration::from_secs(2));
            pair.source.file("folder/file", format!("edited in {to}, round {round}"));
            live.wait_identical(SOON);
        }
    }
    // What is said of the pass that saw it last comes a moment later.
    std::thread::sleep(Duration::from_secs(2));
    let said = live.out();
    for _ in 0..3 {
        fs::create_dir(room.at().join("elsewhere")).unwrap();
        fs::remove_dir(room.at().join("elsewhere")).unwrap();
        until_heard();
    }
    assert_eq!(live.out(), said, "what happens elsewhere is no reason to look");
    live.stop();
    drop(room);
}

#[test]
fn after_nothing_could_be_heard_all_is_looked_at_and_each_folder_is_heard_where_it_is_now() {
    if !root_or_say("fanotify") {
        return;
    }
    let mut pair = pair();
    let room = Mount::tmpfs(&pair.beside("room"), "16m");
    pair.source = Tree::make(room.at().join("source"));
    pair.source.file("old/file", "x").file("other/file", "x");
    let mut live = hearing(&pair, "fanotify", &[]).unwrap();
    // From now on it knows this one by heart.
    pair.source.file("old/file", "edited");
    live.wait_identical(SOON);
    until_heard();
    live.stand_still();
    // To be heard in one go, and the first cannot be found.
    pair.source.file("other/file", "edited").rename("old", "new");
    live.limit_descriptors(3);
    live.go_on();
    live.wait_for_output("not heard", SOON);
    live.limit_descriptors(1024);
    live.wait_identical(SOON * 3);
    std::thread::sleep(Duration::from_secs(2));
    pair.source.file("new/file", "edited where it is now");
    live.wait_identical(SOON);
    live.stop();
    drop(room);
}

#[test]
fn while_nothing_can_be_heard_it_is_said_once_and_passes_leave_time_for_other_things() {
    if !root_or_say("fanotify") {
        return;
    }
    let mut pair = pair();
    let room = Mount::tmpfs(&pair.beside("room"), "16m");
    pair.source = Tree::make(room.at().join("source"));
    pair.source.file("folder/file", "x");
    let mut live = hearing(&pair, "fanotify", &[]).unwrap();
    live.limit_descriptors(3);
    let before = live.ticks().unwrap();
    for round in 0..120 {
        pair.source.file(format!("{round}/file"), "x");
        std::thread::sleep(Duration::from_millis(50));
    }
    let (ticks, said) = (live.ticks().unwrap() - before, live.out());
    let times = |text: &str| said.matches(text).count();
    assert_eq!(times("not heard"), 1, "{said}");
    assert!(times("pass-start") <= 6, "{said}");
    assert!(ticks <= 20, "{ticks} ticks of 10 ms");
    live.limit_descriptors(1024);
    live.wait_identical(SOON * 3);
    live.stop();
    drop(room);
}
