//! Filters: which names are left out, by gitignore patterns from the command line and from ignore files.
//!
//! Matched from the top down, folder by folder, so that an excluded folder is never entered. What decides, first match
//! counts: the command line (`--include` over `--exclude`, in whatever order they were given), then `.alikeignore` from
//! the entry's own folder up to the root, then `--ignore-file`, then `.gitignore` from its own folder up.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use ignore::Match;
use ignore::gitignore::{Gitignore, GitignoreBuilder, Glob};

use crate::dialect::spelled;
use crate::path::{Name, RelPath};

/// The ignore file that counts in every folder of the source.
pub const ALIKE_IGNORE: &[u8] = b".alikeignore";
/// The ignore file that counts with `--gitignore`.
pub const GIT_IGNORE: &[u8] = b".gitignore";

/// A pattern that cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("pattern \"{pattern}\": {why}")]
pub struct BadPattern {
    pattern: String,
    why: String,
}

/// The filters in force in one folder. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Filter {
    base: Arc<Base>,
    level: Option<Arc<Level>>,
    fingerprint: u64,
}

#[derive(Debug)]
struct Base {
    command_line: Gitignore,
    ignore_files: Gitignore,
    gitignore: bool,
}

#[derive(Debug)]
struct Level {
    above: Option<Arc<Level>>,
    /// Bytes of an entry's path that lead to this level's folder, the slash included.
    prefix: usize,
    alike: Option<Gitignore>,
    git: Option<Gitignore>,
}

/// Patterns as the user gave them.
#[derive(Clone, Debug, Default)]
pub struct Patterns {
    /// `--exclude`.
    pub exclude: Vec<String>,
    /// `--include`.
    pub include: Vec<String>,
    /// The lines of each `--ignore-file`.
    pub ignore_files: Vec<String>,
    /// `--gitignore`.
    pub gitignore: bool,
}

impl Filter {
    /// The filters of the root, before its own ignore files.
    ///
    /// # Errors
    /// When a pattern cannot be read.
    pub fn new(patterns: &Patterns) -> Result<Self, BadPattern> {
        let mut print = Fingerprint::default();
        let included: Vec<String> = patterns.include.iter().map(|pattern| format!("!{pattern}")).collect();
        let command_line = matcher(patterns.exclude.iter().chain(&included), &mut print)?;
        let ignore_files = matcher(patterns.ignore_files.iter().flat_map(|text| text.lines()), &mut print)?;
        print.add(&[u8::from(patterns.gitignore)]);
        let base = Arc::new(Base { command_line, ignore_files, gitignore: patterns.gitignore });
        Ok(Self { base, level: None, fingerprint: print.0 })
    }

    /// The names of the ignore files to read in a folder.
    #[must_use]
    pub fn ignore_files(&self) -> &'static [&'static [u8]] {
        if self.base.gitignore { &[ALIKE_IGNORE, GIT_IGNORE] } else { &[ALIKE_IGNORE] }
    }

    /// The filters inside `folder`, whose ignore files have these texts; a line that cannot be read is left out, and
    /// the first such comes with it.
    #[must_use]
    pub fn enter(
        &self,
        folder: &RelPath,
        alike: Option<&str>,
        git: Option<&str>,
    ) -> (Self, Option<BadPattern>) {
        if alike.is_none() && git.is_none() {
            return (self.clone(), None);
        }
        let mut print = Fingerprint(self.fingerprint);
        let mut bad = None;
        let mut read = |text: Option<&str>| {
            print.add(if text.is_some() { b"+" } else { b"-" });
            text.map(|text| lenient(text, &mut print, &mut bad))
        };
        let (alike, git) = (read(alike), read(git));
        let prefix = if folder.is_root() { 0 } else { folder.as_bytes().len() + 1 };
        let level = Some(Arc::new(Level { above: self.level.clone(), prefix, alike, git }));
        (Self { base: Arc::clone(&self.base), level, fingerprint: print.0 }, bad)
    }

    /// A number that changes when the rules do, the same in every run.
    #[must_use]
    pub fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    /// As [`Filter::fingerprint`], for a folder: rules may be anchored, so a folder that moves comes under other rules.
    #[must_use]
    pub fn fingerprint_in(&self, folder: &RelPath) -> u64 {
        if self.is_empty() {
            return self.fingerprint;
        }
        let mut print = Fingerprint(self.fingerprint);
        print.add(folder.as_bytes());
        print.0
    }

    /// True when no rule is in force, so that no path need be built to ask.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.level.is_none() && self.base.command_line.is_empty() && self.base.ignore_files.is_empty()
    }

    /// True when the filters leave `name` in `folder` out. The folder itself must not be excluded.
    #[must_use]
    pub fn excludes(&self, folder: &RelPath, name: &Name, is_folder: bool) -> bool {
        if self.is_empty() {
            return false;
        }
        self.excludes_path(&folder.join(name), is_folder)
    }

    /// True when the filters leave out a path or a folder above it.
    #[must_use]
    pub fn excludes_with_parents(&self, path: &RelPath, is_folder: bool) -> bool {
        let mut above = RelPath::root();
        let mut names = path.names().peekable();
        while let Some(name) = names.next() {
            above.push(&name);
            if self.excludes_path(&above, is_folder || names.peek().is_some()) {
                return true;
            }
        }
        false
    }

    /// The rule by which the filters leave `name` in `folder` out; of one that is kept, none.
    #[must_use]
    pub fn why(&self, folder: &RelPath, name: &Name, is_folder: bool) -> Option<Rule> {
        let path = folder.join(name);
        let (origin, matched) = self.deciding(&path, is_folder)?;
        let Match::Ignore(glob) = matched else { return None };
        let said = glob.from().map_or(glob.original().into(), Path::to_string_lossy);
        Some(Rule { origin: origin.of(&path), pattern: said.into_owned() })
    }

    fn excludes_path(&self, path: &RelPath, is_folder: bool) -> bool {
        self.deciding(path, is_folder).is_some_and(|(_, matched)| matched.is_ignore())
    }

    /// The rule that decides about a path, and where it stands.
    fn deciding(&self, path: &RelPath, is_folder: bool) -> Option<(Place, Match<&Glob>)> {
        let levels = || std::iter::successors(self.level.as_deref(), |level| level.above.as_deref());
        // A level says nothing of what is not below its folder.
        let asked = |rules, place: Place| {
            let path = path.as_bytes().get(place.prefix()..)?;
            Some((place, decide(rules, path, is_folder)?))
        };
        asked(&self.base.command_line, Place::CommandLine)
            .or_else(|| levels().find_map(|level| asked(level.alike.as_ref()?, Place::Alike(level.prefix))))
            .or_else(|| asked(&self.base.ignore_files, Place::IgnoreFiles))
            .or_else(|| levels().find_map(|level| asked(level.git.as_ref()?, Place::Git(level.prefix))))
    }
}

