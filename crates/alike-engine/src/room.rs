//! On a full disk what is kept makes room, oldest first, unless all of it would not be enough; and it is said what went.

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
            _ => format!(
                "the disk needs room: the {count} that were kept longest are gone, from trash {first} on"
            ),
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
        self.drop_oldest()
    }

    /// What all that is kept takes on the disk; what cannot be looked at may take any amount.
    fn takes(&self) -> u64 {
        use std::os::unix::fs::MetadataExt;
        let takes = |entry: walkdir::Result<walkdir::DirEntry>| {
            entry.and_then(|entry| entry.metadata()).map_or(u64::MAX, |meta| meta.blocks() * BLOCK)
        };
        WalkDir::new(self.path()).into_iter().map(takes).fold(0, u64::saturating_add)
    }

    /// Drops what was kept longest. False when nothing is left to drop.
    fn drop_oldest(&self) -> io::Result<bool> {
        for bucket in self.buckets()? {
            let folder = Folder::open(&self.path().join(&bucket))?;
            let names = linux::names(folder.descriptor())?;
            let number_of = |name: &[u8]| std::str::from_utf8(name).ok()?.parse::<u64>().ok();
            match names.iter().filter_map(|(name, _)| number_of(name.as_bytes())).min() {
                Some(oldest) => {
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

    /// Drops what was kept longest until a part of the filesystem's room is free.
    ///
    /// # Errors
    /// When something cannot be removed.
    pub(crate) fn leave_room(&self) -> io::Result<()> {
        while self.path().exists() {
            let (free, whole) = linux::room(&self.path())?;
            if free >= whole / SPARE || !self.drop_oldest()? {
                break;
            }
        }
        Ok(())
    }
}
