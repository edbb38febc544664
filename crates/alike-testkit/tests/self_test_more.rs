//! The judge is judged on what an entry has beside content, mode and time; and the machine gives back what it took.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::panic::catch_unwind;
use std::path::Path;
use std::process::Command;

use alike_testkit::{
    Flag, Leave, Mount, Pair, Tree, allocated, compare, compare_but, compare_where, is_root, root_or_say,
    shared,
};

const ACL: &str = "u::rw-,u:12:r--,g::r--,m::r--,o::r--";
const FOLDER_ACL: &str = "u::rwx,u:12:r-x,g::r-x,m::r-x,o::r-x";

/// One change in a tree.
type Change = fn(&Tree) -> &Tree;

/// A file with three names, one that is alone, a folder and entries of other kinds; equal on both sides.
fn two() -> Pair {
    let pair = Pair::new("/bin/true");
    pair.replica.folder("");
    for tree in [&pair.source, &pair.replica] {
        tree.file("folder/file", "content").hard_link("folder/file", "name").hard_link("name", "third");
        tree.file("alone", "content").symlink("link", "name").fifo("pipe");
        tree.symlink("one link", "name").hard_link("one link", "two links");
        settle(tree);
    }
    assert_eq!(pair.differences(), [""; 0], "equal before");
    pair
}

fn settle(tree: &Tree) {
    for path in ["folder/file", "alone", "link", "one link", "pipe", "folder", ""] {
        then(tree, path);
    }
}

/// The one difference after a change on the replica, and what it is when the sides are exchanged.
#[track_caller]
fn one(change: impl Fn(&Tree) -> &Tree) -> [String; 2] {
    let pair = two();
    change(&pair.replica);
    settle(&pair.replica);
    let [there, back] =
        [compare(pair.source.top(), pair.replica.top()), compare(pair.replica.top(), pair.source.top())];
    assert_eq!((there.len(), back.len()), (1, 1), "{there:#?}\n{back:#?}");
    [there[0].clone(), back[0].clone()]
}

#[test]
fn an_attribute_is_seen_on_every_kind() {
    let mut cases = vec![("alone", "user.a"), ("folder", "user.a"), ("", "user.a")];
    if root_or_say("attributes of pipes and symlinks") {
        cases.extend([
            ("link", "trusted.a"),
            ("pipe", "trusted.a"),
            ("alone", "trusted.a"),
            ("", "trusted.a"),
        ]);
        cases.extend([("link", "security.a"), ("pipe", "security.a"), ("folder", "security.a")]);
    }
    for (path, attribute) in cases {
        let shown = if path.is_empty() { "." } else { path };
        let [there, back] = one(|replica| replica.xattr(path, attribute, "v"));
        assert_eq!(there, format!("{shown}: xattr {attribute}: source none, replica 1 bytes \"v\""));
        assert_eq!(back, format!("{shown}: xattr {attribute}: source 1 bytes \"v\", replica none"));
    }
}

#[test]
fn an_attributes_value_counts_to_the_last_byte() {
    let pair = two();
    for (value, other) in [("", "\0"), ("a", "b"), ("long", "long\0")] {
        pair.source.xattr("alone", "user.a", value);
        pair.replica.xattr("alone", "user.a", other);
        let found = pair.differences();
        assert_eq!(found.len(), 1, "{value:?} {other:?}: {found:#?}");
        pair.replica.xattr("alone", "user.a", value);
        assert_eq!(pair.differences(), [""; 0]);
    }
    pair.replica.remove_xattr("alone", "user.a");
    assert_eq!(pair.differences().len(), 1, "none is not empty");
}

#[test]
fn an_attribute_of_any_name_is_reported_on_one_line() {
    let pair = two();
    pair.replica.xattr("alone", b"user.odd\n\xff\x1b[0m", b"\n\xff");
    let found = pair.differences();
    assert_eq!(found.len(), 1, "{found:#?}");
    assert!(!found[0].chars().any(char::is_control), "{found:#?}");
}

