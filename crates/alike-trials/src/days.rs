//! Two days of one source: how it was when the replica was last equal, and how it is when the fault comes.

use std::path::Path;

use alike_testkit::{Tree, name};

/// Content that nothing else has: each line tells whose it is, of which version, and where it stands, so that a mixture
/// of two is neither.
pub fn content(whose: &str, version: u32, size: usize) -> Vec<u8> {
    let mut content = Vec::with_capacity(size + 64);
    let mut line = 0;
    while content.len() < size {
        content.extend_from_slice(format!("{whose} version {version} line {line}\n").as_bytes());
        line += 1;
    }
    content.truncate(size);
    content
}

/// Many reads, so that there is a middle to stop in.
pub const LARGE: usize = 300_000;

const DAY_ONE: i64 = 1_700_000_000;
const DAY_TWO: i64 = 1_700_100_000;

/// The first day. A plain tree has nothing that rclone and Unison stop at: no pipes, no names that are
/// not UTF-8, and nothing that becomes a folder, or a folder no more.
pub fn first(tree: &Tree, plain: bool) {
    let file = |path: &str, size: usize| {
        tree.file(path, content(path, 1, size)).mtime(path, DAY_ONE, 0);
    };
    for (path, size) in [
        ("grows", 900),
        ("shrinks", 9_000),
        ("same size", 5_000),
        ("stays", 2_000),
        ("goes", 700),
        ("empty", 0),
        ("large", LARGE),
        ("in place", LARGE),
        ("touched", 800),
        ("secret", 600),
        ("old name", 4_000),
        ("becomes folder", 300),
        ("becomes link", 300),
        ("d/one", 1_000),
        ("d/two", 66_000),
        ("d/e/three", 1_500),
        ("d/e/four", 12_000),
        ("leaves/one", 100),
        ("leaves/two/three", 200),
        ("moves/one", 3_000),
        ("moves/two", 40_000),
        ("moves/deep/er/three", 500),
        ("becomes file/inner", 100),
        ("group", 2_500),
    ] {
        file(path, size);
    }
    tree.folder("hollow").symlink("link", "stays").symlink("turns", "stays").symlink("becomes real", "goes");
    tree.hard_link("group", "d/group").mode("secret", 0o600).mode("touched", 0o644);
    if !plain {
        tree.fifo("pipe").sparse("sparse", 200_000, &[(0, b"start"), (131_072, b"middle")]);
        tree.file(name(b"odd\n\xff"), content("odd", 1, 1_000)).xattr("stays", "user.trial", "first");
        tree.file(name(&[b'n'; 255]), content("long", 1, 1_000));
        tree.mtime(name(b"odd\n\xff"), DAY_ONE, 0).mtime(name(&[b'n'; 255]), DAY_ONE, 0);
        tree.mtime("sparse", DAY_ONE, 0);
    }
    for folder in ["d/e", "d", "leaves", "moves", "hollow"] {
        tree.mtime(folder, DAY_ONE, 0);
    }
}

/// What the second day makes of it. New content is made `aside` and renamed in, so that each look at the source, also one
/// while this runs, sees whole versions only.
pub fn second(tree: &Tree, aside: &Path, plain: bool) {
    let aside = Tree::make(aside);
    let put = |path: &str, size: usize| {
        aside.file("new", content(path, 2, size)).mtime("new", DAY_TWO, 0);
        std::fs::create_dir_all(tree.path(path).parent().expect("a parent")).expect("make folders");
        std::fs::rename(aside.path("new"), tree.path(path)).expect("put a new version");
    };
    put("grows", 7_000);
    put("shrinks", 800);
    put("same size", 5_000);
    put("large", LARGE + 5_000);
    put("d/two", 70_000);
    put("d/new", 1_200);
    put("new/folder/file", 20_000);
    tree.rename("moves", "moved").rename("old name", "d/new name");
    put("moved/one", 3_500);
    tree.remove("goes").remove("leaves").mode("touched", 0o755).mtime("touched", DAY_TWO, 0);
    in_place(tree);
    tree.remove("becomes link").symlink("becomes link", "stays").remove("becomes real");
    put("becomes real", 500);
    tree.remove("turns").symlink("turns", "grows").hard_link("group", "moved/group");
    if !plain {
        tree.remove("becomes folder").folder("becomes folder").remove("becomes file");
        put("becomes folder/inner", 400);
        put("becomes file", 600);
        tree.remove("pipe").fifo("d/pipe").xattr("stays", "user.trial", "second");
        aside.file("new", content("odd", 2, 1_500)).mtime("new", DAY_TWO, 0);
        std::fs::rename(aside.path("new"), tree.path(name(b"odd\n\xff"))).expect("put an odd name");
    }
    for folder in ["d", "moved", ""] {
        tree.mtime(folder, DAY_TWO, 7);
    }
}

/// One write within one page: nobody can see half of it.
fn in_place(tree: &Tree) {
    use std::os::unix::fs::FileExt;
    let file = std::fs::File::options().write(true).open(tree.path("in place")).expect("open to write");
    file.write_all_at(b"written in place on the second day", 40_960).expect("write in place");
    drop(file);
    tree.mtime("in place", DAY_TWO, 0);
}
