//! `alike undo` and `alike restore`: taking back what passes did.

use std::io::IsTerminal;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use alike_engine::back::{Version, find};
use alike_engine::chronicle::{self, Written};
use alike_engine::hold::{Begun, Hold, Site};
use alike_engine::restore::{self, Copied, copy_out};
use alike_engine::resuming::complete;
use alike_engine::stop::Stop;
use alike_engine::undoing::{self, Job, Passes, Undone, began_with, last_pass, preview, since};
use alike_model::path::{Escaped, Name, RelPath};
use jiff::tz::TimeZone;

use crate::args::{OutputArgs, RestoreArgs, UndoArgs};
use crate::console::{Console, Options, agreed};
use crate::history::{moment, path_on};
use crate::log::Form;
use crate::run::{DIFFERS, Failure, IDENTICAL, now};
use crate::{settings, signals};

fn failed(why: alike_storage::Error) -> Failure {
    Failure::Failed(why.to_string())
}

pub(crate) fn undo(args: &UndoArgs) -> Result<ExitCode, Failure> {
    let mut site = Site::open(&args.replica)?;
    if args.resume {
        return resume(&mut site);
    }
    let all = chronicle::read(&site.trash)?;
    let shown = Arc::new(settings::console(&args.output, true)?);
    if args.dry_run {
        let (passes, begun) = chosen(&site, &all, args)?;
        let undone = shown_first(&site, Job { all: &all, passes: &passes, begun }, &shown)?;
        say_more_came_before(&all, &passes, args);
        say(&args.output, &format!("{} would be done; nothing was changed", steps(undone.steps)));
        return Ok(code(undone.left + undone.failed == 0));
    }
    if !args.yes && !std::io::stdin().is_terminal() {
        return Err(Failure::Usage("not a terminal to ask at: add --yes".to_owned()));
    }
    chosen(&site, &all, args)?;
    site.seize(&hold(0, "a pass is being undone"))?;
    complete(&site, &now).map_err(failed)?;
    let undone = undo_held(&site, args, &shown);
    match undone {
        Ok(Some((passes, undone))) => {
            let (which, number) = (named(&passes), passes.end() - passes.start() + 1);
            let (was, is) = if number == 1 { ("was", "is") } else { ("were", "are") };
            if !undone.stopped {
                hold_for(&site, &hold(*passes.end(), &format!("{which} {was} undone")))?;
            }
            let left = undone.left + undone.failed;
            let rest = if left > 0 { format!(", {left} left alone") } else { String::new() };
            let stopped = if undone.stopped {
                "; stopped half-way, and the same command goes on from there"
            } else {
                ""
            };
            let replica = args.replica.display();
            say(
                &args.output,
                &format!(
                    "{which} {is} undone: {}{rest}{stopped}. The mirror is held, or it would do it again; \
                     alike undo {replica} --resume lets it go on",
                    steps(undone.steps)
                ),
            );
            Ok(code(left == 0 && !undone.stopped))
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
    args: &UndoArgs,
    shown: &Arc<Console>,
) -> Result<Option<(Passes, Undone)>, Failure> {
    let all = chronicle::read(&site.trash)?;
    let (passes, begun) = chosen(site, &all, args)?;
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
    say_more_came_before(&all, &passes, args);
    let question = format!("undo {which}: {}?", steps(counted.steps));
    let console = Arc::new(Console::new(options(&args.output, Form::Json)?));
    // From here on Ctrl+C lets the replica go first.
    let signals = signals::listen(&console)?;
    if !args.yes && !agreed(&question, &signals) {
        say(&args.output, "nothing was changed");
        return Ok(None);
    }
    let begins = Hold {
        begun: Some(Begun::Undo(*passes.start(), *passes.end())),
        ..hold(job.number(), &format!("an undo of {which} is under way, or broke off"))
    };
    hold_for(site, &begins)?;
    let undone = undoing::undo(site, job, &*console, &now, &signals.controls.stop);
    console.finish();
    Ok(Some((passes, undone.map_err(failed)?)))
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

fn hold_for(site: &Site, hold: &Hold) -> Result<(), Failure> {
    site.hold_for(hold).map_err(|why| {
        let hold = site.path.join(".alike/hold");
        Failure::Failed(format!("cannot write {}: {}", hold.display(), alike_storage::plain(&why)))
    })
}

fn hold(pass: u64, why: &str) -> Hold {
    Hold { at: now(), pass, why: why.to_owned(), begun: None }
}

/// The passes that are meant; and the pass that began to undo just these and was killed, if one did.
fn chosen(site: &Site, all: &[Written], args: &UndoArgs) -> Result<(Passes, Option<u64>), Failure> {
    if let Some(hold) = site.hold().filter(|hold| hold.begun.is_some()) {
        // What the same command meant then.
        let before: Vec<Written> =
            all.iter().filter(|written| written.deed.pass < hold.pass).cloned().collect();
        let meant = meant(&before, args).ok();
        if let Some((passes, begun)) = meant.and_then(|passes| Some((passes.clone(), hold.undoes(&passes)?)))
        {
            return Ok((passes, Some(begun)));
        }
    }
    meant(all, args).map(|passes| (passes, None))
}

fn meant(all: &[Written], args: &UndoArgs) -> Result<Passes, Failure> {
    let none = || Failure::Failed("the history is empty: there is nothing to undo".to_owned());
    let last = last_pass(all).ok_or_else(none)?;
    if let Some(from) = args.since {
        return since(all, from).ok_or_else(|| Failure::Failed("nothing was done since then".to_owned()));
    }
    let pass = args.pass.unwrap_or(last);
    if !all.iter().any(|written| written.deed.pass == pass) {
        return Err(Failure::Failed(format!(
            "pass {pass} did nothing, or is not in the history any more; alike log shows it"
        )));
    }
    Ok(pass..=pass)
}

fn named(passes: &Passes) -> String {
    match (passes.start(), passes.end()) {
        (first, last) if first == last => format!("pass {last}"),
        (first, last) => format!("passes {first} to {last}"),
    }
}

/// Says that what a person takes for one change may be several passes, and how to take back all of it.
fn say_more_came_before(all: &[Written], passes: &Passes, args: &UndoArgs) {
    let alone = args.pass.is_some() || args.since.is_some();
    if let Some((first, began)) = began_with(all, *passes.end()).filter(|_| !alone) {
        let (last, began) = (passes.end(), moment(began, &TimeZone::system()));
        say(
            &args.output,
            &format!(
                "pass {last} deleted, right after others that did nothing else, from pass {first} on; this leaves those as \
                 they are, and all of it is undone by alike undo {} --since \"{began}\"",
                args.replica.display()
            ),
        );
    }
}

fn resume(site: &mut Site) -> Result<ExitCode, Failure> {
    match site.hold().cloned() {
        Some(hold) => {
            if hold.begun.is_some() && site.try_lock()? {
                complete(site, &now).map_err(failed)?;
            }
            site.resume()?;
            say!("alike: {}; the mirror goes on", hold.why);
        }
        None => say!("alike: nothing is held"),
    }
    Ok(ExitCode::from(IDENTICAL))
}

pub(crate) fn restore(args: &RestoreArgs) -> Result<ExitCode, Failure> {
    let mut site = Site::open(&args.replica)?;
    let path = path_on(&site, &args.path)?;
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
    if site.hold().and_then(|hold| hold.restores(&path)).is_none() {
        wanted(&site, &chronicle::read(&site.trash)?, args, &path)?;
    }
    site.seize(&hold(0, "something is being brought back"))?;
    let put = put_back(&site, args, &path, &signals.controls.stop);
    match put {
        Ok((pass, copied)) => {
            hold_for(&site, &hold(pass, &format!("{path} was brought back")))?;
            let replica = args.replica.display();
            say(
                &args.output,
                &format!(
                    "{path} is back on the replica (pass {pass}). The mirror is held, or its next pass would take it \
                     away again: copy it to the source, then alike undo {replica} --resume"
                ),
            );
            Ok(told(&copied))
        }
        Err(failure) => {
            site.let_go()?;
            Err(failure)
        }
    }
}

/// Puts a version back on a replica that is held. Returns the number of the pass.
fn put_back(site: &Site, args: &RestoreArgs, path: &RelPath, stop: &Stop) -> Result<(u64, Copied), Failure> {
    complete(site, &now).map_err(failed)?;
    let all = chronicle::read(&site.trash)?;
    let begun = site.hold().and_then(|hold| hold.restores(path));
    let number = begun.unwrap_or_else(|| last_pass(&all).unwrap_or(0) + 1);
    let version = wanted(site, &all, args, path)?;
    let begins = Hold {
        begun: Some(Begun::Restore(path.as_bytes().to_vec())),
        ..hold(number, &format!("{path} is being brought back, or that broke off"))
    };
    hold_for(site, &begins)?;
    let copied = restore::put_back(site, (&version, path, number), &now, stop).map_err(failed)?;
    say_more_was_deleted(&version, args);
    Ok((number, copied))
}

fn restore_to(site: &Site, args: &RestoreArgs, path: &RelPath, to: &Path) -> Result<ExitCode, Failure> {
    let all = chronicle::read(&site.trash)?;
    let version = wanted(site, &all, args, path)?;
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
    say_more_was_deleted(&version, args);
    say(&args.output, &format!("{path} is in {}/{shown}", to.display()));
    Ok(told(&copied))
}

fn wanted(site: &Site, all: &[Written], args: &RestoreArgs, path: &RelPath) -> Result<Version, Failure> {
    let begun = site.hold().and_then(|hold| hold.restores(path));
    find(site, all, path, (args.at, begun)).map_err(failed)?.ok_or_else(|| {
        let when = if args.at.is_some() { "then" } else { "before" };
        let replica = args.replica.display();
        Failure::Failed(format!(
            "{path}: nothing is kept of what it was {when}; alike log {replica} --path shows what there is"
        ))
    })
}

/// Says that the folder was deleted bit by bit, over a long time, and how to get what went first.
fn say_more_was_deleted(version: &Version, args: &RestoreArgs) {
    if let Some(earlier) = version.earlier {
        let (path, at) = (&version.path, moment(earlier.before, &TimeZone::system()));
        say(
            &args.output,
            &format!(
                "{path}: restored {} of {} deletions, those that came together; earlier: --at \"{at}\"",
                earlier.back, earlier.all
            ),
        );
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

fn steps(count: u64) -> String {
    if count == 1 { "1 step".to_owned() } else { format!("{count} steps") }
}
