//! Names that are one file in the source are one file on the replica, and share nothing with any other.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use alike_testkit::{Flag, Mount, Pair, Tree, is_root, root_or_say};
use common::{
    SOON, copied, count, events, has, nothing_to_do, pair, pair_with_files, pass, steps, steps_but_folders,
};

/// The names of the one file that [`group`] has.
const NAMES: [&str; 3] = ["a", "folder/b", "folder/deep/c"];

/// One change in the source.
type Change = fn(&Tree) -> &Tree;

/// A source with one file under three names, and one that is alone.
fn group() -> Pair {
    let pair = pair();
    pair.source.file("a", "of one file").file("alone", "alone");
    join(&pair.source, &NAMES);
    pair
}

/// Makes the names one file, that of the first.
fn join<'a>(tree: &'a Tree, names: &[&str]) -> &'a Tree {
    for name in &names[1..] {
        tree.remove(name).hard_link(names[0], name);
    }
    tree
}

/// The inode on the replica that all these names are.
#[track_caller]
fn one_inode(pair: &Pair, names: &[&str]) -> u64 {
    let inodes: Vec<u64> = names.iter().map(|name| pair.replica.ino(name)).collect();
    assert!(inodes.iter().all(|inode| *inode == inodes[0]), "{names:?} are {inodes:?}");
    inodes[0]
}

#[test]
fn names_of_one_file_in_several_folders_become_one_file() {
    let pair = group();
    let events = pass(&pair);
    one_inode(&pair, &NAMES);
    let made = NAMES.iter().filter(|name| has(&events, "create", name)).count();
    let linked = NAMES.iter().filter(|name| has(&events, "link", name)).count();
    assert_eq!((made, linked), (1, 2), "{:?}", steps(&events));
    assert_eq!(
        copied(&events),
        "of one file".len() as u64 + "alone".len() as u64,
        "the content goes over once"
    );
    nothing_to_do(&pair);
}

#[test]
fn a_thousand_names_of_one_file_are_one_copy() {
    let pair = pair();
    pair.source.file("first", "content");
    for i in 0..1000 {
        pair.source.hard_link("first", format!("folder-{}/name-{i}", i % 10));
    }
    let events = pass(&pair);
    assert_eq!((count(&events, "create"), count(&events, "link")), (1, 1000));
    nothing_to_do(&pair);
}

#[test]
fn separate_copies_that_should_be_one_file_are_joined() {
    let pair = group();
    for name in NAMES {
        pair.replica.file(name, "of one file");
    }
    pass(&pair);
    one_inode(&pair, &NAMES);
    nothing_to_do(&pair);
}

#[test]
fn a_name_that_joins_is_one_link_and_copies_nothing() {
    let pair = group();
    pair.mirrored();
    let inode = one_inode(&pair, &NAMES);
    pair.source.hard_link("folder/b", "folder/deep/d");
    let events = pass(&pair);
    assert_eq!(steps_but_folders(&pair, &events), ["link folder/deep/d"]);
    assert_eq!(
        (copied(&events), pair.replica.ino("folder/deep/d"), pair.replica.ino("a")),
        (0, inode, inode)
    );
    nothing_to_do(&pair);

    let inode = pair.replica.ino("alone");
    pair.source.hard_link("alone", "new/no longer");
    let events = pass(&pair);
    assert_eq!(steps_but_folders(&pair, &events), ["link new/no longer", "mkdir new"]);
    assert_eq!((copied(&events), one_inode(&pair, &["alone", "new/no longer"])), (0, inode));
    nothing_to_do(&pair);
}

#[test]
fn a_name_that_goes_takes_nothing_else_with_it() {
    let pair = group();
    pair.mirrored();
    let inode = pair.replica.ino("a");
    for (i, gone) in NAMES[..2].iter().enumerate() {
        pair.source.remove(gone);
        assert_eq!(steps_but_folders(&pair, &pass(&pair)), [format!("delete {gone}")]);
        assert_eq!(one_inode(&pair, &NAMES[i + 1..]), inode);
        nothing_to_do(&pair);
    }
}

#[test]
fn a_name_that_becomes_a_file_of_its_own_leaves_the_others_as_they_are() {
    for content in ["another content", "of one file"] {
        let pair = group();
        pair.source.mtime("a", 1_000_000_000, 1);
        pair.mirrored();
        let inode = pair.replica.ino("a");
        pair.source.remove("folder/b").file("folder/b", content).mtime("folder/b", 1_000_000_000, 1);
        let events = pass(&pair);
        let touched: Vec<String> = steps_but_folders(&pair, &events);
        assert!(touched.len() == 1 && touched[0].ends_with(" folder/b"), "{touched:?}");
        assert_eq!(one_inode(&pair, &["a", "folder/deep/c"]), inode);
        assert_ne!(pair.replica.ino("folder/b"), inode);
        nothing_to_do(&pair);
    }
}

