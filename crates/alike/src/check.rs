//! `alike check`: its flags, its lines and its exit codes.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use alike_engine::beside::is_in_use;
use alike_engine::check::{Check, Checked, Found, Read, check as check_pair};
use alike_engine::error::PassError;
use alike_engine::monitor::Event;
use alike_engine::pace::Pace;
use alike_engine::pair::{Pair, Spec};
use alike_engine::remembered::CommandLine;
use alike_engine::repair::repair;
use alike_engine::stop::Stop;
use alike_model::difference::{Change, Difference, What};
use alike_model::dirty::Dirty;
use alike_model::event::Action;
use alike_model::outcome::Ending;
use alike_model::path::RelPath;
use alike_storage::{Local, Saving, linux};
use clap::{Args, ValueHint};
use serde::Serialize;

use crate::args::{OutputArgs, PairArgs, PassArgs};
use crate::config;
use crate::console::Console;
use crate::elsewhere::folder;
use crate::log::{json_line, one_line, raw, shown, size};
use crate::meant::{JobArgs, each};
use crate::run::{DIFFERS, Failure, HALTED, IDENTICAL, now, with_status, work};
use crate::signals::Received;
use crate::{settings, signals};

/// Of what a pass does, what a job says itself; the rest may be said beside it.
const OF_JOB: [&str; 17] = [
    "compare",
    "hash",
    "exclude",
    "include",
    "ignore_file",
    "gitignore",
    "delete_excluded",
    "max_delete",
    "no_delete",
    "no_owner",
    "no_xattrs",
    "trash",
    "no_special",
    "one_file_system",
    "reflink",
    "inplace_delta",
    "sync",
];

const JOB_HELP: &str =
    "All replicas of this job of the config file, with the filters and the other flags of the job";

