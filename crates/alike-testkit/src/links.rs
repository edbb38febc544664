//! Which names are one file: the part of the judge that looks at all names together.

use std::collections::BTreeMap;

use rustix::fs::Statx;

use crate::show;
use crate::walk::{Identity, identity};

/// The names of both trees that are, or should be, one file with others.
#[derive(Default)]
pub(crate) struct Links {
    both: Vec<Both>,
    replica: BTreeMap<Identity, Inside>,
}

/// A name that both trees have.
struct Both {
    path: Vec<u8>,
    source: Identity,
    replica: Identity,
}

/// What of one file of the replica lies inside the replica.
struct Inside {
    path: Vec<u8>,
    names: u32,
    links: u32,
}

impl Links {
    /// Notes a name that is no folder and that both trees have.
    pub(crate) fn note(&mut self, path: &[u8], source: &Statx, replica: &Statx) {
        self.note_replica(path, replica);
        if source.stx_nlink > 1 || replica.stx_nlink > 1 {
            let (source, replica) = (identity(source), identity(replica));
            self.both.push(Both { path: path.to_vec(), source, replica });
        }
    }

    /// Notes a name of the replica that is no folder.
    pub(crate) fn note_replica(&mut self, path: &[u8], replica: &Statx) {
        if replica.stx_nlink > 1 {
            let first = || Inside { path: path.to_vec(), names: 0, links: replica.stx_nlink };
            self.replica.entry(identity(replica)).or_insert_with(first).names += 1;
        }
    }

    /// Names that are one file on one side only, and files of the replica that have a name elsewhere. How many
    /// names a file of the source has elsewhere is nobody's business here.
    pub(crate) fn differences(&self) -> Vec<String> {
        let mut found =
            self.together(|both| (both.source, both.replica), "in the source, not on the replica");
        found.extend(self.together(|both| (both.replica, both.source), "on the replica, not in the source"));
        for file in self.replica.values().filter(|file| file.names != file.links) {
            let counts = format!("{} on the replica, {} of them inside it", file.links, file.names);
            found.push(format!("{}: links: {counts}", show(&file.path)));
        }
        found
    }

    /// Names whose first identity is that of an earlier name, while their second is not.
    fn together(&self, sides: impl Fn(&Both) -> (Identity, Identity), where_: &str) -> Vec<String> {
        let mut first: BTreeMap<Identity, &Both> = BTreeMap::new();
        let mut found = Vec::new();
        for both in &self.both {
            let (here, there) = sides(both);
            let earlier = *first.entry(here).or_insert(both);
            if sides(earlier).1 != there {
                let (name, other) = (show(&both.path), show(&earlier.path));
                found.push(format!("{name}: hard link: one file with {other} {where_}"));
            }
        }
        found
    }
}
