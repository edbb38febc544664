//! Runs a tool and decides about each of its system calls, counted over all its threads and children.

use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::FileExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process_group, pidfd_open};

use crate::calls::{self, Known};
use crate::system::{Listener, Notice, Waited, start};

/// A call that waits for our word.
pub struct Call {
    /// Which call it is, from the first that named something in the room on; 1 is the first.
    pub k: u64,
    pub known: &'static Known,
    notice: Notice,
}

/// What becomes of a call.
pub enum Verdict {
    Go,
    Fail(i32),
    Give(i64),
    /// SIGKILL for the whole tool, before the call.
    Kill,
}

/// Decides about calls.
pub trait Director {
    fn at(&mut self, call: &Call) -> Verdict;

    /// Nothing was called for this long; false asks the tool to end.
    fn at_rest(&mut self, _idle: Duration) -> bool {
        true
    }

    /// Whether calls count yet; asked once the tool has named something in its room.
    fn counting(&self) -> bool {
        true
    }
}

impl<F: FnMut(&Call) -> Verdict> Director for F {
    fn at(&mut self, call: &Call) -> Verdict {
        self(call)
    }
}

/// How a run ended.
#[derive(Debug, Default)]
pub struct End {
    /// The exit code; none when a signal ended it.
    pub code: Option<i32>,
    pub signal: Option<i32>,
    /// It was not over when its time was.
    pub hung: bool,
    /// We killed it, as planned.
    pub killed: bool,
    pub calls: u64,
    pub pid: u32,
    /// What it wrote on standard output and error.
    pub said: String,
}

impl End {
    pub fn panicked(&self) -> bool {
        let fatal = [libc::SIGABRT, libc::SIGSEGV, libc::SIGILL, libc::SIGBUS];
        self.code == Some(101)
            || self.said.contains("panicked at")
            || self.said.contains("goroutine 1 [")
            || self.signal.is_some_and(|signal| fatal.contains(&signal))
    }

    pub fn ending(&self) -> String {
        match (self.code, self.signal, self.hung) {
            (_, _, true) => "hung".to_owned(),
            (Some(code), ..) => format!("exit {code}"),
            (None, Some(signal), _) => format!("signal {signal}"),
            _ => "no end".to_owned(),
        }
    }
}

impl Call {
    /// The path in this place of the call's list, as far as it can be told, from the top.
    pub fn path(&self, which: usize) -> Option<PathBuf> {
        let (folder, at) = *self.known.paths.get(which)?;
        let thread = self.notice.pid;
        let path = PathBuf::from(std::ffi::OsString::from_vec(text(thread, *self.notice.args.get(at)?)?));
        if path.is_absolute() {
            return Some(path);
        }
        let from = folder.and_then(|at| self.notice.args.get(at)).map_or(libc::AT_FDCWD, |fd| *fd as i32);
        let link = match from {
            libc::AT_FDCWD => format!("/proc/{thread}/cwd"),
            fd => format!("/proc/{thread}/fd/{fd}"),
        };
        let folder = std::fs::read_link(link).ok()?;
        Some(if path.as_os_str().is_empty() { folder } else { folder.join(path) })
    }

    /// All paths of the call, for a person.
    pub fn all_paths(&self) -> Vec<PathBuf> {
        (0..self.known.paths.len()).filter_map(|which| self.path(which)).collect()
    }

    /// What the descriptor in this argument leads to.
    pub fn open_file(&self, argument: usize) -> Option<PathBuf> {
        let fd = *self.notice.args.get(argument)? as i32;
        std::fs::read_link(format!("/proc/{}/fd/{fd}", self.notice.pid)).ok()
    }

    pub fn argument(&self, at: usize) -> u64 {
        self.notice.args.get(at).copied().unwrap_or(0)
    }

    pub fn thread(&self) -> u32 {
        self.notice.pid
    }
}

fn text(thread: u32, at: u64) -> Option<Vec<u8>> {
    let memory = File::open(format!("/proc/{thread}/mem")).ok()?;
    let mut bytes = vec![0; 4096];
    let to_the_page = 4096 - (at as usize % 4096);
    let mut read = memory.read_at(&mut bytes[..to_the_page], at).ok()?;
    if !bytes[..read].contains(&0) && read < bytes.len() {
        read += memory.read_at(&mut bytes[read..], at + read as u64).unwrap_or(0);
    }
    let end = bytes[..read].iter().position(|byte| *byte == 0)?;
    bytes.truncate(end);
    Some(bytes)
}

