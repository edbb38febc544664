//! Shows what taking a pass back would do, and does it.

use std::ops::RangeInclusive;

use alike_model::entry::Time;
use alike_model::event::Action;
use alike_model::past::Past;
use alike_model::path::RelPath;
use alike_storage::{Error, Result};

use crate::chronicle::{Was, Written};
use crate::hold::Site;
use crate::mend::Mend;
use crate::monitor::{Event, Monitor};
use crate::reach::Reach;
use crate::resuming::{Came, Step};
use crate::stop::Stop;
use crate::undo::{Part, Real, Thought, Twins, Way, judge, parts};

/// What became of an undo.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Undone {
    /// Steps taken, or to be taken.
    pub steps: u64,
    /// Deeds that were left because the replica no longer looks as they left it.
    pub left: u64,
    /// Steps that failed.
    pub failed: u64,
    /// It was stopped half-way.
    pub stopped: bool,
}

impl Undone {
    fn count(&mut self, action: Action) {
        match action {
            Action::Skip => self.left += 1,
            Action::Error => self.failed += 1,
            _ => self.steps += 1,
        }
    }
}

/// The numbers of passes in a row.
pub type Passes = RangeInclusive<u64>;

/// The passes of which something was done at that moment or later.
#[must_use]
pub fn since(all: &[Written], moment: Time) -> Option<Passes> {
    let first =
        all.iter().filter(|written| written.deed.at >= moment).map(|written| written.deed.pass).min()?;
    Some(first..=last_pass(all)?)
}

/// When the deletion began of which a pass is the end: passes that came right after one another and did nothing but delete,
/// such as those of one `rm -r` that a mirror saw. With it the number of the first; `None` when the pass stands alone.
#[must_use]
pub fn began_with(all: &[Written], pass: u64) -> Option<(u64, Time)> {
    // As passes follow each other while somebody is at work.
    const RIGHT_AFTER: i64 = 3;
    let known: Vec<&Written> = all.iter().filter(|written| written.deed.pass <= pass).collect();
    let mut found: Option<(u64, Time)> = None;
    let mut later: Option<Time> = None;
    for deeds in known.chunk_by(|one, next| one.deed.pass == next.deed.pass).rev() {
        let times = || deeds.iter().map(|written| written.deed.at);
        let (Some(first), Some(last)) = (times().min(), times().max()) else { break };
        let is_apart = later.is_some_and(|later| later.secs - last.secs > RIGHT_AFTER);
        if is_apart || !deeds.iter().all(|written| written.is_of_a_deletion()) {
            break;
        }
        if deeds.iter().any(|written| written.is_removal()) {
            found = Some((deeds[0].deed.pass, first));
        }
        later = Some(first);
    }
    found.filter(|(number, _)| *number != pass)
}

/// The number of the last pass that did anything.
#[must_use]
pub fn last_pass(all: &[Written]) -> Option<u64> {
    all.iter().map(|written| written.deed.pass).max()
}

/// What is to be undone.
#[derive(Clone, Copy, Debug)]
pub struct Job<'a> {
    /// The history.
    pub all: &'a [Written],
    /// Passes in it.
    pub passes: &'a Passes,
    /// The pass that began to undo these, and was killed.
    pub begun: Option<u64>,
}

impl<'a> Job<'a> {
    /// The number of the pass that undoes them.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.begun.unwrap_or_else(|| last_pass(self.all).unwrap_or(0) + 1)
    }

    /// All parts of all deeds, the last first.
    fn steps(&self) -> Vec<Step<'a>> {
        let passes = self.passes.clone();
        let deeds = self.all.iter().rev().filter(|written| passes.contains(&written.deed.pass));
        deeds.flat_map(|written| parts(written).iter().map(move |part| (written, *part))).collect()
    }
}

