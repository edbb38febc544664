//! A journal read in parts, from its end to its beginning, on several threads, for what is asked.

use std::collections::HashMap;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::sync::atomic::{AtomicUsize, Ordering};

use alike_model::entry::Time;

use crate::history::{Deed, Line, Look, is_json, unreadable};
use crate::journal::{self, Asks};
use crate::packed::{Before, nanos};
use crate::trash::{Trash, shown_time};
use crate::unpacked::Glimpse;

/// What is asked of a history.
pub(crate) struct Asked<'a> {
    pub(crate) question: &'a (dyn Fn(&Glimpse<'_>) -> bool + Sync),
    /// What was done outside of these is not looked for.
    pub(crate) between: (Option<Time>, Option<Time>),
    pub(crate) last: Option<usize>,
}

impl Asked<'_> {
    /// True when not all of it is read, most likely.
    pub(crate) fn ends_early(&self) -> bool {
        self.last.is_some() || self.between.0.is_some()
    }

    /// False for a bucket that was filled before or after: its name is when it was begun.
    pub(crate) fn may_be_in(&self, bucket: &str) -> bool {
        let (since, until) = self.between;
        let hours_before = |time: Time| Time { secs: time.secs.saturating_sub(2 * 3600), ..time };
        since.is_none_or(|since| *bucket >= *shown_time(hours_before(since)))
            && until.is_none_or(|until| bucket.get(..16).unwrap_or_default() <= &*shown_time(until))
    }
}

/// Deeds stand in a journal in the order in which they were done, but for those that were under way at once.
const SLACK: i128 = 3_600_000_000_000;

/// No part of a journal is longer.
const MOST: u64 = 1024 * 1024;

/// An open journal.
struct Journal {
    bucket: String,
    file: File,
    length: u64,
}

impl Journal {
    /// `None` when there is none.
    fn open(trash: &Trash, bucket: &str) -> io::Result<Option<Self>> {
        match File::open(trash.journal_path(bucket)).and_then(|file| Ok((file.metadata()?.len(), file))) {
            Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(why) => Err(unreadable(bucket, &why)),
            Ok((length, file)) => Ok(Some(Self { bucket: bucket.to_owned(), file, length })),
        }
    }

    /// All of it, in parts from its end to its beginning.
    fn parts(&self) -> impl Iterator<Item = Range<u64>> {
        let ends = std::iter::successors(Some(self.length), |end| end.checked_sub(MOST));
        ends.filter(|end| *end > 0).map(|end| end.saturating_sub(MOST)..end)
    }

    fn is_json(&self) -> io::Result<bool> {
        let mut first = Vec::new();
        self.read(0..self.length.min(1), &mut first)?;
        Ok(is_json(&first))
    }

    fn read(&self, part: Range<u64>, into: &mut Vec<u8>) -> io::Result<()> {
        into.resize(usize::try_from(part.end - part.start).map_err(io::Error::other)?, 0);
        self.file.read_exact_at(into, part.start).map_err(|why| unreadable(&self.bucket, &why))
    }
}

/// Reads one journal.
pub(crate) struct Reading<'a> {
    asked: &'a Asked<'a>,
    pub(crate) deeds: Vec<Deed>,
    /// What became of deeds that stand before what was read.
    marks: HashMap<u64, Vec<Mark>>,
    /// The first and the last pass of what was read.
    pub(crate) passes: Option<(u64, u64)>,
    /// The latest deed of what was read last, in nanoseconds: what stands before that is older.
    latest: Option<i128>,
    /// Where the earliest frame begins that was read.
    first: Option<u64>,
    /// False when frames and parts do not fit together, or it is of an older version: then only who reads all can tell what
    /// is a line.
    pub(crate) is_whole: bool,
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

impl<'a> Reading<'a> {
    fn new(asked: &'a Asked<'a>) -> Self {
        Self {
            asked,
            deeds: Vec::new(),
            marks: HashMap::new(),
            passes: None,
            latest: None,
            first: None,
            is_whole: true,
        }
    }

