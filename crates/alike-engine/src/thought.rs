//! A replica in thought: what a rehearsal renamed or took away shows as it would stand then, and nothing is touched.
//!
//! A pass that exchanged two names looks again at what came by that, and so must a rehearsal, or it would not tell what the
//! pass then deletes. It sees the real tree but for the names that were changed in thought. Only verbs that look are ever
//! called on the tree itself.

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use alike_model::entry::{Entry, Kind, Stamp};
use alike_model::path::Name;
use alike_model::xattrs::{Namespaces, Xattrs};
use alike_storage::{Content, Error, Folder, MayGoOn, New, Over, Replica, Result, Source, Want};

/// A replica in thought.
pub(crate) struct Thought<'a, R> {
    tree: &'a R,
    changed: Mutex<Changed>,
    made: AtomicU64,
}

/// By folder (device and inode) and name, what would stand there.
type Changed = HashMap<(u64, u64), BTreeMap<Name, Stands>>;

/// What would stand at a name.
#[derive(Clone)]
enum Stands {
    Nothing,
    /// A folder that is not there.
    Made(Stamp),
    /// What really stands elsewhere.
    From(Arc<Way>, Stamp),
}

/// Where something really stands. A path would cost as much as it is long, and a folder held open a descriptor.
pub(crate) struct Way {
    above: Option<Arc<Way>>,
    name: Name,
}

impl Drop for Way {
    /// One by one: a long chain would overflow the stack.
    fn drop(&mut self) {
        let mut above = self.above.take();
        while let Some(way) = above {
            above = Arc::into_inner(way).and_then(|mut way| way.above.take());
        }
    }
}

/// An open folder of a replica in thought.
pub(crate) enum InThought<F> {
    /// It is there; `None`: at the top.
    There(F, Option<Arc<Way>>),
    /// It would be made.
    Made(Stamp),
}

impl<F> InThought<F> {
    /// The way to a name in it, if anything really stands there.
    fn way_to(&self, name: &Name) -> Result<Arc<Way>> {
        match self {
            Self::There(_, above) => Ok(Arc::new(Way { above: above.clone(), name: name.clone() })),
            Self::Made(_) => Err(Error::Changed),
        }
    }
}

impl<'a, R: Replica> Thought<'a, R> {
    /// As the tree is.
    pub(crate) fn of(tree: &'a R) -> Self {
        Self { tree, changed: Mutex::default(), made: AtomicU64::new(0) }
    }

    fn changed(&self) -> MutexGuard<'_, Changed> {
        self.changed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What tells a folder from others.
    fn inode(&self, folder: &InThought<R::Folder>) -> Result<(u64, u64)> {
        self.stamp(folder).map(|stamp| (stamp.dev, stamp.ino))
    }

    /// What was changed at a name; `None`: what really stands there.
    fn stands(&self, folder: &InThought<R::Folder>, name: &Name) -> Result<Option<Stands>> {
        if self.changed().is_empty() {
            return Ok(None);
        }
        let inode = self.inode(folder)?;
        Ok(self.changed().get(&inode).and_then(|names| names.get(name)).cloned())
    }

    fn put(&self, folder: &InThought<R::Folder>, name: &Name, stands: Stands) -> Result<()> {
        let inode = self.inode(folder)?;
        self.changed().entry(inode).or_default().insert(name.clone(), stands);
        Ok(())
    }

    /// What is to stand elsewhere, and looks like this.
    fn lift(&self, folder: &InThought<R::Folder>, name: &Name, look: &Stamp) -> Result<Stands> {
        match self.stands(folder, name)? {
            Some(Stands::Nothing) => Err(Error::Changed),
            Some(stands) => Ok(stands),
            None => Ok(Stands::From(folder.way_to(name)?, *look)),
        }
    }

    /// The way to what stands at a name in thought.
    fn way(&self, folder: &InThought<R::Folder>, name: &Name) -> Result<Arc<Way>> {
        match self.stands(folder, name)? {
            None => folder.way_to(name),
            Some(Stands::From(way, _)) => Ok(way),
            Some(Stands::Nothing | Stands::Made(_)) => Err(Error::Changed),
        }
    }

