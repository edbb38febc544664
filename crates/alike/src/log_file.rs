//! A log file: what cannot be written is said once, and the mirror goes on; a thread of its own turns it over.
//!
//! That thread is there from the start: those that work on a pair may write nowhere else, so none of them, nor any that they
//! make, could open another file.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl, fstat};

use crate::rotation::{Turned, Turns, begun, claim};

/// What could not be done is tried again after this.
const AGAIN: Duration = Duration::from_secs(60);

/// What the system says of a pipe without a reader, and of a socket.
const NO_READER: i32 = rustix::io::Errno::NXIO.raw_os_error();

/// An open log file.
pub(crate) struct LogFile {
    shared: Arc<Shared>,
}

struct Shared {
    path: PathBuf,
    turns: Turns,
    open: Mutex<Open>,
    called: Condvar,
}

struct Open {
    file: BufWriter<File>,
    /// Where it really is: the path may be a symlink.
    place: PathBuf,
    turns: Turns,
    /// Device and inode.
    id: (u64, u64),
    length: u64,
    begun: SystemTime,
    complained: bool,
    /// Somebody is to look whether it must be turned over.
    wanted: bool,
    over: bool,
}

impl Open {
    fn at(path: &Path, turns: Turns) -> io::Result<Self> {
        let file = open(path)?;
        let now = file.metadata()?;
        let id = (now.dev(), now.ino());
        let _ = claim(&file);
        Ok(Self {
            file: BufWriter::with_capacity(64 * 1024, file),
            place: path.canonicalize().unwrap_or_else(|_| path.to_owned()),
            // A device stays; and a standard stream goes on where it is, whatever its file is called by then.
            turns: if now.is_file() && !is_standard_stream(id) { turns } else { turns.never() },
            id,
            length: now.len(),
            begun: begun(&now),
            complained: false,
            wanted: false,
            over: false,
        })
    }

    /// Ends a line that broke off on a full disk: the next must not be glued to it.
    fn end_half_line(&mut self) {
        if self.length > 0 && ends_within_a_line(&self.place) {
            // It stays in memory until there is more.
            let _ = self.file.write_all(b"\n");
            self.length += 1;
        }
    }

    fn complain(&mut self, path: &Path, written: io::Result<()>) {
        match written {
            Err(why) if !self.complained => {
                self.complained = true;
                let why = alike_storage::plain(&why);
                say!("alike: the log file {} cannot be written: {why}; the mirror goes on", path.display());
            }
            _ => {}
        }
    }
}

impl LogFile {
    /// Opens a log file for appending, and makes its folder.
    ///
    /// # Errors
    /// When that is refused; the text says what to do.
    pub(crate) fn open(path: &Path, turns: Turns) -> Result<Self, String> {
        let refused = |why: io::Error| {
            let (path, why) = (path.display(), alike_storage::plain(&why));
            format!("the log file {path} cannot be written: {why}; choose another --log-file")
        };
        // Whatever becomes of the current folder.
        let path = &std::path::absolute(path).map_err(refused)?;
        let mut open = Open::at(path, turns).map_err(refused)?;
        open.end_half_line();
        open.wanted = open.turns.too_large(open.length);
        let shared = Shared { path: path.clone(), turns, open: Mutex::new(open), called: Condvar::new() };
        let shared = Arc::new(shared);
        if turns.ever() {
            let theirs = Arc::clone(&shared);
            let keeper = std::thread::Builder::new().name("log".to_owned());
            keeper.spawn(move || theirs.keep_small()).map_err(refused)?;
        }
        Ok(Self { shared })
    }

    pub(crate) fn write(&mut self, line: &str) {
        let mut open = self.shared.lock();
        let written = open.file.write_all(line.as_bytes());
        open.length += line.len() as u64;
        open.complain(&self.shared.path, written);
        if open.turns.too_large(open.length) {
            self.shared.call(&mut open);
        }
    }

    pub(crate) fn flush(&mut self) {
        let mut open = self.shared.lock();
        let written = open.file.flush();
        open.complain(&self.shared.path, written);
        // Another process with the same log, or another tool, has turned it over.
        let is_other = |there: fs::Metadata| (there.dev(), there.ino()) != open.id;
        if open.turns.ever() && fs::symlink_metadata(&open.place).is_ok_and(is_other) {
            self.shared.call(&mut open);
        }
    }

    /// Opens the path anew: the old file may have been renamed.
    pub(crate) fn reopen(&mut self) {
        self.shared.reopen();
    }
}

