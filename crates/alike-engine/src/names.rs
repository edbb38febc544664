//! What a pass sees of inodes with several names: how many of these there are, which are proven, and where else to look.
//!
//! No call tells the names of an inode. When as many have been seen as it has links, none is outside, and to write to it changes
//! nothing of others.

use std::collections::HashMap;

use alike_model::compare::{Finding, Verdict};
use alike_model::dirty::Dirty;
use alike_model::entry::{Kind, Stamp};
use alike_model::links::{ReplicaInode, SourceInode};
use alike_model::path::RelPath;
use alike_model::plan::Step;
use alike_storage::{Replica, Source};

use crate::hands::Hands;
use crate::history::Look;
use crate::pass::Run;
use crate::place::{Here, Place};
use crate::waiting::Task;
use crate::walk::Walking;

/// How many of its names were seen of an inode of the replica when folders were listed, and how many it had. What the pass
/// does later changes neither, so the two can be compared at any time.
#[derive(Clone, Copy, Default)]
pub(crate) struct NamesSeen {
    names: u32,
    /// The inode of the source that the first of the proven ones has.
    pub(crate) of: Option<SourceInode>,
    /// Names in folders that are to be deleted, which nobody visits.
    going: u32,
    nlink: u32,
}

impl NamesSeen {
    fn count(&mut self, stamp: &Stamp) {
        self.names += 1;
        self.note(stamp);
    }

    fn count_going(&mut self, stamp: &Stamp) {
        self.going += 1;
        self.note(stamp);
    }

    /// What was to be deleted has moved, and is counted where it is visited.
    pub(crate) fn forget_going(&mut self) {
        self.going = 0;
    }

    fn note(&mut self, stamp: &Stamp) {
        // It shrinks when a move of this pass takes the place of a name before that has been listed.
        self.nlink = self.nlink.max(stamp.nlink);
    }
}

