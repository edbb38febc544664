//! Takes steps.
//!
//! A pass does not know whether it has hands that work or, for a plan, ones that touch nothing
//! ([`Rehearsing`](crate::rehearsing::Rehearsing)).

use std::time::Instant;

use alike_model::entry::{Kind, Stamp};
use alike_model::event::Action;
use alike_model::path::{Name, RelPath};
use alike_model::plan::{Step, Verb};
use alike_model::policy::{Compare, Policy};
use alike_model::reason::Reason;
use alike_storage::{Content, Error, New, Over, Replica, Result, Source, Want};

use crate::batch::Settles;
use crate::deeds::Deeds;
use crate::disk::Disk;
pub(crate) use crate::done::{Done, Prepared};
use crate::history::{Deed, Look};
use crate::motion::Guard;
use crate::pace::Paced;
use crate::place::Place;
use crate::room::BLOCK;

/// Where something stands on the replica: folder, name and path.
pub(crate) type Standing<'a, F> = (&'a F, &'a Name, &'a RelPath);

/// Takes steps.
pub(crate) trait Hands<S: Source, R: Replica>: Sync {
    /// Takes a step that makes, replaces or dresses an entry that is no folder.
    fn take(&self, place: &Place<S, R>, step: &Step) -> Result<Done>;

    /// Copies a file that never rests, as well as can be.
    fn take_in_motion(&self, place: &Place<S, R>, step: &Step) -> Result<Done>;

    /// Does all of such a step but giving the entry its name.
    fn prepare(&self, place: &Place<S, R>, step: &Step) -> Result<Prepared<R::Staged>>;

    /// Brings prepared entries to the disk: many at once, or few one by one.
    fn settle(&self, prepared: &[&Prepared<R::Staged>]) -> Result<()>;

    /// True when what is done on this device (`None`: that of the top folder) has to be brought to the disk name by name.
    fn must_settle_names(&self, device: Option<u64>) -> bool;

    /// Brings these names of a folder, and the folder, to the disk.
    fn settle_names(&self, folder: &R::Folder, names: &[&Name]) -> Result<()>;

    /// Gives a prepared entry its name.
    fn publish(&self, place: &Place<S, R>, step: &Step, prepared: Prepared<R::Staged>) -> Result<Done>;

    /// Makes a folder; `None` in a rehearsal where the one that holds it is missing. Also tells where is kept what was in the way.
    fn make_folder(&self, place: &Place<S, R>, step: &Step) -> Result<(Option<R::Folder>, Option<String>)>;

    /// Checks that a folder that is held open lies below the top folder of the replica, as deep as it was found.
    fn check_inside(&self, place: &Place<S, R>) -> Result<()>;

    /// Makes a name in `place` one more of what is at another.
    fn link(
        &self,
        from: (&Place<S, R>, &Name),
        expected: &Stamp,
        place: &Place<S, R>,
        step: &Step,
    ) -> Result<Done>;

