//! `alike why PATH`: the rule, the pass or the reason, whatever became of a path.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use alike_testkit::{Mount, NOBODY, Pair, Run, root_or_say};
use common::up::Up;
use common::{SOON, events, pair, pair_with_files, text};
use serde_json::Value;

/// A pair whose source has rested: of what changed within a stamp's grain of a pass nobody could tell later who changed it.
fn settled_pair(count: usize) -> Pair {
    let pair = pair_with_files(count);
    std::thread::sleep(Duration::from_millis(60));
    pair
}

fn why_with(pair: &Pair, path: &Path, flags: &[&str]) -> Run {
    let state = pair.alike.state_dir();
    let words = [&["why", text(path), "--state-dir", text(&state)], flags].concat();
    pair.alike.run(words)
}

/// What is said of a path of the source.
#[track_caller]
fn why(pair: &Pair, path: &str, code: i32) -> String {
    let run = why_with(pair, &pair.source.path(path), &[]);
    run.expect(code);
    run.out()
}

#[track_caller]
fn json(pair: &Pair, path: &Path) -> Value {
    serde_json::from_str(&why_with(pair, path, &["--json"]).out()).unwrap()
}

#[test]
fn each_rule_is_named_with_its_file_and_line() {
    let pair = pair();
    pair.source
        .file("docs/.alikeignore", "# what nobody needs\n*.tmp\n\n!keep.tmp\n")
        .file("docs/x.tmp", "x")
        .file("docs/keep.tmp", "x")
        .file("docs/deep/.gitignore", "*.o\n*.o\n")
        .file("docs/deep/y.o", "x")
        .file("z.log", "x")
        .file("cache/deep/one", "x")
        .file("listed", "x");
    let list = pair.beside("list");
    fs::write(&list, "nothing\n/listed\n").unwrap();
    let flags = ["--exclude", "*.log", "--exclude", "/cache/", "--gitignore", "--ignore-file", text(&list)];
    pair.once_with(&flags).expect(0);
    for (path, said) in [
        ("docs/x.tmp", "left out: docs/.alikeignore:2: *.tmp".to_owned()),
        ("docs/deep/y.o", "left out: docs/deep/.gitignore:2: *.o".to_owned()),
        ("z.log", "left out: --exclude \"*.log\"".to_owned()),
        ("cache/deep/one", "left out with the folder cache: --exclude \"/cache/\"".to_owned()),
        ("listed", format!("left out: --ignore-file {}:2: /listed", list.display())),
    ] {
        let out = why(&pair, path, 1);
        assert!(out.starts_with(&format!("{path}: {said}\n")), "{out}");
    }
    let kept = why(&pair, "docs/keep.tmp", 0);
    assert!(kept.contains("as in the source") && kept.contains("create  docs/keep.tmp  new"), "{kept}");
    let said = json(&pair, &pair.source.path("docs/x.tmp"));
    assert_eq!((&said["verdict"], &said["pattern"]), (&"left-out".into(), &"*.tmp".into()));
}

#[test]
fn an_ignore_file_named_from_elsewhere_is_found_again() {
    let pair = settled_pair(3);
    fs::write(pair.beside("list"), "even\n").unwrap();
    let state = pair.alike.state_dir();
    let words = ["once", "--state-dir", text(&state), "source", "replica", "--ignore-file", "list"];
    let mut run = pair.alike.command(words);
    assert!(run.current_dir(pair.beside("")).status().unwrap().success());
    let out = why(&pair, "even/file-000", 1);
    assert!(out.contains("left out with the folder even: --ignore-file list:1: even"), "{out}");
}

#[test]
fn what_a_pass_did_to_a_path_is_told_with_the_pass_and_what_set_it_off() {
    let pair = settled_pair(3);
    pair.mirrored();
    let out = why(&pair, "even/file-000", 0);
    assert!(out.contains("pass 1, which looked at everything"), "{out}");
    let mut live = pair.mirror_with(&["--interval", "1h"]);
    live.wait_identical(SOON);
    live.wait_for_output("watch", SOON);
    pair.source.arrives("even/file-000", "of another length");
    live.wait_identical(SOON);
    // A mirror that runs is asked beside.
    let out = why(&pair, "even/file-000", 0);
    assert!(out.contains("size 9→17") && out.contains("live: the system told of a change"), "{out}");
    let on_replica = why_with(&pair, &pair.replica.path("even/file-000"), &[]);
    on_replica.expect(0);
    assert_eq!(on_replica.out(), out, "the same from both sides");
    live.stop();
}

