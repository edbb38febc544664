//! All that is written in the journals of a replica, in the order in which it was done, and what it was like before.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::io;
use std::sync::Arc;

use alike_model::entry::{Identity, Kind};
use alike_model::event::Action;
use alike_model::past::{Past, Spot};
use alike_model::path::{Name, OWN_FOLDER, RelPath};
use alike_model::xattrs::Xattrs;
use alike_storage::{Folder, linux};

use crate::history::{Deed, Look};
use crate::trash::Trash;

/// A deed and the bucket in whose journal it stands.
#[derive(Clone, Debug)]
pub struct Written {
    /// The bucket's name.
    pub bucket: Arc<str>,
    /// The deed.
    pub deed: Deed,
}

/// How an entry looked, and its extended attributes where they were others.
pub type Was = (Look, Option<Xattrs>);

impl Written {
    /// Where the trash keeps what was there before, from the replica's top.
    #[must_use]
    pub fn slot(&self) -> RelPath {
        slot(&self.bucket, self.deed.n)
    }

    /// The same for people.
    #[must_use]
    pub fn shown(&self) -> String {
        format!("{}/{}", self.bucket, self.deed.n)
    }

    /// Where that came from which it put at its path; `None` when it was made there.
    #[must_use]
    pub fn came_from(&self) -> Option<&RelPath> {
        let moves = |from: &&RelPath| match self.deed.action {
            Action::Rename => true,
            // Of a link, it is another name of the same file.
            Action::Link => false,
            _ => is_in_trash(from),
        };
        self.deed.from.as_ref().filter(moves)
    }

    /// True when it took away what stood at its path, and put nothing there.
    #[must_use]
    pub fn is_removal(&self) -> bool {
        matches!(self.deed.action, Action::Delete | Action::Rmdir)
    }

    /// True for what a deletion comes to: removals, and folders that get another time by them.
    #[must_use]
    pub fn is_of_a_deletion(&self) -> bool {
        let is_folder = |old: Look| old.kind == Kind::Folder;
        self.is_removal() || self.deed.action == Action::Meta && self.deed.old.is_some_and(is_folder)
    }

    /// Where that is which stood at its path before, unless nothing did.
    #[must_use]
    pub fn old_spot(&self) -> Option<Spot> {
        let old = self.deed.old?;
        Some(match self.deed.kept {
            true => Spot::At(self.slot()),
            false if old.kind != Kind::Folder && old.nlink > 1 => Spot::Twin(old.id),
            false => Spot::Lost,
        })
    }

    /// True when it was written down and then not done, for who wrote it was killed: what it was to take away stands where it
    /// stood, or was taken away later, or something else waits where it was to be kept.
    fn was_never_done(&self, trash: &Trash, taken_later: bool) -> bool {
        let Some(old) = self.deed.old else { return false };
        let top = trash.path().join("../..");
        let look = |folder: &std::path::Path, path: &RelPath| {
            let (parent, name) = path.split()?;
            let folder = parent.names().try_fold(Folder::open(folder).ok()?, |at, name| at.below(&name).ok());
            linux::look(folder?.descriptor(), &name).ok()
        };
        match look(&top, &self.slot()) {
            Some(Some(kept)) => !self.deed.patch && kept.identity() != old.id,
            Some(None) if taken_later && !self.deed.patch => true,
            Some(None) => look(&top, &self.deed.path).flatten().is_some_and(|there| {
                let same = (there.size, there.mtime) == (old.size, old.mtime) || old.kind == Kind::Folder;
                there.identity() == old.id && same
            }),
            None => false,
        }
    }

    /// Takes it back in thought.
    pub fn take_back(&self, past: &mut Past<Was>) {
        let Deed { path, action, old, .. } = &self.deed;
        match (action, &self.deed.from, old) {
            (Action::Meta, _, Some(old)) => return past.looked(path, (*old, self.deed.xattrs.clone())),
            (_, Some(from), _) if self.deed.swapped => return past.swap(path, from),
            (_, _, Some(old)) if self.deed.patch => {
                past.patch(path, self.slot());
                return past.looked(path, (*old, None));
            }
            _ => {}
        }
        match self.came_from() {
            Some(from) => past.rename(path, from),
            None if self.is_removal() => {}
            None => past.take_out(path),
        }
        match self.old_spot() {
            Some(Spot::At(slot)) => past.rename(&slot, path),
            Some(spot) => past.put(path, spot),
            None => return,
        }
        if let Some(old) = old.filter(|old| old.kind == Kind::Folder) {
            past.looked(path, (old, None));
        }
    }
}

/// A number in a bucket as a path from the replica's top.
#[must_use]
pub fn slot(bucket: &str, n: u64) -> RelPath {
    let path = [OWN_FOLDER, b"/trash/", bucket.as_bytes(), b"/", n.to_string().as_bytes()].concat();
    RelPath::parse(&path).unwrap_or_default()
}

/// True for what the trash keeps.
#[must_use]
pub fn is_in_trash(path: &RelPath) -> bool {
    path.names().next().as_ref().map(Name::as_bytes) == Some(OWN_FOLDER)
}

