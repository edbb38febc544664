//! A filesystem in a file, which can be put back to an earlier state in a moment.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::fs::{FallocateFlags, fallocate};

const BLOCK: usize = 64 * 1024;

/// An image on a loop device of its own: the device, and with it what some filesystems call their identity, stays the
/// same through all mounts.
#[derive(Debug)]
pub struct Disk {
    image: PathBuf,
    device: String,
    pub at: PathBuf,
    mounted: bool,
    kept: Vec<(u64, Vec<u8>)>,
}

impl Disk {
    /// A fresh filesystem of this kind (ext4, xfs, btrfs), mounted at `at`.
    pub fn make(at: &Path, kind: &str) -> Result<Self, String> {
        let (size_mib, words): (u64, &[&str]) = match kind {
            "xfs" => (300, &["-q", "-f"]),
            "btrfs" => (128, &["-q", "-f"]),
            _ => (
                48,
                &["-q", "-F", "-b", "4096", "-E", "lazy_itable_init=0,lazy_journal_init=0", "-J", "size=4"],
            ),
        };
        let image = at.with_extension("img");
        let file = File::create(&image).map_err(|why| format!("make an image: {why}"))?;
        file.set_len(size_mib << 20).map_err(|why| format!("size an image: {why}"))?;
        say(Command::new(format!("mkfs.{kind}")).args(words).arg(&image))?;
        let device = say(Command::new("losetup").args(["--find", "--show"]).arg(&image))?;
        fs::create_dir_all(at).map_err(|why| format!("make a mount point: {why}"))?;
        let device = device.trim().to_owned();
        let mut disk = Self { image, device, at: at.to_owned(), mounted: false, kept: Vec::new() };
        disk.mount()?;
        Ok(disk)
    }

    pub fn mount(&mut self) -> Result<(), String> {
        say(Command::new("mount").arg(&self.device).arg(&self.at))?;
        self.mounted = true;
        Ok(())
    }

    pub fn unmount(&mut self) -> Result<(), String> {
        // A tool that was just killed may hold its folders for another moment.
        let mut done = Ok(String::new());
        let gone = alike_testkit::wait_until(std::time::Duration::from_secs(5), || {
            done = say(Command::new("umount").arg(&self.at));
            done.is_ok()
        });
        self.mounted = !gone;
        done.map(drop)
    }

    /// Lets go of the image, so that what lies under it can be taken away.
    pub fn detach(&mut self) -> Result<(), String> {
        self.unmount()?;
        say(Command::new("losetup").arg("-d").arg(&self.device)).map(drop)
    }

    /// Takes the image up again, mended as its owner would where it cannot be mounted.
    pub fn attach(&mut self) -> Result<(), String> {
        self.device =
            say(Command::new("losetup").args(["--find", "--show"]).arg(&self.image))?.trim().to_owned();
        self.mount().or_else(|_| {
            // It says with its code that it found something to mend.
            let _ = say(Command::new("e2fsck").args(["-f", "-y"]).arg(&self.device));
            self.mount()
        })
    }

    pub fn remount(&self, option: &str) -> Result<(), String> {
        say(Command::new("mount").args(["-o", &format!("remount,{option}")]).arg(&self.at)).map(drop)
    }

    /// Remembers the unmounted image.
    pub fn keep(&mut self) -> io::Result<()> {
        let file = File::open(&self.image)?;
        let size = file.metadata()?.len();
        let mut block = vec![0; BLOCK];
        self.kept.clear();
        for offset in (0..size).step_by(BLOCK) {
            let read = file.read_at(&mut block, offset)?;
            if block[..read].iter().any(|byte| *byte != 0) {
                self.kept.push((offset, block[..read].to_vec()));
            }
        }
        Ok(())
    }

    /// Puts the unmounted image back to what was remembered.
    pub fn put_back(&self) -> io::Result<()> {
        let file = File::options().write(true).open(&self.image)?;
        let size = file.metadata()?.len();
        fallocate(&file, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, 0, size)?;
        for (offset, block) in &self.kept {
            file.write_all_at(block, *offset)?;
        }
        // The device may remember blocks of the life before.
        let _ = Command::new("blockdev").arg("--flushbufs").arg(&self.device).output();
        Ok(())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        if self.mounted && self.unmount().is_err() {
            let _ = say(Command::new("umount").arg("-l").arg(&self.at));
        }
        let _ = say(Command::new("losetup").arg("-d").arg(&self.device));
        let _ = fs::remove_file(&self.image);
    }
}

fn say(command: &mut Command) -> Result<String, String> {
    let done = command.output().map_err(|why| format!("{command:?}: {why}"))?;
    match done.status.success() {
        true => Ok(String::from_utf8_lossy(&done.stdout).into_owned()),
        false => Err(format!("{command:?}: {}", String::from_utf8_lossy(&done.stderr).trim())),
    }
}
