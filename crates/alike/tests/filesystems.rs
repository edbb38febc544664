//! What one filesystem holds is mirrored to another: everything, holes, shared blocks, and times as far as they go.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::fs::File;
use std::os::unix::fs::FileExt;

use alike_testkit::{Leave, Mount, Pair, Tree, allocated, compare, root_or_say, shared};
use common::{copied, events, nothing_to_do, pair, pass, steps};

const KINDS: [&str; 4] = ["tmpfs", "ext4", "xfs", "btrfs"];
const MIB: u64 = 1 << 20;

/// A fresh filesystem of this kind beside the pair, and a folder in it.
fn filesystem(pair: &Pair, name: &str, kind: &str) -> (Mount, Tree) {
    let at = pair.beside(name);
    let mount = match kind {
        "tmpfs" => Mount::tmpfs(&at, "400m"),
        kind => Mount::loop_filesystem(&at, kind, 400),
    };
    (mount, Tree::at(at.join("tree")))
}

/// A pair with the source on one kind of filesystem and the replica on another; none when not root.
fn across(from: &str, to: &str) -> Option<(Pair, [Mount; 2])> {
    if !root_or_say("filesystems") {
        return None;
    }
    let mut pair = pair();
    let (source, replica) = (filesystem(&pair, "from", from), filesystem(&pair, "to", to));
    pair.source = Tree::make(source.1.top());
    pair.replica = replica.1;
    Some((pair, [source.0, replica.0]))
}

/// The kinds of filesystems that hold everything here: before Linux 6.6 tmpfs has no attributes for users.
fn kinds_that_hold_everything(pair: &Pair) -> Vec<&'static str> {
    let (_mount, tree) = filesystem(pair, "probe", "tmpfs");
    let tmpfs_does = tree.folder("").takes_xattrs();
    if !tmpfs_does {
        eprintln!("NOT RUN: everything on tmpfs needs Linux 6.6 or later");
    }
    KINDS.into_iter().filter(|kind| tmpfs_does || *kind != "tmpfs").collect()
}

/// Mirrors everything from one kind of filesystem to each, follows an edit, and has nothing to do after either.
fn everything_goes_from(kind: &str) {
    if !root_or_say("filesystems") {
        return;
    }
    let pair = pair();
    let kinds = kinds_that_hold_everything(&pair);
    if !kinds.contains(&kind) {
        return;
    }
    let targets: Vec<(Mount, Tree)> = kinds.iter().map(|kind| filesystem(&pair, kind, kind)).collect();
    let source = Tree::make(pair.beside(kind).join("source"));
    for round in ["all of it", "an edit", "another"] {
        match round {
            "all of it" => source.everything(),
            "an edit" => source.everything_edited(),
            _ => source.append("moved/large", "x").xattr("link", "trusted.alike", "again"),
        };
        for (kind, (_, target)) in kinds.iter().zip(&targets) {
            let run = pair.alike.once(&[], source.top(), target.top());
            run.expect(0);
            let differences = compare(source.top(), target.top());
            assert_eq!(differences, [""; 0], "{round} to {kind}: {}", run.report());
            assert!(!run.err().contains("cannot hold"), "{kind}: {}", run.report());
            let again = pair.alike.once(&["--json"], source.top(), target.top());
            again.expect(0);
            assert_eq!(steps(&events(&again)), [""; 0], "{round} to {kind}: {}", again.report());
        }
    }
}

#[test]
fn everything_goes_from_tmpfs_to_each_filesystem() {
    everything_goes_from("tmpfs");
}

#[test]
fn everything_goes_from_ext4_to_each_filesystem() {
    everything_goes_from("ext4");
}

#[test]
fn everything_goes_from_xfs_to_each_filesystem() {
    everything_goes_from("xfs");
}

#[test]
fn everything_goes_from_btrfs_to_each_filesystem() {
    everything_goes_from("btrfs");
}

/// How many lines of stderr say what the target cannot hold.
fn said_it_cannot_hold(text: &str, what: &str) -> usize {
    let lines = text.lines().filter(|line| line.contains("this target cannot hold: "));
    lines.inspect(|line| assert!(line.contains(what), "{line}")).count()
}

/// A pair whose replica is an ext4 with inodes of 128 bytes, which has no room for parts of a second; none when not
/// root.
fn onto_small_inodes() -> Option<(Pair, Mount)> {
    if !root_or_say("filesystems") {
        return None;
    }
    let mut pair = pair();
    let old = Mount::loop_filesystem_with(&pair.beside("old"), "ext4", 64, &["-I", "128", "-b", "4096"]);
    pair.replica = Tree::at(pair.beside("old/replica"));
    Some((pair, old))
}

