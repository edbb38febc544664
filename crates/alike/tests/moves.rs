//! A rename in the source is one rename on the replica.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use alike_testkit::Pair;
use common::{SOON, events, has, nothing_to_do, pair, pair_with_files, parse, steps_but_meta};

/// Runs a pass whose only step, the times of folders aside, must be this rename, without a byte copied.
#[track_caller]
fn one_rename(pair: &Pair, from: &str, to: &str) {
    let run = pair.mirrored_with(&["--json"]);
    let events = events(&run);
    assert_eq!(steps_but_meta(&events), [format!("rename {to}")], "{}", run.report());
    let rename = events.iter().find(|e| e.action == "rename").unwrap();
    assert_eq!(rename.text("from"), from);
    assert!(
        events.iter().all(|e| e.line["bytes"].as_u64().unwrap_or(0) == 0),
        "no byte copied: {}",
        run.report()
    );
}

#[test]
fn a_file_renamed_is_one_rename() {
    let pair = pair_with_files(4);
    pair.source.file("before", "content");
    pair.mirrored();
    let ino = pair.replica.ino("before");
    pair.source.rename("before", "after");
    one_rename(&pair, "before", "after");
    assert_eq!(pair.replica.ino("after"), ino);
}

#[test]
fn a_file_moved_to_another_folder_is_one_rename() {
    let pair = pair_with_files(4);
    pair.mirrored();
    let ino = pair.replica.ino("even/file-000");
    pair.source.rename("even/file-000", "odd/file-000");
    one_rename(&pair, "even/file-000", "odd/file-000");
    assert_eq!(pair.replica.ino("odd/file-000"), ino);
}

#[test]
fn a_folder_renamed_is_one_rename() {
    let pair = pair_with_files(30);
    pair.source.file("even/sub/deep/file", "x").symlink("even/link", "sub");
    pair.mirrored();
    let (folder, file) = (pair.replica.ino("even"), pair.replica.ino("even/sub/deep/file"));
    pair.source.rename("even", "renamed");
    one_rename(&pair, "even", "renamed");
    assert_eq!((pair.replica.ino("renamed"), pair.replica.ino("renamed/sub/deep/file")), (folder, file));
}

#[test]
fn a_folder_moved_into_a_new_folder_is_a_mkdir_and_a_rename() {
    let pair = pair_with_files(30);
    pair.mirrored();
    let folder = pair.replica.ino("even");
    pair.source.rename("even", "new/place/even");
    let run = pair.mirrored_with(&["--json"]);
    assert_eq!(
        steps_but_meta(&events(&run)),
        ["mkdir new", "mkdir new/place", "rename new/place/even"],
        "{}",
        run.report()
    );
    assert_eq!(pair.replica.ino("new/place/even"), folder);
}

#[test]
fn a_file_moved_and_edited_arrives() {
    let pair = pair_with_files(4);
    pair.source.file("before", "content");
    pair.mirrored();
    pair.source.rename("before", "odd/after").append("odd/after", " and more");
    pair.mirrored();
    pair.source.rename("odd/after", "again").mode("again", 0o600);
    let ino = pair.replica.ino("odd/after");
    pair.mirrored();
    assert_eq!(pair.replica.ino("again"), ino, "a change of mode needs no copy");
}

#[test]
fn a_folder_renamed_with_changes_inside_keeps_the_rest() {
    let pair = pair_with_files(30);
    pair.mirrored();
    let (folder, file) = (pair.replica.ino("even"), pair.replica.ino("even/file-000"));
    pair.source
        .rename("even", "renamed")
        .file("renamed/file-002", "edited, and longer")
        .remove("renamed/file-004")
        .file("renamed/new", "x")
        .rename("renamed/file-006", "renamed/file-6");
    let run = pair.mirrored_with(&["--json"]);
    assert_eq!((pair.replica.ino("renamed"), pair.replica.ino("renamed/file-000")), (folder, file));
    let events = events(&run);
    assert!(has(&events, "rename", "renamed") && has(&events, "create", "renamed/new"), "{}", run.report());
    assert!(
        !has(&events, "create", "renamed/file-000") && !has(&events, "mkdir", "renamed"),
        "{}",
        run.report()
    );
}

#[test]
fn a_file_moved_over_another_keeps_its_inode() {
    let pair = pair_with_files(4);
    pair.source.file("new", "the new one").file("old", "the old one");
    pair.mirrored();
    let ino = pair.replica.ino("new");
    pair.source.rename("new", "old");
    pair.mirrored();
    assert_eq!(pair.replica.ino("old"), ino);
}

#[test]
fn names_that_swap_or_go_round_arrive() {
    let pair = pair_with_files(30);
    pair.source.file("a", "1").file("b", "2").file("c", "3");
    pair.mirrored();
    pair.source.rename("a", "t").rename("b", "a").rename("t", "b");
    pair.mirrored();
    pair.source.rename("a", "t").rename("b", "a").rename("c", "b").rename("t", "c");
    pair.mirrored();
    pair.source.rename("even", "t").rename("odd", "even").rename("t", "odd");
    pair.mirrored();
}

