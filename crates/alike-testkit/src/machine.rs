//! What only root can do for a test: mounts, and another user to be.

use std::path::{Path, PathBuf};
use std::process::Command;

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
}

impl Mount {
    /// An empty filesystem in memory of `size` (as `mount -o size=` takes it).
    pub fn tmpfs(at: &Path, size: &str) -> Self {
        Self::make(&["-t", "tmpfs", "-o", &format!("size={size},mode=755"), "tmpfs"], at)
    }

    /// Shows the folder `from` at `at` too.
    pub fn bind(from: &Path, at: &Path) -> Self {
        Self::make(&["--bind", from.to_str().expect("a plain path")], at)
    }

    fn make(how: &[&str], at: &Path) -> Self {
        std::fs::create_dir_all(at).expect("make the mount point");
        let done = Command::new("mount").args(how).arg(at).output().expect("run mount");
        assert!(done.status.success(), "mount failed: {}", String::from_utf8_lossy(&done.stderr));
        Self { at: at.to_owned() }
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let done = Command::new("umount").arg("-l").arg(&self.at).status();
        if !done.is_ok_and(|status| status.success()) {
            eprintln!("could not unmount {}", self.at.display());
        }
    }
}
