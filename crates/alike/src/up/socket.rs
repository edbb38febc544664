//! How other commands reach a running `alike up`: a Unix socket that only its owner may open, one question and one answer a
//! connection, each a line of JSON.

use std::fs::{self, File, TryLockError};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender};
use std::time::{Duration, Instant};

use alike_storage::{linux, plain};
use etcetera::BaseStrategy;
use rustix::fs::OFlags;
use rustix::process::geteuid;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::report::Report;
use crate::run::Failure;
use crate::settings;

/// Who asks does so within this time, or is not heard.
const PATIENCE: Duration = Duration::from_secs(10);
/// Where they are of root, where nothing else is given.
const OF_ROOT: &str = "/run/alike";
/// An answer comes within this time, also when jobs have to end for it.
const ANSWER: Duration = Duration::from_secs(90);
/// No question is longer.
const LONGEST: u64 = 64 * 1024;

/// A question.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "ask")]
pub(crate) enum Question {
    /// How do all jobs stand?
    Status,
    /// Read the config file again.
    Reload,
    /// Start a full pass of all jobs, or of this one, which alone may be allowed to delete as much as it has to.
    Pass {
        job: Option<String>,
        #[serde(default)]
        allows_deletes: bool,
    },
    /// End.
    Down,
}

/// An answer.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "lowercase", tag = "is")]
pub(crate) enum Answer {
    Status(Box<Report>),
    /// It was done; what there is to say of it.
    Done {
        text: String,
    },
    /// It was not, and why.
    Refused {
        text: String,
    },
}

/// A question for the loop that owns the jobs, and where its answer goes.
pub(crate) type Asked = (Question, Sender<Answer>);

/// The place of one `alike up` among those of a user: nobody else runs this config file.
pub(crate) struct Seat {
    folder: PathBuf,
    name: String,
    /// Held for as long as it runs.
    _lock: File,
}

impl Seat {
    /// Takes the place of a config file.
    ///
    /// # Errors
    /// When it is taken, or the folder for it cannot be made.
    pub(crate) fn take(config: &Path) -> Result<Self, Failure> {
        let folder = folder()?;
        let make = || -> io::Result<File> {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(&folder)?;
            let open = own(&folder)?;
            let at = linux::path_of_open(open.as_fd()).join(lock_name(config));
            File::options().create(true).truncate(false).write(true).open(at)
        };
        let lock = make().map_err(|why| {
            let why = plain(&why);
            Failure::Failed(format!(
                "the folder of the control socket, {}, cannot be used: {why}",
                folder.display()
            ))
        })?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { folder, name: socket_name(config), _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(Failure::Halted(format!(
                "another alike up runs {} already; alike status shows it, alike down stops it",
                config.display()
            ))),
            Err(TryLockError::Error(why)) => Err(why.into()),
        }
    }

    /// Begins to listen. What a process left behind that was killed is removed.
    ///
    /// # Errors
    /// When the system refuses.
    pub(crate) fn listen(&self) -> io::Result<UnixListener> {
        let at = self.folder.join(&self.name);
        match fs::remove_file(&at) {
            Err(why) if why.kind() != io::ErrorKind::NotFound => return Err(why),
            _ => {}
        }
        let listener = through(&self.folder, &self.name, |path| UnixListener::bind(path))?;
        fs::set_permissions(&at, fs::Permissions::from_mode(0o600))?;
        Ok(listener)
    }
}

impl Seat {
    /// Where the token of the page is, for programs of its owner.
    pub(crate) fn token_file(&self) -> PathBuf {
        self.folder.join(self.name.replace(".sock", ".page-token"))
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let _ = fs::remove_file(self.folder.join(&self.name));
    }
}

/// Answers whoever connects, for as long as the process lives: `status` by itself, the rest through the loop.
pub(crate) fn serve(
    listener: UnixListener,
    report: impl Fn() -> Report + Clone + Send + 'static,
    wishes: impl Fn(Asked) + Clone + Send + 'static,
) {
    for stream in listener.incoming() {
        let Ok(stream) = stream else {
            std::thread::sleep(Duration::from_millis(100));
            continue;
        };
        let (report, wishes) = (report.clone(), wishes.clone());
        let answers = move || {
            let _ = answer(&stream, report, wishes);
        };
        let _ = std::thread::Builder::new().name("asked".to_owned()).spawn(answers);
    }
}

