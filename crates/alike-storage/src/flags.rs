//! Why the system forbids what the rights allow: flags that block writing.

use std::io;

use alike_model::path::Name;
use rustix::io::Errno;

use crate::error::{Error, is_any};
use crate::linux::{self, Flag};
use crate::local::Folder;

/// Wraps the system's answer to something that was tried on a name in a folder, or on the folder; when a flag is behind
/// it, says so.
pub(crate) fn refused(op: &'static str, at: (&Folder, Option<&Name>), cause: io::Error) -> Error {
    explain(Error::of(op, cause), at, "its folder")
}

/// The same for what is wrapped already; `folder_is` is what the folder is called.
pub(crate) fn explain(
    error: Error,
    (folder, name): (&Folder, Option<&Name>),
    folder_is: &'static str,
) -> Error {
    let (op, cause) = match &error {
        Error::Io { op, cause } => (*op, cause),
        Error::Attribute { cause, .. } => ("set its attributes", cause),
        _ => return error,
    };
    if !is_any(cause, &[Errno::PERM]) {
        return error;
    }
    let at = folder.descriptor();
    let flagged = name.and_then(|name| linux::flag_of(at, Some(name))).map(|flag| ("it", flag));
    match flagged.or_else(|| linux::flag_of(at, None).map(|flag| (folder_is, flag))) {
        Some((what, Flag::Immutable)) => Error::Flagged { op, what, flag: "immutable", letter: 'i' },
        Some((what, Flag::AppendOnly)) => Error::Flagged { op, what, flag: "append-only", letter: 'a' },
        None => error,
    }
}
