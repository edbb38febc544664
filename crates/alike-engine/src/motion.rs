//! Files in motion: what proves that a copy is one version of its source, and what becomes of a file that never rests.
//!
//! Whoever writes to a file leaves a stamp, with one exception: a store through a mapping to a page that is dirty already. So
//! two things prove that what was read is one version. Either the stamp is the same after reading as it was before, and old
//! enough, or nobody had the file open for writing at a moment before. Or a second reading finds the same. See
//! `docs/decisions/0016-the-source-in-motion.md`.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use alike_model::dirty::Dirty;
use alike_model::entry::{Kind, Stamp, Time};
use alike_model::path::Name;
use alike_model::plan::{Step, Verb};
use alike_model::reason::Reason;
use alike_storage::linux::writeback_millis;
use alike_storage::{Content, Error, Flow as _, Replica, Result, Source};

use crate::hands::{Done, Hands, Prepared, Working};
use crate::pass::Run;
use crate::place::{Here, Place};

/// A stamp taken this close to a change may hide another: twice the coarsest tick of a Linux kernel's clock.
pub(crate) const RACY_MILLIS: u32 = 20;
/// The same for filesystems that keep whole seconds, or every other one.
const RACY_COARSE_MILLIS: u32 = 2_100;
/// Up to here a file is read in a moment, and a writer may be made to wait that long.
const READ_AT_ONCE: u64 = 1024 * 1024;
/// A file that changed while it was read this long will not rest in the milliseconds until the next round.
const LONG: Duration = Duration::from_secs(1);
/// How often a file that never rests is read before nothing of it is published.
const TRIES: u32 = 3;
/// A new file that somebody is writing is left alone for so long, less than a mirror waits for its close.
const UNCLOSED_MILLIS: u32 = 450;
/// How long between two of these.
const BREATH: Duration = Duration::from_millis(5);

/// What keeps a file one version while it is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Guard {
    /// Writers are held off.
    HeldOff,
    /// Whoever writes leaves a stamp.
    Stamp,
    /// Nothing: it takes a second look.
    None,
    /// Nothing either, and somebody may have it open for writing: the next pass takes one more look.
    Open,
}

/// What a pass has met of files in motion.
#[derive(Default)]
pub(crate) struct Motion {
    /// Inodes of the source (device and number) that somebody had open for writing.
    open: Mutex<HashSet<(u64, u64)>>,
    /// What kept changing.
    restless: Mutex<Dirty>,
    /// What was just made and is still being written.
    unclosed: Mutex<Dirty>,
}

impl Motion {
    /// What kept changing, and what was not closed yet.
    pub(crate) fn into_left(self) -> (Dirty, Dirty) {
        let [restless, unclosed] =
            [self.restless, self.unclosed].map(|left| left.into_inner().unwrap_or_default());
        (restless, unclosed)
    }
}

