//! Read leases: the kernel's word that nobody has a file open for writing, and that nobody opened it so since.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Takes a read lease on a file that is open for reading only: `true` says that nobody has it open for writing, nor mapped
/// so. While it is held, whoever opens it for writing, or cuts it off, is made to wait: end it soon. `false` when somebody
/// has, and where there are no leases: of another's file without the right, and of most files on servers.
#[must_use]
pub fn take_lease(file: BorrowedFd<'_>) -> bool {
    // Whoever opens the file for writing sends a signal, by default SIGIO, which would end the process. SIGURG is ignored
    // unless somebody asked for it. Set for each descriptor, it is nobody's business but ours.
    fcntl::set_signal(file, fcntl::IGNORED) && fcntl::set_lease(file, fcntl::READ)
}

/// True when somebody surely has the file open for writing. False also where the system does not tell.
#[must_use]
pub fn has_writer(file: BorrowedFd<'_>) -> bool {
    if take_lease(file) {
        end_lease(file);
        return false;
    }
    io::Error::last_os_error().raw_os_error() == Some(libc::EAGAIN)
}

/// True when nobody has asked since to open the file for writing.
#[must_use]
pub fn is_lease_whole(file: BorrowedFd<'_>) -> bool {
    fcntl::is_read_lease(file)
}

/// Ends a lease; whoever waits goes on.
pub fn end_lease(file: BorrowedFd<'_>) {
    // Refused when it is over already, which is what is wanted.
    fcntl::set_lease(file, fcntl::UNLOCK);
}

/// What stores through a mapping leave behind on a filesystem.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mappings {
    /// Nothing that can be relied on: what is only in memory is never written back, so the kernel need not know which pages
    /// changed.
    Unseen,
    /// The first store to a page leaves a stamp, each time after that page was brought to the disk.
    Stamped,
    /// The same, and the pages that this kernel has of a file are all that there are: [`is_written_back`] is enough.
    Local,
}

/// What stores through a mapping leave behind on the filesystem of a file.
#[must_use]
pub fn mappings(file: BorrowedFd<'_>) -> Mappings {
    const TMPFS: u32 = 0x0102_1994;
    const RAMFS: u32 = 0x8584_58F6;
    const HUGETLBFS: u32 = 0x9584_58F6;
    const EXT4: u32 = 0xEF53;
    const XFS: u32 = 0x5846_5342;
    const BTRFS: u32 = 0x9123_683E;
    // The kind is 32 bits wide; as which type it comes differs between machines.
    match rustix::fs::fstatfs(file).map(|stat| stat.f_type as u32) {
        Err(_) | Ok(TMPFS | RAMFS | HUGETLBFS) => Mappings::Unseen,
        Ok(EXT4 | XFS | BTRFS) => Mappings::Local,
        Ok(_) => Mappings::Stamped,
    }
}

/// True when surely no page of a file waits to be brought to the disk. `false` also where the kernel does not say: before
/// Linux 6.5, and of another's file.
#[must_use]
pub fn is_written_back(file: BorrowedFd<'_>) -> bool {
    cache::is_clean(file)
}

#[allow(unsafe_code)]
mod cache {
    //! `cachestat`, which neither rustix nor libc has for all machines.

    use super::{AsRawFd, BorrowedFd};

    /// The same number everywhere: it came after the tables of system calls were made one.
    const CACHESTAT: libc::c_long = 451;

    /// `struct cachestat_range` of `linux/mman.h`: from where, and how much, 0 for all.
    #[repr(C)]
    struct Range {
        from: u64,
        length: u64,
    }

    /// `struct cachestat`, in pages.
    #[repr(C)]
    #[derive(Default)]
    struct Pages {
        cached: u64,
        dirty: u64,
        in_writeback: u64,
        /// Also what a file on persistent memory has mapped, dirty or not.
        evicted: u64,
        evicted_lately: u64,
    }

    pub(super) fn is_clean(file: BorrowedFd<'_>) -> bool {
        let all = Range { from: 0, length: 0 };
        let mut pages = Pages::default();
        let range = std::ptr::from_ref(&all);
        // SAFETY: both structures have the kernel's layout and live through the call, which writes only into the second.
        let answer =
            unsafe { libc::syscall(CACHESTAT, file.as_raw_fd(), range, std::ptr::from_mut(&mut pages), 0) };
        answer == 0 && pages.dirty == 0 && pages.in_writeback == 0 && pages.evicted == 0
    }
}