    /// Renames into `place`. `from` is where it stands, which an exchange may have changed in this pass.
    fn rename(&self, from: Standing<'_, R::Folder>, place: &Place<S, R>, step: &Step) -> Result<Done>;

    /// Lets an entry and the one in `place` that the step replaces change names.
    fn exchange(&self, from: Standing<'_, R::Folder>, place: &Place<S, R>, step: &Step) -> Result<Done>;

    /// Notes how a folder looks that something is about to leave, and that nobody will visit.
    fn note_left(&self, path: &RelPath, stamp: &Stamp);

    /// Removes one entry, or one folder that is empty by then. Tells where it is kept.
    fn remove(&self, folder: &R::Folder, path: &RelPath, step: &Step) -> Result<Option<String>>;

    /// Whether what looks like this can be kept when it is taken away; `None` when nothing is.
    fn keeps(&self, replica: &Stamp) -> Option<bool>;

    /// Opens the folder that keeps what was taken away, for a look; also its name there.
    fn open_kept(&self, kept: &str) -> Result<(R::Folder, Name)>;

    /// Lets go of what was kept though its inode stays under another name: `stays` looks for that.
    fn let_go(&self, stays: &mut dyn FnMut(&RelPath, &Look) -> bool);

    /// Notes that an inode with several names stays under this one.
    fn note_staying(&self, replica: &Stamp, path: RelPath);

    /// Gives an open folder its own attributes.
    fn dress(&self, place: &Place<S, R>) -> Result<()>;

    /// Takes from an open folder, before anything in it is changed, what it may not have once `dress` was called.
    fn narrow(&self, place: &Place<S, R>, now: &Stamp) -> Result<()>;

    /// Lets the owner write into a folder.
    fn unlock(&self, folder: &R::Folder, stamp: &Stamp) -> Result<bool>;

    /// Brings all that was done to the disk.
    fn sync(&self) -> Result<()>;
}

/// Hands that work.
pub(crate) struct Working<'a, S, R> {
    pub(crate) source: &'a S,
    pub(crate) replica: &'a R,
    /// What is copied beside contents.
    pub(crate) policy: Policy,
    /// What is done is brought to the disk.
    pub(crate) sync: bool,
    pub(crate) settles: Settles,
    /// Told when it does not take what it is given.
    pub(crate) disk: &'a Disk,
    pub(crate) deeds: Deeds<'a>,
    pub(crate) flow: Paced<'a>,
}

impl<S: Source, R: Replica> Working<'_, S, R> {
    /// Makes an entry like the source's, without a name: the only way in which contents reach a replica.
    fn stage(&self, place: &Place<S, R>, step: &Step, source: &Stamp) -> Result<Prepared<R::Staged>> {
        let folder = &*place.replica(self.replica)?;
        let original = &*place.source(self.source)?;
        match source.kind {
            Kind::Folder => Err(Error::Changed),
            Kind::File => {
                let content = self.source.read_file(original, &step.name)?;
                let guard = self.guard(&content, source)?;
                let begun = Instant::now();
                let (staged, lacks) = self.stage_file(folder, step, &content, source)?;
                // Nothing touched it while it was read, or what was read is not published.
                self.must_be_one_version(&content, source, guard, &staged)?;
                let has_writers = guard == Guard::Open;
                let bytes = Some(source.size);
                Ok(Prepared { bytes, lacks, has_writers, ..Prepared::since(begun, staged) })
            }
            Kind::Symlink => {
                let target = self.source.read_link(original, &step.name)?;
                let want = self.want(place, step, source)?;
                let (staged, lacks) = self.replica.stage(folder, New::Symlink { target: &target, want })?;
                if !self.source.look(original, &step.name)?.is_some_and(|now| now.is_untouched_since(source))
                {
                    return Err(Error::Changed);
                }
                Ok(Prepared { lacks, ..Prepared::of(staged) })
            }
            Kind::Fifo | Kind::Socket | Kind::BlockDevice | Kind::CharDevice => {
                let want = self.want(place, step, source)?;
                let (staged, lacks) = self.replica.stage(folder, New::Special { like: source, want })?;
                Ok(Prepared { lacks, ..Prepared::of(staged) })
            }
        }
    }

    /// Copies a file to where nobody sees it.
    pub(crate) fn stage_file(
        &self,
        folder: &R::Folder,
        step: &Step,
        content: &Content,
        source: &Stamp,
    ) -> Result<(R::Staged, Option<Error>)> {
        // Changed in place, a file is newer for a moment: a pass that leaves newer files alone would leave a change that
        // broke off.
        let over = step.verb.replaces().filter(|_| self.policy.compare != Compare::Newer);
        let new = New::File {
            content,
            like: source,
            over: over.map(|old| (&step.name, old)),
            want: Want::of(source, content.xattrs(self.policy.xattrs)?, &self.policy),
            flow: &self.flow,
        };
        self.replica.stage(folder, new)
    }

    /// The attributes of an entry that is not opened.
    fn want(&self, place: &Place<S, R>, step: &Step, source: &Stamp) -> Result<Want> {
        let original = &*place.source(self.source)?;
        let xattrs = self.source.xattrs(original, &step.name, self.policy.xattrs)?;
        Ok(Want::of(source, xattrs, &self.policy))
    }

    fn set_attrs(&self, place: &Place<S, R>, step: &Step, source: &Stamp, replica: &Stamp) -> Result<Done> {
        let folder = &*place.replica(self.replica)?;
        let want = self.want(place, step, source)?;
        let before = match step.reason.plain() {
            Reason::Attrs(diff) if !diff.xattrs.is_empty() && self.deeds.trash.is_some() => {
                Some(self.replica.xattrs(folder, &step.name, self.policy.xattrs)?)
            }
            _ => None,
        };
        let now = self.replica.set_attrs(folder, &step.name, replica, &want, &|| self.check_inside(place))?;
        self.write_down(place, step, &now, |deed| Deed { old: Some(replica.into()), xattrs: before, ..deed });
        Ok(Done::looks(now))
    }

    /// Keeps in mind the extended attributes of a folder that are about to be changed.
    fn note_xattrs(&self, place: &Place<S, R>, folder: &R::Folder) -> Result<()> {
        if self.deeds.trash.is_some() && !place.xattrs.is_empty() && place.xattrs_before.get().is_none() {
            let _ = place.xattrs_before.set(self.replica.folder_xattrs(folder, self.policy.xattrs)?);
        }
        Ok(())
    }

