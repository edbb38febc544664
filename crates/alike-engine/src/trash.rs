//! The trash: what passes take away from a replica is kept in buckets, each with a journal that says what it was.
//!
//! A bucket is a folder `.alike/trash/TIME` with entries under plain numbers. It is filled for an hour at most, so that what is
//! too old goes bucket by bucket. Everything gets there by a rename and nothing is copied, so the trash costs no time, and
//! only the room that what it keeps had before.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use alike_model::entry::{Stamp, Time};
use alike_model::path::{Name, RelPath};
use alike_storage::{Folder, linux, remove_tree};

use crate::chronicle::slot;
use crate::history::{self, Deed, Line};
use crate::journal::Scribe;
use crate::overdue;
use crate::room::{Evicted, Room};
use crate::superseded::Superseded;

/// A bucket is filled this long.
const HOUR: i64 = 3600;

/// The trash of a replica.
pub struct Trash {
    /// alike's own folder on the replica, held so that nothing is ever kept or dropped on another disk.
    own: Folder,
    /// Its folder, once it was found: what takes its name later is not.
    found: OnceLock<Folder>,
    device: u64,
    /// The replica's top folder: device and inode.
    top: (u64, u64),
    /// How long what is taken away is kept.
    keep: Duration,
    current: Mutex<Option<Arc<Bucket>>>,
    pub(crate) evicted: Evicted,
    pub(crate) superseded: Superseded,
    pub(crate) room: Room,
}

/// What a bucket is filled with, open.
pub(crate) struct Bucket {
    name: String,
    opened: Time,
    pub(crate) folder: Folder,
    last: AtomicU64,
    journal: Mutex<Scribe<Page>>,
}

/// Where a journal is written, as long as the bucket is in the replica: what was moved out is not alike's any more.
pub(crate) struct Page {
    file: File,
    bucket: OwnedFd,
    /// The replica's top folder: device and inode.
    top: (u64, u64),
}

