//! The log turned over: renamed when it is large or old enough, compressed one turn later, and so many of them kept.
//!
//! `FILE.turned-NUMBER-INODE` is the last one and stays as it is, for another process may still write to it;
//! `FILE.turned-NUMBER.gz` are older. A file is taken for an old log by its name and by what shows that alike made it.

use std::fs::{self, File};
use std::io::{self, BufReader, BufWriter, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use clap::Args;
use flate2::read::GzDecoder;
use flate2::{Compression, GzBuilder};
use rustix::fs::{CWD, OFlags, RenameFlags, renameat_with};
use rustix::io::Errno;

use crate::args::duration;

/// What follows the name of a log in those that it became.
const TURNED: &str = ".turned-";
/// The last number that fits.
const LAST: u32 = 99_999_999;
/// In the header of each file that was compressed here; no other is ever removed.
const MARK: &str = "alike log";

/// When a log is turned over, and how many old ones there are.
#[derive(Clone, Copy, Debug, Args)]
pub(crate) struct Turns {
    /// Turn the log file over when it is this large: it becomes FILE.turned-N..., later FILE.turned-N.gz
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
    /// For what must stay under its name.
    pub(crate) fn never(self) -> Self {
        Self { log_size: Limit(None), log_age: Limit(None), ..self }
    }

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

    /// Makes the name of the log free.
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
                let number = self.make_room(path)?;
                rename_new(path, &plain(path, number, now.ino()))?;
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
            for old in Found::beside(path).map(|found| found.ours).unwrap_or_default() {
                let _ = fs::remove_file(old.path);
            }
        }
    }

    /// Lets go what is too old, packs the others, and says which number comes next.
    fn make_room(&self, path: &Path) -> io::Result<u32> {
        let Found { ours, last } = Found::beside(path)?;
        // First what goes: the disk may be full.
        let too_many = ours.len().saturating_sub(usize::from(self.log_keep).saturating_sub(1));
        let too_many = if self.log_keep == 0 { ours.len() } else { too_many };
        for old in &ours[..too_many] {
            fs::remove_file(&old.path)?;
        }
        for old in ours[too_many..].iter().filter(|old| !old.is_packed) {
            // Not compressed it is kept as well.
            let _ = compress(&old.path, &packed(path, old.number));
        }
        (last < LAST)
            .then_some(last + 1)
            .ok_or_else(|| io::Error::other(format!("{} is in the way", packed(path, last).display())))
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

/// A log that was turned over and is not compressed yet. Its inode in the name shows that it is ours: nobody else's has both.
fn plain(path: &Path, number: u32, inode: u64) -> PathBuf {
    beside(path, &format!("{TURNED}{number:08}-{inode:016x}"))
}

fn packed(path: &Path, number: u32) -> PathBuf {
    beside(path, &format!("{TURNED}{number:08}.gz"))
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

/// The number of an old log, and its inode while it is not compressed, from what follows the log's name.
fn number_in(rest: &str) -> Option<(u32, Option<u64>)> {
    let rest = rest.strip_prefix(TURNED)?;
    let (number, ending) = rest.split_at_checked(8)?;
    let number = number.bytes().all(|byte| byte.is_ascii_digit()).then(|| number.parse().ok())??;
    match ending.strip_prefix('-') {
        None => (ending == ".gz").then_some((number, None)),
        Some(inode) => {
            let read = u64::from_str_radix(inode, 16).ok()?;
            (inode == format!("{read:016x}")).then_some((number, Some(read)))
        }
    }
}

struct Old {
    number: u32,
    is_packed: bool,
    path: PathBuf,
}

/// What lies beside a log under a name as ours.
struct Found {
    /// Those that alike made, oldest first.
    ours: Vec<Old>,
    /// The highest number of all, whoever made them.
    last: u32,
}

impl Found {
    fn beside(path: &Path) -> io::Result<Self> {
        use std::os::unix::ffi::OsStrExt;
        let mut found = Self { ours: Vec::new(), last: 0 };
        let Some(name) = path.file_name() else { return Ok(found) };
        for entry in fs::read_dir(folder_of(path))? {
            let entry = entry?;
            let called = entry.file_name();
            let rest = called.as_bytes().strip_prefix(name.as_bytes());
            let number = rest.and_then(|rest| number_in(std::str::from_utf8(rest).ok()?));
            let Some((number, inode)) = number else { continue };
            found.last = found.last.max(number);
            let path = entry.path();
            // A name alone says nothing: somebody's own file may have it.
            let is_ours = match (inode, fs::symlink_metadata(&path)) {
                (Some(inode), Ok(there)) => there.is_file() && there.ino() == inode,
                (None, Ok(there)) => there.is_file() && has_mark(&path),
                (_, Err(_)) => false,
            };
            if is_ours {
                found.ours.push(Old { number, is_packed: inode.is_none(), path });
            }
        }
        found.ours.sort_by_key(|old| (old.number, old.is_packed));
        Ok(found)
    }
}

/// True for what [`compress`] wrote.
fn has_mark(path: &Path) -> bool {
    let flags = (OFlags::NOFOLLOW | OFlags::NONBLOCK).bits().cast_signed();
    let Ok(file) = File::options().read(true).custom_flags(flags).open(path) else { return false };
    GzDecoder::new(file).header().is_some_and(|header| header.comment() == Some(MARK.as_bytes()))
}

/// Renames, and never over another file.
fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // NFS and others cannot; a link is refused as well where the name is taken.
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {
            fs::hard_link(from, to)?;
            fs::remove_file(from)
        }
        renamed => Ok(renamed?),
    }
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
    let made = beside(packed, ".new");
    let from = File::open(plain)?;
    from.try_lock()?;
    // What broke off is made anew from the plain one, which is whole.
    for broken_off in [&made, packed] {
        if has_mark(broken_off) {
            fs::remove_file(broken_off)?;
        }
    }
    let mode = from.metadata()?.mode() & 0o777;
    let file = File::options().write(true).create_new(true).mode(mode).open(&made)?;
    let pack = || -> io::Result<()> {
        let packer = GzBuilder::new().comment(MARK);
        let mut packer = packer.write(BufWriter::new(file), Compression::default());
        io::copy(&mut BufReader::new(&from), &mut packer)?;
        let mut written = packer.finish()?;
        written.flush()?;
        // The plain one goes: this one must be on the disk.
        written.get_ref().sync_all()?;
        rename_new(&made, packed)
    };
    pack().inspect_err(|_| drop(fs::remove_file(&made)))?;
    fs::remove_file(plain)
}

