//! Which files there are, and which of them a name in a document means.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Last parts of paths in backticks that look like ours and are a user's, or made by a run.
const NOT_OURS: [&str; 4] = ["alike.toml", "logfile.log", "a.txt", "out"];

pub fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).map_or_else(|| here.to_path_buf(), Path::to_path_buf)
}

pub fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("cannot read {}: {error}", path.display()))
}

pub fn design() -> String {
    read(&root().join("DESIGN.md"))
}

/// Every file from the root down, as `a/b/c`, without what git and cargo keep for themselves.
pub fn walk(folder: &Path, prefix: &str, into: &mut BTreeSet<String>) {
    let listing =
        fs::read_dir(folder).unwrap_or_else(|error| panic!("cannot list {}: {error}", folder.display()));
    for entry in listing.flatten() {
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if [".git", "target", "bench/out"].contains(&name.as_str()) {
            continue;
        }
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => walk(&entry.path(), &format!("{name}/"), into),
            _ => drop(into.insert(name)),
        }
    }
}

pub fn sources() -> Vec<String> {
    let is_source = |file: &String| {
        file.starts_with("crates/") && file.split('/').nth(2) == Some("src") && file.ends_with(".rs")
    };
    Repository::look().all.into_iter().filter(is_source).collect()
}

pub fn is_document(file: &str) -> bool {
    file.ends_with(".md") && (!file.contains('/') || file.starts_with("docs/"))
}

pub fn manifests() -> BTreeMap<String, String> {
    let all = Repository::look().all;
    let manifests = all.iter().filter_map(|file| file.strip_prefix("crates/")?.strip_suffix("/Cargo.toml"));
    manifests
        .map(|name| (name.to_owned(), read(&root().join("crates").join(name).join("Cargo.toml"))))
        .collect()
}

/// What a name in DESIGN.md leads to.
#[derive(PartialEq, Debug)]
pub enum Found {
    File(String),
    Folder,
    Several,
    Nothing,
}

impl Found {
    pub fn one(self) -> Option<String> {
        if let Found::File(file) = self { Some(file) } else { None }
    }
}

pub struct Repository {
    pub all: BTreeSet<String>,
}

impl Repository {
    pub fn look() -> Self {
        let mut all = BTreeSet::new();
        walk(&root(), "", &mut all);
        Repository { all }
    }

    pub fn find(&self, name: &str) -> Found {
        let (first, rest) = name.split_once('/').unwrap_or((name, ""));
        let short = [
            name.to_owned(),
            format!("crates/{name}"),
            format!("crates/{first}/src/{rest}"),
            format!("crates/alike-{first}/src/{rest}"),
        ];
        if let Some(file) = short.iter().find(|path| self.all.contains(*path)) {
            return Found::File(file.clone());
        }
        if short.iter().any(|path| self.has_folder(path)) {
            return Found::Folder;
        }
        let tail = format!("/{}", name.trim_end_matches('/'));
        let mut fits = self.all.iter().filter(|file| file.ends_with(&tail));
        match (fits.next(), fits.next()) {
            (Some(file), None) => Found::File(file.clone()),
            (Some(_), Some(_)) => Found::Several,
            _ if self.all.iter().any(|file| file.contains(&format!("{tail}/"))) => Found::Folder,
            _ => Found::Nothing,
        }
    }

    pub fn has_folder(&self, path: &str) -> bool {
        let inside = format!("{}/", path.trim_end_matches('/'));
        self.all.range(inside.clone()..).next().is_some_and(|file| file.starts_with(&inside))
    }

    /// Whether a name that leads nowhere was meant as a file of this repository, not of a user's or of Linux.
    pub fn would_be_ours(&self, name: &str) -> bool {
        let last = name.rsplit('/').next().unwrap_or(name);
        if NOT_OURS.contains(&last) {
            return false;
        }
        let top = name.split('/').next().unwrap_or("");
        let known_top =
            name.contains('/') && (self.has_folder(top) || self.has_folder(&format!("crates/{top}")));
        known_top || [".rs", ".md", ".toml"].iter().any(|end| name.ends_with(end))
    }
}
