//! Who changed what: what stamps, index and hash tell of a difference.

use alike_model::difference::{Change, Side, blame, blame_contents};
use alike_model::entry::{Kind, Stamp, Time};
use alike_model::known::{Digest, Known, Row};
use alike_model::links::{Misjoined, misjoined};
use alike_model::path::Name;

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
