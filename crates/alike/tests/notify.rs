//! What systemd is told by `alike up`, on a real socket, as sd_notify(3) has it.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

use common::SOON;
use common::up::Up;

struct Listener(UnixDatagram);

impl Listener {
    fn new(up: &mut Up, more: &str) -> Self {
        let at = up.path("notify");
        let socket = UnixDatagram::bind(&at).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        up.alike.run_after(&format!("export NOTIFY_SOCKET='{}' {more}", at.display()));
        Self(socket)
    }

    /// Waits for a message that has this; panics when it does not come.
    #[track_caller]
    fn wait_for(&self, words: &str) -> String {
        let (start, mut all) = (Instant::now(), Vec::new());
        while start.elapsed() < SOON {
            let mut buffer = [0; 4096];
            let Ok(read) = self.0.recv(&mut buffer) else { continue };
            let text = String::from_utf8_lossy(&buffer[..read]).into_owned();
            if text.contains(words) {
                return text;
            }
            all.push(text);
        }
        panic!("no {words:?} among {all:#?}");
    }
}

fn one_job() -> Up {
    let up = Up::new();
    up.source("docs").file("a", "one");
    up.configure(&up.job("docs", ""));
    up
}

#[test]
fn it_says_when_it_is_ready_how_things_stand_when_it_reloads_and_when_it_stops() {
    let mut up = one_job();
    let told = Listener::new(&mut up, "");
    up.start();
    told.wait_for("READY=1");
    told.wait_for("STATUS=1 of 1 replicas identical");
    up.live().hang_up();
    assert!(told.wait_for("RELOADING=1").contains("MONOTONIC_USEC="));
    told.wait_for("READY=1");
    std::fs::rename(up.path("docs"), up.path("away")).unwrap();
    told.wait_for("STATUS=docs halted; 0 of 1 replicas identical");
    assert_eq!(up.stop(), Some(0));
    told.wait_for("STOPPING=1");
}

#[test]
fn it_says_that_it_is_alive_twice_in_the_time_that_the_watchdog_allows_and_not_when_it_hangs() {
    let mut up = one_job();
    let told = Listener::new(&mut up, "WATCHDOG_USEC=600000");
    up.start();
    told.wait_for("READY=1");
    let start = Instant::now();
    (0..5).for_each(|_| drop(told.wait_for("WATCHDOG=1")));
    assert!(start.elapsed() < Duration::from_millis(5 * 600), "took {:?}", start.elapsed());
    up.live().stand_still();
    while told.0.recv(&mut [0; 4096]).is_ok() {}
    std::thread::sleep(Duration::from_millis(900));
    assert!(told.0.recv(&mut [0; 4096]).is_err(), "who stands still says nothing");
    up.live().go_on();
    told.wait_for("WATCHDOG=1");
}
