//! Where the commands of a page are run: one shell, a home of its own, and folders that stand for the disks of the page.

use std::fs::{self, File};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::page::Block;
use crate::said::{LEFT_OUT, differences};

/// Paths of a page that are not of this machine; below the stage they are.
const ELSEWHERE: [&str; 6] = ["/mnt/", "/srv/", "/home/you", "/usr/local/bin/", "/etc/alike", "/var/www"];
/// Behind what a command said.
const END: &str = "\u{1}end of it";
/// How long a person takes between two commands, at least.
const BETWEEN: Duration = Duration::from_millis(40);
/// How long what goes on beside may take until it shows.
const PATIENCE: Duration = Duration::from_secs(20);

pub struct Stage {
    folder: TempDir,
    shell: Child,
    to: ChildStdin,
    from: Receiver<String>,
    beside: Vec<Beside>,
}

/// A command that goes on beside the others.
struct Beside {
    child: Child,
    line: usize,
    said: String,
    file: PathBuf,
}

impl Stage {
    pub fn new(alike: &Path) -> Self {
        let folder = TempDir::with_prefix("alike-page-").unwrap();
        let at = |path: &str| folder.path().join(path.trim_start_matches('/'));
        for path in ["home/you/.config", "mnt/usb", "mnt/nas", "srv", "usr/local/bin", "run", "bin"] {
            fs::create_dir_all(at(path)).unwrap();
        }
        std::os::unix::fs::symlink(alike, at("bin/alike")).unwrap();
        let mut shell = Self::program(folder.path(), "bash");
        shell.args(["--noprofile", "--norc"]);
        let mut shell = shell.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("start bash");
        let to = shell.stdin.take().unwrap();
        let mut out = BufReader::new(shell.stdout.take().unwrap());
        let (lines, from) = channel();
        std::thread::spawn(move || {
            let mut line = Vec::new();
            while out.read_until(b'\n', &mut line).is_ok_and(|got| got > 0) {
                if lines.send(String::from_utf8_lossy(&line).into_owned()).is_err() {
                    break;
                }
                line.clear();
            }
        });
        Self { folder, shell, to, from, beside: Vec::new() }
    }

    fn program(folder: &Path, program: &str) -> Command {
        let at = |path: &str| folder.join(path);
        let path = format!("{}:{}", at("bin").display(), std::env::var("PATH").unwrap_or_default());
        let mut command = Command::new(program);
        command.current_dir(at("home/you")).env("HOME", at("home/you")).env("PATH", path);
        command.env("XDG_RUNTIME_DIR", at("run")).env("LC_ALL", "C.UTF-8");
        for name in
            ["XDG_STATE_HOME", "XDG_CONFIG_HOME", "NOTIFY_SOCKET", "JOURNAL_STREAM", "RUST_LOG", "NO_COLOR"]
        {
            command.env_remove(name);
        }
        command
    }

    /// Runs the commands of a block, one after the other. Returns what was not as the page says.
    pub fn act(&mut self, block: &Block) -> Vec<String> {
        let mut wrong = Vec::new();
        for act in block.acts() {
            let since = Instant::now();
            // What looks at something that goes on beside may come too early.
            let looks = ["alike status", "alike log", "alike trash", "ls", "cat", "tail"];
            let may_wait = !self.beside.is_empty()
                && looks.iter().any(|look| act.command.starts_with(look))
                && !act.command.contains('>');
            loop {
                let real = self.run(&act.command);
                let Some(what) = differences(&act.said, &real) else { break };
                if !may_wait || since.elapsed() > PATIENCE {
                    wrong.push(format!("{}: $ {}\n{what}", act.line, act.command));
                    break;
                }
                std::thread::sleep(Duration::from_millis(50));
            }
        }
        wrong
    }

    fn run(&mut self, command: &str) -> String {
        let command = self.staged(command);
        // Nobody types the next one at once: what is edited within a stamp's grain of a pass is not trusted, and told otherwise.
        std::thread::sleep(BETWEEN);
        // A line of its own for the last brace: a here-document ends with its line.
        write!(self.to, "{{ (exit $code)\n{command}\n}} 2>&1 </dev/null; code=$?; printf '\\n{END}\\n'\n")
            .unwrap();
        self.to.flush().unwrap();
        let mut said = Vec::new();
        loop {
            match self.from.recv_timeout(PATIENCE) {
                Ok(line) if line.trim_end() == END => break,
                Ok(line) => said.push(line),
                Err(_) => panic!("it does not end:\n{command}\nand said\n{}", said.concat()),
            }
        }
        // The end has a line of its own, also behind what has none.
        let said = said.concat();
        self.unstaged(said.strip_suffix('\n').unwrap_or(&said))
    }

