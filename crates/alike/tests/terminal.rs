//! What alike asks whoever is at a terminal, and what it makes of the answer.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::path::Path;

use alike_testkit::{Pair, Terminal};
use common::pair;

/// A replica of which the next pass would delete most.
fn halted() -> Pair {
    let pair = pair();
    for n in 0..30 {
        pair.source.file(format!("file-{n}"), "x");
    }
    pair.once().expect(0);
    for n in 0..25 {
        pair.source.remove(format!("file-{n}"));
    }
    pair
}

fn once(pair: &Pair) -> Terminal {
    let state = pair.alike.state_dir();
    let words = ["once".as_ref(), "--state-dir".as_ref(), state.as_os_str()];
    let ends = [pair.source.top().as_os_str(), pair.replica.top().as_os_str()];
    let terminal = Terminal::run(&pair.alike.command(words.into_iter().chain(ends)));
    terminal.wait_for("Delete them now? [y/N]");
    terminal
}

#[test]
fn a_yes_lets_the_deletions_go() {
    let pair = halted();
    let mut terminal = once(&pair);
    assert!(pair.replica.path("file-3").exists(), "nothing is deleted before the answer");
    terminal.type_in("y\n");
    assert_eq!(terminal.exit_code(), 0, "{}", terminal.shown());
    pair.assert_identical("after a yes");
}

#[test]
fn a_no_and_the_end_of_input_delete_nothing() {
    for (answer, what) in [("n\n", "no"), ("\n", "nothing"), ("yess\n", "no word"), ("\x04", "end of input")]
    {
        let pair = halted();
        let mut terminal = once(&pair);
        terminal.type_in(answer);
        assert_eq!(terminal.exit_code(), 3, "{what}: {}", terminal.shown());
        assert!(pair.replica.path("file-3").exists(), "{what}");
    }
}

#[test]
fn ctrl_c_at_the_question_ends_it_at_once_and_deletes_nothing() {
    let pair = halted();
    let mut terminal = once(&pair);
    terminal.type_in("\x03");
    assert_eq!(terminal.exit_code(), 130, "{}", terminal.shown());
    assert!(pair.replica.path("file-3").exists());
}

/// The same for two replicas.
fn once_for_two(pair: &Pair) -> Terminal {
    let (state, second) = (pair.alike.state_dir(), pair.beside("second"));
    let words = ["once".as_ref(), "--state-dir".as_ref(), state.as_os_str()];
    let ends = [pair.source.top(), pair.replica.top(), "--also".as_ref(), &second].map(Path::as_os_str);
    let terminal = Terminal::run(&pair.alike.command(words.into_iter().chain(ends)));
    terminal.wait_for("Delete them now? [y/N]");
    terminal
}

/// As [`halted`], with a second replica of which the next pass would delete as much.
fn both_halted() -> Pair {
    let pair = halted();
    let second = pair.beside("second");
    for n in 0..30 {
        std::fs::create_dir_all(&second).unwrap();
        std::fs::write(second.join(format!("file-{n}")), "x").unwrap();
    }
    pair
}

#[test]
fn each_of_several_replicas_is_asked_for_by_its_name_and_a_yes_is_for_that_one() {
    let pair = both_halted();
    let mut terminal = once_for_two(&pair);
    terminal.wait_for(&format!("{}: would delete", pair.replica.top().display()));
    terminal.type_in("n\n");
    terminal.wait_for(&format!("{}: would delete", pair.beside("second").display()));
    terminal.type_in("y\n");
    assert_eq!(terminal.exit_code(), 3, "{}", terminal.shown());
    assert!(pair.replica.path("file-3").exists() && !pair.beside("second/file-3").exists());
}

#[test]
fn ctrl_c_at_the_question_for_one_replica_is_no_answer_for_the_others() {
    let pair = both_halted();
    let mut terminal = once_for_two(&pair);
    terminal.type_in("\x03");
    assert_eq!(terminal.exit_code(), 130, "{}", terminal.shown());
    assert!(pair.replica.path("file-3").exists() && pair.beside("second/file-3").exists());
    assert_eq!(terminal.shown().matches("[y/N]").count(), 1, "{}", terminal.shown());
}

#[test]
fn ctrl_c_at_the_question_of_an_undo_does_not_leave_the_replica_held() {
    let pair = halted();
    pair.once_with(&["--allow-deletes"]).expect(0);
    let words = ["undo".as_ref(), pair.replica.top().as_os_str()];
    let mut terminal = Terminal::run(&pair.alike.command(words));
    terminal.wait_for("? [y/N]");
    terminal.type_in("\x03");
    assert_ne!(terminal.exit_code(), 0, "{}", terminal.shown());
    pair.once().expect(0);
}

/// What a pass with all kinds of actions shows at a terminal.
fn shown(pair: &Pair, verb: &str, flags: &[&str], variables: &[(&str, &str)]) -> String {
    let state = pair.alike.state_dir();
    let mut words: Vec<&std::ffi::OsStr> = vec![verb.as_ref(), "--state-dir".as_ref(), state.as_os_str()];
    words.extend(flags.iter().map(std::ffi::OsStr::new));
    words.extend([pair.source.top().as_os_str(), pair.replica.top().as_os_str()]);
    let mut command = pair.alike.command(words);
    command.envs(variables.iter().copied());
    let mut terminal = Terminal::run(&command);
    terminal.exit_code();
    terminal.shown()
}

#[test]
fn actions_have_colours_at_a_terminal_unless_somebody_says_otherwise() {
    let pair = pair();
    pair.source.file("file", "x");
    const GREEN: &str = "\x1b[32mcreate";
    assert!(shown(&pair, "plan", &[], &[]).contains(GREEN));
    for (flags, variables) in
        [(&["--color", "never"][..], &[][..]), (&[], &[("NO_COLOR", "1")]), (&[], &[("TERM", "dumb")])]
    {
        let shown = shown(&pair, "plan", flags, variables);
        assert!(!shown.contains("\x1b[3") && shown.contains("create"), "{variables:?}: {shown}");
    }
    let piped = pair.alike.plan(&[], pair.source.top(), pair.replica.top());
    assert!(!piped.out().contains('\x1b'), "{}", piped.report());
    let forced = pair.alike.plan(&["--color", "always"], pair.source.top(), pair.replica.top());
    assert!(forced.out().contains(GREEN), "{}", forced.report());
    let log = pair.beside("log");
    let once = shown(&pair, "once", &["--log-file", common::text(&log)], &[]);
    assert!(once.contains(GREEN), "{once}");
    assert!(!std::fs::read_to_string(log).unwrap().contains('\x1b'), "a log file has no colours");
}

#[test]
fn a_pass_at_a_terminal_ends_with_what_it_came_to() {
    let pair = pair();
    pair.source.file("one", "x").file("two", "y");
    let first = shown(&pair, "once", &[], &[]);
    assert!(first.contains("identical: 2 files; 2 copied (2 B) in "), "{first}");
    pair.source.remove("two");
    let second = shown(&pair, "once", &[], &[]);
    assert!(second.contains("1 deleted in ") && second.contains("alike undo "), "{second}");
    let third = shown(&pair, "once", &[], &[]);
    assert!(third.contains("identical: 1 files; nothing to do in "), "{third}");
}
