//! The mirrors of one source: a worker for each replica on a thread of its own.
//!
//! Each has its own pair, agenda and passes, so one that is slow, halted or missing holds up no other. They share the watcher of
//! the source, the pace of copies and the number of threads.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use alike_model::entry::Time;
use alike_model::policy::Policy;
use alike_storage::linux::Waker;

use crate::claims::Claims;
use crate::common::Common;
use crate::controls::Controls;
use crate::monitor::Monitor;
use crate::pair::Spec;
use crate::refusal::Refusal;
use crate::watching::refuse_without;
use crate::worker::{Rhythm, Worker};

/// Mirrors one source to all these replicas until stopped; each is told of by its own monitor. Pairs that are refused at the
/// start end it when all are, or when one is a mistake of the command line, unless the rhythm says to wait; else they are waited
/// for, and the others go on. A pair that is refused later halts until that is over. Returns how much the scrub found damaged on all of them.
///
/// # Errors
/// When it ended at the start: the gravest refusal.
pub fn mirror(
    specs: &[Spec],
    policy: Policy,
    rhythm: &Rhythm,
    (monitors, clock): (&[&dyn Monitor], &(dyn Fn() -> Time + Sync)),
    controls: &Controls,
) -> Result<u64, Refusal> {
    let claims = Claims::of(specs)?;
    specs.iter().try_for_each(|spec| refuse_without(rhythm.watch, spec))?;
    let common = Common::of(claims, specs.len(), rhythm.bwlimit);
    let rhythm = &Rhythm { held_folders: rhythm.held_folders / specs.len().max(1), ..rhythm.clone() };
    let worker = |number: usize, controls| {
        let (spec, monitor) = (&specs[number], monitors[number]);
        Worker { spec, policy, rhythm, monitor, clock, controls, common: &common, number }
    };
    if specs.len() == 1 {
        let alone = worker(0, controls);
        return match alone.open() {
            Err(refusal) if !rhythm.waits_at_start => Err(refusal),
            opened => Ok(alone.run(opened.map_err(|refusal| refusal.to_string()))),
        };
    }
    let own: Result<Vec<Controls>, _> = specs.iter().map(|_| controls.another()).collect();
    let own = own.map_err(Refusal::NoDescriptor)?;
    let start = Start {
        of: specs.len(),
        waits: rhythm.waits_at_start,
        refused: Mutex::default(),
        is_over: AtomicBool::new(false),
        found: AtomicU64::new(0),
    };
    let running = AtomicUsize::new(specs.len());
    std::thread::scope(|scope| {
        for (number, own) in own.iter().enumerate() {
            let (worker, start) = (worker(number, own), &start);
            let ends = Running { running: &running, waker: &controls.waker };
            scope.spawn(move || {
                let _ends = ends;
                start.run(&worker);
            });
        }
        hand_on(controls, &own, &running);
    });
    start.ended()
}

/// How they started.
struct Start {
    of: usize,
    waits: bool,
    refused: Mutex<Vec<Refusal>>,
    is_over: AtomicBool,
    /// What the scrubs found.
    found: AtomicU64,
}

impl Start {
    fn run(&self, worker: &Worker<'_>) {
        let opened = worker.open().map_err(|refusal| self.refuse(refusal, worker));
        self.found.fetch_add(worker.run(opened), Ordering::Relaxed);
    }

    /// Returns why. Ends all where that is what becomes of it.
    fn refuse(&self, refusal: Refusal, worker: &Worker<'_>) -> String {
        let (is_usage, text) = (refusal.is_usage(), refusal.to_string());
        let mut refused = self.lock();
        refused.push(refusal);
        if !self.waits && (is_usage || refused.len() == self.of) {
            self.is_over.store(true, Ordering::Relaxed);
            worker.controls.stop.set();
        }
        text
    }

    /// What the scrubs found, or the gravest refusal, when it ended the mirrors.
    fn ended(self) -> Result<u64, Refusal> {
        let found = self.found.into_inner();
        if !self.is_over.into_inner() {
            return Ok(found);
        }
        let refused = self.refused.into_inner().unwrap_or_else(PoisonError::into_inner);
        let gravity = |refusal: &Refusal| (refusal.is_usage(), !refusal.is_failure());
        refused.into_iter().max_by_key(gravity).map_or(Ok(found), Err)
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Refusal>> {
        self.refused.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Hands on to each worker what all of them are told, until none is left.
fn hand_on(controls: &Controls, workers: &[Controls], running: &AtomicUsize) {
    const LONG: Duration = Duration::from_secs(3600);
    while running.load(Ordering::Relaxed) > 0 {
        if controls.pass_now.swap(false, Ordering::Acquire) {
            let allows_deletes = controls.allows_deletes.swap(false, Ordering::Relaxed);
            workers.iter().for_each(|worker| worker.ask_for_pass(allows_deletes));
        }
        if controls.stop.is_set() {
            workers.iter().for_each(|worker| worker.waker.wake());
        }
        let _ = controls.waker.wait(None, LONG);
        controls.waker.clear();
    }
}

/// Tells whoever waits for the workers that one has ended.
struct Running<'a> {
    running: &'a AtomicUsize,
    waker: &'a Waker,
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.running.fetch_sub(1, Ordering::Relaxed);
        self.waker.wake();
    }
}
