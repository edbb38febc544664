//! Judges the deletions of a pass as a whole, before the first of them.

use std::fmt;

use crate::policy::{Deletes, MaxDelete, Policy};

/// What a pass would delete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proposal {
    /// Entries that would be deleted, folders included, after moves are matched.
    pub deletions: u64,
    /// Entries that the replica holds, folders included.
    pub replica_entries: u64,
}

/// The judgement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Judgement {
    /// Delete.
    Go,
    /// Delete nothing: it is more than the limit.
    Halt(OverLimit),
}

/// A proposal that is over its limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OverLimit {
    /// What was proposed.
    pub proposal: Proposal,
    /// The limit it is over.
    pub limit: MaxDelete,
}

impl fmt::Display for OverLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Proposal { deletions, replica_entries } = self.proposal;
        let share = deletions.saturating_mul(100) / replica_entries.max(1);
        write!(
            f,
            "would delete {deletions} of the replica's {replica_entries} entries ({share} %), more than --max-delete {}; \
             deleted nothing. If the source is right, run again with --allow-deletes (a job of alike up: alike pass JOB --allow-deletes)",
            self.limit
        )
    }
}

/// Judges.
#[must_use]
pub fn judge(proposal: Proposal, policy: &Policy) -> Judgement {
    let Deletes::Within(limit) = policy.deletes else { return Judgement::Go };
    let over = match limit {
        MaxDelete::Entries(most) => proposal.deletions > most,
        MaxDelete::Percent(percent) => {
            proposal.deletions >= MaxDelete::ALWAYS_FINE
                && u128::from(proposal.deletions) * 100
                    > u128::from(proposal.replica_entries) * u128::from(percent)
        }
    };
    if over { Judgement::Halt(OverLimit { proposal, limit }) } else { Judgement::Go }
}
