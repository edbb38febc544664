//! The laws of hard links, over generated names.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::collections::{BTreeSet, HashMap};

use alike_model::links::{LinkedName, group};
use proptest::prelude::*;

fn names() -> impl Strategy<Value = Vec<LinkedName>> {
    let name = (0..4_u64, prop::option::of(0..4_u64), any::<bool>()).prop_map(|(source, replica, known)| {
        LinkedName { source: (1, source, 2), replica: replica.map(|inode| (2, inode)), known }
    });
    prop::collection::vec(name, 0..10)
}

proptest! {
    #[test]
    fn every_name_is_in_the_group_of_its_inode_and_in_no_other(names in names()) {
        let groups = group(&names, &HashMap::new());
        let mut seen = BTreeSet::new();
        for group in &groups {
            for member in &group.members {
                prop_assert_eq!(names[*member].source, group.source);
                prop_assert!(seen.insert(*member));
            }
        }
        prop_assert_eq!(seen.len(), names.len());
    }

    #[test]
    fn no_inode_of_the_replica_stays_with_two_groups(names in names(), anchor in prop::option::of(0..4_u64)) {
        // Of a group in the list, and of one that is not.
        let anchored = anchor.map(|inode| ((2, inode), (1, inode + 2, 2))).into_iter().collect();
        let groups = group(&names, &anchored);
        let kept = groups.iter().filter_map(|group| names[group.keeps?].replica);
        let all: Vec<_> = kept.chain(anchored.keys().copied()).collect();
        prop_assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), all.len());
    }

    #[test]
    fn what_stays_may_stay_and_a_group_that_has_an_anchor_keeps_nothing_else(names in names()) {
        for group in group(&names, &HashMap::from([((2, 9), (1, 0, 2))])) {
            prop_assert!(group.source.1 != 0 || group.keeps.is_none());
            if let Some(keeps) = group.keeps {
                prop_assert!(names[keeps].replica.is_some() && group.members.contains(&keeps));
            }
        }
    }

    #[test]
    fn whoever_had_an_inode_keeps_it_before_others(names in names()) {
        let mut had: HashMap<_, BTreeSet<_>> = HashMap::new();
        for name in names.iter().filter(|name| name.known) {
            name.replica.into_iter().for_each(|inode| { had.entry(inode).or_default().insert(name.source); });
        }
        for group in group(&names, &HashMap::new()) {
            if let Some(inode) = group.keeps.and_then(|keeps| names[keeps].replica) {
                prop_assert!(had.get(&inode).is_none_or(|sources| sources.contains(&group.source)));
            }
        }
    }
}

#[test]
fn of_several_inodes_a_group_keeps_the_one_with_most_names() {
    let name = |inode| LinkedName { source: (1, 1, 2), replica: Some((2, inode)), known: false };
    let groups = group(&[name(7), name(8), name(8)], &HashMap::new());
    assert_eq!(groups[0].keeps, Some(1));
    let groups = group(&[name(7), name(8)], &HashMap::new());
    assert_eq!(groups[0].keeps, Some(0));
}
