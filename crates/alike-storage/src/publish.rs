//! Staging and publishing: an entry is made whole where nobody sees it, then gets its name in one step.
//!
//! A new file has no name at all until then (`O_TMPFILE`), so a crash leaves nothing behind. What replaces something, and
//! what cannot be nameless, is made in `.alike/staging`, which the next pass clears.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::Ordering;

use alike_model::entry::{Kind, Stamp};
use alike_model::path::Name;

use crate::attributes::{close_to_others, dress, dress_while, is_for_the_same};
use crate::error::{Error, Result};
use crate::flags::{explain, refused};
use crate::linux::Inode;
use crate::local::{Folder, Local};
use crate::over::Over;
use crate::patch::{self, Patch};
use crate::{Content, Flow, New, Want, delta, linux};

/// The permissions of what is only tried out.
const PRIVATE: u32 = 0o600;

/// An entry that is whole but has no name in the tree.
#[derive(Debug)]
pub struct Staged(Place);

#[derive(Debug)]
enum Place {
    /// A file without any name.
    Nameless(OwnedFd),
    /// A name in a staging folder.
    Named(Temporary),
    /// Changes to be made in place, and the attributes then.
    Patch(Box<Patch>, Box<Want>),
}

/// A name in a staging folder, removed when it is dropped before it was used.
#[derive(Debug)]
pub(crate) struct Temporary {
    pub(crate) folder: OwnedFd,
    pub(crate) name: Option<Name>,
    /// For a file, its contents, open.
    file: Option<OwnedFd>,
    /// It is in the folder itself, for staging is on another filesystem.
    is_beside: bool,
}

impl Drop for Temporary {
    fn drop(&mut self) {
        if let Some(name) = &self.name {
            // Best effort: what stays is cleared by the next pass.
            let _ = linux::remove_file(self.folder.as_fd(), name);
        }
    }
}

/// A file of the source that is to be staged.
struct Original<'a> {
    content: &'a Content,
    like: &'a Stamp,
    over: Option<(&'a Name, &'a Stamp)>,
    flow: &'a dyn Flow,
}

impl Local {
    /// What could not be set of its extended attributes comes beside: the rest is as it should be.
    pub(crate) fn stage_new(&self, folder: &Folder, new: New<'_>) -> Result<(Staged, Option<Error>)> {
        match new {
            New::File { content, like, over, want, flow } => {
                let original = Original { content, like, over, flow };
                if let Some(patch) = self.patch(folder, &original, &want)? {
                    return Ok((Staged(Place::Patch(Box::new(patch), Box::new(want))), None));
                }
                let (file, place) = self
                    .empty_file(folder, want.mode | PRIVATE)
                    .map_err(|cause| refused("copy it", (folder, None), cause))?;
                self.fill(folder, file.as_fd(), &original)?;
                // All is read: nobody need wait for the rest.
                content.let_writers_in();
                // One look saves two calls, mostly: each that sets something costs more.
                let now = linux::look_at_open(file.as_fd()).map_err(|cause| Error::of("copy it", cause))?;
                let inode = Inode::Open(file.as_fd());
                let lacks = lacking(dress(&inode, file.as_fd(), Some(&now), Kind::File, &want))?;
                let staged = match place {
                    None => Place::Nameless(file),
                    Some(mut temporary) => {
                        temporary.file = Some(file);
                        Place::Named(temporary)
                    }
                };
                Ok((Staged(staged), lacks))
            }
            New::Symlink { target, want } => {
                let make = |at: &OwnedFd, name: &Name| linux::make_symlink(at.as_fd(), name, target);
                self.stage_named(folder, make, "make the symlink", Kind::Symlink, &want)
            }
            New::Special { like, want } => {
                let make = |at: &OwnedFd, name: &Name| linux::make_special(at.as_fd(), name, like);
                self.stage_named(folder, make, "make the special file", like.kind, &want)
            }
        }
    }

    /// True when publishing will change a file in place, and only what it changes is kept of the old version.
    pub(crate) fn changes_staged_in_place(staged: &Staged) -> bool {
        matches!(staged.0, Place::Patch(..))
    }

