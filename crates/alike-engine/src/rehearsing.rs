//! Hands that touch nothing: a plan is what a pass does with them, on a replica in thought.

use std::convert::Infallible;

use alike_model::entry::{Kind, Stamp};
use alike_model::path::{Name, RelPath};
use alike_model::plan::{Step, Verb};
use alike_storage::{Error, Over, Replica, Result, Source};

use crate::hands::{Done, Hands, Prepared, Standing};
use crate::history::Look;
use crate::pass::Work;
use crate::place::Place;
use crate::thought::{InThought, Thought};

/// Hands that touch nothing. What they would rename, make or take away as a name, they do in thought.
pub(crate) struct Rehearsing<'a, R>(pub(crate) &'a Thought<'a, R>);

impl<S: Source, R: Replica> Work<'_, S, R> {
    /// The same work on this replica.
    pub(crate) fn on<'a, T: Replica>(&'a self, replica: &'a T) -> Work<'a, S, T> {
        Work {
            replica,
            source: self.source,
            replica_top: self.replica_top,
            roots: self.roots.clone(),
            index: self.index,
            policy: self.policy,
            refuses: self.refuses.clone(),
            filter: self.filter,
            monitor: self.monitor,
            watch: self.watch,
            clock: self.clock,
            stop: self.stop,
            threads: self.threads,
            pace: self.pace,
            sync: self.sync,
            settles: self.settles,
            trash: self.trash,
            patient: self.patient,
            beside_full: self.beside_full,
            siblings: self.siblings,
            held_folders: self.held_folders,
        }
    }
}

/// A place of a rehearsal.
type Here<'a, S, R> = Place<S, Thought<'a, R>>;
/// A folder of its replica.
type There<R> = InThought<<R as Source>::Folder>;

impl<'a, S: Source, R: Replica> Hands<S, Thought<'a, R>> for Rehearsing<'a, R> {
    fn take(&self, _: &Here<'a, S, R>, step: &Step) -> Result<Done> {
        let bytes = match &step.verb {
            Verb::Create { source } | Verb::Update { source, .. } if source.kind == Kind::File => {
                Some(source.size)
            }
            _ => None,
        };
        Ok(Done { bytes, ..Done::default() })
    }

    fn take_in_motion(&self, place: &Here<'a, S, R>, step: &Step) -> Result<Done> {
        self.take(place, step)
    }

    fn prepare(&self, place: &Here<'a, S, R>, step: &Step) -> Result<Prepared<Infallible>> {
        let done = self.take(place, step)?;
        Ok(Prepared { staged: None, bytes: done.bytes, lacks: None, has_writers: false, slow_since: None })
    }

    fn settle(&self, _: &[&Prepared<Infallible>]) -> Result<()> {
        Ok(())
    }

    fn must_settle_names(&self, _: Option<u64>) -> bool {
        false
    }

    fn settle_names(&self, _: &There<R>, _: &[&Name]) -> Result<()> {
        Ok(())
    }

    fn publish(&self, _: &Here<'a, S, R>, _: &Step, prepared: Prepared<Infallible>) -> Result<Done> {
        Ok(Done { bytes: prepared.bytes, ..Done::default() })
    }

    fn make_folder(&self, place: &Here<'a, S, R>, step: &Step) -> Result<(Option<There<R>>, Option<String>)> {
        let made = match place.has_replica {
            true => Some(self.0.make_folder(&*place.replica(self.0)?, &step.name, None)?),
            false => None,
        };
        Ok((made, None))
    }

    fn check_inside(&self, _: &Here<'a, S, R>) -> Result<()> {
        Ok(())
    }

    fn link(&self, _: (&Here<'a, S, R>, &Name), _: &Stamp, _: &Here<'a, S, R>, _: &Step) -> Result<Done> {
        Ok(Done::default())
    }

    fn rename(&self, from: Standing<'_, There<R>>, place: &Here<'a, S, R>, step: &Step) -> Result<Done> {
        let Verb::Rename { replica, .. } = &step.verb else { return Err(Error::Changed) };
        let folder = place.replica(self.0)?;
        self.0.rename((from.0, from.1), (&*folder, &step.name), replica, None).map(Done::looks)
    }

    fn exchange(&self, from: Standing<'_, There<R>>, place: &Here<'a, S, R>, step: &Step) -> Result<Done> {
        let Verb::Rename { replica, replaces: Some(other), .. } = &step.verb else {
            return Err(Error::Changed);
        };
        let folder = place.replica(self.0)?;
        self.0.exchange((from.0, from.1, replica), (&*folder, &step.name, other)).map(Done::looks)
    }

    fn note_left(&self, _: &RelPath, _: &Stamp) {}

    fn remove(&self, folder: &There<R>, _: &RelPath, step: &Step) -> Result<Option<String>> {
        let (Verb::Delete { replica } | Verb::Rmdir { replica }) = &step.verb else {
            return Err(Error::Changed);
        };
        self.0.remove(folder, &step.name, Over { stamp: replica, keep: None }).map(|()| None)
    }

    fn keeps(&self, _: &Stamp) -> Option<bool> {
        None
    }

    fn open_kept(&self, _: &str) -> Result<(There<R>, Name)> {
        Err(Error::Changed)
    }

    fn let_go(&self, _: &mut dyn FnMut(&RelPath, &Look) -> bool) {}

    fn note_staying(&self, _: &Stamp, _: RelPath) {}

    fn dress(&self, _: &Here<'a, S, R>) -> Result<()> {
        Ok(())
    }

    fn narrow(&self, _: &Here<'a, S, R>, _: &Stamp) -> Result<()> {
        Ok(())
    }

    fn unlock(&self, _: &There<R>, _: &Stamp) -> Result<bool> {
        Ok(false)
    }

    fn sync(&self) -> Result<()> {
        Ok(())
    }
}
