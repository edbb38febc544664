//! Whatever is typed as a limit, as a pattern or into an ignore file: read or refused, in bounded time, and without a panic.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::time::{Duration, Instant};

use alike_model::filter::{Filter, Patterns};
use alike_model::path::RelPath;
use alike_model::policy::MaxDelete;
use alike_testkit::{Scramble, rounds};

const LIMITS: [&str; 9] = ["50%", "100 %", "1000", "0", "-1", "18446744073709551616", "101%", "%", " 7 "];

const PATTERNS: [&str; 12] = [
    "*.tmp",
    "/cache/",
    "!keep",
    "**/a/**/b",
    "[a-z]?",
    "[!a-]",
    "{a,b{c,d}}",
    "\\#x\\ ",
    "#",
    "a/**",
    "[[:alpha:]]*",
    "日本*\u{202e}",
];

const PATHS: [&str; 6] = ["a", "a/b/c", "cache/x.tmp", "keep", "日本/\u{202e}", "[a-z]"];

#[test]
fn whatever_is_typed_as_a_limit_is_a_limit_or_a_mistake() {
    let mut scramble = Scramble::new("max-delete");
    for _ in 0..rounds(50_000) {
        let text = scramble.mutate_text(&LIMITS);
        match text.parse::<MaxDelete>() {
            Ok(MaxDelete::Percent(share)) => assert!(share <= 100, "{text:?}"),
            Ok(MaxDelete::Entries(_)) => assert!(text.trim().parse::<u64>().is_ok(), "{text:?}"),
            Err(why) => assert!(!why.to_string().is_empty()),
        }
    }
}

#[test]
fn whatever_is_typed_as_a_pattern_is_a_rule_or_a_mistake() {
    let mut scramble = Scramble::new("pattern");
    for _ in 0..rounds(3_000) {
        let [exclude, include] = [(); 2].map(|()| vec![scramble.mutate_text(&PATTERNS)]);
        let patterns = Patterns { exclude, include, ..Patterns::default() };
        let started = Instant::now();
        if let Ok(filter) = Filter::new(&patterns) {
            let again = Filter::new(&patterns).unwrap();
            assert_eq!(filter.fingerprint(), again.fingerprint());
            for path in PATHS {
                let path = RelPath::parse(path.as_bytes()).unwrap();
                let excluded = filter.excludes_with_parents(&path, false);
                assert_eq!(excluded, again.excludes_with_parents(&path, false), "{patterns:?}");
            }
        }
        assert!(started.elapsed() < Duration::from_secs(5), "{patterns:?}");
    }
}

#[test]
fn whatever_stands_in_an_ignore_file_the_other_lines_count() {
    let mut scramble = Scramble::new("ignore file");
    let empty = Filter::new(&Patterns::default()).unwrap();
    let never = RelPath::parse(b"never copied").unwrap();
    for _ in 0..rounds(1_500) {
        let damaged: Vec<String> = (0..scramble.below(6)).map(|_| scramble.mutate_text(&PATTERNS)).collect();
        let text = format!("{}\n/never copied\n", damaged.join("\n"));
        let (filter, bad) = empty.enter(&RelPath::root(), Some(&text), Some(&text));
        assert!(filter.excludes_with_parents(&never, false), "{text:?}: {bad:?}");
    }
}
