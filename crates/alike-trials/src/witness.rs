//! Sees a pair before and after each pass of a history, and names every invariant that the pass broke.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use alike_testkit::{Record, Snapshot, compare};

use crate::edits::SHARED;
use crate::judge::{Fault, Shown, Sight, fault, last_words, show, staged};
use crate::room::Room;
use crate::supervise::End;

/// What stays from one pass to the next.
#[derive(Default)]
pub struct Witness {
    /// The inode of each name of the source when the replica was last seen equal, of those that have had it ever since.
    stood: BTreeMap<Vec<u8>, u64>,
    /// The replica was changed behind our back since it was last seen equal.
    pub drifted: bool,
    /// The name that filters leave out.
    left_out: Option<&'static str>,
}

/// How all was before a pass.
pub struct Before {
    source: Snapshot,
    outside: Snapshot,
    shared: Vec<u8>,
    versions: Shown,
    replica: Shown,
}

impl Before {
    pub fn look(room: &Room) -> Self {
        Self {
            source: Snapshot::of(room.source.top()),
            outside: Snapshot::of(room.outside.top()),
            shared: room.outside.read(SHARED),
            versions: Shown::of(room.source.top()),
            replica: Shown::of(room.replica.top()),
        }
    }
}

/// What is asked of a pass.
#[derive(Clone, Copy)]
pub struct Asked {
    /// Nobody disturbed it: it must end with all equal.
    pub undisturbed: bool,
    pub keeps_trash: bool,
}

impl Witness {
    pub fn of(left_out: Option<&'static str>) -> Self {
        Self { left_out, ..Self::default() }
    }

    /// Judges a pass that ended like this.
    pub fn judge(&mut self, room: &Room, before: &Before, end: &End, asked: Asked) -> Vec<Fault> {
        let after = Shown::of(room.replica.top());
        let mut faults = ending(end, asked);
        faults.extend(torn(before, &after));
        faults.extend(self.gaps(before, &after));
        if asked.keeps_trash {
            faults.extend(lost(room, before, &after));
        }
        let written = before.source.changes(&Snapshot::of(room.source.top()));
        faults.extend(written.into_iter().map(|what| fault("source written", what)));
        faults.extend(outside(room, before));
        if end.code == Some(0) && !end.killed {
            let mut wrong = compare(room.source.top(), room.replica.top());
            wrong.retain(|line| !self.is_left_out(line));
            faults.extend(wrong.iter().take(3).map(|what| fault("exit 0 and wrong", what)));
            self.drifted &= !wrong.is_empty();
        }
        if end.code == Some(0) && asked.undisturbed {
            faults.extend(staged(room).into_iter().map(|what| fault("litter", what)));
        }
        let now = inodes(&before.source);
        match end.code == Some(0) && !end.killed {
            true => self.stood = now,
            // Under a name that it has not come to, the replica still has what may be wanted elsewhere.
            false => self.stood.retain(|path, inode| now.get(path) == Some(inode)),
        }
        if !faults.is_empty() {
            for fault in &mut faults {
                fault.what = format!("{} [{}: {}]", fault.what, end.ending(), last_words(&end.said));
            }
        }
        faults
    }

    /// True for a difference that filters are to leave: it tells of a path with that name, or of a link to one. That the
    /// replica has such a name is wrong: nobody put it there.
    fn is_left_out(&self, line: &str) -> bool {
        let has = |name: &str| line.split(['/', ' ', ':']).any(|word| word == name);
        self.left_out.is_some_and(has) && !line.ends_with("only on the replica")
    }

    /// Names that the source kept, as all folders above them, and that the replica had and has no more.
    fn gaps(&self, before: &Before, after: &Shown) -> Vec<Fault> {
        // What somebody put on the replica may have to go before what belongs there can come.
        if self.drifted {
            return Vec::new();
        }
        let now = inodes(&before.source);
        let stayed = |path: &[u8]| {
            let above = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| &path[..at]);
            above.chain([path]).all(|path| now.contains_key(path) && now.get(path) == self.stood.get(path))
        };
        let gone = before.replica.0.keys().filter(|path| !after.0.contains_key(*path));
        gone.filter(|path| stayed(path)).map(|path| fault("gap", show(path))).collect()
    }
}

fn inodes(of: &Snapshot) -> BTreeMap<Vec<u8>, u64> {
    of.paths().into_iter().filter_map(|path| Some((path.clone(), of.get(&path)?.ino))).collect()
}

fn ending(end: &End, asked: Asked) -> Vec<Fault> {
    let mut faults = Vec::new();
    if end.hung {
        faults.push(fault("hang", "it did not end in time"));
    }
    if end.panicked() && !end.killed {
        faults.push(fault("panic", "it fell over"));
    }
    if asked.undisturbed && !matches!(end.code, Some(0 | 1 | 3)) {
        faults.push(fault("stuck", "nobody disturbed it"));
    }
    faults
}

/// Each file of the replica shows what the source has, or what the replica had.
fn torn(before: &Before, after: &Shown) -> Vec<Fault> {
    let known = before.versions.files().chain(before.replica.files()).map(|(_, content)| content);
    let whole: BTreeSet<&Vec<u8>> = known.collect();
    let torn = after.files().filter(|(_, content)| !whole.contains(content));
    torn.map(|(path, content)| fault("torn", format!("{}: {} bytes", show(path), content.len()))).collect()
}

/// What the replica showed is still there under some name, or in the trash.
fn lost(room: &Room, before: &Before, after: &Shown) -> Vec<Fault> {
    let there: BTreeSet<&Sight> = after.0.values().collect();
    let kept_in = |sight: &Sight| *sight != Sight::Folder && !there.contains(sight);
    let missing: Vec<_> = before.replica.0.iter().filter(|(_, sight)| kept_in(sight)).collect();
    if missing.is_empty() {
        return Vec::new();
    }
    let trash = Shown::of(&room.replica.path(".alike/trash"));
    let kept: BTreeSet<&Sight> = trash.0.values().collect();
    let lost = missing.into_iter().filter(|(_, sight)| !kept.contains(sight));
    lost.map(|(path, _)| fault("lost", format!("{}: neither there nor in the trash", show(path)))).collect()
}

/// A file outside of which the replica had a name may lose that name, which moves its ctime; it may not be written.
fn outside(room: &Room, before: &Before) -> Vec<Fault> {
    let now = Snapshot::of(room.outside.top());
    let untouched = |record: &Record| (record.mode, record.owner, record.size, record.mtime);
    let shared = |of: &Snapshot| of.get(SHARED).map(untouched);
    let mut faults = Vec::new();
    if shared(&before.outside) != shared(&now) || room.outside.read(SHARED) != before.shared {
        faults.push(fault("outside", format!("{SHARED} was written")));
    }
    let changes = before.outside.clone().without(SHARED).changes(&now.without(SHARED));
    faults.extend(changes.into_iter().map(|what| fault("outside", what)));
    faults
}

/// All that is there, with our own folder and the state: a plan changes none of it.
pub fn everything(room: &Room) -> [Snapshot; 3] {
    [room.source.top(), room.replica.top(), &room.state].map(|top: &Path| Snapshot::of(top))
}
