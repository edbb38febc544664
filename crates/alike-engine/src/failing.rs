//! What failed in the last passes, kept in the pair's state for who asks why: a memory, never the only copy of anything.

use std::fs;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use alike_model::dirty::Dirty;
use alike_model::entry::Time;
use alike_model::failures::{Failure, Failures};
use alike_model::path::RelPath;
use serde::{Deserialize, Serialize};

use crate::remembered::Word;
use crate::small_file;

/// The file in the state of a pair; there is none where nothing fails.
const FILE: &str = "failed.json";

/// What fails of a pair.
pub(crate) struct Failing {
    /// The pair's folder in the state.
    state: PathBuf,
    known: Mutex<Known>,
}

struct Known {
    failures: Failures,
    /// The file says the same.
    is_written: bool,
}

#[derive(Serialize, Deserialize)]
struct Kept {
    failed: Vec<One>,
    #[serde(default)]
    others: u64,
}

#[derive(Serialize, Deserialize)]
struct One {
    path: Word,
    why: String,
    since: Time,
}

impl Failing {
    /// As the state has it.
    pub(crate) fn of(state: &Path) -> Self {
        let read = read(state);
        let known = Known { is_written: read.is_some(), failures: read.unwrap_or_default() };
        Self { state: state.to_owned(), known: Mutex::new(known) }
    }

    /// A pass that looked at `looked`, but not at what it `left` to the next one, has ended with these. Nothing is written where
    /// nothing else fails than before.
    pub(crate) fn end_pass(&self, (looked, left): (&Dirty, &Dirty), failures: Failures) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let now = known.failures.after((looked, left), failures);
        if known.is_written && now == known.failures {
            return;
        }
        // What cannot be written now is written after the next pass: who asks why does without, if need be.
        known.is_written = write(&self.state, &now).is_ok();
        known.failures = now;
    }
}

/// What failed in the last passes of a pair, as its state has it; `None` when that cannot be read.
pub(crate) fn read(state: &Path) -> Option<Failures> {
    let text = match fs::read(state.join(FILE)) {
        Ok(text) => text,
        Err(why) if why.kind() == io::ErrorKind::NotFound => return Some(Failures::default()),
        Err(_) => return None,
    };
    let kept: Kept = serde_json::from_slice(&text).ok()?;
    let failed = kept.failed.into_iter().map(|one| {
        let path = one.path.read()?;
        Some((RelPath::parse(path.as_bytes())?, Failure { why: one.why, since: one.since }))
    });
    Some(Failures::of(failed.collect::<Option<Vec<_>>>()?, kept.others))
}

fn write(state: &Path, failures: &Failures) -> io::Result<()> {
    let file = state.join(FILE);
    if failures.is_empty() {
        let _ = fs::remove_file(state.join("failed.new"));
        return match fs::remove_file(file) {
            Err(why) if why.kind() != io::ErrorKind::NotFound => Err(why),
            _ => Ok(()),
        };
    }
    let one = |(path, failure): (&RelPath, &Failure)| One {
        path: Word::of(path.as_bytes()),
        why: failure.why.clone(),
        since: failure.since,
    };
    let kept = Kept { failed: failures.named().map(one).collect(), others: failures.others() };
    small_file::replace(&file, &kept, false)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn failed(paths: &[&[u8]]) -> Failures {
        let failure = Failure { why: "no\nspace".to_owned(), since: Time { secs: 7, nanos: 8 } };
        Failures::of(paths.iter().map(|path| (RelPath::parse(path).unwrap(), failure.clone())), 0)
    }

    #[test]
    fn what_fails_is_read_as_it_was_written_whatever_bytes_its_names_have() {
        let room = tempfile::tempdir().unwrap();
        let state = room.path();
        let failures = failed(&[b"", b"plain", b"new\nline", b"not \xff utf-8", b"{\"base64\":\"eA==\"}"]);
        Failing::of(state).end_pass((&Dirty::everything(), &Dirty::new()), failures.clone());
        assert_eq!(read(state), Some(failures));
        assert_eq!(fs::read_dir(state).unwrap().count(), 1);
    }

    #[test]
    fn nothing_is_written_when_nothing_else_fails_and_nothing_is_left_when_nothing_does() {
        use std::os::unix::fs::MetadataExt;
        let room = tempfile::tempdir().unwrap();
        let inode = || fs::metadata(room.path().join(FILE)).map(|meta| meta.ino()).ok();
        let folder = || fs::metadata(room.path()).map(|meta| (meta.mtime(), meta.mtime_nsec())).unwrap();
        let (everything, none) = (Dirty::everything(), Dirty::new());
        let (empty, all) = (folder(), (&everything, &none));
        let failing = Failing::of(room.path());
        failing.end_pass(all, Failures::default());
        assert_eq!(folder(), empty);
        failing.end_pass(all, failed(&[b"a", b"b"]));
        let (first, written) = (inode(), folder());
        failing.end_pass(all, failed(&[b"a", b"b"]));
        Failing::of(room.path()).end_pass(all, failed(&[b"a", b"b"]));
        assert_eq!((inode(), folder()), (first, written));
        failing.end_pass(all, failed(&[b"b"]));
        assert_ne!(folder(), written);
        failing.end_pass(all, Failures::default());
        assert_eq!(fs::read_dir(room.path()).unwrap().count(), 0);
    }

    #[test]
    fn a_file_that_broke_off_says_nothing_and_goes_with_the_next_pass() {
        let room = tempfile::tempdir().unwrap();
        fs::write(room.path().join(FILE), "{\"failed\":[{\"path\":\"a\"").unwrap();
        fs::write(room.path().join("failed.new"), "{").unwrap();
        assert_eq!(read(room.path()), None);
        Failing::of(room.path()).end_pass((&Dirty::everything(), &Dirty::new()), Failures::default());
        assert_eq!(fs::read_dir(room.path()).unwrap().count(), 0);
    }
}
