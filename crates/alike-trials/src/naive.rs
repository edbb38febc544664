//! The naive mirror: what a replica is to be like, from the source, the rules and two flags alone.

use std::collections::BTreeSet;

use alike_testkit::compare_where;

use crate::judge::{Fault, Shown, Sight, fault, show};
use crate::room::Room;
use crate::rules::{IGNORE_FILE, Rules, above, name_of};
use crate::steps::Deletes;
use crate::witness::is_somewhere;

/// What a pass is to make of a replica.
#[derive(Clone, Copy)]
pub struct Wanted<'a> {
    pub rules: &'a Rules,
    pub deletes: Deletes,
}

impl Wanted<'_> {
    pub fn keeps_all(self) -> bool {
        self.deletes == Deletes::Nothing
    }

    /// What filters leave out goes.
    pub fn clears(self) -> bool {
        self.deletes == Deletes::Excluded
    }
}

/// A replica beside what it is to be like.
pub struct Mirrored<'a> {
    wanted: Wanted<'a>,
    versions: &'a Shown,
    /// What filters leave out, on either side.
    pub left_out: BTreeSet<Vec<u8>>,
    /// Folders of the replica that hold something of it.
    holding: BTreeSet<Vec<u8>>,
    /// Folders of the replica where the source has something else, and that cannot go for what they hold.
    in_the_way: BTreeSet<Vec<u8>>,
}

impl<'a> Mirrored<'a> {
    pub fn of(wanted: Wanted<'a>, versions: &'a Shown, replica: &Shown) -> Self {
        let left_out = wanted.rules.left_out(versions, replica);
        let mut holding = BTreeSet::new();
        for path in left_out.iter().filter(|path| replica.0.contains_key(*path)) {
            let slashes = path.iter().enumerate().filter(|(_, byte)| **byte == b'/');
            holding.extend(slashes.map(|(at, _)| path[..at].to_vec()));
        }
        let is_in_the_way = |path: &&Vec<u8>| {
            let stays = wanted.keeps_all() || (holding.contains(*path) && !wanted.clears());
            let is_other = versions.0.get(*path).is_some_and(|sight| *sight != Sight::Folder);
            stays && is_other && replica.0[*path] == Sight::Folder && !left_out.contains(*path)
        };
        let in_the_way = replica.0.keys().filter(is_in_the_way).cloned().collect();
        Self { wanted, versions, left_out, holding, in_the_way }
    }

    /// Why the replica cannot be equal, whatever a pass does.
    pub fn stays(&self) -> Vec<String> {
        self.in_the_way
            .iter()
            .map(|path| format!("{}: a folder that stays is in the way", show(path)))
            .collect()
    }

    /// What is not as it is to be, but for what is in the way.
    pub fn differences(&self, room: &Room, replica: &Shown) -> Vec<String> {
        let counts = |path: &[u8]| !self.left_out.contains(path);
        let mut wrong = compare_where(room.source.top(), room.replica.top(), &counts);
        // Which of the names that only the replica has may be there is told below; of them, and of what is left out, a file of
        // both may have one more.
        let knows_all_names = self.left_out.is_empty() && !self.wanted.keeps_all();
        wrong.retain(|line| {
            !self.is_of_what_is_in_the_way(line)
                && !line.ends_with("only on the replica")
                && (knows_all_names || !line.contains(": links: "))
        });
        let is_below = |path: &[u8]| {
            path.iter().enumerate().any(|(at, byte)| *byte == b'/' && self.in_the_way.contains(&path[..at]))
        };
        for path in replica.0.keys() {
            let what = match () {
                () if self.left_out.contains(path) && self.wanted.clears() => {
                    "left out, and still on the replica"
                }
                () if self.left_out.contains(path) || self.versions.0.contains_key(path) => continue,
                () if self.wanted.keeps_all() || self.holding.contains(path) || is_below(path) => continue,
                // Without the rules nobody would know why it stays.
                () if name_of(path) == IGNORE_FILE && self.holding.contains(above(path)) => continue,
                () => "only on the replica",
            };
            wrong.push(format!("{}: {what}", show(path)));
        }
        wrong
    }

    fn is_of_what_is_in_the_way(&self, line: &str) -> bool {
        line.contains(": kind: source ") && self.in_the_way.iter().any(|path| tells_of(line, path))
    }

    /// What is left out and yet was put on the replica.
    pub fn copied(&self, before: &Shown, after: &Shown) -> Vec<Fault> {
        let came =
            after.0.iter().filter(|(path, _)| self.left_out.contains(*path) && !before.0.contains_key(*path));
        let copied = came.filter(|(path, sight)| !is_somewhere(sight, path, before));
        copied.map(|(path, _)| fault("left out and copied", show(path))).collect()
    }
}

/// True when a difference is one of what is at this path. The judge shows a long one without its middle.
pub fn tells_of(line: &str, path: &[u8]) -> bool {
    const SHOWN: usize = 200;
    const END: usize = 60;
    let shown = show(path);
    if shown.len() <= SHOWN {
        return line.strip_prefix(&shown).is_some_and(|rest| rest.starts_with(": "));
    }
    let end: String = shown.chars().rev().take(END).collect::<Vec<_>>().into_iter().rev().collect();
    line.contains(&format!("[…]{end}: "))
}
