//! What a disk says of what it was given: done is done only when the power can be cut after it, and what a disk may have
//! lost is given to it again, also by the next process.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::path::Path;
use std::time::Duration;

use alike_testkit::{Faults, FaultyDisk, Mount, Pair, Run, Tree, forget_cached, root_or_say};
use common::undone::is_as;
use common::{Event, SOON, events, pair, pair_with_files, text};

/// A pair whose replica is on a disk with a cache of its own, as FUSE has it: `syncfs` says yes there and does nothing.
fn on_a_faulty_disk(writeback: bool) -> Option<(Pair, FaultyDisk)> {
    if !root_or_say("a filesystem of its own") {
        return None;
    }
    let mut pair = pair();
    let disk = FaultyDisk::mount(&pair.beside("disk"), writeback);
    pair.replica = Tree::at(disk.at().join("replica"));
    Some((pair, disk))
}

fn furnish(source: &Tree) {
    for i in 0..12 {
        source.file(format!("file-{i}"), format!("content of {i}\n").repeat(700 * i));
    }
    source
        .file("d/e/one", "one")
        .file("d/two", "two")
        .file("empty", "")
        .folder("hollow")
        .symlink("link", "file-3");
    source.fifo("d/pipe").hard_link("file-4", "d/link").mode("file-5", 0o640).mode("hollow", 0o700);
}

/// Cuts the power; what alike had said is done must be there.
#[track_caller]
fn survives(pair: &Pair, disk: &mut FaultyDisk, when: &str) {
    disk.cut_power();
    pair.assert_identical(when);
}

#[test]
fn what_is_done_is_on_the_disk_where_a_filesystem_cannot_be_synced_as_a_whole() {
    for (writeback, flags) in [(false, [].as_slice()), (true, &[]), (false, &["--sync", "file"])] {
        let Some((pair, mut disk)) = on_a_faulty_disk(writeback) else { return };
        furnish(&pair.source);
        pair.mirrored_with(flags);
        survives(&pair, &mut disk, "a first pass");
        pair.source.rename("file-7", "d/e/seven").rename("d/e", "moved").remove("file-8").remove("link");
        pair.source
            .file("link", "a file now")
            .append("file-9", "more")
            .mode("file-10", 0o600)
            .mode("d", 0o711);
        pair.source
            .mtime("file-11", 1_600_000_000, 5)
            .hard_link("file-1", "moved/link")
            .symlink("to", "nowhere");
        pair.mirrored_with(flags);
        survives(&pair, &mut disk, "changes of every kind");
        pair.source.remove("moved").remove("d").mode("file-1", 0o400);
        pair.mirrored_with(flags);
        survives(&pair, &mut disk, "folders gone");
    }
}

#[test]
fn what_a_pass_that_was_killed_left_is_on_the_disk_when_the_next_says_done() {
    let Some((pair, mut disk)) = on_a_faulty_disk(false) else { return };
    furnish(&pair.source);
    pair.mirrored_with(&["--sync", "none"]);
    // As if it had been killed before the end: nothing of it is known.
    std::fs::remove_dir_all(pair.alike.state_dir()).unwrap();
    pair.mirrored();
    survives(&pair, &mut disk, "a pass that finds all equal");
}

#[test]
fn what_a_live_mirror_calls_identical_is_on_the_disk_where_each_file_is_synced() {
    let Some((pair, mut disk)) = on_a_faulty_disk(false) else { return };
    furnish(&pair.source);
    let mut live = pair.mirror_with(&[]);
    live.wait_identical(SOON);
    pair.source.file("d/new", "live").rename("file-2", "d/e/two").remove("file-6");
    live.wait_identical(SOON);
    live.terminate();
    live.wait_exit(SOON);
    survives(&pair, &mut disk, "a live mirror that was stopped");
}

/// Each fault at each moment there is, on a disk of its own: when alike says done, all is on the disk; when it does not, the
/// next process has it copied again.
#[track_caller]
fn is_never_taken_for_done(flags: &[&str], fault: impl Fn(u64) -> Faults) {
    for nth in 1.. {
        let Some((pair, mut disk)) = on_a_faulty_disk(false) else { return };
        furnish(&pair.source);
        disk.arm(fault(nth));
        let run = pair.once_with(flags);
        let asked = disk.disarm();
        if !asked.hit {
            assert!(nth > 5, "it asked for {asked:?} only");
            return;
        }
        if run.code != Some(0) {
            pair.mirrored_with(flags);
        }
        survives(&pair, &mut disk, &format!("fault {nth}: {}", run.report()));
    }
}

