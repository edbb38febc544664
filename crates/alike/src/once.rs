//! `alike once`: one pass for each replica, side by side, and the worst of their exit codes.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Instant;

use alike_engine::claims::Claims;
use alike_engine::error::PassError;
use alike_engine::monitor::Monitor;
use alike_engine::pace::Pace;
use alike_engine::pair::{Pair, Spec};
use alike_engine::pass::{Top, Work, pass};
use alike_model::dirty::Dirty;
use alike_model::outcome::{Ending, Outcome, Tally};
use alike_model::policy::Deletes;

use indicatif::HumanCount;

use crate::args::OnceArgs;
use crate::console::{Console, Voice};
use crate::log::size;
use crate::plan::plan;
use crate::run::{Failure, exit_code, with_status, work, worst};
use crate::settings;
use crate::signals::{self, Received};
use crate::standing::still_written;

pub(crate) fn once(args: &OnceArgs) -> Result<ExitCode, Failure> {
    if args.pass.dry_run {
        return plan(args);
    }
    let specs = settings::specs((&args.pair, &args.also), &args.pass, &args.output)?;
    let claims = Claims::of(&specs)?;
    let console = Arc::new(settings::console_of(&args.output, &specs, false)?);
    let signals = signals::listen(&console)?;
    let pace = Pace::new(args.pass.bwlimit);
    let among =
        Among { args, console: &console, signals: &signals, pace: &pace, claims: &claims, of: specs.len() };
    let mut sides: Vec<Side<'_>> =
        specs.iter().enumerate().map(|(number, spec)| Side::new(&among, number, spec)).collect();
    with_status(&console, &specs[0], || side_by_side(&mut sides, Side::open_and_pass));
    console.finish();
    sides.iter_mut().for_each(Side::ask);
    if sides.iter().any(|side| side.may_delete) {
        with_status(&console, &specs[0], || side_by_side(&mut sides, Side::pass_if_allowed));
        console.finish();
    }
    let codes = sides.into_iter().map(Side::end).collect::<Result<Vec<u8>, Failure>>()?;
    Ok(ExitCode::from(worst(codes)))
}

/// On a thread each, unless there is one.
fn side_by_side<'a>(sides: &mut [Side<'a>], work: impl Fn(&mut Side<'a>) + Sync) {
    match sides {
        [alone] => work(alone),
        several => std::thread::scope(|scope| {
            let work = &work;
            for side in several {
                scope.spawn(move || work(side));
            }
        }),
    }
}

/// What all sides share.
struct Among<'a> {
    args: &'a OnceArgs,
    console: &'a Console,
    signals: &'a Received,
    pace: &'a Pace,
    claims: &'a Claims,
    /// How many there are.
    of: usize,
}

/// One replica of the source, from its pass to its exit code.
struct Side<'a> {
    among: &'a Among<'a>,
    number: usize,
    spec: &'a Spec,
    voice: Voice<'a>,
    began: Instant,
    pair: Option<Pair>,
    outcome: Option<Result<Outcome, Failure>>,
    /// A person said so.
    may_delete: bool,
}

impl<'a> Side<'a> {
    fn new(among: &'a Among<'a>, number: usize, spec: &'a Spec) -> Self {
        let voice = among.console.voice(number);
        let began = Instant::now();
        Self { among, number, spec, voice, began, pair: None, outcome: None, may_delete: false }
    }

    fn open_and_pass(&mut self) {
        match Pair::open(self.spec) {
            Ok(pair) => {
                self.say_start(&pair);
                self.outcome = Some(self.pass(&pair));
                self.pair = Some(pair);
            }
            Err(refusal) => self.outcome = Some(Err(refusal.into())),
        }
    }

    fn pass(&self, pair: &Pair) -> Result<Outcome, Failure> {
        // A replica that was just made is closed to others until the end, and confining costs a first copy some of its speed.
        if pair.replica_top == Top::There {
            // Signals are listened to by a thread from before, which may open the log anew.
            self.voice.detail(&pair.confine().to_string());
        }
        let Among { args, signals, pace, claims, of, .. } = *self.among;
        let mut work = work((pair, self.spec), (&args.pass, pace), &self.voice, &signals.controls.stop);
        if self.may_delete {
            work.policy.deletes = Deletes::Allowed;
        }
        let work = Work {
            roots: claims.roots(self.number, pair.roots),
            threads: work.threads.div_ceil(of),
            held_folders: work.held_folders / of,
            ..work
        };
        Ok(pass(&work, Dirty::everything())?)
    }

