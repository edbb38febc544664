//! Turns the findings of one folder into steps, and says which may be taken at once and which must wait.
//!
//! What must wait: whatever deletes (judged as a whole at the end of the pass) and whatever may turn out to be a move
//! (its old name may be found gone only later).

use crate::compare::{Finding, Verdict};
use crate::entry::{Kind, Stamp, Time, Unreadable};
use crate::event::Action;
use crate::known::{FolderId, Known};
use crate::path::{Name, RelPath};
use crate::policy::{Deletes, Policy};
use crate::reason::{AttrsDiff, Reason};
use crate::xattrs::XattrsDiff;

/// One thing to do in a folder of the replica. It carries what it expects to find there, and why it is done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The name, in the folder that the plan is for.
    pub name: Name,
    /// What to do.
    pub verb: Verb,
    /// Why.
    pub reason: Reason,
}

/// What to do; the same words as the replica's verbs and the log's actions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Make an entry (no folder) that the replica lacks.
    Create {
        /// How it looks in the source.
        source: Stamp,
    },
    /// Replace an entry (no folder) by the source's.
    Update {
        /// How it looks in the source.
        source: Stamp,
        /// How it looks on the replica.
        replica: Stamp,
    },
    /// Set attributes, leaving contents alone.
    Meta {
        /// How it looks in the source.
        source: Stamp,
        /// How it looks on the replica.
        replica: Stamp,
    },
    /// Make a folder, in place of an entry that is none if one stands there.
    Mkdir {
        /// How it looks in the source.
        source: Stamp,
        /// What it takes the place of.
        replaces: Option<Stamp>,
    },
    /// Make the name one more name of the replica's inode at another.
    Link {
        /// How it looks in the source.
        source: Stamp,
        /// What it takes the place of.
        replaces: Option<Stamp>,
        /// The other path.
        to: RelPath,
    },
    /// Give what stands under another name this one.
    Rename {
        /// How it looks in the source.
        source: Stamp,
        /// How it looks on the replica, under the old name.
        replica: Stamp,
        /// What it takes the place of.
        replaces: Option<Stamp>,
        /// The old path.
        from: RelPath,
    },
    /// Remove an entry that is no folder.
    Delete {
        /// How it looks on the replica.
        replica: Stamp,
    },
    /// Remove a folder, empty by then.
    Rmdir {
        /// How it looks on the replica.
        replica: Stamp,
    },
}

/// A folder that both sides have or will have, to be compared in turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descent {
    /// Its name.
    pub name: Name,
    /// How it looks in the source.
    pub source: Stamp,
    /// Device and inode of the replica's.
    pub replica: Option<(u64, u64)>,
    /// What the index knows of it, when it is still the same folder.
    pub known: Option<FolderId>,
}

/// An entry of the source whose inode is new under this name, and may have moved here from another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrival {
    /// Its name.
    pub name: Name,
    /// How it looks in the source.
    pub source: Stamp,
    /// What the replica has under that name.
    pub occupied: Option<Stamp>,
}

/// An entry of the replica whose name the source has given to another inode: where it moved, if it did, is not known yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Displaced {
    /// The name it has on the replica.
    pub name: Name,
    /// What the index knows of it.
    pub known: Known,
}

/// A name of an inode that has several, on either side, and may be linked wrongly. Which belongs to which is seen when all
/// folders in scope have been; see [`crate::links`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Linked {
    /// What is true of the name; a doubt is not settled yet.
    pub finding: Finding,
    /// How it looks in the source.
    pub source: Stamp,
}

/// An entry of the replica that is to go when the whole plan has been judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removal {
    /// Its name.
    pub name: Name,
    /// How it looks on the replica.
    pub replica: Stamp,
    /// What the index knows of it: how a move is recognised.
    pub known: Option<Known>,
    /// Why it goes.
    pub reason: Reason,
    /// What is made in its place once it is gone.
    pub then: Option<Box<Step>>,
}

