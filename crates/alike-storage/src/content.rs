//! The bytes of a file being read.

use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use alike_model::entry::Stamp;
use alike_model::xattrs::{Namespaces, Xattrs};

use crate::error::{Error, Result};
use crate::linux;

/// An open regular file of a source. What is read may be torn while somebody writes: compare [`Content::stamp`] after
/// reading with the look before it.
#[derive(Debug)]
pub struct Content {
    file: OwnedFd,
    /// Where reading goes on.
    at: u64,
}

impl Content {
    pub(crate) fn new(file: OwnedFd) -> Self {
        Self { file, at: 0 }
    }

    /// Looks at the open file.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn stamp(&self) -> Result<Stamp> {
        linux::look_at_open(self.file.as_fd()).map_err(|cause| Error::of("look at it again", cause))
    }

    /// Its extended attributes in these namespaces.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn xattrs(&self, which: Namespaces) -> Result<Xattrs> {
        let inode = linux::Inode::Open(self.file.as_fd());
        inode.xattrs(which).map_err(|cause| Error::of("read its extended attributes", cause))
    }

    /// Where the next byte stands that is not in a hole, from where reading goes on; `u64::MAX` when none does.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn next_data(&self) -> Result<u64> {
        let data =
            linux::next_data(self.file.as_fd(), self.at).map_err(|cause| Error::of("read it", cause))?;
        Ok(data.map_or(u64::MAX, |data| data.start))
    }

    /// Goes on reading from here.
    pub fn skip_to(&mut self, at: u64) {
        self.at = at;
    }

    /// Its descriptor: the door for copies that the kernel makes.
    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Read for Content {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = linux::read_at(self.file.as_fd(), buffer, self.at)?;
        self.at += got as u64;
        Ok(got)
    }
}
