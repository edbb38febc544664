//! What is moved, linked or mounted away under a pass is not written to: by alike's own care, where Landlock says nothing.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use alike_testkit::{Mount, Pair, Snapshot, root_or_say};
use common::{pair, stopped_at, stopped_in, text};

const NO_TRASH: &[&str] = &["--trash", "off"];

/// A secret beside the pair, with a time of long ago.
fn secret(at: &Path) -> Snapshot {
    fs::create_dir_all(at).unwrap();
    fs::write(at.join("secret"), "mine").unwrap();
    fs::set_permissions(at.join("secret"), fs::Permissions::from_mode(0o640)).unwrap();
    Snapshot::of(at)
}

#[test]
fn a_folder_that_is_moved_out_under_way_keeps_the_attributes_it_has() {
    if !root_or_say("strace") {
        return;
    }
    let mut pair = pair();
    pair.source.file("folder/file", "x");
    pair.mirrored();
    pair.source.mode("folder", 0o700).mtime("folder", 1_000_000_000, 0);
    let out = pair.beside("moved out");
    let mut there = None;
    // The first is a trial of what the target can hold.
    stopped_at(&mut pair, ("fchmod", 2), NO_TRASH, |pair| {
        fs::rename(pair.replica.path("folder"), &out).unwrap();
        there = Some(Snapshot::of(&out));
    });
    assert_eq!(there.unwrap().changes(&Snapshot::of(&out)), Vec::<String>::new());
    pair.mirrored();
}

#[test]
fn a_file_that_takes_the_place_of_a_staged_link_is_not_dressed() {
    if !root_or_say("strace") {
        return;
    }
    let mut pair = pair();
    pair.source.file("file", "x");
    pair.mirrored();
    pair.source.symlink("link", "file").mtime("link", 1_000_000_000, 0);
    let outside = pair.beside("outside");
    secret(&outside);
    let looks =
        |path: &Path| path.metadata().map(|found| (found.mode(), found.mtime(), found.uid())).unwrap();
    let before = looks(&outside.join("secret"));
    stopped_at(&mut pair, ("symlinkat", 1), NO_TRASH, |pair| {
        let staging = pair.replica.path(".alike/staging");
        let staged = fs::read_dir(staging).unwrap().next().unwrap().unwrap().path();
        fs::remove_file(&staged).unwrap();
        fs::hard_link(outside.join("secret"), &staged).unwrap();
    });
    assert_eq!(looks(&outside.join("secret")), before);
    pair.mirrored();
}

/// Stops `alike VERB REPLICA WORDS` at a call.
fn stopped_on_replica(
    pair: &mut Pair,
    at: (&str, usize),
    (verb, words): (&str, &[&str]),
    change: impl FnOnce(&Pair),
) -> Option<i32> {
    let start = |pair: &Pair| {
        let (source, replica) = (pair.source.top(), pair.replica.top());
        pair.alike.start(&[&[verb, text(replica)], words].concat(), source, replica)
    };
    stopped_in(pair, at, start, change)
}

#[test]
fn a_folder_that_is_moved_out_while_a_pass_is_undone_keeps_the_attributes_it_has() {
    if !root_or_say("strace") {
        return;
    }
    let mut pair = pair();
    pair.source.file("folder/file", "x").mode("folder", 0o750);
    pair.mirrored();
    pair.source.mode("folder", 0o700).mtime("folder", 1_000_000_000, 0);
    pair.mirrored();
    let out = pair.beside("moved out");
    let mut there = None;
    // The first is a trial of what the target can hold; then come mode and time.
    let code = stopped_on_replica(&mut pair, ("fchmod", 2), ("undo", &["--yes"]), |pair| {
        fs::rename(pair.replica.path("folder"), &out).unwrap();
        there = Some(Snapshot::of(&out));
    });
    assert_eq!(code, Some(1), "it is not called done");
    let changed = there.unwrap().changes(&Snapshot::of(&out));
    // The one call that was under way.
    assert!(changed.iter().all(|line| !line.contains("mtime")), "{changed:?}");
}

#[test]
fn what_takes_the_place_of_a_link_that_is_brought_back_is_not_dressed() {
    if !root_or_say("strace") {
        return;
    }
    let mut pair = pair();
    pair.source.symlink("folder/link", "file").file("folder/file", "x").mtime(
        "folder/link",
        1_000_000_000,
        0,
    );
    pair.mirrored();
    pair.source.file("folder/file", "edited");
    pair.mirrored();
    let outside = pair.beside("outside");
    secret(&outside);
    let looks =
        |path: &Path| path.metadata().map(|found| (found.mode(), found.mtime(), found.uid())).unwrap();
    let before = looks(&outside.join("secret"));
    stopped_on_replica(&mut pair, ("symlinkat", 1), ("restore", &["folder"]), |pair| {
        let copy = pair.replica.path(".alike/restoring/link");
        fs::remove_file(&copy).unwrap();
        fs::hard_link(outside.join("secret"), &copy).unwrap();
    });
    assert_eq!(looks(&outside.join("secret")), before);
}