#[test]
fn groups_that_exchange_join_and_part_arrive() {
    let pair = pair();
    pair.source.file("a", "first").file("c", "second").file("e", "third");
    join(join(join(&pair.source, &["a", "b"]), &["c", "d"]), &["e", "f"]);
    pass(&pair);
    let steps: [(&str, Change); 8] = [
        ("one name each is exchanged", |s| s.rename("b", "t").rename("c", "b").rename("t", "c")),
        ("the names go round", |s| s.rename("a", "t").rename("b", "a").rename("e", "b").rename("t", "e")),
        ("contents are exchanged", |s| s.file("a", "second").file("c", "first")),
        ("two become one", |s| join(s, &["a", "c"])),
        ("all become one", |s| join(s, &["f", "a", "b", "c", "d", "e"])),
        ("one becomes two", |s| join(s.remove("a").file("a", "third"), &["a", "b", "c"])),
        ("equal ones exchange names", |s| s.rename("a", "t").rename("f", "a").rename("t", "f")),
        ("each is its own", |s| {
            for name in ["a", "b", "c", "d", "e", "f"] {
                let content = s.read(name);
                s.remove(name).file(name, content);
            }
            s
        }),
    ];
    for (what, step) in steps {
        step(&pair.source);
        eprintln!("{what}: {:?}", common::steps(&pass(&pair)));
        nothing_to_do(&pair);
    }
}

#[test]
fn symlinks_pipes_sockets_and_devices_of_several_names_are_one_each() {
    let pair = pair();
    pair.source.symlink("link", "nowhere").fifo("pipe").socket("socket");
    let mut kinds = vec!["link", "pipe", "socket"];
    if is_root() {
        pair.source.character_device("null", 1, 3).block_device("loop", 7, 200);
        kinds.extend(["null", "loop"]);
    }
    for kind in &kinds {
        pair.source.hard_link(kind, format!("folder/{kind}"));
    }
    let first = pass(&pair);
    assert_eq!((count(&first, "create"), count(&first, "link")), (kinds.len(), kinds.len()));
    nothing_to_do(&pair);

    for kind in &kinds {
        pair.source.hard_link(format!("folder/{kind}"), format!("more/{kind}"));
    }
    let joined = pass(&pair);
    assert_eq!((count(&joined, "create"), count(&joined, "link")), (0, kinds.len()));
    nothing_to_do(&pair);

    pair.source.remove("link").symlink("link", "nowhere").remove("pipe").fifo("pipe").mtime(
        "folder/socket",
        5,
        6,
    );
    pass(&pair);
    assert_ne!(pair.replica.ino("link"), one_inode(&pair, &["folder/link", "more/link"]));
    nothing_to_do(&pair);
}

#[test]
fn a_group_over_folders_that_are_renamed_stays_one_file() {
    let pair = group();
    pair.mirrored();
    let inode = pair.replica.ino("a");
    pair.source.rename("folder", "moved");
    let events = pass(&pair);
    assert_eq!(steps_but_folders(&pair, &events), ["rename moved"]);
    assert_eq!((copied(&events), one_inode(&pair, &["a", "moved/b", "moved/deep/c"])), (0, inode));
    nothing_to_do(&pair);

    pair.source.rename("moved", "again").rename("again/deep", "deep");
    let events = pass(&pair);
    assert_eq!(steps_but_folders(&pair, &events), ["rename again", "rename deep"]);
    assert_eq!((copied(&events), one_inode(&pair, &["a", "again/b", "deep/c"])), (0, inode));
    nothing_to_do(&pair);
}

#[test]
fn a_name_of_a_group_that_is_renamed_copies_nothing() {
    let pair = group();
    pair.mirrored();
    let inode = pair.replica.ino("a");
    pair.source.rename("a", "folder/z");
    let events = pass(&pair);
    assert_eq!((copied(&events), count(&events, "create"), count(&events, "update")), (0, 0, 0));
    assert_eq!(one_inode(&pair, &["folder/z", "folder/b", "folder/deep/c"]), inode);
    nothing_to_do(&pair);

    pair.source
        .rename("folder/z", "x")
        .rename("folder/b", "y")
        .rename("folder/deep/c", "z")
        .hard_link("x", "w");
    let events = pass(&pair);
    assert_eq!((copied(&events), count(&events, "create"), count(&events, "update")), (0, 0, 0));
    assert_eq!(one_inode(&pair, &["w", "x", "y", "z"]), inode);
    nothing_to_do(&pair);
}

