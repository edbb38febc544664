//! What a target cannot hold is said once and is no work; what a flag forbids is said with what to do; a mount is
//! looked into unless told not to.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use alike_testkit::{Flag, Leave, Mount, NOBODY, Pair, Run, Tree, root_or_say};
use common::{SOON, count, events, has, nothing_to_do, pair, pair_with_files, pass, steps};

const LACKS: &str = "this target cannot hold: ";

/// A pair whose source belongs to several users, mirrored by one without rights; none when not root.
fn humble_pair() -> Option<Pair> {
    if !root_or_say("running alike as another user") {
        return None;
    }
    let mut pair = pair_with_files(200);
    pair.hand_to(NOBODY);
    for i in (0..200).step_by(2) {
        pair.source.owner(format!("even/file-{i:03}"), 1000 + i, 1000);
    }
    pair.source.owner("odd", 1000, 1000).symlink("link", "x").owner("link", 1000, 1000);
    Some(pair)
}

/// Panics unless the first line of stderr, and no other, says what the target cannot hold, the owner first.
#[track_caller]
fn says_once_that_it_cannot_hold_owners(err: &str) {
    let lines: Vec<&str> = err.lines().collect();
    let first = lines.first().unwrap_or(&"");
    assert!(first.contains(&format!("{LACKS}owner")), "{err}");
    assert_eq!(lines.iter().filter(|line| line.contains(LACKS)).count(), 1, "{err}");
    assert!(!err.contains("panicked"), "{err}");
}

#[test]
fn owners_that_cannot_be_held_are_said_once_and_are_no_work() {
    let Some(pair) = humble_pair() else { return };
    let run = pair.mirrored_but(&[Leave::Owner]);
    says_once_that_it_cannot_hold_owners(&run.err());
    for _ in 0..2 {
        let run = pair.mirrored_but(&[Leave::Owner]);
        says_once_that_it_cannot_hold_owners(&run.err());
        let lines: Vec<String> = run.out().lines().map(str::to_owned).collect();
        assert!(lines.len() <= 2, "a start and an end: {}", run.report());
        nothing_to_do(&pair);
    }
}

#[test]
fn an_owner_that_alone_changed_is_no_work_where_it_cannot_be_held() {
    let Some(pair) = humble_pair() else { return };
    pair.mirrored_but(&[Leave::Owner]);
    pair.source.owner("odd/file-001", 4242, 4242).owner("even", 4242, 4242).owner("", 4242, 4242);
    nothing_to_do(&pair);
    pair.source.append("odd/file-001", "edited");
    let run = pair.once_with(&["--json"]);
    run.expect(0);
    assert_eq!(steps(&events(&run)), ["update odd/file-001"], "{}", run.report());
}

#[test]
fn a_mirror_says_it_once_in_all_its_passes() {
    let Some(pair) = humble_pair() else { return };
    let mut live = pair.mirror_with(&["--json", "--interval", "1"]);
    assert!(alike_testkit::wait_until(SOON, || pair.replica.has("odd/file-199")));
    pair.source.file("odd/new", "x");
    assert!(alike_testkit::wait_until(SOON, || pair.replica.has("odd/new")));
    std::thread::sleep(std::time::Duration::from_millis(2500));
    live.stop();
    says_once_that_it_cannot_hold_owners(&live.err());
    let again =
        common::parse(&live.out()).iter().filter(|e| e.changes() && e.path == "even/file-000").count();
    assert_eq!(again, 1, "{}", live.out());
}

#[test]
fn told_to_leave_owners_alone_it_does_not_miss_them() {
    let Some(pair) = humble_pair() else { return };
    let run = pair.once_with(&["--no-owner"]);
    run.expect(0);
    pair.assert_identical_but(&[Leave::Owner], &run.report());
    assert!(!run.err().contains("cannot hold: owner"), "{}", run.report());
}

#[test]
fn root_on_a_target_that_holds_all_is_told_nothing() {
    if !root_or_say("a target that holds all") {
        return;
    }
    let pair = pair_with_files(10);
    let run = pair.mirrored();
    assert_eq!(run.err(), "", "{}", run.report());
}

#[test]
fn attributes_acls_and_links_are_copied_without_root_all_the_same() {
    let Some(pair) = humble_pair() else { return };
    pair.source.xattr("even/file-000", "user.alike", "x").xattr("even", "user.alike", "x");
    pair.source.acl("odd/file-001", "u::rw-,u:12:r--,g::r--,m::r--,o::r--");
    pair.source
        .default_acl("even", "u::rwx,g::r-x,o::r-x")
        .default_acl("", "u::rwx,u:12:rwx,g::r-x,m::rwx,o::r-x");
    pair.source.hard_link("odd/file-003", "odd/linked").hard_link("link", "odd/link");
    pair.mirrored_but(&[Leave::Owner]);
    nothing_to_do(&pair);
    pair.source.xattr("even/file-000", "user.alike", "y").remove_acls("").hard_link("odd/file-001", "more");
    pair.mirrored_but(&[Leave::Owner]);
    nothing_to_do(&pair);
}