/// Why something is left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Where the pattern stands.
    pub origin: Origin,
    /// The pattern, as it stands there.
    pub pattern: String,
}

/// Where a pattern stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// `--exclude`.
    CommandLine,
    /// A file that `--ignore-file` names.
    IgnoreFile,
    /// The `.alikeignore` of this folder.
    Alike(RelPath),
    /// The `.gitignore` of this folder.
    Git(RelPath),
}

/// The same, cheaper: of a folder, how many bytes of a path in it lead there.
#[derive(Clone, Copy)]
enum Place {
    CommandLine,
    IgnoreFiles,
    Alike(usize),
    Git(usize),
}

impl Place {
    fn prefix(self) -> usize {
        match self {
            Self::CommandLine | Self::IgnoreFiles => 0,
            Self::Alike(prefix) | Self::Git(prefix) => prefix,
        }
    }

    fn of(self, path: &RelPath) -> Origin {
        let folder = |prefix: usize| {
            let folder = path.as_bytes().get(..prefix).unwrap_or_default();
            RelPath::parse(folder).unwrap_or_default()
        };
        match self {
            Self::CommandLine => Origin::CommandLine,
            Self::IgnoreFiles => Origin::IgnoreFile,
            Self::Alike(prefix) => Origin::Alike(folder(prefix)),
            Self::Git(prefix) => Origin::Git(folder(prefix)),
        }
    }
}

fn decide<'a>(rules: &'a Gitignore, path: &[u8], is_folder: bool) -> Option<Match<&'a Glob>> {
    use std::os::unix::ffi::OsStrExt;
    let path = Path::new(std::ffi::OsStr::from_bytes(path));
    Some(rules.matched(path, is_folder)).filter(|matched| !matched.is_none())
}

fn matcher<T: AsRef<str>>(
    lines: impl Iterator<Item = T>,
    print: &mut Fingerprint,
) -> Result<Gitignore, BadPattern> {
    let mut builder = GitignoreBuilder::new("");
    for line in lines {
        let line = line.as_ref();
        print.add(line.as_bytes());
        if line.starts_with('#') {
            continue;
        }
        let Some(spelled) = spelled(line) else { continue };
        // Who asks for the rule is told it as it stands in its file: that is what it comes from.
        let said = (spelled != line.trim_end()).then(|| PathBuf::from(line));
        builder
            .add_line(said, &spelled)
            .map_err(|error| BadPattern { pattern: line.to_owned(), why: error.to_string() })?;
    }
    builder.build().map_err(|error| BadPattern { pattern: String::new(), why: error.to_string() })
}

/// The rules of an ignore file, without the lines that cannot be read.
fn lenient(text: &str, print: &mut Fingerprint, bad: &mut Option<BadPattern>) -> Gitignore {
    // Some editors begin a file with a mark of its encoding.
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let good =
        text.lines().filter(|line| match matcher(std::iter::once(line), &mut Fingerprint::default()) {
            Ok(_) => true,
            Err(error) => {
                bad.get_or_insert(error);
                false
            }
        });
    let good: Vec<&str> = good.collect();
    matcher(good.into_iter(), print).unwrap_or_else(|_| Gitignore::empty())
}

/// FNV-1a, 64 bits: kept in the index, so it must be the same in every build (std's hasher need not be).
struct Fingerprint(u64);

impl Default for Fingerprint {
    fn default() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }
}

impl Fingerprint {
    fn add(&mut self, bytes: &[u8]) {
        for byte in bytes.iter().chain(b"\n") {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}
