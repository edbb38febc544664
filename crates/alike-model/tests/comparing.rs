//! What is true of one name, by what both sides and the index tell of it.

#![allow(clippy::unwrap_used)]

mod common;

use alike_model::compare::{Contents, Finding, Look, Verdict, compare_entry, compare_folder};
use alike_model::difference::Side;
use alike_model::entry::{Kind, Stamp};
use alike_model::known::{Known, Row};
use alike_model::policy::{Compare, Hash, Policy};
use alike_model::reason::Reason;
use alike_model::xattrs::{Namespaces, Xattrs, XattrsDiff};
use common::{KINDS, entry, known, name, replica, secs, source};

fn by_content() -> Policy {
    Policy { compare: Compare::Content(Hash::Blake3), ..Policy::default() }
}

fn newer() -> Policy {
    Policy { compare: Compare::Newer, ..Policy::default() }
}

/// The verdict on one name that both sides have; `is_proven`: the index holds just that.
fn verdict(source: &Stamp, replica: &Stamp, is_proven: bool, policy: &Policy) -> Verdict {
    let known = is_proven.then(|| known(source, replica));
    compare_entry(source, replica, known.as_ref(), policy)
}

/// The verdict on a name that may be on one side only.
fn found(source: Option<Stamp>, replica: Option<Stamp>, known: Option<Known>, policy: &Policy) -> Verdict {
    finding(source, replica, known, policy, false).verdict
}

fn finding(
    source: Option<Stamp>,
    replica: Option<Stamp>,
    known: Option<Known>,
    policy: &Policy,
    is_excluded: bool,
) -> Finding {
    let list = |stamp: Option<Stamp>| stamp.map(|stamp| entry("x", stamp)).into_iter().collect::<Vec<_>>();
    let entries = known.map(|known| (name("x"), known)).into_iter().collect();
    let row = Row { filter: 0, xattrs: Namespaces::ALL, entries };
    let all = compare_folder(&list(source), &list(replica), &row, policy, |_, is_folder| {
        // Only the rule for the kind that is shown may count.
        is_excluded && is_folder == source.or(replica).is_some_and(|shown| shown.kind == Kind::Folder)
    });
    assert_eq!(all.len(), 1);
    all.into_iter().next().unwrap()
}

#[test]
fn of_two_kinds_nothing_else_is_asked() {
    for here in KINDS {
        for there in KINDS.into_iter().filter(|there| *there != here) {
            let told = verdict(&source(here), &replica(there), true, &Policy::default());
            assert_eq!(told, Verdict::OtherKind, "{here} and {there}");
        }
    }
}

#[test]
fn only_what_the_index_proves_is_equal_unread() {
    for kind in KINDS.into_iter().filter(|kind| *kind != Kind::Folder) {
        let told = |is_proven| verdict(&source(kind), &replica(kind), is_proven, &Policy::default());
        assert_eq!(told(true), Verdict::Same { proven: true }, "{kind}");
        assert_eq!(told(false), Verdict::Doubt, "{kind}");
    }
    assert_eq!(
        verdict(&source(Kind::Folder), &replica(Kind::Folder), true, &Policy::default()),
        Verdict::Folders
    );
}

#[test]
fn a_stamp_of_either_side_that_moved_proves_nothing() {
    let (here, there) = (source(Kind::File), replica(Kind::File));
    let known = known(&here, &there);
    let moved = Stamp { ctime: secs(101), ..here };
    assert_eq!(compare_entry(&moved, &there, Some(&known), &Policy::default()), Verdict::Doubt);
    let moved = Stamp { ctime: secs(101), ..there };
    assert_eq!(compare_entry(&here, &moved, Some(&known), &Policy::default()), Verdict::Doubt);
}

