//! `--bwlimit`: contents are copied no faster than that, and all else as fast as ever.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::time::{Duration, Instant};

use alike_testkit::Pair;
use common::pair;

const MIB: usize = 1024 * 1024;

/// Seconds of a pass that has to succeed.
fn seconds(pair: &Pair, flags: &[&str]) -> f64 {
    let started = Instant::now();
    pair.once_with(flags).expect(0);
    started.elapsed().as_secs_f64()
}

/// Bytes of which no block is a hole or like another.
fn bytes(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed;
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        state.to_be_bytes()
    };
    (0..length.div_ceil(8)).flat_map(|_| next()).take(length).collect()
}

#[test]
fn contents_are_copied_at_the_pace_that_was_asked_for_by_all_threads_together() {
    let pair = pair();
    // Large files, small ones, and more folders than threads.
    for n in 0..4 {
        pair.source.file(format!("large-{n}"), bytes(MIB, n));
    }
    for n in 0..64 {
        pair.source.file(format!("folder-{}/small-{n}", n % 8), bytes(MIB / 32, n));
    }
    let took = seconds(&pair, &["--bwlimit", "2M", "--threads", "4", "--reflink", "never"]);
    assert!((3.0 * 0.8..=3.0 * 1.2).contains(&took), "6 MiB at 2 MiB a second took {took} s");
    pair.assert_identical("after a slow copy");
}

#[test]
fn what_changes_live_keeps_the_pace_too() {
    let pair = pair();
    pair.source.file("file", "x");
    let mut live = pair.mirror_with(&["--bwlimit", "1M", "--reflink", "never"]);
    live.wait_identical(Duration::from_secs(20));
    let started = Instant::now();
    pair.source.file("large", bytes(2 * MIB, 1));
    live.wait_identical(Duration::from_secs(30));
    let took = started.elapsed().as_secs_f64();
    assert!(took >= 1.6, "2 MiB at 1 MiB a second took {took} s");
    live.stop();
}

#[test]
fn what_has_no_contents_is_not_slowed() {
    let pair = pair();
    for n in 0..500 {
        pair.source.file(format!("folder-{n}/empty"), "").symlink(format!("folder-{n}/link"), "empty");
    }
    pair.source.file("large", bytes(MIB, 1));
    pair.once().expect(0);
    // A move, new attributes and deletions.
    pair.source.rename("large", "moved").mode("folder-1/empty", 0o600).remove("folder-2/link");
    for n in 0..500 {
        pair.source.folder(format!("more-{n}"));
    }
    let took = seconds(&pair, &["--bwlimit", "1"]);
    assert!(took < 10.0, "it took {took} s");
    pair.assert_identical("after a pass at 1 KiB a second");
}

#[test]
fn a_stop_does_not_wait_for_the_pace() {
    let pair = pair();
    pair.source.file("large", bytes(4 * MIB, 1));
    let ends = (pair.source.top(), pair.replica.top());
    let mut once = pair.alike.start_once(&["--bwlimit", "64K", "--reflink", "never"], ends.0, ends.1);
    std::thread::sleep(Duration::from_millis(700));
    let started = Instant::now();
    once.interrupt();
    assert_eq!(once.wait_exit(Duration::from_secs(10)), Some(130));
    assert!(started.elapsed() < Duration::from_secs(3));
    assert!(!pair.replica.path("large").exists());
}

#[test]
fn a_rate_that_is_none_is_refused() {
    pair().once_with(&["--bwlimit", "fast"]).expect(2).expect_short_message();
}
