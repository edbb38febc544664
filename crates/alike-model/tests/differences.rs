//! Who changed what: what stamps, index and hash tell of a difference.

use alike_model::compare::Verdict;
use alike_model::difference::{
    Change, Difference, Side, What, attributes, blame, blame_contents, difference_of,
};
use alike_model::entry::{Kind, Stamp, Time, Unreadable};
use alike_model::known::{Digest, Known, Row};
use alike_model::links::{Misjoined, misjoined};
use alike_model::path::{Name, RelPath};
use alike_model::reason::{AttrsDiff, Reason};

const GOOD: Digest = Digest([1; 16]);
const BAD: Digest = Digest([2; 16]);

fn stamp(ino: u64, ctime: i64) -> Stamp {
    let time = |secs| Time { secs, nanos: 5 };
    Stamp {
        kind: Kind::File,
        dev: 1,
        ino,
        size: 10,
        blocks: 8,
        nlink: 1,
        mode: 0o644,
        uid: 0,
        gid: 0,
        rdev: 0,
        mtime: time(1),
        ctime: time(ctime),
        btime: None,
    }
}

const OLD: i64 = 100;
const NEW: i64 = 200;

fn known(hash: Option<Digest>) -> Known {
    let known = Known::equal(&stamp(1, OLD), false, &stamp(2, OLD), None);
    hash.map_or(known, |hash| known.read_as(hash))
}

fn contents(known: Option<Known>, source: i64, replica: i64, digests: (Digest, Digest)) -> Change {
    blame_contents(known.as_ref(), (&stamp(1, source), &stamp(2, replica)), Some(digests))
}

#[test]
fn with_a_hash_rot_is_on_the_side_that_lost_it() {
    let known = Some(known(Some(GOOD)));
    assert_eq!(contents(known, OLD, OLD, (GOOD, BAD)), Change::Rot(Side::Replica));
    assert_eq!(contents(known, OLD, OLD, (BAD, GOOD)), Change::Rot(Side::Source));
    assert_eq!(contents(known, OLD, OLD, (BAD, Digest([3; 16]))), Change::Rot(Side::Both));
    // The replica drifted besides: the source is no less rotten.
    assert_eq!(contents(known, OLD, NEW, (BAD, GOOD)), Change::Rot(Side::Source));
    assert_eq!(contents(known, OLD, NEW, (GOOD, BAD)), Change::Drift);
    // Touched, but not changed.
    assert_eq!(contents(known, NEW, OLD, (GOOD, BAD)), Change::Rot(Side::Replica));
    assert_eq!(contents(known, NEW, OLD, (BAD, GOOD)), Change::Stale);
    assert_eq!(contents(known, NEW, NEW, (BAD, GOOD)), Change::Unclear(Side::Both));
}

#[test]
fn without_a_hash_nobody_is_blamed_for_rot() {
    let known = known(None);
    assert_eq!(contents(Some(known), OLD, OLD, (GOOD, BAD)), Change::Rot(Side::Unknown));
    assert_eq!(contents(Some(known), OLD, NEW, (GOOD, BAD)), Change::Drift);
    assert_eq!(contents(Some(known), NEW, OLD, (GOOD, BAD)), Change::Stale);
    assert_eq!(contents(None, OLD, OLD, (GOOD, BAD)), Change::Unclear(Side::Unknown));
    // A stamp that was too fresh may hide a change, and that is no rot.
    assert_eq!(contents(Some(known.distrusted()), OLD, OLD, (GOOD, BAD)), Change::Stale);
}

#[test]
fn what_only_one_side_has_tells_who_made_or_removed_it() {
    let (known, source, replica) = (known(None), stamp(1, OLD), stamp(2, OLD));
    assert_eq!(blame(Some(&known), true, Some(&source), None), Change::Drift);
    assert_eq!(blame(Some(&known), true, None, Some(&replica)), Change::Stale);
    assert_eq!(blame(None, true, Some(&source), None), Change::Stale);
    assert_eq!(blame(None, true, None, Some(&replica)), Change::Drift);
    assert_eq!(blame(None, false, None, Some(&replica)), Change::Unclear(Side::Unknown));
    assert_eq!(blame(Some(&known), true, Some(&stamp(7, NEW)), None), Change::Unclear(Side::Both));
}

#[test]
fn a_hash_stays_as_long_as_the_stamps_and_no_longer() {
    let name = Name::new(b"file").unwrap_or_else(|| unreachable!("a name"));
    let row = Row { entries: vec![(name.clone(), known(Some(GOOD)))], ..Row::default() };
    let after = |source, replica, racy| {
        let now = Known::equal(&stamp(1, source), racy, &stamp(2, replica), None);
        row.clone().edited(vec![(name.clone(), Some(now))]).get(&name).and_then(|known| known.hash)
    };
    assert_eq!(after(OLD, OLD, false), Some(GOOD));
    assert_eq!(after(NEW, OLD, false), None);
    assert_eq!(after(OLD, NEW, false), None);
    assert_eq!(after(OLD, OLD, true), Some(GOOD));
}

