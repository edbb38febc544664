//! Hard links: the names of one inode of the source become the names of one inode of the replica, and of nothing else.
//!
//! A name whose evidence holds needs no look, for a link made or removed changes the ctime of its inode. All others wait
//! until the folders in scope have been seen, and are then joined group by group. Nothing is ever written through a name
//! of the replica that may have another one outside: it gets an inode of its own.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::atomic::Ordering;
use std::time::Instant;

use alike_model::compare::{Finding, Verdict};
use alike_model::entry::{Kind, Stamp, Time};
use alike_model::event::Action;
use alike_model::known::Known;
use alike_model::links::{Group, LinkedName, ReplicaInode, SourceInode, group};
use alike_model::path::{Name, RelPath};
use alike_model::plan::{Linked, Step, Verb};
use alike_model::reason::Reason;
use alike_storage::{Error, Replica, Result, Source};

use crate::crew;
use crate::hands::{Done, Hands};
use crate::monitor::Event;
use crate::names::{inode, source_inode};
use crate::pass::Run;
use crate::place::Here;
use crate::waiting::At;

/// A name whose inode on the replica is that of its group.
pub(crate) struct Anchor<S: Source, R: Replica> {
    pub(crate) place: Here<S, R>,
    pub(crate) name: Name,
    pub(crate) source: Stamp,
    /// `None` in a rehearsal, when it would be made.
    pub(crate) replica: Option<Stamp>,
    /// Both sides are equal, so the index may say so.
    pub(crate) is_equal: bool,
    /// The target could not make it one with the others, so these are not measured by it.
    pub(crate) is_alone: bool,
}

