//! Going back through the history of a path: what it was at a time or before its end, and what was done to it.

use alike_model::entry::{Kind, Stamp, Time};
use alike_model::event::Action;
use alike_model::past::{Past, rebased};
use alike_model::path::RelPath;
use alike_storage::Result;

use crate::chronicle::{Was, Written, is_in_trash};
use crate::hold::Site;
use crate::reach::Reach;
use crate::undo::{Real, Thought, Twins, World};

/// An entry as it was.
pub struct Version {
    pub(crate) past: Past<Was>,
    /// How it was called then.
    pub path: RelPath,
    /// What it was.
    pub stamp: Stamp,
    /// What was deleted of it too long before the rest to be taken for the same deletion.
    pub earlier: Option<Earlier>,
}

/// Of a folder that was deleted bit by bit, what is not brought back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Earlier {
    /// Deletions that are taken back.
    pub back: u64,
    /// All of them.
    pub all: u64,
    /// A moment before the first.
    pub before: Time,
}

/// Something that was done to a path.
pub struct Change<'a> {
    /// What.
    pub written: &'a Written,
    /// A moment before it at which the path was something that can be brought back, and what it was.
    pub before: Option<(Time, Stamp)>,
}

/// Goes back through the history of a path.
struct Back<'a, 'b> {
    past: Past<Was>,
    path: RelPath,
    reach: Reach<'b>,
    twins: Twins,
    all: &'a [Written],
}

impl<'a, 'b> Back<'a, 'b> {
    fn new(site: &'b Site, all: &'a [Written], path: &RelPath) -> Result<Self> {
        let reach = Reach::new(&site.tree)?;
        Ok(Self { past: Past::default(), path: path.clone(), reach, twins: Twins::default(), all })
    }

    /// Takes one deed back; the path is followed to the name that it had before.
    fn take_back(&mut self, written: &Written) {
        written.take_back(&mut self.past);
        let deed = &written.deed;
        if let (Action::Rename, false, Some(from)) = (deed.action, deed.swapped, &deed.from)
            && self.path.is_within(&deed.path)
            && self.past.whereabouts(&self.path).is_none()
            && !is_in_trash(from)
        {
            self.path = rebased(&self.path, &deed.path, from);
        }
    }

    /// What stood at the path, unless nothing did or it is not kept any more.
    fn look(&mut self) -> Result<Option<Stamp>> {
        let real = Real { reach: &mut self.reach, twins: &mut self.twins, taken: None, goes_on: false };
        Thought { real, past: &self.past }.look(&self.path)
    }

    fn version(self, stamp: Stamp) -> Version {
        Version { past: self.past, path: self.path, stamp, earlier: None }
    }

    /// True when a deed changed what the path stands for, or something in it; not when it only got another name.
    fn is_changed_by(&self, written: &Written) -> bool {
        let deed = &written.deed;
        let is_plain_rename = deed.action == Action::Rename && deed.old.is_none();
        let left = deed.from.as_ref().filter(|_| deed.action == Action::Rename);
        let above = self.path.is_within(&deed.path) && self.path != deed.path;
        match () {
            () if left.is_some_and(|from| from.is_within(&self.path) || self.path.is_within(from)) => true,
            () if self.path == deed.path => !is_plain_rename,
            () if deed.path.is_within(&self.path) => true,
            () => above && deed.action != Action::Meta && !is_plain_rename,
        }
    }
}

/// The path as it was at a moment, or before it was last changed or deleted; `None` when it was nothing, or is not kept. What
/// the pass `begun` did to it, for one, is no change: it is what is to be gone on with.
///
/// # Errors
/// When the replica cannot be looked at.
pub fn find(
    site: &Site,
    all: &[Written],
    path: &RelPath,
    (at, begun): (Option<Time>, Option<u64>),
) -> Result<Option<Version>> {
    let mut back = Back::new(site, all, path)?;
    if let Some(at) = at {
        for written in back.all.iter().rev().filter(|written| written.deed.at > at) {
            back.take_back(written);
        }
        return Ok(back.look()?.map(|stamp| back.version(stamp)));
    }
    let Some(end) = last_change(&mut back, begun)? else { return Ok(None) };
    let stamp = back.look()?;
    let is_folder = stamp.is_some_and(|stamp| stamp.kind == Kind::Folder);
    if end.is_deletion && is_folder {
        let run = run_before(&mut back, &end);
        let mut again = Back::new(site, all, path)?;
        all[run.first..].iter().rev().for_each(|written| again.take_back(written));
        if let Some(stamp) = again.look()? {
            return Ok(Some(Version { earlier: run.earlier, ..again.version(stamp) }));
        }
        again = Back::new(site, all, path)?;
        all[end.first..].iter().rev().for_each(|written| again.take_back(written));
        return Ok(again.look()?.map(|stamp| again.version(stamp)));
    }
    Ok(stamp.map(|stamp| back.version(stamp)))
}

