//! What the filesystem of a target can do, tried out on files without a name: nothing of it is ever seen.

use std::os::fd::AsFd;

use alike_model::entry::Time;

use crate::{Local, linux};

/// What was found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trial {
    /// Files can be made without a name; where they cannot, nothing else was tried.
    pub nameless: bool,
    /// Files can share blocks.
    pub clones: bool,
    /// The time by the filesystem's own clock at which one was written.
    pub time: Option<Time>,
}

/// Tries it out.
///
/// # Errors
/// When nothing can be made there.
pub fn try_out(target: &Local) -> std::io::Result<Trial> {
    const MODE: u32 = 0o600;
    let one = match linux::create_nameless(target.descriptor(), MODE) {
        Ok(one) => one,
        Err(why) if linux::is_unsupported(&why) => {
            return Ok(Trial { nameless: false, clones: false, time: None });
        }
        Err(why) => return Err(why),
    };
    let other = linux::create_nameless(target.descriptor(), MODE)?;
    linux::write_at(one.as_fd(), b"?", 0)?;
    let time = linux::look_at_open(one.as_fd())?.mtime;
    Ok(Trial { nameless: true, clones: linux::clone(one.as_fd(), other.as_fd()), time: Some(time) })
}
