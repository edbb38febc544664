//! The words a person types: mistakes are named in a line or two, older scripts go on working.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::fs;
use std::path::Path;

use alike_testkit::{Pair, Run, wait_until};
use common::{SOON, pair_with_files, text};

/// These words end with exit 2 and a short message, and nothing is made.
#[track_caller]
fn mistaken(pair: &Pair, words: &[&str]) -> Run {
    let source = pair.source_now();
    let run = pair.alike.run(words);
    run.expect(2).expect_short_message();
    assert!(run.stdout.is_empty(), "a mistake is no result: {}", run.report());
    assert!(!pair.replica.has(""), "nothing is made: {}", run.report());
    assert_eq!(source.changes(&pair.source_now()), [""; 0]);
    run
}

#[test]
fn no_arguments_say_what_to_type() {
    let pair = pair_with_files(1);
    let run = pair.alike.run([""; 0]);
    run.expect(2).expect_short_message().expect_message_with("alike");
    for verb in ["once", "mirror", "plan"] {
        mistaken(&pair, &[verb]);
        mistaken(&pair, &[verb, text(pair.source.top())]);
    }
}

#[test]
fn unknown_words_and_flags_are_named() {
    let pair = pair_with_files(1);
    let (source, replica) = (text(pair.source.top()), text(pair.replica.top()));
    mistaken(&pair, &["frobnicate", source, replica]);
    mistaken(&pair, &["once", "--frobnicate", source, replica]);
    mistaken(&pair, &["mirror", "--frobnicate", source, replica]);
    mistaken(&pair, &["once", source, replica, "one too many", "two too many", "three too many"]);
    let run = pair.alike.run(["once", "--frobnicate", source, replica]);
    run.expect_message_with("frobnicate");
}

#[test]
fn values_out_of_range_are_refused() {
    let pair = pair_with_files(1);
    let (source, replica) = (text(pair.source.top()), text(pair.replica.top()));
    for (flag, value) in [
        ("--compare", "magic"),
        ("--hash", "md4"),
        ("--max-delete", "many"),
        ("--max-delete", "-5"),
        ("--max-delete", "%"),
        ("--log-format", "xml"),
        ("--threads", "abc"),
    ] {
        mistaken(&pair, &["once", flag, value, source, replica]);
    }
}

#[test]
fn an_interval_must_be_a_time() {
    let pair = pair_with_files(1);
    let (source, replica) = (text(pair.source.top()), text(pair.replica.top()));
    let log = pair.beside("file.log");
    let logs = pair.beside("logs");
    for bad in ["0", "abc", "", "-1", "0s", "1x", "999999999999999999999", "NaN"] {
        let flag = format!("--interval={bad}");
        mistaken(&pair, &["mirror", &flag, source, replica]);
    }
    for bad in ["0", "abc", "0s"] {
        mistaken(&pair, &["mirror", source, replica, text(&log), bad]);
        mistaken(&pair, &["mirror", source, replica, bad, text(&logs)]);
    }
    assert!(!log.exists() && !logs.exists());
}

#[test]
fn intervals_may_have_a_unit() {
    for good in ["30s", "10m", "1h", "1h 30m", "45"] {
        let pair = pair_with_files(1);
        let mut live = pair.mirror_with(&["--interval", good]);
        live.wait_identical(SOON);
        live.stop();
    }
}

#[test]
fn a_place_on_another_machine_is_refused_and_no_folder_of_that_name_is_made() {
    let pair = pair_with_files(1);
    let source = text(pair.source.top());
    for there in ["nas:", "ada@nas:backup", "smb://nas/share"] {
        for words in [["once", source, there], ["mirror", source, there], ["once", there, source]] {
            let run = mistaken(&pair, &words);
            run.expect_message_with("another machine");
        }
        let also = mistaken(&pair, &["once", source, text(pair.replica.top()), "--also", there]);
        also.expect_message_with("another machine");
    }
    pair.alike.run(["once", source, "./nas:"]).expect(0);
    pair.alike.run(["once", source, "nas:"]).expect(0);
}