/// Shows what undoing passes would do, step by step.
///
/// # Errors
/// When the replica cannot be looked at.
pub fn preview(site: &Site, job: Job<'_>, monitor: &dyn Monitor) -> Result<Undone> {
    let (mut past, mut undone): (Past<Was>, Undone) = Default::default();
    let (mut reach, mut twins) = (Reach::new(&site.tree)?, Twins::default());
    let steps = job.steps();
    let came = Came::of(&steps, job.all, job.begun);
    let mut acts = false;
    for (at, (written, part)) in steps.iter().enumerate().skip(came.to) {
        let goes_on = job.begun.is_some();
        let real = Real { reach: &mut reach, twins: &mut twins, taken: None, goes_on };
        // The second part of a rename is judged as if the first were done.
        let freed = acts.then(|| renamed_only(written, &past));
        let way = judge(&mut Thought { real, past: freed.as_ref().unwrap_or(&past) }, written, *part)?;
        acts |= !matches!(way, Way::Already | Way::Left(_));
        if let Some(event) = told(written, &way) {
            undone.count(event.action);
            monitor.event(event);
        }
        let is_last = steps.get(at + 1).is_none_or(|(next, _)| !std::ptr::eq(*next, *written));
        if is_last && std::mem::take(&mut acts) {
            written.take_back(&mut past);
        }
    }
    Ok(undone)
}

fn renamed_only(written: &Written, past: &Past<Was>) -> Past<Was> {
    let mut freed = past.clone();
    if let Some(from) = written.came_from() {
        freed.rename(&written.deed.path, from);
    }
    freed
}

/// Undoes passes, the last first: a pass of its own in the history. One that was killed goes on where it was.
///
/// # Errors
/// When the replica cannot be looked at, or what was done may not have reached the disk.
pub fn undo(
    site: &Site,
    job: Job<'_>,
    monitor: &dyn Monitor,
    clock: &(dyn Fn() -> Time + Sync),
    stop: &Stop,
) -> Result<Undone> {
    let (number, steps) = (job.number(), job.steps());
    let came = Came::of(&steps, job.all, job.begun);
    let mut mend = Mend::new((&site.tree, &site.trash), number, clock)?;
    let (mut twins, mut undone) = (Twins::default(), Undone::default());
    mend.goes_on = job.begun.is_some();
    mend.taken.extend(came.taken());
    for (at, (written, part)) in steps.iter().enumerate() {
        if stop.is_set() {
            undone.stopped = true;
            break;
        }
        if mend.lost.is_some() {
            break;
        }
        let done = match at < came.to {
            true => gone_on_with(&mut mend, (&came, at), (written, *part)).map(|way| (None, way)),
            false => judge(&mut as_it_is(&mut mend, &mut twins), written, *part)
                .and_then(|way| Ok((take(&mut mend, written, &way, &reason(written))?, way))),
        };
        let event = match done {
            Ok((kept, way)) => told(written, &way).map(|event| Event { kept, ..event }),
            Err(Error::Changed) => told(written, &Way::Left("it changed meanwhile")),
            Err(error) => Some(failure(number, &written.deed.path, &error)),
        };
        if let Some(event) = event {
            undone.count(event.action);
            monitor.event(Event { pass: number, ..event });
        }
    }
    mend.finish(&mut |path, error| {
        undone.failed += 1;
        monitor.event(failure(number, path, &error));
    })?;
    Ok(undone)
}

fn as_it_is<'a, 'b>(mend: &'a mut Mend<'b>, twins: &'a mut Twins) -> Real<'a, 'b> {
    Real { reach: &mut mend.reach, twins, taken: Some(&mend.taken), goes_on: mend.goes_on }
}