    /// Asks whether what was held back may be deleted, where somebody is there to ask.
    fn ask(&mut self) {
        let Some(Ok(Outcome { ending: Ending::Halted(over), .. })) = &self.outcome else { return };
        if self.among.signals.controls.stop.is_set() {
            return;
        }
        let of = self.voice.label().map_or_else(String::new, |label| format!("{}: ", label.path));
        let question = format!("{of}{over}. Delete them now?");
        self.may_delete = self.among.console.asks(&question, self.among.signals);
    }

    fn pass_if_allowed(&mut self) {
        if let (true, Some(pair)) = (self.may_delete, &self.pair) {
            self.outcome = Some(self.pass(pair));
        }
    }

    /// Says how it ended; of several, one that failed is said here.
    fn end(mut self) -> Result<u8, Failure> {
        let done = match (self.outcome.take(), &self.pair) {
            (Some(Ok(outcome)), Some(pair)) => self.record(pair, outcome),
            (Some(Err(failure)), _) => Err(failure),
            (Some(Ok(_)) | None, _) => Ok(exit_code(&Ending::Stopped, || self.among.signals.exit_code())),
        };
        match done {
            Err(failure) if self.among.of > 1 => {
                let (text, code) = failure.told();
                self.voice.say(&text);
                Ok(code)
            }
            done => done,
        }
    }

    fn record(&self, pair: &Pair, mut outcome: Outcome) -> Result<u8, Failure> {
        let signals = self.among.signals;
        if signals.controls.stop.is_set() && matches!(outcome.ending, Ending::Halted(_)) {
            // Ctrl+C instead of an answer.
            outcome.ending = Ending::Stopped;
        }
        // The pass has brought the replica to the disk by now, so the index may say so.
        pair.index.commit().map_err(PassError::Index)?;
        pair.keep_failures(&Dirty::everything(), &outcome);
        self.say_end(&outcome);
        Ok(exit_code(&outcome.ending, || signals.exit_code()))
    }

    fn say_start(&self, pair: &Pair) {
        let OnceArgs { pass, output, .. } = self.among.args;
        pair.notes(&settings::policy(pass)).iter().for_each(|note| self.voice.note(note));
        if output.verbose {
            let (state, threads) =
                (self.spec.state.display(), settings::threads(pass).div_ceil(self.among.of));
            self.voice.say(&format!("state in {state}; {threads} threads"));
        }
    }

    /// What a pass came to, for a person who was not looking.
    fn glance(&self, tally: &Tally) -> String {
        let took = self.began.elapsed();
        let count = |count: u64, what: &str| (count > 0).then(|| format!("{} {what}", HumanCount(count)));
        let copied = tally.created + tally.updated;
        let done = [
            count(copied, "copied").map(|copied| format!("{copied} ({})", size(tally.bytes))),
            count(tally.renamed, "renamed"),
            count(tally.deleted + tally.folders_deleted, "deleted"),
        ];
        let mut done: Vec<String> = done.into_iter().flatten().collect();
        if done.is_empty() {
            done.push(if tally.changes() == 0 { "nothing to do" } else { "small changes" }.to_owned());
        }
        let files = HumanCount(tally.files);
        let mut text =
            format!("identical: {files} files; {} in {:.1} s", done.join(", "), took.as_secs_f64());
        if tally.deleted + tally.folders_deleted + tally.updated > 0 && self.spec.keep.is_some() {
            text.push_str(&format!("; alike undo {} takes it back", self.spec.replica.display()));
        }
        text
    }

    fn say_end(&self, outcome: &Outcome) {
        let (tally, OnceArgs { pass, output, .. }) = (&outcome.tally, self.among.args);
        match &outcome.ending {
            Ending::Halted(over) if output.quiet => self.voice.say(&over.to_string()),
            Ending::Halted(over) if !output.json => self.voice.say(&over.to_string()),
            Ending::Differs => {
                let (failed, held) = (tally.failed, tally.held + tally.skipped);
                let advice = match tally.held {
                    0 => "",
                    _ if pass.no_delete => "; what the source lacks stays, as --no-delete says",
                    _ => "; --allow-deletes lets held deletions go",
                };
                let moving = still_written(tally.in_motion);
                let counts = format!("{failed} failed, {held} held back or skipped{moving}");
                self.voice.say(&format!("not identical: {counts}; the log has each{advice}"));
            }
            Ending::Stopped => self.voice.say("stopped half-way; the next pass goes on from here"),
            Ending::Identical if self.among.console.shows_status() => self.voice.say(&self.glance(tally)),
            Ending::Identical | Ending::Halted(_) => {}
        }
    }
}
