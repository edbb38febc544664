//! The folders that a service needs, and what is mounted where: what it may write, and what it starts after.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use alike_storage::linux::{self, Listed};

use crate::config::Config;

/// Options of fstab that say: the system comes up without it, and it may come and go later.
const COMES_AND_GOES: [&str; 4] = ["noauto", "nofail", "_netdev", "x-systemd.automount"];

/// Where filesystems are, and where some are to be.
#[derive(Debug, Default)]
pub(super) struct Mounts {
    pub(super) mounted: Vec<PathBuf>,
    pub(super) fstab: Vec<Listed>,
}

impl Mounts {
    /// Those of this machine. Without a table nothing is mounted anywhere.
    pub(super) fn here() -> Self {
        let mounted = linux::mounts_below(Path::new("/")).into_iter().map(|(point, _)| point).collect();
        let fstab = linux::listed(&std::fs::read("/etc/fstab").unwrap_or_default());
        Self { mounted, fstab }
    }

    /// The nearest mount at or above a path that may come and go while the service runs.
    fn drive_of(&self, path: &Path) -> Option<PathBuf> {
        let all = self.mounted.iter().map(PathBuf::as_path).chain(self.listed_above(path).map(|one| one.point.as_path()));
        let nearest = all.filter(|point| path.starts_with(point) && *point != Path::new("/"));
        let nearest = nearest.max_by_key(|point| point.components().count())?;
        let stays = self.fstab.iter().find(|one| one.point == nearest).is_some_and(|one| {
            !one.options.iter().any(|option| COMES_AND_GOES.contains(&option.as_str()))
        });
        (!stays).then(|| nearest.to_owned())
    }

    fn listed_above<'a>(&'a self, path: &'a Path) -> impl Iterator<Item = &'a Listed> {
        self.fstab.iter().filter(move |one| path.starts_with(&one.point) && one.point != Path::new("/"))
    }
}

/// What a config makes a service need.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Places {
    /// May be written, with all below.
    pub(super) writable: BTreeSet<PathBuf>,
    /// Folders that are not there yet, and what is writable for want of them.
    pub(super) wide: Vec<(PathBuf, PathBuf)>,
    /// What is mounted there is waited for, if it is about to be mounted.
    pub(super) after: BTreeSet<PathBuf>,
    /// It is mounted, if it can be.
    pub(super) wants: BTreeSet<PathBuf>,
    /// Something lies in the folders for temporary files.
    pub(super) needs_tmp: bool,
}

impl Places {
    /// `real` tells the path without symlinks of what is there.
    pub(super) fn of(config: &Config, mounts: &Mounts, real: impl Fn(&Path) -> Option<PathBuf>) -> Self {
        let mut places = Self::default();
        for job in &config.jobs {
            let mirror = &job.mirror;
            places.read(&whole(&mirror.pair.source, &real).0, mounts);
            let replicas = std::iter::once(&mirror.pair.replica).chain(&mirror.also.also);
            let log = mirror.output.log_file.as_deref().and_then(Path::parent).map(Path::to_owned);
            for path in replicas.chain(&log).chain(&mirror.pass.state_dir) {
                places.write(path, mounts, &real);
            }
        }
        let is_below = |path: &PathBuf| ["/tmp", "/var/tmp"].iter().any(|tmp| path.starts_with(tmp));
        let read = config.jobs.iter().map(|job| &job.mirror.pair.source).chain(&config.files);
        places.needs_tmp = read.chain(&places.writable).any(is_below);
        places
    }

    fn read(&mut self, path: &Path, mounts: &Mounts) {
        let listed: Vec<&Listed> = mounts.listed_above(path).collect();
        self.after.extend(listed.iter().map(|one| one.point.clone()));
        self.after.extend(mounts.drive_of(path));
        let automatic = listed.iter().filter(|one| !one.options.iter().any(|option| option == "noauto"));
        self.wants.extend(automatic.map(|one| one.point.clone()));
    }

    /// A folder that lies on a drive is not named: systemd would mount it onto itself, and with that on it the drive stays
    /// mounted in the service when it is unmounted everywhere else. The drive itself is named.
    fn write(&mut self, path: &Path, mounts: &Mounts, real: impl Fn(&Path) -> Option<PathBuf>) {
        let (path, there) = whole(path, real);
        self.read(&path, mounts);
        if let Some(drive) = mounts.drive_of(&path) {
            self.writable.insert(drive);
            return;
        }
        let named = match there.parent() {
            Some(_) => there,
            // All of the system is too much: the first folder of the path.
            None => path.components().take(2).collect(),
        };
        if named != path {
            self.wide.push((path, named.clone()));
        }
        self.writable.insert(named);
    }
}

/// A path without symlinks, as far as it is there, and that part of it.
fn whole(path: &Path, real: impl Fn(&Path) -> Option<PathBuf>) -> (PathBuf, PathBuf) {
    let found = path.ancestors().find_map(|above| Some((above, real(above)?)));
    let Some((above, there)) = found else { return (path.to_owned(), PathBuf::from("/")) };
    let rest = path.strip_prefix(above).unwrap_or(Path::new(""));
    (if rest == Path::new("") { there.clone() } else { there.join(rest) }, there)
}
