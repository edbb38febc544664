//! The bytes of a file being read.

use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use alike_model::entry::Stamp;

use crate::error::{Error, Result};
use crate::linux;

/// An open regular file of a source. What is read may be torn while somebody writes: compare [`Content::stamp`] after
/// reading with the look before it.
#[derive(Debug)]
pub struct Content {
    file: OwnedFd,
}

impl Content {
    pub(crate) fn new(file: OwnedFd) -> Self {
        Self { file }
    }

    /// Looks at the open file.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn stamp(&self) -> Result<Stamp> {
        linux::look_at_open(self.file.as_fd()).map_err(|cause| Error::of("look at it again", cause))
    }

    /// Its descriptor: the door for copies that the kernel makes.
    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

impl Read for Content {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        Ok(rustix::io::retry_on_intr(|| rustix::io::read(&self.file, &mut *buffer))?)
    }
}
