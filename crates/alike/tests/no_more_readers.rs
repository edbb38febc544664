//! On its way to the replica nothing is readable by somebody who may read it neither before nor after, and no program runs as
//! somebody whose it is not.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};

use alike_testkit::{Mount, Pair, Tree, root_or_say};
use common::{events, nothing_to_do, pair, steps, text};

/// Calls after which something is to be seen that was not before.
const SEEN_AFTER: &str = "fchown,fchownat,lchown,chmod,fchmod,fchmodat,setxattr,fsetxattr,lsetxattr,\
                          removexattr,fremovexattr,lremovexattr,link,linkat,rename,renameat,renameat2,mkdirat,pwrite64";

/// User, group: people without rights of their own.
const PEOPLE: [(u32, u32); 4] = [(3001, 4001), (3002, 4002), (3003, 4003), (3004, 4004)];

/// Who of them can read the file at this moment.
fn readers(path: &Path) -> BTreeSet<(u32, u32)> {
    let may = |(user, group): &(u32, u32)| {
        let (user, group) = (format!("--reuid={user}"), format!("--regid={group}"));
        let read = Command::new("setpriv").args([&user, &group, "--clear-groups", "cat"]).arg(path).output();
        read.unwrap().status.success()
    };
    PEOPLE.into_iter().filter(may).collect()
}

/// Makes a pass with a pause after each call that changes something to be seen, and asks all the while who can read `name`.
#[track_caller]
fn nobody_else_reads(mut pair: Pair, name: &str, change: impl FnOnce(&Tree) -> &Tree) {
    open_the_way(&pair);
    pair.mirrored();
    let path = pair.replica.path(name);
    let before = readers(&path);
    change(&pair.source);
    pair.alike.run_after(&format!(
        "exec strace -f -q -o /dev/null -e trace={SEEN_AFTER} -e inject={SEEN_AFTER}:delay_exit=40000 \"$0\" \"$@\""
    ));
    let over = AtomicBool::new(false);
    let meanwhile = std::thread::scope(|scope| {
        let asked = scope.spawn(|| {
            let mut all = BTreeSet::new();
            while !over.load(Ordering::Relaxed) {
                all.extend(readers(&path));
            }
            all
        });
        let run = pair.once();
        over.store(true, Ordering::Relaxed);
        run.expect(0);
        asked.join().unwrap()
    });
    pair.assert_identical(name);
    let allowed = &before | &readers(&path);
    assert!(meanwhile.is_subset(&allowed), "{name}: read by {meanwhile:?}, allowed {allowed:?}");
}

/// The room of a pair is closed to others; these tests are about what lies in it.
fn open_the_way(pair: &Pair) {
    let room = pair.source.top().parent().unwrap();
    std::fs::set_permissions(room, std::fs::Permissions::from_mode(0o755)).unwrap();
}

fn owned(mode: u32) -> Pair {
    let pair = pair();
    pair.source.file("file", "secret").owner("file", 3001, 4001).mode("file", mode);
    pair
}

#[test]
fn a_file_that_changes_hands_is_not_read_by_the_new_group_on_the_way() {
    if root_or_say("other owners") {
        nobody_else_reads(owned(0o640), "file", |s| s.owner("file", 3002, 4003).mode("file", 0o600));
    }
}

#[test]
fn a_file_that_changes_hands_and_gets_an_acl_is_not_read_by_the_new_group_on_the_way() {
    if root_or_say("other owners") {
        nobody_else_reads(owned(0o640), "file", |s| {
            s.owner("file", 3002, 4003).acl("file", "u::rw-,u:3004:r--,g::---,m::r--,o::---")
        });
    }
}

#[test]
fn a_file_that_loses_its_acl_is_not_read_by_its_group_on_the_way() {
    if root_or_say("other owners") {
        let pair = owned(0o600);
        pair.source.acl("file", "u::rw-,u:3004:rw-,g::---,m::rw-,o::---").owner("file", 3001, 4003);
        nobody_else_reads(pair, "file", |s| s.remove_acls("file").mode("file", 0o600));
    }
}

#[test]
fn a_new_file_is_not_read_by_whom_the_folder_would_let() {
    if root_or_say("other owners") {
        let pair = pair();
        pair.source
            .folder("heir")
            .default_acl("heir", "u::rwx,u:3004:r-x,g::r-x,m::rwx,o::r-x")
            .mode("heir", 0o777);
        nobody_else_reads(pair, "heir/file", |s| {
            s.file("heir/file", "secret").remove_acls("heir/file").owner("heir/file", 3002, 4002);
            s.mode("heir/file", 0o600)
        });
    }
}

#[test]
fn a_file_replaced_by_a_more_secret_one_is_read_by_nobody_else() {
    if root_or_say("other owners") {
        nobody_else_reads(owned(0o644), "file", |s| {
            s.file("file", "another secret, and longer").mode("file", 0o600)
        });
    }
}

#[test]
fn a_folder_is_closed_before_secrets_come_into_it() {
    if !root_or_say("other owners") {
        return;
    }
    let open = || {
        let pair = pair();
        pair.source.file("folder/sub/old", "x").mode("folder", 0o755).owner("folder", 3001, 4001);
        pair
    };
    nobody_else_reads(open(), "folder/new", |s| s.file("folder/new", "secret").mode("folder", 0o700));
    nobody_else_reads(open(), "folder/sub/new", |s| s.file("folder/sub/new", "secret").mode("folder", 0o700));
    nobody_else_reads(open(), "folder/new", |s| {
        s.mode("folder", 0o750).owner("folder", 3002, 4002).file("folder/new", "secret")
    });
}

