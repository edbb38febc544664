//! `alike config`: checks a config file, or writes one.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand, ValueHint};

use super::load;
use crate::run::Failure;

#[derive(Debug, Args)]
pub(crate) struct ConfigArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Whether the config is right, a line a job; changes nothing
    Check(CheckArgs),
}

#[derive(Debug, Args)]
struct CheckArgs {
    /// The config file [default: $XDG_CONFIG_HOME/alike/alike.toml, then /etc/alike/alike.toml]
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    config: Option<PathBuf>,
}

pub(crate) fn config(args: &ConfigArgs) -> Result<ExitCode, Failure> {
    match &args.what {
        What::Check(args) => check(args),
    }
}

fn check(args: &CheckArgs) -> Result<ExitCode, Failure> {
    use std::io::Write;
    let config = load::load(args.config.as_deref())?;
    let mut out = std::io::stdout().lock();
    for job in &config.jobs {
        let _ = writeln!(out, "{}: good", job.name);
    }
    Ok(ExitCode::SUCCESS)
}