/// What a folder comes to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FolderPlan {
    /// Steps that may be taken at once, in name order.
    pub now: Vec<Step>,
    /// What may turn out to have moved here; planned when that is known.
    pub arrivals: Vec<Arrival>,
    /// What may turn out to have moved away.
    pub displaced: Vec<Displaced>,
    /// Names of inodes with several, to be joined or parted when all have been seen.
    pub linked: Vec<Linked>,
    /// Deletions, to be judged as a whole.
    pub removals: Vec<Removal>,
    /// Folders on both sides.
    pub descents: Vec<Descent>,
    /// Names proven equal of which the index does not hold that yet.
    pub learn: Vec<(Name, Stamp, Stamp)>,
    /// Names that the index may forget.
    pub forget: Vec<Name>,
    /// Left alone though the replica differs, with the reason.
    pub skips: Vec<(Name, Reason)>,
    /// Deletions not even proposed, and what must not be copied, with the reason.
    pub holds: Vec<(Name, Reason)>,
    /// Entries that exist but could not be looked at.
    pub unreadable: Vec<(Name, Unreadable)>,
    /// Entries of the source, folders included.
    pub entries: u64,
    /// Of these, the ones that are no folders.
    pub files: u64,
    /// Entries of the replica, folders included.
    pub replica_entries: u64,
}

/// What planning needs to know beside the findings.
#[derive(Clone, Copy)]
pub struct Horizon<'a> {
    /// Once all folders have been seen: tells whether an inode of the source is gone from an old name. `None`: not yet
    /// known.
    pub departed: Option<&'a dyn Fn(&Stamp) -> bool>,
    /// The last moment at which the index took anything in: what was born later cannot be a moved acquaintance.
    /// `None`: the index is empty, nothing can have moved.
    pub indexed: Option<Time>,
    /// The filters are not those under which the index row was written.
    pub filter_changed: bool,
    /// Whether a name, of a folder if so it is said, was left out by what the replica has of older filters.
    pub was_left_out: &'a dyn Fn(&Name, bool) -> bool,
}

impl Horizon<'_> {
    /// What the filters of today leave out, and is to go for that, is no matter of older ones.
    fn may_have_left_out(&self, removal: &Removal) -> bool {
        let is_folder = removal.replica.kind == Kind::Folder;
        removal.reason != Reason::Excluded
            && (self.filter_changed || (self.was_left_out)(&removal.name, is_folder))
    }
}

/// Plans one folder.
#[must_use]
pub fn plan_folder(findings: Vec<Finding>, policy: &Policy, horizon: Horizon<'_>) -> FolderPlan {
    let mut plan = FolderPlan::default();
    for finding in findings {
        if let Some(source) = finding.source.filter(|_| finding.verdict != Verdict::Excluded) {
            plan.entries += 1;
            plan.files += u64::from(source.kind != Kind::Folder);
        }
        plan.replica_entries += u64::from(finding.replica.is_some());
        plan.add(finding, policy, horizon);
    }
    plan
}