    /// From the end to the beginning, until there is enough.
    fn read(&mut self, journal: &Journal, last: Option<usize>) -> io::Result<()> {
        const FIRST: u64 = 64 * 1024;
        let (mut end, mut size) = (journal.length, FIRST);
        let mut is_enough = false;
        while end > 0 && self.is_whole {
            let mut parts = Vec::new();
            // Of what is there already, one part more tells whether it begins with a frame.
            while end > 0 && parts.len() < if size == FIRST || is_enough { 1 } else { threads() } {
                let begin = end.saturating_sub(size);
                parts.push((journal, begin..end));
                end = begin;
            }
            let question = if is_enough { &|_: &Glimpse<'_>| false } else { self.asked.question };
            for piece in pieces(&parts, question)? {
                self.join(&piece);
                if !is_enough {
                    self.take_in(piece);
                }
            }
            if is_enough {
                break;
            }
            let is_old =
                self.latest.zip(self.asked.between.0).is_some_and(|(at, since)| at < nanos(since) - SLACK);
            is_enough = is_old || last.is_some_and(|last| self.deeds.len() >= last);
            size = if is_enough { FIRST } else { (size * 4).min(MOST) };
        }
        Ok(())
    }

    /// Its last frame has to end where the first of what was read begins.
    fn join(&mut self, piece: &Piece<'_>) {
        let (begins, ends) = piece.reach;
        self.is_whole &= self.first.is_none_or(|first| ends == first);
        self.first = begins.or(self.first);
    }

    fn take_in(&mut self, piece: Piece<'_>) {
        self.latest = piece.latest.or(self.latest);
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

/// What is asked for from these buckets, in their order; `None` for one without a journal.
pub(crate) fn read<'a>(
    trash: &Trash,
    buckets: &[String],
    asked: &'a Asked<'a>,
    last: Option<usize>,
) -> io::Result<Vec<Option<Reading<'a>>>> {
    let mut journals = Vec::new();
    let mut readings = Vec::new();
    for (at, bucket) in buckets.iter().enumerate() {
        let Some(journal) = Journal::open(trash, bucket)? else {
            readings.push(None);
            continue;
        };
        let mut reading = Reading::new(asked);
        match journal.is_json()? {
            true => reading.is_whole = false,
            false if asked.ends_early() => reading.read(&journal, last)?,
            false => journals.push((at, journal)),
        }
        readings.push(Some(reading));
    }
    let parts =
        journals.iter().flat_map(|(at, journal)| journal.parts().map(move |part| (*at, (journal, part))));
    let (owners, parts): (Vec<usize>, Vec<_>) = parts.unzip();
    for (at, piece) in owners.into_iter().zip(pieces(&parts, asked.question)?) {
        if let Some(reading) = &mut readings[at] {
            reading.join(&piece);
            reading.take_in(piece);
        }
    }
    Ok(readings)
}

fn threads() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from).min(8)
}

/// Parts of journals, in the order in which they are asked for: each core takes the next that nobody has.
fn pieces<'a>(
    parts: &[(&Journal, Range<u64>)],
    question: &'a (dyn Fn(&Glimpse<'_>) -> bool + Sync),
) -> io::Result<Vec<Piece<'a>>> {
    let next = AtomicUsize::new(0);
    let work = || -> io::Result<Vec<(usize, Piece<'a>)>> {
        let (mut buffer, mut read) = (Vec::new(), Vec::new());
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some((journal, part)) = parts.get(at) else { return Ok(read) };
            read.push((at, Piece::of(journal, part.clone(), &mut buffer, question)?));
        }
    };
    let mut read = std::thread::scope(|scope| {
        let others: Vec<_> = (1..threads().min(parts.len())).map(|_| scope.spawn(work)).collect();
        let mut read = work()?;
        for other in others {
            read.extend(other.join().map_err(|_| io::ErrorKind::Other)??);
        }
        io::Result::Ok(read)
    })?;
    read.sort_unstable_by_key(|(at, _)| *at);
    Ok(read.into_iter().map(|(_, piece)| piece).collect())
}

