//! Finds what stands at a path of a tree, one open folder at a time, whatever the depth, and holds few of them.

use std::sync::Arc;

use alike_model::entry::{Entry, Kind, Stamp};
use alike_model::path::{Name, RelPath};
use alike_storage::{Error, Folder, Local, Result, Source};

/// Of the folders on the way to the last path, these are held: the first, and further down one of so many.
const HELD: usize = 64;

/// The way to paths of a tree.
pub(crate) struct Reach<'a> {
    tree: &'a Local,
    top: Arc<Folder>,
    /// From the top on, each in the one before.
    chain: Vec<(Name, Option<Arc<Folder>>)>,
    last: Option<(RelPath, Arc<Folder>)>,
}

impl<'a> Reach<'a> {
    pub(crate) fn new(tree: &'a Local) -> Result<Self> {
        Ok(Self { tree, top: Arc::new(tree.root()?), chain: Vec::new(), last: None })
    }

    /// Forgets what is held: folders have other names now.
    pub(crate) fn forget(&mut self) {
        self.chain.clear();
        self.last = None;
    }

    /// Opens the folder at a path.
    pub(crate) fn folder(&mut self, path: &RelPath) -> Result<Arc<Folder>> {
        if let Some((_, folder)) = self.last.as_ref().filter(|(last, _)| last == path) {
            return Ok(Arc::clone(folder));
        }
        let mut shared = 0;
        let mut names = path.names();
        let mut next = names.next();
        while let (Some((held, _)), Some(name)) = (self.chain.get(shared), &next)
            && held == name
        {
            shared += 1;
            next = names.next();
        }
        let held = self.chain[..shared].iter().rposition(|(_, open)| open.is_some());
        let open = held.and_then(|at| self.chain[at].1.clone());
        let mut here = open.unwrap_or_else(|| Arc::clone(&self.top));
        for (name, _) in &self.chain[held.map_or(0, |at| at + 1)..shared] {
            here = Arc::new(self.tree.open_folder(&here, name)?);
        }
        self.chain.truncate(shared);
        while let Some(name) = next {
            here = Arc::new(self.tree.open_folder(&here, &name)?);
            let depth = self.chain.len();
            let is_held = depth < HELD || depth.is_multiple_of(HELD);
            self.chain.push((name, is_held.then(|| Arc::clone(&here))));
            next = names.next();
        }
        self.last = Some((path.clone(), Arc::clone(&here)));
        Ok(here)
    }

    /// Opens the folder that holds a path, and tells the name in it.
    pub(crate) fn place(&mut self, path: &RelPath) -> Result<(Arc<Folder>, Name)> {
        let (parent, name) = path.split().ok_or(Error::Changed)?;
        Ok((self.folder(&parent)?, name))
    }

    /// Looks at a path; `None` when nothing is there.
    pub(crate) fn look(&mut self, path: &RelPath) -> Result<Option<Stamp>> {
        let Some((parent, name)) = path.split() else { return self.tree.stamp(&self.top).map(Some) };
        match self.folder(&parent) {
            Ok(folder) => self.tree.look(&folder, &name),
            // Where there is no folder, there is nothing in it.
            Err(error) if error.is_changed() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Lists the folder at a path.
    pub(crate) fn list(&mut self, path: &RelPath) -> Result<Vec<Entry>> {
        let folder = self.folder(path)?;
        self.tree.list(&folder)
    }

    /// Visits all that can be seen at and below a path; what cannot is left out.
    pub(crate) fn walk(&mut self, top: &RelPath, visit: &mut dyn FnMut(&RelPath, &Stamp)) {
        let mut folders = match self.look(top) {
            Ok(Some(stamp)) => {
                visit(top, &stamp);
                if stamp.kind == Kind::Folder { vec![top.clone()] } else { Vec::new() }
            }
            _ => Vec::new(),
        };
        while let Some(path) = folders.pop() {
            for entry in self.list(&path).unwrap_or_default() {
                if let Ok(stamp) = entry.look {
                    let below = path.join(&entry.name);
                    visit(&below, &stamp);
                    if stamp.kind == Kind::Folder {
                        folders.push(below);
                    }
                }
            }
        }
    }
}
