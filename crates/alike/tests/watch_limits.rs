//! Where watching has its limits (queues that run over, marks that run out, filesystems that tell nothing), all arrives
//! nevertheless.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::fs;
use std::time::Duration;

use alike_testkit::{FaultyDisk, Live, Mount, Pair, Setting, Tree, root_or_say, wait_until};
use common::{SOON, nothing_to_do, pair, pair_with_files, text};

/// What is not heard is found by looking at everything every ten seconds or so.
const LOOKED_AT: Duration = Duration::from_secs(40);

/// A storm that no queue of 64 can hold, over and over: all of it arrives.
fn a_storm_over_a_short_queue(means: &str) {
    if !root_or_say("kernel settings") {
        return;
    }
    let pair = pair_with_files(10);
    let short = Setting::change(&format!("fs/{means}/max_queued_events"), "64");
    let flags = ["--watcher", means, "--interval", "1h", "--max-delete", "100%"];
    let mut live = pair.mirror_with(&flags);
    live.wait_for_output(&format!("{means}: "), SOON);
    drop(short);
    live.wait_identical(SOON);
    for i in 0..6000 {
        pair.source.file(format!("storm/{}/{}/file-{i}", i % 20, i % 7), format!("content {i}"));
    }
    for i in 0..20 {
        pair.source.rename(format!("storm/{i}"), format!("renamed-{i}"));
    }
    for i in (0..6000).filter(|i| i % 20 < 10) {
        pair.source.remove(format!("renamed-{}/{}/file-{i}", i % 20, i % 7));
    }
    for i in (0..6000).filter(|i| i % 20 >= 10) {
        pair.source.append(format!("renamed-{}/{}/file-{i}", i % 20, i % 7), "and more");
    }
    eprintln!("{means}: identical after {:?}", live.wait_identical(Duration::from_secs(60)));
    assert!(live.out().contains("the queue ran over"), "{}", live.out());
    assert!(live.out().contains(&format!("sysctl fs.{means}.max_queued_events")), "{}", live.out());
    pair.source.file("after the storm", "x");
    live.wait_identical(SOON);
    live.stop();
    nothing_to_do(&pair);
}

#[test]
fn a_storm_over_a_short_queue_of_fanotify_ends_identical() {
    a_storm_over_a_short_queue("fanotify");
}

#[test]
fn a_storm_over_a_short_queue_of_inotify_ends_identical() {
    a_storm_over_a_short_queue("inotify");
}

/// From now on runs where a user has so many marks and no more.
fn limit_marks(pair: &mut Pair, most: u32) {
    pair.alike.run_after(&format!(
        "exec unshare --user --map-root-user sh -c 'echo {most} > /proc/sys/user/max_inotify_watches; \
         exec \"$0\" \"$@\"' \"$0\" \"$@\""
    ));
}

/// A pair with so many folders, of which the first changed longest ago.
fn with_folders(count: u32) -> Pair {
    let pair = pair();
    for i in 0..count {
        pair.source.file(format!("folder-{i:02}/file"), "x");
        pair.source.mtime(format!("folder-{i:02}"), 1_000_000_000 + i64::from(i) * 1000, 0);
    }
    pair
}

fn arrives(pair: &Pair, path: &str, content: &str, limit: Duration) -> bool {
    fs::write(pair.source.path(path), content).unwrap();
    wait_until(limit, || pair.replica.has(path) && pair.replica.read(path) == content.as_bytes())
}

#[test]
fn when_marks_run_out_the_folders_that_changed_last_keep_theirs_and_the_others_are_looked_at() {
    if !root_or_say("a limit of marks") {
        return;
    }
    let mut pair = with_folders(40);
    limit_marks(&mut pair, 12);
    let mut live = pair.mirror_with(&["--watcher", "inotify", "--interval", "1h"]);
    live.wait_for_output("unwatched, looked at again and again; raise the limit: sysctl", SOON);
    live.wait_identical(SOON);
    for i in 35..40 {
        let path = format!("folder-{i:02}/file");
        assert!(arrives(&pair, &path, "edited", Duration::from_secs(3)), "{path}: {}", live.out());
    }
    assert!(arrives(&pair, "folder-00/file", "edited", LOOKED_AT), "{}", live.out());
    live.wait_identical(LOOKED_AT);
    let said = live.out().matches("unwatched").count();
    assert!(said <= 2, "it says so once, not at every look: {}", live.out());
    live.stop();
}

