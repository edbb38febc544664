//! `alike plan`: what a pass would do, for each replica below a heading of its own.

use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use alike_engine::claims::Claims;
use alike_engine::hold::Hold;
use alike_engine::monitor::{Event, Monitor};
use alike_engine::pace::Pace;
use alike_engine::pair::{Pair, Spec};
use alike_engine::pass::{Work, rehearse};
use alike_engine::stop::Stop;
use alike_model::dirty::Dirty;
use alike_model::path::RelPath;

use crate::args::{AlsoArgs, MirrorArgs, OnceArgs, OutputArgs, PairArgs, PassArgs};
use crate::console::Console;
use crate::run::{Failure, HALTED, exit_code, work, worst};
use crate::settings;
use crate::signals::{self, Received};

pub(crate) fn plan(args: &OnceArgs) -> Result<ExitCode, Failure> {
    plan_all((&args.pair, &args.also), &args.pass, &args.output)
}

/// What the first passes of a mirror would do.
pub(crate) fn plan_of_mirror(args: &MirrorArgs) -> Result<ExitCode, Failure> {
    plan_all((&args.pair, &args.also), &args.pass, &args.output)
}

fn plan_all(
    (pair, also): (&PairArgs, &AlsoArgs),
    args: &PassArgs,
    output: &OutputArgs,
) -> Result<ExitCode, Failure> {
    let specs = settings::specs((pair, also), args, output)?;
    let claims = Claims::of(&specs)?;
    let console = Arc::new(settings::console_of(output, &specs, true)?);
    let signals = signals::listen(&console)?;
    let plan_one =
        |number: usize| plan_of(&specs[number], number, (args, output), (&*console, &claims), &signals);
    if specs.len() == 1 {
        return plan_one(0).map(ExitCode::from);
    }
    let mut codes = Vec::new();
    for number in 0..specs.len() {
        let voice = console.voice(number);
        if let (Some(label), false) = (voice.label(), output.json) {
            let gap = if number == 0 { "" } else { "\n" };
            console.head(&format!("{gap}{}:\n", label.path));
        }
        // A thread each: it may write to nothing afterwards, which the lock of the next would be.
        let planned = std::thread::scope(|scope| scope.spawn(|| plan_one(number)).join());
        let planned = planned.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        codes.push(planned.unwrap_or_else(|failure| {
            let (text, code) = failure.told();
            voice.say(&text);
            code
        }));
    }
    Ok(ExitCode::from(worst(codes)))
}

fn plan_of(
    spec: &Spec,
    number: usize,
    (args, output): (&PassArgs, &OutputArgs),
    (console, claims): (&Console, &Claims),
    signals: &Received,
) -> Result<u8, Failure> {
    let voice = console.voice(number);
    let pair = Pair::open_to_rehearse(spec)?;
    voice.detail(&pair.confine().to_string());
    let hold = Hold::read(&spec.replica.join(".alike")).ok().flatten();
    if let Some(hold) = &hold {
        voice
            .note(&format!("the replica is held ({}): no pass is made before alike undo --resume", hold.why));
    }
    let pace = Pace::new(None);
    let work = work((&pair, spec), (args, &pace), &voice, &signals.controls.stop);
    // One thread: the steps come in the same order each time.
    let work = Work { threads: 1, roots: claims.roots(number, pair.roots), ..work };
    let outcome = rehearse(&work, Dirty::everything());
    console.finish();
    let outcome = outcome?;
    if !output.quiet {
        let steps = outcome.tally.changes();
        voice.say(&match steps {
            0 => "nothing to do".to_owned(),
            1 => "1 step; nothing was changed".to_owned(),
            _ => format!("{steps} steps; nothing was changed"),
        });
    }
    let code = exit_code(&outcome.ending, || signals.exit_code());
    // That of the pass, which would halt.
    Ok(if hold.is_some() { worst([code, HALTED]) } else { code })
}

/// What the next pass would do to one path, or say of it; beside a mirror at work too.
///
/// # Errors
/// When no pass could be made.
pub(crate) fn would(spec: &Spec, args: &PassArgs, path: &RelPath) -> Result<Vec<Event>, Failure> {
    #[derive(Default)]
    struct Heard(Mutex<Vec<Event>>);
    impl Monitor for Heard {
        fn event(&self, event: Event) {
            self.0.lock().unwrap_or_else(PoisonError::into_inner).push(event);
        }
    }
    let pair = Pair::open_to_check(spec)?;
    let (pace, heard, stop) = (Pace::new(None), Heard::default(), Stop::default());
    let work = Work { threads: 1, ..work((&pair, spec), (args, &pace), &heard, &stop) };
    let mut dirty = Dirty::new();
    match path.split() {
        Some((folder, name)) => dirty.mark_name(folder, name),
        None => dirty = Dirty::everything(),
    }
    rehearse(&work, dirty)?;
    Ok(heard.0.into_inner().unwrap_or_else(PoisonError::into_inner))
}
