//! Starts a program under a filter that hands the system calls of its list, of all its threads and children, to us.

use std::io;
use std::mem::{offset_of, size_of, zeroed};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command};

use super::Listener;

#[cfg(target_arch = "x86_64")]
const ARCHITECTURE: u32 = 0xC000_003E;
#[cfg(target_arch = "aarch64")]
const ARCHITECTURE: u32 = 0xC000_00B7;

const NEW_LISTENER: libc::c_ulong = 1 << 3;
/// Once we have seen a call, only a fatal signal takes it from us: Go's runtime sends itself signals all the time, and
/// each would make its call start, and be counted, again.
const WAIT_KILLABLE: libc::c_ulong = 1 << 5;
const SET_MODE_FILTER: libc::c_uint = 1;

const NOTIFY: u32 = 0x7FC0_0000;
const ALLOW: u32 = 0x7FFF_0000;

/// Starts `command` so that each of `calls` waits for an answer from the listener.
pub fn start(command: &mut Command, calls: &[i64]) -> io::Result<(Child, Listener)> {
    let program = program(calls)?;
    let (ours, theirs) = UnixStream::pair()?;
    let socket = theirs.as_raw_fd();
    // SAFETY: between fork and exec the closure makes system calls only; it allocates nothing and takes no lock.
    unsafe {
        command.pre_exec(move || send(socket, install(&program)?));
    }
    let child = command.spawn()?;
    drop(theirs);
    Ok((child, Listener::new(receive(&ours)?)))
}

fn program(calls: &[i64]) -> io::Result<Vec<libc::sock_filter>> {
    const LOAD: u16 = (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16;
    const EQUAL: u16 = (libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K) as u16;
    const RETURN: u16 = (libc::BPF_RET | libc::BPF_K) as u16;
    let far = |steps: usize| u8::try_from(steps).map_err(|_| io::Error::other("too many calls to watch"));
    let word = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    let mut program = vec![
        word(LOAD, 0, 0, offset_of!(libc::seccomp_data, arch) as u32),
        word(EQUAL, 0, far(calls.len() + 1)?, ARCHITECTURE),
        word(LOAD, 0, 0, offset_of!(libc::seccomp_data, nr) as u32),
    ];
    for (at, call) in calls.iter().enumerate() {
        let number = u32::try_from(*call).map_err(io::Error::other)?;
        program.push(word(EQUAL, far(calls.len() - at)?, 0, number));
    }
    program.push(word(RETURN, 0, 0, ALLOW));
    program.push(word(RETURN, 0, 0, NOTIFY));
    Ok(program)
}

fn install(program: &[libc::sock_filter]) -> io::Result<RawFd> {
    let length = u16::try_from(program.len()).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))?;
    let program = libc::sock_fprog { len: length, filter: program.as_ptr().cast_mut() };
    // SAFETY: `program` and what it points to live until the call returns; the kernel copies them.
    let listener = unsafe {
        if libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 {
            return Err(io::Error::last_os_error());
        }
        libc::syscall(libc::SYS_seccomp, SET_MODE_FILTER, NEW_LISTENER | WAIT_KILLABLE, &raw const program)
    };
    match RawFd::try_from(listener) {
        Ok(listener) if listener >= 0 => Ok(listener),
        _ => Err(io::Error::last_os_error()),
    }
}

const ROOM: usize = 64;

#[repr(C, align(8))]
struct Ancillary([u8; ROOM]);

fn send(socket: RawFd, listener: RawFd) -> io::Result<()> {
    // SAFETY: the message points to locals that outlive the call, and ROOM holds a header and one descriptor.
    let sent = unsafe {
        let mut byte = [1_u8];
        let mut part = libc::iovec { iov_base: byte.as_mut_ptr().cast(), iov_len: 1 };
        let mut space = Ancillary([0; ROOM]);
        let mut message: libc::msghdr = zeroed();
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        message.msg_control = space.0.as_mut_ptr().cast();
        message.msg_controllen = libc::CMSG_SPACE(size_of::<RawFd>() as u32) as usize;
        let header = libc::CMSG_FIRSTHDR(&raw const message);
        (*header).cmsg_level = libc::SOL_SOCKET;
        (*header).cmsg_type = libc::SCM_RIGHTS;
        (*header).cmsg_len = libc::CMSG_LEN(size_of::<RawFd>() as u32) as usize;
        libc::CMSG_DATA(header).cast::<RawFd>().write_unaligned(listener);
        libc::sendmsg(socket, &raw const message, 0)
    };
    if sent == 1 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn receive(socket: &UnixStream) -> io::Result<OwnedFd> {
    // SAFETY: as in `send`; the descriptor that arrives is ours alone.
    unsafe {
        let mut byte = [0_u8];
        let mut part = libc::iovec { iov_base: byte.as_mut_ptr().cast(), iov_len: 1 };
        let mut space = Ancillary([0; ROOM]);
        let mut message: libc::msghdr = zeroed();
        message.msg_iov = &raw mut part;
        message.msg_iovlen = 1;
        message.msg_control = space.0.as_mut_ptr().cast();
        message.msg_controllen = ROOM;
        let got = libc::recvmsg(socket.as_raw_fd(), &raw mut message, libc::MSG_CMSG_CLOEXEC);
        let header = libc::CMSG_FIRSTHDR(&raw const message);
        if got != 1 || header.is_null() || (*header).cmsg_type != libc::SCM_RIGHTS {
            return Err(io::Error::other("the program did not hand over its listener"));
        }
        Ok(OwnedFd::from_raw_fd(libc::CMSG_DATA(header).cast::<RawFd>().read_unaligned()))
    }
}