#[test]
fn how_long_a_copy_took_is_told() {
    const MIB: usize = 1024 * 1024;
    let pair = settled_pair(1);
    let bytes = |seed: u8| -> Vec<u8> { (0..2 * MIB).map(|at| (at >> 7) as u8 ^ at as u8 ^ seed).collect() };
    let flags = ["--json", "--bwlimit", "3M", "--reflink", "never"];
    for (seed, action) in [(1, "create"), (2, "update")] {
        pair.source.file("large", bytes(seed));
        let run = pair.once_with(&flags);
        run.expect(0);
        let line = |run: &Run| events(run).into_iter().rfind(|line| line.path == "large").unwrap().line;
        assert_eq!(line(&run)["action"], action);
        let past = pair.alike.run(["log", text(pair.replica.top()), "--json", "--path", "large"]);
        let said = json(&pair, &pair.source.path("large"));
        let [logged, told, why_told] =
            [&line(&run)["ms"], &line(&past)["ms"], &said["past"][0]["ms"]].map(|ms| ms.as_u64().unwrap());
        assert_eq!(told, why_told);
        assert!((300..=logged).contains(&told) && told + 200 > logged, "{told} and {logged} ms");
        let out = why(&pair, "large", 0);
        assert!(out.contains(&format!("  {told} ms · pass")), "{out}");
    }
    let small = json(&pair, &pair.source.path("even/file-000"));
    assert!(small["past"][0]["ms"].as_u64().unwrap() < 300, "{small:#}");
}

#[test]
fn what_failed_under_a_running_up_is_told_with_its_reason_and_one_that_hangs_keeps_nobody_waiting() {
    if !root_or_say("a small filesystem") {
        return;
    }
    let mut up = Up::new();
    up.source("one").file("small", "x").file("too large", vec![b'x'; 4 << 20]);
    fs::create_dir(up.path("one.replica")).unwrap();
    let _mount = Mount::tmpfs(&up.path("one.replica"), "2M");
    up.configure(&up.job("one", ""));
    up.start();
    up.wait_for_state("one", "differs");
    let at = up.path("one/too large");
    let why = |up: &Up| up.ask(&["why", text(&at)]);
    let asked = why(&up);
    asked.expect(1);
    let out = asked.out().to_lowercase();
    assert!(out.contains("failed under the running alike up, job one: "), "{}", asked.report());
    assert!(out.contains("no space") && out.contains("the next pass tries again: create"), "{out}");
    let said: Value = serde_json::from_str(&up.ask(&["why", text(&at), "--json"]).out()).unwrap();
    assert_eq!((&said["verdict"], &said["running"]["job"]), (&"error".into(), &"one".into()));
    let small = up.ask(&["why", text(&up.path("one/small"))]);
    small.expect(0);
    assert!(!small.out().contains("running"), "{}", small.report());

    up.live().stand_still();
    let started = Instant::now();
    let hung = why(&up);
    up.live().go_on();
    hung.expect(1);
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
    // What it wrote down is read where it cannot be asked.
    assert!(hung.out().contains(": failed since "), "{}", hung.report());
    assert!(hung.out().contains("the next pass tries again: create, new"), "{}", hung.report());
    up.stop();
    let ended = why(&up);
    assert!(!ended.out().contains("running"), "{}", ended.report());
}

#[test]
fn what_was_deleted_is_told_with_the_command_that_brings_it_back() {
    let pair = settled_pair(20);
    pair.source.file("a folder/with 'quotes'/one", "precious");
    pair.mirrored();
    pair.source.remove("a folder");
    pair.mirrored();
    let out = why(&pair, "a folder/with 'quotes'/one", 1);
    assert!(out.contains("neither in the source nor on") && out.contains("gone from the source"), "{out}");
    let command = out.lines().find_map(|line| line.trim().strip_prefix("alike restore ")).unwrap();
    let shell = format!("\"$0\" restore {command}");
    let done =
        std::process::Command::new("sh").args(["-c", &shell, env!("CARGO_BIN_EXE_alike")]).output().unwrap();
    assert!(done.status.success(), "{shell}: {}", String::from_utf8_lossy(&done.stderr));
    assert_eq!(pair.replica.read("a folder/with 'quotes'/one"), b"precious");
    let held = why(&pair, "a folder/with 'quotes'/one", 1);
    assert!(held.contains("the replica is held"), "{held}");
}

