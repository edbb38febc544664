//! The bytes of a file being read.

use std::cell::Cell;
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
    lease: Cell<Lease>,
    is_snapshot: Cell<bool>,
}

/// Whether writers are held off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lease {
    /// They never were.
    Never,
    /// They are.
    Held,
    /// They were, and none came meanwhile (`true`), or one did.
    Over(bool),
}

impl Content {
    pub(crate) fn new(file: OwnedFd) -> Self {
        Self { file, at: 0, lease: Cell::new(Lease::Never), is_snapshot: Cell::new(false) }
    }

    /// Looks at the open file.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn stamp(&self) -> Result<Stamp> {
        linux::look_at_open(self.file.as_fd()).map_err(|cause| Error::of("look at it again", cause))
    }

    /// Asks whether anybody may have it open for writing. If surely nobody has (`true`), whoever wants to has to wait from
    /// now on: call [`Content::let_writers_in`] soon.
    pub fn hold_off_writers(&self) -> bool {
        let are_held = linux::take_lease(self.descriptor());
        if are_held {
            self.lease.set(Lease::Held);
        }
        are_held
    }

    /// Lets writers go on.
    pub fn let_writers_in(&self) {
        if self.lease.get() == Lease::Held {
            self.lease.set(Lease::Over(linux::is_lease_whole(self.descriptor())));
            linux::end_lease(self.descriptor());
        }
    }

    /// True when writers were held off, and none came before they were let in.
    #[must_use]
    pub fn was_left_alone(&self) -> bool {
        self.lease.get() == Lease::Over(true)
    }

    /// True when the first store to a page through a mapping shows in its stamp, each time after that page was brought to the
    /// disk.
    #[must_use]
    pub fn leaves_stamps(&self, stamp: &Stamp) -> bool {
        thread_local! {
            // Asking costs more than a short look, and the answer is one for a filesystem.
            static LAST: Cell<Option<(u64, bool)>> = const { Cell::new(None) };
        }
        match LAST.get() {
            Some((dev, answer)) if dev == stamp.dev => answer,
            _ => {
                let answer = linux::stamps_tell_of_mappings(self.descriptor());
                LAST.set(Some((stamp.dev, answer)));
                answer
            }
        }
    }

    /// Notes that it was cloned: what was copied is what it was at one moment.
    pub(crate) fn note_snapshot(&self) {
        self.is_snapshot.set(true);
    }

    /// True when it was copied by a clone.
    #[must_use]
    pub fn is_snapshot(&self) -> bool {
        self.is_snapshot.get()
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
