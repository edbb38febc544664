//! `alike undo` and `alike restore`: taking back what passes did.

use std::io::IsTerminal;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use alike_engine::back::Earlier;
use alike_engine::chronicle::{self, Written};
use alike_engine::hold::Site;
use alike_engine::restore::{Copied, copy_out};
use alike_engine::resuming::complete;
use alike_engine::undoing::{Job, Passes, Undone, began_with, last_pass, preview, since};
use alike_model::entry::Time;
use alike_model::path::{Escaped, Name, RelPath};
use alike_storage::linux;
use clap::{Args, ValueHint};
use jiff::tz::TimeZone;

use crate::args::{OutputArgs, moment as parse_moment};
use crate::console::{Console, Options, agreed};
use crate::history::{moment, path_on};
use crate::log::Form;
use crate::meant::JobArgs;
use crate::recovery::{
    self, back_in_words, bring_back, carry_out, failed, hold, more_was_deleted, named, one_pass, steps,
    undone_in_words, wanted,
};
use crate::run::{DIFFERS, Failure, IDENTICAL, now};
use crate::{settings, signals};

#[derive(Debug, Args)]
#[command(
    override_usage = "alike undo [OPTIONS] <REPLICA> [PASS]\n       alike undo [OPTIONS] --job <NAME> [PASS]"
)]
pub(crate) struct UndoArgs {
    /// The replica; not with --job
    #[arg(value_hint = ValueHint::DirPath, required_unless_present = "job")]
    replica: Option<PathBuf>,
    /// The number of the pass, as alike log shows it
    pass: Option<u64>,
    #[command(flatten)]
    of: JobArgs,
    /// All passes that did anything from then on, as one: 2026-11-21 21:05, or 2h for two hours ago. What is one change to
    /// you (a folder deleted, say) may be several passes of a mirror
    #[arg(long, value_name = "TIME", value_parser = parse_moment, conflicts_with = "pass")]
    since: Option<Time>,
    /// Only say what would be done
    #[arg(short = 'n', long)]
    dry_run: bool,
    /// Do not ask; without a terminal to ask at, nothing is undone but with this
    #[arg(short, long)]
    yes: bool,
    /// Let the mirror go on after an undo
    #[arg(long, conflicts_with_all = ["pass", "since", "dry_run"])]
    resume: bool,
    #[command(flatten)]
    output: OutputArgs,
}

#[derive(Debug, Args)]
#[command(
    override_usage = "alike restore [OPTIONS] <REPLICA> <PATH>\n       alike restore [OPTIONS] --job <NAME> <PATH>"
)]
pub(crate) struct RestoreArgs {
    /// The replica; not with --job
    #[arg(value_hint = ValueHint::DirPath)]
    replica: PathBuf,
    /// The file or folder, as a path on the replica
    #[arg(required_unless_present = "job")]
    path: Option<PathBuf>,
    #[command(flatten)]
    of: JobArgs,
    /// As it was then: 2026-11-21 21:05, or 2h for two hours ago [default: before it was last changed or deleted; a folder that
    /// went bit by bit, as rm -r takes it, before the first bit went]
    #[arg(long, value_name = "TIME", value_parser = parse_moment)]
    at: Option<Time>,
    /// Copy it into this folder instead of putting it back on the replica
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    to: Option<PathBuf>,
    #[command(flatten)]
    output: OutputArgs,
}

/// What is to be undone, and where.
struct Undoing<'a> {
    args: &'a UndoArgs,
    replica: PathBuf,
    pass: Option<u64>,
}

impl<'a> Undoing<'a> {
    fn of(args: &'a UndoArgs) -> Result<Self, Failure> {
        let Some(replica) = args.of.only_replica("undo")? else {
            let replica = args.replica.clone().unwrap_or_default();
            return Ok(Self { args, replica, pass: args.pass });
        };
        // With --job the pass stands where the replica would.
        let Some(word) = &args.replica else { return Ok(Self { args, replica, pass: None }) };
        let pass = word.to_str().and_then(|word| word.parse().ok()).filter(|_| args.pass.is_none());
        let Some(pass) = pass else {
            let text = "--job names the replica; what comes beside it is the number of a pass: alike undo --job NAME PASS";
            return Err(Failure::Usage(text.to_owned()));
        };
        if args.since.is_some() || args.resume {
            return Err(Failure::Usage(format!(
                "--since and --resume go without a pass, and not with {pass}"
            )));
        }
        Ok(Self { args, replica, pass: Some(pass) })
    }
}

