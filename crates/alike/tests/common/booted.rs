//! A systemd that runs in namespaces of its own, for what only a real one can show.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

use alike_testkit::{root_or_say, wait_until};
use tempfile::TempDir;

use super::text;

const BOOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/common/boot");
const SYSTEMD: &str = "/usr/lib/systemd/systemd";
/// Where the program is inside.
pub const ALIKE: &str = "/opt/alike";

pub struct Booted {
    outer: Child,
    /// Its PID 1, as this machine counts.
    init: u32,
    _room: TempDir,
}

impl Booted {
    /// None where this machine cannot do it; then it is said.
    pub fn boot() -> Option<Self> {
        if !root_or_say("a systemd of its own") {
            return None;
        }
        if !Path::new(SYSTEMD).exists() {
            eprintln!("NOT RUN: there is no systemd on this machine");
            return None;
        }
        let room = TempDir::with_prefix("alike-booted-").unwrap();
        let log = fs::File::create(room.path().join("log")).unwrap();
        let mut command = Command::new("unshare");
        command.args(["--mount", "bash", BOOT, text(room.path()), env!("CARGO_BIN_EXE_alike")]);
        command.stdin(Stdio::null()).stdout(log.try_clone().unwrap()).stderr(log);
        let mut outer = command.spawn().unwrap();
        let mut init = None;
        let boots = wait_until(Duration::from_secs(60), || {
            init = init.or_else(|| pid_1_below(outer.id()));
            let states = ["running", "degraded"];
            let is_up = |pid| said(&inside(pid, "systemctl is-system-running")).trim().to_owned();
            init.is_some_and(|pid| states.contains(&is_up(pid).as_str()))
                || outer.try_wait().unwrap().is_some()
        });
        match init.filter(|_| boots && outer.try_wait().unwrap().is_none()) {
            Some(init) => Some(Self { outer, init, _room: room }),
            None => {
                let log = fs::read_to_string(room.path().join("log")).unwrap_or_default();
                eprintln!("NOT RUN: a systemd cannot be booted in namespaces here: {log}");
                let _ = outer.kill();
                let _ = outer.wait();
                None
            }
        }
    }

    /// A path inside, as it can be reached from here.
    pub fn path(&self, inside: &str) -> PathBuf {
        PathBuf::from(format!("/proc/{}/root{inside}", self.init))
    }

    /// Runs lines of shell inside.
    pub fn run(&self, lines: &str) -> Output {
        inside(self.init, lines)
    }

    /// The same; they must succeed. What they said.
    #[track_caller]
    pub fn sh(&self, lines: &str) -> String {
        let run = self.run(lines);
        assert!(run.status.success(), "{lines}\n{}{}", said(&run), String::from_utf8_lossy(&run.stderr));
        said(&run)
    }

    /// Runs them until they succeed.
    #[track_caller]
    pub fn wait_for(&self, lines: &str) {
        let (start, limit) = (Instant::now(), Duration::from_secs(20));
        while !self.run(lines).status.success() {
            if start.elapsed() > limit {
                let status = self.run("systemctl status --no-pager -l alike; /opt/alike status");
                panic!(
                    "not within {limit:?}: {lines}\n{}{}",
                    said(&status),
                    String::from_utf8_lossy(&status.stderr)
                );
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }
}

impl Drop for Booted {
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-KILL", &self.init.to_string()]).status();
        let _ = self.outer.wait();
    }
}

/// What a run wrote to standard output.
pub fn said(run: &Output) -> String {
    String::from_utf8_lossy(&run.stdout).into_owned()
}

fn inside(init: u32, lines: &str) -> Output {
    let root = format!("/proc/{init}/root");
    let mut command = Command::new("nsenter");
    command.args(["--target", &init.to_string(), "--mount", "--pid", "--uts", "--ipc", "--net", "--cgroup"]);
    command
        .args([format!("--root={root}"), format!("--wd={root}")])
        .args(["/bin/bash", "-euc", lines])
        .stdin(Stdio::null());
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("HOME", "/root");
    command.output().unwrap()
}

/// The process that systemd became, below the one that was started here.
fn pid_1_below(outer: u32) -> Option<u32> {
    let mut below = vec![outer];
    while let Some(pid) = below.pop() {
        if fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim() == "systemd") {
            return Some(pid);
        }
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
        below.extend(children.split_whitespace().filter_map(|child| child.parse::<u32>().ok()));
    }
    None
}
