//! Bringing single entries to the disk: contents before they get a name, names where one call does not bring all.

use std::os::fd::AsFd;

use alike_model::entry::{Kind, Stamp};
use alike_model::path::Name;

use crate::error::{Error, Result};
use crate::local::{Folder, Local, lost};
use crate::publish::Staged;
use crate::{Replica, linux};

/// More files than this are brought to the disk with all else on it, rather than one by one; or more than that, where one need
/// not wait for the other.
const FEW: usize = 4;
const FEW_TOGETHER: usize = 64;

impl Local {
    /// Sees to it that staged files never have a name without their contents; other kinds are all metadata, which reaches the
    /// disk in the order in which it was made.
    pub(crate) fn settle_staged(&self, staged: &[&Staged]) -> Result<()> {
        let few = staged.len() <= FEW || staged.len() <= FEW_TOGETHER && staged.iter().all(|one| begins(one));
        if few || !self.sync_reaches(None) {
            return staged.iter().try_for_each(|one| settle(one));
        }
        self.sync()?;
        // What is mounted inside is not reached.
        let elsewhere = |one: &&&Staged| one.device().is_some_and(|device| !self.sync_reaches(Some(device)));
        staged.iter().filter(elsewhere).try_for_each(|one| settle(one))
    }
}

fn settle(staged: &Staged) -> Result<()> {
    staged.contents().map_or(Ok(()), linux::settle_contents).map_err(lost)
}

/// Begins with that; false where each would have to wait for the one before.
fn begins(staged: &Staged) -> bool {
    staged.contents().is_none_or(|file| linux::begin_to_settle(file).unwrap_or(false))
}

/// Brings a file with its name to the disk; other kinds are with the folder.
pub(crate) fn settle_named(folder: &Folder, name: &Name) -> Result<()> {
    let at = folder.descriptor();
    // Never opened but to be a file: a device would notice.
    let is_file = |now: Stamp| now.kind == Kind::File;
    if !linux::look(at, name).map_err(lost)?.is_some_and(is_file) {
        return Ok(());
    }
    match linux::open_for_reading(at, name) {
        Ok(file) => linux::sync_file(file.as_fd()).map_err(lost),
        Err(cause) => match Error::of("", cause) {
            // Who may not read it was given it as a whole, and open.
            error if error.is_changed() || error.is_denied() => Ok(()),
            Error::Io { cause, .. } => Err(lost(cause)),
            other => Err(other),
        },
    }
}