#[test]
fn parts_of_a_second_that_a_target_cannot_hold_are_said_once_and_are_no_work() {
    let Some((pair, _old)) = onto_small_inodes() else { return };
    for i in 0..200 {
        pair.source.file(format!("folder-{}/file-{i}", i % 5), "x");
    }
    pair.source.symlink("link", "x").fifo("pipe").mtime("link", -1, 999_999_999).mtime("pipe", -1, 1);
    pair.source.mtime("", 1_000_000_000, 999_999_999);
    for _ in 0..3 {
        let run = pair.mirrored_but(&[Leave::Nanoseconds]);
        assert_eq!(said_it_cannot_hold(&run.err(), "times"), 1, "{}", run.report());
        nothing_to_do(&pair);
    }
    pair.source.file("folder-0/file-0", "edited").edit_keeping_stamp("folder-1/file-1", "y");
    pair.source.mtime("folder-2/file-2", 1_234_567_890, 5).rename("folder-3", "renamed");
    let run = pair.once_with(&["--json"]);
    run.expect(0);
    let found = steps(&events(&run));
    for step in ["update folder-0/file-0", "update folder-1/file-1", "meta folder-2/file-2", "rename renamed"]
    {
        assert!(found.iter().any(|found| found == step), "{step}: {}", run.report());
    }
    pair.assert_identical_but(&[Leave::Nanoseconds], &run.report());
    nothing_to_do(&pair);
}

#[test]
fn a_part_of_a_second_that_alone_changed_is_no_work_where_it_cannot_be_held() {
    let Some((pair, _old)) = onto_small_inodes() else { return };
    pair.source.file("file", "x").folder("folder");
    for nanoseconds in [0, 1, 999_999_999] {
        pair.source.mtime("file", 1_000_000_000, nanoseconds).mtime("folder", 1_000_000_000, nanoseconds);
        pair.mirrored_but(&[Leave::Nanoseconds]);
        let inode = pair.replica.ino("file");
        nothing_to_do(&pair);
        assert_eq!(pair.replica.ino("file"), inode);
    }
}

#[test]
fn times_beyond_those_of_a_target_are_the_nearest_and_no_work() {
    let Some((pair, _old)) = onto_small_inodes() else { return };
    for (i, seconds) in [-2_147_483_648, 2_147_483_647, 2_147_483_648, 15_032_385_535].into_iter().enumerate()
    {
        let (file, folder, link) = (format!("file-{i}"), format!("folder-{i}"), format!("link-{i}"));
        pair.source.file(&file, "x").folder(&folder).symlink(&link, "x");
        for path in [file, folder, link] {
            pair.source.mtime(path, seconds, 123_456_789);
        }
    }
    for _ in 0..2 {
        let run = pair.mirrored_but(&[Leave::Times]);
        assert_eq!(said_it_cannot_hold(&run.err(), "times"), 1, "{}", run.report());
        nothing_to_do(&pair);
    }
    let kept =
        |path: &str| std::os::unix::fs::MetadataExt::mtime(&pair.replica.path(path).metadata().unwrap());
    assert_eq!((kept("file-0"), kept("file-1")), (-2_147_483_648, 2_147_483_647));
    assert_eq!((kept("file-3"), kept("folder-3")), (2_147_483_647, 2_147_483_647));
}

#[test]
fn a_source_of_small_inodes_is_mirrored() {
    let Some((mut pair, _old)) = onto_small_inodes() else { return };
    std::mem::swap(&mut pair.source, &mut pair.replica);
    pair.replica.remove("");
    Tree::make(pair.source.top()).file("file", "x").file("folder/file", "x").mtime("file", -2_147_483_648, 0);
    let run = pair.mirrored();
    assert!(!run.err().contains("cannot hold"), "{}", run.report());
    pair.source.edit_keeping_stamp("file", "y");
    assert_eq!(steps(&pass(&pair)), ["update file"]);
}

