//! What becomes of a step: prepared, then done.

use std::time::{Duration, Instant};

use alike_model::entry::Stamp;
use alike_storage::Error;

/// An entry that is complete but has no name yet.
#[derive(Debug)]
pub(crate) struct Prepared<T> {
    /// `None` in a rehearsal.
    pub(crate) staged: Option<T>,
    pub(crate) bytes: Option<u64>,
    pub(crate) lacks: Option<Error>,
    pub(crate) has_writers: bool,
    /// When its contents began to be copied, where that took so long that the history tells of it.
    pub(crate) slow_since: Option<Instant>,
}

impl<T> Prepared<T> {
    /// What was made without copying contents.
    pub(crate) fn of(staged: T) -> Self {
        Self { staged: Some(staged), bytes: None, lacks: None, has_writers: false, slow_since: None }
    }

    /// What has contents that were copied from then until now.
    pub(crate) fn since(begun: Instant, staged: T) -> Self {
        // Most are small and quick: their lines in the history stay as short as they are.
        const WORTH_TELLING: Duration = Duration::from_millis(1);
        Self { slow_since: Some(begun).filter(|begun| begun.elapsed() >= WORTH_TELLING), ..Self::of(staged) }
    }

    /// How many milliseconds went by since its contents began to be copied, where that is told.
    pub(crate) fn took(&self) -> Option<u64> {
        self.slow_since.map(|since| u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX))
    }
}

/// What became of a step.
#[derive(Debug, Default)]
pub(crate) struct Done {
    /// How the replica's entry looks now; `None` when it is gone, and in a rehearsal.
    pub(crate) replica: Option<Stamp>,
    /// Bytes copied.
    pub(crate) bytes: Option<u64>,
    /// Where the trash keeps what was there before.
    pub(crate) kept: Option<String>,
    /// An extended attribute that could not be set: it was done, but both sides are not equal.
    pub(crate) lacks: Option<Error>,
    /// Somebody has the source's file open for writing: what is done to it next may leave no stamp.
    pub(crate) has_writers: bool,
    /// It was copied while it was being written; nothing proves that what is there now is one version of it.
    pub(crate) is_best_effort: bool,
}

impl Done {
    /// Done, and no bytes were copied.
    pub(crate) fn looks(replica: Stamp) -> Self {
        Self { replica: Some(replica), ..Self::default() }
    }

    /// What the log tells of it: bytes copied, and where is kept what was there before.
    pub(crate) fn came_to(&self) -> (Option<u64>, Option<String>) {
        (self.bytes, self.kept.clone())
    }
}

impl From<(Stamp, Option<String>)> for Done {
    fn from((replica, kept): (Stamp, Option<String>)) -> Self {
        Self { kept, ..Self::looks(replica) }
    }
}
