//! Taking a pass back: what undoing each of its deeds comes to, and whether the world still allows it.
//!
//! Deeds are undone from the last to the first. Each is undone only where the replica still looks as the deed left it; what
//! was changed since is left alone and named. The same judgement serves to show all of it first, in a world that is only
//! thought, and to do it.

use std::collections::HashMap;

use alike_model::entry::{Identity, Kind, Stamp};
use alike_model::event::Action;
use alike_model::past::{Past, Spot};
use alike_model::path::RelPath;
use alike_storage::Result;

use crate::chronicle::{Was, Written, is_in_trash};
use crate::history::Look;
use crate::reach::Reach;

/// Half a deed, or all of it: a rename that took the place of something is undone in two steps.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Part {
    /// What it put at its path goes.
    TakeAway,
    /// What it took away comes back.
    BringBack,
    /// Both in one.
    Replace,
    /// What it renamed gets its old name.
    RenameBack,
    /// What changed names changes them again.
    SwapBack,
    /// What it changed in place becomes what it was.
    Unpatch,
    /// Attributes become what they were.
    Dress,
}

/// What undoing a part comes to.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Way {
    /// It is as it was.
    Already,
    /// It is left alone, and why.
    Left(&'static str),
    /// What looks like this goes to the trash.
    TakeAway(Stamp),
    /// What the trash keeps gets its name back; where that is, and how it looks.
    PutBack(RelPath, Stamp),
    /// The first goes to the trash, and what the trash keeps takes its place.
    Replace(Stamp, RelPath, Stamp),
    /// What looks like this was changed in place; where the trash keeps the way back.
    Unpatch(Stamp, RelPath),
    /// The name becomes one more of what is at this path, in place of what is there.
    Link(RelPath, Stamp, Option<Stamp>),
    /// It gets its old name.
    Rename(Stamp),
    /// The two change names: what is at the path, and at the other.
    Swap(Stamp, Stamp),
    /// An entry gets the attributes that it had.
    Dress(Stamp),
    /// The same for a folder, when all else is done.
    DressFolder,
}

/// What can be seen of a replica: as it is, or as it would be.
pub(crate) trait World {
    fn look(&mut self, path: &RelPath) -> Result<Option<Stamp>>;

    /// True when there is anything in a folder.
    fn holds_any(&mut self, folder: &RelPath) -> Result<bool>;

    /// A name of an inode, as it is today, and how that looks.
    fn twin(&mut self, of: Identity) -> Option<(RelPath, Stamp)>;

    /// Where that is kept which this very undo has taken away.
    fn taken(&self, of: Identity) -> Option<RelPath>;

    /// True when an undo goes on that was killed: it may have done the next step, or half of it, and not written it down.
    fn goes_on(&self) -> bool;
}

/// The parts of a deed, in the order in which they are undone.
pub(crate) fn parts(written: &Written) -> &'static [Part] {
    let deed = &written.deed;
    let renamed = deed.action == Action::Rename;
    match (deed.action, deed.old.is_some()) {
        (Action::Meta, _) => &[Part::Dress],
        _ if deed.swapped => &[Part::SwapBack],
        _ if deed.patch => &[Part::Unpatch],
        (Action::Delete | Action::Rmdir, _) => &[Part::BringBack],
        (_, false) if renamed => &[Part::RenameBack],
        (_, true) if renamed => &[Part::RenameBack, Part::BringBack],
        (_, false) => &[Part::TakeAway],
        (_, true) => &[Part::Replace],
    }
}

/// Judges what undoing a part comes to.
///
/// # Errors
/// When the replica cannot be looked at.
pub(crate) fn judge(world: &mut impl World, written: &Written, part: Part) -> Result<Way> {
    let (path, deed) = (&written.deed.path, &written.deed);
    let there = world.look(path)?;
    let is_old =
        |there: &Stamp| deed.old.is_some_and(|old| there.identity() == old.id && there.kind == old.kind);
    match part {
        Part::TakeAway => match there {
            None => Ok(Way::Already),
            Some(there) => Ok(match may_go(world, written, &there)? {
                Some(why) => Way::Left(why),
                None => Way::TakeAway(there),
            }),
        },
        Part::BringBack => match there {
            Some(there) if is_old(&there) => Ok(Way::Already),
            Some(_) => Ok(Way::Left("something else is there now")),
            None if !has_folder(world, path)? => Ok(Way::Left("its folder is not there")),
            None => bring(world, written, None),
        },
        Part::Replace => match there {
            Some(there) if is_old(&there) => Ok(Way::Already),
            // Where names cannot be exchanged, it may have gone before the other came.
            None if world.goes_on() => bring(world, written, None),
            None => Ok(Way::Left("it is gone since")),
            Some(there) => match may_go(world, written, &there)? {
                Some(why) => Ok(Way::Left(why)),
                None => bring(world, written, Some(there)),
            },
        },
        Part::RenameBack => rename_back(world, written, there),
        Part::SwapBack => swap_back(world, written, there),
        Part::Unpatch => Ok(match (there, world.look(&written.slot())?) {
            (Some(there), _) if deed.old.is_some_and(|old| is_same(&there, &old)) => Way::Already,
            (Some(there), Some(_)) if is_as_left(&there, written) => Way::Unpatch(there, written.slot()),
            (Some(there), None) if is_as_left(&there, written) => GONE,
            _ => Way::Left(CHANGED),
        }),
        Part::Dress => Ok(match (there, &deed.old) {
            (Some(there), Some(old)) if old.kind == Kind::Folder && is_old(&there) => Way::DressFolder,
            (Some(there), Some(_)) if is_old(&there) && is_dressed(&there, deed.now.as_ref()) => {
                Way::Dress(there)
            }
            // Dressed, it may not have reached the disk.
            (Some(there), Some(old))
                if world.goes_on() && is_half_dressed(&there, old, deed.now.as_ref()) =>
            {
                Way::Dress(there)
            }
            (Some(there), Some(old)) if deed.xattrs.is_none() && is_dressed(&there, Some(old)) => {
                Way::Already
            }
            _ => Way::Left(CHANGED),
        }),
    }
}

