//! `alike pass`: a full pass of jobs that run, now; and how one that halted is let go on.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::fs;

use alike_testkit::wait_until;
use common::up::{Up, same};
use common::{SOON, parse, text};

/// A job called `one` with so many files, which only a full pass looks at.
fn running(count: usize, more: &str) -> Up {
    let mut up = Up::new();
    let source = up.source("one");
    for number in 0..count {
        source.file(format!("{number}"), "content");
    }
    up.configure(&up.job("one", &format!("no_watch = true\n{more}")));
    up.start();
    up.wait_for_state("one", "identical");
    up
}

fn remove(up: &Up, numbers: std::ops::Range<usize>) {
    numbers.for_each(|number| fs::remove_file(up.path(&format!("one/{number}"))).unwrap());
}

#[test]
fn a_pass_that_is_asked_for_begins_now() {
    let up = running(3, "interval = \"1h\"");
    fs::write(up.path("one/new"), "new").unwrap();
    up.ask(&["pass"]).expect(0).expect_message_with("every job");
    up.wait_until_same("one");
    fs::write(up.path("one/newer"), "newer").unwrap();
    up.ask(&["pass", "one"]).expect(0).expect_message_with("a pass of one begins");
    up.wait_until_same("one");
    up.ask(&["pass", "two"]).expect(2).expect_message_with("there are one");
    up.ask(&["pass", "--allow-deletes"]).expect(2).expect_short_message();
}

#[test]
fn a_halted_job_goes_on_when_one_pass_may_delete_and_later_ones_are_judged_again() {
    let up = running(60, "");
    remove(&up, 0..40);
    up.ask(&["pass", "one"]).expect(0);
    let halted = up.wait_for_state("one", "halted");
    assert!(halted["why"].as_str().unwrap().contains("alike pass JOB --allow-deletes"), "{halted:#}");
    up.ask(&["pass", "one", "--allow-deletes"]).expect(0).expect_message_with("as much as it has to");
    up.wait_for_state("one", "identical");
    up.wait_until_same("one");
    remove(&up, 40..55);
    up.ask(&["pass", "one"]).expect(0);
    up.wait_for_state("one", "halted");
    assert!(up.path("one.replica/40").exists(), "what was allowed once is not allowed for ever");
}

#[test]
fn a_source_that_is_meant_to_be_empty_can_be_allowed_also_when_the_job_began_with_it() {
    let mut up = running(12, "");
    assert_eq!(up.stop(), Some(0));
    remove(&up, 0..12);
    up.start();
    up.wait_for_state("one", "halted");
    up.ask(&["pass", "one"]).expect(0);
    std::thread::sleep(std::time::Duration::from_millis(1500));
    up.wait_for_state("one", "halted");
    up.ask(&["pass", "one", "--allow-deletes"]).expect(0);
    assert!(wait_until(SOON, || !up.path("one.replica/3").exists()), "{:#}", up.replica("one"));
    up.wait_until_same("one");
}

#[test]
fn a_job_that_deletes_nothing_is_not_talked_into_it() {
    let up = running(30, "no_delete = true");
    remove(&up, 0..25);
    up.ask(&["pass", "one", "--allow-deletes"]).expect(2).expect_message_with("no_delete");
    up.ask(&["pass", "one"]).expect(0);
    assert!(
        wait_until(SOON, || up.replica("one")["held_count"].as_u64() == Some(25)),
        "{:#}",
        up.replica("one")
    );
    assert!(up.path("one.replica/3").exists());
}

#[test]
fn a_reload_finds_that_an_ignore_file_has_other_words_in_it() {
    let mut up = Up::new();
    up.source("one").file("a.tmp", "a").file("b.log", "b");
    up.source("two").file("c", "c");
    let rules = up.path("rules");
    fs::write(&rules, "*.tmp\n").unwrap();
    let config = |up: &Up| {
        let more = format!("ignore_file = [{rules:?}]\ndelete_excluded = true");
        format!("{}{}", up.job("one", &more), up.job("two", ""))
    };
    up.configure(&config(&up));
    up.start();
    up.wait_for_state("one", "identical");
    assert!(!up.path("one.replica/a.tmp").exists() && up.path("one.replica/b.log").exists());
    up.ask(&["reload"]).expect(0).expect_message_with("2 jobs unchanged");
    fs::write(&rules, "*.log\n").unwrap();
    up.ask(&["reload"]).expect(0).expect_message_with("changed one; 1 job unchanged");
    let is_so = || up.path("one.replica/a.tmp").exists() && !up.path("one.replica/b.log").exists();
    assert!(wait_until(SOON, is_so), "the new rules are in force");
    let passes = parse(&up.live().out());
    let of_two = passes.iter().filter(|line| line.text("job") == "two" && line.action == "pass-start");
    assert_eq!(of_two.count(), 1, "the other job is not disturbed");
}

#[test]
fn the_names_of_the_jobs_can_be_had_one_a_line() {
    let up = Up::new();
    up.configure(&format!("{}{}", up.job("two words", ""), up.job("one", "")));
    let config = up.config_file();
    let run = up.ask(&["config", "jobs", "-c", text(&config)]);
    run.expect(0);
    assert_eq!(run.out(), "two words\none\n");
    assert!(!same(&up.path("one"), &up.path("one.replica")), "nothing is mirrored by asking");
}

#[test]
fn what_was_allowed_to_a_job_that_cannot_begin_is_not_allowed_to_it_later() {
    let mut up = running(40, "");
    up.stop();
    let rules = up.path("rules");
    up.configure(&up.job("one", &format!("no_watch = true\nignore_file = [{rules:?}]")));
    up.start();
    up.wait_for_state("one", "halted");
    up.ask(&["pass", "one", "--allow-deletes"]).expect(2).expect_message_with("Nothing was allowed");
    remove(&up, 0..40);
    fs::write(rules, "*.tmp\n").unwrap();
    let is_judged = || up.replica("one")["why"].as_str().is_some_and(|why| why.contains("is empty"));
    assert!(wait_until(SOON, is_judged), "{:#}", up.replica("one"));
    assert!(up.path("one.replica/39").exists());
}

#[test]
fn an_ignore_file_that_is_away_for_a_moment_or_a_pipe_that_nobody_writes_holds_up_no_other_job() {
    let mut up = Up::new();
    up.source("one").file("a", "a");
    up.source("two").file("c", "c");
    let (rules, pipe) = (up.path("rules"), up.path("pipe"));
    fs::write(&rules, "*.tmp\n").unwrap();
    let config = |up: &Up, rules: &std::path::Path| {
        format!("{}{}", up.job("one", &format!("ignore_file = [{rules:?}]")), up.job("two", ""))
    };
    up.configure(&config(&up, &rules));
    up.start();
    up.wait_for_state("one", "identical");
    fs::rename(&rules, up.path("away")).unwrap();
    up.ask(&["reload"]).expect(0).expect_message_with("2 jobs unchanged");
    fs::rename(up.path("away"), &rules).unwrap();
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());
    up.configure(&config(&up, &pipe));
    up.ask(&["reload"]).expect(0).expect_message_with("changed one; 1 job unchanged");
    fs::write(up.path("two/live"), "live").unwrap();
    up.wait_until_same("two");
    // Whoever reads it is let go, so that all ends.
    fs::write(&pipe, "").unwrap();
    assert_eq!(up.stop(), Some(0));
}
