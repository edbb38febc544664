//! `alike log -f`: what is written into a history, line by line as it comes.

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use alike_engine::chronicle::Written;
use alike_engine::following::End;
use alike_engine::hold::Site;
use signal_hook::consts::{SIGINT, SIGTERM};

use crate::history::write_row;
use crate::run::{Failure, IDENTICAL};

/// How often a journal is looked at.
const EVERY: Duration = Duration::from_millis(300);

/// Shows what is done from `end` on, until Ctrl+C or until nobody reads it any more.
pub(crate) fn follow(
    site: &Site,
    mut end: End,
    is_meant: impl Fn(&Written) -> bool,
    json: bool,
) -> Result<u8, Failure> {
    let stop = Arc::new(AtomicBool::new(false));
    for signal in [SIGINT, SIGTERM] {
        signal_hook::flag::register(signal, Arc::clone(&stop))?;
    }
    let (zone, mut pass) = (crate::zone::here(), None);
    let mut out = io::stdout().lock();
    out.flush()?;
    while !stop.load(Ordering::Relaxed) {
        for written in end.go_on(&site.trash)?.iter().filter(|written| is_meant(written)) {
            let shown = write_row(&mut out, &(written, None), &mut pass, (&zone, json));
            if shown.and_then(|()| out.flush()).is_err() {
                return Ok(IDENTICAL);
            }
        }
        // A signal ends the sleep no sooner, but it is short.
        std::thread::sleep(EVERY);
    }
    Ok(IDENTICAL)
}