/// Runs the command to its end, unwatched.
pub fn run(command: &mut Command, said: &Path, limit: Duration) -> End {
    let mut child = quiet(command, said).spawn().expect("start a tool");
    let mut end = End::default();
    finish(&mut child, Instant::now() + limit, &mut end);
    end.said = read(said);
    end
}

/// Runs the command under the director. Calls count from the first that names something under `room` on.
pub fn supervise(
    command: &mut Command,
    room: &Path,
    said: &Path,
    limit: Duration,
    director: &mut dyn Director,
) -> End {
    let (mut child, listener) = start(quiet(command, said), &calls::all()).expect("start a supervised tool");
    let until = Instant::now() + limit;
    let mut end = End::default();
    watch(&listener, &mut child, room, until, director, &mut end).expect("listen to a tool");
    // With the listener gone no call could be made any more, and none should: what is left of the tool is to end.
    finish(&mut child, until, &mut end);
    drop(listener);
    end.said = read(said);
    end
}

const REST: Duration = Duration::from_millis(20);

fn watch(
    listener: &Listener,
    child: &mut Child,
    room: &Path,
    until: Instant,
    director: &mut dyn Director,
    end: &mut End,
) -> io::Result<()> {
    let room = room.as_os_str().as_encoded_bytes();
    let (mut armed, mut asked, mut last) = (false, false, Instant::now());
    loop {
        match listener.wait(REST)? {
            Waited::Over => return Ok(()),
            Waited::Nothing if Instant::now() >= until => {
                end.hung = true;
                kill(child, Signal::KILL);
                return Ok(());
            }
            Waited::Nothing => {
                // Older kernels count a process that nobody has waited for among those who could call.
                let _ = child.try_wait();
                // A second SIGTERM would end it at once.
                if armed && !asked && !director.at_rest(last.elapsed()) {
                    asked = true;
                    kill(child, Signal::TERM);
                }
                continue;
            }
            Waited::Call => {}
        }
        let Some(notice) = listener.next() else { continue };
        last = Instant::now();
        if end.killed {
            continue;
        }
        let Some(known) = calls::known(notice.nr.into()) else {
            listener.go_on(&notice);
            continue;
        };
        let mut call = Call { k: end.calls + 1, known, notice };
        armed = armed || names_the_room(&call, room);
        if !armed || !director.counting() {
            listener.go_on(&notice);
            continue;
        }
        end.calls += 1;
        call.k = end.calls;
        match director.at(&call) {
            Verdict::Go => listener.go_on(&notice),
            Verdict::Fail(errno) => listener.fail(&notice, errno),
            Verdict::Give(value) => listener.give(&notice, value),
            Verdict::Kill => {
                end.killed = true;
                kill(child, Signal::KILL);
            }
        }
        if last >= until && !end.killed {
            end.hung = true;
            kill(child, Signal::KILL);
            return Ok(());
        }
    }
}

fn names_the_room(call: &Call, room: &[u8]) -> bool {
    (0..call.known.paths.len())
        .filter_map(|which| call.path(which))
        .any(|path| path.as_os_str().as_encoded_bytes().starts_with(room))
}

fn quiet<'a>(command: &'a mut Command, said: &Path) -> &'a mut Command {
    let open = || File::options().append(true).create(true).open(said).expect("open a tool's log");
    let _ = std::fs::remove_file(said);
    command.process_group(0).stdin(Stdio::null()).stdout(open()).stderr(open())
}

fn kill(child: &Child, signal: Signal) {
    if let Some(group) = Pid::from_raw(child.id() as i32) {
        // Gone already is what is wanted.
        let _ = kill_process_group(group, signal);
    }
}

fn finish(child: &mut Child, until: Instant, end: &mut End) {
    if let Some(Ok(open)) = Pid::from_raw(child.id() as i32).map(|pid| pidfd_open(pid, PidfdFlags::empty())) {
        let left = until.saturating_duration_since(Instant::now());
        let limit = Timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
        let over = poll(&mut [PollFd::from_borrowed_fd(open.as_fd(), PollFlags::IN)], Some(&limit));
        if over == Ok(0) {
            end.hung = true;
        }
    }
    // Its own children too: rsync is three processes.
    if end.hung || end.killed {
        kill(child, Signal::KILL);
    }
    let status = child.wait().expect("wait for a tool");
    end.pid = child.id();
    end.code = status.code();
    end.signal = status.signal();
}

fn read(said: &Path) -> String {
    String::from_utf8_lossy(&std::fs::read(said).unwrap_or_default()).into_owned()
}