/// True for a place in a bucket itself, not for what is below one.
#[must_use]
pub fn is_slot(path: &RelPath) -> bool {
    is_in_trash(path) && path.names().count() == 4
}

/// All deeds of a replica, oldest first; none that was written down and then not done.
///
/// # Errors
/// When a journal cannot be read.
pub fn read(trash: &Trash) -> io::Result<Vec<Written>> {
    let mut filled = VecDeque::new();
    for bucket in trash.buckets()? {
        let mut deeds = trash.deeds(&bucket)?;
        // Passes that are under way beside each other take numbers in the order in which they do what they do.
        deeds.sort_by_key(|deed| deed.n);
        let passes = deeds.iter().map(|deed| deed.pass).collect();
        filled.push_back(Filled { name: bucket.as_str().into(), deeds, passes });
    }
    let all = in_order(filled).into_iter().flat_map(|Filled { name, deeds, .. }| {
        deeds.into_iter().map(move |deed| Written { bucket: Arc::clone(&name), deed })
    });
    Ok(done_only(all.collect(), trash))
}

/// A bucket and what is written in it.
struct Filled {
    name: Arc<str>,
    deeds: Vec<Deed>,
    passes: BTreeSet<u64>,
}

impl Filled {
    /// True when its passes say so, whatever the clock said. One that is in both buckets tells nothing.
    fn came_before(&self, other: &Self) -> bool {
        let ends = |filled: &Self| filled.passes.first().copied().zip(filled.passes.last().copied());
        let (Some((my_first, my_last)), Some((its_first, its_last))) = (ends(self), ends(other)) else {
            return false;
        };
        // Nearly always that is all there is to it.
        if my_last < its_first || its_last < my_first {
            return my_last < its_first;
        }
        let ended = self.passes.difference(&other.passes).max();
        let begun = other.passes.difference(&self.passes).min();
        ended.zip(begun).is_some_and(|(ended, begun)| ended < begun)
    }
}

/// Buckets in the order in which they were filled. One is full before the next is begun, so they are never mixed: by their
/// names, which are times, unless the passes in them tell that the clock was set back.
fn in_order(mut left: VecDeque<Filled>) -> Vec<Filled> {
    let mut ordered = Vec::with_capacity(left.len());
    while !left.is_empty() {
        let is_next = |at: &usize| left.iter().all(|other| !other.came_before(&left[*at]));
        let next = (0..left.len()).find(is_next).unwrap_or(0);
        ordered.extend(left.remove(next));
    }
    ordered
}

/// Leaves out what was written down and then not done.
fn done_only(all: Vec<Written>, trash: &Trash) -> Vec<Written> {
    // What the trash gave back was there.
    let back: HashSet<RelPath> =
        all.iter().filter_map(|written| written.deed.from.clone()).filter(is_in_trash).collect();
    let takes = |written: &Written| written.deed.old.filter(|_| written.deed.kept).map(|old| old.id);
    let last: HashMap<Identity, usize> =
        all.iter().enumerate().filter_map(|(at, written)| Some((takes(written)?, at))).collect();
    let is_done = |(at, written): &(usize, Written)| {
        let is_certain = written.deed.told || !written.deed.kept || back.contains(&written.slot());
        let taken_later = takes(written).and_then(|id| last.get(&id)).is_some_and(|last| last > at);
        is_certain || !written.was_never_done(trash, taken_later)
    };
    all.into_iter().enumerate().filter(is_done).map(|(_, written)| written).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ordered(buckets: &[(&str, &[u64])]) -> Vec<String> {
        let mut buckets = buckets.to_vec();
        buckets.sort_unstable();
        let filled = |(name, passes): (&str, &[u64])| Filled {
            name: name.into(),
            deeds: Vec::new(),
            passes: passes.iter().copied().collect(),
        };
        let ordered = in_order(buckets.into_iter().map(filled).collect());
        ordered.iter().map(|bucket| bucket.name.to_string()).collect()
    }

    #[test]
    fn buckets_come_in_the_order_of_time_unless_their_passes_tell_that_the_clock_was_set_back() {
        assert_eq!(ordered(&[("10", &[1, 2]), ("11", &[3])]), ["10", "11"]);
        assert_eq!(ordered(&[("10", &[1, 2]), ("09", &[3]), ("11", &[4])]), ["10", "09", "11"]);
        assert_eq!(
            ordered(&[("2046", &[5]), ("10", &[1]), ("11", &[6]), ("12", &[7])]),
            ["10", "2046", "11", "12"]
        );
    }

    #[test]
    fn a_long_pass_over_several_buckets_leaves_them_as_they_came() {
        assert_eq!(ordered(&[("10", &[5, 6]), ("11", &[5]), ("12", &[5, 7])]), ["10", "11", "12"]);
        assert_eq!(ordered(&[("10", &[5, 6]), ("09", &[5, 7])]), ["10", "09"], "set back meanwhile");
        assert_eq!(ordered(&[("10", &[5, 9]), ("11", &[5, 8]), ("12", &[])]), ["11", "10", "12"]);
    }
}
