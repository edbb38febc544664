//! The hold of a replica: no pass is made until a person says so, for it would do again what was taken back.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use alike_model::entry::Time;
use alike_model::path::RelPath;
use alike_storage::{Folder, Local, linux};
use serde::{Deserialize, Serialize};

use crate::pair::lock;
use crate::refusal::Refusal;
use crate::small_file;
use crate::trash::Trash;

/// How long a running mirror has to let go of the replica.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why a replica is held.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hold {
    /// Since when.
    pub at: Time,
    /// The pass in the history that is the reason.
    pub pass: u64,
    /// What was done, in words.
    pub why: String,
    /// What is under way, or broke off: the same command goes on with it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub begun: Option<Begun>,
}

/// What is done to a replica that is held, as the pass that the hold names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Begun {
    /// These passes are undone: the first and the last.
    Undo(u64, u64),
    /// This path, in bytes, is brought back.
    Restore(Vec<u8>),
}

impl Hold {
    /// The hold of the replica whose own folder is at `own`; `None` when it is not held.
    ///
    /// # Errors
    /// When that cannot be told.
    pub fn read(own: &Path) -> io::Result<Option<Self>> {
        match fs::read(own.join("hold")) {
            Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(None),
            // Damaged, it holds all the same.
            bytes => Ok(Some(serde_json::from_slice(&bytes?).unwrap_or_else(|_| Self {
                at: Time::default(),
                pass: 0,
                why: "it is held, and what says why is damaged".to_owned(),
                begun: None,
            }))),
        }
    }

    /// The pass in the history that undoes these, and broke off.
    #[must_use]
    pub fn undoes(&self, passes: &std::ops::RangeInclusive<u64>) -> Option<u64> {
        (self.begun == Some(Begun::Undo(*passes.start(), *passes.end()))).then_some(self.pass)
    }

    /// The pass in the history that brings a path back, and broke off.
    #[must_use]
    pub fn restores(&self, path: &RelPath) -> Option<u64> {
        let is_it = |begun: &Begun| matches!(begun, Begun::Restore(one) if one == path.as_bytes());
        self.begun.as_ref().is_some_and(is_it).then_some(self.pass)
    }

    fn write(&self, own: &Path) -> io::Result<()> {
        small_file::replace(&own.join("hold"), self, true)
    }

    /// Writes it, and brings it to the disk. Where that fails, what was under way goes on counting as such.
    fn write_for_good(&self, own: &Path) -> io::Result<()> {
        let before = Self::read(own)?.filter(|before| before.begun.is_some());
        self.write(own)?;
        // Not all filesystems bring names to the disk with all else.
        let synced = Folder::open(own).and_then(|own| linux::sync_folder(own.descriptor()));
        if let (Err(_), Some(before)) = (&synced, before) {
            let _ = before.write(own);
        }
        synced
    }
}

/// True while the replica at `path` is held; what cannot be told counts as held.
pub(crate) fn is_held(path: &Path) -> bool {
    !matches!(fs::symlink_metadata(path.join(".alike/hold")), Err(why) if why.kind() == io::ErrorKind::NotFound)
}

/// Refuses to work on a replica that is held.
pub(crate) fn refuse_held(own: &Path, replica: &Path) -> Result<(), Refusal> {
    match Hold::read(own) {
        Ok(None) => Ok(()),
        Ok(Some(hold)) => Err(Refusal::Held { replica: replica.to_owned(), why: hold.why }),
        Err(why) => Err(Refusal::ReplicaUnusable(replica.to_owned(), why)),
    }
}

/// A replica alone, as undoing and restoring need it.
pub struct Site {
    /// Its path, whole.
    pub path: PathBuf,
    /// The replica.
    pub tree: Local,
    /// Its trash, with the history.
    pub trash: Trash,
    own: PathBuf,
    lock: Option<File>,
    /// It was held before this one came.
    before: Option<Hold>,
}

impl Site {
    /// Opens the replica at `path`, to look at.
    ///
    /// # Errors
    /// When it is none, or cannot be used.
    pub fn open(path: &Path) -> Result<Self, Refusal> {
        let unusable = |why| Refusal::ReplicaUnusable(path.to_owned(), why);
        let whole = path.canonicalize().map_err(unusable)?;
        let own = whole.join(".alike");
        if !fs::symlink_metadata(&own).is_ok_and(|found| found.is_dir()) {
            return Err(Refusal::NoReplica(path.to_owned()));
        }
        let tree = Local::open(&whole).map_err(unusable)?;
        let trash = Trash::of(Folder::open(&own).map_err(unusable)?, Duration::MAX).map_err(unusable)?;
        let before = Hold::read(&own).map_err(unusable)?;
        Ok(Self { path: whole, tree, trash, own, lock: None, before })
    }

    /// Why it is held, if it is.
    #[must_use]
    pub fn hold(&self) -> Option<&Hold> {
        self.before.as_ref()
    }

    /// Takes the replica's lock if nobody else has it.
    ///
    /// # Errors
    /// When the system refuses.
    pub fn try_lock(&mut self) -> Result<bool, Refusal> {
        match lock(&self.own, &self.path) {
            Ok(file) => {
                self.lock = Some(file);
                Ok(true)
            }
            Err(Refusal::InUse(_)) => Ok(false),
            Err(other) => Err(other),
        }
    }

    /// Holds the replica and takes its lock: a mirror that runs sees the one and gives up the other. The process that has it is woken
    /// by `wake`, for it may be this one.
    ///
    /// # Errors
    /// When the lock cannot be had; then nothing is held that was not before.
    pub fn seize(&mut self, hold: &Hold, wake: &dyn Fn(i32)) -> Result<(), Refusal> {
        let path = self.path.clone();
        let unusable = |why| Refusal::ReplicaUnusable(path.clone(), why);
        // What broke off before is not forgotten until something else is begun.
        let begun = self.before.as_ref().filter(|before| before.begun.is_some());
        begun.unwrap_or(hold).write(&self.own).map_err(unusable)?;
        let locked = self.wait_for_lock(wake);
        if locked.is_err() {
            self.let_go().map_err(unusable)?;
        }
        locked
    }

    fn wait_for_lock(&mut self, wake: &dyn Fn(i32)) -> Result<(), Refusal> {
        let until = Instant::now() + PATIENCE;
        let mut woken = None;
        while !self.try_lock()? {
            let holder = linux::holder_of_lock(&self.own.join("lock"));
            if let Some(pid) = holder.filter(|pid| woken != Some(*pid)) {
                woken = Some(pid);
                // One that cannot be woken sees the hold when it looks next.
                wake(pid);
            }
            if Instant::now() > until {
                let who = holder.map_or_else(|| "another alike".to_owned(), |pid| format!("process {pid}"));
                return Err(Refusal::NotLetGo { replica: self.path.clone(), who });
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        Ok(())
    }

    /// Says why it is held from now on.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn hold_for(&self, hold: &Hold) -> io::Result<()> {
        hold.write_for_good(&self.own)
    }

    /// Puts back the hold that was before, or none.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn let_go(&self) -> io::Result<()> {
        match &self.before {
            Some(before) => before.write(&self.own),
            None => self.resume(),
        }
    }

    /// Lets passes be made again.
    ///
    /// # Errors
    /// When the hold cannot be removed.
    pub fn resume(&self) -> io::Result<()> {
        match fs::remove_file(self.own.join("hold")) {
            Err(why) if why.kind() == io::ErrorKind::NotFound => Ok(()),
            removed => removed,
        }
    }
}
