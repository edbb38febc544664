//! The world moves under a mirror that watches: mounts come and go, the source is deleted, exchanged and brought back, and
//! the replica is touched.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use alike_testkit::{Live, Mount, Pair, Tree, compare, root_or_say, wait_until};
use common::{SOON, pair, pair_with_files, text};

/// A mirror that looks at everything so seldom that what arrives was heard.
fn hearing(pair: &Pair, means: &str) -> Live {
    let mut live = pair.mirror_with(&["--watcher", means, "--interval", "1h"]);
    live.wait_for_output(&format!("{means}: "), SOON);
    live.wait_identical(SOON);
    live
}

fn system(program: &str, args: &[&str]) {
    let done = Command::new(program).args(args).output().unwrap();
    assert!(done.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&done.stderr));
}

/// Waits until it says so often that it does nothing now.
fn halts(live: &mut Live, why: &str, times: usize) {
    let halted = wait_until(SOON, || {
        live.out().lines().filter(|line| line.contains(" halt ") && line.contains(why)).count() >= times
    });
    assert!(halted, "not halted: {}", live.out());
}

// ---- inside the source ----

#[test]
fn another_filesystem_and_a_bind_mount_inside_the_source_are_watched_too() {
    if !root_or_say("mounts") {
        return;
    }
    for means in ["fanotify", "inotify"] {
        let pair = pair_with_files(10);
        let outside = Tree::make(pair.beside("outside"));
        outside.file("deep/file", "x");
        let inner = Mount::tmpfs(&pair.source.path("inner"), "4m");
        let bound = Mount::bind(outside.top(), &pair.source.path("bound"));
        pair.source.file("inner/deep/file", "x");
        let mut live = hearing(&pair, means);
        for round in 0..3 {
            pair.source
                .file("inner/deep/file", format!("round {round}"))
                .file(format!("inner/{round}/new"), "x");
            live.wait_identical(SOON);
            pair.source.file("bound/deep/file", format!("round {round}"));
            live.wait_identical(SOON);
            outside.file("deep/file", format!("from its own path, round {round}"));
            live.wait_identical(SOON);
        }
        live.stop();
        drop((inner, bound));
    }
}

#[test]
fn a_filesystem_that_is_mounted_inside_the_source_later_is_mirrored_and_watched() {
    if !root_or_say("mounts") {
        return;
    }
    for means in ["fanotify", "inotify"] {
        let pair = pair_with_files(10);
        pair.source.folder("inner");
        let mut live = hearing(&pair, means);
        let inner = Mount::tmpfs(&pair.source.path("inner"), "4m");
        pair.source.file("inner/deep/file", "x");
        live.wait_identical(SOON);
        pair.source.file("inner/deep/file", "edited");
        live.wait_identical(SOON);
        live.stop();
        drop(inner);
    }
}

/// What was mounted inside is gone, and nobody deleted it: that is judged as a whole, and most of the replica is too much.
fn unmounted_inside(pair: &Pair, means: &str, inner: Mount) {
    let mut live = hearing(pair, means);
    assert!(pair.replica.has("inner/file-19"));
    // It may be in use for a moment.
    system("umount", &["-l", text(inner.at())]);
    std::thread::sleep(Duration::from_secs(4));
    let kept = (0..20).all(|i| pair.replica.has(format!("inner/file-{i}")));
    assert!(kept, "nothing of it is deleted: {}", live.out());
    assert!(live.out().contains("would delete"), "{}", live.out());
    pair.source.file("even/file-000", "edited meanwhile");
    let arrives = || pair.replica.read("even/file-000") == b"edited meanwhile";
    assert!(wait_until(SOON, arrives), "{}", live.out());
    live.stop();
    std::mem::forget(inner);
}

#[test]
fn a_filesystem_that_is_unmounted_inside_the_source_counts_as_no_announced_deletion() {
    if !root_or_say("mounts") {
        return;
    }
    for means in ["fanotify", "inotify"] {
        let pair = pair_with_files(10);
        let inner = Mount::tmpfs(&pair.source.path("inner"), "4m");
        for i in 0..20 {
            pair.source.file(format!("inner/file-{i}"), "x");
        }
        unmounted_inside(&pair, means, inner);
    }
}

