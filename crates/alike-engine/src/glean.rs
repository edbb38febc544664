//! What is wanted of the history, found without unpacking the rest: newest first, on several threads, no further than need be.

use std::collections::HashSet;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use alike_model::entry::Time;
use alike_model::event::Action;
use alike_model::past::rebased;
use alike_model::path::RelPath;
use alike_model::pattern::Pattern;

use crate::chronicle::{self, Written, is_in_trash};
use crate::history::Deed;
use crate::packed::nanos;
use crate::parts::{self, Asked};
use crate::trash::Trash;
use crate::unpacked::{Glimpse, full};

/// Which deeds are wanted; all, unless something is said.
#[derive(Clone, Default)]
pub struct Wanted {
    /// Done then or later.
    pub since: Option<Time>,
    /// Done then or before.
    pub until: Option<Time>,
    /// By this pass.
    pub pass: Option<u64>,
    /// Of these kinds.
    pub actions: Vec<Action>,
    /// On paths that this matches, or below such.
    pub matching: Option<Pattern>,
    /// No more than so many, the last.
    pub last: Option<usize>,
}

impl Wanted {
    /// True for a deed that is wanted, as far as it alone can tell.
    #[must_use]
    pub fn has(&self, deed: &Deed) -> bool {
        let is_near = self.since.is_none_or(|since| deed.at >= since);
        let is_past = self.until.is_none_or(|until| deed.at <= until);
        is_near
            && is_past
            && self.has_apart_from_time((deed.pass, deed.action), || {
                let matches =
                    |path: &RelPath| self.matching.as_ref().is_none_or(|pattern| pattern.matches(path));
                matches(&deed.path) || deed.from.as_ref().is_some_and(matches)
            })
    }

    /// True when nothing ends the search.
    fn looks_at_all(&self) -> bool {
        self.last.is_none() && self.since.is_none() && self.until.is_none()
    }

    fn has_apart_from_time(&self, (pass, action): (u64, Action), matches: impl FnOnce() -> bool) -> bool {
        self.pass.is_none_or(|wanted| wanted == pass)
            && (self.actions.is_empty() || self.actions.contains(&action))
            && matches()
    }

    fn glimpsed(&self, glimpse: &Glimpse<'_>) -> bool {
        let is_near = self.since.is_none_or(|since| glimpse.nanos >= nanos(since));
        let is_past = self.until.is_none_or(|until| glimpse.nanos <= nanos(until));
        is_near
            && is_past
            && self.has_apart_from_time((glimpse.pass, glimpse.action), || {
                self.matching.as_ref().is_none_or(|pattern| {
                    let matches = |folder: &[u8], name: &[u8]| {
                        let parsed = || RelPath::parse(&full(folder, name));
                        pattern.may_match(folder, name) && parsed().is_some_and(|path| pattern.matches(&path))
                    };
                    matches(glimpse.folder, glimpse.name)
                        || glimpse.from.is_some_and(|from| matches(from, b""))
                })
            })
    }
}

/// What is wanted, oldest first; none that was written down and then not done.
///
/// # Errors
/// When a journal cannot be read.
pub fn wanted(trash: &Trash, wanted: &Wanted) -> io::Result<Vec<Written>> {
    wanted_besides(trash, wanted, |_| {})
}

/// The same, unless something in the history is called `name` or lies below it.
///
/// # Errors
/// When a journal cannot be read.
pub fn wanted_unless_named(
    trash: &Trash,
    wanted: &Wanted,
    name: &RelPath,
) -> io::Result<Option<Vec<Written>>> {
    if !wanted.looks_at_all() {
        return if is_named(trash, name)? { Ok(None) } else { self::wanted(trash, wanted).map(Some) };
    }
    let may_be_named = AtomicBool::new(false);
    let found = wanted_besides(trash, wanted, |glimpse| {
        if glimpse.is_within(name.as_bytes()) {
            may_be_named.store(true, Ordering::Relaxed);
        }
    })?;
    Ok(if may_be_named.into_inner() && is_named(trash, name)? { None } else { Some(found) })
}

/// True when something in the history is called so or lies below it.
///
/// # Errors
/// When a journal cannot be read.
pub fn is_named(trash: &Trash, name: &RelPath) -> io::Result<bool> {
    let is_it = |path: &RelPath| path.is_within(name);
    let all = of_path(trash, name)?;
    Ok(all.iter().any(|one| is_it(&one.deed.path) || one.deed.from.as_ref().is_some_and(is_it)))
}