#[test]
fn a_file_of_three_gigabytes_that_is_nearly_all_hole_stays_so() {
    const SIZE: u64 = 3 << 30;
    let data: [(u64, &[u8]); 3] = [(0, b"a"), (SIZE / 2 + 12_345, b"b"), (SIZE - 1, b"c")];
    for (from, to) in [("tmpfs", "ext4"), ("ext4", "xfs"), ("xfs", "btrfs"), ("btrfs", "tmpfs")] {
        let Some((pair, _mounts)) = across(from, to) else { return };
        pair.source.sparse("sparse", SIZE, &data);
        pair.once().expect(0);
        let path = pair.replica.path("sparse");
        // Where so little is allocated all else is hole, so the rest need not be read.
        assert!(allocated(&path) <= MIB, "{from} to {to}: {}", allocated(&path));
        let copy = File::open(&path).unwrap();
        assert_eq!(copy.metadata().unwrap().len(), SIZE);
        for (offset, byte) in data {
            let mut found = [0; 1];
            copy.read_exact_at(&mut found, offset).unwrap();
            assert_eq!(found, byte, "{from} to {to}");
        }
        assert_eq!(compare_allocated_parts(&pair, &data), [""; 0]);
    }
}

/// How the blocks around these places differ, byte for byte.
fn compare_allocated_parts(pair: &Pair, data: &[(u64, &[u8])]) -> Vec<String> {
    let [from, to] = [&pair.source, &pair.replica].map(|tree| File::open(tree.path("sparse")).unwrap());
    let around = |file: &File, offset: u64| {
        let mut bytes = vec![0; 256 * 1024];
        let read = file.read_at(&mut bytes, offset.saturating_sub(128 * 1024)).unwrap();
        bytes.truncate(read);
        bytes
    };
    let differ = data.iter().filter(|(offset, _)| around(&from, *offset) != around(&to, *offset));
    differ.map(|(offset, _)| format!("around {offset}")).collect()
}

#[test]
fn holes_of_every_shape_stay_holes() {
    let kib = |count: u64| count * 1024;
    let block = vec![b'x'; 4096];
    let data = |offset: u64| (kib(offset), block.as_slice());
    for (from, to) in
        [("ext4", "tmpfs"), ("tmpfs", "btrfs"), ("btrfs", "xfs"), ("xfs", "ext4"), ("ext4", "ext4")]
    {
        let Some((pair, _mounts)) = across(from, to) else { return };
        pair.source
            .sparse("small", kib(100), &[data(0), data(96)])
            .sparse("ends in a hole", kib(2000), &[data(0)])
            .sparse("begins with a hole", kib(2000), &[data(1996)])
            .sparse("all hole", kib(2000), &[])
            .sparse("odd size", 2_000_001, &[(1_000_001, b"middle")])
            .sparse("many", kib(4000), &(0..40).map(|i| data(100 * i)).collect::<Vec<_>>());
        pair.mirrored();
        for name in ["small", "ends in a hole", "begins with a hole", "all hole", "odd size", "many"] {
            let path = pair.replica.path(name);
            let (size, takes) = (path.metadata().unwrap().len(), allocated(&path));
            assert!(takes < size / 2, "{name} from {from} to {to}: {takes} of {size}");
        }
        nothing_to_do(&pair);
        pair.source.sparse("small", kib(200), &[data(100)]).sparse("all hole", kib(500), &[data(496)]);
        pair.source.sparse("many", kib(4000), &[data(0)]);
        pair.mirrored();
        for name in ["small", "all hole", "many"] {
            let path = pair.replica.path(name);
            let (size, takes) = (path.metadata().unwrap().len(), allocated(&path));
            assert!(takes < size / 2, "edited: {name} from {from} to {to}: {takes} of {size}");
        }
    }
}

#[test]
fn zeros_that_are_no_hole_are_equal_to_a_hole_and_no_work() {
    let Some((pair, _mounts)) = across("ext4", "ext4") else { return };
    pair.source
        .file("zeros", vec![0; 300_000])
        .sparse("hole", 300_000, &[])
        .mtime("zeros", 5, 6)
        .mtime("hole", 5, 6);
    pair.replica.sparse("zeros", 300_000, &[]).file("hole", vec![0; 300_000]);
    pair.mirrored();
    nothing_to_do(&pair);
}

/// A pair on one filesystem of this kind; none when not root.
fn on_one(kind: &str) -> Option<(Pair, Mount)> {
    if !root_or_say("filesystems") {
        return None;
    }
    let mut pair = pair();
    let (mount, tree) = filesystem(&pair, "disk", kind);
    pair.source = Tree::make(tree.path("source"));
    pair.replica = Tree::at(tree.path("replica"));
    Some((pair, mount))
}

