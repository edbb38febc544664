//! What an entry can have beside its content: attributes, ACLs, capabilities, holes; and nodes of devices.

use std::fs;
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustix::fs::{CWD, FileType, Mode, makedev};

use crate::Tree;
use crate::attributes::{ACCESS_ACL, DEFAULT_ACL, Held, acl, capability};

const CAPABILITY: &str = "security.capability";

impl Tree {
    fn held(&self, path: &Path) -> Held {
        let full = self.path(path);
        Held::at(&full).unwrap_or_else(|why| panic!("hold {}: {why}", full.display()))
    }

    fn set(&self, path: &Path, attribute: &[u8], value: &[u8]) -> &Self {
        let said = String::from_utf8_lossy(attribute);
        let done = self.held(path).set(attribute, value);
        done.unwrap_or_else(|why| panic!("set {said} of {}: {why}", self.path(path).display()));
        self
    }

    fn unset(&self, path: &Path, attribute: &[u8]) -> &Self {
        let said = String::from_utf8_lossy(attribute);
        let done = self.held(path).remove(attribute);
        done.unwrap_or_else(|why| panic!("remove {said} of {}: {why}", self.path(path).display()));
        self
    }

    /// Sets an extended attribute, of a symlink itself too.
    pub fn xattr(
        &self,
        path: impl AsRef<Path>,
        attribute: impl AsRef<[u8]>,
        value: impl AsRef<[u8]>,
    ) -> &Self {
        self.set(path.as_ref(), attribute.as_ref(), value.as_ref())
    }

    /// Removes an extended attribute, which must be there.
    pub fn remove_xattr(&self, path: impl AsRef<Path>, attribute: impl AsRef<[u8]>) -> &Self {
        self.unset(path.as_ref(), attribute.as_ref())
    }

    /// The value of an extended attribute, of a symlink itself too; none when it is not set.
    pub fn xattr_of(&self, path: impl AsRef<Path>, attribute: impl AsRef<[u8]>) -> Option<Vec<u8>> {
        self.held(path.as_ref()).get(attribute.as_ref()).expect("read an attribute")
    }

    /// True when the filesystem of the top takes attributes of users.
    pub fn takes_xattrs(&self) -> bool {
        let top = self.held(Path::new(""));
        top.set(b"user.alike", b"?").and_then(|()| top.remove(b"user.alike")).is_ok()
    }

    /// Sets the ACL, as `u::rw-,u:12:r--,g::r--,g:7:rwx,m::rw-,o::---` with the entries in this order.
    pub fn acl(&self, path: impl AsRef<Path>, text: &str) -> &Self {
        self.set(path.as_ref(), ACCESS_ACL.as_bytes(), &acl(text))
    }

    /// Sets what entries made in a folder inherit, written as for [`Tree::acl`].
    pub fn default_acl(&self, path: impl AsRef<Path>, text: &str) -> &Self {
        self.set(path.as_ref(), DEFAULT_ACL.as_bytes(), &acl(text))
    }

    /// Removes the ACL, and from a folder what entries made in it inherit.
    pub fn remove_acls(&self, path: impl AsRef<Path>) -> &Self {
        for attribute in [ACCESS_ACL, DEFAULT_ACL] {
            if self.xattr_of(path.as_ref(), attribute).is_some() {
                self.unset(path.as_ref(), attribute.as_bytes());
            }
        }
        self
    }

    /// True when the entry has an ACL beyond its mode, or a folder makes its entries inherit one.
    pub fn has_acl(&self, path: impl AsRef<Path>) -> bool {
        [ACCESS_ACL, DEFAULT_ACL].iter().any(|attribute| self.xattr_of(path.as_ref(), attribute).is_some())
    }

    /// Gives a file capabilities: `permitted` has a bit for each (needs root).
    pub fn capability(&self, path: impl AsRef<Path>, permitted: u32) -> &Self {
        self.set(path.as_ref(), CAPABILITY.as_bytes(), &capability(permitted))
    }

    /// A new file of this size that is a hole but for these bytes at these offsets.
    pub fn sparse(&self, path: impl AsRef<Path>, size: u64, data: &[(u64, &[u8])]) -> &Self {
        self.file(&path, "");
        let file = fs::File::options().write(true).open(self.path(path)).expect("open a sparse file");
        file.set_len(size).expect("set a size");
        for (offset, bytes) in data {
            file.write_all_at(bytes, *offset).expect("write into a sparse file");
        }
        self
    }

    /// A node of a character device (needs root).
    pub fn character_device(&self, path: impl AsRef<Path>, major: u32, minor: u32) -> &Self {
        self.node(path.as_ref(), FileType::CharacterDevice, major, minor)
    }

    /// A node of a block device (needs root).
    pub fn block_device(&self, path: impl AsRef<Path>, major: u32, minor: u32) -> &Self {
        self.node(path.as_ref(), FileType::BlockDevice, major, minor)
    }

    /// A socket that nobody listens on.
    pub fn socket(&self, path: impl AsRef<Path>) -> &Self {
        self.node(path.as_ref(), FileType::Socket, 0, 0)
    }

    fn node(&self, path: &Path, kind: FileType, major: u32, minor: u32) -> &Self {
        let full = self.path(path);
        fs::create_dir_all(full.parent().expect("a folder above")).expect("make the folders above");
        rustix::fs::mknodat(CWD, &full, kind, Mode::from_raw_mode(0o644), makedev(major, minor))
            .unwrap_or_else(|why| panic!("make the node {}: {why}", full.display()));
        self
    }
}
