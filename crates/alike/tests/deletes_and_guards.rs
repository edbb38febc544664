//! What leaves the source leaves the replica, and what must never be taken for that.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::fs;

use alike_testkit::{Mount, Pair, Run, Snapshot, compare, root_or_say};
use common::{SOON, events, has, pair, pair_with_files};

#[test]
fn what_is_gone_from_the_source_goes_from_the_replica() {
    let pair = pair_with_files(40);
    pair.source.symlink("link", "x").fifo("pipe").folder("hollow").file("full/sub/file", "x");
    pair.mirrored();
    for gone in ["link", "pipe", "hollow", "full", "even/file-000", "odd/file-001"] {
        pair.source.remove(gone);
    }
    pair.mirrored();
}

#[test]
fn a_few_things_of_its_own_on_a_fresh_replica_are_removed() {
    let pair = pair_with_files(6);
    pair.replica.file("stranger", "x").file("strangers/one", "x").symlink("strange link", "x");
    pair.mirrored();
}

/// Runs `once`, which must be refused with one of `codes` and a short message and change neither side.
#[track_caller]
fn refused(pair: &Pair, flags: &[&str], codes: &[i32]) -> Run {
    let (source, replica) = (pair.source_now(), Snapshot::of(pair.replica.top()).without_own_folder());
    let run = pair.once_with(flags);
    run.expect_one_of(codes).expect_short_message();
    assert_eq!(source.changes(&pair.source_now()), [""; 0], "{}", run.report());
    let after = Snapshot::of(pair.replica.top()).without_own_folder();
    assert_eq!(replica.changes(&after), [""; 0], "{}", run.report());
    run
}

#[test]
fn an_emptied_source_is_refused() {
    let pair = pair_with_files(12);
    pair.mirrored();
    pair.source.remove("even").remove("odd");
    refused(&pair, &[], &[3]);
    pair.once_with(&["--json"]).expect(3);
}

#[test]
fn a_small_replica_follows_a_source_that_was_emptied() {
    let pair = pair();
    pair.source.file("one", "x").file("two", "x");
    pair.mirrored();
    pair.source.remove("one").remove("two");
    pair.mirrored();
}

#[test]
fn a_missing_source_is_refused() {
    let pair = pair_with_files(3);
    pair.mirrored();
    fs::rename(pair.source.top(), pair.beside("elsewhere")).unwrap();
    let replica = pair.replica_now();
    let run = pair.once();
    run.expect(3).expect_short_message().expect_message_with("source");
    assert_eq!(replica.changes(&pair.replica_now()), [""; 0]);
    assert!(!pair.source.has(""), "a missing source is not made");
}

#[test]
fn a_missing_source_makes_no_replica() {
    let pair = pair();
    pair.source.remove("");
    pair.once().expect(3).expect_short_message();
    assert!(!pair.replica.has(""));
}

#[test]
fn a_source_that_is_a_file_is_refused() {
    let pair = pair_with_files(3);
    pair.mirrored();
    pair.source.remove("");
    fs::write(pair.source.top(), "a file").unwrap();
    let replica = pair.replica_now();
    pair.once().expect(3).expect_short_message();
    assert_eq!(replica.changes(&pair.replica_now()), [""; 0]);
}

#[test]
fn a_replica_that_is_a_file_is_refused() {
    let pair = pair_with_files(3);
    fs::write(pair.replica.top(), "precious").unwrap();
    pair.once().expect(3).expect_short_message();
    assert_eq!(fs::read(pair.replica.top()).unwrap(), b"precious");
}

#[test]
fn the_same_folder_twice_is_refused() {
    let pair = pair_with_files(3);
    std::os::unix::fs::symlink(pair.source.top(), pair.beside("link")).unwrap();
    let before = pair.source_now();
    for replica in
        [pair.beside("source"), pair.beside("link"), pair.beside("link/"), pair.beside("source/even/..")]
    {
        for verb in ["once", "plan", "mirror"] {
            let run = pair.alike.run([verb.as_ref(), pair.source.top().as_os_str(), replica.as_os_str()]);
            run.expect(2).expect_short_message();
            assert_eq!(before.changes(&pair.source_now()), [""; 0], "{}", run.report());
        }
    }
}

