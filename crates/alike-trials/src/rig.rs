//! A room whose replica lies on a disk of its own, which is put back before each point.

use std::path::Path;
use std::process::Command;

use alike_testkit::Tree;

use crate::days;
use crate::disk::Disk;
use crate::room::{Ground, Room};

pub struct Rig {
    pub disk: Disk,
    pub room: Room,
    /// The tool's own state lies elsewhere, and is put back as well.
    state_survives: bool,
}

impl Rig {
    /// With a replica of the first day safely on a disk of this kind, and the source of the second.
    pub fn make(ground: &Ground, name: &str, kind: &str, state_survives: bool) -> Result<Self, String> {
        let mut room = ground.room(&format!("{name}-{kind}"));
        let mut disk = Disk::make(&room.top().join("disk"), kind)?;
        room.replica = Tree::make(disk.at.join("replica"));
        if !state_survives {
            room.state = Tree::make(disk.at.join("state")).top().to_owned();
        }
        days::first(&room.source, ground.plain());
        let end = ground.pass(&room);
        if end.hung || end.panicked() {
            return Err(format!("the first pass: {}", end.said));
        }
        ground.second_day(&room);
        disk.unmount()?;
        disk.keep().map_err(|why| why.to_string())?;
        if state_survives {
            copy(&room.state, &kept_state(&room))?;
        }
        disk.mount()?;
        Ok(Self { disk, room, state_survives })
    }

    /// All is as it was when it was made.
    pub fn put_back(&mut self) {
        self.disk.unmount().expect("unmount before a point");
        self.disk.put_back().expect("put the disk back");
        self.disk.mount().expect("mount a disk put back");
        if self.state_survives {
            copy(&kept_state(&self.room), &self.room.state).expect("put the state back");
        }
    }
}

fn kept_state(room: &Room) -> std::path::PathBuf {
    room.top().join("state-kept")
}

fn copy(from: &Path, to: &Path) -> Result<(), String> {
    alike_testkit::remove_tree(to).map_err(|why| why.to_string())?;
    let done = Command::new("cp").arg("-a").arg(from).arg(to).status();
    done.map_err(|why| why.to_string())?.success().then_some(()).ok_or("cp failed".to_owned())
}
