//! Taking a name from what has it: what was there is kept under another name, or goes for good.
//!
//! The new entry waits under the name that is to keep the old one, and the two change places in one step: whoever looks sees
//! the old or the new, and a crash leaves both.

use std::os::fd::{AsFd, BorrowedFd};

use alike_model::entry::{Kind, Stamp};
use alike_model::path::Name;
use rustix::io::Errno;

use crate::error::{Error, Result, is_any};
use crate::flags::refused;
use crate::linux;
use crate::local::{Folder, Local};

/// What stands at a name that is to be taken or freed.
#[derive(Clone, Copy, Debug)]
pub struct Over<'a> {
    /// How it looks; anything else is left alone.
    pub stamp: &'a Stamp,
    /// The folder, on the same filesystem, and the free name there under which it is kept; `None`: it goes for good.
    pub keep: Option<(&'a Folder, &'a Name)>,
}

/// A name in an open folder.
type At<'a> = (&'a Folder, &'a Name);

impl Local {
    /// Gives an inode a name that is taken: a link cannot take the place of a name, so it gets another one first.
    pub(crate) fn name_over(&self, inode: BorrowedFd<'_>, at: At<'_>, over: Over<'_>) -> Result<()> {
        let failed = |cause| refused("give it its name", (at.0, Some(at.1)), cause);
        self.must_be(at.0, at.1, Some(over.stamp))?;
        if let Some(keep) = over.keep {
            linux::link_nameless(inode, keep.0.descriptor(), keep.1).map_err(failed)?;
            return self.swap_in(keep, at, over.stamp);
        }
        let mut temporary = self.temporary(at.0.descriptor()).map_err(failed)?;
        let Some(private) = temporary.name.clone() else { return Err(Error::Changed) };
        linux::link_nameless(inode, temporary.folder.as_fd(), &private).map_err(failed)?;
        temporary.rename_over(at.0, at.1).map_err(failed)
    }

    /// Makes a folder where something else is, so that the name is never missing.
    pub(crate) fn make_folder_over(&self, at: At<'_>, over: Over<'_>) -> Result<()> {
        let failed = |cause| refused("put a folder in its place", (at.0, Some(at.1)), cause);
        if let Some(keep) = over.keep {
            linux::make_folder(keep.0.descriptor(), keep.1).map_err(failed)?;
            return self.swap_in(keep, at, over.stamp);
        }
        let mut temporary = self.temporary(at.0.descriptor()).map_err(failed)?;
        let Some(private) = temporary.name.take() else { return Err(Error::Changed) };
        let staging = Folder(temporary.folder.try_clone().map_err(failed)?);
        linux::make_folder(staging.descriptor(), &private).map_err(failed)?;
        self.swap_in((&staging, &private), at, over.stamp)?;
        // The old entry has the temporary name now, and is dropped with it.
        temporary.name = Some(private);
        Ok(())
    }

    /// Lets what is at `new` take the place of what is at `at`, which is at `new` then. When that fails, what was at `new`
    /// is gone.
    pub(crate) fn swap_in(&self, new: At<'_>, at: At<'_>, expected: &Stamp) -> Result<()> {
        let failed = |cause| refused("put it in its place", (at.0, Some(at.1)), cause);
        let (here, there) = ((new.0.descriptor(), new.1), (at.0.descriptor(), at.1));
        let swapped =
            self.must_be(at.0, at.1, Some(expected)).and_then(|()| match linux::exchange(here, there) {
                Err(cause) if is_any(&cause, &[Errno::INVAL, Errno::NOSYS, Errno::OPNOTSUPP]) => {
                    self.swap_by_turns(new, at).map_err(failed)
                }
                other => other.map_err(failed),
            });
        if swapped.is_err() {
            // Best effort: what stays in staging or the trash is cleared by a later pass.
            let _ = linux::remove_file(here.0, here.1).or_else(|_| linux::remove_folder(here.0, here.1));
        }
        swapped
    }

    /// The same where names cannot be exchanged (NFS): the old entry gets the other name as well before its own is taken.
    /// Without hard links, too, there is a moment without the name.
    fn swap_by_turns(&self, new: At<'_>, at: At<'_>) -> std::io::Result<()> {
        let (here, there) = ((new.0.descriptor(), new.1), (at.0.descriptor(), at.1));
        let aside = [new.1.as_bytes(), b".new"].concat();
        let Some(aside) = Name::new(&aside) else { return Err(std::io::ErrorKind::InvalidInput.into()) };
        let aside = (here.0, &aside);
        linux::rename_to_free(here, aside)?;
        let is_folder = linux::look(aside.0, aside.1)?.is_some_and(|now| now.kind == Kind::Folder);
        let put = match !is_folder && self.keep_by_link(at, new).is_ok() {
            true => linux::rename_over(aside, there),
            false => linux::rename_to_free(there, here).and_then(|()| linux::rename_to_free(aside, there)),
        };
        if put.is_err() {
            // What was there goes back, unless it never left.
            let _ = linux::rename_to_free(here, there);
            let _ = linux::rename_to_free(aside, here);
        }
        put
    }

    /// Gives what is at a name one more name.
    fn keep_by_link(&self, at: At<'_>, keep: At<'_>) -> std::io::Result<()> {
        let held = linux::hold(at.0.descriptor(), at.1)?;
        linux::link_nameless(held.as_fd(), keep.0.descriptor(), keep.1)
    }

    /// Renames to a name that is taken.
    pub(crate) fn rename_to_taken(&self, from: At<'_>, to: At<'_>, over: Over<'_>) -> Result<()> {
        let failed = |cause| refused("rename it", (from.0, Some(from.1)), cause);
        self.must_be(to.0, to.1, Some(over.stamp))?;
        let (old, new) = ((from.0.descriptor(), from.1), (to.0.descriptor(), to.1));
        match over.keep {
            // With a second name it is never missing; what can have none leaves first.
            Some(keep) if self.keep_by_link(to, keep).is_err() => {
                let kept = (keep.0.descriptor(), keep.1);
                linux::rename_to_free(new, kept).map_err(failed)?;
                linux::rename_to_free(old, new).map_err(|cause| {
                    let _ = linux::rename_to_free(kept, new);
                    failed(cause)
                })
            }
            Some(keep) => linux::rename_over(old, new).map_err(|cause| {
                let _ = linux::remove_file(keep.0.descriptor(), keep.1);
                failed(cause)
            }),
            None => linux::rename_over(old, new).map_err(failed),
        }
    }

    /// Frees a name.
    pub(crate) fn free(&self, at: At<'_>, over: Over<'_>) -> Result<()> {
        let is_folder = over.stamp.kind == Kind::Folder;
        // What is done to another name of an inode, deleting it for one, changes its times.
        let is_it = |now: &Stamp| now.identity() == over.stamp.identity() && now.kind == over.stamp.kind;
        let may_differ = !is_folder && over.stamp.nlink > 1;
        if !may_differ || !crate::Source::look(self, at.0, at.1)?.as_ref().is_some_and(is_it) {
            self.must_be(at.0, at.1, Some(over.stamp))?;
        }
        let there = (at.0.descriptor(), at.1);
        let freed = match (over.keep, is_folder) {
            (Some(keep), _) => linux::rename_to_free(there, (keep.0.descriptor(), keep.1)),
            (None, true) => linux::remove_folder(there.0, there.1),
            (None, false) => linux::remove_file(there.0, there.1),
        };
        let op = if is_folder { "delete the folder" } else { "delete it" };
        freed.map_err(|cause| refused(op, (at.0, Some(at.1)), cause))
    }
}
