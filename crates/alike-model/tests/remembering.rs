//! What the index knows, what is dirty, and how many deletions are too many.

#![allow(clippy::unwrap_used)]

mod common;

use std::collections::BTreeSet;

use alike_model::dirty::{Dirty, Extent};
use alike_model::entry::{Kind, Stamp};
use alike_model::guard::{Judgement, Proposal, judge};
use alike_model::known::{Digest, Known, Row};
use alike_model::path::RelPath;
use alike_model::policy::{Deletes, MaxDelete, Policy};
use alike_model::xattrs::{Namespace, Namespaces};
use common::{KINDS, known, name, path, replica, secs, source};

/// The stamp with one thing changed that a change of the entry would change.
fn changed(stamp: Stamp) -> [Stamp; 6] {
    [
        Stamp { kind: Kind::Fifo, ..stamp },
        Stamp { ino: 99, ..stamp },
        Stamp { btime: None, ..stamp },
        Stamp { size: 99, ..stamp },
        Stamp { mtime: secs(99), ..stamp },
        Stamp { ctime: secs(99), ..stamp },
    ]
}

#[test]
fn whatever_changes_of_a_source_breaks_what_the_index_holds_of_it() {
    let (here, there) = (source(Kind::File), replica(Kind::File));
    let known = known(&here, &there);
    assert!(known.holds_for_source(&here) && known.still_looks_like_source(&here));
    for now in changed(here) {
        assert!(!known.holds_for_source(&now) && !known.still_looks_like_source(&now), "{now:?}");
    }
    let fresh = known.distrusted();
    assert!(!fresh.holds_for_source(&here) && fresh.still_looks_like_source(&here));
}

#[test]
fn of_a_replica_kind_inode_and_ctime_tell_all() {
    let (here, there) = (source(Kind::File), replica(Kind::File));
    let known = known(&here, &there);
    assert!(known.holds_for_replica(&there));
    let broken = changed(there).iter().filter(|now| !known.holds_for_replica(now)).count();
    assert_eq!(broken, 3);
    for kind in KINDS.into_iter().filter(|kind| *kind != Kind::File) {
        assert!(!known.holds_for_replica(&Stamp { kind, ..there }));
    }
}

#[test]
fn a_hash_is_kept_under_the_same_stamps_only_and_what_was_read_is_trusted() {
    let hash = Digest([7; 16]);
    let (here, there) = (source(Kind::File), replica(Kind::File));
    let read = known(&here, &there).distrusted().read_as(hash);
    assert!(!read.source.racy && read.hash == Some(hash));
    assert_eq!(read.hash_under(&known(&here, &there)), Some(hash));
    assert_eq!(read.hash_under(&known(&here, &there).distrusted()), Some(hash));
    for now in changed(here) {
        assert_eq!(read.hash_under(&known(&now, &there)), None, "{now:?}");
    }
    for now in [Stamp { ino: 99, ..there }, Stamp { ctime: secs(99), ..there }] {
        assert_eq!(read.hash_under(&known(&here, &now)), None, "{now:?}");
    }
}

#[test]
fn a_row_finds_its_entries_and_takes_edits_in_order() {
    let known = |ino| known(&Stamp { ino, ..source(Kind::File) }, &replica(Kind::File));
    let row = Row { filter: 3, xattrs: Namespaces::ALL, entries: vec![(name("b"), known(1))] };
    let row = row.edited(vec![
        (name("c"), Some(known(2))),
        (name("a"), Some(known(3))),
        (name("c"), None),
        (name("b"), Some(known(4))),
        (name("z"), None),
    ]);
    let has: Vec<&[u8]> = row.entries.iter().map(|(name, _)| name.as_bytes()).collect();
    assert_eq!((row.filter, has), (3, vec![b"a".as_slice(), b"b".as_slice()]));
    let found = |text| row.get(&name(text)).map(|known: &Known| known.source.identity.ino);
    assert_eq!((found("a"), found("b"), found("c")), (Some(3), Some(4), None));
}

