//! Sees a pair before and after each pass of a history, and names every invariant that the pass broke.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use alike_testkit::{Record, Snapshot};

use crate::edits::SHARED;
use crate::judge::{Fault, Shown, Sight, fault, last_words, show, staged};
use crate::naive::{Mirrored, Wanted};
use crate::room::Room;
use crate::rules::{above, name_of};
use crate::supervise::End;

/// What stays from one pass to the next.
#[derive(Default)]
pub struct Witness {
    /// The inode of each name of the source when the replica was last seen equal, of those that have had it ever since.
    stood: BTreeMap<Vec<u8>, u64>,
    /// The replica was changed behind our back since it was last seen equal.
    pub drifted: bool,
}

/// How all was before a pass.
pub struct Before {
    pub source: Snapshot,
    pub outside: Outside,
    pub versions: Shown,
    pub replica: Shown,
}

impl Before {
    pub fn look(room: &Room) -> Self {
        Self {
            source: Snapshot::of(room.source.top()),
            outside: Outside::look(room),
            versions: Shown::of(room.source.top()),
            replica: Shown::of(room.replica.top()),
        }
    }

    /// The source as it is now: it was changed because it was meant to.
    pub fn with_source(self, room: &Room, outside: Outside) -> Self {
        Self {
            source: Snapshot::of(room.source.top()),
            versions: Shown::of(room.source.top()),
            outside,
            ..self
        }
    }
}

/// What is asked of a pass.
#[derive(Clone, Copy)]
pub struct Asked<'a> {
    /// Nobody disturbed it: it must end with all equal.
    pub undisturbed: bool,
    pub keeps_trash: bool,
    pub wanted: Wanted<'a>,
}

impl Witness {
    /// Judges a pass that ended like this.
    pub fn judge(&mut self, room: &Room, before: &Before, end: &End, asked: Asked<'_>) -> Vec<Fault> {
        let after = Shown::of(room.replica.top());
        let mut faults = ending(end, asked.undisturbed);
        faults.extend(torn(before, &after, &BTreeSet::new()));
        let mirrored = Mirrored::of(asked.wanted, &before.versions, &after);
        let left_out = asked.wanted.rules.left_out(&before.versions, &before.replica);
        faults.extend(self.gaps((before, &left_out), &after, asked));
        faults.extend(self.gone((before, &left_out), &after, asked));
        faults.extend(mirrored.copied(&before.replica, &after));
        if asked.keeps_trash {
            faults.extend(lost(room, before, &after));
        }
        faults.extend(elsewhere(room, before));
        let is_done = end.code == Some(0) && !end.killed;
        if is_done {
            let wrong = mirrored.differences(room, &after);
            faults.extend(
                mirrored.stays().iter().chain(&wrong).take(3).map(|what| fault("exit 0 and wrong", what)),
            );
            self.drifted &= !wrong.is_empty();
        }
        if is_done && asked.undisturbed {
            faults.extend(staged(room).into_iter().map(|what| fault("litter", what)));
        }
        self.saw(before, &mirrored, is_done);
        for fault in &mut faults {
            fault.what = format!("{} [{}: {}]", fault.what, end.ending(), last_words(&end.said));
        }
        faults
    }

    /// Remembers what was seen equal.
    pub fn saw(&mut self, before: &Before, mirrored: &Mirrored<'_>, is_equal: bool) {
        let mut now = inodes(&before.source);
        match is_equal {
            true => {
                now.retain(|path, _| !mirrored.left_out.contains(path));
                self.stood = now;
            }
            // Under a name that it has not come to, the replica still has what may be wanted elsewhere.
            false => self.stood.retain(|path, inode| now.get(path) == Some(inode)),
        }
    }

    /// Names that the source kept, as all folders above them, and that the replica had and has no more.
    fn gaps(&self, (before, left_out): Sorted<'_>, after: &Shown, asked: Asked<'_>) -> Vec<Fault> {
        // What somebody put on the replica may have to go before what belongs there can come.
        if self.drifted {
            return Vec::new();
        }
        let now = inodes(&before.source);
        let stayed = |path: &[u8]| {
            let all = above_all(path).chain([path]);
            all.into_iter().all(|path| now.contains_key(path) && now.get(path) == self.stood.get(path))
        };
        let may_go = |path: &Vec<u8>| asked.wanted.clears() && left_out.contains(path);
        let gone = before.replica.0.keys().filter(|path| !after.0.contains_key(*path) && !may_go(path));
        gone.filter(|path| stayed(path)).map(|path| fault("gap", show(path))).collect()
    }

