//! Steps of a history in which the last pass is taken back, and the mirror is told to go on.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;

use alike_testkit::{Record, Snapshot};

use crate::clock;
use crate::judge::{Fault, Shown, Sight, fault, last_words, show, staged};
use crate::life::{Life, Tally};
use crate::room::{PATIENCE, Room};
use crate::steps::Pass;
use crate::supervise::{End, run as run_tool};
use crate::witness::{Before, elsewhere, torn};

/// How a replica was.
pub struct Photo {
    shown: Shown,
    records: BTreeMap<Vec<u8>, Attributes>,
    whole: Snapshot,
}

type Attributes = (u16, (u32, u32), (i64, u32));

impl Photo {
    /// Of a replica that has a history.
    pub fn take(room: &Room) -> Option<Self> {
        room.replica.has(".alike/trash").then(|| Self::of(room))
    }

    fn of(room: &Room) -> Self {
        let whole = Snapshot::of(room.replica.top()).without_own_folder();
        let attributes = |record: &Record| (record.mode, record.owner, record.mtime);
        let records = whole.paths().into_iter();
        let records =
            records.filter_map(|path| Some((path.clone(), attributes(whole.get(&path)?)))).collect();
        Self { shown: Shown::of(room.replica.top()), records, whole }
    }

    /// Whether anything has been done to the replica since.
    pub fn is_of_another_day(&self, room: &Room) -> bool {
        !self.whole.changes(&Snapshot::of(room.replica.top()).without_own_folder()).is_empty()
    }

    /// What is not as it was.
    fn differences(&self, room: &Room) -> Vec<String> {
        let now = Self::of(room);
        let paths: BTreeSet<&Vec<u8>> = self.shown.0.keys().chain(now.shown.0.keys()).collect();
        let mut wrong = Vec::new();
        for path in paths {
            let [was, is] = [self, &now].map(|photo| photo.shown.0.get(path));
            let [had, has] = [self, &now].map(|photo| photo.records.get(path));
            match (was, is) {
                (Some(_), None) => wrong.push(format!("{}: missing", show(path))),
                (None, Some(_)) => wrong.push(format!("{}: there, and was not", show(path))),
                _ if was != is => wrong.push(format!("{}: shows something else", show(path))),
                // A folder that stays for what is left out in it is not dressed: nobody wrote down what its time was.
                _ if is_folder_of_the_replica(room, path, was) && same_but_for_time(had, has) => {}
                _ if had != has => wrong.push(format!("{}: was {had:?}, is {has:?}", show(path))),
                _ => {}
            }
        }
        wrong
    }
}

fn is_folder_of_the_replica(room: &Room, path: &[u8], was: Option<&Sight>) -> bool {
    was == Some(&Sight::Folder) && !room.source.has(OsStr::from_bytes(path))
}

fn same_but_for_time(had: Option<&Attributes>, has: Option<&Attributes>) -> bool {
    let rest = |all: &Attributes| (all.0, all.1);
    had.map(rest) == has.map(rest)
}

impl Life<'_> {
    /// The last pass is taken back; then no pass is made until a person says so.
    pub fn undo(&mut self) -> Vec<Fault> {
        if !self.room.replica.has(".alike/trash") {
            return Vec::new();
        }
        Tally::count(&self.tally.undos);
        let (before, all) = (Before::look(self.room), kept(self.room));
        let litter = staged(self.room);
        let end = self.on_replica(&["--yes"]);
        let mut faults = self.judge_undo(&before, &all, &end);
        // What a pass left that was killed goes with the next.
        let more = staged(self.room).into_iter().filter(|left| !litter.contains(left));
        faults.extend(more.map(|what| fault("litter", format!("undo: {what}"))));
        if let (Some(photo), true) = (self.photo.take(), faults.is_empty()) {
            let wrong = photo.differences(self.room);
            faults.extend(wrong.into_iter().take(3).map(|what| fault("undone, and not as it was", what)));
            if end.code != Some(0) {
                faults.push(fault("undone in part", format!("{}: {}", end.ending(), end.said)));
            }
        }
        if faults.is_empty() && self.room.replica.has(".alike/hold") {
            faults = self.held();
        }
        // What was taken back is not what the source had when the replica was last equal.
        self.witness.drifted = true;
        faults
    }

    fn judge_undo(&self, before: &Before, all: &BTreeSet<Sight>, end: &End) -> Vec<Fault> {
        let mut faults = Vec::new();
        if end.hung || end.panicked() || !matches!(end.code, Some(0 | 1)) {
            faults.push(fault("hang or panic", format!("undo: {}: {}", end.ending(), end.said)));
        }
        let after = Shown::of(self.room.replica.top());
        let whole: BTreeSet<Vec<u8>> = all
            .iter()
            .filter_map(|sight| if let Sight::File(content) = sight { Some(content.clone()) } else { None })
            .collect();
        faults.extend(torn(before, &after, &whole));
        let left = kept(self.room);
        let gone = all.iter().filter(|sight| **sight != Sight::Folder && !left.contains(*sight));
        faults.extend(gone.map(|sight| {
            let whose = before.replica.0.iter().find(|(_, there)| *there == sight);
            let whose = whose.map_or_else(|| "kept in the trash".to_owned(), |(path, _)| show(path));
            fault("lost", format!("undo: {whose}"))
        }));
        faults.extend(elsewhere(self.room, before));
        for fault in &mut faults {
            fault.what = format!("{} [undo: {}: {}]", fault.what, end.ending(), last_words(&end.said));
        }
        faults
    }

    /// A pass changes nothing now, until the mirror is told to go on.
    fn held(&mut self) -> Vec<Fault> {
        let look = || Snapshot::of(self.room.replica.top()).without_own_folder();
        let before = look();
        let end = self.run("once", Pass::last());
        let mut faults: Vec<Fault> =
            before.changes(&look()).into_iter().map(|what| fault("held, and changed", what)).collect();
        if end.code != Some(3) {
            faults.push(fault("held, and a pass", format!("{}: {}", end.ending(), last_words(&end.said))));
        }
        let end = self.on_replica(&["--resume"]);
        if end.code != Some(0) || self.room.replica.has(".alike/hold") {
            faults.push(fault("stuck", format!("--resume: {}: {}", end.ending(), last_words(&end.said))));
        }
        faults
    }

    fn on_replica(&self, words: &[&str]) -> End {
        let mut command = self.ground.programs.on_replica(self.room, "undo", words);
        clock::set(&mut command, self.clock);
        let end = run_tool(&mut command, &self.room.said(), PATIENCE);
        self.say(|| format!("undo {words:?}: {}{}", end.said, end.ending()));
        end
    }
}

/// What the replica and its trash show, under whatever name; journals grow.
fn kept(room: &Room) -> BTreeSet<Sight> {
    let trash = Shown::of(&room.replica.path(".alike/trash"));
    let kept = trash.0.into_iter().filter(|(path, _)| !path.ends_with(b"/journal"));
    Shown::of(room.replica.top()).0.into_iter().chain(kept).map(|(_, sight)| sight).collect()
}
