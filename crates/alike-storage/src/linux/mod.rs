//! All that is Linux's own: a port to another system is another one of these.
//!
//! Functions take open folders and single names, follow no symlink, and answer with `io::Error`.

mod confine;
mod copy;
mod fs;
mod inotify;
mod system;
mod xattr;

pub use confine::{Confinement, confine};
pub use copy::{can_punch_holes, clone, copy, next_data, punch_hole, read_at, set_size, write_at};
pub use fs::*;
pub use inotify::{Change, Inotify, Mark, What};
pub use system::{
    Waker, am_root, filesystem_id, may_make_devices, path_in_filesystem, raise_descriptor_limit,
    sync_filesystem,
};
pub use xattr::Inode;
