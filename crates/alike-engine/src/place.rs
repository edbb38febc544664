//! A folder that is open on both sides while anything in it is still to be done.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use alike_model::entry::Stamp;
use alike_model::filter::Filter;
use alike_model::known::{FolderId, Known};
use alike_model::path::{Name, RelPath};
use alike_storage::{Replica, Source};

/// A folder, open on both sides. Holds its parents open too, so nothing below is ever found by its path.
pub(crate) struct Place<S: Source, R: Replica> {
    pub(crate) parent: Option<Arc<Place<S, R>>>,
    pub(crate) name: Option<Name>,
    pub(crate) source: S::Folder,
    /// `None` only in a rehearsal, where the folder is not really made.
    pub(crate) replica: Option<R::Folder>,
    /// How the source's looked before it was listed: what the replica's will be given at the end.
    pub(crate) source_stamp: Stamp,
    /// How the replica's looked before anything was done in it; `None` when it was made just now.
    pub(crate) replica_stamp: Option<Stamp>,
    pub(crate) id: FolderId,
    /// The filters outside: those of its own ignore files come when it is listed.
    pub(crate) filter: Filter,
    pending: AtomicUsize,
    draft: Mutex<Draft>,
}

/// What is to be written down when the folder is done.
#[derive(Default)]
pub(crate) struct Draft {
    /// Changes of its index row.
    pub(crate) edits: Vec<(Name, Option<Known>)>,
    /// The filters under which it was listed in full, when nothing was held because they changed.
    pub(crate) filter: Option<u64>,
    /// Something was done in it, so its own times are to be set again.
    pub(crate) touched: bool,
}

/// What an open folder is made from.
pub(crate) struct Opened<S: Source, R: Replica> {
    pub(crate) source: S::Folder,
    pub(crate) replica: Option<R::Folder>,
    pub(crate) source_stamp: Stamp,
    pub(crate) replica_stamp: Option<Stamp>,
}

impl<S: Source, R: Replica> Place<S, R> {
    /// A place with one thing pending: whoever made it.
    pub(crate) fn new(
        parent: Option<(Arc<Self>, Name)>,
        opened: Opened<S, R>,
        id: FolderId,
        filter: Filter,
    ) -> Arc<Self> {
        let (parent, name) = parent.map_or((None, None), |(parent, name)| (Some(parent), Some(name)));
        let Opened { source, replica, source_stamp, replica_stamp } = opened;
        Arc::new(Self {
            parent,
            name,
            source,
            replica,
            source_stamp,
            replica_stamp,
            id,
            filter,
            pending: AtomicUsize::new(1),
            draft: Mutex::new(Draft { touched: replica_stamp.is_none(), ..Draft::default() }),
        })
    }

    /// Its path. Built when asked for: each place holding its own would make deep trees cost their depth squared.
    pub(crate) fn path(&self) -> RelPath {
        let mut names = Vec::new();
        let mut place = Some(self);
        while let Some(here) = place {
            names.extend(here.name.as_ref());
            place = here.parent.as_deref();
        }
        let mut path = RelPath::root();
        for name in names.into_iter().rev() {
            path.push(name);
        }
        path
    }

    /// Keeps the folder open until a [`Place::release`] more.
    pub(crate) fn retain(self: &Arc<Self>) -> Arc<Self> {
        self.pending.fetch_add(1, Ordering::Relaxed);
        Arc::clone(self)
    }

    /// One thing less pending; true when it was the last, and the folder can be finished.
    pub(crate) fn release(&self) -> bool {
        self.pending.fetch_sub(1, Ordering::AcqRel) == 1
    }

    /// Works on the draft.
    pub(crate) fn draft<T>(&self, work: impl FnOnce(&mut Draft) -> T) -> T {
        work(&mut self.draft.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Notes what is known of a name now.
    pub(crate) fn learn(&self, name: &Name, known: Option<Known>) {
        self.draft(|draft| draft.edits.push((name.clone(), known)));
    }
}

impl<S: Source, R: Replica> Drop for Place<S, R> {
    /// Lets parents go one by one: a chain of ten thousand folders would overflow the stack.
    fn drop(&mut self) {
        let mut parent = self.parent.take();
        while let Some(place) = parent {
            parent = Arc::into_inner(place).and_then(|mut place| place.parent.take());
        }
    }
}