/// A step that was taken, or left, before the undo was killed: only folders get their attributes, which come at the end.
fn gone_on_with(
    mend: &mut Mend<'_>,
    (came, at): (&Came<'_>, usize),
    (written, part): Step<'_>,
) -> Result<Way> {
    let deed = &written.deed;
    let dresses = matches!(part, Part::Dress | Part::BringBack | Part::Replace)
        && (part == Part::Dress || came.took(at));
    match deed.old.filter(|old| dresses && old.kind == alike_model::entry::Kind::Folder) {
        Some(old) => {
            let path = came.now(at, &deed.path);
            if mend.reach.look(&path)?.is_none_or(|there| there.identity() != old.id) {
                return Ok(Way::Left("it was changed since"));
            }
            mend.dress_at_the_end(&path, deed).map(|()| Way::Already)
        }
        None if came.took(at) => Ok(Way::Already),
        None => match judge(&mut as_it_is(mend, &mut Twins::default()), written, part)? {
            Way::Already => Ok(Way::Already),
            _ => Ok(Way::Left("it was left alone before")),
        },
    }
}

/// Takes a step. Returns where the trash keeps what was taken away.
fn take(mend: &mut Mend<'_>, written: &Written, way: &Way, reason: &str) -> Result<Option<String>> {
    let deed = &written.deed;
    let path = &deed.path;
    let (old, from) = (deed.old.as_ref().ok_or(Error::Changed), deed.from.as_ref().ok_or(Error::Changed));
    match way {
        Way::Already | Way::Left(_) => Ok(None),
        Way::TakeAway(there) => mend.take_away(path, there, reason).map(Some),
        Way::PutBack(slot, kept) => mend.put_back(slot, kept, path, old?, reason).map(|()| None),
        Way::Replace(there, slot, kept) => mend.replace((path, there), (slot, kept), old?, reason).map(Some),
        Way::Unpatch(there, patch) => mend.unpatch(path, there, patch, old?, reason).map(Some),
        Way::Link(twin, stamp, over) => mend.link((twin, stamp), (path, over.as_ref()), reason),
        Way::Rename(there) => mend.rename(path, there, from?, reason).map(|()| None),
        Way::Swap(one, other) => mend.swap((path, one), (from?, other), reason).map(|()| None),
        Way::Dress(there) => mend.dress(path, there, deed, reason).map(|()| None),
        Way::DressFolder => mend.dress_at_the_end(path, deed).map(|()| None),
    }
}

fn reason(written: &Written) -> String {
    format!("undoes {} of pass {}", written.deed.action, written.deed.pass)
}

fn failure(pass: u64, path: &RelPath, error: &Error) -> Event {
    let event = Event::about(pass, Action::Error, path.clone(), error.to_string());
    Event { error: Some(error.to_string()), ..event }
}

/// A step for the log; `None` when there is nothing to do.
fn told(written: &Written, way: &Way) -> Option<Event> {
    use alike_model::entry::Kind::Folder;
    let deed = &written.deed;
    let made = |kind| if kind == Folder { Action::Mkdir } else { Action::Create };
    let gone = |kind| if kind == Folder { Action::Rmdir } else { Action::Delete };
    let action = match way {
        Way::Already => return None,
        Way::Left(_) => Action::Skip,
        Way::TakeAway(there) => gone(there.kind),
        Way::PutBack(_, kept) => made(kept.kind),
        Way::Replace(..) | Way::Unpatch(..) => Action::Update,
        Way::Link(..) => Action::Link,
        Way::Rename(_) | Way::Swap(..) => Action::Rename,
        Way::Dress(_) | Way::DressFolder => Action::Meta,
    };
    let reason = match way {
        Way::Left(why) => format!("{why}; left alone ({} of pass {})", deed.action, deed.pass),
        _ => reason(written),
    };
    // A rename is told by the name that it ends with.
    let (path, from) = match (way, &deed.from) {
        (Way::Rename(_) | Way::Swap(..), Some(from)) => (from, Some(deed.path.clone())),
        _ => (&deed.path, None),
    };
    let reason = match &from {
        Some(from) => format!("{reason}, from {from}"),
        None => reason,
    };
    Some(Event { from, ..Event::about(deed.pass, action, path.clone(), reason) })
}
