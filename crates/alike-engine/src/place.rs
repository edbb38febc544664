//! A folder that is open on both sides while anything in it is still to be done.
//!
//! Held folders cost descriptors, and trees can be deeper than a process may have. When too many are held, the longest
//! held are let go; whoever needs one again opens it from the nearest folder above that is still open.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, Weak};

use alike_model::entry::Stamp;
use alike_model::filter::Filter;
use alike_model::known::{FolderId, Known, Row};
use alike_model::path::{Name, RelPath};
use alike_model::xattrs::{Xattrs, XattrsDiff};
use alike_storage::{Error, Replica, Result, Source};

/// A folder on both sides. All work in it is relative to its open folders, so nothing below is ever found by its path.
pub(crate) struct Place<S: Source, R: Replica> {
    pub(crate) parent: Option<Arc<Place<S, R>>>,
    pub(crate) name: Option<Name>,
    held: Mutex<Held<S, R>>,
    /// False only in a rehearsal, where a new folder is not really made.
    pub(crate) has_replica: bool,
    /// How the source's looked before it was listed: what the replica's will be given at the end.
    pub(crate) source_stamp: Stamp,
    /// How the replica's looked before anything was done in it; `None` when it was made just now.
    pub(crate) replica_stamp: Option<Stamp>,
    /// The replica's extended attributes that were not as in the source then.
    pub(crate) xattrs: XattrsDiff,
    /// The replica's extended attributes before they were changed, where they were.
    pub(crate) xattrs_before: OnceLock<Xattrs>,
    pub(crate) id: FolderId,
    /// The filters inside it.
    pub(crate) filter: Filter,
    /// Of a folder that nobody knew: the filters as the replica's own ignore files have them, where these are others.
    pub(crate) filter_there: Option<Filter>,
    pending: AtomicUsize,
    draft: Mutex<Draft>,
}

/// How many folders on the way to one that was let go are held again.
const HELD_ON_THE_WAY: usize = 32;

struct Held<S: Source, R: Replica> {
    source: Option<Arc<S::Folder>>,
    replica: Option<Arc<R::Folder>>,
}

/// What is to be written down when the folder is done.
#[derive(Default)]
pub(crate) struct Draft {
    /// Changes of its index row.
    pub(crate) edits: Vec<(Name, Option<Known>)>,
    /// The filters under which it was listed in full, when nothing was held because they changed.
    pub(crate) filter: Option<u64>,
    /// They are not those under which it was listed in full before; of a folder that nobody knew, those of the one above.
    pub(crate) filter_changed: bool,
    /// It has been listed in full in this pass.
    pub(crate) listed: bool,
    /// Something was done in it, so its own times are to be set again.
    pub(crate) touched: bool,
}

/// A place that is shared by all that is pending in it.
pub(crate) type Here<S, R> = Arc<Place<S, R>>;

