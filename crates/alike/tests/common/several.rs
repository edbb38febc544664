//! What the tests of several replicas start from.

use std::path::{Path, PathBuf};
use std::time::Duration;

use alike_testkit::{Live, Pair, compare, wait_until};

use super::{Event, text};

/// One as several.
pub fn one(replica: &PathBuf) -> &[PathBuf] {
    std::slice::from_ref(replica)
}

/// The flags that name these replicas too.
pub fn also<'a>(replicas: &'a [PathBuf], flags: &[&'a str]) -> Vec<&'a str> {
    replicas.iter().flat_map(|replica| ["--also", text(replica)]).chain(flags.iter().copied()).collect()
}

/// How one of several replicas differs from the source.
pub fn differences(pair: &Pair, replica: &Path) -> Vec<String> {
    compare(pair.source.top(), replica)
}

/// Panics with the differences unless this replica is identical.
#[track_caller]
pub fn assert_identical(pair: &Pair, replica: &Path, context: &str) {
    let differences = differences(pair, replica);
    assert!(differences.is_empty(), "{}: {differences:#?}\n{context}", replica.display());
}

/// Waits until all of them are identical.
#[track_caller]
pub fn wait_identical(pair: &Pair, live: &mut Live, replicas: &[PathBuf], limit: Duration) {
    live.wait_identical(limit);
    for replica in replicas {
        let same = wait_until(limit, || differences(pair, replica).is_empty());
        let left = differences(pair, replica);
        assert!(same, "{}: {left:#?}\n{}\n{}", replica.display(), live.out(), live.err());
    }
}

/// What was told of one of several replicas.
pub fn of<'a>(events: &'a [Event], replica: &Path) -> Vec<&'a Event> {
    events.iter().filter(|event| event.text("replica") == text(replica)).collect()
}