#[test]
fn names_are_parted_or_joined_by_the_first_of_their_inode() {
    let (a, b) = ((1, 1, 9), (1, 2, 9));
    assert_eq!(misjoined(&[(a, (9, 1)), (a, (9, 1)), (b, (9, 2))]), []);
    assert_eq!(misjoined(&[(a, (9, 1)), (a, (9, 2))]), [(1, Misjoined::Parted(0))]);
    assert_eq!(misjoined(&[(a, (9, 1)), (b, (9, 1))]), [(1, Misjoined::Joined(0))]);
}

fn of(kind: Kind, ino: u64, ctime: i64) -> Stamp {
    Stamp { kind, ..stamp(ino, ctime) }
}

#[test]
fn of_two_entries_the_one_whose_stamp_moved_was_changed() {
    let known = known(None);
    let told = |source, replica| blame(Some(&known), true, Some(&stamp(1, source)), Some(&stamp(2, replica)));
    assert_eq!(told(OLD, NEW), Change::Drift);
    assert_eq!(told(NEW, OLD), Change::Stale);
    assert_eq!(told(NEW, NEW), Change::Unclear(Side::Both));
    // Nothing moved: the rules for what is compared did.
    assert_eq!(told(OLD, OLD), Change::Unclear(Side::Unknown));
    assert_eq!(blame(None, true, Some(&stamp(1, OLD)), Some(&stamp(2, OLD))), Change::Unclear(Side::Unknown));
}

#[test]
fn a_stamp_too_fresh_to_be_trusted_puts_no_blame_on_the_replica() {
    let known = known(None).distrusted();
    let told = |source, replica| blame(Some(&known), true, Some(&stamp(1, source)), Some(&stamp(2, replica)));
    assert_eq!(told(OLD, OLD), Change::Stale);
    assert_eq!(told(OLD, NEW), Change::Unclear(Side::Unknown));
}

#[test]
fn of_two_folders_an_untouched_source_tells_drift_and_a_touched_one_nothing() {
    let known = Known::equal(&of(Kind::Folder, 1, OLD), false, &of(Kind::Folder, 2, OLD), None);
    let told = |source, replica| {
        let (source, replica) = (of(Kind::Folder, 1, source), of(Kind::Folder, 2, replica));
        blame(Some(&known), true, Some(&source), Some(&replica))
    };
    assert_eq!(told(OLD, OLD), Change::Drift);
    assert_eq!(told(OLD, NEW), Change::Drift);
    assert_eq!(told(NEW, OLD), Change::Unclear(Side::Unknown));
    assert_eq!(told(NEW, NEW), Change::Unclear(Side::Unknown));
}

#[test]
fn a_folder_that_is_alone_is_the_same_as_long_as_its_inode_is() {
    let known = Known::equal(&of(Kind::Folder, 1, OLD), false, &of(Kind::Folder, 2, OLD), None);
    let told = |source: Option<Stamp>, replica: Option<Stamp>| {
        blame(Some(&known), true, source.as_ref(), replica.as_ref())
    };
    // Its stamps moved, for things happened inside.
    assert_eq!(told(Some(of(Kind::Folder, 1, NEW)), None), Change::Drift);
    assert_eq!(told(None, Some(of(Kind::Folder, 2, NEW))), Change::Stale);
    assert_eq!(told(Some(of(Kind::Folder, 7, OLD)), None), Change::Unclear(Side::Both));
    assert_eq!(told(None, Some(of(Kind::Folder, 7, OLD))), Change::Unclear(Side::Both));
    // Somebody made a file of it, under the number that it had.
    assert_eq!(told(Some(of(Kind::Folder, 1, NEW)), Some(of(Kind::File, 2, OLD))), Change::Drift);
    assert_eq!(told(Some(of(Kind::File, 1, OLD)), Some(of(Kind::Folder, 2, NEW))), Change::Stale);
    assert_eq!(told(Some(of(Kind::File, 1, OLD)), Some(of(Kind::File, 2, OLD))), Change::Unclear(Side::Both));
}

#[test]
fn files_that_both_became_folders_are_nobodys_change_alone() {
    let known = known(None);
    let (source, replica) = (of(Kind::Folder, 7, NEW), of(Kind::Folder, 8, NEW));
    assert_eq!(blame(Some(&known), true, Some(&source), Some(&replica)), Change::Unclear(Side::Unknown));
}

