//! A row of the index as bytes, with a checksum: what the disk does not give back as it was is not believed.

use alike_model::known::{FolderId, Known, Row};
use alike_model::path::Name;
use alike_model::xattrs::Namespaces;
use serde::Deserialize;
use xxhash_rust::xxh3::xxh3_64_with_seed;

const CHECKSUM: usize = 8;

/// `None` for what cannot be written down.
pub(crate) fn to_bytes(id: FolderId, row: &Row) -> Option<Vec<u8>> {
    let mut bytes = postcard::to_allocvec(row).ok()?;
    bytes.extend(xxh3_64_with_seed(&bytes, id.0).to_le_bytes());
    Some(bytes)
}

/// `None` for what is not the row of this folder, every bit as it was written.
pub(crate) fn from_bytes(id: FolderId, bytes: &[u8]) -> Option<Row> {
    parse(checked(id, bytes)?)
}

/// Says only that it is one, and makes nothing of it.
pub(crate) fn is_there(id: FolderId, bytes: &[u8]) -> Option<()> {
    checked(id, bytes).map(drop)
}

/// The folders of a row alone. Of a million names of files nothing is made.
pub(crate) fn folders_from_bytes(id: FolderId, bytes: &[u8]) -> Option<Vec<(Name, FolderId)>> {
    let (Names { entries, .. }, _) = postcard::take_from_bytes(checked(id, bytes)?).ok()?;
    let folders = entries.into_iter().filter_map(|(name, known)| Some((Name::new(name)?, known.folder?)));
    Some(folders.collect())
}

/// A [`Row`] whose names stay where they are.
#[derive(Deserialize)]
struct Names<'a> {
    _filter: u64,
    _xattrs: Namespaces,
    #[serde(borrow)]
    entries: Vec<(&'a [u8], Known)>,
}

fn checked(id: FolderId, bytes: &[u8]) -> Option<&[u8]> {
    let (row, checksum) = bytes.split_at_checked(bytes.len().checked_sub(CHECKSUM)?)?;
    (checksum == xxh3_64_with_seed(row, id.0).to_le_bytes()).then_some(row)
}

/// The same without a checksum: all of the bytes must be the row.
fn parse(bytes: &[u8]) -> Option<Row> {
    let (row, rest) = postcard::take_from_bytes(bytes).ok()?;
    rest.is_empty().then_some(row)
}

/// A checksum of the numbers that the index keeps beside its rows.
pub(crate) fn checksum_of(numbers: &[Option<u64>]) -> u64 {
    let bytes: Vec<u8> = numbers
        .iter()
        .flat_map(|number| [u64::from(number.is_some()).to_le_bytes(), number.unwrap_or(0).to_le_bytes()])
        .flatten()
        .collect();
    xxh3_64_with_seed(&bytes, u64::MAX)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use alike_model::entry::{Identity, Kind, Time};
    use alike_model::known::{ReplicaSeen, SourceSeen};
    use alike_testkit::{Scramble, rounds};

    use super::*;

    fn row(entries: u64) -> Row {
        let time = |n: u64| Time { secs: 1_000_000_000 + n.cast_signed(), nanos: 5 };
        let known = |n: u64| Known {
            kind: if n.is_multiple_of(3) { Kind::Folder } else { Kind::File },
            source: SourceSeen {
                identity: Identity { ino: 7 + n, btime: Some(time(n)) },
                size: 1 << (n % 40),
                mtime: time(n),
                ctime: time(n),
                racy: n.is_multiple_of(5),
            },
            replica: ReplicaSeen { ino: 99 + n, ctime: time(n) },
            hash: None,
            alone: n.is_multiple_of(7),
            folder: n.is_multiple_of(3).then_some(FolderId(n)),
        };
        let name = |n: u64| Name::new(format!("name-{n:05}").as_bytes()).unwrap();
        let entries = (0..entries).map(|n| (name(n), known(n))).collect();
        Row { filter: 42, xattrs: Namespaces::ALL, entries }
    }

    #[test]
    fn a_row_comes_back_as_it_was_and_only_for_its_folder() {
        for entries in [0, 1, 3, 500] {
            let bytes = to_bytes(FolderId(7), &row(entries)).unwrap();
            assert_eq!(from_bytes(FolderId(7), &bytes), Some(row(entries)));
            assert_eq!(from_bytes(FolderId(8), &bytes), None);
        }
    }

    #[test]
    fn the_folders_of_a_row_are_those_that_it_has_a_number_for() {
        let bytes = to_bytes(FolderId(7), &row(9)).unwrap();
        let folders = folders_from_bytes(FolderId(7), &bytes).unwrap();
        let all = row(9).entries;
        let wanted: Vec<_> =
            all.into_iter().filter_map(|(name, known)| Some((name, known.folder?))).collect();
        assert_eq!(folders, wanted);
        assert_eq!(folders_from_bytes(FolderId(8), &bytes), None);
    }

    #[test]
    fn no_damaged_row_is_believed() {
        let whole = to_bytes(FolderId(7), &row(12)).unwrap();
        for bit in 0..whole.len() * 8 {
            let mut bytes = whole.clone();
            bytes[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(from_bytes(FolderId(7), &bytes), None, "bit {bit}");
        }
        for length in 0..whole.len() {
            assert_eq!(from_bytes(FolderId(7), &whole[..length]), None, "cut off at {length}");
        }
    }

    #[test]
    fn whatever_bytes_come_as_a_row_nothing_panics_and_memory_is_bounded() {
        let seeds = [0, 1, 12].map(|entries| postcard::to_allocvec(&row(entries)).unwrap());
        let mut scramble = Scramble::new("rows");
        for _ in 0..rounds(40_000) {
            let bytes = scramble.mutate(&seeds);
            if let Some(row) = parse(&bytes) {
                // A length that the bytes do not bear out would be room for nothing.
                assert!(row.entries.len() <= bytes.len(), "{bytes:?}");
            }
            let _ = from_bytes(FolderId(7), &bytes);
        }
    }
}
