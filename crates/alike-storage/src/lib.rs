//! alike's hands: the only code that touches a tree.
//!
//! Floor 1. A [`Source`] can be listed and read, and has no verb that writes: that the source is never written is a fact
//! of types. A [`Replica`] has the verbs of a plan besides. [`Local`] is a folder of this machine; object stores and
//! SFTP are to come behind the same traits. What is Linux's own is in `linux`.

mod attributes;
mod carry;
mod clear;
mod content;
mod delta;
mod error;
mod flags;
pub mod linux;
mod local;
mod over;
mod patch;
mod publish;
mod settle;
mod trial;

use alike_model::entry::{Entry, Stamp, Time};
use alike_model::path::Name;
use alike_model::policy::Policy;
use alike_model::xattrs::{Namespaces, Xattrs};

pub use carry::{Carried, copy_entry, link_entry, rename_entry, unpatch};
pub use clear::remove_tree;
pub use content::Content;
pub use error::{Error, Result, plain};
pub use local::{Folder, Local, Saving};
pub use over::Over;
pub use patch::take_back;
pub use trial::{Trial, try_out};

/// A tree that can be listed and read.
///
/// All work is relative to open folders, one name at a time; no symlink is ever followed, so neither long paths nor
/// links can lead elsewhere.
pub trait Source: Sync {
    /// An open folder.
    type Folder: Send + Sync;

    /// Opens the top folder.
    ///
    /// # Errors
    /// When it cannot be opened.
    fn root(&self) -> Result<Self::Folder>;

    /// Opens a folder in a folder.
    ///
    /// # Errors
    /// [`Error::Changed`] when there is no folder of that name, others when it cannot be opened.
    fn open_folder(&self, parent: &Self::Folder, name: &Name) -> Result<Self::Folder>;

    /// Looks at an open folder itself.
    ///
    /// # Errors
    /// When the system refuses.
    fn stamp(&self, folder: &Self::Folder) -> Result<Stamp>;

    /// All entries, sorted by name.
    ///
    /// # Errors
    /// When any part of it could not be read: a listing that ended in an error is no listing.
    fn list(&self, folder: &Self::Folder) -> Result<Vec<Entry>>;

    /// Looks at one name; `None` when there is none.
    ///
    /// # Errors
    /// When the system refuses; this is not absence.
    fn look(&self, folder: &Self::Folder, name: &Name) -> Result<Option<Stamp>>;

    /// Opens a regular file for reading.
    ///
    /// # Errors
    /// When it cannot be opened.
    fn read_file(&self, folder: &Self::Folder, name: &Name) -> Result<Content>;

    /// The target of a symlink, whatever its length.
    ///
    /// # Errors
    /// When it cannot be read.
    fn read_link(&self, folder: &Self::Folder, name: &Name) -> Result<Vec<u8>>;

    /// The extended attributes of a name in these namespaces; of a symlink, its own.
    ///
    /// # Errors
    /// When they cannot be read.
    fn xattrs(&self, folder: &Self::Folder, name: &Name, which: Namespaces) -> Result<Xattrs>;

    /// The extended attributes of an open folder in these namespaces.
    ///
    /// # Errors
    /// When they cannot be read.
    fn folder_xattrs(&self, folder: &Self::Folder, which: Namespaces) -> Result<Xattrs>;
}

/// A tree that a plan can be applied to. Each verb looks at what it would replace, and touches nothing that is not as
/// expected ([`Error::Changed`]).
pub trait Replica: Source {
    /// An entry that is complete but has no name yet. Dropped, it leaves nothing behind.
    type Staged: Send;