    pub(crate) fn publish_staged(
        &self,
        folder: &Folder,
        name: &Name,
        staged: Staged,
        over: Option<Over<'_>>,
    ) -> Result<Stamp> {
        let failed = |cause| refused("give it its name", (folder, Some(name)), cause);
        let at = folder.descriptor();
        match (staged.0, over) {
            (Place::Nameless(file), None) => {
                linux::link_nameless(file.as_fd(), at, name).map_err(failed)?;
                return linux::look_at_open(file.as_fd()).map_err(failed);
            }
            (Place::Nameless(file), Some(over)) => self.name_over(file.as_fd(), (folder, name), over)?,
            (Place::Patch(patch, want), over) => {
                self.must_be(folder, name, over.map(|over| over.stamp))?;
                if let Some(keep) = over.and_then(|over| over.keep) {
                    patch.keep_old(keep).map_err(failed)?;
                }
                close_to_others(patch.target(), &want).map_err(failed)?;
                patch.apply().map_err(failed)?;
                dress(&Inode::Open(patch.target()), patch.target(), None, Kind::File, &want)?;
            }
            (Place::Named(mut temporary), None) => temporary.rename_to_free(folder, name).map_err(failed)?,
            (Place::Named(mut temporary), Some(Over { keep: Some(keep), stamp })) => {
                self.must_be(folder, name, Some(stamp))?;
                temporary.rename_to_free(keep.0, keep.1).map_err(failed)?;
                self.swap_in(keep, (folder, name), stamp)?;
            }
            (Place::Named(mut temporary), Some(over)) => {
                self.must_be(folder, name, Some(over.stamp))?;
                temporary.rename_over(folder, name).map_err(failed)?;
            }
        }
        linux::look(at, name).map_err(failed)?.ok_or(Error::Changed)
    }

    /// Makes `to` one more name of what is at `from`.
    pub(crate) fn link_to(
        &self,
        from: (&Folder, &Name),
        to: (&Folder, &Name),
        expected: &Stamp,
        over: Option<Over<'_>>,
    ) -> Result<Stamp> {
        let failed = |cause| {
            let error = refused("make the hard link", (to.0, Some(to.1)), cause);
            explain(error, (from.0, Some(from.1)), "its folder")
        };
        let held = linux::hold(from.0.descriptor(), from.1).map_err(failed)?;
        let now = linux::look_at_open(held.as_fd()).map_err(failed)?;
        if !now.is_same_but_for_links(expected) {
            return Err(Error::Changed);
        }
        match over {
            None => linux::link_nameless(held.as_fd(), to.0.descriptor(), to.1).map_err(failed)?,
            Some(over) => self
                .name_over(held.as_fd(), to, over)
                .map_err(|error| explain(error, (from.0, Some(from.1)), "its folder"))?,
        }
        linux::look_at_open(held.as_fd()).map_err(failed)
    }

    /// An open file without a name where the filesystem has such a thing, else one in staging.
    fn empty_file(&self, folder: &Folder, mode: u32) -> std::io::Result<(OwnedFd, Option<Temporary>)> {
        match linux::create_nameless(folder.descriptor(), mode) {
            Ok(file) => Ok((file, None)),
            Err(error) if linux::is_unsupported(&error) => {
                let temporary = self.temporary(folder.descriptor())?;
                let Some(name) = &temporary.name else { return Err(error) };
                let file = linux::create_named(temporary.folder.as_fd(), name)?;
                Ok((file, Some(temporary)))
            }
            Err(error) => Err(error),
        }
    }

    fn fill(&self, folder: &Folder, file: BorrowedFd<'_>, original: &Original<'_>) -> Result<()> {
        let Original { content, like, over, flow } = original;
        if self.saving.reflink && self.clone(content.descriptor(), file, like.size) {
            content.note_snapshot();
            return Ok(());
        }
        if let Some((name, old)) = over.filter(|(_, old)| self.saving.delta && delta::pays(like, old))
            && delta::rewrite(folder, (name, old), content.descriptor(), (file, like), *flow)
                .map_err(copy_failed)?
        {
            return Ok(());
        }
        linux::copy(content.descriptor(), file, (like, self.saving.reflink), *flow).map_err(copy_failed)
    }