impl Write for Page {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // Below `.alike/trash`.
        const DEPTH: usize = 3;
        let above = linux::look_above(self.bucket.as_fd(), DEPTH)?;
        match (above.dev, above.ino) == self.top {
            true => self.file.write(bytes),
            false => Err(io::ErrorKind::StaleNetworkFileHandle.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Scribe<Page> {
    /// Brings all lines to the disk.
    fn settle(&mut self) -> io::Result<()> {
        self.flush()?;
        self.to().file.sync_all()
    }
}

/// A number in a bucket, for what a step takes away.
pub(crate) struct Slot {
    pub(crate) bucket: Arc<Bucket>,
    pub(crate) n: u64,
    pub(crate) name: Name,
}

impl Slot {
    /// True when what looked like `old`, or the way back to it, is kept here, or that cannot be told.
    pub(crate) fn holds(&self, old: &Stamp, patch: bool) -> bool {
        match linux::look(self.bucket.folder.descriptor(), &self.name) {
            Ok(there) => there.is_some_and(|there| patch || there.identity() == old.identity()),
            Err(_) => true,
        }
    }

    /// Where it is, from the replica's top.
    pub(crate) fn path(&self) -> RelPath {
        slot(&self.bucket.name, self.n)
    }

    /// Where it is kept, for the log.
    pub(crate) fn shown(&self) -> String {
        format!("{}/{}", self.bucket.name, self.n)
    }
}

impl Trash {
    /// The trash of the replica whose own folder is `own`. Nothing is made before something is taken away.
    ///
    /// # Errors
    /// When the system refuses to look at it.
    pub fn of(own: Folder, keep: Duration) -> io::Result<Self> {
        let device = linux::look_at_open(own.descriptor())?.dev;
        let top = linux::look_above(own.descriptor(), 1)?;
        Ok(Self {
            own,
            found: OnceLock::new(),
            device,
            top: (top.dev, top.ino),
            keep,
            current: Mutex::default(),
            evicted: Evicted::default(),
            superseded: Superseded::default(),
            room: Room::default(),
        })
    }

    /// The device that holds it: only what is there too can be kept.
    pub(crate) fn device(&self) -> u64 {
        self.device
    }

    /// A path to its folder, which may not be there.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        match self.found() {
            Some(found) => found.path(),
            None => self.own.path().join("trash"),
        }
    }

    /// Its folder as it was found first, unless it was deleted since.
    fn found(&self) -> Option<&Folder> {
        if self.found.get().is_none()
            && let Ok(found) = self.own.below(&trash_name())
        {
            let _ = self.found.set(found);
        }
        let is_there =
            |found: &&Folder| linux::look_at_open(found.descriptor()).is_ok_and(|now| now.nlink > 0);
        self.found.get().filter(is_there)
    }

    /// Writes a deed down before it is done, on the way to the system's hands (so that a kill loses none).
    ///
    /// # Errors
    /// When it cannot be written: then nothing may be taken away.
    pub(crate) fn begin(&self, deed: Deed) -> io::Result<Slot> {
        let (bucket, n) = self.add(deed, true)?;
        Ok(Slot { bucket, n, name: number(n)? })
    }

    /// Writes down what was done, at leisure: undoing would only miss something that was added.
    pub(crate) fn note(&self, deed: Deed) -> io::Result<()> {
        self.add(deed, false).map(drop)
    }

    /// Adds a deed to the bucket of this moment; to a new one, when that was moved out of the replica.
    fn add(&self, deed: Deed, now: bool) -> io::Result<(Arc<Bucket>, u64)> {
        let mut line = Line::Deed(Box::new(deed));
        let mut write = || -> io::Result<_> {
            let Line::Deed(deed) = &mut line else { unreachable!("made above") };
            let bucket = self.bucket(deed.at)?;
            deed.n = bucket.last.fetch_add(1, Ordering::Relaxed) + 1;
            let n = deed.n;
            let written = bucket.write(&line, now);
            Ok((bucket, n, written))
        };
        let (bucket, n, written) = write()?;
        if !written.as_ref().is_err_and(|why| why.kind() == io::ErrorKind::StaleNetworkFileHandle) {
            return written.map(|()| (bucket, n));
        }
        self.lock().take_if(|current| Arc::ptr_eq(current, &bucket));
        let (bucket, n, written) = write()?;
        written.map(|()| (bucket, n))
    }

    /// Where something of the bucket of this moment is kept; `shown` is as [`Slot::shown`] has it.
    pub(crate) fn find(&self, shown: &str) -> Option<(Arc<Bucket>, Name)> {
        let (bucket, name) = shown.split_once('/')?;
        let current = self.lock().clone().filter(|current| current.name == bucket)?;
        Some((current, Name::new(name.as_bytes())?))
    }

    /// Hands all that is written to the system.
    pub(crate) fn flush(&self) -> io::Result<()> {
        let current = self.lock().clone();
        current.map_or(Ok(()), |bucket| bucket.flush())
    }

    /// Brings the bucket of this moment to the disk, where that does not happen with all else.
    pub(crate) fn settle(&self) -> io::Result<()> {
        let Some(bucket) = self.lock().clone() else { return Ok(()) };
        bucket.journal().settle()?;
        linux::sync_folder(bucket.folder.descriptor())?;
        linux::sync_folder(Folder::open(&self.path())?.descriptor())
    }

    /// The bucket of this moment.
    fn bucket(&self, now: Time) -> io::Result<Arc<Bucket>> {
        let mut current = self.lock();
        if let Some(bucket) =
            current.as_ref().filter(|bucket| (0..HOUR).contains(&(now.secs - bucket.opened.secs)))
        {
            return Ok(Arc::clone(bucket));
        }
        if let Some(old) = current.take() {
            old.flush()?;
        }
        let bucket = Arc::new(self.make_bucket(now)?);
        *current = Some(Arc::clone(&bucket));
        Ok(bucket)
    }

    fn make_bucket(&self, now: Time) -> io::Result<Bucket> {
        make_private(&self.own, &trash_name())?;
        let trash = Folder::open(&self.path())?;
        // A name that is taken (a clock that was set back, two runs in one second) gets a letter more.
        let mut name = shown_time(now);
        let folder = loop {
            let called = Name::new(name.as_bytes()).ok_or(io::ErrorKind::InvalidInput)?;
            match linux::make_folder(trash.descriptor(), &called) {
                Err(why) if why.kind() == io::ErrorKind::AlreadyExists => name.push('a'),
                made => break made.and_then(|()| trash.below(&called))?,
            }
        };
        if folder.is_mount()? {
            return Err(io::ErrorKind::ResourceBusy.into());
        }
        let file = File::options().append(true).create_new(true).open(folder.path().join("journal"))?;
        let page = Page { file, bucket: folder.descriptor().try_clone_to_owned()?, top: self.top };
        let journal = Mutex::new(Scribe::new(page));
        Ok(Bucket { name, opened: now, folder, last: AtomicU64::new(0), journal })
    }

    /// The names of all buckets, oldest first.
    ///
    /// # Errors
    /// When they cannot be listed.
    pub fn buckets(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        match Folder::open(&self.path()) {
            Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(names),
            trash => {
                for (name, _) in linux::names(trash?.descriptor())? {
                    names.extend(String::from_utf8(name.as_bytes().to_vec()));
                }
            }
        }
        names.sort_unstable();
        Ok(names)
    }

    /// What is written in the journal of a bucket.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn deeds(&self, bucket: &str) -> io::Result<Vec<Deed>> {
        Ok(self.journal(bucket)?.map(|journal| history::read(&journal)).unwrap_or_default())
    }

