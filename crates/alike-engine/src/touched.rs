//! Folders in which undo and restore did something: at the end they get their attributes and are brought to the disk.

use std::collections::BTreeSet;

use alike_model::entry::{Kind, Stamp};
use alike_model::event::Action;
use alike_model::past::rebased;
use alike_model::path::{Name, RelPath};
use alike_model::xattrs::{Namespaces, Xattrs};
use alike_storage::{Error, Replica, Result, Source};

use crate::chronicle::slot;
use crate::history::{Deed, Look};
use crate::mend::Mend;
use crate::settle::{lost, settle_names};

/// A folder in which something is done.
#[derive(Clone)]
pub(crate) struct Touched {
    /// How it looked before; `None` for one that came just now.
    before: Option<Look>,
    /// How it is to look at the end.
    then: Look,
    xattrs: Option<Xattrs>,
    /// The names in it that something was done to.
    names: BTreeSet<Name>,
}

impl Touched {
    pub(crate) fn new(before: Option<Look>, then: Look) -> Self {
        Self { before, then, xattrs: None, names: BTreeSet::new() }
    }

    /// How it looked before anything was done in it.
    pub(crate) fn looked(&self) -> Look {
        self.before.unwrap_or(self.then)
    }
}

impl Mend<'_> {
    /// A folder gets the attributes that it had before a deed, when all else is done.
    pub(crate) fn dress_at_the_end(&mut self, path: &RelPath, deed: &Deed) -> Result<()> {
        let Some(then) = deed.old else { return Err(Error::Changed) };
        self.touch(path)?;
        if let Some(touched) = self.touched.get_mut(path) {
            touched.then = then;
            touched.xattrs = deed.xattrs.clone().or(touched.xattrs.take());
            if self.goes_on && touched.before.is_some() {
                // How it looks now is what was left of it half-way.
                touched.before = deed.now.filter(|_| deed.action == Action::Meta).or(touched.before);
            }
        }
        Ok(())
    }

    /// Gives all folders in which something was done their attributes, those inside first, and brings all to the disk. What
    /// fails of the first is told.
    ///
    /// # Errors
    /// When what was done may not have reached the disk.
    pub(crate) fn finish(&mut self, failed: &mut dyn FnMut(&RelPath, Error)) -> Result<()> {
        let mut settled = self.lost.take().map_or(Ok(()), Err);
        for (path, touched) in std::mem::take(&mut self.touched).into_iter().rev() {
            if let Err(error) = self.finish_one(&path, &touched) {
                failed(&path, error);
            }
            // What was moved away meanwhile is not the replica's any more.
            let there = self.reach.folder(&path).ok();
            let brought = there.map_or(Ok(()), |folder| settle_names(self.tree, &folder, &touched.names));
            settled = settled.and(brought);
        }
        // What is not written down cannot be taken back; the replica is right all the same.
        let _ = self.trash.flush();
        settled.and(self.settle_trash()).and(self.tree.sync())
    }

    /// Brings to the disk what went to the trash, and what came from there.
    fn settle_trash(&mut self) -> Result<()> {
        if self.tree.sync_reaches(Some(self.trash.device())) {
            return Ok(());
        }
        let mut buckets = std::mem::take(&mut self.emptied);
        if self.goes_on {
            // What was killed filled one of its own.
            let all = self.trash.buckets().map_err(lost)?;
            buckets.extend(all.iter().filter_map(|bucket| Some(slot(bucket, 0).split()?.0)));
        }
        for bucket in buckets {
            let folder = self.reach.folder(&bucket)?;
            Name::new(b"journal").map_or(Ok(()), |journal| self.tree.settle_name(&folder, &journal))?;
            self.tree.settle_folder(&folder)?;
        }
        self.trash.settle().map_err(lost)
    }

    fn finish_one(&mut self, path: &RelPath, touched: &Touched) -> Result<()> {
        let folder = self.reach.folder(path)?;
        if self.tree.stamp(&folder)?.identity() != touched.then.id {
            return Ok(());
        }
        let which = if touched.xattrs.is_some() { self.holds.xattrs } else { Namespaces::NONE };
        let before = touched.xattrs.as_ref().map(|_| self.tree.folder_xattrs(&folder, which)).transpose()?;
        let want = self.want(&touched.then, touched.xattrs.as_ref());
        let may_go_on = || self.tree.check_below(&folder, path.names().count());
        let now = self.tree.set_folder_attrs(&folder, &want, &may_go_on)?;
        if touched.before.is_some() {
            let deed = self.deed(Action::Meta, path, "");
            self.note(Deed { old: touched.before, xattrs: before, now: Some((&now).into()), ..deed })?;
        }
        Ok(())
    }

    /// Remembers how a folder looks before anything is done in it, and lets its owner write into it.
    pub(crate) fn touch(&mut self, path: &RelPath) -> Result<()> {
        if self.touched.contains_key(path) {
            return Ok(());
        }
        let folder = self.reach.folder(path)?;
        let stamp = self.tree.stamp(&folder)?;
        self.tree.unlock(&folder, &stamp)?;
        let look = Look::from(&stamp);
        self.touched.insert(path.clone(), Touched::new(Some(look), look));
        Ok(())
    }

    /// Notes that something is done to a name, in a folder that was touched.
    pub(crate) fn name(&mut self, parent: &RelPath, name: &Name) {
        if let Some(touched) = self.touched.get_mut(parent) {
            touched.names.insert(name.clone());
        }
    }

    /// An entry has another name, or none, and so has all below.
    pub(crate) fn moved(&mut self, from: &RelPath, to: Option<&RelPath>, there: &Stamp) {
        if there.kind == Kind::Folder {
            self.reach.forget();
            let lifted = self.lift(from);
            if let Some(to) = to {
                self.lay(lifted, from, to);
            }
        }
    }

    /// A folder came from the trash.
    pub(crate) fn came(&mut self, path: &RelPath, old: &Look, now: &Stamp) {
        if now.kind == Kind::Folder {
            let then = Look { id: now.identity(), ..*old };
            self.touched.insert(path.clone(), Touched::new(None, then));
        }
    }

    pub(crate) fn lift(&mut self, path: &RelPath) -> Vec<(RelPath, Touched)> {
        let range = self.touched.range(path.clone()..).take_while(|(one, _)| one.is_within(path));
        let paths: Vec<RelPath> = range.map(|(one, _)| one.clone()).collect();
        paths.into_iter().filter_map(|one| self.touched.remove_entry(&one)).collect()
    }

    pub(crate) fn lay(&mut self, lifted: Vec<(RelPath, Touched)>, from: &RelPath, to: &RelPath) {
        self.touched.extend(lifted.into_iter().map(|(path, touched)| (rebased(&path, from, to), touched)));
    }
}
