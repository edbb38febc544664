//! The bytes of a file being read.

use std::cell::Cell;
use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use alike_model::entry::Stamp;
use alike_model::xattrs::{Namespaces, Xattrs};

use crate::error::{Error, Result};
use crate::linux::{self, Mappings};

/// An open regular file of a source. What is read may be torn while somebody writes: compare [`Content::stamp`] after
/// reading with the look before it.
#[derive(Debug)]
pub struct Content {
    file: OwnedFd,
    /// Where reading goes on.
    at: u64,
    lease: Cell<Lease>,
    is_snapshot: Cell<bool>,
    /// Reads come from the disk, past the page cache.
    is_direct: bool,
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
        let (lease, is_snapshot) = (Cell::new(Lease::Never), Cell::new(false));
        Self { file, at: 0, lease, is_snapshot, is_direct: false }
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

    /// True when somebody surely has it open for writing. False also where the system does not tell.
    #[must_use]
    pub fn has_writer(&self) -> bool {
        linux::has_writer(self.descriptor())
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
        self.mappings(stamp) != Mappings::Unseen
    }

    /// True when whoever stores through a mapping from now on surely leaves a stamp: no page waits to be brought to the disk.
    /// One call, where a lease takes four.
    #[must_use]
    pub fn is_written_back(&self, stamp: &Stamp) -> bool {
        self.mappings(stamp) == Mappings::Local && linux::is_written_back(self.descriptor())
    }

    fn mappings(&self, stamp: &Stamp) -> Mappings {
        thread_local! {
            // Asking costs more than a short look, and the answer is one for a filesystem.
            static LAST: Cell<Option<(u64, Mappings)>> = const { Cell::new(None) };
        }
        match LAST.get() {
            Some((dev, answer)) if dev == stamp.dev => answer,
            _ => {
                let answer = linux::mappings(self.descriptor());
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

    /// From here on reads tell what is on the disk, as far as the system lets that be known, and leave the page cache as it
    /// is.
    pub fn read_from_disk(&mut self) {
        self.is_direct = linux::read_direct(self.file.as_fd(), true);
        if !self.is_direct {
            linux::drop_cached(self.file.as_fd(), 0, 0);
            linux::will_read_on(self.file.as_fd());
        }
    }

    /// Reads on, at most `most` bytes and what the block has room for; none only at the end. After
    /// [`Content::read_from_disk`].
    ///
    /// # Errors
    /// When the system refuses.
    pub fn read_block<'a>(&mut self, block: &'a mut linux::Block, most: usize) -> Result<&'a [u8]> {
        let room = block.room();
        let most = most.max(1).next_multiple_of(4096).min(room.len());
        let mut read = linux::read_at(self.file.as_fd(), &mut room[..most], self.at);
        // Behind a short read, at the end, direct reads are not aligned; and some filesystems take the flag but no such read.
        if self.is_direct && read.as_ref().is_err_and(|why| why.kind() == io::ErrorKind::InvalidInput) {
            let _ = linux::read_direct(self.file.as_fd(), false);
            self.is_direct = false;
            linux::drop_cached(self.file.as_fd(), self.at, 0);
            read = linux::read_at(self.file.as_fd(), &mut room[..most], self.at);
        }
        let got = read.map_err(|cause| Error::of("read it", cause))?;
        if !self.is_direct {
            linux::drop_cached(self.file.as_fd(), self.at, got as u64);
        }
        self.at += got as u64;
        Ok(&block.room()[..got])
    }

    /// Lets go of what the page cache has of it, so that others who read it see what is on the disk.
    pub fn forget_cached(&self) {
        linux::drop_cached(self.file.as_fd(), 0, 0);
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
