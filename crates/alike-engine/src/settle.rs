//! Brings to the disk what undo and restore made: with one call where that reaches it, name by name elsewhere, as passes do.

use std::collections::BTreeSet;

use alike_model::entry::Kind;
use alike_model::path::{Name, RelPath};
use alike_storage::{Error, Folder, Local, Replica, Result, Source, linux};

use crate::reach::Reach;

/// Brings names of a folder, and the folder, to the disk, unless [`Replica::sync`] does.
pub(crate) fn settle_names(tree: &Local, folder: &Folder, names: &BTreeSet<Name>) -> Result<()> {
    if tree.sync_reaches(Some(tree.stamp(folder)?.dev)) {
        return Ok(());
    }
    names.iter().try_for_each(|name| tree.settle_name(folder, name))?;
    tree.settle_folder(folder)
}

/// Brings a copy to the disk before it gets its name: contents come before names.
pub(crate) fn settle_copy(tree: &Local, path: &RelPath) -> Result<()> {
    let mut reach = Reach::new(tree)?;
    let (parent, name) = reach.place(path)?;
    let is_folder = tree.look(&parent, &name)?.is_some_and(|there| there.kind == Kind::Folder);
    match is_folder {
        false => tree.settle_name(&parent, &name),
        true if tree.sync_reaches(None) => linux::sync_filesystem(tree.descriptor()).map_err(lost),
        true => settle_all(tree, &mut reach, path),
    }
}

fn settle_all(tree: &Local, reach: &mut Reach<'_>, path: &RelPath) -> Result<()> {
    let mut folders = vec![path.clone()];
    while let Some(path) = folders.pop() {
        let folder = reach.folder(&path)?;
        for entry in tree.list(&folder)? {
            match entry.look {
                Ok(there) if there.kind == Kind::Folder => folders.push(path.join(&entry.name)),
                _ => tree.settle_name(&folder, &entry.name)?,
            }
        }
        tree.settle_folder(&folder)?;
    }
    Ok(())
}

pub(crate) fn lost(cause: std::io::Error) -> Error {
    Error::Io { op: "bring it to the disk", cause }
}
