//! Watching, by fanotify and by inotify: whatever happens in the source is heard, and what happens elsewhere is left out.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::fs::{self, File};
use std::io::Write;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use alike_testkit::{Live, Mount, NOBODY, Pair, Tree, root_or_say, wait_until};
use common::{SOON, nothing_to_do, pair, pair_with_files};

/// A mirror that looks at everything so seldom that what arrives was heard.
fn hearing(pair: &Pair, means: &str) -> Option<Live> {
    hearing_with(pair, means, &[])
}

fn hearing_with(pair: &Pair, means: &str, flags: &[&str]) -> Option<Live> {
    if means == "fanotify" && !root_or_say("fanotify") {
        return None;
    }
    let flags = [&["--watcher", means, "--interval", "1h", "--max-delete", "100%"], flags].concat();
    let mut live = pair.mirror_with(&flags);
    live.wait_for_output(&format!("{means}: "), SOON);
    live.wait_identical(SOON);
    Some(live)
}

/// One change in the source, with a folder beside it.
type Step = for<'a> fn(&'a Tree, &'a Tree) -> &'a Tree;

const STEPS: [(&str, Step); 18] = [
    ("a file is created", |s, _| s.file("new", "x")),
    ("a file is edited", |s, _| s.file("new", "edited, and longer")),
    ("a file is cut", |s, _| s.file("new", "")),
    ("a mode changes", |s, _| s.mode("new", 0o600)),
    ("a time changes", |s, _| s.mtime("new", 1_000_000_000, 1)),
    ("a folder's mode changes", |s, _| s.mode("even", 0o700)),
    ("the top's mode changes", |s, _| s.mode("", 0o700)),
    ("nested folders come with files", |s, _| s.file("a/b/c/d/file", "x")),
    ("a file in them is edited", |s, _| s.file("a/b/c/d/file", "edited")),
    ("a file is renamed within", |s, _| s.rename("new", "a/b/renamed")),
    ("a folder is renamed within", |s, _| s.rename("a/b", "even/b")),
    ("a file in it is edited", |s, _| s.file("even/b/c/d/file", "edited where it is now")),
    ("a file comes from outside", |s, beside| {
        beside.file("outside", "from outside");
        fs::rename(beside.path("outside"), s.path("inside")).unwrap();
        s
    }),
    ("a file goes outside", |s, beside| {
        fs::rename(s.path("inside"), beside.path("out")).unwrap();
        s
    }),
    ("a file gets a second name from outside", |s, beside| {
        fs::hard_link(beside.path("out"), s.path("odd/linked")).unwrap();
        s
    }),
    ("a pipe and a symlink are made", |s, _| s.fifo("pipe").symlink("link", "even/file-000")),
    ("a file is deleted", |s, _| s.remove("even/file-000")),
    ("a folder is deleted", |s, _| s.remove("even")),
];

fn whatever_happens_is_heard_by(means: &str) {
    let pair = pair_with_files(10);
    let Some(mut live) = hearing(&pair, means) else { return };
    let beside = Tree::make(pair.beside("elsewhere"));
    for (what, step) in STEPS {
        step(&pair.source, &beside);
        eprintln!("{what}: {:?}", live.wait_identical(SOON));
    }
    live.stop();
    nothing_to_do(&pair);
}

#[test]
fn whatever_happens_is_heard_by_fanotify() {
    whatever_happens_is_heard_by("fanotify");
}

#[test]
fn whatever_happens_is_heard_by_inotify() {
    whatever_happens_is_heard_by("inotify");
}

/// A file that is kept open for writing is on the replica all the same.
fn what_is_written_and_not_closed_is_heard_by(means: &str) {
    let pair = pair_with_files(4);
    let Some(mut live) = hearing(&pair, means) else { return };
    let mut file = File::options().append(true).open(pair.source.path("even/file-000")).unwrap();
    for round in 0..3 {
        writeln!(file, "and line {round}").unwrap();
        live.wait_identical(SOON);
    }
    live.stop();
}

