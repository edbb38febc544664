//! Extended attributes and ACLs are mirrored on every kind of entry, and setting them copies nothing.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use alike_testkit::{Mount, Pair, Tree, is_root, root_or_say};
use common::{Event, SOON, copied, events, has, nothing_to_do, pair, pass, steps, steps_but_folders};

const ACL: &str = "u::rw-,u:12:r--,g::r--,g:7:rw-,m::rw-,o::---";
const FOLDER_ACL: &str = "u::rwx,u:12:r-x,g::r-x,m::rwx,o::---";

/// One change in the source.
type Change = fn(&Tree) -> &Tree;

/// Every kind of entry, each as it is logged and where it is (`.` is the top).
const KINDS: [(&str, &str); 6] = [
    ("file", "file"),
    ("folder", "folder"),
    ("folder/link", "folder/link"),
    ("folder/pipe", "folder/pipe"),
    ("socket", "socket"),
    (".", ""),
];

fn kinds_pair() -> Pair {
    let pair = pair();
    pair.source.file("file", "content").symlink("folder/link", "file").fifo("folder/pipe").socket("socket");
    pair
}

/// Which of [`KINDS`] can have an attribute of this namespace that the tests may set.
fn holders(namespace: &str) -> Vec<(&'static str, &'static str)> {
    match (namespace, is_root()) {
        ("user", _) => vec![KINDS[0], KINDS[1], KINDS[5]],
        (_, true) => KINDS.to_vec(),
        (_, false) => Vec::new(),
    }
}

#[test]
fn attributes_of_every_kind_are_mirrored() {
    let pair = kinds_pair();
    for namespace in ["user", "trusted", "security"] {
        for (name, path) in holders(namespace) {
            pair.source.xattr(path, format!("{namespace}.alike"), name);
        }
    }
    pair.mirrored();
    nothing_to_do(&pair);
}

#[test]
fn an_attribute_that_comes_changes_and_goes_is_one_meta_and_copies_nothing() {
    for namespace in ["user", "trusted", "security"] {
        let pair = kinds_pair();
        pair.mirrored();
        let attribute = format!("{namespace}.alike");
        for (name, path) in holders(namespace) {
            let inode = pair.replica.ino(path);
            for value in [Some("one"), Some("other"), Some(""), None] {
                match value {
                    Some(value) => pair.source.xattr(path, &attribute, value),
                    None => pair.source.remove_xattr(path, &attribute),
                };
                let events = pass(&pair);
                assert_eq!(steps(&events), [format!("meta {name}")], "{attribute} {value:?}");
                assert_eq!((copied(&events), pair.replica.ino(path)), (0, inode));
                nothing_to_do(&pair);
            }
        }
    }
}

#[test]
fn attributes_that_the_replica_lost_changed_or_has_of_its_own_are_put_right() {
    let pair = kinds_pair();
    for (_, path) in holders("user") {
        pair.source.xattr(path, "user.alike", "right");
    }
    pair.mirrored();
    let drifts: [fn(&Tree, &str); 3] = [
        |replica, path| _ = replica.xattr(path, "user.alike", "wrong"),
        |replica, path| _ = replica.remove_xattr(path, "user.alike"),
        |replica, path| _ = replica.xattr(path, "user.stranger", "x"),
    ];
    for drift in drifts {
        holders("user").iter().for_each(|(_, path)| drift(&pair.replica, path));
        let events = pass(&pair);
        assert_eq!(steps(&events), ["meta .", "meta file", "meta folder"]);
        assert_eq!(copied(&events), 0);
        nothing_to_do(&pair);
    }
}

#[test]
fn a_first_pass_gives_what_is_there_already_its_attributes_and_takes_others_away() {
    let pair = kinds_pair();
    pair.source.xattr("file", "user.alike", "right").acl("file", ACL).default_acl("folder", FOLDER_ACL);
    pair.replica.file("file", "content").folder("folder").xattr("folder", "user.stranger", "x");
    pair.replica.acl("folder", FOLDER_ACL).xattr("", "user.stranger", "x").default_acl("", FOLDER_ACL);
    let inode = pair.replica.ino("file");
    pair.mirrored();
    assert_eq!(pair.replica.ino("file"), inode, "the content was right");
    nothing_to_do(&pair);
}