#[test]
fn of_folders_that_change_places_or_go_round_no_file_is_read_again() {
    let mut pair = pair_with_files(30);
    pair.source
        .file("a/inside-1", "1")
        .file("b/inside-2", "2")
        .file("c/inside-3", "3")
        .file("d/inside-4", "4");
    // What changed just before a look is read at the next.
    std::thread::sleep(std::time::Duration::from_millis(200));
    pair.mirrored();
    pair.source.rename("a", "t").rename("b", "a").rename("t", "b");
    pair.source.rename("c", "t").rename("d", "c").rename("odd", "d").rename("t", "odd");
    let trace = pair.beside("trace");
    pair.alike.run_after(&format!("exec strace -f -q -o {} -e trace=openat \"$0\" \"$@\"", trace.display()));
    let run = pair.mirrored_with(&["--json"]);
    let read: Vec<String> = std::fs::read_to_string(trace)
        .unwrap()
        .lines()
        .filter(|line| line.contains("inside-") || line.contains("file-0"))
        .map(str::to_owned)
        .collect();
    assert_eq!(read, [""; 0], "{}", run.report());
}

#[test]
fn folders_that_left_one_that_became_a_file_and_stand_inside_each_other_now_arrive_in_one_pass() {
    let pair = pair_with_files(30);
    pair.source.file("x/1/2/inner", "1").file("x/beside", "2").file("g/d/e/deep", "3");
    pair.mirrored();
    pair.source
        .rename("g/d", "t")
        .rename("x/1/2", "g/d")
        .rename("t", "x/1/2")
        .rename("x", "g/d/e")
        .file("x", "4");
    pair.mirrored();
    nothing_to_do(&pair);
}

#[test]
fn a_folder_that_moved_is_still_known_when_what_it_changed_places_with_is_deleted() {
    let pair = pair_with_files(30);
    pair.source
        .file("outer/inner/a", "1")
        .file("outer/inner/b/c", "2")
        .file("outer/inner/quiet", "3")
        .file("other/x", "4");
    pair.mirrored();
    pair.source.remove("other").rename("outer/inner", "t").rename("outer", "other").rename("t", "outer");
    // What takes the place of a folder and has two names is made last of all: the row of the folder is written after that.
    pair.source.remove("outer/b").hard_link("outer/a", "outer/b");
    pair.mirrored();
    pair.source.remove("outer");
    pair.mirrored();
}

#[test]
fn a_pass_ends_when_what_moved_out_of_a_folder_holds_that_folder_now() {
    let mut pair = pair_with_files(30);
    pair.source.file("x/y/gone/w/file", "1").file("x/y/gone/one", "2").file("x/y/gone/two", "3");
    let old = pair.beside("old");
    std::fs::write(&old, "of before").unwrap();
    pair.mirrored();
    pair.source.rename("x/y/gone/w", "w").rename("x", "w/x").remove("w/x/y/gone");
    pair.once_with(&["--max-delete", "1"]).expect(3);
    // It may have come from anywhere, so all that departed is searched for it. Who goes round in a ring takes all memory.
    std::fs::rename(old, pair.source.path("arrived")).unwrap();
    pair.alike.run_after("ulimit -v 2000000");
    pair.mirrored();
}

#[test]
fn a_folder_that_moves_into_its_own_new_namesake_arrives() {
    let pair = pair_with_files(30);
    pair.mirrored();
    pair.source.rename("even", "t").rename("t", "even/even");
    pair.mirrored();
    pair.source.rename("even/even", "t").remove("even").rename("t", "even");
    pair.mirrored();
}

#[test]
fn parent_and_child_that_change_places_arrive() {
    let pair = pair_with_files(30);
    pair.source.file("a/b/in b", "x").file("a/in a", "y");
    pair.mirrored();
    pair.source.rename("a/b", "t").rename("a", "t/a").rename("t", "b");
    pair.mirrored();
}

#[test]
fn a_folder_moved_out_of_one_that_is_removed_survives() {
    let pair = pair_with_files(30);
    pair.source.file("doomed/kept/file", "x").file("doomed/other", "x");
    pair.mirrored();
    let kept = pair.replica.ino("doomed/kept/file");
    pair.source.rename("doomed/kept", "kept").remove("doomed");
    pair.mirrored();
    assert_eq!(pair.replica.ino("kept/file"), kept);
}

#[test]
fn a_file_moved_to_a_name_that_another_left_arrives() {
    let pair = pair_with_files(4);
    pair.source.file("one", "1").file("two", "2").file("three", "3");
    pair.mirrored();
    let (one, two) = (pair.replica.ino("one"), pair.replica.ino("two"));
    pair.source.rename("two", "four").rename("one", "two");
    pair.mirrored();
    assert_eq!((pair.replica.ino("two"), pair.replica.ino("four")), (one, two));
}

