//! A file of the replica may have a name that is none of alike's business: nothing is ever written through to it.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::os::unix::fs::MetadataExt;

use alike_testkit::{Pair, Tree, is_root};
use common::{SOON, nothing_to_do, pair};

/// One change in the source.
type Change = fn(&Tree) -> &Tree;

const FILE_ACL: &str = "u::rw-,u:12:r--,g::r--,m::r--,o::r--";

/// What may happen to the file `file`, or to nothing.
fn changes() -> Vec<(&'static str, Change)> {
    let mut changes: Vec<(&str, Change)> = vec![
        ("nothing", |s| s),
        ("content", |s| s.file("file", "edited, and longer")),
        ("content of the same size", |s| s.file("file", "CONTENT")),
        ("content behind the stamps", |s| s.edit_keeping_stamp("file", "CONTENT")),
        ("emptied", |s| s.file("file", "")),
        ("replaced", |s| s.file("t", "replaced").rename("t", "file")),
        ("replaced by its like", |s| s.file("t", "content").mtime("t", 1_000_000_000, 1).rename("t", "file")),
        ("mode", |s| s.mode("file", 0o600)),
        ("time", |s| s.mtime("file", 1_500_000_000, 1)),
        ("attribute", |s| s.xattr("file", "user.alike", "after")),
        ("attribute gone", |s| s.remove_xattr("file", "user.alike")),
        ("acl", |s| s.acl("file", FILE_ACL)),
        ("renamed and its mode", |s| s.rename("file", "folder/renamed").mode("folder/renamed", 0o600)),
        ("a link and its mode", |s| s.hard_link("file", "folder/linked").mode("file", 0o600)),
        ("gone", |s| s.remove("file")),
        ("a folder", |s| s.remove("file").file("file/inner", "x")),
        ("a symlink", |s| s.remove("file").symlink("file", "x")),
    ];
    if is_root() {
        changes.push(("owner", |s| s.owner("file", 12, 13)));
    }
    changes
}

/// All that is to be seen of a file but what a lost name changes, the change time.
fn seen(tree: &Tree, name: &str) -> String {
    let found = std::fs::symlink_metadata(tree.path(name)).unwrap();
    let content = if found.is_file() { tree.read(name) } else { Vec::new() };
    let (attribute, acl) = (tree.xattr_of(name, "user.alike"), tree.has_acl(name));
    let stamp = (found.ino(), found.mode(), found.uid(), found.gid(), found.mtime(), found.mtime_nsec());
    format!("{stamp:?} {content:?} {attribute:?} {acl}")
}

fn file_pair() -> Pair {
    let pair = pair();
    pair.source.file("file", "content").xattr("file", "user.alike", "before").mtime("file", 1_000_000_000, 1);
    pair.source.file("folder/other", "x").file("folder/third", "x");
    pair
}

/// Gives `name` of the replica a name outside, makes the change in the source, and has a pass follow it.
#[track_caller]
fn follows_without_writing_through(pair: &Pair, name: &str, what: &str, change: Change) {
    let outside = Tree::make(pair.beside("outside"));
    std::fs::hard_link(pair.replica.path(name), outside.path("name")).unwrap();
    let before = seen(&outside, "name");
    change(&pair.source);
    // In the trash it would keep its name outside.
    let run = pair.once_with(&["--trash", "off"]);
    assert_eq!(seen(&outside, "name"), before, "{what}: {}", run.report());
    run.expect(0);
    pair.assert_identical(&format!("{what}: {}", run.report()));
    let links = std::fs::symlink_metadata(outside.path("name")).unwrap().nlink();
    assert_eq!(links, 1, "{what}: the replica lets go of it");
    nothing_to_do(pair);
}

#[test]
fn whatever_happens_to_a_file_its_name_outside_stays_as_it_is() {
    for (what, change) in changes() {
        let pair = file_pair();
        pair.mirrored();
        follows_without_writing_through(&pair, "file", what, change);
    }
}

