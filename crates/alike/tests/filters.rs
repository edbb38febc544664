//! What is left out, what that means for the replica, and that a changed filter deletes nothing by surprise.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use alike_testkit::{NOBODY, is_root, wait_until};
use common::{SOON, events, has, pair, pair_with_files, plant, steps, text, there};

#[test]
fn exclude_takes_gitignore_patterns() {
    let pair = pair();
    let all = [
        "a.tmp",
        "a.txt",
        "sub/b.tmp",
        "sub/b.txt",
        "cache/x",
        "sub/cache/x",
        "build/x",
        "sub/build",
        "doc/a/z",
    ];
    plant(&pair, &all);
    let flags =
        ["--exclude", "*.tmp", "--exclude", "/cache/", "--exclude", "build/", "--exclude", "doc/**/z"];
    pair.once_with(&flags).expect(0);
    assert_eq!(there(&pair, &all), ["a.txt", "sub/b.txt", "sub/cache/x", "sub/build"]);
    let again = pair.once_with(&[&flags[..], &["--json"]].concat());
    again.expect(0);
    assert_eq!(steps(&events(&again)), [""; 0]);
}

#[test]
fn include_brings_back_what_exclude_left_out() {
    let pair = pair();
    let all = ["a.log", "keep.log", "sub/keep.log", "sub/b.log"];
    plant(&pair, &all);
    pair.once_with(&["--exclude", "*.log", "--include", "keep.log"]).expect(0);
    assert_eq!(there(&pair, &all), ["keep.log", "sub/keep.log"]);
}

#[test]
fn an_alikeignore_counts_in_its_folder_and_below() {
    let pair = pair();
    let all = [
        "a.tmp",
        "sub/a.tmp",
        "sub/keep.tmp",
        "sub/deep/b.tmp",
        "sub/deep/only-here",
        "only-here",
        "other/a.o",
    ];
    plant(&pair, &all);
    pair.source
        .file(".alikeignore", "# a comment\n\n*.tmp\n/only-here\n")
        .file("sub/.alikeignore", "!keep.tmp\n")
        .file("other/.alikeignore", "*.o\n");
    pair.once().expect(0);
    assert_eq!(there(&pair, &all), ["sub/keep.tmp", "sub/deep/only-here"]);
}

#[test]
fn gitignore_files_count_only_when_asked() {
    let pair = pair();
    let all = ["a.o", "sub/a.o", "a.c", "sub/keep.o"];
    plant(&pair, &all);
    pair.source.file(".gitignore", "*.o\n").file("sub/.gitignore", "!keep.o\n");
    pair.mirrored();
    pair.source.remove("a.o").remove("sub/a.o").remove("sub/keep.o");
    pair.mirrored();
    plant(&pair, &all);
    pair.once_with(&["--gitignore"]).expect(0);
    assert_eq!(there(&pair, &all), ["a.c", "sub/keep.o"]);
}

#[test]
fn an_ignore_file_from_elsewhere_counts() {
    let pair = pair();
    let all = ["a.tmp", "a.txt", "sub/a.tmp", "cache/x"];
    plant(&pair, &all);
    let rules = pair.beside("rules");
    std::fs::write(&rules, "*.tmp\n/cache/\n").unwrap();
    pair.once_with(&["--ignore-file", text(&rules)]).expect(0);
    assert_eq!(there(&pair, &all), ["a.txt"]);
}

#[test]
fn an_ignore_file_that_is_missing_and_a_broken_pattern_are_errors() {
    let pair = pair_with_files(3);
    pair.once_with(&["--ignore-file", "/no/such/rules"]).expect(2).expect_short_message();
    pair.once_with(&["--exclude", "[z-a]"]).expect(2).expect_short_message();
    assert!(!pair.replica.has(""), "nothing was done with half of the rules");
}

#[test]
fn an_excluded_folder_is_not_even_opened() {
    let mut pair = pair();
    plant(&pair, &["cache/x", "file"]);
    if is_root() {
        pair.hand_to(NOBODY);
    }
    pair.source.mode("cache", 0);
    pair.once_with(&["--exclude", "/cache/"]).expect(0);
    assert_eq!(there(&pair, &["cache", "file"]), ["file"]);
    pair.source.mode("cache", 0o755);
}

#[test]
fn excluded_things_on_the_replica_are_left_alone() {
    let pair = pair_with_files(4);
    pair.replica.file("own.tmp", "x").file("cache/own", "x").file("even/own.tmp", "x");
    let flags = ["--exclude", "*.tmp", "--exclude", "/cache/"];
    let own = ["own.tmp", "cache/own", "even/own.tmp"];
    let before: Vec<u64> = own.iter().map(|path| pair.replica.ino(path)).collect();
    for _ in 0..2 {
        pair.once_with(&flags).expect(0);
        assert_eq!(there(&pair, &own), own);
        assert_eq!(own.iter().map(|path| pair.replica.ino(path)).collect::<Vec<_>>(), before);
    }
}

