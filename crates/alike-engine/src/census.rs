//! Counts what a full pass will look at, for people who want to know how far it is: names first, for that is quick, and
//! then the bytes of files.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use alike_model::entry::Kind;
use alike_model::filter::Filter;
use alike_model::path::RelPath;
use alike_storage::{Folder, Local, linux};

use crate::ignore_files::read_ignore_files;
use crate::pair::Spec;

/// Entries of the source that a full pass looks at, as it counts them: names that the filters leave out are, what is below them
/// is not. `None` when `over` says so or anything cannot be read, since a count that is too small would be worse than none.
#[must_use]
pub fn entries(spec: &Spec, over: &dyn Fn() -> bool) -> Option<u64> {
    let mut count = 0;
    walk(spec, over, |_, names| {
        count += names.len() as u64;
        Some(())
    })?;
    Some(count)
}

/// The bytes of its files. `None` as above.
#[must_use]
pub fn bytes(spec: &Spec, over: &dyn Fn() -> bool) -> Option<u64> {
    let mut count = 0;
    walk(spec, over, |folder, names| {
        for (name, is_folder, is_excluded) in names {
            if !is_folder && !is_excluded {
                let stamp = linux::look(folder.descriptor(), name).ok()?;
                count += stamp.filter(|stamp| stamp.kind == Kind::File).map_or(0, |stamp| stamp.size);
            }
        }
        Some(())
    })?;
    Some(count)
}

/// A name, whether it is a folder, and whether the filters leave it out.
type Seen = (alike_model::path::Name, bool, bool);

fn walk(
    spec: &Spec,
    over: &dyn Fn() -> bool,
    mut see: impl FnMut(&Folder, &[Seen]) -> Option<()>,
) -> Option<()> {
    let source = Local::open(&spec.source).ok()?;
    let mut folders: Vec<(PathBuf, RelPath, Filter)> =
        vec![(spec.source.clone(), RelPath::root(), spec.filter.clone())];
    while let Some((at, path, around)) = folders.pop() {
        if over() {
            return None;
        }
        let folder = Folder::open(&at).ok()?;
        let (filter, _) = read_ignore_files(&source, &folder, &around, &|| path.clone()).ok()?;
        let names = linux::names(folder.descriptor()).ok()?.into_iter();
        let seen: Vec<Seen> = names
            .map(|(name, is_folder)| {
                let is_excluded = filter.excludes(&path, &name, is_folder);
                (name, is_folder, is_excluded)
            })
            .collect();
        see(&folder, &seen)?;
        let inner = seen.into_iter().filter(|(_, is_folder, is_excluded)| *is_folder && !is_excluded);
        folders
            .extend(inner.map(|(name, ..)| (below(&at, name.as_bytes()), path.join(&name), filter.clone())));
    }
    Some(())
}

fn below(folder: &Path, name: &[u8]) -> PathBuf {
    folder.join(OsStr::from_bytes(name))
}