#[test]
fn an_acl_is_seen_though_the_modes_agree() {
    let cases: [(&str, Change); 4] = [
        ("alone: acl: ", |replica| replica.acl("alone", ACL)),
        ("folder: acl: ", |replica| replica.acl("folder", FOLDER_ACL)),
        ("folder: default acl: ", |replica| replica.default_acl("folder", FOLDER_ACL)),
        (".: default acl: ", |replica| replica.default_acl("", FOLDER_ACL)),
    ];
    for (expected, change) in cases {
        let [there, _] = one(change);
        assert!(there.starts_with(expected), "{there}");
        let pair = two();
        change(&pair.source);
        change(&pair.replica);
        assert_eq!(pair.differences(), [""; 0], "equal ACLs are equal");
        for path in ["alone", "folder", ""] {
            pair.replica.remove_acls(path);
        }
        let found = pair.differences();
        assert!(found.len() == 1 && found[0].starts_with(expected), "removed: {found:#?}");
    }
}

#[test]
fn the_builders_acl_is_what_getfacl_reads() {
    let pair = two();
    pair.source.acl("alone", "u::rw-,u:12:r--,g::r--,g:7:rwx,m::rw-,o::---");
    let said = Command::new("getfacl").args(["-nc", "--"]).arg(pair.source.path("alone")).output().unwrap();
    let text = String::from_utf8(said.stdout).unwrap();
    let lines: Vec<&str> =
        text.lines().filter_map(|line| line.split('\t').next()).filter(|line| !line.is_empty()).collect();
    let expected = ["user::rw-", "user:12:r--", "group::r--", "group:7:rwx", "mask::rw-", "other::---"];
    assert_eq!(lines, expected);
}

#[test]
fn a_capability_is_seen_and_is_one() {
    if !root_or_say("file capabilities") {
        return;
    }
    let [there, _] = one(|replica| replica.capability("alone", 1 << 10));
    assert!(there.starts_with("alone: xattr security.capability: source none, replica 20 bytes"), "{there}");
    let pair = two();
    pair.replica.capability("alone", 1 << 10).owner("alone", 1, 1);
    assert_eq!(pair.replica.xattr_of("alone", "security.capability"), None, "a chown takes it, so it is one");
}

#[test]
fn names_that_are_one_file_on_one_side_only_are_seen() {
    let [there, back] = one(|replica| then(replica.remove("third").file("third", "content"), "third"));
    assert_eq!(there, "third: hard link: one file with name in the source, not on the replica");
    assert_eq!(back, "third: hard link: one file with name on the replica, not in the source");
    let [there, _] =
        one(|replica| then(replica.remove("two links").symlink("two links", "name"), "two links"));
    assert_eq!(there, "two links: hard link: one file with one link in the source, not on the replica");
    let pair = two();
    then(pair.replica.remove("alone").hard_link("name", "alone"), "");
    let found = pair.differences();
    let joined =
        |line: &String| line.ends_with(": hard link: one file with alone on the replica, not in the source");
    assert!(found.len() == 3 && found.iter().all(joined), "{found:#?}");
}

/// The time that [`settle`] gives.
fn then<'a>(tree: &'a Tree, path: &str) -> &'a Tree {
    tree.mtime(path, 1_000_000_000, 123_456_789)
}

#[test]
fn groups_of_equal_sizes_that_are_other_groups_are_seen() {
    let pair = Pair::new("/bin/true");
    for (tree, second, third) in [(&pair.source, "b", "c"), (&pair.replica, "c", "b")] {
        tree.file("a", "x").hard_link("a", second).file(third, "x").hard_link(third, "d");
        tree.mtime("a", 5, 5).mtime("d", 5, 5).mtime("", 5, 5);
    }
    let found = pair.differences();
    assert_eq!(found.len(), 4, "{found:#?}");
    assert!(found.iter().all(|line| line.contains(": hard link: one file with ")), "{found:#?}");
}