#[test]
fn what_is_written_and_not_closed_is_heard_by_fanotify() {
    what_is_written_and_not_closed_is_heard_by("fanotify");
}

#[test]
fn what_is_written_and_not_closed_is_heard_by_inotify() {
    what_is_written_and_not_closed_is_heard_by("inotify");
}

#[test]
fn what_is_stored_through_a_mapping_is_found_by_the_interval() {
    let pair = pair_with_files(4);
    pair.source.file("mapped", "x".repeat(4096));
    // Beside the first pass, which would look at the file once more when it is closed.
    let mut shell = Command::new("xfs_io")
        .arg(pair.source.path("mapped"))
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    let mut live = pair.mirror_with(&["--interval", "1"]);
    live.wait_identical(SOON);
    let words = shell.stdin.as_mut().unwrap();
    words.write_all(b"mmap -rw 0 4096\nmwrite -S 121 0 4096\n").unwrap();
    assert!(wait_until(SOON, || pair.source.read("mapped") == b"y".repeat(4096)));
    live.wait_identical(SOON);
    live.stop();
    shell.kill().unwrap();
    shell.wait().unwrap();
}

/// A folder with much in it comes from outside and is edited at once, everywhere in it.
fn what_moves_in_is_watched_at_once_by(means: &str) {
    let pair = pair_with_files(10);
    let beside = Tree::make(pair.beside("elsewhere"));
    for i in 0..1000 {
        beside.file(format!("large/{}/{}/file-{i}", i % 10, i % 7), format!("content {i}"));
    }
    let Some(mut live) = hearing(&pair, means) else { return };
    fs::rename(beside.path("large"), pair.source.path("moved in")).unwrap();
    for i in (0..1000).step_by(91) {
        pair.source.file(format!("moved in/{}/{}/file-{i}", i % 10, i % 7), "edited at once");
    }
    live.wait_identical(SOON * 3);
    for i in (0..1000).step_by(97) {
        pair.source.file(format!("moved in/{}/{}/file-{i}", i % 10, i % 7), "edited later");
    }
    live.wait_identical(SOON);
    live.stop();
    nothing_to_do(&pair);
}

#[test]
fn what_moves_in_is_watched_at_once_by_fanotify() {
    what_moves_in_is_watched_at_once_by("fanotify");
}

#[test]
fn what_moves_in_is_watched_at_once_by_inotify() {
    what_moves_in_is_watched_at_once_by("inotify");
}

/// What left the tree is not the tree's any more, whatever becomes of it.
fn what_moved_out_is_not_mirrored_by(means: &str) {
    let pair = pair_with_files(10);
    pair.source.file("going/deep/file", "x");
    let Some(mut live) = hearing(&pair, means) else { return };
    let beside = Tree::make(pair.beside("elsewhere"));
    fs::rename(pair.source.path("going"), beside.path("gone")).unwrap();
    live.wait_identical(SOON);
    assert!(!pair.replica.has("going"));
    // What is still on its way of the folder's own times.
    std::thread::sleep(Duration::from_secs(1));
    let said = live.out();
    for i in 0..100 {
        beside.file("gone/deep/file", format!("edited outside {i}")).file(format!("gone/deep/{i}"), "x");
    }
    beside.file("gone/new", "x").remove("gone/deep");
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(live.out(), said, "nothing was done");
    // Another one under the old name is watched like any other.
    pair.source.file("going/deep/file", "another");
    live.wait_identical(SOON);
    pair.source.file("going/deep/file", "another, edited");
    live.wait_identical(SOON);
    live.stop();
}

#[test]
fn what_moved_out_is_not_mirrored_by_fanotify() {
    what_moved_out_is_not_mirrored_by("fanotify");
}

#[test]
fn what_moved_out_is_not_mirrored_by_inotify() {
    what_moved_out_is_not_mirrored_by("inotify");
}