#[test]
fn empty_paths_are_refused() {
    let pair = pair_with_files(1);
    mistaken(&pair, &["once", text(pair.source.top()), ""]);
    pair.alike.run(["once", "", text(pair.replica.top())]).expect_one_of(&[2, 3]).expect_short_message();
    assert!(!pair.replica.has(""));
}

#[test]
fn help_and_version_are_results() {
    let pair = pair_with_files(1);
    for words in
        [&["--help"][..], &["-h"], &["--version"], &["once", "--help"], &["mirror", "--help"], &["help"]]
    {
        let run = pair.alike.run(words);
        run.expect(0);
        assert!(!run.stdout.is_empty() && run.stderr.is_empty(), "{}", run.report());
    }
    let help = pair.alike.run(["once", "--help"]).out();
    for flag in
        ["--compare", "--hash", "--exclude", "--max-delete", "--allow-deletes", "--no-delete", "--dry-run"]
    {
        assert!(help.contains(flag), "{flag} in\n{help}");
    }
}

/// The log names this file within a moment.
#[track_caller]
fn logged(log: &Path, name: &str) {
    let came = wait_until(SOON, || fs::read_to_string(log).is_ok_and(|log| log.contains(name)));
    assert!(came, "{name} in {}: {:?}", log.display(), fs::read_to_string(log));
}

#[test]
fn the_older_order_source_replica_logfile_interval_works() {
    let pair = pair_with_files(3);
    let log = pair.beside("not/yet/mirror.log");
    let mut live = pair.alike.mirror_then(pair.source.top(), pair.replica.top(), &[text(&log), "1"]);
    live.wait_identical(SOON);
    logged(&log, "even/file-000");
    pair.source.file("later", "x");
    live.wait_identical(SOON);
    logged(&log, "later");
    pair.source.remove("later");
    live.wait_identical(SOON);
    live.stop();
    let log = fs::read_to_string(&log).unwrap();
    assert!(log.lines().any(|line| line.contains(" delete ") && line.contains("later")), "{log}");
}

#[test]
fn the_older_order_source_replica_interval_logdir_works() {
    let pair = pair_with_files(3);
    let logs = pair.beside("not/yet/logs");
    let mut live = pair.alike.mirror_then(pair.source.top(), pair.replica.top(), &["1", text(&logs)]);
    live.wait_identical(SOON);
    let log = logs.join("logfile.log");
    logged(&log, "even/file-000");
    pair.source.file("later", "x");
    live.wait_identical(SOON);
    logged(&log, "later");
    live.stop();
}

#[test]
fn the_older_orders_take_a_time_with_a_unit_and_their_interval_counts() {
    let pair = pair_with_files(3);
    let logs = pair.beside("logs");
    let mut live = pair.alike.mirror_then(pair.source.top(), pair.replica.top(), &["1s", text(&logs)]);
    live.wait_identical(SOON);
    // The watcher looks at the source alone, so only the interval finds this.
    pair.replica.file("stranger", "x");
    live.wait_identical(SOON);
    live.stop();
}

#[test]
fn state_goes_where_the_environment_says_when_no_flag_does() {
    let pair = pair_with_files(3);
    pair.alike.run(["once", text(pair.source.top()), text(pair.replica.top())]).expect(0);
    pair.assert_identical("");
    assert!(pair.alike.xdg_state().join("alike").is_dir(), "under XDG_STATE_HOME/alike");
    assert!(!pair.alike.state_dir().exists());
}

#[test]
fn results_are_on_stdout_and_messages_on_stderr() {
    let pair = pair_with_files(3);
    let run = pair.mirrored_with(&["--json"]);
    common::events(&run);
    assert!(!run.err().contains("{\""), "{}", run.report());
}
