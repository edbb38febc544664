//! Stamps and names to decide about.

#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "each test file is a program of its own and uses a part of this"
)]

use alike_model::entry::{Entry, Kind, Stamp, Time};
use alike_model::known::Known;
use alike_model::path::{Name, RelPath};

pub const KINDS: [Kind; 7] =
    [Kind::File, Kind::Folder, Kind::Symlink, Kind::Fifo, Kind::Socket, Kind::BlockDevice, Kind::CharDevice];

pub fn secs(secs: i64) -> Time {
    Time { secs, nanos: 5 }
}

/// An entry of this kind; both sides have the same but for the inode.
pub fn stamp(kind: Kind, ino: u64) -> Stamp {
    Stamp {
        kind,
        dev: 1,
        ino,
        size: 10,
        blocks: 8,
        nlink: 1,
        mode: 0o644,
        uid: 0,
        gid: 0,
        rdev: 0,
        mtime: secs(1),
        ctime: secs(100),
        btime: Some(secs(50)),
    }
}

pub fn source(kind: Kind) -> Stamp {
    stamp(kind, 1)
}

pub fn replica(kind: Kind) -> Stamp {
    stamp(kind, 2)
}

/// What the index has of both when they were equal and looked like this.
pub fn known(source: &Stamp, replica: &Stamp) -> Known {
    Known::equal(source, false, replica, None)
}

pub fn name(text: &str) -> Name {
    Name::new(text.as_bytes()).unwrap()
}

pub fn path(text: &str) -> RelPath {
    RelPath::parse(text.as_bytes()).unwrap()
}

pub fn entry(text: &str, stamp: Stamp) -> Entry {
    Entry { name: name(text), look: Ok(stamp) }
}
