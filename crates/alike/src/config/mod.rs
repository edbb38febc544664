//! The config file: many jobs, each all that the flags of `alike mirror` say of one source and its replicas.

mod check;
mod command;
mod init;
mod keys;
mod load;
mod overlap;
mod paths;
mod reading;
mod save;
mod setting;
mod trouble;
#[cfg(test)]
mod whatever_is_written;

use std::ffi::OsString;
use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

pub(crate) use command::{ConfigArgs, config};
pub(crate) use init::explained;
pub(crate) use load::{load, of_user};
pub(crate) use save::{SaveArgs, save};
pub(crate) use trouble::Trouble;

use crate::args::MirrorArgs;
use crate::run::Failure;

impl From<Trouble> for Failure {
    fn from(trouble: Trouble) -> Self {
        Self::Usage(trouble.to_string())
    }
}

/// All that a config file and its drop-ins say.
#[derive(Debug)]
pub(crate) struct Config {
    /// In the order in which they are written; no two have the same name or write one folder.
    pub(crate) jobs: Vec<Job>,
    /// The status page; off when absent.
    pub(crate) web: Option<Web>,
    /// What was read: the file itself first, then its drop-ins.
    pub(crate) files: Vec<PathBuf>,
}

impl Config {
    /// The replicas of a job, by its name.
    ///
    /// # Errors
    /// When there is no such job; the text names those that there are.
    pub(crate) fn replicas_of(&self, name: &str) -> Result<Vec<PathBuf>, Failure> {
        let Some(job) = self.jobs.iter().find(|job| job.name == name) else {
            let all: Vec<&str> = self.jobs.iter().map(|job| job.name.as_str()).collect();
            return Err(Failure::Usage(format!("there is no job {name}; there are {}", all.join(", "))));
        };
        Ok(job.replicas().map(Path::to_owned).collect())
    }
}

impl Job {
    fn new(name: String, (argv, mirror): (Vec<OsString>, MirrorArgs), hooks: Hooks) -> Self {
        Self { name, argv, mirror, rules: OnceLock::new(), hooks }
    }

    /// True when it needs the same run as another: both say the same, and no ignore file of theirs is known to have changed.
    pub(crate) fn runs_as(&self, other: &Self) -> bool {
        let same = (&self.name, &self.argv, &self.hooks) == (&other.name, &other.argv, &other.hooks);
        let rules = || Some(self.rules.get()?.iter().zip(other.rules.get()?));
        // One that is away for a moment is none that changed.
        let differ =
            |(one, other): (&Option<Rules>, &Option<Rules>)| one.is_some() && other.is_some() && one != other;
        same && !rules().is_some_and(|mut rules| rules.any(differ))
    }

    /// All its replicas, in the order of the config.
    pub(crate) fn replicas(&self) -> impl Iterator<Item = &Path> {
        std::iter::once(&self.mirror.pair.replica).chain(&self.mirror.also.also).map(PathBuf::as_path)
    }
}

/// One source and its replicas.
#[derive(Debug)]
pub(crate) struct Job {
    /// What it is called.
    pub(crate) name: String,
    /// The command line of `alike mirror` that does the same; two jobs with the same one need the same run.
    pub(crate) argv: Vec<OsString>,
    /// The same, read.
    pub(crate) mirror: MirrorArgs,
    /// Which files its ignore files were when they were looked at; not known until then.
    rules: OnceLock<Vec<Option<Rules>>>,
    /// What runs when something becomes of it.
    pub(crate) hooks: Hooks,
}

/// What tells a file that was changed: device, inode, size, and when it was changed last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Rules {
    file: (u64, u64, u64),
    changed: (i64, i64),
}

impl Rules {
    fn at(path: &Path) -> Option<Self> {
        let there = fs::metadata(path).ok()?;
        let file = (there.dev(), there.ino(), there.size());
        Some(Self { file, changed: (there.ctime(), there.ctime_nsec()) })
    }
}

/// Looks which files the ignore files of these jobs are now. What lies on a disk that hangs is not known.
pub(crate) fn look_at_rules(jobs: &[Arc<Job>]) {
    const PATIENCE: Duration = Duration::from_secs(2);
    let until = Instant::now() + PATIENCE;
    let looks: Vec<_> = jobs.iter().filter_map(|job| Some((job, rules_of(job)?))).collect();
    for (job, found) in looks {
        if let Ok(found) = found.recv_timeout(until.saturating_duration_since(Instant::now())) {
            let _ = job.rules.set(found);
        }
    }
}

/// Looks on a thread of its own, which may never end.
fn rules_of(job: &Job) -> Option<Receiver<Vec<Option<Rules>>>> {
    let files = job.mirror.pass.ignore_file.clone();
    let (tell, told) = channel();
    let look = move || drop(tell.send(files.iter().map(|path| Rules::at(path)).collect()));
    let has_any = !job.mirror.pass.ignore_file.is_empty();
    (has_any && std::thread::Builder::new().name("rules".to_owned()).spawn(look).is_ok()).then_some(told)
}

/// Programs with their arguments, never a line for a shell; each gets JSON on its standard input.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Hooks {
    /// A pass changed something on a replica.
    pub(crate) on_change: Option<Vec<String>>,
    /// A mirror halted.
    pub(crate) on_halt: Option<Vec<String>>,
    /// A path failed.
    pub(crate) on_error: Option<Vec<String>>,
    /// All is well again.
    pub(crate) on_recovered: Option<Vec<String>>,
    /// How long one may run.
    pub(crate) hook_timeout: Option<Duration>,
}

/// The status page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Web {
    /// Where it listens.
    pub(crate) listen: SocketAddr,
}
