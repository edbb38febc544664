//! Bits that flip in what alike knows of a pair: rebuilt or refused with a message, never believed.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use alike_testkit::{Pair, Scramble, rounds};
use common::{SOON, pair};

/// The files of the pair's folder in the state, and those of alike's own folder on the replica, by name.
fn known(pair: &Pair, name: &str) -> Vec<PathBuf> {
    let state = fs::read_dir(pair.alike.state_dir()).unwrap().next().unwrap().unwrap().path();
    let both = [state.join(name), pair.replica.path(".alike").join(name)];
    both.into_iter().filter(|path| path.exists()).collect()
}

fn busy_pair() -> Pair {
    let pair = pair();
    for i in 0..60 {
        pair.source.file(format!("folder-{}/deep/file-{i:03}", i % 6), format!("content {i}"));
    }
    pair.source.hard_link("folder-0/deep/file-000", "link").symlink("symlink", "link").folder("hollow");
    pair
}

/// What a day brings: an edit behind the stamps, a move of a file and of a folder, something new, something gone.
fn a_day_passes(pair: &Pair, day: usize) {
    let (one, other) = (day % 6, (day + 1) % 6);
    pair.source.edit_keeping_stamp("folder-1/deep/file-001", format!("content {}", day % 10));
    pair.source.file(format!("folder-{one}/new"), format!("day {day}"));
    if pair.source.has(format!("folder-{other}/new")) {
        pair.source.remove(format!("folder-{other}/new"));
    }
    let (from, to) = if day.is_multiple_of(2) { ("hollow", "hollow too") } else { ("hollow too", "hollow") };
    pair.source.rename(from, to);
    let (from, to) = if day.is_multiple_of(2) { ("", "folder-2/") } else { ("folder-2/", "") };
    pair.source.rename(format!("{from}symlink"), format!("{to}symlink"));
}

/// Runs a pass over the damage: identical, or refused in a line or two with nothing gone.
#[track_caller]
fn survives(pair: &Pair, damage: &str) -> bool {
    let before = pair.replica_now();
    let run = pair.once_with(&["--sync", "none"]);
    assert!(!run.err().contains("panicked"), "{damage}: {}", run.report());
    match run.code {
        Some(0) => {
            pair.assert_identical(&format!("{damage}: {}", run.report()));
            true
        }
        _ => {
            run.expect_one_of(&[1, 3]).expect_short_message();
            // What could not be written down at the end was done all the same.
            if !before.changes(&pair.replica_now()).is_empty() {
                pair.assert_identical(&format!("{damage}: {}", run.report()));
            }
            false
        }
    }
}

fn damaged(names: &[&str], scramble: &mut Scramble, times: u64) {
    let pair = busy_pair();
    pair.mirrored_with(&["--sync", "none"]);
    let mut refused = 0;
    for day in 0..usize::try_from(times).unwrap() {
        let files: Vec<PathBuf> = names.iter().flat_map(|name| known(&pair, name)).collect();
        let path = scramble.pick(&files).clone();
        let whole = fs::read(&path).unwrap();
        let mut bytes = whole.clone();
        let how = damage(&mut bytes, scramble);
        fs::write(&path, &bytes).unwrap();
        a_day_passes(&pair, day);
        let shown = format!("day {day}, {}: {how}", path.file_name().unwrap().display());
        if !survives(&pair, &shown) {
            refused += 1;
            fs::write(&path, &whole).unwrap();
            assert!(survives(&pair, &format!("{shown}, put right again")));
        }
    }
    eprintln!("{times} times damaged, {refused} times refused");
}

fn damage(bytes: &mut Vec<u8>, scramble: &mut Scramble) -> String {
    match scramble.below(12) {
        0 => {
            bytes.truncate(scramble.below(bytes.len()));
            format!("cut off at {}", bytes.len())
        }
        1 => {
            let (at, length) = (scramble.below(bytes.len()), 4096.min(bytes.len()));
            let end = (at + length).min(bytes.len());
            bytes[at..end].fill(0);
            format!("zeroes from {at} to {end}")
        }
        _ => format!("flipped {}", scramble.flip(bytes)),
    }
}

#[test]
fn a_damaged_index_is_never_believed() {
    damaged(&["index.redb"], &mut Scramble::new("index"), rounds(350));
}

#[test]
fn a_damaged_marker_is_refused_or_written_anew() {
    damaged(&["pair.json"], &mut Scramble::new("marker file"), rounds(150));
}