impl RestoreArgs {
    /// The replica and the path on it. With --job the path stands where the replica would.
    fn meant(&self) -> Result<(PathBuf, &Path), Failure> {
        match (self.of.only_replica("restore")?, &self.path) {
            (Some(replica), None) => Ok((replica, &self.replica)),
            (None, Some(path)) => Ok((self.replica.clone(), path)),
            _ => {
                let text =
                    "--job names the replica; beside it comes only the path: alike restore --job NAME PATH";
                Err(Failure::Usage(text.to_owned()))
            }
        }
    }
}

/// The mirror runs in another process.
fn wake(pid: i32) {
    let _ = linux::wake_process(pid);
}

pub(crate) fn undo(args: &UndoArgs) -> Result<ExitCode, Failure> {
    let undoing = Undoing::of(args)?;
    let mut site = Site::open(&undoing.replica)?;
    if args.resume {
        return resume(&mut site);
    }
    let all = chronicle::read(&site.trash)?;
    let shown = Arc::new(settings::console(&args.output, true)?);
    if args.dry_run {
        let (passes, begun) = chosen(&site, &all, &undoing)?;
        let undone = shown_first(&site, Job { all: &all, passes: &passes, begun }, &shown)?;
        say_more_came_before(&all, &passes, &undoing);
        say(&args.output, &format!("{} would be done; nothing was changed", steps(undone.steps)));
        return Ok(code(undone.left + undone.failed == 0));
    }
    if !args.yes && !std::io::stdin().is_terminal() {
        return Err(Failure::Usage("not a terminal to ask at: add --yes".to_owned()));
    }
    chosen(&site, &all, &undoing)?;
    site.seize(&hold(0, "a pass is being undone"), &wake)?;
    complete(&site, &now).map_err(failed)?;
    let undone = undo_held(&site, &undoing, &shown);
    match undone {
        Ok(Some((passes, undone))) => {
            let go_on = format!("alike undo {} --resume lets it go on", undoing.replica.display());
            say(&args.output, &undone_in_words(&passes, &undone, &go_on));
            Ok(code(undone.left + undone.failed == 0 && !undone.stopped))
        }
        Ok(None) => {
            site.let_go()?;
            Ok(ExitCode::from(DIFFERS))
        }
        Err(failure) => Err(failure),
    }
}

/// Undoes a pass of a replica that is held; `None` when nothing was done.
fn undo_held(
    site: &Site,
    undoing: &Undoing<'_>,
    shown: &Arc<Console>,
) -> Result<Option<(Passes, Undone)>, Failure> {
    let args = undoing.args;
    let all = chronicle::read(&site.trash)?;
    let (passes, begun) = chosen(site, &all, undoing)?;
    let (which, job) = (named(&passes), Job { all: &all, passes: &passes, begun });
    let quiet = Options { stdout_form: None, ..options(&args.output, Form::Json)? };
    let counted = match args.output.json {
        // A reader of JSON wants what was done, once.
        true => preview(site, job, &Console::new(quiet)).map_err(failed)?,
        false => shown_first(site, job, shown)?,
    };
    if begun.is_some() {
        say(&args.output, &format!("{which}: an undo of it broke off; this goes on from there"));
    } else if counted.steps == 0 {
        let why = if counted.left > 0 { "nothing of it can be undone" } else { "it is as it was before" };
        say(&args.output, &format!("{which}: {why}"));
        return Ok(None);
    }
    say_more_came_before(&all, &passes, undoing);
    let question = format!("undo {which}: {}?", steps(counted.steps));
    let console = Arc::new(Console::new(options(&args.output, Form::Json)?));
    // From here on Ctrl+C lets the replica go first.
    let signals = signals::listen(&console)?;
    if !args.yes && !agreed(&question, &signals) {
        say(&args.output, "nothing was changed");
        return Ok(None);
    }
    let undone = carry_out(site, job, &*console, &signals.controls.stop);
    console.finish();
    Ok(Some((passes, undone?)))
}

/// Only JSON goes to standard output here: in text, all has been shown before.
fn options(output: &OutputArgs, form: Form) -> Result<Options, Failure> {
    let log = settings::log_file(output)?;
    let stdout_form = output.json.then_some(form);
    Ok(Options {
        stdout_form,
        status: stdout_form.is_some(),
        verbose: output.verbose,
        least: output.log_level,
        log,
        log_form: output.log_format.into(),
    })
}

fn shown_first(site: &Site, job: Job<'_>, console: &Console) -> Result<Undone, Failure> {
    let undone = preview(site, job, console);
    console.finish();
    undone.map_err(failed)
}

