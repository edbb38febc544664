//! Taking passes back: the replica is as it was before, and the mirror waits until it is told to go on.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use alike_testkit::{NOBODY, Pair, Snapshot, name, root_or_say, wait_until};
use common::undone::{is_as, photo, resume, undo};
use common::{Dice, SOON, events, has, pair, paths, steps_but_meta, text};

const SEEDS: [u64; 12] = [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 20_261_122];
const ROUNDS: usize = 6;
const NAMES: [&str; 7] = ["a", "b", "c", "d", "e", "f", "line\nbreak"];

fn change(pair: &Pair, dice: &mut Dice, at: usize) {
    let top = pair.source.path("");
    let (mut all, folders) = paths(&top);
    all.retain(|path| !path.ends_with("always"));
    let to = dice.pick(&folders).unwrap().join(dice.pick(&NAMES).unwrap());
    let from = dice.pick(&all).cloned();
    let is_free = to.symlink_metadata().is_err();
    let is_apart = |from: &Path| !to.starts_with(from) && !from.starts_with(&to);
    match (dice.below(13), from) {
        (0..=2, _) | (_, None) if is_free => std::fs::write(&to, format!("content {at}")).unwrap(),
        (3, _) if is_free => std::fs::create_dir(&to).unwrap(),
        (4, Some(from)) => alike_testkit::remove_tree(&from).unwrap(),
        (5 | 6, Some(from)) if is_apart(&from) => {
            alike_testkit::remove_tree(&to).unwrap();
            std::fs::rename(from, to).unwrap();
        }
        (7, Some(from)) if !is_free && is_apart(&from) => {
            let aside = pair.beside("aside");
            std::fs::rename(&to, &aside).unwrap();
            std::fs::rename(&from, &to).unwrap();
            std::fs::rename(&aside, &from).unwrap();
        }
        (8, Some(from)) if from.is_file() && !from.is_symlink() => {
            std::fs::write(&from, format!("edited {at}")).unwrap();
        }
        (9, Some(from)) if !from.is_symlink() => {
            let mode = 0o700 + u32::try_from(dice.below(64)).unwrap();
            std::fs::set_permissions(&from, PermissionsExt::from_mode(mode)).unwrap();
        }
        (10, Some(from)) if from.is_file() && is_free => std::fs::hard_link(&from, &to).unwrap(),
        (11, Some(from)) if !from.is_symlink() => {
            let name = format!("user.{}", dice.below(2));
            pair.source.xattr(from.strip_prefix(&top).unwrap(), &name, format!("{at}"));
        }
        (12, Some(from)) => {
            // A flip of the kind.
            alike_testkit::remove_tree(&from).unwrap();
            match dice.below(3) {
                0 => std::os::unix::fs::symlink("nowhere", &from).unwrap(),
                1 => std::fs::create_dir(&from).unwrap(),
                _ => std::fs::write(&from, "flipped").unwrap(),
            }
        }
        _ => {}
    }
}

#[test]
fn after_any_history_undoing_a_pass_brings_everything_back_and_undoing_that_does_it_again() {
    for seed in SEEDS {
        let (pair, mut dice) = (pair(), Dice(seed));
        pair.source.file("always", "here");
        for at in 0..20 {
            change(&pair, &mut dice, at);
        }
        pair.source.file("always", "here");
        pair.mirrored_with(&["--max-delete", "100%"]);
        for round in 0..ROUNDS {
            let before = photo(&pair, "before");
            for at in 0..1 + dice.below(12) {
                change(&pair, &mut dice, 100 * round + at);
            }
            pair.source.file("always", format!("round {round}"));
            let run = pair.once_with(&["--max-delete", "100%"]);
            is_as(pair.source.top(), pair.replica.top(), &run.report());
            let context = format!("seed {seed}, round {round}\n{}", run.report());
            let undone = undo(&pair, &[]);
            let context = format!("{context}\n{}", undone.report());
            assert_eq!(undone.code, Some(0), "{context}");
            is_as(&before, pair.replica.top(), &context);
            let again = undo(&pair, &["--json"]);
            let context = format!("{context}\n{}", again.report());
            assert_eq!(again.code, Some(0), "{context}");
            is_as(pair.source.top(), pair.replica.top(), &context);
            resume(&pair);
            let run = pair.once_with(&["--max-delete", "100%"]);
            run.expect(0);
            is_as(pair.source.top(), pair.replica.top(), &run.report());
        }
    }
}

#[test]
fn the_first_pass_can_be_taken_back_too() {
    let pair = pair();
    pair.source.everything();
    pair.replica.folder("");
    pair.mirrored();
    undo(&pair, &[]).expect(0);
    assert_eq!(Snapshot::of(pair.replica.top()).without_own_folder().paths(), [b""; 0]);
    undo(&pair, &[]).expect(0);
    pair.assert_identical("undone twice");
}