    /// What was left out, or was to stay whatever the source lacks, and is on the replica no more.
    fn gone(&self, (before, left_out): Sorted<'_>, after: &Shown, asked: Asked<'_>) -> Vec<Fault> {
        let now = inodes(&before.source);
        let inodes_now: BTreeSet<u64> = now.values().copied().collect();
        // What a folder holds goes where that goes, and may come under other rules there.
        let is_at_home = |folder: &[u8]| match self.stood.get(folder) {
            Some(inode) => now.get(folder) == Some(inode) || !inodes_now.contains(inode),
            None => false,
        };
        let lacks = |path: &[u8]| !before.versions.0.contains_key(path);
        let mut faults = Vec::new();
        for (path, sight) in &before.replica.0 {
            let is_kept = |path: &[u8]| !self.stood.contains_key(path) && lacks(path);
            let class = match () {
                // What the source has under another name may have gone there: a move deletes nothing.
                () if asked.wanted.keeps_all()
                    && lacks(path)
                    && above_all(path).chain([&path[..]]).all(|path| is_at_home(path) || is_kept(path)) =>
                {
                    "gone in spite of --no-delete"
                }
                () if !asked.wanted.clears()
                    && left_out.contains(path)
                    && above_all(path).all(|folder| left_out.contains(folder) || is_at_home(folder)) =>
                {
                    "left out and gone"
                }
                () => continue,
            };
            // Of what was not known to be equal nobody can tell whether it has moved.
            let is_elsewhere = || match self.stood.contains_key(path) {
                true => is_somewhere(sight, path, after),
                false => after.0.values().any(|there| there == sight),
            };
            if after.0.get(path) != Some(sight) && !is_elsewhere() {
                faults.push(fault(class, show(path)));
            }
        }
        faults
    }
}

/// How all was, and which paths filters leave out.
type Sorted<'a> = (&'a Before, &'a BTreeSet<Vec<u8>>);

/// The folders that hold a path, the innermost first, without the top.
fn above_all(path: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::successors(Some(above(path)), |path| Some(above(path))).take_while(|path| !path.is_empty())
}

/// True when something of that name shows the same: its folder has moved, and it went along.
pub fn is_somewhere(sight: &Sight, path: &[u8], shown: &Shown) -> bool {
    shown.0.iter().any(|(at, there)| there == sight && name_of(at) == name_of(path))
}

fn inodes(of: &Snapshot) -> BTreeMap<Vec<u8>, u64> {
    of.paths().into_iter().filter_map(|path| Some((path.clone(), of.get(&path)?.ino))).collect()
}

fn ending(end: &End, undisturbed: bool) -> Vec<Fault> {
    let mut faults = Vec::new();
    if end.hung {
        faults.push(fault("hang", "it did not end in time"));
    }
    if end.panicked() && !end.killed {
        faults.push(fault("panic", "it fell over"));
    }
    if undisturbed && !matches!(end.code, Some(0 | 1 | 3)) {
        faults.push(fault("stuck", "nobody disturbed it"));
    }
    faults
}

/// Each file of the replica shows what the source has, or had meanwhile, or what the replica had.
pub fn torn(before: &Before, after: &Shown, meanwhile: &BTreeSet<Vec<u8>>) -> Vec<Fault> {
    let known = before.versions.files().chain(before.replica.files()).map(|(_, content)| content);
    let whole: BTreeSet<&Vec<u8>> = known.chain(meanwhile).collect();
    let torn = after.files().filter(|(_, content)| !whole.contains(content));
    torn.map(|(path, content)| fault("torn", format!("{}: {} bytes", show(path), content.len()))).collect()
}

/// What the replica showed is still there under some name, or in the trash.
pub fn lost(room: &Room, before: &Before, after: &Shown) -> Vec<Fault> {
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

/// The source and what lies outside are as they were.
pub fn elsewhere(room: &Room, before: &Before) -> Vec<Fault> {
    let written = before.source.changes(&Snapshot::of(room.source.top()));
    let mut faults: Vec<Fault> = written.into_iter().map(|what| fault("source written", what)).collect();
    faults.extend(before.outside.changes(room));
    faults
}

/// What lies outside of both trees.
pub struct Outside {
    tree: Snapshot,
    shared: Vec<u8>,
}

impl Outside {
    pub fn look(room: &Room) -> Self {
        Self { tree: Snapshot::of(room.outside.top()), shared: room.outside.read(SHARED) }
    }

    /// A file of which the replica had a name may lose that name, which moves its ctime; it may not be written.
    pub fn changes(&self, room: &Room) -> Vec<Fault> {
        let now = Self::look(room);
        let untouched = |record: &Record| (record.mode, record.owner, record.size, record.mtime);
        let shared = |of: &Self| of.tree.get(SHARED).map(untouched);
        let mut faults = Vec::new();
        if shared(self) != shared(&now) || self.shared != now.shared {
            faults.push(fault("outside", format!("{SHARED} was written")));
        }
        let changes = self.tree.clone().without(SHARED).changes(&now.tree.without(SHARED));
        faults.extend(changes.into_iter().map(|what| fault("outside", what)));
        faults
    }
}

/// All that is there, with our own folder and the state: a plan changes none of it.
pub fn everything(room: &Room) -> [Snapshot; 3] {
    [room.source.top(), room.replica.top(), &room.state].map(|top: &Path| Snapshot::of(top))
}
