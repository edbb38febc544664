//! The supervisor's end of a filter: which call waits, and what becomes of it.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};

const RECEIVE: libc::c_ulong = 0xC050_2100;
const SEND: libc::c_ulong = 0xC018_2101;
const SET_FLAGS: libc::c_ulong = 0x4008_2104;
const SYNC_WAKE_UP: libc::c_ulong = 1;
const GO_ON: u32 = 1;

/// `struct seccomp_notif` of `linux/seccomp.h`: a call that waits for an answer.
#[repr(C)]
#[derive(Debug, Clone, Copy, Default)]
pub struct Notice {
    pub id: u64,
    /// The thread.
    pub pid: u32,
    flags: u32,
    pub nr: i32,
    arch: u32,
    pointer: u64,
    pub args: [u64; 6],
}

/// `struct seccomp_notif_resp`.
#[repr(C)]
struct Answer {
    id: u64,
    value: i64,
    error: i32,
    flags: u32,
}

/// What waiting for a call came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Waited {
    Call,
    Nothing,
    /// Nobody is left who could call.
    Over,
}

#[derive(Debug)]
pub struct Listener(OwnedFd);

impl Listener {
    pub(super) fn new(open: OwnedFd) -> Self {
        // Both ends then share a processor, which halves the time of a call. Older kernels do not know it.
        // SAFETY: the argument of this opcode is a number.
        let _ = unsafe { libc::ioctl(open.as_raw_fd(), SET_FLAGS, SYNC_WAKE_UP) };
        Self(open)
    }

    pub fn wait(&self, limit: Duration) -> io::Result<Waited> {
        let mut one = [PollFd::new(&self.0, PollFlags::IN)];
        let limit = Timespec { tv_sec: limit.as_secs() as i64, tv_nsec: limit.subsec_nanos().into() };
        match poll(&mut one, Some(&limit)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => return Ok(Waited::Nothing),
            Ok(_) => {}
            Err(why) => return Err(why.into()),
        }
        let said = one[0].revents();
        Ok(if said.contains(PollFlags::IN) { Waited::Call } else { Waited::Over })
    }

    /// The next call; none when its thread is gone already.
    pub fn next(&self) -> Option<Notice> {
        let mut notice = Notice::default();
        // SAFETY: the kernel writes one `seccomp_notif`, which `Notice` mirrors and which must be zero before.
        let got = unsafe { libc::ioctl(self.0.as_raw_fd(), RECEIVE, &raw mut notice) };
        (got == 0).then_some(notice)
    }

    /// The call is made as if nobody had looked.
    pub fn go_on(&self, notice: &Notice) {
        self.answer(&Answer { id: notice.id, value: 0, error: 0, flags: GO_ON });
    }

    /// The call is not made, and fails with this error.
    pub fn fail(&self, notice: &Notice, errno: i32) {
        self.answer(&Answer { id: notice.id, value: 0, error: -errno, flags: 0 });
    }

    /// The call is not made, and gives this.
    pub fn give(&self, notice: &Notice, value: i64) {
        self.answer(&Answer { id: notice.id, value, error: 0, flags: 0 });
    }

    fn answer(&self, answer: &Answer) {
        // A thread that was killed meanwhile waits for nothing: that this fails then is as it should be.
        // SAFETY: the kernel reads one `seccomp_notif_resp`, which `Answer` mirrors.
        let _ = unsafe { libc::ioctl(self.0.as_raw_fd(), SEND, &raw const *answer) };
    }
}
