//! What is gone from its old name on the source, and where it stands on the replica.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use alike_model::entry::{Identity, Kind, Stamp, Time};
use alike_model::known::{FolderId, Known, Row};
use alike_model::path::{Name, RelPath};
use alike_model::plan::Removal;
use alike_storage::{Error, Replica, Result, Source};

use crate::hands::Hands;
use crate::pass::Run;
use crate::place::Place;
use crate::waiting::At;

/// What something is, whatever its name.
pub(crate) type Key = (Identity, Kind);

/// What is gone from its old name, by what it was.
pub(crate) struct Departures<S: Source, R: Replica> {
    by_identity: HashMap<Key, Departure>,
    pub(crate) origins: Vec<Origin<S, R>>,
    /// The origins that stand at a name: there may be as many as names, so they are never searched one by one.
    standing: HashMap<(usize, Name), Vec<usize>>,
    /// Origins from which nothing may be taken away any more.
    withdrawn: HashSet<usize>,
    /// What could not be moved: it is copied, also when it is found gone from yet another name.
    refused: HashSet<Key>,
    /// Folders, by origin, of which only the top has been taken in: mostly they are matched whole, or not at all.
    unexpanded: BTreeMap<usize, Departure>,
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
    /// What it was.
    key: Key,
    /// The removal that waits for that name.
    removal: Option<usize>,
    /// An exchange put it elsewhere.
    relocated: bool,
}

impl<S: Source, R: Replica> Origin<S, R> {
    /// The removal that waits for the name where it is now. What an exchange brought there was looked at since, and may be
    /// about to go by now: that must not be done to what stands there when it has moved on.
    pub(crate) fn removal_among(&self, removals: &[Option<At<S, R, Removal>>]) -> Option<usize> {
        let waits_here = |at: &Option<At<S, R, Removal>>| {
            at.as_ref()
                .is_some_and(|(place, removal)| Arc::ptr_eq(place, &self.place) && removal.name == self.name)
        };
        self.removal.or_else(|| if self.relocated { removals.iter().position(waits_here) } else { None })
    }
}

/// Something that departed: an origin, or something below it.
#[derive(Clone)]
pub(crate) struct Departure {
    pub(crate) origin: usize,
    pub(crate) below: Vec<Name>,
    /// The folder in whose row it was found below an origin.
    pub(crate) holder: Option<FolderId>,
    pub(crate) known: Known,
}

impl Departure {
    /// Checks that what stands at the old name is still what the index knew there.
    pub(crate) fn check(&self, now: &Stamp) -> Result<()> {
        let same = now.ino == self.known.replica.ino && now.kind == self.known.kind;
        if same { Ok(()) } else { Err(Error::Changed) }
    }

    /// All that rows tell of below it.
    pub(crate) fn all_below(&self, row: impl Fn(FolderId) -> Option<Row>) -> Vec<Self> {
        let mut found = Vec::new();
        let mut folders: Vec<_> = self.known.folder.map(|id| (id, self.below.clone())).into_iter().collect();
        let mut seen = HashSet::new();
        while let Some((id, path)) = folders.pop() {
            // Of a folder that went into one that was below it, rows tell in a circle until both have been looked at.
            if !seen.insert(id) {
                continue;
            }
            for (name, known) in row(id).unwrap_or_default().entries {
                let mut below = path.clone();
                below.push(name);
                folders.extend(known.folder.map(|id| (id, below.clone())));
                found.push(Self { below, holder: Some(id), known, origin: self.origin });
            }
        }
        found
    }
}

impl<S: Source, R: Replica> Default for Departures<S, R> {
    fn default() -> Self {
        Self {
            by_identity: HashMap::new(),
            origins: Vec::new(),
            standing: HashMap::new(),
            withdrawn: HashSet::new(),
            refused: HashSet::new(),
            unexpanded: BTreeMap::new(),
            removals_seen: 0,
        }
    }
}

impl<S: Source, R: Replica> Departures<S, R> {
    /// True when an inode of the source is one of them, or may be: one born after `indexed` cannot.
    pub(crate) fn have(&self, source: &Stamp, indexed: Option<Time>) -> bool {
        let old = || source.btime.is_none_or(|born| indexed.is_some_and(|indexed| born <= indexed));
        self.holds(&(source.identity(), source.kind)) || (!self.unexpanded.is_empty() && old())
    }

    /// True when just that has been taken in.
    pub(crate) fn holds(&self, key: &Key) -> bool {
        self.by_identity.get(key).is_some_and(|departure| !self.withdrawn.contains(&departure.origin))
    }

    /// Takes a departure out; when it is a folder, also all below it.
    pub(crate) fn take(&mut self, key: &Key) -> Option<Departure> {
        let found = self.by_identity.remove(key).filter(|found| !self.withdrawn.contains(&found.origin))?;
        // Of a folder that was not expanded nothing else has been taken in.
        let is_whole = found.below.is_empty() && self.unexpanded.remove(&found.origin).is_some();
        if found.known.kind == Kind::Folder && !is_whole {
            self.by_identity
                .retain(|_, other| other.origin != found.origin || !other.below.starts_with(&found.below));
        }
        Some(found)
    }

