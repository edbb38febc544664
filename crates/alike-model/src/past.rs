//! Where things stood earlier: what was done to the names of a tree, taken back in thought.
//!
//! The trash is a part of the tree: what is taken away is renamed into it. So all there is to know of an earlier day is
//! which paths of today stand for which paths of then.

use std::collections::BTreeMap;

use crate::entry::Identity;
use crate::path::{Name, RelPath};

/// Where something stands today.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Spot {
    /// Under this path.
    At(RelPath),
    /// What is under the first, changed back by each of these patches.
    Patched(RelPath, Vec<RelPath>),
    /// Under another name of this inode.
    Twin(Identity),
    /// Nowhere: it was not kept.
    Lost,
}

/// An earlier day of a tree, as far as it differs from today. `A` is how an entry looked.
#[derive(Clone, Debug)]
pub struct Past<A> {
    /// Paths of then; what is not here, nor below something here, stood where it stands. `None`: nothing stood there.
    names: BTreeMap<RelPath, Option<Spot>>,
    looks: BTreeMap<RelPath, A>,
}

impl<A> Default for Past<A> {
    fn default() -> Self {
        Self { names: BTreeMap::new(), looks: BTreeMap::new() }
    }
}

/// What is known of the paths at and below one.
struct Lifted<A> {
    names: Vec<(RelPath, Option<Spot>)>,
    looks: Vec<(RelPath, A)>,
}

impl<A: Clone> Past<A> {
    /// Where that stands today which stood at `path`; `None` when nothing did.
    #[must_use]
    pub fn whereabouts(&self, path: &RelPath) -> Option<Spot> {
        let mut above = path.clone();
        loop {
            match (self.names.get(&above), above.split()) {
                (Some(None), _) => return None,
                (Some(Some(Spot::At(at))), _) => return Some(Spot::At(rebased(path, &above, at))),
                (Some(Some(spot)), _) if above == *path => return Some(spot.clone()),
                (Some(Some(_)), _) => return Some(Spot::Lost),
                (None, Some((parent, _))) => above = parent,
                (None, None) => return Some(Spot::At(path.clone())),
            }
        }
    }

    /// How the entry at `path` looked, where that is known to differ from today.
    #[must_use]
    pub fn look(&self, path: &RelPath) -> Option<&A> {
        self.looks.get(path)
    }

    /// The names in a folder of then that cannot be seen in the one of today, and whether something stood there.
    #[must_use]
    pub fn names_in(&self, folder: &RelPath) -> Vec<(Name, bool)> {
        let direct = |(path, spot): (&RelPath, &Option<Spot>)| {
            let (parent, name) = path.split()?;
            (parent == *folder).then(|| (name, spot.is_some()))
        };
        within(&self.names, folder).filter_map(direct).collect()
    }

    /// True when all at and below `path` stood together as it stands together today.
    #[must_use]
    pub fn is_whole(&self, path: &RelPath) -> bool {
        within(&self.names, path).all(|(one, _)| one == path)
            && within(&self.looks, path).all(|(one, _)| one == path)
    }

    /// Nothing stood there yet.
    pub fn take_out(&mut self, path: &RelPath) {
        self.lift(path);
        self.names.insert(path.clone(), None);
    }

    /// That stood there.
    pub fn put(&mut self, path: &RelPath, spot: Spot) {
        self.lift(path);
        self.names.insert(path.clone(), Some(spot));
    }

    /// What stands there was changed in place, and the patch at `way_back` makes of it what it was.
    pub fn patch(&mut self, path: &RelPath, way_back: RelPath) {
        let spot = match self.whereabouts(path) {
            Some(Spot::At(at)) => Spot::Patched(at, vec![way_back]),
            Some(Spot::Patched(at, mut ways)) => {
                ways.push(way_back);
                Spot::Patched(at, ways)
            }
            _ => Spot::Lost,
        };
        self.names.insert(path.clone(), Some(spot));
    }

    /// What stands at `now` stood at `then`, and nothing at `now`.
    pub fn rename(&mut self, now: &RelPath, then: &RelPath) {
        let spot = self.whereabouts(now);
        let lifted = self.lift(now);
        self.take_out(now);
        self.lift(then);
        self.lay(lifted, (now, then), spot);
    }