#[test]
fn what_waits_is_held_or_was_changed_is_told_with_what_the_next_pass_would_do() {
    let pair = settled_pair(20);
    pair.mirrored();
    pair.source.file("new", "x").file("fresh folder/below", "x");
    assert!(why(&pair, "new", 1).contains("the next pass: create, new"));
    let below = why(&pair, "fresh folder/below", 1);
    assert!(below.contains("the next pass: create, new"), "{below}");
    fs::write(pair.replica.path("even/file-000"), "somebody else's").unwrap();
    let out = why(&pair, "even/file-000", 1);
    assert!(out.contains("update") && out.contains("the replica was changed"), "{out}");
    pair.source.remove("odd/file-001");
    pair.once_with(&["--no-delete"]).expect(1);
    let out = why(&pair, "odd/file-001", 1);
    assert!(out.contains("hold") && out.contains("kept by --no-delete"), "{out}");
    assert_eq!(json(&pair, &pair.source.path("odd/file-001"))["verdict"], "held");
    let before = pair.replica_now();
    assert!(before.changes(&pair.replica_now()).is_empty());
}

#[test]
fn flags_that_leave_something_out_are_named() {
    let pair = settled_pair(2);
    pair.source.fifo("pipe");
    pair.once_with(&["--no-special"]).expect_one_of(&[0, 1]);
    assert!(why(&pair, "pipe", 1).contains("--no-special"));
    assert!(why(&pair, ".alike/x", 1).contains("alike's own folder"));
    if root_or_say("a second filesystem") {
        let mount = Mount::tmpfs(&pair.source.path("even"), "1M");
        fs::write(mount.at().join("inside"), "x").unwrap();
        pair.once_with(&["-x"]).expect_one_of(&[0, 1, 3]);
        assert!(why(&pair, "even/inside", 1).contains("-x stays on that"));
    }
}

#[test]
fn a_file_that_cannot_be_read_is_told_with_the_systems_reason() {
    if !root_or_say("another user") {
        return;
    }
    let mut pair = settled_pair(2);
    pair.hand_to(NOBODY);
    pair.mirrored();
    pair.source.file("secret", "x");
    let at = pair.source.path("secret");
    std::os::unix::fs::chown(&at, Some(0), Some(0)).unwrap();
    pair.source.mode("secret", 0o600);
    pair.once().expect(1);
    let out = why(&pair, "secret", 1);
    assert!(out.contains("cannot be read: ") && out.to_lowercase().contains("permission denied"), "{out}");
}

#[test]
fn without_state_a_replica_tells_of_itself_and_a_guess_is_called_one() {
    let pair = settled_pair(4);
    pair.mirrored();
    let stranger = pair.alike.another();
    let at = pair.source.path("even/file-000");
    stranger.run(["why", text(&at)]).expect(2).expect_short_message().expect_message_with("--replica");
    let run = stranger.run(["why", text(&at), "--replica", text(pair.replica.top())]);
    run.expect(0);
    assert!(run.out().contains("a run without flags"), "{}", run.report());
    let run = stranger.run(["why", text(&pair.replica.path("even/file-000"))]);
    run.expect(0);
    let run = stranger.run(["why", "/somewhere/else/entirely"]);
    run.expect(2).expect_short_message();
}

#[test]
fn of_several_replicas_each_is_told_and_the_worst_counts() {
    let pair = settled_pair(4);
    let second = pair.beside("second");
    pair.once_with(&["--also", text(&second)]).expect(0);
    fs::remove_file(second.join("even/file-000")).unwrap();
    let run = why_with(&pair, &pair.source.path("even/file-000"), &[]);
    run.expect(1);
    assert!(run.out().contains("lost on the replica"), "{}", run.report());
    assert!(
        run.out().contains(&format!("on {} as in the source", text(pair.replica.top()))),
        "{}",
        run.report()
    );
    assert_eq!(
        why_with(&pair, &pair.source.path("even/file-000"), &["--replica", text(pair.replica.top())]).code,
        Some(0)
    );
}

#[test]
fn a_name_can_forge_no_line_and_asking_changes_nothing() {
    let pair = settled_pair(2);
    pair.source.file("x\n  restore: rm -rf", "x").file("\u{1b}]0;title\u{7}", "x");
    pair.mirrored();
    let before = (pair.source_now(), pair.replica_now());
    for name in ["x\n  restore: rm -rf", "\u{1b}]0;title\u{7}"] {
        let out = why(&pair, name, 0);
        assert!(!out.contains("\n  restore:") && !out.contains('\u{1b}'), "{out}");
        let said = json(&pair, &pair.source.path(name));
        assert_eq!(said["path"], name);
    }
    assert!(
        before.0.changes(&pair.source_now()).is_empty() && before.1.changes(&pair.replica_now()).is_empty()
    );
}
