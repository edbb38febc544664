//! Copies single entries to another place, with all that can be said of them: for what is brought back out of the trash.

use std::os::fd::AsFd;

use alike_model::entry::{Kind, Stamp};
use alike_model::path::Name;

use crate::attributes::dress;
use crate::error::{Error, Result};
use crate::linux::Inode;
use crate::local::Folder;
use crate::{Want, linux};

/// A name in an open folder.
type At<'a> = (&'a Folder, &'a Name);

/// Copies an entry that is no folder, and looks like `like`, to a free name: blocks are shared where that can be, holes stay
/// holes. Beside it comes what is wrong with it, if that is only an attribute that the target does not take.
///
/// # Errors
/// When it could not be copied whole.
pub fn copy_entry(
    from: At<'_>,
    like: &Stamp,
    to: At<'_>,
    want: &Want,
    interrupted: &dyn Fn() -> bool,
) -> Result<Option<Error>> {
    let failed = |cause| Error::of("copy it", cause);
    let (source, target) = (from.0.descriptor(), to.0.descriptor());
    let dressed = match like.kind {
        Kind::Folder => return Err(Error::Changed),
        Kind::File => {
            let original = linux::open_for_reading(source, from.1).map_err(failed)?;
            if linux::look_at_open(original.as_fd()).map_err(failed)?.identity() != like.identity() {
                return Err(Error::Changed);
            }
            let file = linux::create_named(target, to.1).map_err(failed)?;
            if like.size == 0 || !linux::clone(original.as_fd(), file.as_fd()) {
                linux::copy(original.as_fd(), file.as_fd(), (like, true), &interrupted).map_err(|cause| {
                    match cause.kind() {
                        std::io::ErrorKind::Interrupted => Error::Interrupted,
                        _ => failed(cause),
                    }
                })?;
            }
            dress(&Inode::Open(file.as_fd()), file.as_fd(), None, like.kind, want)
        }
        kind => {
            match kind {
                Kind::Symlink => {
                    let link = linux::read_link(source, from.1).map_err(failed)?;
                    linux::make_symlink(target, to.1, &link).map_err(failed)?;
                }
                _ => linux::make_special(target, to.1, like).map_err(failed)?,
            }
            let held = linux::hold(target, to.1).map_err(failed)?;
            dress(&Inode::held(held.as_fd()), held.as_fd(), None, kind, want)
        }
    };
    match dressed {
        Ok(()) => Ok(None),
        Err(error) if error.is_attribute() => Ok(Some(error)),
        Err(error) => Err(error),
    }
}

/// Gives what is at one name one more, which must be free.
///
/// # Errors
/// When the system refuses.
pub fn link_entry(from: At<'_>, to: At<'_>) -> Result<()> {
    let failed = |cause| Error::of("make the hard link", cause);
    let held = linux::hold(from.0.descriptor(), from.1).map_err(failed)?;
    linux::link_nameless(held.as_fd(), to.0.descriptor(), to.1).map_err(failed)
}

/// Gives what is at one name another, which must be free.
///
/// # Errors
/// When the system refuses; [`Error::Changed`] when it is taken.
pub fn rename_entry(from: At<'_>, to: At<'_>) -> Result<()> {
    linux::rename_to_free((from.0.descriptor(), from.1), (to.0.descriptor(), to.1))
        .map_err(|cause| Error::of("give it its name", cause))
}

/// Makes of a copy of a file what the file was before it was changed in place: `patches` are what the trash kept, the last
/// change first. Its times are to be set again.
///
/// # Errors
/// When a patch is damaged or cannot be written.
pub fn unpatch(copy: At<'_>, patches: &[At<'_>]) -> Result<()> {
    let failed = |cause| Error::of("take back what was changed in place", cause);
    let file = linux::open_for_changing(copy.0.descriptor(), copy.1).map_err(failed)?;
    patches.iter().try_for_each(|patch| crate::take_back(*patch, file.as_fd())).map_err(failed)
}
