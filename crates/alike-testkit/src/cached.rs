//! A tree in memory behind a cache: what was written, and what is on the disk, which is all that a power cut leaves.
//!
//! As Linux has it: a sync that fails leaves pages that look clean, so that the next one says yes and brings nothing. What
//! a folder holds is brought by a sync of that folder alone, and its names stay to be brought when that fails.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{OsStr, OsString};
use std::time::SystemTime;

pub(crate) const ROOT: u64 = 1;
const PAGE: u64 = 4096;

/// What goes wrong with an armed disk. Of each kind, the n-th counts, from 1 on.
#[derive(Clone, Copy, Debug, Default)]
pub struct Faults {
    /// This sync of a file fails, and what it was to bring looks clean from then on.
    pub sync_fails: Option<u64>,
    /// This sync of a folder fails.
    pub folder_sync_fails: Option<u64>,
    /// This sync, of a file or a folder, says yes and brings nothing.
    pub sync_lies: Option<u64>,
    /// This write is taken and lost later, which the next sync or close of the file tells.
    pub write_fails_late: Option<u64>,
    /// This write is refused.
    pub write_fails: Option<u64>,
    /// From there on all of them, not that one alone.
    pub from_there_on: bool,
    /// How it fails; 0 is EIO.
    pub errno: i32,
}

/// What was asked for since the disk was armed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Asked {
    /// Syncs of files.
    pub file_syncs: u64,
    /// Syncs of folders.
    pub folder_syncs: u64,
    /// Writes.
    pub writes: u64,
    /// A fault came to pass.
    pub hit: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    File(Vec<u8>),
    Folder(BTreeMap<OsString, u64>),
    Symlink(OsString),
    Special,
}

#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) kind: Kind,
    /// With the bits that tell the type.
    pub(crate) mode: u32,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) rdev: u32,
    pub(crate) nlink: u32,
    pub(crate) mtime: SystemTime,
    pub(crate) ctime: SystemTime,
    pub(crate) xattrs: BTreeMap<OsString, Vec<u8>>,
}

/// What of a file is not on the disk yet.
#[derive(Debug, Default)]
struct Dirt {
    pages: BTreeSet<u64>,
    rest: bool,
    /// Writes were lost, and nobody was told yet.
    untold: bool,
}

#[derive(Debug)]
pub(crate) struct Cached {
    pub(crate) now: BTreeMap<u64, Node>,
    disk: BTreeMap<u64, Node>,
    dirt: BTreeMap<u64, Dirt>,
    last: u64,
    faults: Option<Faults>,
    asked: Asked,
}

type Errno = i32;
const EIO: Errno = 5;

impl Node {
    pub(crate) fn new(kind: Kind, mode: u32, (uid, gid): (u32, u32), rdev: u32) -> Self {
        let now = SystemTime::now();
        let nlink = if matches!(kind, Kind::Folder(_)) { 2 } else { 1 };
        Self { kind, mode, uid, gid, rdev, nlink, mtime: now, ctime: now, xattrs: BTreeMap::new() }
    }

    pub(crate) fn size(&self) -> u64 {
        match &self.kind {
            Kind::File(content) => content.len() as u64,
            Kind::Symlink(target) => target.len() as u64,
            Kind::Folder(_) | Kind::Special => 0,
        }
    }

    pub(crate) fn entries(&mut self) -> Option<&mut BTreeMap<OsString, u64>> {
        match &mut self.kind {
            Kind::Folder(entries) => Some(entries),
            _ => None,
        }
    }

    /// The same with other contents.
    fn with(&self, kind: Kind) -> Self {
        let Self { mode, uid, gid, rdev, nlink, mtime, ctime, ref xattrs, .. } = *self;
        Self { kind, mode, uid, gid, rdev, nlink, mtime, ctime, xattrs: xattrs.clone() }
    }