#[test]
fn a_sync_of_a_file_that_fails_once_is_never_taken_for_done() {
    is_never_taken_for_done(&[], |nth| Faults { sync_fails: Some(nth), ..Faults::default() });
}

#[test]
fn a_sync_of_a_folder_that_fails_once_is_never_taken_for_done() {
    let fault = |nth| Faults { folder_sync_fails: Some(nth), ..Faults::default() };
    is_never_taken_for_done(&[], fault);
    is_never_taken_for_done(&["--sync", "file"], fault);
}

#[test]
fn a_write_that_is_lost_after_it_was_taken_is_never_taken_for_done() {
    is_never_taken_for_done(&[], |nth| Faults { write_fails_late: Some(nth), ..Faults::default() });
}

fn edit(source: &Tree) {
    source
        .rename("file-7", "d/e/seven")
        .rename("d/e", "moved")
        .remove("file-8")
        .remove("link")
        .remove("hollow");
    source.file("link", "a file now").append("file-9", "more").mode("file-10", 0o600).mode("d", 0o711);
    source.mtime("file-11", 1_600_000_000, 5).hard_link("file-1", "moved/link").file("new/below/file", "new");
}

/// Two passes on a disk with a cache, and the source of the first day.
fn after_two_days(writeback: bool) -> Option<(Pair, FaultyDisk, std::path::PathBuf)> {
    let (pair, disk) = on_a_faulty_disk(writeback)?;
    furnish(&pair.source);
    pair.mirrored();
    let then = pair.beside("then");
    let copied = std::process::Command::new("cp").arg("-a").arg(pair.source.top()).arg(&then).status();
    assert!(copied.unwrap().success());
    edit(&pair.source);
    pair.mirrored();
    Some((pair, disk, then))
}

fn on_replica(pair: &Pair, verb: &str, words: &[&str]) -> Run {
    pair.alike.run([&[verb, text(pair.replica.top())], words].concat())
}

/// What the trash keeps may be one more name of a file that stays.
#[test]
fn what_undo_says_is_done_is_on_the_disk_and_so_is_all_that_it_took_away() {
    for writeback in [false, true] {
        let Some((pair, mut disk, then)) = after_two_days(writeback) else { return };
        let undone = on_replica(&pair, "undo", &["--yes"]);
        undone.expect(0);
        disk.cut_power();
        is_as(&then, pair.replica.top(), &undone.report());
        let again = on_replica(&pair, "undo", &["--yes"]);
        again.expect(0);
        disk.cut_power();
        is_as(pair.source.top(), pair.replica.top(), &again.report());
        on_replica(&pair, "undo", &["--resume"]).expect(0);
        pair.mirrored();
        survives(&pair, &mut disk, "the next pass");
    }
}

#[test]
fn what_restore_says_is_back_is_on_the_disk() {
    for path in ["file-9", "file-8", "d", "hollow", "link", "d/e/one"] {
        let Some((pair, mut disk, then)) = after_two_days(false) else { return };
        let to = disk.at().join("new folder/out");
        let copied = on_replica(&pair, "restore", &[path, "--to", text(&to)]);
        copied.expect(0);
        disk.cut_power();
        let name = Path::new(path).file_name().unwrap();
        same_at(&then.join(path), &to.join(name), &copied.report());
        let back = on_replica(&pair, "restore", &[path]);
        back.expect(0);
        disk.cut_power();
        same_at(&then.join(path), &pair.replica.path(path), &back.report());
        // What stood there is kept, also after the cut.
        on_replica(&pair, "undo", &["--yes"]).expect(0);
        is_as(pair.source.top(), pair.replica.top(), path);
    }
}

#[track_caller]
fn same_at(then: &Path, now: &Path, context: &str) {
    if then.is_dir() {
        return is_as(then, now, context);
    }
    match std::fs::read_link(then) {
        Ok(target) => assert_eq!(std::fs::read_link(now).ok(), Some(target), "{context}"),
        Err(_) => assert!(std::fs::read(then).ok() == std::fs::read(now).ok(), "{context}"),
    }
}