#[test]
fn attributes_that_only_root_may_set_are_no_work_without_root() {
    let Some(pair) = humble_pair() else { return };
    pair.source.xattr("odd/file-001", "trusted.alike", "x").xattr("odd/file-001", "security.alike", "x");
    pair.source.xattr("", "security.alike", "x").capability("odd/file-003", 1 << 10);
    let run = pair.mirrored_but(&[Leave::Owner, Leave::Xattrs]);
    says_once_that_it_cannot_hold_owners(&run.err());
    nothing_to_do(&pair);
}

#[test]
fn a_device_that_cannot_be_made_is_reported_once_a_pass_and_the_rest_goes_on() {
    let Some(pair) = humble_pair() else { return };
    pair.source.character_device("odd/device", 1, 3).file("odd/last", "x");
    for _ in 0..2 {
        let run = pair.once_with(&["--json"]);
        run.expect(1);
        let about: Vec<_> = events(&run).into_iter().filter(|e| e.path == "odd/device").collect();
        assert_eq!(about.len(), 1, "{}", run.report());
        assert!(["skip", "error"].contains(&about[0].action.as_str()), "{}", run.report());
        assert!(pair.replica.has("odd/last") && !pair.replica.has("odd/device"));
    }
    pair.source.remove("odd/device");
    pair.mirrored_but(&[Leave::Owner]);
}

/// A pair of files on a disk whose filesystem has flags; none when not root.
fn flag_pair() -> Option<(Pair, Mount)> {
    if !root_or_say("flags of files") {
        return None;
    }
    let mut pair = pair_with_files(20);
    let disk = Mount::loop_filesystem(&pair.beside("disk"), "ext4", 64);
    pair.replica = Tree::at(pair.beside("disk/replica"));
    pair.source.file("flagged", "old").file("folder/inner", "old").file("folder/sub/deep", "old");
    pair.source.mtime("flagged", 1_000_000_000, 1);
    pair.mirrored();
    Some((pair, disk))
}

/// Panics unless the run failed at this path, saying this of it, and all else was done.
#[track_caller]
fn fails_at(pair: &Pair, path: &str, words: &[&str]) -> Run {
    pair.source.append("even/file-000", " goes on").file("odd/new", "goes on");
    let run = pair.once_with(&["--json"]);
    run.expect(1);
    let of = |e: &common::Event| e.action == "error" && e.path == path;
    let said: Vec<String> = events(&run).iter().filter(|e| of(e)).map(|e| e.line.to_string()).collect();
    assert_eq!(said.len(), 1, "{}", run.report());
    assert!(words.iter().all(|word| said[0].contains(word)), "{words:?}: {}", said[0]);
    assert_eq!(pair.replica.read("even/file-000"), pair.source.read("even/file-000"));
    assert_eq!(pair.replica.read("odd/new"), b"goes on");
    pair.source.remove("odd/new");
    run
}

