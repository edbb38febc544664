//! Counts the entries of the source for the progress line: names only, so it is far ahead of the pass.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use alike_storage::{Folder, linux};

/// Counts into `total` when it is done; gives up when `over` says so or anything cannot be read, since a total that is
/// too small would be worse than none.
pub(crate) fn entries(source: &Path, total: &AtomicU64, over: &AtomicBool) {
    let mut count = 0;
    let mut folders = vec![source.to_owned()];
    while let Some(path) = folders.pop() {
        let Ok(folder) = Folder::open(&path) else { return };
        let Ok(names) = linux::names(folder.descriptor()) else { return };
        if over.load(Ordering::Relaxed) {
            return;
        }
        count += names.len() as u64;
        let inner = names.into_iter().filter(|(_, is_folder)| *is_folder);
        folders.extend(inner.map(|(name, _)| path.join(OsStr::from_bytes(name.as_bytes()))));
    }
    total.store(count, Ordering::Relaxed);
}