#[test]
fn the_same_folder_through_a_bind_mount_is_refused() {
    if !root_or_say("a bind mount") {
        return;
    }
    let pair = pair_with_files(3);
    let _twin = Mount::bind(pair.source.top(), pair.replica.top());
    let before = pair.source_now();
    pair.once().expect(2).expect_short_message();
    assert_eq!(before.changes(&pair.source_now()), [""; 0]);
}

#[test]
fn one_folder_inside_the_other_is_refused() {
    let pair = pair_with_files(3);
    std::os::unix::fs::symlink(pair.source.top(), pair.beside("link")).unwrap();
    let room = pair.beside("");
    let before = Snapshot::of(&room);
    let cases = [
        (pair.beside("source"), pair.beside("source/even")),
        (pair.beside("source"), pair.beside("source/not/yet")),
        (pair.beside("source"), pair.beside("link/even")),
        (pair.beside("source"), pair.beside("link/not/yet")),
        (pair.beside("source/even"), pair.beside("source")),
        (pair.beside("link/even"), pair.beside("source")),
    ];
    for (source, replica) in cases {
        let run = pair.alike.once(&[], &source, &replica);
        run.expect(2).expect_short_message();
        assert_eq!(before.changes(&Snapshot::of(&room)), [""; 0], "{}", run.report());
    }
}

#[test]
fn a_replica_inside_the_source_is_fine_when_it_is_excluded() {
    let pair = pair_with_files(3);
    let replica = pair.source.path("backup");
    for _ in 0..2 {
        pair.alike.once(&["--exclude", "/backup"], pair.source.top(), &replica).expect(0);
        assert!(replica.join("even/file-000").exists() && !replica.join("backup").exists());
    }
}

#[test]
fn the_replica_of_another_source_is_refused() {
    let pair = pair_with_files(6);
    pair.mirrored();
    let before = pair.replica_now();
    let other = alike_testkit::Tree::make(pair.beside("other"));
    other.file("mine", "x");
    for alike in [&pair.alike, &pair.alike.another()] {
        let run = alike.once(&[], other.top(), pair.replica.top());
        run.expect(3).expect_short_message();
        assert_eq!(before.changes(&pair.replica_now()), [""; 0], "{}", run.report());
    }
    pair.mirrored();
}

#[test]
fn two_alikes_on_one_replica_are_refused() {
    let pair = pair_with_files(6);
    let mut live = pair.mirror_with(&[]);
    live.wait_identical(SOON);
    refused(&pair, &[], &[3]);
    let run = pair.alike.another().once(&[], pair.source.top(), pair.replica.top());
    run.expect(3).expect_short_message();
    pair.source.file("later", "x");
    live.wait_identical(SOON);
    live.stop();
    pair.mirrored();
}

#[test]
fn a_killed_alike_does_not_lock_the_replica_for_ever() {
    let pair = pair_with_files(6);
    let mut live = pair.mirror_with(&[]);
    live.wait_identical(SOON);
    live.kill();
    pair.source.file("later", "x");
    pair.mirrored();
}

#[test]
fn most_of_the_tree_gone_is_held_and_copies_go_ahead() {
    let pair = pair_with_files(40);
    pair.mirrored();
    for i in 0..30 {
        pair.source.remove(format!("{}/file-{i:03}", if i % 2 == 0 { "even" } else { "odd" }));
    }
    pair.source.file("new", "arrives").file("even/file-030", "edited, and longer");
    let run = pair.once_with(&["--json"]);
    run.expect(3);
    for i in 0..30 {
        assert!(pair.replica.has(format!("{}/file-{i:03}", if i % 2 == 0 { "even" } else { "odd" })));
    }
    assert_eq!(pair.replica.read("new"), b"arrives");
    assert_eq!(pair.replica.read("even/file-030"), b"edited, and longer");
    let events = events(&run);
    assert!(!events.iter().any(|e| e.action == "delete" || e.action == "rmdir"), "{}", run.report());
    assert!(
        has(&events, "hold", "even/file-000") || events.iter().any(|e| e.action == "halt"),
        "{}",
        run.report()
    );
    let again = pair.once();
    again.expect(3).expect_short_message().expect_message_with("--allow-deletes");
}

