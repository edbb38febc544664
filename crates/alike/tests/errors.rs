//! What cannot be read or written is reported, holds back only itself, and is never taken for absent.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::fs;
use std::path::Path;

use alike_testkit::{Mount, NOBODY, Pair, Snapshot, root_or_say, wait_until};
use common::{SOON, events, pair_with_files};

/// A pair of files that belong to a user without rights, whom alike runs as; none when not root.
fn humble_pair(count: usize) -> Option<Pair> {
    if !root_or_say("running alike as another user") {
        return None;
    }
    let mut pair = pair_with_files(count);
    pair.source.file("locked/inner", "x").file("locked/sub/deeper", "x").file("secret", "old");
    pair.hand_to(NOBODY);
    Some(pair)
}

/// `path` is still below the user's rights after the test wrote as root.
fn give_back(pair: &Pair) {
    alike_testkit::give_tree_to(pair.source.top(), NOBODY).unwrap();
}

#[test]
fn an_unreadable_folder_is_not_absent() {
    let Some(pair) = humble_pair(20) else { return };
    pair.mirrored();
    pair.source.remove("even/file-000").file("new", "x");
    give_back(&pair);
    pair.source.mode("locked", 0);
    let run = pair.once_with(&["--json"]);
    run.expect(1);
    assert!(pair.replica.has("locked/inner") && pair.replica.has("locked/sub/deeper"), "{}", run.report());
    assert!(
        !pair.replica.has("even/file-000") && pair.replica.has("new"),
        "the rest goes on: {}",
        run.report()
    );
    let events = events(&run);
    assert!(events.iter().any(|e| e.action == "error" && e.path.starts_with("locked")), "{}", run.report());
    assert!(events.iter().all(|e| e.action != "delete" || !e.path.starts_with("locked")), "{}", run.report());

    pair.source.mode("locked", 0o755);
    pair.mirrored();
}

#[test]
fn an_unreadable_folder_on_a_first_pass_keeps_nothing_else_back() {
    let Some(pair) = humble_pair(20) else { return };
    pair.source.mode("locked", 0);
    let run = pair.once();
    run.expect(1);
    assert!(pair.replica.has("even/file-000") && pair.replica.has("odd/file-019"), "{}", run.report());
    pair.source.mode("locked", 0o755);
    pair.mirrored();
}

#[test]
fn an_unreadable_file_keeps_its_old_version_on_the_replica() {
    let Some(pair) = humble_pair(20) else { return };
    pair.mirrored();
    pair.source
        .file("secret", "new, and longer")
        .mode("secret", 0)
        .file("even/file-000", "edited, and longer");
    let run = pair.once_with(&["--json"]);
    run.expect(1);
    assert_eq!(pair.replica.read("secret"), b"old");
    assert_eq!(pair.replica.read("even/file-000"), b"edited, and longer");
    let errors: Vec<_> = events(&run).into_iter().filter(|e| e.action == "error").collect();
    assert!(errors.iter().any(|e| e.path == "secret"), "{}", run.report());
    assert!(errors.iter().all(|e| e.line["result"] != "ok"), "{}", run.report());
    pair.once().expect(1);
    pair.source.mode("secret", 0o644);
    pair.mirrored();
}

#[test]
fn an_unreadable_file_leaves_no_half_file() {
    let Some(pair) = humble_pair(20) else { return };
    pair.source.mode("secret", 0);
    pair.once().expect(1);
    assert!(!pair.replica.has("secret"));
}

#[test]
fn an_unreadable_file_is_tried_again_while_mirroring() {
    let Some(pair) = humble_pair(20) else { return };
    pair.source.mode("secret", 0);
    let mut live = pair.mirror_with(&["--json"]);
    assert!(wait_until(SOON, || pair.replica.has("odd/file-019")));
    live.wait_for_output("\"error\"", SOON);
    pair.source.file("even/file-000", "goes on");
    assert!(
        wait_until(SOON, || fs::read(pair.replica.path("even/file-000")).is_ok_and(|is| is == b"goes on"))
    );
    pair.source.mode("secret", 0o600);
    live.wait_identical(SOON);
    live.stop();
}

