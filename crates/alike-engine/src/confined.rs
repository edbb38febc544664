//! Work on a pair by threads that can write to nothing else, where the kernel has Landlock.

use std::os::fd::AsFd;

use alike_storage::linux::{self, Confinement};

use crate::monitor::Monitor;
use crate::pair::Pair;

impl Pair {
    /// From here on this thread, and those that it makes, can write only below the replica and in the pair's state; in a
    /// rehearsal nowhere. Where the kernel cannot confine it, it goes on as before.
    pub fn confine(&self) -> Confinement {
        let Some(state) = self.index.folder() else { return linux::confine(&[]) };
        match linux::open_root(state) {
            Ok(state) => linux::confine(&[self.replica.descriptor(), state.as_fd()]),
            Err(why) => Confinement::None(alike_storage::plain(&why)),
        }
    }
}

/// Runs on a thread that is confined to this pair. What Landlock takes from a thread it never gets back, so the caller's
/// stays free: it opens the pair anew when a drive is mounted again, which no rule from before would cover.
pub(crate) fn confined(pair: &Pair, monitor: &dyn Monitor, run: &mut (dyn FnMut() + Send)) {
    // As much as a main thread has.
    const STACK: usize = 8 * 1024 * 1024;
    let started = std::thread::scope(|scope| {
        let builder = std::thread::Builder::new().name("mirror".to_owned()).stack_size(STACK);
        let work = || {
            monitor.detail(&pair.confine().to_string());
            run();
        };
        builder.spawn_scoped(scope, work).map(drop)
    });
    if let Err(why) = started {
        monitor.detail(&Confinement::None(why.to_string()).to_string());
        run();
    }
}