const CHANGED: &str = "it was changed since";
const GONE: Way = Way::Left("what was there before is not kept any more");

/// Why what a deed put at its path is left there; `None` when it may go.
fn may_go(world: &mut impl World, written: &Written, there: &Stamp) -> Result<Option<&'static str>> {
    if !is_as_left(there, written) {
        return Ok(Some(CHANGED));
    }
    // What came whole goes whole; what was made went to be filled by deeds that are undone by now.
    let is_filled =
        there.kind == Kind::Folder && written.came_from().is_none() && world.holds_any(&written.deed.path)?;
    Ok(is_filled.then_some("there is something in it that the pass did not put there"))
}

/// How that comes back which a deed took away.
fn bring(world: &mut impl World, written: &Written, over: Option<Stamp>) -> Result<Way> {
    const NOT_KEPT: Way = Way::Left("what was there before was not kept");
    let Some(old) = written.deed.old else { return Ok(NOT_KEPT) };
    match written.old_spot() {
        Some(Spot::At(slot)) => {
            let is_it = |kept: &Stamp| kept.identity() == old.id;
            for slot in [Some(slot), world.taken(old.id)].into_iter().flatten() {
                if let Some(kept) = world.look(&slot)?.filter(is_it) {
                    return Ok(match over {
                        None => Way::PutBack(slot, kept),
                        Some(over) => Way::Replace(over, slot, kept),
                    });
                }
            }
            Ok(GONE)
        }
        Some(Spot::Twin(id)) => match world.twin(id) {
            Some((twin, stamp)) => Ok(Way::Link(twin, stamp, over)),
            None => Ok(NOT_KEPT),
        },
        Some(Spot::Lost | Spot::Patched(..)) | None => Ok(NOT_KEPT),
    }
}

fn rename_back(world: &mut impl World, written: &Written, there: Option<Stamp>) -> Result<Way> {
    let Some(from) = &written.deed.from else { return Ok(Way::Left("its old name is not known")) };
    let before = world.look(from)?;
    let is_it = |one: &Stamp| written.deed.now.is_some_and(|now| now.id == one.identity());
    Ok(match (there, before) {
        (None, Some(before)) if is_it(&before) => Way::Already,
        (None, _) => Way::Left("it is gone since"),
        (Some(there), _) if !is_as_left(&there, written) => Way::Left(CHANGED),
        (Some(_), Some(_)) => Way::Left("its old name is taken"),
        (Some(_), None) if !has_folder(world, from)? => Way::Left("the folder that it was in is not there"),
        (Some(there), None) => Way::Rename(there),
    })
}

fn swap_back(world: &mut impl World, written: &Written, there: Option<Stamp>) -> Result<Way> {
    let (Some(from), Some(old)) = (&written.deed.from, &written.deed.old) else {
        return Ok(Way::Left(CHANGED));
    };
    Ok(match (there, world.look(from)?) {
        (Some(there), Some(other)) if is_as_left(&there, written) && is_same(&other, old) => {
            Way::Swap(there, other)
        }
        (Some(there), _) if is_same(&there, old) => Way::Already,
        _ => Way::Left(CHANGED),
    })
}

fn has_folder(world: &mut impl World, path: &RelPath) -> Result<bool> {
    let Some((parent, _)) = path.split() else { return Ok(false) };
    Ok(world.look(&parent)?.is_some_and(|parent| parent.kind == Kind::Folder))
}

/// True when an entry looks as a deed left it.
fn is_as_left(there: &Stamp, written: &Written) -> bool {
    // A pass that was killed may not have come to write down how it left it: then only the kernel's word counts that
    // nobody has touched it since.
    const SLACK: i64 = 5;
    match &written.deed.now {
        Some(now) => is_same(there, now),
        None => (there.ctime.secs - written.deed.at.secs).abs() <= SLACK,
    }
}

