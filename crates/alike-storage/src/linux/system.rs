//! What concerns the process or a whole filesystem.

use std::io::Result;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::OnceLock;
use std::time::Duration;

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, epoll, poll};
use rustix::fs::{AtFlags, StatxFlags};
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit};

/// A path that leads to what is open.
#[must_use]
pub fn path_of_open(open: BorrowedFd<'_>) -> PathBuf {
    PathBuf::from(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&open)))
}

/// The path that what is open has now.
///
/// # Errors
/// When the system refuses.
pub fn where_is(open: BorrowedFd<'_>) -> Result<PathBuf> {
    std::fs::read_link(path_of_open(open))
}

/// The number of the mount through which what is open was opened, and when its names changed last, in seconds.
///
/// # Errors
/// When the system refuses.
pub fn mount_and_time(folder: BorrowedFd<'_>) -> Result<(u64, i64)> {
    let wanted = StatxFlags::MTIME | StatxFlags::MNT_ID;
    let stat = rustix::fs::statx(folder, c"", AtFlags::EMPTY_PATH | AtFlags::STATX_DONT_SYNC, wanted)?;
    Ok((stat.stx_mnt_id, stat.stx_mtime.tv_sec))
}

/// The number of the mount through which a path leads where it leads, symlinks followed.
///
/// # Errors
/// When it leads nowhere.
pub fn mount_of(path: &Path) -> Result<u64> {
    let stat = rustix::fs::statx(rustix::fs::CWD, path, AtFlags::STATX_DONT_SYNC, StatxFlags::MNT_ID)?;
    Ok(stat.stx_mnt_id)
}

/// How many bytes a filesystem has free for this process, and how many it has in all.
///
/// # Errors
/// When the system refuses.
pub fn room(path: &Path) -> Result<(u64, u64)> {
    let stat = rustix::fs::statvfs(path)?;
    Ok((stat.f_bavail.saturating_mul(stat.f_frsize), stat.f_blocks.saturating_mul(stat.f_frsize)))
}

/// Brings all of a filesystem's changes to the disk.
///
/// # Errors
/// When any of them may not be there.
pub fn sync_filesystem(open: BorrowedFd<'_>) -> Result<()> {
    Ok(rustix::fs::syncfs(open)?)
}

/// Words that tell this filesystem from others: its UUID where the kernel tells it (6.9 and later), and the id that
/// `statvfs` has, which may be the device number and then change at a reboot. One word in common makes it the same.
///
/// # Errors
/// When the system refuses.
pub fn filesystem_id(open: BorrowedFd<'_>) -> Result<String> {
    let stat = rustix::fs::fstatvfs(open.as_fd())?;
    let fsid = format!("fsid:{:016x}", stat.f_fsid);
    Ok(uuid::of(open).map_or(fsid.clone(), |uuid| format!("uuid:{uuid} {fsid}")))
}

/// How long a page that was stored to may wait for being brought to the disk, in milliseconds, as the system is set up.
/// [`u32::MAX`] when it may wait for ever.
#[must_use]
pub fn writeback_millis() -> u32 {
    static MILLIS: OnceLock<u32> = OnceLock::new();
    let setting = |name: &str, usual: u32| {
        let text = std::fs::read_to_string(format!("/proc/sys/vm/{name}")).ok();
        text.and_then(|text| text.trim().parse().ok()).unwrap_or(usual)
    };
    *MILLIS.get_or_init(|| match setting("dirty_writeback_centisecs", 500) {
        0 => u32::MAX,
        between => between.saturating_add(setting("dirty_expire_centisecs", 3000)).saturating_mul(10),
    })
}

/// Takes as many descriptors as the system allows: a held folder costs one, and deep trees hold many.
/// Returns how many there are.
pub fn raise_descriptor_limit() -> usize {
    let now = rustix::process::getrlimit(Resource::Nofile);
    // Refused, the old limit stays.
    let _ =
        rustix::process::setrlimit(Resource::Nofile, Rlimit { current: now.maximum, maximum: now.maximum });
    let limit = rustix::process::getrlimit(Resource::Nofile).current;
    limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX))
}