    /// The journal of a bucket; `None` when it has none.
    pub(crate) fn journal(&self, bucket: &str) -> io::Result<Option<Vec<u8>>> {
        match std::fs::read(self.journal_path(bucket)) {
            Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(None),
            journal => journal.map(Some).map_err(|why| history::unreadable(bucket, &why)),
        }
    }

    pub(crate) fn journal_path(&self, bucket: &str) -> PathBuf {
        self.path().join(bucket).join("journal")
    }

    /// The length of a journal; 0 when there is none.
    pub(crate) fn journal_length(&self, bucket: &str) -> io::Result<u64> {
        match std::fs::metadata(self.journal_path(bucket)) {
            Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(0),
            there => there.map(|there| there.len()),
        }
    }

    /// The number of the last pass in the history; 0 when it is empty. `all`: nothing else knows it. A journal that cannot be
    /// read is passed over: a mirror does not stop for what is old, and at worst a number is given again.
    ///
    /// # Errors
    /// When the trash cannot be listed.
    pub(crate) fn last_pass(&self, all: bool) -> io::Result<u64> {
        // More than the last, for a clock may have been set back. It may also have been years ahead for long, and then the
        // last of all is anywhere.
        const LOOKED_AT: usize = 8;
        const FEW: usize = 64;
        let buckets = self.buckets()?;
        let mut last = 0;
        let most = if all || buckets.len() <= FEW { buckets.len() } else { LOOKED_AT };
        for bucket in buckets.iter().rev().take(most) {
            let found = File::open(self.journal_path(bucket)).and_then(history::last_pass);
            last = last.max(found.unwrap_or(0));
        }
        Ok(last)
    }

    /// Drops what has been kept long enough, and then more until a part of the filesystem's room is free.
    ///
    /// # Errors
    /// When something cannot be removed.
    pub(crate) fn tidy(&self, now: Time) -> io::Result<()> {
        if self.evicted.is_empty() {
            self.superseded.forget();
            self.room.forget();
        }
        self.expire(now)?;
        self.leave_room()
    }