#[test]
fn a_noisy_folder_next_door_costs_little_and_is_watched_once_it_is_moved_in() {
    if !root_or_say("fanotify") {
        return;
    }
    let mut pair = pair();
    // Of its own, for whoever renames folders elsewhere on a filesystem makes all of it heard again.
    let room = Mount::tmpfs(&pair.beside("room"), "16m");
    pair.source = Tree::make(room.at().join("source"));
    pair.source.file("folder/file", "x");
    let Some(mut live) = hearing(&pair, "fanotify") else { return };
    let next_door = Tree::make(room.at().join("next door"));
    next_door.file("database/deep/log", "x");
    let (before, said) = (live.ticks().unwrap(), live.out());
    for i in 0..20_000 {
        next_door.file(format!("database/file-{}", i % 10), format!("{i}"));
        if i % 10 == 9 {
            next_door.remove(format!("database/file-{}", i % 10));
        }
    }
    next_door.append("database/deep/log", "more");
    let ticks = live.ticks().unwrap() - before;
    eprintln!("20,000 rewrites next door took {ticks} ticks of the mirror");
    assert!(ticks <= 30, "{ticks} ticks of 10 ms");
    assert_eq!(live.out(), said);

    fs::rename(next_door.path("database/file-0"), pair.source.path("from the noise")).unwrap();
    live.wait_identical(SOON);
    fs::rename(next_door.path("database"), pair.source.path("database")).unwrap();
    pair.source.file("database/file-1", "edited at once");
    live.wait_identical(SOON);
    for round in 0..3 {
        pair.source
            .file("database/file-1", format!("round {round}"))
            .remove(format!("database/file-{}", 4 + round));
        pair.source.append("database/deep/log", "more");
        live.wait_identical(SOON);
    }
    live.stop();
    drop(room);
}

#[test]
fn a_path_too_long_for_the_kernel_is_heard_of_and_elsewhere_it_is_no_trouble() {
    let pair = pair_with_files(4);
    pair.source.deep_file("deep", 25, 250, b"below");
    let Some(mut live) = hearing(&pair, "fanotify") else { return };
    pair.source.deep_file("deep", 25, 250, b"edited below");
    live.wait_identical(SOON);
    std::thread::sleep(Duration::from_millis(500));
    let said = live.out();
    let next_door = Tree::make(pair.beside("next door"));
    next_door.deep_file("deep", 25, 250, b"below").deep_file("deep", 25, 250, b"edited below");
    std::thread::sleep(Duration::from_secs(1));
    assert_eq!(live.out(), said, "what happens elsewhere is no trouble");
    next_door.remove("deep");
    live.stop();
}

#[test]
fn the_index_tells_inotify_which_folders_to_watch_before_the_first_pass_gets_there() {
    let pair = pair();
    for i in 0..3000 {
        pair.source.file(format!("folder-{}/sub/file-{i}", i % 300), format!("content {i}"));
    }
    pair.mirrored();
    // At the top, and copied so slowly that the first pass does not get below for seconds.
    pair.source.file("large", vec![b'x'; 24 << 20]);
    let mut live =
        pair.mirror_with(&["--watcher", "inotify", "--interval", "1h", "--threads", "1", "--bwlimit", "4M"]);
    live.wait_for_output("pass-start", SOON);
    std::thread::sleep(Duration::from_millis(700));
    let edited = b"edited beside the first pass";
    pair.source.file("folder-299/sub/file-299", edited);
    let arrives = || pair.replica.read("folder-299/sub/file-299") == edited;
    assert!(wait_until(Duration::from_secs(3), arrives), "{}", live.out());
    assert!(!live.out().contains("pass-end"), "{}", live.out());
    live.wait_identical(SOON * 6);
    live.stop();
}

// ---- without the rights ----

/// From now on runs without this capability, as far as root goes.
fn drop_capability(pair: &mut Pair, name: &str) {
    pair.alike.run_after(&format!("exec setpriv --bounding-set=-{name} \"$0\" \"$@\""));
}

