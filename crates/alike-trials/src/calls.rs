//! The system calls that matter to a tree, and where each has its paths.

use std::collections::BTreeMap;
use std::sync::LazyLock;

/// One system call.
#[derive(Debug)]
pub struct Known {
    pub name: &'static str,
    pub nr: i64,
    /// For each path: the argument with the folder it starts from, if there is one, and the argument with the path.
    pub paths: &'static [(Option<usize>, usize)],
    pub kind: Kind,
}

/// What a call is to a trial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Takes bytes out of a file whose descriptor is this argument.
    Read(usize),
    /// Puts bytes into a file whose descriptor is this argument.
    Write(usize),
    /// Changes a tree or a name.
    Change,
    Look,
}

type Paths = &'static [(Option<usize>, usize)];
const NONE: Paths = &[];
const AT: Paths = &[(Some(0), 1)];
const PLAIN: Paths = &[(None, 0)];

const fn call(name: &'static str, nr: i64, paths: Paths, kind: Kind) -> Known {
    Known { name, nr, paths, kind }
}

static EVERYWHERE: &[Known] = &[
    call("openat", libc::SYS_openat, AT, Kind::Look),
    call("openat2", libc::SYS_openat2, AT, Kind::Look),
    call("read", libc::SYS_read, NONE, Kind::Read(0)),
    call("readv", libc::SYS_readv, NONE, Kind::Read(0)),
    call("pread64", libc::SYS_pread64, NONE, Kind::Read(0)),
    call("preadv", libc::SYS_preadv, NONE, Kind::Read(0)),
    call("copy_file_range", libc::SYS_copy_file_range, NONE, Kind::Read(0)),
    call("sendfile", libc::SYS_sendfile, NONE, Kind::Read(1)),
    call("write", libc::SYS_write, NONE, Kind::Write(0)),
    call("writev", libc::SYS_writev, NONE, Kind::Write(0)),
    call("pwrite64", libc::SYS_pwrite64, NONE, Kind::Write(0)),
    call("pwritev", libc::SYS_pwritev, NONE, Kind::Write(0)),
    call("ioctl", libc::SYS_ioctl, NONE, Kind::Change),
    call("renameat", libc::SYS_renameat, &[(Some(0), 1), (Some(2), 3)], Kind::Change),
    call("renameat2", libc::SYS_renameat2, &[(Some(0), 1), (Some(2), 3)], Kind::Change),
    call("linkat", libc::SYS_linkat, &[(Some(0), 1), (Some(2), 3)], Kind::Change),
    call("unlinkat", libc::SYS_unlinkat, AT, Kind::Change),
    call("mkdirat", libc::SYS_mkdirat, AT, Kind::Change),
    call("mknodat", libc::SYS_mknodat, AT, Kind::Change),
    call("symlinkat", libc::SYS_symlinkat, &[(Some(1), 2)], Kind::Change),
    call("readlinkat", libc::SYS_readlinkat, AT, Kind::Look),
    call("newfstatat", libc::SYS_newfstatat, AT, Kind::Look),
    call("statx", libc::SYS_statx, AT, Kind::Look),
    call("fstat", libc::SYS_fstat, NONE, Kind::Look),
    call("getdents64", libc::SYS_getdents64, NONE, Kind::Look),
    call("lseek", libc::SYS_lseek, NONE, Kind::Look),
    call("close", libc::SYS_close, NONE, Kind::Look),
    call("fcntl", libc::SYS_fcntl, NONE, Kind::Look),
    call("flock", libc::SYS_flock, NONE, Kind::Look),
    call("statfs", libc::SYS_statfs, PLAIN, Kind::Look),
    call("fstatfs", libc::SYS_fstatfs, NONE, Kind::Look),
    call("faccessat", libc::SYS_faccessat, AT, Kind::Look),
    call("faccessat2", libc::SYS_faccessat2, AT, Kind::Look),
    call("fsync", libc::SYS_fsync, NONE, Kind::Change),
    call("fdatasync", libc::SYS_fdatasync, NONE, Kind::Change),
    call("syncfs", libc::SYS_syncfs, NONE, Kind::Change),
    call("sync_file_range", libc::SYS_sync_file_range, NONE, Kind::Change),
    call("fchmod", libc::SYS_fchmod, NONE, Kind::Change),
    call("fchmodat", libc::SYS_fchmodat, AT, Kind::Change),
    call("fchmodat2", libc::SYS_fchmodat2, AT, Kind::Change),
    call("fchown", libc::SYS_fchown, NONE, Kind::Change),
    call("fchownat", libc::SYS_fchownat, AT, Kind::Change),
    call("utimensat", libc::SYS_utimensat, AT, Kind::Change),
    call("ftruncate", libc::SYS_ftruncate, NONE, Kind::Change),
    call("truncate", libc::SYS_truncate, PLAIN, Kind::Change),
    call("fallocate", libc::SYS_fallocate, NONE, Kind::Change),
    call("setxattr", libc::SYS_setxattr, PLAIN, Kind::Change),
    call("lsetxattr", libc::SYS_lsetxattr, PLAIN, Kind::Change),
    call("fsetxattr", libc::SYS_fsetxattr, NONE, Kind::Change),
    call("getxattr", libc::SYS_getxattr, PLAIN, Kind::Look),
    call("lgetxattr", libc::SYS_lgetxattr, PLAIN, Kind::Look),
    call("fgetxattr", libc::SYS_fgetxattr, NONE, Kind::Look),
    call("listxattr", libc::SYS_listxattr, PLAIN, Kind::Look),
    call("llistxattr", libc::SYS_llistxattr, PLAIN, Kind::Look),
    call("flistxattr", libc::SYS_flistxattr, NONE, Kind::Look),
    call("removexattr", libc::SYS_removexattr, PLAIN, Kind::Change),
    call("lremovexattr", libc::SYS_lremovexattr, PLAIN, Kind::Change),
    call("fremovexattr", libc::SYS_fremovexattr, NONE, Kind::Change),
    call("inotify_add_watch", libc::SYS_inotify_add_watch, &[(None, 1)], Kind::Look),
    call("chdir", libc::SYS_chdir, PLAIN, Kind::Look),
    call("fchdir", libc::SYS_fchdir, NONE, Kind::Look),
];

