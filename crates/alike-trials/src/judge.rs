//! What may never be, whatever happened: torn files, gaps, writes elsewhere, litter, a false "done".

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::{CStr, CString};
use std::fs;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::path::Path;

use alike_testkit::compare;
use rustix::fs::{Dir, FileType, Mode, OFlags, openat, readlinkat};

use crate::room::{Before, Ground, Room};
use crate::supervise::End;

/// One thing that is wrong after a point.
#[derive(Debug, Clone)]
pub struct Fault {
    pub class: &'static str,
    pub what: String,
}

pub fn fault(class: &'static str, what: impl Into<String>) -> Fault {
    Fault { class, what: what.into() }
}

/// What a name shows.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Sight {
    File(Vec<u8>),
    Folder,
    Link(Vec<u8>),
    Other,
}

/// What each name of a tree shows, `.alike` at the top left out.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Shown(pub BTreeMap<Vec<u8>, Sight>);

impl Shown {
    pub fn of(top: &Path) -> Self {
        let mut shown = BTreeMap::new();
        if let Ok(top) = fs::File::open(top) {
            look(&top, b"", &mut shown);
        }
        Self(shown)
    }

    pub fn files(&self) -> impl Iterator<Item = (&Vec<u8>, &Vec<u8>)> {
        self.0.iter().filter_map(|(path, sight)| match sight {
            Sight::File(content) => Some((path, content)),
            _ => None,
        })
    }
}

/// Looks at each entry relative to its open folder, so that what is too deep for a path is seen too.
fn look(folder: &impl AsFd, prefix: &[u8], into: &mut BTreeMap<Vec<u8>, Sight>) {
    let Ok(listing) = Dir::read_from(folder) else { return };
    for entry in listing.flatten() {
        let name = entry.file_name();
        let bytes = name.to_bytes();
        if matches!(bytes, b"." | b"..") || (prefix.is_empty() && bytes == b".alike") {
            continue;
        }
        let path = [prefix, bytes].concat();
        let sight = match entry.file_type() {
            FileType::RegularFile => Sight::File(
                content(folder, name).unwrap_or_else(|why| format!("unreadable: {why}").into_bytes()),
            ),
            FileType::Directory => {
                if let Ok(below) = open(folder, name, OFlags::DIRECTORY) {
                    look(&below, &[&path, b"/".as_slice()].concat(), into);
                }
                Sight::Folder
            }
            FileType::Symlink => {
                Sight::Link(readlinkat(folder, name, Vec::new()).map(CString::into_bytes).unwrap_or_default())
            }
            _ => Sight::Other,
        };
        into.insert(path, sight);
    }
}

fn content(folder: &impl AsFd, name: &CStr) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    open(folder, name, OFlags::empty())?.read_to_end(&mut content)?;
    Ok(content)
}

/// What was listed may be a link or a pipe by now.
fn open(folder: &impl AsFd, name: &CStr, flags: OFlags) -> io::Result<fs::File> {
    let flags = flags | OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NOFOLLOW | OFlags::NONBLOCK;
    Ok(openat(folder, name, flags, Mode::empty())?.into())
}

/// A difference without its particulars, which may be others each time (a folder's time, say).
pub fn keys(differences: &[String]) -> Vec<String> {
    let key = |line: &String| line.splitn(3, ": ").take(2).collect::<Vec<_>>().join(": ");
    differences.iter().map(key).collect()
}

/// Differences between source and replica that an undisturbed pass of this tool does not leave.
pub fn unusual(ground: &Ground, room: &Room) -> Vec<String> {
    let differences = compare(room.source.top(), room.replica.top());
    let usual: BTreeSet<&String> = ground.usual.differences.iter().collect();
    let keys = keys(&differences);
    differences.into_iter().zip(&keys).filter(|(_, key)| !usual.contains(key)).map(|(line, _)| line).collect()
}

