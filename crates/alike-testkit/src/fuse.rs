//! Serves a tree behind a cache as a filesystem (FUSE, needs root), with faults, and cuts its power.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use fuser::{
    BackgroundSession, BsdFileFlags, Config, Errno, FileAttr, FileHandle, FileType, Filesystem, FopenFlags,
    Generation, INodeNo, InitFlags, KernelConfig, LockOwner, MountOption, OpenFlags, RenameFlags, ReplyAttr,
    ReplyCreate, ReplyData, ReplyDirectory, ReplyEmpty, ReplyEntry, ReplyStatfs, ReplyWrite, ReplyXattr,
    Request, SessionACL, TimeOrNow, WriteFlags,
};

use crate::cached::{Asked, Cached, Faults, Kind, Node};

const TTL: Duration = Duration::from_secs(60);

/// A mounted filesystem whose disk can fail, lie and lose its power.
#[derive(Debug)]
pub struct FaultyDisk {
    at: PathBuf,
    /// The kernel keeps what is written until it is synced or closed.
    writeback: bool,
    tree: Shared,
    session: Option<BackgroundSession>,
}

type Shared = Arc<Mutex<Cached>>;

impl FaultyDisk {
    /// An empty one, mounted at `at`. With `writeback` the kernel has a cache of its own before that of the disk.
    pub fn mount(at: &Path, writeback: bool) -> Self {
        let mut disk =
            Self { at: at.to_owned(), writeback, tree: Shared::new(Cached::new().into()), session: None };
        disk.bring_back();
        disk
    }

    /// Where it is mounted.
    pub fn at(&self) -> &Path {
        &self.at
    }

    /// From now on syncs and writes are counted, and these go wrong.
    pub fn arm(&self, faults: Faults) {
        lock(&self.tree).arm(Some(faults));
    }

    /// Nothing goes wrong any more. Returns what was asked for since it was armed.
    pub fn disarm(&self) -> Asked {
        let asked = lock(&self.tree).asked();
        lock(&self.tree).arm(None);
        asked
    }

    /// Brings all that was written to the disk, as a long rest would; what the kernel still keeps to itself is left out.
    pub fn rest(&self) {
        lock(&self.tree).bring_all();
    }

    /// Cuts the power and brings it back: what is left is what was on the disk.
    pub fn cut_power(&mut self) {
        self.unmount();
        lock(&self.tree).cut_power();
        self.bring_back();
    }

    fn bring_back(&mut self) {
        std::fs::create_dir_all(&self.at).expect("make the mount point");
        let mut config = Config::default();
        config.mount_options = vec![
            MountOption::FSName("faulty".to_owned()),
            MountOption::DefaultPermissions,
            MountOption::Dev,
            MountOption::Suid,
        ];
        config.acl = SessionACL::All;
        let server = Server { tree: Arc::clone(&self.tree), writeback: self.writeback };
        self.session = Some(fuser::spawn_mount(server, &self.at, &config).expect("mount a FUSE filesystem"));
    }

    fn unmount(&mut self) {
        let Some(session) = self.session.take() else { return };
        // Who was just killed may hold its folders for another moment; a mount that is let go of lazily would go on.
        crate::wait_until(Duration::from_secs(5), || {
            let gone = std::process::Command::new("umount").arg(&self.at).output();
            gone.is_ok_and(|gone| gone.status.success())
        });
        if let Err(why) = session.join() {
            eprintln!("could not unmount {}: {why}", self.at.display());
        }
    }
}

impl Drop for FaultyDisk {
    fn drop(&mut self) {
        self.unmount();
    }
}

struct Server {
    tree: Shared,
    writeback: bool,
}

fn lock(tree: &Shared) -> MutexGuard<'_, Cached> {
    tree.lock().unwrap_or_else(PoisonError::into_inner)
}

fn attr(ino: u64, node: &Node) -> FileAttr {
    let kind = match node.mode & 0o170_000 {
        0o040_000 => FileType::Directory,
        0o120_000 => FileType::Symlink,
        0o010_000 => FileType::NamedPipe,
        0o020_000 => FileType::CharDevice,
        0o060_000 => FileType::BlockDevice,
        0o140_000 => FileType::Socket,
        _ => FileType::RegularFile,
    };
    FileAttr {
        ino: INodeNo(ino),
        size: node.size(),
        blocks: node.size().div_ceil(512),
        atime: node.mtime,
        mtime: node.mtime,
        ctime: node.ctime,
        crtime: node.ctime,
        kind,
        perm: (node.mode & 0o7777) as u16,
        nlink: node.nlink,
        uid: node.uid,
        gid: node.gid,
        rdev: node.rdev,
        blksize: 4096,
        flags: 0,
    }
}

