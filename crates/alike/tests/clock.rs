//! The clock of the machine jumps: nothing is missed for it, and nothing is lost.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use alike_testkit::Pair;
use common::{SOON, events, nothing_to_do, pair, pair_with_files, text};

/// A clock for alike alone, ahead of the machine's, or behind. What is measured from one moment to another is not touched.
struct Clock(PathBuf);

impl Clock {
    fn of(pair: &mut Pair) -> Self {
        let said = Command::new("faketime").args(["-m", "now", "printenv", "LD_PRELOAD"]).output().unwrap();
        let library = String::from_utf8(said.stdout).unwrap();
        let clock = Self(pair.beside("clock"));
        clock.set("+0");
        pair.alike.run_after(&format!(
            "export LD_PRELOAD='{}' FAKETIME_TIMESTAMP_FILE={} FAKETIME_NO_CACHE=1 FAKETIME_DONT_FAKE_MONOTONIC=1",
            library.trim(),
            clock.0.display()
        ));
        clock
    }

    /// As `faketime` reads it: `+20y`.
    fn set(&self, ahead: &str) {
        let beside = self.0.with_extension("new");
        fs::write(&beside, format!("{ahead}\n")).unwrap();
        fs::rename(beside, &self.0).unwrap();
    }
}

#[test]
fn a_mirror_whose_clock_jumps_to_and_fro_misses_nothing() {
    let mut pair = pair_with_files(10);
    let clock = Clock::of(&mut pair);
    let mut live = pair.mirror_with(&["--interval", "1"]);
    live.wait_identical(SOON);
    for (number, ahead) in ["-3y", "+20y", "-1d", "+0"].into_iter().enumerate() {
        clock.set(ahead);
        pair.source.file("even/file-000", format!("after {ahead}")).file(format!("new-{number}"), "x");
        live.wait_identical(SOON);
        // Full passes come by the interval, whatever the clock says.
        std::thread::sleep(Duration::from_millis(1500));
        pair.source.file("even/file-002", format!("after {ahead}"));
        live.wait_identical(SOON);
    }
    let said = live.out();
    assert!([2023, 2045].iter().all(|far| years(&said).any(|year| year.abs_diff(*far) < 3)), "{said}");
    let passes = live.out().matches("pass-start").count();
    assert!((4..30).contains(&passes), "{passes} full passes in six seconds\n{}", live.out());
    live.stop();
    nothing_to_do(&pair);
}

/// Of the lines of a log.
fn years(log: &str) -> impl Iterator<Item = i32> {
    log.lines().filter_map(|line| line.get(..4)?.parse().ok())
}

fn kept(pair: &Pair) -> usize {
    fs::read_dir(pair.replica.path(".alike/trash")).unwrap().count()
}

#[test]
fn a_clock_that_is_years_ahead_for_a_while_empties_no_trash() {
    let mut pair = pair();
    pair.source.file("a", "old");
    pair.mirrored();
    pair.source.file("a", "newer");
    pair.mirrored();
    let before = kept(&pair);
    let clock = Clock::of(&mut pair);
    clock.set("+20y");
    let mut live = pair.mirror_with(&["--interval", "1"]);
    live.wait_identical(SOON);
    pair.source.file("a", "newest");
    live.wait_identical(SOON);
    std::thread::sleep(Duration::from_millis(2500));
    assert!(years(&live.out()).any(|year| year >= 2040), "{}", live.out());
    live.stop();
    assert_eq!(kept(&pair), before + 1, "what was kept a moment ago seems to be twenty years old");
    clock.set("+0");
    pair.mirrored();
    assert!(!pair.replica.has(".alike/overdue"));
}

#[test]
fn what_was_deleted_of_a_folder_long_before_the_rest_is_named_and_not_brought_back_with_it() {
    let mut pair = pair();
    let clock = Clock::of(&mut pair);
    for at in 0..5 {
        pair.source.file(format!("d/{at}"), "x");
    }
    pair.source.file("stays", "x");
    pair.once().expect(0);
    // An hour of it, then the rest, which took nine minutes from one pass to the next.
    for (ahead, goes) in
        [("+60m", "d/0"), ("+61m", "d/1"), ("+180m", "d/2"), ("+189m", "d/3"), ("+198m", "d")]
    {
        clock.set(ahead);
        pair.source.remove(goes);
        pair.once_with(&["--allow-deletes"]).expect(0);
    }
    let replica = pair.replica.top().to_owned();
    let names = |folder: PathBuf| {
        let mut names: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    let restore = |at: &[&str], to: PathBuf| {
        let words = ["restore", text(&replica), "d", "--to", text(&to)];
        let run = pair.alike.run([&words[..], at].concat());
        run.expect(0);
        (run, names(to.join("d")))
    };
    let (run, back) = restore(&[], pair.beside("rest"));
    assert_eq!(back, ["2", "3", "4"], "{}", run.report());
    let said = run.err();
    assert!(said.contains("d: restored ") && said.contains("; earlier: --at \""), "{said}");
    let at = said.split("--at \"").nth(1).unwrap().split('"').next().unwrap();
    let (run, back) = restore(&["--at", at], pair.beside("all"));
    assert_eq!(back, ["0", "1", "2", "3", "4"], "{}", run.report());
    assert!(!run.err().contains("earlier"), "{}", run.report());
}

#[test]
fn the_history_is_in_order_also_when_the_clock_was_set_back() {
    let mut pair = pair();
    let clock = Clock::of(&mut pair);
    for (ahead, contents) in
        [("+0", "one"), ("+3h", "second"), ("+1h", "the third"), ("+2h", "and the fourth")]
    {
        clock.set(ahead);
        pair.source.file("a", contents);
        pair.mirrored();
    }
    let log = pair.alike.run(["log", text(pair.replica.top()), "--json", "--path", "a"]);
    let passes: Vec<_> = events(&log).iter().map(|event| event.line["pass"].as_u64()).collect();
    assert_eq!(passes, [1, 2, 3, 4].map(Some), "{}", log.report());
    for (pass, contents) in [("4", "the third"), ("3", "second"), ("2", "one")] {
        pair.alike.run(["undo", "--yes", text(pair.replica.top()), pass]).expect(0);
        assert_eq!(pair.replica.read("a"), contents.as_bytes());
    }
}

#[test]
fn passes_have_numbers_of_their_own_after_the_clock_was_ahead_for_long_and_the_state_is_lost() {
    let mut pair = pair();
    let clock = Clock::of(&mut pair);
    clock.set("+1y");
    for number in 0..10 {
        pair.source.file("a", format!("ahead {number}"));
        pair.mirrored();
    }
    clock.set("+0");
    pair.source.file("a", "the right time").file("b", "too");
    pair.mirrored();
    fs::remove_dir_all(pair.alike.state_dir()).unwrap();
    pair.source.file("a", "after that");
    pair.mirrored();
    pair.alike.run(["undo", "--yes", text(pair.replica.top())]).expect(0);
    assert_eq!(pair.replica.read("a"), b"the right time");
    assert!(pair.replica.has("b"), "only the last pass was taken back");
}
