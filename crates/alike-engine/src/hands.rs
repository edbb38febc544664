//! Takes steps: for real, or in a rehearsal that takes none.
//!
//! A pass does not know which of the two it has: a plan is what a pass does with [`Rehearsing`] hands.

use alike_model::entry::{Kind, Stamp};
use alike_model::path::Name;
use alike_model::plan::{Step, Verb};
use alike_model::policy::{Compare, Policy};
use alike_storage::{Error, New, Replica, Result, Source, Want};

use crate::place::Place;

/// What became of a step.
#[derive(Debug, Default)]
pub(crate) struct Done {
    /// How the replica's entry looks now; `None` when it is gone, and in a rehearsal.
    pub(crate) replica: Option<Stamp>,
    /// Bytes copied.
    pub(crate) bytes: Option<u64>,
    /// An extended attribute that could not be set: it was done, but both sides are not equal.
    pub(crate) lacks: Option<Error>,
}

impl Done {
    /// Done, and no bytes were copied.
    pub(crate) fn looks(replica: Stamp) -> Self {
        Self { replica: Some(replica), ..Self::default() }
    }
}

/// Takes steps.
pub(crate) trait Hands<S: Source, R: Replica>: Sync {
    /// Takes a step that makes, replaces or dresses an entry that is no folder.
    fn take(&self, place: &Place<S, R>, step: &Step) -> Result<Done>;

    /// Makes a folder; `None` in a rehearsal.
    fn make_folder(&self, place: &Place<S, R>, step: &Step) -> Result<Option<R::Folder>>;

    /// True when a folder that is held open stands at a name in `parent`; a rehearsal has moved none.
    fn is_at(&self, parent: &Place<S, R>, name: &Name, place: &Place<S, R>) -> Result<bool>;

    /// How an entry looks that was seen before; in a rehearsal nothing has changed it.
    fn look_anew(&self, place: &Place<S, R>, name: &Name, seen: &Stamp) -> Result<Option<Stamp>>;

    /// Makes a name in `place` one more of what is at another.
    fn link(
        &self,
        from: (&Place<S, R>, &Name),
        expected: &Stamp,
        place: &Place<S, R>,
        step: &Step,
    ) -> Result<Done>;

    /// Renames into `place`.
    fn rename(&self, from: (&R::Folder, &Name), place: &Place<S, R>, step: &Step) -> Result<Done>;

    /// Lets an entry and the one in `place` that the step replaces change names.
    fn exchange(&self, from: (&R::Folder, &Name), place: &Place<S, R>, step: &Step) -> Result<Done>;

    /// Removes one entry, or one folder that is empty by then.
    fn remove(&self, folder: &R::Folder, step: &Step) -> Result<()>;

    /// Gives an open folder its own attributes.
    fn dress(&self, place: &Place<S, R>) -> Result<()>;

    /// Takes from an open folder what it may not have in the end, before anything in it is changed; the rest is left to
    /// `dress`.
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
    pub(crate) interrupted: &'a (dyn Fn() -> bool + Sync),
}

