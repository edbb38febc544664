//! The steps with which undoing and restoring change a replica: each keeps what it takes away, and is a deed in the history.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use alike_model::entry::{Identity, Kind, Stamp, Time};
use alike_model::event::Action;
use alike_model::holds::Holds;
use alike_model::path::{Name, OWN_FOLDER, RelPath};
use alike_model::xattrs::{Namespaces, Xattrs};
use alike_storage::{
    Error, Folder, Local, Over, Replica, Result, Source, Want, copy_entry, linux, remove_tree, unpatch,
};

use crate::chronicle::is_slot;
use crate::history::{Deed, Line, Look};
use crate::reach::Reach;
use crate::settle::settle_copy;
use crate::touched::Touched;
use crate::trash::{Slot, Trash};

/// Changes a replica, step by step, as one pass.
pub(crate) struct Mend<'a> {
    pub(crate) tree: &'a Local,
    pub(crate) trash: &'a Trash,
    pub(crate) pass: u64,
    pub(crate) clock: &'a (dyn Fn() -> Time + Sync),
    pub(crate) reach: Reach<'a>,
    pub(crate) holds: Holds,
    pub(crate) touched: BTreeMap<RelPath, Touched>,
    /// Folders of the trash that something came from.
    pub(crate) emptied: BTreeSet<RelPath>,
    /// What was taken away, and where that is kept: an undo of several passes may want it back under another of them.
    pub(crate) taken: HashMap<Identity, RelPath>,
    /// It goes on with what was killed, or given up because of the disk.
    pub(crate) goes_on: bool,
    /// The disk did not take something: nothing more is to be done.
    pub(crate) lost: Option<Error>,
}

impl<'a> Mend<'a> {
    pub(crate) fn new(
        (tree, trash): (&'a Local, &'a Trash),
        pass: u64,
        clock: &'a (dyn Fn() -> Time + Sync),
    ) -> Result<Self> {
        let (reach, holds) = (Reach::new(tree)?, tree.holds(true));
        let (touched, emptied, taken) = (BTreeMap::new(), BTreeSet::new(), HashMap::new());
        Ok(Self {
            tree,
            trash,
            pass,
            clock,
            reach,
            holds,
            touched,
            emptied,
            taken,
            goes_on: false,
            lost: None,
        })
    }

    pub(crate) fn deed(&self, action: Action, path: &RelPath, reason: &str) -> Deed {
        let moment = (self.pass, (self.clock)());
        Deed { reason: reason.to_owned(), ..Deed::of(moment, action, path) }
    }

    /// What is at a path goes to the trash. Returns where.
    pub(crate) fn take_away(&mut self, path: &RelPath, there: &Stamp, reason: &str) -> Result<String> {
        let action = if there.kind == Kind::Folder { Action::Rmdir } else { Action::Delete };
        let deed = Deed { old: Some(self.looked(path, there)), ..self.deed(action, path, reason) };
        self.unlock(path, there)?;
        let (folder, name) = self.enter(path)?;
        let tree = self.tree;
        let kept = self.keep(deed, there, |slot| {
            let keep = Some((&slot.bucket.folder, &slot.name));
            tree.remove(&folder, &name, Over { stamp: there, keep }).map(|()| None)
        })?;
        self.moved(path, None, there);
        Ok(kept)
    }

    /// What stands in the trash, or elsewhere in alike's own folder, gets a name that is free.
    pub(crate) fn put_back(
        &mut self,
        from: &RelPath,
        kept: &Stamp,
        path: &RelPath,
        old: &Look,
        reason: &str,
    ) -> Result<()> {
        self.unlock(from, kept)?;
        let (folder, name) = self.enter(path)?;
        let (bucket, number) = self.leave(from)?;
        let kept = self.still((&bucket, &number), kept)?;
        let now = self.tree.rename((&bucket, &number), (&folder, &name), &kept, None)?;
        let deed = Deed {
            from: Some(from.clone()),
            now: Some((&now).into()),
            ..self.deed(Action::Create, path, reason)
        };
        self.note(deed)?;
        self.moved(from, Some(path), &now);
        self.came(path, old, &now);
        Ok(())
    }

