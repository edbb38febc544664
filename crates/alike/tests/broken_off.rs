//! An undo or a restore that is killed: nothing is lost, and the same command goes on where it was.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use alike_testkit::{Pair, Run, root_or_say};
use common::undone::is_as;
use common::{pair, text};

/// Two days of a replica, and the source of the first.
fn after_two_days() -> (Pair, PathBuf) {
    let pair = pair();
    pair.source.file("edited", "first").file("goes", "gone").file("moves/one", "1").file("moves/two", "2");
    pair.source
        .file("d/a", "a")
        .file("d/b", "b")
        .file("both", "x")
        .file("leaves/x", "x")
        .mode("edited", 0o640);
    pair.source.mtime("d", 1_500_000_000, 0).mtime("moves", 1_500_000_000, 0).folder("leaves/below");
    pair.mirrored();
    let then = pair.beside("then");
    let copied = std::process::Command::new("cp").arg("-a").arg(pair.source.top()).arg(&then).status();
    assert!(copied.unwrap().success());
    pair.source.file("edited", "second").remove("goes").rename("moves", "moved").file("moved/one", "one");
    pair.source.file("d/a", "edited").remove("d/b").file("d/new", "new").mode("both", 0o600).remove("leaves");
    pair.mirrored();
    (pair, then)
}

fn on_replica(pair: &Pair, verb: &str, words: &[&str]) -> Run {
    pair.alike.run([&[verb, text(pair.replica.top())], words].concat())
}

/// Runs it until it makes the `nth` of these calls. False when it never did.
fn killed_at(pair: &mut Pair, (calls, nth): (&str, usize), verb: &str, words: &[&str]) -> bool {
    let strace = "exec strace -f -q -o /dev/null";
    let words_before =
        format!("{strace} -e trace={calls} -e inject={calls}:signal=KILL:when={nth} \"$0\" \"$@\"");
    pair.alike.run_after(&words_before);
    let run = on_replica(pair, verb, words);
    pair.alike.run_after("true");
    run.code.is_none() || run.code == Some(137)
}

/// What each file of the replica, and of its trash, says.
fn contents(folder: &Path) -> BTreeSet<Vec<u8>> {
    let mut all = BTreeSet::new();
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        match entry.file_type().unwrap().is_dir() {
            true => all.extend(contents(&entry.path())),
            false if entry.file_name() != "journal" => drop(all.insert(std::fs::read(entry.path()).unwrap())),
            false => {}
        }
    }
    all
}

/// Contents but for those that stand only on the way to their places.
#[track_caller]
fn nothing_is_lost(pair: &Pair, before: &BTreeSet<Vec<u8>>, when: &str) {
    let _ = alike_testkit::remove_tree(&pair.replica.path(".alike/restoring"));
    let now = contents(pair.replica.top());
    let ours = |content: &&Vec<u8>| !content.starts_with(b"{") && !content.is_empty();
    let lost: Vec<_> = before.difference(&now).filter(ours).map(|it| String::from_utf8_lossy(it)).collect();
    assert!(lost.is_empty(), "{when}: {lost:?}");
}

/// Calls, and of how many each. The trial `undo` goes through all.
const CHANGES: [(&str, usize); 4] = [("renameat2", 1), ("write", 4), ("fchmod", 3), ("utimensat", 3)];

#[test]
fn an_undo_that_was_killed_anywhere_is_gone_on_with_by_the_same_command() {
    if !root_or_say("strace") {
        return;
    }
    for (calls, each) in CHANGES {
        for nth in (1..).step_by(each) {
            let (mut pair, then) = after_two_days();
            let before = contents(pair.replica.top());
            if !killed_at(&mut pair, (calls, nth), "undo", &["--yes"]) {
                assert!(nth > 2, "{calls} are what it does");
                break;
            }
            let when = format!("killed at {calls} {nth}");
            nothing_is_lost(&pair, &before, &when);
            on_replica(&pair, "log", &[]).expect(0);
            if is_over(&pair) {
                continue;
            }
            let again = on_replica(&pair, "undo", &["--yes"]);
            assert_eq!(again.code, Some(0), "{when}: {}", again.report());
            is_as(&then, pair.replica.top(), &format!("{when}: {}", again.report()));
            nothing_is_lost(&pair, &before, &format!("{when}, and undone"));
            // Both together are one pass.
            let redone = on_replica(&pair, "undo", &["--yes"]);
            is_as(pair.source.top(), pair.replica.top(), &format!("{when}, redone: {}", redone.report()));
            on_replica(&pair, "undo", &["--resume"]).expect(0);
            pair.mirrored();
            pair.check_with(&[]).expect(0);
        }
    }
}

/// The hold says that it came to its end: the same command after that is another one.
fn is_over(pair: &Pair) -> bool {
    let hold = std::fs::read_to_string(pair.replica.path(".alike/hold")).unwrap_or_default();
    hold.contains("was undone") || hold.contains("was brought back")
}

#[test]
fn a_restore_that_was_killed_anywhere_is_gone_on_with_by_the_same_command() {
    if !root_or_say("strace") {
        return;
    }
    for path in ["edited", "d", "leaves"] {
        for (calls, each) in &CHANGES[..2] {
            for nth in (1..).step_by(*each) {
                let (mut pair, then) = after_two_days();
                let before = contents(pair.replica.top());
                if !killed_at(&mut pair, (*calls, nth), "restore", &[path]) {
                    break;
                }
                let when = format!("{path}, killed at {calls} {nth}");
                nothing_is_lost(&pair, &before, &when);
                if is_over(&pair) {
                    continue;
                }
                let again = on_replica(&pair, "restore", &[path]);
                assert_eq!(again.code, Some(0), "{when}: {}", again.report());
                nothing_is_lost(&pair, &before, &format!("{when}, and restored"));
                match then.join(path).is_dir() {
                    true => is_as(&then.join(path), &pair.replica.path(path), &when),
                    false => {
                        assert_eq!(std::fs::read(then.join(path)).unwrap(), pair.replica.read(path), "{when}")
                    }
                }
                on_replica(&pair, "undo", &["--resume"]).expect(0);
                pair.mirrored();
                pair.check_with(&[]).expect(0);
            }
        }
    }
}

