//! Undo, restore and resume themselves, whoever asks for them: the command line or the page.

use alike_engine::back::{Earlier, Version, find};
use alike_engine::chronicle::{self, Written};
use alike_engine::hold::{Begun, Hold, Site};
use alike_engine::monitor::Monitor;
use alike_engine::restore::{self, Copied};
use alike_engine::resuming::complete;
use alike_engine::stop::Stop;
use alike_engine::undoing::{self, Job, Passes, Undone, last_pass};
use alike_model::entry::Time;
use alike_model::path::RelPath;
use jiff::tz::TimeZone;

use crate::history::moment;
use crate::run::{Failure, now};

/// A path, and the moment whose version is meant; without one, what it was before its last change.
pub(crate) type Wanted<'a> = (&'a RelPath, Option<Time>);

/// A version that was put back.
pub(crate) struct Back {
    /// The pass in the history that did it.
    pub(crate) pass: u64,
    pub(crate) copied: Copied,
    /// Of a folder, what was deleted of it too long before to be brought back too.
    pub(crate) earlier: Option<(RelPath, Earlier)>,
}

pub(crate) fn failed(why: alike_storage::Error) -> Failure {
    Failure::Failed(why.to_string())
}

pub(crate) fn hold(pass: u64, why: &str) -> Hold {
    Hold { at: now(), pass, why: why.to_owned(), begun: None }
}

fn hold_for(site: &Site, hold: &Hold) -> Result<(), Failure> {
    site.hold_for(hold).map_err(|why| {
        let hold = site.path.join(".alike/hold");
        Failure::Failed(format!("cannot write {}: {}", hold.display(), alike_storage::plain(&why)))
    })
}

/// The passes that are meant; and the pass that began to undo just these and was killed, if one did.
///
/// # Errors
/// When there are none to be meant.
pub(crate) fn chosen(
    site: &Site,
    all: &[Written],
    meant: impl Fn(&[Written]) -> Result<Passes, Failure>,
) -> Result<(Passes, Option<u64>), Failure> {
    if let Some(hold) = site.hold().filter(|hold| hold.begun.is_some()) {
        // What the same wish meant then.
        let before: Vec<Written> =
            all.iter().filter(|written| written.deed.pass < hold.pass).cloned().collect();
        let meant = meant(&before).ok();
        if let Some((passes, begun)) = meant.and_then(|passes| Some((passes.clone(), hold.undoes(&passes)?)))
        {
            return Ok((passes, Some(begun)));
        }
    }
    meant(all).map(|passes| (passes, None))
}

/// One pass, which did something.
///
/// # Errors
/// When it did not.
pub(crate) fn one_pass(all: &[Written], pass: u64) -> Result<Passes, Failure> {
    if !all.iter().any(|written| written.deed.pass == pass) {
        return Err(Failure::Failed(format!(
            "pass {pass} did nothing, or is not in the history any more; alike log shows it"
        )));
    }
    Ok(pass..=pass)
}

/// Undoes passes of a replica that is seized, which stays held.
///
/// # Errors
/// When it cannot be held, or what was done may not have reached the disk.
pub(crate) fn carry_out(
    site: &Site,
    job: Job<'_>,
    monitor: &dyn Monitor,
    stop: &Stop,
) -> Result<Undone, Failure> {
    let (passes, which) = (job.passes, named(job.passes));
    let begins = Hold {
        begun: Some(Begun::Undo(*passes.start(), *passes.end())),
        ..hold(job.number(), &format!("an undo of {which} is under way, or broke off"))
    };
    hold_for(site, &begins)?;
    let undone = undoing::undo(site, job, monitor, &now, stop).map_err(failed)?;
    if !undone.stopped {
        let was = if passes.start() == passes.end() { "was" } else { "were" };
        hold_for(site, &hold(*passes.end(), &format!("{which} {was} undone")))?;
    }
    Ok(undone)
}

pub(crate) fn undone_in_words(passes: &Passes, undone: &Undone, go_on: &str) -> String {
    let is = if passes.start() == passes.end() { "is" } else { "are" };
    let left = undone.left + undone.failed;
    let rest = if left > 0 { format!(", {left} left alone") } else { String::new() };
    let stopped =
        if undone.stopped { "; stopped half-way, and the same command goes on from there" } else { "" };
    format!(
        "{} {is} undone: {}{rest}{stopped}. The mirror is held, or it would do it again; {go_on}",
        named(passes),
        steps(undone.steps)
    )
}