#[test]
fn an_excluded_thing_survives_the_end_of_its_folder() {
    let pair = pair_with_files(4);
    pair.source.file("folder/file", "x");
    pair.mirrored();
    pair.replica.file("folder/own.tmp", "precious");
    pair.source.remove("folder");
    pair.once_with(&["--exclude", "*.tmp"]).expect_one_of(&[0, 1]);
    assert_eq!(pair.replica.read("folder/own.tmp"), b"precious");
    assert!(!pair.replica.has("folder/file"));
}

#[test]
fn the_rules_of_a_folder_that_is_gone_stay_with_what_they_keep() {
    let pair = pair_with_files(4);
    plant(&pair, &["folder/file", "folder/sub/file"]);
    pair.source.file("folder/.alikeignore", "*.tmp\n");
    pair.mirrored();
    let own = ["folder/.alikeignore", "folder/sub/own.tmp"];
    pair.replica.file(own[1], "precious");
    pair.once().expect(0);
    pair.source.remove("folder");
    for _ in 0..2 {
        pair.once().expect(0);
        assert_eq!(there(&pair, &["folder/file", "folder/sub/file", own[0], own[1]]), own);
    }
    alike_testkit::remove_tree(&pair.alike.state_dir()).unwrap();
    pair.once().expect(0);
    assert_eq!(there(&pair, &own), own, "also where nothing is known any more");
    pair.once_with(&["--delete-excluded"]).expect(0);
    assert!(!pair.replica.has("folder"));
}

#[test]
fn an_excluded_thing_moves_along_with_its_folder_or_stays_but_never_dies() {
    let pair = pair_with_files(4);
    pair.source.file("folder/one", "x").file("folder/two", "y");
    pair.mirrored();
    pair.replica.file("folder/own.tmp", "precious");
    pair.source.rename("folder", "renamed");
    pair.once_with(&["--exclude", "*.tmp"]).expect_one_of(&[0, 1]);
    assert!(pair.replica.has("renamed/one") && pair.replica.has("renamed/two"));
    assert!(pair.replica.has("folder/own.tmp") || pair.replica.has("renamed/own.tmp"));
}

#[test]
fn delete_excluded_removes_them() {
    let pair = pair_with_files(4);
    pair.replica.file("own.tmp", "x").file("cache/own", "x");
    plant(&pair, &["theirs.tmp"]);
    pair.once_with(&["--exclude", "*.tmp", "--exclude", "/cache/", "--delete-excluded"]).expect(0);
    assert_eq!(there(&pair, &["own.tmp", "cache", "theirs.tmp", "even/file-000"]), ["even/file-000"]);
}

#[test]
fn excluding_what_was_mirrored_leaves_its_copy_alone() {
    let pair = pair_with_files(4);
    plant(&pair, &["a.tmp", "cache/x"]);
    pair.mirrored();
    let flags = ["--exclude", "*.tmp", "--exclude", "/cache/"];
    pair.once_with(&flags).expect(0);
    assert_eq!(there(&pair, &["a.tmp", "cache/x"]), ["a.tmp", "cache/x"]);
    pair.source.remove("a.tmp").file("cache/x", "edited, and longer");
    pair.once_with(&flags).expect(0);
    assert_eq!(pair.replica.read("cache/x"), b"content of cache/x");
    assert!(pair.replica.has("a.tmp"));
}

#[test]
fn lifting_a_filter_mirrors_what_it_hid() {
    let pair = pair_with_files(4);
    plant(&pair, &["a.tmp", "cache/x"]);
    pair.once_with(&["--exclude", "*.tmp", "--exclude", "/cache/"]).expect(0);
    pair.mirrored();
}

#[test]
fn lifting_a_filter_holds_what_only_the_replica_has() {
    let pair = pair_with_files(4);
    pair.replica.file("x", "the replica's own").file("cache/own", "the replica's own");
    pair.once_with(&["--exclude", "/x", "--exclude", "/cache/"]).expect(0);
    for _ in 0..2 {
        let run = pair.once_with(&["--json"]);
        run.expect(1);
        assert_eq!(there(&pair, &["x", "cache/own"]), ["x", "cache/own"], "{}", run.report());
        assert!(has(&events(&run), "hold", "x"), "{}", run.report());
    }
    pair.once().expect(1).expect_message_with("--allow-deletes");
    pair.mirrored_with(&["--allow-deletes"]);
    pair.mirrored();
}

#[test]
fn what_no_delete_kept_in_a_first_pass_is_no_matter_of_filters() {
    let pair = pair_with_files(4);
    pair.replica.file("even/old", "x");
    for _ in 0..2 {
        pair.once_with(&["--no-delete"]).expect(1);
        assert!(pair.replica.has("even/old"));
    }
    pair.mirrored();
}