#[test]
fn an_edited_file_keeps_its_attributes_and_a_renamed_one_too() {
    let pair = kinds_pair();
    pair.source.xattr("file", "user.alike", "x").acl("file", ACL).default_acl("folder", FOLDER_ACL);
    pair.mirrored();
    pair.source.file("file", "edited, and longer").rename("folder", "renamed");
    pair.mirrored();
    pair.source.rename("file", "renamed/file").xattr("renamed/file", "user.alike", "y");
    let inode = pair.replica.ino("file");
    pair.mirrored();
    assert_eq!(pair.replica.ino("renamed/file"), inode);
    nothing_to_do(&pair);
}

#[test]
fn large_empty_and_many_attributes_are_mirrored() {
    let pair = pair();
    pair.source.file("large", "x").file("many", "x").file("empty", "x").folder("folder");
    for path in ["large", "folder"] {
        pair.source.xattr(path, "user.large", vec![b'v'; 3000]);
    }
    for i in 0..50 {
        pair.source.xattr("many", format!("user.number-{i}"), format!("value {i}"));
    }
    pair.source.xattr("empty", "user.empty", "").xattr("empty", "user.zero", "\0");
    pair.mirrored();
    nothing_to_do(&pair);
    for i in (0..50).step_by(2) {
        pair.source.xattr("many", format!("user.number-{i}"), format!("VALUE {i}"));
    }
    pair.source.xattr("large", "user.large", vec![b'w'; 3000]).xattr("empty", "user.zero", "");
    assert_eq!(steps(&pass(&pair)), ["meta empty", "meta large", "meta many"]);
}

#[test]
fn an_attribute_of_any_name_is_mirrored_and_forges_no_line() {
    let pair = pair();
    let names: [&[u8]; 5] = [
        b"user.line\n1999-01-01 00:00:00.000 delete  everything",
        b"user.\xff\xfe",
        b"user.\x1b[31mred\x1b[0m",
        b"user. \"quoted\\\r\t",
        "user.\u{9b}31m\u{202e}".as_bytes(),
    ];
    pair.source.file("file", "x").folder("folder");
    pair.mirrored();
    for (i, name) in names.into_iter().enumerate() {
        pair.source.xattr("file", name, "v").xattr("folder", name, name);
        let plan = pair.plan_with(&[]).out();
        let log = pair.mirrored().out();
        for line in plan.lines().chain(log.lines()) {
            assert!(!line.chars().any(char::is_control), "{i}: {line:?}");
            assert!(!line.starts_with("1999-01-01") && !line.contains('\u{202e}'), "{i}: {line:?}");
        }
        pair.source.remove_xattr("file", name);
        assert_eq!(steps(&pass(&pair)), ["meta file"], "{i}: the lines of JSON are whole");
    }
}

#[test]
fn capabilities_survive_a_change_of_owner_mode_and_content() {
    if !root_or_say("file capabilities") {
        return;
    }
    let pair = pair();
    pair.source
        .file("tool", "content")
        .owner("tool", 1000, 1000)
        .mode("tool", 0o755)
        .capability("tool", 1 << 10);
    pair.mirrored();
    nothing_to_do(&pair);
    let inode = pair.replica.ino("tool");
    let changes: [Change; 4] = [
        |s| s.owner("tool", 1001, 1002).capability("tool", 1 << 10),
        |s| s.mode("tool", 0o750),
        |s| s.capability("tool", 1 << 13),
        |s| s.owner("tool", 1003, 1003),
    ];
    for change in changes {
        change(&pair.source);
        let events = pass(&pair);
        assert_eq!(steps(&events), ["meta tool"]);
        assert_eq!((copied(&events), pair.replica.ino("tool")), (0, inode));
        nothing_to_do(&pair);
    }
    assert_eq!(pair.replica.xattr_of("tool", "security.capability"), None, "the last change took it");
    pair.source.file("tool", "edited, and longer").mode("tool", 0o6755).capability("tool", 1 << 10);
    pair.mirrored();
    nothing_to_do(&pair);
}

