//! The marker of a pair: what says whose replica a folder is, and on which filesystems both ends were.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use alike_model::holds::Holds;
use alike_storage::{Local, Source, linux};
use serde::{Deserialize, Serialize};

use crate::refusal::Refusal;
use crate::small_file;

/// More than this is no marker, and cut off it cannot be read as one.
const LARGEST: u64 = 1024 * 1024;

/// The marker on the replica (`.alike/pair.json`), and its twin in the state.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Marker {
    /// Random; ties the state to the marker.
    pub(crate) id: String,
    pub(crate) source: String,
    pub(crate) source_filesystem: String,
    pub(crate) source_inode: u64,
    pub(crate) replica: String,
    pub(crate) replica_filesystem: String,
    /// What the replica held of owners and attributes when it was last worked on; in the state alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) held: Option<Held>,
}

/// What a target held for somebody with these rights.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Held {
    rights: String,
    what: Vec<String>,
}

impl Held {
    /// What the target holds for who runs this.
    pub(crate) fn of(holds: &Holds) -> Self {
        Self { rights: linux::rights(), what: holds.held() }
    }

    /// What it held for the same rights that it does not hold now.
    pub(crate) fn gone_since(&self, before: &Self) -> Vec<String> {
        let gone = |what: &&String| before.rights == self.rights && !self.what.contains(what);
        before.what.iter().filter(gone).cloned().collect()
    }

    /// What it holds now and what it held before: what is gone is missed until somebody says that it may be.
    pub(crate) fn and(mut self, gone: &[String]) -> Self {
        self.what.extend_from_slice(gone);
        self
    }
}

/// The marker that a pair would have now, with a new id.
pub(crate) fn describe(
    (source_path, source): (&Path, &Local),
    (replica_path, replica): (&Path, &Local),
) -> Result<Marker, Refusal> {
    let root = source.root().and_then(|root| source.stamp(&root)).map_err(Refusal::Look)?;
    let source_filesystem =
        source.filesystem_id().map_err(|why| Refusal::SourceUnreadable(source_path.to_owned(), why))?;
    let replica_filesystem =
        replica.filesystem_id().map_err(|why| Refusal::ReplicaUnusable(replica_path.to_owned(), why))?;
    let mut hasher = std::hash::BuildHasher::build_hasher(&std::hash::RandomState::new());
    std::hash::Hasher::write_u32(&mut hasher, std::process::id());
    Ok(Marker {
        id: format!("{:016x}", std::hash::Hasher::finish(&hasher)),
        source: shown(source_path),
        source_filesystem,
        source_inode: root.ino,
        replica: shown(replica_path),
        replica_filesystem,
        held: None,
    })
}

/// A path as text that can be told from every other: what is no UTF-8 comes escaped.
fn shown(path: &Path) -> String {
    use std::os::unix::ffi::OsStrExt;
    alike_model::path::Escaped(path.as_os_str().as_bytes()).to_string()
}

/// The state's twin of the marker. It is only a memory: damaged, it counts as gone.
pub(crate) fn read_state(state: &Path) -> Result<Option<Marker>, Refusal> {
    match read_marker(&state.join("pair.json")) {
        Err(Refusal::MarkerDamaged(_)) => Ok(None),
        other => other,
    }
}

/// The marker in a file; `None` when there is none.
pub(crate) fn read_marker(path: &Path) -> Result<Option<Marker>, Refusal> {
    // Opening a pipe would wait for its other end.
    if path.metadata().is_ok_and(|there| !there.is_file()) {
        return Err(Refusal::MarkerDamaged(path.to_owned()));
    }
    match File::open(path).and_then(|file| {
        let mut bytes = Vec::new();
        file.take(LARGEST).read_to_end(&mut bytes).map(|_| bytes)
    }) {
        Ok(bytes) => match serde_json::from_slice(&bytes) {
            Ok(marker) => Ok(Some(marker)),
            Err(_) => Err(Refusal::MarkerDamaged(path.to_owned())),
        },
        Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(why) => Err(Refusal::MarkerUnreadable(path.to_owned(), why)),
    }
}

/// Writes a marker, when it is not the same already, beside and then over the old one.
pub(crate) fn write_marker(path: &Path, old: Option<&Marker>, new: &Marker) -> io::Result<()> {
    if old == Some(new) {
        return Ok(());
    }
    small_file::replace(path, new, true)
}

/// One word in common is enough: an upgrade of the kernel may add one, a reboot may change another.
pub(crate) fn same_filesystem(one: &str, other: &str) -> bool {
    one.split_whitespace().any(|word| other.split_whitespace().any(|theirs| theirs == word))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use alike_testkit::{Scramble, rounds};

    use super::*;

    #[test]
    fn whatever_stands_in_a_marker_it_is_read_or_refused() {
        let marker = Marker {
            id: "0123456789abcdef".to_owned(),
            source: "/source".to_owned(),
            source_filesystem: "uuid:00ff fsid:0000000000000001".to_owned(),
            source_inode: u64::MAX,
            replica: "/replica \\x1b".to_owned(),
            replica_filesystem: String::new(),
            held: None,
        };
        let seeds = [serde_json::to_vec_pretty(&marker).unwrap(), b"[".repeat(1000), b"{\"id\":".repeat(500)];
        let mut scramble = Scramble::new("marker");
        for _ in 0..rounds(20_000) {
            let bytes = scramble.mutate(&seeds);
            if let Ok(read) = serde_json::from_slice::<Marker>(&bytes) {
                assert_eq!(
                    serde_json::from_slice::<Marker>(&serde_json::to_vec(&read).unwrap()).unwrap(),
                    read
                );
            }
        }
    }
}