impl<S: Source, R: Replica> Clone for Anchor<S, R> {
    fn clone(&self) -> Self {
        Self { place: Here::clone(&self.place), name: self.name.clone(), ..*self }
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
    /// Takes a step that makes an entry in place of a folder, or leaves it to be joined with its other names.
    pub(crate) fn take_or_join(&self, place: &Here<S, R>, step: &Step) {
        match step.verb.source() {
            Some(source) if source.nlink > 1 => {
                let (name, source) = (step.name.clone(), *source);
                let (replica, known, verdict) = (None, None, Verdict::Missing);
                self.put_aside(
                    place,
                    Finding { name, source: Some(source), replica, known, verdict },
                    source,
                );
            }
            _ => self.take(place, step, (self.work.clock)()),
        }
    }

    /// Joins the names that wait for it.
    pub(crate) fn join_links(&self) {
        let mut linked = self.wait_for(|waiting| std::mem::take(&mut waiting.linked));
        self.add_parted(&mut linked);
        if self.work.stop.is_set() {
            linked.into_iter().for_each(|(place, _)| self.release(place));
            return;
        }
        if linked.is_empty() {
            return;
        }
        linked.sort_by_cached_key(|(place, linked)| place.path().join(&linked.finding.name));
        let is_short = |(_, linked): &At<S, R, Linked>| {
            linked.finding.replica.is_some_and(|replica| !self.is_counted(&replica))
        };
        if self.full && linked.iter().any(is_short) {
            self.count_what_goes();
        }
        let names: Vec<LinkedName> =
            linked.iter().map(|(place, linked)| self.linked_name(place, linked)).collect();
        let anchored = self.wait_for(|waiting| {
            let inodes = waiting.anchors.iter();
            inodes.filter_map(|(source, anchor)| Some((inode(anchor.replica.as_ref()?), *source))).collect()
        });
        let groups = group(&names, &anchored);
        let mut linked: Vec<Option<At<S, R, Linked>>> = linked.into_iter().map(Some).collect();
        let inodes: Vec<Option<ReplicaInode>> =
            linked.iter().flatten().map(|(_, linked)| linked.finding.replica.as_ref().map(inode)).collect();
        self.note_staying();
        for at in groups.iter().filter_map(|group| group.keeps) {
            if let Some((place, linked)) = &linked[at]
                && let Some(replica) = &linked.finding.replica
            {
                self.hands.note_staying(replica, place.path().join(&linked.finding.name));
            }
        }
        let shared = shared_inodes(&groups, &inodes);
        let (mut one_by_one, mut bundles) = (Vec::new(), Vec::new());
        for group in groups {
            let is_shared =
                group.members.iter().any(|at| inodes[*at].is_some_and(|inode| shared.contains(&inode)));
            let first = group.keeps.into_iter();
            let others = group.members.iter().copied().filter(|at| Some(*at) != group.keeps);
            let members = first.chain(others).filter_map(|at| linked[at].take()).collect();
            let joining = Joining { source: group.source, members, keeps_first: group.keeps.is_some() };
            match is_shared {
                true => one_by_one.push(joining),
                false => bundles.push(vec![joining]),
            }
        }
        // Each name that is taken off an inode moves its ctime under all others: groups that share one are joined one by
        // one, those first that leave it.
        one_by_one.sort_by_key(|joining| joining.keeps_first);
        bundles.push(one_by_one);
        crew::run(self.work.threads, bundles, |bundle, _| {
            bundle.into_iter().for_each(|group| self.join(group))
        });
    }

    fn linked_name(&self, place: &Here<S, R>, Linked { finding, source }: &Linked) -> LinkedName {
        let differs = matches!(finding.verdict, Verdict::Differs(_) | Verdict::OtherKind);
        let known = finding.known.is_some_and(|known| {
            known.source.identity == source.identity()
                && finding.replica.is_some_and(|replica| replica.ino == known.replica.ino)
        });
        let may_stay = finding.replica.filter(|replica| !differs && self.is_counted(replica));
        LinkedName { source: source_inode(source, place), replica: may_stay.as_ref().map(inode), known }
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
                    Ok(_) => joined.push((place, linked.finding.name)),
                    Err(error) if error.forbids_links() => {
                        self.stand_alone(&place, &linked, now);
                        self.release(place);
                    }
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
            (Verdict::Hold(reason), _) => {
                let path = place.path().join(&finding.name);
                self.tell(Event::about(self.number, Action::Hold, path, reason.to_string()));
                return Led::Not;
            }
            (Verdict::Missing, _) | (_, None) => (Verb::Create { source }, Reason::New),
            (Verdict::OtherKind, Some(replica)) => {
                (Verb::Update { source, replica }, Reason::Kind(replica.kind, source.kind))
            }
            (Verdict::Differs(reason), Some(replica)) => (Verb::Update { source, replica }, reason),
            (Verdict::Same { .. }, replica) if keeps => {
                return Led::By(Box::new(self.anchor(place, linked, replica, true)));
            }
            (Verdict::Meta(diff), Some(replica)) if keeps => {
                (Verb::Meta { source, replica }, Reason::Attrs(Box::new(diff)))
            }
            // It could not be looked at, or whose it is only a full pass can tell.
            _ if keeps || !(self.full || was_another(&linked.finding)) => return Led::Not,
            (_, Some(replica)) => (Verb::Update { source, replica }, Reason::LinkedElsewhere),
        };
        let is_meta = matches!(verb, Verb::Meta { .. });
        let step = Step { name: linked.finding.name.clone(), verb, reason };
        match self.copied(place, &step) {
            Ok(mut done) => {
                place.draft(|draft| draft.touched |= !is_meta);
                let lack = done.lacks.take().map(|lack| lack.to_string());
                let lack = lack.or_else(|| self.unkept(&step, &done));
                let (is_equal, replica) = (lack.is_none() && !done.is_best_effort, done.replica);
                lack.into_iter().for_each(|lack| self.fail(place.path().join(&step.name), lack));
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

    /// Makes a name a file of its own, for the target cannot make it one more of another.
    fn stand_alone(&self, place: &Here<S, R>, linked: &Linked, now: Time) {
        if !self.wait_for(|waiting| std::mem::replace(&mut waiting.links_forbidden, true)) {
            self.work
                .monitor
                .note("this target cannot hold: hard links, or not so many of one file; they are copied");
        }
        let keeps = linked.finding.replica.as_ref().is_some_and(|replica| self.is_counted(replica));
        if let Led::By(anchor) = self.lead(place, linked, keeps)
            && let (Some(replica), true) = (&anchor.replica, anchor.is_equal)
        {
            let known = Known::equal(&linked.source, self.is_racy(&linked.source, now), replica, None);
            place.learn(&linked.finding.name, Some(known.standing_alone()));
        }
    }

    /// How a name of the replica looks now, if it is still the same inode: what was done to its other names has changed its
    /// ctime meanwhile.
    fn look_anew(&self, place: &Here<S, R>, finding: &Finding) -> Result<Option<Stamp>> {
        // The links of a folder are no names, and its time moves with what this pass takes out of it.
        let is_linked = |seen: &Stamp| seen.kind != Kind::Folder && seen.nlink > 1;
        let Some(seen) = finding.replica.filter(is_linked) else { return Ok(finding.replica) };
        let now = self.look_there(place, &finding.name)?.ok_or(Error::Changed)?;
        if now.identity() == seen.identity() && now.size == seen.size && now.mtime == seen.mtime {
            Ok(Some(now))
        } else {
            Err(Error::Changed)
        }
    }

    fn look_there(&self, place: &Here<S, R>, name: &Name) -> Result<Option<Stamp>> {
        self.work.replica.look(&*place.replica(self.work.replica)?, name)
    }

    /// Puts one more name of a file that stands on the replica in the place of `old`. Tells where that is kept; `None` when
    /// no such file does, or it can have no more names.
    pub(crate) fn link_over(
        &self,
        place: &Here<S, R>,
        step: &Step,
        old: &Stamp,
    ) -> Result<Option<Option<String>>> {
        let Some(source) = step.verb.source() else { return Ok(None) };
        let group = source_inode(source, place);
        let Some(anchor) = self.wait_for(|waiting| waiting.anchors.get(&group).cloned()) else {
            return Ok(None);
        };
        let (name, source, replica) = (step.name.clone(), *source, Some(*old));
        let finding =
            Finding { name, source: Some(source), replica, known: None, verdict: Verdict::OtherKind };
        match self.follow(&anchor, place, &Linked { finding, source }) {
            Ok(kept) => {
                let joined = [(Here::clone(place), step.name.clone())];
                self.learn_links(group, &anchor, &joined, (self.work.clock)());
                Ok(Some(kept))
            }
            Err(error) if error.forbids_links() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What came of a step makes the first name of its group: others are to follow it.
    pub(crate) fn lead_others(&self, place: &Here<S, R>, step: &Step, source: &Stamp, done: Done, now: Time) {
        let is_equal = done.lacks.is_none() && !done.is_best_effort && self.unkept(step, &done).is_none();
        let name = step.name.clone();
        let (replica, is_alone) = (done.replica, false);
        let anchor = Anchor { place: Here::clone(place), name, source: *source, replica, is_equal, is_alone };
        self.took(place, step, Ok(done), now);
        self.wait_for(|waiting| waiting.anchors.insert(source_inode(source, place), anchor));
    }

    /// Keeps a name for when all others have been seen.
    pub(crate) fn put_aside(&self, place: &Here<S, R>, finding: Finding, source: Stamp) {
        self.wait_for(|waiting| waiting.linked.push((place.retain(), Linked { finding, source })));
    }

    /// True when a name is most likely one more of something that is on the replica already, where this pass does not look:
    /// copied now, it would be copied for nothing. What is new is not left to wait.
    pub(crate) fn is_elsewhere(&self, source: &Stamp) -> bool {
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
        Anchor { place, name, source: linked.source, replica, is_equal, is_alone: false }
    }

    /// Makes a name one of the anchor's inode, unless it is already. Tells where is kept what was there.
    fn follow(&self, anchor: &Anchor<S, R>, place: &Here<S, R>, linked: &Linked) -> Result<Option<String>> {
        // What was compared, or copied, must be what was seen under this name.
        if !linked.source.is_untouched_since(&anchor.source) {
            return Err(Error::Changed);
        }
        let there = self.look_anew(place, &linked.finding)?;
        if there.is_some() && there.as_ref().map(inode) == anchor.replica.as_ref().map(inode) {
            return Ok(None);
        }
        let to = anchor.path();
        let reason = Reason::LinkTo(to.clone());
        let verb = Verb::Link { source: linked.source, replaces: there, to };
        let step = Step { name: linked.finding.name.clone(), verb, reason };
        // A rehearsal has nothing to expect, and expects nothing.
        let expected = anchor.replica.as_ref().unwrap_or(&anchor.source);
        let from = (&*anchor.place, &anchor.name);
        let try_it = |step: &Step| self.hands.link(from, expected, place, step);
        let link = |step: &Step| match try_it(step) {
            // A single refusal says nothing of what the target can hold: names are given up for good by the second.
            Err(error) if error.is_across() => self.try_at_rest(&anchor.place, place, || try_it(step)),
            Err(error) if error.forbids_links() => try_it(step),
            other => other,
        };
        let done = self.timed(place, &step, Instant::now(), link, Done::came_to)?;
        place.touch();
        Ok(done.kept)
    }

    /// Writes down that these names are joined, with the stamp that their inode has after the last link.
    fn learn_links(&self, source: SourceInode, anchor: &Anchor<S, R>, joined: &[At<S, R, Name>], now: Time) {
        let look = |_: &Stamp| self.look_there(&anchor.place, &anchor.name).ok().flatten();
        let replica = anchor.replica.as_ref().and_then(look);
        let is_it = |now: &Stamp| anchor.replica.as_ref().is_some_and(|then| now.is_same_but_for_links(then));
        let replica = replica.filter(is_it);
        if let (None, Some(_)) = (&replica, &anchor.replica) {
            // Somebody else has touched it since it was compared.
            return joined.iter().for_each(|(place, name)| self.again(place, name, Error::Changed));
        }
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
                let racy = self.is_racy(&anchor.source, now);
                place.learn(name, Some(Known::equal(&anchor.source, racy, replica, None)));
            }
        }
        let anchor = Anchor { replica: replica.or(anchor.replica), ..anchor.clone() };
        self.wait_for(|waiting| waiting.anchors.insert(source, anchor));
    }
}

impl<S: Source, R: Replica> Anchor<S, R> {
    pub(crate) fn path(&self) -> RelPath {
        self.place.path().join(&self.name)
    }
}

/// The inodes of the replica under names of more than one group.
fn shared_inodes(groups: &[Group], inodes: &[Option<ReplicaInode>]) -> HashSet<ReplicaInode> {
    let mut first: HashMap<ReplicaInode, SourceInode> = HashMap::new();
    let all = groups.iter().flat_map(|group| group.members.iter().map(|at| (group.source, inodes[*at])));
    let all = all.filter_map(|(source, inode)| Some((source, inode?)));
    all.filter(|(source, inode)| first.entry(*inode).or_insert(*source) != source)
        .map(|(_, inode)| inode)
        .collect()
}

/// The index knows the replica's as that of another inode of the source.
fn was_another(finding: &Finding) -> bool {
    let identity = finding.source.map(|source| source.identity());
    finding.known.is_some_and(|known| Some(known.source.identity) != identity)
}
