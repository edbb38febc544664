//! `alike up`, `status`, `reload` and `down`: many jobs in one process, each for itself.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use alike_testkit::wait_until;
use common::up::{Up, same};
use common::{SOON, parse, text};
use serde_json::Value;

fn two_jobs() -> Up {
    let up = Up::new();
    up.source("one").file("a", "one").file("deep/er", "two");
    up.source("two").file("b", "three");
    up.configure(&format!("{}{}", up.job("one", ""), up.job("two", "")));
    up
}

#[test]
fn every_job_is_mirrored_and_status_says_that_all_is_well() {
    let mut up = two_jobs();
    up.start();
    for job in ["one", "two"] {
        let replica = up.wait_for_state(job, "identical");
        up.wait_until_same(job);
        assert!(replica["identical_at"].is_string() && replica["last_pass"]["pass"] == 1, "{replica:#}");
    }
    let status = up.ask(&["status"]);
    status.expect(0);
    assert!(status.out().starts_with("all is well"), "{}", status.report());
    fs::write(up.path("two/live"), "live").unwrap();
    up.wait_until_same("two");
    assert_eq!(up.stop(), Some(0));
    let lines = parse(&up.live().out());
    let live = lines.iter().find(|line| line.path == "live" && line.action == "create");
    assert_eq!(live.map(|line| line.text("job")), Some("two"), "each line says of which job it is");
    up.ask(&["status"]).expect(1).expect_message_with("alike up");
}

#[test]
fn one_job_whose_source_is_missing_halts_and_goes_on_by_itself_while_the_other_does_not_notice() {
    let mut up = two_jobs();
    fs::rename(up.path("one"), up.path("away")).unwrap();
    up.start();
    let halted = up.wait_for_state("one", "halted");
    assert!(halted["why"].as_str().unwrap().contains("does not exist"), "{halted:#}");
    up.wait_for_state("two", "identical");
    up.ask(&["status"]).expect(3);
    up.ask(&["status", "two"]).expect(0);
    fs::rename(up.path("away"), up.path("one")).unwrap();
    up.wait_for_state("one", "identical");
    up.wait_until_same("one");
    up.ask(&["status"]).expect(0);
}

#[test]
fn a_job_that_cannot_begin_is_tried_again_and_the_other_runs() {
    let mut up = two_jobs();
    let rules = up.path("rules");
    let more = format!("ignore_file = [{rules:?}]");
    up.configure(&format!("{}{}", up.job("one", &more), up.job("two", "")));
    up.start();
    let halted = up.wait_for_state("one", "halted");
    assert!(halted["why"].as_str().unwrap().contains("rules"), "{halted:#}");
    up.wait_for_state("two", "identical");
    fs::write(rules, "*.tmp\n").unwrap();
    assert!(wait_until(Duration::from_secs(30), || same(&up.path("one"), &up.path("one.replica"))));
}

#[test]
fn a_job_whose_log_cannot_be_written_yet_halts_says_why_and_is_tried_again() {
    let mut up = two_jobs();
    let folder = up.path("logs");
    fs::write(&folder, "in the way").unwrap();
    let more = format!("log_file = {:?}", folder.join("one.log"));
    up.configure(&format!("{}{}", up.job("one", &more), up.job("two", "")));
    up.start();
    let halted = up.wait_for_state("one", "halted");
    assert!(halted["why"].as_str().unwrap().contains("one.log"), "{halted:#}");
    up.wait_for_state("two", "identical");
    fs::remove_file(&folder).unwrap();
    assert!(wait_until(Duration::from_secs(30), || same(&up.path("one"), &up.path("one.replica"))));
    assert!(fs::read_to_string(folder.join("one.log")).unwrap().contains("pass-start"));
}

#[test]
fn log_and_why_know_the_jobs() {
    let mut up = two_jobs();
    up.source("one").file("left.tmp", "out");
    up.configure(&format!("{}{}", up.job("one", "exclude = [\"*.tmp\"]"), up.job("two", "")));
    up.start();
    up.wait_for_state("one", "identical");
    let config = up.config_file();
    let log = up.ask(&["log", "--job", "one", "-c", text(&config)]);
    log.expect(0);
    assert!(log.out().contains("deep/er") && !log.out().contains("  b  "), "{}", log.report());
    up.ask(&["log", "--job", "three", "-c", text(&config)])
        .expect(2)
        .expect_message_with("there are one, two");
    let why = up.ask(&["why", text(&up.path("one/left.tmp"))]);
    why.expect(1);
    assert!(why.out().contains("*.tmp"), "{}", why.report());
    up.ask(&["why", text(&up.path("one/a"))]).expect(0);
}

