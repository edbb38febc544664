//! A name that changes its kind: every kind to every other kind, by `once` and live.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use alike_testkit::Tree;
use common::{SOON, events, pair, steps};

const KINDS: [&str; 8] = [
    "file",
    "empty folder",
    "full folder",
    "symlink to a file",
    "symlink to a folder",
    "dangling symlink",
    "fifo",
    "nothing",
];

fn make(tree: &Tree, kind: &str) {
    match kind {
        "file" => tree.file("name", "I am a file"),
        "empty folder" => tree.folder("name"),
        "full folder" => tree.file("name/inner", "x").file("name/sub/deeper", "y").symlink("name/link", ".."),
        "symlink to a file" => tree.symlink("name", "neighbour"),
        "symlink to a folder" => tree.symlink("name", "neighbours"),
        "dangling symlink" => tree.symlink("name", "no such thing"),
        "fifo" => tree.fifo("name"),
        _ => tree,
    };
}

fn flips_from(from: &str) {
    for to in KINDS.into_iter().filter(|to| *to != from) {
        let pair = pair();
        pair.source.file("neighbour", "stays").file("neighbours/one", "stays");
        make(&pair.source, from);
        pair.mirrored();
        pair.source.remove("name");
        make(&pair.source, to);
        let (plan, run) = (pair.plan_with(&["--json"]), pair.once_with(&["--json"]));
        run.expect(0);
        pair.assert_identical(&format!("{from} to {to}\n{}", run.report()));
        assert_eq!(steps(&events(&plan)), steps(&events(&run)), "plan and once, {from} to {to}");
    }
}

#[test]
fn a_file_becomes_anything() {
    flips_from("file");
}

#[test]
fn an_empty_folder_becomes_anything() {
    flips_from("empty folder");
}

#[test]
fn a_full_folder_becomes_anything() {
    flips_from("full folder");
}

#[test]
fn a_symlink_to_a_file_becomes_anything() {
    flips_from("symlink to a file");
}

#[test]
fn a_symlink_to_a_folder_becomes_anything() {
    flips_from("symlink to a folder");
}

#[test]
fn a_dangling_symlink_becomes_anything() {
    flips_from("dangling symlink");
}

#[test]
fn a_fifo_becomes_anything() {
    flips_from("fifo");
}

#[test]
fn nothing_becomes_anything() {
    flips_from("nothing");
}

#[test]
fn a_replica_with_another_kind_under_the_name_is_put_right() {
    for on_source in KINDS {
        for on_replica in KINDS.into_iter().filter(|kind| *kind != on_source) {
            let pair = pair();
            pair.source.file("neighbour", "stays").file("neighbours/one", "stays");
            make(&pair.source, on_source);
            pair.replica.folder("");
            make(&pair.replica, on_replica);
            let run = pair.once();
            run.expect(0);
            pair.assert_identical(&format!("{on_replica} on the replica, {on_source}\n{}", run.report()));
        }
    }
}

#[test]
fn a_flip_deep_inside_keeps_what_is_beside_it() {
    let pair = pair();
    pair.source.file("a/b/c", "x").file("a/b/beside", "y");
    pair.mirrored();
    let beside = pair.replica.ino("a/b/beside");
    pair.source.remove("a/b/c").file("a/b/c/d", "x");
    pair.mirrored();
    pair.source.remove("a/b/c").symlink("a/b/c", "beside");
    pair.mirrored();
    assert_eq!(pair.replica.ino("a/b/beside"), beside);
}

#[test]
fn a_folder_and_a_file_that_swap_names_arrive() {
    let pair = pair();
    pair.source.file("a", "a file").file("b/inner", "in a folder");
    pair.mirrored();
    pair.source.rename("a", "t").rename("b", "a").rename("t", "b");
    pair.mirrored();
}

#[test]
fn every_flip_arrives_live() {
    let pair = pair();
    pair.source.file("neighbour", "stays").file("neighbours/one", "stays");
    let mut live = pair.mirror_with(&[]);
    live.wait_identical(SOON);
    for from in KINDS {
        for to in KINDS.into_iter().filter(|to| *to != from) {
            pair.source.remove("name");
            make(&pair.source, from);
            live.wait_identical(SOON);
            pair.source.remove("name");
            make(&pair.source, to);
            live.wait_identical(SOON);
        }
    }
    live.stop();
}