#[test]
fn allow_deletes_lets_one_pass_delete_and_no_more() {
    let pair = pair_with_files(60);
    pair.mirrored();
    pair.source.remove("even");
    pair.source.remove("odd").file("left", "x");
    pair.once().expect(3);
    pair.mirrored_with(&["--allow-deletes"]);
    for i in 0..40 {
        pair.source.file(format!("again/{i}"), "x");
    }
    pair.mirrored();
    pair.source.remove("again");
    pair.once().expect(3);
}

#[test]
fn max_delete_counts_and_shares() {
    let gone = |pair: &Pair, count: usize| {
        for i in 0..count {
            pair.source.remove(format!("{}/file-{i:03}", if i % 2 == 0 { "even" } else { "odd" }));
        }
    };
    let pair = pair_with_files(100);
    pair.mirrored();
    gone(&pair, 30);
    pair.once_with(&["--max-delete", "20"]).expect(3);
    pair.once_with(&["--max-delete", "25%"]).expect(3);
    assert!(pair.replica.has("even/file-000") && pair.replica.has("odd/file-029"));
    pair.mirrored_with(&["--max-delete", "35%"]);

    let pair = pair_with_files(100);
    pair.mirrored();
    gone(&pair, 30);
    pair.mirrored_with(&["--max-delete", "30"]);
}

#[test]
fn fewer_than_ten_deletions_pass_the_default_guard() {
    let pair = pair_with_files(8);
    pair.mirrored();
    pair.source.remove("even").remove("odd/file-001").remove("odd/file-003");
    pair.mirrored();
}

#[test]
fn no_delete_keeps_everything_and_says_that_the_replica_differs() {
    let pair = pair_with_files(6);
    pair.mirrored();
    pair.source.remove("even/file-000").file("new", "x");
    let run = pair.once_with(&["--no-delete", "--json"]);
    run.expect(1);
    assert!(pair.replica.has("even/file-000") && pair.replica.has("new"));
    assert!(has(&events(&run), "hold", "even/file-000"), "{}", run.report());
    pair.mirrored();
}

#[test]
fn a_big_move_is_no_deletion() {
    let pair = pair_with_files(60);
    pair.mirrored();
    pair.source.rename("even", "moved/here").rename("odd", "moved/there");
    pair.mirrored();
}

#[test]
fn a_replica_that_was_emptied_or_removed_is_built_again() {
    let pair = pair_with_files(20);
    pair.mirrored();
    pair.replica.remove("even").remove("odd");
    pair.mirrored();
    pair.replica.remove("");
    pair.mirrored();
}

#[test]
fn another_filesystem_where_the_replica_was_halts_the_pass() {
    if !root_or_say("a mount over the replica") {
        return;
    }
    let pair = pair_with_files(20);
    let drive = Mount::tmpfs(pair.replica.top(), "4m");
    pair.mirrored();
    drop(drive);
    pair.once().expect(3).expect_short_message();
    assert!(!pair.replica.has("even"), "the folder below the mount point was not filled");
}

#[test]
fn another_filesystem_where_the_source_was_halts_the_pass() {
    if !root_or_say("a mount over the source") {
        return;
    }
    let pair = pair();
    let drive = Mount::tmpfs(pair.source.top(), "4m");
    pair.source.file("on the drive", "x").file("more", "x");
    pair.mirrored();
    let before = pair.replica_now();
    drop(drive);
    pair.source.file("left below the mount point", "x");
    pair.once().expect(3).expect_short_message();
    assert_eq!(before.changes(&pair.replica_now()), [""; 0]);
}