impl Drop for LogFile {
    fn drop(&mut self) {
        self.shared.lock().over = true;
        self.shared.called.notify_all();
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn call(&self, open: &mut Open) {
        if !std::mem::replace(&mut open.wanted, true) {
            self.called.notify_all();
        }
    }

    fn reopen(&self) {
        let fresh = Open::at(&self.path, self.turns);
        let mut open = self.lock();
        let written = open.file.flush();
        open.complain(&self.path, written);
        match fresh {
            Ok(fresh) => {
                // With this the old one writes what it still can; only then is it known how the file ends.
                *open = Open { over: open.over, ..fresh };
                open.end_half_line();
            }
            Err(why) => open.complain(&self.path, Err(why)),
        }
    }

    /// Turns the log over whenever that is due, until it is closed. Lines are written meanwhile.
    fn keep_small(&self) {
        while self.waits_until_due() {
            let turned = self.turn();
            let rests = !matches!(turned, Ok(Turned::Over | Turned::ByOthers));
            if let Err(why) = turned {
                self.lock().complain(&self.path, Err(why));
            }
            if rests {
                self.rest();
            }
        }
    }

    /// False when it is over.
    fn waits_until_due(&self) -> bool {
        let mut open = self.lock();
        while !open.over && !open.wanted {
            let left = open.turns.left(open.begun);
            if left.is_some_and(|left| left.is_zero()) {
                break;
            }
            // A clock may be set forward meanwhile.
            let waited =
                self.called.wait_timeout(open, left.map_or(Duration::MAX, |left| left.min(AGAIN * 60)));
            open = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
        open.wanted = false;
        !open.over
    }

    fn rest(&self) {
        let is_open = |open: &mut Open| !open.over;
        let rested = self.called.wait_timeout_while(self.lock(), AGAIN, is_open);
        drop(rested);
    }

    fn turn(&self) -> io::Result<Turned> {
        let (mine, place, turns) = {
            let mut open = self.lock();
            let written = open.file.flush();
            open.complain(&self.path, written);
            (open.file.get_ref().try_clone()?, open.place.clone(), open.turns)
        };
        if !turns.ever() {
            return Ok(Turned::NotDue);
        }
        let turned = turns.turn(&place, &mine)?;
        match turned {
            Turned::Over | Turned::ByOthers => {
                // What is written until then is in the file that was renamed.
                self.reopen();
                turns.tidy(&place);
            }
            Turned::NotDue => {
                let now = mine.metadata()?;
                let mut open = self.lock();
                // Emptied by another tool, it begins anew; unless lines came meanwhile.
                open.length = now.len() + open.file.buffer().len() as u64;
                if now.len() == 0 {
                    open.begun = SystemTime::now();
                }
            }
            Turned::Away => {}
        }
        Ok(turned)
    }
}

fn open(path: &Path) -> io::Result<File> {
    if let Some(folder) = path.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        fs::create_dir_all(folder)?;
    }
    // A pipe that nobody reads would hold up whoever opens it, for ever.
    let flags = (OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed();
    // It has the names of files in folders that are closed to others.
    let file = File::options().append(true).create(true).mode(0o640).custom_flags(flags).open(path);
    let no_file = || io::Error::other("it is neither a file nor a device such as /dev/null");
    let file = file.map_err(|why| if why.raw_os_error() == Some(NO_READER) { no_file() } else { why })?;
    let now = file.metadata()?;
    let kind = now.file_type();
    if !kind.is_file() && !kind.is_char_device() && !is_standard_stream((now.dev(), now.ino())) {
        return Err(no_file());
    }
    // A terminal that is slow is waited for.
    fcntl_setfl(&file, fcntl_getfl(&file)? - OFlags::NONBLOCK)?;
    Ok(file)
}

fn is_standard_stream(id: (u64, u64)) -> bool {
    let is = |stream: BorrowedFd<'_>| fstat(stream).is_ok_and(|there| (there.st_dev, there.st_ino) == id);
    is(io::stdout().as_fd()) || is(io::stderr().as_fd())
}

/// False as well for what cannot be read.
fn ends_within_a_line(path: &Path) -> bool {
    let flags = OFlags::NONBLOCK.bits().cast_signed();
    let Ok(file) = File::options().read(true).custom_flags(flags).open(path) else { return false };
    let Ok(now) = file.metadata() else { return false };
    let mut last = [b'\n'];
    now.is_file() && now.len() > 0 && file.read_exact_at(&mut last, now.len() - 1).is_ok() && last != *b"\n"
}