#[test]
fn without_a_right_it_watches_folder_by_folder_and_says_which_one_it_lacks() {
    if !root_or_say("capabilities") {
        return;
    }
    for lacks in ["sys_admin", "dac_read_search"] {
        let mut pair = pair_with_files(4);
        drop_capability(&mut pair, lacks);
        let mut live = pair.mirror_with(&["--interval", "1h"]);
        live.wait_for_output("notify: ", SOON);
        live.wait_identical(SOON);
        // Later kernels ask for less.
        if lacks == "sys_admin" || !live.out().contains("fanotify: ") {
            live.wait_for_output("inotify: 3 folders", SOON);
            live.wait_for_output(&format!("CAP_{}", lacks.to_uppercase()), SOON);
        }
        pair.source.file("even/file-000", "edited");
        live.wait_identical(SOON);
        live.stop();
    }
}

#[test]
fn another_user_watches_folder_by_folder() {
    if !root_or_say("another user") {
        return;
    }
    let mut pair = pair_with_files(4);
    pair.hand_to(NOBODY);
    let mut live = pair.mirror_with(&["--interval", "1h"]);
    live.wait_for_output("inotify: 3 folders; with CAP_DAC_READ_SEARCH and CAP_SYS_ADMIN", SOON);
    live.wait_identical(SOON);
    fs::write(pair.source.path("even/file-000"), "edited").unwrap();
    live.wait_identical(SOON);
    live.stop();
}

#[test]
fn fanotify_without_the_right_is_refused_and_the_message_says_what_to_do() {
    if !root_or_say("capabilities") {
        return;
    }
    let mut pair = pair_with_files(4);
    drop_capability(&mut pair, "sys_admin");
    let words = ["mirror", "--watcher", "fanotify", "--state-dir"].map(Into::into);
    let words = words.into_iter().chain([
        pair.alike.state_dir().into_os_string(),
        pair.source.top().into(),
        pair.replica.top().into(),
    ]);
    let run = pair.alike.run(words);
    run.expect(2).expect_short_message().expect_message_with("CAP_SYS_ADMIN");
    run.expect_message_with("--watcher");
}

#[test]
fn what_happens_elsewhere_on_its_filesystem_does_not_hold_up_a_source_that_has_settled() {
    let pair = pair_with_files(4);
    let next_door = Tree::make(pair.beside("next door"));
    let mut live = pair.mirror_with(&["--interval", "1h", "--settle", "500ms"]);
    live.wait_identical(SOON);
    live.wait_for_output("notify: ", SOON);
    let over = AtomicBool::new(false);
    let took = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                next_door.file("busy", "x");
                std::thread::sleep(Duration::from_millis(50));
            }
        });
        pair.source.file("even/file-000", "edited");
        let took = live.wait_identical(SOON);
        over.store(true, Ordering::Relaxed);
        took
    });
    assert!(took < Duration::from_secs(3), "it took {took:?}");
    live.stop();
}

#[test]
fn a_source_that_has_to_settle_is_copied_when_it_has_and_after_ten_times_that_anyway() {
    let pair = pair_with_files(4);
    let mut live = pair.mirror_with(&["--interval", "1h", "--settle", "300ms"]);
    live.wait_identical(SOON);
    live.wait_for_output("notify: ", SOON);
    let start = Instant::now();
    let mut arrived = None;
    for number in 0..50 {
        pair.source.file("even/file-000", format!("edit {number}"));
        std::thread::sleep(Duration::from_millis(100));
        let is_there = || fs::read(pair.replica.path("even/file-000")).unwrap().starts_with(b"edit");
        arrived = arrived.or_else(|| is_there().then(|| start.elapsed()));
    }
    let arrived = arrived.expect("nothing came while it was being edited");
    assert!(arrived > Duration::from_millis(2500), "after {arrived:?}");
    live.wait_identical(SOON);
    live.stop();
}