#[derive(Debug, Args)]
#[command(
    override_usage = "alike check [OPTIONS] <SOURCE> <REPLICA>\n       alike check [OPTIONS] --job <NAME>",
    mut_arg("job", |job| job.conflicts_with_all(OF_JOB).help(JOB_HELP))
)]
pub(crate) struct CheckArgs {
    /// The folder that was copied from; never written
    #[arg(value_hint = ValueHint::DirPath, value_parser = folder(), required_unless_present = "job", conflicts_with = "job")]
    source: Option<PathBuf>,
    /// The folder that should be identical
    #[arg(value_hint = ValueHint::DirPath, value_parser = folder(), required_unless_present = "job")]
    replica: Option<PathBuf>,
    #[command(flatten)]
    of: JobArgs,
    /// Copy from the source what differs, unless it is the source that rotted
    #[arg(long)]
    repair: bool,
    /// With --repair: take the source's where it cannot be told which side rotted
    #[arg(long, requires = "repair")]
    trust_source: bool,
    #[command(flatten)]
    pub(crate) pass: PassArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// Bytes a second, as rsync and rclone take them: a bare number is KiB, `B`, `K`, `M`, `G` and `T` are powers of 1024.
pub(crate) fn rate(text: &str) -> Result<u64, String> {
    let bad = || "is no rate; write it as 20M or 500K (a bare number is KiB a second)".to_owned();
    let text = text.trim();
    let (number, unit) = text.split_at(text.find(|ch: char| ch.is_ascii_alphabetic()).unwrap_or(text.len()));
    let power = match unit.to_ascii_lowercase().trim_end_matches("/s").trim_end_matches("ib") {
        "b" => 0,
        "" | "k" => 1,
        "m" => 2,
        "g" => 3,
        "t" => 4,
        _ => return Err(bad()),
    };
    let number: f64 = number.trim().parse().map_err(|_| bad())?;
    let bytes = number * 1024_f64.powi(power);
    if !(1.0..1e18).contains(&bytes) {
        return Err(bad());
    }
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it was just seen to fit")]
    Ok(bytes as u64)
}

/// What the check found, by path, until it is told.
type AllFound = Mutex<Vec<Found>>;

pub(crate) fn check(args: &CheckArgs) -> Result<ExitCode, Failure> {
    let job = args.of.job()?;
    let told = job.map(|job| of_job(args, job)).transpose()?;
    let (specs, pass) = match &told {
        Some((specs, pass)) => (specs.clone(), pass),
        None => (vec![settings::spec(&args.pair(), &args.pass, &args.output)?], &args.pass),
    };
    if args.repair && args.pass.dry_run {
        let why = "--repair mends, and -n says that nothing is to be done; without --repair nothing is";
        return Err(Failure::Usage(why.to_owned()));
    }
    let console = Arc::new(settings::console_of_check(&args.output)?);
    let signals = signals::listen(&console)?;
    // Best effort: where it is refused, it reads as everybody does.
    let _ = linux::stand_back();
    let check_one = |spec: &Spec| {
        if signals.controls.stop.is_set() {
            return Ok(signals.exit_code());
        }
        let of = if specs.len() > 1 { Some(spec.replica.display().to_string()) } else { None };
        check_of(((args, pass), spec, of), &console, &signals)
    };
    let replicas: Vec<PathBuf> = specs.iter().map(|spec| spec.replica.clone()).collect();
    let is_silent = args.output.json || args.output.quiet;
    let code = each(&replicas, is_silent, |replica| {
        specs.iter().find(|spec| spec.replica == replica).map_or(Ok(IDENTICAL), check_one)
    });
    console.finish();
    code
}

/// The pairs of a job, and what a pass of it does.
fn of_job(args: &CheckArgs, job: config::Job) -> Result<(Vec<Spec>, PassArgs), Failure> {
    let mirror = job.mirror;
    let pass = PassArgs {
        allow_deletes: args.pass.allow_deletes,
        bwlimit: args.pass.bwlimit.or(mirror.pass.bwlimit),
        threads: args.pass.threads.or(mirror.pass.threads),
        state_dir: args.pass.state_dir.clone().or(mirror.pass.state_dir),
        ..mirror.pass
    };
    // With its log file, which may lie inside an end.
    let mut specs = settings::specs((&mirror.pair, &mirror.also), &pass, &mirror.output)?;
    for spec in &mut specs {
        // What `alike why` finds later is how to run this job.
        let line = spec.command_line.take();
        spec.command_line = line.map(|line| CommandLine { words: job.argv.clone(), ..line });
    }
    Ok((specs, pass))
}

impl CheckArgs {
    fn pair(&self) -> PairArgs {
        let [source, replica] = [&self.source, &self.replica].map(|end| end.clone().unwrap_or_default());
        PairArgs { source, replica }
    }
}

/// Checks one replica; `of` is what it is called, where there are several.
fn check_of(
    ((args, pass), spec, of): ((&CheckArgs, &PassArgs), &Spec, Option<String>),
    console: &Arc<Console>,
    signals: &Received,
) -> Result<u8, Failure> {
    // What rotted is written as a whole: a delta would take over what it believes to be the same.
    let spec = &Spec { saving: Saving { delta: false, ..spec.saving }, ..spec.clone() };
    let mut pair = Pair::open_to_check(spec)?;
    if args.repair {
        drop(pair);
        pair = Pair::open(spec)?;
    }
    let job = Checking { args, pass, spec, of, pair: &pair, console, stop: &signals.controls.stop };
    if !args.output.quiet {
        pair.notes(&settings::policy(pass)).iter().for_each(|note| console.say(note));
    }
    match args.repair {
        true => job.mend(signals),
        false => job.look_only(signals),
    }
}

struct Checking<'a> {
    args: &'a CheckArgs,
    pass: &'a PassArgs,
    spec: &'a Spec,
    /// What the replica is called, where there are several.
    of: Option<String>,
    pair: &'a Pair,
    console: &'a Arc<Console>,
    stop: &'a Stop,
}

