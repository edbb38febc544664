//! The command line: one definition for parsing, help and, later, completions and man pages.

use std::path::PathBuf;
use std::time::Duration;

use alike_model::entry::Time;
use alike_model::policy::MaxDelete;
use clap::{ArgAction, Args, Parser, Subcommand, ValueEnum, ValueHint};

use crate::elsewhere::folder;
use crate::paint::ColorArg;

/// Keeps a replica folder identical to a source folder, from the first copy through every later change.
#[derive(Debug, Parser)]
#[command(name = "alike", version)]
pub(crate) struct Cli {
    /// Colours on standard output: on a terminal unless NO_COLOR is set, always, or never
    #[arg(long, global = true, value_name = "WHEN", value_enum, default_value_t = ColorArg::Auto)]
    pub(crate) color: ColorArg,
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make REPLICA identical to SOURCE, then watch and re-check until stopped
    Mirror(MirrorArgs),
    /// One pass, then exit
    Once(OnceArgs),
    /// What a pass would do, and why, one line a step; changes nothing
    Plan(OnceArgs),
    /// Compare every byte of both, and say what differs and which side changed; changes nothing
    Check(crate::check::CheckArgs),
    /// What passes did to REPLICA, oldest first, each pass below its number; of one path, also what can be brought back
    Log(crate::history::LogArgs),
    /// Why PATH is, or is not, on the replica as it is in the source; changes nothing
    Why(crate::why::WhyArgs),
    /// Take a pass back as a whole, the last one unless PASS or --since says which; the mirror is held then
    Undo(crate::recover::UndoArgs),
    /// Bring one file or folder back as it was
    Restore(crate::recover::RestoreArgs),
    /// What the trash of REPLICA keeps, and empties it
    Trash(crate::trash::TrashArgs),
    /// Whether this machine, SOURCE and REPLICA are fit for alike, a line each: good, or what to do; changes nothing
    Doctor(crate::doctor::DoctorArgs),
    /// Run all jobs of a config file
    Up(crate::up::UpArgs),
    /// How the jobs of the running alike up stand; exit code 0 when all is well
    Status(crate::up::asking::StatusArgs),
    /// Let the running alike up take up its config file as it is now; jobs that did not change go on
    Reload(crate::up::asking::AskArgs),
    /// Start a full pass of all jobs of the running alike up, or of one, now
    Pass(crate::up::asking::PassNowArgs),
    /// Stop the running alike up
    Down(crate::up::asking::AskArgs),
    /// Check the config file of alike up, or write one
    Config(crate::config::ConfigArgs),
    /// Let systemd run alike up: shows, installs or removes the unit
    Service(crate::service::ServiceArgs),
    /// Print the completions for a shell
    Completions(crate::completions::CompletionsArgs),
    /// Print a manual page, or write all of them
    Man(crate::manual::ManArgs),
}

#[derive(Debug, Args)]
pub(crate) struct MirrorArgs {
    #[command(flatten)]
    pub(crate) pair: PairArgs,
    #[command(flatten)]
    pub(crate) also: AlsoArgs,
    /// As the older scripts took them: LOGFILE INTERVAL, or INTERVAL LOGDIR
    #[arg(num_args = 2, value_names = ["LOGFILE|INTERVAL", "INTERVAL|LOGDIR"])]
    pub(crate) older: Vec<PathBuf>,
    /// Look at everything this often, beside watching; a bare number is seconds
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = interval, allow_hyphen_values = true)]
    pub(crate) interval: Duration,
    /// Do not watch; the interval alone finds what changed
    #[arg(long)]
    pub(crate) no_watch: bool,
    /// How to watch: fanotify takes one mark for the whole filesystem and CAP_SYS_ADMIN, inotify one a folder
    #[arg(long, value_name = "HOW", value_enum, default_value_t = WatcherArg::Auto, conflicts_with = "no_watch")]
    pub(crate) watcher: WatcherArg,
    /// Wait until the source has been quiet this long before copying
    #[arg(long, value_name = "TIME", default_value = "0ms", value_parser = duration, allow_hyphen_values = true)]
    pub(crate) settle: Duration,
    /// Read everything once in this time, a little at a time, and report what rotted (30d, say)
    #[arg(long, value_name = "TIME", value_parser = interval, allow_hyphen_values = true)]
    pub(crate) scrub: Option<Duration>,
    #[command(flatten)]
    pub(crate) pass: PassArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    #[command(flatten)]
    pub(crate) save: crate::config::SaveArgs,
}