impl<S: Source, R: Replica, H: Hands<S, R>> Run<'_, S, R, H> {
    /// Notes what a folder tells about inodes with several names. `whole`: it is listed for the first time.
    pub(crate) fn note_links(&self, place: &Here<S, R>, findings: &[Finding], whole: bool) {
        for finding in findings {
            // A name that is left alone is somebody else's.
            if matches!(finding.verdict, Verdict::Excluded | Verdict::ExcludedGoes) {
                continue;
            }
            let path = || place.path().join(&finding.name);
            let sides = [&finding.source, &finding.replica];
            let is_first = || self.wait_for(|waiting| waiting.counted.insert(path()));
            if !sides.into_iter().flatten().any(Stamp::has_several_names) || !(self.full || is_first()) {
                continue;
            }
            // Looked at once more, a name counts no second time, but it may be proven only now.
            if whole || !self.full {
                self.count_names(finding, path);
            }
            if let (Verdict::Same { proven: true }, Some(source), Some(replica)) =
                (&finding.verdict, finding.source, finding.replica)
            {
                self.note_proven(place, finding, (source, replica));
            }
            if let Some(replica) = finding.replica.filter(|replica| self.is_counted(replica)) {
                let seen = self.wait_for(|waiting| waiting.proven.remove(&inode(&replica)));
                seen.into_iter().flatten().for_each(|(place, _)| self.release(place));
            }
        }
    }

    fn count_names(&self, finding: &Finding, path: impl Fn() -> RelPath) {
        if let (Some(siblings), Some(source)) = (self.work.siblings, finding.source.filter(|_| self.full)) {
            siblings.note(&source, path());
        }
        if let Some(replica) = finding.replica.as_ref().filter(|replica| replica.has_several_names()) {
            self.wait_for(|waiting| waiting.names_seen.entry(inode(replica)).or_default().count(replica));
        }
    }

    /// What is proven of a name counts only while its inode on the replica has no name outside. A folder that is moved out
    /// takes names along without a trace in their inodes.
    pub(crate) fn distrust_links(&self, mut findings: Vec<Finding>) -> Vec<Finding> {
        self.wait_for(|waiting| {
            for finding in findings.iter_mut().filter(|_| !waiting.distrusted.is_empty()) {
                let is_short = |replica: Stamp| waiting.distrusted.contains(&inode(&replica));
                if finding.verdict == (Verdict::Same { proven: true })
                    && finding.replica.is_some_and(is_short)
                {
                    finding.verdict = Verdict::Doubt;
                }
            }
        });
        findings
    }

    /// Names to be looked at because of others: those of an inode that is to be joined, or is found to have a name outside.
    pub(crate) fn look_at_links(&self) -> Vec<Task<S, R>> {
        if self.full { self.look_at_short_links() } else { self.summon_siblings() }
    }

    /// In a full pass: the proven names of inodes of which not all names have been seen.
    fn look_at_short_links(&self) -> Vec<Task<S, R>> {
        let proven = self.wait_for(|waiting| std::mem::take(&mut waiting.proven));
        if proven.is_empty() {
            return Vec::new();
        }
        self.count_what_goes();
        let mut names = Vec::new();
        for (inode, proven) in proven {
            if self.work.stop.is_set() || self.are_counted(inode) {
                proven.into_iter().for_each(|(place, _)| self.release(place));
                continue;
            }
            names.extend(proven);
            self.wait_for(|waiting| waiting.distrusted.insert(inode));
        }
        self.wait_for(|waiting| {
            let distrusted = &waiting.distrusted;
            let is_short = |replica: &Stamp| distrusted.contains(&inode(replica));
            waiting.anchors.retain(|_, anchor| !anchor.replica.as_ref().is_some_and(is_short));
        });
        self.tasks_for(names)
    }

    /// In a pass that looks at a part only: the other names of what waits to be joined.
    fn summon_siblings(&self) -> Vec<Task<S, R>> {
        let Some(siblings) = self.work.siblings else { return Vec::new() };
        let (places, sources): (Vec<_>, Vec<_>) = self.wait_for(|waiting| {
            waiting.linked.iter().map(|(place, linked)| (Here::clone(place), linked.source)).unzip()
        });
        let Some(mut root) = places.first().cloned() else { return Vec::new() };
        while let Some(above) = &root.parent {
            root = Here::clone(above);
        }
        let mut dirty = Dirty::new();
        for path in sources.iter().flat_map(|source| siblings.of(source)) {
            let is_new = self.wait_for(|waiting| {
                !waiting.counted.contains(&path) && waiting.summoned.insert(path.clone())
            });
            if let (true, Some((folder, name))) = (is_new, path.split()) {
                dirty.mark_name(folder, name);
            }
        }
        if dirty.is_empty() { Vec::new() } else { self.tasks_at(&root, dirty, &places) }
    }

    /// True when an inode of the replica has no name outside: writing to it changes nothing of others.
    pub(crate) fn is_counted(&self, replica: &Stamp) -> bool {
        replica.nlink == 1 || self.are_counted(inode(replica))
    }

    /// True when all names of an inode have been seen.
    fn are_counted(&self, inode: ReplicaInode) -> bool {
        let seen = self.wait_for(|waiting| waiting.names_seen.get(&inode).copied());
        seen.is_some_and(|seen| seen.names + seen.going == seen.nlink)
    }

    /// Notes of inodes with several names one that stays: what is taken away of the others need not be kept.
    pub(crate) fn note_staying(&self) {
        let staying = self.wait_for(|waiting| {
            let anchors = waiting.anchors.values();
            anchors.filter_map(|anchor| Some((anchor.replica?, anchor.path()))).collect::<Vec<_>>()
        });
        for (replica, path) in staying.into_iter().filter(|(replica, _)| replica.nlink > 1) {
            self.hands.note_staying(&replica, path);
        }
    }

    /// Takes out of the trash what stays under another name of the replica: there it would count as a name outside.
    pub(crate) fn let_go_of_links(&self) {
        let mut staying: Option<HashMap<ReplicaInode, RelPath>> = None;
        self.hands.let_go(&mut |path, old| {
            let anchors = staying.get_or_insert_with(|| {
                self.wait_for(|waiting| {
                    let anchors = waiting.anchors.values();
                    anchors
                        .filter_map(|anchor| Some((inode(anchor.replica.as_ref()?), anchor.path())))
                        .collect()
                })
            });
            let anchored =
                anchors.iter().filter(|(inode, _)| inode.1 == old.id.ino).map(|(_, path)| path.clone());
            let siblings = self.work.siblings.map(|siblings| siblings.beside(path)).unwrap_or_default();
            anchored.chain(siblings).any(|other| other != *path && self.has_inode(&other, old))
        });
    }

    /// True when that inode stands at a path of the replica.
    fn has_inode(&self, path: &RelPath, old: &Look) -> bool {
        let look = || -> alike_storage::Result<Option<Stamp>> {
            let Some((above, name)) = path.split() else { return Ok(None) };
            let mut folder = self.work.replica.root()?;
            for part in above.names() {
                folder = self.work.replica.open_folder(&folder, &part)?;
            }
            self.work.replica.look(&folder, &name)
        };
        look().is_ok_and(|now| now.is_some_and(|now| now.identity() == old.id && now.kind == old.kind))
    }

    /// Counts the names in folders that are to be deleted, when names are missing in the count.
    pub(crate) fn count_what_goes(&self) {
        let (from, to) = self.wait_for(|waiting| {
            (std::mem::replace(&mut waiting.removals_counted, waiting.removals.len()), waiting.removals.len())
        });
        for (place, removal) in (from..to).filter_map(|at| self.peek(at)) {
            if removal.replica.kind == Kind::Folder {
                // What cannot be counted counts as outside, which costs a copy.
                let _ = self.walk(&place, &removal, Walking::Counting, &mut |_, _, step: Step| {
                    if let Some(replica) = step.verb.replaces().filter(|replica| replica.nlink > 1) {
                        self.wait_for(|waiting| {
                            waiting.names_seen.entry(inode(replica)).or_default().count_going(replica);
                        });
                    }
                    Ok(true)
                });
            }
        }
    }
}

pub(crate) fn inode(stamp: &Stamp) -> ReplicaInode {
    (stamp.dev, stamp.ino)
}

pub(crate) fn source_inode<S: Source, R: Replica>(source: &Stamp, place: &Place<S, R>) -> SourceInode {
    let mut here = Some(place);
    let mut device = 0;
    while let Some(place) = here {
        if let Some(stamp) = &place.replica_stamp {
            device = stamp.dev;
            break;
        }
        here = place.parent.as_deref();
    }
    (source.dev, source.ino, device)
}