    /// Makes an entry without a name: contents and attributes. Beside it comes what is wrong with it, if that is only an
    /// extended attribute that the target does not take.
    ///
    /// # Errors
    /// When it could not be made whole.
    fn stage(&self, folder: &Self::Folder, new: New<'_>) -> Result<(Self::Staged, Option<Error>)>;

    /// Sees to it that no staged file ever has a name without its contents, also after a power cut; the name may be lost.
    ///
    /// # Errors
    /// When any of it may not be there.
    fn settle(&self, staged: &[&Self::Staged]) -> Result<()>;

    /// True when publishing will change a file in place: what is kept of the old version is then a patch that leads back
    /// to it ([`take_back`]).
    fn changes_in_place(&self, staged: &Self::Staged) -> bool;

    /// Brings the names in a folder to the disk.
    ///
    /// # Errors
    /// When any of them may not be there.
    fn settle_folder(&self, folder: &Self::Folder) -> Result<()>;

    /// True when [`Replica::sync`] reaches what is on this device (`None`: that of the top folder): all below the top folder, and not what is mounted in it. Where
    /// it does not, each name must be settled by itself.
    fn sync_reaches(&self, device: Option<u64>) -> bool;

    /// Brings a file to the disk; another kind of entry gets there with its folder. What is gone, or nobody may read, counts as
    /// being there.
    ///
    /// # Errors
    /// When any of it may not be there.
    fn settle_name(&self, folder: &Self::Folder, name: &Name) -> Result<()>;

    /// True when a second look at a file of the source finds what was staged of it. It then was that, every byte, at the
    /// moment between the two looks, also if somebody is writing to it.
    ///
    /// # Errors
    /// When it cannot be looked at; [`Error::Interrupted`] when `interrupted` said so.
    fn is_like(
        &self,
        staged: &Self::Staged,
        content: &Content,
        size: u64,
        interrupted: &dyn Fn() -> bool,
    ) -> Result<bool>;

    /// Gives a staged entry its name, in one step for whoever looks. Returns how it looks then.
    ///
    /// # Errors
    /// [`Error::Changed`] when the name is not as expected.
    fn publish(
        &self,
        folder: &Self::Folder,
        name: &Name,
        staged: Self::Staged,
        over: Option<Over<'_>>,
    ) -> Result<Stamp>;

    /// Sets the attributes of an entry that is no folder. Returns how it looks then.
    ///
    /// # Errors
    /// [`Error::Changed`] when it is not the expected inode, [`Error::Attribute`] when all but an extended attribute is set.
    fn set_attrs(
        &self,
        folder: &Self::Folder,
        name: &Name,
        expected: &Stamp,
        want: &Want,
        may_go_on: MayGoOn<'_>,
    ) -> Result<Stamp>;

    /// Makes a name one more of the inode at another. Returns how that looks then.
    ///
    /// # Errors
    /// [`Error::Changed`] when either name is not as expected.
    fn link(
        &self,
        from: (&Self::Folder, &Name),
        to: (&Self::Folder, &Name),
        expected: &Stamp,
        over: Option<Over<'_>>,
    ) -> Result<Stamp>;

    /// Makes a folder that only its owner may enter, and opens it.
    ///
    /// # Errors
    /// [`Error::Changed`] when the name is not as expected.
    fn make_folder(&self, parent: &Self::Folder, name: &Name, over: Option<Over<'_>>)
    -> Result<Self::Folder>;

    /// Sets the attributes of an open folder. Returns how it looks then.
    ///
    /// # Errors
    /// When the system refuses.
    fn set_folder_attrs(&self, folder: &Self::Folder, want: &Want, may_go_on: MayGoOn<'_>) -> Result<Stamp>;

    /// Checks that an open folder lies `depth` levels below the top folder: what was moved out of the tree does not.
    ///
    /// # Errors
    /// [`Error::Changed`] when it does not.
    fn check_below(&self, folder: &Self::Folder, depth: usize) -> Result<()>;

    /// True when something is mounted here, of which an open folder is the top.
    ///
    /// # Errors
    /// When the system refuses.
    fn is_mount(&self, folder: &Self::Folder) -> Result<bool>;

    /// Lets the owner write into an open folder that forbids it; `true` when that changed its mode.
    ///
    /// # Errors
    /// When the system refuses.
    fn unlock(&self, folder: &Self::Folder, stamp: &Stamp) -> Result<bool>;

    /// Moves an entry. Returns how it looks then.
    ///
    /// # Errors
    /// [`Error::Changed`] when either name is not as expected.
    fn rename(
        &self,
        from: (&Self::Folder, &Name),
        to: (&Self::Folder, &Name),
        expected: &Stamp,
        over: Option<Over<'_>>,
    ) -> Result<Stamp>;

    /// Lets two entries change names, in one step for whoever looks. Returns how the first looks then.
    ///
    /// # Errors
    /// [`Error::Changed`] when either name is not as expected.
    fn exchange(
        &self,
        one: (&Self::Folder, &Name, &Stamp),
        other: (&Self::Folder, &Name, &Stamp),
    ) -> Result<Stamp>;

    /// Takes an entry away: a folder that is not kept must be empty.
    ///
    /// # Errors
    /// [`Error::Changed`] when it is not as expected.
    fn remove(&self, folder: &Self::Folder, name: &Name, over: Over<'_>) -> Result<()>;

    /// Opens the folder that keeps what was taken away, for a look.
    ///
    /// # Errors
    /// When the system refuses.
    fn open_kept(&self, keep: &Folder) -> Result<Self::Folder>;

    /// Brings all that was written to the disk, as far as it reaches; see [`Replica::sync_reaches`].
    ///
    /// # Errors
    /// When any of it may not be there: all that was done since the last success is then unknown.
    fn sync(&self) -> Result<()>;
}

/// Asked while bytes are copied: whether to go on, and how fast.
pub trait Flow {
    /// True ends the copy with [`Error::Interrupted`].
    fn is_over(&self) -> bool;

    /// How much to write at once, at most.
    fn block(&self) -> usize {
        usize::MAX
    }

    /// Waits until so many bytes more may be written; false when it is over.
    fn may_write(&self, _bytes: u64) -> bool {
        !self.is_over()
    }
}

/// What only says whether it is over lets bytes flow as fast as they can.
impl<F: Fn() -> bool> Flow for F {
    fn is_over(&self) -> bool {
        self()
    }
}

/// Asked before each single change of what is held open, which somebody may move out of the tree at any moment: Landlock,
/// which sees to that elsewhere, does not know attributes.
pub type MayGoOn<'a> = &'a dyn Fn() -> Result<()>;

/// An entry to be made.
pub enum New<'a> {
    /// A regular file.
    File {
        /// Where its bytes come from.
        content: &'a Content,
        /// How it looks in the source: the copy ends at its size, and keeps its holes.
        like: &'a Stamp,
        /// The file that it is to replace, and how that looks: what is equal in it need not be written again.
        over: Option<(&'a Name, &'a Stamp)>,
        /// Its attributes.
        want: Want,
        /// Asked between blocks.
        flow: &'a dyn Flow,
    },
    /// A symlink.
    Symlink {
        /// Where it points.
        target: &'a [u8],
        /// Its attributes (mode does not count).
        want: Want,
    },
    /// A pipe, socket or device node.
    Special {
        /// How it looks in the source.
        like: &'a Stamp,
        /// Its attributes.
        want: Want,
    },
}

/// Attributes to set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Want {
    /// Permission bits (`0o7777`).
    pub mode: u32,
    /// Owner and group, where they are copied.
    pub owner: Option<(u32, u32)>,
    /// Owner and group in the source: set-id bits are for these alone.
    pub whose: (u32, u32),
    /// Modification time.
    pub mtime: Time,
    /// Extended attributes and ACLs: just these ...
    pub xattrs: Xattrs,
    /// ... in these namespaces; others are left alone.
    pub namespaces: Namespaces,
}

impl Want {
    /// The attributes of an entry of the source, as far as they are copied.
    #[must_use]
    pub fn of(stamp: &Stamp, xattrs: Xattrs, policy: &Policy) -> Self {
        Self {
            mode: stamp.mode,
            owner: policy.owner.then_some((stamp.uid, stamp.gid)),
            whose: (stamp.uid, stamp.gid),
            mtime: policy.times.fit(stamp.mtime),
            xattrs,
            namespaces: policy.xattrs,
        }
    }
}
