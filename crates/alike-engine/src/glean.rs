//! What is wanted of the history, found without unpacking the rest: newest first, on several threads, no further than need be.

use std::collections::{HashMap, HashSet};
use std::io;
use std::sync::Arc;

use alike_model::entry::Time;
use alike_model::event::Action;
use alike_model::filter::Filter;
use alike_model::past::rebased;
use alike_model::path::RelPath;

use crate::chronicle::{self, Written, is_in_trash};
use crate::history::{Deed, Line, Look, is_json};
use crate::journal::{self, Asks};
use crate::packed::{Glimpse, nanos};
use crate::trash::{Trash, shown_time};

/// Which deeds are wanted; all, unless something is said.
#[derive(Clone, Default)]
pub struct Wanted {
    /// Done then or later.
    pub since: Option<Time>,
    /// Done then or before.
    pub until: Option<Time>,
    /// By this pass.
    pub pass: Option<u64>,
    /// Of these kinds.
    pub actions: Vec<Action>,
    /// On paths that this leaves out, or below such.
    pub matching: Option<Filter>,
    /// No more than so many, the last.
    pub last: Option<usize>,
}

impl Wanted {
    /// True for a deed that is wanted, as far as it alone can tell.
    #[must_use]
    pub fn has(&self, deed: &Deed) -> bool {
        let is_near = self.since.is_none_or(|since| deed.at >= since);
        let is_past = self.until.is_none_or(|until| deed.at <= until);
        is_near
            && is_past
            && self.has_apart_from_time((deed.pass, deed.action), || {
                let matches = |path: &RelPath| self.matches(path);
                matches(&deed.path) || deed.from.as_ref().is_some_and(matches)
            })
    }

    fn has_apart_from_time(&self, (pass, action): (u64, Action), matches: impl FnOnce() -> bool) -> bool {
        self.pass.is_none_or(|wanted| wanted == pass)
            && (self.actions.is_empty() || self.actions.contains(&action))
            && matches()
    }

    fn matches(&self, path: &RelPath) -> bool {
        self.matching.as_ref().is_none_or(|pattern| pattern.excludes_with_parents(path, false))
    }

    fn glimpsed(&self, glimpse: &Glimpse<'_>) -> bool {
        let is_near = self.since.is_none_or(|since| glimpse.nanos >= nanos(since));
        let is_past = self.until.is_none_or(|until| glimpse.nanos <= nanos(until));
        is_near
            && is_past
            && self.has_apart_from_time((glimpse.pass, glimpse.action), || {
                self.matching.is_none() || {
                    let parsed = |path: &[u8]| RelPath::parse(path).is_some_and(|path| self.matches(&path));
                    parsed(&glimpse.path()) || glimpse.from.is_some_and(parsed)
                }
            })
    }
}

/// What is wanted, oldest first; none that was written down and then not done.
///
/// # Errors
/// When a journal cannot be read.
pub fn wanted(trash: &Trash, wanted: &Wanted) -> io::Result<Vec<Written>> {
    let question = |glimpse: &Glimpse<'_>| wanted.glimpsed(glimpse);
    let asked = Asked { question: &question, between: (wanted.since, wanted.until), last: wanted.last };
    let mut found = match gather(trash, &asked)? {
        Some(found) if !is_uncertain(&found) => found,
        _ => chronicle::read(trash)?.into_iter().filter(|written| wanted.has(&written.deed)).collect(),
    };
    if let Some(last) = wanted.last {
        found.drain(..found.len().saturating_sub(last));
    }
    Ok(found)
}

/// All that can matter for what a path was, is and was called, oldest first: the same comes of it as of the whole history.
///
/// # Errors
/// When a journal cannot be read.
pub fn of_path(trash: &Trash, path: &RelPath) -> io::Result<Vec<Written>> {
    let mut names = vec![path.clone()];
    loop {
        let question = |glimpse: &Glimpse<'_>| is_related(glimpse, &names);
        let asked = Asked { question: &question, between: (None, None), last: None };
        let Some(found) = gather(trash, &asked)? else { return chronicle::read(trash) };
        // What is known by its inode alone may have any name.
        let is_twin =
            |written: &Written| matches!(written.old_spot(), Some(alike_model::past::Spot::Twin(_)));
        if is_uncertain(&found) || found.iter().any(is_twin) {
            return chronicle::read(trash);
        }
        let more = other_names(&found, &names);
        if more.is_empty() {
            return Ok(found);
        }
        names.extend(more);
    }
}

/// Paths from which, or to which, what has one of these names came: what was done to them before or after counts as well.
fn other_names(found: &[Written], names: &[RelPath]) -> HashSet<RelPath> {
    let slots: HashSet<RelPath> =
        found.iter().filter(|written| written.deed.kept).map(Written::slot).collect();
    let mut more = HashSet::new();
    for written in found {
        let deed = &written.deed;
        let from = deed.from.as_ref().filter(|_| deed.swapped || written.came_from().is_some());
        let Some(from) = from else { continue };
        if is_in_trash(from) {
            let is_theirs = |slot: &RelPath| slots.contains(slot);
            let above =
                std::iter::successors(Some(from.clone()), |path| path.split().map(|(above, _)| above));
            if above.into_iter().any(|slot| is_theirs(&slot)) {
                more.insert(deed.path.clone());
            }
            continue;
        }
        for name in names {
            if name.is_within(&deed.path) {
                more.insert(rebased(name, &deed.path, from));
            }
            if name.is_within(from) {
                more.insert(rebased(name, from, &deed.path));
            }
        }
    }
    more.retain(|name| !names.contains(name));
    more
}