    fn expire(&self, now: Time) -> io::Result<()> {
        let own = self.own.path();
        if self.overdue(now.secs)?.is_empty() {
            return overdue::forget(&own);
        }
        match overdue::judged_by(&own, self.keep, now)? {
            Some(then) => self.overdue(then)?.iter().try_for_each(|bucket| self.drop_bucket(bucket)),
            None => Ok(()),
        }
    }

    /// Buckets that at this moment, in seconds, have been kept long enough.
    fn overdue(&self, secs: i64) -> io::Result<Vec<String>> {
        let keep = i64::try_from(self.keep.as_secs()).unwrap_or(i64::MAX).saturating_add(HOUR);
        let oldest = shown_time(Time { secs: secs.saturating_sub(keep), nanos: 0 });
        // Names begin with the time of the first deed, and the last came at most an hour later.
        let is_overdue = |bucket: &String| *bucket < oldest && !self.is_current(bucket);
        Ok(self.buckets()?.into_iter().filter(is_overdue).collect())
    }

    /// Drops a bucket with all that is in it.
    ///
    /// # Errors
    /// When something in it cannot be removed.
    pub fn drop_bucket(&self, bucket: &str) -> io::Result<()> {
        self.room.forget();
        self.remove_bucket(bucket)
    }

    pub(crate) fn remove_bucket(&self, bucket: &str) -> io::Result<()> {
        let name = Name::new(bucket.as_bytes()).ok_or(io::ErrorKind::InvalidInput)?;
        remove_tree(&Folder::open(&self.path())?, &name)
    }

    /// The bucket of this moment and its last number; `None` before anything is kept.
    pub(crate) fn filled_to(&self) -> Option<(String, u64)> {
        let current = self.lock().clone()?;
        Some((current.name.clone(), current.last.load(Ordering::Relaxed)))
    }

    /// The numbers under which a bucket keeps something.
    pub(crate) fn numbers_in(&self, bucket: &str) -> io::Result<BTreeSet<u64>> {
        let folder = Folder::open(&self.path().join(bucket))?;
        let names = linux::names(folder.descriptor())?;
        let number_of = |name: &[u8]| std::str::from_utf8(name).ok()?.parse::<u64>().ok();
        Ok(names.iter().filter_map(|(name, _)| number_of(name.as_bytes())).collect())
    }

    pub(crate) fn is_current(&self, bucket: &str) -> bool {
        self.lock().as_ref().is_some_and(|current| current.name == bucket)
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<Bucket>>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Bucket {
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Writes a line; `now`: not only into memory.
    pub(crate) fn write(&self, line: &Line, now: bool) -> io::Result<()> {
        let mut journal = self.journal();
        journal.write(line)?;
        if now { journal.flush() } else { Ok(()) }
    }

    fn flush(&self) -> io::Result<()> {
        self.journal().flush()
    }

    fn journal(&self) -> MutexGuard<'_, Scribe<Page>> {
        self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A moment as the name of a bucket: it sorts by time.
pub(crate) fn shown_time(at: Time) -> String {
    let at = jiff::Timestamp::new(at.secs, 0).unwrap_or_default();
    at.strftime("%Y%m%dT%H%M%SZ").to_string()
}

impl Drop for Bucket {
    fn drop(&mut self) {
        // What is not written down cannot be taken back: nothing is lost by it.
        let _ = self.flush();
    }
}

fn trash_name() -> Name {
    let Some(name) = Name::new(b"trash") else { unreachable!("a constant") };
    name
}

/// Makes a folder that only its owner may enter, unless it is there.
fn make_private(parent: &Folder, name: &Name) -> io::Result<()> {
    match linux::make_folder(parent.descriptor(), name) {
        Err(why) if why.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

pub(crate) fn number(n: u64) -> io::Result<Name> {
    Name::new(n.to_string().as_bytes()).ok_or_else(|| io::ErrorKind::InvalidInput.into())
}
