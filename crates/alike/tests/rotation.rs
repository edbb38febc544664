//! The log file turned over: nothing of it is lost, so many old ones are kept, and the mirror never waits for it.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use alike_testkit::{Mount, Pair, root_or_say, wait_until};
use common::{SOON, pair, pair_with_files, parse, text};

/// A log and all that it became, oldest first.
fn generations(log: &Path) -> Vec<PathBuf> {
    let start = format!("{}.turned-", log.file_name().unwrap().to_str().unwrap());
    let is_old = |path: &PathBuf| {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        name.starts_with(&start) && !name.ends_with(".new")
    };
    let beside = fs::read_dir(log.parent().unwrap()).unwrap();
    let mut found: Vec<PathBuf> = beside.map(|entry| entry.unwrap().path()).filter(is_old).collect();
    found.sort();
    found.extend(log.exists().then(|| log.to_owned()));
    found
}

/// What is in one of them, unpacked by another program.
fn contents(path: &Path) -> String {
    if path.extension().is_some_and(|ending| ending == "gz") {
        let unpacked = std::process::Command::new("gzip").arg("-dc").arg(path).output().unwrap();
        assert!(unpacked.status.success(), "{} is no whole gzip file", path.display());
        return String::from_utf8(unpacked.stdout).unwrap();
    }
    fs::read_to_string(path).unwrap()
}

fn all_contents(log: &Path) -> String {
    generations(log).iter().map(|path| contents(path)).collect()
}

/// Paths of the files that the log says were created.
fn created(log: &Path) -> Vec<String> {
    let logged = parse(&all_contents(log));
    logged.into_iter().filter(|event| event.action == "create").map(|event| event.path).collect()
}

fn many_files(pair: &Pair, round: usize, count: usize) {
    for i in 0..count {
        pair.source.arrives(format!("round-{round}/file-{i:04}"), "x");
    }
}

#[test]
fn a_log_that_is_turned_over_many_times_while_a_mirror_runs_has_every_line_once() {
    let pair = pair_with_files(3);
    let log = pair.beside("logs/alike.log");
    let flags = ["--log-file", text(&log), "--log-format", "json", "--log-size", "30K", "--log-keep", "100"];
    let mut live = pair.mirror_with(&flags);
    live.wait_identical(SOON);
    for round in 0..8 {
        many_files(&pair, round, 250);
        live.wait_identical(SOON);
    }
    let turned = wait_until(SOON, || generations(&log).len() > 4);
    live.stop();
    assert!(turned, "{:?}", generations(&log));
    let names = created(&log);
    let once: BTreeSet<&String> = names.iter().collect();
    assert_eq!((names.len(), once.len()), (2003, 2003));
    let all = generations(&log);
    let packed = all.iter().filter(|path| path.extension().is_some_and(|ending| ending == "gz")).count();
    assert!(packed >= all.len() - 3, "all but the last two are compressed: {all:?}");
    let left: Vec<_> = fs::read_dir(log.parent().unwrap()).unwrap().map(|e| e.unwrap().path()).collect();
    assert_eq!(left.len(), all.len(), "nothing else is left: {left:?}");
    use std::os::unix::fs::PermissionsExt;
    assert!(
        all.iter().all(|path| fs::metadata(path).unwrap().permissions().mode() & 0o7137 == 0),
        "closed to others"
    );
}

#[test]
fn so_many_old_logs_are_kept_and_the_oldest_go() {
    let pair = pair_with_files(3);
    let log = pair.beside("alike.log");
    fs::write(pair.beside("alike.log.old"), "not alike's").unwrap();
    for round in 0..6 {
        many_files(&pair, round, 60);
        let flags = ["--log-file", text(&log), "--log-size", "2K", "--log-keep", "3"];
        let mut live = pair.mirror_with(&flags);
        live.wait_identical(SOON);
        let small = || fs::metadata(&log).is_ok_and(|there| there.len() < 2048);
        assert!(wait_until(SOON, small), "{:?}", generations(&log));
        live.stop();
    }
    let all = generations(&log);
    assert_eq!(all.len(), 4, "{all:?}");
    assert!(pair.beside("alike.log.old").exists());
    assert!(contents(&all[2]).contains("round-5"), "the last is the last");
}