impl Checking<'_> {
    fn look_only(&self, signals: &Received) -> Result<u8, Failure> {
        let counts = Mutex::new(BTreeMap::new());
        let tell = |found: Found| {
            self.say(&found.difference, None);
            let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
            *counts.entry(found.difference.change.as_str()).or_insert(0_u64) += 1;
        };
        let refused = self.refused();
        let is_refused = refused.is_some();
        refused.into_iter().for_each(|difference| tell(Found { difference, at: None }));
        let checked = self.check(Read::All, &tell)?;
        let (stopped, differences) = (checked.stopped, checked.differences);
        self.say_end(&checked, &counts.into_inner().unwrap_or_default());
        self.keep(checked);
        Ok(match differences {
            _ if stopped => signals.exit_code(),
            0 if !is_refused => IDENTICAL,
            _ => DIFFERS,
        })
    }

    /// What the target held before and refuses now is not compared, so nothing is known of it.
    fn refused(&self) -> Option<Difference> {
        let why = self.pair.refuses(&settings::policy(self.pass))?;
        Some(Difference { path: RelPath::root(), what: What::Said(why), change: Change::Failed })
    }

    fn mend(&self, signals: &Received) -> Result<u8, Failure> {
        let refused = self.refused();
        refused.iter().for_each(|difference| self.say(difference, Some(false)));
        // What checks have learnt says which side rotted.
        self.pair.index.take_in_learnt();
        self.pair.index.commit().map_err(PassError::Index)?;
        let (checked, found) = self.collect(Read::All)?;
        self.keep(checked);
        if self.stop.is_set() {
            found.iter().for_each(|found| self.say(&found.difference, Some(false)));
            return Ok(signals.exit_code());
        }
        if found.is_empty() {
            self.note(if refused.is_none() { "identical" } else { "identical but for that" });
            return Ok(if refused.is_none() { IDENTICAL } else { DIFFERS });
        }
        let pace = Pace::new(self.pass.bwlimit);
        let work = work((self.pair, self.spec), (self.pass, &pace), &**self.console, self.stop);
        let outcome = with_status(self.console, self.spec, || repair(&work, &found, self.args.trust_source))?;
        self.pair.index.commit().map_err(PassError::Index)?;
        self.pair.keep_failures(&Dirty::everything(), &outcome);
        let paths: BTreeSet<RelPath> = found.iter().map(|found| found.difference.path.clone()).collect();
        let (_, left) = self.collect(Read::Only(paths.clone()))?;
        let remaining: BTreeSet<&RelPath> = left.iter().map(|left| &left.difference.path).collect();
        let is_over = !self.stop.is_set();
        for Found { difference, .. } in &found {
            self.say(difference, Some(is_over && !remaining.contains(&difference.path)));
        }
        for Found { difference, .. } in left.iter().filter(|left| !paths.contains(&left.difference.path)) {
            self.say(difference, Some(false));
        }
        let mended = paths.iter().filter(|path| !remaining.contains(path)).count();
        self.note(&format!("{mended} of {} paths mended", paths.len()));
        Ok(match &outcome.ending {
            _ if !is_over => signals.exit_code(),
            Ending::Halted(over) => {
                self.console.say(&over.to_string());
                HALTED
            }
            Ending::Identical if left.is_empty() && refused.is_none() => IDENTICAL,
            _ => DIFFERS,
        })
    }

    fn collect(&self, read: Read) -> Result<(Checked, Vec<Found>), Failure> {
        let all = AllFound::default();
        let tell = |found: Found| all.lock().unwrap_or_else(PoisonError::into_inner).push(found);
        let checked = self.check(read, &tell)?;
        let mut all = all.into_inner().unwrap_or_else(PoisonError::into_inner);
        all.sort_by(|one, other| one.difference.path.cmp(&other.difference.path));
        Ok((checked, all))
    }

    fn check(&self, read: Read, tell: &(dyn Fn(Found) + Sync)) -> Result<Checked, Failure> {
        let pace = Pace::new(self.pass.bwlimit);
        // With the lock in hand nobody else is at work.
        let is_restless = || !self.args.repair && is_in_use(&self.spec.replica);
        let check: Check<'_, Local, Local> = Check {
            source: &self.pair.source,
            replica: &self.pair.replica,
            roots: self.pair.roots,
            index: &self.pair.index,
            policy: settings::policy(self.pass).within(&self.pair.holds),
            filter: &self.spec.filter,
            monitor: &**self.console,
            clock: &now,
            stop: self.stop,
            threads: settings::threads(self.pass),
            held_folders: settings::held_folders(),
            pace: &pace,
            read,
            is_restless: &is_restless,
            tell,
        };
        Ok(with_status(self.console, self.spec, || check_pair(&check))?)
    }

    /// What was learnt is worth keeping, but no reason to fail.
    fn keep(&self, checked: Checked) {
        if let Err(why) = Pair::keep(self.spec, checked.learnt) {
            self.console.say(&why.to_string());
        }
    }

    fn say(&self, difference: &Difference, mended: Option<bool>) {
        let (word, output) = (difference.change.as_str(), &self.args.output);
        let text = match (output.quiet, output.json) {
            (true, _) => None,
            (_, true) => Some(json(difference, mended, self.of.as_deref())),
            (_, false) => {
                let mended = mended.map_or("", |mended| if mended { " (mended)" } else { " (not mended)" });
                let reason = one_line(&difference.to_string());
                Some(format!("{word:<8}  {}  {reason}{mended}\n", difference.path))
            }
        };
        let (path, reason) = (difference.path.clone(), format!("{word}: {difference}"));
        let event = Event::about(0, Action::Error, path, reason.clone());
        self.console.result(text.as_deref(), &Event { error: Some(reason), ..event });
    }

    fn say_end(&self, checked: &Checked, counts: &BTreeMap<&str, u64>) {
        let noun = if checked.files == 1 { "file" } else { "files" };
        let all = format!("{} {noun}, {} read", checked.files, size(checked.bytes));
        let counts: Vec<String> = counts.iter().map(|(word, count)| format!("{count} {word}")).collect();
        match (checked.stopped, counts.is_empty()) {
            (true, _) => self.note(&format!("stopped half-way: {all}")),
            (false, true) => self.note(&format!("identical: {all}")),
            (false, false) => self.note(&format!("not identical: {}; {all}", counts.join(", "))),
        }
    }

    fn note(&self, text: &str) {
        if !self.args.output.quiet {
            self.console.say(text);
        }
    }
}

