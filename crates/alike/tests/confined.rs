//! Landlock: what works on a pair can write to nothing else, and whatever it has to do still works.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use alike_testkit::{Mount, Tree, root_or_say, wait_until};
use common::{SOON, pair, pair_with_files, stopped_at, text};

const CONFINED: &str = "confined by Landlock";

/// False, and said loudly, on a kernel without Landlock.
fn has_landlock() -> bool {
    let said = pair_with_files(1).plan_with(&["-v"]).err();
    let has = !said.contains("not confined");
    if !has {
        eprintln!("NOT RUN: this kernel has no Landlock, or alike may not use it: {said}");
    }
    has
}

/// All names below a folder with what the files hold; attributes are not Landlock's business.
fn contents(top: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut all = Vec::new();
    let mut folders = vec![top.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap().map(Result::unwrap) {
            let path = entry.path();
            match entry.file_type().unwrap() {
                kind if kind.is_dir() => folders.push(path),
                kind if kind.is_file() => all.push((path.clone(), fs::read(path).unwrap())),
                _ => all.push((path, Vec::new())),
            }
        }
    }
    all.sort();
    all
}

#[test]
fn what_is_moved_out_of_the_replica_under_way_gets_no_file_and_loses_none() {
    if !root_or_say("strace") || !has_landlock() {
        return;
    }
    for (calls, what) in
        [("linkat", "new files"), ("renameat,renameat2", "other contents"), ("unlinkat", "deletions")]
    {
        let mut pair = pair();
        for i in 0..100 {
            pair.source.file(format!("folder/kept-{i:03}"), "kept").file(format!("folder/goes-{i:03}"), "x");
        }
        pair.mirrored();
        for i in 0..100 {
            match what {
                "new files" => pair.source.file(format!("folder/new-{i:03}"), "new"),
                "other contents" => pair.source.file(format!("folder/kept-{i:03}"), "edited"),
                _ => pair.source.remove(format!("folder/goes-{i:03}")),
            };
        }
        let out = pair.beside("moved out");
        let mut there = Vec::new();
        stopped_at(&mut pair, (calls, 20), &["--trash", "off"], |pair| {
            fs::rename(pair.replica.path("folder"), &out).unwrap();
            there = contents(&out);
        });
        assert_eq!(there, contents(&out), "{what}");
        pair.mirrored_with(&["--allow-deletes"]);
        assert_eq!(there, contents(&out), "{what}, a pass later");
    }
}

#[test]
fn each_command_says_with_v_that_it_is_confined() {
    if !has_landlock() {
        return;
    }
    let pair = pair_with_files(4);
    pair.mirrored();
    pair.once_with(&["-v"]).expect(0).expect_message_with(CONFINED);
    pair.plan_with(&["-v"]).expect(0).expect_message_with(CONFINED);
    let mut live = pair.mirror_with(&["-v"]);
    live.wait_identical(SOON);
    assert!(wait_until(SOON, || live.err().contains(CONFINED)), "{}", live.err());
    live.stop();
    assert!(!pair.once().err().contains(CONFINED), "nobody asked");
}

#[test]
fn a_log_elsewhere_is_opened_anew_while_the_mirror_is_confined() {
    let pair = pair_with_files(4);
    let log = pair.beside("logs/deep/alike.log");
    let mut live = pair.mirror_with(&["--log-file", text(&log)]);
    live.wait_identical(SOON);
    fs::rename(&log, log.with_extension("old")).unwrap();
    live.hang_up();
    assert!(wait_until(SOON, || log.exists()));
    pair.source.file("after", "x");
    live.wait_identical(SOON);
    assert!(wait_until(SOON, || fs::read_to_string(&log).unwrap().contains("after")));
    live.stop();
}

#[test]
fn a_drive_that_was_unmounted_and_mounted_again_is_written_to_again() {
    if !root_or_say("a drive") {
        return;
    }
    let mut pair = pair_with_files(20);
    let at = pair.beside("drive");
    let drive = Mount::loop_filesystem(&at, "ext4", 32);
    pair.replica = Tree::at(at.join("replica"));
    let mut live = pair.mirror_with(&["--interval", "1"]);
    live.wait_identical(SOON);
    for round in 0..2 {
        system("umount", &["-l", text(&at)]);
        pair.source.file(format!("even/while it was away {round}"), "x");
        std::thread::sleep(Duration::from_millis(1500));
        assert!(!pair.replica.has("even"), "nothing is written below the mount point");
        system("mount", &["-o", "loop", text(&at.with_extension("img")), text(&at)]);
        pair.source.file(format!("odd/since it is back {round}"), "x");
        live.wait_identical(Duration::from_secs(20));
    }
    live.stop();
    drop(drive);
}

fn system(program: &str, args: &[&str]) {
    let done = Command::new(program).args(args).output().unwrap();
    assert!(done.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&done.stderr));
}

#[test]
fn a_drive_mounted_inside_the_replica_later_is_written_to() {
    if !root_or_say("a mount inside the replica") {
        return;
    }
    let pair = pair_with_files(4);
    pair.source.folder("inner");
    let mut live = pair.mirror_with(&[]);
    live.wait_identical(SOON);
    let drive = Mount::tmpfs(&pair.replica.path("inner"), "4m");
    pair.source.file("inner/file", "x").file("inner/deep/file", "x").fifo("inner/pipe");
    assert!(wait_until(SOON, || pair.replica.has("inner/deep/file") && pair.replica.has("inner/pipe")));
    live.stop();
    drop(drive);
}

#[test]
fn a_link_from_a_folder_that_is_moved_out_is_no_target_without_links_and_is_made_when_that_is_back() {
    if !root_or_say("strace") || !has_landlock() {
        return;
    }
    let mut pair = pair_with_files(30);
    pair.source.file("folder/name", "of many names");
    pair.mirrored();
    pair.source.hard_link("folder/name", "y").hard_link("folder/name", "z");
    let (folder, out) = (pair.replica.path("folder"), pair.beside("moved out"));
    // Nothing else is linked in this pass, and the second name waits for the first.
    let code = stopped_at(&mut pair, ("linkat", 1), &[], |_| fs::rename(&folder, &out).unwrap());
    assert_eq!(code, Some(1), "what could not be joined is not identical");
    pair.replica.remove("folder");
    fs::rename(&out, &folder).unwrap();
    let run = pair.mirrored();
    assert!(!run.err().contains("cannot hold"), "{}", run.report());
}
