//! For what takes passes back, or brings things back.

use std::path::{Path, PathBuf};
use std::process::Command;

use alike_testkit::{Pair, Run, compare};

use super::text;

/// Runs `alike undo` with the yes that it asks for.
pub fn undo(pair: &Pair, words: &[&str]) -> Run {
    // There is no terminal to ask at.
    let mut all = vec!["undo", text(pair.replica.top()), "--yes"];
    all.extend(words);
    pair.alike.run(all)
}

/// Lets passes go on after an undo.
pub fn resume(pair: &Pair) {
    undo(pair, &["--resume"]).expect(0);
}

/// A second copy of the replica, made by cp.
pub fn photo(pair: &Pair, called: &str) -> PathBuf {
    let at = pair.beside(called);
    alike_testkit::remove_tree(&at).unwrap();
    let copied = Command::new("cp").arg("-a").arg(pair.replica.top()).arg(&at).status().unwrap();
    assert!(copied.success());
    alike_testkit::remove_tree(&at.join(".alike")).unwrap();
    let touched = Command::new("touch").arg("-r").arg(pair.replica.top()).arg(&at).status().unwrap();
    assert!(touched.success());
    at
}

/// Panics unless both are the same. What is kept in the trash may be one more name of a file that stays: the judge counts it as
/// a name elsewhere.
#[track_caller]
pub fn is_as(then: &Path, now: &Path, context: &str) {
    let mut differences = compare(then, now);
    differences.retain(|line| !line.contains(" of them inside it"));
    differences.truncate(20);
    assert!(differences.is_empty(), "{}\n{context}", differences.join("\n"));
}
