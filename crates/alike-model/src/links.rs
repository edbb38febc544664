//! Hard links: which names belong to one inode, and which inode of the replica stays theirs.
//!
//! The names of the source fall into groups, one an inode. On the replica each group shall have one inode of its own that
//! nothing else shares. Pure: it takes what was seen of the names and says what each group keeps.

use std::collections::{BTreeMap, HashMap, HashSet};

/// What makes an inode of the source one on the replica too: its device and number, and the replica's device under that
/// name, for nothing can be linked across.
pub type SourceInode = (u64, u64, u64);
/// Device and number of an inode of the replica.
pub type ReplicaInode = (u64, u64);

/// One name, as far as links are concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkedName {
    /// The inode that it has in the source.
    pub source: SourceInode,
    /// The inode that it has on the replica, when that may stay: of the same kind, not known to differ, and with no
    /// name outside.
    pub replica: Option<ReplicaInode>,
    /// The index knows these two as one.
    pub known: bool,
}

/// The names of one inode of the source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// The inode.
    pub source: SourceInode,
    /// Its names, by their place in the list, in its order.
    pub members: Vec<usize>,
    /// The member whose inode on the replica stays, and gets the other names; `None` when a fresh one is needed.
    pub keeps: Option<usize>,
}

/// Parts names into groups. `anchored` has the groups that have an inode of the replica already, under a name that is not
/// in the list. No inode of the replica stays with two groups.
#[must_use]
pub fn group(names: &[LinkedName], anchored: &HashMap<ReplicaInode, SourceInode>) -> Vec<Group> {
    let mut members: BTreeMap<SourceInode, Vec<usize>> = BTreeMap::new();
    for (at, name) in names.iter().enumerate() {
        members.entry(name.source).or_default().push(at);
    }
    // Whoever has it, then whoever had it, then whoever comes first.
    let has_anchor: HashSet<SourceInode> = anchored.values().copied().collect();
    let mut owner = anchored.clone();
    for known in [true, false] {
        for name in names.iter().filter(|name| name.known == known) {
            name.replica.into_iter().for_each(|inode| {
                owner.entry(inode).or_insert(name.source);
            });
        }
    }
    let of_group = |(source, members): (SourceInode, Vec<usize>)| {
        let may_stay =
            |at: &usize| names[*at].replica.is_some_and(|inode| owner.get(&inode) == Some(&source));
        let keeps = match has_anchor.contains(&source) {
            true => None,
            false => most_common(members.iter().copied().filter(may_stay), |at| names[at].replica),
        };
        Group { source, members, keeps }
    };
    members.into_iter().map(of_group).collect()
}

/// The first of those that most have in common.
fn most_common(
    members: impl Iterator<Item = usize>,
    inode: impl Fn(usize) -> Option<ReplicaInode>,
) -> Option<usize> {
    let mut counts: Vec<(Option<ReplicaInode>, usize, usize)> = Vec::new();
    let mut at_inode: HashMap<Option<ReplicaInode>, usize> = HashMap::new();
    for member in members {
        let at = *at_inode.entry(inode(member)).or_insert_with(|| {
            counts.push((inode(member), 0, member));
            counts.len() - 1
        });
        counts[at].1 += 1;
    }
    // Of equals `max_by_key` takes the last.
    counts.into_iter().rev().max_by_key(|(_, count, _)| *count).map(|(_, _, first)| first)
}

/// How a name is not linked as it should be, with the place of the name that it should, or should not, be one file with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Misjoined {
    /// One in the source, not on the replica.
    Parted(usize),
    /// One on the replica, not in the source.
    Joined(usize),
}

/// The names, by their place in the list, whose links on the replica are not those of the source. Each is measured by the
/// first of its inode on either side.
#[must_use]
pub fn misjoined(names: &[(SourceInode, ReplicaInode)]) -> Vec<(usize, Misjoined)> {
    let mut of_source: HashMap<SourceInode, usize> = HashMap::new();
    let mut of_replica: HashMap<ReplicaInode, usize> = HashMap::new();
    let mut wrong = Vec::new();
    for (at, (source, replica)) in names.iter().enumerate() {
        let first = *of_source.entry(*source).or_insert(at);
        if names[first].1 != *replica {
            wrong.push((at, Misjoined::Parted(first)));
        }
        let first = *of_replica.entry(*replica).or_insert(at);
        if names[first].0 != *source {
            wrong.push((at, Misjoined::Joined(first)));
        }
    }
    wrong
}
