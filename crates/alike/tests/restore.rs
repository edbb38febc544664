//! Bringing one file or folder back as it was.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::os::unix::fs::MetadataExt;
use std::time::Duration;

use alike_testkit::{Pair, Run, compare, name};
use common::{SOON, events, pair, text};

fn run(pair: &Pair, verb: &str, words: &[&str]) -> Run {
    let mut all = vec![verb, text(pair.replica.top())];
    all.extend(words);
    pair.alike.run(all)
}

/// Restores into a folder beside, and tells what came.
#[track_caller]
fn brought(pair: &Pair, words: &[&str]) -> Vec<u8> {
    let to = pair.beside("out");
    alike_testkit::remove_tree(&to).unwrap();
    let mut all = words.to_vec();
    all.extend(["--to", text(&to)]);
    run(pair, "restore", &all).expect(0);
    let found = std::fs::read_dir(&to).unwrap().next().unwrap().unwrap();
    std::fs::read(found.path()).unwrap()
}

/// The moments that `alike log --path` names, oldest first.
#[track_caller]
fn moments(pair: &Pair, path: &str) -> Vec<String> {
    let log = run(pair, "log", &["--path", path, "--json"]);
    log.expect(0);
    let all = events(&log).into_iter().filter(|event| event.line["restorable"] == true);
    all.map(|event| event.text("at").to_owned()).collect()
}

fn pass(pair: &Pair) {
    std::thread::sleep(Duration::from_millis(5));
    pair.mirrored_with(&["--max-delete", "100%"]);
    std::thread::sleep(Duration::from_millis(5));
}

#[test]
fn each_version_of_a_file_comes_back_by_its_time() {
    let pair = pair();
    for content in ["one", "second", "the third"] {
        pair.source.file("docs/a", content).file("docs/other", content);
        pass(&pair);
    }
    pair.source.remove("docs/a");
    pass(&pair);
    let at = moments(&pair, "docs/a");
    assert_eq!(at.len(), 3, "{at:?}");
    let versions: Vec<Vec<u8>> = at.iter().map(|at| brought(&pair, &["docs/a", "--at", at])).collect();
    assert_eq!(versions, [&b"one"[..], b"second", b"the third"]);
    assert_eq!(brought(&pair, &["docs/a"]), b"the third");
    assert_eq!(brought(&pair, &["docs/other"]), b"second");
    run(&pair, "restore", &["docs/a", "--at", "10d", "--to", text(&pair.beside("x"))])
        .expect(1)
        .expect_short_message();
}

#[test]
fn a_file_below_a_deleted_folder_comes_back_alone() {
    let pair = pair();
    pair.source.file("top/sub/deep/file", "content").file("top/sub/other", "x").file("stays", "x");
    pair.source.mtime("top/sub/deep/file", 1_000_000_000, 123_456_789).mode("top/sub/deep/file", 0o640);
    pass(&pair);
    pair.source.remove("top");
    pass(&pair);
    assert_eq!(brought(&pair, &["top/sub/deep/file"]), b"content");
    let meta = std::fs::metadata(pair.beside("out/file")).unwrap();
    assert_eq!((meta.mode() & 0o7777, meta.mtime(), meta.mtime_nsec()), (0o640, 1_000_000_000, 123_456_789));
    pair.once().expect(0);
}

#[test]
fn a_folder_comes_back_as_it_was_though_pieces_of_it_went_different_ways() {
    let pair = pair();
    pair.source.everything();
    pass(&pair);
    let then = pair.beside("then");
    let copied =
        std::process::Command::new("cp").arg("-a").arg(pair.source.path("deep")).arg(&then).status().unwrap();
    assert!(copied.success());
    std::thread::sleep(Duration::from_millis(20));
    let now = jiff_now();
    std::thread::sleep(Duration::from_millis(20));
    pair.source.file("deep/er/file", "edited").file("deep/new", "n").mode("deep", 0o700);
    pass(&pair);
    pair.source.rename("deep/er", "elsewhere").remove("deep/new");
    pass(&pair);
    pair.source.remove("deep").remove("elsewhere");
    pass(&pair);
    let to = pair.beside("out");
    let done = run(&pair, "restore", &["deep", "--at", &now, "--to", text(&to)]);
    done.expect(0);
    let differences = compare(&then, &to.join("deep"));
    assert!(differences.is_empty(), "{differences:?}\n{}", done.report());
}