#[test]
fn a_log_that_is_old_enough_is_turned_over_however_small() {
    let pair = pair_with_files(3);
    let log = pair.beside("alike.log");
    let mut live = pair.mirror_with(&["--log-file", text(&log), "--log-age", "2s"]);
    live.wait_identical(SOON);
    assert!(wait_until(SOON, || generations(&log).len() > 1), "{:?}", generations(&log));
    live.stop();
    assert!(all_contents(&log).contains("even/file-000"));
}

#[test]
fn with_rotation_off_a_log_grows() {
    let pair = pair_with_files(400);
    let log = pair.beside("alike.log");
    pair.mirrored_with(&["--log-file", text(&log), "--log-size", "off"]);
    let mut live = pair.mirror_with(&["--log-file", text(&log), "--log-size", "off"]);
    live.wait_identical(SOON);
    live.stop();
    assert_eq!(generations(&log), [log]);
}

#[test]
fn a_log_that_another_tool_renames_goes_on_there_until_sighup_and_then_anew() {
    let pair = pair_with_files(3);
    let (log, moved) = (pair.beside("alike.log"), pair.beside("alike.log-20261122"));
    let mut live = pair.mirror_with(&["--log-file", text(&log)]);
    live.wait_identical(SOON);
    fs::rename(&log, &moved).unwrap();
    pair.source.file("before", "x");
    live.wait_identical(SOON);
    assert!(wait_until(SOON, || contents(&moved).contains("before")), "{}", contents(&moved));
    assert!(!log.exists(), "who renames it says when there is another");
    live.hang_up();
    assert!(wait_until(SOON, || log.exists()));
    pair.source.file("after", "x");
    live.wait_identical(SOON);
    live.stop();
    assert!(contents(&log).contains("after") && !contents(&moved).contains("after"));
}

#[test]
fn of_two_mirrors_with_one_log_neither_loses_a_line_when_it_is_turned_over() {
    let (one, other) = (pair(), pair());
    let log = one.beside("alike.log");
    let flags = ["--log-file", text(&log), "--log-format", "json", "--log-size", "20K", "--log-keep", "100"];
    let (mut first, mut second) = (one.mirror_with(&flags), other.mirror_with(&flags));
    for round in 0..6 {
        many_files(&one, round, 150);
        many_files(&other, round + 10, 150);
        first.wait_identical(SOON);
        second.wait_identical(SOON);
    }
    first.stop();
    second.stop();
    assert!(generations(&log).len() > 3, "{:?}", generations(&log));
    let names = created(&log);
    let once: BTreeSet<&String> = names.iter().collect();
    assert_eq!((names.len(), once.len()), (1800, 1800));
}

#[test]
fn a_log_inside_the_source_is_never_mirrored_whatever_it_is_turned_into() {
    let pair = pair_with_files(3);
    let log = pair.source.path("logs/a [b].log");
    let flags = ["--log-file", text(&log), "--log-size", "2K", "--log-keep", "3"];
    let mut live = pair.mirror_with(&flags);
    for round in 0..4 {
        many_files(&pair, round, 60);
        assert!(wait_until(SOON, || pair.replica.has(format!("round-{round}/file-0059"))));
    }
    assert!(wait_until(SOON, || generations(&log).len() > 2), "{:?}", generations(&log));
    pair.source.file("logs/other.log.1", "not the log");
    assert!(wait_until(SOON, || pair.replica.has("logs/other.log.1")));
    live.stop();
    let mirrored: Vec<String> = fs::read_dir(pair.replica.path("logs"))
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    assert_eq!(mirrored, ["other.log.1"]);
    std::thread::sleep(Duration::from_millis(10));
}

#[test]
fn where_a_log_cannot_be_turned_over_that_is_said_once_and_the_mirror_goes_on() {
    let pair = pair_with_files(3);
    let log = pair.beside("alike.log");
    fs::create_dir(pair.beside("alike.log.turned-99999999.gz")).unwrap();
    let mut live = pair.mirror_with(&["--log-file", text(&log), "--log-size", "2K"]);
    for round in 0..4 {
        many_files(&pair, round, 60);
        live.wait_identical(SOON);
    }
    live.stop();
    assert_eq!(live.err().matches("in the way").count(), 1, "{}", live.err());
    assert!(contents(&log).contains("round-3/file-0059"), "nothing is lost");
}

