//! The mirror command, and what it shares with the others: work, failures and exit codes.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use alike_engine::census;
use alike_engine::error::PassError;
use alike_engine::monitor::Monitor;
use alike_engine::pace::Pace;
use alike_engine::pair::{Pair, Spec};
use alike_engine::pass::Work;
use alike_engine::refusal::Refusal;
use alike_engine::several::mirror;
use alike_engine::stop::Stop;
use alike_engine::watch::NoWatch;
use alike_model::entry::Time;
use alike_model::outcome::Ending;
use alike_storage::Local;

use crate::args::{MirrorArgs, PassArgs};
use crate::console::{Console, Voice};
use crate::plan::plan_of_mirror;
use crate::progress::Total;
use crate::settings::{self, Usage};
use crate::signals;

/// What ends a command, with its exit code.
pub(crate) enum Failure {
    /// The command line is wrong.
    Usage(String),
    /// Halted for safety.
    Halted(String),
    /// It could not be done.
    Failed(String),
}

impl Failure {
    /// What is said of it, and the exit code.
    pub(crate) fn told(self) -> (String, u8) {
        match self {
            Self::Failed(text) => (text, DIFFERS),
            Self::Usage(text) => (text, MISTAKE),
            Self::Halted(text) => (text, HALTED),
        }
    }
}

impl From<Usage> for Failure {
    fn from(Usage(text): Usage) -> Self {
        Self::Usage(text)
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        let text = refusal.to_string();
        match () {
            () if refusal.is_usage() => Self::Usage(text),
            () if refusal.is_failure() => Self::Failed(text),
            () => Self::Halted(text),
        }
    }
}

impl From<PassError> for Failure {
    fn from(error: PassError) -> Self {
        Self::Failed(error.to_string())
    }
}

impl From<std::io::Error> for Failure {
    fn from(error: std::io::Error) -> Self {
        Self::Failed(alike_storage::plain(&error))
    }
}

pub(crate) const IDENTICAL: u8 = 0;
pub(crate) const DIFFERS: u8 = 1;
pub(crate) const MISTAKE: u8 = 2;
pub(crate) const HALTED: u8 = 3;

pub(crate) fn mirror_until_stopped(args: &MirrorArgs) -> Result<ExitCode, Failure> {
    if args.pass.dry_run {
        return plan_of_mirror(args);
    }
    let specs = settings::specs((&args.pair, &args.also), &args.pass, &args.output)?;
    let console = Arc::new(settings::console_of(&args.output, &specs, false)?);
    let signals = signals::listen(&console)?;
    let rhythm = settings::rhythm(args);
    let voices: Vec<Voice<'_>> = (0..specs.len()).map(|number| console.voice(number)).collect();
    let monitors: Vec<&dyn Monitor> = voices.iter().map(|voice| voice as &dyn Monitor).collect();
    let ran = with_status(&console, &specs[0], || {
        mirror(&specs, settings::policy(&args.pass), &rhythm, (&monitors, &now), &signals.controls)
    });
    console.finish();
    // A clean stop, unless it is known that something differs.
    Ok(ExitCode::from(if ran? == 0 { IDENTICAL } else { DIFFERS }))
}

pub(crate) fn work<'a>(
    (pair, spec): (&'a Pair, &'a Spec),
    (args, pace): (&PassArgs, &'a Pace),
    monitor: &'a dyn Monitor,
    stop: &'a Stop,
) -> Work<'a, Local, Local> {
    Work {
        source: &pair.source,
        replica: &pair.replica,
        replica_top: pair.replica_top,
        roots: pair.roots.to_vec(),
        index: &pair.index,
        policy: settings::policy(args).within(&pair.holds),
        refuses: pair.refuses(&settings::policy(args)),
        filter: &spec.filter,
        monitor,
        watch: &NoWatch,
        clock: &now,
        stop,
        threads: settings::threads(args),
        pace,
        sync: settings::syncs(args),
        settles: settings::settles(args),
        trash: pair.trash.as_ref(),
        held_folders: settings::held_folders(),
        patient: None,
        beside_full: false,
        siblings: None,
    }
}

/// Runs with the status line kept up to date beside, where there is one.
pub(crate) fn with_status<T>(console: &Arc<Console>, spec: &Spec, run: impl FnOnce() -> T) -> T {
    if !console.shows_status() {
        return run();
    }
    let (over, total) = (AtomicBool::new(false), console.total());
    std::thread::scope(|scope| {
        scope.spawn(|| count(spec, &total, &over));
        let ticker = scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                console.tick();
                std::thread::park_timeout(Duration::from_millis(250));
            }
        });
        let result = run();
        over.store(true, Ordering::Relaxed);
        ticker.thread().unpark();
        result
    })
}

fn count(spec: &Spec, total: &Total, over: &AtomicBool) {
    let over = || over.load(Ordering::Relaxed);
    if let Some(entries) = census::entries(spec, &over) {
        total.entries.store(entries, Ordering::Relaxed);
        if let Some(bytes) = census::bytes(spec, &over) {
            total.bytes.store(bytes, Ordering::Relaxed);
        }
    }
}

pub(crate) fn exit_code(ending: &Ending, signal: impl FnOnce() -> u8) -> u8 {
    match ending {
        Ending::Identical => IDENTICAL,
        Ending::Differs => DIFFERS,
        Ending::Halted(_) => HALTED,
        Ending::Stopped => signal(),
    }
}

/// Of the exit codes of several replicas the gravest: a mistake, a halt, a signal, a difference.
pub(crate) fn worst(codes: impl IntoIterator<Item = u8>) -> u8 {
    let gravity = |code: &u8| match *code {
        IDENTICAL => 0,
        DIFFERS => 1,
        MISTAKE => 4,
        HALTED => 3,
        _ => 2,
    };
    codes.into_iter().max_by_key(gravity).unwrap_or(IDENTICAL)
}

pub(crate) fn now() -> Time {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time { secs: i64::try_from(now.as_secs()).unwrap_or(i64::MAX), nanos: now.subsec_nanos() }
}