#[test]
fn when_marks_run_out_later_what_loses_its_mark_is_looked_at_all_the_same() {
    if !root_or_say("a limit of marks") {
        return;
    }
    let mut pair = with_folders(10);
    limit_marks(&mut pair, 13);
    let mut live = pair.mirror_with(&["--watcher", "inotify", "--interval", "1h"]);
    live.wait_for_output("inotify: 11 folders", SOON);
    live.wait_identical(SOON);
    for i in 0..6 {
        pair.source.file(format!("new-{i}/file"), "x");
    }
    live.wait_identical(SOON);
    assert!(arrives(&pair, "new-5/file", "edited", Duration::from_secs(3)), "{}", live.out());
    for i in 0..10 {
        pair.source.file(format!("folder-{i:02}/file"), "edited");
    }
    live.wait_identical(LOOKED_AT);
    live.stop();
}

#[test]
fn without_any_queue_it_says_so_and_what_to_do_and_the_interval_finds_everything() {
    if !root_or_say("a limit of queues") {
        return;
    }
    let mut pair = pair_with_files(4);
    pair.alike.run_after(
        "exec unshare --user --map-root-user sh -c 'echo 0 > /proc/sys/user/max_inotify_instances; \
         exec \"$0\" \"$@\"' \"$0\" \"$@\"",
    );
    let mut live = pair.mirror_with(&["--interval", "1"]);
    live.wait_for_output("not watching", SOON);
    live.wait_for_output("sysctl fs.inotify.max_user_instances", SOON);
    live.wait_identical(SOON);
    assert!(arrives(&pair, "even/file-000", "edited", SOON), "{}", live.out());
    live.stop();
}

/// What others change on a filesystem that is not this kernel's alone is found by looking again and again.
fn is_known_as_shared(live: &mut Live) {
    live.wait_for_output("looked at again and again", SOON);
    live.wait_identical(SOON);
}

#[test]
fn what_changes_below_an_overlay_is_found_by_looking_again_and_again() {
    if !root_or_say("an overlay") {
        return;
    }
    let mut pair = pair();
    let layers = Tree::make(pair.beside("layers"));
    // Of its own, for not every filesystem can be a layer.
    let room = Mount::tmpfs(layers.top(), "16m");
    layers.file("below/folder/file", "below").file("above/own", "above");
    let overlay = Mount::overlay(
        &pair.beside("overlay"),
        &layers.path("below"),
        &layers.path("above"),
        &layers.path("aside"),
    );
    pair.source = Tree::at(overlay.at());
    let mut live = pair.mirror_with(&["--interval", "1h"]);
    is_known_as_shared(&mut live);
    pair.source.file("folder/through it", "x");
    live.wait_identical(SOON);
    layers.file("below/folder/file", "edited below, which nobody tells of");
    live.wait_identical(LOOKED_AT);
    live.stop();
    drop((overlay, room));
}

#[test]
fn a_source_that_a_program_serves_is_known_as_shared() {
    if !root_or_say("FUSE") {
        return;
    }
    let mut pair = pair();
    let disk = FaultyDisk::mount(&pair.beside("served"), false);
    pair.source = Tree::make(disk.at().join("source"));
    pair.source.file("folder/file", "x");
    let mut live = pair.mirror_with(&["--interval", "1h"]);
    is_known_as_shared(&mut live);
    pair.source.file("folder/file", "edited").file("folder/new", "x");
    live.wait_identical(SOON);
    live.stop();
    drop(disk);
}

#[test]
fn what_a_program_serves_inside_the_source_is_known_as_shared() {
    if !root_or_say("FUSE") {
        return;
    }
    let pair = pair_with_files(4);
    let disk = FaultyDisk::mount(&pair.source.path("served"), false);
    pair.source.file("served/folder/file", "x");
    let mut live = pair.mirror_with(&["--interval", "1h"]);
    is_known_as_shared(&mut live);
    pair.source.file("served/folder/file", "edited");
    live.wait_identical(SOON);
    live.stop();
    assert!(text(disk.at()).ends_with("served"));
    drop(disk);
}

#[test]
fn who_could_not_watch_at_the_start_does_so_as_soon_as_an_interval_finds_that_it_can() {
    if !root_or_say("a limit of queues") {
        return;
    }
    let mut pair = pair_with_files(4);
    let lifted = pair.beside("lifted");
    pair.alike.run_after(&format!(
        "exec unshare --user --map-root-user sh -c 'echo 0 > /proc/sys/user/max_inotify_instances; \
         (until [ -e {} ]; do sleep 0.1; done; echo 128 > /proc/sys/user/max_inotify_instances) & \
         exec \"$0\" \"$@\"' \"$0\" \"$@\"",
        text(&lifted)
    ));
    let mut live = pair.mirror_with(&["--interval", "2"]);
    live.wait_for_output("not watching", SOON);
    live.wait_identical(SOON);
    fs::write(&lifted, "").unwrap();
    live.wait_for_output("inotify: 3 folders", SOON);
    assert_eq!(live.out().matches("not watching").count(), 1, "{}", live.out());
    live.stop();
}
