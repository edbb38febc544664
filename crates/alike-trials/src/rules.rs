//! What filters leave out, read anew and naively: whole names and paths, the few patterns that the histories use.

use std::collections::BTreeSet;

use crate::judge::{Shown, Sight};

/// The rules that passes are given from outside of the source.
#[derive(Debug, Clone, Default)]
pub struct Rules {
    /// What `--exclude` says.
    pub exclude: &'static [&'static str],
    /// What is in the file that `--ignore-file` names; nothing: none is named.
    pub file: &'static str,
}

/// One pattern of each kind that there is without wildcards.
pub const PATTERNS: [&str; 10] = ["e", "/b", "c/", "!e", "/d/a", "!c/", "f", "!/b", "g", "a/b"];

pub const EXCLUDES: [&[&str]; 6] = [&[], &["e"], &["/b", "g"], &["c/"], &["a/d"], &[]];

pub const FILES: [&str; 5] = ["", "f\n", "e\n!/e\n", "/c\n/d/e\n", ""];

pub const IGNORE_FILE: &[u8] = b".alikeignore";

impl Rules {
    /// Which paths of either tree are left out, with all that is below them. Of a folder that the source does not have, what
    /// its ignore file said counts, which the replica still has.
    pub fn left_out(&self, source: &Shown, replica: &Shown) -> BTreeSet<Vec<u8>> {
        let mut out = BTreeSet::new();
        let both: BTreeSet<&Vec<u8>> = source.0.keys().chain(replica.0.keys()).collect();
        for path in both {
            let shown = source.0.get(path).or_else(|| replica.0.get(path));
            let is_folder = shown == Some(&Sight::Folder);
            if out.contains(above(path)) || self.is_left_out((source, replica), path, is_folder) {
                out.insert(path.clone());
            }
        }
        out
    }

    fn is_left_out(&self, (source, replica): (&Shown, &Shown), path: &[u8], is_folder: bool) -> bool {
        if self.exclude.iter().any(|line| said(line, path, is_folder) == Some(true)) {
            return true;
        }
        let mut folder = path;
        while !folder.is_empty() {
            folder = above(folder);
            let is_there = folder.is_empty() || source.0.get(folder) == Some(&Sight::Folder);
            let tree = if is_there { source } else { replica };
            let start = if folder.is_empty() { 0 } else { folder.len() + 1 };
            let file = [&path[..start], IGNORE_FILE].concat();
            let Some(Sight::File(text)) = tree.0.get(&file) else { continue };
            if let Some(said) = last(&String::from_utf8_lossy(text), &path[start..], is_folder) {
                return said;
            }
        }
        last(self.file, path, is_folder) == Some(true)
    }

    pub fn are_given(&self) -> bool {
        !self.exclude.is_empty() || !self.file.is_empty()
    }
}

/// The folder of a path; the top is empty.
pub fn above(path: &[u8]) -> &[u8] {
    &path[..path.iter().rposition(|byte| *byte == b'/').unwrap_or(0)]
}

pub fn name_of(path: &[u8]) -> &[u8] {
    path.rsplit(|byte| *byte == b'/').next().unwrap_or_default()
}

/// The last line that says anything of a path counts.
fn last(text: &str, path: &[u8], is_folder: bool) -> Option<bool> {
    text.lines().rev().find_map(|line| said(line, path, is_folder))
}

/// Whether a line leaves a path out or keeps it; a line without an inner slash means that name wherever it is.
fn said(line: &str, path: &[u8], is_folder: bool) -> Option<bool> {
    let (leaves_out, line) = line.strip_prefix('!').map_or((true, line), |line| (false, line));
    let (folders_only, line) = line.strip_suffix('/').map_or((false, line), |line| (true, line));
    let fits = match line.strip_prefix('/') {
        Some(line) => line.as_bytes() == path,
        None if line.contains('/') => line.as_bytes() == path,
        None => line.as_bytes() == name_of(path),
    };
    (fits && (is_folder || !folders_only)).then_some(leaves_out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(paths: &[(&str, Option<&str>)]) -> Shown {
        let sight = |text: &Option<&str>| text.map_or(Sight::Folder, |text| Sight::File(text.into()));
        Shown(paths.iter().map(|(path, text)| (path.as_bytes().to_vec(), sight(text))).collect())
    }

    fn left_out(rules: &Rules, source: &Shown, replica: &Shown) -> Vec<String> {
        let out = rules.left_out(source, replica);
        out.into_iter().map(|path| String::from_utf8_lossy(&path).into_owned()).collect()
    }

    #[test]
    fn the_nearest_ignore_file_that_says_anything_counts_and_below_what_is_out_all_is() {
        let source = shown(&[
            (".alikeignore", Some("e\n/b\nc/")),
            ("b", None),
            ("b/x", Some("")),
            ("c", Some("")),
            ("d", None),
            ("d/.alikeignore", Some("!e\n/b/e")),
            ("d/b", None),
            ("d/b/e", Some("")),
            ("d/c", None),
            ("d/e", Some("")),
            ("e", Some("")),
        ]);
        assert_eq!(
            left_out(&Rules::default(), &source, &Shown::default()),
            ["b", "b/x", "d/b/e", "d/c", "e"]
        );
    }

    #[test]
    fn a_folder_that_only_the_replica_has_keeps_its_rules() {
        let replica =
            shown(&[("d", None), ("d/.alikeignore", Some("e")), ("d/e", Some("")), ("e", Some(""))]);
        assert_eq!(left_out(&Rules::default(), &Shown::default(), &replica), ["d/e"]);
        assert_eq!(left_out(&Rules::default(), &shown(&[("d", None)]), &replica), [""; 0]);
    }

    #[test]
    fn the_command_line_comes_first_and_the_file_from_outside_last() {
        let rules = Rules { exclude: &["e"], file: "f" };
        let source = shown(&[
            ("d", None),
            ("d/.alikeignore", Some("!e\n!f")),
            ("d/e", Some("")),
            ("d/f", Some("")),
            ("f", Some("")),
        ]);
        assert_eq!(left_out(&rules, &source, &Shown::default()), ["d/e", "f"]);
    }
}
