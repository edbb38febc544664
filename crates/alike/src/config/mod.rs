//! The config file: many jobs, each all that the flags of `alike mirror` say of one source and its replicas.

mod check;
mod command;
mod init;
mod keys;
mod load;
mod overlap;
mod paths;
mod reading;
mod rules;
mod save;
mod setting;
mod trouble;
#[cfg(test)]
mod whatever_is_written;

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

pub(crate) use command::{ConfigArgs, WhichArgs, config};
pub(crate) use init::explained;
pub(crate) use load::{load, of_user};
pub(crate) use rules::look_at_rules;
pub(crate) use save::{SaveArgs, save};
pub(crate) use trouble::Trouble;

use rules::Rules;

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
    /// A job, by its name.
    ///
    /// # Errors
    /// When there is no such job; the text names those that there are.
    pub(crate) fn job_called(mut self, name: &str) -> Result<Job, Failure> {
        let Some(at) = self.jobs.iter().position(|job| job.name == name) else {
            let all: Vec<&str> = self.jobs.iter().map(|job| job.name.as_str()).collect();
            return Err(Failure::Usage(format!("there is no job {name}; there are {}", all.join(", "))));
        };
        Ok(self.jobs.swap_remove(at))
    }
}

impl Job {
    /// True when it needs the same run as another: both say the same, and no ignore file of theirs is known to have changed.
    pub(crate) fn runs_as(&self, other: &Self) -> bool {
        (&self.name, &self.argv, &self.hooks) == (&other.name, &other.argv, &other.hooks)
            && !self.rules.differ_from(&other.rules)
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
    /// The command line of `alike mirror` that does the same.
    pub(crate) argv: Vec<OsString>,
    /// The same, read.
    pub(crate) mirror: MirrorArgs,
    /// Which files its ignore files were when they were looked at.
    rules: Rules,
    /// What runs when something becomes of it.
    pub(crate) hooks: Hooks,
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
