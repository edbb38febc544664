//! Who holds a lock, and how to wake it.

use std::fs;
use std::io::Result;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::process::{Pid, Signal};

/// The process that holds the `flock` on a file; `None` when the system does not tell.
#[must_use]
pub fn holder_of_lock(file: &Path) -> Option<i32> {
    let file = fs::metadata(file).ok()?;
    let locks = fs::read_to_string("/proc/locks").ok()?;
    locks.lines().find_map(|line| {
        let mut words = line.split_whitespace().skip(1);
        if words.next() != Some("FLOCK") {
            return None;
        }
        let pid: i32 = words.nth(2)?.parse().ok()?;
        let inode = words.next()?.rsplit(':').next()?.parse::<u64>().ok()?;
        // The device there is the filesystem's, which on btrfs is not the one that a look tells.
        (inode == file.ino() && has_open(pid, &file)).then_some(pid)
    })
}

fn has_open(pid: i32, file: &fs::Metadata) -> bool {
    let Ok(open) = fs::read_dir(format!("/proc/{pid}/fd")) else { return false };
    open.flatten()
        .any(|one| fs::metadata(one.path()).is_ok_and(|it| (it.dev(), it.ino()) == (file.dev(), file.ino())))
}

/// Sends SIGUSR1 to a process that listens for it: any other it would end. False when it does not.
///
/// # Errors
/// When the system refuses.
pub fn wake_process(pid: i32) -> Result<bool> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let caught = caught.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(0);
    let bit = 1_u64 << (Signal::USR1.as_raw() - 1);
    match Pid::from_raw(pid) {
        Some(pid) if caught & bit != 0 => {
            Ok(rustix::process::kill_process(pid, Signal::USR1).map(|()| true)?)
        }
        _ => Ok(false),
    }
}
