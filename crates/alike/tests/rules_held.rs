//! What rules kept on the replica is held, not deleted, when the rules are gone or others, and a person decides.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use alike_testkit::{Pair, wait_until};
use common::{SOON, pair_with_files, plant, there};

/// A pair whose replica has something in a folder that the rules of that folder leave out.
fn pair_with_something_kept_by_rules() -> Pair {
    let pair = pair_with_files(4);
    plant(&pair, &["project/code", "project/sub/code"]);
    pair.source.file("project/.alikeignore", "*.kept\nbuild/\n");
    pair.once().expect(0);
    for kept in KEPT {
        pair.replica.file(kept, "of the replica alone");
    }
    pair.once().expect(0);
    pair
}

const KEPT: [&str; 3] = ["project/a.kept", "project/sub/b.kept", "project/build/made"];

#[test]
fn what_rules_keep_is_held_when_they_are_gone_with_their_folder_which_was_made_anew() {
    let pair = pair_with_something_kept_by_rules();
    pair.source.remove("project");
    plant(&pair, &["project/code", "project/sub/code"]);
    for _ in 0..3 {
        let run = pair.once();
        run.expect(1);
        assert!(run.out().contains("was excluded before the filters changed"), "{}", run.report());
        assert_eq!(there(&pair, &KEPT), KEPT, "{}", run.report());
    }
    pair.mirrored_with(&["--allow-deletes"]);
    assert_eq!(there(&pair, &KEPT), [""; 0]);
}

#[test]
fn what_rules_keep_is_held_when_their_folder_is_made_anew_under_a_mirror() {
    let pair = pair_with_something_kept_by_rules();
    let mut live = pair.mirror_with(&[]);
    plant(&pair, &["marker"]);
    assert!(wait_until(SOON, || pair.replica.has("marker")));
    pair.source.remove("project");
    assert!(wait_until(SOON, || !pair.replica.has("project/code")));
    assert_eq!(there(&pair, &KEPT), KEPT);
    plant(&pair, &["project/code", "project/sub/code"]);
    assert!(wait_until(SOON, || pair.replica.has("project/sub/code")));
    live.stop();
    pair.once().expect(1);
    assert_eq!(there(&pair, &KEPT), KEPT);
}

#[test]
fn what_rules_keep_is_held_when_they_change_after_the_state_was_lost() {
    for text in ["", "*.o\n"] {
        let pair = pair_with_something_kept_by_rules();
        std::fs::remove_dir_all(pair.alike.state_dir()).unwrap();
        pair.source.remove("project/.alikeignore");
        if !text.is_empty() {
            pair.source.file("project/.alikeignore", text);
        }
        for _ in 0..3 {
            let run = pair.once();
            run.expect(1);
            assert_eq!(there(&pair, &KEPT), KEPT, "{}", run.report());
        }
        pair.mirrored_with(&["--allow-deletes"]);
    }
}

#[test]
fn what_the_rules_of_the_top_folder_keep_is_held_when_they_change_after_the_state_was_lost() {
    let pair = pair_with_files(4);
    pair.source.file(".alikeignore", "*.kept\n");
    pair.once().expect(0);
    pair.replica.file("a.kept", "of the replica alone").file("even/b.kept", "of the replica alone");
    pair.once().expect(0);
    std::fs::remove_dir_all(pair.alike.state_dir()).unwrap();
    pair.source.remove(".alikeignore");
    for _ in 0..3 {
        let run = pair.once();
        run.expect(1);
        assert!(pair.replica.has("a.kept") && pair.replica.has("even/b.kept"), "{}", run.report());
    }
}

#[test]
fn what_stays_after_a_person_said_what_may_go_is_not_held_again() {
    let pair = pair_with_files(4);
    plant(&pair, &["folder/file"]);
    pair.once_with(&["--exclude", "/folder/own"]).expect(0);
    pair.replica.file("folder/own/kept.tmp", "of the replica alone");
    pair.source.remove("folder");
    let flags = ["--exclude", "*.tmp"];
    pair.once_with(&flags).expect(1);
    pair.once_with(&[&flags[..], &["--allow-deletes"]].concat()).expect(0);
    for _ in 0..2 {
        let run = pair.once_with(&flags);
        run.expect(0);
        assert!(!run.out().contains("was excluded before"), "{}", run.report());
    }
    assert!(pair.replica.has("folder/own/kept.tmp") && !pair.replica.has("folder/file"));
}

#[test]
fn a_folder_that_holds_one_that_stays_is_not_written_to_again_and_again() {
    let pair = pair_with_files(4);
    plant(&pair, &["top/goes/file", "top/file"]);
    pair.source.mode("top", 0o2755);
    let flags = ["--exclude", "*.tmp"];
    pair.once_with(&flags).expect(0);
    pair.replica.file("top/goes/kept.tmp", "of the replica alone");
    pair.source.remove("top/goes");
    pair.once_with(&flags).expect(0);
    let before = pair.replica_now();
    pair.once_with(&flags).expect(0);
    assert_eq!(before.changes(&pair.replica_now()), [""; 0]);
    assert!(pair.replica.has("top/goes/kept.tmp"));
}

/// Rules come back with the rest of a folder, as a rule last.
#[test]
fn what_rules_keep_below_is_held_when_nothing_of_their_folder_is_there_yet() {
    for is_live in [false, true] {
        let pair = pair_with_something_kept_by_rules();
        let mut live = is_live.then(|| pair.mirror_with(&[]));
        if is_live {
            plant(&pair, &["marker"]);
            assert!(wait_until(SOON, || pair.replica.has("marker")));
        }
        pair.source.remove("project").folder("project");
        if is_live {
            assert!(wait_until(SOON, || !pair.replica.has("project/code")));
            plant(&pair, &["second marker"]);
            assert!(wait_until(SOON, || pair.replica.has("second marker")));
        }
        if let Some(live) = &mut live {
            live.stop();
        }
        for _ in 0..3 {
            let run = pair.once();
            run.expect(1);
            assert_eq!(there(&pair, &KEPT), KEPT, "{}", run.report());
        }
        pair.mirrored_with(&["--allow-deletes"]);
        assert_eq!(there(&pair, &KEPT), [""; 0]);
    }
}

#[test]
fn what_rules_of_the_top_kept_in_a_folder_that_is_gone_is_held_after_the_state_was_lost() {
    let pair = pair_with_files(8);
    plant(&pair, &["goes/file"]);
    pair.source.file(".alikeignore", "*.kept\n");
    pair.once().expect(0);
    pair.replica.file("goes/deep/a.kept", "of the replica alone");
    pair.once().expect(0);
    std::fs::remove_dir_all(pair.alike.state_dir()).unwrap();
    pair.source.remove(".alikeignore").remove("goes");
    for flags in [&["--no-delete"][..], &[], &[]] {
        let run = pair.once_with(flags);
        run.expect(1);
        assert!(pair.replica.has("goes/deep/a.kept"), "{}", run.report());
    }
    pair.mirrored_with(&["--allow-deletes"]);
}

#[test]
fn rules_on_the_replica_that_cannot_be_read_are_no_rules_to_go_by() {
    let pair = pair_with_something_kept_by_rules();
    std::fs::remove_dir_all(pair.alike.state_dir()).unwrap();
    pair.source.remove("project/.alikeignore");
    pair.replica.file("project/.alikeignore", "# a\n".repeat(300_000));
    let run = pair.once();
    run.expect(1);
    assert_eq!(there(&pair, &KEPT), KEPT, "{}", run.report());
}
