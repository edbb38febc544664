//! What is gone from its old name on the source, and where it stands on the replica.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use alike_model::entry::{Identity, Kind, Stamp, Time};
use alike_model::known::Known;
use alike_model::path::{Name, RelPath};
use alike_storage::{Error, Replica, Result, Source};

use crate::place::Place;

/// What is gone from its old name, by what it was.
pub(crate) struct Departures<S: Source, R: Replica> {
    pub(crate) by_identity: HashMap<(Identity, Kind), Departure>,
    pub(crate) origins: Vec<Origin<S, R>>,
    /// Folders of which only the top has been taken in: mostly they are matched whole, or not at all.
    pub(crate) unexpanded: Vec<Departure>,
    /// How many removals have been taken in.
    pub(crate) removals_seen: usize,
}

/// A name of the replica that the source no longer has, or has given to something else.
pub(crate) struct Origin<S: Source, R: Replica> {
    /// Where what departs is now: an exchange puts it elsewhere.
    pub(crate) place: Arc<Place<S, R>>,
    pub(crate) name: Name,
    /// Where it was at first.
    pub(crate) path: RelPath,
    /// The removal that waits for that name.
    pub(crate) removal: Option<usize>,
}

/// Something that departed: an origin, or something below it.
#[derive(Clone)]
pub(crate) struct Departure {
    pub(crate) origin: usize,
    pub(crate) below: Vec<Name>,
    pub(crate) known: Known,
}

impl Departure {
    /// Checks that what stands at the old name is still what the index knew there.
    pub(crate) fn check(&self, now: &Stamp) -> Result<()> {
        let same = now.ino == self.known.replica.ino && now.kind == self.known.kind;
        if same { Ok(()) } else { Err(Error::Changed) }
    }
}

impl<S: Source, R: Replica> Default for Departures<S, R> {
    fn default() -> Self {
        Self { by_identity: HashMap::new(), origins: Vec::new(), unexpanded: Vec::new(), removals_seen: 0 }
    }
}

impl<S: Source, R: Replica> Departures<S, R> {
    /// True when an inode of the source is one of them, or may be: one born after `indexed` cannot.
    pub(crate) fn have(&self, source: &Stamp, indexed: Option<Time>) -> bool {
        let old = || source.btime.is_none_or(|born| indexed.is_some_and(|indexed| born <= indexed));
        self.by_identity.contains_key(&(source.identity(), source.kind))
            || (!self.unexpanded.is_empty() && old())
    }

    pub(crate) fn take_in(&mut self, departure: Departure) {
        self.by_identity.insert((departure.known.source.identity, departure.known.kind), departure);
    }

    pub(crate) fn path(&self, departure: &Departure) -> RelPath {
        self.origins[departure.origin].path.clone().joined(&departure.below)
    }
}

impl<S: Source, R: Replica> Departures<S, R> {
    pub(crate) fn add_origin(
        &mut self,
        place: &Arc<Place<S, R>>,
        name: &Name,
        removal: Option<usize>,
        known: Known,
    ) {
        let path = place.path().join(name);
        let top = Departure { origin: self.origins.len(), below: Vec::new(), known };
        self.unexpanded.extend((known.kind == Kind::Folder).then(|| top.clone()));
        self.take_in(top);

        self.origins.push(Origin { place: Arc::clone(place), name: name.clone(), path, removal });
    }

    /// Where a departure is now; in a rehearsal, where it was.
    pub(crate) fn path_now(&self, departure: &Departure) -> RelPath {
        let origin = &self.origins[departure.origin];
        origin.place.path().join(&origin.name).joined(&departure.below)
    }

    pub(crate) fn has_origin_at(&self, place: &Arc<Place<S, R>>, name: &Name) -> bool {
        (0..self.origins.len()).any(|origin| self.is_at(origin, place, name))
    }

    /// Forgets what departed from a name, and all below it.
    pub(crate) fn withdraw(&mut self, place: &Arc<Place<S, R>>, name: &Name) {
        let gone: HashSet<usize> =
            (0..self.origins.len()).filter(|at| self.is_at(*at, place, name)).collect();
        if !gone.is_empty() {
            self.by_identity.retain(|_, departure| !gone.contains(&departure.origin));
            self.unexpanded.retain(|departure| !gone.contains(&departure.origin));
        }
    }

    pub(crate) fn is_at(&self, origin: usize, place: &Arc<Place<S, R>>, name: &Name) -> bool {
        let origin = &self.origins[origin];
        Arc::ptr_eq(&origin.place, place) && origin.name == *name
    }

    /// What was at `from` is at `to` now.
    pub(crate) fn relocate(&mut self, from: (&Arc<Place<S, R>>, &Name), to: (&Arc<Place<S, R>>, &Name)) {
        for origin in 0..self.origins.len() {
            if self.is_at(origin, from.0, from.1) {
                self.origins[origin].place = Arc::clone(to.0);
                self.origins[origin].name = to.1.clone();
            }
        }
    }
}
