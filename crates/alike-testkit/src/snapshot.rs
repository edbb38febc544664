//! A full record of a tree, to prove that nothing in it was written.

use std::collections::BTreeMap;
use std::path::Path;

use rustix::fs::{FileType, Statx, StatxTimestamp};

use crate::show;
use crate::walk::{Cursor, walk};

/// One entry as the filesystem describes it; its content and link target are not read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// File type and permission bits.
    pub mode: u16,
    /// Owner and group.
    pub owner: (u32, u32),
    /// Inode number.
    pub ino: u64,
    /// Number of names.
    pub links: u32,
    /// Size in bytes.
    pub size: u64,
    /// When the content changed.
    pub mtime: (i64, u32),
    /// When anything about it changed: no program can set this back.
    pub ctime: (i64, u32),
    /// When it was last read, as far as the mount keeps that. Not part of [`Snapshot::changes`].
    pub atime: (i64, u32),
}

impl Record {
    fn of(stat: &Statx) -> Self {
        let when = |time: StatxTimestamp| (time.tv_sec, time.tv_nsec);
        Self {
            mode: stat.stx_mode,
            owner: (stat.stx_uid, stat.stx_gid),
            ino: stat.stx_ino,
            links: stat.stx_nlink,
            size: stat.stx_size,
            mtime: when(stat.stx_mtime),
            ctime: when(stat.stx_ctime),
            atime: when(stat.stx_atime),
        }
    }
}

/// Every entry of a tree, the top included (as the empty path).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    entries: BTreeMap<Vec<u8>, Record>,
}

impl Snapshot {
    /// Records the tree; a top that does not exist gives an empty record, any other trouble panics.
    pub fn of(top: &Path) -> Self {
        let mut entries = BTreeMap::new();
        match Cursor::open(top) {
            Ok(cursor) => entries.insert(Vec::new(), Record::of(&cursor.stat(b"").expect("stat the top"))),
            Err(gone) if gone.kind() == std::io::ErrorKind::NotFound => return Self { entries },
            Err(why) => panic!("cannot record {}: {why}", top.display()),
        };
        walk(top, |path, _, _, stat| {
            entries.insert(path.to_vec(), Record::of(stat));
            Ok(())
        })
        .unwrap_or_else(|why| panic!("cannot record {}: {why}", top.display()));
        Self { entries }
    }

    /// The same record without `path` and what is below it.
    pub fn without(mut self, path: &str) -> Self {
        let below = format!("{path}/").into_bytes();
        self.entries.retain(|at, _| at != path.as_bytes() && !at.starts_with(&below));
        self
    }

    /// The same record without `.alike` at the top.
    pub fn without_own_folder(self) -> Self {
        self.without(".alike")
    }

    /// The record of one entry, when there is one.
    pub fn get(&self, path: impl AsRef<[u8]>) -> Option<&Record> {
        self.entries.get(path.as_ref())
    }

    /// The paths recorded, the top left out.
    pub fn paths(&self) -> Vec<Vec<u8>> {
        self.entries.keys().filter(|path| !path.is_empty()).cloned().collect()
    }

    /// What changed from this record to a later one, access times left out; one line each.
    pub fn changes(&self, later: &Self) -> Vec<String> {
        self.compare(later, |record| Record { atime: (0, 0), ..record.clone() })
    }

    /// As [`Snapshot::changes`], but for what links made and removed elsewhere do to a file with several names.
    pub fn changes_but_for_links(&self, later: &Self) -> Vec<String> {
        let linked = |record: &Record| {
            record.links > 1 && FileType::from_raw_mode(record.mode.into()) != FileType::Directory
        };
        let mut later = later.clone();
        for (path, after) in &mut later.entries {
            if let Some(before) = self.entries.get(path).filter(|before| linked(before)) {
                (after.links, after.ctime) = (before.links, before.ctime);
            }
        }
        self.changes(&later)
    }

    /// As [`Snapshot::changes`], with the access times of files and folders too. Those of symlinks stay out: the
    /// kernel has no way to read one without moving it.
    pub fn changes_and_reads(&self, later: &Self) -> Vec<String> {
        self.compare(later, |record| {
            let symlink = FileType::from_raw_mode(record.mode.into()) == FileType::Symlink;
            if symlink { Record { atime: (0, 0), ..record.clone() } } else { record.clone() }
        })
    }

    fn compare(&self, later: &Self, seen: impl Fn(&Record) -> Record) -> Vec<String> {
        let mut changes = Vec::new();
        for (path, before) in &self.entries {
            match later.entries.get(path) {
                None => changes.push(format!("{}: gone", show(path))),
                Some(after) if seen(before) != seen(after) => {
                    changes.push(format!("{}: {:?} became {:?}", show(path), seen(before), seen(after)));
                }
                Some(_) => {}
            }
        }
        for path in later.entries.keys().filter(|path| !self.entries.contains_key(*path)) {
            changes.push(format!("{}: new", show(path)));
        }
        changes
    }
}
