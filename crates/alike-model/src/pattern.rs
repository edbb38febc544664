//! One pattern that paths are looked for by: most are told apart by a glance at their bytes.

use memchr::memmem::Finder;

use crate::filter::{BadPattern, Filter, Patterns};
use crate::path::RelPath;

/// A pattern in gitignore syntax. What it matches, it matches with all below.
#[derive(Clone, Debug)]
pub struct Pattern {
    filter: Filter,
    /// What every path has in it that is matched, longest first.
    literals: Vec<Finder<'static>>,
}

impl Pattern {
    /// From what the user typed.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn new(text: &str) -> Result<Self, BadPattern> {
        let filter = Filter::new(&Patterns { exclude: vec![text.to_owned()], ..Patterns::default() })?;
        let mut literals = literals(text);
        literals.sort_unstable_by_key(|literal| std::cmp::Reverse(literal.len()));
        let literals = literals.into_iter().map(|literal| Finder::new(literal).into_owned()).collect();
        Ok(Self { filter, literals })
    }

    /// True for a path that it matches, or that lies below one.
    #[must_use]
    pub fn matches(&self, path: &RelPath) -> bool {
        self.filter.excludes_with_parents(path, false)
    }

    /// False only for a name in a folder that it does not match, and that does not lie below what it matches: a glance, much
    /// quicker than to match.
    #[must_use]
    pub fn may_match(&self, folder: &[u8], name: &[u8]) -> bool {
        self.literals.iter().all(|one| one.find(name).is_some() || one.find(folder).is_some())
    }
}

/// The parts of a pattern that stand for themselves, each within one name of a path.
fn literals(text: &str) -> Vec<&str> {
    // What these do is not worth telling here.
    if text.starts_with(['!', '#']) || text.contains(['\\', '{', '}']) {
        return Vec::new();
    }
    let text = text.trim_end();
    // Brackets, and all between several of them, stand for what is not known here.
    let (before, after) = match (text.find('['), text.rfind(']')) {
        (Some(begins), Some(ends)) if begins < ends => (&text[..begins], &text[ends + 1..]),
        (None, _) => (text, ""),
        _ => return Vec::new(),
    };
    let parts = before.split(['*', '?', '/']).chain(after.split(['*', '?', '/']));
    parts.filter(|part| !part.is_empty()).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_cannot_match_is_told_by_a_glance() {
        let pattern = Pattern::new("docs/**/a?[xy]*.txt").unwrap();
        assert!(pattern.may_match(b"docs/deep", b"abx.txt") && pattern.may_match(b"docs/a/y", b"c.txt.d"));
        for (folder, name) in [(&b"dogs/deep"[..], &b"abx.txt"[..]), (b"docs/deep", b"abx.md"), (b"", b"")] {
            assert!(!pattern.may_match(folder, name), "{folder:?}");
        }
    }

    proptest! {
        #[test]
        fn a_glance_never_misses_what_is_matched(
            pattern in "[!#/]?([ab.]|\\*|\\*\\*/|\\?|\\[[!ab]?[ab\\]]\\]|\\{a,b\\}|\\\\[*a]|/){1,6} ?",
            path in "[ab.*]{1,4}(/[ab.\\]]{1,4}){0,3}",
        ) {
            let path = RelPath::parse(path.as_bytes());
            if let (Some(path), Ok(pattern)) = (path, Pattern::new(&pattern)) {
                let whole = path.as_bytes();
                let slash = whole.iter().rposition(|byte| *byte == b'/');
                let (folder, name) = slash.map_or((&b""[..], whole), |at| (&whole[..at], &whole[at + 1..]));
                let may_match = pattern.may_match(folder, name) && pattern.may_match(whole, b"");
                prop_assert!(may_match || !pattern.matches(&path));
            }
        }
    }
}