#[test]
fn a_file_of_the_replica_with_a_name_elsewhere_is_seen_and_one_of_the_source_is_fine() {
    for (path, names) in [("alone", 1), ("third", 3), ("pipe", 1)] {
        let pair = two();
        std::fs::hard_link(pair.replica.path(path), pair.beside("elsewhere")).unwrap();
        let found = pair.differences();
        assert_eq!(found.len(), 1, "{found:#?}");
        let counts = format!(": links: {} on the replica, {names} of them inside it", names + 1);
        assert!(found[0].ends_with(&counts), "{found:#?}");
        assert_eq!(
            compare(pair.replica.top(), pair.source.top()),
            [""; 0],
            "the source may have names elsewhere"
        );
    }
    let pair = two();
    pair.replica.hard_link("alone", ".alike/staged");
    settle(&pair.replica);
    assert_eq!(pair.differences().len(), 1, "alike's own folder is elsewhere");
}

#[test]
fn what_is_left_out_is_not_compared_and_the_rest_is() {
    let changes: [(Leave, Change); 5] = [
        (Leave::Times, |replica| replica.mtime("alone", 5, 5)),
        (Leave::Nanoseconds, |replica| replica.mtime("alone", 1_000_000_000, 5)),
        (Leave::Xattrs, |replica| replica.xattr("alone", "user.a", "")),
        (Leave::Acls, |replica| replica.acl("alone", ACL).default_acl("folder", FOLDER_ACL)),
        (Leave::Links, |replica| {
            replica.remove("alone").hard_link("name", "alone").mtime("", 1_000_000_000, 123_456_789)
        }),
    ];
    let mut changes = changes.to_vec();
    if is_root() {
        changes.push((Leave::Owner, |replica| replica.owner("alone", 12, 13)));
    }
    let all = [Leave::Owner, Leave::Times, Leave::Nanoseconds, Leave::Xattrs, Leave::Acls, Leave::Links];
    for (leave, change) in changes {
        let pair = two();
        change(&pair.replica);
        assert_ne!(pair.differences(), [""; 0], "{leave:?}");
        assert_eq!(compare_but(pair.source.top(), pair.replica.top(), &[leave]), [""; 0], "{leave:?}");
        let others: Vec<Leave> = all
            .into_iter()
            .filter(|other| *other != leave && !(leave == Leave::Nanoseconds && *other == Leave::Times))
            .collect();
        assert_ne!(compare_but(pair.source.top(), pair.replica.top(), &others), [""; 0], "{leave:?}");
    }
    let pair = two();
    pair.replica.mtime("alone", 1_000_000_001, 123_456_789);
    assert_eq!(compare_but(pair.source.top(), pair.replica.top(), &[Leave::Nanoseconds]).len(), 1);
}

#[test]
fn what_does_not_count_is_not_compared_nor_what_is_below_it_but_is_still_a_name_of_its_file() {
    let pair = two();
    for tree in [&pair.source, &pair.replica] {
        tree.folder("out").mtime("out", 1, 0).mtime("", 2, 0);
    }
    assert_eq!(pair.differences(), [""; 0]);
    pair.replica.file("out/more", "x").file("alone", "other").folder("only").mtime("", 2, 0);
    let but_for = |out: &[&str]| {
        let counts = |path: &[u8]| !out.iter().any(|name| name.as_bytes() == path);
        compare_where(pair.source.top(), pair.replica.top(), &counts)
    };
    assert_eq!(but_for(&["out", "alone", "only"]), [""; 0]);
    for left in ["out", "alone", "only"] {
        let out: Vec<&str> = ["out", "alone", "only"].into_iter().filter(|name| *name != left).collect();
        let found = but_for(&out);
        assert!(!found.is_empty() && found.iter().all(|line| line.starts_with(left)), "{found:?}");
    }
    pair.replica.hard_link("name", "second").mtime("", 2, 0);
    let found = but_for(&["out", "alone", "only", "second"]);
    assert_eq!(found, [""; 0], "the name that does not count is one that the file has inside");
}