fn empty(reply: ReplyEmpty, done: Result<(), Errno>) {
    match done {
        Ok(()) => reply.ok(),
        Err(errno) => reply.error(errno),
    }
}

fn failed(errno: i32) -> Errno {
    Errno::from_i32(errno)
}

impl Cached {
    /// Makes a new inode and gives it its name.
    fn make(&mut self, parent: u64, name: &OsStr, node: Node) -> Result<FileAttr, Errno> {
        if self.child(parent, name).is_some() {
            return Err(Errno::EEXIST);
        }
        let ino = self.add(node);
        self.put(parent, name, ino)?;
        Ok(attr(ino, &self.now[&ino]))
    }

    fn put(&mut self, parent: u64, name: &OsStr, ino: u64) -> Result<(), Errno> {
        let folder = self.change(parent).ok_or(Errno::ENOENT)?;
        folder.mtime = folder.ctime;
        folder.entries().ok_or(Errno::ENOTDIR)?.insert(name.to_owned(), ino);
        Ok(())
    }

    fn take(&mut self, parent: u64, name: &OsStr) -> Result<u64, Errno> {
        let folder = self.change(parent).ok_or(Errno::ENOENT)?;
        folder.mtime = folder.ctime;
        folder.entries().ok_or(Errno::ENOTDIR)?.remove(name).ok_or(Errno::ENOENT)
    }

    fn unname(&mut self, parent: u64, name: &OsStr) -> Result<(), Errno> {
        let ino = self.child(parent, name).ok_or(Errno::ENOENT)?;
        if self.now.get_mut(&ino).and_then(Node::entries).is_some_and(|entries| !entries.is_empty()) {
            return Err(Errno::ENOTEMPTY);
        }
        self.take(parent, name)?;
        if let Some(node) = self.change(ino) {
            node.nlink = node.nlink.saturating_sub(1);
        }
        Ok(())
    }

    fn rename(
        &mut self,
        (from, name): (u64, &OsStr),
        (to, new): (u64, &OsStr),
        flags: RenameFlags,
    ) -> Result<(), Errno> {
        let ino = self.child(from, name).ok_or(Errno::ENOENT)?;
        let there = self.child(to, new);
        if flags.contains(RenameFlags::RENAME_EXCHANGE) {
            let other = there.ok_or(Errno::ENOENT)?;
            self.put(from, name, other)?;
            self.put(to, new, ino)?;
        } else {
            match there {
                Some(_) if flags.contains(RenameFlags::RENAME_NOREPLACE) => return Err(Errno::EEXIST),
                Some(other) if other == ino => return Ok(()),
                Some(_) => self.unname(to, new)?,
                None => {}
            }
            self.take(from, name)?;
            self.put(to, new, ino)?;
        }
        self.change(ino).ok_or(Errno::ENOENT).map(drop)
    }
}

#[rustfmt::skip]
impl Filesystem for Server {
    fn init(&mut self, _: &Request, config: &mut KernelConfig) -> std::io::Result<()> {
        if self.writeback {
            config.add_capabilities(InitFlags::FUSE_WRITEBACK_CACHE).map_err(|_| std::io::ErrorKind::Unsupported)?;
        }
        Ok(())
    }