    /// Works where that really stands which has this name in thought.
    fn really<T>(
        &self,
        folder: &InThought<R::Folder>,
        name: &Name,
        work: impl FnOnce(&R::Folder, &Name) -> Result<T>,
    ) -> Result<T> {
        let way = match (folder, self.stands(folder, name)?) {
            (InThought::There(folder, _), None) => return work(folder, name),
            (_, Some(Stands::From(way, _))) => way,
            _ => return Err(Error::Changed),
        };
        let mut above = Vec::new();
        let mut next = way.above.as_ref();
        while let Some(way) = next {
            above.push(&way.name);
            next = way.above.as_ref();
        }
        let top = self.tree.root()?;
        let folder = above.iter().rev().try_fold(top, |folder, name| self.tree.open_folder(&folder, name))?;
        work(&folder, &way.name)
    }
}

impl<R: Replica> Source for Thought<'_, R> {
    type Folder = InThought<R::Folder>;

    fn root(&self) -> Result<Self::Folder> {
        self.tree.root().map(|top| InThought::There(top, None))
    }

    fn open_folder(&self, parent: &Self::Folder, name: &Name) -> Result<Self::Folder> {
        if let Some(Stands::Made(stamp)) = self.stands(parent, name)? {
            return Ok(InThought::Made(stamp));
        }
        let opened = self.really(parent, name, |folder, name| self.tree.open_folder(folder, name))?;
        Ok(InThought::There(opened, Some(self.way(parent, name)?)))
    }

    fn stamp(&self, folder: &Self::Folder) -> Result<Stamp> {
        match folder {
            InThought::There(folder, _) => self.tree.stamp(folder),
            InThought::Made(stamp) => Ok(*stamp),
        }
    }

    fn list(&self, folder: &Self::Folder) -> Result<Vec<Entry>> {
        let mut entries = match folder {
            InThought::There(folder, _) => self.tree.list(folder)?,
            InThought::Made(_) => Vec::new(),
        };
        if self.changed().is_empty() {
            return Ok(entries);
        }
        let inode = self.inode(folder)?;
        for (name, stands) in self.changed().get(&inode).into_iter().flatten() {
            let at = entries.binary_search_by(|entry| entry.name.cmp(name));
            if let Ok(at) = at {
                entries.remove(at);
            }
            if let Stands::Made(look) | Stands::From(_, look) = stands {
                let (Ok(at) | Err(at)) = at;
                entries.insert(at, Entry { name: name.clone(), look: Ok(*look) });
            }
        }
        Ok(entries)
    }

    fn look(&self, folder: &Self::Folder, name: &Name) -> Result<Option<Stamp>> {
        match (folder, self.stands(folder, name)?) {
            (_, Some(Stands::Made(look) | Stands::From(_, look))) => Ok(Some(look)),
            (InThought::There(folder, _), None) => self.tree.look(folder, name),
            (InThought::Made(_), None) | (_, Some(Stands::Nothing)) => Ok(None),
        }
    }

    fn read_file(&self, folder: &Self::Folder, name: &Name) -> Result<Content> {
        self.really(folder, name, |folder, name| self.tree.read_file(folder, name))
    }

    fn read_link(&self, folder: &Self::Folder, name: &Name) -> Result<Vec<u8>> {
        self.really(folder, name, |folder, name| self.tree.read_link(folder, name))
    }

    fn xattrs(&self, folder: &Self::Folder, name: &Name, which: Namespaces) -> Result<Xattrs> {
        self.really(folder, name, |folder, name| self.tree.xattrs(folder, name, which))
    }

    fn folder_xattrs(&self, folder: &Self::Folder, which: Namespaces) -> Result<Xattrs> {
        match folder {
            InThought::There(folder, _) => self.tree.folder_xattrs(folder, which),
            InThought::Made(_) => Ok(Xattrs::default()),
        }
    }
}

