//! Watching from the start: folders that the index knows are watched before the first pass gets to them.

use std::sync::Arc;

use alike_model::known::FolderId;
use alike_model::path::{Name, RelPath};
use alike_storage::{Folder, Local, Source};

use crate::hub::Seat;
use crate::index::Index;
use crate::stop::Stop;

/// Folders deeper than this wait for the pass: each level above one is held open.
const DEEPEST: usize = 64;

/// A folder that the index knows, to be opened in the one above it.
struct Next {
    above: Arc<Folder>,
    path: RelPath,
    name: Name,
    id: FolderId,
    depth: usize,
}

/// Watches the folders that the index knows, as far as they are where they were. What it does not get to, or what changed before
/// it did, is found by the first pass, which comes to every folder; so what fails here is no trouble.
pub(crate) fn watch_known((source, index): (&Local, &Index), seat: &Seat, stop: &Stop) {
    if seat.watcher().is_wide() || index.indexed().is_none() {
        return;
    }
    let Ok(top) = source.root() else { return };
    seat.expect(&RelPath::root(), &top);
    let mut next = Vec::new();
    put_below(index, (top, RelPath::root(), FolderId::ROOT, 0), &mut next);
    while let Some(Next { above, path, name, id, depth }) = next.pop() {
        if stop.is_set() {
            return;
        }
        let Ok(folder) = source.open_folder(&above, &name) else { continue };
        seat.expect(&path, &folder);
        put_below(index, (folder, path, id, depth), &mut next);
    }
}

fn put_below(
    index: &Index,
    (folder, path, id, depth): (Folder, RelPath, FolderId, usize),
    next: &mut Vec<Next>,
) {
    if depth >= DEEPEST {
        return;
    }
    let above = Arc::new(folder);
    next.extend(index.folders(id).into_iter().map(|(name, id)| {
        let above = Arc::clone(&above);
        Next { above, path: path.join(&name), name, id, depth: depth + 1 }
    }));
}