#[test]
fn a_row_written_when_fewer_attributes_were_compared_proves_nothing() {
    let row = |xattrs| Row {
        filter: 0,
        xattrs,
        entries: vec![(name("a"), known(&source(Kind::File), &replica(Kind::File)))],
    };
    let user = Namespaces::NONE.with(Namespace::User);
    let is_trusted = |row: Row| !row.entries[0].1.source.racy;
    assert!(is_trusted(row(Namespaces::ALL).for_xattrs(Namespaces::ALL)));
    assert!(is_trusted(row(Namespaces::ALL).for_xattrs(user)));
    assert!(!is_trusted(row(user).for_xattrs(Namespaces::ALL)));
    assert_eq!(row(user).for_xattrs(Namespaces::ALL).xattrs, Namespaces::ALL);
}

fn names(all: &[&str]) -> Extent {
    Extent::Names(all.iter().map(|text| name(text)).collect())
}

#[test]
fn everything_is_dirty_at_first_and_nothing_in_new_dirt() {
    assert!(Dirty::new().is_empty() && !Dirty::new().is_everything());
    let everything = Dirty::everything();
    assert!(everything.is_everything() && !everything.is_empty());
    assert_eq!(everything.into_folders(), [(RelPath::root(), Extent::Subtree)]);
    let mut top = Dirty::new();
    top.mark(RelPath::root(), Extent::Folder);
    assert!(!top.is_everything() && !top.is_empty());
    // Nothing can be added to everything.
    let mut everything = Dirty::everything();
    everything.mark_name(path("a"), name("b"));
    assert_eq!(everything, Dirty::everything());
    top.mark_name(path("a"), name("b"));
    top.mark(RelPath::root(), Extent::Subtree);
    assert_eq!(top, Dirty::everything());
}

#[test]
fn dirt_counts_names_and_each_folder_as_one() {
    let mut dirty = Dirty::new();
    assert_eq!(dirty.names(), 0);
    dirty.mark(path("a"), names(&["x", "y", "z"]));
    dirty.mark(path("b"), Extent::Folder);
    dirty.mark(path("c"), Extent::Subtree);
    assert_eq!(dirty.names(), 5);
}

#[test]
fn extents_only_grow() {
    assert_eq!(names(&["a"]).with(names(&["b"])), names(&["a", "b"]));
    for other in [names(&["a"]), Extent::Folder] {
        assert_eq!(other.clone().with(Extent::Folder), Extent::Folder);
        assert_eq!(Extent::Folder.with(other.clone()), Extent::Folder);
        assert_eq!(other.clone().with(Extent::Subtree), Extent::Subtree);
        assert_eq!(Extent::Subtree.with(other), Extent::Subtree);
    }
}

#[test]
fn too_many_names_are_a_folder_and_too_many_folders_are_everything() {
    let mut dirty = Dirty::new();
    let extent = |dirty: &Dirty| dirty.clone().into_folders()[0].1.clone();
    for at in 0..Dirty::MOST_NAMES {
        dirty.mark_name(path("a"), name(&at.to_string()));
    }
    assert!(matches!(extent(&dirty), Extent::Names(all) if all.len() == Dirty::MOST_NAMES));
    dirty.mark_name(path("a"), name("one more"));
    assert_eq!(extent(&dirty), Extent::Folder);

    let mut dirty = Dirty::new();
    for at in 0..Dirty::MOST_FOLDERS {
        dirty.mark(path(&at.to_string()), Extent::Folder);
    }
    assert!(!dirty.is_everything());
    dirty.mark(path("one more"), Extent::Folder);
    assert_eq!(dirty, Dirty::everything());
}

#[test]
fn dirt_that_is_absorbed_is_not_lost() {
    let (mut dirty, mut more) = (Dirty::new(), Dirty::new());
    dirty.mark(path("a"), names(&["x"]));
    more.mark(path("a"), names(&["y"]));
    more.mark(path("b"), Extent::Folder);
    dirty.absorb(more);
    assert_eq!(dirty.into_folders(), [(path("a"), names(&["x", "y"])), (path("b"), Extent::Folder)]);
}

