//! Looks into what both sides have: contents, link targets and attributes, and who changed what differs.

use std::io;
use std::sync::PoisonError;
use std::sync::atomic::Ordering;

use alike_model::compare::Finding;
use alike_model::difference::{Change, Side, What, attributes, blame, blame_contents};
use alike_model::entry::{Kind, Stamp, Time};
use alike_model::known::Digest;
use alike_model::path::{Name, RelPath};
use alike_model::reason::{AttrsDiff, Reason};
use alike_storage::{Error, Replica, Source};

use crate::check::{Batch, Read, Walk};
use crate::motion::is_racy;
use crate::place::Here;
use crate::reading::Reading;

/// What one look into an entry told.
struct Told {
    differences: Vec<(What, Change)>,
    /// The hash that both sides have.
    hash: Option<Digest>,
}

impl<S: Source, R: Replica> Walk<'_, S, R> {
    /// Looks into the names of a batch.
    pub(crate) fn compare(&self, batch: Batch<S, R>) {
        let Batch { place, findings, before, now } = batch;
        for finding in findings {
            if self.check.stop.is_set() {
                return;
            }
            let (Some(source), Some(replica)) = (&finding.source, &finding.replica) else { continue };
            let (print, seen) = ((finding.source, finding.replica), before.get(&finding.name));
            if seen.is_none_or(|seen| seen.0.is_none() || seen.1.is_none()) {
                self.note_links(&place, &finding.name, source, replica);
            }
            match self.examine(&place, &finding, (source, replica)) {
                Ok(told) => {
                    self.learn(&place, &finding, told.hash, now);
                    for (what, change) in told.differences {
                        self.differs(&place, &finding.name, (print, seen), what, change);
                    }
                }
                Err((side, error)) => {
                    self.failed(&place, &finding.name, print, seen, &on_side(side, error));
                }
            }
        }
    }

    fn examine(
        &self,
        place: &Here<S, R>,
        finding: &Finding,
        (source, replica): (&Stamp, &Stamp),
    ) -> Result<Told, (Side, Error)> {
        let (name, known) = (&finding.name, finding.known.as_ref());
        let mut told = Told { differences: Vec::new(), hash: None };
        let diff = AttrsDiff::between(&replica.attrs(), &source.attrs(), source.kind, &self.check.policy);
        let is_read = match &self.check.read {
            Read::All => true,
            Read::Only(paths) => paths.contains(&place.path().join(name)),
        };
        let xattrs = if is_read { self.compare_xattrs(place, name)? } else { Default::default() };
        let by_stamps = || blame(known, known.is_some(), Some(source), Some(replica));
        if let Some(what) = attributes(AttrsDiff { xattrs, ..diff }) {
            told.differences.push((what, by_stamps()));
        }
        match source.kind {
            Kind::File if is_read => {
                let (original, copy) = self.digests(place, name, (source, replica))?;
                if original == copy {
                    told.hash = Some(original);
                } else {
                    let change = blame_contents(known, (source, replica), Some((original, copy)));
                    told.differences.push((What::Other(Reason::Content), change));
                }
            }
            Kind::Symlink if !self.same_target(place, name)? => {
                told.differences.push((What::Other(Reason::Target), by_stamps()));
            }
            _ => {}
        }
        Ok(told)
    }

    /// The hashes of both sides; of a file with several names they are read once.
    fn digests(
        &self,
        place: &Here<S, R>,
        name: &Name,
        (source, replica): (&Stamp, &Stamp),
    ) -> Result<(Digest, Digest), (Side, Error)> {
        let inodes = ((source.dev, source.ino, replica.dev), (replica.dev, replica.ino));
        let may_be_read = source.has_several_names() && replica.has_several_names();
        let read = || self.read.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(digests) = may_be_read.then(|| read().get(&inodes).copied()).flatten() {
            return Ok(digests);
        }
        let (original, copy) = (self.check.source, self.check.replica);
        let mut content = (|| original.read_file(&*place.source(original)?, name))()
            .map_err(|error| (Side::Source, error))?;
        let mut theirs =
            (|| copy.read_file(&*place.replica(copy)?, name))().map_err(|error| (Side::Replica, error))?;
        let reading = Reading {
            pace: self.check.pace,
            interrupted: &|| self.check.stop.is_set(),
            read: &|bytes| {
                self.bytes.fetch_add(bytes, Ordering::Relaxed);
                self.check.monitor.read(bytes);
            },
        };
        let digests = reading.both((&mut content, source), (&mut theirs, replica))?;
        if digests.0 != digests.1 {
            // Whoever mends it shall see what is on the disk too.
            content.forget_cached();
            theirs.forget_cached();
        }
        if may_be_read {
            read().insert(inodes, digests);
        }
        Ok(digests)
    }

    fn same_target(&self, place: &Here<S, R>, name: &Name) -> Result<bool, (Side, Error)> {
        let (original, copy) = (self.check.source, self.check.replica);
        let target = (|| original.read_link(&*place.source(original)?, name))()
            .map_err(|error| (Side::Source, error))?;
        let theirs =
            (|| copy.read_link(&*place.replica(copy)?, name))().map_err(|error| (Side::Replica, error))?;
        Ok(target == theirs)
    }

    fn compare_xattrs(
        &self,
        place: &Here<S, R>,
        name: &Name,
    ) -> Result<alike_model::xattrs::XattrsDiff, (Side, Error)> {
        let (original, copy) = (self.check.source, self.check.replica);
        let which = self.check.policy.xattrs;
        let wanted = (|| original.xattrs(&*place.source(original)?, name, which))()
            .map_err(|error| (Side::Source, error))?;
        let theirs = (|| copy.xattrs(&*place.replica(copy)?, name, which))()
            .map_err(|error| (Side::Replica, error))?;
        Ok(theirs.differ_from(&wanted))
    }

    /// A folder's own attributes. `at`: its name in the folder that holds it; `None` for the top.
    pub(crate) fn compare_folder_attributes(&self, place: &Here<S, R>, at: Option<(&Here<S, R>, &Name)>) {
        let Some(replica) = &place.replica_stamp else { return };
        let (source, policy) = (&place.source_stamp, &self.check.policy);
        let diff = AttrsDiff::between(&replica.attrs(), &source.attrs(), Kind::Folder, policy);
        let Some(what) = attributes(AttrsDiff { xattrs: place.xattrs.clone(), ..diff }) else { return };
        match at {
            Some((parent, name)) => {
                let row = self.check.index.row(parent.id);
                let known = row.as_ref().and_then(|row| row.get(name));
                let change = blame(known, row.is_some(), Some(source), Some(replica));
                let print = (Some(*source), Some(*replica));
                // What happens inside moves the stamps of a folder: only what differs from the source counts.
                self.differs(parent, name, (print, Some(&print)), what, change);
            }
            None => self.say(RelPath::root(), None, what, Change::Unclear(Side::Unknown)),
        }
    }

    /// Keeps the hash of what is equal, where the index knows it as it looks now and no change can hide behind its stamps.
    fn learn(&self, place: &Here<S, R>, finding: &Finding, hash: Option<Digest>, now: Time) {
        let (Some(hash), Some(known)) = (hash, &finding.known) else { return };
        let (Some(source), Some(replica)) = (&finding.source, &finding.replica) else { return };
        let holds = known.still_looks_like_source(source) && known.holds_for_replica(replica);
        if holds && known.hash != Some(hash) && !is_racy(source, now) && !is_racy(replica, now) {
            let mut learnt = self.learnt.lock().unwrap_or_else(PoisonError::into_inner);
            learnt.learn(place.id, &finding.name, known, hash);
        }
    }
}

/// The error, with the side that it is about.
fn on_side(side: Side, error: Error) -> Error {
    match error {
        Error::Io { op, cause } => {
            let text = format!("{} ({})", alike_storage::plain(&cause), side_in_words(side));
            Error::Io { op, cause: io::Error::new(cause.kind(), text) }
        }
        other => other,
    }
}

fn side_in_words(side: Side) -> &'static str {
    match side {
        Side::Source => "in the source",
        _ => "on the replica",
    }
}
