//! Whether the replica's disk took all that it was given. When it did not, what it lacks may look clean in memory.

use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use alike_model::entry::Time;

/// What is known of the replica's disk. It outlives the process, in a file of the state.
pub(crate) struct Disk {
    path: PathBuf,
    may_write: bool,
    known: Mutex<Known>,
}

#[derive(Clone, Copy, Default)]
struct Known {
    /// It has taken all that was done before this.
    took_all: Option<Time>,
    /// It may lack some of what was done since.
    unsure: Option<Time>,
}

impl Disk {
    /// What the state in `folder` says of it. With `may_write` false nothing is written there.
    pub(crate) fn open(folder: &Path, may_write: bool) -> Self {
        let path = folder.join("unsure.json");
        // Damaged, it says that no moment is known: everything is unsure.
        let unsure =
            std::fs::read(&path).ok().map(|bytes| serde_json::from_slice(&bytes).unwrap_or_default());
        Self { path, may_write, known: Mutex::new(Known { took_all: None, unsure }) }
    }

    /// Since when it may lack what it was given; `None`: it lacks nothing.
    pub(crate) fn unsure(&self) -> Option<Time> {
        self.lock().unsure
    }

    /// It took all that was done before `then`; with `everything`, what it lacked before has been copied again.
    pub(crate) fn took_all(&self, then: Time, everything: bool) {
        let mut known = self.lock();
        known.took_all = Some(then);
        if everything && known.unsure.take().is_some() {
            // One that stays makes the next start copy more than it has to.
            let _ = std::fs::remove_file(&self.path);
        }
    }

    /// Notes when the first pass began: before it, nothing was done here.
    pub(crate) fn begin_at(&self, now: Time) {
        self.lock().took_all.get_or_insert(now);
    }

    /// It did not take all.
    pub(crate) fn failed(&self) {
        let mut known = self.lock();
        let since = known.unsure.or(known.took_all).unwrap_or_default();
        known.unsure = Some(since);
        if self.may_write
            && let Ok(text) = serde_json::to_vec(&since)
        {
            // The state may be on the same disk: then the memory has to do.
            let _ = std::fs::write(&self.path, text);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