impl<S: Source, R: Replica> Working<'_, S, R> {
    /// Makes an entry like the source's and gives it its name: the only way in which contents reach a replica.
    fn publish(
        &self,
        place: &Place<S, R>,
        step: &Step,
        source: &Stamp,
        replaces: Option<&Stamp>,
    ) -> Result<Done> {
        let folder = &*place.replica(self.replica)?;
        let original = &*place.source(self.source)?;
        match source.kind {
            Kind::Folder => Err(Error::Changed),
            Kind::File => {
                let content = self.source.read_file(original, &step.name)?;
                let new = New::File {
                    content: &content,
                    like: source,
                    // Changed in place, a file is newer for a moment: a pass that leaves newer files alone would leave a
                    // change that broke off.
                    over: replaces
                        .filter(|_| self.policy.compare != Compare::Newer)
                        .map(|old| (&step.name, old)),
                    want: Want::of(source, content.xattrs(self.policy.xattrs)?, &self.policy),
                    interrupted: &self.interrupted,
                };
                let (staged, lacks) = self.replica.stage(folder, new)?;
                // Nothing touched it while it was read, or what was read is not published.
                if !content.stamp()?.is_untouched_since(source) {
                    return Err(Error::Changed);
                }
                let now = self.replica.publish(folder, &step.name, staged, replaces)?;
                Ok(Done { replica: Some(now), bytes: Some(source.size), lacks })
            }
            Kind::Symlink => {
                let target = self.source.read_link(original, &step.name)?;
                let want = self.want(place, step, source)?;
                let (staged, lacks) = self.replica.stage(folder, New::Symlink { target: &target, want })?;
                if !self.source.look(original, &step.name)?.is_some_and(|now| now.is_untouched_since(source))
                {
                    return Err(Error::Changed);
                }
                let now = self.replica.publish(folder, &step.name, staged, replaces)?;
                Ok(Done { lacks, ..Done::looks(now) })
            }
            Kind::Fifo | Kind::Socket | Kind::BlockDevice | Kind::CharDevice => {
                let want = self.want(place, step, source)?;
                let (staged, lacks) = self.replica.stage(folder, New::Special { like: source, want })?;
                let now = self.replica.publish(folder, &step.name, staged, replaces)?;
                Ok(Done { lacks, ..Done::looks(now) })
            }
        }
    }

    /// The attributes of an entry that is not opened.
    fn want(&self, place: &Place<S, R>, step: &Step, source: &Stamp) -> Result<Want> {
        let original = &*place.source(self.source)?;
        let xattrs = self.source.xattrs(original, &step.name, self.policy.xattrs)?;
        Ok(Want::of(source, xattrs, &self.policy))
    }
}

impl<S: Source, R: Replica> Hands<S, R> for Working<'_, S, R> {
    fn take(&self, place: &Place<S, R>, step: &Step) -> Result<Done> {
        let folder = &*place.replica(self.replica)?;
        match &step.verb {
            Verb::Create { source } => self.publish(place, step, source, None),
            Verb::Update { source, replica } => self.publish(place, step, source, Some(replica)),
            Verb::Meta { source, replica } => {
                let want = self.want(place, step, source)?;
                self.replica.set_attrs(folder, &step.name, replica, &want).map(Done::looks)
            }
            // These have their own ways: they need more than a name in one folder.
            Verb::Mkdir { .. }
            | Verb::Link { .. }
            | Verb::Rename { .. }
            | Verb::Delete { .. }
            | Verb::Rmdir { .. } => Err(Error::Changed),
        }
    }

    fn make_folder(&self, place: &Place<S, R>, step: &Step) -> Result<Option<R::Folder>> {
        let folder = &*place.replica(self.replica)?;
        self.replica.make_folder(folder, &step.name, step.verb.replaces()).map(Some)
    }

    fn is_at(&self, parent: &Place<S, R>, name: &Name, place: &Place<S, R>) -> Result<bool> {
        let held = self.replica.stamp(&*place.replica(self.replica)?)?;
        let there = self.replica.look(&*parent.replica(self.replica)?, name)?;
        Ok(there.is_some_and(|there| there.identity() == held.identity()))
    }

    fn look_anew(&self, place: &Place<S, R>, name: &Name, _: &Stamp) -> Result<Option<Stamp>> {
        self.replica.look(&*place.replica(self.replica)?, name)
    }

    fn link(
        &self,
        from: (&Place<S, R>, &Name),
        expected: &Stamp,
        place: &Place<S, R>,
        step: &Step,
    ) -> Result<Done> {
        let folder = &*place.replica(self.replica)?;
        let origin = &*from.0.replica(self.replica)?;
        let replaces = step.verb.replaces();
        self.replica.link((origin, from.1), (folder, &step.name), expected, replaces).map(Done::looks)
    }

    fn rename(&self, from: (&R::Folder, &Name), place: &Place<S, R>, step: &Step) -> Result<Done> {
        let folder = &*place.replica(self.replica)?;
        let Verb::Rename { replica, replaces, .. } = &step.verb else { return Err(Error::Changed) };
        self.replica.rename(from, (folder, &step.name), replica, replaces.as_ref()).map(Done::looks)
    }

    fn exchange(&self, from: (&R::Folder, &Name), place: &Place<S, R>, step: &Step) -> Result<Done> {
        let folder = &*place.replica(self.replica)?;
        let Verb::Rename { replica, replaces: Some(other), .. } = &step.verb else {
            return Err(Error::Changed);
        };
        self.replica.exchange((from.0, from.1, replica), (folder, &step.name, other)).map(Done::looks)
    }

    fn remove(&self, folder: &R::Folder, step: &Step) -> Result<()> {
        match &step.verb {
            Verb::Delete { replica } => self.replica.remove_file(folder, &step.name, replica),
            Verb::Rmdir { replica } => self.replica.remove_folder(folder, &step.name, replica),
            _ => Err(Error::Changed),
        }
    }

    fn dress(&self, place: &Place<S, R>) -> Result<()> {
        let folder = &*place.replica(self.replica)?;
        let xattrs = self.source.folder_xattrs(&*place.source(self.source)?, self.policy.xattrs)?;
        let want = Want::of(&place.source_stamp, xattrs, &self.policy);
        self.replica.set_folder_attrs(folder, &want).map(drop)
    }

    fn narrow(&self, place: &Place<S, R>, now: &Stamp) -> Result<()> {
        let folder = &*place.replica(self.replica)?;
        let xattrs = self.source.folder_xattrs(&*place.source(self.source)?, self.policy.xattrs)?;
        let want = Want::of(&place.source_stamp, xattrs, &self.policy);
        self.replica.set_folder_attrs(folder, &Want { mode: want.mode & now.mode, ..want }).map(drop)
    }

    fn unlock(&self, folder: &R::Folder, stamp: &Stamp) -> Result<bool> {
        self.replica.unlock(folder, stamp)
    }

    fn sync(&self) -> Result<()> {
        if self.sync { self.replica.sync() } else { Ok(()) }
    }
}

