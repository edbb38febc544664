//! Goes through the points of a trial on all processors, within its time, and counts what went wrong.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::judge::{Fault, fault};
use crate::room::{Ground, Room};

/// The figures of one trial with one tool.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Figures {
    pub trial: String,
    pub tool: String,
    pub version: String,
    pub tier: String,
    pub date: String,
    pub machine: String,
    pub seed: u64,
    /// Points that were tried.
    pub points: usize,
    /// Points that there are, as far as they were counted.
    pub of: usize,
    /// Points at which anything was wrong.
    pub bad: usize,
    /// How many points each kind of failure spoiled.
    pub failures: BTreeMap<String, usize>,
    /// The first failures, each with the name of its point: `--point NAME` goes there again.
    pub kept: Vec<String>,
    pub seconds: f64,
    /// Why it was not run, or what to know about the figures.
    #[serde(default)]
    pub note: String,
}

/// A small generator, so that a seed gives the same points everywhere.
#[derive(Debug, Clone)]
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Self {
        Self(seed ^ 0x9E37_79B9_7F4A_7C15)
    }

    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    pub fn below(&mut self, limit: u64) -> u64 {
        self.roll() % limit.max(1)
    }

    pub fn shuffle<T>(&mut self, points: &mut [T]) {
        for at in (1..points.len()).rev() {
            points.swap(at, self.below(at as u64 + 1) as usize);
        }
    }
}

/// How much a sweep may do.
#[derive(Debug, Clone, Copy)]
pub struct Limit {
    pub points: usize,
    pub seconds: f64,
}

const MOST_KEPT: usize = 60;
const MOST_ALIKE: usize = 3;

/// Tries points in random order. `label` names a point for a person and for `--point`; `try_point` gets the room's name.
pub fn sweep<P: Sync>(
    ground: &Ground,
    mut points: Vec<P>,
    limit: Limit,
    label: impl Fn(&P) -> String + Sync,
    try_point: impl Fn(&P, &str) -> Vec<Fault> + Sync,
) -> Sums {
    Dice::new(ground.seed).shuffle(&mut points);
    let of = points.len();
    match &ground.only_point {
        Some(only) => points.retain(|point| label(point) == *only),
        None => points.truncate(limit.points),
    }
    let until = Instant::now() + Duration::from_secs_f64(limit.seconds * ground.share);
    let (next, sums) = (AtomicUsize::new(0), Mutex::new(Sums { of, ..Sums::default() }));
    let work = |worker: usize| {
        let room = format!("room-{worker}");
        loop {
            let Some(point) = points.get(next.fetch_add(1, Ordering::Relaxed)) else { return };
            if Instant::now() >= until && ground.only_point.is_none() {
                return;
            }
            let tried = catch_unwind(AssertUnwindSafe(|| try_point(point, &room)));
            let faults = tried.unwrap_or_else(|why| vec![fault("trial broken", words(&*why))]);
            if let Ok(mut sums) = sums.lock() {
                sums.take(&label(point), &faults);
            }
        }
    };
    std::thread::scope(|scope| {
        for worker in 0..ground.jobs {
            let work = &work;
            scope.spawn(move || work(worker));
        }
    });
    sums.into_inner().unwrap_or_default()
}

/// What a sweep counted.
#[derive(Debug, Clone, Default)]
pub struct Sums {
    pub points: usize,
    pub of: usize,
    pub bad: usize,
    pub failures: BTreeMap<String, usize>,
    pub kept: Vec<String>,
    pub note: String,
}

impl Sums {
    /// A trial that could not be run here.
    pub fn not_run(why: impl Into<String>) -> Self {
        Self { note: format!("not run: {}", why.into()), ..Self::default() }
    }

    pub fn take(&mut self, label: &str, faults: &[Fault]) {
        self.points += 1;
        self.bad += usize::from(!faults.is_empty());
        let mut classes: Vec<&str> = faults.iter().map(|fault| fault.class).collect();
        classes.sort_unstable();
        classes.dedup();
        for class in classes {
            *self.failures.entry(class.to_owned()).or_default() += 1;
        }
        for fault in faults {
            // One cause fails at many points: a few of each are kept, so that a rare one is not lost among them.
            let alike = format!(": {}: {}", fault.class, fault.what.chars().take(24).collect::<String>());
            let kept = self.kept.iter().filter(|kept| kept.contains(&alike)).count();
            if kept < MOST_ALIKE && self.kept.len() < MOST_KEPT {
                self.kept.push(format!("{label}: {}: {}", fault.class, fault.what));
            }
        }
    }

    pub fn add(&mut self, other: Self) {
        self.points += other.points;
        self.of += other.of;
        self.bad += other.bad;
        for (class, count) in other.failures {
            *self.failures.entry(class).or_default() += count;
        }
        self.kept.extend(other.kept);
        self.note = [std::mem::take(&mut self.note), other.note]
            .into_iter()
            .filter(|note| !note.is_empty())
            .collect::<Vec<_>>()
            .join("; ");
    }
}

/// Keeps a room that a person asked to see.
pub fn keep_when_asked(ground: &Ground, room: &mut Room) {
    if ground.only_point.is_some() {
        room.keep = true;
        eprintln!("the room stays: {}", room.top().display());
    }
}

pub fn words(why: &(dyn std::any::Any + Send)) -> String {
    why.downcast_ref::<String>()
        .cloned()
        .or_else(|| why.downcast_ref::<&str>().map(|text| (*text).to_owned()))
        .unwrap_or_default()
}