    /// What is at a path goes to the trash, and what stands there takes its place in the same moment. Returns where it goes.
    pub(crate) fn replace(
        &mut self,
        (path, there): (&RelPath, &Stamp),
        (from, kept): (&RelPath, &Stamp),
        old: &Look,
        reason: &str,
    ) -> Result<String> {
        let deed = self.deed(Action::Update, path, reason);
        let deed = Deed { from: Some(from.clone()), old: Some(self.looked(path, there)), ..deed };
        self.unlock(path, there)?;
        self.unlock(from, kept)?;
        let (folder, name) = self.enter(path)?;
        let (bucket, number) = self.leave(from)?;
        let (there, kept) = (self.still((&folder, &name), there)?, self.still((&bucket, &number), kept)?);
        let tree = self.tree;
        let (at, back) = ((&*folder, &name), (&*bucket, &number));
        let shown = self.keep(deed, &there, |slot| {
            let keep = (&slot.bucket.folder, &slot.name);
            // A copy waits in the trash, for whatever changes names with it is kept there from then on. What the trash kept
            // waits where it is, where it is found again.
            let (waits, kept) = match is_slot(from) {
                true => (back, kept),
                false => (keep, tree.rename(back, keep, &kept, None)?),
            };
            match tree.exchange((waits.0, waits.1, &kept), (at.0, at.1, &there)) {
                Ok(now) if is_slot(from) => {
                    // Should this break off, the one is right, and the other still in the trash.
                    let other = tree.look(back.0, back.1)?.ok_or(Error::Changed)?;
                    tree.rename(back, keep, &other, None)?;
                    Ok(Some(now))
                }
                Ok(now) => Ok(Some(now)),
                // Where names cannot be exchanged, there is a moment without the name.
                Err(Error::Io { .. }) => {
                    let kept = if is_slot(from) { kept } else { tree.rename(keep, back, &kept, None)? };
                    tree.remove(at.0, at.1, Over { stamp: &there, keep: Some(keep) })?;
                    tree.rename(back, at, &kept, None).map(Some)
                }
                Err(error) => Err(error),
            }
        })?;
        self.moved(path, None, &there);
        self.reach.forget();
        let now = self.reach.look(path)?.ok_or(Error::Changed)?;
        self.came(path, old, &now);
        Ok(shown)
    }

    /// What was changed in place becomes what it was: a copy of it, for the way back is all that was kept. Returns where what
    /// is there now goes.
    pub(crate) fn unpatch(
        &mut self,
        path: &RelPath,
        there: &Stamp,
        patch: &RelPath,
        old: &Look,
        reason: &str,
    ) -> Result<String> {
        let failed = |cause| Error::of("copy it", cause);
        let own = self.tree.own_folder().map_err(failed)?;
        let aside = aside();
        let name = clear_aside(&own).map_err(failed)?;
        let (folder, called) = self.reach.place(path)?;
        let (bucket, number) = self.reach.place(patch)?;
        let xattrs = self.tree.xattrs(&folder, &called, self.holds.xattrs)?;
        let want = self.want(old, Some(&xattrs));
        let may_go_on = || self.tree.check_below(&own, 1);
        let copied = copy_entry((&folder, &called), there, (&own, &name), (&want, &may_go_on), &|| false)
            .and_then(|copied| unpatch((&own, &name), &copied.now, &[(&bucket, &number)]))
            .and_then(|now| self.tree.set_attrs(&own, &name, &now, &want, &may_go_on))
            .and_then(|now| settle_copy(self.tree, &aside).map(|()| now));
        match copied {
            Ok(now) => self.replace((path, there), (&aside, &now), old, reason),
            Err(error) => {
                let _ = remove_tree(&own, &name);
                Err(error)
            }
        }
    }

    /// A name becomes one more of what is at `twin`; what was there goes to the trash.
    pub(crate) fn link(
        &mut self,
        (twin, stamp): (&RelPath, &Stamp),
        (path, over): (&RelPath, Option<&Stamp>),
        reason: &str,
    ) -> Result<Option<String>> {
        let deed = Deed { from: Some(twin.clone()), ..self.deed(Action::Link, path, reason) };
        let (folder, name) = self.enter(path)?;
        let (origin, other) = self.reach.place(twin)?;
        let tree = self.tree;
        match over {
            None => {
                let now = tree.link((&origin, &other), (&folder, &name), stamp, None)?;
                self.note(Deed { now: Some((&now).into()), ..deed })?;
                Ok(None)
            }
            Some(there) => {
                self.unlock(path, there)?;
                let deed = Deed { old: Some(self.looked(path, there)), ..deed };
                let kept = self.keep(deed, there, |slot| {
                    let over = Over { stamp: there, keep: Some((&slot.bucket.folder, &slot.name)) };
                    tree.link((&origin, &other), (&folder, &name), stamp, Some(over)).map(Some)
                })?;
                self.moved(path, None, there);
                Ok(Some(kept))
            }
        }
    }