#[test]
fn reload_starts_stops_and_changes_only_what_changed() {
    let mut up = two_jobs();
    up.start();
    up.wait_for_state("one", "identical");
    up.wait_for_state("two", "identical");
    up.source("three").file("c", "new");
    up.source("one").file("left.tmp", "out");
    up.wait_until_same("one");
    up.configure(&format!(
        "{}{}",
        up.job("one", "exclude = [\"*.tmp\"]\ndelete_excluded = true"),
        up.job("three", "")
    ));
    let told = up.ask(&["reload"]);
    told.expect(0).expect_message_with("started three; changed one; stopped two");
    up.wait_for_state("three", "identical");
    assert!(wait_until(SOON, || !up.path("one.replica/left.tmp").exists()), "the new filter is in force");
    fs::write(up.path("two/late"), "late").unwrap();
    std::thread::sleep(Duration::from_millis(300));
    assert!(!up.path("two.replica/late").exists(), "a job that is gone does nothing");
    up.ask(&["reload"]).expect(0).expect_message_with("2 jobs unchanged");
    // SIGHUP does the same.
    up.configure(&format!("{}{}", up.job("two", ""), up.job("three", "")));
    up.live().hang_up();
    up.wait_until_same("two");
    let passes = parse(&up.live().out());
    let of_three = passes.iter().filter(|line| line.text("job") == "three" && line.action == "pass-start");
    assert_eq!(of_three.count(), 1, "a job that did not change is not disturbed");
}

#[test]
fn a_broken_config_changes_nothing_and_says_why_until_it_is_mended() {
    let mut up = two_jobs();
    up.start();
    up.wait_for_state("one", "identical");
    up.configure(&format!("{}intervall = \"5m\"\n", up.job("one", "")));
    let told = up.ask(&["reload"]);
    told.expect(2).expect_message_with("intervall");
    assert!(told.err().contains("alike.toml:6:1"), "{}", told.report());
    let status = up.ask(&["status"]);
    status.expect(1);
    assert!(status.out().contains("intervall"), "{}", status.report());
    fs::write(up.path("two/still"), "works").unwrap();
    up.wait_until_same("two");
    up.configure(&format!("{}{}", up.job("one", ""), up.job("two", "")));
    up.ask(&["reload"]).expect(0);
    assert!(wait_until(SOON, || up.ask(&["status"]).code == Some(0)));
}

#[test]
fn down_ends_it_and_returns_when_all_is_done() {
    let mut up = two_jobs();
    up.start();
    up.wait_for_state("two", "identical");
    up.ask(&["down"]).expect(0).expect_message_with("stopped");
    let config = up.config_file();
    up.start_with(&["up", "-c", text(&config)]);
    up.wait_for_state("two", "identical");
    up.ask(&["down"]).expect(0).expect_message_with("stopped");
    assert_eq!(up.live().wait_exit(Duration::from_secs(2)), Some(0));
    up.ask(&["down"]).expect(1);
    up.ask(&["reload"]).expect(1);
}

#[test]
fn one_config_file_is_run_once_and_after_a_kill_it_can_be_run_again() {
    let mut up = two_jobs();
    up.start();
    up.wait_for_state("one", "identical");
    let config = up.config_file();
    up.ask(&["up", "-c", text(&config)]).expect(3).expect_message_with("already");
    up.live().kill();
    fs::write(up.path("one/after"), "kill").unwrap();
    up.start();
    up.wait_for_state("one", "identical");
    up.wait_until_same("one");
}

