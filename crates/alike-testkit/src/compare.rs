//! The independent judge: is the replica identical to the source?

use std::collections::BTreeSet;
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::{FileType, Statx, StatxTimestamp};

use crate::attributes::{DEFAULT_ACL, is_acl};
use crate::links::Links;
use crate::show;
use crate::walk::{Cursor, Name, kind};

/// What a comparison can leave out, for targets that cannot hold it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Leave {
    /// Owner and group.
    Owner,
    /// Modification times.
    Times,
    /// What of a modification time is less than a second.
    Nanoseconds,
    /// Extended attributes, but not the ACLs.
    Xattrs,
    /// ACLs.
    Acls,
    /// Which names are one file.
    Links,
}

/// Every difference between the two trees, one line each; empty when they are identical.
///
/// Compared: kind, bytes, mode, owner (when root), mtime to the nanosecond (files, folders, symlinks, the tops),
/// link targets, device numbers, extended attributes and ACLs of every kind, which names are one file, and that no
/// file of the replica has a name elsewhere. Left out: `.alike` at the top of either side, and holes, for which
/// there is [`allocated`].
pub fn compare(source: &Path, replica: &Path) -> Vec<String> {
    compare_but(source, replica, &[])
}

/// As [`compare`], with less to compare.
pub fn compare_but(source: &Path, replica: &Path, leave: &[Leave]) -> Vec<String> {
    judged((source, replica), leave, &|_| true)
}

/// As [`compare`], as if neither tree had the names at the paths that do not count, nor anything below them.
pub fn compare_where(source: &Path, replica: &Path, counts: &dyn Fn(&[u8]) -> bool) -> Vec<String> {
    judged((source, replica), &[], counts)
}

fn judged((source, replica): (&Path, &Path), leave: &[Leave], counts: &dyn Fn(&[u8]) -> bool) -> Vec<String> {
    let mut judge = match Judge::open(source, replica, leave, counts) {
        Ok(judge) => judge,
        Err(why) => return vec![format!("cannot be compared: {why}")],
    };
    if let Err(why) = judge.walk() {
        judge.differences.push(format!("the walk broke off: {why}"));
    }
    if judge.counts(Leave::Links) {
        judge.differences.extend(judge.links.differences());
    }
    judge.differences
}

/// How many bytes of the disk a file takes, which is less than its size when it has holes.
pub fn allocated(path: &Path) -> u64 {
    const UNIT: u64 = 512;
    let found = std::fs::symlink_metadata(path);
    found.unwrap_or_else(|why| panic!("look at {}: {why}", path.display())).blocks() * UNIT
}

struct Judge<'a> {
    source: Cursor,
    replica: Cursor,
    path: Vec<Name>,
    differences: Vec<String>,
    links: Links,
    leave: Vec<Leave>,
    /// Whether a path is to be judged.
    names: &'a dyn Fn(&[u8]) -> bool,
}

impl<'a> Judge<'a> {
    fn open(
        source: &Path,
        replica: &Path,
        leave: &[Leave],
        names: &'a dyn Fn(&[u8]) -> bool,
    ) -> io::Result<Self> {
        let open = |side: &str, top: &Path| {
            Cursor::open(top).map_err(|why| io::Error::other(format!("{side} {}: {why}", top.display())))
        };
        Ok(Self {
            source: open("source", source)?,
            replica: open("replica", replica)?,
            path: Vec::new(),
            differences: Vec::new(),
            links: Links::default(),
            leave: leave.to_vec(),
            names,
        })
    }

    fn counts(&self, class: Leave) -> bool {
        !self.leave.contains(&class)
    }

