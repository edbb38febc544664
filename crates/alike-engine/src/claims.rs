//! Where the replicas of one source are, so that none is another's, or lies in another.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use alike_storage::linux;

pub use crate::ends::foreseen;
use crate::ends::{find_replica, refuse_nested_in_source};
use crate::pair::Spec;
use crate::refusal::Refusal;

/// Where each of them is, by its number among them.
#[derive(Debug, Default)]
pub struct Claims(Mutex<BTreeMap<usize, Claim>>);

#[derive(Debug)]
struct Claim {
    path: PathBuf,
    /// Device and path in the filesystem: the same through every bind mount.
    in_filesystem: Option<(String, PathBuf)>,
    /// Its top folder, where it is there.
    inode: Option<(u64, u64)>,
}

impl Claims {
    /// The places of these replicas, as far as they are there. One that is missing is looked at again when it is opened.
    ///
    /// # Errors
    /// When two are one, or one lies in another, or is not outside the source. Nothing has been done to any then.
    pub fn of(specs: &[Spec]) -> Result<Self, Refusal> {
        let claims = Self::default();
        if specs.len() > 1 {
            specs.iter().enumerate().try_for_each(|(number, spec)| claims.claim(number, &spec.replica))?;
            specs.iter().try_for_each(refuse_nested_in_source)?;
        }
        Ok(claims)
    }

    /// Notes where a replica is, as it is found now.
    ///
    /// # Errors
    /// When that is another's place, or lies in it or around it.
    pub fn claim(&self, number: usize, replica: &Path) -> Result<(), Refusal> {
        use std::os::unix::fs::MetadataExt;
        let there = find_replica(replica).ok().filter(|found| found.exists).map(|found| found.path);
        let exists = there.is_some();
        // What is wrong with it, whoever opens it says. But where a link leads to nothing now, a drive may be later.
        let Some(path) = there.or_else(|| foreseen(replica).ok()) else { return Ok(()) };
        let inode = fs::metadata(&path).ok().map(|meta| (meta.dev(), meta.ino()));
        let in_filesystem = linux::path_in_filesystem(&path);
        let mine = Claim { path, in_filesystem, inode: inode.filter(|_| exists) };
        let mut claims = self.lock();
        for theirs in claims.iter().filter(|(other, _)| **other != number).map(|(_, claim)| claim) {
            if mine.is_at(theirs) {
                return Err(Refusal::SameReplica(mine.path));
            }
            for (inner, outer) in [(&mine, theirs), (theirs, &mine)] {
                if inner.is_in(outer) {
                    let (path, of) = (inner.path.clone(), outer.path.clone());
                    return Err(Refusal::ReplicaInReplica { path, of });
                }
            }
        }
        claims.insert(number, mine);
        Ok(())
    }

    /// The top folders that may not turn up while this one is worked on: its own two, and those of the other replicas.
    #[must_use]
    pub fn roots(&self, number: usize, own: [(u64, u64); 2]) -> Vec<(u64, u64)> {
        let mut claims = self.lock();
        if let Some(mine) = claims.get_mut(&number) {
            // It may have been made just now.
            mine.inode = Some(own[1]);
        }
        let others =
            claims.iter().filter(|(other, _)| **other != number).filter_map(|(_, claim)| claim.inode);
        own.into_iter().chain(others).collect()
    }

    /// Forgets the top folder of a replica that is no longer where it was: its number may become another folder's.
    pub(crate) fn leave(&self, number: usize) {
        if let Some(mine) = self.lock().get_mut(&number) {
            mine.inode = None;
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<usize, Claim>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Claim {
    fn is_at(&self, other: &Self) -> bool {
        let is_same = |one: &Option<_>, other: &Option<_>| one.is_some() && one == other;
        self.path == other.path || is_same(&self.inode, &other.inode) || self.in_filesystem_as(other)
    }

    fn in_filesystem_as(&self, other: &Self) -> bool {
        self.in_filesystem.is_some() && self.in_filesystem == other.in_filesystem
    }

    fn is_in(&self, outer: &Self) -> bool {
        let by_device = |(device, path): &(String, PathBuf), (outer_device, outer): &(String, PathBuf)| {
            device == outer_device && path.starts_with(outer)
        };
        let both = self.in_filesystem.as_ref().zip(outer.in_filesystem.as_ref());
        self.path.starts_with(&outer.path) || both.is_some_and(|(one, other)| by_device(one, other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn claim(path: &str, in_filesystem: (&str, &str), inode: Option<(u64, u64)>) -> Claim {
        let (device, below) = in_filesystem;
        Claim { path: path.into(), in_filesystem: Some((device.to_owned(), below.into())), inode }
    }

    #[test]
    fn one_folder_is_known_by_its_path_its_inode_and_through_a_bind_mount() {
        let one = claim("/mnt/a", ("8:1", "/a"), Some((1, 7)));
        assert!(one.is_at(&claim("/mnt/a", ("8:2", "/"), None)));
        assert!(one.is_at(&claim("/else", ("8:2", "/"), Some((1, 7)))));
        assert!(one.is_at(&claim("/bound", ("8:1", "/a"), None)));
        assert!(!one.is_at(&claim("/mnt/b", ("8:1", "/b"), None)));
    }

    #[test]
    fn a_folder_in_another_is_known_by_its_path_and_through_a_bind_mount() {
        let outer = claim("/mnt/a", ("8:1", "/a"), None);
        assert!(claim("/mnt/a/b", ("8:2", "/"), None).is_in(&outer));
        assert!(claim("/bound", ("8:1", "/a/b/c"), None).is_in(&outer));
        assert!(!claim("/mnt/ab", ("8:1", "/ab"), None).is_in(&outer));
        assert!(!claim("/bound", ("8:2", "/a/b"), None).is_in(&outer), "on another disk");
    }
}