#[test]
fn acls_come_change_and_go_as_one_meta() {
    let pair = kinds_pair();
    pair.mirrored();
    let changes: [(&[&str], Change); 6] = [
        (&["meta file"], |s| s.acl("file", ACL)),
        (&["meta folder"], |s| s.acl("folder", FOLDER_ACL)),
        (&["meta .", "meta folder"], |s| s.default_acl("folder", FOLDER_ACL).default_acl("", FOLDER_ACL)),
        (&["meta file"], |s| s.acl("file", "u::rw-,u:13:r--,g::r--,g:7:rw-,m::rw-,o::---")),
        (&["meta file"], |s| s.mode("file", 0o600)),
        (&["meta .", "meta file", "meta folder"], |s| {
            s.remove_acls("file").remove_acls("folder").remove_acls("")
        }),
    ];
    for (expected, change) in changes {
        change(&pair.source);
        let events = pass(&pair);
        assert_eq!(steps(&events), expected);
        assert_eq!(copied(&events), 0);
        nothing_to_do(&pair);
    }
}

/// Puts an entry of each kind under `folder`, none of which has an ACL.
fn plain_entries(tree: &Tree, folder: &str) {
    let at = |name: &str| format!("{folder}/{name}");
    tree.file(at("file"), "x").symlink(at("link"), "x").fifo(at("pipe")).socket(at("socket"));
    tree.file(at("sub/deeper/file"), "x").mode(at("file"), 0o600).mode(at("sub"), 0o700);
    tree.file(at("one"), "x").hard_link(at("one"), at("two"));
}

#[test]
fn what_a_replica_folder_would_pass_on_leaks_into_nothing() {
    let pair = pair();
    pair.source.folder("folder").folder("heir");
    pair.replica.folder("folder");
    for path in ["folder", ""] {
        pair.replica.default_acl(path, FOLDER_ACL);
    }
    plain_entries(&pair.source, "folder");
    pair.mirrored();

    for path in ["folder", "folder/sub", "heir", "", ".alike"] {
        pair.replica.default_acl(path, FOLDER_ACL);
    }
    plain_entries(&pair.source, "folder/later");
    plain_entries(&pair.source, "heir");
    pair.source.file("folder/file", "edited, and longer").file("folder/sub/new", "x").file("top", "x");
    pair.mirrored();
    for path in ["folder/later/file", "folder/later/sub", "heir/pipe", "folder/sub/new", "top"] {
        assert!(!pair.replica.has_acl(path), "{path}");
    }
    nothing_to_do(&pair);
}

#[test]
fn what_a_folder_passes_on_is_mirrored_and_not_passed_on_by_copying() {
    let pair = pair();
    plain_entries(&pair.source, "folder");
    pair.source.default_acl("folder", FOLDER_ACL).file("folder/inherits", "x").folder("folder/sub heir");
    pair.mirrored();
    assert!(!pair.replica.has_acl("folder/file") && pair.replica.has_acl("folder/inherits"));
    nothing_to_do(&pair);
    plain_entries(&pair.source, "folder/sub heir");
    pair.mirrored();
    nothing_to_do(&pair);
}

#[test]
fn no_xattrs_leaves_them_alone_on_both_sides() {
    let pair = kinds_pair();
    pair.source.xattr("file", "user.alike", "the source's").xattr("", "user.alike", "the source's");
    pair.once_with(&["--no-xattrs"]).expect(0);
    assert_eq!(pair.replica.xattr_of("file", "user.alike"), None);
    pair.replica.xattr("file", "user.alike", "its own").xattr("folder", "user.other", "its own");
    pair.source.xattr("folder", "user.alike", "late").mode("file", 0o600);
    let run = pair.once_with(&["--no-xattrs", "--json"]);
    run.expect(0);
    assert_eq!(steps(&events(&run)), ["meta file"], "the mode: {}", run.report());
    assert_eq!(pair.replica.xattr_of("file", "user.alike").unwrap(), b"its own");
    assert_eq!(pair.replica.xattr_of("folder", "user.other").unwrap(), b"its own");
    assert_eq!(pair.replica.xattr_of("folder", "user.alike"), None);

    assert_eq!(
        steps(&pass(&pair)),
        ["meta .", "meta file", "meta folder"],
        "without the flag they count again"
    );
    nothing_to_do(&pair);
}