    /// Changes to be made in place; `None` where there is a better way.
    fn patch(&self, folder: &Folder, original: &Original<'_>, want: &Want) -> Result<Option<Patch>> {
        let Original { content, like, over, flow } = original;
        let Some((name, old)) = over.filter(|(_, old)| self.saving.delta && patch::pays(like, old)) else {
            return Ok(None);
        };
        let is_for_others = !is_for_the_same(&Inode::named(folder.descriptor(), name), old, want);
        if is_for_others || self.can_clone(folder, name) {
            return Ok(None);
        }
        let temporary = self.temporary(folder.descriptor()).map_err(copy_failed)?;
        // Beside the target, where something is mounted inside the replica, nobody would complete it.
        if temporary.is_beside {
            return Ok(None);
        }
        let number =
            temporary.name.as_ref().map(|name| String::from_utf8_lossy(name.as_bytes()).into_owned());
        let (Ok(staging), Some(number)) = (temporary.folder.try_clone(), number) else { return Ok(None) };
        Patch::make((staging, number), folder, (name, old), (content.descriptor(), like), *flow)
            .map_err(copy_failed)
    }

    fn can_clone(&self, folder: &Folder, name: &Name) -> bool {
        let base = linux::open_for_reading(folder.descriptor(), name);
        let scratch = linux::create_nameless(folder.descriptor(), PRIVATE);
        base.is_ok_and(|base| scratch.is_ok_and(|scratch| linux::clone(base.as_fd(), scratch.as_fd())))
    }

    /// Shares the blocks of a file of the source. Where that failed it is tried again for large files only: for small ones
    /// it is cheaper than copying, but asking in vain is not.
    fn clone(&self, from: BorrowedFd<'_>, to: BorrowedFd<'_>, size: u64) -> bool {
        const LARGE: u64 = 128 * 1024;
        if size == 0 || size <= LARGE && self.clones_fail.load(Ordering::Relaxed) {
            return false;
        }
        let cloned = linux::clone(from, to);
        self.clones_fail.store(!cloned, Ordering::Relaxed);
        cloned
    }

    fn stage_named(
        &self,
        beside: &Folder,
        make: impl FnOnce(&OwnedFd, &Name) -> std::io::Result<()>,
        op: &'static str,
        kind: Kind,
        want: &Want,
    ) -> Result<(Staged, Option<Error>)> {
        let failed = |cause| Error::of(op, cause);
        let temporary = self.temporary(beside.descriptor()).map_err(failed)?;
        let Some(name) = &temporary.name else { return Err(Error::Changed) };
        make(&temporary.folder, name).map_err(failed)?;
        let held = linux::hold(temporary.folder.as_fd(), name).map_err(failed)?;
        // What is just made has no other name. Who put something else there, a link to a file outside, say, shall not have
        // that dressed.
        let made = linux::look_at_open(held.as_fd()).map_err(failed)?;
        if made.kind != kind || made.nlink != 1 {
            return Err(Error::Changed);
        }
        let inode = Inode::held(held.as_fd());
        let dressed = dress_while(&inode, held.as_fd(), (Some(&made), kind), want, &|| {
            // Staging itself may be moved away.
            if temporary.is_beside || self.is_staging(temporary.folder.as_fd()).map_err(failed)? {
                return Ok(());
            }
            Err(Error::Changed)
        });
        let lacks = lacking(dressed)?;
        Ok((Staged(Place::Named(temporary)), lacks))
    }

    /// A fresh name in the staging folder; beside the target where that lies on another filesystem (something is
    /// mounted inside the replica), since nothing can be renamed across.
    pub(crate) fn temporary(&self, beside: BorrowedFd<'_>) -> std::io::Result<Temporary> {
        let number = self.staged.fetch_add(1, Ordering::Relaxed);
        let staging = self.staging()?;
        let same = linux::look_at_open(staging.as_fd())?.dev == linux::look_at_open(beside)?.dev;
        let (folder, name) = if same {
            (staging.try_clone()?, format!("{}-{number}", std::process::id()))
        } else {
            (beside.try_clone_to_owned()?, format!(".alike-staging-{}-{number}", std::process::id()))
        };
        Ok(Temporary { folder, name: Name::new(name.as_bytes()), file: None, is_beside: !same })
    }

    /// True when an open folder lies where staging does: below alike's own folder at the top.
    fn is_staging(&self, folder: BorrowedFd<'_>) -> std::io::Result<bool> {
        let (above, top) = (linux::look_above(folder, 2)?, linux::look_at_open(self.descriptor())?);
        Ok((above.dev, above.ino) == (top.dev, top.ino))
    }

