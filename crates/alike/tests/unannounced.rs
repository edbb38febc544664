//! What nobody saw being deleted: live passes leave it to one that is judged, and what they leave is done in the end.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::fs::{self, File};
use std::io::Write;
use std::time::Duration;

use alike_testkit::{Live, Mount, Pair, Tree, root_or_say, wait_until};
use common::{SOON, pair};

/// So long a pass takes that copies a file of as many megabytes.
const SLOWLY: [&str; 4] = ["--bwlimit", "1M", "--interval", "1h"];
/// When everything that was slow is over.
const OVER: Duration = Duration::from_secs(30);

fn a_large_file(tree: &Tree, name: &str, seconds: usize) {
    tree.file(name, vec![7; seconds << 20]);
}

fn slow_mirror(pair: &Pair, more: &[&str]) -> Live {
    pair.mirror_with(&[&SLOWLY[..], more].concat())
}

/// True when the replica has all files of a folder with these names.
fn has_all(pair: &Pair, folder: &str, names: std::ops::Range<u32>) -> bool {
    names.into_iter().all(|n| pair.replica.has(format!("{folder}/file-{n}")))
}

#[test]
fn what_went_while_it_was_not_running_is_judged_whatever_else_happens_in_its_folder() {
    let pair = pair();
    for n in 0..600 {
        pair.source.file(format!("folder/file-{n}"), "x");
    }
    pair.source.file("kept", "x");
    pair.mirrored();
    for n in 0..600 {
        pair.source.remove(format!("folder/file-{n}"));
    }
    a_large_file(&pair.source, "large", 3);
    let mut live = slow_mirror(&pair, &[]);
    live.wait_for_output("pass-start", SOON);
    // So many that the whole folder is looked at.
    for n in 0..400 {
        pair.source.file(format!("folder/new-{n}"), "x");
    }
    live.wait_for_output("would delete", OVER);
    std::thread::sleep(Duration::from_secs(1));
    assert!(has_all(&pair, "folder", 0..600), "{}", live.out());
    live.stop();
}

#[test]
fn what_is_unmounted_during_a_long_live_pass_is_not_taken_for_deleted() {
    if !root_or_say("a mount") {
        return;
    }
    let pair = pair();
    let mount = Mount::tmpfs(&pair.source.path("mounted"), "16m");
    for n in 0..300 {
        pair.source.file(format!("mounted/file-{n}"), "x");
    }
    pair.source.file("kept", "x");
    pair.mirrored();
    let mut live = slow_mirror(&pair, &[]);
    live.wait_identical(SOON);
    live.wait_for_output("notify: ", SOON);
    let mut open = File::create(pair.source.path("mounted/new")).unwrap();
    open.write_all(b"written, not closed").unwrap();
    a_large_file(&pair.source, "large", 3);
    std::thread::sleep(Duration::from_millis(1500));
    drop(open);
    drop(mount);
    assert!(wait_until(OVER, || pair.replica.has("large")), "{}", live.out());
    std::thread::sleep(Duration::from_secs(3));
    assert!(has_all(&pair, "mounted", 0..300), "{}", live.out());
    live.stop();
}

#[test]
fn what_a_live_pass_beside_a_full_one_leaves_is_done_after_it() {
    for means in ["inotify", "fanotify"] {
        if means == "fanotify" && !root_or_say("fanotify") {
            continue;
        }
        let pair = pair();
        pair.source.file("kept", "x");
        let elsewhere = Tree::make(pair.beside("elsewhere"));
        // Older than the index: it might be one that the replica has under another name.
        elsewhere.file("old", "x");
        pair.mirrored();
        a_large_file(&pair.source, "large", 3);
        let mut live = slow_mirror(&pair, &["--watcher", means]);
        live.wait_for_output("pass-start", SOON);
        // By now it has seen all names, and copies.
        std::thread::sleep(Duration::from_millis(500));
        fs::create_dir(pair.source.path("new")).unwrap();
        fs::rename(elsewhere.path("old"), pair.source.path("new/old")).unwrap();
        live.wait_identical(OVER);
        live.stop();
    }
}

#[test]
fn what_changed_in_a_folder_that_goes_and_comes_back_arrives() {
    let pair = pair();
    for n in 0..50 {
        pair.source.file(format!("a/deep/file-{n}"), "x");
    }
    let mut live = pair.mirror_with(&["--interval", "1h", "--watcher", "inotify"]);
    live.wait_identical(SOON);
    for round in 0..120 {
        pair.source.file(format!("a/deep/file-{}", round % 50), format!("round {round}"));
        pair.source.rename("a", "b");
        pair.source.rename("b", "a");
        live.wait_identical(Duration::from_secs(4));
    }
    live.wait_identical(SOON);
    live.stop();
}