fn wanted_besides(
    trash: &Trash,
    wanted: &Wanted,
    also: impl Fn(&Glimpse<'_>) + Sync,
) -> io::Result<Vec<Written>> {
    let question = |glimpse: &Glimpse<'_>| {
        also(glimpse);
        wanted.glimpsed(glimpse)
    };
    let asked = Asked { question: &question, between: (wanted.since, wanted.until), last: wanted.last };
    let mut found = match gather(trash, &asked)? {
        Some(found) if !is_uncertain(&found) => found,
        _ => chronicle::read(trash)?.into_iter().filter(|written| wanted.has(&written.deed)).collect(),
    };
    if let Some(last) = wanted.last {
        found.drain(..found.len().saturating_sub(last));
    }
    Ok(found)
}

/// All that can matter for what a path was, is and was called, oldest first: the same comes of it as of the whole history.
///
/// # Errors
/// When a journal cannot be read.
pub fn of_path(trash: &Trash, path: &RelPath) -> io::Result<Vec<Written>> {
    let mut names = vec![path.clone()];
    loop {
        let question = |glimpse: &Glimpse<'_>| is_related(glimpse, &names);
        let asked = Asked { question: &question, between: (None, None), last: None };
        let Some(found) = gather(trash, &asked)? else { return chronicle::read(trash) };
        // What is known by its inode alone may have any name.
        let is_twin =
            |written: &Written| matches!(written.old_spot(), Some(alike_model::past::Spot::Twin(_)));
        if is_uncertain(&found) || found.iter().any(is_twin) {
            return chronicle::read(trash);
        }
        let more = other_names(&found, &names);
        if more.is_empty() {
            return Ok(found);
        }
        names.extend(more);
    }
}

/// Paths from which, or to which, what has one of these names came: what was done to them before or after counts as well.
fn other_names(found: &[Written], names: &[RelPath]) -> HashSet<RelPath> {
    let slots: HashSet<RelPath> =
        found.iter().filter(|written| written.deed.kept).map(Written::slot).collect();
    let mut more = HashSet::new();
    for written in found {
        let deed = &written.deed;
        let from = deed.from.as_ref().filter(|_| deed.swapped || written.came_from().is_some());
        let Some(from) = from else { continue };
        if is_in_trash(from) {
            let is_theirs = |slot: &RelPath| slots.contains(slot);
            let above =
                std::iter::successors(Some(from.clone()), |path| path.split().map(|(above, _)| above));
            if above.into_iter().any(|slot| is_theirs(&slot)) {
                more.insert(deed.path.clone());
            }
            continue;
        }
        for name in names {
            if name.is_within(&deed.path) {
                more.insert(rebased(name, &deed.path, from));
            }
            if name.is_within(from) {
                more.insert(rebased(name, from, &deed.path));
            }
        }
    }
    more.retain(|name| !names.contains(name));
    more
}

fn is_related(glimpse: &Glimpse<'_>, names: &[RelPath]) -> bool {
    let is_at = |name: &RelPath| glimpse.is_related_to(name.as_bytes());
    names.iter().any(is_at)
        || glimpse.from.is_some_and(|from| {
            from.starts_with(alike_model::path::OWN_FOLDER)
                || names.iter().any(|name| within(from, name.as_bytes()) || within(name.as_bytes(), from))
        })
}

/// True for what is `path` or below it.
fn within(one: &[u8], path: &[u8]) -> bool {
    path.is_empty() || one.strip_prefix(path).is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
}

impl Glimpse<'_> {
    /// True when the path, or that from which it came, is this one or below it.
    fn is_within(&self, path: &[u8]) -> bool {
        let is_it = match path.strip_prefix(self.folder) {
            Some(rest) if self.folder.is_empty() => rest == self.name,
            Some([b'/', rest @ ..]) => rest == self.name,
            _ => false,
        };
        is_it || within(self.folder, path) || self.from.is_some_and(|from| within(from, path))
    }

    /// True when the path is this one, below it or above it.
    fn is_related_to(&self, path: &[u8]) -> bool {
        if within(self.folder, path) {
            return true;
        }
        let Some(rest) = path.strip_prefix(self.folder) else { return false };
        match self.folder {
            _ if self.name.is_empty() => within(path, self.folder),
            b"" => within(rest, self.name),
            _ => rest.strip_prefix(b"/").is_some_and(|rest| within(rest, self.name)),
        }
    }
}

/// True when only the whole history tells whether all of it was done.
fn is_uncertain(found: &[Written]) -> bool {
    found.iter().any(|written| written.deed.kept && !written.deed.told)
}

