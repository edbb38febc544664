//! Compares one folder: its entries in the source, on the replica and in the index, in lock step.
//!
//! Pure: it takes what was seen and says what is true of each name. Where stamps cannot tell, it says [`Verdict::Doubt`]
//! and contents and extended attributes must be looked at; see [`Finding::settle`].

use crate::difference::Side;
use crate::entry::{Entry, Kind, Stamp, Unreadable};
use crate::known::{Known, Row};
use crate::path::Name;
use crate::policy::{Compare, Policy};
use crate::reason::{AttrsDiff, Reason};
use crate::xattrs::XattrsDiff;

/// What is true of one name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// The name, in the folder that was compared.
    pub name: Name,
    /// How it looks in the source.
    pub source: Option<Stamp>,
    /// How it looks on the replica.
    pub replica: Option<Stamp>,
    /// What the index knows.
    pub known: Option<Known>,
    /// What that comes to.
    pub verdict: Verdict,
}

/// What a name comes to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Equal in every respect. `proven`: the index holds it already.
    Same {
        /// The index holds just this.
        proven: bool,
    },
    /// A folder on both sides.
    Folders,
    /// Contents equal, attributes not.
    Meta(AttrsDiff),
    /// The contents differ.
    Differs(Reason),
    /// Stamps cannot tell whether contents or extended attributes differ.
    Doubt,
    /// The replica has none of that name.
    Missing,
    /// The replica has another kind.
    OtherKind,
    /// Only the replica has it.
    Gone,
    /// Neither side has it: the index may forget it.
    Forgotten,
    /// The filters leave it out; the replica's, if any, is not alike's business.
    Excluded,
    /// The filters leave it out, and the replica's is to go.
    ExcludedGoes,
    /// It is left alone, for this reason; the replica is known to differ.
    Skip(Reason),
    /// Its contents differ, but must not be copied.
    Hold(Reason),
    /// It exists but could not be looked at: left alone on both sides.
    Unreadable(Unreadable),
}

/// What a look at both sides told: what settles a doubt.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Look {
    /// The contents, as far as they were in doubt.
    pub contents: Contents,
    /// The extended attributes.
    pub xattrs: XattrsDiff,
}

/// What a look at contents told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Contents {
    /// Every byte is the same.
    Equal,
    /// Some byte is not.
    Different,
    /// Some byte is not, though nothing touched the source, or neither: which side's bytes changed.
    Rotten(Side),
}

/// Compares a folder. Both listings and the row must be sorted by name; so are the findings.
///
/// `excluded` says for a name and whether it is a folder if the filters leave it out.
#[must_use]
pub fn compare_folder(
    source: &[Entry],
    replica: &[Entry],
    row: &Row,
    policy: &Policy,
    excluded: impl Fn(&Name, bool) -> bool,
) -> Vec<Finding> {
    let mut findings = Vec::with_capacity(source.len().max(replica.len()));
    let (mut s, mut r, mut k) =
        (source.iter().peekable(), replica.iter().peekable(), row.entries.iter().peekable());
    loop {
        let names = [s.peek().map(|e| &e.name), r.peek().map(|e| &e.name), k.peek().map(|e| &e.0)];
        let Some(name) = names.into_iter().flatten().min() else { return findings };
        let here = (
            s.next_if(|entry| entry.name == *name),
            r.next_if(|entry| entry.name == *name),
            k.next_if(|entry| entry.0 == *name).map(|(_, known)| *known),
        );
        findings.push(find(name, here, policy, &excluded));
    }
}

fn find(
    name: &Name,
    (source, replica, known): (Option<&Entry>, Option<&Entry>, Option<Known>),
    policy: &Policy,
    excluded: impl Fn(&Name, bool) -> bool,
) -> Finding {
    let finding = |source, replica, verdict| Finding { name: name.clone(), source, replica, known, verdict };
    let looks = (source.map(|entry| entry.look.as_ref()), replica.map(|entry| entry.look.as_ref()));
    let (source, replica) = match looks {
        (Some(Err(why)), _) | (_, Some(Err(why))) => {
            return finding(None, None, Verdict::Unreadable(why.clone()));
        }
        (source, replica) => (source.and_then(Result::ok).copied(), replica.and_then(Result::ok).copied()),
    };
    if let Some(shown) = source.or(replica)
        && excluded(name, shown.kind == Kind::Folder)
    {
        let goes = replica.is_some() && policy.delete_excluded;
        return finding(source, replica, if goes { Verdict::ExcludedGoes } else { Verdict::Excluded });
    }
    let verdict = match (&source, &replica) {
        (None, None) => Verdict::Forgotten,
        (None, Some(_)) => Verdict::Gone,
        (Some(source), _) if source.kind.is_special() && !policy.special => {
            Verdict::Skip(Reason::SpecialsOff)
        }
        (Some(source), None) if source.kind.is_device() && !policy.devices => {
            Verdict::Skip(Reason::NoDevices)
        }
        (Some(_), None) => Verdict::Missing,
        (Some(source), Some(replica)) => compare_entry(source, replica, known.as_ref(), policy),
    };
    finding(source, replica, verdict)
}

