//! What ends a pass or a mirror as a whole.

use crate::index::IndexError;

/// Why a pass could not be done. Single paths that fail are part of its outcome.
#[derive(Debug, thiserror::Error)]
pub enum PassError {
    /// The source's top folder cannot be read.
    #[error("the source: {0}")]
    Source(#[source] alike_storage::Error),
    /// The replica's top folder cannot be read.
    #[error("the replica: {0}")]
    Replica(#[source] alike_storage::Error),
    /// What was done may not be on the disk.
    #[error("the replica: {0}; what this pass copied is compared again by the next")]
    Sync(#[source] alike_storage::Error),
    /// The outcome could not be written down.
    #[error(transparent)]
    Index(#[from] IndexError),
}
