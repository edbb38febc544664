//! A huge file that changed a little is changed in place where files cannot be cloned, by way of a journal.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::fs::File;
use std::os::unix::fs::FileExt;

use alike_testkit::{Mount, Pair, Tree, allocated, root_or_say};
use common::{events, pair, steps};

const MIB: u64 = 1 << 20;

/// A pair whose replica is on an ext4 of its own, which cannot clone.
fn on_ext4() -> Option<(Pair, Mount)> {
    if !root_or_say("an ext4 of its own") {
        return None;
    }
    let mut pair = pair();
    let disk = pair.beside("disk");
    let mount = Mount::loop_filesystem(&disk, "ext4", 128);
    pair.replica = Tree::at(disk.join("replica"));
    Some((pair, mount))
}

fn steps_of(pair: &Pair) -> Vec<String> {
    let run = pair.once_with(&["--json"]);
    run.expect(0);
    steps(&events(&run))
}

fn is_staging_empty(pair: &Pair) -> bool {
    std::fs::read_dir(pair.replica.path(".alike/staging")).unwrap().count() == 0
}

/// Writes some bytes into the middle of a file.
fn edit(file: &std::path::Path, at: u64, bytes: &[u8]) {
    File::options().write(true).open(file).unwrap().write_all_at(bytes, at).unwrap();
}

#[test]
fn only_what_changed_of_a_huge_file_is_written_into_the_file_that_is_there() {
    let Some((pair, _disk)) = on_ext4() else { return };
    pair.source.sparse("file", 300 * MIB, &[(0, &[7; 100_000]), (200 * MIB, &[8; 100_000])]);
    pair.mirrored();
    let inode = pair.replica.ino("file");
    edit(&pair.source.path("file"), 200 * MIB + 1000, &[b'!'; 5000]);
    edit(&pair.source.path("file"), 0, b"?");
    pair.source.append("file", "longer").mode("file", 0o640);
    pair.mirrored();
    assert_eq!(pair.replica.ino("file"), inode);
    File::options().write(true).open(pair.source.path("file")).unwrap().set_len(290 * MIB).unwrap();
    pair.mirrored();
    assert_eq!(pair.replica.ino("file"), inode);
    assert!(allocated(&pair.replica.path("file")) < MIB, "holes stay holes");
    assert!(is_staging_empty(&pair), "nothing is left of the journal");
    assert_eq!(steps_of(&pair), [""; 0]);
}

#[test]
fn a_huge_file_is_replaced_when_told_so_when_much_changed_and_when_it_has_another_name() {
    let Some((pair, _disk)) = on_ext4() else { return };
    pair.source.sparse("file", 300 * MIB, &[(0, b"here")]);
    pair.mirrored();
    let mut inode = pair.replica.ino("file");
    let mut replaced = |why: &str, flags: &[&str]| {
        pair.mirrored_with(flags);
        let now = pair.replica.ino("file");
        assert_ne!(now, inode, "{why}");
        inode = now;
    };
    edit(&pair.source.path("file"), 5, b"told so");
    replaced("told so", &["--inplace-delta", "never"]);

    let much = vec![b'x'; 40 << 20];
    edit(&pair.source.path("file"), 5, &much);
    replaced("much changed", &[]);

    let outside = pair.replica.path("../outside");
    std::fs::hard_link(pair.replica.path("file"), &outside).unwrap();
    edit(&pair.source.path("file"), 5, b"another name");
    replaced("another name", &[]);
    assert!(std::fs::read(&outside).unwrap()[5..].starts_with(b"xxx"), "that one is as it was");
    assert!(is_staging_empty(&pair));
}

#[test]
fn a_change_in_place_that_broke_off_is_completed_before_anything_is_compared() {
    let pair = pair();
    pair.source.file("file", "0123456789").file("other", "x");
    pair.mirrored();
    let inode = pair.replica.ino("file");
    // As it stands after a crash: the journal is whole, and nobody knows how much of it was done.
    let mut journal = b"alikepa1".to_vec();
    for number in [8_u64, 2, 3] {
        journal.extend(number.to_le_bytes());
    }
    journal.extend(b"abc");
    pair.replica.file(".alike/staging/7-1.patch", &journal);
    pair.replica.hard_link("file", ".alike/staging/7-1.target");
    // One whose journal was not complete is not touched.
    pair.replica.file(".alike/staging/7-2.new", "alik");
    // And one that is damaged does no harm.
    pair.replica.file(".alike/staging/7-3.patch", "not a patch");
    pair.replica.hard_link("other", ".alike/staging/7-3.target");

    pair.source.file("file", "01abc567");
    // The source may be gone for good: the replica is made whole all the same, and only then refused.
    let away = pair.beside("away");
    std::fs::rename(pair.source.top(), &away).unwrap();
    pair.once().expect(3);
    assert_eq!(pair.replica.read("file"), b"01abc567");
    std::fs::rename(&away, pair.source.top()).unwrap();
    assert_eq!(steps_of(&pair), ["meta file"], "its contents were right before the pass looked");
    pair.assert_identical("after the change was completed");
    assert_eq!(pair.replica.ino("file"), inode);
    assert!(is_staging_empty(&pair));
}
