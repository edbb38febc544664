//! On a full disk what is kept makes room, unless all of it would not be enough: versions that later ones of the same path
//! followed, then what was kept longest; and it is said what went.

use std::io;
use std::sync::{Mutex, PoisonError};

use alike_storage::{Folder, linux, remove_tree};
use walkdir::WalkDir;

use crate::trash::{Trash, number};

/// Of a filesystem's room, the trash leaves at least one part in this many free.
const SPARE: u64 = 20;
/// What a block counts for in `st_blocks`, whatever the filesystem.
pub(crate) const BLOCK: u64 = 512;

/// What went for want of room since that was last told.
#[derive(Default)]
pub(crate) struct Evicted(Mutex<Option<(String, u64)>>);

impl Evicted {
    fn note(&self, bucket: &str, n: u64) {
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        noted.get_or_insert_with(|| (format!("{bucket}/{n}"), 0)).1 += 1;
    }

    /// For the log; `None`: nothing went.
    pub(crate) fn tell(&self) -> Option<String> {
        let (first, count) = self.0.lock().unwrap_or_else(PoisonError::into_inner).take()?;
        Some(match count {
            1 => format!("the disk needs room: trash {first} is gone"),
            _ => format!("the disk needs room: {count} that were kept are gone, from trash {first} on"),
        })
    }
}

impl Trash {
    /// Makes some room, where so many bytes are wanted. False when nothing is left to drop, or when all of it would not be
    /// enough: then it stays.
    ///
    /// # Errors
    /// When something cannot be removed.
    pub(crate) fn make_room(&self, bytes: u64) -> io::Result<bool> {
        let (free, _) = linux::room(&self.path())?;
        if bytes > free && bytes - free > self.takes() {
            return Ok(false);
        }
        self.drop_one()
    }

    /// What all that is kept takes on the disk; what cannot be looked at may take any amount.
    fn takes(&self) -> u64 {
        use std::os::unix::fs::MetadataExt;
        let takes = |entry: walkdir::Result<walkdir::DirEntry>| {
            entry.and_then(|entry| entry.metadata()).map_or(u64::MAX, |meta| meta.blocks() * BLOCK)
        };
        WalkDir::new(self.path()).into_iter().map(takes).fold(0, u64::saturating_add)
    }

    /// Drops a version that a later one followed, else what was kept longest. False when nothing is left to drop.
    fn drop_one(&self) -> io::Result<bool> {
        // It only says what had better go first; what is wrong with it must not keep a disk full.
        if let Ok(Some((bucket, n))) = self.drop_superseded() {
            self.evicted.note(&bucket, n);
            return Ok(true);
        }
        for bucket in self.buckets()? {
            match self.numbers_in(&bucket)?.first().copied() {
                Some(oldest) => {
                    let folder = Folder::open(&self.path().join(&bucket))?;
                    remove_tree(&folder, &number(oldest)?)?;
                    self.evicted.note(&bucket, oldest);
                    return Ok(true);
                }
                None if self.is_current(&bucket) => {}
                None => self.drop_bucket(&bucket)?,
            }
        }
        Ok(false)
    }

    /// Drops what is kept until a part of the filesystem's room is free.
    ///
    /// # Errors
    /// When something cannot be removed.
    pub(crate) fn leave_room(&self) -> io::Result<()> {
        while self.path().exists() {
            let (free, whole) = linux::room(&self.path())?;
            if free >= whole / SPARE || !self.drop_one()? {
                break;
            }
        }
        Ok(())
    }
}