/// `None`: the clock was set back, or a journal is of an older version; only the whole history tells the order.
fn gather(trash: &Trash, asked: &Asked<'_>) -> io::Result<Option<Vec<Written>>> {
    // So many journals are open at once.
    const TOGETHER: usize = 64;
    let mut buckets = trash.buckets()?;
    buckets.retain(|bucket| asked.may_be_in(bucket));
    buckets.reverse();
    let mut newer: Option<(u64, u64)> = None;
    let (mut found, mut count) = (Vec::new(), 0);
    'history: for some in buckets.chunks(if asked.ends_early() { 1 } else { TOGETHER }) {
        // One more than need be: its passes tell whether the clock was set back.
        let is_enough = asked.last.is_some_and(|last| count >= last);
        let last = asked.last.map(|last| last.saturating_sub(count));
        for (bucket, reading) in some.iter().zip(parts::read(trash, some, asked, last)?) {
            let Some(reading) = reading else { continue };
            if !reading.is_whole {
                return Ok(None);
            }
            let Some(passes) = reading.passes else { continue };
            if newer.is_some_and(|newer| passes.0 > newer.0 || passes.1 > newer.1) {
                return Ok(None);
            }
            if is_enough {
                break 'history;
            }
            newer = Some(passes);
            let mut deeds = reading.deeds;
            deeds.sort_by_key(|deed| deed.n);
            count += deeds.len();
            found.push((bucket, deeds));
        }
    }
    let all = found.into_iter().rev().flat_map(|(bucket, deeds)| {
        let bucket: Arc<str> = bucket.as_str().into();
        deeds.into_iter().map(move |deed| Written { bucket: Arc::clone(&bucket), deed })
    });
    Ok(Some(all.collect()))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use std::time::Duration;

    use alike_storage::Folder;
    use alike_testkit::{Pair, Scramble, Tree};

    use super::*;

    /// Deeds of many passes on few paths, some that take something away, in frames of all lengths.
    fn fill(trash: &Trash, scramble: &mut Scramble) {
        for n in 0..12_000_u64 {
            let at = Time { secs: 1_790_000_000 + (n / 20).cast_signed(), nanos: 5 };
            let path = format!("area-{}/folder-{}/file-{}", n % 7, n % 63, scramble.below(500));
            let action = [Action::Create, Action::Update, Action::Meta][scramble.below(3)];
            let path = RelPath::parse(path.as_bytes()).unwrap();
            let deed =
                Deed { reason: format!("reason {}", n % 40), ..Deed::of((n / 100, at), action, &path) };
            trash.note(deed).unwrap();
            if scramble.below(if n % 3000 < 1500 { 2 } else { 300 }) == 0 {
                trash.flush().unwrap();
            }
        }
        trash.flush().unwrap();
    }

    #[test]
    fn what_is_gleaned_is_what_is_picked_from_the_whole_whatever_is_damaged() {
        let room = Pair::new("/nowhere");
        let own = Tree::make(room.beside("replica/.alike"));
        let trash = || Trash::of(Folder::open(own.top()).unwrap(), Duration::MAX).unwrap();
        let mut scramble = Scramble::new("glean");
        fill(&trash(), &mut scramble);
        let journal = own.path("trash").join(&trash().buckets().unwrap()[0]).join("journal");
        let whole = std::fs::read(&journal).unwrap();
        let plain = Wanted::default();
        let since = Some(Time { secs: 1_790_000_000 + 1200, nanos: 0 });
        let asked = [
            Wanted { last: Some(20), ..plain.clone() },
            Wanted { pass: Some(77), ..plain.clone() },
            Wanted { since, last: Some(3000), ..plain.clone() },
            Wanted { actions: vec![Action::Update], until: since, ..plain.clone() },
            Wanted { matching: Some(Pattern::new("folder-1*/**/*-4?2").unwrap()), ..plain.clone() },
            plain,
        ];
        for round in 0..8 {
            let mut damaged = whole.clone();
            for _ in 0..round {
                let at = scramble.below(damaged.len());
                damaged[at] ^= 1 << scramble.below(8);
            }
            damaged.truncate(whole.len() - round * 1000);
            std::fs::write(&journal, &damaged).unwrap();
            let all = chronicle::read(&trash()).unwrap();
            for asked in &asked {
                let mut picked: Vec<u64> = all
                    .iter()
                    .map(|one| &one.deed)
                    .filter(|deed| asked.has(deed))
                    .map(|deed| deed.n)
                    .collect();
                picked.drain(..picked.len().saturating_sub(asked.last.unwrap_or(usize::MAX)));
                let got: Vec<u64> = wanted(&trash(), asked).unwrap().iter().map(|one| one.deed.n).collect();
                assert_eq!(got, picked, "round {round}");
            }
            let path = RelPath::parse(b"area-3/folder-10").unwrap();
            let is_below = |one: &&Written| one.deed.path.is_within(&path);
            let of = |all: &[Written]| all.iter().filter(is_below).map(|one| one.deed.n).collect::<Vec<_>>();
            assert_eq!(of(&of_path(&trash(), &path).unwrap()), of(&all), "round {round}");
        }
    }
}