/// The errors of a run that name this attribute.
fn errors_about(events: &[Event], path: &str, attribute: &str) -> usize {
    let about = |e: &&Event| e.action == "error" && e.path == path && e.line.to_string().contains(attribute);
    events.iter().filter(about).count()
}

#[test]
fn an_attribute_that_finds_no_room_holds_back_itself_only() {
    if !root_or_say("filesystems") {
        return;
    }
    let mut pair = pair();
    let _from = Mount::loop_filesystem(&pair.beside("from"), "xfs", 300);
    let _to = Mount::loop_filesystem(&pair.beside("to"), "ext4", 64);
    pair.source = Tree::make(pair.beside("from/source"));
    pair.replica = Tree::at(pair.beside("to/replica"));
    pair.source.file("file", "content").file("folder/other", "x");
    for path in ["file", "folder"] {
        pair.source.xattr(path, "user.huge", vec![b'v'; 6000]).xattr(path, "user.small", "v");
    }
    let once = || {
        let run = pair.once_with(&["--json"]);
        run.expect(1);
        let events = events(&run);
        assert_eq!(errors_about(&events, "file", "user.huge"), 1, "{}", run.report());
        assert_eq!(errors_about(&events, "folder", "user.huge"), 1, "{}", run.report());
        assert_eq!(pair.replica.read("file"), pair.source.read("file"));
        assert_eq!(pair.replica.xattr_of("file", "user.small").unwrap(), b"v");
        assert_eq!(pair.replica.xattr_of("folder", "user.small").unwrap(), b"v");
        assert!(pair.replica.has("folder/other"));
        events
    };
    once();
    let inode = pair.replica.ino("file");
    let again = once();
    assert!(copied(&again) == 0 && !has(&again, "update", "file"), "{:?}", steps(&again));
    assert_eq!(pair.replica.ino("file"), inode, "the content is not copied again");
    pair.source.file("file", "edited, and longer");
    once();

    for path in ["file", "folder"] {
        pair.source.xattr(path, "user.huge", vec![b'v'; 60]);
    }
    let events = pass(&pair);
    assert_eq!((copied(&events), steps_but_folders(&pair, &events)), (0, vec!["meta file".to_owned()]));
    nothing_to_do(&pair);
}

#[test]
fn an_attribute_that_changes_live_arrives() {
    let pair = kinds_pair();
    let mut live = pair.mirror_with(&["--json"]);
    live.wait_identical(SOON);
    for namespace in ["user", "trusted", "security"] {
        for (name, path) in holders(namespace) {
            pair.source.xattr(path, format!("{namespace}.alike"), "x");
            eprintln!("{namespace} {name}: {:?}", live.wait_identical(SOON));
        }
    }
    pair.source.acl("file", ACL).default_acl("folder", FOLDER_ACL).remove_xattr("file", "user.alike");
    live.wait_identical(SOON);
    live.stop();
    let events = common::parse(&live.out());
    let again =
        events.iter().filter(|e| e.action == "update" || e.path == "file" && e.action == "create").count();
    assert!(again <= 1, "nothing is copied again: {}", live.out());
}

#[test]
fn an_attribute_that_changes_between_runs_is_found_though_the_time_stands_still() {
    let pair = kinds_pair();
    pair.source.mtime("file", 1_000_000_000, 1).mtime("folder", 1_000_000_000, 1);
    pair.mirrored();
    // Long enough for the stamps to be trusted, so that only the change time tells.
    std::thread::sleep(std::time::Duration::from_millis(100));
    nothing_to_do(&pair);
    pair.source.xattr("file", "user.alike", "x").xattr("folder", "user.alike", "x");
    assert_eq!(steps(&pass(&pair)), ["meta file", "meta folder"]);
}
