//! What has to be looked for on a replica itself: what its trash keeps, and whether it is held.
//!
//! By a thread of its own, for a drive may hang: whoever asks waits a moment at most and gets what was known last.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use alike_engine::hold::{Hold, Site};
use alike_engine::kept::total;

use super::report::TrashReport;
use crate::log::one_line;

/// It is looked for at most this often, and more often when something went into the trash; but never for a large part of the time.
const AGE: Duration = Duration::from_secs(10);
const GREW: Duration = Duration::from_secs(1);
const SHARE: u32 = 50;
/// Nobody waits longer for a look.
const PATIENCE: Duration = Duration::from_millis(300);

/// The folder of alike's own on a replica.
const OWN: &str = ".alike";

/// What was found on a replica lately.
#[derive(Clone)]
pub(crate) struct OnReplica {
    replica: PathBuf,
    shared: Arc<(Mutex<State>, Condvar)>,
}

#[derive(Default)]
struct State {
    known: Option<Known>,
    /// A look is under way.
    looks: bool,
    grew: bool,
    /// What is being looked for became another meanwhile.
    stale: bool,
}

#[derive(Clone)]
struct Known {
    at: Instant,
    took: Duration,
    found: Found,
}

/// What was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Found {
    /// What the trash keeps; `None` where it could not be told.
    pub(crate) trash: Option<TrashReport>,
    /// Why it is held.
    pub(crate) hold: Option<String>,
}

impl OnReplica {
    pub(crate) fn of(replica: &Path) -> Self {
        Self { replica: replica.to_owned(), shared: Arc::default() }
    }

    /// Something went into its trash.
    pub(crate) fn grew(&self) {
        self.lock().grew = true;
    }

    /// What is known of it is not true any more.
    pub(crate) fn forget(&self) {
        let mut state = self.lock();
        (state.known, state.stale) = (None, state.looks);
    }

    /// What is on it, as it was lately; nothing when that is not known in time.
    pub(crate) fn found(&self) -> Found {
        let mut state = self.lock();
        if !state.looks && state.is_old() {
            (state.looks, state.grew) = (true, false);
            let this = self.clone();
            let look = std::thread::Builder::new().name("look".to_owned()).spawn(move || this.look());
            state.looks = look.is_ok();
        }
        let (_, looked) = &*self.shared;
        let waited = looked.wait_timeout_while(state, PATIENCE, |state| state.looks);
        let state = waited.unwrap_or_else(PoisonError::into_inner).0;
        state.known.as_ref().map(|known| known.found.clone()).unwrap_or_default()
    }

    fn look(&self) {
        let began = Instant::now();
        let hold = Hold::read(&self.replica.join(OWN)).ok().flatten();
        let found = Found { trash: count(&self.replica), hold: hold.map(|hold| one_line(&hold.why)) };
        let mut state = self.lock();
        let is_stale = std::mem::take(&mut state.stale);
        state.known = (!is_stale).then(|| Known { at: Instant::now(), took: began.elapsed(), found });
        state.looks = false;
        self.shared.1.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.shared.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn is_old(&self) -> bool {
        let usual = if self.grew { GREW } else { AGE };
        self.known.as_ref().is_none_or(|known| {
            // A trash that was not there is cheap to look for, and may come at any time; and so is a hold.
            known.found.trash.is_none()
                || known.found.hold.is_some()
                || known.at.elapsed() > usual.max(known.took * SHARE)
        })
    }
}

fn count(replica: &Path) -> Option<TrashReport> {
    let site = Site::open(replica).ok()?;
    let (entries, bytes) = total(&site).ok()?;
    Some(TrashReport { entries, bytes })
}