impl<S: Source, R: Replica, H: Hands<S, R>> Run<'_, S, R, H> {
    /// Takes a step, and when it would copy a file that does not rest, copies that as well as can be in the end.
    pub(crate) fn copied(&self, place: &Here<S, R>, step: &Step) -> Result<Done> {
        let started = Instant::now();
        let taken = self.timed(place, step, started, |step| self.hands.take(place, step), Done::came_to);
        match (taken, step.verb.source()) {
            (Ok(done), Some(source)) if done.has_writers => {
                self.note_open(source);
                Ok(done)
            }
            (Err(error), source) if error.is_changed() && self.has_waited_enough(source, started) => {
                self.copied_in_motion(place, step)
            }
            (other, _) => other,
        }
    }

    pub(crate) fn copied_in_motion(&self, place: &Here<S, R>, step: &Step) -> Result<Done> {
        if !matches!(step.verb, Verb::Create { .. } | Verb::Update { .. }) {
            return Err(Error::Changed);
        }
        let step = Step { reason: Reason::StillWritten(Box::new(step.reason.clone())), ..step.clone() };
        let take = |step: &Step| self.hands.take_in_motion(place, step);
        let done = self.timed(place, &step, Instant::now(), take, Done::came_to)?;
        self.is_restless(place, &step.name);
        Ok(done)
    }

    /// True when there is no sense in trying again in this pass to get hold of one version of a file.
    pub(crate) fn has_waited_enough(&self, source: Option<&Stamp>, started: Instant) -> bool {
        source.is_some_and(|source| source.kind == Kind::File)
            && (self.is_last_round() || started.elapsed() >= LONG)
    }

    /// Notes that a name has to be looked at again after this pass, when some time has gone by.
    pub(crate) fn is_restless(&self, place: &Here<S, R>, name: &Name) {
        let mut restless = self.motion.restless.lock().unwrap_or_else(PoisonError::into_inner);
        restless.mark_name(place.path(), name.clone());
    }

    /// True for a file that was made just now and that somebody is still writing, in a pass over what was heard: it is left until
    /// its close is heard, for nobody wants its beginning, and whoever takes back the last pass would get that.
    pub(crate) fn is_left_until_closed(&self, place: &Here<S, R>, step: &Step) -> bool {
        let Verb::Create { source } = &step.verb else { return false };
        let now = (self.work.clock)();
        let is_young =
            || source.btime.is_some_and(|born| born <= now && now < born.plus_millis(UNCLOSED_MILLIS));
        if self.full || source.kind != Kind::File || !is_young() {
            return false;
        }
        let original = self.work.source;
        let content = place.source(original).and_then(|folder| original.read_file(&folder, &step.name));
        let is_left = content.is_ok_and(|content| content.has_writer());
        if is_left {
            let mut unclosed = self.motion.unclosed.lock().unwrap_or_else(PoisonError::into_inner);
            unclosed.mark_name(place.path(), step.name.clone());
        }
        is_left
    }

    /// Notes whether somebody may be writing to a file of the source that is about to be compared.
    pub(crate) fn note_writers(&self, content: &Content, source: &Stamp) {
        if !hides_stores(content, source, (self.work.clock)()) || content.is_written_back(source) {
            return;
        }
        if !content.hold_off_writers() {
            self.note_open(source);
        }
        content.let_writers_in();
    }

    pub(crate) fn note_open(&self, source: &Stamp) {
        let mut open = self.motion.open.lock().unwrap_or_else(PoisonError::into_inner);
        open.insert((source.dev, source.ino));
    }

    /// True when a change may come, or have come, that leaves the stamp as it is: what was seen of it proves nothing later.
    pub(crate) fn is_racy(&self, source: &Stamp, now: Time) -> bool {
        let is_open = || {
            let mut open = self.motion.open.lock().unwrap_or_else(PoisonError::into_inner);
            let inode = (source.dev, source.ino);
            // Of a file with one name it is asked once; kept, a million fresh files would fill the memory.
            if source.has_several_names() { open.contains(&inode) } else { open.remove(&inode) }
        };
        source.kind == Kind::File && is_open() || is_racy(source, now)
    }
}

