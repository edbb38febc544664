//! What failed, each path with its reason and since when: the first so many are named, the others counted.

use std::collections::BTreeMap;

use crate::dirty::Dirty;
use crate::entry::Time;
use crate::path::RelPath;

/// How a path failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// The reason, in words.
    pub why: String,
    /// When it first failed so.
    pub since: Time,
}

/// Paths that failed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Failures {
    named: BTreeMap<RelPath, Failure>,
    others: u64,
}

impl Failures {
    /// More than this are only counted.
    pub const MOST_NAMED: usize = 1_000;

    /// These, and so many more.
    #[must_use]
    pub fn of(named: impl IntoIterator<Item = (RelPath, Failure)>, others: u64) -> Self {
        let mut failures = Self::default();
        named.into_iter().for_each(|(path, failure)| failures.note(path, failure));
        failures.others += others;
        failures
    }

    /// Adds one; of one that is named already, the reason that came first stays.
    pub fn note(&mut self, path: RelPath, failure: Failure) {
        self.named.entry(path).or_insert(failure);
        // The first by name, whichever thread came first: else the same failures would look like news.
        if self.named.len() > Self::MOST_NAMED {
            self.named.pop_last();
            self.others += 1;
        }
    }

    /// What fails once a pass that looked at `looked`, but not at what it `left` to the next one, has ended with these. What fails
    /// as it did before does so since then.
    #[must_use]
    pub fn after(&self, (looked, left): (&Dirty, &Dirty), pass: Self) -> Self {
        let is_over = |path: &RelPath| match path.split() {
            Some((folder, name)) => looked.has(&folder, &name) && !left.is_at_or_above(path),
            None => looked.is_everything(),
        };
        let since = |path: &RelPath, failure: &Failure| {
            let before = self.named.get(path).filter(|before| before.why == failure.why);
            before.map_or(failure.since, |before| before.since)
        };
        let failed = pass.named.into_iter().map(|(path, failure)| {
            let since = since(&path, &failure);
            (path, Failure { since, ..failure })
        });
        let left = self.named.iter().filter(|(path, _)| !is_over(path));
        let mut now =
            Self::of(failed.chain(left.map(|(path, failure)| (path.clone(), failure.clone()))), pass.others);
        // Which the others are nobody knows: these may be among those of before, and only a look at everything ends them.
        now.others = if looked.is_everything() { now.others } else { now.others.max(self.others) };
        now
    }

    /// What failed of a path, or of the nearest folder above it. What is wrong with the top folder itself says nothing of what
    /// is in it.
    #[must_use]
    pub fn nearest(&self, path: &RelPath) -> Option<(RelPath, &Failure)> {
        let mut at = path.clone();
        loop {
            if let Some(failure) = self.named.get(&at) {
                return Some((at, failure));
            }
            at = at.split().map(|(above, _)| above).filter(|above| !above.is_root())?;
        }
    }

    /// Those that are named, in order.
    pub fn named(&self) -> impl Iterator<Item = (&RelPath, &Failure)> {
        self.named.iter()
    }

    /// How many more there are.
    #[must_use]
    pub fn others(&self) -> u64 {
        self.others
    }

    /// True when nothing failed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.named.is_empty() && self.others == 0
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn path(text: &str) -> RelPath {
        RelPath::parse(text.as_bytes()).unwrap()
    }

    fn failed(at: i64, paths: &[&str]) -> Failures {
        let failure = Failure { why: "no space".to_owned(), since: Time { secs: at, nanos: 0 } };
        Failures::of(paths.iter().map(|text| (path(text), failure.clone())), 0)
    }

    fn dirt(text: &str) -> Dirty {
        let (folder, name) = path(text).split().unwrap();
        let mut dirty = Dirty::new();
        dirty.mark_name(folder, name);
        dirty
    }

    fn since(failures: &Failures) -> Vec<(String, i64)> {
        failures.named().map(|(path, failure)| (path.to_string(), failure.since.secs)).collect()
    }

    fn are(expected: &[(&str, i64)]) -> Vec<(String, i64)> {
        expected.iter().map(|(path, at)| ((*path).to_owned(), *at)).collect()
    }

    #[test]
    fn a_path_fails_since_it_first_did_so_until_it_is_looked_at_and_fails_no_more() {
        let (first, none) = (failed(1, &["a", "b/c"]), Dirty::new());
        let again = first.after((&dirt("a"), &none), failed(2, &["a"]));
        assert_eq!(again, first, "the same is no news");
        let mended = first.after((&dirt("a"), &none), Failures::default());
        assert_eq!(since(&mended), are(&[("b/c", 1)]));
        assert_eq!(
            mended.after((&dirt("b"), &none), Failures::default()),
            mended,
            "only the folder was looked at"
        );
        let left = first.after((&Dirty::everything(), &dirt("b")), Failures::default());
        assert_eq!(since(&left), are(&[("b/c", 1)]), "the next pass looks at it");
        assert!(mended.after((&Dirty::everything(), &none), Failures::default()).is_empty());
        let stopped = first.after((&none, &none), failed(3, &["d"]));
        assert_eq!(since(&stopped), are(&[("a", 1), ("b/c", 1), ("d", 3)]));
        let mut otherwise = failed(4, &["a"]);
        otherwise.named.get_mut(&path("a")).unwrap().why = "no permission".to_owned();
        assert_eq!(since(&first.after((&dirt("a"), &none), otherwise)), are(&[("a", 4), ("b/c", 1)]));
    }

    #[test]
    fn of_a_path_in_a_folder_that_failed_the_folder_is_told_and_never_the_top() {
        let none = Dirty::new();
        let failures = failed(1, &["docs", "docs/a"]).after((&none, &none), {
            let mut top = Failures::default();
            let failure = Failure { why: String::new(), since: Time::default() };
            top.note(RelPath::root(), failure);
            top
        });
        let at = |text: &str| failures.nearest(&path(text)).map(|(at, _)| at.to_string());
        assert_eq!(at("docs/a/deep"), Some("docs/a".to_owned()));
        assert_eq!(at("docs/b"), Some("docs".to_owned()));
        assert_eq!(at("elsewhere"), None);
        assert!(failures.nearest(&RelPath::root()).is_some());
    }

    #[test]
    fn of_very_many_the_first_by_name_are_named_in_whatever_order_they_come() {
        let (most, none) = (Failures::MOST_NAMED, Dirty::new());
        let all: Vec<String> = (0..most + 5).map(|number| format!("{number:05}")).collect();
        let all: Vec<&str> = all.iter().map(String::as_str).collect();
        let upwards = failed(1, &all);
        let downwards = failed(1, &all.iter().rev().copied().collect::<Vec<_>>());
        assert_eq!(upwards, downwards);
        assert_eq!((upwards.named().count(), upwards.others()), (most, 5));
        assert_eq!(upwards.after((&Dirty::everything(), &none), downwards), upwards);
        let one_less = upwards.after((&dirt("00007"), &none), Failures::default());
        assert_eq!((one_less.named().count(), one_less.others()), (most - 1, 5));
    }
}