/// A part of a journal, read by one thread.
pub(crate) struct Piece<'a> {
    question: &'a (dyn Fn(&Glimpse<'_>) -> bool + Sync),
    before: Before,
    /// Where its first frame begins, and where the first after it does.
    reach: (Option<u64>, u64),
    seen: Seen,
    passes: Option<(u64, u64)>,
    latest: Option<i128>,
    at: HashMap<u64, usize>,
    pub(crate) deeds: Vec<Option<Deed>>,
    /// What became of deeds that stand before.
    pub(crate) strays: Vec<(u64, Mark)>,
}

impl<'a> Piece<'a> {
    pub(crate) fn new(question: &'a (dyn Fn(&Glimpse<'_>) -> bool + Sync)) -> Self {
        Self {
            question,
            before: Before::default(),
            reach: (None, 0),
            seen: Seen::default(),
            passes: None,
            latest: None,
            at: HashMap::new(),
            deeds: Vec::new(),
            strays: Vec::new(),
        }
    }

    pub(crate) fn read(&mut self, frame: &[u8]) {
        let mut before = std::mem::take(&mut self.before);
        journal::glean(frame, &mut before, self);
        self.before = before;
    }

    /// Reads the frames that begin in a part of a journal.
    fn of(
        journal: &Journal,
        part: Range<u64>,
        buffer: &mut Vec<u8>,
        question: &'a (dyn Fn(&Glimpse<'_>) -> bool + Sync),
    ) -> io::Result<Self> {
        // What begins at its end is longer than that: seldom.
        const BEYOND: u64 = 64 * 1024;
        let mut piece = Self::new(question);
        journal.read(part.start..(part.end + BEYOND).min(journal.length), buffer)?;
        piece.reach = (None, journal.length);
        for (at, frame) in journal::frames(buffer) {
            let at = part.start + at as u64;
            if at >= part.end {
                piece.reach.1 = at;
                break;
            }
            piece.reach.0.get_or_insert(at);
            piece.read(frame);
        }
        // Many pieces may wait to be taken in.
        (piece.seen, piece.before) = Default::default();
        Ok(piece)
    }

    fn mark(&mut self, n: u64, mark: Mark) {
        match self.at.get(&n) {
            Some(at) => {
                let stays = self.deeds[*at].as_mut().is_some_and(|deed| mark.put_on(deed));
                if !stays {
                    self.deeds[*at] = None;
                }
            }
            None if !self.seen.has(n) => self.strays.push((n, mark)),
            None => {}
        }
    }
}

impl Asks for Piece<'_> {
    fn deed(&mut self, glimpse: &Glimpse<'_>) -> bool {
        self.seen.add(glimpse.n);
        let (first, last) = self.passes.unwrap_or((glimpse.pass, glimpse.pass));
        self.passes = Some((first.min(glimpse.pass), last.max(glimpse.pass)));
        self.latest = self.latest.max(Some(glimpse.nanos));
        (self.question)(glimpse)
    }

    fn done(&mut self, n: u64) -> bool {
        self.at.contains_key(&n) || !self.seen.has(n)
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

/// Numbers of deeds, which are mostly one after the other. One that is forgotten costs only time.
#[derive(Default)]
struct Seen {
    from: u64,
    bits: Vec<u64>,
}

impl Seen {
    /// A step may take its number, and be written down after so many others.
    const LATE: u64 = 1 << 16;
    const MOST: u64 = 1 << 24;

    fn place(&self, n: u64) -> Option<(usize, u64)> {
        let at = n.checked_sub(self.from).filter(|at| *at < Self::MOST)?;
        Some((usize::try_from(at / 64).ok()?, 1 << (at % 64)))
    }

    fn add(&mut self, n: u64) {
        if self.bits.is_empty() {
            self.from = n.saturating_sub(Self::LATE);
        }
        if let Some((at, bit)) = self.place(n) {
            if at >= self.bits.len() {
                self.bits.resize(at + 1024, 0);
            }
            self.bits[at] |= bit;
        }
    }

    fn has(&self, n: u64) -> bool {
        let bits = self.place(n).and_then(|(at, bit)| Some(self.bits.get(at)? & bit));
        bits.is_some_and(|bits| bits != 0)
    }
}