fn chosen(site: &Site, all: &[Written], undoing: &Undoing<'_>) -> Result<(Passes, Option<u64>), Failure> {
    recovery::chosen(site, all, |all| meant(all, undoing))
}

fn meant(all: &[Written], undoing: &Undoing<'_>) -> Result<Passes, Failure> {
    let none = || Failure::Failed("the history is empty: there is nothing to undo".to_owned());
    let last = last_pass(all).ok_or_else(none)?;
    if let Some(from) = undoing.args.since {
        return since(all, from).ok_or_else(|| Failure::Failed("nothing was done since then".to_owned()));
    }
    one_pass(all, undoing.pass.unwrap_or(last))
}

/// Says that what a person takes for one change may be several passes, and how to take back all of it.
fn say_more_came_before(all: &[Written], passes: &Passes, undoing: &Undoing<'_>) {
    let args = undoing.args;
    let alone = undoing.pass.is_some() || args.since.is_some();
    if let Some((first, began)) = began_with(all, *passes.end()).filter(|_| !alone) {
        let (last, began) = (passes.end(), moment(began, &TimeZone::system()));
        say(
            &args.output,
            &format!(
                "pass {last} deleted, right after others that did nothing else, from pass {first} on; this leaves those as \
                 they are, and all of it is undone by alike undo {} --since \"{began}\"",
                undoing.replica.display()
            ),
        );
    }
}

fn resume(site: &mut Site) -> Result<ExitCode, Failure> {
    match recovery::resume(site)? {
        Some(why) => say!("alike: {why}; the mirror goes on"),
        None => say!("alike: nothing is held"),
    }
    Ok(ExitCode::from(IDENTICAL))
}

pub(crate) fn restore(args: &RestoreArgs) -> Result<ExitCode, Failure> {
    let (replica, path) = args.meant()?;
    let mut site = Site::open(&replica)?;
    let path = path_on(&site, path)?;
    if let Some(to) = &args.to {
        return restore_to(&site, args, &path, to);
    }
    if path.is_root() || chronicle::is_in_trash(&path) {
        return Err(Failure::Usage(
            "name a path on the replica, or a folder to copy it to with --to".to_owned(),
        ));
    }
    let console = Arc::new(Console::new(options(&args.output, Form::Json)?));
    let signals = signals::listen(&console)?;
    let back = bring_back(&mut site, (&path, args.at), &wake, &signals.controls.stop)?;
    say_more_was_deleted(back.earlier.as_ref(), args);
    let go_on = format!("alike undo {} --resume", replica.display());
    say(&args.output, &back_in_words(&path, back.pass, &go_on));
    Ok(told(&back.copied))
}

fn restore_to(site: &Site, args: &RestoreArgs, path: &RelPath, to: &Path) -> Result<ExitCode, Failure> {
    let all = chronicle::read(&site.trash)?;
    let version = wanted(site, &all, (path, args.at))?;
    let name = path.split().map(|(_, name)| name);
    let name = name.or_else(|| Name::new(site.path.file_name()?.as_bytes()));
    let Some(name) = name else {
        return Err(Failure::Usage("it has no name to give to the copy".to_owned()));
    };
    std::fs::create_dir_all(to)?;
    let console = Arc::new(Console::new(options(&args.output, Form::Json)?));
    let signals = signals::listen(&console)?;
    let copied = copy_out(site, &version, (to, &name), &signals.controls.stop).map_err(failed)?;
    let shown = Escaped(name.as_bytes());
    let earlier = version.earlier.map(|earlier| (version.path.clone(), earlier));
    say_more_was_deleted(earlier.as_ref(), args);
    say(&args.output, &format!("{path} is in {}/{shown}", to.display()));
    Ok(told(&copied))
}

/// Says that the folder was deleted bit by bit, over a long time, and how to get what went first.
fn say_more_was_deleted(earlier: Option<&(RelPath, Earlier)>, args: &RestoreArgs) {
    if let Some((path, earlier)) = earlier {
        say(&args.output, &more_was_deleted(path, earlier, &TimeZone::system()));
    }
}

/// Says what could not be brought back whole.
fn told(copied: &Copied) -> ExitCode {
    for (path, why) in &copied.failed {
        say!("alike: {path}: {why}");
    }
    code(copied.failed.is_empty())
}

fn code(fine: bool) -> ExitCode {
    ExitCode::from(if fine { IDENTICAL } else { DIFFERS })
}

fn say(output: &OutputArgs, text: &str) {
    if !output.quiet {
        say!("alike: {text}");
    }
}