#[test]
fn a_name_of_a_group_becomes_a_folder_and_comes_back() {
    let pair = group();
    pair.mirrored();
    let inode = pair.replica.ino("a");
    pair.source.remove("folder/b").file("folder/b/inner", "x");
    pass(&pair);
    assert_eq!(one_inode(&pair, &["a", "folder/deep/c"]), inode);
    nothing_to_do(&pair);
    pair.source.remove("folder/b").hard_link("a", "folder/b");
    let events = pass(&pair);
    assert!(has(&events, "link", "folder/b") && copied(&events) == 0, "{:?}", steps(&events));
    assert_eq!(one_inode(&pair, &NAMES), inode);
    nothing_to_do(&pair);
}

#[test]
fn an_edit_through_one_name_is_copied_once_and_seen_under_all() {
    let pair = group();
    pair.mirrored();
    let edits: [Change; 3] = [
        |s| s.append("folder/b", ", and more"),
        |s| s.edit_keeping_stamp("a", "OF ONE FILE, and more"),
        |s| s.file("folder/deep/c", "short").mode("a", 0o600).hard_link("a", "new"),
    ];
    for edit in edits {
        edit(&pair.source);
        let events = pass(&pair);
        assert_eq!(count(&events, "update") + count(&events, "create"), 1, "{:?}", steps(&events));
        assert_eq!(copied(&events), pair.source.read("a").len() as u64);
        one_inode(&pair, &NAMES);
        nothing_to_do(&pair);
    }
}

#[test]
fn what_changes_about_a_group_but_its_content_copies_nothing() {
    let pair = group();
    pair.source.acl("a", "u::rw-,u:12:r--,g::r--,m::r--,o::r--");
    pair.mirrored();
    let inode = pair.replica.ino("a");
    let mut changes: Vec<Change> = vec![
        |s| s.mode("a", 0o600),
        |s| s.mtime("folder/b", 1_000_000_000, 1),
        |s| s.xattr("folder/deep/c", "user.alike", "x"),
        |s| s.remove_acls("folder/b"),
    ];
    if is_root() {
        changes.push(|s| s.owner("folder/b", 12, 13));
    }
    for change in changes {
        change(&pair.source);
        let events = pass(&pair);
        let touched = steps_but_folders(&pair, &events);
        assert!(!touched.is_empty() && touched.iter().all(|step| step.starts_with("meta ")), "{touched:?}");
        assert_eq!((copied(&events), one_inode(&pair, &NAMES)), (0, inode));
        nothing_to_do(&pair);
    }
}

#[test]
fn however_files_are_compared_a_group_stays_one_file() {
    let pair = group();
    pair.mirrored();
    let inode = pair.replica.ino("a");
    for compare in ["auto", "content", "newer"] {
        let run = pair.mirrored_with(&["--json", "--compare", compare]);
        assert_eq!(steps(&events(&run)), [""; 0], "{compare}");
        assert_eq!(one_inode(&pair, &NAMES), inode);
    }
}

#[test]
fn a_state_that_was_lost_parts_nothing_and_copies_nothing() {
    let pair = group();
    pair.mirrored();
    let inode = pair.replica.ino("a");
    alike_testkit::remove_tree(&pair.alike.state_dir()).unwrap();
    assert_eq!(steps(&pass(&pair)), [""; 0]);
    assert_eq!(one_inode(&pair, &NAMES), inode);
}

#[test]
fn a_name_that_is_excluded_belongs_to_no_group() {
    let pair = group();
    pair.source.hard_link("a", "folder/b.tmp");
    pair.replica.file("folder/b.tmp", "the replica's own");
    let once = || {
        let run = pair.once_with(&["--json", "--exclude", "*.tmp"]);
        run.expect(0);
        assert_eq!(pair.replica.read("folder/b.tmp"), b"the replica's own");
        assert_eq!(pair.replica.read("folder/deep/c"), pair.source.read("a"));
        one_inode(&pair, &NAMES);
        steps(&events(&run))
    };
    once();
    assert_eq!(once(), [""; 0]);
    pair.source.file("folder/b.tmp", "edited through the excluded name");
    once();
    assert_eq!(once(), [""; 0]);
}

