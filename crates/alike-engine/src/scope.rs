//! From what is dirty to the folders to visit.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use alike_model::dirty::{Dirty, Extent};
use alike_model::known::FolderId;
use alike_model::path::{Name, RelPath};
use alike_model::xattrs::XattrsDiff;
use alike_storage::{Error, Replica, Source};

use crate::error::PassError;
use crate::hands::Hands;
use crate::ignore_files::{older_filter, read_ignore_files};
use crate::pass::{Run, Top};
use crate::place::{Opened, Place};
use crate::waiting::{How, Task};

impl<S: Source, R: Replica, H: Hands<S, R>> Run<'_, S, R, H> {
    /// Opens the roots and the folders that lead to what is dirty.
    pub(crate) fn scan(&self, dirty: Dirty) -> Result<Vec<Task<S, R>>, PassError> {
        let root = self.open_root()?;
        let tasks = self.tasks_at(&root, dirty, &[]);
        // It had one thing pending: being opened here.
        self.release(root);
        Ok(tasks)
    }

    /// Opens the folders that lead to what is dirty, but for those of `places`, which are open.
    pub(crate) fn tasks_at(
        &self,
        root: &Arc<Place<S, R>>,
        dirty: Dirty,
        places: &[Arc<Place<S, R>>],
    ) -> Vec<Task<S, R>> {
        let mut open: HashMap<RelPath, Arc<Place<S, R>>> = HashMap::new();
        for place in places {
            open.entry(place.path()).or_insert_with(|| place.retain());
        }
        open.entry(RelPath::root()).or_insert_with(|| root.retain());
        let mut looks: Vec<(Arc<Place<S, R>>, Extent)> = Vec::new();
        let mut at: HashMap<*const Place<S, R>, usize> = HashMap::new();
        for (path, extent) in dirty.into_folders() {
            // Several paths may lead to one place: the last that is there of what is gone.
            let (place, extent) = self.lead_to(root, &path, extent, &mut open);
            match at.get(&Arc::as_ptr(&place)) {
                Some(at) => looks[*at].1 = looks[*at].1.clone().with(extent),
                None => {
                    at.insert(Arc::as_ptr(&place), looks.len());
                    looks.push((place, extent));
                }
            }
        }
        let tasks =
            looks.into_iter().map(|(place, extent)| Task::Look { place: place.retain(), extent }).collect();
        // Each of these had one thing pending: being opened or kept open here.
        for place in open.into_values() {
            self.release(place);
        }
        tasks
    }

    fn open_root(&self) -> Result<Arc<Place<S, R>>, PassError> {
        let source = self.work.source.root().map_err(PassError::Source)?;
        let replica = match self.work.replica_top {
            Top::Absent => None,
            Top::There | Top::Made => Some(self.work.replica.root().map_err(PassError::Replica)?),
        };
        self.work.watch.about_to_look(&RelPath::root, &source);
        let source_stamp = self.work.source.stamp(&source).map_err(PassError::Source)?;
        let replica_stamp = replica
            .as_ref()
            .filter(|_| self.work.replica_top == Top::There)
            .map(|replica| self.work.replica.stamp(replica))
            .transpose();
        let replica_stamp = replica_stamp.map_err(PassError::Replica)?;
        let (filter, bad) = read_ignore_files(self.work.source, &source, self.work.filter, &RelPath::root)
            .map_err(PassError::Source)?;
        if let Some(bad) = bad {
            self.fail(RelPath::root(), format!("ignore file: {bad}"));
        }
        let xattrs = match (&replica, replica_stamp) {
            (Some(replica), Some(_)) => {
                self.compare_folder_xattrs(&source, replica).map_err(PassError::Source)?
            }
            _ => XattrsDiff::default(),
        };
        let unknown = replica.as_ref().filter(|_| !self.work.index.has_row(FolderId::ROOT));
        let older = |there| older_filter(self.work.replica, there, self.work.filter, &filter, &RelPath::root);
        let filter_there = unknown.map(older).transpose().map_err(PassError::Replica)?.flatten();
        let opened = Opened { source, replica, source_stamp, replica_stamp, xattrs, filter_there };
        let root = Place::new(None, opened, FolderId::ROOT, filter);
        self.shelf.put(&root);
        Ok(root)
    }

    /// Opens folder by folder down to `path`, as far as both sides and the index have it; where one of them has not, the
    /// name there is what has to be looked at.
    fn lead_to(
        &self,
        root: &Arc<Place<S, R>>,
        path: &RelPath,
        extent: Extent,
        open: &mut HashMap<RelPath, Arc<Place<S, R>>>,
    ) -> (Arc<Place<S, R>>, Extent) {
        let mut here = Arc::clone(root);
        let mut here_path = RelPath::root();
        for name in path.names() {
            let next_path = here_path.join(&name);
            if let Some(place) = open.get(&next_path) {
                here = Arc::clone(place);
            } else if here.filter.excludes(&here_path, &name, true) {
                return (here, Extent::Names(BTreeSet::new()));
            } else {
                match self.lead_one(&here, &name) {
                    Ok(place) => {
                        open.insert(next_path.clone(), Arc::clone(&place));
                        here = place;
                    }
                    Err(_) => {
                        // It may be back when its name is looked at.
                        let known = self.row(here.id).and_then(|row| row.get(&name).copied());
                        self.owe(known.and_then(|known| known.folder), Extent::Subtree);
                        return (here, Extent::Names(BTreeSet::from([name])));
                    }
                }
            }
            here_path = next_path;
        }
        (here, extent)
    }

    fn lead_one(&self, parent: &Arc<Place<S, R>>, name: &Name) -> Result<Arc<Place<S, R>>, Error> {
        let known = self.row(parent.id).and_then(|row| row.get(name).copied());
        let id = known.and_then(|known| known.folder).ok_or(Error::Changed)?;
        let identity =
            self.work.source.look(&*parent.source(self.work.source)?, name)?.map(|stamp| stamp.identity());
        if identity != known.map(|known| known.source.identity) {
            return Err(Error::Changed);
        }
        let child = self.enter(parent, name, Some(id), How::ByName(None));
        let (place, _) = child?;
        parent.retain();
        Ok(place)
    }
}
