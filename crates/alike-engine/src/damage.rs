//! Damage in the index file that the database tells by a panic: caught, and taken for what it is.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

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
