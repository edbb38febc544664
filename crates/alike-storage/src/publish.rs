//! Staging and publishing: an entry is made whole where nobody sees it, then gets its name in one step.
//!
//! A new file has no name at all until then (`O_TMPFILE`), so a crash leaves nothing behind. What replaces something, and
//! what cannot be nameless, is made in `.alike/staging`, which the next pass clears.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::Ordering;

use alike_model::entry::Stamp;
use alike_model::path::{Name, OWN_FOLDER};

use crate::error::{Error, Result};
use crate::local::{Folder, Local};
use crate::{New, Want, linux};

/// An entry that is whole but has no name in the tree.
#[derive(Debug)]
pub struct Staged(Place);

#[derive(Debug)]
enum Place {
    /// A file without any name.
    Nameless(OwnedFd),
    /// A name in a staging folder.
    Named(Temporary),
}

/// A name in a staging folder, removed when it is dropped before it was used.
#[derive(Debug)]
struct Temporary {
    folder: OwnedFd,
    name: Option<Name>,
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Some(name) = &self.name {
            // Best effort: what stays is cleared by the next pass.
            let _ = linux::remove_file(self.folder.as_fd(), name);
        }
    }
}

impl Local {
    pub(crate) fn stage_new(&self, folder: &Folder, new: New<'_>) -> Result<Staged> {
        match new {
            New::File { content, size, want, interrupted } => {
                let failed = |cause: std::io::Error| match cause.kind() {
                    std::io::ErrorKind::Interrupted => Error::Interrupted,
                    _ => Error::of("copy it", cause),
                };
                let fill = |file: BorrowedFd<'_>| {
                    linux::copy(content.descriptor(), file, size, interrupted)?;
                    dress(file, &want)
                };
                self.stage_file(folder, fill).map_err(failed)
            }
            New::Symlink { target, want } => {
                let make = |at: &OwnedFd, name: &Name| linux::make_symlink(at.as_fd(), name, target);
                self.stage_named(folder, make, &want, false)
                    .map_err(|cause| Error::of("make the symlink", cause))
            }
            New::Special { like, want } => {
                let make = |at: &OwnedFd, name: &Name| linux::make_special(at.as_fd(), name, like);
                self.stage_named(folder, make, &want, true)
                    .map_err(|cause| Error::of("make the special file", cause))
            }
        }
    }

    pub(crate) fn publish_staged(
        &self,
        folder: &Folder,
        name: &Name,
        staged: Staged,
        replaces: Option<&Stamp>,
    ) -> Result<Stamp> {
        let failed = |cause| Error::of("give it its name", cause);
        let at = folder.descriptor();
        match (staged.0, replaces) {
            (Place::Nameless(file), None) => {
                linux::link_nameless(file.as_fd(), at, name).map_err(failed)?;
                return linux::look_at_open(file.as_fd()).map_err(failed);
            }
            (Place::Nameless(file), Some(_)) => {
                // A link cannot take the place of a name, so it gets one in staging first.
                self.must_be(folder, name, replaces)?;
                let mut temporary = self.temporary(at).map_err(failed)?;
                let Some(private) = temporary.name.clone() else { return Err(Error::Changed) };
                linux::link_nameless(file.as_fd(), temporary.folder.as_fd(), &private).map_err(failed)?;
                temporary.rename_over(folder, name).map_err(failed)?;
            }
            (Place::Named(mut temporary), None) => temporary.rename_to_free(folder, name).map_err(failed)?,
            (Place::Named(mut temporary), Some(_)) => {
                self.must_be(folder, name, replaces)?;
                temporary.rename_over(folder, name).map_err(failed)?;
            }
        }
        linux::look(at, name).map_err(failed)?.ok_or(Error::Changed)
    }

    /// Makes a folder in staging and lets it change places with what is in the way, so that the name is never missing.
    pub(crate) fn make_folder_over(&self, parent: &Folder, name: &Name, old: &Stamp) -> Result<()> {
        let failed = |cause| Error::of("put a folder in its place", cause);
        let mut temporary = self.temporary(parent.descriptor()).map_err(failed)?;
        let Some(private) = temporary.name.clone() else { return Err(Error::Changed) };
        linux::make_folder(temporary.folder.as_fd(), &private).map_err(failed)?;
        let swapped = self.must_be(parent, name, Some(old)).and_then(|()| {
            linux::exchange((temporary.folder.as_fd(), &private), (parent.descriptor(), name)).map_err(failed)
        });
        if swapped.is_err() {
            temporary.name = None;
            // Best effort: what stays is cleared by the next pass.
            let _ = linux::remove_folder(temporary.folder.as_fd(), &private);
        }
        swapped // The old entry is dropped with the temporary, whose name it has now.
    }

    /// A file without a name where the filesystem has such a thing, else one in staging.
    fn stage_file(
        &self,
        folder: &Folder,
        fill: impl FnOnce(BorrowedFd<'_>) -> std::io::Result<()>,
    ) -> std::io::Result<Staged> {
        use rustix::io::Errno;
        let unsupported =
            [Errno::OPNOTSUPP, Errno::ISDIR, Errno::INVAL].map(|errno| Some(errno.raw_os_error()));
        match linux::create_nameless(folder.descriptor()) {
            Ok(file) => {
                fill(file.as_fd())?;
                Ok(Staged(Place::Nameless(file)))
            }
            Err(error) if unsupported.contains(&error.raw_os_error()) => {
                let temporary = self.temporary(folder.descriptor())?;
                let Some(name) = &temporary.name else { return Err(error) };
                let file = linux::create_named(temporary.folder.as_fd(), name)?;
                fill(file.as_fd())?;
                Ok(Staged(Place::Named(temporary)))
            }
            Err(error) => Err(error),
        }
    }

    fn stage_named(
        &self,
        beside: &Folder,
        make: impl FnOnce(&OwnedFd, &Name) -> std::io::Result<()>,
        want: &Want,
        has_mode: bool,
    ) -> std::io::Result<Staged> {
        let temporary = self.temporary(beside.descriptor())?;
        let Some(name) = &temporary.name else { return Err(rustix::io::Errno::INVAL.into()) };
        make(&temporary.folder, name)?;
        let held = linux::hold(temporary.folder.as_fd(), name)?;
        if let Some(owner) = want.owner {
            linux::set_owner(held.as_fd(), owner)?;
        }
        if has_mode {
            linux::set_mode_of_held(held.as_fd(), want.mode)?;
        }
        linux::set_mtime(held.as_fd(), want.mtime)?;
        Ok(Staged(Place::Named(temporary)))
    }

    /// A fresh name in the staging folder; beside the target where that lies on another filesystem (something is
    /// mounted inside the replica), since nothing can be renamed across.
    fn temporary(&self, beside: BorrowedFd<'_>) -> std::io::Result<Temporary> {
        let number = self.staged.fetch_add(1, Ordering::Relaxed);
        let staging = self.staging()?;
        let same = linux::look_at_open(staging.as_fd())?.dev == linux::look_at_open(beside)?.dev;
        let (folder, name) = if same {
            (staging.try_clone()?, format!("{}-{number}", std::process::id()))
        } else {
            (beside.try_clone_to_owned()?, format!(".alike-staging-{}-{number}", std::process::id()))
        };
        Ok(Temporary { folder, name: Name::new(name.as_bytes()) })
    }

    fn staging(&self) -> std::io::Result<&OwnedFd> {
        if let Some(folder) = self.staging.get() {
            return Ok(folder);
        }
        let own = self.own_folder()?;
        let Some(name) = Name::new(b"staging") else { unreachable!("a constant") };
        match linux::make_folder(own.descriptor(), &name) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        let folder = linux::open_folder(own.descriptor(), &name)?;
        Ok(self.staging.get_or_init(|| folder))
    }

    /// Clears what a pass that died left in staging. Call it under the replica's lock.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn clear_staging(&self) -> std::io::Result<()> {
        let (Some(own), Some(staging)) = (Name::new(OWN_FOLDER), Name::new(b"staging")) else {
            return Ok(());
        };
        let root = self.descriptor();
        let opened = linux::open_folder(root, &own).and_then(|own| linux::open_folder(own.as_fd(), &staging));
        let folder = match opened {
            Ok(folder) => folder,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(error),
        };
        for entry in linux::list(folder.as_fd())? {
            match linux::remove_file(folder.as_fd(), &entry.name) {
                Err(error) if error.kind() == std::io::ErrorKind::IsADirectory => {
                    linux::remove_folder(folder.as_fd(), &entry.name)?;
                }
                other => other?,
            }
        }
        Ok(())
    }
}

impl Temporary {
    fn rename_over(&mut self, folder: &Folder, name: &Name) -> std::io::Result<()> {
        self.rename(|from| linux::rename_over(from, (folder.descriptor(), name)))
    }

    fn rename_to_free(&mut self, folder: &Folder, name: &Name) -> std::io::Result<()> {
        self.rename(|from| linux::rename_to_free(from, (folder.descriptor(), name)))
    }

    fn rename(
        &mut self,
        by: impl FnOnce((BorrowedFd<'_>, &Name)) -> std::io::Result<()>,
    ) -> std::io::Result<()> {
        if let Some(private) = &self.name {
            by((self.folder.as_fd(), private))?;
            self.name = None;
        }
        Ok(())
    }
}

/// Owner before mode (a change of owner takes set-id bits away), time last.
fn dress(file: BorrowedFd<'_>, want: &Want) -> std::io::Result<()> {
    if let Some(owner) = want.owner {
        linux::set_owner(file, owner)?;
    }
    linux::set_mode(file, want.mode)?;
    linux::set_mtime(file, want.mtime)
}