#[test]
fn a_bind_mount_that_ends_inside_the_source_counts_as_no_announced_deletion() {
    if !root_or_say("mounts") {
        return;
    }
    for means in ["fanotify", "inotify"] {
        let pair = pair_with_files(10);
        let outside = Tree::make(pair.beside("outside"));
        for i in 0..20 {
            outside.file(format!("file-{i}"), "x");
        }
        let inner = Mount::bind(outside.top(), &pair.source.path("inner"));
        unmounted_inside(&pair, means, inner);
    }
}

#[test]
fn a_subvolume_inside_the_source_is_watched_too() {
    if !root_or_say("a filesystem") {
        return;
    }
    for means in ["auto", "inotify"] {
        let mut pair = pair();
        let disk = Mount::loop_filesystem(&pair.beside("disk"), "btrfs", 120);
        pair.source = Tree::make(disk.at().join("source"));
        system("btrfs", &["-q", "subvolume", "create", text(&pair.source.path("inner"))]);
        pair.source.file("inner/deep/file", "x").file("file", "x");
        let mut live = pair.mirror_with(&["--watcher", means, "--interval", "1h"]);
        live.wait_for_output("notify: ", SOON);
        live.wait_identical(SOON);
        eprintln!("{}", live.out());
        pair.source.file("inner/deep/file", "edited");
        live.wait_identical(SOON);
        pair.source.file("file", "edited");
        live.wait_identical(SOON);
        live.stop();
        drop(disk);
    }
}

// ---- the source as a whole ----

#[test]
fn a_source_that_is_unmounted_and_mounted_again_is_halted_for_and_heard_again() {
    if !root_or_say("a drive") {
        return;
    }
    for means in ["fanotify", "inotify"] {
        let mut pair = pair();
        let at = pair.beside("drive");
        let drive = Mount::loop_filesystem(&at, "ext4", 32);
        pair.source = Tree::make(at.join("source"));
        for i in 0..20 {
            pair.source.file(format!("folder/file-{i}"), "x");
        }
        let mut live = hearing(&pair, means);
        for round in 0..2 {
            system("umount", &["-l", text(&at)]);
            halts(&mut live, "does not exist", round + 1);
            assert!((0..20).all(|i| pair.replica.has(format!("folder/file-{i}"))), "{}", live.out());
            system("mount", &["-o", "loop", text(&at.with_extension("img")), text(&at)]);
            pair.source.file(format!("folder/since {round}"), "x");
            live.wait_identical(SOON);
            pair.source.file(format!("folder/since {round}"), "heard again");
            live.wait_identical(SOON);
        }
        live.stop();
        drop(drive);
    }
}

#[test]
fn a_source_that_is_away_for_too_short_to_be_missed_is_heard_all_the_same() {
    if !root_or_say("a drive") {
        return;
    }
    for means in ["fanotify", "inotify"] {
        let mut pair = pair();
        let at = pair.beside("drive");
        let drive = Mount::loop_filesystem(&at, "ext4", 32);
        pair.source = Tree::make(at.join("source"));
        pair.source.file("folder/file", "x");
        let mut live = hearing(&pair, means);
        live.stand_still();
        system("umount", &["-l", text(&at)]);
        system("mount", &["-o", "loop", text(&at.with_extension("img")), text(&at)]);
        live.go_on();
        for round in 0..3 {
            pair.source.file("folder/file", format!("round {round}")).file(format!("new-{round}/file"), "x");
            live.wait_identical(SOON);
        }
        live.stop();
        drop(drive);
    }
}

#[test]
fn a_source_that_is_deleted_and_made_again_is_mirrored_and_watched_again() {
    for means in both() {
        let pair = pair_with_files(6);
        let mut live = hearing(&pair, means);
        pair.source.remove("");
        halts(&mut live, "does not exist", 1);
        pair.source.file("another/file", "x");
        live.wait_identical(SOON);
        pair.source.file("another/file", "edited");
        live.wait_identical(SOON);
        live.stop();
    }
}

