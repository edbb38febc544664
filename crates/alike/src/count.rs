//! Counts the entries of the source for the progress line: names only, so it is far ahead of the pass.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

/// Counts into `total` when it is done; gives up when `over` says so or anything cannot be read, since a total that is
/// too small would be worse than none.
pub(crate) fn entries(source: &Path, total: &AtomicU64, over: &AtomicBool) {
    let mut count = 0;
    let mut folders = vec![source.to_owned()];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = std::fs::read_dir(&folder) else { return };
        for entry in entries {
            if over.load(Ordering::Relaxed) {
                return;
            }
            let Ok(entry) = entry else { return };
            count += 1;
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                folders.push(entry.path());
            }
        }
    }
    total.store(count, Ordering::Relaxed);
}
