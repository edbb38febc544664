//! All that is Linux's own: a port to another system is another one of these.
//!
//! Functions take open folders and single names, follow no symlink, and answer with `io::Error`.

mod confine;
mod copy;
mod disks;
mod facts;
mod fanotify;
mod fs;
mod inotify;
mod lease;
mod locks;
mod mounts;
mod order;
mod passed;
mod rights;
mod scrutiny;
mod system;
mod xattr;

pub use confine::{Confinement, confine};
pub use copy::{can_punch_holes, clone, copy, next_data, punch_hole, read_at, set_size, write_at};
pub use disks::{Disk, disk_of};
pub use facts::{Limits, Space, folds_case, kernel, limits, may_write, space};
pub use fanotify::{Fanotify, Handle, Report, Where};
pub use fs::*;
pub use inotify::{Change, Half, Inotify, Mark, What, advice};
pub use lease::{Mappings, end_lease, has_writer, is_lease_whole, is_written_back, mappings, take_lease};
pub use locks::{holder_of_lock, wake_process};
pub use mounts::{Listed, Mounts, kind_of_mount, listed, mounts_below, path_in_filesystem, unmounted_above};
pub use order::{
    begin_to_settle, is_synced_as_a_whole, settle_contents, sync_file, sync_folder, sync_way_to,
};
pub use passed::passed_listener;
pub use rights::{
    RIGHTS, Right, am_root, is_in_user_namespace, lacking_for_fanotify, lacking_rights, may_make_devices,
    rights, user,
};
pub use scrutiny::{Block, drop_cached, read_direct, stand_back, will_read_on};
pub use system::{
    Waker, any_of, filesystem_id, is_shared, mount_and_time, mount_of, path_of_open, raise_descriptor_limit,
    room, sync_filesystem, where_is, writeback_millis,
};
pub use xattr::Inode;
