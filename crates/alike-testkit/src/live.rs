//! A running `alike mirror`, which ends with the value.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Resource, Rlimit, Signal, kill_process, prlimit};

use crate::{compare, wait_until};

type Heard = Arc<Mutex<Vec<u8>>>;

/// A child that runs until it is told to stop; dropping it kills it.
#[derive(Debug)]
pub struct Live {
    child: Child,
    source: PathBuf,
    replica: PathBuf,
    stdout: Heard,
    stderr: Heard,
}

impl Live {
    #[track_caller]
    pub(crate) fn start(mut command: Command, source: &Path, replica: &Path) -> Self {
        let mut child = command.spawn().unwrap_or_else(|why| panic!("start {command:?}: {why}"));
        let stdout = listen(child.stdout.take());
        let stderr = listen(child.stderr.take());
        Self { child, source: source.to_owned(), replica: replica.to_owned(), stdout, stderr }
    }

    /// What it has written on stdout so far.
    pub fn out(&self) -> String {
        heard(&self.stdout)
    }

    /// What it has written on stderr so far.
    pub fn err(&self) -> String {
        heard(&self.stderr)
    }

    fn report(&self) -> String {
        format!("--- stdout\n{}\n--- stderr\n{}", self.out(), self.err())
    }

    /// Waits until the replica is identical and returns how long that took; panics when it does not come.
    #[track_caller]
    pub fn wait_identical(&mut self, limit: Duration) -> Duration {
        let start = Instant::now();
        let mut differences = Vec::new();
        let same = wait_until(limit, || {
            differences = compare(&self.source, &self.replica);
            differences.is_empty()
        });
        if !same {
            let ended = self.child.try_wait().expect("look at the child");
            differences.truncate(20);
            panic!(
                "not identical after {limit:?} (ended: {ended:?}):\n{}\n{}",
                differences.join("\n"),
                self.report()
            );
        }
        start.elapsed()
    }

    /// Waits for a text on stdout; panics when it does not come.
    #[track_caller]
    pub fn wait_for_output(&mut self, text: &str, limit: Duration) {
        let came = wait_until(limit, || self.out().contains(text));
        assert!(came, "no {text:?} on stdout after {limit:?}\n{}", self.report());
    }

    /// True while it runs.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("look at the child").is_none()
    }

    /// Ctrl+C.
    pub fn interrupt(&mut self) {
        self.signal(Signal::INT);
    }

    /// SIGTERM.
    pub fn terminate(&mut self) {
        self.signal(Signal::TERM);
    }

    /// SIGHUP.
    pub fn hang_up(&mut self) {
        self.signal(Signal::HUP);
    }

    /// SIGUSR1: a pass now.
    pub fn ask_for_a_pass(&mut self) {
        self.signal(Signal::USR1);
    }

    /// SIGSTOP, and waits until it stands still (or has ended): what happens until [`Live::go_on`] happens between two of its
    /// steps.
    pub fn stand_still(&mut self) {
        self.signal(Signal::STOP);
        let stat = format!("/proc/{}/stat", self.child.id());
        wait_until(Duration::from_secs(5), || {
            let stat = std::fs::read_to_string(&stat).unwrap_or_default();
            stat.rsplit(')').next().is_none_or(|rest| !rest.trim_start().starts_with(['R', 'S', 'D']))
        });
    }

    /// SIGCONT.
    pub fn go_on(&mut self) {
        self.signal(Signal::CONT);
    }

    /// From now on it may open nothing while it has so many descriptors.
    pub fn limit_descriptors(&mut self, most: u64) {
        let limit = Rlimit { current: Some(most), maximum: Some(1024) };
        prlimit(Some(Pid::from_child(&self.child)), Resource::Nofile, limit).expect("limit the child");
    }

    /// How many bytes it has read or copied so far; none when it has ended.
    pub fn bytes_read(&self) -> Option<u64> {
        let io = std::fs::read_to_string(format!("/proc/{}/io", self.child.id())).ok()?;
        io.lines().find_map(|line| line.strip_prefix("rchar: "))?.parse().ok()
    }

    /// How much time of a processor it has taken so far, in ticks of 10 ms; none when it has ended.
    pub fn ticks(&self) -> Option<u64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).ok()?;
        // After the name, which may hold anything, come the state and ten numbers; then these two.
        let times = stat.rsplit(')').next()?.split_whitespace().skip(11).take(2);
        times.map(|time| time.parse::<u64>().ok()).sum()
    }

    /// SIGKILL, and waits for the end.
    pub fn kill(&mut self) {
        self.signal(Signal::KILL);
        let _ = self.child.wait();
    }

    fn signal(&mut self, signal: Signal) {
        if self.is_running() {
            // The child was not waited for, so its id cannot belong to another process yet.
            let id = Pid::from_child(&self.child);
            kill_process(id, signal).expect("signal the child");
        }
    }

    /// Waits for the end and returns the exit code (none when a signal ended it); panics when it does not come.
    #[track_caller]
    pub fn wait_exit(&mut self, limit: Duration) -> Option<i32> {
        let mut status = None;
        wait_until(limit, || {
            status = self.child.try_wait().expect("look at the child");
            status.is_some()
        });
        match status {
            Some(status) => status.code(),
            None => panic!("still running after {limit:?}\n{}", self.report()),
        }
    }

    /// SIGTERM, then panics unless it ends cleanly (exit 0) within the two seconds of the contract.
    #[track_caller]
    pub fn stop(&mut self) {
        self.terminate();
        let code = self.wait_exit(Duration::from_secs(2));
        assert_eq!(code, Some(0), "a stopped mirror exits 0\n{}", self.report());
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn listen(pipe: Option<impl Read + Send + 'static>) -> Heard {
    let mut pipe = pipe.expect("a piped stream");
    let heard = Heard::default();
    let ear = Arc::clone(&heard);
    std::thread::spawn(move || {
        let mut buffer = [0; 8192];
        while let Ok(read @ 1..) = pipe.read(&mut buffer) {
            ear.lock().expect("the listener").extend_from_slice(&buffer[..read]);
        }
    });
    heard
}

fn heard(by: &Heard) -> String {
    String::from_utf8_lossy(&by.lock().expect("the listener")).into_owned()
}