/// Files under names of the source that show no version which the source ever had.
pub fn torn(versions: &[&Shown], replica: &Shown) -> Vec<String> {
    let whole: BTreeSet<&Vec<u8>> =
        versions.iter().flat_map(|shown| shown.files().map(|(_, content)| content)).collect();
    let known = |path: &Vec<u8>| versions.iter().any(|shown| shown.0.contains_key(path));
    let torn = replica.files().filter(|(path, content)| known(path) && !whole.contains(content));
    torn.map(|(path, content)| format!("{}: {} bytes of no version", show(path), content.len())).collect()
}

/// Names that were there, are still in the source, and are gone from the replica.
pub fn gaps(ground: &Ground, replica: &Shown) -> Vec<String> {
    let (first, second) = (&ground.usual.first.0, &ground.usual.second.0);
    let both = first.keys().filter(|path| second.contains_key(*path));
    let gone = both.filter(|path| !replica.0.contains_key(*path));
    // What a tool never copies (a pipe, to rclone) is no gap.
    let copied = |path: &&Vec<u8>| {
        let missing = format!("{}: missing on the replica", show(path));
        !ground.usual.differences.contains(&missing)
    };
    gone.filter(copied).map(|path| show(path)).collect()
}

/// Judges a room in which a tool was just disturbed.
pub fn after_fault(ground: &Ground, room: &Room, before: &Before) -> Vec<Fault> {
    let replica = Shown::of(room.replica.top());
    let mut faults = Vec::new();
    let versions = [&ground.usual.first, &ground.usual.second];
    faults.extend(torn(&versions, &replica).into_iter().map(|what| fault("torn", what)));
    faults.extend(gaps(ground, &replica).into_iter().map(|what| fault("gap", what)));
    faults.extend(before.outside_changes(room).into_iter().map(|what| fault("outside", what)));
    faults.extend(before.source_changes(room).into_iter().map(|what| fault("source written", what)));
    faults
}

/// Whether the run just made said that all is equal although it is not, hung or fell over.
pub fn judge_run(ground: &Ground, room: &Room, end: &End) -> Vec<Fault> {
    let mut faults = Vec::new();
    if end.hung {
        faults.push(fault("hang", "it did not end in time"));
    }
    if end.panicked() && !end.killed {
        faults.push(fault("panic", format!("{}: {}", end.ending(), last_words(&end.said))));
    }
    if end.code == Some(0) && !end.killed {
        let wrong = unusual(ground, room);
        faults.extend(wrong.into_iter().take(3).map(|what| fault("exit 0 and wrong", what)));
    }
    faults
}

/// A pass that nobody disturbs must end as it usually does, with all equal and nothing left behind.
pub fn recovers(ground: &Ground, room: &Room) -> Vec<Fault> {
    let end = ground.pass(room);
    let mut faults = Vec::new();
    let wrong = unusual(ground, room);
    let ends_well = end.code == Some(0) || end.code == ground.usual.code;
    if end.hung || end.panicked() || !ends_well {
        faults.push(fault("stuck", format!("the next pass: {}: {}", end.ending(), last_words(&end.said))));
    }
    for what in wrong.into_iter().take(3) {
        let class = if what.ends_with("only on the replica") { "litter" } else { "not converged" };
        faults.push(fault(class, what));
    }
    faults.extend(staged(room).into_iter().map(|what| fault("litter", what)));
    faults
}

/// What lies in alike's own staging.
pub fn staged(room: &Room) -> Vec<String> {
    let left = Shown::of(&room.replica.path(".alike/staging"));
    left.0.keys().map(|path| format!(".alike/staging/{}", show(path))).collect()
}

pub fn show(path: &[u8]) -> String {
    String::from_utf8_lossy(path).escape_debug().to_string()
}

pub fn last_words(said: &str) -> String {
    let lines: Vec<&str> = said.lines().rev().filter(|line| !line.trim().is_empty()).take(2).collect();
    let mut words = lines.into_iter().rev().collect::<Vec<_>>().join(" | ");
    if let Some((at, _)) = words.char_indices().nth(300) {
        words.truncate(at);
    }
    words
}