#[test]
fn a_second_name_for_a_file_is_no_move() {
    let pair = pair_with_files(4);
    pair.source.file("first", "content");
    pair.mirrored();
    pair.source.hard_link("first", "second");
    pair.mirrored();
    pair.source.remove("first");
    pair.mirrored();
}

#[test]
fn a_copy_whose_original_is_gone_arrives() {
    let pair = pair_with_files(4);
    pair.source.file("original", "content").mtime("original", 1_000_000_000, 1);
    pair.mirrored();
    pair.source.file("copy", "CONTENT").mtime("copy", 1_000_000_000, 1).remove("original");
    pair.mirrored();
}

#[test]
fn a_moved_file_that_was_damaged_on_the_replica_is_repaired() {
    let pair = pair_with_files(4);
    pair.source.file("before", "right");
    pair.mirrored();
    pair.replica.edit_keeping_stamp("before", "wrong");
    pair.source.rename("before", "after");
    pair.mirrored();
}

#[test]
fn a_symlink_and_a_fifo_renamed_arrive() {
    let pair = pair_with_files(4);
    pair.source.symlink("link", "x").fifo("pipe");
    pair.mirrored();
    pair.source.rename("link", "odd/link").rename("pipe", "odd/pipe");
    pair.mirrored();
}

#[test]
fn a_file_renamed_live_is_one_rename() {
    let pair = pair_with_files(4);
    let mut live = pair.mirror_with(&["--json"]);
    live.wait_identical(SOON);
    let ino = pair.replica.ino("even/file-000");
    pair.source.rename("even/file-000", "odd/renamed");
    live.wait_identical(SOON);
    assert_eq!(pair.replica.ino("odd/renamed"), ino);
    live.stop();
    let events = parse(&live.out());
    assert!(has(&events, "rename", "odd/renamed"), "{}", live.out());
    assert!(!has(&events, "create", "odd/renamed"), "{}", live.out());
}

#[test]
fn a_folder_renamed_live_is_one_rename_and_is_watched_under_its_new_name() {
    let pair = pair_with_files(30);
    pair.source.file("even/sub/file", "x");
    let mut live = pair.mirror_with(&["--json"]);
    live.wait_identical(SOON);
    let (folder, file) = (pair.replica.ino("even"), pair.replica.ino("even/sub/file"));
    pair.source.rename("even", "renamed");
    live.wait_identical(SOON);
    assert_eq!((pair.replica.ino("renamed"), pair.replica.ino("renamed/sub/file")), (folder, file));
    pair.source.file("renamed/sub/file", "edited under the new name").file("renamed/sub/new", "x");
    live.wait_identical(SOON);
    pair.source.rename("renamed", "new/place").rename("new/place/sub", "sub");
    live.wait_identical(SOON);
    assert_eq!(pair.replica.ino("new/place"), folder);
    live.stop();
}

#[test]
fn a_folder_moved_live_into_one_that_came_from_outside_is_one_rename() {
    let pair = pair_with_files(30);
    let outside = pair.beside("outside");
    std::fs::create_dir(&outside).unwrap();
    let mut live = pair.mirror_with(&[]);
    live.wait_identical(SOON);
    let folder = pair.replica.ino("even");
    // Both are heard at once: the one waits for word of where it came from, and what may be in it waits with it.
    live.stand_still();
    std::fs::rename(outside, pair.source.path("new")).unwrap();
    pair.source.rename("even", "new/place");
    live.go_on();
    live.wait_identical(SOON);
    assert_eq!(pair.replica.ino("new/place"), folder);
    live.stop();
}

#[test]
fn what_moves_out_of_the_source_goes_and_what_moves_in_comes_live() {
    let pair = pair_with_files(4);
    let mut live = pair.mirror_with(&[]);
    live.wait_identical(SOON);
    std::fs::rename(pair.source.path("even"), pair.beside("outside")).unwrap();
    live.wait_identical(SOON);
    std::fs::write(pair.beside("outside/more"), "x").unwrap();
    std::fs::rename(pair.beside("outside"), pair.source.path("back")).unwrap();
    live.wait_identical(SOON);
    pair.source.file("back/more", "edited");
    live.wait_identical(SOON);
    live.stop();
}

#[test]
fn a_folder_that_is_exchanged_twice_in_one_pass_leaves_nothing_behind() {
    let pair = pair();
    pair.source.folder("b/p").folder("f/e/a").file("f/a/d", "a file that goes").file("always", "here");
    pair.mirrored();
    // Only when the moved folders have been visited is it known that the last one moved, too.
    pair.source.rename("f", "b/f").rename("b/f/e", "b/f/a/g/a/e").rename("b/f/a/g/a/e/a", "aside");
    pair.source.rename("b/p", "b/f/a/g/a/e/a").remove("b/f/a/d").rename("aside", "b/f/a/d");
    pair.mirrored();
    nothing_to_do(&pair);
}
