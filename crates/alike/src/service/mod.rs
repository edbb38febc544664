//! `alike service`: a systemd unit for `alike up`, printed, installed or removed.

mod installing;
mod listening;
mod places;
mod unit;
mod words;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};

use alike_storage::{linux, plain};
use clap::{Args, Subcommand, ValueHint};
use etcetera::BaseStrategy;

use crate::config::{self, Config};
use crate::doctor::shown;
use crate::run::Failure;
use places::{Mounts, Places};
use unit::{For, Start};

const SYSTEM_CONFIG: &str = "/etc/alike/alike.toml";
/// The names of the units.
const SERVICE: &str = "alike.service";
const SOCKET: &str = "alike.socket";
/// systemd's own name for where the state of its services is.
const STATE: &str = "/var/lib";
/// The first systemd that knows `Type=notify-reload`.
const WAITS_FOR_RELOAD: u32 = 253;

/// What a config comes to.
struct Units {
    service: String,
    /// None where nothing has to listen for the service.
    socket: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ServiceArgs {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Show the unit that install would write; changes nothing
    Print(UnitArgs),
    /// Write the unit, and start it now and with the system; run it again when the config has other replicas, hooks or a page
    Install(InstallArgs),
    /// Stop the service and remove its unit; config, state and replicas stay
    Remove(WhoseArgs),
}

#[derive(Debug, Args)]
struct WhoseArgs {
    /// The service of the machine, which runs as root [default for root]
    #[arg(long, conflicts_with = "user")]
    system: bool,
    /// A service of yours, which runs while you are logged in [default for others]
    #[arg(long)]
    user: bool,
}

#[derive(Debug, Args)]
struct UnitArgs {
    #[command(flatten)]
    whose: WhoseArgs,
    /// The config file [default: /etc/alike/alike.toml; with --user $XDG_CONFIG_HOME/alike/alike.toml]
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    config: Option<PathBuf>,
}

#[derive(Debug, Args)]
struct InstallArgs {
    #[command(flatten)]
    unit: UnitArgs,
    /// Only write the unit: start nothing, now or later
    #[arg(long)]
    no_start: bool,
}

impl WhoseArgs {
    fn whose(&self) -> For {
        match self.system || (!self.user && linux::am_root()) {
            true => For::System,
            false => For::User,
        }
    }
}

pub(crate) fn service(args: &ServiceArgs) -> Result<ExitCode, Failure> {
    match &args.what {
        What::Print(args) => {
            let (units, _) = units(args)?;
            let text = in_one(args.whose.whose(), units)?;
            std::io::stdout().lock().write_all(text.as_bytes())?;
        }
        What::Install(args) => {
            let (units, places) = units(&args.unit)?;
            warn_of(&places);
            installing::install(args.unit.whose.whose(), &units, !args.no_start)?;
        }
        What::Remove(args) => installing::remove(args.whose())?,
    }
    Ok(ExitCode::SUCCESS)
}

/// What is better known before the first pass than after it.
fn warn_of(places: &Places) {
    for drive in &places.missing {
        say!(
            "alike: {} is not mounted: mount it before the first pass, or the copy lands on the disk below it",
            shown(drive)
        );
    }
    for (missing, named) in &places.wide {
        say!(
            "alike: {} is not there yet, so the service may write to all of {}; install again when it is",
            shown(missing),
            shown(named)
        );
    }
}

/// The units for a config, which has been read as the service will read it.
fn units(args: &UnitArgs) -> Result<(Units, Places), Failure> {
    let whose = args.whose.whose();
    let path = config_path(whose, args.config.as_deref())?;
    let config = config::load(Some(&path))?;
    let start = start(whose, path)?;
    is_good_for(&start)?;
    let places = places_of(whose, &config);
    let service = unit::unit(whose, &start, &config, &places).map_err(Failure::Usage)?;
    let socket = listening::unit(whose, &start, &config).map_err(Failure::Usage)?;
    Ok((Units { service, socket }, places))
}

/// One unit as it is; two, each below the name of its file.
fn in_one(whose: For, units: Units) -> Result<String, Failure> {
    let Some(socket) = units.socket else { return Ok(units.service) };
    let folder = folder_of_units(whose)?;
    let below = |name: &str, text: &str| format!("# ==== {} ====\n{text}", shown(&folder.join(name)));
    Ok(format!("{}\n{}", below(SERVICE, &units.service), below(SOCKET, &socket)))
}

fn config_path(whose: For, given: Option<&Path>) -> Result<PathBuf, Failure> {
    let path = match (given, whose) {
        (Some(given), _) => std::path::absolute(given)?,
        (None, For::System) => PathBuf::from(SYSTEM_CONFIG),
        (None, For::User) => config::of_user().ok_or_else(|| {
            Failure::Usage("there is no home folder with a config; name one with -c FILE".to_owned())
        })?,
    };
    Ok(path)
}

fn start(whose: For, config: PathBuf) -> Result<Start, Failure> {
    let program = std::env::current_exe()?;
    let set = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let environment = match whose {
        // A system's service has no home of its own, and its state is where systemd lets it write.
        For::System => {
            vec![("HOME", set("HOME").unwrap_or_else(|| "/root".into())), ("XDG_STATE_HOME", STATE.into())]
        }
        For::User => set("XDG_STATE_HOME").map(|state| ("XDG_STATE_HOME", state)).into_iter().collect(),
    };
    let waits_for_reload = installing::version_of_systemd().is_none_or(|version| version >= WAITS_FOR_RELOAD);
    Ok(Start { program, config, environment, waits_for_reload })
}

/// The config may have variables in it that this shell has and a service has not.
fn is_good_for(start: &Start) -> Result<(), Failure> {
    let mut check = Command::new(&start.program);
    check.args(["config", "check", "-c"]).arg(&start.config).env_clear();
    let home = std::env::var_os("HOME").map(|home| ("HOME", PathBuf::from(home)));
    check.envs(home.into_iter().chain(start.environment.iter().cloned()));
    let run = check.stdin(Stdio::null()).output();
    let run = run.map_err(|why| Failure::Failed(format!("{}: {}", shown(&start.program), plain(&why))))?;
    // Where something differs that is not the config's fault it says so otherwise than with a 2.
    if run.status.code() != Some(2) {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&run.stderr);
    Err(Failure::Usage(format!(
        "the config is good here, and not for a service, which has no variables but its own: write out what it means\n{}",
        said.trim_end()
    )))
}

fn places_of(whose: For, config: &Config) -> Places {
    match whose {
        For::System => Places::of(config, &Mounts::here(), |path| path.canonicalize().ok()),
        For::User => Places::default(),
    }
}

/// Where the units of a systemd are that a person writes.
fn folder_of_units(whose: For) -> Result<PathBuf, Failure> {
    match whose {
        For::System => Ok(PathBuf::from("/etc/systemd/system")),
        For::User => etcetera::choose_base_strategy()
            .map(|strategy| strategy.config_dir().join("systemd/user"))
            .map_err(|_| Failure::Usage("there is no home folder to keep the unit in".to_owned())),
    }
}