impl<S: Source, R: Replica> Working<'_, S, R> {
    /// Looks whether anybody may be writing to a file that is about to be read.
    pub(crate) fn guard(&self, content: &Content, source: &Stamp) -> Result<Guard> {
        let now = (self.deeds.clock)();
        if !hides_stores(content, source, now) || !is_racy(source, now) && content.is_written_back(source) {
            return Ok(Guard::Stamp);
        }
        if !content.hold_off_writers() {
            return Ok(Guard::Open);
        }
        let leaves_stamps = content.leaves_stamps(source);
        if !leaves_stamps || is_racy(source, now) {
            if source.size <= READ_AT_ONCE {
                return Ok(Guard::HeldOff);
            }
            // A large file takes long, and nobody shall wait for us. It is us who wait, until a change would show.
            content.let_writers_in();
            if !leaves_stamps || !outwait(source, self.deeds.clock, &|| self.flow.is_over())? {
                return Ok(Guard::None);
            }
            if !content.hold_off_writers() {
                return Ok(Guard::Open);
            }
        }
        content.let_writers_in();
        Ok(Guard::Stamp)
    }

    /// The proof of wholeness, to be asked for when all has been read: else [`Error::Changed`].
    pub(crate) fn must_be_one_version(
        &self,
        content: &Content,
        source: &Stamp,
        guard: Guard,
        staged: &R::Staged,
    ) -> Result<()> {
        content.let_writers_in();
        let is_untouched = || Ok(content.stamp()?.is_untouched_since(source));
        let is_whole = is_untouched()?
            && match guard {
                Guard::HeldOff => content.was_left_alone(),
                Guard::Stamp => true,
                // Stores through a mapping may have left no stamp. What is found twice was there in between, as a whole.
                Guard::Open | Guard::None => {
                    content.is_snapshot()
                        || self.replica.is_like(staged, content, source.size, self.flow.interrupted)?
                            && is_untouched()?
                }
            };
        if is_whole { Ok(()) } else { Err(Error::Changed) }
    }

    /// Copies a file that never rests: all of it, but perhaps of more than one version.
    pub(crate) fn publish_in_motion(&self, place: &Place<S, R>, step: &Step) -> Result<Done> {
        let folder = &*place.replica(self.replica)?;
        let original = &*place.source(self.source)?;
        for _ in 0..TRIES {
            let content = self.source.read_file(original, &step.name)?;
            let source = content.stamp()?;
            // Another file under this name is as good, but not where names are joined.
            let is_another =
                |then: &Stamp| then.identity() != source.identity() && then.nlink.max(source.nlink) > 1;
            if source.kind != Kind::File || step.verb.source().is_some_and(is_another) {
                return Err(Error::Changed);
            }
            // An empty one is most likely about to be written anew: it shall not take the place of what is there.
            if source.size > 0 {
                let begun = Instant::now();
                let (staged, lacks) = self.stage_file(folder, step, &content, &source)?;
                // Cut off meanwhile, it would be the head of one version without the rest.
                if content.stamp()?.size >= source.size {
                    let bytes = Some(source.size);
                    let prepared = Prepared { bytes, lacks, ..Prepared::since(begun, staged) };
                    self.settle(&[&prepared])?;
                    let done = self.publish(place, step, prepared)?;
                    return Ok(Done { is_best_effort: true, ..done });
                }
            }
            std::thread::sleep(BREATH);
        }
        Err(Error::Changed)
    }
}

/// True when what was stored through a mapping, or will be, may leave the stamp as it is: a page of which the stamp tells may
/// be waiting to be brought to the disk, and takes stores until then. Four times as long as it should wait, and a minute.
fn hides_stores(content: &Content, source: &Stamp, now: Time) -> bool {
    let waits = writeback_millis().saturating_mul(4).saturating_add(60_000);
    source.ctime.plus_millis(waits) > now || !content.leaves_stamps(source)
}

/// Waits until no further change can hide behind a stamp; false when that would not help, for its time is to come, or has
/// come to be so because the clock was set back.
fn outwait(source: &Stamp, clock: &dyn Fn() -> Time, is_over: &dyn Fn() -> bool) -> Result<bool> {
    loop {
        let now = clock();
        if source.ctime > now {
            return Ok(false);
        }
        if !is_racy(source, now) {
            return Ok(true);
        }
        if is_over() {
            return Err(Error::Interrupted);
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

pub(crate) fn is_racy(source: &Stamp, now: Time) -> bool {
    // Times in whole seconds come from filesystems that count in one or two of them.
    let window = if source.ctime.nanos == 0 { RACY_COARSE_MILLIS } else { RACY_MILLIS };
    source.kind != Kind::Folder && source.ctime.plus_millis(window) > now
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::cell::Cell;

    use super::*;

    #[test]
    fn nobody_waits_for_a_moment_that_the_clock_has_left() {
        let at = |secs| Time { secs, nanos: 1 };
        let source = Stamp {
            kind: Kind::File,
            dev: 1,
            ino: 1,
            size: 0,
            blocks: 0,
            nlink: 1,
            mode: 0o644,
            uid: 0,
            gid: 0,
            rdev: 0,
            mtime: at(100),
            ctime: at(100),
            btime: None,
        };
        // A moment after the change it is set back, and then goes on.
        let asked = Cell::new(0);
        let clock = || {
            asked.set(asked.get() + 1);
            at(if asked.get() == 1 { 100 } else { 10 })
        };
        let is_over = || asked.get() > 50;
        assert!(!outwait(&source, &clock, &is_over).unwrap());
        assert!(outwait(&source, &|| at(101), &is_over).unwrap());
    }
}