/// Compares one name that both sides have.
#[must_use]
pub fn compare_entry(source: &Stamp, replica: &Stamp, known: Option<&Known>, policy: &Policy) -> Verdict {
    if source.kind != replica.kind {
        return Verdict::OtherKind;
    }
    let proven =
        known.is_some_and(|known| known.holds_for_source(source) && known.holds_for_replica(replica));
    match source.kind {
        Kind::Folder => Verdict::Folders,
        Kind::BlockDevice | Kind::CharDevice if source.rdev != replica.rdev => {
            Verdict::Differs(Reason::Device)
        }
        Kind::File | Kind::Symlink => compare_contents(source, replica, proven, policy),
        Kind::Fifo | Kind::Socket | Kind::BlockDevice | Kind::CharDevice if proven => {
            same_contents(source, replica, XattrsDiff::default(), proven, policy)
        }
        Kind::Fifo | Kind::Socket | Kind::BlockDevice | Kind::CharDevice => Verdict::Doubt,
    }
}

fn compare_contents(source: &Stamp, replica: &Stamp, proven: bool, policy: &Policy) -> Verdict {
    let is_file = source.kind == Kind::File;
    if policy.compare == Compare::Newer && is_file && replica.mtime > policy.times.fit(source.mtime) {
        return Verdict::Skip(Reason::ReplicaNewer);
    }
    if source.size != replica.size {
        let reason = if is_file { Reason::Size(replica.size, source.size) } else { Reason::Target };
        return Verdict::Differs(reason);
    }
    match policy.compare {
        Compare::Content(_) if is_file => Verdict::Doubt,
        Compare::Auto | Compare::Newer | Compare::Content(_) if proven => {
            same_contents(source, replica, XattrsDiff::default(), true, policy)
        }
        Compare::Auto | Compare::Newer | Compare::Content(_) => Verdict::Doubt,
    }
}

fn same_contents(
    source: &Stamp,
    replica: &Stamp,
    xattrs: XattrsDiff,
    proven: bool,
    policy: &Policy,
) -> Verdict {
    let diff =
        AttrsDiff { xattrs, ..AttrsDiff::between(&replica.attrs(), &source.attrs(), source.kind, policy) };
    if diff.is_empty() { Verdict::Same { proven } } else { Verdict::Meta(diff) }
}

impl Finding {
    /// True for a name of an inode that has several, on either side, unless it is proven to be linked as it should be: a
    /// link made or removed changes the ctime of its inode.
    #[must_use]
    pub fn waits_for_links(&self) -> bool {
        let Some(source) = &self.source else { return false };
        let may = match &self.verdict {
            Verdict::Doubt | Verdict::Meta(_) | Verdict::Missing | Verdict::Differs(_) => true,
            Verdict::Same { proven } => !proven,
            // A folder in the way is a deletion, and that is judged first.
            Verdict::OtherKind => self.replica.is_some_and(|replica| replica.kind != Kind::Folder),
            _ => false,
        };
        may && source.kind != Kind::Folder
            && (source.has_several_names() || self.replica.as_ref().is_some_and(Stamp::has_several_names))
    }

    /// True when a doubt is (also) about contents.
    #[must_use]
    pub fn doubts_contents(&self, policy: &Policy) -> bool {
        let (Some(source), Some(replica)) = (&self.source, &self.replica) else { return false };
        // Where a symlink points cannot change as long as it is the same one.
        let is_same = || {
            self.known.is_some_and(|known| {
                known.still_looks_like_source(source) && known.holds_for_replica(replica)
            })
        };
        match source.kind {
            Kind::File => policy.compare != Compare::Newer || replica.mtime != policy.times.fit(source.mtime),
            Kind::Symlink => !is_same(),
            _ => false,
        }
    }

    /// Settles a doubt by what a look told. Anything but a doubt stays what it is.
    #[must_use]
    pub fn settle(self, look: Look, policy: &Policy) -> Self {
        let (Verdict::Doubt, Some(source), Some(replica)) = (&self.verdict, &self.source, &self.replica)
        else {
            return self;
        };
        let verdict = match look.contents {
            Contents::Equal => {
                let proven = self
                    .known
                    .is_some_and(|known| known.holds_for_source(source) && known.holds_for_replica(replica));
                same_contents(source, replica, look.xattrs, proven, policy)
            }
            // The replica's is mended; the source's is never copied over what may be the only good one.
            Contents::Rotten(Side::Replica) => Verdict::Differs(Reason::Rot(Side::Replica)),
            Contents::Rotten(side) => Verdict::Hold(Reason::Rot(side)),
            Contents::Different if source.kind == Kind::Symlink => Verdict::Differs(Reason::Target),
            Contents::Different if replica.mtime != policy.times.fit(source.mtime) => {
                Verdict::Differs(Reason::Mtime)
            }
            Contents::Different => Verdict::Differs(Reason::Content),
        };
        Self { verdict, ..self }
    }
}
