//! Hard links: the names of one inode of the source become the names of one inode of the replica, and of nothing else.
//!
//! A name whose evidence holds needs no look, for a link made or removed changes the ctime of its inode. All others wait
//! until the folders in scope have been seen, and are then joined group by group. Nothing is ever written through a name
//! of the replica that may have another one outside: it gets an inode of its own.

use std::collections::VecDeque;
use std::sync::atomic::Ordering;

use alike_model::compare::{Finding, Verdict};
use alike_model::dirty::Dirty;
use alike_model::entry::{Kind, Stamp, Time};
use alike_model::known::Known;
use alike_model::links::{LinkedName, ReplicaInode, SourceInode, group};
use alike_model::path::{Name, RelPath};
use alike_model::plan::{Linked, Step, Verb};
use alike_model::reason::Reason;
use alike_storage::{Error, Replica, Result, Source};

use crate::crew;
use crate::hands::{Done, Hands};
use crate::pass::Run;
use crate::place::{Here, Place};
use crate::visit::is_racy;
use crate::waiting::{At, Task};

/// A name whose inode on the replica is that of its group.
pub(crate) struct Anchor<S: Source, R: Replica> {
    place: Here<S, R>,
    name: Name,
    source: Stamp,
    /// `None` in a rehearsal, when it would be made.
    replica: Option<Stamp>,
    /// Both sides are equal, so the index may say so.
    is_equal: bool,
}

impl<S: Source, R: Replica> Clone for Anchor<S, R> {
    fn clone(&self) -> Self {
        Self { place: Here::clone(&self.place), name: self.name.clone(), ..*self }
    }
}

/// How many of its names were seen of an inode of the replica when folders were listed, and how many it had. What the pass
/// does later changes neither, so the two can be compared at any time.
#[derive(Clone, Copy, Default)]
pub(crate) struct NamesSeen {
    names: u32,
    nlink: u32,
}

impl NamesSeen {
    fn count(&mut self, stamp: &Stamp) {
        self.names += 1;
        // It shrinks when a move of this pass takes the place of a name before that has been listed.
        self.nlink = self.nlink.max(stamp.nlink);
    }
}

/// The names of one inode of the source that are to be joined.
struct Joining<S: Source, R: Replica> {
    source: SourceInode,
    members: VecDeque<At<S, R, Linked>>,
    /// The first has the inode that stays.
    keeps_first: bool,
}

/// What became of the first name of a group.
enum Led<S: Source, R: Replica> {
    By(Box<Anchor<S, R>>),
    /// It failed, but another may do.
    Another,
    /// It failed, or is left to a full pass, and so is the group.
    Not,
}

