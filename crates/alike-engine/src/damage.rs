//! Damage in the index file that the database tells by a panic: caught, and taken for what it is.

use std::cell::Cell;
use std::fs::File;
use std::io::Read as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

thread_local! {
    static GUARDED: Cell<bool> = const { Cell::new(false) };
}

/// Does what may meet damage. A panic comes back as [`redb::Error::Corrupted`]; what was in use then is best forgotten, for
/// closing it may panic once more.
pub(crate) fn guarded<T>(work: impl FnOnce() -> Result<T, redb::Error>) -> Result<T, redb::Error> {
    let before = GUARDED.replace(true);
    let done = catch_unwind(AssertUnwindSafe(work));
    GUARDED.set(before);
    done.unwrap_or_else(|_| Err(redb::Error::Corrupted("it makes no sense to the database".to_owned())))
}

/// Lets caught panics pass in silence: for the program, once, at its start.
pub fn hush() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !GUARDED.get() {
            usual(panic);
        }
    }));
}

/// The bytes of a database that others may be writing. Before the first page is written its head says so, and from then on
/// pages are believed by their checksums only; so the head must be the same before and after.
pub(crate) fn bytes_at_rest(path: &Path) -> Option<Vec<u8>> {
    const HEAD: usize = 4096;
    const TRIES: usize = 5;
    (0..TRIES).find_map(|_| {
        let bytes = std::fs::read(path).ok()?;
        let mut head = Vec::new();
        File::open(path).ok()?.take(HEAD as u64).read_to_end(&mut head).ok()?;
        bytes.starts_with(&head).then_some(bytes)
    })
}
