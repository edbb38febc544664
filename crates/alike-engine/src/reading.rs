//! Reads whole files for their hash: from the disk, past the page cache, at a pace.

use std::cell::RefCell;

use alike_model::difference::Side;
use alike_model::entry::Stamp;
use alike_model::known::Digest;
use alike_storage::linux::Block;
use alike_storage::{Content, Error, Result};

use crate::pace::Pace;

/// From here on both sides are read at once, and it pays to ask where the holes are.
const LARGE: u64 = 8 * 1024 * 1024;

thread_local! {
    static BLOCK: RefCell<Option<Block>> = const { RefCell::new(None) };
}

/// How it is read.
pub(crate) struct Reading<'a> {
    pub(crate) pace: &'a Pace,
    pub(crate) interrupted: &'a (dyn Fn() -> bool + Sync),
    /// Told how many bytes were read.
    pub(crate) read: &'a (dyn Fn(u64) + Sync),
}

/// An open file, and how it looked before.
pub(crate) type Opened<'a> = (&'a mut Content, &'a Stamp);

impl Reading<'_> {
    /// The hashes of one file on both sides. Beside an error stands the side that it is about.
    pub(crate) fn both(
        &self,
        original: Opened<'_>,
        copy: Opened<'_>,
    ) -> std::result::Result<(Digest, Digest), (Side, Error)> {
        let of = |side, opened: Opened<'_>| self.digest(opened.0, opened.1).map_err(|error| (side, error));
        if original.1.size < LARGE {
            return Ok((of(Side::Source, original)?, of(Side::Replica, copy)?));
        }
        std::thread::scope(|scope| {
            let beside = scope.spawn(|| of(Side::Replica, copy));
            let original = of(Side::Source, original);
            let copy = beside.join().unwrap_or(Err((Side::Replica, Error::Interrupted)));
            Ok((original?, copy?))
        })
    }

    /// The hash of an open file that looks like `stamp`, before and after.
    pub(crate) fn digest(&self, content: &mut Content, stamp: &Stamp) -> Result<Digest> {
        content.read_from_disk();
        content.skip_to(0);
        let mut hasher = blake3::Hasher::new();
        let mut at = 0;
        BLOCK.with_borrow_mut(|block| {
            let block = block.get_or_insert_with(|| Block::new(Pace::new(None).block()));
            while at < stamp.size {
                if stamp.size >= LARGE && stamp.blocks.saturating_mul(512) < stamp.size {
                    at = skip_hole(content, &mut hasher, (at, stamp.size), self.interrupted)?;
                }
                let most = u64::min(stamp.size - at, self.pace.block() as u64);
                if !self.pace.wait_for(most, self.interrupted) {
                    return Err(Error::Interrupted);
                }
                let got = content.read_block(block, usize::try_from(most).unwrap_or(usize::MAX))?;
                hasher.update(got);
                (self.read)(got.len() as u64);
                at += got.len() as u64;
                if got.is_empty() {
                    break;
                }
            }
            Ok(())
        })?;
        if at != stamp.size || !content.stamp()?.is_untouched_since(stamp) {
            return Err(Error::Changed);
        }
        let mut digest = [0; 16];
        digest.copy_from_slice(&hasher.finalize().as_bytes()[..16]);
        Ok(Digest(digest))
    }
}

/// A hole is zeros that need not be read. Returns where data begins.
fn skip_hole(
    content: &mut Content,
    hasher: &mut blake3::Hasher,
    (mut at, end): (u64, u64),
    interrupted: &dyn Fn() -> bool,
) -> Result<u64> {
    static ZEROS: [u8; 64 * 1024] = [0; 64 * 1024];
    // Direct reads want to begin where blocks do.
    let data = content.next_data()?.min(end) / 4096 * 4096;
    while at < data {
        if interrupted() {
            return Err(Error::Interrupted);
        }
        let some = usize::try_from(data - at).unwrap_or(usize::MAX).min(ZEROS.len());
        hasher.update(&ZEROS[..some]);
        at += some as u64;
    }
    content.skip_to(at);
    Ok(at)
}
