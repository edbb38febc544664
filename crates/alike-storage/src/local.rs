//! A folder of this machine, as a source and as a replica.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64};

use alike_model::entry::{Entry, Kind, Stamp};
use alike_model::holds::Holds;
use alike_model::path::{Name, OWN_FOLDER};
use alike_model::xattrs::{Namespaces, Xattrs};

use crate::attributes::{dress_while, probe, unprobed};
use crate::content::Content;
use crate::error::{Error, Result};
use crate::flags::{explain, refused};
use crate::linux::Inode;
use crate::over::Over;
use crate::publish::Staged;
use crate::settle::settle_named;
use crate::{MayGoOn, New, Replica, Source, Want, linux};

/// A folder of this machine, held open: what is mounted or moved over its path later does not change what it is.
#[derive(Debug)]
pub struct Local {
    root: OwnedFd,
    /// The device of the top folder, and whether its filesystem can be synced as a whole.
    device: u64,
    is_whole: bool,
    /// alike's own folder at the top, once it was found: what takes its name later is not.
    own: OnceLock<OwnedFd>,
    pub(crate) staging: OnceLock<OwnedFd>,
    pub(crate) staged: AtomicU64,
    pub(crate) saving: Saving,
    /// The last try to share blocks failed.
    pub(crate) clones_fail: AtomicBool,
}

/// How contents come to a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Saving {
    /// Blocks are shared with the source where the filesystem can.
    pub reflink: bool,
    /// Of a large file that changed, only what changed is written.
    pub delta: bool,
}

impl Default for Saving {
    fn default() -> Self {
        Self { reflink: true, delta: true }
    }
}

/// An open folder.
#[derive(Debug)]
pub struct Folder(pub(crate) OwnedFd);

impl Folder {
    /// Opens the folder at `path`, following symlinks.
    ///
    /// # Errors
    /// When it cannot be opened or is no folder.
    pub fn open(path: &Path) -> std::io::Result<Self> {
        linux::open_root(path).map(Self)
    }

    /// Opens a folder in this one; never through a symlink.
    ///
    /// # Errors
    /// When it cannot be opened or is no folder.
    pub fn below(&self, name: &Name) -> std::io::Result<Self> {
        linux::open_folder(self.descriptor(), name).map(Self)
    }

    /// True when something is mounted here, of which this is the top.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn is_mount(&self) -> std::io::Result<bool> {
        linux::is_mount(self.descriptor())
    }

    /// A path that leads here as long as this value lives, whatever is mounted or moved over its own.
    #[must_use]
    pub fn path(&self) -> std::path::PathBuf {
        linux::path_of_open(self.descriptor())
    }

    /// Its descriptor, for watching it.
    #[must_use]
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl Local {
    /// Opens the folder at `path`, following symlinks.
    ///
    /// # Errors
    /// When it cannot be opened or is no folder.
    pub fn open(path: &Path) -> std::io::Result<Self> {
        let root = linux::open_root(path)?;
        let disk = (linux::look_at_open(root.as_fd())?.dev, linux::is_synced_as_a_whole(root.as_fd())?);
        Ok(Self::held(root, disk, OnceLock::new()))
    }

    fn held(root: OwnedFd, (device, is_whole): (u64, bool), own: OnceLock<OwnedFd>) -> Self {
        Self {
            root,
            device,
            is_whole,
            own,
            staging: OnceLock::new(),
            staged: AtomicU64::new(0),
            saving: Saving::default(),
            clones_fail: AtomicBool::new(false),
        }
    }

    /// The same folder once more.
    ///
    /// # Errors
    /// When there are no descriptors left.
    pub fn twin(&self) -> std::io::Result<Self> {
        let own = OnceLock::new();
        if let Some(held) = self.own.get() {
            let _ = own.set(held.try_clone()?);
        }
        let twin = Self::held(self.root.try_clone()?, (self.device, self.is_whole), own);
        if let Some(held) = self.staging.get() {
            let _ = twin.staging.set(held.try_clone()?);
        }
        Ok(twin)
    }

    /// What it can hold; everything where that cannot be found out, and each step then says what fails. Leaves nothing
    /// behind; without `may_name` nothing appears in it even for a moment.
    #[must_use]
    pub fn holds(&self, may_name: bool) -> Holds {
        self.with_scratch(may_name, probe).and_then(std::io::Result::ok).unwrap_or_else(unprobed)
    }

    /// The same, with contents written in this way.
    #[must_use]
    pub fn with(self, saving: Saving) -> Self {
        Self { saving, ..self }
    }

    /// Its descriptor.
    #[must_use]
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.root.as_fd()
    }

    /// Tells its filesystem from others, also after a reboot.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn filesystem_id(&self) -> std::io::Result<String> {
        linux::filesystem_id(self.root.as_fd())
    }

    /// alike's own folder at the top; made, for its owner only, when it is missing.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn own_folder(&self) -> std::io::Result<Folder> {
        if let Some(own) = self.find_own_folder()? {
            return Ok(own);
        }
        let Some(name) = Name::new(OWN_FOLDER) else { unreachable!("a constant") };
        match linux::make_folder(self.root.as_fd(), &name) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        self.find_own_folder()?.ok_or_else(|| std::io::ErrorKind::NotFound.into())
    }

    /// The same; `None` when it is missing.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn find_own_folder(&self) -> std::io::Result<Option<Folder>> {
        // One that was deleted has no name left.
        let is_there = |own: &&OwnedFd| linux::look_at_open(own.as_fd()).is_ok_and(|now| now.nlink > 0);
        if let Some(own) = self.own.get().filter(is_there) {
            return own.try_clone().map(|own| Some(Folder(own)));
        }
        let Some(name) = Name::new(OWN_FOLDER) else { unreachable!("a constant") };
        match linux::open_folder(self.root.as_fd(), &name) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
            Ok(own) => {
                let _ = self.own.set(own.try_clone()?);
                Ok(Some(Folder(own)))
            }
        }
    }
}

