//! What a pass does is written down, and what it takes away is kept, so that it can be taken back.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use alike_model::entry::{Kind, Stamp, Time};
use alike_model::event::Action;
use alike_model::links::ReplicaInode;
use alike_model::path::RelPath;
use alike_model::plan::{Step, Verb};
use alike_storage::{Error, Over, Result, remove_tree};

use crate::history::{Deed, Line, Look};
use crate::names::inode;
use crate::trash::{Slot, Trash};

/// Writes down the deeds of one pass.
pub(crate) struct Deeds<'a> {
    /// `None`: nothing is written down, and nothing kept.
    pub(crate) trash: Option<&'a Trash>,
    pub(crate) pass: u64,
    /// It does not look at everything, only at what the system has told of.
    pub(crate) live: bool,
    pub(crate) clock: &'a (dyn Fn() -> Time + Sync),
    /// Of inodes with several names one that stays where it is: other names of these need not be kept.
    pub(crate) staying: Mutex<HashMap<ReplicaInode, RelPath>>,
    /// What was kept of inodes that may have another name that stays.
    pub(crate) linked: Mutex<Vec<(RelPath, Look, Slot)>>,
}

impl Deeds<'_> {
    /// Takes a step that takes something away, which is kept; where `more` says `patch`, only the way back to it. Returns
    /// where, for the log.
    pub(crate) fn take_away<T>(
        &self,
        (path, step): (&RelPath, &Step),
        (old, more): (&Stamp, impl FnOnce(Deed) -> Deed),
        take: impl FnOnce(Over<'_>) -> Result<T>,
        now: impl FnOnce(&T) -> Option<Stamp>,
    ) -> Result<(T, Option<String>)> {
        let gone = Over { stamp: old, keep: None };
        let Some(trash) = self.trash else { return take(gone).map(|done| (done, None)) };
        let deed = more(Deed { old: Some(old.into()), ..self.deed(path, step) });
        // What stays under another name is not lost, and what is on another filesystem cannot be kept by a rename.
        if old.dev != trash.device() || self.stays(old, path) {
            let done = take(gone)?;
            self.add(Deed { now: now(&done).as_ref().map(Look::from), ..deed });
            return Ok((done, None));
        }
        let failed = |cause| Error::of("write down what it takes away", cause);
        let patch = deed.patch;
        let slot = trash.begin(Deed { kept: true, ..deed }).map_err(failed)?;
        match take(Over { stamp: old, keep: Some((&slot.bucket.folder, &slot.name)) }) {
            Ok(done) => {
                let now = now(&done).as_ref().map(Look::from);
                // Without this line the deed still counts as done.
                let _ = slot.bucket.write(&Line::Done { done: slot.n, now }, false);
                let shown = slot.shown();
                trash.superseded.note((path, old.kind), &slot);
                self.note_linked(path, old, slot);
                Ok((done, Some(shown)))
            }
            Err(error) => {
                // It may have failed after it was kept. Without the line, a deed with nothing kept counts as void as well.
                match slot.holds(old, patch) {
                    true => self.note_linked(path, old, slot),
                    false => drop(slot.bucket.write(&Line::Void { void: slot.n }, true)),
                }
                Err(error)
            }
        }
    }

    fn note_linked(&self, path: &RelPath, old: &Stamp, slot: Slot) {
        if old.nlink > 1 && old.kind != Kind::Folder {
            let kept = (path.clone(), Look::from(old), slot);
            self.linked.lock().unwrap_or_else(PoisonError::into_inner).push(kept);
        }
    }

    /// Writes down a step that took nothing away. Where that cannot be done, it cannot be taken back: nothing is lost.
    pub(crate) fn add(&self, deed: Deed) {
        if let Some(trash) = self.trash {
            let _ = trash.note(deed);
        }
    }

    /// A step as a deed.
    pub(crate) fn deed(&self, path: &RelPath, step: &Step) -> Deed {
        let from = match &step.verb {
            Verb::Rename { from, .. } => Some(from.clone()),
            Verb::Link { to, .. } => Some(to.clone()),
            _ => None,
        };
        Deed { from, reason: step.reason.to_string(), ..self.plain(path, step.verb.action()) }
    }

    /// A deed that says nothing but what and where.
    pub(crate) fn plain(&self, path: &RelPath, action: Action) -> Deed {
        Deed { live: self.live, ..Deed::of((self.pass, (self.clock)()), action, path) }
    }

    /// Takes a step that takes so many bytes; when the disk is full, what was kept longest goes first.
    pub(crate) fn with_room<T>(&self, bytes: u64, take: impl Fn() -> Result<T>) -> Result<T> {
        loop {
            let done = take();
            let is_full = done.as_ref().is_err_and(Error::is_full);
            if !is_full || !self.trash.is_some_and(|trash| trash.make_room(bytes).unwrap_or(false)) {
                return done;
            }
        }
    }

    /// Notes a name that stays.
    pub(crate) fn note_staying(&self, replica: &Stamp, path: RelPath) {
        if self.trash.is_some() {
            self.staying.lock().unwrap_or_else(PoisonError::into_inner).insert(inode(replica), path);
        }
    }

    /// Lets go of what was kept though its inode stays under another name: `stays` looks for that.
    pub(crate) fn let_go(&self, stays: &mut dyn FnMut(&RelPath, &Look) -> bool) {
        let linked = std::mem::take(&mut *self.linked.lock().unwrap_or_else(PoisonError::into_inner));
        for (path, old, slot) in linked {
            // First the line: without it the trash would be thought to have what it has not.
            if stays(&path, &old) && slot.bucket.write(&Line::Unkept { unkept: slot.n }, true).is_ok() {
                // One that stays is a name outside, which costs a copy.
                let _ = remove_tree(&slot.bucket.folder, &slot.name);
                // What came before it is no longer followed by anything.
                self.trash.inspect(|trash| trash.superseded.forget());
            }
        }
    }

    fn stays(&self, old: &Stamp, path: &RelPath) -> bool {
        let staying = self.staying.lock().unwrap_or_else(PoisonError::into_inner);
        old.nlink > 1 && staying.get(&inode(old)).is_some_and(|stays| stays != path)
    }
}