#[test]
fn an_old_log_that_somebody_still_writes_to_is_not_compressed_and_not_lost() {
    let pair = pair_with_files(3);
    let log = pair.beside("alike.log");
    let mut live = pair.mirror_with(&["--log-file", text(&log), "--log-size", "2K"]);
    live.wait_identical(SOON);
    let other = fs::File::options().append(true).open(&log).unwrap();
    other.lock_shared().unwrap();
    for round in 0..4 {
        many_files(&pair, round, 60);
        live.wait_identical(SOON);
        assert!(wait_until(SOON, || generations(&log).len() > round + 1), "{:?}", generations(&log));
    }
    let write = |line: &[u8]| std::io::Write::write_all(&mut &other, line).unwrap();
    write(b"late\n");
    drop(other);
    many_files(&pair, 4, 60);
    live.wait_identical(SOON);
    assert!(wait_until(SOON, || generations(&log).iter().filter(|path| path.ends_with("gz")).count() < 3));
    live.stop();
    assert!(all_contents(&log).contains("late\n"), "{:?}", generations(&log));
}

#[test]
fn on_a_full_disk_lines_are_lost_and_nothing_else() {
    if !root_or_say("a small filesystem") {
        return;
    }
    let pair = pair_with_files(3);
    let disk = Mount::tmpfs(&pair.beside("disk"), "256K");
    let log = disk.at().join("alike.log");
    let mut live = pair.mirror_with(&["--log-file", text(&log), "--log-size", "20K", "--log-keep", "2"]);
    live.wait_identical(SOON);
    let filler = disk.at().join("filler");
    let _ = fs::write(&filler, vec![1; 1 << 20]);
    for round in 0..4 {
        many_files(&pair, round, 300);
        live.wait_identical(SOON);
    }
    assert_eq!(live.err().matches("cannot be written").count(), 1, "{}", live.err());
    fs::remove_file(&filler).unwrap();
    many_files(&pair, 5, 3);
    live.wait_identical(SOON);
    assert!(wait_until(SOON, || all_contents(&log).contains("round-5/file-0002")));
    live.stop();
}

#[test]
fn a_line_that_broke_off_on_a_full_disk_is_never_glued_to_another() {
    let pair = pair_with_files(3);
    let log = pair.beside("alike.log");
    fs::write(&log, "a whole line\nhalf a li").unwrap();
    pair.mirrored_with(&["--log-file", text(&log)]);
    let written = contents(&log);
    assert!(written.starts_with("a whole line\nhalf a li\n20"), "{written}");
    pair.mirrored_with(&["--log-file", text(&log)]);
    assert!(!contents(&log).contains("\n\n"), "{}", contents(&log));
}

/// Runs until the log has been turned over so often.
fn turn_over(pair: &Pair, log: &Path, flags: &[&str], times: usize) {
    for round in 0..times {
        many_files(pair, round, 60);
        let all = [&["--log-file", text(log), "--log-size", "2K"], flags].concat();
        // The number alone may be given again, once the old log is packed.
        let which = |there: &fs::Metadata| (there.ino(), there.created().ok());
        let before = fs::metadata(log).ok().map(|there| which(&there));
        let mut live = pair.mirror_with(&all);
        let turned =
            || fs::metadata(log).is_ok_and(|there| there.len() < 2048 && Some(which(&there)) != before);
        assert!(wait_until(SOON, || pair.replica.has(format!("round-{round}/file-0059"))));
        assert!(wait_until(SOON, turned), "{:?}", generations(log));
        live.stop();
    }
}

#[test]
fn no_file_of_anybody_else_is_touched_whatever_its_name() {
    let pair = pair_with_files(3);
    let log = pair.source.path("x/sync");
    fs::create_dir(pair.source.path("x")).unwrap();
    let real_gzip = || {
        let made = std::process::Command::new("sh").args(["-c", "echo theirs | gzip -c"]).output();
        made.unwrap().stdout
    };
    let names = [
        "sync.1",
        "sync.2",
        "sync.2024",
        "sync.10.gz",
        "sync.turned-00000001",
        "sync.turned-00000001.gz",
        "sync.turned-00000003.gz",
        "sync.turned-00000006.gz.new",
        "sync.turned-00000002-0000000000000001",
        "sync.turned-00000004-0000000000000001",
    ];
    for name in names {
        fs::write(pair.source.path(format!("x/{name}")), real_gzip()).unwrap();
    }
    turn_over(&pair, &log, &["--log-keep", "2"], 6);
    for name in names {
        let now = fs::read(pair.source.path(format!("x/{name}"))).ok();
        assert_eq!(now, Some(real_gzip()), "{name}: {:?}", generations(&log));
    }
    assert!(pair.replica.has("x/sync.1") && pair.replica.has("x/sync.2024"));
    turn_over(&pair, &log, &["--log-keep", "0"], 1);
    for name in names {
        assert!(pair.source.has(format!("x/{name}")), "{name}");
    }
}

