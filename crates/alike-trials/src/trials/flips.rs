//! Every kind becomes every kind; at each system call the name on the replica is looked for.

use alike_testkit::{Tree, compare};

use crate::days;
use crate::judge::{Fault, fault, last_words};
use crate::room::{Ground, PATIENCE, Room};
use crate::supervise::{Call, Verdict};
use crate::sweep::{Limit, Sums, keep_when_asked, sweep};
use crate::tools::Tool;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Empty,
    File,
    Large,
    HardLink,
    Hollow,
    Folder,
    LinkToFile,
    Dangling,
    Sparse,
    Pipe,
    Socket,
    Character,
    Block,
}

const KINDS: [Kind; 13] = [
    Kind::Empty,
    Kind::File,
    Kind::Large,
    Kind::HardLink,
    Kind::Hollow,
    Kind::Folder,
    Kind::LinkToFile,
    Kind::Dangling,
    Kind::Sparse,
    Kind::Pipe,
    Kind::Socket,
    Kind::Character,
    Kind::Block,
];

pub fn run(ground: &Ground) -> Sums {
    // Special files come last in the list: some peers stop at them.
    let kinds = if ground.plain() { &KINDS[..9] } else { &KINDS };
    let points = kinds.iter().flat_map(|from| kinds.iter().map(|to| (*from, *to))).collect();
    let limit = Limit { points: usize::MAX, seconds: if ground.full { 600.0 } else { 25.0 } };
    let label = |(from, to): &(Kind, Kind)| format!("flips {from:?} to {to:?}");
    sweep(ground, points, limit, label, |(from, to), room| try_point(ground, *from, *to, room))
}

fn put(tree: &Tree, kind: Kind, version: u32) {
    tree.remove("x");
    match kind {
        Kind::Empty => tree.file("x", ""),
        Kind::File => tree.file("x", days::content("x", version, 3_000)),
        Kind::Large => tree.file("x", days::content("x", version, days::LARGE)),
        Kind::HardLink => tree.hard_link(if version == 1 { "one" } else { "two" }, "x"),
        Kind::Hollow => tree.folder("x"),
        Kind::Folder => tree.file("x/inner", days::content("inner", version, 500)).folder("x/deep/er"),
        Kind::LinkToFile => tree.symlink("x", if version == 1 { "one" } else { "two" }),
        Kind::Dangling => tree.symlink("x", format!("nowhere {version}")),
        Kind::Sparse => tree.sparse("x", 500_000 + u64::from(version), &[(131_072, b"middle")]),
        Kind::Pipe => tree.fifo("x"),
        Kind::Socket => tree.socket("x"),
        Kind::Character => tree.character_device("x", 1, 2 + version),
        Kind::Block => tree.block_device("x", 7, 200 + version),
    };
}

fn try_point(ground: &Ground, from: Kind, to: Kind, name: &str) -> Vec<Fault> {
    let mut room = ground.room(name);
    keep_when_asked(ground, &mut room);
    room.source.file("one", "the one").file("two", "the two").file("keep", "kept");
    put(&room.source, from, 1);
    ground.pass(&room);
    put(&room.source, to, 2);
    let watched = room.replica.has("x");
    let mut absences = 0;
    let end = ground.directed(&room, PATIENCE, &mut |_: &Call| {
        absences += u32::from(!room.replica.has("x"));
        Verdict::Go
    });
    let mut faults = Vec::new();
    if end.hung || end.panicked() {
        faults.push(fault("hang or panic", end.ending()));
    }
    if watched && absences > 0 {
        faults.push(fault("absent", format!("the name was missing during {absences} calls")));
    }
    for what in differences(ground, &room).into_iter().take(2) {
        faults.push(fault("not equal", format!("{what} [{}: {}]", end.ending(), last_words(&end.said))));
    }
    faults
}

/// All differences for alike; for peers only those that nobody could call a matter of flags.
pub fn differences(ground: &Ground, room: &Room) -> Vec<String> {
    let grave = ["missing on", "only on", ": kind", ": content", ": size", ": target"];
    let mut found = compare(room.source.top(), room.replica.top());
    found.retain(|line| ground.tool == Tool::Alike || grave.iter().any(|word| line.contains(word)));
    found
}