#[derive(Debug, Args)]
pub(crate) struct OnceArgs {
    #[command(flatten)]
    pub(crate) pair: PairArgs,
    #[command(flatten)]
    pub(crate) also: AlsoArgs,
    #[command(flatten)]
    pub(crate) pass: PassArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

#[derive(Debug, Args)]
pub(crate) struct PairArgs {
    /// The folder to copy from; never written
    #[arg(value_hint = ValueHint::DirPath, value_parser = folder())]
    pub(crate) source: PathBuf,
    /// The folder to make identical; made when it is missing
    #[arg(value_hint = ValueHint::DirPath, value_parser = folder())]
    pub(crate) replica: PathBuf,
}

#[derive(Debug, Args)]
pub(crate) struct AlsoArgs {
    /// Make this folder identical too, whatever becomes of the others (repeatable)
    #[arg(long, value_name = "REPLICA", value_hint = ValueHint::DirPath, value_parser = folder())]
    pub(crate) also: Vec<PathBuf>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "What a pass does")]
pub(crate) struct PassArgs {
    /// How files are told equal: by stamps and the index, by content, or copy only what is newer
    #[arg(long, value_enum, default_value_t = CompareArg::Auto)]
    pub(crate) compare: CompareArg,
    /// The hash of --compare content
    #[arg(long, value_enum, default_value_t = HashArg::Blake3)]
    pub(crate) hash: HashArg,
    /// Leave out what matches (gitignore syntax; repeatable)
    #[arg(long, value_name = "PATTERN", allow_hyphen_values = true)]
    pub(crate) exclude: Vec<String>,
    /// Keep what matches though --exclude leaves it out (repeatable)
    #[arg(long, value_name = "PATTERN", allow_hyphen_values = true)]
    pub(crate) include: Vec<String>,
    /// Read patterns from this file (repeatable)
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) ignore_file: Vec<PathBuf>,
    /// Let .gitignore files count as well
    #[arg(long)]
    pub(crate) gitignore: bool,
    /// Delete on the replica what the filters leave out
    #[arg(long)]
    pub(crate) delete_excluded: bool,
    /// Delete nothing in a pass that would delete more than this share (50%) or number
    #[arg(long, value_name = "50%|N", default_value = "50%")]
    pub(crate) max_delete: MaxDelete,
    /// Let the first pass delete as much as it has to
    #[arg(long)]
    pub(crate) allow_deletes: bool,
    /// Delete nothing, ever
    #[arg(long, conflicts_with_all = ["allow_deletes", "delete_excluded"])]
    pub(crate) no_delete: bool,
    /// Do not copy owner and group (they need root)
    #[arg(long)]
    pub(crate) no_owner: bool,
    /// Do not copy extended attributes and ACLs
    #[arg(long)]
    pub(crate) no_xattrs: bool,
    /// Keep what is deleted or replaced this long, or not at all (off)
    #[arg(long, value_name = "TIME|off", default_value = "30d", value_parser = trash)]
    pub(crate) trash: Trash,
    /// Leave out pipes, sockets and device nodes
    #[arg(long)]
    pub(crate) no_special: bool,
    /// Stay on the source's filesystem
    #[arg(short = 'x', long)]
    pub(crate) one_file_system: bool,
    /// Share blocks with the source where the filesystem can (btrfs, XFS), or never
    #[arg(long, value_enum, default_value_t = WhenArg::Auto)]
    pub(crate) reflink: WhenArg,
    /// Write only what changed of a large file, where that pays, or never
    #[arg(long, value_enum, default_value_t = WhenArg::Auto)]
    pub(crate) inplace_delta: WhenArg,
    /// When copies are brought to the disk: together, each file by itself, or left to the system
    #[arg(long, value_enum, default_value_t = SyncArg::Pass)]
    pub(crate) sync: SyncArg,
    /// Copy no more than this a second (check: read, both sides together): 20M, 500K; a bare number is KiB
    #[arg(long, value_name = "RATE", value_parser = crate::check::rate)]
    pub(crate) bwlimit: Option<u64>,
    /// Folders looked at at once
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=64))]
    pub(crate) threads: Option<u16>,
    /// Only say what would be done
    #[arg(short = 'n', long)]
    pub(crate) dry_run: bool,
    /// Where alike keeps what it knows [default: $XDG_STATE_HOME/alike]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub(crate) state_dir: Option<PathBuf>,
}