#[test]
fn a_device_of_another_number_differs_and_a_pipe_has_none() {
    for kind in [Kind::BlockDevice, Kind::CharDevice] {
        let other = Stamp { rdev: 7, ..replica(kind) };
        for is_proven in [false, true] {
            let told = verdict(&source(kind), &other, is_proven, &Policy::default());
            assert_eq!(told, Verdict::Differs(Reason::Device));
        }
    }
    for kind in [Kind::Fifo, Kind::Socket] {
        let other = Stamp { rdev: 7, ..replica(kind) };
        assert_eq!(verdict(&source(kind), &other, true, &Policy::default()), Verdict::Same { proven: true });
    }
}

#[test]
fn another_size_is_another_content_and_of_a_symlink_another_target() {
    for is_proven in [false, true] {
        let told = |kind| {
            verdict(&source(kind), &Stamp { size: 12, ..replica(kind) }, is_proven, &Policy::default())
        };
        assert_eq!(told(Kind::File), Verdict::Differs(Reason::Size(12, 10)));
        assert_eq!(told(Kind::Symlink), Verdict::Differs(Reason::Target));
    }
}

#[test]
fn by_content_every_file_is_read_and_nothing_else_that_is_proven() {
    assert_eq!(verdict(&source(Kind::File), &replica(Kind::File), true, &by_content()), Verdict::Doubt);
    let told = verdict(&source(Kind::Symlink), &replica(Kind::Symlink), true, &by_content());
    assert_eq!(told, Verdict::Same { proven: true });
}

#[test]
fn a_newer_file_of_the_replica_stays_when_asked_for_and_only_then() {
    let later = |kind| Stamp { mtime: secs(2), size: 12, ..replica(kind) };
    let told = verdict(&source(Kind::File), &later(Kind::File), false, &newer());
    assert_eq!(told, Verdict::Skip(Reason::ReplicaNewer));
    // As old as the source's is not newer, older even less.
    for mtime in [secs(1), secs(0)] {
        let told =
            verdict(&source(Kind::File), &Stamp { mtime, size: 12, ..replica(Kind::File) }, false, &newer());
        assert_eq!(told, Verdict::Differs(Reason::Size(12, 10)));
    }
    let told = verdict(&source(Kind::Symlink), &later(Kind::Symlink), false, &newer());
    assert_eq!(told, Verdict::Differs(Reason::Target));
    let told = verdict(&source(Kind::File), &later(Kind::File), false, &Policy::default());
    assert_eq!(told, Verdict::Differs(Reason::Size(12, 10)));
}

#[test]
fn proven_contents_with_another_mode_need_attributes_alone() {
    let told =
        verdict(&source(Kind::File), &Stamp { mode: 0o600, ..replica(Kind::File) }, true, &Policy::default());
    let Verdict::Meta(diff) = told else { panic!("{told:?}") };
    assert_eq!(diff.to_string(), "mode 600→644");
}

#[test]
fn what_one_side_lacks_is_missing_or_gone_and_what_both_lack_forgotten() {
    let (here, there) = (source(Kind::File), replica(Kind::File));
    let plain = Policy::default();
    assert_eq!(found(Some(here), None, None, &plain), Verdict::Missing);
    assert_eq!(found(None, Some(there), None, &plain), Verdict::Gone);
    assert_eq!(found(None, None, Some(known(&here, &there)), &plain), Verdict::Forgotten);
}

#[test]
fn special_files_are_left_out_when_asked_for_and_nothing_else_is() {
    let without = Policy { special: false, ..Policy::default() };
    for kind in KINDS {
        let is_special = !matches!(kind, Kind::File | Kind::Folder | Kind::Symlink);
        let left_out = Verdict::Skip(Reason::SpecialsOff);
        assert_eq!(found(Some(source(kind)), None, None, &without) == left_out, is_special, "{kind}");
        let both = found(Some(source(kind)), Some(replica(kind)), None, &without);
        assert_eq!(both == left_out, is_special, "{kind}");
        assert_eq!(found(Some(source(kind)), None, None, &Policy::default()), Verdict::Missing, "{kind}");
    }
}