/// Hands that touch nothing.
pub(crate) struct Rehearsing;

impl<S: Source, R: Replica> Hands<S, R> for Rehearsing {
    fn take(&self, _: &Place<S, R>, step: &Step) -> Result<Done> {
        let bytes = match &step.verb {
            Verb::Create { source } | Verb::Update { source, .. } if source.kind == Kind::File => {
                Some(source.size)
            }
            _ => None,
        };
        Ok(Done { bytes, ..Done::default() })
    }

    fn make_folder(&self, _: &Place<S, R>, _: &Step) -> Result<Option<R::Folder>> {
        Ok(None)
    }

    fn is_at(&self, _: &Place<S, R>, _: &Name, _: &Place<S, R>) -> Result<bool> {
        Ok(true)
    }

    fn look_anew(&self, _: &Place<S, R>, _: &Name, seen: &Stamp) -> Result<Option<Stamp>> {
        Ok(Some(*seen))
    }

    fn link(&self, _: (&Place<S, R>, &Name), _: &Stamp, _: &Place<S, R>, _: &Step) -> Result<Done> {
        Ok(Done::default())
    }

    fn rename(&self, _: (&R::Folder, &Name), _: &Place<S, R>, _: &Step) -> Result<Done> {
        Ok(Done::default())
    }

    fn exchange(&self, _: (&R::Folder, &Name), _: &Place<S, R>, _: &Step) -> Result<Done> {
        Ok(Done::default())
    }

    fn remove(&self, _: &R::Folder, _: &Step) -> Result<()> {
        Ok(())
    }

    fn dress(&self, _: &Place<S, R>) -> Result<()> {
        Ok(())
    }

    fn narrow(&self, _: &Place<S, R>, _: &Stamp) -> Result<()> {
        Ok(())
    }

    fn unlock(&self, _: &R::Folder, _: &Stamp) -> Result<bool> {
        Ok(false)
    }

    fn sync(&self) -> Result<()> {
        Ok(())
    }
}