/// Ends a wait from another thread.
#[derive(Debug)]
pub struct Waker(OwnedFd);

impl Waker {
    /// Makes one.
    ///
    /// # Errors
    /// When the process has no descriptors left.
    pub fn new() -> Result<Self> {
        Ok(Self(rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?))
    }

    /// Ends the current wait, or the next one.
    pub fn wake(&self) {
        // The only refusal is a counter that is full, which wakes as well.
        let _ = rustix::io::write(&self.0, &1_u64.to_ne_bytes());
    }

    /// Forgets earlier wakes.
    pub fn clear(&self) {
        let _ = rustix::io::read(&self.0, &mut [0_u8; 8]);
    }

    /// Waits until it is woken, `other` can be read, or the time is over; tells whether `other` can be read.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn wait(&self, other: Option<BorrowedFd<'_>>, longest: Duration) -> Result<bool> {
        let timeout = Timespec::try_from(longest).unwrap_or(Timespec { tv_sec: 60, tv_nsec: 0 });
        let mut polled = vec![PollFd::new(&self.0, PollFlags::IN)];
        polled.extend(other.map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN)));
        match poll(&mut polled, Some(&timeout)) {
            Ok(_) => Ok(polled.get(1).is_some_and(|other| !other.revents().is_empty())),
            Err(Errno::INTR) => Ok(false),
            Err(errno) => Err(errno.into()),
        }
    }
}

/// True for filesystems that others than this kernel may change, other machines or the program that serves them: no event
/// tells of that. Of overlays, what lies below may be changed beside them.
#[must_use]
pub fn is_shared(open: BorrowedFd<'_>) -> bool {
    // From `linux/magic.h`: NFS, SMB (three names), 9P, Ceph, AFS, FUSE, OCFS2, VirtualBox, overlay; and from their own sources
    // Lustre and GFS2.
    const SHARED: [u32; 13] = [
        0x6969,
        0x517B,
        0xFF53_4D42,
        0xFE53_4D42,
        0x0102_1997,
        0x00C3_6400,
        0x5346_414F,
        0x6573_5546,
        0x7461_636F,
        0x786F_4256,
        0x794C_7630,
        0x0BD0_0BD0,
        0x0116_1970,
    ];
    rustix::fs::fstatfs(open).is_ok_and(|stat| SHARED.contains(&(stat.f_type as u32)))
}

/// A descriptor that can be read when any of these can, or has `urgent` news.
///
/// # Errors
/// When the process has no descriptors left.
pub fn any_of(all: &[BorrowedFd<'_>], urgent: BorrowedFd<'_>) -> Result<OwnedFd> {
    let any = epoll::create(epoll::CreateFlags::CLOEXEC)?;
    let readable = all.iter().map(|one| (*one, epoll::EventFlags::IN));
    for (at, (one, what)) in readable.chain([(urgent, epoll::EventFlags::PRI)]).enumerate() {
        epoll::add(&any, one, epoll::EventData::new_u64(at as u64), what)?;
    }
    Ok(any)
}

#[allow(unsafe_code)]
mod uuid {
    //! `FS_IOC_GETFSUUID`, which rustix has no word for.

    use std::fmt::Write;
    use std::os::fd::BorrowedFd;

    use rustix::ioctl::{Getter, Opcode, ioctl, opcode};

    /// `struct fsuuid2` of `linux/fs.h`.
    #[repr(C)]
    #[derive(Clone, Copy)]
    struct FsUuid {
        len: u8,
        uuid: [u8; 16],
    }

    const GET_UUID: Opcode = opcode::read::<FsUuid>(0x15, 0);

    pub(super) fn of(open: BorrowedFd<'_>) -> Option<String> {
        // SAFETY: the opcode is FS_IOC_GETFSUUID, whose argument is a `struct fsuuid2`, which `FsUuid` mirrors.
        let answer = unsafe { ioctl(open, Getter::<GET_UUID, FsUuid>::new()) }.ok()?;
        let bytes = answer.uuid.get(..usize::from(answer.len))?;
        let mut text = String::new();
        for byte in bytes {
            write!(text, "{byte:02x}").ok()?;
        }
        (!text.is_empty()).then_some(text)
    }
}