    fn staging(&self) -> std::io::Result<&OwnedFd> {
        if let Some(folder) = self.staging.get() {
            return Ok(folder);
        }
        let own = self.own_folder()?;
        let Some(name) = Name::new(b"staging") else { unreachable!("a constant") };
        let is_new = match linux::make_folder(own.descriptor(), &name) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(error),
            made => made.is_ok(),
        };
        let folder = linux::open_folder(own.descriptor(), &name)?;
        if is_new && linux::is_mount(folder.as_fd())? {
            return Err(std::io::ErrorKind::ResourceBusy.into());
        }
        Ok(self.staging.get_or_init(|| folder))
    }

    /// A file to try things on, gone when `work` is done: without a name where that can be, else, if `may_name`, in
    /// staging. `None` when there can be none.
    pub(crate) fn with_scratch<T>(&self, may_name: bool, work: impl FnOnce(&OwnedFd) -> T) -> Option<T> {
        match linux::create_nameless(self.descriptor(), PRIVATE) {
            Ok(file) => Some(work(&file)),
            Err(error) if may_name && linux::is_unsupported(&error) => {
                let temporary = self.temporary(self.descriptor()).ok()?;
                let file = linux::create_named(temporary.folder.as_fd(), temporary.name.as_ref()?).ok()?;
                Some(work(&file))
            }
            Err(_) => None,
        }
    }

    /// Completes changes in place that broke off. Call it under the replica's lock.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn complete_changes(&self) -> std::io::Result<()> {
        self.open_staging()?.map_or(Ok(()), |staging| patch::complete(staging.as_fd()))
    }

    /// Staging as it is found; `None` when nothing was ever staged.
    fn open_staging(&self) -> std::io::Result<Option<OwnedFd>> {
        if let Some(folder) = self.staging.get() {
            return folder.try_clone().map(Some);
        }
        let (Some(own), Some(staging)) = (self.find_own_folder()?, Name::new(b"staging")) else {
            return Ok(None);
        };
        match linux::open_folder(own.descriptor(), &staging) {
            // What takes its name later is not staged in.
            Ok(folder) => self.staging.get_or_init(|| folder).try_clone().map(Some),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Completes or clears what a pass that died left in staging. Call it under the replica's lock.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn clear_staging(&self) -> std::io::Result<()> {
        let Some(folder) = self.open_staging()? else { return Ok(()) };
        patch::complete(folder.as_fd())?;
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

impl Staged {
    /// The device that its contents are on, when it has any.
    pub(crate) fn device(&self) -> Option<u64> {
        linux::look_at_open(self.contents()?).ok().map(|now| now.dev)
    }

    /// Its contents, when it is a file that is whole.
    pub(crate) fn contents(&self) -> Option<BorrowedFd<'_>> {
        match &self.0 {
            Place::Nameless(file) => Some(file.as_fd()),
            Place::Named(Temporary { file, .. }) => file.as_ref().map(AsFd::as_fd),
            Place::Patch(..) => None,
        }
    }

    /// True when `from` has what was staged.
    pub(crate) fn is_like(
        &self,
        from: BorrowedFd<'_>,
        size: u64,
        interrupted: &dyn Fn() -> bool,
    ) -> Result<bool> {
        let named;
        let staged = match &self.0 {
            Place::Nameless(file) => file.as_fd(),
            Place::Named(Temporary { folder, name: Some(name), .. }) => {
                named = linux::open_for_reading(folder.as_fd(), name).map_err(copy_failed)?;
                named.as_fd()
            }
            Place::Named(_) => return Err(Error::Changed),
            Place::Patch(patch, _) => return patch.is_made_for(from, interrupted).map_err(copy_failed),
        };
        let mut differs = |_: &[u8], _| Err(std::io::ErrorKind::InvalidData.into());
        match delta::for_each_change((from, staged), 0..size, interrupted, &mut differs) {
            Err(error) if error.kind() == std::io::ErrorKind::InvalidData => Ok(false),
            other => other.map(|()| true).map_err(copy_failed),
        }
    }
}

impl Temporary {
    pub(crate) fn rename_over(&mut self, folder: &Folder, name: &Name) -> std::io::Result<()> {
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

fn copy_failed(cause: std::io::Error) -> Error {
    match cause.kind() {
        std::io::ErrorKind::Interrupted => Error::Interrupted,
        _ => Error::of("copy it", cause),
    }
}

/// What is only an extended attribute that cannot be set is put aside: the entry is whole but for that.
fn lacking(dressed: Result<()>) -> Result<Option<Error>> {
    match dressed {
        Ok(()) => Ok(None),
        Err(error) if error.is_attribute() => Ok(Some(error)),
        Err(error) => Err(error),
    }
}