#[test]
fn every_difference_that_stamps_tell_is_named_and_nothing_else() {
    let (file, folder) = (stamp(1, OLD), of(Kind::Folder, 2, OLD));
    let told = |verdict: Verdict, source, replica| {
        difference_of(&verdict, source, replica).map(|what| what.to_string())
    };
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(told(Verdict::Missing, Some(&file), None), some("missing on the replica"));
    let with_all = some("missing on the replica, with all that is in it");
    assert_eq!(told(Verdict::Missing, Some(&folder), None), with_all);
    let device = Verdict::Skip(Reason::NoDevices);
    assert_eq!(told(device.clone(), Some(&file), None), some("missing on the replica"));
    assert_eq!(told(device, Some(&file), Some(&file)), None);
    assert_eq!(told(Verdict::Gone, None, Some(&file)), some("only on the replica"));
    let with_all = some("only on the replica, with all that is in it");
    assert_eq!(told(Verdict::Gone, None, Some(&folder)), with_all);
    assert_eq!(told(Verdict::OtherKind, Some(&file), Some(&folder)), some("kind folder→file"));
    assert_eq!(told(Verdict::Differs(Reason::Size(1, 2)), Some(&file), Some(&file)), some("size 1→2"));
    assert_eq!(told(Verdict::Differs(Reason::Content), Some(&file), Some(&file)), some("content"));
    let why = Unreadable("denied".to_owned());
    assert_eq!(told(Verdict::Unreadable(why), None, None), some("denied"));
    for none in [Verdict::Same { proven: true }, Verdict::Folders, Verdict::Doubt, Verdict::Excluded] {
        assert_eq!(told(none, Some(&file), Some(&file)), None);
    }
}

#[test]
fn a_difference_is_told_in_words_that_name_who_changed_what() {
    let told = |what: What, change| {
        let path = RelPath::parse(b"a/b").unwrap_or_else(|| unreachable!("a path"));
        Difference { path, what, change }.to_string()
    };
    let content = || What::Other(Reason::Content);
    assert_eq!(told(content(), Change::Drift), "content; the replica was changed");
    let stale = "content; the source was changed, the replica has not followed";
    assert_eq!(told(content(), Change::Stale), stale);
    let rot = |side| told(content(), Change::Rot(side));
    assert_eq!(rot(Side::Source), "content; rot in the source: its bytes changed, its stamp did not");
    assert_eq!(rot(Side::Replica), "content; rot on the replica: its bytes changed, its stamp did not");
    assert_eq!(rot(Side::Both), "content; rot on both sides: bytes changed, stamps did not");
    let unknown = "content; bytes changed, stamps did not; which side rotted cannot be told";
    assert_eq!(rot(Side::Unknown), unknown);
    assert_eq!(told(content(), Change::Unclear(Side::Both)), "content; both sides were changed");
    assert_eq!(told(content(), Change::Unclear(Side::Unknown)), "content; which side changed is not known");
    assert_eq!(told(What::Said("denied".to_owned()), Change::Failed), "denied");
    assert_eq!(told(What::Said("it moves".to_owned()), Change::Moving), "it moves");
    let other = || RelPath::parse(b"c").unwrap_or_else(|| unreachable!("a path"));
    assert_eq!(told(What::Parted(other()), Change::Failed), "not one file with c on the replica");
    assert_eq!(told(What::Joined(other()), Change::Failed), "one file with c on the replica only");
    let kind = What::Other(Reason::Kind(Kind::Fifo, Kind::File));
    assert_eq!(told(kind, Change::Failed), "kind fifo→file");
}

#[test]
fn scripts_get_one_word_for_each_side_and_each_change() {
    let sides = [Side::Source, Side::Replica, Side::Both, Side::Unknown].map(Side::as_str);
    assert_eq!(sides, ["source", "replica", "both", "unknown"]);
    let changes = [
        (Change::Drift, "drift", Side::Replica),
        (Change::Stale, "stale", Side::Source),
        (Change::Rot(Side::Both), "rot", Side::Both),
        (Change::Unclear(Side::Both), "differs", Side::Both),
        (Change::Moving, "changing", Side::Unknown),
        (Change::Failed, "error", Side::Unknown),
    ];
    for (change, word, side) in changes {
        assert_eq!((change.as_str(), change.side()), (word, side));
    }
}

#[test]
fn attributes_that_do_not_differ_are_no_difference() {
    assert_eq!(attributes(AttrsDiff::default()), None);
    let diff = AttrsDiff { mode: Some((0o600, 0o644)), ..AttrsDiff::default() };
    assert_eq!(attributes(diff).map(|what| what.to_string()), Some("mode 600→644".to_owned()));
}
