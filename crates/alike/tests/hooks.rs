//! Hooks: programs that run when something becomes of a job.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::fs;
use std::time::{Duration, Instant};

use alike_testkit::wait_until;
use common::SOON;
use common::up::Up;
use serde_json::Value;

/// A job whose hooks write what they are told into a file each, a line a run.
fn told_by_hooks() -> Up {
    let up = Up::new();
    up.source("docs").file("a", "one");
    let hook = |key: &str| {
        let to = up.path(key);
        format!("{key} = [\"sh\", \"-c\", \"cat >> '{}'\"]\n", to.display())
    };
    let hooks: String = ["on_change", "on_halt", "on_error", "on_recovered"].map(hook).concat();
    up.configure(&up.job("docs", &hooks));
    up
}

fn runs(up: &Up, hook: &str) -> Vec<Value> {
    let told = fs::read_to_string(up.path(hook)).unwrap_or_default();
    told.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

#[track_caller]
fn wait_for_run(up: &Up, hook: &str, is_it: impl Fn(&Value) -> bool) -> Value {
    let mut found = None;
    wait_until(SOON, || {
        found = runs(up, hook).into_iter().find(|told| is_it(told));
        found.is_some()
    });
    found.unwrap_or_else(|| panic!("{hook} did not run: {:#?}", runs(up, hook)))
}

#[test]
fn a_missing_source_and_its_return_run_the_hooks_for_it() {
    let mut up = told_by_hooks();
    up.start();
    up.wait_for_state("docs", "identical");
    fs::rename(up.path("docs"), up.path("away")).unwrap();
    let told = wait_for_run(&up, "on_halt", |_| true);
    assert_eq!(
        (&told["hook"], &told["job"], &told["state"]),
        (&"on_halt".into(), &"docs".into(), &"halted".into())
    );
    assert_eq!(told["was"], "identical");
    assert!(told["why"].as_str().unwrap().contains("does not exist"), "{told:#}");
    assert!(runs(&up, "on_recovered").is_empty(), "a first pass recovers nothing");
    fs::rename(up.path("away"), up.path("docs")).unwrap();
    let told = wait_for_run(&up, "on_recovered", |_| true);
    assert_eq!((&told["was"], &told["state"]), (&"halted".into(), &"identical".into()));
    assert_eq!(up.stop(), Some(0));
}

#[test]
fn what_halted_and_why_is_in_the_environment_too_so_that_a_mail_needs_no_parser() {
    let mut up = Up::new();
    up.source("docs").file("a", "one");
    let to = up.path("mail");
    let script = format!("echo \"$ALIKE_HOOK $ALIKE_JOB $ALIKE_STATE: $ALIKE_WHY\" > '{}'", to.display());
    up.configure(&up.job("docs", &format!("on_halt = [\"sh\", \"-c\", {script:?}]")));
    up.start();
    up.wait_for_state("docs", "identical");
    fs::rename(up.path("docs"), up.path("away")).unwrap();
    let mail = || fs::read_to_string(&to).unwrap_or_default();
    assert!(wait_until(SOON, || mail().ends_with('\n')));
    assert!(mail().starts_with("on_halt docs halted: the source "), "{}", mail());
}

#[test]
fn changes_are_told_with_their_paths_and_soon_ones_together() {
    let mut up = told_by_hooks();
    up.start();
    up.wait_for_state("docs", "identical");
    let first = wait_for_run(&up, "on_change", |_| true);
    assert_eq!(first["paths"][0]["path"], "a");
    for number in 0..50 {
        fs::write(up.path(&format!("docs/new {number}")), "x").unwrap();
    }
    up.wait_until_same("docs");
    let is_last =
        |told: &Value| told["paths"].as_array().unwrap().iter().any(|named| named["path"] == "new 49");
    let told = wait_for_run(&up, "on_change", is_last);
    assert!(told["count"].as_u64().unwrap() >= 50, "{told:#}");
    assert!(runs(&up, "on_change").len() <= 3, "not one run for each change");
}

#[test]
fn a_hook_that_fails_hangs_or_is_missing_stops_no_mirror_and_is_said() {
    let mut up = Up::new();
    for name in ["fails", "hangs", "missing"] {
        up.source(name).file("a", "one");
    }
    let pid = up.path("pid");
    let hang = format!("echo $$ > '{}'; sleep 600 & wait", pid.display());
    let jobs = [
        up.job("fails", "on_change = [\"false\"]"),
        up.job("hangs", &format!("on_change = [\"sh\", \"-c\", {hang:?}]\nhook_timeout = \"1s\"")),
        up.job("missing", "on_change = [\"/no/such/program\"]"),
    ];
    up.configure(&jobs.concat());
    up.start();
    for name in ["fails", "hangs", "missing"] {
        up.wait_for_state(name, "identical");
        fs::write(up.path(&format!("{name}/b")), "two").unwrap();
        up.wait_until_same(name);
    }
    let said = |words: &str, up: &mut Up| wait_until(SOON, || up.live().err().contains(words));
    assert!(said("fails: the hook on_change (false) failed", &mut up), "{}", up.live().err());
    assert!(said("hangs: the hook on_change (sh) took longer than 1 s and was ended", &mut up));
    assert!(said("missing: the hook on_change (/no/such/program) could not be started", &mut up));
    let status = up.ask(&["status", "missing"]);
    status.expect(0);
    assert!(
        status.out().contains("the hook on_change (/no/such/program) could not be started"),
        "{}",
        status.report()
    );
    let leader = fs::read_to_string(pid).unwrap();
    let group_is_gone = || {
        let mut kill = std::process::Command::new("kill");
        !kill.args(["-0", "--", &format!("-{}", leader.trim())]).status().unwrap().success()
    };
    assert!(wait_until(SOON, group_is_gone), "what it started is ended with it");
    assert_eq!(up.stop(), Some(0));
}

#[test]
fn a_path_is_only_an_argument_never_a_command() {
    let mut up = told_by_hooks();
    let trap = up.path("trapped");
    let name = format!("$(touch {})`touch {}`;\n\"", "trapped", "trapped");
    fs::write(up.path("docs").join(&name), "x").unwrap();
    up.start();
    up.wait_for_state("docs", "identical");
    let told = wait_for_run(&up, "on_change", |_| true);
    let paths = told["paths"].as_array().unwrap();
    assert!(paths.iter().any(|named| named["path"] == name), "{told:#}");
    assert!(!trap.exists());
}

#[test]
fn a_hook_that_does_not_read_holds_up_nobody() {
    let mut up = Up::new();
    let source = up.source("docs");
    for number in 0..2_000 {
        source.file(format!("a long name that fills the pipe sooner or later {number}"), "x");
    }
    up.configure(&up.job("docs", "on_change = [\"sleep\", \"1\"]"));
    up.start();
    let start = Instant::now();
    up.wait_for_state("docs", "identical");
    fs::write(up.path("docs/live"), "x").unwrap();
    up.wait_until_same("docs");
    assert!(start.elapsed() < SOON);
    std::thread::sleep(Duration::from_millis(100));
    assert!(!up.live().err().contains("hook"), "{}", up.live().err());
}

#[test]
fn of_a_source_that_comes_and_goes_the_last_that_is_told_is_how_it_stands() {
    let mut up = Up::new();
    up.source("docs").file("a", "one");
    let told = up.path("told");
    let hook =
        |key: &str| format!("{key} = [\"sh\", \"-c\", \"echo $ALIKE_HOOK >> '{}'\"]\n", told.display());
    up.configure(&up.job("docs", &["on_halt", "on_recovered"].map(hook).concat()));
    up.start();
    up.wait_for_state("docs", "identical");
    let (docs, away) = (up.path("docs"), up.path("away"));
    for (from, to, state) in [
        (&docs, &away, "halted"),
        (&away, &docs, "identical"),
        (&docs, &away, "halted"),
        (&away, &docs, "identical"),
        (&docs, &away, "halted"),
    ] {
        fs::rename(from, to).unwrap();
        up.wait_for_state("docs", state);
    }
    // Longer than the gap between two runs of the same hook.
    std::thread::sleep(Duration::from_secs(8));
    let all = fs::read_to_string(&told).unwrap();
    assert_eq!(all.lines().last(), Some("on_halt"), "{all}");
    fs::rename(&away, &docs).unwrap();
    let has_recovered = || fs::read_to_string(&told).unwrap().lines().last() == Some("on_recovered");
    assert!(wait_until(SOON, has_recovered), "{}", fs::read_to_string(&told).unwrap());
}

#[test]
fn a_halt_that_was_not_told_yet_is_told_at_the_end() {
    let mut up = Up::new();
    up.source("docs").file("a", "one");
    let told = up.path("told");
    let hooks = format!("on_change = [\"sleep\", \"2\"]\non_halt = [\"touch\", {told:?}]");
    up.configure(&up.job("docs", &hooks));
    up.start();
    up.wait_for_state("docs", "identical");
    fs::rename(up.path("docs"), up.path("away")).unwrap();
    up.wait_for_state("docs", "halted");
    up.stop();
    assert!(told.exists());
}

#[test]
fn a_hook_that_hangs_does_not_hold_up_the_end_for_long() {
    let mut up = Up::new();
    up.source("docs").file("a", "one");
    up.configure(&up.job("docs", "on_halt = [\"sleep\", \"600\"]"));
    up.start();
    up.wait_for_state("docs", "identical");
    fs::rename(up.path("docs"), up.path("away")).unwrap();
    up.wait_for_state("docs", "halted");
    let start = Instant::now();
    assert!(up.stop().is_some());
    assert!(start.elapsed() < Duration::from_secs(10), "{:?}", start.elapsed());
}
