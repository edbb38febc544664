//! Bytes from one open file to another in the cheapest way that both filesystems allow.

use std::cell::RefCell;
use std::io::{Error, ErrorKind, Result};
use std::ops::Range;
use std::os::fd::BorrowedFd;

use alike_model::entry::Stamp;
use rustix::fs::{FallocateFlags, SeekFrom};
use rustix::io::{Errno, retry_on_intr};

use crate::Flow;
use crate::error::is_any;

/// Up to here one read and one write are as fast as asking the kernel to copy (measured; see `docs/decisions/`).
const SMALL: u64 = 128 * 1024;
/// How much is copied between two questions whether to stop.
const BLOCK: usize = 8 * 1024 * 1024;
/// What `Stamp::blocks` counts.
const SECTOR: u64 = 512;

thread_local! {
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Copies `from`, as long as `like` says, to `to`, which is empty; holes stay holes. With `reflink` the kernel may share
/// blocks. A `from` that is shorter by now is no error: whoever asked compares stamps afterwards.
///
/// # Errors
/// `ErrorKind::Interrupted` when `flow` said so; else what the system answers.
pub fn copy(
    from: BorrowedFd<'_>,
    to: BorrowedFd<'_>,
    (like, reflink): (&Stamp, bool),
    flow: &dyn Flow,
) -> Result<()> {
    let size = like.size;
    if like.blocks.saturating_mul(SECTOR) >= size {
        return copy_range(from, to, (0..size, reflink), flow);
    }
    let mut at = 0;
    while let Some(data) = next_data(from, at)?.filter(|data| data.start < size) {
        copy_range(from, to, (data.start..data.end.min(size), reflink), flow)?;
        at = data.end;
    }
    set_size(to, size)
}

/// Cuts a file off, or lets it end in a hole.
///
/// # Errors
/// When the system refuses.
pub fn set_size(file: BorrowedFd<'_>, size: u64) -> Result<()> {
    Ok(rustix::fs::ftruncate(file, size)?)
}

/// True when [`punch_hole`] can work; tried behind the end, where it changes nothing.
///
/// # Errors
/// When the system refuses for another reason.
pub fn can_punch_holes(file: BorrowedFd<'_>, size: u64) -> Result<bool> {
    match punch_hole(file, size..size + 4096) {
        Err(cause) if is_any(&cause, &[Errno::OPNOTSUPP]) => Ok(false),
        other => other.map(|()| true),
    }
}

/// Makes a stretch of a file a hole.
///
/// # Errors
/// When the system refuses or cannot.
pub fn punch_hole(file: BorrowedFd<'_>, range: Range<u64>) -> Result<()> {
    if range.is_empty() {
        return Ok(());
    }
    let flags = FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE;
    Ok(retry_on_intr(|| rustix::fs::fallocate(file, flags, range.start, range.end - range.start))?)
}

/// Lets `to` share all blocks of `from`; false where that cannot be.
///
/// What is cloned is what the file was at one moment, whoever writes to it: btrfs and XFS keep out `write` and the first
/// store to a page of a mapping while they bring what is dirty to the disk and share the blocks. A page that is dirty
/// already can take stores until it is its turn, but a store to one that has been brought there waits, and with it all
/// that its thread would do later.
#[must_use]
pub fn clone(from: BorrowedFd<'_>, to: BorrowedFd<'_>) -> bool {
    retry_on_intr(|| rustix::fs::ioctl_ficlone(to, from)).is_ok()
}

/// The next stretch that is no hole, at or after `at`; `None` when there is none. Where the filesystem does not tell, all
/// is data.
///
/// # Errors
/// When the system refuses.
pub fn next_data(file: BorrowedFd<'_>, at: u64) -> Result<Option<Range<u64>>> {
    let start = match rustix::fs::seek(file, SeekFrom::Data(at)) {
        Ok(start) => start,
        Err(Errno::NXIO) => return Ok(None),
        Err(Errno::INVAL | Errno::OPNOTSUPP) => return Ok(Some(at..u64::MAX)),
        Err(errno) => return Err(errno.into()),
    };
    match rustix::fs::seek(file, SeekFrom::Hole(start)) {
        Ok(end) if end > start => Ok(Some(start..end)),
        // Cut off meanwhile.
        Ok(_) | Err(Errno::NXIO) => Ok(None),
        Err(errno) => Err(errno.into()),
    }
}

fn copy_range(
    from: BorrowedFd<'_>,
    to: BorrowedFd<'_>,
    (range, reflink): (Range<u64>, bool),
    flow: &dyn Flow,
) -> Result<()> {
    // copy_file_range shares blocks where it can, so it is no way to copy without.
    let in_kernel = reflink && range.end - range.start > SMALL;
    if in_kernel && copy_in_kernel(from, to, range.clone(), flow)? {
        return Ok(());
    }
    copy_by_hand(from, to, range, flow)
}

/// False when the kernel cannot copy between these two; nothing is written then.
fn copy_in_kernel(
    from: BorrowedFd<'_>,
    to: BorrowedFd<'_>,
    range: Range<u64>,
    flow: &dyn Flow,
) -> Result<bool> {
    let mut at = range.start;
    while at < range.end {
        let block = usize::try_from(range.end - at).unwrap_or(usize::MAX).min(BLOCK).min(flow.block());
        if !flow.may_write(block as u64) {
            return Err(ErrorKind::Interrupted.into());
        }
        let (mut read_at, mut write_at) = (at, at);
        let copied = retry_on_intr(|| {
            rustix::fs::copy_file_range(from, Some(&mut read_at), to, Some(&mut write_at), block)
        });
        match copied {
            // Zero at the start may also mean "cannot": some filesystems say so instead of an error.
            Ok(0) => return Ok(at > range.start),
            Ok(done) => at += done as u64,
            Err(Errno::XDEV | Errno::OPNOTSUPP | Errno::INVAL | Errno::NOSYS) if at == range.start => {
                return Ok(false);
            }
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(true)
}

fn copy_by_hand(from: BorrowedFd<'_>, to: BorrowedFd<'_>, range: Range<u64>, flow: &dyn Flow) -> Result<()> {
    BUFFER.with_borrow_mut(|buffer| {
        let room = if range.end - range.start > SMALL { 1024 * 1024 } else { SMALL as usize };
        if buffer.len() < room {
            buffer.resize(room, 0);
        }
        let mut at = range.start;
        while at < range.end {
            let ask = usize::try_from(range.end - at).unwrap_or(usize::MAX).min(room).min(flow.block());
            let got = read_at(from, &mut buffer[..ask], at)?;
            if got == 0 {
                break;
            }
            if !flow.may_write(got as u64) {
                return Err(ErrorKind::Interrupted.into());
            }
            write_at(to, &buffer[..got], at)?;
            at += got as u64;
        }
        Ok(())
    })
}

/// Reads some bytes at a place; none only at the end.
///
/// # Errors
/// When the system refuses.
pub fn read_at(file: BorrowedFd<'_>, buffer: &mut [u8], at: u64) -> Result<usize> {
    Ok(retry_on_intr(|| rustix::io::pread(file, &mut *buffer, at))?)
}

/// Writes all bytes at a place.
///
/// # Errors
/// When the system refuses.
pub fn write_at(file: BorrowedFd<'_>, mut bytes: &[u8], mut at: u64) -> Result<()> {
    while !bytes.is_empty() {
        match retry_on_intr(|| rustix::io::pwrite(file, bytes, at))? {
            0 => return Err(Error::from(ErrorKind::WriteZero)),
            done => {
                bytes = &bytes[done..];
                at += done as u64;
            }
        }
    }
    Ok(())
}