fn is_same(there: &Stamp, then: &Look) -> bool {
    let is_it = there.identity() == then.id && there.kind == then.kind;
    // A folder's size and times change with what is done in it.
    is_it && (there.kind == Kind::Folder || (there.size == then.size && there.mtime == then.mtime))
}

/// True when an entry has some of the attributes from before and some from after. A mode may be less than either for a moment.
fn is_half_dressed(there: &Stamp, old: &Look, now: Option<&Look>) -> bool {
    let Some(now) = now else { return false };
    let is_it = there.identity() == old.id && there.kind == old.kind && there.size == old.size;
    let owners = [(old.uid, old.gid), (now.uid, now.gid)];
    is_it && [old.mtime, now.mtime].contains(&there.mtime) && owners.contains(&(there.uid, there.gid))
}

fn is_dressed(there: &Stamp, then: Option<&Look>) -> bool {
    then.is_some_and(|then| {
        is_same(there, then) && (there.mode, there.uid, there.gid) == (then.mode, then.uid, then.gid)
    })
}

/// The replica as it is.
pub(crate) struct Real<'a, 'b> {
    pub(crate) reach: &'a mut Reach<'b>,
    pub(crate) twins: &'a mut Twins,
    pub(crate) taken: Option<&'a HashMap<Identity, RelPath>>,
    pub(crate) goes_on: bool,
}

/// Where names of inodes with several are.
#[derive(Default)]
pub(crate) struct Twins(HashMap<Identity, RelPath>);

impl Twins {
    /// A name of an inode. All are looked for at once, and again when one is no longer where it was.
    pub(crate) fn find(&mut self, reach: &mut Reach<'_>, of: Identity) -> Option<RelPath> {
        let mut is_there = |path: &RelPath| {
            reach.look(path).is_ok_and(|found| found.is_some_and(|found| found.identity() == of))
        };
        if let Some(known) = self.0.get(&of).filter(|path| is_there(path)) {
            return Some(known.clone());
        }
        self.0.clear();
        reach.walk(&RelPath::root(), &mut |path, stamp| {
            // A name on the replica before one in the trash.
            if stamp.kind != Kind::Folder && (stamp.nlink > 1 || stamp.identity() == of) {
                let entry = self.0.entry(stamp.identity());
                entry
                    .and_modify(|known| {
                        if is_in_trash(known) {
                            *known = path.clone()
                        }
                    })
                    .or_insert_with(|| path.clone());
            }
        });
        self.0.get(&of).cloned()
    }
}

impl World for Real<'_, '_> {
    fn look(&mut self, path: &RelPath) -> Result<Option<Stamp>> {
        self.reach.look(path)
    }

    fn holds_any(&mut self, folder: &RelPath) -> Result<bool> {
        Ok(!self.reach.list(folder)?.is_empty())
    }

    fn twin(&mut self, of: Identity) -> Option<(RelPath, Stamp)> {
        let path = self.twins.find(self.reach, of)?;
        let stamp = self.reach.look(&path).ok()??;
        Some((path, stamp))
    }

    fn taken(&self, of: Identity) -> Option<RelPath> {
        self.taken?.get(&of).cloned()
    }

    fn goes_on(&self) -> bool {
        self.goes_on
    }
}

/// The replica as it would be.
pub(crate) struct Thought<'a, 'b> {
    pub(crate) real: Real<'a, 'b>,
    pub(crate) past: &'a Past<Was>,
}

impl World for Thought<'_, '_> {
    fn look(&mut self, path: &RelPath) -> Result<Option<Stamp>> {
        let found = match self.past.whereabouts(path) {
            Some(Spot::At(today) | Spot::Patched(today, _)) => self.real.look(&today)?,
            Some(Spot::Twin(id)) => self.real.twin(id).map(|(_, stamp)| stamp),
            Some(Spot::Lost) | None => None,
        };
        Ok(found.map(|stamp| match self.past.look(path) {
            Some((was, _)) => Stamp {
                size: was.size,
                mode: was.mode,
                uid: was.uid,
                gid: was.gid,
                mtime: was.mtime,
                ..stamp
            },
            None => stamp,
        }))
    }

    fn holds_any(&mut self, folder: &RelPath) -> Result<bool> {
        let changed = self.past.names_in(folder);
        if changed.iter().any(|(_, there)| *there) {
            return Ok(true);
        }
        let Some(Spot::At(today)) = self.past.whereabouts(folder) else { return Ok(false) };
        let is_gone = |name| changed.iter().any(|(gone, _)| gone == name);
        Ok(self.real.reach.list(&today)?.iter().any(|entry| !is_gone(&entry.name)))
    }

    fn twin(&mut self, of: Identity) -> Option<(RelPath, Stamp)> {
        self.real.twin(of)
    }

    fn taken(&self, _: Identity) -> Option<RelPath> {
        // In thought it is where it was.
        None
    }

    fn goes_on(&self) -> bool {
        self.real.goes_on
    }
}
