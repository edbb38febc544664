//! Tools for testing alike from outside: build a tree, run the real binary on it, judge the replica.
//!
//! Nothing here uses an `alike-*` crate: what judges the program must not share its mistakes. A tool that
//! fails panics, since in a test that is the message.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod attributes;
mod cached;
mod compare;
mod everything;
mod furnish;
mod fuse;
mod links;
mod live;
mod machine;
mod pair;
mod rot;
mod run;
mod scramble;
mod snapshot;
mod terminal;
mod tree;
mod walk;

use std::time::{Duration, Instant};

pub use cached::{Asked, Faults};
pub use compare::{Leave, allocated, compare, compare_but, compare_where};
pub use fuse::FaultyDisk;
pub use live::Live;
pub use machine::{Flag, Mount, NOBODY, Setting, is_root, root_or_say, shared};
pub use pair::Pair;
pub use rot::{forget_cached, mark};
pub use run::{Alike, Run};
pub use scramble::{Scramble, rounds};
pub use snapshot::{Record, Snapshot};
pub use terminal::Terminal;
pub use tree::{Tree, name, odd_names};
pub use walk::{give_tree_to, remove_tree};

/// Asks `done` every few milliseconds until it says yes; false when `limit` passes first.
pub fn wait_until(limit: Duration, mut done: impl FnMut() -> bool) -> bool {
    let end = Instant::now() + limit;
    loop {
        if done() {
            return true;
        }
        if Instant::now() >= end {
            return false;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
}

/// A name for people: escaped, so that odd names stay on one line of a test's report.
pub(crate) fn show(name: &[u8]) -> String {
    let shown = String::from_utf8_lossy(name).escape_debug().to_string();
    if shown.len() <= 200 {
        return shown;
    }
    let end: String = shown.chars().rev().take(60).collect::<Vec<_>>().into_iter().rev().collect();
    let start: String = shown.chars().take(100).collect();
    format!("{start}[…]{end}")
}