#[test]
fn a_huge_file_that_is_closed_to_others_is_not_changed_before_their_eyes() {
    if !root_or_say("an ext4 of its own") {
        return;
    }
    const MIB: u64 = 1 << 20;
    let mut pair = pair();
    let disk = pair.beside("disk");
    let _mount = Mount::loop_filesystem(&disk, "ext4", 128);
    pair.replica = Tree::at(disk.join("replica"));
    pair.source.sparse("file", 300 * MIB, &[(0, &[7; 100])]).owner("file", 3001, 4001).mode("file", 0o640);
    let whole = |pair: &Pair| pair.replica.ino("file");
    pair.mirrored();
    let before = whole(&pair);
    let edit = |bytes: &[u8]| {
        let file = File::options().write(true).open(pair.source.path("file")).unwrap();
        file.write_all_at(bytes, 0).unwrap();
    };
    edit(b"for other people");
    pair.source.owner("file", 3001, 4002);
    pair.mirrored();
    assert_ne!(whole(&pair), before, "for another group it is a file of its own");
    let before = whole(&pair);
    edit(b"for its owner alone");
    pair.source.mode("file", 0o600);
    let trace = pair.beside("trace");
    pair.alike
        .run_after(&format!("exec strace -f -q -o {} -e trace=fchmod,pwrite64 \"$0\" \"$@\"", text(&trace)));
    pair.mirrored();
    assert_eq!(whole(&pair), before, "for the same people it is changed in place");
    let trace = std::fs::read_to_string(&trace).unwrap();
    let at = |call: &str| trace.find(call).unwrap_or_else(|| panic!("no {call} in\n{trace}"));
    assert!(at("0600)") < at("for its owner alone"), "closed first, then written:\n{trace}");
}

/// The lines of a trace of a pass with these calls.
fn traced(pair: &mut Pair, calls: &str) -> Vec<String> {
    let trace = pair.beside("trace");
    pair.alike.run_after(&format!("exec strace -f -q -o {} -e trace={calls} \"$0\" \"$@\"", text(&trace)));
    pair.mirrored_with(&["--threads", "1"]);
    std::fs::read_to_string(trace).unwrap().lines().map(str::to_owned).collect()
}

/// The last octal number of a call, when it says who may run it as whom: `fchmod(7, 04755) = 0`.
fn sets_id(line: &str) -> bool {
    let modes = line.split([' ', ',', '|', ')']).filter(|word| word.starts_with('0') && word.len() > 4);
    modes.filter_map(|word| u32::from_str_radix(word, 8).ok()).any(|mode| mode & 0o6000 != 0)
}

#[test]
fn set_id_bits_never_come_before_the_right_owner() {
    if !root_or_say("other owners") {
        return;
    }
    let calls = "open,openat,mknod,mknodat,mkdir,mkdirat,fchown,fchownat,lchown,chmod,fchmod,fchmodat";
    let mut pair = pair();
    pair.source.file("tool", "#!").owner("tool", 3001, 4001).mode("tool", 0o6755);
    pair.source.file("old", "#!").owner("old", 3001, 4001).mode("old", 0o4755);
    for day in 0..2 {
        if day == 1 {
            pair.source.owner("old", 3002, 4002).mode("old", 0o4711);
        }
        let trace = traced(&mut pair, calls);
        let mut has_owner = false;
        let mut set = 0;
        for line in &trace {
            if line.contains("chown") && line.contains("300") {
                has_owner = true;
            } else if line.contains("chmod") && sets_id(line) {
                assert!(has_owner, "{line}\n{}", trace.join("\n"));
                (has_owner, set) = (false, set + 1);
            } else {
                assert!(!sets_id(line), "made with set-id bits: {line}");
            }
        }
        assert!(set > 0, "nothing seen:\n{}", trace.join("\n"));
    }
}

#[test]
fn where_owners_are_not_copied_no_program_runs_as_somebody_whose_it_is_not() {
    if !root_or_say("other owners") {
        return;
    }
    let pair = pair();
    pair.source.file("user", "#!").owner("user", 3001, 0).mode("user", 0o6755);
    pair.source.file("group", "#!").owner("group", 0, 4001).mode("group", 0o6755);
    pair.source.file("ours", "#!").owner("ours", 0, 0).mode("ours", 0o6755);
    pair.source.folder("folder").owner("folder", 3001, 4001).mode("folder", 0o2775);
    let modes = || {
        ["user", "group", "ours", "folder"]
            .map(|name| std::fs::metadata(pair.replica.path(name)).unwrap().mode() & 0o7777)
    };
    let flags = ["--no-owner", "--json"];
    pair.once_with(&flags).expect(0);
    assert_eq!(modes(), [0o2755, 0o4755, 0o6755, 0o2775]);
    let again = pair.once_with(&flags);
    assert_eq!(steps(&events(again.expect(0))), [""; 0]);
    // What an earlier version, or somebody else, has left there goes.
    pair.replica.mode("user", 0o6755).mode("group", 0o6755);
    pair.once_with(&flags).expect(0);
    assert_eq!(modes(), [0o2755, 0o4755, 0o6755, 0o2775]);
    pair.mirrored();
    nothing_to_do(&pair);
    assert!(!pair.differences().iter().any(|line| line.contains("mode")));
}

#[test]
fn a_log_is_closed_to_others_for_it_has_the_names_of_what_is_closed_to_them() {
    let mut pair = pair();
    pair.source.file("file", "x");
    let log = pair.beside("alike.log");
    pair.alike.run_after("umask 0");
    pair.mirrored_with(&["--log-file", text(&log)]);
    assert_eq!(std::fs::metadata(log).unwrap().mode() & 0o137, 0);
}
