//! Building trees: every kind of entry, with the content, mode, owner and time that a test wants.

use std::fs;
use std::io::Write;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, Timespec, Timestamps, UTIME_OMIT};

/// A name from raw bytes, as UTF-8 or not.
pub fn name(bytes: &[u8]) -> PathBuf {
    PathBuf::from(std::ffi::OsStr::from_bytes(bytes))
}

/// Names that Linux allows and programs trip over.
pub fn odd_names() -> Vec<PathBuf> {
    let mut names: Vec<Vec<u8>> = [
        "-rf",
        "--delete",
        " leading",
        "trailing ",
        " ",
        "two  spaces",
        "tab\there",
        "line\nbreak",
        "\n",
        "cr\rhere",
        "*",
        "?",
        "[a-z]",
        "{a,b}",
        "!not",
        "#hash",
        "~",
        "$HOME",
        "`id`",
        "a;b",
        "a|b",
        "quote\"d",
        "it's",
        "back\\slash",
        "\\",
        "...",
        ".hidden",
        ".alike2",
        "alike",
        "\u{1b}[31mred\u{1b}[0m",
        "bell\u{7}",
        "c1\u{9b}31m",
        "del\u{7f}",
        "café",
        "cafe\u{301}",
        "CAFÉ",
        "日本語",
        "\u{202e}txt.exe",
        "\u{feff}bom",
        "%41",
        "a:b",
        "CON",
        "aux.txt",
        "x.tmp~",
    ]
    .iter()
    .map(|name| name.as_bytes().to_vec())
    .collect();
    names.push(b"\xff\xfe".to_vec());
    names.push(b"latin1-\xe9".to_vec());
    names.push(b"half-\xe2\x82".to_vec());
    names.push(vec![b'n'; 255]);
    names.push(vec![0xff; 255]);
    names.push(format!("{}x", "é".repeat(127)).into_bytes());
    names.iter().map(|bytes| name(bytes)).collect()
}

/// A folder in which tests make and change things; every path is relative to it, `""` is the folder itself.
///
/// Each step returns the tree, so that steps chain; each panics when it fails.
#[derive(Debug, Clone)]
pub struct Tree {
    top: PathBuf,
}

impl Tree {
    /// The tree at this path, which need not exist.
    pub fn at(top: impl Into<PathBuf>) -> Self {
        Self { top: top.into() }
    }

    /// The tree at this path, made when missing.
    pub fn make(top: impl Into<PathBuf>) -> Self {
        let tree = Self::at(top);
        fs::create_dir_all(&tree.top).expect("make the top of a tree");
        tree
    }

    /// The top.
    pub fn top(&self) -> &Path {
        &self.top
    }

    /// Where `path` is.
    pub fn path(&self, path: impl AsRef<Path>) -> PathBuf {
        let path = path.as_ref();
        if path.as_os_str().is_empty() { self.top.clone() } else { self.top.join(path) }
    }

    fn with_parents(&self, path: &Path) -> PathBuf {
        let full = self.path(path);
        if let Some(parent) = full.parent() {
            fs::create_dir_all(parent).expect("make the folders above");
        }
        full
    }

    /// A file with this content, its folders made; a file that exists is rewritten in place.
    pub fn file(&self, path: impl AsRef<Path>, content: impl AsRef<[u8]>) -> &Self {
        let full = self.with_parents(path.as_ref());
        fs::write(&full, content).unwrap_or_else(|why| panic!("write {}: {why}", full.display()));
        self
    }

    /// A file that appears whole, by a rename: a mirror that runs sees no moment at which it is empty or half written.
    pub fn arrives(&self, path: impl AsRef<Path>, content: impl AsRef<[u8]>) -> &Self {
        let full = self.with_parents(path.as_ref());
        let beside = self.top.with_extension("arriving");
        fs::write(&beside, content).unwrap_or_else(|why| panic!("write {}: {why}", beside.display()));
        fs::rename(&beside, &full).unwrap_or_else(|why| panic!("rename to {}: {why}", full.display()));
        self
    }

    /// Adds to the end of a file.
    pub fn append(&self, path: impl AsRef<Path>, content: impl AsRef<[u8]>) -> &Self {
        let mut file = fs::File::options().append(true).open(self.path(path)).expect("open to append");
        file.write_all(content.as_ref()).expect("append");
        self
    }

    /// A folder, with those above it.
    pub fn folder(&self, path: impl AsRef<Path>) -> &Self {
        fs::create_dir_all(self.path(path)).expect("make a folder");
        self
    }

    /// A symlink to `target`, which need not exist.
    pub fn symlink(&self, path: impl AsRef<Path>, target: impl AsRef<Path>) -> &Self {
        symlink(target, self.with_parents(path.as_ref())).expect("make a symlink");
        self
    }

