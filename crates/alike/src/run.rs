//! The commands.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use alike_engine::error::PassError;
use alike_engine::hold::Hold;
use alike_engine::monitor::Monitor;
use alike_engine::pace::Pace;
use alike_engine::pair::{Pair, Spec};
use alike_engine::pass::{Top, Work, pass, rehearse};
use alike_engine::refusal::Refusal;
use alike_engine::stop::Stop;
use alike_engine::watch::NoWatch;
use alike_engine::worker::{Rhythm, mirror};
use alike_model::dirty::Dirty;
use alike_model::entry::Time;
use alike_model::outcome::{Ending, Outcome};
use alike_model::policy::Deletes;
use alike_storage::Local;

use crate::args::{MirrorArgs, OnceArgs, OutputArgs, PairArgs, PassArgs};
use crate::console::{Console, still_written};
use crate::settings::{self, Usage};
use crate::{count, signals};

/// What ends a command, with its exit code.
pub(crate) enum Failure {
    /// The command line is wrong.
    Usage(String),
    /// Halted for safety.
    Halted(String),
    /// It could not be done.
    Failed(String),
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
pub(crate) const HALTED: u8 = 3;

pub(crate) fn once(args: &OnceArgs) -> Result<ExitCode, Failure> {
    if args.pass.dry_run {
        return plan_of(&args.pair, &args.pass, &args.output);
    }
    let spec = settings::spec(&args.pair, &args.pass, &args.output)?;
    let console = Arc::new(settings::console(&args.output, false)?);
    let signals = signals::listen(&console)?;
    let pair = Pair::open(&spec)?;
    say_start(&console, &pair, &spec, &args.pass, &args.output);
    // A replica that was just made is closed to others until the end, and confining costs a first copy some of its speed.
    if pair.replica_top == Top::There {
        // Signals are listened to by a thread from before, which may open the log anew.
        console.detail(&pair.confine().to_string());
    }
    let pace = Pace::new(args.pass.bwlimit);
    let mut work = work((&pair, &spec), (&args.pass, &pace), &console, &signals.controls.stop);
    let run =
        |work: &Work<'_, Local, Local>| with_status(&console, &spec, || pass(work, Dirty::everything()));
    let mut outcome = run(&work);
    console.finish();
    if let Ok(Outcome { ending: Ending::Halted(over), .. }) = &outcome
        && console.asks(&format!("{over}. Delete them now?"), &signals)
    {
        work.policy.deletes = Deletes::Allowed;
        outcome = run(&work);
        console.finish();
    }
    if signals.controls.stop.is_set()
        && let Ok(Outcome { ending: ending @ Ending::Halted(_), .. }) = &mut outcome
    {
        // Ctrl+C instead of an answer.
        *ending = Ending::Stopped;
    }
    let outcome = outcome?;
    // The pass has brought the replica to the disk by now, so the index may say so.
    pair.index.commit().map_err(PassError::Index)?;
    say_end(&console, &outcome, &args.pass, &args.output);
    Ok(ExitCode::from(exit_code(&outcome, || signals.exit_code())))
}

pub(crate) fn plan(args: &OnceArgs) -> Result<ExitCode, Failure> {
    plan_of(&args.pair, &args.pass, &args.output)
}

pub(crate) fn mirror_until_stopped(args: &MirrorArgs) -> Result<ExitCode, Failure> {
    if args.pass.dry_run {
        return plan_of(&args.pair, &args.pass, &args.output);
    }
    let spec = settings::spec(&args.pair, &args.pass, &args.output)?;
    let console = Arc::new(settings::console(&args.output, false)?);
    let signals = signals::listen(&console)?;
    let rhythm = Rhythm {
        interval: args.interval,
        watch: settings::means(args),
        settle: args.settle,
        later_deletes: Deletes::Within(args.pass.max_delete),
        threads: settings::threads(&args.pass),
        sync: settings::syncs(&args.pass),
        settles: settings::settles(&args.pass),
        held_folders: settings::held_folders(),
        scrub: args.scrub,
        bwlimit: args.pass.bwlimit,
    };
    let ran = with_status(&console, &spec, || {
        mirror(&spec, settings::policy(&args.pass), &rhythm, (&*console, &now), &signals.controls)
    });
    console.finish();
    // A clean stop, unless it is known that something differs.
    Ok(ExitCode::from(if ran? == 0 { IDENTICAL } else { DIFFERS }))
}

fn plan_of(pair: &PairArgs, args: &PassArgs, output: &OutputArgs) -> Result<ExitCode, Failure> {
    let spec = settings::spec(pair, args, output)?;
    let console = Arc::new(settings::console(output, true)?);
    let signals = signals::listen(&console)?;
    let pair = Pair::open_to_rehearse(&spec)?;
    console.detail(&pair.confine().to_string());
    if let Ok(Some(hold)) = Hold::read(&spec.replica.join(".alike")) {
        console
            .note(&format!("the replica is held ({}): no pass is made before alike undo --resume", hold.why));
    }
    // One thread: the steps come in the same order each time.
    let pace = Pace::new(None);
    let work = work((&pair, &spec), (args, &pace), &console, &signals.controls.stop);
    let work = Work { threads: 1, ..work };
    let outcome = rehearse(&work, Dirty::everything());
    console.finish();
    let outcome = outcome?;
    if !output.quiet {
        let steps = outcome.tally.changes();
        console.say(&match steps {
            0 => "nothing to do".to_owned(),
            1 => "1 step; nothing was changed".to_owned(),
            _ => format!("{steps} steps; nothing was changed"),
        });
    }
    Ok(ExitCode::from(exit_code(&outcome, || signals.exit_code())))
}

pub(crate) fn work<'a>(
    (pair, spec): (&'a Pair, &'a Spec),
    (args, pace): (&PassArgs, &'a Pace),
    console: &'a Console,
    stop: &'a Stop,
) -> Work<'a, Local, Local> {
    Work {
        source: &pair.source,
        replica: &pair.replica,
        replica_top: pair.replica_top,
        roots: pair.roots,
        index: &pair.index,
        policy: settings::policy(args).within(&pair.holds),
        refuses: pair.refuses(&settings::policy(args)),
        filter: &spec.filter,
        monitor: console,
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
        scope.spawn(|| count::entries(&spec.source, &total, &over));
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

fn say_start(console: &Console, pair: &Pair, spec: &Spec, args: &PassArgs, output: &OutputArgs) {
    pair.notes(&settings::policy(args)).iter().for_each(|note| console.note(note));
    if output.verbose {
        let (state, threads) = (spec.state.display(), settings::threads(args));
        console.say(&format!("state in {state}; {threads} threads"));
    }
}

fn say_end(console: &Console, outcome: &Outcome, args: &PassArgs, output: &OutputArgs) {
    let tally = &outcome.tally;
    match &outcome.ending {
        Ending::Halted(over) if output.quiet => console.say(&over.to_string()),
        Ending::Halted(over) if !output.json => console.say(&over.to_string()),
        Ending::Differs => {
            let (failed, held) = (tally.failed, tally.held + tally.skipped);
            let advice = match tally.held {
                0 => "",
                _ if args.no_delete => "; what the source lacks stays, as --no-delete says",
                _ => "; --allow-deletes lets held deletions go",
            };
            let moving = still_written(tally.in_motion);
            let counts = format!("{failed} failed, {held} held back or skipped{moving}");
            console.say(&format!("not identical: {counts}; the log has each{advice}"));
        }
        Ending::Stopped => console.say("stopped half-way; the next pass goes on from here"),
        Ending::Identical | Ending::Halted(_) => {}
    }
}

fn exit_code(outcome: &Outcome, signal: impl FnOnce() -> u8) -> u8 {
    match outcome.ending {
        Ending::Identical => IDENTICAL,
        Ending::Differs => DIFFERS,
        Ending::Halted(_) => HALTED,
        Ending::Stopped => signal(),
    }
}

pub(crate) fn now() -> Time {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Time { secs: i64::try_from(now.as_secs()).unwrap_or(i64::MAX), nanos: now.subsec_nanos() }
}