/// Puts a version back on a replica, which a mirror that runs lets go of, and which is held from then on.
///
/// # Errors
/// When nothing is kept of it, the mirror does not let go, or it cannot be put back; then the hold is as it was before.
pub(crate) fn bring_back(
    site: &mut Site,
    asked: Wanted<'_>,
    wake: &dyn Fn(i32),
    stop: &Stop,
) -> Result<Back, Failure> {
    let (path, _) = asked;
    if site.hold().and_then(|hold| hold.restores(path)).is_none() {
        wanted(site, &chronicle::read(&site.trash)?, asked)?;
    }
    site.seize(&hold(0, "something is being brought back"), wake)?;
    match put_back(site, asked, stop) {
        Ok(back) => {
            hold_for(site, &hold(back.pass, &format!("{path} was brought back")))?;
            Ok(back)
        }
        Err(failure) => {
            site.let_go()?;
            Err(failure)
        }
    }
}

fn put_back(site: &Site, (path, at): Wanted<'_>, stop: &Stop) -> Result<Back, Failure> {
    complete(site, &now).map_err(failed)?;
    let all = chronicle::read(&site.trash)?;
    let begun = site.hold().and_then(|hold| hold.restores(path));
    let pass = begun.unwrap_or_else(|| last_pass(&all).unwrap_or(0) + 1);
    let version = wanted(site, &all, (path, at))?;
    let begins = Hold {
        begun: Some(Begun::Restore(path.as_bytes().to_vec())),
        ..hold(pass, &format!("{path} is being brought back, or that broke off"))
    };
    hold_for(site, &begins)?;
    let copied = restore::put_back(site, (&version, path, pass), &now, stop).map_err(failed)?;
    Ok(Back { pass, copied, earlier: version.earlier.map(|earlier| (version.path.clone(), earlier)) })
}

pub(crate) fn back_in_words(path: &RelPath, pass: u64, go_on: &str) -> String {
    format!(
        "{path} is back on the replica (pass {pass}). The mirror is held, or its next pass would take it away again: \
         copy it to the source, then {go_on}"
    )
}

/// The version that is meant.
///
/// # Errors
/// When nothing is kept of it.
pub(crate) fn wanted(site: &Site, all: &[Written], (path, at): Wanted<'_>) -> Result<Version, Failure> {
    let begun = site.hold().and_then(|hold| hold.restores(path));
    find(site, all, path, (at, begun)).map_err(failed)?.ok_or_else(|| {
        let when = if at.is_some() { "then" } else { "before" };
        let replica = site.path.display();
        Failure::Failed(format!(
            "{path}: nothing is kept of what it was {when}; alike log {replica} --path shows what there is"
        ))
    })
}

/// That a folder was deleted bit by bit, over a long time, and how to get what went first.
pub(crate) fn more_was_deleted(path: &RelPath, earlier: &Earlier, zone: &TimeZone) -> String {
    let at = moment(earlier.before, zone);
    format!(
        "{path}: restored {} of {} deletions, those that came together; earlier: --at \"{at}\"",
        earlier.back, earlier.all
    )
}

/// Lets passes be made again. Returns why they were not; `None` when nothing was held.
///
/// # Errors
/// When what broke off cannot be gone on with, or the hold cannot be removed.
pub(crate) fn resume(site: &mut Site) -> Result<Option<String>, Failure> {
    let Some(hold) = site.hold().cloned() else { return Ok(None) };
    if hold.begun.is_some() && site.try_lock()? {
        complete(site, &now).map_err(failed)?;
    }
    site.resume()?;
    Ok(Some(hold.why))
}

pub(crate) fn named(passes: &Passes) -> String {
    match (passes.start(), passes.end()) {
        (first, last) if first == last => format!("pass {last}"),
        (first, last) => format!("passes {first} to {last}"),
    }
}

pub(crate) fn steps(count: u64) -> String {
    if count == 1 { "1 step".to_owned() } else { format!("{count} steps") }
}
