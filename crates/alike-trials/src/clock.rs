//! A clock that is wrong, for alike alone: whoever sets the clock of a machine moves it between two passes, or under a mirror.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::LazyLock;

/// How far a clock is from the right time, as `faketime` reads it. What is measured from one moment to another is not touched.
pub const CLOCKS: [&str; 8] = ["+0", "-3y", "+20y", "-1d", "+40d", "-2s", "+1h", "+0"];

pub const RIGHT: &str = "+0";

static LIBRARY: LazyLock<Option<String>> = LazyLock::new(|| {
    // It stumbles over what a process of the same number left when it was killed.
    (0..TRIES).find_map(|_| {
        let said = Command::new("faketime").args(["-m", "now", "printenv", "LD_PRELOAD"]).output().ok()?;
        Some(String::from_utf8(said.stdout).ok()?.trim().to_owned()).filter(|library| !library.is_empty())
    })
});

const TRIES: usize = 5;

/// Takes away what a process with such a clock leaves behind when it is killed.
pub fn tidy_after(pid: u32) {
    for left in ["shm", "sem"] {
        let prefix = if left == "sem" { "sem." } else { "" };
        let _ = fs::remove_file(format!("/dev/shm/{prefix}faketime_{left}_{pid}"));
    }
}

/// Whether this machine has what is needed.
pub fn can_be_wrong() -> bool {
    LIBRARY.is_some()
}

/// The command will have a clock that is so far ahead or behind.
pub fn set(command: &mut Command, ahead: &str) {
    if ahead != RIGHT {
        prepare(command).env("FAKETIME", ahead);
    }
}

/// The command will have the clock that the file tells, which may change meanwhile.
pub fn follow(command: &mut Command, file: &Path) {
    prepare(command).env("FAKETIME_TIMESTAMP_FILE", file).env("FAKETIME_NO_CACHE", "1");
}

/// Sets a clock that is followed.
pub fn write(file: &Path, ahead: &str) {
    let beside = file.with_extension("new");
    fs::write(&beside, format!("{ahead}\n")).expect("write a clock");
    fs::rename(beside, file).expect("set a clock");
}

fn prepare(command: &mut Command) -> &mut Command {
    let library = LIBRARY.as_deref().expect("faketime is there: it was asked for");
    command
        .env("LD_PRELOAD", library)
        .env("FAKETIME_DONT_FAKE_MONOTONIC", "1")
        .env("NO_FAKE_STAT", "1")
        .env("FAKE_UTIME", "0")
}