    /// An entry gets another name, which must be free.
    pub(crate) fn rename(&mut self, from: &RelPath, there: &Stamp, to: &RelPath, reason: &str) -> Result<()> {
        self.unlock(from, there)?;
        let (folder, name) = self.enter(from)?;
        let (target, new) = self.enter(to)?;
        let there = self.still((&folder, &name), there)?;
        let now = self.tree.rename((&folder, &name), (&target, &new), &there, None)?;
        let deed = Deed {
            from: Some(from.clone()),
            now: Some((&now).into()),
            ..self.deed(Action::Rename, to, reason)
        };
        self.note(deed)?;
        self.moved(from, Some(to), &now);
        Ok(())
    }

    /// Two entries change names.
    pub(crate) fn swap(
        &mut self,
        one: (&RelPath, &Stamp),
        other: (&RelPath, &Stamp),
        reason: &str,
    ) -> Result<()> {
        self.unlock(one.0, one.1)?;
        self.unlock(other.0, other.1)?;
        let (folder, name) = self.enter(one.0)?;
        let (second, called) = self.enter(other.0)?;
        let (first, last) = (self.still((&folder, &name), one.1)?, self.still((&second, &called), other.1)?);
        self.tree.exchange((&folder, &name, &first), (&second, &called, &last))?;
        let now = self.look_at((&folder, &name))?;
        let deed = self.deed(Action::Rename, one.0, reason);
        let (from, old) = (Some(other.0.clone()), Some((&first).into()));
        self.note(Deed { from, old, swapped: true, now: Some((&now).into()), ..deed })?;
        self.reach.forget();
        let (ones, others) = (self.lift(one.0), self.lift(other.0));
        self.lay(ones, one.0, other.0);
        self.lay(others, other.0, one.0);
        Ok(())
    }

    /// An entry that is no folder gets the attributes that it had before a deed.
    pub(crate) fn dress(&mut self, path: &RelPath, there: &Stamp, undone: &Deed, reason: &str) -> Result<()> {
        let (Some(then), xattrs) = (&undone.old, undone.xattrs.as_ref()) else { return Err(Error::Changed) };
        // What was killed may have set half of them.
        let looked = undone.now.filter(|_| self.goes_on).unwrap_or_else(|| there.into());
        let (folder, name) = self.reach.place(path)?;
        let which = if xattrs.is_some() { self.holds.xattrs } else { Namespaces::NONE };
        let before = xattrs.map(|_| self.tree.xattrs(&folder, &name, which)).transpose()?;
        let may_go_on = || self.tree.check_below(&folder, depth(path));
        let (want, mut there) = (self.want(then, xattrs), *there);
        let by_name = !self.tree.sync_reaches(Some(there.dev));
        if by_name && self.goes_on {
            // What the disk did not take may look clean in memory.
            let mtime = Time { secs: want.mtime.secs ^ 1, ..want.mtime };
            there =
                self.tree.set_attrs(&folder, &name, &there, &Want { mtime, ..want.clone() }, &may_go_on)?;
        }
        let now = self.tree.set_attrs(&folder, &name, &there, &want, &may_go_on)?;
        if by_name && let Err(error) = self.tree.settle_name(&folder, &name) {
            self.lost = Some(error.twin());
            return Err(error);
        }
        let deed = self.deed(Action::Meta, path, reason);
        self.note(Deed { old: Some(looked), xattrs: before, now: Some((&now).into()), ..deed })
    }

    /// A folder is made.
    pub(crate) fn make_folder(&mut self, path: &RelPath, look: Option<&Look>, reason: &str) -> Result<()> {
        let (folder, name) = self.enter(path)?;
        let made = self.tree.make_folder(&folder, &name, None)?;
        let now = self.tree.stamp(&made)?;
        self.note(Deed { now: Some((&now).into()), ..self.deed(Action::Mkdir, path, reason) })?;
        let then = look.map_or_else(|| Look::from(&now), |look| Look { id: now.identity(), ..*look });
        self.touched.insert(path.clone(), Touched::new(None, then));
        Ok(())
    }

