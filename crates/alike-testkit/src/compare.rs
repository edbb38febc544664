//! The independent judge: is the replica identical to the source?

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::path::Path;

use rustix::fs::{FileType, Statx, StatxTimestamp};

use crate::show;
use crate::walk::{Cursor, Name, kind};

/// Every difference between the two trees, one line each; empty when they are identical.
///
/// Compared: kind, bytes, mode, owner (when root), mtime to the nanosecond (files, folders, symlinks, the tops),
/// link targets, device numbers. Left out: `.alike` at the top of either side.
pub fn compare(source: &Path, replica: &Path) -> Vec<String> {
    let mut judge = match Judge::open(source, replica) {
        Ok(judge) => judge,
        Err(why) => return vec![format!("cannot be compared: {why}")],
    };
    if let Err(why) = judge.walk() {
        judge.differences.push(format!("the walk broke off: {why}"));
    }
    judge.differences
}

struct Judge {
    source: Cursor,
    replica: Cursor,
    path: Vec<Name>,
    differences: Vec<String>,
    owners_count: bool,
}

impl Judge {
    fn open(source: &Path, replica: &Path) -> io::Result<Self> {
        let open = |side: &str, top: &Path| {
            Cursor::open(top).map_err(|why| io::Error::other(format!("{side} {}: {why}", top.display())))
        };
        Ok(Self {
            source: open("source", source)?,
            replica: open("replica", replica)?,
            path: Vec::new(),
            differences: Vec::new(),
            owners_count: crate::is_root(),
        })
    }

    fn walk(&mut self) -> io::Result<()> {
        let (s, r) = (self.source.stat(b"")?, self.replica.stat(b"")?);
        self.stamps(b"", &s, &r);
        let mut todo = vec![self.folder()?];
        while let Some(folders) = todo.last_mut() {
            match folders.pop() {
                Some(name) => {
                    if let Err(why) = self.source.down(&name) {
                        self.differ(&name, &format!("cannot be opened in the source: {why}"));
                        continue;
                    }
                    if let Err(why) = self.replica.down(&name) {
                        self.source.up()?;
                        self.differ(&name, &format!("cannot be opened on the replica: {why}"));
                        continue;
                    }
                    self.path.push(name);
                    todo.push(self.folder()?);
                }
                None => {
                    todo.pop();
                    if !todo.is_empty() {
                        self.source.up()?;
                        self.replica.up()?;
                        self.path.pop();
                    }
                }
            }
        }
        Ok(())
    }

    /// Judges the entries of the open folders; the names that are folders on both sides are still to be walked.
    fn folder(&mut self) -> io::Result<Vec<Name>> {
        let mut left: BTreeSet<Name> = self.source.names()?.into_iter().collect();
        let mut right: BTreeSet<Name> = self.replica.names()?.into_iter().collect();
        if self.path.is_empty() {
            left.remove(b".alike".as_slice());
            right.remove(b".alike".as_slice());
        }
        for name in left.difference(&right) {
            self.differ(name, "missing on the replica");
        }
        for name in right.difference(&left) {
            self.differ(name, "only on the replica");
        }
        let mut folders = Vec::new();
        for name in left.intersection(&right) {
            match self.entry(name) {
                Ok(true) => folders.push(name.clone()),
                Ok(false) => {}
                Err(why) => self.differ(name, &format!("cannot be compared: {why}")),
            }
        }
        folders.reverse();
        Ok(folders)
    }

    /// True when the entry is a folder on both sides.
    fn entry(&mut self, name: &[u8]) -> io::Result<bool> {
        let (s, r) = (self.source.stat(name)?, self.replica.stat(name)?);
        if kind(&s) != kind(&r) {
            self.differ(name, &format!("kind: source {:?}, replica {:?}", kind(&s), kind(&r)));
            return Ok(false);
        }
        self.stamps(name, &s, &r);
        match kind(&s) {
            FileType::Directory => return Ok(true),
            FileType::RegularFile => self.bytes(name, &s, &r)?,
            FileType::Symlink => {
                let (from, to) = (self.source.link_target(name)?, self.replica.link_target(name)?);
                if from != to {
                    self.differ(name, &format!("target: source {from:?}, replica {to:?}"));
                }
            }
            FileType::BlockDevice | FileType::CharacterDevice
                if (s.stx_rdev_major, s.stx_rdev_minor) != (r.stx_rdev_major, r.stx_rdev_minor) =>
            {
                self.differ(name, "device number");
            }
            _ => {}
        }
        Ok(false)
    }

    fn stamps(&mut self, name: &[u8], s: &Statx, r: &Statx) {
        let modes = (s.stx_mode & 0o7777, r.stx_mode & 0o7777);
        if kind(s) != FileType::Symlink && modes.0 != modes.1 {
            self.differ(name, &format!("mode: source {:o}, replica {:o}", modes.0, modes.1));
        }
        if self.owners_count && (s.stx_uid, s.stx_gid) != (r.stx_uid, r.stx_gid) {
            let owners = format!("{}:{}, replica {}:{}", s.stx_uid, s.stx_gid, r.stx_uid, r.stx_gid);
            self.differ(name, &format!("owner: source {owners}"));
        }
        if when(s.stx_mtime) != when(r.stx_mtime) {
            let (from, to) = (when(s.stx_mtime), when(r.stx_mtime));
            self.differ(
                name,
                &format!("mtime: source {}.{:09}, replica {}.{:09}", from.0, from.1, to.0, to.1),
            );
        }
    }

    fn bytes(&mut self, name: &[u8], s: &Statx, r: &Statx) -> io::Result<()> {
        if s.stx_size != r.stx_size {
            self.differ(name, &format!("size: source {}, replica {}", s.stx_size, r.stx_size));
            return Ok(());
        }
        let (mut from, mut to) = (self.source.open_file(name)?, self.replica.open_file(name)?);
        let (mut left, mut right) = (vec![0; 128 * 1024], vec![0; 128 * 1024]);
        let mut offset = 0;
        loop {
            let (read, also) = (fill(&mut from, &mut left)?, fill(&mut to, &mut right)?);
            if left[..read] != right[..also] {
                let same = left[..read].iter().zip(&right[..also]).take_while(|(a, b)| a == b).count();
                self.differ(name, &format!("content: differs from byte {}", offset + same));
                return Ok(());
            }
            if read < left.len() {
                return Ok(());
            }
            offset += read;
        }
    }

    fn differ(&mut self, name: &[u8], what: &str) {
        let mut path = self.path.clone();
        if !name.is_empty() || path.is_empty() {
            path.push(if name.is_empty() { b".".to_vec() } else { name.to_vec() });
        }
        self.differences.push(format!("{}: {what}", show(&path.join(&b'/'))));
    }
}

fn when(time: StatxTimestamp) -> (i64, u32) {
    (time.tv_sec, time.tv_nsec)
}

fn fill(file: &mut std::fs::File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read(&mut buffer[filled..])? {
            0 => break,
            read => filled += read,
        }
    }
    Ok(filled)
}
