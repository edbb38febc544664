//! Random edits of a tree: what people, programs and their accidents do to names, contents and attributes.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use alike_testkit::{Tree, odd_names};
use rustix::fs::{CWD, RenameFlags, renameat_with};

use crate::days;
use crate::rules::PATTERNS;
use crate::sweep::Dice;

/// One kind of edit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edit {
    Write,
    Append,
    Truncate,
    Rewrite,
    /// The same size, and the time put back: only the ctime tells.
    Covered,
    Mode,
    Owner,
    Attribute,
    Acl,
    Rename,
    RenameOver,
    Swap,
    HardLink,
    /// The new version is made aside and takes the name.
    Save,
    Copy,
    Remove,
    Flip,
    Chain,
    Time,
    Deep,
    /// A name for a file that lies outside of both trees.
    Outside,
    /// The same name, but for its case.
    Case,
    /// The ignore file of a folder comes, changes or goes.
    Ignore,
}

/// What is done to a source, each as often as it stands here.
const TO_A_SOURCE: [Edit; 34] = [
    Edit::Write,
    Edit::Write,
    Edit::Write,
    Edit::Write,
    Edit::Write,
    Edit::Append,
    Edit::Append,
    Edit::Truncate,
    Edit::Rewrite,
    Edit::Rewrite,
    Edit::Covered,
    Edit::Covered,
    Edit::Mode,
    Edit::Owner,
    Edit::Attribute,
    Edit::Acl,
    Edit::Rename,
    Edit::Rename,
    Edit::Rename,
    Edit::RenameOver,
    Edit::RenameOver,
    Edit::Swap,
    Edit::HardLink,
    Edit::HardLink,
    Edit::HardLink,
    Edit::Save,
    Edit::Save,
    Edit::Copy,
    Edit::Remove,
    Edit::Remove,
    Edit::Flip,
    Edit::Flip,
    Edit::Chain,
    Edit::Time,
];

/// What is rare, on either side.
const RARE: [Edit; 2] = [Edit::Deep, Edit::Time];

impl Edit {
    pub fn of_a_source(dice: &mut Dice) -> Self {
        let from: &[Self] = if dice.below(60) == 0 { &RARE } else { &TO_A_SOURCE };
        from[dice.below(from.len() as u64) as usize]
    }

    /// As in a history with filters: what is left out by its name moves in and out, and names differ in their case alone.
    pub fn of_a_filtered_source(dice: &mut Dice) -> Self {
        match dice.below(8) {
            0 => Self::Case,
            1 => Self::Rename,
            _ => Self::of_a_source(dice),
        }
    }

    /// A replica is changed behind our back: by the same, and by what would lead out of it.
    pub fn of_a_replica(dice: &mut Dice) -> Self {
        if dice.below(8) == 0 { Self::Outside } else { Self::of_a_source(dice) }
    }
}

/// Where edits happen.
pub struct Place<'a> {
    pub tree: &'a Tree,
    /// Lies outside of both trees; a link may lead there, and one file of it may get more names.
    pub outside: &'a Tree,
    /// Where new versions are made.
    pub aside: &'a Path,
    /// More entries than this are too many: then most edits remove.
    pub most: u64,
}

/// The file outside that may get names in a replica: it must never be written through them.
pub const SHARED: &str = "shared";

/// Folders of a deep tree, together longer than a path may be.
const LEVELS: usize = 20;

/// Makes the edit, if it can be made; says what was done.
pub fn make(place: &Place<'_>, edit: Edit, seed: u64) -> Option<String> {
    let mut hand = Hand { place, dice: Dice::new(seed), seed, paths: paths(place.tree) };
    // A folder cannot go into itself, and a path may be too long: such edits are those that nobody can make.
    catch_unwind(AssertUnwindSafe(|| hand.make(edit))).ok().flatten()
}

/// What an edit chooses among: a path, and what stands there; nothing that a path is too long for.
type Found = (PathBuf, Option<fs::Metadata>);

/// All paths in a fixed order, but for what is too deep for a path, and our own folder.
fn paths(tree: &Tree) -> Vec<Found> {
    let (mut found, mut folders) = (Vec::new(), vec![PathBuf::new()]);
    while let Some(folder) = folders.pop() {
        let Ok(listing) = fs::read_dir(tree.path(&folder)) else { continue };
        for entry in listing.flatten() {
            let path = folder.join(entry.file_name());
            if path == Path::new(".alike") {
                continue;
            }
            let reachable = tree.path(&path).as_os_str().len() < LONGEST_PATH;
            // Of the open folder it is asked by its name: a path that long takes far longer.
            let there = entry.metadata().ok().filter(|_| reachable);
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(path.clone());
            }
            found.push((path, there));
        }
    }
    found.sort_by(|(one, _), (other, _)| one.cmp(other));
    found
}

/// With the zero at its end.
const LONGEST_PATH: usize = libc::PATH_MAX as usize;

