//! Folders that two jobs would write, or that a job would write into what it reads: by path, before anything runs.

use std::path::{Component, Path, PathBuf};

use super::load::Placed;
use super::trouble::{Mistake, Spot};
use crate::settings;

/// A replica with where the file names it, and where it really is.
struct Claim<'p, 'a> {
    placed: &'p Placed<'a>,
    spot: Spot<'a>,
    at: PathBuf,
}

pub(crate) fn find<'a>(jobs: &[Placed<'a>], mistakes: &mut Vec<Mistake<'a>>) {
    let mut claims: Vec<Claim<'_, 'a>> = Vec::new();
    for placed in jobs {
        own_ends(placed, mistakes);
        for (path, spot) in placed.replicas() {
            let claim = Claim { placed, spot, at: really(&path) };
            mistakes.extend(claims.iter().find_map(|theirs| clash(&claim, theirs)));
            claims.push(claim);
        }
    }
    circles(jobs, mistakes);
}

impl<'a> Placed<'a> {
    fn replicas(&self) -> impl Iterator<Item = (PathBuf, Spot<'a>)> {
        let mirror = &self.job.mirror;
        let paths = std::iter::once(&mirror.pair.replica).chain(&mirror.also.also).cloned();
        paths.zip(self.replicas.iter().cloned())
    }
}

/// What two claims to one folder are told with.
fn clash<'a>(mine: &Claim<'_, 'a>, theirs: &Claim<'_, 'a>) -> Option<Mistake<'a>> {
    let name = |claim: &Claim<'_, '_>| format!("\"{}\"", claim.placed.job.name);
    let whose = if std::ptr::eq(mine.placed, theirs.placed) {
        format!("two replicas of the job {}", name(mine))
    } else {
        format!("the jobs {} and {}", name(theirs), name(mine))
    };
    let (what, label) = if mine.at == theirs.at {
        ("are one folder", "this is the same folder")
    } else if mine.at.starts_with(&theirs.at) {
        ("lie in each other", "this lies in the other")
    } else if theirs.at.starts_with(&mine.at) {
        ("lie in each other", "the other lies in this")
    } else {
        return None;
    };
    let title = match std::ptr::eq(mine.placed, theirs.placed) {
        true => format!("{whose} {what}"),
        false => format!("{whose} write one folder"),
    };
    let help = "what one writes there the other would delete; give each a folder of its own".to_owned();
    Some(Mistake::new(title, mine.spot.clone(), label).and(theirs.spot.clone(), "as this").help(help))
}

/// A replica that is its source, lies in it or around it, unless the filters leave it out.
fn own_ends<'a>(placed: &Placed<'a>, mistakes: &mut Vec<Mistake<'a>>) {
    let job = &placed.job;
    let source = really(&job.mirror.pair.source);
    for (path, spot) in placed.replicas() {
        let replica = really(&path);
        let (title, outer, inner) = if replica == source {
            ("source and replica are one folder", None, None)
        } else if replica.starts_with(&source) {
            ("the replica lies in its source", Some(&source), Some(&replica))
        } else if source.starts_with(&replica) {
            ("the source lies in its replica", Some(&replica), Some(&source))
        } else {
            continue;
        };
        let rest = outer.zip(inner).and_then(|(outer, inner)| inner.strip_prefix(outer).ok());
        if rest.is_some_and(|rest| settings::excludes(&job.mirror, rest)) {
            continue;
        }
        let mistake = Mistake::new(title, spot, "").and(placed.source.clone(), "the source");
        let help = rest.map(|rest| {
            format!("choose another folder, or leave it out: exclude = [\"/{}/\"]", rest.display())
        });
        mistakes.push(mistake.maybe_help(help));
    }
}

/// Jobs that copy to each other in a circle: none of them would ever rest, and each undoes the other.
fn circles<'a>(jobs: &[Placed<'a>], mistakes: &mut Vec<Mistake<'a>>) {
    let sources: Vec<PathBuf> = jobs.iter().map(|placed| really(&placed.job.mirror.pair.source)).collect();
    let feeds = |from: usize, to: usize| {
        jobs[from].replicas().any(|(path, _)| {
            let replica = really(&path);
            replica.starts_with(&sources[to]) || sources[to].starts_with(&replica)
        })
    };
    let leads_to: Vec<Vec<usize>> = (0..jobs.len())
        .map(|from| (0..jobs.len()).filter(|to| *to != from && feeds(from, *to)).collect())
        .collect();
    for (start, placed) in jobs.iter().enumerate() {
        let mut seen = vec![false; jobs.len()];
        let mut next = leads_to[start].clone();
        while let Some(job) = next.pop() {
            if job == start {
                let title = format!("what the job \"{}\" writes comes back to its source", placed.job.name);
                let mistake = Mistake::new(title, placed.source.clone(), "the source");
                let spot = placed.replicas.first().cloned();
                let mistake = match spot {
                    Some(spot) => mistake.and(spot, "goes on from here"),
                    None => mistake,
                };
                // One of a circle tells of it.
                return mistakes.push(mistake.help("alike copies one way only"));
            }
            if !std::mem::replace(&mut seen[job], true) {
                next.extend(&leads_to[job]);
            }
        }
    }
}

/// Where a path leads: through links and `..`, as far as it is there, and on from there by name.
fn really(path: &Path) -> PathBuf {
    // As many links to nothing as the kernel follows.
    const MOST_LINKS: usize = 40;
    let mut links = 0;
    let mut at = PathBuf::from("/");
    let mut rest = path.to_owned();
    loop {
        let mut parts = rest.components();
        let Some(part) = parts.next() else { return at };
        let mut then = parts.as_path().to_owned();
        match part {
            Component::ParentDir => drop(at.pop()),
            Component::RootDir => at = PathBuf::from("/"),
            part => at.push(part),
        }
        if let (Component::Normal(_), Ok(to)) = (part, at.read_link())
            && links < MOST_LINKS
        {
            links += 1;
            at.pop();
            then = to.join(then);
        }
        rest = then;
    }
}
