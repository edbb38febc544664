//! A tree with all that a Linux filesystem can hold, and what a busy day makes of it.

use crate::{Tree, is_root, name, odd_names};

/// The first and the last second that ext4 can say, and times around those where counters of seconds end.
const TIMES: [(i64, u32); 8] = [
    (-2_147_483_648, 0),
    (-2_147_483_647, 999_999_999),
    (-1, 500_000_000),
    (0, 1),
    (2_147_483_647, 999_999_999),
    (4_294_967_296, 123_456_789),
    (15_032_385_534, 999_999_999),
    (15_032_385_535, 0),
];

const FILE_ACL: &str = "u::rw-,u:12:r--,g::r--,g:7:rw-,m::rw-,o::---";
const FOLDER_ACL: &str = "u::rwx,u:12:r-x,g::r-x,m::rwx,o::---";

impl Tree {
    /// Every kind of entry with everything that can be said of it; as root also what only root can make.
    ///
    /// What it has is what each of tmpfs, ext4, xfs and btrfs can hold: no symlink of more than 1024 bytes, and not
    /// more than 4 KiB of attributes on one entry.
    pub fn everything(&self) -> &Self {
        self.contents();
        if is_root() {
            self.what_only_root_makes();
        }
        self.groups();
        self.permissions();
        self.attributes();
        self.times_of_everything()
    }

    fn contents(&self) {
        let noise: Vec<u8> = (0..300_007_u32).map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        self.file("file", "content").file("empty", "").file("deep/er/file", "inside").file("large", noise);
        self.folder("hollow").folder("chain/of/empty/folders").fifo("pipe").socket("socket");
        self.symlink("link", "file").symlink("dangling", "no/such/thing").symlink("loop", "loop");
        self.symlink("raw link", name(b"\xff\n\x1b[0m/../..")).symlink("long link", "t".repeat(1000));
        self.sparse("sparse", 3_000_000, &[(0, b"start"), (1_048_576, b"middle"), (2_999_999, b"!")]);
        self.sparse("hole", 1_000_000, &[]).sparse("hole at the end", 1_000_000, &[(0, b"start")]);
        for odd in odd_names() {
            self.file(name(b"odd").join(odd), "x");
        }
    }

    fn what_only_root_makes(&self) {
        self.character_device("null", 1, 3)
            .block_device("block", 7, 200)
            .character_device("far", 300, 70_000);
        for (id, path) in (1000..).zip(["deep/er", "large", "link", "pipe", "socket", "null", "sparse", ""]) {
            self.owner(path, id, id + 500);
        }
    }

    fn groups(&self) {
        self.file("group/one", "of one file").hard_link("group/one", "group/two");
        self.hard_link("group/one", "other/three").hard_link("link", "group/link").hard_link("pipe", "piped");
        self.file("group/apart", "of one file");
    }

    fn permissions(&self) {
        for mode in [0o600, 0o755, 0o777, 0o444, 0o400, 0o4755, 0o2755, 0o1644, 0o6711] {
            self.file(format!("modes/file-{mode:o}"), "x").mode(format!("modes/file-{mode:o}"), mode);
        }
        for mode in [0o700, 0o1777, 0o2775, 0o555, 0o500, 0o3770] {
            self.file(format!("modes/{mode:o}/inner"), "x").mode(format!("modes/{mode:o}"), mode);
        }
        self.mode("", 0o750);
    }

    fn attributes(&self) {
        self.file("acl/file", "x").acl("acl/file", FILE_ACL).file("acl/plain", "x");
        self.folder("acl/folder").acl("acl/folder", FOLDER_ACL).file("acl/heir/none", "made before");
        self.default_acl("acl/heir", FOLDER_ACL).file("acl/heir/inherits", "made after");
        for path in ["file", "hollow", "group/one", ""] {
            self.xattr(path, "user.alike", "a value").xattr(path, "user.empty", "");
        }
        self.xattr("large", "user.big", vec![b'v'; 3000]).xattr("large", b"user.odd\n\xff\x1b[0m", b"\0\xff");
        if is_root() {
            for path in ["file", "hollow", "link", "pipe", "socket", "null", "block", ""] {
                self.xattr(path, "trusted.alike", path).xattr(path, "security.alike", "s");
            }
            self.file("capable", "x").owner("capable", 12, 13).capability("capable", 1 << 10);
        }
    }

    fn times_of_everything(&self) -> &Self {
        for (i, (seconds, nanoseconds)) in TIMES.into_iter().enumerate() {
            let paths = ["file", "folder", "link", "pipe"].map(|kind| format!("times/{kind}-{i}"));
            self.file(&paths[0], "x").folder(&paths[1]).symlink(&paths[2], "x").fifo(&paths[3]);
            for path in paths {
                self.mtime(path, seconds, nanoseconds);
            }
        }
        for path in ["file", "pipe", "hollow", "link", "deep", ""] {
            self.mtime(path, 987_654_321, 123_456_789);
        }
        self
    }

    /// Changes [`Tree::everything`] in each way that a later pass has to follow.
    pub fn everything_edited(&self) -> &Self {
        self.file("file", "edited in place")
            .append("group/two", ", seen under each name")
            .remove("group/one");
        self.rename("deep", "moved/deep").rename("large", "moved/large").file("moved/deep/new", "x");
        self.remove("hollow").file("hollow", "a file now").remove("empty").folder("empty");
        self.hard_link("group/apart", "other/apart").remove("piped").fifo("piped").remove("modes/700");
        self.sparse("sparse", 2_000_000, &[(1_500_000, b"elsewhere")]).mode("modes/file-444", 0o4711);
        self.acl("acl/plain", FILE_ACL)
            .remove_acls("acl/file")
            .remove_acls("acl/heir")
            .mode("acl/file", 0o640);
        self.remove_xattr("file", "user.empty").xattr("file", "user.new", "n").xattr(
            "",
            "user.alike",
            "other",
        );
        self.mtime("times/file-0", 15_032_385_535, 0).mtime("times/link-7", -2_147_483_648, 0);
        if is_root() {
            self.owner("capable", 14, 15).capability("capable", 1 << 13);
            self.xattr("link", "trusted.alike", "edited").remove_xattr("pipe", "trusted.alike");
            self.remove("far").character_device("far", 1, 5);
        }
        self
    }
}