impl<S: Source, R: Replica, H: Hands<S, R>> Run<'_, S, R, H> {
    /// Notes what a folder tells about inodes with several names. `whole`: it is listed for the first time.
    pub(crate) fn note_links(&self, place: &Here<S, R>, findings: &[Finding], whole: bool) {
        let has_several = |stamp: &&Stamp| stamp.nlink > 1 && stamp.kind != Kind::Folder;
        for finding in findings {
            // A name that is left alone is somebody else's.
            if matches!(finding.verdict, Verdict::Excluded | Verdict::ExcludedGoes) {
                continue;
            }
            let path = || place.path().join(&finding.name);
            let sides = [&finding.source, &finding.replica];
            let is_first = || self.wait_for(|waiting| waiting.counted.insert(path()));
            if !sides.into_iter().flatten().any(|stamp| has_several(&stamp))
                || !(if self.full { whole } else { is_first() })
            {
                continue;
            }
            if let (Some(siblings), Some(source)) = (self.work.siblings, finding.source.filter(|_| self.full))
            {
                siblings.note(&source, path());
            }
            if let Some(replica) = finding.replica.as_ref().filter(has_several) {
                self.wait_for(|waiting| waiting.names_seen.entry(inode(replica)).or_default().count(replica));
            }
            if let (Verdict::Same { proven: true }, Some(source)) =
                (&finding.verdict, finding.source.filter(|source| has_several(&source)))
            {
                let (place, name, replica) = (Here::clone(place), finding.name.clone(), finding.replica);
                let key = source_inode(&source, &place);
                let anchor = || Anchor { place, name, source, replica, is_equal: true };
                self.wait_for(|waiting| {
                    waiting.anchors.entry(key).or_insert_with(anchor);
                });
            }
        }
    }

    /// Takes a step that makes an entry in place of a folder, or leaves it to be joined with its other names.
    pub(crate) fn take_or_join(&self, place: &Here<S, R>, step: &Step) {
        match step.verb.source() {
            Some(source) if source.nlink > 1 => {
                let (name, source) = (step.name.clone(), *source);
                let (replica, known, verdict) = (None, None, Verdict::Missing);
                let finding = Finding { name, source: Some(source), replica, known, verdict };
                self.wait_for(|waiting| waiting.linked.push((place.retain(), Linked { finding, source })));
            }
            _ => self.take(place, step, (self.work.clock)()),
        }
    }

    /// In a pass that looks at a part only: the other names of what waits to be joined are looked at too.
    pub(crate) fn summon_siblings(&self) -> Vec<Task<S, R>> {
        let Some(siblings) = self.work.siblings.filter(|_| !self.full) else { return Vec::new() };
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

    /// Joins the names that wait for it.
    pub(crate) fn join_links(&self) {
        let mut linked = self.wait_for(|waiting| std::mem::take(&mut waiting.linked));
        if self.work.stop.is_set() {
            linked.into_iter().for_each(|(place, _)| self.release(place));
            return;
        }
        if linked.is_empty() {
            return;
        }
        linked.sort_by_cached_key(|(place, linked)| place.path().join(&linked.finding.name));
        self.count_what_goes(&linked);
        let names: Vec<LinkedName> =
            linked.iter().map(|(place, linked)| self.linked_name(place, linked)).collect();
        let anchored = self.wait_for(|waiting| {
            let inodes = waiting.anchors.iter();
            inodes.filter_map(|(source, anchor)| Some((inode(anchor.replica.as_ref()?), *source))).collect()
        });
        let groups = group(&names, &anchored);
        let mut linked: Vec<Option<At<S, R, Linked>>> = linked.into_iter().map(Some).collect();
        let groups = groups.into_iter().map(|group| {
            let first = group.keeps.into_iter();
            let others = group.members.iter().copied().filter(|at| Some(*at) != group.keeps);
            let members = first.chain(others).filter_map(|at| linked[at].take()).collect();
            Joining { source: group.source, members, keeps_first: group.keeps.is_some() }
        });
        let groups = groups.collect();
        crew::run(self.work.threads, groups, |group, _| self.join(group));
    }

    fn linked_name(&self, place: &Here<S, R>, Linked { finding, source }: &Linked) -> LinkedName {
        let differs = matches!(finding.verdict, Verdict::Differs(_) | Verdict::OtherKind);
        let known = finding.known.is_some_and(|known| {
            known.source.identity == source.identity()
                && finding.replica.is_some_and(|replica| replica.ino == known.replica.ino)
        });
        // In a part of the tree, others may have it whose names are not seen.
        let may_stay = finding.replica.filter(|replica| {
            !differs && self.is_ours(finding) && (self.full || known || self.is_counted(replica))
        });
        LinkedName { source: source_inode(source, place), replica: may_stay.as_ref().map(inode), known }
    }

    /// True when the replica's inode has no name outside: writing to it changes nothing of others.
    fn is_ours(&self, finding: &Finding) -> bool {
        let Some(replica) = &finding.replica else { return false };
        // Proven means that this was seen, and no link was made since.
        finding.known.is_some_and(|known| known.holds_for_replica(replica)) || self.is_counted(replica)
    }

    /// True when all names of an inode have been seen.
    fn is_counted(&self, replica: &Stamp) -> bool {
        let seen = self.wait_for(|waiting| waiting.names_seen.get(&inode(replica)).copied());
        replica.nlink == 1 || seen.is_some_and(|seen| seen.names == seen.nlink)
    }

    /// Counts the names in folders that are to be deleted, when names are missing in the count.
    fn count_what_goes(&self, linked: &[At<S, R, Linked>]) {
        let is_short = |(_, linked): &At<S, R, Linked>| {
            linked.finding.replica.is_some() && !self.is_ours(&linked.finding)
        };
        if !self.full || !linked.iter().any(is_short) {
            return;
        }
        let (from, to) = self.wait_for(|waiting| {
            (std::mem::replace(&mut waiting.removals_counted, waiting.removals.len()), waiting.removals.len())
        });
        for (place, removal) in (from..to).filter_map(|at| self.peek(at)) {
            if removal.replica.kind == Kind::Folder {
                // What cannot be counted counts as outside, which costs a copy.
                let _ = self.walk(&place, &removal, false, &mut |_, _, step: Step| {
                    if let Some(replica) = step.verb.replaces().filter(|replica| replica.nlink > 1) {
                        self.wait_for(|waiting| {
                            waiting.names_seen.entry(inode(replica)).or_default().count(replica);
                        });
                    }
                    Ok(true)
                });
            }
        }
    }

    fn join(&self, mut group: Joining<S, R>) {
        let now = (self.work.clock)();
        let mut anchor = self.wait_for(|waiting| waiting.anchors.get(&group.source).cloned());
        let mut joined = Vec::new();
        let mut keeps = group.keeps_first;
        while anchor.is_none()
            && let Some((place, linked)) = group.members.pop_front()
        {
            let led = self.lead(&place, &linked, keeps);
            keeps = false;
            match led {
                Led::By(found) => {
                    anchor = Some(*found);
                    joined.push((place, linked.finding.name));
                }
                Led::Another => self.release(place),
                Led::Not => {
                    self.release(place);
                    self.linked.fetch_or(!self.full, Ordering::Relaxed);
                    for (place, linked) in group.members.drain(..) {
                        // They wait for the first, which is looked at again, or reported, like them.
                        if self.full {
                            self.again(&place, &linked.finding.name, Error::Changed);
                        }
                        self.release(place);
                    }
                }
            }
        }
        if let Some(anchor) = &anchor {
            for (place, linked) in group.members {
                match self.follow(anchor, &place, &linked) {
                    Ok(()) => joined.push((place, linked.finding.name)),
                    Err(error) => {
                        self.again(&place, &linked.finding.name, error);
                        self.release(place);
                    }
                }
            }
            self.learn_links(group.source, anchor, &joined, now);
        }
        joined.into_iter().for_each(|(place, _)| self.release(place));
    }

    /// Makes the first name of a group as it should be. `keeps`: its inode stays, unless its contents differ.
    fn lead(&self, place: &Here<S, R>, linked: &Linked, keeps: bool) -> Led<S, R> {
        let mut finding = linked.finding.clone();
        match self.look_anew(place, &finding) {
            Ok(replica) => finding.replica = replica,
            Err(error) => {
                self.again(place, &finding.name, error);
                return if keeps { Led::Not } else { Led::Another };
            }
        }
        if finding.replica.is_some() && (keeps || !self.full) {
            finding = self.settle(place, finding);
        }
        let source = linked.source;
        if finding.replica.is_none() && self.is_elsewhere(&source) {
            return Led::Not;
        }
        let (verb, reason) = match (finding.verdict, finding.replica) {
            (Verdict::Missing, _) | (_, None) => (Verb::Create { source }, Reason::New),
            (Verdict::OtherKind, Some(replica)) => {
                (Verb::Update { source, replica }, Reason::Kind(replica.kind, source.kind))
            }
            (Verdict::Differs(reason), Some(replica)) => (Verb::Update { source, replica }, reason),
            (Verdict::Same { .. }, replica) if keeps => {
                return Led::By(Box::new(self.anchor(place, linked, replica, true)));
            }
            (Verdict::Meta(diff), Some(replica)) if keeps => {
                (Verb::Meta { source, replica }, Reason::Attrs(diff))
            }
            // It could not be looked at, or whose it is only a full pass can tell.
            _ if keeps || !(self.full || was_another(&linked.finding)) => return Led::Not,
            (_, Some(replica)) => (Verb::Update { source, replica }, Reason::LinkedElsewhere),
        };
        let is_meta = matches!(verb, Verb::Meta { .. });
        let step = Step { name: linked.finding.name.clone(), verb, reason };
        let done = self.timed(place, &step, |step| self.hands.take(place, step), |done: &Done| done.bytes);
        match done {
            Ok(Done { replica, lacks, .. }) => {
                place.draft(|draft| draft.touched |= !is_meta);
                let is_equal = lacks.is_none();
                lacks.into_iter().for_each(|lack| self.fail(place.path().join(&step.name), lack.to_string()));
                let replica = replica.or(finding.replica.filter(|_| is_meta));
                Led::By(Box::new(self.anchor(place, linked, replica, is_equal)))
            }
            Err(error) if error.is_attribute() => {
                self.fail(place.path().join(&step.name), error.to_string());
                Led::By(Box::new(self.anchor(place, linked, finding.replica, false)))
            }
            Err(error) => {
                self.again(place, &step.name, error);
                if keeps { Led::Not } else { Led::Another }
            }
        }
    }

    /// How a name of the replica looks now, if it is still the same inode: what was done to its other names has changed its
    /// ctime meanwhile.
    fn look_anew(&self, place: &Here<S, R>, finding: &Finding) -> Result<Option<Stamp>> {
        let Some(seen) = finding.replica.filter(|seen| seen.nlink > 1) else { return Ok(finding.replica) };
        let now = self.hands.look_anew(place, &finding.name, &seen)?.ok_or(Error::Changed)?;
        if now.identity() == seen.identity() && now.size == seen.size {
            Ok(Some(now))
        } else {
            Err(Error::Changed)
        }
    }

    /// A file that was renamed, and has other names on either side.
    pub(crate) fn moved_link(&self, place: &Here<S, R>, finding: Finding, source: Stamp) {
        place.touch();
        self.wait_for(|waiting| waiting.linked.push((place.retain(), Linked { finding, source })));
    }

    /// True when a name is most likely one more of something that is on the replica already, where this pass does not look:
    /// copied now, it would be copied for nothing. What is new is not left to wait.
    fn is_elsewhere(&self, source: &Stamp) -> bool {
        const NEW_MILLIS: u32 = 10_000;
        let now = (self.work.clock)();
        let is_old = source.btime.is_some_and(|born| born.plus_millis(NEW_MILLIS) < now);
        !self.full && source.nlink > 1 && is_old && self.indexed.is_some()
    }

    fn anchor(
        &self,
        place: &Here<S, R>,
        linked: &Linked,
        replica: Option<Stamp>,
        is_equal: bool,
    ) -> Anchor<S, R> {
        let (place, name) = (Here::clone(place), linked.finding.name.clone());
        Anchor { place, name, source: linked.source, replica, is_equal }
    }

    /// Makes a name one of the anchor's inode, unless it is already.
    fn follow(&self, anchor: &Anchor<S, R>, place: &Here<S, R>, linked: &Linked) -> Result<()> {
        // What was compared, or copied, must be what was seen under this name.
        if !linked.source.is_untouched_since(&anchor.source) {
            return Err(Error::Changed);
        }
        let there = self.look_anew(place, &linked.finding)?;
        if there.is_some() && there.as_ref().map(inode) == anchor.replica.as_ref().map(inode) {
            return Ok(());
        }
        let to = anchor.path();
        let reason = Reason::LinkTo(to.clone());
        let verb = Verb::Link { source: linked.source, replaces: there, to };
        let step = Step { name: linked.finding.name.clone(), verb, reason };
        // A rehearsal has nothing to expect, and expects nothing.
        let expected = anchor.replica.as_ref().unwrap_or(&anchor.source);
        let from = (&*anchor.place, &anchor.name);
        self.timed(place, &step, |step| self.hands.link(from, expected, place, step), |_| None)?;
        place.touch();
        Ok(())
    }

    /// Writes down that these names are joined, with the stamp that their inode has after the last link.
    fn learn_links(&self, source: SourceInode, anchor: &Anchor<S, R>, joined: &[At<S, R, Name>], now: Time) {
        let replica = anchor.place.replica(self.work.replica).ok();
        let replica = replica.and_then(|folder| self.work.replica.look(&folder, &anchor.name).ok().flatten());
        let is_it = |replica: &Stamp| anchor.replica.as_ref().map(inode) == Some(inode(replica));
        let replica = replica.filter(is_it);
        // What is half known must not count as proven.
        let all =
            |replica: &Stamp| joined.len() as u32 == replica.nlink && replica.nlink == anchor.source.nlink;
        let is_whole = self.full || replica.as_ref().is_some_and(all);
        self.linked.fetch_or(!is_whole, Ordering::Relaxed);
        if let Some(siblings) = self.work.siblings {
            joined.iter().for_each(|(place, name)| siblings.note(&anchor.source, place.path().join(name)));
        }
        if let (Some(replica), true) = (&replica, is_whole && anchor.is_equal) {
            for (place, name) in joined {
                let racy = is_racy(&anchor.source, now);
                place.learn(name, Some(Known::equal(&anchor.source, racy, replica, None)));
            }
        }
        let anchor = Anchor { replica: replica.or(anchor.replica), ..anchor.clone() };
        self.wait_for(|waiting| waiting.anchors.insert(source, anchor));
    }
}

impl<S: Source, R: Replica> Anchor<S, R> {
    fn path(&self) -> RelPath {
        self.place.path().join(&self.name)
    }
}

/// The index knows the replica's as that of another inode of the source.
fn was_another(finding: &Finding) -> bool {
    let identity = finding.source.map(|source| source.identity());
    finding.known.is_some_and(|known| Some(known.source.identity) != identity)
}

fn inode(stamp: &Stamp) -> ReplicaInode {
    (stamp.dev, stamp.ino)
}

fn source_inode<S: Source, R: Replica>(source: &Stamp, place: &Place<S, R>) -> SourceInode {
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
