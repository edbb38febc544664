//! An undo or a restore that was killed: what it had begun is completed, and what it did is not done once more.

use alike_model::entry::{Identity, Kind, Time};
use alike_model::event::Action;
use alike_model::past::rebased;
use alike_model::path::RelPath;
use alike_storage::{Error, Replica, Result};

use crate::chronicle::{self, Written, is_slot};
use crate::history::{Deed, Look};
use crate::hold::{Begun, Site};
use crate::reach::Reach;
use crate::undo::Part;

/// Completes what broke off, where the hold says that anything did. Call it under the replica's lock.
///
/// # Errors
/// When the replica cannot be looked at, or what is to be kept cannot be brought to its place.
pub fn complete(site: &Site, clock: &dyn Fn() -> Time) -> Result<()> {
    let Some(hold) = site.hold().filter(|hold| hold.begun.is_some()) else { return Ok(()) };
    let failed = |cause| Error::of("read the history", cause);
    let all = chronicle::read(&site.trash).map_err(failed)?;
    let mut reach = Reach::new(&site.tree)?;
    let is_its = |written: &&Written| written.deed.pass == hold.pass && !written.deed.told;
    for written in all.iter().filter(is_its).filter(|written| written.deed.kept) {
        keep_what_changed_names(site, &mut reach, written)?;
    }
    for written in all.iter().rev().filter(|written| written.deed.kept && written.deed.pass < hold.pass) {
        let slot = written.slot();
        if !all.iter().any(|later| later.deed.from.as_ref() == Some(&slot)) {
            note_what_came_back(site, &mut reach, written, (hold.pass, clock()))?;
        }
    }
    if let Some(Begun::Undo(first, last)) = hold.begun {
        let is_its = |written: &&Written| (first..=last).contains(&written.deed.pass);
        for written in all.iter().filter(is_its).filter(|written| written.deed.action == Action::Rename) {
            if !all.iter().any(|did| did.deed.pass == hold.pass && renames_back(&did.deed, &written.deed)) {
                note_what_was_renamed(site, &mut reach, written, (hold.pass, clock()))?;
            }
        }
    }
    Ok(())
}

/// What the trash gave back has changed names with what was there, and that stands in its place in the trash, not in its own.
fn keep_what_changed_names(site: &Site, reach: &mut Reach<'_>, written: &Written) -> Result<()> {
    let (Some(from), Some(old)) = (written.deed.from.as_ref().filter(|from| is_slot(from)), written.deed.old)
    else {
        return Ok(());
    };
    let slot = written.slot();
    let Some(there) = reach.look(from)?.filter(|there| there.identity() == old.id) else { return Ok(()) };
    if reach.look(&slot)?.is_some() {
        return Ok(());
    }
    let (from, to) = (reach.place(from)?, reach.place(&slot)?);
    site.tree.rename((&from.0, &from.1), (&to.0, &to.1), &there, None).map(drop)
}

/// What the trash gave back, and nobody came to write down.
fn note_what_came_back(
    site: &Site,
    reach: &mut Reach<'_>,
    written: &Written,
    moment: (u64, Time),
) -> Result<()> {
    let (deed, slot) = (&written.deed, written.slot());
    let Some(old) = deed.old.filter(|_| !deed.patch) else { return Ok(()) };
    if reach.look(&slot)?.is_some() {
        return Ok(());
    }
    let Some(now) = reach.look(&deed.path)?.filter(|now| now.identity() == old.id) else { return Ok(()) };
    let reason = format!("undoes {} of pass {}", deed.action, deed.pass);
    let deed = Deed {
        from: Some(slot),
        reason,
        now: Some(Look::from(&now)),
        ..Deed::of(moment, Action::Create, &deed.path)
    };
    note(site, deed)
}

/// What got its old name, or changed names again, and nobody came to write down.
fn note_what_was_renamed(
    site: &Site,
    reach: &mut Reach<'_>,
    written: &Written,
    moment: (u64, Time),
) -> Result<()> {
    let deed = &written.deed;
    let (Some(from), Some(then)) = (&deed.from, deed.now) else { return Ok(()) };
    let (there, before) = (reach.look(&deed.path)?, reach.look(from)?);
    let Some(now) = before.filter(|before| before.identity() == then.id) else { return Ok(()) };
    let reason = format!("undoes {} of pass {}", deed.action, deed.pass);
    let did = Deed { reason, ..Deed::of(moment, Action::Rename, from) };
    match (deed.swapped, there, deed.old) {
        (false, None, _) => {
            note(site, Deed { from: Some(deed.path.clone()), now: Some(Look::from(&now)), ..did })
        }
        (true, Some(there), Some(old)) if there.identity() == old.id => note(
            site,
            Deed {
                path: deed.path.clone(),
                from: Some(from.clone()),
                old: Some(Look::from(&now)),
                swapped: true,
                now: Some(Look::from(&there)),
                ..did
            },
        ),
        _ => Ok(()),
    }
}

