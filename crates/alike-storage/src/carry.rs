//! Copies single entries to another place, with all that can be said of them: for what is brought back out of the trash.

use std::os::fd::AsFd;

use alike_model::entry::{Kind, Stamp};
use alike_model::path::Name;

use crate::attributes::dress_while;
use crate::error::{Error, Result};
use crate::linux::Inode;
use crate::local::Folder;
use crate::{MayGoOn, Want, linux};

/// A name in an open folder.
type At<'a> = (&'a Folder, &'a Name);

/// A copy.
#[derive(Debug)]
pub struct Carried {
    /// How it looks.
    pub now: Stamp,
    /// What is wrong with it, if that is only an attribute that the target does not take.
    pub lacks: Option<Error>,
}

/// Copies an entry that is no folder, and looks like `like`, to a free name: blocks are shared where that can be, holes stay
/// holes. Its attributes are set only on what was made here.
///
/// # Errors
/// When it could not be copied whole.
pub fn copy_entry(
    from: At<'_>,
    like: &Stamp,
    to: At<'_>,
    (want, may_go_on): (&Want, MayGoOn<'_>),
    interrupted: &dyn Fn() -> bool,
) -> Result<Carried> {
    let failed = |cause| Error::of("copy it", cause);
    let (source, target) = (from.0.descriptor(), to.0.descriptor());
    let (held, dressed) = match like.kind {
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
            let inode = Inode::Open(file.as_fd());
            let dressed = dress_while(&inode, file.as_fd(), (None, like.kind), want, may_go_on);
            (file, dressed)
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
            // What is just made has no other name. Who put something else there, a link to a file outside, say, shall not have
            // that dressed.
            let made = linux::look_at_open(held.as_fd()).map_err(failed)?;
            if made.kind != kind || made.nlink != 1 {
                return Err(Error::Changed);
            }
            let inode = Inode::held(held.as_fd());
            let dressed = dress_while(&inode, held.as_fd(), (Some(&made), kind), want, may_go_on);
            (held, dressed)
        }
    };
    let lacks = match dressed {
        Ok(()) => None,
        Err(error) if error.is_attribute() => Some(error),
        Err(error) => return Err(error),
    };
    Ok(Carried { now: linux::look_at_open(held.as_fd()).map_err(failed)?, lacks })
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

/// Makes of a copy of a file, which looks like `made`, what the file was before it was changed in place: `patches` are what the
/// trash kept, the last change first. Its times are to be set again. Returns how it looks then.
///
/// # Errors
/// When a patch is damaged or cannot be written; [`Error::Changed`] when something else has the copy's name.
pub fn unpatch(copy: At<'_>, made: &Stamp, patches: &[At<'_>]) -> Result<Stamp> {
    let failed = |cause| Error::of("take back what was changed in place", cause);
    let file = linux::open_for_changing(copy.0.descriptor(), copy.1).map_err(failed)?;
    if linux::look_at_open(file.as_fd()).map_err(failed)?.identity() != made.identity() {
        return Err(Error::Changed);
    }
    patches.iter().try_for_each(|patch| crate::take_back(*patch, file.as_fd())).map_err(failed)?;
    linux::look_at_open(file.as_fd()).map_err(failed)
}