#[test]
fn where_no_device_can_be_made_only_missing_devices_are_skipped() {
    let without = Policy { devices: false, ..Policy::default() };
    for kind in KINDS {
        let is_device = matches!(kind, Kind::BlockDevice | Kind::CharDevice);
        let told = found(Some(source(kind)), None, None, &without);
        assert_eq!(told == Verdict::Skip(Reason::NoDevices), is_device, "{kind}");
        let there = found(Some(source(kind)), Some(replica(kind)), None, &without);
        assert_ne!(there, Verdict::Skip(Reason::NoDevices), "{kind}");
    }
}

#[test]
fn what_is_excluded_goes_only_from_a_replica_that_has_it_and_only_when_asked_for() {
    let (here, there) = (source(Kind::Folder), replica(Kind::Folder));
    let goes = Policy { delete_excluded: true, ..Policy::default() };
    let told = |source, replica, policy: &Policy| finding(source, replica, None, policy, true).verdict;
    assert_eq!(told(Some(here), Some(there), &Policy::default()), Verdict::Excluded);
    assert_eq!(told(Some(here), None, &goes), Verdict::Excluded);
    assert_eq!(told(Some(here), Some(there), &goes), Verdict::ExcludedGoes);
    assert_eq!(told(None, Some(replica(Kind::File)), &goes), Verdict::ExcludedGoes);
}

fn with(verdict: Verdict, source: Stamp, replica: Option<Stamp>, known: Option<Known>) -> Finding {
    Finding { name: name("x"), source: Some(source), replica, known, verdict }
}

#[test]
fn names_of_an_inode_with_several_wait_for_each_other_unless_they_are_proven() {
    let (one, two) = (source(Kind::File), Stamp { nlink: 2, ..source(Kind::File) });
    let several = Stamp { nlink: 2, ..replica(Kind::File) };
    let waits = |verdict: Verdict, source, replica| with(verdict, source, replica, None).waits_for_links();
    let diff = || {
        let Verdict::Meta(diff) =
            verdict(&one, &Stamp { mode: 0, ..replica(Kind::File) }, true, &Policy::default())
        else {
            panic!("a difference")
        };
        diff
    };
    for told in [
        Verdict::Doubt,
        Verdict::Missing,
        Verdict::Differs(Reason::Content),
        Verdict::Meta(diff()),
        Verdict::Same { proven: false },
        Verdict::OtherKind,
    ] {
        assert!(waits(told.clone(), two, Some(replica(Kind::File))), "{told:?}");
        assert!(waits(told.clone(), one, Some(several)), "{told:?}");
        assert!(!waits(told.clone(), one, Some(replica(Kind::File))), "{told:?}");
    }
    assert!(waits(Verdict::Missing, two, None));
    assert!(!waits(Verdict::Same { proven: true }, two, Some(several)));
    assert!(!waits(Verdict::Excluded, two, Some(several)));
    assert!(!waits(Verdict::Skip(Reason::ReplicaNewer), two, Some(several)));
    // A folder in the way is a deletion, which is judged first; a folder to come has no other names.
    assert!(!waits(Verdict::OtherKind, two, Some(replica(Kind::Folder))));
    assert!(!waits(Verdict::OtherKind, source(Kind::Folder), Some(several)));
    let nobody = Finding { source: None, ..with(Verdict::Doubt, one, Some(several), None) };
    assert!(!nobody.waits_for_links());
}

#[test]
fn contents_are_in_doubt_for_files_and_for_symlinks_that_are_others_than_before() {
    let doubts = |kind, known: Option<Known>, policy: &Policy| {
        with(Verdict::Doubt, source(kind), Some(replica(kind)), known).doubts_contents(policy)
    };
    let plain = Policy::default();
    assert!(doubts(Kind::File, None, &plain) && doubts(Kind::Symlink, None, &plain));
    assert!(!doubts(Kind::Fifo, None, &plain) && !doubts(Kind::Folder, None, &plain));
    let (here, there) = (source(Kind::Symlink), replica(Kind::Symlink));
    assert!(!doubts(Kind::Symlink, Some(known(&here, &there)), &plain));
    // Where it points may differ as soon as either side is another inode than it was.
    assert!(doubts(Kind::Symlink, Some(known(&Stamp { ino: 9, ..here }, &there)), &plain));
    assert!(doubts(Kind::Symlink, Some(known(&here, &Stamp { ino: 9, ..there })), &plain));
    let alone = with(Verdict::Doubt, here, None, None);
    assert!(!alone.doubts_contents(&plain));
}

