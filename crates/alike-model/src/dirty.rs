//! What may be stale and must be looked at again. Dirt only ever grows coarser, so nothing falls out of it.

use std::collections::{BTreeMap, BTreeSet};

use crate::path::{Name, RelPath};

/// How much of a folder is to be looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Extent {
    /// These names only.
    Names(BTreeSet<Name>),
    /// The folder, not what is below its subfolders.
    Folder,
    /// Everything below.
    Subtree,
}

impl Extent {
    /// Both together.
    #[must_use]
    pub fn with(self, other: Self) -> Self {
        match (self, other) {
            (Self::Subtree, _) | (_, Self::Subtree) => Self::Subtree,
            (Self::Folder, _) | (_, Self::Folder) => Self::Folder,
            (Self::Names(mut have), Self::Names(more)) => {
                have.extend(more);
                Self::Names(have)
            }
        }
    }
}

/// Folders to be looked at again.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dirty {
    folders: BTreeMap<RelPath, Extent>,
}

impl Dirty {
    /// More names than this in one folder, and the whole folder is looked at.
    pub const MOST_NAMES: usize = 256;
    /// More folders than this, and the whole tree is.
    pub const MOST_FOLDERS: usize = 20_000;

    /// Nothing is dirty.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The whole tree.
    #[must_use]
    pub fn everything() -> Self {
        let mut dirty = Self::new();
        dirty.mark(RelPath::root(), Extent::Subtree);
        dirty
    }

    /// True when nothing is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.folders.is_empty()
    }

    /// True when all is.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.folders.get(&RelPath::root()) == Some(&Extent::Subtree)
    }

    /// How many names it has; what is coarser counts as one.
    #[must_use]
    pub fn names(&self) -> u64 {
        let count = |extent: &Extent| match extent {
            Extent::Names(names) => names.len() as u64,
            Extent::Folder | Extent::Subtree => 1,
        };
        self.folders.values().map(count).sum()
    }

    /// True when it says to look at this name.
    #[must_use]
    pub fn has(&self, folder: &RelPath, name: &Name) -> bool {
        let is_named = match self.folders.get(folder) {
            Some(Extent::Names(names)) => names.contains(name),
            Some(Extent::Folder | Extent::Subtree) => true,
            None => false,
        };
        let mut above = Some(folder.clone());
        is_named
            || std::iter::from_fn(|| {
                let at = above.take()?;
                above = at.split().map(|(parent, _)| parent);
                Some(at)
            })
            .any(|at| self.folders.get(&at) == Some(&Extent::Subtree))
    }

    /// True when it says to look at this name, and not only at the folder.
    #[must_use]
    pub fn has_exactly(&self, folder: &RelPath, name: &Name) -> bool {
        matches!(self.folders.get(folder), Some(Extent::Names(names)) if names.contains(name))
    }

    /// True when it says to look at this path, or at something that it lies in.
    #[must_use]
    pub fn is_at_or_above(&self, path: &RelPath) -> bool {
        let mut at = path.split();
        while let Some((folder, name)) = at {
            if self.has(&folder, &name) {
                return true;
            }
            at = folder.split();
        }
        false
    }

    /// Adds one name of a folder.
    pub fn mark_name(&mut self, folder: RelPath, name: Name) {
        self.mark(folder, Extent::Names(BTreeSet::from([name])));
    }

    /// Adds dirt to a folder; with what is there the coarser of both holds.
    pub fn mark(&mut self, folder: RelPath, extent: Extent) {
        if self.is_everything() {
            return;
        }
        let merged = match self.folders.remove(&folder) {
            Some(have) => have.with(extent),
            None => extent,
        };
        let merged = match merged {
            Extent::Names(names) if names.len() > Self::MOST_NAMES => Extent::Folder,
            other => other,
        };
        self.folders.insert(folder, merged);
        if self.folders.len() > Self::MOST_FOLDERS || self.is_everything() {
            self.folders = BTreeMap::from([(RelPath::root(), Extent::Subtree)]);
        }
    }

    /// Adds all of another's dirt.
    pub fn absorb(&mut self, other: Self) {
        for (folder, extent) in other.folders {
            self.mark(folder, extent);
        }
    }

    /// Takes out the names that `other` covers: they will be looked at by then anyway.
    pub fn leave_to(&mut self, other: &Self) {
        if other.is_empty() {
            return;
        }
        self.folders.retain(|folder, extent| match (extent, other.folders.get(folder)) {
            (_, None) => true,
            (Extent::Names(names), Some(Extent::Names(covered))) => {
                names.retain(|name| !covered.contains(name));
                !names.is_empty()
            }
            (Extent::Names(_) | Extent::Folder, Some(Extent::Folder)) | (_, Some(Extent::Subtree)) => false,
            (Extent::Folder | Extent::Subtree, Some(_)) => true,
        });
    }

    /// The folders to look at, parents first; what lies below a dirty subtree is left out.
    #[must_use]
    pub fn into_folders(self) -> Vec<(RelPath, Extent)> {
        let mut kept: Vec<(RelPath, Extent)> = Vec::with_capacity(self.folders.len());
        let mut covered: Option<RelPath> = None;
        for (folder, extent) in self.folders {
            if covered.as_ref().is_some_and(|top| folder.is_within(top)) {
                continue;
            }
            if extent == Extent::Subtree {
                covered = Some(folder.clone());
            }
            kept.push((folder, extent));
        }
        kept
    }
}
