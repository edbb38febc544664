//! `alike why PATH` of what failed in the last pass of a plain mirror or once, which nobody who runs can be asked about.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use alike_testkit::{Mount, NOBODY, Pair, Run, name, root_or_say, wait_until};
use common::{SOON, pair_with_files};
use serde_json::Value;

fn why(pair: &Pair, path: impl AsRef<Path>, flags: &[&str]) -> Run {
    let (at, state) = (pair.source.path(path), pair.alike.state_dir());
    let mut words: Vec<&OsStr> =
        vec!["why".as_ref(), at.as_os_str(), "--state-dir".as_ref(), state.as_os_str()];
    words.extend(flags.iter().map(|flag| OsStr::new(*flag)));
    pair.alike.run(words)
}

#[track_caller]
fn json(pair: &Pair, path: impl AsRef<Path>) -> Value {
    let run = why(pair, path, &["--json"]);
    serde_json::from_str(&run.out()).unwrap_or_else(|error| panic!("{error}: {}", run.report()))
}

/// What is kept of what fails, in the state of the only pair.
fn kept(pair: &Pair) -> Option<PathBuf> {
    let states = fs::read_dir(pair.alike.state_dir()).into_iter().flatten().flatten();
    states.map(|state| state.path().join("failed.json")).find(|file| file.exists())
}

/// Names in the state of the only pair, temporary ones too.
fn names_in_state(pair: &Pair) -> Vec<String> {
    let states = fs::read_dir(pair.alike.state_dir()).unwrap().flatten();
    let files = states.flat_map(|state| fs::read_dir(state.path()).into_iter().flatten().flatten());
    files.map(|file| file.file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn what_could_not_be_read_is_told_with_its_reason_whatever_its_name_until_it_is_mended() {
    if !root_or_say("running alike as another user") {
        return;
    }
    let mut pair = pair_with_files(4);
    let names = [name(b"secret"), name(b"new\nline"), name(b"folder/not \xff utf-8")];
    for path in &names {
        pair.source.file(path, "x");
    }
    pair.hand_to(NOBODY);
    for path in &names {
        pair.source.mode(path, 0);
    }
    pair.once().expect(1);
    let first = fs::metadata(kept(&pair).expect("it is kept")).unwrap();
    pair.once().expect(1);
    let second = fs::metadata(kept(&pair).unwrap()).unwrap();
    assert_eq!((first.ino(), first.ctime_nsec()), (second.ino(), second.ctime_nsec()), "it is no news");
    for path in &names {
        let run = why(&pair, path, &[]);
        run.expect(1);
        let out = run.out().to_lowercase();
        assert!(out.contains("  failed since 20") && out.contains("permission denied"), "{}", run.report());
        assert!(!run.out().contains("\nline"), "a name can forge no line: {}", run.report());
        let said = json(&pair, path);
        let reason = said["failed"]["reason"].as_str().unwrap().to_lowercase();
        assert!(reason.contains("permission denied"), "{said:#}");
        assert_eq!((&said["verdict"], &said["failed"]["at"]), (&"error".into(), &said["path"]), "{said:#}");
        assert!(said["failed"]["since"].as_str().unwrap().starts_with("20"), "{said:#}");
    }
    let well = why(&pair, "even/file-000", &[]);
    well.expect(0);
    assert!(!well.out().contains("failed"), "{}", well.report());

    for path in &names {
        pair.source.mode(path, 0o644);
    }
    let mended = why(&pair, "secret", &[]);
    mended.expect(1);
    let out = mended.out();
    assert!(out.contains("not on ") && out.contains(": failed since "), "{}", mended.report());
    assert!(out.contains("the next pass tries again: create, new"), "{}", mended.report());
    pair.mirrored();
    for path in &names {
        let run = why(&pair, path, &[]);
        run.expect(0);
        assert!(!run.out().contains("failed"), "{}", run.report());
        assert_eq!(json(&pair, path)["failed"], Value::Null);
    }
    let left = names_in_state(&pair);
    assert!(!left.iter().any(|name| name.starts_with("failed")), "{left:?}");
}

#[test]
fn what_fails_under_a_mirror_is_told_and_written_once_until_it_is_mended() {
    if !root_or_say("a small filesystem") {
        return;
    }
    let pair = pair_with_files(2);
    fs::create_dir(pair.replica.top()).unwrap();
    let mount = Mount::tmpfs(pair.replica.top(), "2M");
    pair.source.file("folder/too large", vec![b'x'; 4 << 20]);
    let mut live = pair.mirror_with(&["--json", "--interval", "1h"]);
    assert!(wait_until(SOON, || kept(&pair).is_some()), "{}", live.err());
    let before = fs::metadata(kept(&pair).unwrap()).unwrap();
    let run = why(&pair, "folder/too large", &[]);
    run.expect(1);
    let out = run.out().to_lowercase();
    assert!(out.contains(": failed since ") && out.contains("no space"), "{}", run.report());
    assert!(out.contains("the next pass tries again: create, new"), "{}", run.report());
    let is_tried_again = || live.out().matches("\"action\":\"error\"").count() >= 3;
    assert!(wait_until(SOON, is_tried_again), "{}", live.err());
    let after = fs::metadata(kept(&pair).unwrap()).unwrap();
    assert_eq!((before.ino(), before.ctime_nsec()), (after.ino(), after.ctime_nsec()), "it is no news");

    pair.source.file("folder/too large", "not any more");
    live.wait_identical(SOON);
    assert!(wait_until(SOON, || kept(&pair).is_none()), "nothing fails any more");
    let run = why(&pair, "folder/too large", &[]);
    run.expect(0);
    assert!(!run.out().contains("failed"), "{}", run.report());
    live.stop();
    drop(mount);
}

#[test]
fn what_a_later_pass_did_counts_for_more_than_what_failed_before() {
    if !root_or_say("running alike as another user") {
        return;
    }
    let mut pair = pair_with_files(4);
    pair.source.file("secret", "x").file("other", "x");
    pair.hand_to(NOBODY);
    pair.source.mode("secret", 0).mode("other", 0);
    pair.once().expect(1);
    let file = kept(&pair).unwrap();
    let stale = fs::read(&file).unwrap();
    pair.source.mode("secret", 0o644);
    std::thread::sleep(std::time::Duration::from_millis(20));
    pair.once().expect(1);
    // As if that pass had been killed before its end.
    fs::write(&file, stale).unwrap();
    pair.source.file("secret", "changed once more").mode("other", 0o644);
    let run = why(&pair, "secret", &[]);
    run.expect(1);
    assert!(run.out().contains("the next pass: update, size 1→17"), "{}", run.report());
    assert!(!run.out().contains("failed"), "{}", run.report());
    let other = why(&pair, "other", &[]);
    assert!(other.out().contains(": failed since "), "{}", other.report());
}

#[test]
fn a_file_that_says_nonsense_is_as_good_as_none_and_goes() {
    let pair = pair_with_files(4);
    pair.mirrored();
    let state = fs::read_dir(pair.alike.state_dir()).unwrap().flatten().map(|entry| entry.path());
    let state = state.into_iter().find(|state| state.join("pair.json").exists()).unwrap();
    fs::write(state.join("failed.json"), "{\"failed\":[{\"path\"").unwrap();
    pair.source.file("new", "x");
    let run = why(&pair, "new", &[]);
    run.expect(1);
    assert!(run.out().contains("the next pass: create, new"), "{}", run.report());
    pair.mirrored();
    assert_eq!(kept(&pair), None);
}