/// `words` with the tops of a tree of everything and of its copy at the end.
fn copied_by(words: &[&str]) -> Vec<String> {
    let pair = Pair::new("/bin/true");
    pair.source.everything();
    let mut from = pair.source.top().as_os_str().to_owned();
    from.push(if words[0] == "rsync" { "/" } else { "/." });
    pair.replica.folder("");
    let done = Command::new(words[0]).args(&words[1..]).arg(from).arg(pair.replica.top()).output().unwrap();
    assert!(done.status.success(), "{words:?}: {}", String::from_utf8_lossy(&done.stderr));
    pair.differences()
}

#[test]
fn a_faithful_copy_of_everything_is_called_identical_and_a_lesser_one_is_not() {
    assert_eq!(copied_by(&["cp", "-a"]), [""; 0]);
    let lesser = |words: &[&str], expected: &str| {
        let found = copied_by(words);
        assert!(found.iter().any(|line| line.contains(expected)), "{words:?}: {found:#?}");
    };
    lesser(&["rsync", "-aAXS"], ": hard link: ");
    lesser(&["rsync", "-aHXS"], ": acl: ");
    lesser(&["rsync", "-aHAS"], ": xattr user.");
    lesser(&["cp", "-a", "--no-preserve=timestamps"], ": mtime: ");
    if is_root() {
        lesser(&["rsync", "-aHAS"], ": xattr trusted.");
        lesser(&["rsync", "-aHAXS", "--no-owner"], ": owner: ");
        lesser(&["rsync", "-aHAXS", "--no-devices"], "missing on the replica");
    }
}

#[test]
fn everything_can_be_edited_and_the_edit_is_seen() {
    let pair = Pair::new("/bin/true");
    pair.source.everything();
    pair.replica.everything();
    pair.source.everything_edited();
    let found = pair.differences();
    for expected in [
        "file: size",
        "file: xattr user.new",
        "piped: hard link",
        "acl/file: acl",
        "acl/heir: default acl",
        "hollow: kind",
        "sparse: size",
        ".: xattr user.alike",
        "times/link-7: mtime",
        "moved: missing",
        "large: only",
    ] {
        assert!(found.iter().any(|line| line.starts_with(expected)), "{expected}: {found:#?}");
    }
}

#[test]
fn holes_are_seen_by_what_is_allocated() {
    let pair = two();
    pair.source.sparse("sparse", 3 << 30, &[(0, b"x"), (2 << 30, b"y"), ((3 << 30) - 1, b"z")]);
    pair.source.file("dense", vec![0; 1 << 20]).sparse("hole", 1 << 20, &[]);
    assert_eq!(std::fs::metadata(pair.source.path("sparse")).unwrap().len(), 3 << 30);
    assert!((1..1 << 20).contains(&allocated(&pair.source.path("sparse"))));
    assert!(allocated(&pair.source.path("dense")) >= 1 << 20, "zeros that are written take room");
    assert!(allocated(&pair.source.path("hole")) < 1 << 16);
}

#[test]
fn a_flag_holds_and_is_taken_back_also_when_the_test_fails() {
    if !root_or_say("flags of files") {
        return;
    }
    let pair = two();
    let (file, folder) = (pair.source.path("alone"), pair.source.path("folder"));
    let failed = catch_unwind(|| {
        let _flags = (Flag::immutable(&file), Flag::append_only(&folder));
        assert!(std::fs::write(&file, "x").is_err() && std::fs::remove_file(folder.join("file")).is_err());
        std::fs::write(folder.join("new"), "x").expect("what only grows takes a new name");
        std::fs::write(&file, "x").expect("this fails the test");
    });
    assert!(failed.is_err());
    std::fs::write(&file, "x").unwrap();
    std::fs::remove_file(folder.join("file")).unwrap();
}