#[test]
fn a_folder_that_was_just_made_is_not_filled_through_what_is_mounted_over_it() {
    if !root_or_say("a mount") {
        return;
    }
    let mut pair = pair();
    pair.source.file("file", "x");
    pair.mirrored();
    pair.source.file("new/inner", "x");
    let outside = pair.beside("outside");
    let before = secret(&outside);
    let mut mount = None;
    let code = stopped_at(&mut pair, ("mkdirat", 1), NO_TRASH, |pair| {
        mount = Some(Mount::bind(&outside, &pair.replica.path("new")));
    });
    assert_eq!(before.changes(&Snapshot::of(&outside)), Vec::<String>::new());
    assert_eq!(code, Some(1), "it is not called identical");
    drop(mount);
    pair.mirrored();
}

#[test]
fn the_journal_of_a_bucket_that_was_moved_out_goes_on_in_another() {
    if !root_or_say("strace") {
        return;
    }
    let mut pair = pair();
    for i in 0..40 {
        pair.source.file(format!("file {i:02}"), "first");
    }
    pair.mirrored();
    for i in 0..40 {
        pair.source.file(format!("file {i:02}"), "edited");
    }
    let out = pair.beside("moved out");
    let mut there = None;
    stopped_at(&mut pair, ("renameat2", 20), &[], |pair| {
        let trash = pair.replica.path(".alike/trash");
        let mut buckets: Vec<_> =
            fs::read_dir(&trash).unwrap().map(|found| found.unwrap().file_name()).collect();
        buckets.sort();
        fs::rename(trash.join(buckets.last().unwrap()), &out).unwrap();
        there = Some(fs::read(out.join("journal")).unwrap());
    });
    assert_eq!(there.unwrap(), fs::read(out.join("journal")).unwrap());
    pair.assert_identical("with the history in another bucket");
    let kept = pair.alike.run(["trash", text(pair.replica.top())]);
    assert!(kept.out().contains("file 39"), "{}", kept.report());
}

#[test]
fn a_lock_that_leads_elsewhere_is_not_made_there() {
    let pair = pair();
    pair.source.file("file", "x");
    pair.mirrored();
    let elsewhere = pair.beside("elsewhere");
    pair.replica.remove(".alike/lock");
    symlink(&elsewhere, pair.replica.path(".alike/lock")).unwrap();
    pair.once().expect(1);
    assert!(!elsewhere.exists());
}

#[test]
fn attributes_that_a_target_held_and_suddenly_refuses_are_not_passed_over() {
    if !root_or_say("strace") {
        return;
    }
    let mut pair = pair();
    pair.source.file("file", "x").xattr("file", "user.kind", "first");
    pair.mirrored();
    pair.source.xattr("file", "user.kind", "second");
    let trace = pair.beside("trace");
    let refused = format!(
        "exec strace -f -q -o {} -e trace=fsetxattr -e inject=fsetxattr:error=EPERM \"$0\" \"$@\"",
        text(&trace)
    );
    pair.alike.run_after(&refused);
    for _ in 0..2 {
        let run = pair.once();
        run.expect(1).expect_message_with("held");
        assert!(run.out().contains("refuses it now"), "{}", run.report());
        let (plan, check) = (pair.plan_with(&[]), pair.check_with(&[]));
        for looks in [&plan, &check] {
            looks.expect(1);
            assert!(looks.out().contains("refuses it now"), "{}", looks.report());
            assert!(!looks.out().contains("xattr user.kind"), "what is not compared: {}", looks.report());
        }
        pair.check_with(&["--repair"]).expect(1).expect_message_with("identical but for that");
        pair.check_with(&["--no-xattrs"]).expect(0);
    }
    pair.once_with(&["--no-xattrs"]).expect(0);
    pair.alike.run_after("true");
    pair.mirrored();
}

#[test]
fn a_folder_that_becomes_one_more_name_of_a_file_is_never_missing() {
    if !root_or_say("strace") {
        return;
    }
    let mut pair = pair();
    pair.source.file("one", "the one").file("name/inner", "x").folder("hollow");
    pair.mirrored();
    for name in ["name", "hollow"] {
        pair.source.remove(name).hard_link("one", name);
    }
    let trace = pair.beside("trace");
    pair.alike.run_after(&format!(
        "exec strace -f -q -o {} -e trace=unlinkat,renameat,renameat2 \"$0\" \"$@\"",
        text(&trace)
    ));
    pair.mirrored();
    let calls = fs::read_to_string(&trace).unwrap();
    for name in ["\"name\"", "\"hollow\""] {
        let about: Vec<&str> = calls.lines().filter(|line| line.contains(name)).collect();
        assert!(!about.is_empty() && about.iter().all(|line| line.contains("RENAME_EXCHANGE")), "{about:?}");
    }
}

#[test]
fn a_start_does_not_list_all_time_zones() {
    if !root_or_say("strace") {
        return;
    }
    let mut pair = pair();
    pair.source.file("file", "x");
    let trace = pair.beside("trace");
    for zone in ["", "TZ=Europe/Berlin"] {
        pair.alike.run_after(&format!(
            "exec env {zone} strace -f -q -o {} -e trace=openat \"$0\" \"$@\"",
            text(&trace)
        ));
        pair.mirrored();
        let opened = fs::read_to_string(&trace).unwrap();
        let zones = opened.lines().filter(|line| line.contains("zoneinfo")).count();
        assert!(zones < 5, "{zones} files opened of {opened}");
    }
}