#[test]
fn only_the_owner_may_open_the_control_socket() {
    let mut up = two_jobs();
    up.start();
    up.wait_for_state("one", "identical");
    let folder = up.alike.runtime_dir().join("alike");
    let mode = |path: &std::path::Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&folder), 0o700);
    let sockets = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path());
    let sockets: Vec<_> = sockets.filter(|path| path.extension().is_some_and(|end| end == "sock")).collect();
    assert_eq!(sockets.iter().map(|path| mode(path)).collect::<Vec<_>>(), [0o600]);
    assert_eq!(up.stop(), Some(0));
    assert!(!sockets[0].exists(), "it is taken away at the end");
}

#[test]
fn paths_that_are_held_back_are_named_with_their_reason_and_are_gone_when_they_are_mended() {
    let mut up = two_jobs();
    up.configure(&up.job("one", "no_delete = true"));
    up.source("one.replica").file("stays", "of its own");
    up.start();
    let differs = up.wait_for_state("one", "differs");
    let held = differs["held"].as_array().unwrap();
    assert_eq!(held.len(), 1, "{differs:#}");
    assert_eq!(held[0]["path"], "stays");
    assert!(!held[0]["reason"].as_str().unwrap().is_empty(), "{differs:#}");
    let status = up.ask(&["status"]);
    status.expect(1);
    assert!(status.out().contains("stays"), "{}", status.report());
    fs::remove_file(up.path("one.replica/stays")).unwrap();
    up.live().ask_for_a_pass();
    up.wait_for_state("one", "identical");
    up.ask(&["status"]).expect(0);
}

/// A filesystem that stands still: whoever changes something on it waits until the value ends.
struct Frozen(std::path::PathBuf);

impl Frozen {
    fn freeze(mount: &std::path::Path) -> Self {
        let frozen = std::process::Command::new("fsfreeze").arg("-f").arg(mount).status().unwrap();
        assert!(frozen.success());
        Self(mount.to_owned())
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        let _ = std::process::Command::new("fsfreeze").arg("-u").arg(&self.0).status();
    }
}

#[test]
fn a_replica_that_hangs_holds_up_neither_status_nor_the_other_job_nor_a_reload() {
    if !alike_testkit::root_or_say("a disk that hangs") {
        return;
    }
    let mut up = two_jobs();
    let disk = up.path("one.replica");
    fs::create_dir(&disk).unwrap();
    let mount = alike_testkit::Mount::loop_filesystem(&disk, "ext4", 32);
    up.start();
    up.wait_for_state("one", "identical");
    up.wait_for_state("two", "identical");
    let frozen = Frozen::freeze(&disk);
    fs::write(up.path("one/waits"), "x").unwrap();
    fs::write(up.path("two/arrives"), "x").unwrap();
    up.wait_until_same("two");
    let start = Instant::now();
    assert!(up.status().is_some());
    assert!(start.elapsed() < Duration::from_secs(5), "status took {:?}", start.elapsed());
    up.source("three").file("c", "new");
    up.configure(&format!(
        "{}{}{}",
        up.job("one", "exclude = [\"*.tmp\"]"),
        up.job("two", ""),
        up.job("three", "")
    ));
    up.ask(&["reload"]).expect(0).expect_message_with("told to end, and not ended yet: one");
    up.wait_for_state("three", "identical");
    drop(frozen);
    // The job that hung ends, and lets go of its replica for the one that takes its place.
    assert!(wait_until(Duration::from_secs(30), || same(&up.path("one"), &up.path("one.replica"))));
    assert_eq!(up.stop(), Some(0));
    drop(mount);
}

#[test]
fn a_job_that_cannot_get_a_thread_is_shown_and_started_later() {
    if !alike_testkit::root_or_say("a limit of processes for somebody else") {
        return;
    }
    let mut up = two_jobs();
    up.alike.run_after("ulimit -n 40");
    let names: Vec<String> = (0..12).map(|number| format!("job{number}")).collect();
    for name in &names {
        up.source(name).file("x", "y");
    }
    up.configure(&names.iter().map(|name| up.job(name, "")).collect::<String>());
    up.start();
    let all_shown = || up.status().is_some_and(|status| status["jobs"].as_array().map(Vec::len) == Some(12));
    assert!(wait_until(SOON, all_shown), "{:#}", up.status().unwrap_or_default());
    up.ask(&["status"]).expect_one_of(&[1, 3]);
}

