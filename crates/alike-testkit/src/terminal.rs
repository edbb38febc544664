//! A program at a terminal, and what a person types there.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsFd;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};

use crate::wait_until;

/// A program that runs at a terminal of its own.
#[derive(Debug)]
pub struct Terminal {
    child: Child,
    keys: File,
    shown: Arc<Mutex<Vec<u8>>>,
}

impl Terminal {
    /// Starts it. The terminal is the one from which Ctrl+C reaches it.
    #[track_caller]
    pub fn run(command: &Command) -> Self {
        let keys = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY).expect("open a terminal");
        grantpt(&keys).and_then(|()| unlockpt(&keys)).expect("prepare the terminal");
        let path = ptsname(&keys, Vec::new()).expect("name the terminal");
        let path = path.to_str().expect("read the name of the terminal");
        // Held open: before the program has opened it, and after it ended, reading would fail.
        let screen =
            File::options().read(true).write(true).open(path).expect("open the terminal's other end");
        let end = || Stdio::from(screen.as_fd().try_clone_to_owned().expect("copy a descriptor"));
        let mut at_terminal = Command::new("setsid");
        at_terminal.args(["--ctty", "--wait"]).arg(command.get_program()).args(command.get_args());
        at_terminal.env("TERM", "xterm");
        command.get_current_dir().into_iter().for_each(|folder| _ = at_terminal.current_dir(folder));
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => at_terminal.env(name, value),
                None => at_terminal.env_remove(name),
            };
        }
        let child = at_terminal.stdin(end()).stdout(end()).stderr(end()).spawn().expect("run setsid");
        let keys = File::from(keys);
        let shown: Arc<Mutex<Vec<u8>>> = Arc::default();
        let (mut from, to) = (keys.try_clone().expect("copy a descriptor"), Arc::clone(&shown));
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = from.read(&mut buffer) {
                Mutex::lock(&to).expect("lock").extend_from_slice(&buffer[..length]);
            }
        });
        Self { child, keys, shown }
    }

    /// What is to be seen.
    pub fn shown(&self) -> String {
        String::from_utf8_lossy(&self.shown.lock().expect("lock")).into_owned()
    }

    /// Waits until this is to be seen.
    #[track_caller]
    pub fn wait_for(&self, text: &str) {
        let is_seen = wait_until(Duration::from_secs(20), || self.shown().contains(text));
        assert!(is_seen, "\"{text}\" is not shown:\n{}", self.shown());
    }

    /// Types this. Ctrl+C is `\x03`, the end of input `\x04`.
    #[track_caller]
    pub fn type_in(&mut self, text: &str) {
        self.keys.write_all(text.as_bytes()).expect("type");
    }

    /// Waits for its end, and returns the exit code.
    #[track_caller]
    pub fn exit_code(&mut self) -> i32 {
        let mut status = None;
        wait_until(Duration::from_secs(20), || {
            status = self.child.try_wait().expect("wait for the program");
            status.is_some()
        });
        let code = status.and_then(|status| status.code());
        code.unwrap_or_else(|| panic!("it did not end:\n{}", self.shown()))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
