//! The history: what passes did on a replica, a line each, so that it can be shown and taken back.
//!
//! Each bucket of the trash has a journal of such lines. What takes something away is written before it is done, so
//! that nothing is in the trash without a line; what became of it comes after. A journal that broke off lacks its end only.
//! Older journals were lines of JSON, and are read for as long as they are kept.

use std::collections::HashMap;
use std::io::{Read, Seek, SeekFrom};

use alike_model::entry::{Identity, Kind, Stamp, Time};
use alike_model::event::Action;
use alike_model::path::RelPath;
use alike_model::xattrs::Xattrs;
use alike_storage::plain;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Deserializer};

use crate::journal;

/// A line of a journal.
#[derive(Clone, Debug, PartialEq, Deserialize)]
#[serde(untagged)]
pub(crate) enum Line {
    /// Something that is done, or about to be.
    Deed(Box<Deed>),
    /// What a deed that was written before it was done came to.
    Done {
        /// Its number.
        done: u64,
        /// How the entry looked then; `None` when it was gone.
        now: Option<Look>,
    },
    /// What a deed took away is not kept after all: its inode stays under another name of the replica.
    Unkept {
        /// Its number.
        unkept: u64,
    },
    /// A deed that was not done after all.
    Void {
        /// Its number.
        void: u64,
    },
}

/// One thing that a pass did to one path.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub struct Deed {
    /// Its number in the bucket, from 1; also the name under which the bucket keeps what was there before.
    pub n: u64,
    /// The pass that did it. Numbers begin anew when the state is deleted.
    pub pass: u64,
    /// When.
    pub at: Time,
    /// What.
    #[serde(deserialize_with = "read_action")]
    pub action: Action,
    /// On which path of the replica.
    #[serde(deserialize_with = "read_path")]
    pub path: RelPath,
    /// For a rename the old path, for a link another name of the same file.
    #[serde(default, deserialize_with = "read_some_path")]
    pub from: Option<RelPath>,
    /// Why, in the words of the log.
    pub reason: String,
    /// What was there before; with `kept` it is in the bucket.
    #[serde(default)]
    pub old: Option<Look>,
    /// The bucket keeps what was there before.
    #[serde(default)]
    pub kept: bool,
    /// Only the way back is kept: a patch that makes the old version of the new one.
    #[serde(default)]
    pub patch: bool,
    /// Two entries changed names: `path` and `from`.
    #[serde(default)]
    pub swapped: bool,
    /// A pass did it that looked at what the system had told of, not at everything.
    #[serde(default)]
    pub live: bool,
    /// The extended attributes before, where they changed.
    #[serde(default)]
    pub xattrs: Option<Xattrs>,
    /// How the entry looked when it was done.
    #[serde(default)]
    pub now: Option<Look>,
    /// How many milliseconds it took, where copying contents took one or more.
    #[serde(default)]
    pub took: Option<u64>,
    /// What it came to was written down as well.
    #[serde(skip)]
    pub told: bool,
}

impl Deed {
    /// A deed of which nothing is known yet but who did what, when and where. It gets its number from the bucket.
    pub(crate) fn of((pass, at): (u64, Time), action: Action, path: &RelPath) -> Self {
        Self {
            n: 0,
            pass,
            at,
            action,
            path: path.clone(),
            from: None,
            reason: String::new(),
            old: None,
            kept: false,
            patch: false,
            swapped: false,
            live: false,
            xattrs: None,
            now: None,
            took: None,
            told: false,
        }
    }
}

/// How an entry looked.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub struct Look {
    /// What it was.
    pub kind: Kind,
    /// Which inode.
    pub id: Identity,
    /// Length in bytes.
    pub size: u64,
    /// Permission bits.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Modification time.
    pub mtime: Time,
    /// Number of names.
    pub nlink: u32,
}

impl From<&Stamp> for Look {
    fn from(stamp: &Stamp) -> Self {
        Self {
            kind: stamp.kind,
            id: stamp.identity(),
            size: stamp.size,
            mode: stamp.mode,
            uid: stamp.uid,
            gid: stamp.gid,
            mtime: stamp.mtime,
            nlink: stamp.nlink,
        }
    }
}

/// Reads a journal: the deeds that were done, in order. What is no line, such as an end that broke off, is passed over.
#[must_use]
pub fn read(bytes: &[u8]) -> Vec<Deed> {
    read_as(is_json(bytes), bytes)
}

pub(crate) fn is_json(journal: &[u8]) -> bool {
    journal.first() == Some(&b'{')
}

fn read_as(json: bool, bytes: &[u8]) -> Vec<Deed> {
    let mut all = Lines::default();
    match json {
        true => bytes.split(|byte| *byte == b'\n').for_each(|line| {
            serde_json::from_slice(line).into_iter().for_each(|line| all.take(line));
        }),
        false => journal::read(bytes, |line| all.take(line)),
    }
    all.deeds.into_iter().flatten().collect()
}

/// What was read.
#[derive(Default)]
struct Lines {
    deeds: Vec<Option<Deed>>,
    at: HashMap<u64, usize>,
}

impl Lines {
    fn take(&mut self, line: Line) {
        match line {
            Line::Deed(deed) => {
                self.at.insert(deed.n, self.deeds.len());
                self.deeds.push(Some(*deed));
            }
            Line::Done { done, now } => self.change(done, |deed| (deed.now, deed.told) = (now, true)),
            Line::Unkept { unkept } => self.change(unkept, |deed| deed.kept = false),
            Line::Void { void } => self.at.get(&void).into_iter().for_each(|at| self.deeds[*at] = None),
        }
    }