#[cfg(target_arch = "x86_64")]
static OLDER: &[Known] = &[
    call("open", libc::SYS_open, PLAIN, Kind::Look),
    call("creat", libc::SYS_creat, PLAIN, Kind::Change),
    call("rename", libc::SYS_rename, &[(None, 0), (None, 1)], Kind::Change),
    call("link", libc::SYS_link, &[(None, 0), (None, 1)], Kind::Change),
    call("unlink", libc::SYS_unlink, PLAIN, Kind::Change),
    call("rmdir", libc::SYS_rmdir, PLAIN, Kind::Change),
    call("mkdir", libc::SYS_mkdir, PLAIN, Kind::Change),
    call("mknod", libc::SYS_mknod, PLAIN, Kind::Change),
    call("symlink", libc::SYS_symlink, &[(None, 1)], Kind::Change),
    call("readlink", libc::SYS_readlink, PLAIN, Kind::Look),
    call("stat", libc::SYS_stat, PLAIN, Kind::Look),
    call("lstat", libc::SYS_lstat, PLAIN, Kind::Look),
    call("access", libc::SYS_access, PLAIN, Kind::Look),
    call("getdents", libc::SYS_getdents, NONE, Kind::Look),
    call("chmod", libc::SYS_chmod, PLAIN, Kind::Change),
    call("chown", libc::SYS_chown, PLAIN, Kind::Change),
    call("lchown", libc::SYS_lchown, PLAIN, Kind::Change),
    call("utime", libc::SYS_utime, PLAIN, Kind::Change),
    call("utimes", libc::SYS_utimes, PLAIN, Kind::Change),
    call("futimesat", libc::SYS_futimesat, AT, Kind::Change),
];

#[cfg(not(target_arch = "x86_64"))]
static OLDER: &[Known] = &[];

static BY_NUMBER: LazyLock<BTreeMap<i64, &'static Known>> =
    LazyLock::new(|| EVERYWHERE.iter().chain(OLDER).map(|known| (known.nr, known)).collect());

/// The call with this number, when it is one of ours.
pub fn known(nr: i64) -> Option<&'static Known> {
    BY_NUMBER.get(&nr).copied()
}

/// The numbers of all.
pub fn all() -> Vec<i64> {
    BY_NUMBER.keys().copied().collect()
}