#[test]
fn another_config_does_not_take_the_place_of_one_that_is_gone_for_a_moment() {
    let mut up = two_jobs();
    let home = up.alike.config_home().join("alike");
    fs::create_dir_all(&home).unwrap();
    fs::rename(up.config_file(), home.join("alike.toml")).unwrap();
    up.start_with(&["up"]);
    up.wait_for_state("one", "identical");
    fs::rename(home.join("alike.toml"), home.join("away")).unwrap();
    up.ask(&["reload"]).expect(2);
    up.wait_for_state("two", "identical");
    fs::rename(home.join("away"), home.join("alike.toml")).unwrap();
    up.ask(&["reload"]).expect(0).expect_message_with("2 jobs unchanged");
}

/// Makes a change that has nothing to do with what is held back, and waits until it was told of.
fn change_something_else(up: &Up, name: &str) -> Value {
    fs::write(up.path(&format!("one/{name}")), "x").unwrap();
    assert!(wait_until(SOON, || up.path(&format!("one.replica/{name}")).exists()));
    // The state is told after the change was made.
    std::thread::sleep(Duration::from_millis(500));
    up.replica("one")
}

#[test]
fn what_a_full_pass_held_back_is_not_forgotten_when_something_else_changes() {
    let mut up = two_jobs();
    up.configure(&up.job("one", "no_delete = true"));
    up.source("one.replica").file("stays", "of its own").file("stays-too", "of its own");
    up.start();
    up.wait_for_state("one", "differs");
    for (name, held) in [("x", 2), ("y", 2)] {
        let replica = change_something_else(&up, name);
        assert_eq!(
            (&replica["state"], &replica["held_count"]),
            (&"differs".into(), &held.into()),
            "{replica:#}"
        );
    }
    fs::write(up.path("one/stays"), "the source has it now").unwrap();
    let replica = change_something_else(&up, "z");
    assert_eq!((&replica["state"], &replica["held_count"]), (&"differs".into(), &1.into()), "{replica:#}");
    fs::write(up.path("one/stays-too"), "the source has it now").unwrap();
    up.wait_for_state("one", "identical");
    up.wait_until_same("one");
    assert_eq!(up.replica("one")["last_pass"]["pass"], 1, "a look at the path itself is enough");
}

#[test]
fn what_a_live_pass_held_back_is_not_forgotten_when_something_else_changes() {
    let mut up = two_jobs();
    up.configure(&up.job("one", "gitignore = true"));
    up.source("one").file("dist/a", "built").file(".gitignore", "\n");
    up.start();
    up.wait_for_state("one", "identical");
    let rule = |text: &str| {
        fs::write(up.path("one/.gitignore"), text).unwrap();
        std::thread::sleep(Duration::from_millis(500));
    };
    rule("dist/\n");
    fs::remove_dir_all(up.path("one/dist")).unwrap();
    std::thread::sleep(Duration::from_millis(500));
    rule("\n");
    let differs = up.wait_for_state("one", "differs");
    assert_eq!(differs["held_count"], 1, "{differs:#}");
    let replica = change_something_else(&up, "x");
    assert!(up.path("one.replica/dist/a").exists());
    assert_eq!((&replica["state"], &replica["held_count"]), (&"differs".into(), &1.into()), "{replica:#}");
    rule("dist/\n");
    let last = up.wait_for_state("one", "identical")["last_pass"]["pass"].clone();
    change_something_else(&up, "y");
    std::thread::sleep(Duration::from_secs(2));
    assert_eq!(up.replica("one")["last_pass"]["pass"], last, "no full pass follows another by itself");
}

#[test]
fn jobs_stop_together_and_soon() {
    let mut up = Up::new();
    let names: Vec<String> = (0..8).map(|number| format!("job{number}")).collect();
    for name in &names {
        up.source(name).file("x", name.as_bytes());
    }
    up.configure(&names.iter().map(|name| up.job(name, "")).collect::<String>());
    up.start();
    names.iter().for_each(|name| drop(up.wait_for_state(name, "identical")));
    let start = Instant::now();
    assert_eq!(up.stop(), Some(0));
    assert!(start.elapsed() < Duration::from_secs(10), "took {:?}", start.elapsed());
}
