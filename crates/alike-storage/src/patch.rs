//! Changes of a large file in place, where files cannot be cloned: written to a journal first, so that a change that broke
//! off is completed by whoever starts next.
//!
//! Two names in `.alike/staging` belong together: `N.target` is one more name of the file that is changed, and `N.patch` has
//! what is to be written. A patch under that name is whole, for it gets it by a rename after it has reached the disk. It is
//! removed after the file has.
//!
//! While the changes are written, which takes as long as writing that much, whoever reads the file may see some of them and
//! not the others: the price for not writing the rest again. Hence only large files, of which little changed.

use std::fs::File;
use std::io::{BufReader, BufWriter, ErrorKind, Read, Result, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use alike_model::entry::{Kind, Stamp};
use alike_model::path::Name;

use crate::Flow;
use crate::delta::{BLOCK, for_each_change, wait_for};
use crate::linux;
use crate::local::Folder;

/// Smaller files are copied whole.
const LEAST: u64 = 256 * 1024 * 1024;
/// What changed may be this part of the file at most; else it is copied whole.
const SHARE: u64 = 8;
/// And at most this much, so that half-changed is a matter of moments.
const MOST: u64 = 256 * 1024 * 1024;
/// Begins a patch; then the size of the file, then stretches, each with offset and length, in little-endian order.
const MAGIC: &[u8; 8] = b"alikepa1";

/// What is to be written, safe on the disk.
#[derive(Debug)]
pub(crate) struct Patch {
    staging: OwnedFd,
    number: String,
    target: OwnedFd,
    size: u64,
}

/// True when it is worth a try.
pub(crate) fn pays(like: &Stamp, old: &Stamp) -> bool {
    // What has another name is never written through.
    old.kind == Kind::File && old.nlink == 1 && like.size >= LEAST && old.size >= LEAST
}

impl Patch {
    /// Writes down how `name` becomes like `from`; `None` when that does not pay.
    pub(crate) fn make(
        (staging, number): (OwnedFd, String),
        folder: &Folder,
        (name, old): (&Name, &Stamp),
        (from, like): (BorrowedFd<'_>, &Stamp),
        flow: &dyn Flow,
    ) -> Result<Option<Self>> {
        // What may not be written to is replaced.
        let Ok(target) = linux::open_for_changing(folder.descriptor(), name) else { return Ok(None) };
        if !linux::look_at_open(target.as_fd())?.is_untouched_since(old) {
            return Ok(None);
        }
        let patch = Self { staging, number, target, size: like.size };
        let journal = File::from(linux::create_named(patch.staging.as_fd(), &patch.name("new")?)?);
        if !patch.can_link(&journal)? {
            return Ok(None);
        }
        let mut journal = BufWriter::new(journal);
        journal.write_all(MAGIC)?;
        journal.write_all(&like.size.to_le_bytes())?;
        let mut left = (like.size / SHARE).min(MOST);
        let mut write = |bytes: &[u8], at: u64| {
            left = left.checked_sub(bytes.len() as u64).ok_or(ErrorKind::FileTooLarge)?;
            wait_for(flow, bytes)?;
            journal.write_all(&at.to_le_bytes())?;
            journal.write_all(&(bytes.len() as u64).to_le_bytes())?;
            journal.write_all(bytes)
        };
        match for_each_change((from, patch.target.as_fd()), 0..like.size, &|| flow.is_over(), &mut write) {
            Err(error) if error.kind() == ErrorKind::FileTooLarge => return Ok(None),
            other => other?,
        }
        journal.flush()?;
        journal.get_ref().sync_all()?;
        Ok(Some(patch))
    }

    /// True when files can have several names here: without, the target cannot be held in staging.
    fn can_link(&self, journal: &File) -> Result<bool> {
        let (staging, name) = (self.staging.as_fd(), self.name("link")?);
        let linked = linux::link_nameless(journal.as_fd(), staging, &name).is_ok();
        if linked {
            linux::remove_file(staging, &name)?;
        }
        Ok(linked)
    }

    /// True when a second look at `from` finds the same changes.
    pub(crate) fn is_made_for(&self, from: BorrowedFd<'_>, interrupted: &dyn Fn() -> bool) -> Result<bool> {
        let mut journal = open(self.staging.as_fd(), &self.name("new")?)?;
        read_size(&mut journal)?;
        let mut have = Vec::new();
        let mut same = |bytes: &[u8], at: u64| {
            let place = (read_number(&mut journal)?, read_number(&mut journal)?);
            if place == (Some(at), Some(bytes.len() as u64)) {
                have.resize(bytes.len(), 0);
                journal.read_exact(&mut have)?;
            }
            if have == bytes { Ok(()) } else { Err(ErrorKind::InvalidData.into()) }
        };
        match for_each_change((from, self.target.as_fd()), 0..self.size, interrupted, &mut same) {
            Err(error) if error.kind() == ErrorKind::InvalidData => return Ok(false),
            other => other?,
        }
        Ok(read_number(&mut journal)?.is_none())
    }

    /// The file that is changed.
    pub(crate) fn target(&self) -> BorrowedFd<'_> {
        self.target.as_fd()
    }

    /// Writes down, under a name in the trash, how the file becomes what it was: a patch like this one, the other way round.
    pub(crate) fn keep_old(&self, (bucket, name): (&Folder, &Name)) -> Result<()> {
        let old_size = linux::look_at_open(self.target.as_fd())?.size;
        let kept = File::from(linux::create_named(bucket.descriptor(), name)?);
        let mut kept = BufWriter::new(kept);
        kept.write_all(MAGIC)?;
        kept.write_all(&old_size.to_le_bytes())?;
        let mut keep = |at: u64, length: u64| -> Result<()> {
            let mut bytes = vec![0; length.min(old_size.saturating_sub(at)) as usize];
            let mut got = 0;
            while got < bytes.len() {
                match linux::read_at(self.target.as_fd(), &mut bytes[got..], at + got as u64)? {
                    0 => return Err(ErrorKind::UnexpectedEof.into()),
                    more => got += more,
                }
            }
            kept.write_all(&at.to_le_bytes())?;
            kept.write_all(&(bytes.len() as u64).to_le_bytes())?;
            kept.write_all(&bytes)
        };
        let mut journal = open(self.staging.as_fd(), &self.name("new")?)?;
        for_each_record(&mut journal, self.size, &mut |bytes, at| keep(at, bytes.len() as u64))?;
        for at in (self.size..old_size).step_by(BLOCK) {
            keep(at, (old_size - at).min(BLOCK as u64))?;
        }
        kept.flush()?;
        kept.get_ref().sync_all()
    }

    /// Makes the changes. The file must still be what the patch was made for.
    pub(crate) fn apply(&self) -> Result<()> {
        let staging = self.staging.as_fd();
        let (target, ready) = (self.name("target")?, self.name("patch")?);
        linux::link_nameless(self.target.as_fd(), staging, &target)?;
        let written = linux::rename_over((staging, &self.name("new")?), (staging, &ready))
            .and_then(|()| linux::sync_file(staging))
            .and_then(|()| write_changes(staging, &ready, self.target.as_fd(), self.size));
        // Also when it failed: the file is compared again, and what this patch would bring may be old by the next start.
        let removed = linux::remove_file(staging, &ready);
        linux::remove_file(staging, &target)?;
        written.and(removed)
    }

    fn name(&self, what: &str) -> Result<Name> {
        name(&self.number, what)
    }
}

impl Drop for Patch {
    fn drop(&mut self) {
        // What was not begun leaves nothing; what was begun is completed at the next start.
        if let Ok(new) = self.name("new") {
            let _ = linux::remove_file(self.staging.as_fd(), &new);
        }
    }
}

/// Makes of a copy of a file what the file was before it was changed in place; `old` is what [`Patch::keep_old`] wrote.
///
/// # Errors
/// When the patch is damaged, before anything is written; or when it cannot be written.
pub fn take_back(old: (&Folder, &Name), copy: BorrowedFd<'_>) -> Result<()> {
    let size = read_size(&mut open(old.0.descriptor(), old.1)?)?;
    write_changes(old.0.descriptor(), old.1, copy, size)
}

/// Completes what broke off. Call it under the replica's lock, before staging is cleared and before anything is compared:
/// what cannot be completed is found then.
pub(crate) fn complete(staging: BorrowedFd<'_>) -> Result<()> {
    for entry in linux::list(staging)? {
        let Some(number) = entry.name.as_bytes().strip_suffix(b".patch") else { continue };
        let number = String::from_utf8_lossy(number);
        let target = linux::open_for_changing(staging, &name(&number, "target")?);
        // Without its target there is nothing to complete, nor when that has no name but this one.
        if let Ok(target) = target
            && linux::look_at_open(target.as_fd())?.nlink == 2
        {
            let written = read_size(&mut open(staging, &entry.name)?)
                .and_then(|size| write_changes(staging, &entry.name, target.as_fd(), size));
            if written.is_ok() {
                linux::remove_file(staging, &entry.name)?;
            }
        }
    }
    Ok(())
}

fn write_changes(staging: BorrowedFd<'_>, patch: &Name, target: BorrowedFd<'_>, size: u64) -> Result<()> {
    // All of it is read before the first byte is written: a damaged patch changes nothing.
    for_each_record(&mut open(staging, patch)?, size, &mut |_, _| Ok(()))?;
    linux::set_size(target, size)?;
    for_each_record(&mut open(staging, patch)?, size, &mut |bytes, at| linux::write_at(target, bytes, at))?;
    linux::sync_file(target)
}

fn for_each_record(
    patch: &mut impl Read,
    size: u64,
    work: &mut dyn FnMut(&[u8], u64) -> Result<()>,
) -> Result<()> {
    read_size(patch)?;
    let mut bytes = Vec::new();
    while let Some(at) = read_number(patch)? {
        let length = read_number(patch)?.ok_or(ErrorKind::UnexpectedEof)?;
        if length > BLOCK as u64 || at.checked_add(length).is_none_or(|end| end > size) {
            return Err(ErrorKind::InvalidData.into());
        }
        bytes.resize(length as usize, 0);
        patch.read_exact(&mut bytes)?;
        work(&bytes, at)?;
    }
    Ok(())
}

fn open(staging: BorrowedFd<'_>, patch: &Name) -> Result<BufReader<File>> {
    Ok(BufReader::new(File::from(linux::open_for_reading(staging, patch)?)))
}

fn read_size(patch: &mut impl Read) -> Result<u64> {
    let mut magic = [0; MAGIC.len()];
    patch.read_exact(&mut magic)?;
    if magic != *MAGIC {
        return Err(ErrorKind::InvalidData.into());
    }
    read_number(patch)?.ok_or_else(|| ErrorKind::UnexpectedEof.into())
}

/// `None` at the end.
fn read_number(patch: &mut impl Read) -> Result<Option<u64>> {
    let mut bytes = Vec::with_capacity(8);
    patch.take(8).read_to_end(&mut bytes)?;
    match <[u8; 8]>::try_from(bytes.as_slice()) {
        Ok(bytes) => Ok(Some(u64::from_le_bytes(bytes))),
        Err(_) if bytes.is_empty() => Ok(None),
        Err(_) => Err(ErrorKind::UnexpectedEof.into()),
    }
}

fn name(number: &str, what: &str) -> Result<Name> {
    Name::new(format!("{number}.{what}").as_bytes()).ok_or_else(|| ErrorKind::InvalidInput.into())
}