    fn walk(&mut self) -> io::Result<()> {
        let (s, r) = (self.source.stat(b"")?, self.replica.stat(b"")?);
        self.stamps(b"", &s, &r);
        self.attributes(b"")?;
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
        left.retain(|name| (self.names)(&self.path_of(name)));
        // What does not count is still one of the names that a file has.
        let (counting, rest) = right.into_iter().partition(|name| (self.names)(&self.path_of(name)));
        right = counting;
        self.note_replica(&rest)?;
        for name in left.difference(&right) {
            self.differ(name, "missing on the replica");
        }
        for name in right.difference(&left) {
            self.differ(name, "only on the replica");
        }
        self.note_replica(&right.difference(&left).cloned().collect())?;
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

    /// Notes the names of files that only the replica has, or that do not count.
    fn note_replica(&mut self, names: &BTreeSet<Name>) -> io::Result<()> {
        for name in names {
            let found = self.replica.stat(name)?;
            if kind(&found) != FileType::Directory {
                self.links.note_replica(&self.path_of(name), &found);
            }
        }
        Ok(())
    }

    /// True when the entry is a folder on both sides.
    fn entry(&mut self, name: &[u8]) -> io::Result<bool> {
        let (s, r) = (self.source.stat(name)?, self.replica.stat(name)?);
        if kind(&s) != FileType::Directory && kind(&r) != FileType::Directory {
            self.links.note(&self.path_of(name), &s, &r);
        }
        if kind(&s) != kind(&r) {
            self.differ(name, &format!("kind: source {:?}, replica {:?}", kind(&s), kind(&r)));
            return Ok(false);
        }
        self.stamps(name, &s, &r);
        self.attributes(name)?;
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
        if self.counts(Leave::Owner) && crate::is_root() && (s.stx_uid, s.stx_gid) != (r.stx_uid, r.stx_gid) {
            let owners = format!("{}:{}, replica {}:{}", s.stx_uid, s.stx_gid, r.stx_uid, r.stx_gid);
            self.differ(name, &format!("owner: source {owners}"));
        }
        let (from, to) = (self.when(s.stx_mtime), self.when(r.stx_mtime));
        if from != to {
            self.differ(
                name,
                &format!("mtime: source {}.{:09}, replica {}.{:09}", from.0, from.1, to.0, to.1),
            );
        }
    }

    /// A time as far as it counts.
    fn when(&self, time: StatxTimestamp) -> (i64, u32) {
        match (self.counts(Leave::Times), self.counts(Leave::Nanoseconds)) {
            (true, true) => (time.tv_sec, time.tv_nsec),
            (true, false) => (time.tv_sec, 0),
            (false, _) => (0, 0),
        }
    }

    fn attributes(&mut self, name: &[u8]) -> io::Result<()> {
        let from = self.source.hold(name)?.attributes()?;
        let to = self.replica.hold(name)?.attributes()?;
        let names: BTreeSet<&Vec<u8>> = from.keys().chain(to.keys()).collect();
        for attribute in names {
            let (class, what) = match is_acl(attribute) {
                true if attribute.as_slice() == DEFAULT_ACL.as_bytes() => (Leave::Acls, "default acl".into()),
                true => (Leave::Acls, "acl".into()),
                false => (Leave::Xattrs, format!("xattr {}", show(attribute))),
            };
            let (left, right) = (from.get(attribute), to.get(attribute));
            if self.counts(class) && left != right {
                let (left, right) = (in_words(left), in_words(right));
                self.differ(name, &format!("{what}: source {left}, replica {right}"));
            }
        }
        Ok(())
    }

    fn bytes(&mut self, name: &[u8], s: &Statx, r: &Statx) -> io::Result<()> {
        if s.stx_size != r.stx_size {
            self.differ(name, &format!("size: source {}, replica {}", s.stx_size, r.stx_size));
            return Ok(());
        }
        let (mut from, mut to) = (self.source.open_file(name)?, self.replica.open_file(name)?);
        // No larger than it takes: most files are small, and what is this large is mapped anew for each.
        let room = usize::try_from(s.stx_size).unwrap_or(usize::MAX).saturating_add(1).min(128 * 1024);
        let (mut left, mut right) = (vec![0; room], vec![0; room]);
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
        self.differences.push(format!("{}: {what}", show(&self.path_of(name))));
    }

    /// The path of a name in the open folders, and of these themselves for an empty name.
    fn path_of(&self, name: &[u8]) -> Vec<u8> {
        let mut path = self.path.clone();
        if !name.is_empty() || path.is_empty() {
            path.push(if name.is_empty() { b".".to_vec() } else { name.to_vec() });
        }
        path.join(&b'/')
    }
}

fn in_words(value: Option<&Vec<u8>>) -> String {
    match value {
        None => "none".to_owned(),
        Some(value) => format!("{} bytes \"{}\"", value.len(), show(&value[..value.len().min(40)])),
    }
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