#[test]
fn an_unreadable_source_deletes_nothing() {
    let Some(pair) = humble_pair(20) else { return };
    pair.mirrored();
    let before = pair.replica_now();
    pair.source.mode("", 0);
    let run = pair.once();
    run.expect_one_of(&[1, 3]).expect_short_message();
    assert_eq!(before.paths(), pair.replica_now().paths(), "{}", run.report());
    pair.source.mode("", 0o755);
    pair.mirrored();
}

#[test]
fn a_replica_without_write_permission_is_a_clear_error() {
    let Some(pair) = humble_pair(20) else { return };
    pair.replica.folder("").file("mine", "x");
    let before = Snapshot::of(pair.replica.top());
    let run = pair.once();
    run.expect_one_of(&[1, 3]).expect_short_message().expect_message_with("replica");
    assert_eq!(before.changes(&Snapshot::of(pair.replica.top())), [""; 0]);
}

#[test]
fn a_replica_that_cannot_be_made_is_a_clear_error() {
    let Some(pair) = humble_pair(3) else { return };
    fs::create_dir(pair.beside("closed")).unwrap();
    let run = pair.alike.once(&[], pair.source.top(), &pair.beside("closed/replica"));
    run.expect_one_of(&[1, 3]).expect_short_message().expect_message_with("closed");
}

#[test]
fn a_mirror_without_root_copies_and_updates_what_only_its_owner_may_write() {
    let Some(pair) = humble_pair(3) else { return };
    pair.source.file("sealed/file", "x").folder("sealed/sub");
    give_back(&pair);
    pair.source.mode("sealed/file", 0o444).mode("sealed/sub", 0o555).mode("sealed", 0o555);
    pair.mirrored();
    pair.source.file("sealed/file", "edited").file("sealed/sub/new", "y");
    give_back(&pair);
    pair.source.mode("sealed/file", 0o400);
    pair.mirrored();
    pair.source.remove("sealed/file").remove("sealed/sub");
    pair.mirrored();
    pair.source.remove("sealed");
    pair.mirrored();
}

#[test]
fn a_folder_on_the_replica_that_cannot_be_opened_is_reported_and_the_rest_goes_on() {
    let Some(pair) = humble_pair(20) else { return };
    pair.mirrored();
    pair.replica.owner("locked", 0, 0).mode("locked", 0o700);
    pair.source.file("locked/inner", "edited, and longer").file("new", "x");
    give_back(&pair);
    let run = pair.once();
    run.expect(1);
    assert_eq!(pair.replica.read("locked/inner"), b"x");
    assert!(pair.replica.has("new"), "{}", run.report());
}

#[test]
fn a_full_disk_loses_nothing_and_the_next_pass_goes_on() {
    if !root_or_say("a small filesystem") {
        return;
    }
    let pair = pair_with_files(20);
    let _disk = Mount::tmpfs(pair.replica.top(), "2m");
    pair.source.file("grows", "old version");
    pair.mirrored();
    pair.source.file("grows", vec![b'x'; 8 << 20]).file("huge", vec![b'y'; 8 << 20]).file("small", "fits");
    let run = pair.once();
    run.expect(1);
    assert!(run.err().contains("space") || run.out().contains("space"), "it says why: {}", run.report());
    assert_eq!(pair.replica.read("grows"), b"old version");
    assert!(!pair.replica.has("huge"), "no half file");
    assert_eq!(pair.replica.read("small"), b"fits", "the rest goes on");

    pair.source.file("grows", "small again").remove("huge");
    pair.mirrored();
}

#[test]
fn a_full_disk_while_mirroring_is_survived() {
    if !root_or_say("a small filesystem") {
        return;
    }
    let pair = pair_with_files(20);
    let _disk = Mount::tmpfs(pair.replica.top(), "2m");
    let mut live = pair.mirror_with(&["--json"]);
    live.wait_identical(SOON);
    pair.source.arrives("huge", vec![b'y'; 8 << 20]);
    live.wait_for_output("\"error\"", SOON);
    pair.source.file("small", "fits");
    assert!(wait_until(SOON, || pair.replica.has("small")));
    assert!(!pair.replica.has("huge"), "no half file");
    pair.source.remove("huge");
    live.wait_identical(SOON);
    live.stop();
}