    /// How it is on the disk before it was ever brought there, when its name is.
    fn newborn(&self) -> Self {
        let kind = match &self.kind {
            Kind::File(_) => Kind::File(Vec::new()),
            Kind::Folder(_) => Kind::Folder(BTreeMap::new()),
            // Of these nothing but a folder can be synced.
            Kind::Symlink(_) | Kind::Special => return self.clone(),
        };
        let (mode, mtime) = (self.mode & !0o7777 | 0o600, SystemTime::UNIX_EPOCH);
        Self { mode, mtime, ctime: mtime, xattrs: BTreeMap::new(), ..self.with(kind) }
    }
}

impl Cached {
    pub(crate) fn new() -> Self {
        let root = Node::new(Kind::Folder(BTreeMap::new()), 0o040_755, (0, 0), 0);
        let disk = BTreeMap::from([(ROOT, root)]);
        let (faults, asked) = (None, Asked::default());
        Self { now: disk.clone(), disk, dirt: BTreeMap::new(), last: ROOT, faults, asked }
    }

    pub(crate) fn arm(&mut self, faults: Option<Faults>) {
        self.faults = faults;
        self.asked = Asked::default();
    }

    pub(crate) fn asked(&self) -> Asked {
        self.asked
    }

    /// All that was written is on the disk.
    pub(crate) fn bring_all(&mut self) {
        self.disk.clone_from(&self.now);
        self.dirt.clear();
    }

    /// Only what is on the disk is left.
    pub(crate) fn cut_power(&mut self) {
        let mut left = BTreeMap::new();
        self.take_along(ROOT, &mut left);
        for node in left.values_mut() {
            node.nlink = if matches!(node.kind, Kind::Folder(_)) { 2 } else { 0 };
        }
        let names: Vec<u64> = left
            .values()
            .filter_map(|node| match &node.kind {
                Kind::Folder(entries) => Some(entries.values().copied().collect::<Vec<_>>()),
                _ => None,
            })
            .flatten()
            .collect();
        for ino in names {
            left.entry(ino).and_modify(|node| node.nlink += u32::from(node.entries().is_none()));
        }
        self.disk = left.clone();
        self.now = left;
        self.dirt.clear();
        self.faults = None;
    }

    fn take_along(&self, ino: u64, left: &mut BTreeMap<u64, Node>) {
        let Some(node) = self.disk.get(&ino) else { return };
        let is_new = left.insert(ino, node.clone()).is_none();
        if let (Kind::Folder(entries), true) = (&node.kind, is_new) {
            entries.values().for_each(|child| self.take_along(*child, left));
        }
    }

    pub(crate) fn add(&mut self, node: Node) -> u64 {
        self.last += 1;
        self.now.insert(self.last, node);
        self.dirt.entry(self.last).or_default().rest = true;
        self.last
    }

    /// Attributes, names or size are about to be other ones.
    pub(crate) fn change(&mut self, ino: u64) -> Option<&mut Node> {
        let node = self.now.get_mut(&ino)?;
        node.ctime = SystemTime::now();
        self.dirt.entry(ino).or_default().rest = true;
        Some(node)
    }

    pub(crate) fn child(&self, parent: u64, name: &OsStr) -> Option<u64> {
        match &self.now.get(&parent)?.kind {
            Kind::Folder(entries) => entries.get(name).copied(),
            _ => None,
        }
    }

    pub(crate) fn write(&mut self, ino: u64, at: u64, bytes: &[u8]) -> Result<(), Errno> {
        self.asked.writes += 1;
        let faults = self.faults.unwrap_or_default();
        if self.hits(faults.write_fails, self.asked.writes) {
            return Err(self.errno());
        }
        let is_lost = self.hits(faults.write_fails_late, self.asked.writes);
        let node = self.change(ino).ok_or(EIO)?;
        node.mtime = node.ctime;
        let Kind::File(content) = &mut node.kind else { return Err(EIO) };
        let (start, end) = (at as usize, at as usize + bytes.len());
        content.resize(content.len().max(end), 0);
        content[start..end].copy_from_slice(bytes);
        let dirt = self.dirt.entry(ino).or_default();
        let pages = at / PAGE..(at + bytes.len() as u64).div_ceil(PAGE);
        if is_lost {
            dirt.untold = true;
            dirt.pages.retain(|page| !pages.contains(page));
        } else {
            dirt.pages.extend(pages);
        }
        Ok(())
    }