    /// The folders to be expanded.
    pub(crate) fn take_unexpanded(&mut self) -> Vec<Departure> {
        std::mem::take(&mut self.unexpanded).into_values().collect()
    }

    pub(crate) fn take_in(&mut self, departure: Departure) {
        let key = (departure.known.source.identity, departure.known.kind);
        if !self.refused.contains(&key) {
            self.by_identity.insert(key, departure);
        }
    }

    /// This is not moved in this pass.
    pub(crate) fn refuse(&mut self, key: Key) {
        self.by_identity.remove(&key);
        self.refused.insert(key);
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
        let origin = self.origins.len();
        let top = Departure { origin, below: Vec::new(), holder: None, known };
        if known.kind == Kind::Folder {
            self.unexpanded.insert(origin, top.clone());
        }
        self.take_in(top);
        self.standing.entry(at(place, name)).or_default().push(origin);
        let key = (known.source.identity, known.kind);
        self.origins.push(Origin {
            place: Arc::clone(place),
            name: name.clone(),
            path,
            key,
            removal,
            relocated: false,
        });
    }

    /// Where a departure is now.
    pub(crate) fn path_now(&self, departure: &Departure) -> RelPath {
        let origin = &self.origins[departure.origin];
        origin.place.path().join(&origin.name).joined(&departure.below)
    }

    fn origins_at(&self, place: &Arc<Place<S, R>>, name: &Name) -> &[usize] {
        self.standing.get(&at(place, name)).map_or(&[], Vec::as_slice)
    }

    pub(crate) fn has_origin_at(&self, place: &Arc<Place<S, R>>, name: &Name) -> bool {
        !self.origins_at(place, name).is_empty()
    }

    /// True when what stands at a name is one of those that are wanted elsewhere.
    pub(crate) fn is_wanted(&self, place: &Arc<Place<S, R>>, name: &Name, wanted: &HashSet<Key>) -> bool {
        self.origins_at(place, name).iter().any(|origin| {
            let key = &self.origins[*origin].key;
            let here = |found: &Departure| found.origin == *origin && found.below.is_empty();
            wanted.contains(key) && self.holds(key) && self.by_identity.get(key).is_some_and(here)
        })
    }

    /// Forgets what departed from a name, and all below it.
    pub(crate) fn withdraw(&mut self, place: &Arc<Place<S, R>>, name: &Name) {
        for origin in self.standing.get(&at(place, name)).into_iter().flatten() {
            self.withdrawn.insert(*origin);
            self.unexpanded.remove(origin);
        }
    }

    /// What was at `from` is at `to` now.
    pub(crate) fn relocate(&mut self, from: (&Arc<Place<S, R>>, &Name), to: (&Arc<Place<S, R>>, &Name)) {
        let moved = self.standing.remove(&at(from.0, from.1)).unwrap_or_default();
        for origin in &moved {
            self.origins[*origin].place = Arc::clone(to.0);
            self.origins[*origin].name = to.1.clone();
            self.origins[*origin].relocated = true;
        }
        self.standing.entry(at(to.0, to.1)).or_default().extend(moved);
    }
}

impl<S: Source, R: Replica, H: Hands<S, R>> Run<'_, S, R, H> {
    /// Takes in what lies below the folders that departed.
    pub(crate) fn expand_departures(&self) {
        let tops = self.wait_for(|waiting| {
            waiting.departures.as_mut().map(Departures::take_unexpanded).unwrap_or_default()
        });
        for top in tops {
            let below = top.all_below(|id| self.row(id));
            self.wait_for(|waiting| {
                waiting
                    .departures
                    .iter_mut()
                    .for_each(|known| below.iter().for_each(|one| known.take_in(one.clone())));
            });
        }
    }
}

/// A name in a place. The address only tells places apart; an origin keeps each of them alive.
fn at<S: Source, R: Replica>(place: &Arc<Place<S, R>>, name: &Name) -> (usize, Name) {
    (Arc::as_ptr(place).addr(), name.clone())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use alike_model::known::{ReplicaSeen, SourceSeen};
    use alike_model::xattrs::Namespaces;

    use super::*;

    fn folder(id: u64) -> Known {
        let time = Time { secs: 0, nanos: 0 };
        let identity = Identity { ino: id, btime: None };
        let source = SourceSeen { identity, size: 0, mtime: time, ctime: time, racy: false };
        let replica = ReplicaSeen { ino: id, ctime: time };
        Known { kind: Kind::Folder, source, replica, hash: None, alone: false, folder: Some(FolderId(id)) }
    }

    #[test]
    fn what_rows_tell_in_a_circle_is_taken_in_once() {
        let name = Name::new(b"within").unwrap();
        let row = |id: FolderId| {
            let entries = vec![(name.clone(), folder(3 - id.0))];
            Some(Row { filter: 0, xattrs: Namespaces::ALL, entries })
        };
        let top = Departure { origin: 0, below: Vec::new(), holder: None, known: folder(1) };
        let found: Vec<_> =
            top.all_below(row).iter().map(|one| (one.below.len(), one.known.folder)).collect();
        assert_eq!(found, [(1, Some(FolderId(2))), (2, Some(FolderId(1)))]);
    }
}
