//! Running the real binary, with a state folder and a home of its own.

use std::ffi::{OsStr, OsString};
use std::io::Read;
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::live::Live;

/// No pass of a test takes longer than this; one that does hangs.
const PATIENCE: Duration = Duration::from_secs(120);

/// The binary, and where it may keep what it remembers.
#[derive(Debug)]
pub struct Alike {
    binary: PathBuf,
    home: TempDir,
    user: Option<u32>,
    shell: Option<String>,
}

impl Alike {
    /// Runs `binary` with a fresh state folder, which is not made: `plan` must not make it either.
    pub fn new(binary: impl Into<PathBuf>) -> Self {
        let home = TempDir::with_prefix("alike-home-").expect("make a home");
        Self { binary: binary.into(), home, user: None, shell: None }
    }

    /// The same binary with a state folder of its own, as on a second machine.
    pub fn another(&self) -> Self {
        let mut other = Self::new(&self.binary);
        if let Some(user) = self.user {
            other.run_as(user);
        }
        other
    }

    /// From now on runs as this user and group, from a copy of the binary that this user can reach.
    pub fn run_as(&mut self, user: u32) {
        let copy = self.home.path().join("alike");
        if self.binary != copy {
            // A child that another test forks meanwhile would hold the copy open for writing, and it could not be run.
            let copied = Command::new("cp").arg(&self.binary).arg(&copy).status().expect("run cp");
            assert!(copied.success(), "copy the binary");
            self.binary = copy;
        }
        crate::give_tree_to(self.home.path(), user).expect("hand over the home");
        self.user = Some(user);
    }

    /// From now on a shell runs these words before it becomes alike (`umask 077`, `ulimit -n 64`).
    pub fn run_after(&mut self, words: &str) {
        self.shell = Some(format!("{words}; exec \"$0\" \"$@\""));
    }

    /// The folder given as `--state-dir`.
    pub fn state_dir(&self) -> PathBuf {
        self.home.path().join("state")
    }

    /// The command as it would be typed: nothing is added but the environment.
    pub fn command<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        self.command_after(self.shell.as_deref(), args)
    }

    fn command_after<S: AsRef<OsStr>>(
        &self,
        shell: Option<&str>,
        args: impl IntoIterator<Item = S>,
    ) -> Command {
        let mut command = match shell {
            None => Command::new(&self.binary),
            Some(words) => {
                let mut shell = Command::new("sh");
                shell.arg("-c").arg(words).arg(&self.binary);
                shell
            }
        };
        let home = self.home.path();
        command
            .args(args)
            .current_dir(home)
            .env("HOME", home.join("user"))
            .env("XDG_STATE_HOME", self.xdg_state())
            .env("XDG_CONFIG_HOME", self.config_home())
            .env("XDG_RUNTIME_DIR", self.runtime_dir())
            .env_remove("NOTIFY_SOCKET")
            .env_remove("JOURNAL_STREAM")
            .env_remove("RUST_LOG")
            .env_remove("RUST_BACKTRACE")
            .env_remove("NO_COLOR")
            .env_remove("CLICOLOR")
            .env_remove("CLICOLOR_FORCE")
            .env_remove("CI")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if let Some(user) = self.user {
            command.uid(user).gid(user);
        }
        command
    }

    /// Where the environment says that state goes.
    pub fn xdg_state(&self) -> PathBuf {
        self.home.path().join("xdg-state")
    }

    /// Where the environment says that config files are.
    pub fn config_home(&self) -> PathBuf {
        self.home.path().join("xdg-config")
    }

    /// Where the environment says that sockets go.
    pub fn runtime_dir(&self) -> PathBuf {
        self.home.path().join("xdg-runtime")
    }

    fn words(&self, verb: &str, flags: &[&str], source: &Path, replica: &Path) -> Vec<OsString> {
        let mut words: Vec<OsString> = vec![verb.into(), "--state-dir".into(), self.state_dir().into()];
        words.extend(flags.iter().map(OsString::from));
        words.extend([source.into(), replica.into()]);
        words
    }

    /// Runs exactly these words to the end.
    #[track_caller]
    pub fn run<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Run {
        Run::of(self.command(args))
    }

    /// `alike once FLAGS SOURCE REPLICA`.
    #[track_caller]
    pub fn once(&self, flags: &[&str], source: &Path, replica: &Path) -> Run {
        self.run(self.words("once", flags, source, replica))
    }

    /// `alike plan FLAGS SOURCE REPLICA`.
    #[track_caller]
    pub fn plan(&self, flags: &[&str], source: &Path, replica: &Path) -> Run {
        self.run(self.words("plan", flags, source, replica))
    }

    /// `alike check FLAGS SOURCE REPLICA`.
    #[track_caller]
    pub fn check(&self, flags: &[&str], source: &Path, replica: &Path) -> Run {
        self.run(self.words("check", flags, source, replica))
    }

    /// Starts `alike check FLAGS SOURCE REPLICA`, to be stopped half-way.
    #[track_caller]
    pub fn start_check(&self, flags: &[&str], source: &Path, replica: &Path) -> Live {
        Live::start(self.command(self.words("check", flags, source, replica)), source, replica)
    }

    /// Starts `alike mirror FLAGS SOURCE REPLICA`.
    #[track_caller]
    pub fn mirror(&self, flags: &[&str], source: &Path, replica: &Path) -> Live {
        Live::start(self.command(self.words("mirror", flags, source, replica)), source, replica)
    }

    /// Starts `alike mirror SOURCE REPLICA WORDS`, the orders of older scripts.
    #[track_caller]
    pub fn mirror_then(&self, source: &Path, replica: &Path, words: &[&str]) -> Live {
        let mut command = self.command(self.words("mirror", &[], source, replica));
        command.args(words);
        Live::start(command, source, replica)
    }

    /// Starts `alike WORDS`, to be stopped half-way.
    #[track_caller]
    pub fn start(&self, words: &[&str], source: &Path, replica: &Path) -> Live {
        Live::start(self.command(words), source, replica)
    }

    /// Starts `alike WORDS` as systemd starts a service that it listens for: with the listener, which is called `name`.
    #[track_caller]
    pub fn start_for(
        &self,
        (listener, name): (TcpListener, &str),
        words: &[&str],
        source: &Path,
        replica: &Path,
    ) -> Live {
        let passed = format!("exec 3<&0 </dev/null; export LISTEN_PID=$$ LISTEN_FDS=1 LISTEN_FDNAMES={name}");
        let mut command = self.command_after(Some(&format!("{passed}; exec \"$0\" \"$@\"")), words);
        command.stdin(OwnedFd::from(listener));
        Live::start(command, source, replica)
    }

    /// Starts `alike once FLAGS SOURCE REPLICA`, to be stopped half-way.
    #[track_caller]
    pub fn start_once(&self, flags: &[&str], source: &Path, replica: &Path) -> Live {
        Live::start(self.command(self.words("once", flags, source, replica)), source, replica)
    }
}

