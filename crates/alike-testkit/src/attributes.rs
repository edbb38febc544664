//! Extended attributes and ACLs of an entry of any kind, as the kernel keeps them.

use std::collections::BTreeMap;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, XattrFlags};
use rustix::io::Errno;

/// The attribute in which the kernel shows the ACL of an entry.
pub(crate) const ACCESS_ACL: &str = "system.posix_acl_access";
/// The attribute in which the kernel shows what entries made in a folder inherit.
pub(crate) const DEFAULT_ACL: &str = "system.posix_acl_default";

/// The kernel's own limit for one value, and for the list of names.
const MOST_BYTES: usize = 64 * 1024;

/// An entry held open without being read, so that its path may be of any length and it may be of any kind.
///
/// Only what is called by path takes such a descriptor; its path in `/proc` leads to the entry itself, and to a
/// symlink rather than through it.
pub(crate) struct Held {
    _entry: OwnedFd,
    path: PathBuf,
}

impl Held {
    pub(crate) fn open(folder: BorrowedFd<'_>, name: &[u8]) -> io::Result<Self> {
        let name = if name.is_empty() { b"." } else { name };
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let entry = rustix::fs::openat(folder, name, flags, Mode::empty())?;
        let path = PathBuf::from(format!("/proc/self/fd/{}", entry.as_raw_fd()));
        Ok(Self { _entry: entry, path })
    }

    pub(crate) fn at(path: &Path) -> io::Result<Self> {
        use std::os::unix::ffi::OsStrExt;
        Self::open(CWD.as_fd(), path.as_os_str().as_bytes())
    }

    /// Names and values of all attributes that a copy has to have, the ACLs among them.
    pub(crate) fn attributes(&self) -> io::Result<BTreeMap<Vec<u8>, Vec<u8>>> {
        let mut list = vec![0; MOST_BYTES];
        let length = match rustix::fs::listxattr(&self.path, &mut list[..]) {
            Err(Errno::NOTSUP) => 0,
            other => other?,
        };
        let names = list[..length].split(|byte| *byte == 0).filter(|name| belongs_to_a_copy(name));
        let mut found = BTreeMap::new();
        for name in names {
            if let Some(value) = self.get(name)? {
                found.insert(name.to_vec(), value);
            }
        }
        Ok(found)
    }

    /// The value of one attribute; none when it is not set.
    pub(crate) fn get(&self, name: &[u8]) -> io::Result<Option<Vec<u8>>> {
        let mut value = vec![0; MOST_BYTES];
        match rustix::fs::getxattr(&self.path, name, &mut value[..]) {
            Err(Errno::NODATA | Errno::NOTSUP) => Ok(None),
            other => {
                value.truncate(other?);
                Ok(Some(value))
            }
        }
    }

    pub(crate) fn set(&self, name: &[u8], value: &[u8]) -> io::Result<()> {
        Ok(rustix::fs::setxattr(&self.path, name, value, XattrFlags::empty())?)
    }

    pub(crate) fn remove(&self, name: &[u8]) -> io::Result<()> {
        Ok(rustix::fs::removexattr(&self.path, name)?)
    }
}

/// Root is judged by all of them, others by what they can set. The rest (`system.*`, `btrfs.*`) says how the
/// filesystem keeps an entry and belongs to the filesystem, as do the names under which xfs shows its ACLs once more;
/// `security.evm` is a seal over one inode.
fn belongs_to_a_copy(name: &[u8]) -> bool {
    if name == b"security.evm" || name.starts_with(b"trusted.SGI_ACL_") {
        return false;
    }
    let everybodys = name.starts_with(b"user.") || is_acl(name);
    everybodys || crate::is_root() && (name.starts_with(b"trusted.") || name.starts_with(b"security."))
}

pub(crate) fn is_acl(name: &[u8]) -> bool {
    name == ACCESS_ACL.as_bytes() || name == DEFAULT_ACL.as_bytes()
}

/// An ACL as the kernel takes it, from entries in the kernel's order: `u::rw-,u:12:r--,g::r--,g:7:rwx,m::rw-,o::---`.
pub(crate) fn acl(text: &str) -> Vec<u8> {
    const VERSION: u32 = 2;
    const NOBODY_IN_PARTICULAR: u32 = u32::MAX;
    let mut bytes = VERSION.to_le_bytes().to_vec();
    for entry in text.split(',') {
        let parts: Vec<&str> = entry.split(':').collect();
        let [who, id, may] = parts[..] else { panic!("{entry:?} is no entry of an ACL") };
        let tag: u16 = match (who, id) {
            ("u", "") => 0x01,
            ("u", _) => 0x02,
            ("g", "") => 0x04,
            ("g", _) => 0x08,
            ("m", "") => 0x10,
            ("o", "") => 0x20,
            _ => panic!("{entry:?} is no entry of an ACL"),
        };
        let bits = [('r', 4), ('w', 2), ('x', 1)];
        let may: u16 = bits.iter().filter(|(letter, _)| may.contains(*letter)).map(|(_, bit)| bit).sum();
        let id = if id.is_empty() { NOBODY_IN_PARTICULAR } else { id.parse().expect("a number") };
        bytes.extend(tag.to_le_bytes());
        bytes.extend(may.to_le_bytes());
        bytes.extend(id.to_le_bytes());
    }
    bytes
}

/// `security.capability` in its second form, with these bits (0 to 31) permitted and effective.
pub(crate) fn capability(permitted: u32) -> Vec<u8> {
    const SECOND_FORM_EFFECTIVE: u32 = 0x0200_0001;
    [SECOND_FORM_EFFECTIVE, permitted, 0, 0, 0].iter().flat_map(|word| word.to_le_bytes()).collect()
}