#[test]
fn a_state_folder_that_cannot_be_written_is_a_clear_error_or_no_matter() {
    let Some(pair) = humble_pair(3) else { return };
    fs::create_dir(pair.beside("closed")).unwrap();
    let state = pair.beside("closed/state");
    let words = ["once", "--state-dir", common::text(&state)];
    let run = pair
        .alike
        .run(words.into_iter().chain([common::text(pair.source.top()), common::text(pair.replica.top())]));
    if run.code == Some(0) {
        pair.assert_identical(&run.report());
    } else {
        run.expect_one_of(&[1, 2, 3]).expect_short_message().expect_message_with("closed");
    }
}

/// The first such call for this folder fails.
fn fail_once(pair: &mut Pair, call: &str, folder: &Path) {
    pair.alike.run_after(&format!(
        "exec strace -f -q -o /dev/null -P {} -e trace={call} -e inject={call}:error=EIO:when=1 \"$0\" \"$@\"",
        folder.display()
    ));
}

#[test]
fn a_folder_that_is_made_anew_is_filled_though_it_could_not_be_opened_or_listed_at_once() {
    for call in ["statx", "getdents64"] {
        let mut pair = pair_with_files(30);
        pair.source.file("folder/inner/file", "1").file("folder/file", "2");
        pair.mirrored();
        pair.replica.remove("folder").symlink("folder", "elsewhere");
        let folder = pair.replica.path("folder");
        fail_once(&mut pair, call, &folder);
        pair.mirrored();
    }
}

#[test]
fn a_name_that_gave_way_to_a_folder_is_no_name_outside_though_an_error_came_right_after() {
    let mut pair = pair_with_files(4);
    pair.source.file("stays", "of two names").hard_link("stays", "goes");
    pair.mirrored();
    pair.source.remove("goes").file("goes/file", "1");
    let folder = pair.replica.path("goes");
    fail_once(&mut pair, "statx", &folder);
    pair.mirrored();
}

#[test]
fn a_link_that_is_refused_once_is_no_target_without_links() {
    let mut pair = pair_with_files(4);
    pair.source.file("one", "of two names").hard_link("one", "two");
    pair.mirrored();
    pair.source.hard_link("one", "three");
    // Nothing else is linked in this pass: contents have their names.
    pair.alike.run_after(
        "exec strace -f -q -o /dev/null -e trace=linkat -e inject=linkat:error=EOPNOTSUPP:when=1 \"$0\" \"$@\"",
    );
    pair.mirrored();
}

#[test]
fn a_link_that_is_refused_for_good_makes_copies_that_are_no_work_later() {
    for answer in ["EXDEV", "EPERM"] {
        let mut pair = pair_with_files(4);
        pair.source.file("one", "of many names").file("folder/other", "x").hard_link("one", "two");
        pair.mirrored();
        pair.source.hard_link("one", "folder/three").hard_link("two", "folder/four");
        // Copied already, they take no link to get their names.
        pair.replica.file("folder/three", "of many names").file("folder/four", "of many names");
        pair.alike.run_after(&format!(
            "exec strace -f -q -o /dev/null -e trace=linkat -e inject=linkat:error={answer} \"$0\" \"$@\""
        ));
        let run = pair.once();
        run.expect(0).expect_message_with("cannot hold: hard links");
        let inodes = || ["one", "two", "folder/three", "folder/four"].map(|name| pair.replica.ino(name));
        let before = inodes();
        assert!(before[0] == before[1] && before[2] != before[0] && before[3] != before[0], "{before:?}");
        pair.alike.run_after("true");
        for _ in 0..2 {
            pair.once().expect(0);
            assert_eq!(inodes(), before, "{answer}");
        }
    }
}

#[test]
fn a_folder_that_moved_to_where_nobody_could_look_at_first_takes_its_links_along() {
    let mut pair = pair_with_files(30);
    pair.source.file("folder/one", "of two names").hard_link("folder/one", "two").folder("far");
    pair.mirrored();
    pair.source.rename("folder", "far/folder");
    let far = pair.source.path("far");
    fail_once(&mut pair, "getdents64", &far);
    pair.mirrored();
}