    pub(crate) fn want(&self, then: &Look, xattrs: Option<&Xattrs>) -> Want {
        Want {
            mode: then.mode,
            owner: self.holds.owner.then_some((then.uid, then.gid)),
            whose: (then.uid, then.gid),
            mtime: self.holds.times.fit(then.mtime),
            xattrs: xattrs.cloned().unwrap_or_default(),
            namespaces: if xattrs.is_some() { self.holds.xattrs } else { Namespaces::NONE },
        }
    }

    /// How an entry looked before anything was done in it.
    fn looked(&self, path: &RelPath, there: &Stamp) -> Look {
        self.touched.get(path).map_or_else(|| there.into(), Touched::looked)
    }

    /// How that looks now which is to be moved: unlocking a folder changed it. What took its place meanwhile is not moved.
    fn still(&self, at: (&Folder, &Name), expected: &Stamp) -> Result<Stamp> {
        if expected.kind != Kind::Folder {
            return Ok(*expected);
        }
        let now = self.look_at(at)?;
        if now.identity() == expected.identity() { Ok(now) } else { Err(Error::Changed) }
    }

    fn look_at(&self, at: (&Folder, &Name)) -> Result<Stamp> {
        self.tree.look(at.0, at.1)?.ok_or(Error::Changed)
    }

    /// Opens the folder that holds a path, to change something in it.
    pub(crate) fn enter(&mut self, path: &RelPath) -> Result<(Arc<Folder>, Name)> {
        let (parent, name) = path.split().ok_or(Error::Changed)?;
        self.touch(&parent)?;
        self.name(&parent, &name);
        let folder = self.reach.folder(&parent)?;
        // Held since an earlier step, it may have been moved out of the replica.
        if let Err(error) = self.tree.check_below(&folder, depth(path)) {
            self.reach.forget();
            return Err(error);
        }
        Ok((folder, name))
    }

    /// Opens the folder in which the trash, or alike's own folder, has what is to leave it.
    fn leave(&mut self, from: &RelPath) -> Result<(Arc<Folder>, Name)> {
        self.emptied.extend(from.split().map(|(folder, _)| folder));
        self.reach.place(from)
    }

    /// Without root, only a folder that may be written to can be moved elsewhere. Its mode is set again at the end.
    fn unlock(&mut self, path: &RelPath, there: &Stamp) -> Result<()> {
        if there.kind == Kind::Folder && !linux::am_root() {
            let folder = self.reach.folder(path)?;
            self.tree.unlock(&folder, there)?;
        }
        Ok(())
    }

    /// Writes down and does what takes something away. Returns where it is kept.
    fn keep(
        &mut self,
        deed: Deed,
        old: &Stamp,
        take: impl FnOnce(&Slot) -> Result<Option<Stamp>>,
    ) -> Result<String> {
        let failed = |cause| Error::of("write down what it takes away", cause);
        if old.dev != self.trash.device() {
            let cause = std::io::Error::other("it is on another filesystem than the trash");
            return Err(Error::of("keep what it takes away", cause));
        }
        let slot = self.trash.begin(Deed { kept: true, ..deed }).map_err(failed)?;
        match take(&slot) {
            Ok(now) => {
                let line = Line::Done { done: slot.n, now: now.as_ref().map(Look::from) };
                slot.bucket.write(&line, true).map_err(failed)?;
                self.taken.insert(old.identity(), slot.path());
                Ok(slot.shown())
            }
            Err(error) => {
                // It may have failed after it was kept.
                if !slot.holds(old, false) {
                    let _ = slot.bucket.write(&Line::Void { void: slot.n }, true);
                }
                Err(error)
            }
        }
    }

    pub(crate) fn note(&self, deed: Deed) -> Result<()> {
        let written = self.trash.note(deed).and_then(|()| self.trash.flush());
        written.map_err(|cause| Error::of("write down what it did", cause))
    }
}

/// How many levels below the top the folder is that holds a path.
fn depth(path: &RelPath) -> usize {
    path.names().count().saturating_sub(1)
}

/// Where copies are made, on the way to their places. None but copies: it is cleared before each, and by passes.
pub(crate) fn aside() -> RelPath {
    RelPath::parse(OWN_FOLDER).unwrap_or_default().join(&aside_name())
}

fn aside_name() -> Name {
    let Some(name) = Name::new(b"restoring") else { unreachable!("a constant") };
    name
}

/// Removes what one that broke off has left. Tells the name in alike's own folder.
pub(crate) fn clear_aside(own: &Folder) -> std::io::Result<Name> {
    remove_tree(own, &aside_name()).map(|()| aside_name())
}