    /// Writes down a step that took nothing away.
    fn write_down(&self, place: &Place<S, R>, step: &Step, now: &Stamp, more: impl FnOnce(Deed) -> Deed) {
        if self.deeds.trash.is_some() {
            let deed = self.deeds.deed(&place.path().join(&step.name), step);
            self.deeds.add(more(Deed { now: Some(now.into()), ..deed }));
        }
    }

    /// Takes a step that gives something its name, in place of what is there, if anything is.
    fn put(
        &self,
        place: &Place<S, R>,
        step: &Step,
        (replaces, more): (Option<&Stamp>, impl FnOnce(Deed) -> Deed),
        put: impl FnOnce(&R::Folder, Option<Over<'_>>) -> Result<Stamp>,
    ) -> Result<Done> {
        let folder = &*place.replica(self.replica)?;
        match replaces {
            None => {
                let now = put(folder, None)?;
                self.write_down(place, step, &now, more);
                Ok(Done::looks(now))
            }
            Some(old) => {
                let path = place.path().join(&step.name);
                let put = |over: Over<'_>| put(folder, Some(over));
                self.deeds.take_away((&path, step), (old, more), put, |now| Some(*now)).map(Done::from)
            }
        }
    }
}

impl<S: Source, R: Replica> Hands<S, R> for Working<'_, S, R> {
    fn take(&self, place: &Place<S, R>, step: &Step) -> Result<Done> {
        if let Verb::Meta { source, replica } = &step.verb {
            return self.set_attrs(place, step, source, replica);
        }
        self.deeds.with_room(takes(step), || {
            let prepared = self.prepare(place, step)?;
            self.settle(&[&prepared])?;
            self.publish(place, step, prepared)
        })
    }

    fn prepare(&self, place: &Place<S, R>, step: &Step) -> Result<Prepared<R::Staged>> {
        self.deeds.with_room(takes(step), || match &step.verb {
            Verb::Create { source } => self.stage(place, step, source),
            Verb::Update { source, .. } => self.stage(place, step, source),
            // These have their own ways: they need more than a name in one folder.
            _ => Err(Error::Changed),
        })
    }

    fn settle(&self, prepared: &[&Prepared<R::Staged>]) -> Result<()> {
        if self.settles == Settles::No {
            return Ok(());
        }
        let contents = prepared.iter().filter(|one| one.bytes.is_some_and(|bytes| bytes > 0));
        let contents: Vec<_> = contents.filter_map(|one| one.staged.as_ref()).collect();
        self.disk.ask(|| self.replica.settle(&contents))
    }

    fn must_settle_names(&self, device: Option<u64>) -> bool {
        self.settles != Settles::No && !self.replica.sync_reaches(device)
    }

    fn settle_names(&self, folder: &R::Folder, names: &[&Name]) -> Result<()> {
        self.disk.ask(|| {
            names.iter().try_for_each(|name| self.replica.settle_name(folder, name))?;
            self.replica.settle_folder(folder)
        })
    }

    fn take_in_motion(&self, place: &Place<S, R>, step: &Step) -> Result<Done> {
        self.deeds.with_room(takes(step), || self.publish_in_motion(place, step))
    }