/// What a place is made from.
pub(crate) struct Opened<S: Source, R: Replica> {
    pub(crate) source: S::Folder,
    pub(crate) replica: Option<R::Folder>,
    pub(crate) source_stamp: Stamp,
    pub(crate) replica_stamp: Option<Stamp>,
    pub(crate) xattrs: XattrsDiff,
    pub(crate) filter_there: Option<Filter>,
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
        let Opened { source, replica, source_stamp, replica_stamp, xattrs, filter_there } = opened;
        let has_replica = replica.is_some();
        let held = Held { source: Some(Arc::new(source)), replica: replica.map(Arc::new) };
        Arc::new(Self {
            parent,
            name,
            held: Mutex::new(held),
            has_replica,
            source_stamp,
            replica_stamp,
            xattrs,
            xattrs_before: OnceLock::new(),
            id,
            filter,
            filter_there,
            pending: AtomicUsize::new(1),
            draft: Mutex::new(Draft { touched: replica_stamp.is_none(), ..Draft::default() }),
        })
    }

    /// Something is held for what filters were: the row is to say that they were others, as one does that nobody wrote.
    pub(crate) fn was_under_others(&self) {
        self.draft(|draft| draft.filter = Some(Row::default().filter));
    }

    /// The source's folder.
    pub(crate) fn source(&self, tree: &S) -> Result<Arc<S::Folder>> {
        self.reach(tree, Some(&self.source_stamp), |held| &mut held.source)
    }

    /// The replica's folder.
    pub(crate) fn replica(&self, tree: &R) -> Result<Arc<R::Folder>> {
        if !self.has_replica {
            return Err(Error::Changed);
        }
        self.reach(tree, self.replica_stamp.as_ref(), |held| &mut held.replica)
    }

    /// The folder on one side; when it was let go, it is opened again, one name at a time from the nearest above. Those
    /// on the way are held as well, for they are the next to be finished.
    fn reach<T: Source>(
        &self,
        tree: &T,
        expected: Option<&Stamp>,
        side: impl Fn(&mut Held<S, R>) -> &mut Option<Arc<T::Folder>>,
    ) -> Result<Arc<T::Folder>> {
        let mut between: Vec<&Self> = Vec::new();
        let mut here = self;
        let mut open = loop {
            match (here.held(|held| side(held).clone()), here.parent.as_deref()) {
                (Some(open), _) => break open,
                (None, Some(parent)) => {
                    between.push(here);
                    here = parent;
                }
                (None, None) => break Arc::new(tree.root()?),
            }
        };
        if between.is_empty() {
            return Ok(open);
        }
        for (left, place) in between.iter().enumerate().rev() {
            let name = place.name.as_ref().ok_or(Error::Changed)?;
            open = Arc::new(tree.open_folder(&open, name)?);
            if left < HELD_ON_THE_WAY {
                place.held(|held| *side(held) = Some(Arc::clone(&open)));
            }
        }
        match expected {
            Some(stamp) if tree.stamp(&open)?.identity() != stamp.identity() => Err(Error::Changed),
            _ => Ok(open),
        }
    }

    fn held<T>(&self, work: impl FnOnce(&mut Held<S, R>) -> T) -> T {
        work(&mut self.held.lock().unwrap_or_else(PoisonError::into_inner))
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

    /// The device that the replica's folder is on; one that was just made is where the one above is. `None`: with the top folder,
    /// which was just made too.
    pub(crate) fn device(&self) -> Option<u64> {
        let mut above = std::iter::successors(Some(self), |place| place.parent.as_deref());
        above.find_map(|place| place.replica_stamp.as_ref()).map(|stamp| stamp.dev)
    }

    /// How many folders are above it.
    pub(crate) fn depth(&self) -> usize {
        std::iter::successors(self.parent.as_deref(), |place| place.parent.as_deref()).count()
    }

    /// Keeps the folder unfinished until a [`Place::release`] more.
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

    /// Notes that something was done in it.
    pub(crate) fn touch(&self) {
        self.draft(|draft| draft.touched = true);
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

/// The places whose folders are held, longest first, and how many there may be.
pub(crate) struct Shelf<S: Source, R: Replica> {
    places: Mutex<VecDeque<Weak<Place<S, R>>>>,
    room: usize,
}

impl<S: Source, R: Replica> Shelf<S, R> {
    /// A shelf for `room` places.
    pub(crate) fn new(room: usize) -> Self {
        Self { places: Mutex::default(), room: room.max(8) }
    }

    /// Puts a place on the shelf; when that is one too many, lets go of what has been held longest.
    pub(crate) fn put(&self, place: &Arc<Place<S, R>>) {
        let mut places = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        if places.len() >= self.room {
            places.retain(|place| place.strong_count() > 0);
        }
        while places.len() >= self.room {
            if let Some(longest) = places.pop_front().and_then(|place| place.upgrade()) {
                longest.held(|held| *held = Held { source: None, replica: None });
            }
        }
        places.push_back(Arc::downgrade(place));
    }
}