fn is_related(glimpse: &Glimpse<'_>, names: &[RelPath]) -> bool {
    let is_at = |name: &RelPath| glimpse.is_related_to(name.as_bytes());
    names.iter().any(is_at)
        || glimpse.from.is_some_and(|from| {
            from.starts_with(alike_model::path::OWN_FOLDER)
                || names.iter().any(|name| within(from, name.as_bytes()) || within(name.as_bytes(), from))
        })
}

/// True for what is `path` or below it.
fn within(one: &[u8], path: &[u8]) -> bool {
    path.is_empty() || one.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
}

impl Glimpse<'_> {
    /// The path.
    fn path(&self) -> Vec<u8> {
        crate::packed::full(self.folder, self.name)
    }

    /// True when the path is this one, below it or above it.
    fn is_related_to(&self, path: &[u8]) -> bool {
        if within(self.folder, path) {
            return true;
        }
        let Some(rest) = path.strip_prefix(self.folder) else { return false };
        match self.folder {
            _ if self.name.is_empty() => within(path, self.folder),
            b"" => within(rest, self.name),
            _ => rest.strip_prefix(b"/").is_some_and(|rest| within(rest, self.name)),
        }
    }
}

/// True when only the whole history tells whether all of it was done.
fn is_uncertain(found: &[Written]) -> bool {
    found.iter().any(|written| written.deed.kept && !written.deed.told)
}

struct Asked<'a> {
    question: &'a (dyn Fn(&Glimpse<'_>) -> bool + Sync),
    /// What was done outside of these is not looked for.
    between: (Option<Time>, Option<Time>),
    last: Option<usize>,
}

impl Asked<'_> {
    /// False for a bucket that was filled before or after: its name is when it was begun.
    fn may_be_in(&self, bucket: &str) -> bool {
        let (since, until) = self.between;
        let hours_before = |time: Time| Time { secs: time.secs.saturating_sub(2 * 3600), ..time };
        since.is_none_or(|since| *bucket >= *shown_time(hours_before(since)))
            && until.is_none_or(|until| bucket.get(..16).unwrap_or_default() <= &*shown_time(until))
    }
}

/// `None`: the clock was set back, or a journal is of an older version; only the whole history tells the order.
fn gather(trash: &Trash, asked: &Asked<'_>) -> io::Result<Option<Vec<Written>>> {
    let mut newer: Option<(u64, u64)> = None;
    let (mut found, mut count) = (Vec::new(), 0);
    for bucket in trash.buckets()?.into_iter().rev().filter(|bucket| asked.may_be_in(bucket)) {
        // One more than need be: its passes tell whether the clock was set back.
        let is_enough = asked.last.is_some_and(|last| count >= last);
        let Some(bytes) = trash.journal(&bucket)? else { continue };
        if is_json(&bytes) {
            return Ok(None);
        }
        let mut reading =
            Reading { asked, deeds: Vec::new(), marks: HashMap::new(), passes: None, latest: None };
        reading.read(&journal::frames(&bytes), asked.last.map(|last| last.saturating_sub(count)));
        let Some(passes) = reading.passes else { continue };
        if newer.is_some_and(|newer| passes.0 > newer.0 || passes.1 > newer.1) {
            return Ok(None);
        }
        if is_enough {
            break;
        }
        newer = Some(passes);
        let mut deeds = reading.deeds;
        deeds.sort_by_key(|deed| deed.n);
        count += deeds.len();
        found.push((bucket, deeds));
    }
    let all = found.into_iter().rev().flat_map(|(bucket, deeds)| {
        let bucket: Arc<str> = bucket.into();
        deeds.into_iter().map(move |deed| Written { bucket: Arc::clone(&bucket), deed })
    });
    Ok(Some(all.collect()))
}

/// Deeds stand in a journal in the order in which they were done, but for those that were under way at once.
const SLACK: i128 = 3_600_000_000_000;
/// The same in numbers.
const NEAR: u64 = 4096;

/// Reads one journal.
struct Reading<'a> {
    asked: &'a Asked<'a>,
    deeds: Vec<Deed>,
    /// What became of deeds that stand before what was read.
    marks: HashMap<u64, Vec<Mark>>,
    passes: Option<(u64, u64)>,
    /// The latest deed of what was read last, in nanoseconds: what stands before that is older.
    latest: Option<i128>,
}

/// What became of a deed.
pub(crate) enum Mark {
    Done(Option<Look>),
    Unkept,
    Void,
}