#[allow(unsafe_code)]
mod fcntl {
    //! Three words of `fcntl` that rustix does not have.

    use std::ffi::c_int;

    use super::{AsRawFd, BorrowedFd};

    pub(super) const READ: c_int = libc::F_RDLCK as c_int;
    pub(super) const UNLOCK: c_int = libc::F_UNLCK as c_int;
    pub(super) const IGNORED: c_int = libc::SIGURG;
    /// `F_SETSIG` of `asm-generic/fcntl.h`.
    const SET_SIGNAL: c_int = 10;

    pub(super) fn set_signal(file: BorrowedFd<'_>, signal: c_int) -> bool {
        // SAFETY: F_SETSIG takes an int and touches no memory of ours; the descriptor is open.
        unsafe { libc::fcntl(file.as_raw_fd(), SET_SIGNAL, signal) == 0 }
    }

    pub(super) fn set_lease(file: BorrowedFd<'_>, kind: c_int) -> bool {
        // SAFETY: F_SETLEASE takes an int and touches no memory of ours; the descriptor is open.
        unsafe { libc::fcntl(file.as_raw_fd(), libc::F_SETLEASE, kind) == 0 }
    }

    pub(super) fn is_read_lease(file: BorrowedFd<'_>) -> bool {
        // SAFETY: F_GETLEASE takes nothing and touches no memory of ours; the descriptor is open.
        unsafe { libc::fcntl(file.as_raw_fd(), libc::F_GETLEASE) == READ }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::fs::File;
    use std::os::fd::AsFd;
    use std::time::{Duration, Instant};

    use super::*;

    /// A file that is gone when the value is.
    struct Scratch(std::path::PathBuf);

    impl Drop for Scratch {
        fn drop(&mut self) {
            let _ = std::fs::remove_file(&self.0);
        }
    }

    fn scratch(name: &str) -> Scratch {
        let path = std::env::temp_dir().join(format!("alike-lease-{}-{name}", std::process::id()));
        std::fs::write(&path, "x").unwrap();
        Scratch(path)
    }

    #[test]
    fn a_writer_waits_until_the_lease_ends_and_the_process_lives() {
        let path = &scratch("waits").0;
        let file = File::open(path).unwrap();
        assert!(take_lease(file.as_fd()));
        assert!(is_lease_whole(file.as_fd()));
        std::thread::scope(|scope| {
            let writer = scope.spawn(|| {
                let started = Instant::now();
                let opened = File::options().write(true).open(path).unwrap();
                (opened, started.elapsed())
            });
            let asked = Instant::now();
            while is_lease_whole(file.as_fd()) && asked.elapsed() < Duration::from_secs(5) {
                std::thread::sleep(Duration::from_millis(1));
            }
            assert!(!is_lease_whole(file.as_fd()), "the lease tells that somebody wants to write");
            end_lease(file.as_fd());
            let (_opened, waited) = writer.join().unwrap();
            assert!(waited < Duration::from_secs(1), "{waited:?}");
            assert!(!take_lease(file.as_fd()));
            assert!(has_writer(file.as_fd()));
        });
        assert!(!has_writer(file.as_fd()), "the writer has closed it");
        assert!(take_lease(file.as_fd()), "and who asked holds nothing");
    }

    #[test]
    fn a_file_is_written_back_once_it_is_on_the_disk_and_not_while_a_page_waits() {
        // Temporary files are often in memory; what was built is not.
        let built = std::env::current_exe().unwrap();
        let scratch = Scratch(built.with_file_name(format!("waiting-{}", std::process::id())));
        let mut file = File::create_new(&scratch.0).unwrap();
        assert_eq!(mappings(file.as_fd()), Mappings::Local, "this test needs ext4, XFS or btrfs");
        for text in ["one", "two"] {
            io::Write::write_all(&mut file, text.as_bytes()).unwrap();
            assert!(!is_written_back(file.as_fd()), "what was just written waits");
            file.sync_all().unwrap();
            assert!(is_written_back(file.as_fd()), "this test needs Linux 6.5");
        }
    }
}
