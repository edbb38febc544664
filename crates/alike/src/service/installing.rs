//! Puts the units where systemd finds them, and has them started; takes them away again.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::process::Command;

use alike_storage::plain;

use super::unit::{For, OURS};
use super::{SERVICE, SOCKET, Units, folder_of_units};
use crate::doctor::shown;
use crate::run::Failure;

/// It is there while systemd runs the machine.
const RUNS: &str = "/run/systemd/system";
/// Whose services run while they are not logged in.
const LINGERING: &str = "/var/lib/systemd/linger";

/// Writes the units and starts them, unless they are to be written only. Doing it again changes nothing.
pub(super) fn install(whose: For, units: &Units, starts: bool) -> Result<(), Failure> {
    let folder = folder_of_units(whose)?;
    let service = UnitFile::find(folder.join(SERVICE))?;
    let socket = match units.socket {
        Some(_) => UnitFile::find(folder.join(SOCKET))?,
        // Somebody else's is no matter of a config without a page.
        None => UnitFile::find(folder.join(SOCKET)).unwrap_or_else(|_| UnitFile::empty(folder.join(SOCKET))),
    };
    if starts {
        must_run()?;
    }
    let is_over = socket.before.is_some() && units.socket.is_none();
    if is_over && starts {
        // Before its file is gone, and with it what systemd knows of it.
        systemctl(whose, &["stop", SOCKET])?;
    }
    let mut changed = service.put(&units.service)?;
    match &units.socket {
        Some(text) => changed |= socket.put(text)?,
        None if is_over => {
            socket.clear()?;
            say!("alike: removed {}: nothing listens there any more", shown(&socket.path));
        }
        None => {}
    }
    if !starts {
        say!("alike: nothing was started; {} does that", by_hand(whose, "enable --now"));
        return Ok(());
    }
    start(whose, units, changed || is_over)?;
    let (user, when) = if whose == For::User { ("--user ", "you log in") } else { ("", "the system starts") };
    say!(
        "alike: it runs, and will whenever {when}; \"alike status\" says how the jobs stand, \"journalctl {user}-u alike\" what was done"
    );
    if whose == For::User && !lingers() {
        say!("alike: it ends when you log out; \"loginctl enable-linger\" lets it run without you");
    }
    Ok(())
}

/// Has systemd run what is written now.
fn start(whose: For, units: &Units, changed: bool) -> Result<(), Failure> {
    let is_active = |name| systemctl(whose, &["is-active", "--quiet", name]).is_ok();
    let lacks_socket = || units.socket.is_some() && !is_active(SOCKET);
    systemctl(whose, &["daemon-reload"])?;
    systemctl(whose, &["enable", "--quiet", SERVICE])?;
    // It gets its listener when it starts, and systemd begins to listen for none that runs.
    let anew = is_active(SERVICE) && (changed || lacks_socket());
    systemctl(whose, &[if anew { "restart" } else { "start" }, SERVICE])
        .map_err(|failure| see_journal(whose, failure))?;
    if lacks_socket() {
        say!(
            "alike: the jobs run without the page, for nothing listens for it: \"systemctl status {SOCKET}\" says why"
        );
    }
    Ok(())
}

/// Stops the service and removes its units. Where there are none, nothing is done.
pub(super) fn remove(whose: For) -> Result<(), Failure> {
    let folder = folder_of_units(whose)?;
    let all =
        [(SERVICE, UnitFile::find(folder.join(SERVICE))?), (SOCKET, UnitFile::find(folder.join(SOCKET))?)];
    let there: Vec<&(&str, UnitFile)> = all.iter().filter(|(_, place)| place.before.is_some()).collect();
    if there.is_empty() {
        say!("alike: there is no {}: nothing to remove", shown(&all[0].1.path));
        return Ok(());
    }
    let runs = Path::new(RUNS).is_dir();
    for (name, _) in there.iter().filter(|_| runs) {
        // The socket unit is in nobody's list.
        let verb: &[&str] = if *name == SERVICE { &["disable", "--quiet", "--now"] } else { &["stop"] };
        systemctl(whose, &[verb, &[name]].concat())?;
    }
    for (_, place) in &there {
        place.clear()?;
    }
    if runs {
        systemctl(whose, &["daemon-reload"])?;
    }
    let gone: Vec<String> = there.iter().map(|(_, place)| shown(&place.path)).collect();
    say!(
        "alike: {}removed {}; config, state and replicas stay",
        if runs { "stopped it, and " } else { "" },
        gone.join(" and ")
    );
    Ok(())
}

