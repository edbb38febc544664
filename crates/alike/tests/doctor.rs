//! `alike doctor`: what it says of a machine and a pair, and that it changes nothing.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::process::Command;

use alike_testkit::{FaultyDisk, Mount, NOBODY, Pair, Run, Tree, root_or_say};
use common::{pair, pair_with_files, text};
use serde_json::Value;

/// `alike doctor FLAGS SOURCE REPLICA`.
fn doctor(pair: &Pair, flags: &[&str]) -> Run {
    let state = pair.alike.state_dir();
    let ends = [text(&state), text(pair.source.top()), text(pair.replica.top())];
    pair.alike.run([&["doctor", "--state-dir"], &ends[..], flags].concat())
}

/// The lines about one thing.
fn about(run: &Run, what: &str) -> Vec<String> {
    let lines = run.out();
    let of = |line: &&str| line.split_whitespace().nth(1) == Some(what);
    lines.lines().filter(of).map(str::to_owned).collect()
}

/// Panics unless there is a line about `what` with this verdict and these words.
#[track_caller]
fn says(run: &Run, verdict: &str, what: &str, words: &[&str]) {
    let fits = |line: &String| line.starts_with(verdict) && words.iter().all(|word| line.contains(word));
    assert!(about(run, what).iter().any(fits), "{verdict} {what} {words:?}\n{}", run.report());
}

#[test]
fn a_pair_that_is_fit_has_a_good_line_for_everything_and_nothing_is_changed() {
    let pair = pair_with_files(10);
    let before = pair.source_now();
    let run = doctor(&pair, &[]);
    run.expect(0);
    for what in [
        "kernel",
        "landlock",
        "rights",
        "descriptors",
        "source",
        "watching",
        "queue",
        "replica",
        "room",
        "attributes",
        "copies",
        "sync",
        "clock",
        "pair",
        "state",
    ] {
        assert!(!about(&run, what).is_empty(), "{what}\n{}", run.report());
    }
    assert!(run.out().lines().all(|line| ["ok ", "note "].iter().any(|verdict| line.starts_with(verdict))));
    says(&run, "ok", "pair", &["new"]);
    assert_eq!(before.changes_and_reads(&pair.source_now()), [""; 0]);
    assert!(!pair.replica.has("") && !pair.alike.state_dir().exists());

    pair.mirrored();
    let (source, replica) = (pair.source_now(), alike_testkit::Snapshot::of(pair.replica.top()));
    let state = alike_testkit::Snapshot::of(&pair.alike.state_dir());
    let run = doctor(&pair, &[]);
    run.expect(0);
    says(&run, "ok", "pair", &["is this source's"]);
    assert_eq!(source.changes(&pair.source_now()), [""; 0]);
    assert_eq!(replica.changes(&alike_testkit::Snapshot::of(pair.replica.top())), [""; 0]);
    assert_eq!(state.changes(&alike_testkit::Snapshot::of(&pair.alike.state_dir())), [""; 0]);
}

#[test]
fn without_a_pair_it_speaks_of_the_machine() {
    let run = pair().alike.run(["doctor"]);
    run.expect(0);
    says(&run, "ok", "descriptors", &[]);
    assert!(about(&run, "source").is_empty() && about(&run, "replica").is_empty());
}

#[test]
fn each_line_is_an_object_for_scripts() {
    let pair = pair_with_files(1);
    let run = doctor(&pair, &["--json"]);
    run.expect(0);
    for line in run.out().lines() {
        let line: Value = serde_json::from_str(line).unwrap();
        assert!(["ok", "note", "bad"].contains(&line["verdict"].as_str().unwrap()));
        assert!(line["about"].is_string() && line["text"].is_string());
        assert!(line["do"].is_string() || line["do"].is_null());
    }
}

#[test]
fn it_says_which_right_would_make_watching_better() {
    if !root_or_say("capabilities") {
        return;
    }
    let mut pair = pair_with_files(4);
    says(&doctor(&pair, &[]), "ok", "watching", &["fanotify"]);
    pair.alike.run_after("exec setpriv --bounding-set=-sys_admin \"$0\" \"$@\"");
    let run = doctor(&pair, &[]);
    run.expect(0);
    says(&run, "note", "watching", &["inotify", "AmbientCapabilities=CAP_SYS_ADMIN"]);
    says(&run, "note", "rights", &["CAP_SYS_ADMIN"]);
    says(&run, "ok", "marks", &["3 folders"]);
}

