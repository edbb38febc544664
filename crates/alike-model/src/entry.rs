//! What one look at a filesystem tells about one name: its kind, its stamp and its attributes.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::path::Name;

/// A moment as filesystems keep it: seconds and nanoseconds since 1970, UTC.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Time {
    /// Seconds; negative before 1970.
    pub secs: i64,
    /// 0 to 999,999,999.
    pub nanos: u32,
}

impl Time {
    /// The moment `millis` milliseconds later (saturating).
    #[must_use]
    pub fn plus_millis(self, millis: u32) -> Self {
        let nanos = u64::from(self.nanos) + u64::from(millis) * 1_000_000;
        let carry = i64::try_from(nanos / 1_000_000_000).unwrap_or(0);
        Self {
            secs: self.secs.saturating_add(carry),
            nanos: u32::try_from(nanos % 1_000_000_000).unwrap_or(0),
        }
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:09}", self.secs, self.nanos)
    }
}

/// What a name stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Kind {
    /// A regular file.
    File,
    /// A folder.
    Folder,
    /// A symbolic link.
    Symlink,
    /// A named pipe.
    Fifo,
    /// A Unix socket.
    Socket,
    /// A block device.
    BlockDevice,
    /// A character device.
    CharDevice,
}

impl Kind {
    /// True for pipes, sockets and devices.
    #[must_use]
    pub fn is_special(self) -> bool {
        !matches!(self, Self::File | Self::Folder | Self::Symlink)
    }

    /// True for device nodes.
    #[must_use]
    pub fn is_device(self) -> bool {
        matches!(self, Self::BlockDevice | Self::CharDevice)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::File => "file",
            Self::Folder => "folder",
            Self::Symlink => "symlink",
            Self::Fifo => "fifo",
            Self::Socket => "socket",
            Self::BlockDevice => "block device",
            Self::CharDevice => "char device",
        })
    }
}

/// All that one `statx` tells; what it does not tell is contents, link targets and extended attributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// What it is.
    pub kind: Kind,
    /// The device that holds it (not stable across reboots, so never kept).
    pub dev: u64,
    /// Inode number.
    pub ino: u64,
    /// Length in bytes (of a symlink: of its target).
    pub size: u64,
    /// What it takes on the disk, in blocks of 512 bytes: less than `size` when it has holes.
    pub blocks: u64,
    /// Number of names this inode has.
    pub nlink: u32,
    /// Permission bits, set-id and sticky bits included (`0o7777`).
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Device number of a device node, else 0.
    pub rdev: u64,
    /// Last change of the contents, as programs can set it.
    pub mtime: Time,
    /// Last change of anything, as only the kernel sets it.
    pub ctime: Time,
    /// Birth, where the filesystem tells it.
    pub btime: Option<Time>,
}

impl Stamp {
    /// What makes this inode this inode, also under another name: number and birth.
    #[must_use]
    pub fn identity(&self) -> Identity {
        Identity { ino: self.ino, btime: self.btime }
    }

    /// The attributes that a replica takes over.
    #[must_use]
    pub fn attrs(&self) -> Attrs {
        Attrs { mode: self.mode, uid: self.uid, gid: self.gid, mtime: self.mtime }
    }

    /// True for a file, or another entry that is no folder, with more than one name.
    #[must_use]
    pub fn has_several_names(&self) -> bool {
        self.kind != Kind::Folder && self.nlink > 1
    }

    /// True when nothing but its links can have changed between the two looks: a link made or removed moves only the ctime.
    #[must_use]
    pub fn is_same_but_for_links(&self, earlier: &Self) -> bool {
        self.identity() == earlier.identity()
            && self.kind == earlier.kind
            && self.size == earlier.size
            && self.attrs() == earlier.attrs()
    }

    /// True when nothing has touched the inode between the two looks: the evidence for "not torn".
    #[must_use]
    pub fn is_untouched_since(&self, earlier: &Self) -> bool {
        self.identity() == earlier.identity()
            && self.kind == earlier.kind
            && self.size == earlier.size
            && self.mtime == earlier.mtime
            && self.ctime == earlier.ctime
    }
}

/// An inode apart from its names. An inode number alone is reused; with the birth time it is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Identity {
    /// Inode number.
    pub ino: u64,
    /// Birth time, where the filesystem tells it.
    pub btime: Option<Time>,
}

/// The attributes that are copied beside the contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attrs {
    /// Permission bits (`0o7777`).
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Modification time.
    pub mtime: Time,
}

/// A name in a folder, with what a look at it told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The name.
    pub name: Name,
    /// The look; `Err` holds why it could not be had. Such an entry exists, so nothing at or below it is ever deleted.
    pub look: Result<Stamp, Unreadable>,
}

/// Why a look at an existing name failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable(pub String);
