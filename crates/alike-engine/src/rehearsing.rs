//! Hands that touch nothing: a plan is what a pass does with them.

use alike_model::entry::{Kind, Stamp};
use alike_model::path::{Name, RelPath};
use alike_model::plan::{Step, Verb};
use alike_storage::{Error, Replica, Result, Source};

use crate::hands::{Done, Hands, Prepared, Standing};
use crate::history::Look;
use crate::place::Place;

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

    fn take_in_motion(&self, place: &Place<S, R>, step: &Step) -> Result<Done> {
        self.take(place, step)
    }

    fn prepare(&self, place: &Place<S, R>, step: &Step) -> Result<Prepared<R::Staged>> {
        let done = self.take(place, step)?;
        Ok(Prepared { staged: None, bytes: done.bytes, lacks: None, has_writers: false, slow_since: None })
    }

    fn settle(&self, _: &[&Prepared<R::Staged>]) -> Result<()> {
        Ok(())
    }

    fn must_settle_names(&self, _: Option<u64>) -> bool {
        false
    }

    fn settle_names(&self, _: &R::Folder, _: &[&Name]) -> Result<()> {
        Ok(())
    }

    fn publish(&self, _: &Place<S, R>, _: &Step, prepared: Prepared<R::Staged>) -> Result<Done> {
        Ok(Done { bytes: prepared.bytes, ..Done::default() })
    }

    fn make_folder(&self, _: &Place<S, R>, _: &Step) -> Result<(Option<R::Folder>, Option<String>)> {
        Ok((None, None))
    }

    fn check_inside(&self, _: &Place<S, R>) -> Result<()> {
        Ok(())
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

    fn rename(&self, _: Standing<'_, R::Folder>, _: &Place<S, R>, _: &Step) -> Result<Done> {
        Ok(Done::default())
    }

    fn exchange(&self, _: Standing<'_, R::Folder>, _: &Place<S, R>, _: &Step) -> Result<Done> {
        Ok(Done::default())
    }

    fn note_left(&self, _: &RelPath, _: &Stamp) {}

    fn remove(&self, _: &R::Folder, _: &RelPath, _: &Step) -> Result<Option<String>> {
        Ok(None)
    }

    fn keeps(&self, _: &Stamp) -> Option<bool> {
        None
    }

    fn open_kept(&self, _: &str) -> Result<(R::Folder, Name)> {
        Err(Error::Changed)
    }

    fn let_go(&self, _: &mut dyn FnMut(&RelPath, &Look) -> bool) {}

    fn note_staying(&self, _: &Stamp, _: RelPath) {}

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