impl Mark {
    /// False when nothing is left of it.
    pub(crate) fn put_on(self, deed: &mut Deed) -> bool {
        match self {
            Self::Done(now) => (deed.now, deed.told) = (now, true),
            Self::Unkept => deed.kept = false,
            Self::Void => return false,
        }
        true
    }
}

impl Reading<'_> {
    /// From the end to the beginning, in parts that grow, until there is enough.
    fn read(&mut self, mut frames: &[&[u8]], last: Option<usize>) {
        const FIRST: usize = 256 * 1024;
        let mut size = FIRST;
        while !frames.is_empty() {
            let mut bytes = 0;
            let taken = frames.iter().rev().take_while(|frame| {
                let is_room = bytes < size;
                bytes += frame.len();
                is_room
            });
            let (before, part) = frames.split_at(frames.len() - taken.count());
            self.read_part(part);
            let since = self.asked.between.0;
            let is_old = self.latest.zip(since).is_some_and(|(at, since)| at < nanos(since) - SLACK);
            if last.is_some_and(|last| self.deeds.len() >= last) || is_old {
                return;
            }
            (frames, size) = (before, size * 4);
        }
    }

    fn read_part(&mut self, part: &[&[u8]]) {
        let threads = std::thread::available_parallelism().map_or(1, usize::from).min(8);
        let threads =
            if part.iter().map(|frame| frame.len()).sum::<usize>() < 512 * 1024 { 1 } else { threads };
        let pieces: Vec<&[&[u8]]> = part.chunks(part.len().div_ceil(threads).max(1)).collect();
        let read: Vec<Piece<'_>> = std::thread::scope(|scope| {
            let started: Vec<_> =
                pieces.iter().map(|piece| scope.spawn(|| Piece::read(piece, self.asked.question))).collect();
            started.into_iter().filter_map(|piece| piece.join().ok()).collect()
        });
        self.latest = read.iter().filter_map(|piece| piece.latest).max();
        for piece in read.into_iter().rev() {
            self.take_in(piece);
        }
    }

    fn take_in(&mut self, piece: Piece<'_>) {
        if let Some((first, last)) = piece.passes {
            let (one, other) = self.passes.unwrap_or((first, last));
            self.passes = Some((one.min(first), other.max(last)));
        }
        for (n, mark) in piece.strays {
            self.marks.entry(n).or_default().push(mark);
        }
        let marks = &mut self.marks;
        let kept = piece.deeds.into_iter().flatten().filter_map(|mut deed| {
            let stays = marks.remove(&deed.n).into_iter().flatten().all(|mark| mark.put_on(&mut deed));
            stays.then_some(deed)
        });
        self.deeds.extend(kept);
    }
}

/// A part of a journal, read by one thread.
pub(crate) struct Piece<'a> {
    question: &'a (dyn Fn(&Glimpse<'_>) -> bool + Sync),
    first: Option<u64>,
    passes: Option<(u64, u64)>,
    latest: Option<i128>,
    at: HashMap<u64, usize>,
    pub(crate) deeds: Vec<Option<Deed>>,
    /// What became of deeds that stand before.
    pub(crate) strays: Vec<(u64, Mark)>,
}

impl<'a> Piece<'a> {
    pub(crate) fn read(frames: &[&[u8]], question: &'a (dyn Fn(&Glimpse<'_>) -> bool + Sync)) -> Self {
        let mut piece = Self {
            question,
            first: None,
            passes: None,
            latest: None,
            at: HashMap::new(),
            deeds: Vec::new(),
            strays: Vec::new(),
        };
        frames.iter().for_each(|frame| journal::glean(frame, &mut piece));
        piece
    }

    fn mark(&mut self, n: u64, mark: Mark) {
        match self.at.get(&n) {
            Some(at) => {
                let stays = self.deeds[*at].as_mut().is_some_and(|deed| mark.put_on(deed));
                if !stays {
                    self.deeds[*at] = None;
                }
            }
            None if self.may_stand_before(n) => self.strays.push((n, mark)),
            None => {}
        }
    }

    fn may_stand_before(&self, n: u64) -> bool {
        self.first.is_none_or(|first| n < first.saturating_add(NEAR))
    }
}

impl Asks for Piece<'_> {
    fn deed(&mut self, glimpse: &Glimpse<'_>) -> bool {
        self.first.get_or_insert(glimpse.n);
        let (first, last) = self.passes.unwrap_or((glimpse.pass, glimpse.pass));
        self.passes = Some((first.min(glimpse.pass), last.max(glimpse.pass)));
        self.latest = self.latest.max(Some(glimpse.nanos));
        (self.question)(glimpse)
    }

    fn done(&mut self, n: u64) -> bool {
        self.at.contains_key(&n) || self.may_stand_before(n)
    }

    fn take(&mut self, line: Line) {
        match line {
            Line::Deed(deed) => {
                self.at.insert(deed.n, self.deeds.len());
                self.deeds.push(Some(*deed));
            }
            Line::Done { done, now } => self.mark(done, Mark::Done(now)),
            Line::Unkept { unkept } => self.mark(unkept, Mark::Unkept),
            Line::Void { void } => self.mark(void, Mark::Void),
        }
    }
}