    /// What stands at one stood at the other.
    pub fn swap(&mut self, one: &RelPath, other: &RelPath) {
        let spots = (self.whereabouts(one), self.whereabouts(other));
        let (ones, others) = (self.lift(one), self.lift(other));
        self.lay(ones, (one, other), spots.0);
        self.lay(others, (other, one), spots.1);
    }

    /// It looked like this.
    pub fn looked(&mut self, path: &RelPath, look: A) {
        self.looks.insert(path.clone(), look);
    }

    fn lift(&mut self, path: &RelPath) -> Lifted<A> {
        Lifted { names: cut(&mut self.names, path), looks: cut(&mut self.looks, path) }
    }

    fn lay(&mut self, lifted: Lifted<A>, (from, to): (&RelPath, &RelPath), spot: Option<Spot>) {
        let Lifted { names, looks } = lifted;
        self.names.extend(names.into_iter().map(|(path, spot)| (rebased(&path, from, to), spot)));
        self.names.insert(to.clone(), spot);
        self.looks.extend(looks.into_iter().map(|(path, look)| (rebased(&path, from, to), look)));
    }
}

/// A path at or below `from`, as it is when that is called `to`.
#[must_use]
pub fn rebased(path: &RelPath, from: &RelPath, to: &RelPath) -> RelPath {
    let rest = path.as_bytes().get(from.as_bytes().len()..).unwrap_or_default();
    let joined = [to.as_bytes(), b"/", rest].concat();
    RelPath::parse(&joined).unwrap_or_default()
}

fn within<'a, T>(
    map: &'a BTreeMap<RelPath, T>,
    path: &'a RelPath,
) -> impl Iterator<Item = (&'a RelPath, &'a T)> {
    map.range(path.clone()..).take_while(move |(one, _)| one.is_within(path))
}

fn cut<T>(map: &mut BTreeMap<RelPath, T>, path: &RelPath) -> Vec<(RelPath, T)> {
    let paths: Vec<RelPath> = within(map, path).map(|(one, _)| one.clone()).collect();
    paths.into_iter().filter_map(|one| map.remove_entry(&one)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn path(text: &str) -> RelPath {
        RelPath::parse(text.as_bytes()).unwrap_or_default()
    }

    fn at(past: &Past<u32>, then: &str) -> Option<String> {
        match past.whereabouts(&path(then)) {
            Some(Spot::At(now)) => Some(now.to_string()),
            other => other.map(|spot| format!("{spot:?}")),
        }
    }

    fn is_at(past: &Past<u32>, then: &str, now: Option<&str>) {
        assert_eq!(at(past, then).as_deref(), now, "{then}");
    }

    #[test]
    fn what_is_below_a_renamed_folder_goes_with_it() {
        let mut past = Past::default();
        past.rename(&path("trash/1"), &path("a/new/x"));
        past.looked(&path("a/new"), 7);
        past.rename(&path("a/new"), &path("old"));
        is_at(&past, "old/y", Some("a/new/y"));
        is_at(&past, "old/x/z", Some("trash/1/z"));
        is_at(&past, "a/new/y", None);
        is_at(&past, "trash/1", None);
        is_at(&past, "a/other", Some("a/other"));
        assert_eq!((past.look(&path("old")), past.look(&path("a/new"))), (Some(&7), None));
    }

    #[test]
    fn two_that_changed_names_change_back_with_all_below() {
        let mut past: Past<u32> = Past::default();
        past.take_out(&path("a/made"));
        past.swap(&path("a"), &path("b"));
        is_at(&past, "a/x", Some("b/x"));
        is_at(&past, "b/x", Some("a/x"));
        is_at(&past, "b/made", None);
        is_at(&past, "a/made", Some("b/made"));
        let names: Vec<bool> = past.names_in(&path("b")).into_iter().map(|(_, there)| there).collect();
        assert_eq!(names, [false]);
    }

    #[test]
    fn what_was_made_twice_and_taken_away_between_is_found_again() {
        let mut past: Past<u32> = Past::default();
        // Today there is a third version; the second is in the trash under 2, the first under 1.
        past.take_out(&path("f"));
        past.rename(&path("trash/2"), &path("f"));
        is_at(&past, "f", Some("trash/2"));
        past.take_out(&path("f"));
        past.rename(&path("trash/1"), &path("f"));
        is_at(&past, "f", Some("trash/1"));
        is_at(&past, "trash/2", None);
    }
}
