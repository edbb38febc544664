//! One point's room: a source, a replica of its first day, what lies outside, and the state of the tool.

use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use alike_testkit::{Snapshot, Tree, compare, remove_tree};

use crate::days;
use crate::judge::{Shown, keys};
use crate::supervise::{Director, End, run, supervise};
use crate::tools::{Programs, Tool};

/// A tool that is left alone needs far less.
pub const PATIENCE: Duration = Duration::from_secs(15);

pub const SECRET: &[u8] = b"the secret that lies outside of both trees";

#[derive(Debug)]
pub struct Room {
    top: PathBuf,
    pub source: Tree,
    pub replica: Tree,
    /// Neither source nor replica: nothing here may change.
    pub outside: Tree,
    pub state: PathBuf,
    pub home: PathBuf,
    /// Where new versions are made, and what is moved out goes.
    pub aside: PathBuf,
    /// The room stays for a person to look at.
    pub keep: bool,
}

impl Room {
    pub fn make(top: PathBuf) -> Self {
        unmount_all(&top);
        remove_tree(&top).expect("clear a room");
        let folder = |name: &str| Tree::make(top.join(name));
        let room = Self {
            source: folder("source"),
            replica: folder("replica"),
            outside: folder("outside"),
            state: folder("state").top().to_owned(),
            home: folder("home").top().to_owned(),
            aside: folder("aside").top().to_owned(),
            top: top.clone(),
            keep: false,
        };
        room.outside.file("secret", SECRET).file("folder/one", "outside one").file("folder/d/one", "outside");
        room
    }

    pub fn top(&self) -> &Path {
        &self.top
    }

    pub fn said(&self) -> PathBuf {
        self.home.join("said")
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        if !self.keep {
            unmount_all(&self.top);
            let _ = remove_tree(&self.top);
        }
    }
}

/// Takes away what is mounted below a folder, wherever it has been moved since, the innermost first. What a tool still
/// holds goes when it lets go.
pub fn unmount_all(top: &Path) {
    let mounts = std::fs::read("/proc/self/mountinfo").unwrap_or_default();
    let at = |line: &[u8]| Some(plain(line.split(|byte| *byte == b' ').nth(4)?));
    let below =
        mounts.split(|byte| *byte == b'\n').filter_map(at).filter(|at| at != top && at.starts_with(top));
    for at in below.collect::<Vec<_>>().into_iter().rev() {
        let _ = Command::new("umount").arg("-l").arg(at).output();
    }
}

/// A path as the kernel lists it: some bytes as three octal digits.
fn plain(shown: &[u8]) -> PathBuf {
    let (mut bytes, mut at) = (Vec::new(), 0);
    while at < shown.len() {
        let digits = shown.get(at + 1..at + 4).filter(|_| shown[at] == b'\\');
        let byte = digits.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
        bytes.push(byte.unwrap_or(shown[at]));
        at += if byte.is_some() { 4 } else { 1 };
    }
    std::ffi::OsString::from_vec(bytes).into()
}

/// What the points of one trial with one tool share.
#[derive(Debug, Clone)]
pub struct Ground {
    pub tool: Tool,
    pub programs: Programs,
    /// A filesystem of our own, in memory.
    pub base: PathBuf,
    pub seed: u64,
    pub full: bool,
    pub jobs: usize,
    pub only_point: Option<String>,
    pub share: f64,
    pub usual: Usual,
}

/// What the tool does when nobody disturbs it: what it does not copy, or how it ends, is no failure of a trial.
#[derive(Debug, Clone, Default)]
pub struct Usual {
    pub code: Option<i32>,
    pub differences: Vec<String>,
    pub first: Shown,
    pub second: Shown,
}

impl Ground {
    pub fn plain(&self) -> bool {
        self.tool.wants_plain_trees()
    }

    pub fn room(&self, name: &str) -> Room {
        Room::make(self.base.join(name))
    }

    /// A room whose replica is equal to the first day, and whose source has come to the second.
    pub fn ready(&self, name: &str) -> Room {
        let room = self.equal(name);
        self.second_day(&room);
        room
    }

    /// A room whose replica is equal to the first day.
    pub fn equal(&self, name: &str) -> Room {
        let room = self.room(name);
        days::first(&room.source, self.plain());
        let end = self.pass(&room);
        assert!(!end.hung && !end.panicked(), "the first pass: {}\n{}", end.ending(), end.said);
        room
    }

    pub fn second_day(&self, room: &Room) {
        days::second(&room.source, &room.aside, self.plain());
    }

    /// One undisturbed pass.
    pub fn pass(&self, room: &Room) -> End {
        run(&mut self.programs.command(self.tool, room), &room.said(), PATIENCE)
    }

    /// One pass under a director.
    pub fn directed(&self, room: &Room, limit: Duration, director: &mut dyn Director) -> End {
        let mut command = self.programs.command(self.tool, room);
        let end = supervise(&mut command, room.top(), &room.said(), limit, director);
        if self.only_point.is_some() {
            eprintln!("{}\n{}", end.said.trim_end(), end.ending());
        }
        end
    }

    /// Learns what is usual for this tool.
    pub fn learn(&mut self) {
        let room = self.equal("usual");
        self.usual.first = Shown::of(room.source.top());
        self.second_day(&room);
        self.usual.second = Shown::of(room.source.top());
        let end = self.pass(&room);
        self.usual.code = end.code;
        self.usual.differences = keys(&compare(room.source.top(), room.replica.top()));
    }
}

/// How the world around the replica looks before a fault.
#[derive(Debug)]
pub struct Before {
    source: Snapshot,
    outside: Snapshot,
}

impl Before {
    pub fn look(room: &Room) -> Self {
        Self { source: Snapshot::of(room.source.top()), outside: Snapshot::of(room.outside.top()) }
    }

    pub fn source_changes(&self, room: &Room) -> Vec<String> {
        self.source.changes(&Snapshot::of(room.source.top()))
    }

    pub fn outside_changes(&self, room: &Room) -> Vec<String> {
        self.outside.changes(&Snapshot::of(room.outside.top()))
    }
}
