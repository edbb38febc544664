//! What this process was started with by whoever started it, known by its number alone.

use std::io::{ErrorKind, Result};
use std::net::TcpListener;
use std::os::fd::{BorrowedFd, OwnedFd, RawFd};

/// Input, output and error have numbers of their own.
const FIRST: RawFd = 3;

/// A listener that was passed under this number, for one who does not wait in its calls. It is a descriptor of its own, which no
/// program that is started from here gets; that with the number stays as it is.
///
/// # Errors
/// When there is nothing under the number, or it does not listen for TCP.
pub fn passed_listener(number: RawFd) -> Result<TcpListener> {
    if number < FIRST {
        return Err(ErrorKind::InvalidInput.into());
    }
    let listener = TcpListener::from(copy(number)?);
    listener.local_addr()?;
    if !rustix::net::sockopt::socket_acceptconn(&listener)? {
        return Err(std::io::Error::new(ErrorKind::InvalidInput, "it does not listen"));
    }
    listener.set_nonblocking(true)?;
    Ok(listener)
}

#[allow(unsafe_code)]
fn copy(number: RawFd) -> Result<OwnedFd> {
    // SAFETY: it is no -1, and borrowed for this one call, which only copies it: a number that is not open, or somebody else's,
    // comes to an error or a copy, and nothing that others own is closed.
    let passed = unsafe { BorrowedFd::borrow_raw(number) };
    passed.try_clone_to_owned()
}
