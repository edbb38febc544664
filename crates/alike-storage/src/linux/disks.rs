//! Which disk a filesystem is on.

use std::path::{Path, PathBuf};

use rustix::fs::{major, minor};

/// A disk, as far as the kernel tells: of what has no block device of its own, the filesystem.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Disk {
    /// Its device number; of a partition that of the whole disk.
    pub number: u64,
    /// Its heads have to travel, or so it says.
    pub is_rotational: bool,
}

/// The disk of a filesystem, by the device number of what is on it.
#[must_use]
pub fn disk_of(device: u64) -> Disk {
    let whole = whole_disk(device);
    let number = whole.as_deref().and_then(number_of).unwrap_or(device);
    let is_rotational = whole.is_some_and(|at| said(&at.join("queue/rotational")).as_deref() == Some("1"));
    Disk { number, is_rotational }
}

/// Where the kernel tells of it.
fn whole_disk(device: u64) -> Option<PathBuf> {
    let at = format!("/sys/dev/block/{}:{}", major(device), minor(device));
    let at = Path::new(&at).canonicalize().ok()?;
    if at.join("partition").exists() { at.parent().map(Path::to_owned) } else { Some(at) }
}

fn number_of(at: &Path) -> Option<u64> {
    let said = said(&at.join("dev"))?;
    let (major, minor) = said.split_once(':')?;
    Some(rustix::fs::makedev(major.parse().ok()?, minor.parse().ok()?))
}

fn said(path: &Path) -> Option<String> {
    std::fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::os::unix::fs::MetadataExt;

    use super::*;

    #[test]
    fn what_has_no_block_device_is_a_disk_of_its_own_that_does_not_turn() {
        let device = std::fs::metadata("/proc").unwrap().dev();
        assert_eq!(disk_of(device), Disk { number: device, is_rotational: false });
    }

    #[test]
    fn every_partition_of_a_disk_is_that_disk() {
        for disk in std::fs::read_dir("/sys/block").into_iter().flatten().flatten() {
            let whole = number_of(&disk.path());
            let parts = std::fs::read_dir(disk.path()).into_iter().flatten().flatten();
            for part in parts.filter(|part| part.path().join("partition").exists()) {
                assert_eq!(Some(disk_of(number_of(&part.path()).unwrap()).number), whole);
            }
        }
    }
}
