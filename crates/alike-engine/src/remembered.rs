//! The pairs that the state knows of, and the command line of each one's last run: a memory, never the only copy of anything.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use alike_model::failures::Failures;
use alike_model::path::RelPath;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use serde::{Deserialize, Serialize};

use crate::failing;
use crate::marker::{Marker, read_state};
use crate::small_file;

/// A command line, and where it was typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandLine {
    /// The folder that its paths start from.
    pub folder: PathBuf,
    /// Its words, the program first.
    pub words: Vec<OsString>,
}

/// A pair that a run has worked on.
#[derive(Clone, Debug)]
pub struct Remembered {
    /// The source, as far as it can be told from text.
    pub source: PathBuf,
    /// The replica.
    pub replica: PathBuf,
    /// What the last run was told; `None` when that is not known.
    pub command_line: Option<CommandLine>,
    /// Its folder in the state, where it was found there.
    state: Option<PathBuf>,
}

/// A word as text where it is some, else its bytes.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Word {
    Text(String),
    Bytes { base64: String },
}

#[derive(Serialize, Deserialize)]
struct Run {
    folder: Word,
    words: Vec<Word>,
}

impl Word {
    pub(crate) fn of(word: &[u8]) -> Self {
        match std::str::from_utf8(word) {
            Ok(text) => Self::Text(text.to_owned()),
            Err(_) => Self::Bytes { base64: BASE64_STANDARD.encode(word) },
        }
    }

    pub(crate) fn read(self) -> Option<OsString> {
        match self {
            Self::Text(text) => Some(text.into()),
            Self::Bytes { base64 } => BASE64_STANDARD.decode(base64).ok().map(OsString::from_vec),
        }
    }
}

impl CommandLine {
    fn read(state: &Path) -> Option<Self> {
        let run: Run = serde_json::from_slice(&fs::read(state.join("run.json")).ok()?).ok()?;
        let words = run.words.into_iter().map(Word::read).collect::<Option<_>>()?;
        Some(Self { folder: run.folder.read()?.into(), words })
    }

    /// Writes it into the state of a pair, when it is not there already.
    pub(crate) fn write(&self, state: &Path) -> io::Result<()> {
        if Self::read(state).as_ref() == Some(self) {
            return Ok(());
        }
        let run = Run {
            folder: Word::of(self.folder.as_os_str().as_bytes()),
            words: self.words.iter().map(|word| Word::of(word.as_bytes())).collect(),
        };
        small_file::replace(&state.join("run.json"), &run, false)
    }
}

impl Remembered {
    fn of(marker: &Marker, state: Option<PathBuf>) -> Self {
        let [source, replica] = [&marker.source, &marker.replica].map(PathBuf::from);
        Self { source, replica, command_line: state.as_deref().and_then(CommandLine::read), state }
    }

    /// All pairs in a state folder whose replica is theirs, as far as that can be seen.
    #[must_use]
    pub fn all(state: &Path) -> Vec<Self> {
        let Ok(folders) = fs::read_dir(state) else { return Vec::new() };
        let mut all: Vec<Self> = folders
            .flatten()
            .filter_map(|folder| {
                let marker = read_state(&folder.path()).ok()??;
                Some(Self::of(&marker, Some(folder.path())))
            })
            .collect();
        all.sort_by(|one, other| one.replica.cmp(&other.replica).then(one.source.cmp(&other.source)));
        all
    }

    /// The pair that a replica itself tells of.
    #[must_use]
    pub fn on(replica: &Path) -> Option<Self> {
        let marker = crate::marker::read_marker(&replica.join(".alike/pair.json")).ok()??;
        let on = Self::of(&marker, None);
        Some(Self { replica: replica.to_owned(), ..on })
    }

    /// What failed in the last passes, as far as that is known.
    #[must_use]
    pub fn failures(&self) -> Failures {
        self.state.as_deref().and_then(failing::read).unwrap_or_default()
    }

    /// Where a path lies in one of both ends, from its top.
    #[must_use]
    pub fn place(&self, path: &Path) -> Option<RelPath> {
        let below = |top: &Path| path.strip_prefix(top).ok();
        let rest = below(&self.replica).or_else(|| below(&self.source))?;
        RelPath::parse(rest.as_os_str().as_bytes())
    }
}
