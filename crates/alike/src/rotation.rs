//! The log turned over: renamed when it is large or old enough, compressed one turn later, and so many of them kept.
//!
//! `FILE.1` is the last one and stays as it is, for another process may still write to it; `FILE.2.gz` and on are older.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use clap::Args;
use flate2::Compression;
use flate2::write::GzEncoder;

use crate::args::duration;

/// When a log is turned over, and how many old ones there are.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Turns {
    /// Turn the log file over when it is this large: it becomes FILE.1, and the one before FILE.2.gz
    #[arg(long, value_name = "SIZE|off", default_value = "10M", value_parser = size)]
    log_size: Limit<u64>,
    /// Turn it over when it is this old, however small
    #[arg(long, value_name = "TIME|off", default_value = "off", value_parser = age)]
    log_age: Limit<Duration>,
    /// Keep so many that were turned over
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u16).range(0..=999))]
    log_keep: u16,
}

/// `None`: off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Limit<T>(Option<T>);

fn size(text: &str) -> Result<Limit<u64>, String> {
    match text.trim() {
        "off" => Ok(Limit(None)),
        // A bare number means bytes to logrotate, KiB to rsync: who writes one is asked.
        number if number.ends_with(|ch: char| ch.is_ascii_digit()) => {
            Err("has no unit; write it as 10M or 500K, or off".to_owned())
        }
        size => crate::check::rate(size)
            .map(|size| Limit(Some(size)))
            .map_err(|_| "is no size; write it as 10M or 500K, or off".to_owned()),
    }
}

fn age(text: &str) -> Result<Limit<Duration>, String> {
    match text.trim() {
        "off" => Ok(Limit(None)),
        time => match duration(time).map_err(|why| format!("{why}; or off"))? {
            Duration::ZERO => Err("must not be zero; or off".to_owned()),
            time => Ok(Limit(Some(time))),
        },
    }
}

impl Turns {
    /// False when nothing is ever to be done.
    pub(crate) fn ever(&self) -> bool {
        self.log_size.0.is_some() || self.log_age.0.is_some()
    }

    /// True for a file of this length that is to be turned over.
    pub(crate) fn too_large(&self, length: u64) -> bool {
        self.log_size.0.is_some_and(|most| length >= most)
    }

    /// How long a file that was begun then may stay; `None` when its age does not matter.
    pub(crate) fn left(&self, begun: SystemTime) -> Option<Duration> {
        let most = self.log_age.0?;
        // A clock that was set back makes it no older.
        Some(most.saturating_sub(begun.elapsed().unwrap_or_default()))
    }

    /// Makes the name of the log free: what has it becomes `FILE.1`.
    ///
    /// # Errors
    /// When something cannot be renamed. No line is lost by it.
    pub(crate) fn turn(&self, path: &Path, open: &File) -> io::Result<Turned> {
        // Of several processes with one log, one at a time; the name may be another's by then.
        let folder = File::open(folder_of(path))?;
        folder.lock()?;
        let now = open.metadata()?;
        match fs::symlink_metadata(path) {
            Ok(there) if (there.dev(), there.ino()) != (now.dev(), now.ino()) => Ok(Turned::ByOthers),
            Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(Turned::Away),
            Err(why) => Err(why),
            Ok(_) if !self.is_due(&now) => Ok(Turned::NotDue),
            Ok(_) => {
                self.make_room(path)?;
                fs::rename(path, numbered(path, 1, ""))?;
                Ok(Turned::Over)
            }
        }
    }

    fn is_due(&self, now: &fs::Metadata) -> bool {
        let is_old = self.left(begun(now)).is_some_and(|left| left.is_zero()) && now.len() > 0;
        self.too_large(now.len()) || is_old
    }

    /// After a turn: where none is to be kept, none is.
    pub(crate) fn tidy(&self, path: &Path) {
        if self.log_keep == 0 {
            let _ = fs::remove_file(numbered(path, 1, ""));
        }
    }

    fn make_room(&self, path: &Path) -> io::Result<()> {
        // First what goes: the disk may be full.
        for (number, old) in old_ones(path)? {
            if number >= u64::from(self.log_keep) {
                fs::remove_file(old)?;
            }
        }
        for (number, old) in old_ones(path)? {
            if old.extension().is_none_or(|ending| ending != "gz") {
                // Not compressed it is kept as well.
                let _ = compress(&old, &numbered(path, number, ".gz"));
            }
        }
        let forms = |number| [numbered(path, number, ""), numbered(path, number, ".gz")];
        let is_free = |number: &u64| forms(*number).iter().all(|form| form.symlink_metadata().is_err());
        let free = (1..).find(is_free).unwrap_or(1);
        for number in (1..free).rev() {
            for (from, to) in forms(number).iter().zip(forms(number + 1)) {
                match fs::symlink_metadata(from) {
                    Ok(there) if there.is_file() => fs::rename(from, to)?,
                    Ok(_) => return Err(io::Error::other(format!("{} is in the way", from.display()))),
                    Err(_) => {}
                }
            }
        }
        Ok(())
    }
}

