//! Mounts: what is mounted where, and the kernel's word that some came or went.

use std::ffi::OsString;
use std::fs::File;
use std::io::Result;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

use rustix::event::{PollFd, PollFlags, Timespec, poll};

const TABLE: &str = "/proc/self/mountinfo";

/// The table of mounts, which tells when it has changed: each time that it is opened for itself, and once.
#[derive(Debug)]
pub struct Mounts {
    table: File,
}

impl Mounts {
    /// Opens the table.
    ///
    /// # Errors
    /// When it cannot be had.
    pub fn open() -> Result<Self> {
        Ok(Self { table: File::open(TABLE)? })
    }

    /// Has urgent news when something was mounted or unmounted, until somebody asks for them.
    #[must_use]
    pub fn descriptor(&self) -> BorrowedFd<'_> {
        self.table.as_fd()
    }

    /// True when something was mounted or unmounted since the last call.
    #[must_use]
    pub fn have_changed(&self) -> bool {
        let mut polled = [PollFd::new(&self.table, PollFlags::PRI)];
        let at_once = Timespec { tv_sec: 0, tv_nsec: 0 };
        // Whoever cannot be asked may have changed.
        poll(&mut polled, Some(&at_once)).is_err() || polled[0].revents().contains(PollFlags::PRI)
    }
}

/// One line of the table.
struct Line {
    number: u64,
    device: String,
    root: PathBuf,
    point: PathBuf,
    kind: String,
}

fn parse(line: &[u8]) -> Option<Line> {
    let mut fields = line.split(|byte| *byte == b' ');
    let number = std::str::from_utf8(fields.next()?).ok()?.parse().ok()?;
    let mut fields = fields.skip(1);
    let (device, root, point) = (fields.next()?, fields.next()?, fields.next()?);
    // After the mount's options come words of which there may be any number, and then a dash.
    let kind = fields.skip_while(|field| *field != b"-").nth(1)?;
    let text = |field: &[u8]| String::from_utf8_lossy(field).into_owned();
    Some(Line {
        number,
        device: text(device),
        root: unescape(root),
        point: unescape(point),
        kind: text(kind),
    })
}

fn lines() -> Option<Vec<Line>> {
    let table = std::fs::read(TABLE).ok()?;
    Some(table.split(|byte| *byte == b'\n').filter_map(parse).collect())
}

/// Where something is mounted below a path, with the number of each mount. Nothing when the system does not tell.
#[must_use]
pub fn mounts_below(path: &Path) -> Vec<(PathBuf, u64)> {
    let below = |line: &Line| line.point != path && line.point.starts_with(path);
    let lines = lines().unwrap_or_default().into_iter().filter(below);
    lines.map(|line| (line.point, line.number)).collect()
}

/// The kind of filesystem that a mount shows, as `mount -t` calls it. `None` when the system does not tell.
#[must_use]
pub fn kind_of_mount(number: u64) -> Option<String> {
    lines()?.into_iter().find(|line| line.number == number).map(|line| line.kind)
}

/// Where a path lies within its filesystem, whatever is mounted where: the device, and the path below the filesystem's
/// own root. Two paths through different bind mounts of one folder give the same. `None` when the system does not tell.
#[must_use]
pub fn path_in_filesystem(path: &Path) -> Option<(String, PathBuf)> {
    let mut found = None;
    let mut longest = 0;
    for line in lines()? {
        // Of several mounts on one point the last is on top.
        if let Ok(rest) = path.strip_prefix(&line.point)
            && line.point.as_os_str().len() >= longest
        {
            longest = line.point.as_os_str().len();
            found = Some((line.device, line.root.join(rest)));
        }
    }
    found
}

/// A line of `fstab`: what the system is to mount, and when.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Where.
    pub point: PathBuf,
    /// The options, as they are written.
    pub options: Vec<String>,
}

/// What `fstab` lists, in its order; swap and the like have no place and are left out.
#[must_use]
pub fn listed(fstab: &[u8]) -> Vec<Listed> {
    let lines = fstab.split(|byte| *byte == b'\n');
    let fields = lines.map(|line| {
        let fields = line.split(|byte| matches!(byte, b' ' | b'\t')).filter(|field| !field.is_empty());
        fields.take(4).collect::<Vec<_>>()
    });
    let of = |fields: Vec<&[u8]>| {
        let [device, point, _, rest @ ..] = fields.as_slice() else { return None };
        let point = unescape(point);
        let options = rest.first().map(|field| String::from_utf8_lossy(field).into_owned());
        let options = options.unwrap_or_default().split(',').map(str::to_owned).collect();
        (!device.starts_with(b"#") && point.is_absolute()).then_some(Listed { point, options })
    };
    fields.filter_map(of).collect()
}