/// Now, as `--at` takes it.
fn jiff_now() -> String {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let shown = std::process::Command::new("date")
        .args([
            "-u",
            "-d",
            &format!("@{}.{:09}", now.as_secs(), now.subsec_nanos()),
            "+%Y-%m-%dT%H:%M:%S.%NZ",
        ])
        .output()
        .unwrap();
    String::from_utf8(shown.stdout).unwrap().trim().to_owned()
}

#[test]
fn everything_can_be_copied_out_as_it_was_with_all_that_can_be_said_of_it() {
    let pair = pair();
    pair.source.everything();
    pass(&pair);
    let then = jiff_now();
    let before = pair.beside("before");
    assert!(
        std::process::Command::new("cp")
            .arg("-a")
            .arg(pair.source.top())
            .arg(&before)
            .status()
            .unwrap()
            .success()
    );
    std::thread::sleep(Duration::from_millis(20));
    for entry in std::fs::read_dir(pair.source.top()).unwrap().flatten() {
        alike_testkit::remove_tree(&entry.path()).unwrap();
    }
    pair.source.file("other", "x");
    pair.once_with(&["--allow-deletes"]).expect(0);
    let to = pair.beside("out");
    let done = run(&pair, "restore", &[".", "--at", &then, "--to", text(&to)]);
    done.expect(0);
    let differences = compare(&before, &to.join("replica"));
    assert!(differences.is_empty(), "{differences:?}\n{}", done.report());
}

#[test]
fn a_file_is_followed_back_through_renames_of_itself_and_of_folders_above() {
    let pair = pair();
    pair.source.file("a/file", "first version");
    pass(&pair);
    pair.source.file("a/file", "second version");
    pass(&pair);
    pair.source.rename("a", "b");
    pass(&pair);
    pair.source.rename("b/file", "c");
    pass(&pair);
    assert_eq!(brought(&pair, &["c"]), b"first version");
    assert_eq!(brought(&pair, &["a/file"]), b"second version");
}

#[test]
fn put_back_on_the_replica_it_stays_until_told_otherwise() {
    let pair = pair();
    pair.source.file("gone/sub/file", "old").file("kept", "new").file("stays", "x");
    pass(&pair);
    pair.source.remove("gone").file("kept", "newest");
    pass(&pair);
    let done = run(&pair, "restore", &["gone/sub/file"]);
    done.expect(0).expect_message_with("copy it to the source");
    assert_eq!(pair.replica.read("gone/sub/file"), b"old");
    pair.once().expect(3).expect_message_with("gone/sub/file");
    run(&pair, "restore", &["kept"]).expect(0);
    assert_eq!(pair.replica.read("kept"), b"new");
    // It is a pass in the history, so it can be taken back.
    run(&pair, "undo", &["--yes"]).expect(0);
    assert_eq!(pair.replica.read("kept"), b"newest");
    run(&pair, "undo", &["--resume"]).expect(0);
    pair.mirrored();
    assert_eq!(brought(&pair, &["gone/sub/file"]), b"old");
}

#[test]
fn a_running_mirror_waits_after_something_was_put_back() {
    let pair = pair();
    pair.source.file("a", "1").file("b", "1");
    let mut live = pair.mirror_with(&["--interval", "1h"]);
    live.wait_identical(SOON);
    pair.source.remove("a");
    live.wait_identical(SOON);
    run(&pair, "restore", &["a"]).expect(0);
    assert_eq!(pair.replica.read("a"), b"1");
    live.wait_for_output("is held", SOON);
    assert!(pair.replica.has("a"));
    pair.source.file("a", "1");
    run(&pair, "undo", &["--resume"]).expect(0);
    live.wait_identical(SOON);
    live.stop();
}