#[test]
fn a_damaged_journal_is_read_as_far_as_it_goes() {
    let (pair, mut scramble) = (busy_pair(), Scramble::new("journal file"));
    pair.mirrored();
    a_day_passes(&pair, 0);
    pair.mirrored();
    let bucket = fs::read_dir(pair.replica.path(".alike/trash")).unwrap().next().unwrap().unwrap();
    let journal = bucket.path().join("journal");
    let whole = fs::read(&journal).unwrap();
    let before = pair.replica_now();
    for _ in 0..rounds(100) {
        fs::write(&journal, scramble.mutate(&[whole.as_slice()])).unwrap();
        for verb in ["log", "trash"] {
            let (state, replica) = (pair.alike.state_dir(), pair.replica.top());
            let run = pair.alike.run([
                verb.as_ref(),
                "--state-dir".as_ref(),
                state.as_os_str(),
                replica.as_os_str(),
            ]);
            assert!(!run.err().contains("panicked"), "{}", run.report());
        }
    }
    assert_eq!(before.changes(&pair.replica_now()), [""; 0]);
    pair.mirrored();
}

/// A folder in its place cannot be read, by root neither.
#[test]
fn an_old_journal_that_cannot_be_read_stops_no_mirror_and_is_named() {
    let pair = busy_pair();
    pair.mirrored();
    let bucket = fs::read_dir(pair.replica.path(".alike/trash")).unwrap().next().unwrap().unwrap();
    let journal = bucket.path().join("journal");
    let elsewhere = pair.beside("journal");
    fs::rename(&journal, &elsewhere).unwrap();
    fs::create_dir(&journal).unwrap();
    a_day_passes(&pair, 0);
    pair.mirrored();
    for verb in ["log", "trash", "undo"] {
        let run = pair.alike.run([verb.as_ref(), pair.replica.top().as_os_str()]);
        run.expect(1);
        let named = journal.strip_prefix(pair.replica.top()).unwrap().display();
        let named = format!("on the replica, {named} cannot be read: is a directory");
        assert!(run.err().contains(&named), "{}", run.report());
    }
    fs::remove_dir(&journal).unwrap();
    pair.alike.run(["log".as_ref(), pair.replica.top().as_os_str()]).expect(0);
}

#[test]
fn a_marker_without_end_is_refused() {
    let pair = busy_pair();
    pair.mirrored();
    for path in known(&pair, "pair.json") {
        let whole = fs::read(&path).unwrap();
        grow(&path);
        if !survives(&pair, "without end") {
            fs::write(&path, &whole).unwrap();
        }
        assert!(survives(&pair, "put right again"));
    }
}

/// A hole of a tebibyte: read to its end, it would not fit in memory.
fn grow(path: &Path) {
    fs::File::options().write(true).open(path).unwrap().set_len(1 << 40).unwrap();
}

// ---- what nobody needs any more ----

/// The size of the index.
fn size_of_index(pair: &Pair) -> u64 {
    let states = fs::read_dir(pair.alike.state_dir()).unwrap();
    states
        .map(|state| fs::metadata(state.unwrap().path().join("index.redb")).map_or(0, |meta| meta.len()))
        .sum()
}

#[test]
fn a_folder_that_is_replaced_again_and_again_leaves_nothing_behind_in_the_index() {
    let pair = pair();
    let mut sizes = Vec::new();
    for round in 0..6 {
        if round > 0 {
            fs::rename(pair.source.path("replaced"), pair.beside(format!("away-{round}"))).unwrap();
        }
        for n in 0..2000_u64 {
            let name = format!("{:x}", n.wrapping_mul(0x9e37_79b9_7f4a_7c15)).repeat(12);
            pair.source.file(format!("replaced/sub/{name}"), "");
        }
        pair.mirrored();
        sizes.push(size_of_index(&pair));
    }
    let (early, late) = sizes.split_at(4);
    assert!(early[0] > 0 && late.iter().max() <= early.iter().max(), "{sizes:?}");
}

#[test]
fn what_moved_is_still_known_though_others_took_its_names() {
    const LARGE: usize = 24 << 20;
    let pair = pair();
    for folder in ["replaced/sub", "one", "other"] {
        pair.source.file(format!("{folder}/large"), vec![7; LARGE]);
    }
    pair.source.file("else/file", "x");
    pair.mirrored();
    fs::rename(pair.source.path("replaced"), pair.beside("away")).unwrap();
    fs::rename(pair.beside("away/sub"), pair.source.path("else/sub")).unwrap();
    pair.source.file("replaced/new", "x");
    pair.source.rename("one", "third").rename("other", "one").rename("third", "other");
    let run = pair.mirrored();
    assert_eq!(run.out().matches("moved from").count(), 2, "{}", run.report());
    let mut live = pair.mirror_with(&["--interval", "1h"]);
    live.wait_for_output("pass-end", SOON);
    let read = live.bytes_read().unwrap();
    assert!(read < LARGE as u64, "read {read} bytes: {}", live.out());
    live.stop();
}