struct Hand<'a> {
    place: &'a Place<'a>,
    dice: Dice,
    seed: u64,
    paths: Vec<Found>,
}

impl Hand<'_> {
    fn below(&mut self, limit: usize) -> usize {
        self.dice.below(limit as u64) as usize
    }

    fn of(&mut self, fits: impl Fn(&fs::Metadata) -> bool) -> Option<PathBuf> {
        let fitting = |(_, there): &&Found| there.as_ref().is_some_and(&fits);
        let fitting: Vec<&Found> = self.paths.iter().filter(fitting).collect();
        let at = self.dice.below(fitting.len() as u64) as usize;
        fitting.get(at).map(|(path, _)| path.clone())
    }

    fn any(&mut self) -> Option<PathBuf> {
        self.of(|_| true)
    }

    fn file(&mut self) -> Option<PathBuf> {
        self.of(fs::Metadata::is_file)
    }

    /// A name, taken or not, in a folder that is there.
    fn name(&mut self) -> PathBuf {
        let folder = if self.below(3) == 0 { None } else { self.of(fs::Metadata::is_dir) };
        let odd = odd_names();
        let name = match self.below(12) {
            0 => odd[self.below(odd.len())].clone(),
            _ => ["a", "b", "c", "d", "e", "f", "g"][self.below(7)].into(),
        };
        folder.unwrap_or_default().join(name)
    }

    fn content(&mut self, version: u32) -> Vec<u8> {
        let size = [0, 1, 30, 500, 3_000, 4_096, 9_000, 70_000][self.below(8)];
        days::content(&format!("{:016x}", self.seed), version, size)
    }

    fn make(&mut self, edit: Edit) -> Option<String> {
        let crowded = self.paths.len() as u64 > self.place.most;
        let edit = if crowded && self.below(3) > 0 { Edit::Remove } else { edit };
        let path = self.act(edit)?;
        Some(format!("{edit:?} {}", path.display().to_string().escape_debug()))
    }

    fn act(&mut self, edit: Edit) -> Option<PathBuf> {
        let tree = self.place.tree;
        let path = match edit {
            Edit::Write | Edit::Chain | Edit::Deep | Edit::Outside => self.name(),
            Edit::Ignore => self.of(fs::Metadata::is_dir).unwrap_or_default().join(".alikeignore"),
            Edit::Append | Edit::Truncate | Edit::Rewrite | Edit::Covered | Edit::Save | Edit::Copy => {
                self.file()?
            }
            Edit::HardLink => self.of(|found| !found.is_dir())?,
            Edit::Mode | Edit::Attribute | Edit::Acl => self.of(|found| !found.is_symlink())?,
            Edit::Time if self.below(6) == 0 => PathBuf::new(),
            _ => self.any()?,
        };
        match edit {
            Edit::Write if tree.path(&path).symlink_metadata().is_ok_and(|found| !found.is_file()) => {
                return None;
            }
            Edit::Write | Edit::Rewrite => drop(tree.file(&path, self.content(1))),
            Edit::Append => drop(tree.append(&path, self.content(1))),
            Edit::Truncate => self.truncate(&path),
            Edit::Covered => self.cover(&path),
            Edit::Mode => {
                let mode = [0o644, 0o600, 0o755, 0o4755, 0o2711, 0o1777, 0o444, 0][self.below(8)];
                tree.mode(&path, mode);
            }
            Edit::Owner => drop(tree.owner(&path, self.below(3) as u32, self.below(3) as u32)),
            Edit::Attribute => self.attribute(&path),
            Edit::Acl => self.acl(&path),
            Edit::Rename | Edit::RenameOver | Edit::Swap | Edit::Case => self.rename(edit, &path)?,
            Edit::HardLink => {
                let to = self.name();
                tree.hard_link(&path, to);
            }
            Edit::Save => {
                let aside = self.place.aside.join("new");
                fs::write(&aside, self.content(1)).expect("write aside");
                fs::rename(aside, tree.path(&path)).expect("take a name");
            }
            Edit::Copy => {
                let (to, from) = (self.name(), tree.path(&path));
                // Whoever writes into a pipe waits for a reader.
                if tree.path(&to).symlink_metadata().is_ok_and(|found| !found.is_file()) {
                    return None;
                }
                let found = from.symlink_metadata().expect("look");
                tree.file(&to, fs::read(from).expect("read")).mtime(
                    to,
                    found.mtime(),
                    found.mtime_nsec() as u32,
                );
            }
            Edit::Remove => drop(tree.remove(&path)),
            Edit::Flip => {
                let kind = self.below(11);
                tree.remove(&path);
                self.put(&path, kind);
            }
            Edit::Chain => {
                let below = ["a", "a/b", "c/d/e", "a/a/a/a/a/a"][self.below(4)];
                tree.folder(path.join(below));
            }
            Edit::Time => self.time(&path),
            Edit::Deep => drop(tree.deep_file("deep", LEVELS, 250, &self.content(1))),
            Edit::Outside => self.lead_out(&path),
            Edit::Ignore => self.ignore(&path),
        }
        Some(path)
    }

    fn truncate(&mut self, path: &Path) {
        let file = fs::File::options().write(true).open(self.place.tree.path(path)).expect("open to write");
        let size = file.metadata().expect("look").len();
        // Longer, too: a hole.
        file.set_len(self.dice.below(size * 5 / 4 + 2)).expect("set a size");
    }

    fn cover(&mut self, path: &Path) {
        let mut content = self.place.tree.read(path);
        let new = days::content(&format!("{:016x}", self.seed), 3, content.len());
        content.copy_from_slice(&new);
        self.place.tree.edit_keeping_stamp(path, content);
    }

    fn attribute(&mut self, path: &Path) {
        let (tree, name) = (self.place.tree, ["user.one", "user.two", "trusted.three"][self.below(3)]);
        match tree.xattr_of(path, name) {
            Some(_) if self.below(2) == 0 => tree.remove_xattr(path, name),
            // A file takes attributes of users, a pipe does not.
            _ => tree.xattr(path, name, format!("{:x}", self.seed)),
        };
    }

    fn acl(&mut self, path: &Path) {
        let tree = self.place.tree;
        match self.below(3) {
            0 => tree.remove_acls(path),
            1 if tree.path(path).is_dir() => tree.default_acl(path, "u::rwx,u:12:r-x,g::r-x,m::r-x,o::---"),
            _ => tree.acl(path, "u::rw-,u:12:r--,g::r--,g:7:rwx,m::rw-,o::---"),
        };
    }

    fn rename(&mut self, edit: Edit, path: &Path) -> Option<()> {
        let tree = self.place.tree;
        let to = match edit {
            Edit::Rename => self.name(),
            Edit::Case => in_other_case(path)?,
            _ => self.any()?,
        };
        if to.starts_with(path) || path.starts_with(&to) {
            return None;
        }
        match edit {
            Edit::Rename | Edit::Case if tree.has(&to) => return None,
            Edit::Swap => {
                let (one, two) = (tree.path(path), tree.path(&to));
                renameat_with(CWD, one, CWD, two, RenameFlags::EXCHANGE).ok()?;
            }
            _ => {
                if tree.path(&to).is_dir() || tree.path(path).is_dir() {
                    tree.remove(&to);
                }
                tree.rename(path, &to);
            }
        }
        Some(())
    }

    fn put(&mut self, path: &Path, kind: usize) {
        let (tree, content) = (self.place.tree, self.content(1));
        let mark = format!("{:x}", self.seed);
        match kind {
            0 => tree.file(path, content),
            1 => tree.folder(path),
            2 => tree.file(path.join("inner"), content).folder(path.join("deep/er")),
            3 => tree.symlink(path, mark),
            4 => tree.symlink(path, ["a", "../a", "d/b", "."][self.below(4)]),
            5 => tree.symlink(path, self.place.outside.path("folder")),
            6 => tree.sparse(path, 200_000, &[(0, mark.as_bytes()), (131_072, &content)]),
            7 => tree.fifo(path),
            8 => tree.socket(path),
            9 => tree.character_device(path, 1, self.below(4) as u32),
            _ => tree.block_device(path, 7, 200 + self.below(4) as u32),
        };
    }

    fn time(&mut self, path: &Path) {
        // Years before and after anything that fits 32 bits, and the border itself.
        let when = [-2_145_916_800, 13_569_465_600, 0, -1, 1_700_000_000, 2_147_483_647][self.below(6)];
        let nanoseconds = [0, 1, 999_999_999][self.below(3)];
        self.place.tree.mtime(path, when, nanoseconds);
    }

    fn ignore(&mut self, path: &Path) {
        let tree = self.place.tree;
        if tree.has(path) {
            tree.remove(path);
        }
        let lines = self.below(4);
        if lines > 0 {
            let all: Vec<&str> = (0..lines).map(|_| PATTERNS[self.below(PATTERNS.len())]).collect();
            tree.file(path, all.join("\n"));
        }
    }

    fn lead_out(&mut self, path: &Path) {
        let (tree, outside) = (self.place.tree, self.place.outside);
        if self.below(2) == 0 {
            // Where a folder was, preferably: what is written below it would be written outside.
            let there = self.of(fs::Metadata::is_dir).unwrap_or_else(|| path.to_owned());
            tree.remove(&there).symlink(there, outside.path("folder"));
        } else {
            tree.remove(path);
            fs::hard_link(outside.path(SHARED), tree.path(path)).expect("link to what lies outside");
        }
    }
}

fn in_other_case(path: &Path) -> Option<PathBuf> {
    let name = path.file_name()?.to_str()?;
    let upper = name.to_ascii_uppercase();
    let other = if upper == name { name.to_ascii_lowercase() } else { upper };
    (other != name).then(|| path.with_file_name(other))
}