#[test]
fn lifting_a_filter_under_no_delete_still_holds_what_only_the_replica_has() {
    let pair = pair_with_files(4);
    pair.replica.file("even/own", "the replica's own");
    pair.once_with(&["--exclude", "own"]).expect(0);
    pair.once_with(&["--no-delete"]).expect(1);
    pair.once().expect(1);
    assert!(pair.replica.has("even/own"));
}

#[test]
fn lifting_an_alikeignore_holds_what_only_the_replica_has() {
    let pair = pair_with_files(4);
    pair.replica.file("even/own.tmp", "the replica's own");
    pair.source.file("even/.alikeignore", "*.tmp\n");
    pair.once().expect(0);
    pair.source.remove("even/.alikeignore");
    pair.once().expect(1);
    assert!(pair.replica.has("even/own.tmp"));
    pair.mirrored_with(&["--allow-deletes"]);
}

#[test]
fn a_rule_that_comes_while_mirroring_counts_from_then_on() {
    let pair = pair_with_files(4);
    plant(&pair, &["old.tmp"]);
    let mut live = pair.mirror_with(&[]);
    live.wait_identical(SOON);
    pair.source.file(".alikeignore", "*.tmp\n").file("marker", "x");
    assert!(wait_until(SOON, || pair.replica.has("marker")));
    pair.source.file("new.tmp", "x").file("second marker", "x");
    assert!(wait_until(SOON, || pair.replica.has("second marker")));
    assert_eq!(there(&pair, &["old.tmp", "new.tmp"]), ["old.tmp"]);
    pair.source.remove(".alikeignore");
    assert!(wait_until(SOON, || pair.replica.has("new.tmp")));
    live.stop();
}

#[test]
fn filters_hold_while_mirroring() {
    let pair = pair_with_files(4);
    let mut live = pair.mirror_with(&["--exclude", "*.tmp", "--exclude", "/cache/"]);
    assert!(wait_until(SOON, || pair.replica.has("odd/file-003")));
    plant(&pair, &["a.tmp", "cache/x", "new/deep/b.tmp", "new/deep/c.txt"]);
    assert!(wait_until(SOON, || pair.replica.has("new/deep/c.txt")));
    pair.source.rename("new/deep/c.txt", "new/deep/c.tmp").rename("a.tmp", "a.txt");
    assert!(wait_until(SOON, || pair.replica.has("a.txt")));
    assert_eq!(there(&pair, &["a.tmp", "cache", "new/deep/b.tmp", "new/deep/c.tmp"]), [""; 0]);
    live.stop();
}

#[test]
fn an_ignore_file_that_is_saved_anew_parts_no_hard_links_below_it() {
    let pair = pair_with_files(20);
    plant(&pair, &["folder/sub/one", "folder/goes/file"]);
    pair.source.hard_link("folder/sub/one", "even/other").file("folder/.alikeignore", "*.tmp\n");
    pair.mirrored();
    pair.source.remove("folder/.alikeignore").file("folder/.alikeignore", "*.bak\n");
    pair.source.remove("folder/goes").symlink("folder/goes", "sub");
    pair.mirrored();
    pair.source.remove("folder/.alikeignore").symlink("folder/.alikeignore", "elsewhere");
    pair.mirrored();
}

#[test]
fn an_ignore_file_too_large_to_be_read_whole_is_not_guessed_at() {
    let pair = pair_with_files(20);
    pair.mirrored();
    pair.source.file("even/.alikeignore", "# a\n".repeat(300_000) + "file-*\n").remove("even/file-002");
    pair.once().expect(1);
    assert!(pair.replica.has("even/file-002"), "nothing is done where the rules are not known");
}

#[test]
fn what_the_replica_has_in_a_folder_that_was_left_out_is_held_when_the_folder_comes_back_in() {
    for in_file in [false, true] {
        let pair = pair();
        plant(&pair, &["a", "cache/x", "cache/sub/y"]);
        let flags: &[&str] = if in_file { &[] } else { &["--exclude", "/cache/"] };
        if in_file {
            pair.source.file(".alikeignore", "/cache/\n");
        }
        pair.once_with(flags).expect(0);
        for own in ["cache/precious", "cache/sub/precious"] {
            pair.replica.file(own, "of the replica alone");
        }
        if in_file {
            pair.source.remove(".alikeignore");
        }
        for _ in 0..3 {
            let run = pair.once();
            run.expect(1);
            assert!(run.out().contains("was excluded before the filters changed"), "{}", run.report());
            assert_eq!(pair.replica.read("cache/precious"), b"of the replica alone", "{}", run.report());
            assert!(pair.replica.has("cache/sub/precious") && pair.replica.has("cache/sub/y"));
        }
        pair.once_with(&["--allow-deletes"]).expect(0);
        assert!(!pair.replica.has("cache/precious"));
        pair.once().expect(0);
    }
}
