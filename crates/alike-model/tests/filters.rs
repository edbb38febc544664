//! Filters: precedence, and what a filter change can be told by.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use alike_model::filter::{Filter, Origin, Patterns};
use alike_model::path::RelPath;
use proptest::prelude::*;

fn filter(exclude: &[&str], include: &[&str]) -> Filter {
    let owned = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
    Filter::new(&Patterns { exclude: owned(exclude), include: owned(include), ..Patterns::default() })
        .unwrap()
}

fn excludes(filter: &Filter, path: &str, is_folder: bool) -> bool {
    filter.excludes_with_parents(&RelPath::parse(path.as_bytes()).unwrap(), is_folder)
}

#[test]
fn includes_win_over_excludes() {
    let filter = filter(&["*.log", "/cache/"], &["keep.log"]);
    assert!(excludes(&filter, "a/x.log", false));
    assert!(!excludes(&filter, "a/keep.log", false));
    assert!(excludes(&filter, "cache", true));
    assert!(!excludes(&filter, "a/cache", true), "a leading slash anchors");
    assert!(!excludes(&filter, "cache", false), "a trailing slash means folders");
}

#[test]
fn what_lies_below_an_excluded_folder_is_excluded() {
    assert!(excludes(&filter(&["/cache/"], &["x"]), "cache/deep/x", false));
}

#[test]
fn the_nearest_ignore_file_wins_over_those_above_and_the_command_line_over_all() {
    let root = RelPath::root();
    let sub = RelPath::parse(b"sub").unwrap();
    let (top, bad) = filter(&["*.never"], &[]).enter(&root, Some("*.tmp\n"), None);
    assert!(bad.is_none());
    let (below, _) = top.enter(&sub, Some("!keep.tmp\n!x.never\n/here\n"), None);
    assert!(excludes(&top, "keep.tmp", false));
    assert!(excludes(&below, "sub/other.tmp", false));
    assert!(!excludes(&below, "sub/keep.tmp", false));
    assert!(excludes(&below, "sub/x.never", false), "the command line wins");
    assert!(excludes(&below, "sub/here", false), "anchored to its own folder");
    assert!(!excludes(&below, "sub/deeper/here", false));
}

#[test]
fn a_line_that_cannot_be_read_leaves_the_others_in_force() {
    let (inside, bad) = filter(&[], &[]).enter(&RelPath::root(), Some("*.tmp\n[z-a]\n*.bak\n"), None);
    assert!(bad.unwrap().to_string().contains("[z-a]"));
    assert!(excludes(&inside, "a.tmp", false));
    assert!(excludes(&inside, "a.bak", false));
}

#[test]
fn the_fingerprint_changes_when_and_only_when_the_rules_do() {
    let plain = filter(&[], &[]);
    assert_eq!(plain.fingerprint(), filter(&[], &[]).fingerprint());
    assert_ne!(plain.fingerprint(), filter(&["a"], &[]).fingerprint());
    assert_ne!(filter(&["a"], &[]).fingerprint(), filter(&[], &["a"]).fingerprint());
    let entered = |text| plain.enter(&RelPath::root(), text, None).0.fingerprint();
    assert_eq!(entered(None), plain.fingerprint());
    assert_ne!(entered(Some("")), plain.fingerprint());
    assert_ne!(entered(Some("a")), entered(Some("b")));
}

fn pattern() -> impl Strategy<Value = String> {
    prop::sample::select(vec![
        "a", "/a", "a/", "!a", "*", "!*", "b*", "/a/b", "**/c", "a/**", "!a/b/", "# a", "", "c ", "\\!a",
        "[ab]", "{a,b}",
    ])
    .prop_map(str::to_owned)
}

fn path() -> impl Strategy<Value = RelPath> {
    prop::collection::vec(prop::sample::select(vec!["a", "b", "c", "bb", "!a"]), 1..4)
        .prop_map(|names| RelPath::parse(names.join("/").as_bytes()).unwrap())
}

fn patterns() -> impl Strategy<Value = Vec<String>> {
    prop::collection::vec(pattern(), 0..3)
}

proptest! {
    #[test]
    fn there_is_a_rule_for_all_that_is_left_out_and_for_nothing_else(
        (exclude, include, file) in (patterns(), patterns(), patterns()),
        (alike, git) in (prop::collection::vec(patterns(), 3), prop::collection::vec(patterns(), 3)),
        (path, is_folder) in (path(), any::<bool>()),
    ) {
        let given = Patterns { exclude: exclude.clone(), include, ignore_files: vec![file.join("\n")], gitignore: true };
        let Ok(mut filter) = Filter::new(&given) else { return Ok(()) };
        let mut folder = RelPath::root();
        let (mut above, name) = (path.names().collect::<Vec<_>>(), path.split().unwrap().1);
        above.pop();
        for depth in 0..=above.len() {
            let text = |lines: &[Vec<String>]| Some(lines[depth].join("\n")).filter(|text| !text.is_empty());
            (filter, _) = filter.enter(&folder, text(&alike).as_deref(), text(&git).as_deref());
            if let Some(next) = above.get(depth) {
                folder.push(next);
            }
        }
        let rule = filter.why(&folder, &name, is_folder);
        prop_assert_eq!(rule.is_some(), filter.excludes(&folder, &name, is_folder));
        if let Some(rule) = rule {
            let stands = |folders: &[Vec<String>], at: &RelPath| folders[at.names().count()].clone();
            let lines = match &rule.origin {
                Origin::CommandLine => exclude,
                Origin::IgnoreFile => file,
                Origin::Alike(at) => stands(&alike, at),
                Origin::Git(at) => stands(&git, at),
            };
            prop_assert!(lines.iter().any(|line| line.trim_end() == rule.pattern), "{:?} in {:?}", rule, lines);
        }
    }
}
