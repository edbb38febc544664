//! Removes what was thrown away, however deep it is.

use std::io::{ErrorKind, Result};

use alike_model::entry::Kind;
use alike_model::path::Name;

use crate::linux;
use crate::local::Folder;

/// Removes an entry, and all below it when it is a folder; what is gone already is fine. Folders are brought up to `parent`
/// one by one, so that neither depth nor length of a path matters, and what is mounted below is left alone.
///
/// # Errors
/// When the system refuses; part of it may be gone then.
pub fn remove_tree(parent: &Folder, name: &Name) -> Result<()> {
    let at = parent.descriptor();
    match linux::remove_file(at, name) {
        Err(why) if why.kind() == ErrorKind::NotFound => return Ok(()),
        Err(why) if why.kind() == ErrorKind::IsADirectory => {}
        other => return other,
    }
    let device = linux::look_at_open(at)?.dev;
    let mut folders = vec![name.clone()];
    let mut number = 0_u64;
    while let Some(name) = folders.pop() {
        unlock(parent, &name)?;
        let folder = linux::open_folder(at, &name)?;
        let folder = Folder(folder);
        let open = folder.descriptor();
        if linux::look_at_open(open)?.dev != device || linux::is_mount(open)? {
            return Err(ErrorKind::CrossesDevices.into());
        }
        for entry in linux::list(folder.descriptor())? {
            if entry.look.as_ref().is_ok_and(|stamp| stamp.kind == Kind::Folder) {
                unlock(&folder, &entry.name)?;
                folders.push(bring_up((&folder, &entry.name), parent, &mut number)?);
            } else {
                linux::remove_file(folder.descriptor(), &entry.name)?;
            }
        }
        linux::remove_folder(at, &name)?;
    }
    Ok(())
}

/// Gives a folder a free name in `parent`.
fn bring_up(from: (&Folder, &Name), parent: &Folder, number: &mut u64) -> Result<Name> {
    loop {
        *number += 1;
        let Some(name) = Name::new(format!("goes-{number}").as_bytes()) else { unreachable!("a constant") };
        match linux::rename_to_free((from.0.descriptor(), from.1), (parent.descriptor(), &name)) {
            Err(why) if why.kind() == ErrorKind::AlreadyExists => {}
            done => return done.map(|()| name),
        }
    }
}

/// Without root, what a folder holds can only be removed, and the folder be renamed, by whoever may write to it.
fn unlock(parent: &Folder, name: &Name) -> Result<()> {
    if linux::am_root() {
        return Ok(());
    }
    let held = linux::hold(parent.descriptor(), name)?;
    linux::set_mode_of_held(std::os::fd::AsFd::as_fd(&held), 0o700)
}