#[test]
fn whatever_happens_to_one_of_a_group_its_name_outside_stays_as_it_is() {
    for (what, change) in changes() {
        let pair = file_pair();
        pair.source.hard_link("file", "folder/too");
        pair.mirrored();
        follows_without_writing_through(&pair, "folder/too", what, change);
    }
}

#[test]
fn a_first_pass_writes_through_no_name_either() {
    for (what, change) in changes() {
        let pair = file_pair();
        pair.replica.file("file", "content").mtime("file", 1_000_000_000, 1);
        follows_without_writing_through(&pair, "file", what, change);
    }
}

#[test]
fn symlinks_and_pipes_with_a_name_outside_stay_as_they_are() {
    let changes: [(&str, Change); 3] = [
        ("nothing", |s| s),
        ("times", |s| s.mtime("link", 5, 6).mtime("pipe", 7, 8)),
        ("others", |s| s.remove("link").symlink("link", "elsewhere").mode("pipe", 0o600)),
    ];
    for name in ["link", "pipe"] {
        for (what, change) in changes {
            let pair = pair();
            pair.source.symlink("link", "nowhere").fifo("pipe");
            pair.mirrored();
            follows_without_writing_through(&pair, name, what, change);
        }
    }
}

#[test]
fn files_that_became_one_on_the_replica_are_parted_again() {
    for (what, change) in changes() {
        for (other, content) in [("twin", "content"), ("folder/twin", "content"), ("folder/twin", "another")]
        {
            let pair = file_pair();
            pair.source.file(other, content).mtime(other, 1_000_000_000, 1);
            pair.mirrored();
            pair.replica.remove(other).hard_link("file", other);
            change(&pair.source);
            let run = pair.once();
            run.expect(0);
            pair.assert_identical(&format!("{what}, {other}: {}", run.report()));
            nothing_to_do(&pair);
        }
    }
}

#[test]
fn a_mirror_writes_through_no_name_either() {
    for (what, change) in changes().into_iter().filter(|(what, _)| *what != "nothing") {
        let pair = file_pair();
        let mut live = pair.mirror_with(&[]);
        live.wait_identical(SOON);
        let outside = Tree::make(pair.beside("outside"));
        std::fs::hard_link(pair.replica.path("file"), outside.path("name")).unwrap();
        let before = seen(&outside, "name");
        change(&pair.source);
        live.wait_identical(SOON);
        assert_eq!(seen(&outside, "name"), before, "{what}");
        live.stop();
    }
}

#[test]
fn a_folder_that_is_moved_out_of_the_replica_takes_no_say_along() {
    let changes: [fn(&Tree) -> &Tree; 4] =
        [|s| s.mode("a", 0o600), |s| s.file("a", "edited"), |s| s.xattr("a", "user.alike", "x"), |s| s];
    for change in changes {
        let pair = pair();
        pair.source.file("a", "content").hard_link("a", "dir/b").hard_link("a", "dir/c").file("other", "x");
        pair.mirrored();
        // The move leaves no trace in the files of the folder: their ctime stands.
        let out = pair.beside("moved out");
        std::fs::rename(pair.replica.path("dir"), &out).unwrap();
        let outside = Tree::at(&out);
        let before = ["b", "c"].map(|name| seen(&outside, name));
        for _ in 0..2 {
            change(&pair.source);
            pair.mirrored();
            assert_eq!(["b", "c"].map(|name| seen(&outside, name)), before);
        }
        nothing_to_do(&pair);
    }
}

#[test]
fn many_files_that_became_one_on_the_replica_are_parted_in_one_pass() {
    let pair = pair();
    for i in 0..200 {
        pair.source.file(format!("folder-{}/file-{i}", i % 7), vec![0_u8; 50_000]);
    }
    pair.mirrored();
    for i in 1..200 {
        let name = format!("folder-{}/file-{i}", i % 7);
        pair.replica.remove(&name).hard_link("folder-0/file-0", &name);
    }
    pair.mirrored();
    nothing_to_do(&pair);
}