/// What is left of the first extent of a folder where the second is looked at anyway.
fn left(of: Extent, to: Extent) -> Option<Extent> {
    let (mut dirty, mut other) = (Dirty::new(), Dirty::new());
    dirty.mark(path("a"), of);
    other.mark(path("a"), to);
    dirty.leave_to(&other);
    dirty.into_folders().into_iter().map(|(_, extent)| extent).next()
}

#[test]
fn only_dirt_that_the_other_covers_is_left_to_it() {
    assert_eq!(left(names(&["x", "y"]), names(&["y", "z"])), Some(names(&["x"])));
    assert_eq!(left(names(&["x"]), names(&["x", "y"])), None);
    assert_eq!(left(names(&["x"]), Extent::Folder), None);
    assert_eq!(left(Extent::Folder, names(&["x"])), Some(Extent::Folder));
    assert_eq!(left(Extent::Folder, Extent::Folder), None);
    assert_eq!(left(Extent::Subtree, Extent::Folder), Some(Extent::Subtree));
    assert_eq!(left(Extent::Subtree, names(&["x"])), Some(Extent::Subtree));
    for extent in [names(&["x"]), Extent::Folder, Extent::Subtree] {
        assert_eq!(left(extent, Extent::Subtree), None);
    }
    let (mut dirty, mut other) = (Dirty::new(), Dirty::new());
    dirty.mark(path("a"), Extent::Folder);
    dirty.leave_to(&other);
    other.mark(path("b"), Extent::Subtree);
    dirty.leave_to(&other);
    assert_eq!(dirty.into_folders(), [(path("a"), Extent::Folder)]);
}

#[test]
fn what_lies_in_a_dirty_subtree_is_looked_at_once() {
    let mut dirty = Dirty::new();
    dirty.mark(path("a"), Extent::Subtree);
    dirty.mark(path("a/b"), Extent::Folder);
    dirty.mark(path("ab"), names(&["x"]));
    dirty.mark(path("c"), Extent::Folder);
    dirty.mark(path("c/d"), Extent::Folder);
    let folders: Vec<RelPath> = dirty.into_folders().into_iter().map(|(folder, _)| folder).collect();
    let all: BTreeSet<RelPath> = folders.into_iter().collect();
    assert_eq!(all, BTreeSet::from([path("a"), path("ab"), path("c"), path("c/d")]));
}

fn judged(deletions: u64, replica_entries: u64, deletes: Deletes) -> Judgement {
    judge(Proposal { deletions, replica_entries }, &Policy { deletes, ..Policy::default() })
}

#[test]
fn a_limit_of_entries_may_be_reached_and_not_passed() {
    let limit = Deletes::Within(MaxDelete::Entries(5));
    assert_eq!(judged(5, 1000, limit), Judgement::Go);
    assert!(matches!(judged(6, 1000, limit), Judgement::Halt(_)));
    // The word of a person that all may go.
    assert_eq!(judged(1000, 1000, Deletes::Allowed), Judgement::Go);
    assert_eq!(judged(0, 0, Deletes::Within(MaxDelete::Entries(0))), Judgement::Go);
}

#[test]
fn a_share_may_be_reached_and_few_deletions_are_always_fine() {
    let half = Deletes::Within(MaxDelete::Percent(50));
    assert_eq!(judged(50, 100, half), Judgement::Go);
    assert!(matches!(judged(51, 100, half), Judgement::Halt(_)));
    assert_eq!(judged(MaxDelete::ALWAYS_FINE - 1, MaxDelete::ALWAYS_FINE - 1, half), Judgement::Go);
    assert!(matches!(judged(MaxDelete::ALWAYS_FINE, MaxDelete::ALWAYS_FINE, half), Judgement::Halt(_)));
}

#[test]
fn a_halt_says_how_much_would_go_and_which_flag_lets_it() {
    let Judgement::Halt(over) = judged(60, 80, Deletes::default()) else { panic!("over the limit") };
    assert_eq!(
        over.to_string(),
        "would delete 60 of the replica's 80 entries (75 %), more than --max-delete 50%; deleted nothing. \
         If the source is right, run again with --allow-deletes (a job of alike up: alike pass JOB --allow-deletes)"
    );
}