#[test]
fn what_it_will_do_is_shown_and_a_dry_run_does_nothing() {
    let pair = pair();
    pair.source.file("stays", "old").file("goes", "x").file("moves", "y").folder("full/of");
    pair.mirrored();
    pair.source.file("stays", "newer").remove("goes").rename("moves", "full/of/it").file("comes", "z");
    pair.mirrored();
    let before = pair.replica_now();
    let run = undo(&pair, &["-n"]);
    run.expect(0).expect_message_with("nothing was changed");
    for line in ["update  stays", "create  goes", "rename  moves", "delete  comes", "meta    full/of"] {
        assert!(run.out().contains(line), "{line}\n{}", run.report());
    }
    assert_eq!(before.changes(&pair.replica_now()), [""; 0]);
    pair.once().expect(0);
    let run = undo(&pair, &["--json"]);
    run.expect(0);
    let steps = steps_but_meta(&events(&run));
    assert_eq!(steps, ["create goes", "delete comes", "rename moves", "update stays"], "{}", run.report());
    assert_eq!(pair.replica.read("stays"), b"old");
    assert!(pair.replica.has("goes") && pair.replica.has("moves") && !pair.replica.has("comes"));
}

#[test]
fn what_was_changed_since_is_left_alone_and_named() {
    let pair = pair();
    pair.source.file("one", "1").file("two", "2").file("three", "3");
    pair.mirrored();
    pair.source.file("one", "one").file("two", "two").remove("three").folder("made").file("made/x", "x");
    pair.mirrored();
    pair.replica.file("one", "mine").file("three", "mine").file("made/mine", "mine");
    let run = undo(&pair, &[]);
    run.expect(1);
    for line in [
        "skip    one  it was changed since",
        "skip    three  something else",
        "skip    made  there is something",
    ] {
        assert!(run.out().contains(line), "{line}\n{}", run.report());
    }
    assert_eq!(pair.replica.read("one"), b"mine");
    assert_eq!(pair.replica.read("two"), b"2");
    assert_eq!(pair.replica.read("three"), b"mine");
    assert_eq!(pair.replica.read("made/mine"), b"mine");
    assert!(!pair.replica.has("made/x"));
}

#[test]
fn without_a_terminal_to_ask_at_nothing_is_undone_unless_told_so() {
    let pair = pair();
    pair.source.file("a", "1");
    pair.mirrored();
    pair.source.file("a", "second");
    pair.mirrored();
    let before = pair.replica_now();
    let replica = text(pair.replica.top());
    for words in [&["undo", replica][..], &["undo", replica, "--json"], &["undo", replica, "--since", "1h"]] {
        pair.alike.run(words).expect(2).expect_short_message().expect_message_with("add --yes");
        assert_eq!(before.changes(&pair.replica_now()), [""; 0]);
    }
    pair.once().expect(0);
    pair.alike.run(["undo", replica, "-n"]).expect(0);
    pair.alike.run(["undo", replica, "-y"]).expect(0);
    assert_eq!(pair.replica.read("a"), b"1");
    pair.alike.run(["undo", replica, "--resume"]).expect(0);
}

#[test]
fn an_older_pass_can_be_named() {
    let pair = pair();
    pair.source.file("a", "1").file("b", "1");
    pair.mirrored();
    pair.source.file("a", "second");
    let second = events(&pair.mirrored_with(&["--json"]));
    let number = second.iter().find(|event| event.action == "update").unwrap().line["pass"].to_string();
    pair.source.file("b", "third");
    pair.mirrored();
    undo(&pair, &[&number]).expect(0);
    assert_eq!((pair.replica.read("a"), pair.replica.read("b")), (b"1".to_vec(), b"third".to_vec()));
    undo(&pair, &["999"]).expect(1).expect_message_with("pass 999");
}

#[test]
fn one_deletion_that_came_as_several_passes_is_said_to_be_so_and_taken_back_as_one() {
    let pair = pair();
    pair.source.file("doomed/a", "a").file("doomed/below/b", "b").file("stays", "x");
    pair.once().expect(0);
    let before = photo(&pair, "before");
    for path in ["doomed/below/b", "doomed/below", "doomed"] {
        pair.source.remove(path);
        pair.once_with(&["--allow-deletes"]).expect(0);
    }
    let shown = undo(&pair, &["-n"]);
    shown.expect(0);
    let said = shown.err();
    assert!(
        said.contains("pass 4 deleted, right after others that did nothing else, from pass 2 on"),
        "{}",
        shown.report()
    );
    let since = said.split("--since \"").nth(1).unwrap().split('"').next().unwrap();
    let undone = undo(&pair, &["--since", since]);
    undone.expect(0);
    assert!(undone.err().contains("passes 2 to 4 are undone"), "{}", undone.report());
    is_as(&before, pair.replica.top(), "all of it is back");
    resume(&pair);
    // That was one pass.
    undo(&pair, &[]).expect(0);
    is_as(pair.source.top(), pair.replica.top(), "and gone again");
    resume(&pair);
    undo(&pair, &["--since", "2", "5"]).expect(2);
}