    fn publish(&self, place: &Place<S, R>, step: &Step, prepared: Prepared<R::Staged>) -> Result<Done> {
        // As the log has it, with the wait for others that go to the disk with it.
        let took = prepared.took();
        let Prepared { staged, bytes, lacks, has_writers, .. } = prepared;
        let staged = staged.ok_or(Error::Changed)?;
        let patch = self.replica.changes_in_place(&staged);
        let put = |folder: &R::Folder, over: Option<Over<'_>>| {
            self.replica.publish(folder, &step.name, staged, over)
        };
        let more = |deed: Deed| Deed { took, patch, ..deed };
        let done = self.put(place, step, (step.verb.replaces(), more), put)?;
        if self.settles == Settles::Each {
            let folder = &*place.replica(self.replica)?;
            self.disk.ask(|| self.replica.settle_folder(folder))?;
        }
        Ok(Done { bytes, lacks, has_writers, ..done })
    }

    fn make_folder(&self, place: &Place<S, R>, step: &Step) -> Result<(Option<R::Folder>, Option<String>)> {
        let mut made = None;
        let done = self.put(place, step, (step.verb.replaces(), as_it_is), |folder, over| {
            let folder = made.insert(self.replica.make_folder(folder, &step.name, over)?);
            self.replica.stamp(folder)
        })?;
        Ok((made, done.kept))
    }

    fn check_inside(&self, place: &Place<S, R>) -> Result<()> {
        self.replica.check_below(&*place.replica(self.replica)?, place.depth())
    }

    fn link(
        &self,
        from: (&Place<S, R>, &Name),
        expected: &Stamp,
        place: &Place<S, R>,
        step: &Step,
    ) -> Result<Done> {
        let origin = &*from.0.replica(self.replica)?;
        self.put(place, step, (step.verb.replaces(), as_it_is), |folder, over| {
            self.replica.link((origin, from.1), (folder, &step.name), expected, over)
        })
    }

    fn rename(&self, from: Standing<'_, R::Folder>, place: &Place<S, R>, step: &Step) -> Result<Done> {
        let step = &standing(step, from.2);
        let Verb::Rename { replica, replaces, .. } = &step.verb else { return Err(Error::Changed) };
        self.put(place, step, (replaces.as_ref(), as_it_is), |folder, over| {
            self.replica.rename((from.0, from.1), (folder, &step.name), replica, over)
        })
    }

    fn exchange(&self, from: Standing<'_, R::Folder>, place: &Place<S, R>, step: &Step) -> Result<Done> {
        let step = &standing(step, from.2);
        let folder = &*place.replica(self.replica)?;
        let Verb::Rename { replica, replaces: Some(other), .. } = &step.verb else {
            return Err(Error::Changed);
        };
        let now = self.replica.exchange((from.0, from.1, replica), (folder, &step.name, other))?;
        self.write_down(place, step, &now, |deed| Deed { swapped: true, old: Some(other.into()), ..deed });
        Ok(Done::looks(now))
    }

    fn note_left(&self, path: &RelPath, stamp: &Stamp) {
        self.deeds.add(Deed { old: Some(stamp.into()), ..self.deeds.plain(path, Action::Meta) });
    }

    fn remove(&self, folder: &R::Folder, path: &RelPath, step: &Step) -> Result<Option<String>> {
        let (Verb::Delete { replica } | Verb::Rmdir { replica }) = &step.verb else {
            return Err(Error::Changed);
        };
        let take = |over: Over<'_>| self.replica.remove(folder, &step.name, over);
        self.deeds.take_away((path, step), (replica, as_it_is), take, |()| None).map(|((), kept)| kept)
    }

    fn keeps(&self, replica: &Stamp) -> Option<bool> {
        self.deeds.trash.map(|trash| trash.device() == replica.dev)
    }

    fn open_kept(&self, kept: &str) -> Result<(R::Folder, Name)> {
        let (bucket, name) = self.deeds.trash.and_then(|trash| trash.find(kept)).ok_or(Error::Changed)?;
        Ok((self.replica.open_kept(&bucket.folder)?, name))
    }

    fn let_go(&self, stays: &mut dyn FnMut(&RelPath, &Look) -> bool) {
        self.deeds.let_go(stays);
    }

    fn note_staying(&self, replica: &Stamp, path: RelPath) {
        self.deeds.note_staying(replica, path);
    }

    fn dress(&self, place: &Place<S, R>) -> Result<()> {
        let folder = &*place.replica(self.replica)?;
        let xattrs = self.source.folder_xattrs(&*place.source(self.source)?, self.policy.xattrs)?;
        let want = Want::of(&place.source_stamp, xattrs, &self.policy);
        let old = place.replica_stamp.as_ref().filter(|_| self.deeds.trash.is_some());
        self.note_xattrs(place, folder)?;
        let now = self.replica.set_folder_attrs(folder, &want, &|| self.check_inside(place))?;
        if let Some(old) = old {
            let deed = self.deeds.plain(&place.path(), Action::Meta);
            let xattrs = place.xattrs_before.get().cloned();
            self.deeds.add(Deed { old: Some(old.into()), xattrs, now: Some((&now).into()), ..deed });
        }
        Ok(())
    }

    fn narrow(&self, place: &Place<S, R>, now: &Stamp) -> Result<()> {
        let folder = &*place.replica(self.replica)?;
        let xattrs = self.source.folder_xattrs(&*place.source(self.source)?, self.policy.xattrs)?;
        let want = Want::of(&place.source_stamp, xattrs, &self.policy);
        self.note_xattrs(place, folder)?;
        let want = Want { mode: want.mode & now.mode, ..want };
        self.replica.set_folder_attrs(folder, &want, &|| self.check_inside(place)).map(drop)
    }

    fn unlock(&self, folder: &R::Folder, stamp: &Stamp) -> Result<bool> {
        self.replica.unlock(folder, stamp)
    }

    fn sync(&self) -> Result<()> {
        if self.sync { self.disk.ask(|| self.replica.sync()) } else { Ok(()) }
    }
}

fn as_it_is(deed: Deed) -> Deed {
    deed
}

/// A rename as it is done: from where it stands, not from where it stood when the pass began.
fn standing(step: &Step, from: &RelPath) -> Step {
    let mut step = step.clone();
    if let Verb::Rename { from: stood, .. } = &mut step.verb {
        stood.clone_from(from);
    }
    step
}

/// What a step takes on the disk: less than its length where it has holes.
fn takes(step: &Step) -> u64 {
    step.verb.source().map_or(0, |source| source.size.min(source.blocks * BLOCK))
}
