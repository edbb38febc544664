//! Whether the replica's disk took all that it was given. When it did not, what it lacks may look clean in memory.
//!
//! What is known of it outlives the process, in two small files of the state. They need not outlive the system: after a
//! start nothing is in memory, and whoever looks sees what is on the disk.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use alike_model::entry::Time;
use alike_storage::{Error, Result};

/// What is known of the replica's disk.
pub(crate) struct Disk {
    folder: PathBuf,
    may_write: bool,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// It has taken all that was done before this.
    took_all: Option<Time>,
    /// It may lack some of what was done since.
    unsure: Option<Time>,
    /// How often it did not take what it was given, and why the last time.
    failures: u64,
    last: Option<Error>,
}

const TOOK_ALL: &str = "took-all.json";
const UNSURE: &str = "unsure.json";

impl Disk {
    /// What the state in `folder` says of it. With `may_write` false nothing is written there.
    pub(crate) fn open(folder: &Path, may_write: bool) -> Self {
        // Damaged, it says that no moment is known: everything is unsure.
        let read = |name: &str| {
            let bytes = std::fs::read(folder.join(name)).ok()?;
            Some(serde_json::from_slice(&bytes).unwrap_or_default())
        };
        let known = Known { took_all: read(TOOK_ALL), unsure: read(UNSURE), ..Known::default() };
        Self { folder: folder.to_owned(), may_write, known: Mutex::new(known) }
    }

    /// Since when it may lack what it was given; `None`: it lacks nothing.
    pub(crate) fn unsure(&self) -> Option<Time> {
        self.lock().unsure
    }

    /// Notes when the first pass of all began: before it, nothing was done here. A state of an older version says only when
    /// the index last took something in. A moment that is still to come was told by a clock that was wrong: what is done from
    /// now on has earlier times.
    pub(crate) fn begin_at(&self, now: Time, indexed: Option<Time>) {
        let mut known = self.lock();
        let since = known.took_all.or(indexed).unwrap_or(now).min(now);
        if known.took_all != Some(since) {
            known.took_all = Some(since);
            self.write(TOOK_ALL, since);
        }
    }

    /// Asks it to take what it was given, and notes when it does not.
    pub(crate) fn ask(&self, ask: impl FnOnce() -> Result<()>) -> Result<()> {
        // It may tell one of two who ask, and the other, who is told that all is well, may move this on.
        let since = self.lock().took_all;
        let answer = ask();
        if let Err(error) = &answer
            && !error.is_interrupted()
        {
            let mut known = self.lock();
            let since = known.unsure.into_iter().fold(since.unwrap_or_default(), Time::min);
            known.unsure = Some(since);
            known.failures += 1;
            known.last = Some(error.twin());
            // The state may be on the same disk: then the memory has to do.
            self.write(UNSURE, since);
        }
        answer
    }

    /// How often it has failed.
    pub(crate) fn failures(&self) -> u64 {
        self.lock().failures
    }

    /// The last failure, if there was one since there were this many.
    pub(crate) fn failed_since(&self, failures: u64) -> Result<()> {
        let known = self.lock();
        let last = known.last.as_ref().filter(|_| known.failures > failures);
        last.map_or(Ok(()), |error| Err(error.twin()))
    }

    /// It took all that was done before `then`; with `everything`, what it lacked before has been copied again.
    pub(crate) fn took_all(&self, then: Time, everything: bool) {
        let mut known = self.lock();
        known.took_all = Some(then);
        self.write(TOOK_ALL, then);
        if everything && known.unsure.take().is_some() {
            // One that stays makes the next start copy more than it has to.
            let _ = std::fs::remove_file(self.folder.join(UNSURE));
        }
    }

    /// Best effort: an older moment makes a later start copy more than it has to.
    fn write(&self, name: &str, then: Time) {
        let (path, beside) = (self.folder.join(name), self.folder.join(format!("{name}.new")));
        if let (true, Ok(text)) = (self.may_write, serde_json::to_vec(&then)) {
            let _ = std::fs::write(&beside, text).and_then(|()| std::fs::rename(&beside, path));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn what_is_done_after_the_clock_was_set_back_is_unsure_too_when_the_disk_fails() {
        let folder = std::env::temp_dir().join(format!("alike-disk-{}", std::process::id()));
        std::fs::create_dir(&folder).unwrap();
        let at = |secs: i64| Time { secs, nanos: 0 };
        let disk = Disk::open(&folder, true);
        disk.begin_at(at(100), None);
        disk.took_all(at(9_000), true);
        disk.begin_at(at(200), None);
        let fails = || Err(Error::of("sync", std::io::Error::other("the disk failed")));
        assert!(disk.ask(fails).is_err());
        assert_eq!(disk.unsure(), Some(at(200)), "what was written since has no later time than that");
        assert_eq!(Disk::open(&folder, false).unsure(), Some(at(200)));
        std::fs::remove_dir_all(folder).unwrap();
    }
}