#[test]
fn it_says_that_a_source_has_more_folders_than_may_be_watched_and_what_to_set() {
    if !root_or_say("a limit of marks") {
        return;
    }
    let mut pair = pair();
    for i in 0..40 {
        pair.source.folder(format!("folder-{i}/inner"));
    }
    pair.alike.run_after(
        "exec unshare --user --map-root-user sh -c 'echo 50 > /proc/sys/user/max_inotify_watches; \
         exec \"$0\" \"$@\"' \"$0\" \"$@\"",
    );
    let run = doctor(&pair, &[]);
    run.expect(1);
    says(&run, "note", "rights", &["user namespace"]);
    says(&run, "bad", "marks", &["81 folders", "50", "sysctl user.max_inotify_watches=256"]);
}

#[test]
fn it_says_what_another_user_cannot_do() {
    if !root_or_say("another user") {
        return;
    }
    let mut pair = pair_with_files(4);
    pair.hand_to(NOBODY);
    let run = doctor(&pair, &[]);
    run.expect(0);
    says(
        &run,
        "note",
        "rights",
        &["user 65534", "CAP_CHOWN (keeps owners)", "CAP_LEASE", "AmbientCapabilities=CAP_CHOWN"],
    );
    says(&run, "note", "attributes", &["cannot hold", "owner"]);
}

#[test]
fn what_a_pass_would_refuse_is_bad_and_says_what_to_do() {
    let pair = pair_with_files(10);
    pair.mirrored();
    let other = Tree::make(pair.beside("other"));
    let run = pair.alike.run(["doctor", text(other.top()), text(pair.replica.top())]);
    run.expect(1);
    says(&run, "bad", "pair", &["belongs to another source"]);
    let run = pair.alike.run(["doctor", text(&pair.beside("nowhere")), text(pair.replica.top())]);
    run.expect(1);
    says(&run, "bad", "source", &["nowhere", "mount its drive"]);
    let run = pair.alike.run(["doctor", text(pair.source.top()), text(&pair.source.path("even/replica"))]);
    run.expect(1);
    says(&run, "bad", "pair", &["lies inside the source"]);
}

#[test]
fn a_target_that_is_full_or_read_only_is_bad() {
    if !root_or_say("mounts") {
        return;
    }
    let mut pair = pair_with_files(4);
    let small = Mount::tmpfs(&pair.beside("small"), "1m");
    pair.replica = Tree::at(small.at().join("replica"));
    let run = doctor(&pair, &[]);
    run.expect(1);
    says(&run, "bad", "room", &["1.0 MiB"]);
    let done = Command::new("mount").args(["-o", "remount,ro"]).arg(small.at()).status().unwrap();
    assert!(done.success());
    let run = doctor(&pair, &[]);
    run.expect(1);
    says(&run, "bad", "replica", &["read-only"]);
}

#[test]
fn what_a_target_cannot_do_is_noted() {
    if !root_or_say("filesystems") {
        return;
    }
    let mut pair = pair_with_files(4);
    let btrfs = Mount::loop_filesystem(&pair.beside("btrfs"), "btrfs", 120);
    pair.replica = Tree::at(btrfs.at().join("replica"));
    let run = doctor(&pair, &[]);
    run.expect(0);
    says(&run, "ok", "copies", &["share blocks"]);
    let served = FaultyDisk::mount(&pair.beside("served"), false);
    pair.replica = Tree::at(served.at().join("replica"));
    pair.source = Tree::make(served.at().join("source"));
    let run = doctor(&pair, &[]);
    says(&run, "note", "copies", &["under a name"]);
    says(&run, "note", "sync", &["by itself"]);
    says(&run, "note", "watching", &["again and again"]);
    assert_eq!(std::fs::read_dir(served.at()).unwrap().count(), 1, "nothing was made");
}

#[test]
fn too_few_descriptors_and_a_state_folder_that_is_closed_are_bad() {
    let mut pair = pair_with_files(4);
    pair.alike.run_after("ulimit -n 64");
    let run = doctor(&pair, &[]);
    run.expect(1);
    says(&run, "bad", "descriptors", &["64", "LimitNOFILE"]);
    if !root_or_say("another user") {
        return;
    }
    let mut pair = pair_with_files(4);
    pair.hand_to(NOBODY);
    let run = pair.alike.run(["doctor", "--state-dir", "/root/state", "--log-file", "/root/alike.log"]);
    run.expect(1);
    says(&run, "bad", "state", &["/root"]);
    says(&run, "bad", "log", &["/root"]);
}

#[test]
fn a_name_forges_no_line() {
    let pair = pair_with_files(1);
    let odd = pair.beside("odd\nok    forged");
    std::fs::create_dir(&odd).unwrap();
    let run = pair.alike.run(["doctor", text(&odd)]);
    run.expect(0);
    assert!(!run.out().lines().any(|line| line.contains("forged") && line.starts_with("ok    forged")));
}
