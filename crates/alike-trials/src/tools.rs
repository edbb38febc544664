//! The tools on trial: one line each says how a tool makes a replica identical.

use std::path::{Path, PathBuf};
use std::process::Command;

use clap::ValueEnum;

use crate::room::Room;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum)]
pub enum Tool {
    Alike,
    Rsync,
    Rclone,
    Unison,
    Cp,
}

impl Tool {
    pub fn name(self) -> &'static str {
        match self {
            Self::Alike => "alike",
            Self::Rsync => "rsync",
            Self::Rclone => "rclone",
            Self::Unison => "unison",
            Self::Cp => "cp",
        }
    }

    /// The words that make the room's replica identical to its source.
    fn words(self, room: &Room) -> Vec<String> {
        let (source, replica, state) = (show(room.source.top()), show(room.replica.top()), show(&room.state));
        let line = match self {
            Self::Alike => format!("once --threads 2 --state-dir {state} {source} {replica}"),
            Self::Rsync => format!("-aHAX --delete {source}/ {replica}/"),
            Self::Rclone => format!(
                "sync --config /dev/null --links --metadata --create-empty-src-dirs --retries 1 --low-level-retries 1 --transfers 2 --checkers 2 {source} {replica}"
            ),
            Self::Unison => format!(
                "{source} {replica} -ui text -batch -auto -force {source} -owner -group -times -perms -1 -confirmbigdel=false"
            ),
            Self::Cp => format!("-a {source}/. {replica}/"),
        };
        line.split(' ').map(str::to_owned).collect()
    }

    /// Leaves out of a tree what the tool stops at, so that it ends well when nobody disturbs it.
    pub fn wants_plain_trees(self) -> bool {
        matches!(self, Self::Rclone | Self::Unison | Self::Cp)
    }

    pub fn version(self, programs: &Programs) -> String {
        let flag = match self {
            Self::Unison => "-version",
            Self::Rclone => "version",
            _ => "--version",
        };
        let said = Command::new(programs.path(self)).arg(flag).output();
        said.ok()
            .and_then(|said| String::from_utf8_lossy(&said.stdout).lines().next().map(str::to_owned))
            .unwrap_or_default()
    }
}

/// Where the programs are.
#[derive(Debug, Clone)]
pub struct Programs {
    pub alike: PathBuf,
}

impl Programs {
    pub fn path(&self, tool: Tool) -> PathBuf {
        match tool {
            Tool::Alike => self.alike.clone(),
            other => find(other.name()).unwrap_or_else(|| other.name().into()),
        }
    }

    pub fn has(&self, tool: Tool) -> bool {
        match tool {
            Tool::Alike => self.alike.is_file(),
            other => find(other.name()).is_some(),
        }
    }

    /// The command that makes the replica identical.
    pub fn command(&self, tool: Tool, room: &Room) -> Command {
        let mut command = Command::new(self.path(tool));
        command.args(tool.words(room));
        furnish(&mut command, room);
        command
    }

    /// `alike VERB FLAGS SOURCE REPLICA` with one thread, so that it makes the same calls each time.
    pub fn ours(&self, room: &Room, verb: &str, flags: &[&str]) -> Command {
        let mut command = Command::new(&self.alike);
        command.args([verb, "--threads", "1", "--state-dir"]).arg(&room.state).args(flags);
        command.arg(room.source.top()).arg(room.replica.top());
        furnish(&mut command, room);
        command
    }

    /// `alike VERB REPLICA WORDS`.
    pub fn on_replica(&self, room: &Room, verb: &str, words: &[&str]) -> Command {
        let mut command = Command::new(&self.alike);
        command.arg(verb).arg(room.replica.top()).args(words);
        furnish(&mut command, room);
        command
    }

    /// The command that keeps it so; alike alone has one.
    pub fn mirror(&self, room: &Room) -> Command {
        let mut command = Command::new(&self.alike);
        command.args(["mirror", "--threads", "2", "--interval", "1h", "--state-dir"]).arg(&room.state);
        command.arg(room.source.top()).arg(room.replica.top());
        furnish(&mut command, room);
        command
    }
}

fn furnish(command: &mut Command, room: &Room) {
    command
        .current_dir(&room.home)
        .env("HOME", &room.home)
        .env("UNISON", &room.state)
        .env("XDG_STATE_HOME", &room.home)
        .env("XDG_CONFIG_HOME", &room.home)
        .env_remove("RUST_LOG")
        .env_remove("RUST_BACKTRACE");
}

fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(name)).find(|program| program.is_file())
}

fn show(path: &Path) -> &str {
    path.to_str().expect("rooms have plain paths")
}