/// Bytes that no two pages have in common, so that nothing but sharing makes them share.
fn noise(size: usize) -> Vec<u8> {
    let mut state = 88_172_645_463_325_252_u64;
    let mut words = Vec::with_capacity(size);
    while words.len() < size {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        words.extend(state.to_le_bytes());
    }
    words.truncate(size);
    words
}

#[test]
fn on_one_filesystem_a_copy_shares_its_blocks_unless_told_not_to() {
    for kind in ["btrfs", "xfs"] {
        let Some((pair, _mount)) = on_one(kind) else { return };
        pair.source.file("file", noise(8 << 20));
        pair.mirrored();
        assert!(shared(&pair.replica.path("file")) >= 8 * MIB, "{kind}");
        nothing_to_do(&pair);

        pair.source.file("file", noise(6 << 20)).file("other", noise(4 << 20));
        // With the old version in the trash it would share what has not changed.
        pair.mirrored_with(&["--reflink", "never", "--trash", "off"]);
        let found = ["file", "other"].map(|name| shared(&pair.replica.path(name)));
        assert_eq!(found, [0, 0], "{kind}");
    }
}

#[test]
fn where_nothing_can_be_shared_a_copy_is_a_copy() {
    for (from, to) in [("ext4", "ext4"), ("btrfs", "xfs")] {
        let Some((pair, _mounts)) = across(from, to) else { return };
        pair.source.file("file", noise(8 << 20));
        pair.mirrored();
        assert_eq!(shared(&pair.replica.path("file")), 0);
        nothing_to_do(&pair);
    }
}

/// Edits 4 KiB of a file of 64 MiB and has a pass follow; how much the new version shares with the old one, which is
/// held open so that its blocks stay.
fn shared_after_a_small_edit(kind: &str, flags: &[&str]) -> Option<u64> {
    let (pair, _mounts) = across("tmpfs", kind)?;
    pair.source.file("file", noise(64 << 20)).file("shrinks", noise(6 << 20));
    pair.mirrored_with(flags);
    let (inode, old) = (pair.replica.ino("file"), File::open(pair.replica.path("file")).unwrap());
    let before = pair.replica.read("file");

    let edited = File::options().write(true).open(pair.source.path("file")).unwrap();
    edited.write_all_at(&[b'!'; 4096], 40 * MIB + 1000).unwrap();
    drop(edited);
    pair.source.append("file", "and a little more");
    let shorter = &pair.source.read("shrinks")[..4_000_001];
    pair.source.file("shrinks", shorter);
    pair.mirrored_with(flags);
    assert_ne!(pair.replica.ino("file"), inode, "published by a rename, not written in place");
    let mut kept = vec![0; before.len()];
    old.read_exact_at(&mut kept, 0).unwrap();
    assert!(kept == before, "whoever reads the old version has the old version");
    let sharing = shared(&pair.replica.path("file"));
    nothing_to_do(&pair);
    Some(sharing)
}

#[test]
fn of_a_large_file_that_changed_a_little_only_that_is_written() {
    for kind in ["btrfs", "xfs"] {
        let Some(sharing) = shared_after_a_small_edit(kind, &[]) else { return };
        assert!(sharing >= 60 * MIB, "{kind}: {sharing}");
    }
}

#[test]
fn told_so_all_of_a_large_file_that_changed_a_little_is_written() {
    for kind in ["btrfs", "xfs"] {
        let Some(sharing) = shared_after_a_small_edit(kind, &["--inplace-delta", "never"]) else { return };
        assert_eq!(sharing, 0, "{kind}");
    }
    let Some(sharing) = shared_after_a_small_edit("ext4", &[]) else { return };
    assert_eq!(sharing, 0, "where nothing can be shared, a file of this size is copied whole");
}

#[test]
fn a_large_sparse_file_that_changed_a_little_keeps_its_holes() {
    for kind in ["btrfs", "xfs"] {
        let Some((pair, _mounts)) = across("tmpfs", kind) else { return };
        let block = noise(1 << 20);
        pair.source.sparse("file", 64 * MIB, &[(0, &block), (20 * MIB, &block), (50 * MIB, &block)]);
        pair.mirrored();
        // What was data becomes a hole, what was a hole data, and the end moves.
        pair.source.sparse("file", 70 * MIB, &[(0, &block), (30 * MIB, &block), (50 * MIB, b"!")]);
        let events = pass(&pair);
        assert_eq!(steps(&events), ["update file"], "{kind}, {} bytes", copied(&events));
        let takes = allocated(&pair.replica.path("file"));
        assert!(takes <= 8 * MIB, "{kind}: {takes}");
        nothing_to_do(&pair);
    }
}