/// What became of the name of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turned {
    /// It is free now.
    Over,
    /// It leads to another file, which is to be opened.
    ByOthers,
    /// It is gone: whoever took it away says when there is to be another.
    Away,
    /// There is no reason.
    NotDue,
}

/// Since when a file is written.
pub(crate) fn begun(file: &fs::Metadata) -> SystemTime {
    file.created().or_else(|_| file.modified()).unwrap_or_else(|_| SystemTime::now())
}

/// `FILE.1`, or with an ending `FILE.1.gz`.
fn numbered(path: &Path, number: u64, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".{number}{ending}"));
    name.into()
}

/// The number of an old log, from what follows its name.
fn number_in(rest: &str) -> Option<u64> {
    let number = rest.strip_prefix('.')?;
    let number = number.strip_suffix(".gz").unwrap_or(number);
    let is_plain = number.bytes().all(|byte| byte.is_ascii_digit()) && !number.starts_with('0');
    number.parse().ok().filter(|_| is_plain)
}

/// All old logs with their numbers.
fn old_ones(path: &Path) -> io::Result<Vec<(u64, PathBuf)>> {
    use std::os::unix::ffi::OsStrExt;
    let Some(name) = path.file_name() else { return Ok(Vec::new()) };
    let mut old = Vec::new();
    for entry in fs::read_dir(folder_of(path))? {
        let entry = entry?;
        let called = entry.file_name();
        let rest = called.as_bytes().strip_prefix(name.as_bytes());
        let number = rest.and_then(|rest| number_in(std::str::from_utf8(rest).ok()?));
        if let Some(number) = number.filter(|_| entry.file_type().is_ok_and(|kind| kind.is_file())) {
            old.push((number, entry.path()));
        }
    }
    Ok(old)
}

fn folder_of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Says that a log is being written to, as long as it is open.
///
/// # Errors
/// When the filesystem has no locks; then nobody knows.
pub(crate) fn claim(log: &File) -> io::Result<()> {
    log.lock_shared()
}

/// Compresses an old log, unless somebody still writes to it.
fn compress(plain: &Path, packed: &Path) -> io::Result<()> {
    let made = packed.with_extension("gz.new");
    // What broke off, or was put there to lead elsewhere, is not written through.
    let _ = fs::remove_file(&made);
    let from = File::open(plain)?;
    from.try_lock()?;
    let pack = || -> io::Result<()> {
        let mode = from.metadata()?.mode() & 0o777;
        let file = File::options().write(true).create_new(true).mode(mode).open(&made)?;
        let mut packer = GzEncoder::new(BufWriter::new(file), Compression::default());
        io::copy(&mut BufReader::new(&from), &mut packer)?;
        let mut written = packer.finish()?;
        written.flush()?;
        // The plain one goes: this one must be on the disk.
        written.get_ref().sync_all()?;
        fs::rename(&made, packed)
    };
    pack().inspect_err(|_| drop(fs::remove_file(&made)))?;
    fs::remove_file(plain)
}

/// The patterns that leave out a log in a tree and all that it becomes, from its pattern.
pub(crate) fn patterns(log: &str) -> Vec<String> {
    let numbers = ["[0-9]", "[0-9][0-9]", "[0-9][0-9][0-9]"];
    let old = numbers
        .iter()
        .flat_map(|number| ["", ".gz", ".gz.new"].map(|ending| format!("{log}.{number}{ending}")));
    std::iter::once(log.to_owned()).chain(old).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_need_a_unit_and_may_be_off() {
        assert_eq!(size("10M"), Ok(Limit(Some(10 << 20))));
        assert_eq!(size("500k"), Ok(Limit(Some(500 << 10))));
        assert_eq!(size("off"), Ok(Limit(None)));
        for text in ["10", "", "-1M", "big"] {
            assert!(size(text).is_err(), "{text}");
        }
        assert!(age("0s").is_err() && age("30d").is_ok());
    }

    #[test]
    fn only_what_alike_names_so_is_an_old_log() {
        for (rest, number) in [(".1", Some(1)), (".12.gz", Some(12)), (".2024", Some(2024))] {
            assert_eq!(number_in(rest), number, "{rest}");
        }
        for rest in ["", ".", ".gz", ".1.bz2", ".01", ".1.gz.new", "-1", ".+1", ".0"] {
            assert_eq!(number_in(rest), None, "{rest}");
        }
    }
}