    /// A second name for a file.
    pub fn hard_link(&self, from: impl AsRef<Path>, to: impl AsRef<Path>) -> &Self {
        fs::hard_link(self.path(from), self.with_parents(to.as_ref())).expect("make a hard link");
        self
    }

    /// A named pipe.
    pub fn fifo(&self, path: impl AsRef<Path>) -> &Self {
        let full = self.with_parents(path.as_ref());
        rustix::fs::mknodat(CWD, &full, FileType::Fifo, Mode::from_raw_mode(0o644), 0).expect("make a fifo");
        self
    }

    /// Sets the permission bits.
    pub fn mode(&self, path: impl AsRef<Path>, mode: u32) -> &Self {
        fs::set_permissions(self.path(path), fs::Permissions::from_mode(mode)).expect("change a mode");
        self
    }

    /// Sets owner and group, of a symlink itself too.
    pub fn owner(&self, path: impl AsRef<Path>, user: u32, group: u32) -> &Self {
        lchown(self.path(path), Some(user), Some(group)).expect("change an owner");
        self
    }

    /// Sets the mtime, of a symlink itself too; the atime stays.
    pub fn mtime(&self, path: impl AsRef<Path>, seconds: i64, nanoseconds: u32) -> &Self {
        self.times(path.as_ref(), omit(), at(seconds, nanoseconds))
    }

    /// Sets atime and mtime.
    pub fn atime_and_mtime(&self, path: impl AsRef<Path>, atime: i64, mtime: i64) -> &Self {
        self.times(path.as_ref(), at(atime, 0), at(mtime, 0))
    }

    fn times(&self, path: &Path, last_access: Timespec, last_modification: Timespec) -> &Self {
        let times = Timestamps { last_access, last_modification };
        let full = self.path(path);
        rustix::fs::utimensat(CWD, &full, &times, AtFlags::SYMLINK_NOFOLLOW).expect("set a time");
        self
    }

    /// Rewrites a file in place with content of the same size and puts its mtime back: only the ctime tells.
    pub fn edit_keeping_stamp(&self, path: impl AsRef<Path>, content: impl AsRef<[u8]>) -> &Self {
        let path = path.as_ref();
        let before = fs::symlink_metadata(self.path(path)).expect("look at the file");
        assert_eq!(before.len(), content.as_ref().len() as u64, "the edit must keep the size");
        self.file(path, content);
        self.mtime(path, before.mtime(), u32::try_from(before.mtime_nsec()).expect("nanoseconds"))
    }

    /// Renames, the folders above the new name made.
    pub fn rename(&self, from: impl AsRef<Path>, to: impl AsRef<Path>) -> &Self {
        let to = self.with_parents(to.as_ref());
        fs::rename(self.path(from), to).expect("rename");
        self
    }

    /// Removes whatever is there, with what is below it.
    pub fn remove(&self, path: impl AsRef<Path>) -> &Self {
        crate::remove_tree(&self.path(path)).expect("remove");
        self
    }

    /// The inode number, links not followed.
    pub fn ino(&self, path: impl AsRef<Path>) -> u64 {
        let full = self.path(path);
        fs::symlink_metadata(&full).unwrap_or_else(|why| panic!("look at {}: {why}", full.display())).ino()
    }

    /// True when there is an entry of any kind.
    pub fn has(&self, path: impl AsRef<Path>) -> bool {
        fs::symlink_metadata(self.path(path)).is_ok()
    }

    /// The content of a file.
    pub fn read(&self, path: impl AsRef<Path>) -> Vec<u8> {
        let full = self.path(path);
        fs::read(&full).unwrap_or_else(|why| panic!("read {}: {why}", full.display()))
    }

    /// Under the folder `top`, `levels` folders inside one another with names of `length` bytes, and in the last
    /// one the file `bottom`. Folders that exist are used, so a second call edits the file.
    pub fn deep_file(&self, top: &str, levels: usize, length: usize, content: &[u8]) -> &Self {
        self.folder(top);
        let level = vec![b'd'; length];
        let open = OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mut here: OwnedFd = rustix::fs::open(self.path(top), open, Mode::empty()).expect("open the top");
        for _ in 0..levels {
            match rustix::fs::mkdirat(&here, &level, Mode::from_raw_mode(0o755)) {
                Ok(()) | Err(rustix::io::Errno::EXIST) => {}
                Err(why) => panic!("make a deep folder: {why}"),
            }
            here = rustix::fs::openat(&here, &level, open, Mode::empty()).expect("open a deep folder");
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::TRUNC | OFlags::CLOEXEC;
        let file =
            rustix::fs::openat(&here, "bottom", flags, Mode::from_raw_mode(0o644)).expect("make a deep file");
        fs::File::from(file).write_all(content).expect("write a deep file");
        self
    }
}

fn at(seconds: i64, nanoseconds: u32) -> Timespec {
    Timespec { tv_sec: seconds, tv_nsec: nanoseconds.into() }
}

fn omit() -> Timespec {
    Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT }
}
