//! Puts the unit where systemd finds it, and has it started; takes it away again.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::process::Command;

use alike_storage::plain;

use super::folder_of_units;
use super::unit::{For, OURS};
use crate::doctor::shown;
use crate::run::Failure;

const NAME: &str = "alike.service";
/// It is there while systemd runs the machine.
const RUNS: &str = "/run/systemd/system";
/// Whose services run while they are not logged in.
const LINGERING: &str = "/var/lib/systemd/linger";

/// Writes the unit and starts it, unless it is to be written only. Doing it again changes nothing.
pub(super) fn install(whose: For, text: &str, starts: bool) -> Result<(), Failure> {
    let path = folder_of_units(whose)?.join(NAME);
    let before = ours(&path)?;
    if starts {
        must_run()?;
    }
    let changed = before.as_deref() != Some(text);
    match &before {
        Some(_) if !changed => say!("alike: {} is as it should be", shown(&path)),
        _ => {
            write(&path, text).map_err(|why| cannot(&why, "written", &path))?;
            say!("alike: wrote {}", shown(&path));
        }
    }
    if let Some(before) = before.filter(|_| changed) {
        differences(&before, text).iter().for_each(|line| say!("  {line}"));
    }
    if !starts {
        say!("alike: nothing was started; {} does that", by_hand(whose, "enable --now"));
        return Ok(());
    }
    systemctl(whose, &["daemon-reload"])?;
    let ran = systemctl(whose, &["is-active", "--quiet", NAME]).is_ok();
    systemctl(whose, &["enable", "--quiet", "--now", NAME]).map_err(|failure| see_journal(whose, failure))?;
    if ran && changed {
        systemctl(whose, &["restart", NAME]).map_err(|failure| see_journal(whose, failure))?;
    }
    let (user, when) = if whose == For::User { ("--user ", "you log in") } else { ("", "the system starts") };
    say!(
        "alike: it runs, and will whenever {when}; \"alike status\" says how the jobs stand, \"journalctl {user}-u alike\" what was done"
    );
    if whose == For::User && !lingers() {
        say!("alike: it ends when you log out; \"loginctl enable-linger\" lets it run without you");
    }
    Ok(())
}

/// Stops the service and removes its unit. Where there is none, nothing is done.
pub(super) fn remove(whose: For) -> Result<(), Failure> {
    let path = folder_of_units(whose)?.join(NAME);
    if ours(&path)?.is_none() {
        say!("alike: there is no {}: nothing to remove", shown(&path));
        return Ok(());
    }
    let runs = Path::new(RUNS).is_dir();
    if runs {
        systemctl(whose, &["disable", "--quiet", "--now", NAME])?;
    }
    fs::remove_file(&path).map_err(|why| cannot(&why, "removed", &path))?;
    if runs {
        systemctl(whose, &["daemon-reload"])?;
    }
    say!(
        "alike: {}removed {}; config, state and replicas stay",
        if runs { "stopped it, and " } else { "" },
        shown(&path)
    );
    Ok(())
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
    let beside = path.with_extension("service.new");
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