    pub(crate) fn resize(&mut self, ino: u64, size: u64) {
        let Some(Kind::File(content)) = self.change(ino).map(|node| &mut node.kind) else { return };
        // A page that was cut and grows again must be brought once more, or the disk would show what was cut off.
        let pages = (size.min(content.len() as u64) / PAGE)..size.div_ceil(PAGE);
        content.resize(size as usize, 0);
        self.dirt.entry(ino).or_default().pages.extend(pages);
    }

    /// What a close tells of writes that were lost.
    pub(crate) fn close(&mut self, ino: u64) -> Result<(), Errno> {
        match self.dirt.get_mut(&ino).is_some_and(|dirt| std::mem::take(&mut dirt.untold)) {
            true => Err(self.errno()),
            false => Ok(()),
        }
    }

    pub(crate) fn sync_file(&mut self, ino: u64) -> Result<(), Errno> {
        self.asked.file_syncs += 1;
        let faults = self.faults.unwrap_or_default();
        let asked = self.asked;
        let lies = self.hits(faults.sync_lies, asked.file_syncs + asked.folder_syncs);
        let fails = self.hits(faults.sync_fails, asked.file_syncs);
        let told = self.close(ino);
        let dirt = self.dirt.remove(&ino).unwrap_or_default();
        if lies {
            return Ok(());
        }
        if fails {
            return Err(self.errno());
        }
        let Some(node) = self.now.get(&ino) else { return Err(EIO) };
        let brought = self.disk.entry(ino).or_insert_with(|| node.newborn());
        if let (Kind::File(content), Kind::File(old)) = (&node.kind, &mut brought.kind) {
            let mut have = std::mem::take(old);
            have.resize(content.len(), 0);
            for page in dirt.pages {
                let range = (page * PAGE) as usize..((page + 1) * PAGE) as usize;
                let range = range.start.min(content.len())..range.end.min(content.len());
                have[range.clone()].copy_from_slice(&content[range]);
            }
            *brought = node.with(Kind::File(have));
        } else {
            *brought = node.clone();
        }
        told
    }

    pub(crate) fn sync_folder(&mut self, ino: u64) -> Result<(), Errno> {
        self.asked.folder_syncs += 1;
        let faults = self.faults.unwrap_or_default();
        let asked = self.asked;
        if self.hits(faults.sync_lies, asked.file_syncs + asked.folder_syncs) {
            return Ok(());
        }
        if self.hits(faults.folder_sync_fails, asked.folder_syncs) {
            return Err(self.errno());
        }
        let Some(node) = self.now.get(&ino) else { return Err(EIO) };
        let Kind::Folder(entries) = &node.kind else { return Err(EIO) };
        for child in entries.values() {
            if let (Some(new), false) = (self.now.get(child), self.disk.contains_key(child)) {
                self.disk.insert(*child, new.newborn());
            }
        }
        self.disk.insert(ino, node.clone());
        Ok(())
    }

    fn hits(&mut self, fault: Option<u64>, count: u64) -> bool {
        let on = self.faults.is_some_and(|faults| faults.from_there_on);
        let hit = fault.is_some_and(|nth| count == nth || on && count > nth);
        self.asked.hit |= hit;
        hit
    }

    fn errno(&self) -> Errno {
        self.faults.map_or(EIO, |faults| if faults.errno == 0 { EIO } else { faults.errno })
    }
}
