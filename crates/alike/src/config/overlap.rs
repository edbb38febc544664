//! Folders that two jobs would write, or that a job would write into what it reads: by path, before anything runs.

use std::path::{Path, PathBuf};

use alike_engine::claims::foreseen;
use alike_storage::linux;

use super::reading::Placed;
use super::trouble::{Mistake, Spot};
use crate::settings;

/// Where a folder is: by name, and in its filesystem, which is the same through every bind mount.
struct Place {
    path: PathBuf,
    in_filesystem: Option<(String, PathBuf)>,
}

/// A job with its folders as they are found, and where the file names them.
struct Found<'p, 'a> {
    placed: &'p Placed<'a>,
    source: Place,
    replicas: Vec<(Place, Spot<'a>)>,
}

/// A replica among all replicas.
struct Claim<'f, 'p, 'a> {
    job: &'f Found<'p, 'a>,
    place: &'f Place,
    spot: &'f Spot<'a>,
}

/// Notes each pair of folders that cannot be.
pub(crate) fn find<'a>(jobs: &[Placed<'a>], mistakes: &mut Vec<Mistake<'a>>) {
    let found: Vec<Found<'_, 'a>> = jobs.iter().map(Found::of).collect();
    let before = mistakes.len();
    let mut claims: Vec<Claim<'_, '_, 'a>> = Vec::new();
    for job in &found {
        mistakes.extend(job.replicas.iter().filter_map(|replica| own_ends(job, replica)));
        for (place, spot) in &job.replicas {
            let claim = Claim { job, place, spot };
            mistakes.extend(claims.iter().find_map(|theirs| clash(&claim, theirs)));
            claims.push(claim);
        }
    }
    if mistakes.len() == before {
        mistakes.extend(circle(&found));
    }
}

impl<'p, 'a> Found<'p, 'a> {
    fn of(placed: &'p Placed<'a>) -> Self {
        let mirror = &placed.job.mirror;
        let replicas = std::iter::once(&mirror.pair.replica).chain(&mirror.also.also);
        let replicas = replicas.map(|path| Place::of(path)).zip(placed.replicas.iter().cloned()).collect();
        Self { placed, source: Place::of(&mirror.pair.source), replicas }
    }

    fn name(&self) -> &str {
        &self.placed.job.name
    }

    /// True when this job's filters leave out what lies there below its tops.
    fn leaves_out(&self, rest: &Path) -> bool {
        settings::excludes(&self.placed.job.mirror, rest)
    }

    /// The replica that this job writes where `other` reads, when it does.
    fn feeds(&self, other: &Self) -> Option<&Spot<'a>> {
        let feeds = |replica: &Place| {
            let inside = replica.below(&other.source).is_some_and(|rest| !other.leaves_out(&rest));
            inside || other.source.below(replica).is_some_and(|rest| !self.leaves_out(&rest))
        };
        self.replicas.iter().find(|(replica, _)| feeds(replica)).map(|(_, spot)| spot)
    }
}

/// Two replicas that are one folder, or one in the other.
fn clash<'a>(mine: &Claim<'_, '_, 'a>, theirs: &Claim<'_, '_, 'a>) -> Option<Mistake<'a>> {
    let label = match (mine.place.below(theirs.place), theirs.place.below(mine.place)) {
        (Some(_), Some(_)) => "this is the same folder",
        (Some(_), None) => "this lies in the other",
        (None, Some(_)) => "the other lies in this",
        (None, None) => return None,
    };
    let title = match std::ptr::eq(mine.job, theirs.job) {
        true => format!("two replicas of the job \"{}\" are one folder", mine.job.name()),
        false => format!("the jobs \"{}\" and \"{}\" write one folder", theirs.job.name(), mine.job.name()),
    };
    let mistake = Mistake::new(title, mine.spot.clone(), label).and(theirs.spot.clone(), "the other");
    Some(mistake.help("what one copies there the other would delete; give each a folder of its own"))
}

/// A replica that is its source, lies in it or around it, unless the filters leave it out.
fn own_ends<'a>(job: &Found<'_, 'a>, (replica, spot): &(Place, Spot<'a>)) -> Option<Mistake<'a>> {
    let (title, rest) = match (replica.below(&job.source), job.source.below(replica)) {
        (Some(_), Some(_)) => ("source and replica are one folder", None),
        (Some(rest), None) => ("the replica lies in its source", Some(rest)),
        (None, Some(rest)) => ("the source lies in its replica", Some(rest)),
        (None, None) => return None,
    };
    if rest.as_deref().is_some_and(|rest| job.leaves_out(rest)) {
        return None;
    }
    let help = rest.map(|rest| {
        format!("choose another folder, or leave it out: exclude = [\"/{}/\"]", crate::doctor::shown(&rest))
    });
    let mistake = Mistake::new(title, spot.clone(), "").and(job.placed.source.clone(), "the source");
    Some(mistake.maybe_help(help))
}

/// Jobs that copy to each other in a circle: each undoes what another did.
fn circle<'a>(jobs: &[Found<'_, 'a>]) -> Option<Mistake<'a>> {
    let others = |from: usize| jobs.iter().enumerate().filter(move |(to, _)| *to != from);
    let leads: Vec<Vec<(usize, &Spot<'a>)>> = (0..jobs.len())
        .map(|from| others(from).filter_map(|(to, job)| Some((to, jobs[from].feeds(job)?))).collect())
        .collect();
    for (start, first) in jobs.iter().enumerate() {
        let mut seen = vec![false; jobs.len()];
        let mut next = vec![start];
        while let Some(from) = next.pop() {
            for (to, spot) in &leads[from] {
                if *to == start {
                    let title = format!("what the job \"{}\" copies comes back to its source", first.name());
                    let mistake = Mistake::new(title, (*spot).clone(), "it comes back here");
                    let mistake = mistake.and(first.placed.source.clone(), "its source");
                    return Some(
                        mistake.help("alike copies one way; let no job write where the first one reads"),
                    );
                }
                if !std::mem::replace(&mut seen[*to], true) {
                    next.push(*to);
                }
            }
        }
    }
    None
}

impl Place {
    fn of(path: &Path) -> Self {
        let path = really(path);
        let in_filesystem = linux::path_in_filesystem(&path);
        Self { path, in_filesystem }
    }

    /// The path of this below `outer`, when it lies there, or is the same.
    fn below(&self, outer: &Self) -> Option<PathBuf> {
        let by_name = self.path.strip_prefix(&outer.path).ok().map(Path::to_owned);
        by_name.or_else(|| {
            let (device, path) = self.in_filesystem.as_ref()?;
            let (outer_device, outer) = outer.in_filesystem.as_ref()?;
            path.strip_prefix(outer).ok().filter(|_| device == outer_device).map(Path::to_owned)
        })
    }
}

/// Where a path leads: through links and `..`, also where they lead to what is not there yet.
fn really(path: &Path) -> PathBuf {
    foreseen(path).unwrap_or_else(|_| path.to_owned())
}
