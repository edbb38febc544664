//! Full passes of mirrors that know nothing of each other take turns on a disk that they share, so that they do not thrash it.
//!
//! Only full passes: what the watcher announces goes on beside. Nobody waits for ever, for a pass may hang on a drive that
//! does not answer.

use std::collections::BTreeSet;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use alike_storage::linux::Disk;

use crate::stop::Stop;

/// Who is at work for longer is not waited for: a little thrashing does less harm than a replica that gets no pass.
const PATIENCE: Duration = Duration::from_secs(600);
/// How soon a wish to stop is seen.
const LOOK: Duration = Duration::from_millis(200);

/// Who is at work on which disk, and since when.
#[derive(Debug, Default)]
pub struct Turns {
    busy: Mutex<Vec<Busy>>,
    freed: Condvar,
}

#[derive(Debug)]
struct Busy {
    disk: Disk,
    party: u64,
    since: Instant,
}

/// A party's share in the turns of all. Mirrors of one party, those of one source, do not wait for each other: what one of them
/// has read the others find in memory.
#[derive(Clone, Debug)]
pub struct Share {
    turns: Arc<Turns>,
    party: u64,
}

impl Share {
    /// The share of a party, by a number that no other has.
    #[must_use]
    pub fn of(turns: &Arc<Turns>, party: u64) -> Self {
        Self { turns: Arc::clone(turns), party }
    }

    /// Waits until each of these disks has a place, and takes it. Returns at once when stopped.
    pub(crate) fn take(&self, disks: impl IntoIterator<Item = Disk>, stop: &Stop) -> Taken<'_> {
        let mut disks: Vec<Disk> = disks.into_iter().collect();
        disks.sort_unstable();
        disks.dedup();
        let mut busy = self.turns.lock();
        // All at once or none, so that no two wait for each other.
        while disks.iter().any(|disk| others(&busy, disk, self.party) >= places(disk)) && !stop.is_set() {
            busy = self.turns.freed.wait_timeout(busy, LOOK).unwrap_or_else(PoisonError::into_inner).0;
        }
        let since = Instant::now();
        busy.extend(disks.iter().map(|disk| Busy { disk: *disk, party: self.party, since }));
        drop(busy);
        Taken { share: self, disks }
    }
}

/// A turn on some disks, given up with the value.
#[derive(Debug)]
pub(crate) struct Taken<'a> {
    share: &'a Share,
    disks: Vec<Disk>,
}

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        let mut busy = self.share.turns.lock();
        for disk in &self.disks {
            let mine = |busy: &Busy| busy.party == self.share.party && busy.disk == *disk;
            if let Some(at) = busy.iter().position(mine) {
                busy.swap_remove(at);
            }
        }
        drop(busy);
        self.share.turns.freed.notify_all();
    }
}

impl Turns {
    fn lock(&self) -> MutexGuard<'_, Vec<Busy>> {
        self.busy.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How many other parties are to be waited for.
fn others(busy: &[Busy], disk: &Disk, party: u64) -> usize {
    let counts = |busy: &&Busy| busy.disk == *disk && busy.party != party && busy.since.elapsed() < PATIENCE;
    busy.iter().filter(counts).map(|busy| busy.party).collect::<BTreeSet<_>>().len()
}

/// How many parties a disk takes at once.
fn places(disk: &Disk) -> usize {
    if disk.is_rotational { 1 } else { 2 }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    fn disk(number: u64, is_rotational: bool) -> Disk {
        Disk { number, is_rotational }
    }

    fn most_at_once(disks: [Disk; 2], parties: [u64; 4]) -> usize {
        let (turns, now, most) = (Arc::default(), AtomicUsize::new(0), AtomicUsize::new(0));
        std::thread::scope(|scope| {
            for party in parties {
                let (share, now, most) = (Share::of(&turns, party), &now, &most);
                scope.spawn(move || {
                    let _taken = share.take(disks, &Stop::default());
                    most.fetch_max(now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    std::thread::sleep(Duration::from_millis(50));
                    now.fetch_sub(1, Ordering::SeqCst);
                });
            }
        });
        assert!(turns.lock().is_empty(), "all turns are given up");
        most.into_inner()
    }

    #[test]
    fn a_disk_that_turns_has_one_party_at_a_time_and_another_two() {
        assert_eq!(most_at_once([disk(1, true), disk(2, false)], [1, 2, 3, 4]), 1);
        assert_eq!(most_at_once([disk(1, false), disk(1, false)], [1, 2, 3, 4]), 2);
    }

    #[test]
    fn mirrors_of_one_source_do_not_wait_for_each_other() {
        assert_eq!(most_at_once([disk(1, true), disk(2, true)], [7, 7, 7, 7]), 4);
    }

    #[test]
    fn who_is_to_stop_does_not_wait() {
        let (turns, stop) = (Arc::default(), Stop::default());
        let (one, other) = (Share::of(&turns, 1), Share::of(&turns, 2));
        let _taken = one.take([disk(1, true)], &stop);
        stop.set();
        let start = Instant::now();
        drop(other.take([disk(1, true)], &stop));
        assert!(start.elapsed() < PATIENCE / 2);
    }

    #[test]
    fn passes_on_different_disks_do_not_wait_for_each_other() {
        let (turns, stop) = (Arc::default(), Stop::default());
        let (one, other) = (Share::of(&turns, 1), Share::of(&turns, 2));
        let _one = one.take([disk(1, true)], &stop);
        let _other = other.take([disk(2, true)], &stop);
        assert_eq!(turns.lock().len(), 2);
    }
}