/// Where it is said that a flag forbids a change, and the change.
type Forbidden = (&'static str, fn(&Tree) -> &Tree);

#[test]
fn what_an_immutable_file_forbids_is_said_with_what_to_do() {
    let changes: [Forbidden; 6] = [
        ("flagged", |s| s.file("flagged", "edited, and longer")),
        ("flagged", |s| s.mode("flagged", 0o600)),
        ("flagged", |s| s.mtime("flagged", 1_500_000_000, 1)),
        ("flagged", |s| s.xattr("flagged", "user.alike", "x")),
        ("flagged", |s| s.remove("flagged")),
        ("linked", |s| s.hard_link("flagged", "linked")),
    ];
    for (path, change) in changes {
        let Some((pair, _disk)) = flag_pair() else { return };
        let flag = Flag::immutable(&pair.replica.path("flagged"));
        change(&pair.source);
        for _ in 0..2 {
            fails_at(&pair, path, &["immutable", "chattr -i"]);
            assert_eq!(pair.replica.read("flagged"), b"old");
        }
        drop(flag);
        pair.mirrored();
        nothing_to_do(&pair);
    }
}

#[test]
fn what_an_append_only_file_forbids_is_said_with_what_to_do() {
    let changes: [Forbidden; 3] = [
        ("flagged", |s| s.file("flagged", "edited, and longer")),
        ("flagged", |s| s.mode("flagged", 0o600)),
        ("flagged", |s| s.remove("flagged")),
    ];
    for (path, change) in changes {
        let Some((pair, _disk)) = flag_pair() else { return };
        let flag = Flag::append_only(&pair.replica.path("flagged"));
        change(&pair.source);
        fails_at(&pair, path, &["append-only", "chattr -a"]);
        assert_eq!(pair.replica.read("flagged"), b"old");
        drop(flag);
        pair.mirrored();
        nothing_to_do(&pair);
    }
}

#[test]
fn what_an_immutable_folder_forbids_is_said_with_what_to_do() {
    let changes: [Forbidden; 6] = [
        ("folder/new", |s| s.file("folder/new", "x").mtime("folder", 5, 6)),
        ("folder/fresh", |s| s.file("folder/fresh/file", "x").mtime("folder", 5, 6)),
        ("folder/inner", |s| s.file("folder/inner", "edited, and longer")),
        ("folder/inner", |s| s.remove("folder/inner").mtime("folder", 5, 6)),
        ("folder", |s| s.mode("folder", 0o700)),
        ("folder/link", |s| s.symlink("folder/link", "x").mtime("folder", 5, 6)),
    ];
    for (path, change) in changes {
        let Some((pair, _disk)) = flag_pair() else { return };
        let flag = Flag::immutable(&pair.replica.path("folder"));
        change(&pair.source).file("folder/sub/deep", "below it is free");
        fails_at(&pair, path, &["immutable", "chattr -i"]);
        assert_eq!(pair.replica.read("folder/inner"), b"old");
        assert_eq!(pair.replica.read("folder/sub/deep"), b"below it is free");
        drop(flag);
        pair.mirrored();
        nothing_to_do(&pair);
    }
}

#[test]
fn what_moves_out_of_an_immutable_folder_is_not_lost() {
    let Some((pair, _disk)) = flag_pair() else { return };
    let flag = Flag::immutable(&pair.replica.path("folder"));
    pair.source.rename("folder/inner", "moved").rename("folder/sub", "moved sub");
    let run = pair.once();
    run.expect(1);
    assert!(run.err().contains("chattr -i") || run.out().contains("chattr -i"), "{}", run.report());
    for (now, then) in [("moved", "folder/inner"), ("moved sub/deep", "folder/sub/deep")] {
        let at = if pair.replica.has(now) { now } else { then };
        assert_eq!(pair.replica.read(at), b"old", "{}", run.report());
    }
    drop(flag);
    pair.mirrored();
    nothing_to_do(&pair);
}

#[test]
fn an_append_only_folder_takes_what_is_new_and_keeps_what_it_has() {
    let Some((pair, _disk)) = flag_pair() else { return };
    let flag = Flag::append_only(&pair.replica.path("folder"));
    pair.source.remove("folder/inner").file("folder/new", "x").mtime("folder", 5, 6);
    fails_at(&pair, "folder/inner", &["append-only", "chattr -a"]);
    assert_eq!(pair.replica.read("folder/inner"), b"old");
    assert_eq!(pair.replica.read("folder/new"), b"x");
    drop(flag);
    pair.mirrored();
    nothing_to_do(&pair);
}

#[test]
fn a_flag_that_is_taken_away_while_mirroring_lets_the_change_through() {
    let Some((pair, _disk)) = flag_pair() else { return };
    let flag = Flag::immutable(&pair.replica.path("flagged"));
    let mut live = pair.mirror_with(&["--json", "--interval", "1"]);
    pair.source.file("flagged", "edited, and longer").file("new", "goes on");
    live.wait_for_output("chattr -i", SOON);
    assert!(alike_testkit::wait_until(SOON, || pair.replica.has("new")));
    assert_eq!(pair.replica.read("flagged"), b"old");
    drop(flag);
    live.wait_identical(SOON);
    live.stop();
}

#[test]
fn an_immutable_file_of_the_source_is_mirrored_without_its_flag() {
    let Some((mut pair, _disk)) = flag_pair() else { return };
    std::mem::swap(&mut pair.source, &mut pair.replica);
    alike_testkit::remove_tree(&pair.source.path(".alike")).unwrap();
    pair.replica.remove("");
    let _flags =
        [Flag::immutable(&pair.source.path("flagged")), Flag::immutable(&pair.source.path("folder"))];
    pair.mirrored();
    pair.replica.file("flagged", "it can be written").remove("folder/inner");
    pair.mirrored();
}

#[test]
fn what_is_mounted_inside_the_source_is_mirrored() {
    if !root_or_say("mounts") {
        return;
    }
    let pair = pair_with_files(20);
    let elsewhere = Tree::make(pair.beside("elsewhere"));
    elsewhere.file("file", "bound").file("folder/inner", "bound").hard_link("file", "folder/linked");
    let disk = Mount::tmpfs(&pair.source.path("disk"), "2m");
    pair.source.file("disk/file", "mounted").hard_link("disk/file", "disk/sub/linked");
    let bound = Mount::bind(elsewhere.top(), &pair.source.path("even/bound"));
    pair.mirrored();
    assert_eq!(pair.replica.read("even/bound/folder/inner"), b"bound");
    nothing_to_do(&pair);
    elsewhere.file("folder/inner", "edited, and longer").rename("file", "renamed");
    pair.source.append("disk/sub/linked", " and edited");
    pair.mirrored();
    nothing_to_do(&pair);
    drop((disk, bound));
}

#[test]
fn one_file_that_a_bind_mount_shows_twice_is_no_reason_to_write_twice() {
    if !root_or_say("mounts") {
        return;
    }
    let pair = pair_with_files(6);
    let bound = Mount::bind(&pair.source.path("even"), &pair.source.path("twin"));
    for content in ["edited, and longer", "again"] {
        pair.source.file("even/file-000", content);
        let run = pair.once_with(&["--json"]);
        run.expect(0);
        assert_eq!(pair.replica.read("even/file-000"), content.as_bytes());
        assert_eq!(pair.replica.read("twin/file-000"), content.as_bytes());
        nothing_to_do(&pair);
    }
    drop(bound);
}

#[test]
fn told_to_stay_on_one_filesystem_a_mount_is_an_empty_folder_and_nothing_below_goes() {
    if !root_or_say("mounts") {
        return;
    }
    let pair = pair_with_files(20);
    pair.source.folder("disk").file("below/disk/hidden", "x");
    let mounts = ["disk", "below/disk"].map(|at| {
        let mount = Mount::tmpfs(&pair.source.path(at), "2m");
        pair.source.file(format!("{at}/file"), "mounted").file(format!("{at}/sub/file"), "mounted");
        mount
    });
    for flags in [&["-x", "--json"][..], &["--one-file-system", "--json"]] {
        let run = pair.once_with(flags);
        run.expect(0);
        assert!(pair.replica.path("disk").is_dir() && !pair.replica.has("disk/file"), "{}", run.report());
        assert!(!pair.replica.has("below/disk/hidden") && !pair.replica.has("below/disk/file"));
    }
    pair.mirrored();
    pair.replica.file("disk/own", "the replica's");
    pair.source.append("disk/file", " and edited").remove("disk/sub").append("even/file-000", " and edited");
    let run = pair.once_with(&["-x", "--json", "--allow-deletes"]);
    run.expect_one_of(&[0, 1]);
    let found = events(&run);
    assert_eq!(count(&found, "delete") + count(&found, "rmdir"), 0, "{}", run.report());
    assert!(
        has(&found, "update", "even/file-000") && !has(&found, "update", "disk/file"),
        "{}",
        run.report()
    );
    for (path, content) in
        [("disk/own", "the replica's"), ("disk/file", "mounted"), ("disk/sub/file", "mounted")]
    {
        assert_eq!(pair.replica.read(path), content.as_bytes(), "{}", run.report());
    }
    drop(mounts);
    pair.mirrored_with(&["-x", "--allow-deletes"]);
}

#[test]
fn a_bind_mount_of_the_same_filesystem_is_no_other_filesystem() {
    if !root_or_say("mounts") {
        return;
    }
    let pair = pair();
    let elsewhere = Tree::make(pair.beside("elsewhere"));
    elsewhere.file("folder/inner", "bound");
    let bound = Mount::bind(elsewhere.top(), &pair.source.path("bound"));
    pair.mirrored_with(&["-x"]);
    assert_eq!(pair.replica.read("bound/folder/inner"), b"bound");
    assert_eq!(steps(&pass(&pair)), [""; 0]);
    drop(bound);
}

#[test]
fn attributes_of_what_may_only_be_read_are_copied_and_changed_without_root() {
    let Some(pair) = humble_pair() else { return };
    let step = |value: &str| {
        for (path, mode) in [("odd/file-001", 0o444), ("odd/read only", 0o555)] {
            pair.source
                .folder("odd/read only")
                .mode(path, 0o755)
                .xattr(path, "user.alike", value)
                .mode(path, mode);
        }
        pair.mirrored_but(&[Leave::Owner]);
        nothing_to_do(&pair);
    };
    step("one");
    step("another, and longer");
}
