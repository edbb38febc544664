//! Signals: a first Ctrl+C or SIGTERM ends cleanly, a second at once; SIGUSR1 starts a pass, SIGHUP reopens the log.

use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};
use std::time::Duration;

use alike_engine::controls::Controls;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM, SIGUSR1};
use signal_hook::iterator::Signals;

use crate::console::Console;

/// What signals came.
pub(crate) struct Received {
    pub(crate) controls: Arc<Controls>,
    ending: Arc<AtomicI32>,
}

impl Received {
    /// Waits until somebody has answered at the terminal; false when a signal came first.
    pub(crate) fn waits_for_answer(&self) -> bool {
        const LONG: Duration = Duration::from_secs(3600);
        let input = std::io::stdin();
        while !self.controls.stop.is_set() {
            match self.controls.waker.wait(Some(input.as_fd()), LONG) {
                Ok(true) => return true,
                Ok(false) => self.controls.waker.clear(),
                Err(_) => return false,
            }
        }
        false
    }

    /// The exit code of a run that a signal ended half-way.
    pub(crate) fn exit_code(&self) -> u8 {
        u8::try_from(128 + self.ending.load(Ordering::Relaxed)).unwrap_or(130)
    }
}

/// Starts to listen.
///
/// # Errors
/// When the system refuses.
pub(crate) fn listen(console: &Arc<Console>) -> std::io::Result<Received> {
    let controls = Arc::new(Controls::new()?);
    let ending = Arc::new(AtomicI32::new(0));
    let (theirs, last, console) = (Arc::clone(&controls), Arc::clone(&ending), Arc::clone(console));
    hear(move |signal| {
        match signal {
            SIGHUP => console.reopen_log(),
            SIGUSR1 => theirs.ask_for_pass(false),
            ending => {
                if last.swap(ending, Ordering::Relaxed) != 0 {
                    std::process::exit(128 + ending);
                }
                theirs.stop.set();
                if console.shows_status() {
                    console.say("stopping: what is half done is finished or taken back, and all is brought to the disk; Ctrl+C once more ends at once");
                }
            }
        }
        theirs.waker.wake();
    })?;
    Ok(Received { controls, ending })
}

/// Calls this for each signal that comes: SIGINT, SIGTERM, SIGHUP, SIGUSR1.
///
/// # Errors
/// When the system refuses.
pub(crate) fn hear(on: impl Fn(i32) + Send + 'static) -> std::io::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP, SIGUSR1])?;
    let listen = move || signals.forever().for_each(on);
    std::thread::Builder::new().name("signals".to_owned()).spawn(listen)?;
    Ok(())
}
