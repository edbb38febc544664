//! Extended attributes of what is open, of what is held, and of a name in an open folder.
//!
//! The kernel has no call for a folder and a name before 6.13, so these go through `/proc/self/fd`.

use std::io::Result;
use std::os::fd::{AsRawFd, BorrowedFd};

use alike_model::path::Name;
use alike_model::xattrs::{Namespaces, Xattrs};
use rustix::fs::{self, XattrFlags};
use rustix::io::{Errno, retry_on_intr};

/// An inode, as far as its attributes are concerned.
pub enum Inode<'a> {
    /// Open for reading or writing.
    Open(BorrowedFd<'a>),
    /// What [`super::hold`] holds. The link in `/proc` leads to the inode itself, also when that is a symlink.
    Held(String),
    /// A name in an open folder, which is not followed when it is a symlink.
    Named(Vec<u8>),
}

impl<'a> Inode<'a> {
    /// What [`super::hold`] holds.
    #[must_use]
    pub fn held(held: BorrowedFd<'_>) -> Self {
        Self::Held(format!("/proc/self/fd/{}", held.as_raw_fd()))
    }

    /// A name in an open folder.
    #[must_use]
    pub fn named(folder: BorrowedFd<'_>, name: &Name) -> Self {
        let mut path = format!("/proc/self/fd/{}/", folder.as_raw_fd()).into_bytes();
        path.extend_from_slice(name.as_bytes());
        Self::Named(path)
    }

    /// The attributes in these namespaces; none where the filesystem has no such thing.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn xattrs(&self, which: Namespaces) -> Result<Xattrs> {
        if which.is_empty() {
            return Ok(Xattrs::default());
        }
        // Mostly there are none, and this one call is all.
        let mut few = [0_u8; 512];
        let mut many = Vec::new();
        let names = match self.list(&mut few) {
            Ok(length) => &few[..length],
            Err(Errno::OPNOTSUPP) => return Ok(Xattrs::default()),
            Err(Errno::RANGE) => {
                many.resize(XATTR_LIST_MAX, 0);
                let length = self.list(&mut many)?;
                &many[..length]
            }
            Err(errno) => return Err(errno.into()),
        };
        let mut all = Vec::new();
        for name in names.split(|byte| *byte == 0).filter(|name| which.copy(name)) {
            if let Some(value) = self.value(name)? {
                all.push((name.to_vec(), value));
            }
        }
        Ok(Xattrs::new(all))
    }

    /// One attribute; `None` when it is gone by now.
    fn value(&self, name: &[u8]) -> Result<Option<Vec<u8>>> {
        let mut room = 256;
        loop {
            let mut value = vec![0; room];
            match self.get(name, &mut value) {
                Ok(length) => {
                    value.truncate(length);
                    return Ok(Some(value));
                }
                Err(Errno::NODATA) => return Ok(None),
                Err(Errno::RANGE) if room < XATTR_SIZE_MAX => room = XATTR_SIZE_MAX,
                Err(errno) => return Err(errno.into()),
            }
        }
    }

    fn list(&self, buffer: &mut [u8]) -> rustix::io::Result<usize> {
        retry_on_intr(|| match self {
            Self::Open(file) => fs::flistxattr(file, &mut *buffer),
            Self::Held(path) => fs::listxattr(path, &mut *buffer),
            Self::Named(path) => fs::llistxattr(path, &mut *buffer),
        })
    }

    fn get(&self, name: &[u8], buffer: &mut [u8]) -> rustix::io::Result<usize> {
        retry_on_intr(|| match self {
            Self::Open(file) => fs::fgetxattr(file, name, &mut *buffer),
            Self::Held(path) => fs::getxattr(path, name, &mut *buffer),
            Self::Named(path) => fs::lgetxattr(path, name, &mut *buffer),
        })
    }

    /// Sets one attribute.
    ///
    /// # Errors
    /// When the system refuses, or there is no room.
    pub fn set(&self, name: &[u8], value: &[u8]) -> Result<()> {
        let any = XattrFlags::empty();
        Ok(retry_on_intr(|| match self {
            Self::Open(file) => fs::fsetxattr(file, name, value, any),
            Self::Held(path) => fs::setxattr(path, name, value, any),
            Self::Named(path) => fs::lsetxattr(path, name, value, any),
        })?)
    }

    /// Removes one attribute; one that is gone already is fine.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn remove(&self, name: &[u8]) -> Result<()> {
        let removed = retry_on_intr(|| match self {
            Self::Open(file) => fs::fremovexattr(file, name),
            Self::Held(path) => fs::removexattr(path, name),
            Self::Named(path) => fs::lremovexattr(path, name),
        });
        match removed {
            Err(Errno::NODATA) => Ok(()),
            other => Ok(other?),
        }
    }
}

/// The kernel's own limits (`linux/limits.h`).
const XATTR_LIST_MAX: usize = 64 * 1024;
const XATTR_SIZE_MAX: usize = 64 * 1024;