#[test]
fn a_copy_overwrites_nothing_and_touches_nothing_on_the_replica() {
    let pair = pair();
    pair.source.file("a", "old").file("b", "x");
    pass(&pair);
    pair.source.remove("a");
    pass(&pair);
    let before = pair.replica_now();
    let to = pair.beside("out");
    std::fs::create_dir(&to).unwrap();
    std::fs::write(to.join("a"), "mine").unwrap();
    run(&pair, "restore", &["a", "--to", text(&to)]).expect(1).expect_short_message();
    assert_eq!(std::fs::read(to.join("a")).unwrap(), b"mine");
    assert_eq!(std::fs::read_dir(&to).unwrap().count(), 1, "nothing is left behind");
    std::fs::remove_file(to.join("a")).unwrap();
    run(&pair, "restore", &["a", "--to", text(&to)]).expect(0);
    assert_eq!(before.changes(&pair.replica_now()), [""; 0]);
    pair.mirrored();
}

#[test]
fn after_an_undo_what_went_back_and_forth_is_still_found() {
    let pair = pair();
    pair.source.file("d/a", "first").file("d/b", "b");
    pass(&pair);
    pair.source.file("d/a", "second");
    pass(&pair);
    pair.source.remove("d").file("x", "x");
    pass(&pair);
    for _ in 0..3 {
        run(&pair, "undo", &["--yes"]).expect(0);
        let at = moments(&pair, "d/a");
        assert_eq!(brought(&pair, &["d/a", "--at", &at[0]]), b"first", "{at:?}");
    }
}

#[test]
fn passes_are_taken_back_as_one_also_when_an_undo_is_among_them() {
    let pair = pair();
    pair.source.file("goes", "gone").file("edited", "first").file("moves", "m");
    pass(&pair);
    let then = jiff_now();
    pass(&pair);
    pair.source.remove("goes").file("edited", "second").rename("moves", "moved");
    pass(&pair);
    run(&pair, "undo", &["--yes"]).expect(0);
    run(&pair, "undo", &["--resume"]).expect(0);
    pair.source.file("edited", "third");
    pass(&pair);
    let undone = run(&pair, "undo", &["--yes", "--since", &then]);
    undone.expect(0);
    let read = |path| String::from_utf8(pair.replica.read(path)).unwrap();
    assert_eq!([read("goes"), read("edited"), read("moves")], ["gone", "first", "m"], "{}", undone.report());
    assert!(!pair.replica.has("moved"));
}

#[test]
fn names_that_are_no_text_come_back() {
    let pair = pair();
    let odd = name(b"\xff\n odd");
    pair.source.file(&odd, "content").file("x", "x");
    pass(&pair);
    pair.source.remove(&odd);
    pass(&pair);
    let mut words: Vec<std::ffi::OsString> =
        vec!["restore".into(), pair.replica.top().into(), odd.clone().into()];
    words.extend(["--to".into(), pair.beside("out").into()]);
    pair.alike.run(words).expect(0);
    assert_eq!(std::fs::read(pair.beside("out").join(odd)).unwrap(), b"content");
}