impl FolderPlan {
    fn add(&mut self, finding: Finding, policy: &Policy, horizon: Horizon<'_>) {
        if let Some(arrival) = arrival(&finding, horizon) {
            self.arrivals.push(arrival);
            self.displaced.extend(displaced(&finding));
            return;
        }
        if let Some(source) = finding.source.filter(|_| finding.waits_for_links()) {
            self.linked.push(Linked { finding, source });
            return;
        }
        let Finding { name, source, replica, known, verdict } = finding;
        match (verdict, source, replica) {
            (Verdict::Same { proven: false }, Some(source), Some(replica)) => {
                self.learn.push((name, source, replica));
            }
            (Verdict::Folders, Some(source), replica) => self.descend(name, source, replica, known),
            (Verdict::Meta(diff), Some(source), Some(replica)) => {
                let reason = said_of(Reason::Attrs(Box::new(diff)), known, &source, Some(&replica));
                self.now.push(Step { name, verb: Verb::Meta { source, replica }, reason });
            }
            (Verdict::Differs(reason), Some(source), Some(replica)) => {
                let reason = said_of(reason, known, &source, Some(&replica));
                self.now.push(Step { name, verb: Verb::Update { source, replica }, reason });
            }
            (Verdict::Missing, Some(source), _) => {
                let reason = said_of(Reason::New, known, &source, None);
                self.make(name, source, None, reason);
            }
            (Verdict::OtherKind, Some(source), Some(replica)) => {
                self.flip(name, source, replica, known, (policy, horizon));
            }
            (Verdict::Gone, _, Some(replica)) => {
                let removal = Removal { name, replica, known, reason: Reason::Gone, then: None };
                self.remove(removal, policy, horizon);
            }
            (Verdict::ExcludedGoes, _, Some(replica)) => {
                let removal = Removal { name, replica, known, reason: Reason::Excluded, then: None };
                self.remove(removal, policy, horizon);
            }
            (Verdict::Forgotten, ..) => self.forget.push(name),
            // What is excluded is not alike's any more: forgetting it keeps it from being deleted as an old
            // acquaintance when the filter goes again.
            (Verdict::Excluded, ..) if known.is_some() => self.forget.push(name),
            (Verdict::Skip(reason), ..) => self.skips.push((name, reason)),
            (Verdict::Hold(reason), ..) => self.holds.push((name, reason)),
            (Verdict::Unreadable(why), ..) => self.unreadable.push((name, why)),
            // A doubt that could not be settled is looked at again by whoever tried.
            _ => {}
        }
    }

    fn descend(&mut self, name: Name, source: Stamp, replica: Option<Stamp>, known: Option<Known>) {
        // A row stands for a folder, not for a name: another folder of that name starts afresh.
        let known = known.filter(|known| known.source.identity == source.identity());
        let replica = replica.map(|replica| (replica.dev, replica.ino));
        self.descents.push(Descent { name, source, replica, known: known.and_then(|known| known.folder) });
    }

    fn make(&mut self, name: Name, source: Stamp, replaces: Option<Stamp>, reason: Reason) {
        let verb = match (source.kind, replaces) {
            (Kind::Folder, replaces) => Verb::Mkdir { source, replaces },
            (_, None) => Verb::Create { source },
            (_, Some(replica)) => Verb::Update { source, replica },
        };
        self.now.push(Step { name, verb, reason });
    }

