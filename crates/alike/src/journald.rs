//! Whether somebody reads through the journal of the system, which has the time and wants a priority (sd-daemon(3)).

use std::fs::File;
use std::io::Write;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::MetadataExt;
use std::sync::OnceLock;

use crate::args::LogLevel;

/// How important a line is, in the words of syslog(3).
#[derive(Clone, Copy, Debug)]
pub(crate) enum Priority {
    Error = 3,
    Warning = 4,
    Notice = 5,
    Info = 6,
}

impl From<LogLevel> for Priority {
    fn from(level: LogLevel) -> Self {
        match level {
            LogLevel::Error => Self::Error,
            LogLevel::Warn => Self::Warning,
            LogLevel::Info => Self::Info,
        }
    }
}

impl Priority {
    /// Before a line for the journal.
    pub(crate) fn mark(self) -> String {
        format!("<{}>", self as u8)
    }

    /// Says it on standard error.
    pub(crate) fn say(self, text: &str) {
        // Nobody may be there to read it: that is no reason to stop.
        let _ = writeln!(std::io::stderr(), "{}alike: {text}", self.on_stderr());
    }

    /// Before a line on standard error: nothing, unless the journal is there.
    pub(crate) fn on_stderr(self) -> String {
        static IS_JOURNAL: OnceLock<bool> = OnceLock::new();
        let is_journal = *IS_JOURNAL.get_or_init(|| leads_to_journal(std::io::stderr().as_fd()));
        if is_journal { self.mark() } else { String::new() }
    }
}

/// True when a stream is the one that the service manager connected to the journal.
pub(crate) fn leads_to_journal(stream: BorrowedFd<'_>) -> bool {
    let is_it = || {
        let named = std::env::var("JOURNAL_STREAM").ok()?;
        let (dev, ino) = named.split_once(':')?;
        let there = File::from(stream.try_clone_to_owned().ok()?).metadata().ok()?;
        Some((dev.parse().ok()?, ino.parse().ok()?) == (there.dev(), there.ino()))
    };
    is_it().unwrap_or(false)
}