#[test]
fn what_was_made_between_deletions_is_not_taken_for_a_part_of_them() {
    let pair = pair();
    pair.source.file("one", "1").file("folder/two", "2").file("folder/three", "3").file("stays", "x");
    pair.once().expect(0);
    let pass = |allow| pair.once_with(allow).expect(0).code;
    let deletes = &["--allow-deletes"][..];
    pair.source.remove("one");
    pass(deletes);
    pair.source.file("new work", "precious");
    pass(deletes);
    // No deletion at all: nothing belongs to it.
    let shown = undo(&pair, &["-n"]);
    assert!(!shown.expect(0).err().contains("--since"), "{}", shown.report());
    pair.source.remove("folder/two");
    pass(deletes);
    let shown = undo(&pair, &["-n"]);
    assert!(!shown.expect(0).err().contains("--since"), "{}", shown.report());
    pair.source.remove("folder");
    pass(deletes);
    let shown = undo(&pair, &["-n"]);
    assert!(shown.expect(0).err().contains("from pass 4 on"), "{}", shown.report());
    let since = shown.err();
    let since = since.split("--since \"").nth(1).unwrap().split('"').next().unwrap();
    undo(&pair, &["--since", since]).expect(0);
    assert_eq!(pair.replica.read("new work"), b"precious");
    assert!(pair.replica.has("folder/two") && pair.replica.has("folder/three") && !pair.replica.has("one"));
}

#[test]
fn after_an_undo_no_pass_is_made_until_told_so() {
    let pair = pair();
    pair.source.file("a", "1");
    pair.mirrored();
    pair.source.file("a", "second");
    pair.mirrored();
    undo(&pair, &[]).expect(0).expect_message_with("--resume");
    let run = pair.once();
    run.expect(3).expect_short_message().expect_message_with("--resume");
    assert_eq!(pair.replica.read("a"), b"1");
    let mut live = pair.mirror_with(&[]);
    assert_eq!(live.wait_exit(SOON), Some(3));
    let plan = pair.plan_with(&[]);
    assert!(plan.out().contains("update  a"), "{}", plan.report());
    plan.expect(3).expect_message_with("is held");
    resume(&pair);
    pair.mirrored();
    assert_eq!(pair.replica.read("a"), b"second");
}

#[test]
fn a_running_mirror_lets_go_waits_and_goes_on_when_told() {
    let pair = pair();
    pair.source.file("a", "1").file("b", "1");
    let mut live = pair.mirror_with(&["--interval", "1h"]);
    live.wait_identical(SOON);
    pair.source.arrives("a", "second");
    live.wait_identical(SOON);
    let run = undo(&pair, &[]);
    run.expect(0);
    assert_eq!(pair.replica.read("a"), b"1", "{}", run.report());
    live.wait_for_output("is held", SOON);
    pair.source.file("b", "second");
    std::thread::sleep(Duration::from_millis(1500));
    assert_eq!((pair.replica.read("a"), pair.replica.read("b")), (b"1".to_vec(), b"1".to_vec()));
    assert!(live.is_running());
    resume(&pair);
    live.wait_identical(SOON);
    live.stop();
}

#[test]
fn live_passes_can_be_taken_back_one_after_another() {
    let pair = pair();
    pair.source.file("a", "1");
    let mut live = pair.mirror_with(&["--interval", "1h"]);
    live.wait_identical(SOON);
    let passes = || {
        let run = pair.alike.run(["log", text(pair.replica.top()), "--json"]);
        run.expect(0);
        events(&run).iter().map(|event| event.line["pass"].as_u64().unwrap()).max().unwrap()
    };
    let first = passes();
    for content in ["two", "three", "four"] {
        pair.source.arrives("a", content);
        live.wait_identical(SOON);
        assert!(wait_until(SOON, || passes() > first), "the history has no live pass");
    }
    undo(&pair, &[]).expect(0);
    assert_eq!(pair.replica.read("a"), b"three");
    live.stop();
}

#[test]
fn a_held_mirror_is_not_held_when_nothing_could_be_undone() {
    let pair = pair();
    pair.source.file("a", "1");
    pair.once_with(&["--trash", "off"]).expect(0);
    undo(&pair, &[]).expect(1).expect_message_with("nothing to undo");
    pair.once().expect(0);
    undo(&pair, &["--resume"]).expect(0).expect_message_with("nothing is held");
    pair.alike.run(["undo", text(&pair.beside("nothing"))]).expect_one_of(&[1, 2]).expect_short_message();
    pair.alike.run(["undo", text(pair.source.top())]).expect(2).expect_short_message();
}