    fn flip(
        &mut self,
        name: Name,
        source: Stamp,
        replica: Stamp,
        known: Option<Known>,
        (policy, horizon): (&Policy, Horizon<'_>),
    ) {
        let reason = Reason::Kind(replica.kind, source.kind);
        if replica.kind != Kind::Folder {
            let reason = said_of(reason, known, &source, Some(&replica));
            return self.make(name, source, Some(replica), reason);
        }
        // A folder in the way is a deletion of all it holds, so it waits for the judgement.
        let then = Some(Box::new(Step { name: name.clone(), verb: Verb::Create { source }, reason }));
        let removal = Removal { name, replica, known, reason: Reason::Displaced(source.kind), then };
        self.remove(removal, policy, horizon);
    }

    fn remove(&mut self, removal: Removal, policy: &Policy, horizon: Horizon<'_>) {
        let hold = match policy.deletes {
            Deletes::Never => Some(Reason::DeletesOff),
            Deletes::Within(_) if removal.known.is_none() && horizon.may_have_left_out(&removal) => {
                Some(Reason::FilterChanged)
            }
            Deletes::Within(_) | Deletes::Allowed => None,
        };
        match hold {
            Some(reason) => self.holds.push((removal.name, reason)),
            None => self.removals.push(removal),
        }
    }
}

/// The reason, and that it was the replica that somebody changed, where that is so.
fn said_of(reason: Reason, known: Option<Known>, source: &Stamp, replica: Option<&Stamp>) -> Reason {
    let drifted = known.is_some_and(|known| {
        known.holds_for_source(source) && replica.is_none_or(|replica| !known.holds_for_replica(replica))
    });
    let says_so_itself = matches!(reason, Reason::Rot(_) | Reason::Unsure);
    if drifted && !says_so_itself { Reason::Drift(Box::new(reason)) } else { reason }
}

/// Whether a finding has to wait until it is known what moved.
fn arrival(finding: &Finding, horizon: Horizon<'_>) -> Option<Arrival> {
    let waits = match finding.verdict {
        Verdict::Missing | Verdict::OtherKind | Verdict::Differs(_) | Verdict::Folders => true,
        // A new inode with the old contents: the old one may have moved away, or not.
        Verdict::Same { .. } | Verdict::Meta(_) => displaced(finding).is_some(),
        _ => false,
    };
    let source = finding.source.filter(|_| waits)?;
    let indexed = horizon.indexed?;
    let is_acquaintance = finding.known.is_some_and(|known| known.source.identity == source.identity());
    let may_have_moved = match horizon.departed {
        Some(departed) => !is_acquaintance && departed(&source),
        None if displaced(finding).is_some() => true,
        // Folders of which the index knows nothing are just compared.
        None if finding.verdict == Verdict::Folders => false,
        None => !is_acquaintance && source.btime.is_none_or(|born| born <= indexed),
    };
    may_have_moved.then(|| Arrival { name: finding.name.clone(), source, occupied: finding.replica })
}

/// The replica's entry, when it is an old acquaintance and the source's under that name is another inode.
fn displaced(finding: &Finding) -> Option<Displaced> {
    let (source, replica, known) = (finding.source?, finding.replica?, finding.known?);
    let is = known.source.identity != source.identity()
        && known.kind == replica.kind
        && known.replica.ino == replica.ino;
    is.then(|| Displaced { name: finding.name.clone(), known })
}

impl Verb {
    /// The word for it in the log.
    #[must_use]
    pub fn action(&self) -> Action {
        match self {
            Self::Create { .. } => Action::Create,
            Self::Update { .. } => Action::Update,
            Self::Meta { .. } => Action::Meta,
            Self::Mkdir { .. } => Action::Mkdir,
            Self::Link { .. } => Action::Link,
            Self::Rename { .. } => Action::Rename,
            Self::Delete { .. } => Action::Delete,
            Self::Rmdir { .. } => Action::Rmdir,
        }
    }

    /// How the entry looks in the source; `None` for deletions.
    #[must_use]
    pub fn source(&self) -> Option<&Stamp> {
        match self {
            Self::Create { source }
            | Self::Update { source, .. }
            | Self::Meta { source, .. }
            | Self::Mkdir { source, .. }
            | Self::Link { source, .. }
            | Self::Rename { source, .. } => Some(source),
            Self::Delete { .. } | Self::Rmdir { .. } => None,
        }
    }

    /// What stands on the replica under the step's own name before it is taken.
    #[must_use]
    pub fn replaces(&self) -> Option<&Stamp> {
        match self {
            Self::Create { .. } => None,
            Self::Update { replica, .. } | Self::Meta { replica, .. } => Some(replica),
            Self::Mkdir { replaces, .. } | Self::Link { replaces, .. } | Self::Rename { replaces, .. } => {
                replaces.as_ref()
            }
            Self::Delete { replica } | Self::Rmdir { replica } => Some(replica),
        }
    }
}

/// The step that sets a folder's own attributes, when they differ.
#[must_use]
pub fn folder_meta(
    name: &Name,
    source: &Stamp,
    replica: &Stamp,
    xattrs: XattrsDiff,
    policy: &Policy,
) -> Option<Step> {
    let diff =
        AttrsDiff { xattrs, ..AttrsDiff::between(&replica.attrs(), &source.attrs(), Kind::Folder, policy) };
    (!diff.is_empty()).then(|| Step {
        name: name.clone(),
        verb: Verb::Meta { source: *source, replica: *replica },
        reason: Reason::Attrs(Box::new(diff)),
    })
}