#[test]
fn only_what_a_log_can_become_is_left_out() {
    let pair = pair_with_files(1);
    for name in ["book.1", "book.2.gz", "book.turned", "book.turned-00000001.gz"] {
        pair.source.file(name, "x");
    }
    let log = pair.source.path("book");
    pair.once_with(&["--log-file", text(&log)]).expect(0);
    assert!(["book.1", "book.2.gz", "book.turned"].iter().all(|name| pair.replica.has(name)));
    assert!(!pair.replica.has("book") && !pair.replica.has("book.turned-00000001.gz"));
    pair.once_with(&["--log-file", text(&log), "--log-size", "off"]).expect(0);
    assert!(pair.replica.has("book.turned-00000001.gz") && !pair.replica.has("book"));
}

#[test]
fn a_log_behind_a_symlink_is_turned_over_where_it_is() {
    let pair = pair_with_files(1);
    let (link, log) = (pair.beside("link.log"), pair.beside("elsewhere/alike.log"));
    fs::create_dir(pair.beside("elsewhere")).unwrap();
    fs::write(&log, "").unwrap();
    std::os::unix::fs::symlink(&log, &link).unwrap();
    turn_over(&pair, &link, &[], 2);
    assert!(link.is_symlink());
    assert!(generations(&log).len() > 2, "{:?}", generations(&log));
}

#[test]
fn what_standard_output_goes_to_is_never_turned_over() {
    let mut pair = pair_with_files(1);
    let out = pair.beside("out.log");
    pair.alike.run_after(&format!("exec >>'{}'", text(&out)));
    for log in [text(&out), "/dev/stdout"] {
        let mut live = pair.mirror_with(&["--log-file", log, "--log-size", "2K"]);
        many_files(&pair, log.len(), 100);
        live.wait_identical(SOON);
        std::thread::sleep(Duration::from_millis(200));
        live.stop();
    }
    assert_eq!(generations(&out), [out]);
}

#[test]
fn a_size_without_a_unit_is_asked_about() {
    let pair = pair_with_files(1);
    for flag in [["--log-size", "10"], ["--log-age", "0"], ["--log-keep", "1000"]] {
        pair.once_with(&flag).expect(2).expect_short_message();
    }
}

#[test]
fn lines_for_the_journal_have_a_priority_and_no_time_of_ours() {
    let mut pair = pair_with_files(3);
    pair.source.mode("odd", 0o700);
    let of = |stream: u8| {
        format!("JOURNAL_STREAM=$(stat -L -c %d:%i /proc/$$/fd/{stream}); export JOURNAL_STREAM")
    };
    pair.alike.run_after(&of(1));
    let run = pair.once();
    assert!(
        run.out().lines().any(|line| line.starts_with("<6>create  even/file-000  new")),
        "{}",
        run.report()
    );
    assert!(
        run.out().lines().all(|line| line.starts_with("<6>") && !line.contains(" 20")),
        "{}",
        run.report()
    );
    pair.alike.run_after(&of(2));
    let run = pair.alike.run(["once", "/does/not/exist", text(pair.replica.top())]);
    assert!(run.err().starts_with("<3>alike: "), "{}", run.report());
    pair.source.file("more", "x");
    let run = pair.once();
    assert!(run.out().starts_with("20"), "standard output is not the journal: {}", run.report());
    pair.alike.run_after("JOURNAL_STREAM=1:1; export JOURNAL_STREAM");
    let run = pair.alike.run(["once", "/does/not/exist", text(pair.replica.top())]);
    assert!(run.err().starts_with("alike: "), "{}", run.report());
}