#[test]
fn a_source_that_is_replaced_by_a_symlink_to_elsewhere_is_refused_until_it_is_back() {
    for means in both() {
        let pair = pair_with_files(20);
        let elsewhere = Tree::make(pair.beside("elsewhere"));
        elsewhere.file("not the source", "x");
        let mut live = hearing(&pair, means);
        fs::rename(pair.source.top(), pair.beside("away")).unwrap();
        std::os::unix::fs::symlink(elsewhere.top(), pair.source.top()).unwrap();
        halts(&mut live, "another source", 1);
        elsewhere.file("more", "x");
        std::thread::sleep(Duration::from_millis(500));
        assert_eq!(compare(&pair.beside("away"), pair.replica.top()), [""; 0]);
        fs::remove_file(pair.source.top()).unwrap();
        fs::rename(pair.beside("away"), pair.source.top()).unwrap();
        pair.source.file("back", "x");
        live.wait_identical(SOON);
        pair.source.file("back", "and heard");
        live.wait_identical(SOON);
        live.stop();
    }
}

#[test]
fn a_source_whose_folder_above_is_renamed_is_missed_at_once() {
    for means in both() {
        let mut pair = pair();
        let above = Tree::make(pair.beside("above"));
        pair.source = Tree::make(above.path("source"));
        for i in 0..20 {
            pair.source.file(format!("file-{i}"), "x");
        }
        let mut live = hearing(&pair, means);
        fs::rename(above.top(), pair.beside("renamed")).unwrap();
        if means == "fanotify" {
            halts(&mut live, "does not exist", 1);
        }
        fs::write(pair.beside("renamed/source/file-0"), "edited under another path").unwrap();
        std::thread::sleep(Duration::from_millis(500));
        assert!((0..20).all(|i| pair.replica.has(format!("file-{i}"))), "{}", live.out());
        fs::rename(pair.beside("renamed"), above.top()).unwrap();
        live.wait_identical(SOON);
        pair.source.file("file-1", "heard");
        live.wait_identical(SOON);
        live.stop();
    }
}

fn both() -> impl Iterator<Item = &'static str> {
    ["fanotify", "inotify"].into_iter().filter(|means| *means == "inotify" || root_or_say("fanotify"))
}

// ---- drift ----

#[test]
fn what_is_changed_on_the_replica_is_put_right_by_the_interval_kept_and_said() {
    let pair = pair_with_files(10);
    let mut live = pair.mirror_with(&["--interval", "1", "--json"]);
    live.wait_identical(SOON);
    // Until a full pass has looked once more, a change in the same tick could hide in the source.
    std::thread::sleep(Duration::from_millis(2500));
    pair.replica
        .file("even/file-000", "somebody wrote to the replica")
        .file("stranger", "somebody made it")
        .mode("odd", 0o700)
        .remove("odd/file-001");
    live.wait_identical(SOON);
    live.stop();
    let said = common::parse(&live.out());
    for (action, path) in [("update", "even/file-000"), ("delete", "stranger"), ("create", "odd/file-001")] {
        assert!(common::has(&said, action, path), "{action} {path}: {}", live.out());
    }
    let of = |path: &str| said.iter().rfind(|event| event.path == path).unwrap().text("reason").to_owned();
    assert_eq!(of("even/file-000"), "size 29→9; the replica was changed");
    assert_eq!(of("odd/file-001"), "lost on the replica");
    for content in ["somebody wrote to the replica", "somebody made it"] {
        assert!(is_kept(&pair.replica.path(".alike/trash"), content), "{content:?} is in the trash");
    }
}

fn is_kept(folder: &Path, content: &str) -> bool {
    fs::read_dir(folder).unwrap().flatten().any(|entry| match entry.file_type().unwrap() {
        kind if kind.is_dir() => is_kept(&entry.path(), content),
        kind => kind.is_file() && fs::read(entry.path()).is_ok_and(|bytes| bytes == content.as_bytes()),
    })
}