impl Source for Local {
    type Folder = Folder;

    fn root(&self) -> Result<Folder> {
        // A second descriptor of its own: listing moves a descriptor's position.
        linux::open_root(&linux::path_of_open(self.descriptor()))
            .map(Folder)
            .map_err(|cause| Error::of("open the top folder", cause))
    }

    fn open_folder(&self, parent: &Folder, name: &Name) -> Result<Folder> {
        linux::open_folder(parent.descriptor(), name)
            .map(Folder)
            .map_err(|cause| Error::of("open the folder", cause))
    }

    fn stamp(&self, folder: &Folder) -> Result<Stamp> {
        linux::look_at_open(folder.descriptor()).map_err(|cause| Error::of("look at the folder", cause))
    }

    fn list(&self, folder: &Folder) -> Result<Vec<Entry>> {
        linux::list(folder.descriptor()).map_err(|cause| Error::of("list the folder", cause))
    }

    fn look(&self, folder: &Folder, name: &Name) -> Result<Option<Stamp>> {
        linux::look(folder.descriptor(), name).map_err(|cause| Error::of("look at it", cause))
    }

    fn read_file(&self, folder: &Folder, name: &Name) -> Result<Content> {
        linux::open_for_reading(folder.descriptor(), name)
            .map(Content::new)
            .map_err(|cause| Error::of("read it", cause))
    }

    fn read_link(&self, folder: &Folder, name: &Name) -> Result<Vec<u8>> {
        // "Invalid" is what the system says of a name that is no symlink (any more).
        linux::read_link(folder.descriptor(), name).map_err(|cause| match cause.kind() {
            std::io::ErrorKind::InvalidInput => Error::Changed,
            _ => Error::of("read the symlink", cause),
        })
    }

    fn xattrs(&self, folder: &Folder, name: &Name, which: Namespaces) -> Result<Xattrs> {
        let inode = Inode::named(folder.descriptor(), name);
        inode.xattrs(which).map_err(|cause| Error::of("read its extended attributes", cause))
    }

    fn folder_xattrs(&self, folder: &Folder, which: Namespaces) -> Result<Xattrs> {
        let inode = Inode::Open(folder.descriptor());
        inode.xattrs(which).map_err(|cause| Error::of("read the folder's extended attributes", cause))
    }
}

impl Replica for Local {
    type Staged = Staged;

    fn stage(&self, folder: &Folder, new: New<'_>) -> Result<(Staged, Option<Error>)> {
        self.stage_new(folder, new)
    }

    fn is_like(
        &self,
        staged: &Staged,
        content: &Content,
        size: u64,
        interrupted: &dyn Fn() -> bool,
    ) -> Result<bool> {
        staged.is_like(content.descriptor(), size, interrupted)
    }

    fn publish(&self, folder: &Folder, name: &Name, staged: Staged, over: Option<Over<'_>>) -> Result<Stamp> {
        self.publish_staged(folder, name, staged, over)
    }

    fn set_attrs(
        &self,
        folder: &Folder,
        name: &Name,
        expected: &Stamp,
        want: &Want,
        may_go_on: MayGoOn<'_>,
    ) -> Result<Stamp> {
        let failed = |cause| refused("set its attributes", (folder, Some(name)), cause);
        let held = linux::hold(folder.descriptor(), name).map_err(failed)?;
        let now = linux::look_at_open(held.as_fd()).map_err(failed)?;
        if !now.is_untouched_since(expected) {
            return Err(Error::Changed);
        }
        dress_while(&Inode::held(held.as_fd()), held.as_fd(), (Some(&now), now.kind), want, may_go_on)
            .map_err(|error| explain(error, (folder, Some(name)), "its folder"))?;
        linux::look_at_open(held.as_fd()).map_err(failed)
    }

    fn link(
        &self,
        from: (&Folder, &Name),
        to: (&Folder, &Name),
        expected: &Stamp,
        over: Option<Over<'_>>,
    ) -> Result<Stamp> {
        self.link_to(from, to, expected, over)
    }

    fn make_folder(&self, parent: &Folder, name: &Name, over: Option<Over<'_>>) -> Result<Folder> {
        let failed = |cause| refused("make the folder", (parent, Some(name)), cause);
        match over {
            None => linux::make_folder(parent.descriptor(), name).map_err(failed)?,
            Some(over) => self.make_folder_over((parent, name), over)?,
        }
        let made = self.open_folder(parent, name)?;
        if self.is_mount(&made)? { Err(Error::MountedOver) } else { Ok(made) }
    }

