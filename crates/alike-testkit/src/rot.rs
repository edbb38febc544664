//! Rot: bytes that change on the disk under files that nobody touched.

use std::collections::HashSet;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::path::Path;

use rustix::fs::Advice;

use crate::Mount;

const BEGIN: &[u8] = b"<rot:";

/// What a file must hold, once, so that [`Mount::rot`] finds it on the disk.
pub fn mark(name: &str) -> String {
    format!("<rot:{name}>")
}

/// Lets the page cache forget a file, as if it had not been read for long.
pub fn forget_cached(path: &Path) {
    let file = File::open(path).unwrap_or_else(|why| panic!("open {}: {why}", path.display()));
    file.sync_all().expect("bring a file to the disk");
    rustix::fs::fadvise(&file, 0, None, Advice::DontNeed).expect("forget what is cached of a file");
}

impl Mount {
    /// Flips one bit of each of these marks in the image of the filesystem. What the page cache has of the files stays as
    /// it is. Panics when a mark is not there.
    pub fn rot(&self, names: &[String]) {
        let at = File::open(self.at()).expect("open the mount point");
        rustix::fs::syncfs(&at).expect("bring the filesystem to the disk");
        let path = self.image().expect("a filesystem in a file");
        let image = std::fs::read(path).expect("read the image");
        let file = File::options().write(true).open(path).expect("open the image");
        let mut left: HashSet<String> = names.iter().map(|name| mark(name)).collect();
        let mut from = 0;
        while let Some(found) = find(&image[from..], BEGIN).map(|found| from + found) {
            from = found + BEGIN.len();
            let Some(length) = image[found..].iter().take(300).position(|byte| *byte == b'>') else {
                continue;
            };
            let text = String::from_utf8_lossy(&image[found..=found + length]).into_owned();
            if names.iter().any(|name| mark(name) == text) {
                left.remove(&text);
                file.write_all_at(&[image[found] ^ 1], found as u64).expect("flip a bit");
            }
        }
        assert!(left.is_empty(), "not on the disk: {left:?}");
        file.sync_all().expect("bring the image to the disk");
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    let mut from = 0;
    loop {
        let at = from + bytes.get(from..)?.iter().position(|byte| *byte == what[0])?;
        if bytes[at..].starts_with(what) {
            return Some(at);
        }
        from = at + 1;
    }
}
