//! Read leases: the kernel's word that nobody has a file open for writing, and that nobody opened it so since.

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

/// False where stores through a mapping never change the times of a file: what is only in memory is never written back, so the
/// kernel need not know which pages changed.
#[must_use]
pub fn stamps_tell_of_mappings(file: BorrowedFd<'_>) -> bool {
    const TMPFS: u32 = 0x0102_1994;
    const RAMFS: u32 = 0x8584_58F6;
    const HUGETLBFS: u32 = 0x9584_58F6;
    // The kind is 32 bits wide; as which type it comes differs between machines.
    rustix::fs::fstatfs(file).is_ok_and(|stat| ![TMPFS, RAMFS, HUGETLBFS].contains(&(stat.f_type as u32)))
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
        });
        assert!(take_lease(file.as_fd()), "the writer has closed it");
    }
}