#[test]
fn where_only_newer_files_are_copied_equal_times_are_taken_for_equal_contents() {
    let doubts = |mtime, policy: &Policy| {
        let there = Stamp { mtime, ..replica(Kind::File) };
        with(Verdict::Doubt, source(Kind::File), Some(there), None).doubts_contents(policy)
    };
    assert!(!doubts(secs(1), &newer()));
    assert!(doubts(secs(0), &newer()));
    assert!(doubts(secs(1), &Policy::default()) && doubts(secs(1), &by_content()));
}

fn settled(here: Stamp, there: Stamp, known: Option<Known>, contents: Contents) -> Finding {
    let look = Look { contents, xattrs: XattrsDiff::default() };
    with(Verdict::Doubt, here, Some(there), known).settle(look, &Policy::default())
}

#[test]
fn a_look_that_found_other_contents_says_what_gave_them_away() {
    let (here, there) = (source(Kind::File), replica(Kind::File));
    let told = |here, there| settled(here, there, None, Contents::Different).verdict;
    assert_eq!(told(here, there), Verdict::Differs(Reason::Content));
    assert_eq!(told(here, Stamp { mtime: secs(0), ..there }), Verdict::Differs(Reason::Mtime));
    let link = Stamp { mtime: secs(0), ..replica(Kind::Symlink) };
    assert_eq!(told(source(Kind::Symlink), link), Verdict::Differs(Reason::Target));
}

#[test]
fn rot_on_the_replica_is_mended_and_rot_in_the_source_is_never_copied() {
    let told = |side| settled(source(Kind::File), replica(Kind::File), None, Contents::Rotten(side)).verdict;
    assert_eq!(told(Side::Replica), Verdict::Differs(Reason::Rot(Side::Replica)));
    for side in [Side::Source, Side::Both, Side::Unknown] {
        assert_eq!(told(side), Verdict::Hold(Reason::Rot(side)));
    }
}

#[test]
fn equal_contents_are_news_to_an_index_that_did_not_hold_just_that() {
    let (here, there) = (source(Kind::File), replica(Kind::File));
    let told = |known| settled(here, there, known, Contents::Equal).verdict;
    assert_eq!(told(None), Verdict::Same { proven: false });
    assert_eq!(told(Some(known(&here, &there))), Verdict::Same { proven: true });
    let before = Stamp { ctime: secs(99), ..here };
    assert_eq!(told(Some(known(&before, &there))), Verdict::Same { proven: false });
    let before = Stamp { ctime: secs(99), ..there };
    assert_eq!(told(Some(known(&here, &before))), Verdict::Same { proven: false });
}

#[test]
fn an_attribute_that_a_look_found_is_set_though_contents_are_equal() {
    let of = |value: &[u8]| Xattrs::new(vec![(b"user.a".to_vec(), value.to_vec())]);
    let look = Look { contents: Contents::Equal, xattrs: of(b"1").differ_from(&of(b"2")) };
    let doubt = with(Verdict::Doubt, source(Kind::File), Some(replica(Kind::File)), None);
    let Verdict::Meta(diff) = doubt.settle(look.clone(), &Policy::default()).verdict else {
        panic!("attributes differ")
    };
    assert_eq!(diff.to_string(), "xattr user.a");
    let missing = with(Verdict::Missing, source(Kind::File), None, None);
    assert_eq!(missing.clone().settle(look, &Policy::default()), missing);
}