#[test]
fn a_name_that_is_excluded_later_keeps_what_it_had() {
    let pair = group();
    pair.source.hard_link("a", "folder/b.tmp");
    pair.mirrored();
    pair.source.file("a", "edited, and longer");
    pair.once_with(&["--exclude", "*.tmp"]).expect_one_of(&[0, 1]);
    assert_eq!(pair.replica.read("folder/b.tmp"), b"of one file");
    assert_eq!(pair.replica.read("a"), b"edited, and longer");
    one_inode(&pair, &NAMES);
}

#[test]
fn a_plan_names_the_steps_that_a_pass_then_takes() {
    let pair = group();
    pair.source.file("x", "of another").hard_link("x", "folder/y").hard_link("x", "z");
    pair.mirrored();
    let alike = |what: &str| {
        let plan = pair.plan_with(&["--json"]);
        plan.expect(0);
        let (planned, done) = (steps(&events(&plan)), steps(&pass(&pair)));
        assert!(!done.is_empty(), "{what}");
        // Which name of a group gets the content, and which are linked to it, may differ from run to run.
        let parts = |steps: &[String]| {
            let (mut actions, mut paths): (Vec<_>, Vec<_>) =
                steps.iter().map(|step| step.split_once(' ').unwrap()).unzip();
            actions.sort_unstable();
            paths.sort_unstable();
            format!("{actions:?} {paths:?}")
        };
        assert_eq!(parts(&planned), parts(&done), "{what}");
    };
    pair.source.hard_link("a", "joined").remove("z").remove("folder/y").file("folder/y", "its own");
    alike("joined, gone, parted");
    pair.source.file("a", "edited, and longer").mode("x", 0o600);
    alike("edited");
    pair.source.file("new", "fresh").hard_link("new", "folder/fresh").rename("folder/deep", "deep");
    alike("a new group and a rename");
}

#[test]
fn a_name_that_could_not_be_linked_is_linked_when_it_can_be() {
    if !root_or_say("an immutable folder") {
        return;
    }
    let mut pair = group();
    let _disk = Mount::loop_filesystem(&pair.beside("disk"), "ext4", 64);
    pair.replica = Tree::at(pair.beside("disk/replica"));
    pair.source.folder("locked").folder("0 locked");
    pair.mirrored();
    let flags = ["locked", "0 locked"].map(|folder| Flag::immutable(&pair.replica.path(folder)));
    pair.source.hard_link("a", "locked/d");
    pair.source
        .file("0 locked/first", "new")
        .hard_link("0 locked/first", "second")
        .hard_link("second", "third");
    let run = pair.once_with(&["--json"]);
    run.expect(1);
    let failed = events(&run);
    assert!(has(&failed, "error", "locked/d") && has(&failed, "error", "0 locked/first"), "{}", run.report());
    assert_eq!(pair.replica.read("third"), b"new", "the others go on: {}", run.report());
    let (old, new) = (one_inode(&pair, &NAMES), one_inode(&pair, &["second", "third"]));

    drop(flags);
    let events = pass(&pair);
    assert_eq!(steps_but_folders(&pair, &events), ["link 0 locked/first", "link locked/d"]);
    assert_eq!((pair.replica.ino("a"), pair.replica.ino("third"), copied(&events)), (old, new, 0));
    nothing_to_do(&pair);
}

#[test]
fn a_link_takes_the_place_of_a_folder_that_something_moved_out_of_in_the_same_pass() {
    let pair = pair_with_files(30);
    pair.source.file("before/folder/inner/a", "1").file("before/folder/b", "2").file("taken", "3");
    pair.mirrored();
    pair.source.rename("before", "after").rename("after/folder/inner", "aside").remove("after/folder");
    // A folder in the place of a file is visited last: what moved into it is found when the others have been planned.
    pair.source.remove("taken").folder("taken").rename("aside", "taken/inner");
    pair.source.file("after/folder", "a file with two names").hard_link("after/folder", "taken/inner/name");
    pair.mirrored();
    nothing_to_do(&pair);
}

#[test]
fn a_new_name_of_a_new_file_in_the_place_of_a_folder_is_joined_with_the_other_while_it_runs() {
    let pair = pair();
    pair.source.file("folder/file", "x").file("other", "x");
    let mut live = pair.mirror_with(&["--interval", "1h"]);
    live.wait_identical(SOON);
    live.wait_for_output("notify: ", SOON);
    pair.source.file("new", "of today");
    live.wait_identical(SOON);
    std::fs::remove_dir_all(pair.source.path("folder")).unwrap();
    std::fs::hard_link(pair.source.path("new"), pair.source.path("folder")).unwrap();
    live.wait_identical(SOON);
    live.stop();
}