/// Where a unit is, or is to be.
struct UnitFile {
    path: PathBuf,
    /// What is there, by alike.
    before: Option<String>,
}

impl UnitFile {
    /// Looks what is there.
    fn find(path: PathBuf) -> Result<Self, Failure> {
        Ok(Self { before: ours(&path)?, path })
    }

    const fn empty(path: PathBuf) -> Self {
        Self { path, before: None }
    }

    /// Makes it this text, and says what that changes; false when it is so already.
    fn put(&self, text: &str) -> Result<bool, Failure> {
        if self.before.as_deref() == Some(text) {
            say!("alike: {} is as it should be", shown(&self.path));
            return Ok(false);
        }
        write(&self.path, text).map_err(|why| cannot(&why, "written", &self.path))?;
        say!("alike: wrote {}", shown(&self.path));
        if let Some(before) = &self.before {
            differences(before, text).iter().for_each(|line| say!("  {line}"));
        }
        Ok(true)
    }

    fn clear(&self) -> Result<(), Failure> {
        fs::remove_file(&self.path).map_err(|why| cannot(&why, "removed", &self.path))
    }
}

/// The unit that is there. One that somebody else wrote is theirs.
fn ours(path: &Path) -> Result<Option<String>, Failure> {
    let text = match fs::read(path) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(why) if why.kind() == ErrorKind::NotFound => return Ok(None),
        Err(why) => return Err(cannot(&why, "read", path)),
    };
    if text.starts_with(OURS) {
        return Ok(Some(text));
    }
    Err(Failure::Failed(format!(
        "{} was not written by alike, and is left as it is; move it away first (\"alike service print\" shows what it would be)",
        shown(path)
    )))
}

/// Nobody, systemd least of all, reads half of it.
fn write(path: &Path, text: &str) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut beside = path.as_os_str().to_owned();
    beside.push(".new");
    fs::write(&beside, text)?;
    fs::rename(&beside, path)
}

fn cannot(why: &io::Error, done: &str, path: &Path) -> Failure {
    let remedy = match why.kind() {
        ErrorKind::PermissionDenied => "; be root, or say --user for a service of your own",
        _ => "",
    };
    Failure::Failed(format!("{} cannot be {done}: {}{remedy}", shown(path), plain(why)))
}

/// What the new text lacks, and what it has in addition.
fn differences(before: &str, after: &str) -> Vec<String> {
    let only = |sign: char, one: &str, other: &str| -> Vec<String> {
        one.lines()
            .filter(|line| !other.lines().any(|same| same == *line))
            .map(|line| format!("{sign} {line}"))
            .collect()
    };
    [only('-', before, after), only('+', after, before)].concat()
}

fn must_run() -> Result<(), Failure> {
    if Path::new(RUNS).is_dir() {
        return Ok(());
    }
    Err(Failure::Failed(
        "systemd does not run this machine; --no-start only writes the unit, and without systemd let what starts your \
         programs start \"alike up\""
            .to_owned(),
    ))
}

/// The number that this systemd calls itself by.
pub(super) fn version_of_systemd() -> Option<u32> {
    let run = Command::new("systemctl").arg("--version").output().ok()?;
    let said = String::from_utf8_lossy(&run.stdout).into_owned();
    let number = said.split_whitespace().nth(1)?;
    number.split(|ch: char| !ch.is_ascii_digit()).next()?.parse().ok()
}

fn by_hand(whose: For, verb: &str) -> String {
    let user = if whose == For::User { "--user " } else { "" };
    format!("\"systemctl {user}{verb} alike\"")
}

fn systemctl(whose: For, words: &[&str]) -> Result<(), Failure> {
    let mut command = Command::new("systemctl");
    command.args((whose == For::User).then_some("--user")).args(words);
    let run = command.output().map_err(|why| match why.kind() {
        ErrorKind::NotFound => Failure::Failed(
            "there is no systemctl in PATH; \"alike service print\" shows the unit, to be put in place by hand".to_owned(),
        ),
        _ => Failure::Failed(format!("systemctl cannot be started: {}", plain(&why))),
    })?;
    if run.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&run.stderr);
    Err(Failure::Failed(format!("systemctl {} failed: {}", words.join(" "), said.trim_end())))
}

fn see_journal(whose: For, failure: Failure) -> Failure {
    let user = if whose == For::User { "--user " } else { "" };
    let (text, _) = failure.told();
    Failure::Failed(format!("{text}\nalike: \"journalctl {user}-u alike\" says why"))
}

fn lingers() -> bool {
    std::env::var_os("USER").is_some_and(|user| Path::new(LINGERING).join(user).exists())
}
