//! The ignore files of jobs: which files they are, so that a reload finds those that changed.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use super::Job;

/// A disk that hangs is not waited for any longer.
const PATIENCE: Duration = Duration::from_secs(2);

/// Which files the ignore files of a job were when they were looked at; not known until then.
#[derive(Debug, Default)]
pub(super) struct Rules(OnceLock<Vec<Option<Seen>>>);

/// What tells a file that was changed: device, inode, size, and when it was changed last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Seen {
    file: (u64, u64, u64),
    changed: (i64, i64),
}

impl Rules {
    /// True when one of them is known to be another file. One that is away for a moment is none that changed.
    pub(super) fn differ_from(&self, other: &Self) -> bool {
        let (Some(mine), Some(theirs)) = (self.0.get(), other.0.get()) else { return false };
        mine.iter().zip(theirs).any(|(one, other)| one.is_some() && other.is_some() && one != other)
    }
}

impl Seen {
    fn at(path: &Path) -> Option<Self> {
        let there = fs::metadata(path).ok()?;
        let file = (there.dev(), there.ino(), there.size());
        Some(Self { file, changed: (there.ctime(), there.ctime_nsec()) })
    }
}

/// Looks which files the ignore files of these jobs are now. What lies on a disk that hangs stays unknown.
pub(crate) fn look_at_rules(jobs: &[Arc<Job>]) {
    let until = Instant::now() + PATIENCE;
    let looks: Vec<_> = jobs.iter().filter_map(|job| Some((job, look_beside(job)?))).collect();
    for (job, found) in looks {
        if let Ok(found) = found.recv_timeout(until.saturating_duration_since(Instant::now())) {
            let _ = job.rules.0.set(found);
        }
    }
}

/// Looks on a thread of its own, which may never end. `None` when there is nothing to look at, or no more threads.
fn look_beside(job: &Job) -> Option<Receiver<Vec<Option<Seen>>>> {
    let files = job.mirror.pass.ignore_file.clone();
    if files.is_empty() {
        return None;
    }
    let (tell, told) = channel();
    let look = move || drop(tell.send(files.iter().map(|path| Seen::at(path)).collect()));
    std::thread::Builder::new().name("rules".to_owned()).spawn(look).ok()?;
    Some(told)
}
