//! Reads and writes that do half of what was asked for.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::FileExt;

use rustix::process::{Pid, PidfdFlags, PidfdGetfdFlags, pidfd_getfd, pidfd_open};

use crate::judge::Fault;
use crate::room::{Before, Ground, PATIENCE};
use crate::supervise::{Call, Verdict};
use crate::sweep::{Limit, Sums, keep_when_asked, sweep};

pub fn run(ground: &Ground) -> Sums {
    let calls = super::kill::count(ground);
    let limit = match ground.full {
        true => Limit { points: usize::MAX, seconds: 1_800.0 },
        false => Limit { points: 150, seconds: 15.0 },
    };
    let mut points: Vec<u64> = (1..=calls).collect();
    if !ground.full && ground.only_point.is_none() {
        points.retain(|k| k % 5 == 1);
    }
    sweep(ground, points, limit, |k| format!("short {k}"), |k, room| try_point(ground, *k, room))
}

fn try_point(ground: &Ground, k: u64, name: &str) -> Vec<Fault> {
    let mut room = ground.ready(name);
    keep_when_asked(ground, &mut room);
    let before = Before::look(&room);
    let end = ground.directed(&room, PATIENCE, &mut |call: &Call| {
        let half = if call.k >= k { half(call) } else { None };
        half.map_or(Verdict::Go, Verdict::Give)
    });
    super::errno::judge(ground, &room, &before, &end)
}

/// Makes half of the call in the tool's place; none when it is none of those, or too small to be halved.
fn half(call: &Call) -> Option<i64> {
    let (at, length) = (call.argument(1), call.argument(2) as usize / 2);
    if length == 0 || !matches!(call.known.name, "read" | "pread64" | "write" | "pwrite64") {
        return None;
    }
    let mut file: File = borrow(call)?.into();
    // A half of what is not a file (an event queue, a pipe with its messages) would be a fault of another kind.
    if !file.metadata().ok()?.is_file() {
        return None;
    }
    let memory = File::options().read(true).write(true).open(format!("/proc/{}/mem", call.thread())).ok()?;
    let mut bytes = vec![0; length.min(1 << 20)];
    let done = match call.known.name {
        "read" => file.read(&mut bytes).ok()?,
        "pread64" => file.read_at(&mut bytes, call.argument(3)).ok()?,
        name => {
            memory.read_exact_at(&mut bytes, at).ok()?;
            if name == "write" { file.write(&bytes) } else { file.write_at(&bytes, call.argument(3)) }.ok()?
        }
    };
    if call.known.name.contains("read") {
        memory.write_all_at(&bytes[..done], at).ok()?;
    }
    Some(done as i64)
}

fn borrow(call: &Call) -> Option<OwnedFd> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", call.thread())).ok()?;
    let process = status.lines().find_map(|line| line.strip_prefix("Tgid:"))?.trim().parse().ok()?;
    let process = pidfd_open(Pid::from_raw(process)?, PidfdFlags::empty()).ok()?;
    pidfd_getfd(&process, call.argument(0) as i32, PidfdGetfdFlags::empty()).ok()
}
