//! Reads the ignore files of a folder.

use std::io::{ErrorKind, Read};

use alike_model::entry::Kind;
use alike_model::filter::{ALIKE_IGNORE, BadPattern, Filter, GIT_IGNORE};
use alike_model::path::{Name, RelPath};
use alike_storage::{Error, Result, Source};

/// More than this is no list of patterns, and the rest of it would be guessing.
const LARGEST: u64 = 1024 * 1024;

/// The filters inside a folder: those around it and those of its own ignore files, without the first line that cannot be
/// read, which comes with them, and others like it.
///
/// # Errors
/// When an ignore file is there but cannot be read: guessing its rules could delete what they protect.
pub(crate) fn read_ignore_files<T: Source>(
    tree: &T,
    folder: &T::Folder,
    around: &Filter,
    path: &dyn Fn() -> RelPath,
) -> Result<(Filter, Option<BadPattern>)> {
    let alike = read(tree, folder, ALIKE_IGNORE)?;
    let git = match around.ignore_files().contains(&GIT_IGNORE) {
        true => read(tree, folder, GIT_IGNORE)?,
        false => None,
    };
    if alike.is_none() && git.is_none() {
        return Ok((around.clone(), None));
    }
    Ok(around.enter(&path(), alike.as_deref(), git.as_deref()))
}

/// The filters inside a folder of the replica of which nothing is known, where its own ignore files make them others than
/// those of the source: what they leave out is not deleted for want of a rule that is gone.
///
/// # Errors
/// When one is there but cannot be read.
pub(crate) fn older_filter<T: Source>(
    tree: &T,
    folder: &T::Folder,
    around: &Filter,
    filter: &Filter,
    path: &dyn Fn() -> RelPath,
) -> Result<Option<Filter>> {
    let (older, _) = read_ignore_files(tree, folder, around, path)?;
    let is_other = older.fingerprint_in(&path()) != filter.fingerprint_in(&path());
    Ok(is_other.then_some(older))
}

fn read<T: Source>(tree: &T, folder: &T::Folder, name: &[u8]) -> Result<Option<String>> {
    let Some(name) = Name::new(name) else { return Ok(None) };
    match tree.look(folder, &name)? {
        Some(stamp) if stamp.kind == Kind::File => {}
        _ => return Ok(None),
    }
    let mut bytes = Vec::new();
    tree.read_file(folder, &name)?
        .take(LARGEST + 1)
        .read_to_end(&mut bytes)
        .map_err(|cause| Error::of("read the ignore file", cause))?;
    if bytes.len() as u64 > LARGEST {
        return Err(Error::of("read the ignore file", ErrorKind::FileTooLarge.into()));
    }
    Ok(Some(String::from_utf8_lossy(&bytes).into_owned()))
}