    fn change(&mut self, n: u64, change: impl FnOnce(&mut Deed)) {
        if let Some(deed) = self.at.get(&n).and_then(|at| self.deeds[*at].as_mut()) {
            change(deed);
        }
    }
}

/// Says which journal cannot be read: one that is moved away keeps nobody from the others.
pub(crate) fn unreadable(bucket: &str, why: &std::io::Error) -> std::io::Error {
    let (journal, why) = (format!(".alike/trash/{bucket}/journal"), plain(why));
    std::io::Error::other(format!(
        "on the replica, {journal} cannot be read: {why}; once it is elsewhere, the rest of the history can be"
    ))
}

/// The number of the last pass in a journal; 0 when there is none. Passes only grow, so its end tells.
pub(crate) fn last_pass(mut journal: impl Read + Seek) -> std::io::Result<u64> {
    const END: u64 = 64 * 1024;
    let length = journal.seek(SeekFrom::End(0))?;
    journal.rewind()?;
    let mut first = Vec::new();
    journal.by_ref().take(1).read_to_end(&mut first)?;
    for from in [length.saturating_sub(END), 0] {
        journal.seek(SeekFrom::Start(from))?;
        let mut end = Vec::new();
        journal.by_ref().take(length - from).read_to_end(&mut end)?;
        let last = read_as(is_json(&first), &end).iter().map(|deed| deed.pass).max();
        if let Some(last) = last {
            return Ok(last);
        }
    }
    Ok(0)
}

/// A path as older journals have it: as text where it is some, else its bytes.
#[derive(Deserialize)]
#[serde(untagged)]
enum PathText {
    Text(String),
    Bytes { base64: String },
}

impl PathText {
    fn into_path<E: serde::de::Error>(self) -> Result<RelPath, E> {
        let bytes = match self {
            Self::Text(text) => text.into_bytes(),
            Self::Bytes { base64 } => BASE64_STANDARD.decode(base64).map_err(E::custom)?,
        };
        RelPath::parse(&bytes).ok_or_else(|| E::custom("is no path inside a tree"))
    }
}

fn read_path<'de, D: Deserializer<'de>>(from: D) -> Result<RelPath, D::Error> {
    PathText::deserialize(from)?.into_path()
}

fn read_some_path<'de, D: Deserializer<'de>>(from: D) -> Result<Option<RelPath>, D::Error> {
    Option::<PathText>::deserialize(from)?.map(PathText::into_path).transpose()
}

fn read_action<'de, D: Deserializer<'de>>(from: D) -> Result<Action, D::Error> {
    let word = String::deserialize(from)?;
    Action::parse(&word).ok_or_else(|| serde::de::Error::custom("is no action"))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use alike_testkit::{Scramble, rounds};

    use super::*;

    /// As the first versions wrote them.
    const OLD: &str = r#"{"n":1,"pass":7,"at":{"secs":1790000000,"nanos":5},"action":"create","path":"docs/a.txt","reason":"new","now":{"kind":"File","id":{"ino":12,"btime":{"secs":1790000000,"nanos":4}},"size":3,"mode":420,"uid":0,"gid":0,"mtime":{"secs":1700000000,"nanos":0},"nlink":1}}
{"n":2,"pass":7,"at":{"secs":1790000001,"nanos":5},"action":"rename","path":{"base64":"ZG9jcy//"},"from":"old","reason":"moved"}
{"n":3,"pass":8,"at":{"secs":1790000002,"nanos":5},"action":"delete","path":"gone","reason":"gone","old":{"kind":"File","id":{"ino":13,"btime":null},"size":3,"mode":420,"uid":0,"gid":0,"mtime":{"secs":1700000000,"nanos":0},"nlink":1},"kept":true}
{"n":4,"pass":8,"at":{"secs":1790000002,"nanos":5},"action":"delete","path":"not done","reason":"gone","kept":true}
{"n":5,"pass":8,"at":{"secs":1790000002,"nanos":5},"action":"delete","path":"linked","reason":"gone","kept":true}
{"done":3,"now":null}
{"unkept":5}
{"void":4}
{"n":6,"pass":8,"at":{"secs":17900"#;

    #[test]
    fn a_journal_of_an_older_version_is_read() {
        let deeds = read(OLD.as_bytes());
        let paths: Vec<&[u8]> = deeds.iter().map(|deed| deed.path.as_bytes()).collect();
        assert_eq!(paths, [&b"docs/a.txt"[..], b"docs/\xff", b"gone", b"linked"]);
        assert_eq!(deeds[1].from, RelPath::parse(b"old"));
        assert_eq!(deeds[0].now.map(|now| now.id.ino), Some(12));
        assert_eq!((deeds[2].kept, deeds[2].old.map(|old| old.size)), (true, Some(3)));
        assert!(!deeds[3].kept);
        assert_eq!(last_pass(std::io::Cursor::new(OLD)).unwrap(), 8);
    }
    #[test]
    fn whatever_stands_in_an_older_journal_the_whole_line_after_it_counts() {
        let seeds: Vec<Vec<u8>> = OLD.lines().map(|line| line.as_bytes().to_vec()).collect();
        // A number that no other line speaks of.
        let whole = OLD.lines().next().unwrap().replace("\"n\":1,", "\"n\":987654,");
        let mut scramble = Scramble::new("journal");
        for _ in 0..rounds(4_000) {
            // The first byte tells which form a journal has.
            let mut journal = [&seeds[0], &b"\n"[..]].concat();
            for _ in 0..scramble.below(5) {
                journal.extend(scramble.mutate(&seeds));
                journal.push(b'\n');
            }
            journal.extend(whole.as_bytes());
            let deeds = read(journal.as_slice());
            assert!(deeds.last().is_some_and(|deed| deed.path.as_bytes() == b"docs/a.txt"), "{deeds:?}");
        }
    }
}