#[test]
fn a_folder_that_went_bit_by_bit_comes_back_as_it_was_before_the_first_bit() {
    let pair = pair();
    pair.source
        .file("d/a", "a")
        .file("d/below/b", "b")
        .file("d/below/c", "c")
        .file("d/gone before", "x")
        .file("stays", "x");
    pass(&pair);
    // An edit is no part of what deletes: what went before it stays away.
    pair.source.remove("d/gone before");
    pass(&pair);
    pair.source.file("d/a", "edited");
    pass(&pair);
    let then = pair.beside("then");
    let copied =
        std::process::Command::new("cp").arg("-a").arg(pair.source.path("d")).arg(&then).status().unwrap();
    assert!(copied.success());
    for path in ["d/below/c", "d/below/b", "d/below", "d/a", "d"] {
        pair.source.remove(path);
        pass(&pair);
        pair.source.file(format!("other work {}", path.len()), "y");
        pass(&pair);
    }
    let to = pair.beside("out");
    let done = run(&pair, "restore", &["d", "--to", text(&to)]);
    done.expect(0);
    let differences = compare(&then, &to.join("d"));
    assert!(differences.is_empty(), "{differences:?}\n{}", done.report());
    assert!(!done.err().contains("earlier"), "{}", done.report());
    let done = run(&pair, "restore", &["d"]);
    done.expect(0);
    let differences = compare(&then, &pair.replica.path("d"));
    assert!(differences.is_empty(), "{differences:?}\n{}", done.report());
    // It is there again, and so the one before it was brought back is nothing.
    run(&pair, "undo", &["--yes"]).expect(0);
    assert!(!pair.replica.has("d") && pair.replica.has("other work 1"));
    let file = brought(&pair, &["d/below/b"]);
    assert_eq!(file, b"b");
}

#[test]
fn a_folder_that_a_live_mirror_saw_going_comes_back_whole() {
    let pair = pair();
    for at in 0..40 {
        pair.source.file(format!("d/{}/{at}", at % 4), "x");
    }
    pair.source.file("stays", "x");
    for at in 0..100 {
        pair.source.file(format!("others/{at}"), "x");
    }
    let mut live = pair.mirror_with(&["--interval", "1h"]);
    live.wait_identical(SOON);
    let then = pair.beside("then");
    let copied =
        std::process::Command::new("cp").arg("-a").arg(pair.source.path("d")).arg(&then).status().unwrap();
    assert!(copied.success());
    for at in 0..40 {
        pair.source.remove(format!("d/{}/{at}", at % 4));
        if at % 7 == 0 {
            std::thread::sleep(Duration::from_millis(300));
        }
    }
    pair.source.remove("d");
    live.wait_identical(SOON);
    live.stop();
    let to = pair.beside("out");
    let done = run(&pair, "restore", &["d", "--to", text(&to)]);
    done.expect(0);
    let differences = compare(&then, &to.join("d"));
    assert!(differences.is_empty(), "{differences:?}\n{}", done.report());
}

#[test]
fn the_history_needs_a_replica_and_can_be_narrowed() {
    let pair = pair();
    pair.alike.run(["log"]).expect(2).expect_short_message();
    pair.source.file("a", "1").file("b", "1");
    pass(&pair);
    pair.source.file("a", "second");
    pass(&pair);
    let all = run(&pair, "log", &[]);
    all.expect(0);
    assert!(all.out().contains("create  b") && all.out().contains("update  a"), "{}", all.report());
    let heads: Vec<(usize, String)> = all
        .out()
        .lines()
        .map(str::to_owned)
        .enumerate()
        .filter(|(_, line)| line.starts_with("pass "))
        .collect();
    let (first, second) = (all.out().find("create  b"), all.out().find("update  a"));
    let head = |number| all.out().find(&format!("pass {number}\n"));
    assert_eq!(heads.len(), 2, "{}", all.report());
    assert!(head(1) < first && first < head(2) && head(2) < second, "{}", all.report());
    let path = run(&pair, "log", &["--path", "a"]);
    assert!(path.expect(0).out().contains("pass 2\n"), "{}", path.report());
    let one = run(&pair, "log", &["--pass", "1", "--json"]);
    assert!(events(&one).iter().all(|event| event.line["pass"] == 1), "{}", one.report());
    run(&pair, "log", &["--since", "1h"]).expect(0);
    run(&pair, "log", &["--since", "2099-01-01 10:00"]).expect(1);
    run(&pair, "log", &["--since", "yesterday-ish"]).expect(2).expect_short_message();
    run(&pair, "log", &["--path", "../x"]).expect(2).expect_short_message();
}
