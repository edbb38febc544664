//! Walking a tree of any depth with one open folder a side, by descending and coming back through `..`.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use rustix::fs::{AtFlags, Dir, FileType, Gid, Mode, OFlags, Statx, StatxFlags, Uid};
use rustix::io::Errno;

use crate::attributes::Held;

/// A file name as the kernel has it.
pub(crate) type Name = Vec<u8>;

/// One open folder in a tree and the way back to the top of it.
pub(crate) struct Cursor {
    folder: OwnedFd,
    trail: Vec<Identity>,
}

/// What tells one inode from every other.
pub(crate) type Identity = (u32, u32, u64);

pub(crate) fn identity(stat: &Statx) -> Identity {
    (stat.stx_dev_major, stat.stx_dev_minor, stat.stx_ino)
}

/// Opens for reading, leaving the access time alone where the kernel allows that.
pub(crate) fn open_quietly(
    folder: BorrowedFd<'_>,
    name: &[u8],
    flags: OFlags,
) -> rustix::io::Result<OwnedFd> {
    let flags = flags | OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    match rustix::fs::openat(folder, name, flags | OFlags::NOATIME, Mode::empty()) {
        Err(Errno::PERM) => rustix::fs::openat(folder, name, flags, Mode::empty()),
        other => other,
    }
}

impl Cursor {
    /// Opens the top; a symlink there is followed, as it is for the path on alike's command line.
    pub(crate) fn open(top: &Path) -> io::Result<Self> {
        let folder = open_quietly(rustix::fs::CWD, top.as_os_str().as_bytes(), OFlags::DIRECTORY)?;
        Ok(Self { folder, trail: Vec::new() })
    }

    pub(crate) fn depth(&self) -> usize {
        self.trail.len()
    }

    pub(crate) fn names(&self) -> io::Result<Vec<Name>> {
        let mut names = Vec::new();
        for entry in Dir::read_from(&self.folder)? {
            let entry = entry?;
            let name = entry.file_name().to_bytes();
            if name != b"." && name != b".." {
                names.push(name.to_vec());
            }
        }
        names.sort();
        Ok(names)
    }

    /// What `name` is, never followed; the open folder itself for an empty name.
    pub(crate) fn stat(&self, name: &[u8]) -> io::Result<Statx> {
        let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::EMPTY_PATH | AtFlags::NO_AUTOMOUNT;
        let wanted = StatxFlags::BASIC_STATS | StatxFlags::BTIME;
        Ok(rustix::fs::statx(&self.folder, name, flags, wanted)?)
    }

    pub(crate) fn open_file(&self, name: &[u8]) -> io::Result<std::fs::File> {
        Ok(open_quietly(self.folder.as_fd(), name, OFlags::NOFOLLOW)?.into())
    }

    pub(crate) fn link_target(&self, name: &[u8]) -> io::Result<CString> {
        Ok(rustix::fs::readlinkat(&self.folder, name, Vec::new())?)
    }

    /// The entry without reading it; the open folder itself for an empty name.
    pub(crate) fn hold(&self, name: &[u8]) -> io::Result<Held> {
        Held::open(self.folder.as_fd(), name)
    }

    pub(crate) fn down(&mut self, name: &[u8]) -> io::Result<()> {
        let here = identity(&self.stat(b"")?);
        let below = open_quietly(self.folder.as_fd(), name, OFlags::DIRECTORY | OFlags::NOFOLLOW)?;
        self.folder = below;
        self.trail.push(here);
        Ok(())
    }

    /// Back to the folder above; an error when `..` is no longer the folder that was left.
    pub(crate) fn up(&mut self) -> io::Result<()> {
        let above = open_quietly(self.folder.as_fd(), b"..", OFlags::DIRECTORY)?;
        let expected = self.trail.pop();
        self.folder = above;
        match expected {
            Some(expected) if identity(&self.stat(b"")?) == expected => Ok(()),
            _ => Err(io::Error::other("the folder was moved while it was walked")),
        }
    }

    fn is_folder(&self, name: &[u8]) -> io::Result<bool> {
        Ok(kind(&self.stat(name)?) == FileType::Directory)
    }
}

pub(crate) fn kind(stat: &Statx) -> FileType {
    FileType::from_raw_mode(stat.stx_mode.into())
}

/// Visits every entry below the top, parents first; `visit` gets the path, the cursor and the entry's name.
pub(crate) fn walk(
    top: &Path,
    mut visit: impl FnMut(&[u8], &Cursor, &[u8], &Statx) -> io::Result<()>,
) -> io::Result<()> {
    let mut cursor = Cursor::open(top)?;
    let mut path: Vec<Name> = Vec::new();
    let mut todo: Vec<Vec<Name>> = Vec::new();
    loop {
        if todo.len() == cursor.depth() {
            let mut folders = Vec::new();
            for name in cursor.names()? {
                let stat = cursor.stat(&name)?;
                path.push(name.clone());
                visit(&path.join(&b'/'), &cursor, &name, &stat)?;
                path.pop();
                if kind(&stat) == FileType::Directory {
                    folders.push(name);
                }
            }
            folders.reverse();
            todo.push(folders);
        }
        match todo.last_mut().and_then(Vec::pop) {
            Some(name) => {
                cursor.down(&name)?;
                path.push(name);
            }
            None => {
                todo.pop();
                if todo.is_empty() {
                    return Ok(());
                }
                cursor.up()?;
                path.pop();
            }
        }
    }
}

/// Removes a tree of any depth, and what is at `top` of any other kind; gone already is fine.
pub fn remove_tree(top: &Path) -> io::Result<()> {
    let found = match std::fs::symlink_metadata(top) {
        Ok(found) => found,
        Err(gone) if gone.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(other) => return Err(other),
    };
    if !found.is_dir() {
        return std::fs::remove_file(top);
    }
    let mut cursor = Cursor::open(top)?;
    let mut todo: Vec<Vec<Name>> = vec![cursor.names()?];
    let mut path: Vec<Name> = Vec::new();
    while let Some(names) = todo.last_mut() {
        match names.pop() {
            Some(name) if cursor.is_folder(&name)? => {
                cursor.down(&name)?;
                todo.push(cursor.names()?);
                path.push(name);
            }
            Some(name) => rustix::fs::unlinkat(&cursor.folder, name, AtFlags::empty())?,
            None => {
                todo.pop();
                if let Some(name) = path.pop() {
                    cursor.up()?;
                    rustix::fs::unlinkat(&cursor.folder, name, AtFlags::REMOVEDIR)?;
                }
            }
        }
    }
    std::fs::remove_dir(top)
}

/// Makes `top` and everything below it belong to `id` (user and group); links are not followed.
pub fn give_tree_to(top: &Path, id: u32) -> io::Result<()> {
    std::os::unix::fs::lchown(top, Some(id), Some(id))?;
    let (user, group) = (Uid::from_raw(id), Gid::from_raw(id));
    walk(top, |_, cursor, name, _| {
        let flags = AtFlags::SYMLINK_NOFOLLOW;
        Ok(rustix::fs::chownat(&cursor.folder, name, Some(user), Some(group), flags)?)
    })
}