#[test]
fn folders_that_their_owner_may_not_write_to_come_back_without_root() {
    if !root_or_say("running as another user") {
        return;
    }
    let mut pair = pair();
    pair.source.file("closed/sub/file", "x").file("closed/other", "y").file("open/file", "z");
    pair.source.mode("closed/sub", 0o555).mode("closed", 0o500);
    pair.hand_to(NOBODY);
    pair.mirrored();
    let before = photo(&pair, "before");
    pair.source.mode("closed", 0o700).mode("closed/sub", 0o700).remove("closed/other").remove("open");
    pair.source.file("closed/sub/new", "n").mode("closed/sub", 0o555).mode("closed", 0o500);
    alike_testkit::give_tree_to(pair.source.top(), NOBODY).unwrap();
    pair.mirrored();
    let run = undo(&pair, &[]);
    run.expect(0);
    is_as(&before, pair.replica.top(), &run.report());
    resume(&pair);
    pair.source.mode("closed", 0o700).mode("closed/sub", 0o700).remove("closed");
    pair.mirrored();
    let run = undo(&pair, &[]);
    run.expect(0);
    assert_eq!(pair.replica.read("closed/sub/file"), b"x");
    assert_eq!(pair.replica.path("closed").metadata().unwrap().permissions().mode() & 0o7777, 0o500);
}

#[test]
fn two_thousand_levels_down_a_pass_is_taken_back() {
    let pair = pair();
    pair.source.deep_file("deep", 2_000, 3, b"old");
    pair.mirrored();
    pair.source.deep_file("deep", 2_000, 3, b"newer content");
    pair.mirrored();
    let photo = pair.beside("then");
    alike_testkit::Tree::make(photo.clone()).deep_file("deep", 2_000, 3, b"old");
    let run = undo(&pair, &[]);
    run.expect(0);
    let differences = alike_testkit::compare_but(&photo, pair.replica.top(), &[alike_testkit::Leave::Times]);
    assert!(differences.iter().all(|line| !line.contains("content")), "{:?}", differences.first());
    alike_testkit::remove_tree(&photo).unwrap();
}

#[test]
fn a_large_file_that_was_changed_in_place_becomes_what_it_was() {
    let pair = pair();
    pair.source.sparse("large", 300 << 20, &[(5, b"one"), (200 << 20, b"two")]);
    pair.mirrored();
    let before = photo(&pair, "before");
    let then = pair.source.path("large").metadata().unwrap().modified().unwrap();
    let file = std::fs::File::options().write(true).open(pair.source.path("large")).unwrap();
    std::os::unix::fs::FileExt::write_all_at(&file, b"changed", 100 << 20).unwrap();
    file.set_len((300 << 20) + 7).unwrap();
    drop(file);
    assert_ne!(pair.source.path("large").metadata().unwrap().modified().unwrap(), then);
    pair.mirrored();
    let run = undo(&pair, &[]);
    run.expect(0);
    is_as(&before, pair.replica.top(), &run.report());
    undo(&pair, &[]).expect(0);
    pair.assert_identical("undone twice");
}

#[test]
fn no_name_forges_a_line() {
    let pair = pair();
    let evil = name(b"x\nundo  done\x1b[2J");
    pair.source.file(&evil, "x").file("keep", "x");
    pair.mirrored();
    pair.source.remove(&evil);
    pair.mirrored();
    for words in [&["undo"][..], &["log"], &["trash"]] {
        let mut words = words.to_vec();
        words.push(text(pair.replica.top()));
        if words[0] == "undo" {
            words.push("-n");
        }
        let run = pair.alike.run(words);
        run.expect(0);
        let all = [run.stdout.clone(), run.stderr.clone()].concat();
        assert!(!all.contains(&0x1b), "{}", run.report());
        assert!(!run.out().lines().any(|line| line.starts_with("undo")), "{}", run.report());
        assert!(run.out().contains(r"x\nundo  done\x1b[2J"), "{}", run.report());
    }
}

#[test]
fn a_second_pass_after_an_undo_finds_all_that_it_took_back() {
    let pair = pair();
    pair.source.file("a/x", "1").file("a/y", "1").file("b", "1").file("c", "1").hard_link("c", "d");
    pair.mirrored();
    // Same size and times: only the kernel's own stamps tell.
    pair.source.edit_keeping_stamp("a/x", "2").rename("a/y", "e").remove("b").mode("c", 0o600);
    pair.mirrored();
    undo(&pair, &[]).expect(0);
    resume(&pair);
    let run = pair.once_with(&["--json"]);
    run.expect(0);
    pair.assert_identical(&run.report());
    assert!(has(&events(&run), "update", "a/x"), "{}", run.report());
}
