//! What the engine tells whoever watches it: one event for each action, and counts for a progress line.

use std::time::{Duration, Instant};

use alike_model::event::Action;
use alike_model::path::RelPath;

/// Something that was done, held, or that failed.
#[derive(Clone, Debug)]
pub struct Event {
    /// The pass it belongs to.
    pub pass: u64,
    /// What it is.
    pub action: Action,
    /// The path it is about; `None` for what concerns the pass or the mirror.
    pub path: Option<RelPath>,
    /// For a rename: the old path.
    pub from: Option<RelPath>,
    /// Why, or what happened, in words.
    pub reason: String,
    /// Bytes copied.
    pub bytes: Option<u64>,
    /// How long it took.
    pub took: Option<Duration>,
    /// Where the trash keeps what was there before.
    pub kept: Option<String>,
    /// What failed, for `error`.
    pub error: Option<String>,
    /// It was done while somebody was writing: what is there now is not a proven version.
    pub best_effort: bool,
}

impl Event {
    /// An event about no path in particular.
    #[must_use]
    pub fn general(pass: u64, action: Action, reason: impl Into<String>) -> Self {
        let reason = reason.into();
        Self {
            pass,
            action,
            path: None,
            from: None,
            reason,
            bytes: None,
            took: None,
            kept: None,
            error: None,
            best_effort: false,
        }
    }

    /// An event about a path.
    #[must_use]
    pub fn about(pass: u64, action: Action, path: RelPath, reason: impl Into<String>) -> Self {
        Self { path: Some(path), ..Self::general(pass, action, reason) }
    }
}

/// What is said of what the scrub found.
#[must_use]
pub fn damaged(found: u64) -> String {
    format!("the scrub found {found} damaged on the disk; the log names each, and alike check --repair mends")
}

/// What a mirror is doing or waiting for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum State {
    /// A pass is under way.
    Working {
        /// It looks at everything.
        full: bool,
    },
    /// The replica was identical when last looked at.
    Identical {
        /// Entries of the source that are no folders.
        files: u64,
    },
    /// Identical as far as stamps tell, but the scrub found contents that differ.
    Damaged {
        /// How many.
        found: u64,
    },
    /// Some paths are not as in the source.
    Differs {
        /// Paths that failed; they are tried again.
        failed: u64,
        /// Paths held back or skipped.
        held: u64,
        /// Files that are still being written: what the replica has of them is not a proven version.
        in_motion: u64,
    },
    /// Nothing is deleted, or nothing done at all, until this is over.
    Halted(String),
}

/// Whoever watches the engine. Called from several threads at once; must be quick.
pub trait Monitor: Send + Sync {
    /// Something happened.
    fn event(&self, event: Event);

    /// Something that people should know before the first pass.
    fn note(&self, text: &str) {
        let _ = text;
    }

    /// Something for people who ask for more.
    fn detail(&self, text: &str) {
        let _ = text;
    }

    /// What a mirror is doing changed.
    fn state(&self, state: State) {
        let _ = state;
    }

    /// The oldest change that is not on the replica waits since then (`None`: there is none), one of so many paths.
    fn lag(&self, since: Option<Instant>, paths: u64) {
        let _ = (since, paths);
    }

    /// `bytes` more were read by a check.
    fn read(&self, bytes: u64) {
        let _ = bytes;
    }

    /// `entries` more entries of the source were looked at.
    fn looked(&self, entries: u64) {
        let _ = entries;
    }
}
