//! Copying bytes between two open files in the cheapest way that both filesystems allow.

use std::cell::RefCell;
use std::io::{Error, ErrorKind, Result};
use std::os::fd::BorrowedFd;

use rustix::io::{Errno, retry_on_intr};

/// Up to here one read and one write are as fast as asking the kernel to copy (measured; see `docs/decisions/`).
const SMALL: u64 = 128 * 1024;
/// How much is copied between two questions whether to stop.
const BLOCK: usize = 8 * 1024 * 1024;

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Copies the first `size` bytes of `from`, which is at its start, to `to`, which is empty. A shorter `from` is no error:
/// whoever asked compares stamps afterwards.
///
/// # Errors
/// `ErrorKind::Interrupted` when `interrupted` said so; else what the system answers.
pub fn copy(
    from: BorrowedFd<'_>,
    to: BorrowedFd<'_>,
    size: u64,
    interrupted: &dyn Fn() -> bool,
) -> Result<()> {
    if size > SMALL {
        if rustix::fs::ioctl_ficlone(to, from).is_ok() {
            return Ok(());
        }
        if copy_in_kernel(from, to, size, interrupted)? {
            return Ok(());
        }
    }
    copy_by_hand(from, to, size, interrupted)
}

/// False when the kernel cannot copy between these two; nothing is written then.
fn copy_in_kernel(
    from: BorrowedFd<'_>,
    to: BorrowedFd<'_>,
    size: u64,
    interrupted: &dyn Fn() -> bool,
) -> Result<bool> {
    let mut left = size;
    while left > 0 {
        if interrupted() {
            return Err(ErrorKind::Interrupted.into());
        }
        let block = usize::try_from(left).unwrap_or(usize::MAX).min(BLOCK);
        match retry_on_intr(|| rustix::fs::copy_file_range(from, None, to, None, block)) {
            // Zero at the start may also mean "cannot": some filesystems say so instead of an error.
            Ok(0) => return Ok(left < size),
            Ok(done) => left -= done as u64,
            Err(Errno::XDEV | Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSYS) if left == size => {
                return Ok(false);
            }
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(true)
}

fn copy_by_hand(
    from: BorrowedFd<'_>,
    to: BorrowedFd<'_>,
    size: u64,
    interrupted: &dyn Fn() -> bool,
) -> Result<()> {
    BUFFER.with_borrow_mut(|buffer| {
        let room = if size > SMALL { 1024 * 1024 } else { SMALL as usize };
        if buffer.len() < room {
            buffer.resize(room, 0);
        }
        let mut left = size;
        while left > 0 {
            let ask = usize::try_from(left).unwrap_or(usize::MAX).min(room);
            let got = retry_on_intr(|| rustix::io::read(from, &mut buffer[..ask]))?;
            if got == 0 {
                break;
            }
            write_all(to, &buffer[..got])?;
            left -= got as u64;
            if left > 0 && interrupted() {
                return Err(ErrorKind::Interrupted.into());
            }
        }
        Ok(())
    })
}

fn write_all(to: BorrowedFd<'_>, mut bytes: &[u8]) -> Result<()> {
    while !bytes.is_empty() {
        match retry_on_intr(|| rustix::io::write(to, bytes))? {
            0 => return Err(Error::from(ErrorKind::WriteZero)),
            done => bytes = &bytes[done..],
        }
    }
    Ok(())
}
