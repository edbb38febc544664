//! What only root can do for a test: mounts, filesystems, flags of files, and another user to be.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rustix::fs::IFlags;

use crate::wait_until;

/// A user and group with no rights of its own.
pub const NOBODY: u32 = 65534;

/// True when the tests run as root.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// True when root; otherwise says loudly that the test did not run.
pub fn root_or_say(what: &str) -> bool {
    if !is_root() {
        eprintln!("NOT RUN: {what} needs root, and this is not root (CI runs as root)");
    }
    is_root()
}

/// A mount that ends with the value.
#[derive(Debug)]
pub struct Mount {
    at: PathBuf,
    image: Option<Image>,
}

/// The file that holds a filesystem; it goes with the value.
#[derive(Debug)]
struct Image(PathBuf);

impl Mount {
    /// An empty filesystem in memory of `size` (as `mount -o size=` takes it).
    pub fn tmpfs(at: &Path, size: &str) -> Self {
        Self::make(&["-t", "tmpfs", "-o", &format!("size={size},mode=755"), "tmpfs"], at)
    }

    /// Shows what is in `below` through what is in `above`, where changes go. `aside` is the kernel's own; all three are made.
    pub fn overlay(at: &Path, below: &Path, above: &Path, aside: &Path) -> Self {
        for folder in [below, above, aside] {
            std::fs::create_dir_all(folder).expect("make a layer");
        }
        let layers = format!("lowerdir={},upperdir={},workdir={}", plain(below), plain(above), plain(aside));
        Self::make(&["-t", "overlay", "-o", &layers, "overlay"], at)
    }

    /// Shows the folder `from` at `at` too.
    pub fn bind(from: &Path, at: &Path) -> Self {
        Self::make(&["--bind", plain(from)], at)
    }

    /// A fresh filesystem of this kind (`ext4`, `xfs`, which wants 300 MiB or more, or `btrfs`, 120) in a file beside
    /// `at`.
    pub fn loop_filesystem(at: &Path, kind: &str, size_mib: u64) -> Self {
        // A small ext4 would get small blocks, in which an attribute finds less room than on the usual one.
        let usual: &[&str] = if kind == "ext4" { &["-b", "4096"] } else { &[] };
        Self::loop_filesystem_with(at, kind, size_mib, usual)
    }

    /// As [`Mount::loop_filesystem`], with words of its own for `mkfs`.
    pub fn loop_filesystem_with(at: &Path, kind: &str, size_mib: u64, mkfs: &[&str]) -> Self {
        let image = Image(at.with_extension("img"));
        let file = std::fs::File::create_new(&image.0).expect("make an image");
        file.set_len(size_mib << 20).expect("size an image");
        let force = if kind == "ext4" { "-F" } else { "-f" };
        let (program, path) = (format!("mkfs.{kind}"), plain(&image.0));
        let made = run(Command::new(&program).args(["-q", force]).args(mkfs).arg(path));
        assert!(made.is_ok(), "{program} failed: {made:?}");
        let mut mount = Self::make(&["-t", kind, "-o", "loop", path], at);
        mount.image = Some(image);
        mount
    }

    /// Where it is mounted.
    pub fn at(&self) -> &Path {
        &self.at
    }

    /// The file that holds it, if one does.
    pub fn image(&self) -> Option<&Path> {
        self.image.as_ref().map(|image| image.0.as_path())
    }

    fn make(how: &[&str], at: &Path) -> Self {
        std::fs::create_dir_all(at).expect("make the mount point");
        let mut done = Ok(());
        // Tests beside this one may take the loop device that mount has just found free.
        wait_until(Duration::from_secs(5), || {
            done = run(Command::new("mount").args(how).arg(at));
            done.is_ok() || !how.contains(&"loop")
        });
        assert!(done.is_ok(), "mount failed: {done:?}");
        Self { at: at.to_owned(), image: None }
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        // A mount that is let go of later would keep its loop device that long.
        let gone = run(Command::new("umount").arg(&self.at));
        if let Err(why) = gone.or_else(|_| run(Command::new("umount").arg("-l").arg(&self.at))) {
            eprintln!("could not unmount {}: {why}", self.at.display());
        }
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        if let Err(why) = std::fs::remove_file(&self.0) {
            eprintln!("could not remove {}: {why}", self.0.display());
        }
    }
}