fn note(site: &Site, deed: Deed) -> Result<()> {
    let written = site.trash.note(deed).and_then(|()| site.trash.flush());
    written.map_err(|cause| Error::of("write down what it did", cause))
}

/// True when one deed gives back the names that the other took.
fn renames_back(did: &Deed, deed: &Deed) -> bool {
    let back = did.from.as_ref() == Some(&deed.path) && Some(&did.path) == deed.from.as_ref();
    let is_swap = did.swapped && deed.swapped;
    did.action == Action::Rename && (if is_swap { did.path == deed.path } else { back })
}

/// Part of a deed that is to be undone.
pub(crate) type Step<'a> = (&'a Written, Part);

/// How far an undo came that broke off.
pub(crate) struct Came<'a> {
    /// All steps before this one were taken, or left.
    pub(crate) to: usize,
    /// What it did, in order, but for the attributes of folders: these come at the end.
    did: Vec<&'a Written>,
    /// Which of these took each of the steps.
    by: Vec<Option<usize>>,
}

impl<'a> Came<'a> {
    /// How far the pass `number` came, when that is one that broke off.
    pub(crate) fn of(steps: &[Step<'_>], all: &'a [Written], number: Option<u64>) -> Self {
        let is_its = |written: &&Written| Some(written.deed.pass) == number;
        let did: Vec<&Written> =
            all.iter().filter(is_its).filter(|one| !dresses_a_folder(&one.deed)).collect();
        let mut came = Self { to: 0, did, by: Vec::with_capacity(steps.len()) };
        let mut next = 0;
        for (at, step) in steps.iter().enumerate() {
            let is_taken = came.did.get(next).is_some_and(|did| takes(&did.deed, *step));
            came.by.push(is_taken.then_some(next));
            if is_taken {
                next += 1;
                came.to = at + 1;
            }
        }
        came
    }

    /// What it took away, and where that is kept.
    pub(crate) fn taken(&self) -> impl Iterator<Item = (Identity, RelPath)> {
        let kept = self.did.iter().filter(|did| did.deed.kept);
        kept.filter_map(|did| Some((did.deed.old?.id, did.slot())))
    }

    /// True when it took this step.
    pub(crate) fn took(&self, step: usize) -> bool {
        self.by[step].is_some()
    }

    /// Where that is now which stood at `path` when it took a step, or came by it.
    pub(crate) fn now(&self, step: usize, path: &RelPath) -> RelPath {
        let from = self.by[step].map(|by| by + 1);
        let from = from.or_else(|| self.by[step..].iter().flatten().next().copied());
        self.did[from.unwrap_or(self.did.len())..].iter().fold(path.clone(), |path, did| {
            let deed = &did.deed;
            match (&deed.from, deed.action) {
                (Some(from), Action::Rename) if path.is_within(from) => rebased(&path, from, &deed.path),
                (Some(from), Action::Rename) if deed.swapped && path.is_within(&deed.path) => {
                    rebased(&path, &deed.path, from)
                }
                _ => path,
            }
        })
    }
}

fn dresses_a_folder(deed: &Deed) -> bool {
    deed.action == Action::Meta && deed.old.is_some_and(|old| old.kind == Kind::Folder)
}

/// True when a deed of an undo is what taking a step comes to.
fn takes(did: &Deed, (written, part): Step<'_>) -> bool {
    let (deed, same) = (&written.deed, did.path == written.deed.path);
    match part {
        Part::TakeAway => same && matches!(did.action, Action::Delete | Action::Rmdir),
        Part::BringBack => same && matches!(did.action, Action::Create | Action::Link),
        Part::Replace | Part::Unpatch => same && matches!(did.action, Action::Update | Action::Link),
        Part::RenameBack | Part::SwapBack => renames_back(did, deed),
        Part::Dress => same && did.action == Action::Meta,
    }
}
