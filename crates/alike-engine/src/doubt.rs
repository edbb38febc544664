//! Settles doubts: looks at contents where stamps cannot tell.

use std::io::Read;

use alike_model::compare::Contents;
use alike_model::entry::{Kind, Stamp};
use alike_model::path::Name;
use alike_model::policy::{Compare, Hash};
use alike_storage::{Content, Error, Replica, Result, Source};
use sha2::Digest;

const BLOCK: usize = 256 * 1024;

/// Compares the contents of one file or symlink of both sides. Both must look the same before and after, else the answer
/// is [`Error::Changed`].
pub(crate) fn compare_contents<S: Source, R: Replica>(
    (source, at, stamp): (&S, (&S::Folder, &Name), &Stamp),
    (replica, replica_at, replica_stamp): (&R, (&R::Folder, &Name), &Stamp),
    compare: Compare,
    interrupted: &dyn Fn() -> bool,
) -> Result<Contents> {
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
    let same = match compare {
        Compare::Content(hash) => {
            digest(&mut original, hash, interrupted)? == digest(&mut copy, hash, interrupted)?
        }
        Compare::Auto | Compare::Newer => same_bytes(&mut original, &mut copy, interrupted)?,
    };
    if !original.stamp()?.is_untouched_since(stamp) || !copy.stamp()?.is_untouched_since(replica_stamp) {
        return Err(Error::Changed);
    }
    Ok(if same { Contents::Equal } else { Contents::Different })
}

fn same_bytes(a: &mut Content, b: &mut Content, interrupted: &dyn Fn() -> bool) -> Result<bool> {
    let (mut left, mut right) = (vec![0; BLOCK], vec![0; BLOCK]);
    loop {
        if interrupted() {
            return Err(Error::Interrupted);
        }
        let (got, other) = (fill(a, &mut left)?, fill(b, &mut right)?);
        if left[..got] != right[..other] {
            return Ok(false);
        }
        if got < BLOCK {
            return Ok(true);
        }
    }
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

fn digest(content: &mut Content, hash: Hash, interrupted: &dyn Fn() -> bool) -> Result<Vec<u8>> {
    let mut blake3 = blake3::Hasher::new();
    let mut xxh3 = xxhash_rust::xxh3::Xxh3::new();
    let mut sha256 = sha2::Sha256::new();
    let mut buffer = vec![0; BLOCK];
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
        if got < BLOCK {
            break;
        }
    }
    Ok(match hash {
        Hash::Blake3 => blake3.finalize().as_bytes().to_vec(),
        Hash::Xxh3 => xxh3.digest128().to_be_bytes().to_vec(),
        Hash::Sha256 => sha256.finalize().to_vec(),
    })
}