/// A flag of a file or folder, as `chattr` sets them (needs root); taken back with the value, so that the room of a
/// failed test can be removed.
#[derive(Debug)]
pub struct Flag {
    entry: std::fs::File,
    flag: IFlags,
}

impl Flag {
    /// As `chattr +i`: nobody may change it.
    pub fn immutable(at: &Path) -> Self {
        Self::set(at, IFlags::IMMUTABLE)
    }

    /// As `chattr +a`: it may only grow.
    pub fn append_only(at: &Path) -> Self {
        Self::set(at, IFlags::APPEND)
    }

    fn set(at: &Path, flag: IFlags) -> Self {
        let entry = std::fs::File::open(at).unwrap_or_else(|why| panic!("open {}: {why}", at.display()));
        let flags = rustix::fs::ioctl_getflags(&entry).expect("read the flags of a file");
        rustix::fs::ioctl_setflags(&entry, flags | flag).expect("set a flag of a file");
        Self { entry, flag }
    }
}

impl Drop for Flag {
    fn drop(&mut self) {
        let done = rustix::fs::ioctl_getflags(&self.entry)
            .and_then(|flags| rustix::fs::ioctl_setflags(&self.entry, flags - self.flag));
        if let Err(why) = done {
            eprintln!("could not take back a flag of {:?}: {why}", self.entry);
        }
    }
}

/// A setting of the kernel below `/proc/sys` that is another one as long as the value lives. It holds for the whole machine, so
/// only one test at a time has one, and for as short a time as it can.
#[derive(Debug)]
pub struct Setting {
    path: PathBuf,
    before: String,
    _turn: std::fs::File,
}

impl Setting {
    /// Sets it (needs root).
    pub fn change(name: &str, value: &str) -> Self {
        let turn = std::fs::File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(std::env::temp_dir().join("alike-kernel-setting.lock"))
            .expect("open the lock of kernel settings");
        turn.lock().expect("wait for other tests with kernel settings");
        let path = Path::new("/proc/sys").join(name);
        let before = std::fs::read_to_string(&path).expect("read a kernel setting");
        std::fs::write(&path, value).expect("change a kernel setting");
        Self { path, before, _turn: turn }
    }
}

impl Drop for Setting {
    fn drop(&mut self) {
        if let Err(why) = std::fs::write(&self.path, self.before.trim()) {
            eprintln!("could not put back {}: {why}", self.path.display());
        }
    }
}

/// How many bytes of a file lie in blocks that another file has as well.
pub fn shared(path: &Path) -> u64 {
    let said =
        Command::new("filefrag").args(["-v", "-s", "-b4096"]).arg(path).output().expect("run filefrag");
    assert!(said.status.success(), "filefrag failed: {}", String::from_utf8_lossy(&said.stderr));
    let text = String::from_utf8_lossy(&said.stdout).into_owned();
    // An extent's line: number, first and last block in the file, on the disk, length, expected place, flags.
    let extents =
        text.lines().filter(|line| line.trim_start().starts_with(|first: char| first.is_ascii_digit()));
    extents
        .filter(|line| line.contains("shared"))
        .map(|line| {
            let length = line.split(':').nth(3).map(str::trim).and_then(|blocks| blocks.parse::<u64>().ok());
            4096 * length.unwrap_or_else(|| panic!("no length in {line:?}"))
        })
        .sum()
}

fn plain(path: &Path) -> &str {
    path.to_str().expect("a plain path")
}

fn run(command: &mut Command) -> Result<(), String> {
    let done = command.output().map_err(|why| format!("{command:?}: {why}"))?;
    if done.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&done.stderr).into_owned()) }
}
