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
        let all = self
            .mounted
            .iter()
            .map(PathBuf::as_path)
            .chain(self.listed_above(path).map(|one| one.point.as_path()));
        let nearest = all.filter(|point| path.starts_with(point) && *point != Path::new("/"));
        let nearest = nearest.max_by_key(|point| point.components().count())?;
        let stays =
            self.fstab.iter().find(|one| one.point == nearest).is_some_and(|one| {
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
    /// Drives that are written to and are not mounted now.
    pub(super) missing: BTreeSet<PathBuf>,
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
            if !mounts.mounted.contains(&drive) {
                self.missing.insert(drive.clone());
            }
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

#[cfg(test)]
mod tests {
    use super::*;

    fn mounts() -> Mounts {
        let fstab = b"# device point kind options\n\
            UUID=1 / ext4 defaults 0 1\n\
            UUID=2 /home ext4 defaults 0 2\n\
            UUID=3 /mnt/my\\040usb ext4 nofail 0 0\n\
            UUID=4 /mnt/cold ext4 noauto 0 0\n\
            UUID=5 none swap sw 0 0\n";
        Mounts {
            mounted: ["/home", "/media/ada/stick"].map(PathBuf::from).into(),
            fstab: linux::listed(fstab),
        }
    }

    /// What is named for a path, of which the part `there` exists.
    fn written(path: &str, there: &str) -> (String, Places) {
        let mut places = Places::default();
        let there = PathBuf::from(there);
        places.write(Path::new(path), &mounts(), |path| there.starts_with(path).then(|| path.to_owned()));
        let named: Vec<String> = places.writable.iter().map(|path| path.display().to_string()).collect();
        (named.join(" "), places)
    }

    #[test]
    fn of_a_drive_that_comes_and_goes_the_whole_is_named_and_else_the_folder() {
        for (path, there, named) in [
            ("/mnt/my usb/photos", "/mnt/my usb/photos", "/mnt/my usb"),
            ("/mnt/my usb/photos", "/mnt", "/mnt/my usb"),
            ("/media/ada/stick/a/b", "/media/ada/stick/a/b", "/media/ada/stick"),
            ("/home/ada/copy", "/home/ada/copy", "/home/ada/copy"),
            ("/srv/copy", "/srv/copy", "/srv/copy"),
            ("/srv/new/copy", "/srv", "/srv"),
            ("/backup/copy", "/", "/backup"),
        ] {
            assert_eq!(written(path, there).0, named, "{path}");
        }
    }

    #[test]
    fn a_folder_that_is_not_there_is_told_and_so_is_a_drive() {
        let (_, places) = written("/srv/new/copy", "/srv");
        assert_eq!(places.wide, [("/srv/new/copy".into(), "/srv".into())]);
        let (_, places) = written("/mnt/my usb/photos", "/mnt");
        assert_eq!((places.wide, places.missing), (vec![], ["/mnt/my usb".into()].into()));
    }

    #[test]
    fn mounts_are_waited_for_and_those_that_are_not_automatic_are_not_asked_for() {
        let (_, places) = written("/mnt/cold/a", "/mnt/cold");
        assert_eq!((places.after, places.wants), (["/mnt/cold".into()].into(), BTreeSet::new()));
        let (_, places) = written("/mnt/my usb/a", "/mnt");
        assert_eq!((places.after.clone(), places.wants), (["/mnt/my usb".into()].into(), places.after));
        let (_, places) = written("/media/ada/stick/a", "/media/ada/stick");
        assert_eq!((places.after, places.wants), (["/media/ada/stick".into()].into(), BTreeSet::new()));
        assert_eq!(written("/srv/a", "/srv/a").1.after, BTreeSet::new());
    }

    #[test]
    fn a_symlink_to_a_drive_is_the_drive() {
        let mut places = Places::default();
        let real = |path: &Path| match path.to_str() {
            Some("/srv/link") => Some(PathBuf::from("/mnt/my usb/deep")),
            Some("/") => Some("/".into()),
            _ => None,
        };
        places.write(Path::new("/srv/link/photos"), &mounts(), real);
        assert_eq!(places.writable, ["/mnt/my usb".into()].into());
    }
}