#[test]
fn filesystems_of_each_kind_come_and_go_also_when_the_test_fails() {
    if !root_or_say("filesystems") {
        return;
    }
    let pair = Pair::new("/bin/true");
    for (kind, size) in [("ext4", 64), ("xfs", 300), ("btrfs", 120)] {
        let (at, image) = (pair.beside(kind), pair.beside(format!("{kind}.img")));
        let failed = catch_unwind(|| {
            let _mount = Mount::loop_filesystem(&at, kind, size);
            let mounts = std::fs::read_to_string("/proc/mounts").unwrap();
            assert!(mounts.contains(&format!("{} {kind} ", at.display())), "{mounts}");
            let tree = Tree::make(at.join("tree"));
            tree.everything();
            assert!(loops_of(&image) == 1 && compare(tree.top(), tree.top()).is_empty());
            panic!("the test fails");
        });
        let why = failed.expect_err("it fails");
        assert_eq!(why.downcast_ref::<&str>(), Some(&"the test fails"), "{kind}");
        assert!(!at.join("tree").exists() && !image.exists(), "{kind}");
        assert_eq!(loops_of(&image), 0, "{kind}");
    }
}

/// How many loop devices have this file behind them.
fn loops_of(image: &Path) -> usize {
    let devices = std::fs::read_dir("/sys/block").unwrap().map(|entry| entry.unwrap().path());
    let behind = devices.filter_map(|device| std::fs::read_to_string(device.join("loop/backing_file")).ok());
    behind.filter(|file| file.starts_with(image.to_str().unwrap())).count()
}

#[test]
fn one_acl_is_the_same_on_every_filesystem() {
    if !root_or_say("filesystems") {
        return;
    }
    let pair = two();
    let _mounts = [("ext4", 64), ("xfs", 300)]
        .map(|(kind, size)| Mount::loop_filesystem(&pair.beside(kind), kind, size));
    let trees = ["ext4/tree", "xfs/tree"].map(|at| Tree::make(pair.beside(at)));
    for tree in &trees {
        tree.file("alone", "x")
            .acl("alone", ACL)
            .default_acl("", FOLDER_ACL)
            .mtime("alone", 5, 6)
            .mtime("", 5, 6);
    }
    assert_eq!(compare(trees[0].top(), trees[1].top()), [""; 0]);
    trees[1].remove_acls("alone");
    assert_eq!(compare(trees[0].top(), trees[1].top()).len(), 1);
}

#[test]
fn an_ext4_of_small_inodes_holds_whole_seconds_only() {
    if !root_or_say("filesystems") {
        return;
    }
    let pair = two();
    let _mount = Mount::loop_filesystem_with(&pair.beside("old"), "ext4", 64, &["-I", "128", "-b", "4096"]);
    let old = Tree::make(pair.beside("old/tree"));
    old.file("file", "x").mtime("file", 1_000_000_000, 5);
    pair.source.remove("").file("file", "x").mtime("file", 1_000_000_000, 5).mtime("", 5, 0);
    old.mtime("", 5, 0);
    let found = compare(pair.source.top(), old.top());
    assert_eq!(found, ["file: mtime: source 1000000000.000000005, replica 1000000000.000000000"]);
}

#[test]
fn blocks_that_two_files_share_are_counted() {
    if !root_or_say("filesystems") {
        return;
    }
    let pair = two();
    for (kind, size) in [("xfs", 300), ("btrfs", 120)] {
        let _mount = Mount::loop_filesystem(&pair.beside(kind), kind, size);
        let tree = Tree::at(pair.beside(kind));
        tree.file("one", vec![b'x'; 4 << 20]).file("apart", vec![b'x'; 4 << 20]);
        let (one, two) = (tree.path("one"), tree.path("two"));
        let copied = Command::new("cp").arg("--reflink=always").args([&one, &two]).status().unwrap();
        assert!(copied.success(), "{kind}");
        assert_eq!(
            [shared(&one), shared(&two), shared(&tree.path("apart"))],
            [4 << 20, 4 << 20, 0],
            "{kind}"
        );
    }
}
