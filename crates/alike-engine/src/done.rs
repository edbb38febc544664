//! What became of a step.

use alike_model::entry::Stamp;
use alike_storage::Error;

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