/// The nearest place above a path, or the path itself, where a drive belongs, when nothing is mounted there: one that `/etc/fstab`
/// lists, or in which desktops mount what a user plugs in. `None` when something is, or the system does not tell.
#[must_use]
pub fn unmounted_above(path: &Path) -> Option<PathBuf> {
    let listed = listed(&std::fs::read("/etc/fstab").unwrap_or_default()).into_iter().map(|one| one.point);
    let above = listed.filter(|point| path.starts_with(point) && point.parent().is_some());
    let mounted: Vec<PathBuf> = lines()?.into_iter().map(|line| line.point).collect();
    let nearest = above.chain(of_a_user(path, &mounted)).max_by_key(|point| point.as_os_str().len())?;
    (!mounted.contains(&nearest)).then_some(nearest)
}

/// `/media/USER/DRIVE` or `/run/media/USER/DRIVE`, where udisks mounts the drives of a user and nothing else should be; unless
/// something is mounted in that place, or above the path in it.
fn of_a_user(path: &Path, mounted: &[PathBuf]) -> Option<PathBuf> {
    let tops = [Path::new("/media"), Path::new("/run/media")];
    let (top, below) = tops.iter().find_map(|top| Some((top, path.strip_prefix(top).ok()?)))?;
    let mut names = below.iter();
    let (user, drive) = (names.next()?, names.next()?);
    let users = std::fs::read("/etc/passwd").ok()?;
    let is_user = |line: &[u8]| {
        let mut fields = line.split(|byte| *byte == b':');
        let (name, number) = (fields.next(), fields.nth(1).and_then(|number| str::from_utf8(number).ok()));
        // Those below are of the system, `backup` among them.
        let is_person = |number: u32| number == 0 || number >= 1000;
        name == Some(user.as_encoded_bytes())
            && number.and_then(|number| number.parse().ok()).is_some_and(is_person)
    };
    let own = top.join(user);
    let is_between = |point: &PathBuf| point.starts_with(&own) && path.starts_with(point);
    let is_place = users.split(|byte| *byte == b'\n').any(is_user) && !mounted.iter().any(is_between);
    is_place.then(|| own.join(drive))
}

/// The table has space, tab, newline and backslash as three octal digits.
fn unescape(field: &[u8]) -> PathBuf {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((byte, after)) = rest.split_first() {
        let code = after.get(..3).filter(|_| *byte == b'\\').and_then(|code| std::str::from_utf8(code).ok());
        match code.and_then(|code| u8::from_str_radix(code, 8).ok()) {
            Some(escaped) => {
                bytes.push(escaped);
                rest = &after[3..];
            }
            None => {
                bytes.push(*byte);
                rest = after;
            }
        }
    }
    PathBuf::from(OsString::from_vec(bytes))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use alike_testkit::{Mount, root_or_say};
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn a_line_is_read_whatever_is_mounted_under_whatever_name() {
        let line = b"36 35 98:0 /in\\040side /mnt/od\\134d\\012 rw,noatime shared:1 master:2 - fuse.ext3 /dev/root rw";
        let read = parse(line).unwrap();
        assert_eq!((read.number, read.device.as_str(), read.kind.as_str()), (36, "98:0", "fuse.ext3"));
        assert_eq!((read.root, read.point), ("/in side".into(), "/mnt/od\\d\n".into()));
        assert!(parse(b"").is_none() && parse(b"36 35 98:0 / /mnt rw").is_none());
    }

    #[test]
    fn the_drives_of_people_have_their_place_unless_something_is_mounted_there() {
        let of = |path: &str, mounted: &[&str]| {
            of_a_user(Path::new(path), &mounted.iter().map(PathBuf::from).collect::<Vec<_>>())
        };
        assert_eq!(of("/media/root/USB/docs", &["/"]), Some("/media/root/USB".into()));
        assert_eq!(of("/run/media/root/USB", &["/"]), Some("/run/media/root/USB".into()));
        for (path, mounted) in [
            ("/media/root/USB/docs", "/media/root/USB"),
            ("/media/root/USB/docs", "/media/root"),
            ("/media/root", "/"),
            ("/media/daemon/docs", "/"),
            ("/media/nobody knows/docs", "/"),
            ("/mnt/root/USB", "/"),
        ] {
            assert_eq!(of(path, &[mounted]), None, "{path}, {mounted}");
        }
    }

    #[test]
    fn a_mount_that_comes_or_goes_is_told_once() {
        if !root_or_say("a mount") {
            return;
        }
        let folder = TempDir::new().unwrap();
        let mounts = Mounts::open().unwrap();
        let below = || mounts_below(folder.path()).len();
        let mount = Mount::tmpfs(&folder.path().join("inner"), "1m");
        assert!(mounts.have_changed() && below() == 1);
        let number = mounts_below(folder.path())[0].1;
        assert_eq!(kind_of_mount(number).unwrap(), "tmpfs");
        drop(mount);
        assert!(mounts.have_changed() && below() == 0);
    }
}