    fn set_folder_attrs(&self, folder: &Folder, want: &Want, may_go_on: MayGoOn<'_>) -> Result<Stamp> {
        let now = self.stamp(folder)?;
        let inode = Inode::Open(folder.descriptor());
        dress_while(&inode, folder.descriptor(), (Some(&now), Kind::Folder), want, may_go_on)
            .map_err(|error| explain(error, (folder, None), "it"))?;
        self.stamp(folder)
    }

    fn check_below(&self, folder: &Folder, depth: usize) -> Result<()> {
        let failed = |cause| Error::of("find the top folder above it", cause);
        let above = linux::look_above(folder.descriptor(), depth).map_err(failed)?;
        let top = linux::look_at_open(self.root.as_fd()).map_err(failed)?;
        if (above.dev, above.ino) == (top.dev, top.ino) { Ok(()) } else { Err(Error::Changed) }
    }

    fn is_mount(&self, folder: &Folder) -> Result<bool> {
        linux::is_mount(folder.descriptor()).map_err(|cause| Error::of("look at the folder", cause))
    }

    fn unlock(&self, folder: &Folder, stamp: &Stamp) -> Result<bool> {
        const WRITE: u32 = 0o300;
        if linux::am_root() || stamp.mode & WRITE == WRITE {
            return Ok(false);
        }
        linux::set_mode(folder.descriptor(), stamp.mode | 0o700)
            .map_err(|cause| Error::of("write into the folder", cause))?;
        Ok(true)
    }

    fn rename(
        &self,
        from: (&Folder, &Name),
        to: (&Folder, &Name),
        expected: &Stamp,
        over: Option<Over<'_>>,
    ) -> Result<Stamp> {
        let failed = |cause| refused("rename it", (from.0, Some(from.1)), cause);
        self.must_be(from.0, from.1, Some(expected))?;
        let (old, new) = ((from.0.descriptor(), from.1), (to.0.descriptor(), to.1));
        match over {
            None => linux::rename_to_free(old, new).map_err(failed)?,
            Some(over) => self.rename_to_taken(from, to, over)?,
        }
        self.look(to.0, to.1)?.ok_or(Error::Changed)
    }

    fn exchange(&self, one: (&Folder, &Name, &Stamp), other: (&Folder, &Name, &Stamp)) -> Result<Stamp> {
        self.must_be(one.0, one.1, Some(one.2))?;
        self.must_be(other.0, other.1, Some(other.2))?;
        linux::exchange((one.0.descriptor(), one.1), (other.0.descriptor(), other.1))
            .map_err(|cause| refused("exchange the names", (one.0, Some(one.1)), cause))?;
        self.look(other.0, other.1)?.ok_or(Error::Changed)
    }

    fn settle(&self, staged: &[&Staged]) -> Result<()> {
        self.settle_staged(staged)
    }

    fn sync_reaches(&self, device: Option<u64>) -> bool {
        self.is_whole && device.is_none_or(|device| device == self.device)
    }

    fn settle_name(&self, folder: &Folder, name: &Name) -> Result<()> {
        settle_named(folder, name)
    }

    fn changes_in_place(&self, staged: &Staged) -> bool {
        Self::changes_staged_in_place(staged)
    }

    fn settle_folder(&self, folder: &Folder) -> Result<()> {
        linux::sync_folder(folder.descriptor()).map_err(lost)
    }

    fn open_kept(&self, keep: &Folder) -> Result<Folder> {
        Folder::open(&keep.path()).map_err(|cause| Error::of("look into the trash", cause))
    }

    fn remove(&self, folder: &Folder, name: &Name, over: Over<'_>) -> Result<()> {
        self.free((folder, name), over)
    }

    fn sync(&self) -> Result<()> {
        if !self.is_whole {
            // The folders that no row tells of: alike's own, and the way to the top.
            self.own_folder().and_then(|own| linux::sync_folder(own.descriptor())).map_err(lost)?;
            linux::sync_way_to(self.root.as_fd()).map_err(lost)?;
        }
        linux::sync_filesystem(self.root.as_fd()).map_err(lost)
    }
}

/// Whatever the system's answer is: that it changed meanwhile is none.
pub(crate) fn lost(cause: std::io::Error) -> Error {
    Error::Io { op: "bring it to the disk", cause }
}

impl Local {
    /// Looks whether a name is as expected.
    pub(crate) fn must_be(&self, folder: &Folder, name: &Name, expected: Option<&Stamp>) -> Result<()> {
        match (self.look(folder, name)?, expected) {
            (None, None) => Ok(()),
            // A folder's times change with what is done in it, so there only its identity counts.
            (Some(now), Some(then)) if then.kind == Kind::Folder && now.identity() == then.identity() => {
                Ok(())
            }
            (Some(now), Some(then)) if now.is_untouched_since(then) => Ok(()),
            _ => Err(Error::Changed),
        }
    }
}