/// Names change in thought; whatever else would touch the tree is refused.
impl<R: Replica> Replica for Thought<'_, R> {
    type Staged = Infallible;

    fn make_folder(&self, parent: &Self::Folder, name: &Name, _: Option<Over<'_>>) -> Result<Self::Folder> {
        let ino = u64::MAX - self.made.fetch_add(1, Ordering::Relaxed);
        let made = Stamp { kind: Kind::Folder, ino, btime: None, nlink: 2, ..self.stamp(parent)? };
        self.put(parent, name, Stands::Made(made))?;
        Ok(InThought::Made(made))
    }

    fn rename(
        &self,
        from: (&Self::Folder, &Name),
        to: (&Self::Folder, &Name),
        expected: &Stamp,
        _: Option<Over<'_>>,
    ) -> Result<Stamp> {
        let moved = self.lift(from.0, from.1, expected)?;
        self.put(from.0, from.1, Stands::Nothing)?;
        self.put(to.0, to.1, moved)?;
        Ok(*expected)
    }

    fn exchange(
        &self,
        one: (&Self::Folder, &Name, &Stamp),
        other: (&Self::Folder, &Name, &Stamp),
    ) -> Result<Stamp> {
        let (first, second) = (self.lift(one.0, one.1, one.2)?, self.lift(other.0, other.1, other.2)?);
        self.put(other.0, other.1, first)?;
        self.put(one.0, one.1, second)?;
        Ok(*one.2)
    }

    fn remove(&self, folder: &Self::Folder, name: &Name, _: Over<'_>) -> Result<()> {
        self.put(folder, name, Stands::Nothing)
    }

    fn is_mount(&self, folder: &Self::Folder) -> Result<bool> {
        match folder {
            InThought::There(folder, _) => self.tree.is_mount(folder),
            InThought::Made(_) => Ok(false),
        }
    }

    fn check_below(&self, _: &Self::Folder, _: usize) -> Result<()> {
        Ok(())
    }

    fn sync_reaches(&self, _: Option<u64>) -> bool {
        true
    }

    fn changes_in_place(&self, staged: &Infallible) -> bool {
        match *staged {}
    }

    fn is_like(&self, staged: &Infallible, _: &Content, _: u64, _: &dyn Fn() -> bool) -> Result<bool> {
        match *staged {}
    }

    fn publish(&self, _: &Self::Folder, _: &Name, staged: Infallible, _: Option<Over<'_>>) -> Result<Stamp> {
        match staged {}
    }

    fn stage(&self, _: &Self::Folder, _: New<'_>) -> Result<(Infallible, Option<Error>)> {
        Err(Error::Changed)
    }

    fn settle(&self, _: &[&Infallible]) -> Result<()> {
        Err(Error::Changed)
    }

    fn settle_folder(&self, _: &Self::Folder) -> Result<()> {
        Err(Error::Changed)
    }

    fn settle_name(&self, _: &Self::Folder, _: &Name) -> Result<()> {
        Err(Error::Changed)
    }

    fn set_attrs(&self, _: &Self::Folder, _: &Name, _: &Stamp, _: &Want, _: MayGoOn<'_>) -> Result<Stamp> {
        Err(Error::Changed)
    }

    fn set_folder_attrs(&self, _: &Self::Folder, _: &Want, _: MayGoOn<'_>) -> Result<Stamp> {
        Err(Error::Changed)
    }

    fn link(
        &self,
        _: (&Self::Folder, &Name),
        _: (&Self::Folder, &Name),
        _: &Stamp,
        _: Option<Over<'_>>,
    ) -> Result<Stamp> {
        Err(Error::Changed)
    }

    fn unlock(&self, _: &Self::Folder, _: &Stamp) -> Result<bool> {
        Err(Error::Changed)
    }

    fn open_kept(&self, _: &Folder) -> Result<Self::Folder> {
        Err(Error::Changed)
    }

    fn sync(&self) -> Result<()> {
        Err(Error::Changed)
    }
}
