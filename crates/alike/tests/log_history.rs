//! `alike log`: what was done, asked for by path, action, time, pass and number, and followed as it comes.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::fs;
use std::time::Duration;

use alike_testkit::{Live, Pair, Run};
use common::{Dice, Event, SOON, events, pair, parse, paths, text};

fn log(pair: &Pair, flags: &[&str]) -> Run {
    pair.alike.run([&["log", text(pair.replica.top()), "--json"], flags].concat())
}

/// `action path` of what is shown.
#[track_caller]
fn shown(pair: &Pair, flags: &[&str]) -> Vec<String> {
    let run = log(pair, flags);
    run.expect_one_of(&[0, 1]);
    lines(&events(&run))
}

fn lines(events: &[Event]) -> Vec<String> {
    events.iter().map(|event| format!("{} {}", event.action, event.path)).collect()
}

/// Three passes: all new; one edited, one moved; one deleted.
fn three_passes() -> Pair {
    let pair = pair();
    pair.source
        .file("docs/a.txt", "a")
        .file("docs/b.md", "b")
        .file("docs/sub/c.txt", "c")
        .file("other.txt", "o");
    pair.mirrored();
    pair.source.file("docs/a.txt", "longer").rename("other.txt", "docs/moved.txt");
    pair.mirrored();
    pair.source.remove("docs/sub/c.txt");
    pair.mirrored();
    pair
}

#[test]
fn of_a_folder_all_below_is_shown_and_of_a_pattern_all_that_match() {
    let pair = three_passes();
    let below = shown(&pair, &["--path", "docs/sub"]);
    assert!(below.contains(&"delete docs/sub/c.txt".to_owned()), "{below:?}");
    assert!(!below.iter().any(|line| line.contains("a.txt")), "{below:?}");
    let mut matching = shown(&pair, &["--path", "*.txt"]);
    matching.sort();
    assert_eq!(
        matching,
        [
            "create docs/a.txt",
            "create docs/sub/c.txt",
            "create other.txt",
            "delete docs/sub/c.txt",
            "rename docs/moved.txt",
            "update docs/a.txt",
        ]
    );
    assert_eq!(shown(&pair, &["--path", "docs/*.md"]), ["create docs/b.md"]);
    pair.source.file("odd[1].txt", "x");
    pair.mirrored();
    assert_eq!(shown(&pair, &["--path", "odd[1].txt"]), ["create odd[1].txt"]);
}

#[test]
fn actions_passes_and_the_last_ones_can_be_asked_for_together() {
    let pair = three_passes();
    assert_eq!(shown(&pair, &["--action", "delete"]), ["delete docs/sub/c.txt"]);
    assert_eq!(shown(&pair, &["--action", "rename,update", "-n", "1"]).len(), 1);
    let second = shown(&pair, &["--pass", "2", "--action", "update,rename,create,delete"]);
    assert_eq!(second.len(), 2, "{second:?}");
    let all = shown(&pair, &[]);
    assert_eq!(shown(&pair, &["-n", "3"]), all[all.len() - 3..]);
    assert_eq!(shown(&pair, &["-n", "1000"]), all);
    log(&pair, &["--action", "hold"]).expect(2).expect_short_message();
    log(&pair, &["--pass", "99"]).expect(1).expect_message_with("that was asked for");
}

#[test]
fn a_time_can_be_asked_for() {
    let pair = three_passes();
    let all = events(&log(&pair, &[]));
    let second = all.iter().find(|event| event.line["pass"] == 2).unwrap().text("ts").to_owned();
    let passes = |flags: &[&str]| -> Vec<u64> {
        let mut passes: Vec<u64> =
            events(&log(&pair, flags)).iter().map(|e| e.line["pass"].as_u64().unwrap()).collect();
        passes.dedup();
        passes
    };
    assert_eq!(passes(&["--since", &second]), [2, 3]);
    assert_eq!(passes(&["--until", &second])[0], 1);
    assert_eq!(passes(&["--since", "1h", "--until", "0s"]), [1, 2, 3]);
    log(&pair, &["--since", "2100-01-01"]).expect(1);
}

#[test]
fn without_a_replica_the_only_one_that_is_known_is_meant_and_of_several_their_names_are_told() {
    let pair = three_passes();
    let state = pair.alike.state_dir();
    let words = ["log", "--state-dir", text(&state), "--action", "delete"];
    let run = pair.alike.run(words);
    run.expect(0);
    assert!(run.out().contains("docs/sub/c.txt"), "{}", run.report());
    let second = pair.beside("second");
    pair.alike.once(&[], pair.source.top(), &second).expect(0);
    let run = pair.alike.run(words);
    run.expect(2)
        .expect_short_message()
        .expect_message_with(text(&second))
        .expect_message_with(text(pair.replica.top()));
    pair.alike.another().run(["log"]).expect(2).expect_short_message();
}

