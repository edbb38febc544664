//! Opens a pair for who only looks, while another alike may be at work on it.

use std::fs::{File, TryLockError};
use std::path::Path;

use alike_storage::Local;

use crate::ends::Ends;
use crate::hold::Hold;
use crate::index::Index;
use crate::learnt::Learnt;
use crate::pair::{Pair, Spec};
use crate::pass::Top;
use crate::refusal::Refusal;

impl Pair {
    /// Opens a pair that is there, without a lock and without writing anything.
    ///
    /// # Errors
    /// When it is refused.
    pub fn open_to_check(spec: &Spec) -> Result<Self, Refusal> {
        let ends = Ends::find(spec)?;
        let path = &ends.found.path;
        if !ends.found.exists {
            return Err(Refusal::ReplicaMissing(path.clone()));
        }
        let replica = Local::open(path).map_err(|why| Refusal::ReplicaUnusable(path.clone(), why))?;
        ends.refuse_strangers(spec, &replica)?;
        let index = match ends.is_known() {
            true => Index::copy_of(&ends.state),
            false => Index::copy_of(&ends.state.join("none")),
        };
        let holds = replica.holds(false);
        let refuses = ends.refused(&holds);
        let mut pair = Self::new(ends.source, replica, (Top::There, holds), index, None)?;
        pair.refuses = refuses;
        Ok(pair)
    }

    /// Keeps what a check learnt for the next pass; nothing where no pass has been.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn keep(spec: &Spec, learnt: Learnt) -> Result<(), Refusal> {
        let ends = Ends::find(spec)?;
        if learnt.is_empty() || !ends.is_known() {
            return Ok(());
        }
        learnt.lay(&ends.state).map_err(|why| Refusal::StateUnusable(ends.state, why))
    }
}

/// How a pair stands that was not refused.
#[derive(Debug, PartialEq, Eq)]
pub enum Standing {
    /// There is no replica yet.
    NoReplica,
    /// The replica is a folder that no pass has worked on.
    Unmarked,
    /// It is this source's, and what was known of it is gone: everything is compared.
    Unknown,
    /// It is this source's.
    Known,
    /// It is this source's, and another alike is at work on it.
    InUse,
    /// It is this source's, and held until a person says so.
    Held(String),
}

/// How a pair stands. Changes nothing.
///
/// # Errors
/// When a pass would be refused.
pub fn standing(spec: &Spec) -> Result<Standing, Refusal> {
    let ends = Ends::find(spec)?;
    let path = &ends.found.path;
    if !ends.found.exists {
        return Ok(Standing::NoReplica);
    }
    ends.refuse_strangers(spec, &ends.found.nearest)?;
    let hold = Hold::read(&path.join(".alike")).map_err(|why| Refusal::ReplicaUnusable(path.clone(), why))?;
    Ok(match hold {
        Some(hold) => Standing::Held(hold.why),
        None if is_in_use(path) => Standing::InUse,
        None if ends.marker.is_none() => Standing::Unmarked,
        None if ends.is_known() => Standing::Known,
        None => Standing::Unknown,
    })
}

/// True while another alike is at work on this replica.
#[must_use]
pub fn is_in_use(replica: &Path) -> bool {
    File::open(replica.join(".alike/lock"))
        .is_ok_and(|lock| matches!(lock.try_lock_shared(), Err(TryLockError::WouldBlock)))
}