#[test]
fn a_disk_that_does_not_take_what_undo_gives_it_is_never_taken_for_one_that_did() {
    let kinds: [fn(u64) -> Faults; 2] = [
        |nth| Faults { sync_fails: Some(nth), ..Faults::default() },
        |nth| Faults { folder_sync_fails: Some(nth), ..Faults::default() },
    ];
    for fault in kinds {
        for nth in 1.. {
            let Some((pair, mut disk, then)) = after_two_days(false) else { return };
            disk.arm(fault(nth));
            let undone = on_replica(&pair, "undo", &["--yes"]);
            if !disk.disarm().hit {
                assert!(nth > 4, "nothing was synced: {}", undone.report());
                break;
            }
            if undone.code != Some(0) {
                // It goes on with it.
                on_replica(&pair, "undo", &["--yes"]).expect(0);
            }
            disk.cut_power();
            is_as(&then, pair.replica.top(), &format!("fault {nth}: {}", undone.report()));
        }
    }
}

fn forget_index(state: &Path) {
    for entry in std::fs::read_dir(state).unwrap() {
        let _ = std::fs::remove_file(entry.unwrap().path().join("index.redb"));
    }
}

/// Files copied because the disk may lack them.
fn copied_again(run: &Run, path: &str) -> usize {
    let is_unsure = |event: &&Event| event.text("reason").starts_with("may not have reached the disk");
    events(run).iter().filter(is_unsure).filter(|event| event.path.starts_with(path)).count()
}

/// On ext4, the disk of which is a file on the faulty disk, the kernel itself loses pages and calls them clean: the next
/// process would find the replica equal, in memory.
#[test]
fn what_a_disk_may_have_lost_is_copied_again_by_the_next_process() {
    let Some((mut pair, disk)) = on_a_faulty_disk(false) else { return };
    let ext4 = Mount::loop_filesystem(&disk.at().join("ext4"), "ext4", 48);
    pair.replica = Tree::at(ext4.at().join("replica"));
    for i in 0..20 {
        pair.source.file(format!("old-{i}"), vec![b'o'; 50_000]);
    }
    pair.mirrored();
    // What is three seconds older than the last success is on the disk beyond doubt.
    std::thread::sleep(Duration::from_millis(3_100));
    pair.source.file("between", "a success");
    pair.mirrored();
    for i in 0..40 {
        pair.source.file(format!("d/new-{i}"), vec![b'n'; 50_000]);
    }
    // As if it had been killed when all was written and nothing brought to the disk.
    pair.once_with(&["--sync", "none"]).expect(0);
    forget_index(&pair.alike.state_dir());
    // What the next process begins with must not count as the last success.
    std::thread::sleep(Duration::from_millis(3_100));
    disk.arm(Faults { write_fails: Some(3), ..Faults::default() });
    let failed = pair.once();
    let asked = disk.disarm();
    assert!(asked.hit, "nothing failed: {asked:?}");
    failed.expect(1).expect_message_with("bring it to the disk");
    pair.assert_identical("it looks as if nothing were missing");
    let again = pair.once_with(&["--json"]);
    again.expect(0);
    assert_eq!(copied_again(&again, "d/new-"), 40, "all that was new: {}", again.report());
    assert_eq!(copied_again(&again, "old-"), 0, "and no more: {}", again.report());
    for i in 0..40 {
        forget_cached(&pair.replica.path(format!("d/new-{i}")));
    }
    pair.assert_identical("what is on the disk");
    assert_eq!(copied_again(&pair.once_with(&["--json"]), ""), 0, "once is enough");
    drop(ext4);
}

#[test]
fn an_ordinary_disk_is_synced_as_a_whole_and_not_file_by_file_also_in_a_first_copy() {
    if !root_or_say("strace") {
        return;
    }
    let mut pair = pair_with_files(200);
    let disk = Mount::loop_filesystem(&pair.beside("disk"), "ext4", 64);
    pair.replica = Tree::at(disk.at().join("replica"));
    let trace = pair.beside("trace");
    pair.alike.run_after(&format!(
        "exec strace -f -q -o {} -e trace=fsync,fdatasync,syncfs \"$0\" \"$@\"",
        text(&trace)
    ));
    pair.once().expect(0);
    let said = std::fs::read_to_string(&trace).unwrap();
    let count = |call: &str| said.lines().filter(|line| line.contains(call)).count();
    assert!(count("syncfs(") >= 2, "contents before names, names before the index:\n{said}");
    assert!(count("fsync(") + count("fdatasync(") < 20, "two hundred files:\n{said}");
}