/// The patterns that leave out a log in a tree and, where it is turned over, all that it becomes, from its pattern.
pub(crate) fn patterns(log: &str, turns: Turns) -> Vec<String> {
    let (number, inode) = ("[0-9]".repeat(8), "[0-9a-f]".repeat(16));
    let old = [format!("-{inode}"), ".gz".to_owned(), ".gz.new".to_owned()]
        .map(|ending| format!("{log}{TURNED}{number}{ending}"));
    std::iter::once(log.to_owned()).chain(old.into_iter().filter(|_| turns.ever())).collect()
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
        let inode = ".turned-00000012-00000000000000ff";
        assert_eq!(number_in(".turned-00000012.gz"), Some((12, None)));
        assert_eq!(number_in(inode), Some((12, Some(255))));
        for rest in
            ["", ".1", ".1.gz", ".2024", ".turned-12.gz", ".turned-00000012", ".turned-00000012.gz.new"]
        {
            assert_eq!(number_in(rest), None, "{rest}");
        }
        for rest in [".turned-+0000012.gz", ".turned-00000012-ff", ".turned-00000012-00000000000000FF"] {
            assert_eq!(number_in(rest), None, "{rest}");
        }
    }

    #[test]
    fn a_log_that_is_not_turned_over_leaves_out_itself_alone() {
        let on = Turns { log_size: Limit(Some(1)), log_age: Limit(None), log_keep: 1 };
        assert_eq!(patterns("/log", on).len(), 4);
        assert_eq!(patterns("/log", on.never()), ["/log"]);
    }
}
