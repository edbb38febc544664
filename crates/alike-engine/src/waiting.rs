//! What a pass still has to do: folders to visit, and what waits for its stage.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use alike_model::dirty::Extent;
use alike_model::entry::Stamp;
use alike_model::known::FolderId;
use alike_model::links::{ReplicaInode, SourceInode};
use alike_model::path::{Name, RelPath};
use alike_model::plan::{Arrival, Displaced, Linked, Removal, Step};
use alike_storage::{Replica, Source};

use crate::departures::Departures;
use crate::links::Anchor;
use crate::names::NamesSeen;
use crate::place::Place;

/// A folder to visit. Holds one pending count of the place it names.
pub(crate) enum Task<S: Source, R: Replica> {
    /// Open a folder in a folder, and look at it.
    Enter { parent: Arc<Place<S, R>>, name: Name, id: Option<FolderId>, how: How<R::Folder>, extent: Extent },
    /// Look at a folder that is open.
    Look { place: Arc<Place<S, R>>, extent: Extent },
}

/// How the replica's folder comes to be open.
pub(crate) enum How<F> {
    /// It is there; device and inode that were seen there, if anybody looked.
    ByName(Option<(u64, u64)>),
    /// It is made, or put in the place of what is in the way.
    Make(Box<Step>),
    /// It came by a move, and is open; how it looked before.
    Moved(F, Box<Stamp>),
}

/// Something in a place; holds one pending count of it.
pub(crate) type At<S, R, T> = (Arc<Place<S, R>>, T);

/// What waits for its stage.
pub(crate) struct Waiting<S: Source, R: Replica> {
    pub(crate) arrivals: Vec<At<S, R, Arrival>>,
    pub(crate) displaced: Vec<At<S, R, Displaced>>,
    /// Names of inodes that have several.
    pub(crate) linked: Vec<At<S, R, Linked>>,
    /// For an inode of the source, a name that is right on the replica.
    pub(crate) anchors: HashMap<SourceInode, Anchor<S, R>>,
    /// The names seen of inodes of the replica that have several.
    pub(crate) names_seen: HashMap<ReplicaInode, NamesSeen>,
    /// Names that are proven, by the inode that they have on the replica, until all its names have been seen.
    pub(crate) proven: HashMap<ReplicaInode, Vec<At<S, R, Name>>>,
    /// Names that are proven, each by itself, and yet not linked as in the source.
    pub(crate) parted: Vec<At<S, R, Linked>>,
    /// Inodes of the replica that have a name outside: what is proven of their names does not count.
    pub(crate) distrusted: HashSet<ReplicaInode>,
    /// Of a pass that looks at a part only: the names with others that it has looked at, ...
    pub(crate) counted: HashSet<RelPath>,
    /// ... and those that it was asked to look at because of them, each once.
    pub(crate) summoned: HashSet<RelPath>,
    /// It was said that links cannot be made.
    pub(crate) links_forbidden: bool,
    /// How many of the removals were searched for such names.
    pub(crate) removals_counted: usize,
    pub(crate) removals: Vec<Option<At<S, R, Removal>>>,
    /// Folders in which something is held because rules changed.
    pub(crate) held_by_rules: Vec<RelPath>,
    pub(crate) again: Vec<At<S, R, Name>>,
    /// Known folders that could not be opened or listed: who looks at their names again owes them this look.
    pub(crate) owed: HashMap<FolderId, Extent>,
    /// Folders that were being made when something failed: what stands there now, if anything does, was never listed.
    pub(crate) half_made: HashSet<RelPath>,
    /// Names from which something moved: what is there now, or is to be made there, is compared.
    pub(crate) relook: Vec<At<S, R, Name>>,
    /// What is gone from its old name; `None` until all folders in scope have been seen.
    pub(crate) departures: Option<Departures<S, R>>,
    /// Something was renamed: what is held open may stand elsewhere now.
    pub(crate) has_moved: bool,
    /// Folders that came by a move.
    pub(crate) moved_here: HashSet<FolderId>,
    /// Folders whose names others have taken.
    pub(crate) replaced: Vec<FolderId>,
    /// Old paths of what moved but had to be copied: deleting it there loses nothing, so it does not count.
    pub(crate) copied_away: Vec<RelPath>,
}

impl<S: Source, R: Replica> Waiting<S, R> {
    pub(crate) fn new() -> Self {
        Self {
            arrivals: Vec::new(),
            displaced: Vec::new(),
            linked: Vec::new(),
            anchors: HashMap::new(),
            names_seen: HashMap::new(),
            proven: HashMap::new(),
            parted: Vec::new(),
            distrusted: HashSet::new(),
            counted: HashSet::new(),
            summoned: HashSet::new(),
            links_forbidden: false,
            removals_counted: 0,
            removals: Vec::new(),
            held_by_rules: Vec::new(),
            again: Vec::new(),
            owed: HashMap::new(),
            half_made: HashSet::new(),
            relook: Vec::new(),
            departures: None,
            has_moved: false,
            moved_here: HashSet::new(),
            replaced: Vec::new(),
            copied_away: Vec::new(),
        }
    }

    /// Something moved: what it was counted as, among what is to be deleted, is counted anew.
    pub(crate) fn recount_what_goes(&mut self) {
        if std::mem::take(&mut self.removals_counted) > 0 {
            self.names_seen.values_mut().for_each(NamesSeen::forget_going);
        }
    }
}