    fn lookup(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let tree = lock(&self.tree);
        match tree.child(parent.0, name) {
            Some(ino) => reply.entry(&TTL, &attr(ino, &tree.now[&ino]), Generation(0)),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn getattr(&self, _: &Request, ino: INodeNo, _: Option<FileHandle>, reply: ReplyAttr) {
        match lock(&self.tree).now.get(&ino.0) {
            Some(node) => reply.attr(&TTL, &attr(ino.0, node)),
            None => reply.error(Errno::ENOENT),
        }
    }

    fn setattr(
        &self, _: &Request, ino: INodeNo, mode: Option<u32>, uid: Option<u32>, gid: Option<u32>, size: Option<u64>,
        _: Option<TimeOrNow>, mtime: Option<TimeOrNow>, _: Option<SystemTime>, _: Option<FileHandle>,
        _: Option<SystemTime>, _: Option<SystemTime>, _: Option<SystemTime>, _: Option<BsdFileFlags>, reply: ReplyAttr,
    ) {
        let mut tree = lock(&self.tree);
        if let Some(size) = size {
            tree.resize(ino.0, size);
        }
        let Some(node) = tree.change(ino.0) else { return reply.error(Errno::ENOENT) };
        node.mode = mode.map_or(node.mode, |mode| node.mode & !0o7777 | mode & 0o7777);
        (node.uid, node.gid) = (uid.unwrap_or(node.uid), gid.unwrap_or(node.gid));
        node.mtime = match mtime {
            Some(TimeOrNow::SpecificTime(time)) => time,
            Some(TimeOrNow::Now) => node.ctime,
            None if size.is_some() => node.ctime,
            None => node.mtime,
        };
        reply.attr(&TTL, &attr(ino.0, node));
    }

    fn readlink(&self, _: &Request, ino: INodeNo, reply: ReplyData) {
        match lock(&self.tree).now.get(&ino.0).map(|node| &node.kind) {
            Some(Kind::Symlink(target)) => reply.data(target.as_bytes()),
            _ => reply.error(Errno::EINVAL),
        }
    }

    fn mknod(&self, who: &Request, parent: INodeNo, name: &OsStr, mode: u32, umask: u32, rdev: u32, reply: ReplyEntry) {
        let kind = if mode & 0o170_000 == 0o100_000 { Kind::File(Vec::new()) } else { Kind::Special };
        entered(reply, lock(&self.tree).make(parent.0, name, Node::new(kind, mode & !umask, (who.uid(), who.gid()), rdev)));
    }

    fn mkdir(&self, who: &Request, parent: INodeNo, name: &OsStr, mode: u32, umask: u32, reply: ReplyEntry) {
        let node = Node::new(Kind::Folder([].into()), 0o040_000 | mode & !umask, (who.uid(), who.gid()), 0);
        entered(reply, lock(&self.tree).make(parent.0, name, node));
    }

    fn symlink(&self, who: &Request, parent: INodeNo, name: &OsStr, target: &Path, reply: ReplyEntry) {
        let node = Node::new(Kind::Symlink(target.into()), 0o120_777, (who.uid(), who.gid()), 0);
        entered(reply, lock(&self.tree).make(parent.0, name, node));
    }

    fn create(&self, who: &Request, parent: INodeNo, name: &OsStr, mode: u32, umask: u32, _: i32, reply: ReplyCreate) {
        let node = Node::new(Kind::File(Vec::new()), 0o100_000 | mode & !umask, (who.uid(), who.gid()), 0);
        match lock(&self.tree).make(parent.0, name, node) {
            Ok(attr) => reply.created(&TTL, &attr, Generation(0), FileHandle(0), FopenFlags::empty()),
            Err(errno) => reply.error(errno),
        }
    }

    fn link(&self, _: &Request, ino: INodeNo, parent: INodeNo, name: &OsStr, reply: ReplyEntry) {
        let mut tree = lock(&self.tree);
        if tree.child(parent.0, name).is_some() {
            return reply.error(Errno::EEXIST);
        }
        let Some(node) = tree.change(ino.0) else { return reply.error(Errno::ENOENT) };
        node.nlink += 1;
        let attr = attr(ino.0, node);
        entered(reply, tree.put(parent.0, name, ino.0).map(|()| attr));
    }

    fn unlink(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        empty(reply, lock(&self.tree).unname(parent.0, name));
    }

    fn rmdir(&self, _: &Request, parent: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        empty(reply, lock(&self.tree).unname(parent.0, name));
    }

    fn rename(
        &self, _: &Request, parent: INodeNo, name: &OsStr, newparent: INodeNo, newname: &OsStr, flags: RenameFlags,
        reply: ReplyEmpty,
    ) {
        empty(reply, lock(&self.tree).rename((parent.0, name), (newparent.0, newname), flags));
    }

    fn read(
        &self, _: &Request, ino: INodeNo, _: FileHandle, offset: u64, size: u32, _: OpenFlags, _: Option<LockOwner>,
        reply: ReplyData,
    ) {
        match lock(&self.tree).now.get(&ino.0).map(|node| &node.kind) {
            Some(Kind::File(content)) => {
                let start = (offset as usize).min(content.len());
                let end = (start + size as usize).min(content.len());
                reply.data(&content[start..end]);
            }
            _ => reply.error(Errno::EINVAL),
        }
    }

    fn write(
        &self, _: &Request, ino: INodeNo, _: FileHandle, offset: u64, data: &[u8], _: WriteFlags, _: OpenFlags,
        _: Option<LockOwner>, reply: ReplyWrite,
    ) {
        match lock(&self.tree).write(ino.0, offset, data) {
            Ok(()) => reply.written(data.len() as u32),
            Err(errno) => reply.error(failed(errno)),
        }
    }

    fn flush(&self, _: &Request, ino: INodeNo, _: FileHandle, _: LockOwner, reply: ReplyEmpty) {
        empty(reply, lock(&self.tree).close(ino.0).map_err(failed));
    }

    fn fsync(&self, _: &Request, ino: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        empty(reply, lock(&self.tree).sync_file(ino.0).map_err(failed));
    }

    fn fsyncdir(&self, _: &Request, ino: INodeNo, _: FileHandle, _: bool, reply: ReplyEmpty) {
        empty(reply, lock(&self.tree).sync_folder(ino.0).map_err(failed));
    }

    fn readdir(&self, _: &Request, ino: INodeNo, _: FileHandle, offset: u64, mut reply: ReplyDirectory) {
        let tree = lock(&self.tree);
        let Some(Kind::Folder(entries)) = tree.now.get(&ino.0).map(|node| &node.kind) else {
            return reply.error(Errno::ENOTDIR);
        };
        for (at, (name, child)) in entries.iter().enumerate().skip(offset as usize) {
            let kind = attr(*child, &tree.now[child]).kind;
            if reply.add(INodeNo(*child), at as u64 + 1, kind, name) {
                break;
            }
        }
        reply.ok();
    }

    fn statfs(&self, _: &Request, _: INodeNo, reply: ReplyStatfs) {
        reply.statfs(1 << 20, 1 << 20, 1 << 20, 1 << 20, 1 << 20, 4096, 255, 4096);
    }

    fn setxattr(&self, _: &Request, ino: INodeNo, name: &OsStr, value: &[u8], _: i32, _: u32, reply: ReplyEmpty) {
        if !name.as_bytes().starts_with(b"user.") {
            return reply.error(Errno::EOPNOTSUPP);
        }
        let mut tree = lock(&self.tree);
        let put = tree.change(ino.0).map(|node| drop(node.xattrs.insert(name.to_owned(), value.to_owned())));
        empty(reply, put.ok_or(Errno::ENOENT));
    }

    fn getxattr(&self, _: &Request, ino: INodeNo, name: &OsStr, size: u32, reply: ReplyXattr) {
        match lock(&self.tree).now.get(&ino.0).and_then(|node| node.xattrs.get(name)) {
            None => reply.error(Errno::NO_XATTR),
            Some(value) => sized(reply, value, size),
        }
    }

    fn listxattr(&self, _: &Request, ino: INodeNo, size: u32, reply: ReplyXattr) {
        let tree = lock(&self.tree);
        let names = tree.now.get(&ino.0).into_iter().flat_map(|node| node.xattrs.keys());
        sized(reply, &names.flat_map(|name| [name.as_bytes(), b"\0"].concat()).collect::<Vec<_>>(), size);
    }

    fn removexattr(&self, _: &Request, ino: INodeNo, name: &OsStr, reply: ReplyEmpty) {
        let mut tree = lock(&self.tree);
        let gone = tree.change(ino.0).and_then(|node| node.xattrs.remove(name)).map(drop);
        empty(reply, gone.ok_or(Errno::NO_XATTR));
    }
}

fn entered(reply: ReplyEntry, made: Result<FileAttr, Errno>) {
    match made {
        Ok(attr) => reply.entry(&TTL, &attr, Generation(0)),
        Err(errno) => reply.error(errno),
    }
}

fn sized(reply: ReplyXattr, value: &[u8], size: u32) {
    match size as usize {
        0 => reply.size(value.len() as u32),
        room if room < value.len() => reply.error(Errno::ERANGE),
        _ => reply.data(value),
    }
}
