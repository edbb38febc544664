//! Patterns mean what they mean to git: each file of rules is read by both, and the same is left out.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Command, Stdio};

use alike_testkit::{Pair, Scramble, rounds};
use common::{events, pair};

const PATHS: [&str; 20] = [
    "a",
    "b",
    "ab",
    "a.b",
    "!a",
    "#a",
    "a b",
    "7",
    "x*y",
    "\\a",
    "d/a",
    "d/b",
    "d/[a]",
    "d/{a}",
    "d/e/a",
    "d/e/f",
    "e/a",
    "e/d/b",
    "e/ab/a.b/c",
    "e/-",
];

const PIECES: [&str; 36] = [
    "a",
    "b",
    "d",
    "e",
    "ab",
    "/",
    "/",
    "*",
    "*",
    "**",
    "**/",
    "/**",
    "?",
    "!",
    "#",
    "\\",
    " ",
    "\t",
    ".",
    "{a,b}",
    "{",
    "}",
    "[ab]",
    "[!a]",
    "[^b]",
    "[a-e]",
    "[+-9]",
    "[!]a]",
    "[]b]",
    "[a-]",
    "[!-]",
    "[!/]",
    "[\\a]",
    "[[:digit:]]",
    "[[:alpha:]7]",
    "\\[",
];

fn all_paths() -> BTreeSet<String> {
    let prefixes = |path: &str| -> Vec<String> {
        let slashes = path.match_indices('/').map(|(at, _)| path[..at].to_owned());
        slashes.chain([path.to_owned()]).collect()
    };
    PATHS.iter().flat_map(|path| prefixes(path)).collect()
}

/// What git would take in.
fn taken_by_git(pair: &Pair) -> BTreeSet<String> {
    let mut git = Command::new("git");
    git.arg("-C").arg(pair.source.top()).args(["check-ignore", "-z", "--stdin", "--no-index"]);
    let mut git = git.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("run git");
    let all = all_paths();
    let asked: String = all.iter().map(|path| format!("{path}\0")).collect();
    git.stdin.take().unwrap().write_all(asked.as_bytes()).unwrap();
    let answer = String::from_utf8(git.wait_with_output().unwrap().stdout).unwrap();
    let ignored: BTreeSet<&str> = answer.split_terminator('\0').collect();
    let is_left_out = |path: &str| {
        let above = path.match_indices('/').map(|(at, _)| &path[..at]);
        above.chain([path]).any(|path| ignored.contains(path))
    };
    all.iter().filter(|path| !is_left_out(path)).cloned().collect()
}

/// What a pass would make, and whether it could read the rules.
fn taken_by_alike(pair: &Pair) -> (BTreeSet<String>, bool) {
    let flags = ["--json", "--gitignore", "--exclude", "/.git/", "--exclude", "/.gitignore"];
    let run = pair.plan_with(&flags);
    let events = events(&run);
    let made = events.iter().filter(|event| ["create", "mkdir"].contains(&event.action.as_str()));
    (made.map(|event| event.path.clone()).collect(), events.iter().all(|event| event.action != "error"))
}

/// True for stars beside something that is no slash, which git reads in one way here and in another there.
fn is_unclear(rules: &str) -> bool {
    rules.match_indices("**").any(|(at, stars)| {
        let (before, after) = (rules[..at].chars().next_back(), rules[at + stars.len()..].chars().next());
        !matches!(before, None | Some('/' | '\n')) || !matches!(after, None | Some('/' | '\n'))
    })
}

fn repository() -> Pair {
    let pair = pair();
    for path in PATHS {
        pair.source.file(path, "x");
    }
    assert!(Command::new("git").args(["init", "-q"]).arg(pair.source.top()).status().unwrap().success());
    pair
}

#[test]
fn what_git_ignores_is_left_out_and_nothing_else() {
    let (pair, mut scramble) = (repository(), Scramble::new("ignore files"));
    let mut compared = 0;
    for _ in 0..rounds(150) {
        let mut line = || -> String {
            let pieces = 1 + scramble.below(4);
            (0..pieces).map(|_| PIECES[scramble.below(PIECES.len())]).collect()
        };
        let rules = format!("{}\n{}\n", line(), line());
        if is_unclear(&rules) {
            continue;
        }
        pair.source.file(".gitignore", &rules);
        let (taken, is_read) = taken_by_alike(&pair);
        // What git takes for a pattern that matches nothing, people had better know of.
        if is_read {
            assert_eq!(taken, taken_by_git(&pair), "{rules:?}");
            compared += 1;
        }
    }
    assert!(compared > rounds(75), "{compared}");
}

#[test]
fn lines_that_git_reads_in_a_way_of_its_own_are_read_in_that() {
    let pair = repository();
    for rules in [
        "b\n!\n",
        "d[!a]*\n",
        "{a,b}\n",
        "[[:digit:]]\n",
        "a\t\n",
        "\u{feff}a\n",
        "a \r\nb\r\n",
        "e/[+-9]\n",
        "![!b]\n",
        "\\/\n",
        "[draft*\n[[:digit:]*\na[\n",
        "[a/b]*\n*[a/]\n",
        "*\n!*/\n!d/[!a]\n",
    ] {
        pair.source.file(".gitignore", rules);
        assert_eq!(taken_by_alike(&pair), (taken_by_git(&pair), true), "{rules:?}");
    }
}
