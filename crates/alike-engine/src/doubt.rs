//! Settles doubts: looks at contents and extended attributes where stamps cannot tell.

use std::io::Read;
use std::time::Instant;

use alike_model::compare::{Contents, Finding, Look, Verdict};
use alike_model::difference::{Change, blame_contents};
use alike_model::entry::{Kind, Stamp, Time};
use alike_model::path::Name;
use alike_model::policy::{Compare, Hash};
use alike_model::reason::Reason;
use alike_model::xattrs::XattrsDiff;
use alike_storage::{Content, Error, Replica, Result, Source};
use sha2::Digest;

use crate::hands::Hands;
use crate::pace::Pace;
use crate::pass::Run;
use crate::place::Here;
use crate::reading::Reading;

const BLOCK: usize = 256 * 1024;
const SMALLEST: usize = 4 * 1024;
/// A stamp may be older than what left it by this much.
const TICK_MILLIS: u32 = 3_000;
/// From here on it pays to ask where the holes are.
const WORTH_ASKING: u64 = 4 * 1024 * 1024;

impl<S: Source, R: Replica, H: Hands<S, R>> Run<'_, S, R, H> {
    /// Files written since the disk last took all that it was given are copied again after it did not: what it lost may
    /// look clean in memory, and once told, the system says nothing of it any more.
    pub(crate) fn distrust_disk(&self, mut findings: Vec<Finding>) -> Vec<Finding> {
        let Some(since) = self.work.index.disk.unsure() else { return findings };
        // A disk's clock has ticks, some of two seconds.
        let is_since = |ctime: Time| ctime.plus_millis(TICK_MILLIS) >= since;
        for finding in &mut findings {
            let is_late = finding.replica.is_some_and(|old| old.kind == Kind::File && is_since(old.ctime));
            if is_late && matches!(finding.verdict, Verdict::Same { .. } | Verdict::Doubt | Verdict::Meta(_))
            {
                finding.verdict = Verdict::Differs(Reason::Unsure);
            }
        }
        findings
    }

    /// Settles a doubt; what is none stays as it is, and so does what could not be looked at, which is looked at again.
    pub(crate) fn settle(&self, place: &Here<S, R>, finding: Finding) -> Finding {
        if finding.verdict != Verdict::Doubt {
            return finding;
        }
        let started = Instant::now();
        match self.look_closer(place, &finding) {
            Ok(look) => finding.settle(look, &self.work.policy),
            // It does not hold still to be compared, so it is copied as well as can be.
            Err(error) if error.is_changed() && self.has_waited_enough(finding.source.as_ref(), started) => {
                let look = Look { contents: Contents::Different, xattrs: XattrsDiff::default() };
                finding.settle(look, &self.work.policy)
            }
            Err(error) => {
                self.again(place, &finding.name, error);
                finding
            }
        }
    }

    fn look_closer(&self, place: &Here<S, R>, finding: &Finding) -> Result<Look> {
        let (Some(source), Some(replica)) = (&finding.source, &finding.replica) else {
            return Err(Error::Changed);
        };
        let original = (&*place.source(self.work.source)?, &finding.name);
        let copy = (&*place.replica(self.work.replica)?, &finding.name);
        self.look_at_both(finding, (original, source), (copy, replica))
    }

    /// Looks at an entry of both sides, which need not have one name.
    pub(crate) fn look_at_both(
        &self,
        finding: &Finding,
        (original, source): ((&S::Folder, &Name), &Stamp),
        (copy, replica): ((&R::Folder, &Name), &Stamp),
    ) -> Result<Look> {
        let contents = match finding.doubts_contents(&self.work.policy) {
            false => Contents::Equal,
            true => self.compare_contents((original, source), (copy, replica))?,
        };
        let contents = match contents {
            Contents::Different => self.who_rotted(finding, (original, source), (copy, replica))?,
            other => other,
        };
        let which = self.work.policy.xattrs;
        let xattrs = self.work.source.xattrs(original.0, original.1, which)?;
        let there = self.work.replica.xattrs(copy.0, copy.1, which)?;
        Ok(Look { contents, xattrs: there.differ_from(&xattrs) })
    }

    /// Compares the contents of one file or symlink of both sides. Both must look the same before and after, else the
    /// answer is [`Error::Changed`].
    fn compare_contents(
        &self,
        (at, stamp): ((&S::Folder, &Name), &Stamp),
        (replica_at, replica_stamp): ((&R::Folder, &Name), &Stamp),
    ) -> Result<Contents> {
        let (source, replica) = (self.work.source, self.work.replica);
        if stamp.kind == Kind::Symlink {
            let same = source.read_link(at.0, at.1)? == replica.read_link(replica_at.0, replica_at.1)?;
            return Ok(if same { Contents::Equal } else { Contents::Different });
        }
        let mut original = source.read_file(at.0, at.1)?;
        let mut copy = match replica.read_file(replica_at.0, replica_at.1) {
            Ok(copy) => copy,
            // A replica that cannot be read is replaced by one that can.
            Err(error) if error.is_denied() => return Ok(Contents::Different),
            Err(error) => return Err(error),
        };
        self.note_writers(&original, stamp);
        let interrupted = || self.work.stop.is_set();
        let same = match self.work.policy.compare {
            Compare::Content(hash) => {
                let size = stamp.size;
                digest(&mut original, hash, size, &interrupted)?
                    == digest(&mut copy, hash, size, &interrupted)?
            }
            Compare::Auto | Compare::Newer => same_bytes(&mut original, &mut copy, stamp.size, &interrupted)?,
        };
        if !original.stamp()?.is_untouched_since(stamp) || !copy.stamp()?.is_untouched_since(replica_stamp) {
            return Err(Error::Changed);
        }
        Ok(if same { Contents::Equal } else { Contents::Different })
    }

    /// Tells rot from a change: bytes that differ though the source looks as it did when both were equal.
    fn who_rotted(
        &self,
        finding: &Finding,
        (original, source): ((&S::Folder, &Name), &Stamp),
        (copy, replica): ((&R::Folder, &Name), &Stamp),
    ) -> Result<Contents> {
        let known = finding.known.filter(|known| known.still_looks_like_source(source));
        let (Some(known), Kind::File) = (known, source.kind) else { return Ok(Contents::Different) };
        let digests = match known.hash {
            None => None,
            Some(_) => {
                let mut original = self.work.source.read_file(original.0, original.1)?;
                let mut copy = match self.work.replica.read_file(copy.0, copy.1) {
                    Err(error) if error.is_denied() => return Ok(Contents::Different),
                    other => other?,
                };
                let interrupted = || self.work.stop.is_set();
                let reading = Reading { pace: &Pace::new(None), interrupted: &interrupted, read: &|_| {} };
                let both = reading.both((&mut original, source), (&mut copy, replica));
                Some(both.map_err(|(_, error)| error)?)
            }
        };
        Ok(match blame_contents(Some(&known), (source, replica), digests) {
            Change::Rot(side) => Contents::Rotten(side),
            _ => Contents::Different,
        })
    }

    /// What differs of the extended attributes of a folder. They are read each time: two short calls a folder are cheaper
    /// than evidence, which each change inside would spoil.
    pub(crate) fn compare_folder_xattrs(
        &self,
        source: &S::Folder,
        replica: &R::Folder,
    ) -> Result<XattrsDiff> {
        let which = self.work.policy.xattrs;
        let xattrs = self.work.source.folder_xattrs(source, which)?;
        Ok(self.work.replica.folder_xattrs(replica, which)?.differ_from(&xattrs))
    }
}