#[derive(Debug, Args)]
#[command(next_help_heading = "What is said")]
pub(crate) struct OutputArgs {
    /// Write the log here as well; its folder is made
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub(crate) log_file: Option<PathBuf>,
    /// The form of the log file
    #[arg(long, value_enum, default_value_t = LogFormat::Text)]
    pub(crate) log_format: LogFormat,
    /// The least important lines to write: error, warn (held and skipped as well) or info
    #[arg(long, value_enum, default_value_t = LogLevel::usual())]
    pub(crate) log_level: LogLevel,
    #[command(flatten)]
    pub(crate) turns: crate::rotation::Turns,
    /// One JSON object a line on standard output
    #[arg(long)]
    pub(crate) json: bool,
    /// Only errors
    #[arg(short, long, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// Also say what it works with
    #[arg(short, long, action = ArgAction::SetTrue)]
    pub(crate) verbose: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum CompareArg {
    Auto,
    Content,
    Newer,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum HashArg {
    Blake3,
    Xxh3,
    Sha256,
}

/// How long the trash keeps what it has; `None`: there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Trash(pub(crate) Option<Duration>);

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum WhenArg {
    Auto,
    Never,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum WatcherArg {
    Auto,
    Fanotify,
    Inotify,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum SyncArg {
    Pass,
    File,
    None,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LogFormat {
    Text,
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub(crate) enum LogLevel {
    Error,
    Warn,
    Info,
}

impl LogLevel {
    /// What RUST_LOG says, for alike or for all programs; else all.
    fn usual() -> Self {
        match rust_log().as_deref() {
            Some("off" | "error") => Self::Error,
            Some("warn") => Self::Warn,
            _ => Self::Info,
        }
    }
}

/// True when RUST_LOG asks for details.
pub(crate) fn is_verbose_by_environment() -> bool {
    matches!(rust_log().as_deref(), Some("debug" | "trace"))
}

/// The level in RUST_LOG that concerns alike, in small letters.
fn rust_log() -> Option<String> {
    let all = std::env::var("RUST_LOG").ok()?;
    let concerns = |directive: &str| match directive.trim().split_once('=') {
        None => Some(directive.trim().to_ascii_lowercase()),
        Some(("alike", level)) => Some(level.to_ascii_lowercase()),
        Some(_) => None,
    };
    all.split(',').filter_map(concerns).next_back()
}

/// A time such as `30s`, `10m`, `1h 30m` or `2d`; a bare number is seconds.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    // Longer ones would overflow a clock.
    const MOST: Duration = Duration::from_secs(100 * 366 * 86_400);
    match any_duration(text)? {
        time if time > MOST => Err("is too long; 100 years is the most".to_owned()),
        time => Ok(time),
    }
}

fn any_duration(text: &str) -> Result<Duration, String> {
    if let Ok(seconds) = text.trim().parse::<f64>() {
        return Duration::try_from_secs_f64(seconds).map_err(|_| "must not be negative".to_owned());
    }
    let bad = || "is no time; write it as 30s, 10m or 1h 30m (a bare number is seconds)".to_owned();
    let span: jiff::Span = text.trim().parse().map_err(|_| bad())?;
    let time = span.to_duration(jiff::SpanRelativeTo::days_are_24_hours()).map_err(|_| bad())?;
    Duration::try_from(time).map_err(|_| "must not be negative".to_owned())
}

/// A moment: a date and time of here, an RFC 3339 one, or how long ago.
pub(crate) fn moment(text: &str) -> Result<Time, String> {
    use jiff::{Timestamp, civil};
    let text = text.trim();
    let here = || {
        let local = text.parse::<civil::DateTime>().ok();
        let local = local.or_else(|| Some(text.parse::<civil::Date>().ok()?.at(0, 0, 0, 0)))?;
        Some(local.to_zoned(crate::zone::here()).ok()?.timestamp())
    };
    let ago = || Timestamp::now().checked_sub(duration(text).ok()?).ok();
    let moment = text.parse::<Timestamp>().ok().or_else(here).or_else(ago);
    let moment = moment.ok_or("is no time; write it as 2026-11-21 21:05, or as 2h for two hours ago")?;
    Ok(Time { secs: moment.as_second(), nanos: u32::try_from(moment.subsec_nanosecond()).unwrap_or(0) })
}

fn trash(text: &str) -> Result<Trash, String> {
    match text.trim() {
        "off" => Ok(Trash(None)),
        time => duration(time).map(|keep| Trash(Some(keep))).map_err(|why| format!("{why}; or off")),
    }
}

/// A time between looks, which cannot be zero.
pub(crate) fn interval(text: &str) -> Result<Duration, String> {
    const LEAST: Duration = Duration::from_millis(100);
    match duration(text)? {
        time if time < LEAST => Err("is too short; 1 s is a good least".to_owned()),
        time => Ok(time),
    }
}

impl MirrorArgs {
    /// Takes the two argument orders of the older scripts into the flags that they stand for.
    ///
    /// # Errors
    /// When neither order fits; the text says how it should be.
    pub(crate) fn read_older_order(&mut self) -> Result<(), String> {
        let [first, second] = self.older.as_slice() else { return Ok(()) };
        let time = |path: &PathBuf| {
            path.to_str().map(str::to_owned).ok_or_else(String::new).and_then(|t| interval(&t))
        };
        let (every, log) = match (time(first), time(second)) {
            (Ok(every), _) => (every, second.join("logfile.log")),
            (Err(_), Ok(every)) => (every, first.clone()),
            (Err(_), Err(why)) => {
                return Err(format!(
                    "after SOURCE REPLICA come LOGFILE INTERVAL or INTERVAL LOGDIR, but \"{}\" {why}",
                    second.display()
                ));
            }
        };
        self.interval = every;
        self.output.log_file.get_or_insert(log);
        Ok(())
    }
}