#[test]
fn a_pass_clears_what_a_restore_that_was_killed_has_left() {
    if !root_or_say("strace") {
        return;
    }
    let (mut pair, _) = after_two_days();
    // The hold's own renames are older calls; this one takes the copy to its place.
    assert!(killed_at(&mut pair, ("renameat2", 1), "restore", &["d"]));
    assert!(pair.replica.has(".alike/restoring/a"), "it broke off too early");
    on_replica(&pair, "undo", &["--resume"]).expect(0);
    pair.mirrored();
    assert!(!pair.replica.has(".alike/restoring"));
}

#[test]
fn what_a_pass_wrote_down_and_did_not_do_is_no_part_of_the_history() {
    if !root_or_say("strace") {
        return;
    }
    let mut pair = pair();
    pair.source.file("file", "first").file("goes", "gone");
    pair.mirrored();
    std::thread::sleep(std::time::Duration::from_millis(30));
    let then = std::process::Command::new("date").args(["-u", "+%Y-%m-%dT%H:%M:%S.%NZ"]).output().unwrap();
    let then = String::from_utf8(then.stdout).unwrap().trim().to_owned();
    pair.source.file("file", "second").remove("goes");
    for nth in 1..=3 {
        let strace = "exec strace -f -q -o /dev/null -e trace=renameat2";
        pair.alike.run_after(&format!("{strace} -e inject=renameat2:signal=KILL:when={nth} \"$0\" \"$@\""));
        let _ = pair.once_with(&["--threads", "1"]);
        pair.alike.run_after("true");
        on_replica(&pair, "log", &[]).expect(0);
    }
    pair.mirrored();
    for (path, content) in [("file", "first"), ("goes", "gone")] {
        let to = pair.beside(path);
        on_replica(&pair, "restore", &[path, "--at", &then, "--to", text(&to)]).expect(0);
        assert_eq!(std::fs::read_to_string(to.join(path)).unwrap(), content, "{path}");
    }
}

/// Of a file that was changed in place only the way back is kept, so it comes back as a copy.
#[test]
fn a_file_that_was_changed_in_place_comes_back_whole_also_when_the_undo_was_killed() {
    if !root_or_say("strace") {
        return;
    }
    const SIZE: u64 = 257 << 20;
    let marks = [0, SIZE - 9];
    let read = |path: &Path| {
        let file = std::fs::File::open(path).unwrap();
        let mut seen = [[0; 9]; 2];
        for (mark, seen) in marks.iter().zip(&mut seen) {
            std::os::unix::fs::FileExt::read_exact_at(&file, seen, *mark).unwrap();
        }
        seen
    };
    for nth in 1.. {
        let mut pair = pair();
        pair.source.sparse("large", SIZE, &[(0, b"the first"), (SIZE - 9, b"and first")]);
        pair.mirrored();
        let file = std::fs::File::options().write(true).open(pair.source.path("large")).unwrap();
        std::os::unix::fs::FileExt::write_all_at(&file, b"a second!", 0).unwrap();
        drop(file);
        pair.mirrored();
        if !killed_at(&mut pair, ("renameat2", nth), "undo", &["--yes"]) {
            assert!(nth > 2, "it renames");
            break;
        }
        assert!([*b"the first", *b"a second!"].contains(&read(&pair.replica.path("large"))[0]), "{nth}");
        if !is_over(&pair) {
            on_replica(&pair, "undo", &["--yes"]).expect(0);
            assert_eq!(read(&pair.replica.path("large")), [*b"the first", *b"and first"], "{nth}");
            on_replica(&pair, "undo", &["--yes"]).expect(0);
        }
        assert_eq!(read(&pair.replica.path("large"))[0], *b"a second!", "{nth}: it was kept");
        on_replica(&pair, "undo", &["--resume"]).expect(0);
        pair.mirrored();
    }
}

/// What nobody had written down is written in a bucket of its own, which must come after the others of the same undo.
#[test]
fn an_undo_goes_on_also_when_it_was_killed_long_after_the_pass() {
    if !root_or_say("strace") {
        return;
    }
    for nth in 4.. {
        let mut pair = pair();
        pair.source.file("moves/one", "1").file("goes", "gone").file("stays", "x");
        pair.mirrored();
        let then = contents(pair.source.top());
        pair.source.rename("moves", "moved").remove("goes").file("moved/one", "2");
        pair.mirrored();
        // Buckets are called by the second.
        std::thread::sleep(std::time::Duration::from_millis(1_010));
        if !killed_at(&mut pair, ("write", nth), "undo", &["--yes", "-q", "--json"]) {
            assert!(nth > 8, "it writes");
            break;
        }
        if !is_over(&pair) {
            let again = on_replica(&pair, "undo", &["--yes"]);
            assert_eq!(again.code, Some(0), "killed at write {nth}: {}", again.report());
            assert!(pair.replica.has("moves/one") && !pair.replica.has("moved"), "{nth}: {}", again.report());
            assert!(then.is_subset(&contents(&pair.replica.path("."))), "{nth}");
        }
    }
}
