//! Of a large file that changed, only what changed is written: into a clone of the old version, which is then published like
//! any other copy. Where files cannot be cloned, see [`crate::patch`].

use std::io::{ErrorKind, Result};
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use alike_model::entry::{Kind, Stamp};
use alike_model::path::Name;

use crate::Flow;
use crate::linux;
use crate::local::Folder;

/// Smaller files are copied whole: comparing costs two reads to save one write.
const LEAST: u64 = 1024 * 1024;
/// How much is read at once.
pub(crate) const BLOCK: usize = 1024 * 1024;
/// What is compared and written: a page, and most filesystems' block.
const PAGE: usize = 4096;

/// True when it is worth a try.
pub(crate) fn pays(like: &Stamp, old: &Stamp) -> bool {
    old.kind == Kind::File && like.size >= LEAST && old.size >= LEAST
}

/// Makes `to`, which is empty, like `from` by way of a clone of the file `name` that it is to replace. False where files
/// cannot be cloned; nothing is written then.
///
/// # Errors
/// `ErrorKind::Interrupted` when `flow` said so; else what the system answers.
pub(crate) fn rewrite(
    folder: &Folder,
    (name, old): (&Name, &Stamp),
    from: BorrowedFd<'_>,
    (to, like): (BorrowedFd<'_>, &Stamp),
    flow: &dyn Flow,
) -> Result<bool> {
    let Some(base) = open_base(folder, name, old) else { return Ok(false) };
    if !linux::clone(base.as_fd(), to) {
        return Ok(false);
    }
    linux::set_size(to, like.size)?;
    if !linux::can_punch_holes(to, like.size)? {
        linux::set_size(to, 0)?;
        return Ok(false);
    }
    let mut at = 0;
    while let Some(data) = linux::next_data(from, at)?.filter(|data| data.start < like.size) {
        linux::punch_hole(to, at..data.start)?;
        let data = data.start..data.end.min(like.size);
        at = data.end;
        for_each_change((from, base.as_fd()), data, &|| flow.is_over(), &mut |bytes, at| {
            wait_for(flow, bytes)?;
            linux::write_at(to, bytes, at)
        })?;
    }
    linux::punch_hole(to, at..like.size)?;
    Ok(true)
}

/// Waits until these bytes may be written.
pub(crate) fn wait_for(flow: &dyn Flow, bytes: &[u8]) -> Result<()> {
    if flow.may_write(bytes.len() as u64) { Ok(()) } else { Err(ErrorKind::Interrupted.into()) }
}

fn open_base(folder: &Folder, name: &Name, old: &Stamp) -> Option<OwnedFd> {
    let base = linux::open_for_reading(folder.descriptor(), name).ok()?;
    linux::look_at_open(base.as_fd()).ok()?.is_untouched_since(old).then_some(base)
}

/// Hands on each stretch of `data` in which the first file is not like the second.
pub(crate) fn for_each_change(
    (from, base): (BorrowedFd<'_>, BorrowedFd<'_>),
    data: Range<u64>,
    interrupted: &dyn Fn() -> bool,
    write: &mut dyn FnMut(&[u8], u64) -> Result<()>,
) -> Result<()> {
    let (mut new, mut old) = (vec![0; BLOCK], vec![0; BLOCK]);
    let mut at = data.start;
    while at < data.end {
        if interrupted() {
            return Err(ErrorKind::Interrupted.into());
        }
        let ask = usize::try_from(data.end - at).unwrap_or(BLOCK).min(BLOCK);
        let got = read_full(from, &mut new[..ask], at)?;
        let have = read_full(base, &mut old[..got], at)?;
        if new[..got] != old[..have] {
            for (start, end) in changed_runs(&new[..got], &old[..have]) {
                write(&new[start..end], at + start as u64)?;
            }
        }
        if got < ask {
            break;
        }
        at += got as u64;
    }
    Ok(())
}

/// Neighbouring pages of `new` that are not as in `old`, which may be shorter, as runs.
fn changed_runs(new: &[u8], old: &[u8]) -> Vec<(usize, usize)> {
    let mut runs: Vec<(usize, usize)> = Vec::new();
    for start in (0..new.len()).step_by(PAGE) {
        let end = (start + PAGE).min(new.len());
        if old.get(start..end) == Some(&new[start..end]) {
            continue;
        }
        match runs.last_mut() {
            Some((_, last)) if *last == start => *last = end,
            _ => runs.push((start, end)),
        }
    }
    runs
}

/// Reads until the buffer is full or the file ends.
fn read_full(file: BorrowedFd<'_>, buffer: &mut [u8], at: u64) -> Result<usize> {
    let mut have = 0;
    while have < buffer.len() {
        match linux::read_at(file, &mut buffer[have..], at + have as u64)? {
            0 => break,
            got => have += got,
        }
    }
    Ok(have)
}
