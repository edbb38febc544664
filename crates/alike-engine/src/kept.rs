//! What the trash of a replica keeps, and emptying it, also beside a mirror that runs.

use std::io;

use alike_model::entry::{Kind, Stamp, Time};
use alike_model::path::RelPath;
use alike_storage::{Error, Result};

use crate::chronicle::{Written, slot};
use crate::hold::Site;
use crate::reach::Reach;

/// A bucket is filled for an hour; what is older than this is filled by nobody, not even by one whose step takes long.
const NOT_FILLED_AFTER: i64 = 3600 + 600;

/// Something that is kept.
pub struct Kept<'a> {
    /// What took it away.
    pub written: &'a Written,
    /// How it looks.
    pub stamp: Stamp,
    /// Its length; of a folder, of all that is in it.
    pub bytes: u64,
}

/// All that is kept, oldest first.
///
/// # Errors
/// When the replica cannot be looked at.
pub fn kept<'a>(site: &Site, all: &'a [Written]) -> Result<Vec<Kept<'a>>> {
    let mut reach = Reach::new(&site.tree)?;
    let mut kept = Vec::new();
    for written in all.iter().filter(|written| written.deed.kept) {
        let slot = written.slot();
        let Some(stamp) = reach.look(&slot)? else { continue };
        let bytes = length(&mut reach, &slot);
        kept.push(Kept { written, stamp, bytes });
    }
    Ok(kept)
}

/// How many things are kept, and their length, without a look into the journals, which may be long.
///
/// # Errors
/// When the replica cannot be looked at.
pub fn total(site: &Site) -> Result<(u64, u64)> {
    let mut reach = Reach::new(&site.tree)?;
    let (mut entries, mut bytes) = (0, 0);
    let failed = |why| Error::of("look at the trash", why);
    for bucket in site.trash.buckets().map_err(failed)? {
        for n in site.trash.numbers_in(&bucket).map_err(failed)? {
            entries += 1;
            bytes += length(&mut reach, &slot(&bucket, n));
        }
    }
    Ok((entries, bytes))
}

/// The length of all that is at a path.
fn length(reach: &mut Reach<'_>, at: &RelPath) -> u64 {
    let mut bytes = 0;
    reach.walk(at, &mut |_, stamp| {
        if stamp.kind != Kind::Folder {
            bytes += stamp.size;
        }
    });
    bytes
}

/// What became of emptying.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Emptied {
    /// Buckets that went, each with what was kept and with the history of its time.
    pub gone: u64,
    /// What was kept in them.
    pub entries: u64,
    /// Its length.
    pub bytes: u64,
    /// Buckets that stay because a mirror may still fill them.
    pub in_use: u64,
}

/// Removes, for good, what was taken away before a moment; the history of it goes too. Without the replica's lock
/// (`is_alone` false) a running mirror may still fill the bucket of the last hour, so that one stays.
///
/// # Errors
/// When something cannot be removed.
pub fn empty(
    site: &Site,
    all: &[Written],
    (before, now): (Time, Time),
    is_alone: bool,
) -> io::Result<Emptied> {
    let mut emptied = Emptied::default();
    // What cannot be looked at can still go; then it is not counted.
    let kept = kept(site, all).unwrap_or_default();
    for bucket in site.trash.buckets()? {
        let deeds = || all.iter().filter(|written| *written.bucket == *bucket).map(|written| written.deed.at);
        // One whose deeds cannot be read counts as old, when nobody can be filling it.
        if deeds().max().is_some_and(|last| last >= before) {
            continue;
        }
        let may_be_filled = deeds().min().is_none_or(|first| first.secs + NOT_FILLED_AFTER > now.secs);
        if !is_alone && may_be_filled {
            emptied.in_use += 1;
            continue;
        }
        match site.trash.drop_bucket(&bucket) {
            // The mirror was quicker.
            Err(why) if why.kind() == io::ErrorKind::NotFound => {}
            dropped => dropped?,
        }
        for kept in kept.iter().filter(|kept| *kept.written.bucket == *bucket) {
            emptied.entries += 1;
            emptied.bytes += kept.bytes;
        }
        emptied.gone += 1;
    }
    Ok(emptied)
}