#[test]
fn with_trash_off_it_says_that_there_is_no_history_and_why() {
    let pair = pair();
    pair.source.file("a", "x");
    pair.mirrored_with(&["--trash", "off"]);
    let state = pair.alike.state_dir();
    log(&pair, &["--state-dir", text(&state)]).expect(1).expect_message_with("--trash off");
}

/// `alike log -f` as it runs.
fn follow(pair: &Pair, flags: &[&str]) -> Live {
    let words = [&["log", text(pair.replica.top()), "--json", "-f"], flags].concat();
    pair.alike.start(&words, pair.source.top(), pair.replica.top())
}

#[test]
fn a_log_that_is_followed_shows_what_a_mirror_does_within_a_second_or_so_and_ends_with_ctrl_c() {
    let pair = three_passes();
    let mut mirror = pair.mirror_with(&["--interval", "1h"]);
    mirror.wait_identical(SOON);
    let mut all = follow(&pair, &[]);
    let mut some = follow(&pair, &["--path", "docs", "--action", "delete,update", "-n", "1"]);
    all.wait_for_output("other.txt", SOON);
    some.wait_for_output("\n", SOON);
    let started = std::time::Instant::now();
    pair.source.arrives("docs/new", "x").remove("docs/b.md").arrives("elsewhere", "x");
    all.wait_for_output("docs/new", SOON);
    some.wait_for_output("docs/b.md", SOON);
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
    pair.source.arrives("docs/a.txt", "once more, and longer");
    some.wait_for_output("docs/a.txt", SOON);
    mirror.wait_identical(SOON);
    std::thread::sleep(Duration::from_millis(700));
    for live in [&mut all, &mut some] {
        live.interrupt();
        assert_eq!(live.wait_exit(SOON), Some(0), "{}", live.err());
    }
    let followed = lines(&parse(&all.out()));
    let mut sorted = [followed.clone(), shown(&pair, &[])];
    sorted.iter_mut().for_each(|lines| lines.sort());
    assert_eq!(sorted[0], sorted[1], "each line once");
    let narrow = lines(&parse(&some.out()));
    assert_eq!(narrow, ["delete docs/sub/c.txt", "delete docs/b.md", "update docs/a.txt"]);
    mirror.stop();
}

/// What is asked for by flags is what is picked from the whole by hand.
#[test]
fn whatever_was_done_what_is_asked_for_is_just_that_part_of_the_whole() {
    for seed in [3, 11, 29] {
        let (pair, mut dice) = (pair(), Dice(seed));
        for round in 0..7 {
            for at in 0..6 {
                let (all, folders) = paths(pair.source.top());
                let folder = dice.pick(&folders).unwrap().clone();
                let to = folder.join(["a", "b", "c.txt", "d"][dice.below(4)]);
                match (dice.below(5), dice.pick(&all)) {
                    (0, Some(one)) if one.is_file() => fs::remove_file(one).unwrap(),
                    (1 | 2, Some(one)) if !to.exists() && !to.starts_with(one) => {
                        fs::rename(one, to).unwrap()
                    }
                    (3, _) if !to.exists() => fs::create_dir(to).unwrap(),
                    _ if !to.is_dir() => fs::write(to, format!("{seed} {round} {at}")).unwrap(),
                    _ => {}
                }
            }
            pair.source.file("always", format!("round {round}"));
            pair.mirrored_with(&["--allow-deletes"]);
        }
        let all = events(&log(&pair, &[]));
        let part = |is_it: &dyn Fn(&Event) -> bool| -> Vec<String> {
            lines(&all.iter().filter(|event| is_it(event)).cloned().collect::<Vec<_>>())
        };
        for action in ["create", "delete", "rename", "update", "mkdir"] {
            assert_eq!(shown(&pair, &["--action", action]), part(&|e| e.action == action), "seed {seed}");
        }
        for pass in 1..8 {
            assert_eq!(
                shown(&pair, &["--pass", &pass.to_string()]),
                part(&|e| e.line["pass"] == pass),
                "seed {seed}"
            );
        }
        let is_text = |path: &str| path.split('/').any(|name| name.ends_with(".txt"));
        let matching = part(&|e| is_text(&e.path) || is_text(e.text("from")));
        assert_eq!(shown(&pair, &["--path", "*.txt"]), matching, "seed {seed}");
        let always: Vec<String> = part(&|e| e.path == "always");
        assert_eq!(shown(&pair, &["--path", "always"]), always, "seed {seed}");
    }
}
