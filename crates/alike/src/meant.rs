//! Which replicas a command means: the one whose path is typed, or those of a job of the config file.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueHint};

use crate::config::{self, Job};
use crate::log::one_line;
use crate::run::{Failure, worst};

// No doc comment here: it would take the place of what the command says of itself.
#[derive(Debug, Args)]
pub(crate) struct JobArgs {
    /// The replicas of this job of the config file, instead of naming one
    #[arg(long, value_name = "NAME")]
    job: Option<String>,
    /// The config file that has the job [default: that of alike up]
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath, requires = "job")]
    config: Option<PathBuf>,
}

impl JobArgs {
    /// The job; `None` when none is named.
    ///
    /// # Errors
    /// When there is no such job, or the config cannot be read.
    pub(crate) fn job(&self) -> Result<Option<Job>, Failure> {
        let named = |name| config::load(self.config.as_deref())?.job_called(name);
        self.job.as_deref().map(named).transpose()
    }

    /// Its replicas.
    ///
    /// # Errors
    /// As [`Self::job`].
    pub(crate) fn replicas(&self) -> Result<Option<Vec<PathBuf>>, Failure> {
        Ok(self.job()?.map(|job| job.replicas().map(Path::to_owned).collect()))
    }

    /// Its replica, where it has only one; `command` is what is to be done to it.
    ///
    /// # Errors
    /// When it has several: which one is meant nobody guesses. Else as [`Self::job`].
    pub(crate) fn only_replica(&self, command: &str) -> Result<Option<PathBuf>, Failure> {
        self.replicas()?.map(|replicas| only(replicas, command)).transpose()
    }
}

/// The only one of these replicas of a job.
///
/// # Errors
/// When there are several.
pub(crate) fn only(mut replicas: Vec<PathBuf>, command: &str) -> Result<PathBuf, Failure> {
    if replicas.len() == 1 {
        return Ok(replicas.remove(0));
    }
    let named: Vec<String> = replicas.iter().map(|one| one.display().to_string()).collect();
    Err(Failure::Usage(format!(
        "the job has {} replicas; name the one that is meant: alike {command} REPLICA, one of {}",
        replicas.len(),
        one_line(&named.join(", "))
    )))
}

/// Does this for each replica, of several below its path; one of several that fails holds up no other.
///
/// # Errors
/// When the only one failed.
pub(crate) fn each(
    replicas: &[PathBuf],
    json: bool,
    one: impl Fn(&Path) -> Result<u8, Failure>,
) -> Result<ExitCode, Failure> {
    if let [alone] = replicas {
        return one(alone).map(ExitCode::from);
    }
    let codes = replicas.iter().map(|replica| {
        if !json {
            say!("alike: {}", one_line(&replica.display().to_string()));
        }
        one(replica).unwrap_or_else(|failure| {
            let (text, code) = failure.told();
            say!("alike: {text}");
            code
        })
    });
    Ok(ExitCode::from(worst(codes)))
}
