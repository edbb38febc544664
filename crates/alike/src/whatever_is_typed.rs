//! Whatever is typed as a time: read or refused, and never more than a clock can count.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use alike_testkit::{Scramble, rounds};
use clap::Parser;

use crate::args::{Cli, Command, duration, interval, moment};

const TIMES: [&str; 14] = [
    "30s",
    "10m",
    "1h 30m",
    "2d",
    "0.5",
    "-1",
    "1e300",
    "nan",
    "inf",
    "PT36H",
    "-P1Y2M",
    "9223372036854775807s",
    "1 year 2 weeks",
    "0ms",
];

#[test]
fn whatever_is_typed_as_a_time_a_clock_can_count_it() {
    let mut scramble = Scramble::new("time");
    for _ in 0..rounds(50_000) {
        let text = scramble.mutate_text(&TIMES);
        if let Ok(time) = duration(&text) {
            assert!(Instant::now().checked_add(time * 10).is_some(), "{text:?}");
        }
        assert!(interval(&text).map_or(true, |time| time >= Duration::from_millis(100)), "{text:?}");
    }
}

#[test]
fn whatever_is_typed_in_the_older_orders_is_read_or_a_mistake() {
    let mut scramble = Scramble::new("older orders");
    for _ in 0..rounds(5_000) {
        let [one, two] = [(); 2].map(|()| scramble.mutate_text(&TIMES));
        let words = ["alike", "mirror", "source", "replica", "--", &one, &two];
        if let Ok(Cli { command: Command::Mirror(mut args), .. }) = Cli::try_parse_from(words) {
            assert_eq!(args.older, [PathBuf::from(&one), PathBuf::from(&two)]);
            let _ = args.read_older_order();
        }
    }
}

#[test]
fn whatever_is_typed_as_a_moment_is_one_or_a_mistake() {
    let mut scramble = Scramble::new("moment");
    let moments = [
        "2026-11-21 21:05",
        "2026-11-21",
        "2026-11-21T21:05:07.123Z",
        "2h",
        "-9999-01-01T00:00:00+25:59",
        "9999-12-30T22:00:00.999999999Z",
        "100 years",
    ];
    for _ in 0..rounds(10_000) {
        let text = scramble.mutate_text(&moments);
        if let Ok(moment) = moment(&text) {
            assert!(moment.nanos < 1_000_000_000, "{text:?}");
        }
    }
}
