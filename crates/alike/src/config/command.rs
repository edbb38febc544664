//! The config command: its arguments, and how a config file is put in place.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use alike_storage::plain;
use clap::{Args, Subcommand, ValueHint};

use super::{check, init, load};
use crate::doctor::shown;
use crate::run::Failure;

#[derive(Debug, Args)]
pub(crate) struct ConfigArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Whether the config is right and its jobs could start, a line a job; changes nothing
    Check(CheckArgs),
    /// The names of its jobs, one a line
    Jobs(WhichArgs),
    /// Write a config file with every key in it, commented out, and one job when SOURCE and REPLICA say which
    Init(InitArgs),
}

#[derive(Debug, Args)]
pub(crate) struct WhichArgs {
    /// The config file [default: $XDG_CONFIG_HOME/alike/alike.toml, then /etc/alike/alike.toml]
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) config: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct CheckArgs {
    #[command(flatten)]
    pub(crate) which: WhichArgs,
    /// Also the command line that does the same as each job
    #[arg(short, long)]
    pub(crate) verbose: bool,
}

#[derive(Debug, Args)]
pub(crate) struct InitArgs {
    /// The folder to copy from
    #[arg(value_hint = ValueHint::DirPath, requires = "replica")]
    pub(crate) source: Option<PathBuf>,
    /// The folders to make identical
    #[arg(value_hint = ValueHint::DirPath)]
    pub(crate) replica: Vec<PathBuf>,
    /// The file to write; one that is there is left as it is [default: $XDG_CONFIG_HOME/alike/alike.toml]
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) config: Option<PathBuf>,
    /// Print it instead
    #[arg(long, conflicts_with = "config")]
    pub(crate) stdout: bool,
}

pub(crate) fn config(args: &ConfigArgs) -> Result<ExitCode, Failure> {
    match &args.what {
        What::Check(args) => check::check(args),
        What::Jobs(args) => jobs(args),
        What::Init(args) => init::init(args),
    }
}

fn jobs(args: &WhichArgs) -> Result<ExitCode, Failure> {
    let mut out = io::stdout().lock();
    for job in load(args.config.as_deref())?.jobs {
        writeln!(out, "{}", job.name)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// Writes a file that must not be there.
pub(crate) fn put_new(path: &Path, text: &str) -> Result<(), Failure> {
    make_folder(path)?;
    let put = File::create_new(path).and_then(|file| {
        // Half a file would stand in the way of the next try.
        fill(file, text).inspect_err(|_| drop(fs::remove_file(path)))
    });
    put.map_err(|why| match why.kind() {
        io::ErrorKind::AlreadyExists => {
            Failure::Usage(format!("{} is there already; it is left as it is", shown(path)))
        }
        _ => cannot_write(path, &why),
    })
}

/// Puts another text in the place of a file in one step, with the rights that it had. A link stays a link.
pub(crate) fn put_over(path: &Path, text: &str) -> Result<(), Failure> {
    let put = || {
        let whole = path.canonicalize()?;
        let mut beside = whole.clone().into_os_string();
        beside.push(format!(".{}.new", std::process::id()));
        let beside = PathBuf::from(beside);
        let written = File::create_new(&beside).and_then(|file| {
            file.set_permissions(fs::metadata(&whole)?.permissions())?;
            fill(file, text)?;
            fs::rename(&beside, &whole)
        });
        written.inspect_err(|_| drop(fs::remove_file(&beside)))
    };
    put().map_err(|why| cannot_write(path, &why))
}

fn make_folder(path: &Path) -> Result<(), Failure> {
    let folder = path.parent().unwrap_or(Path::new("/"));
    fs::create_dir_all(folder).map_err(|why| cannot_write(folder, &why))
}

fn fill(mut file: File, text: &str) -> io::Result<()> {
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn cannot_write(path: &Path, why: &io::Error) -> Failure {
    Failure::Failed(format!("{} cannot be written: {}", shown(path), plain(why)))
}