    /// Starts the one command of a block, which goes on until the next of its kind, or until the page ends.
    pub fn start_beside(&mut self, block: &Block) -> Vec<String> {
        let wrong = self.end();
        let acts = block.acts();
        let [act] = acts.as_slice() else {
            return vec![format!("{}: one command goes on beside, not {}", block.line, acts.len())];
        };
        let here = self.run("pwd");
        let here = self.staged(here.trim_end());
        let file = self.folder.path().join(format!("beside-{}", act.line));
        let mut command = Self::program(self.folder.path(), "bash");
        command.arg("-c").arg(format!("exec {}", self.staged(&act.command))).current_dir(here);
        let to = File::create(&file).unwrap();
        command.stdin(Stdio::null()).stdout(to.try_clone().unwrap()).stderr(to);
        let child = command.spawn().unwrap();
        // What follows is done when this is at rest.
        let first = act.said.lines().take_while(|line| *line != LEFT_OUT).count();
        let since = Instant::now();
        let told = |text: String| self.unstaged(&text).lines().count();
        while since.elapsed() < PATIENCE && fs::read_to_string(&file).map_or(0, told) < first {
            std::thread::sleep(Duration::from_millis(20));
        }
        self.beside.push(Beside { child, line: act.line, said: act.said.clone(), file });
        wrong
    }

    /// Ends what goes on beside, with Ctrl+C. Returns what of it was not as the page says.
    pub fn end(&mut self) -> Vec<String> {
        let mut wrong = Vec::new();
        for mut beside in std::mem::take(&mut self.beside) {
            let _ = kill_process(Pid::from_child(&beside.child), Signal::INT);
            let since = Instant::now();
            while beside.child.try_wait().unwrap().is_none() {
                if since.elapsed() > PATIENCE {
                    let _ = beside.child.kill();
                    wrong.push(format!("{}: it did not end", beside.line));
                }
                std::thread::sleep(Duration::from_millis(10));
            }
            let real = self.unstaged(&fs::read_to_string(&beside.file).unwrap());
            wrong.extend(differences(&beside.said, &real).map(|what| format!("{}: {what}", beside.line)));
        }
        wrong
    }

    /// Whether `alike config check` takes it, once its folders are there. What stands alone gets a job.
    pub fn check_config(&self, text: &str) -> Result<(), String> {
        let mut text = self.staged(text);
        if !text.lines().any(|line| line.trim() == "[[job]]") {
            text += "\n[[job]]\nname = \"a-job\"\nsource = \"~/a\"\nreplica = \"/tmp/alike-page-none/b\"\n";
        }
        let parsed: toml::Table = text.parse().map_err(|why| format!("{why}"))?;
        for job in parsed["job"].as_array().into_iter().flatten() {
            let source = job.get("source").and_then(toml::Value::as_str).unwrap_or_default();
            let home = self.folder.path().join("home/you").display().to_string();
            let _ = fs::create_dir_all(source.replacen('~', &home, 1));
        }
        let file = self.folder.path().join("config.toml");
        fs::write(&file, &text).unwrap();
        let mut check = Self::program(self.folder.path(), "alike");
        let run = check.args(["config", "check", "-c"]).arg(&file).output().unwrap();
        let said = [run.stdout, run.stderr].concat();
        match run.status.success() {
            true => Ok(()),
            false => Err(self.unstaged(&String::from_utf8_lossy(&said))),
        }
    }

    /// Why alike does not know these words; none when it does.
    pub fn refuses(&self, line: &str) -> Option<String> {
        let mut shell = Self::program(self.folder.path(), "bash");
        // The shell splits the words as it would; what they would do is not done.
        let run = shell.arg("-c").arg(format!("{line} --help")).stdin(Stdio::null()).output().unwrap();
        (!run.status.success()).then(|| format!("{line}: {}", String::from_utf8_lossy(&run.stderr)))
    }

    /// A text of the page as it holds on the stage.
    fn staged(&self, text: &str) -> String {
        let here = self.folder.path().display().to_string();
        let moved = |text: String, path: &&str| text.replace(*path, &format!("{here}{path}"));
        ELSEWHERE.iter().fold(text.to_owned(), moved)
    }

    /// And back.
    fn unstaged(&self, text: &str) -> String {
        let text = text.replace(&self.folder.path().display().to_string(), "");
        // Who is not root is told so once; a page is written for both.
        let is_of_root =
            |line: &&str| !(line.starts_with("alike: ") && line.contains(": this target cannot hold: "));
        text.split_inclusive('\n').filter(is_of_root).collect()
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        for beside in &mut self.beside {
            let _ = beside.child.kill();
            let _ = beside.child.wait();
        }
        let _ = self.shell.kill();
        let _ = self.shell.wait();
    }
}