fn same_bytes(a: &mut Content, b: &mut Content, size: u64, interrupted: &dyn Fn() -> bool) -> Result<bool> {
    let (mut left, mut right) = (room_for(size), room_for(size));
    loop {
        if interrupted() {
            return Err(Error::Interrupted);
        }
        // What is a hole in both is the same in both.
        if size >= WORTH_ASKING {
            let data = a.next_data()?.min(b.next_data()?).min(size);
            a.skip_to(data);
            b.skip_to(data);
        }
        let (got, other) = (fill(a, &mut left)?, fill(b, &mut right)?);
        if left[..got] != right[..other] {
            return Ok(false);
        }
        if got < left.len() {
            return Ok(true);
        }
    }
}

/// For a block; of a file that is smaller for all of it, and a byte more that tells its end: most files are small, and to
/// clear whole blocks for them takes longer than to read them. Files of the system that say they are empty are not.
fn room_for(size: u64) -> Vec<u8> {
    vec![0; usize::try_from(size).map_or(BLOCK, |size| size.saturating_add(1).clamp(SMALLEST, BLOCK))]
}

/// Reads until the buffer is full or the file ends.
fn fill(content: &mut Content, buffer: &mut [u8]) -> Result<usize> {
    let mut have = 0;
    while have < buffer.len() {
        match content.read(&mut buffer[have..]).map_err(|cause| Error::of("read it", cause))? {
            0 => break,
            got => have += got,
        }
    }
    Ok(have)
}

fn digest(content: &mut Content, hash: Hash, size: u64, interrupted: &dyn Fn() -> bool) -> Result<Vec<u8>> {
    let mut blake3 = blake3::Hasher::new();
    let mut xxh3 = xxhash_rust::xxh3::Xxh3::new();
    let mut sha256 = sha2::Sha256::new();
    let mut buffer = room_for(size);
    loop {
        if interrupted() {
            return Err(Error::Interrupted);
        }
        let got = fill(content, &mut buffer)?;
        match hash {
            Hash::Blake3 => drop(blake3.update(&buffer[..got])),
            Hash::Xxh3 => xxh3.update(&buffer[..got]),
            Hash::Sha256 => sha256.update(&buffer[..got]),
        }
        if got < buffer.len() {
            break;
        }
    }
    Ok(match hash {
        Hash::Blake3 => blake3.finalize().as_bytes().to_vec(),
        Hash::Xxh3 => xxh3.digest128().to_be_bytes().to_vec(),
        Hash::Sha256 => sha256.finalize().to_vec(),
    })
}