fn answer(stream: &UnixStream, report: impl Fn() -> Report, wishes: impl Fn(Asked)) -> io::Result<()> {
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let answer = match read_line(stream) {
        Ok(Question::Status) => Answer::Status(Box::new(report())),
        Ok(question) => {
            let (reply, answer): (Sender<Answer>, Receiver<Answer>) = std::sync::mpsc::channel();
            wishes((question, reply));
            let gone = || Answer::Refused { text: "it is ending".to_owned() };
            answer.recv().unwrap_or_else(|_| gone())
        }
        Err(why) => Answer::Refused { text: plain(&why) },
    };
    write_line(stream, &answer)
}

/// Asks the `alike up` of a config file, or the only one that runs.
///
/// # Errors
/// When none answers; the text says how to start one.
pub(crate) fn ask(config: Option<&Path>, question: &Question) -> Result<Answer, Failure> {
    reach(config, question).map(|(answer, _)| answer)
}

/// Asks it to end, and waits until it has.
///
/// # Errors
/// As [`ask`]; and when it does not end in time.
pub(crate) fn ask_to_end(config: Option<&Path>) -> Result<Answer, Failure> {
    const LONGEST: Duration = Duration::from_secs(70);
    let (answer, lock) = reach(config, &Question::Down)?;
    let until = Instant::now() + LONGEST;
    // It is held until the process is gone.
    while File::open(&lock).is_ok_and(|lock| matches!(lock.try_lock(), Err(TryLockError::WouldBlock))) {
        if Instant::now() > until {
            return Err(Failure::Failed("alike up does not end; a drive may hang".to_owned()));
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(answer)
}

/// Asks, and tells which file is locked by who answers.
fn reach(config: Option<&Path>, question: &Question) -> Result<(Answer, PathBuf), Failure> {
    let folders = folders()?;
    let found = match config {
        Some(config) => {
            let name = socket_name(config);
            folders.iter().find_map(|folder| Some((connect(folder, &name).ok()?, folder.join(&name))))
        }
        None => only_one(&folders)?,
    };
    let (stream, socket) = found.ok_or_else(|| {
        let which = config.map_or_else(String::new, |config| format!(" of {}", config.display()));
        Failure::Failed(format!("no alike up{which} is running here; start it with alike up"))
    })?;
    stream.set_read_timeout(Some(ANSWER)).map_err(Failure::from)?;
    let asked = write_line(&stream, question).and_then(|()| read_line(&stream));
    match asked {
        Ok(answer) => Ok((answer, socket.with_extension("lock"))),
        Err(why) => Err(Failure::Failed(format!("alike up does not answer: {}", plain(&why)))),
    }
}

/// How all stand that run here and answer within this time. Who hangs is not waited for any longer.
pub(crate) fn reports(within: Duration) -> Vec<Report> {
    let (sender, answers) = std::sync::mpsc::channel();
    for (folder, name) in folders().iter().flatten().flat_map(sockets) {
        let sender = sender.clone();
        let asks = move || -> io::Result<()> {
            let stream = connect(&folder, &name)?;
            stream.set_read_timeout(Some(within))?;
            write_line(&stream, &Question::Status)?;
            if let Answer::Status(report) = read_line(&stream)? {
                let _ = sender.send(*report);
            }
            Ok(())
        };
        // Even to connect may take without end.
        let _ = std::thread::Builder::new().name("asks".to_owned()).spawn(asks);
    }
    drop(sender);
    let until = Instant::now() + within;
    std::iter::from_fn(|| answers.recv_timeout(until.saturating_duration_since(Instant::now())).ok())
        .collect()
}

/// The names of sockets in a folder; of some, nobody may listen any more.
fn sockets(folder: &PathBuf) -> Vec<(PathBuf, String)> {
    let names = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.file_name());
    let names = names.filter_map(|name| name.into_string().ok()).filter(|name| name.ends_with(".sock"));
    names.map(|name| (folder.clone(), name)).collect()
}

/// The one that runs, and its socket.
fn only_one(folders: &[PathBuf]) -> Result<Option<(UnixStream, PathBuf)>, Failure> {
    let all = folders.iter().flat_map(sockets);
    let mut running: Vec<(UnixStream, PathBuf)> =
        all.filter_map(|(folder, name)| Some((connect(&folder, &name).ok()?, folder.join(&name)))).collect();
    match running.len() {
        0 | 1 => Ok(running.pop()),
        several => Err(Failure::Usage(format!("{several} of alike up are running; say which with -c FILE"))),
    }
}

fn connect(folder: &Path, name: &str) -> io::Result<UnixStream> {
    through(folder, name, |path| UnixStream::connect(path))
}

/// The path of a socket may not be longer than 107 bytes, whatever the folder is called: it goes by way of the open folder.
fn through<T>(folder: &Path, name: &str, with: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
    let open = File::open(folder)?;
    with(&linux::path_of_open(open.as_fd()).join(name))
}

/// Opens a folder that is ours alone from now on: who put a symlink there, or a folder of their own, must not choose what is
/// closed to others and where names of files are written.
fn own(folder: &Path) -> io::Result<File> {
    if fs::symlink_metadata(folder)?.is_symlink() {
        return Err(io::Error::other("it is a symlink, and is not followed"));
    }
    let flags = OFlags::NOFOLLOW | OFlags::DIRECTORY;
    let open = File::options().read(true).custom_flags(flags.bits().cast_signed()).open(folder)?;
    let (owner, we) = (open.metadata()?.uid(), geteuid().as_raw());
    if owner != we {
        return Err(io::Error::other(format!("it belongs to user {owner}, and this runs as user {we}")));
    }
    open.set_permissions(fs::Permissions::from_mode(0o700))?;
    Ok(open)
}

/// True for a folder that root may trust: what a user owns leads where the user wants. One that is missing, root makes.
fn is_of_root(runtime: &Path) -> bool {
    fs::metadata(runtime).map_or_else(|why| why.kind() == io::ErrorKind::NotFound, |found| found.uid() == 0)
}

/// Where the sockets are: what the system gives for this, else beside the state.
fn folder() -> Result<PathBuf, Failure> {
    let given = etcetera::choose_base_strategy().ok().and_then(|strategy| strategy.runtime_dir());
    match given.filter(|runtime| !linux::am_root() || is_of_root(runtime)) {
        Some(runtime) => Ok(runtime.join("alike")),
        None if linux::am_root() => Ok(PathBuf::from(OF_ROOT)),
        None => Ok(settings::state_folder(None)?.join("run")),
    }
}

/// Where they may be. Root that has logged in is given a folder, and the service of the system is not.
fn folders() -> Result<Vec<PathBuf>, Failure> {
    let mut folders = vec![folder()?];
    if linux::am_root() && folders[0] != Path::new(OF_ROOT) {
        folders.push(PathBuf::from(OF_ROOT));
    }
    Ok(folders)
}

fn socket_name(config: &Path) -> String {
    format!("up-{}.sock", short_name(config))
}

fn lock_name(config: &Path) -> String {
    format!("up-{}.lock", short_name(config))
}

/// A name for a config file by its path without symlinks.
fn short_name(config: &Path) -> String {
    use std::os::unix::ffi::OsStrExt;
    let whole = config.canonicalize().or_else(|_| std::path::absolute(config));
    let whole = whole.unwrap_or_else(|_| config.to_owned());
    format!("{:016x}", xxhash_rust::xxh3::xxh3_64(whole.as_os_str().as_bytes()))
}

fn write_line(mut stream: &UnixStream, value: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    stream.write_all(&line)
}

fn read_line<T: DeserializeOwned>(stream: &UnixStream) -> io::Result<T> {
    let mut line = Vec::new();
    // Reports may be long, questions not; nobody sends without end.
    BufReader::new(stream.take(LONGEST * 1024)).read_until(b'\n', &mut line)?;
    Ok(serde_json::from_slice(&line)?)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_leads_elsewhere_or_is_of_somebody_else_is_neither_used_nor_closed() {
        let room = tempfile::tempdir().unwrap();
        let (theirs, link) = (room.path().join("theirs"), room.path().join("alike"));
        fs::create_dir(&theirs).unwrap();
        fs::set_permissions(&theirs, fs::Permissions::from_mode(0o755)).unwrap();
        std::os::unix::fs::symlink("theirs", &link).unwrap();
        assert!(own(&link).unwrap_err().to_string().contains("symlink"));
        let of_another = if linux::am_root() {
            std::os::unix::fs::chown(&theirs, Some(12345), None).unwrap();
            theirs.as_path()
        } else {
            Path::new("/usr")
        };
        assert!(own(of_another).unwrap_err().to_string().contains("belongs to user"));
        assert_eq!(fs::metadata(&theirs).unwrap().mode() & 0o777, 0o755);
        let ours = room.path().join("ours");
        fs::create_dir(&ours).unwrap();
        own(&ours).unwrap();
        assert_eq!(fs::metadata(&ours).unwrap().mode() & 0o777, 0o700);
    }

    #[test]
    fn root_trusts_no_runtime_folder_of_a_user() {
        let room = tempfile::tempdir().unwrap();
        assert!(is_of_root(Path::new("/")) && is_of_root(&room.path().join("missing")));
        if linux::am_root() {
            std::os::unix::fs::chown(room.path(), Some(12345), None).unwrap();
        }
        assert!(!is_of_root(room.path()));
    }
}