/// What a run said and how it ended.
#[derive(Debug)]
pub struct Run {
    /// The exit code; none when a signal ended it.
    pub code: Option<i32>,
    /// What it wrote on stdout.
    pub stdout: Vec<u8>,
    /// What it wrote on stderr.
    pub stderr: Vec<u8>,
    shown: String,
}

impl Run {
    #[track_caller]
    fn of(mut command: Command) -> Self {
        let shown = format!("{command:?}");
        let mut child = command.spawn().unwrap_or_else(|why| panic!("start {shown}: {why}"));
        let stdout = read_all(child.stdout.take());
        let stderr = read_all(child.stderr.take());
        let mut status: Option<ExitStatus> = None;
        let ended = crate::wait_until(PATIENCE, || {
            status = child.try_wait().expect("look at the child");
            status.is_some()
        });
        if !ended {
            let _ = child.kill();
            let _ = child.wait();
        }
        let run = Self {
            code: status.and_then(|status| status.code()),
            stdout: stdout.join().expect("read stdout"),
            stderr: stderr.join().expect("read stderr"),
            shown,
        };
        assert!(ended, "did not end within {PATIENCE:?}\n{}", run.report());
        run
    }

    /// stdout as text.
    pub fn out(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// stderr as text.
    pub fn err(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }

    /// Everything about the run, for a failing test.
    pub fn report(&self) -> String {
        format!(
            "{}\nexit {:?}\n--- stdout\n{}\n--- stderr\n{}",
            self.shown,
            self.code,
            self.out(),
            self.err()
        )
    }

    /// Panics unless it ended with this exit code.
    #[track_caller]
    pub fn expect(&self, code: i32) -> &Self {
        self.expect_one_of(&[code])
    }

    /// Panics unless it ended with one of these exit codes.
    #[track_caller]
    pub fn expect_one_of(&self, codes: &[i32]) -> &Self {
        let fine = self.code.is_some_and(|code| codes.contains(&code));
        assert!(fine, "expected exit {codes:?}\n{}", self.report());
        self
    }

    /// Panics unless stderr is a message of one or two lines, from a program that is in control.
    #[track_caller]
    pub fn expect_short_message(&self) -> &Self {
        let text = self.err();
        let lines = text.lines().filter(|line| !line.trim().is_empty()).count();
        assert!(
            (1..=2).contains(&lines),
            "expected a message of 1 or 2 lines, got {lines}\n{}",
            self.report()
        );
        assert!(!text.contains("panicked"), "it panicked\n{}", self.report());
        self
    }

    /// Panics unless stderr has this text.
    #[track_caller]
    pub fn expect_message_with(&self, text: &str) -> &Self {
        assert!(self.err().contains(text), "expected {text:?} on stderr\n{}", self.report());
        self
    }
}

fn read_all(pipe: Option<impl Read + Send + 'static>) -> std::thread::JoinHandle<Vec<u8>> {
    let mut pipe = pipe.expect("a piped stream");
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = pipe.read_to_end(&mut bytes);
        bytes
    })
}