#[derive(Serialize)]
struct Line<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    replica: Option<&'a str>,
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    path_bytes: Option<String>,
    finding: &'a str,
    side: &'a str,
    reason: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    mended: Option<bool>,
}

fn json(difference: &Difference, mended: Option<bool>, replica: Option<&str>) -> String {
    let Difference { path, change, .. } = difference;
    json_line(&Line {
        replica,
        path: shown(path),
        path_bytes: raw(path),
        finding: change.as_str(),
        side: change.side().as_str(),
        reason: difference.to_string(),
        mended,
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn each_flag_of_a_pass_is_the_jobs_or_may_be_said_beside_it() {
        let cli = crate::args::Cli::command();
        let flags = cli.find_subcommand("check").into_iter().flat_map(clap::Command::get_arguments);
        let of_pass = flags.filter(|flag| flag.get_help_heading() == Some("What a pass does"));
        let mut left: Vec<&str> = of_pass.map(|flag| flag.get_id().as_str()).collect();
        left.retain(|flag| !OF_JOB.contains(flag));
        assert_eq!(left, ["allow_deletes", "bwlimit", "threads", "dry_run", "state_dir"]);
    }

    #[test]
    fn rates_are_read_as_rsync_and_rclone_read_them() {
        for (text, bytes) in [
            ("20M", 20 << 20),
            ("500", 500 << 10),
            ("500K", 500 << 10),
            ("1.5m", 3 << 19),
            ("100B", 100),
            ("1GiB", 1 << 30),
        ] {
            assert_eq!(rate(text), Ok(bytes), "{text}");
        }
        for text in ["", "fast", "-1", "0", "20X", "1e99T"] {
            assert!(rate(text).is_err(), "{text}");
        }
    }
}