/// The pass that changed a path last.
struct End {
    /// Its first deed.
    first: usize,
    /// The path is gone, and this pass only deleted.
    is_deletion: bool,
    /// Its deletions at and below the path.
    deletions: u64,
    /// When the first of them was.
    at: Time,
}

/// Goes back to before the last pass that changed the path to what it is, and before which it was something.
fn last_change(back: &mut Back<'_, '_>, begun: Option<u64>) -> Result<Option<End>> {
    let (mut found, mut is_gone): (Option<(u64, End)>, Option<bool>) = (None, None);
    // A pass is one change, whatever it did to the path.
    for (first, written) in back.all.iter().enumerate().rev() {
        let deed = &written.deed;
        if let Some((_, end)) = found.take_if(|(pass, _)| deed.pass != *pass)
            && back.look()?.is_some()
        {
            return Ok(Some(end));
        }
        let is_begun = begun == Some(deed.pass);
        if !is_begun && is_gone.is_none() {
            is_gone = Some(back.look()?.is_none());
        }
        if let Some((_, end)) = &mut found {
            end.first = first;
        }
        if !is_begun && back.is_changed_by(written) {
            let is_deletion = is_gone == Some(true);
            let new = || (deed.pass, End { first, is_deletion, deletions: 0, at: deed.at });
            let (_, end) = found.get_or_insert_with(new);
            end.is_deletion &= written.is_of_a_deletion();
            end.deletions += u64::from(written.is_removal());
            end.at = deed.at;
        }
        back.take_back(written);
    }
    Ok(found.map(|(_, end)| end))
}

/// The deletions of which a pass is the end.
struct Run {
    /// The first deed of those that are taken back.
    first: usize,
    earlier: Option<Earlier>,
}

/// What a person deletes at once, a mirror may see as many passes: goes on back through those that did nothing else to the
/// path.
fn run_before(back: &mut Back<'_, '_>, end: &End) -> Run {
    // As long as one deletion may take from one of its passes to the next.
    const ONE_DELETION: i64 = 10 * 60;
    let mut run = Run { first: end.first, earlier: None };
    let (mut last, mut taken, mut is_one) = (end.at, end.deletions, true);
    for (first, written) in back.all[..end.first].iter().enumerate().rev() {
        if back.is_changed_by(written) {
            if !written.is_of_a_deletion() {
                break;
            }
            let (at, counts) = (written.deed.at, u64::from(written.is_removal()));
            is_one &= last.secs - at.secs <= ONE_DELETION;
            if is_one {
                (run.first, taken, last) = (first, taken + counts, at);
            } else if counts > 0 {
                let so_far = run.earlier.map_or(taken, |earlier| earlier.all);
                run.earlier = Some(Earlier { back: taken, all: so_far + 1, before: before(at) });
            }
        }
        back.take_back(written);
    }
    run
}

/// All that was done to a path, oldest first, with what can be brought back.
///
/// # Errors
/// When the replica cannot be looked at.
pub fn changes<'a>(site: &Site, all: &'a [Written], path: &RelPath) -> Result<Vec<Change<'a>>> {
    let mut back = Back::new(site, all, path)?;
    let mut changes: Vec<Change<'a>> = Vec::new();
    // The pass that changed it and was last taken back, and how many changes were known before it.
    let mut open: Option<(u64, Time)> = None;
    for written in back.all.iter().rev() {
        if let Some((_, since)) = open.filter(|(pass, _)| written.deed.pass != *pass) {
            close(&mut back, &mut changes, since)?;
            open = None;
        }
        let renames = back.path.is_within(&written.deed.path) && written.deed.action == Action::Rename;
        if back.is_changed_by(written) || renames {
            changes.push(Change { written, before: None });
        }
        // The last one that is taken back is the first that was done.
        open = match open {
            Some((pass, _)) => Some((pass, written.deed.at)),
            None if changes.last().is_some_and(|last| std::ptr::eq(last.written, written)) => {
                Some((written.deed.pass, written.deed.at))
            }
            None => None,
        };
        back.take_back(written);
    }
    if let Some((_, since)) = open {
        close(&mut back, &mut changes, since)?;
    }
    changes.reverse();
    Ok(changes)
}

/// Notes what the path was before a pass with its first change in it.
fn close(back: &mut Back<'_, '_>, changes: &mut [Change<'_>], since: Time) -> Result<()> {
    let stamp = back.look()?;
    if let (Some(last), Some(stamp)) = (changes.last_mut(), stamp) {
        last.before = Some((before(since), stamp));
    }
    Ok(())
}

/// The millisecond before a moment.
fn before(at: Time) -> Time {
    let millis = i64::from(at.nanos / 1_000_000) - 1;
    let nanos = u32::try_from(millis.rem_euclid(1000)).unwrap_or(0) * 1_000_000;
    Time { secs: at.secs + millis.div_euclid(1000), nanos }
}
