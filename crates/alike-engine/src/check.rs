//! The check: both trees are walked in lock step, every byte of them is read, and each difference is named.
//!
//! Nothing is changed. A pass may be at work beside: what differs then is looked at again, and counts when it stays.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use alike_model::compare::Finding;
use alike_model::difference::Difference;
use alike_model::entry::{Stamp, Time};
use alike_model::filter::Filter;
use alike_model::known::{Digest, FolderId};
use alike_model::links::{ReplicaInode, SourceInode};
use alike_model::path::{Name, RelPath};
use alike_model::policy::Policy;
use alike_storage::{Replica, Source};

use crate::crew;
use crate::error::PassError;
use crate::index::Index;
use crate::learnt::Learnt;
use crate::monitor::Monitor;
use crate::pace::Pace;
use crate::place::{Here, Shelf};
use crate::stop::Stop;

/// What a check works on and with.
pub struct Check<'a, S: Source, R: Replica> {
    /// The source.
    pub source: &'a S,
    /// The replica.
    pub replica: &'a R,
    /// Inodes of both top folders.
    pub roots: [(u64, u64); 2],
    /// What is known of both.
    pub index: &'a Index,
    /// What is compared.
    pub policy: Policy,
    /// What is left out.
    pub filter: &'a Filter,
    /// Told how far it is.
    pub monitor: &'a dyn Monitor,
    /// Tells the time.
    pub clock: &'a (dyn Fn() -> Time + Sync),
    /// Ends it early.
    pub stop: &'a Stop,
    /// How many folders are visited at once, at least 1.
    pub threads: usize,
    /// How many folders may be held open at once; each costs two descriptors.
    pub held_folders: usize,
    /// How fast it reads.
    pub pace: &'a Pace,
    /// Whose contents are read.
    pub read: Read,
    /// True while a pass is at work beside.
    pub is_restless: &'a (dyn Fn() -> bool + Sync),
    /// Told of each difference, from several threads.
    pub tell: &'a (dyn Fn(Found) + Sync),
}

/// Whose contents a check reads.
#[derive(Clone, Debug)]
pub enum Read {
    /// All.
    All,
    /// Of these paths only; the rest is compared by stamps.
    Only(BTreeSet<RelPath>),
}

/// A difference, and where in the index it is about.
#[derive(Clone, Debug)]
pub struct Found {
    /// The difference.
    pub difference: Difference,
    /// Its folder and name there; `None` for the top folder.
    pub at: Option<(FolderId, Name)>,
}

/// What came of a check.
#[derive(Debug, Default)]
pub struct Checked {
    /// Entries looked at that are no folders.
    pub files: u64,
    /// Bytes read, of both sides.
    pub bytes: u64,
    /// Differences told.
    pub differences: u64,
    /// Hashes of what is equal.
    pub learnt: Learnt,
    /// It was stopped half-way.
    pub stopped: bool,
}

/// How a name looked on both sides.
pub(crate) type Print = (Option<Stamp>, Option<Stamp>);

/// How long is waited before what changed meanwhile, or differs while a pass is at work, is looked at again.
pub(crate) const PAUSES: [Duration; 3] =
    [Duration::from_millis(100), Duration::from_millis(900), Duration::from_secs(3)];

/// A part of a check.
pub(crate) enum Task<S: Source, R: Replica> {
    /// Open a folder in a folder, and check all in it.
    Enter { parent: Here<S, R>, name: Name, id: Option<FolderId>, only_itself: bool },
    /// Check all in a folder that is open.
    List(Here<S, R>),
    /// Look at some names again.
    Again(Here<S, R>, BTreeMap<Name, Print>),
    /// Compare what both sides have.
    Compare(Batch<S, R>),
}

/// Names of one folder that both sides have, and that must be looked into.
pub(crate) struct Batch<S: Source, R: Replica> {
    pub(crate) place: Here<S, R>,
    pub(crate) findings: Vec<Finding>,
    pub(crate) before: Arc<BTreeMap<Name, Print>>,
    /// When they were looked at.
    pub(crate) now: Time,
}

/// A name to be looked at again, and how it looked.
pub(crate) type Seen<S, R> = (Here<S, R>, Name, Print);

/// A name, and the inodes that it is.
pub(crate) type LinkedName<S, R> = (Here<S, R>, Name, SourceInode, ReplicaInode);

/// A check under way.
pub(crate) struct Walk<'a, S: Source, R: Replica> {
    pub(crate) check: &'a Check<'a, S, R>,
    pub(crate) shelf: Shelf<S, R>,
    /// How often what was left has been looked at again.
    pub(crate) round: AtomicUsize,
    pub(crate) again: Mutex<Vec<Seen<S, R>>>,
    /// Names of inodes that have several, on either side.
    pub(crate) linked: Mutex<Vec<LinkedName<S, R>>>,
    /// The hashes of files with several names, which are read once.
    pub(crate) read: Mutex<HashMap<(SourceInode, ReplicaInode), (Digest, Digest)>>,
    pub(crate) learnt: Mutex<Learnt>,
    pub(crate) files: AtomicU64,
    pub(crate) bytes: AtomicU64,
    pub(crate) differences: AtomicU64,
}

/// Checks the pair.
///
/// # Errors
/// When a top folder cannot be read.
pub fn check<S: Source, R: Replica>(check: &Check<'_, S, R>) -> Result<Checked, PassError> {
    let walk = Walk {
        check,
        shelf: Shelf::new(check.held_folders),
        round: AtomicUsize::new(0),
        again: Mutex::default(),
        linked: Mutex::default(),
        read: Mutex::default(),
        learnt: Mutex::default(),
        files: AtomicU64::new(0),
        bytes: AtomicU64::new(0),
        differences: AtomicU64::new(0),
    };
    let root = walk.open_root()?;
    let mut tasks = vec![Task::List(Arc::clone(&root))];
    for pause in PAUSES.map(Some).into_iter().chain([None]) {
        crew::run(check.threads, tasks, |task, more| walk.visit(task, more));
        tasks = walk.what_is_left();
        match pause {
            Some(pause) if !tasks.is_empty() => check.rest(pause),
            _ => break,
        }
        walk.round.fetch_add(1, Ordering::Relaxed);
    }
    walk.check_links();
    // Last, for what a pass does in it moves its times.
    if let Ok(root) = walk.open_root() {
        walk.compare_folder_attributes(&root, None);
    }
    Ok(walk.end())
}

impl<S: Source, R: Replica> Check<'_, S, R> {
    pub(crate) fn rest(&self, pause: Duration) {
        let until = Instant::now() + pause;
        while !self.stop.is_set() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
}

impl<S: Source, R: Replica> Walk<'_, S, R> {
    fn end(self) -> Checked {
        Checked {
            files: self.files.into_inner(),
            bytes: self.bytes.into_inner(),
            differences: self.differences.into_inner(),
            learnt: self.learnt.into_inner().unwrap_or_else(PoisonError::into_inner),
            stopped: self.check.stop.is_set(),
        }
    }
}