// ---- what is not alike's ----

#[test]
fn what_is_mounted_on_the_replica_where_the_source_has_nothing_is_not_deleted() {
    if !root_or_say("mounts") {
        return;
    }
    let pair = pair_with_files(4);
    pair.source.file("gone/file", "x");
    pair.mirrored();
    let disk = Mount::tmpfs(&pair.replica.path("usb"), "4m");
    let deeper = Mount::tmpfs(&pair.replica.path("gone/deeper"), "4m");
    // On the same filesystem as the trash, and still not alike's.
    let elsewhere = pair.beside("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    let bound = Mount::bind(&elsewhere, &pair.replica.path("bound"));
    for top in ["usb", "gone/deeper", "bound"] {
        pair.replica.file(format!("{top}/folder/precious"), "x");
    }
    pair.source.remove("gone");
    for flags in [&[][..], &["--allow-deletes"]] {
        let run = pair.once_with(flags);
        run.expect(1);
        for top in ["usb", "gone/deeper", "bound"] {
            assert!(
                run.out().contains(&format!("hold    {top}  something is mounted here")),
                "{}",
                run.report()
            );
            assert_eq!(pair.replica.read(format!("{top}/folder/precious")), b"x", "{}", run.report());
        }
        assert!(!pair.replica.has("gone/file"), "{}", run.report());
    }
    let mut live = pair.mirror_with(&["--interval", "1h"]);
    live.wait_for_output("something is mounted here", SOON);
    live.stop();
    assert!(pair.replica.has("usb/folder/precious"));
    drop((disk, deeper, bound));
    pair.mirrored();
}

#[test]
fn what_is_mounted_on_the_replica_for_a_folder_of_the_source_is_mirrored_into_until_that_folder_goes() {
    if !root_or_say("mounts") {
        return;
    }
    let pair = pair();
    pair.source.file("large/kept", "x").file("large/gone", "x");
    let disk = Mount::tmpfs(&pair.replica.path("large"), "4m");
    pair.mirrored();
    pair.source.remove("large/gone");
    pair.mirrored();
    pair.source.remove("large");
    pair.once().expect(1);
    assert!(pair.replica.has("large/kept"));
    drop(disk);
    pair.mirrored();
}

#[test]
fn a_folder_that_is_the_replica_of_another_source_is_not_deleted() {
    let (pair, other) = (pair_with_files(4), pair_with_files(4));
    pair.source.file("gone/file", "x");
    pair.mirrored();
    for place in ["other", "gone/deep/other"] {
        fs::create_dir_all(pair.replica.path(place)).unwrap();
        other.alike.once(&[], other.source.top(), &pair.replica.path(place)).expect(0);
    }
    pair.source.remove("gone");
    for flags in [&[][..], &["--allow-deletes"]] {
        let run = pair.once_with(flags);
        run.expect(1);
        for place in ["other", "gone/deep/other"] {
            let told = format!("hold    {place}  it is the replica of another source; move it away");
            assert!(run.out().contains(&told), "{}", run.report());
            assert_eq!(compare(other.source.top(), &pair.replica.path(place)), [""; 0]);
        }
        assert!(!pair.replica.has("gone/file"), "{}", run.report());
    }
    for place in ["other", "gone/deep/other"] {
        fs::remove_dir_all(pair.replica.path(place)).unwrap();
    }
    pair.mirrored();
}

#[test]
fn a_replica_that_lay_in_the_source_goes_with_it() {
    let (pair, other) = (pair_with_files(40), pair_with_files(4));
    other.alike.once(&[], other.source.top(), &pair.source.path("in it/copy")).expect(0);
    pair.mirrored();
    assert!(pair.replica.has("in it/copy/.alike/pair.json"));
    pair.source.remove("in it");
    pair.mirrored();
}
