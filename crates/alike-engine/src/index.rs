//! The index: for each folder one row that says how both sides looked when they were last proven equal.
//!
//! It takes in outcomes only, and reaches the disk only after the replica has ([`Index::commit`]), so it can be behind
//! the replica, which costs a look, but never ahead of it, which would be silent loss. It is never the only copy of
//! anything: a missing, damaged or foreign file counts as an empty index, and everything is compared again.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError, RwLock};

use alike_model::entry::Time;
use alike_model::known::{FolderId, Row};
use redb::{
    Builder, Database, Durability, ReadOnlyDatabase, ReadOnlyTable, ReadableDatabase, StorageBackend,
    TableDefinition, backends::InMemoryBackend,
};

const ROWS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("rows");
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
/// Raised when rows change their form; an index of another form counts as empty.
const FORMAT: u64 = 2;
/// redb's own cache; what it does not hold the page cache does.
const CACHE: usize = 1024 * 1024;
/// Rows not yet handed to redb.
const SPILL: usize = 1024 * 1024;

/// What went wrong with the index file. The replica is not affected.
#[derive(Debug, thiserror::Error)]
#[error("the index {}: {why}", path.display())]
pub struct IndexError {
    path: PathBuf,
    why: String,
}

/// The index of one pair.
pub struct Index {
    path: PathBuf,
    /// False in a rehearsal, which leaves the file as it is.
    may_write: bool,
    store: RwLock<Store>,
    fresh: Mutex<Fresh>,
    next: AtomicU64,
    passes: AtomicU64,
    indexed: Mutex<Option<Time>>,
    disk: Mutex<Disk>,
}

/// What is known of the replica's disk.
#[derive(Clone, Copy, Default)]
struct Disk {
    /// It has taken all that was done before this.
    took_all: Option<Time>,
    /// It may lack some of what was done since.
    unsure: Option<Time>,
}

/// The database behind, as far as it is open.
#[derive(Default)]
struct Store {
    rows: Option<ReadOnlyTable<u64, &'static [u8]>>,
    reading: Option<ReadOnlyDatabase>,
    writing: Option<Database>,
}

/// Rows (`None`: to be removed) that are not in the database yet.
#[derive(Default)]
struct Fresh {
    rows: HashMap<FolderId, Option<Vec<u8>>>,
    /// Rows taken in before the flush that is under way: they are what it commits.
    sealed: HashMap<FolderId, Option<Vec<u8>>>,
    is_sealed: bool,
    bytes: usize,
    /// Something, spilled or not, is not on the disk yet.
    uncommitted: bool,
}

impl Index {
    /// Opens the index in `folder`. With `may_write` false nothing is written there, ever.
    ///
    /// # Errors
    /// When the file cannot be read; not when it is missing or damaged.
    pub fn open(folder: &Path, may_write: bool) -> Result<Self, IndexError> {
        let path = folder.join("index.redb");
        let index = Self {
            path,
            may_write,
            store: RwLock::default(),
            fresh: Mutex::default(),
            next: AtomicU64::new(1),
            passes: AtomicU64::new(0),
            indexed: Mutex::new(None),
            disk: Mutex::default(),
        };
        index.disk().unsure = std::fs::read(index.unsure_path()).ok().map(|bytes| {
            // Damaged, it says that no moment is known: everything is unsure.
            serde_json::from_slice(&bytes).unwrap_or_default()
        });
        if index.path.exists() && index.load().is_err() {
            index.forget_all()?;
        }
        Ok(index)
    }

    fn load(&self) -> Result<(), IndexError> {
        let mut store = Store::default();
        match builder().open_read_only(&self.path) {
            Ok(database) => store.reading = Some(database),
            // Not closed in good order: opening for writing repairs it. A rehearsal does that to a copy in memory.
            Err(_) if self.may_write => {
                store.writing = Some(builder().open(&self.path).map_err(|why| self.error(why))?);
            }
            Err(_) => store.writing = Some(self.copy_to_memory()?),
        }
        store.refresh().map_err(|why| self.error(why))?;
        self.read_meta(&store)?;
        *self.store.write().unwrap_or_else(PoisonError::into_inner) = store;
        Ok(())
    }

    fn copy_to_memory(&self) -> Result<Database, IndexError> {
        let bytes = std::fs::read(&self.path).map_err(|why| self.error(why))?;
        let memory = InMemoryBackend::new();
        memory
            .set_len(bytes.len() as u64)
            .and_then(|()| memory.write(0, &bytes))
            .map_err(|why| self.error(why))?;
        builder().create_with_backend(memory).map_err(|why| self.error(why))
    }

    fn read_meta(&self, store: &Store) -> Result<(), IndexError> {
        let Some(reader) = store.reader() else { return Ok(()) };
        let transaction = reader.map_err(|why| self.error(why))?;
        let meta = transaction.open_table(META).map_err(|why| self.error(why))?;
        let value = |key: &str| -> Result<Option<u64>, IndexError> {
            Ok(meta.get(key).map_err(|why| self.error(why))?.map(|found| found.value()))
        };
        if value("format")? != Some(FORMAT) {
            return Err(self.error("has another form"));
        }
        self.next.store(value("next")?.unwrap_or(1), Ordering::Relaxed);
        self.passes.store(value("passes")?.unwrap_or(0), Ordering::Relaxed);
        if let (Some(secs), Some(nanos)) = (value("indexed_secs")?, value("indexed_nanos")?) {
            let time = Time { secs: secs.cast_signed(), nanos: u32::try_from(nanos).unwrap_or(0) };
            *self.indexed.lock().unwrap_or_else(PoisonError::into_inner) = Some(time);
        }
        Ok(())
    }

    /// Throws the index away: everything is compared again. For when it can no longer be believed.
    ///
    /// # Errors
    /// When the file cannot be removed.
    pub fn forget_all(&self) -> Result<(), IndexError> {
        *self.store.write().unwrap_or_else(PoisonError::into_inner) = Store::default();
        *self.fresh.lock().unwrap_or_else(PoisonError::into_inner) = Fresh::default();
        *self.indexed.lock().unwrap_or_else(PoisonError::into_inner) = None;
        if !self.may_write {
            return Ok(());
        }
        match std::fs::remove_file(&self.path) {
            Err(why) if why.kind() != std::io::ErrorKind::NotFound => Err(self.error(why)),
            _ => Ok(()),
        }
    }

    /// Since when the replica's disk may lack what it was given; `None`: it lacks nothing.
    pub(crate) fn unsure(&self) -> Option<Time> {
        self.disk().unsure
    }

    /// The disk took all that was done before `then`; with `everything`, what it lacked before has been copied again.
    pub(crate) fn disk_took_all(&self, then: Time, everything: bool) {
        let mut disk = self.disk();
        disk.took_all = Some(then);
        if everything && disk.unsure.take().is_some() {
            // One that stays makes the next start copy more than it has to.
            let _ = std::fs::remove_file(self.unsure_path());
        }
    }

    /// Notes when the first pass began: before it, nothing was done here.
    pub(crate) fn begin_at(&self, now: Time) {
        self.disk().took_all.get_or_insert(now);
    }

    /// The disk did not take all: nothing that is known of what it was given since it last did holds.
    ///
    /// # Errors
    /// When the file cannot be removed.
    pub(crate) fn disk_failed(&self) -> Result<(), IndexError> {
        let mut disk = self.disk();
        let since = disk.unsure.or(disk.took_all).unwrap_or_default();
        disk.unsure = Some(since);
        drop(disk);
        if self.may_write
            && let Ok(text) = serde_json::to_vec(&since)
        {
            // The state may be on the same disk: then the memory has to do.
            let _ = std::fs::write(self.unsure_path(), text);
        }
        self.forget_all()
    }

    fn unsure_path(&self) -> PathBuf {
        self.path.with_file_name("unsure.json")
    }

    fn disk(&self) -> std::sync::MutexGuard<'_, Disk> {
        self.disk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Leaves the file as it was last committed, whatever was spilled since: for the end of the process, when the replica
    /// has not been brought to the disk. Closed in good order, the database would bring along what was spilled.
    pub(crate) fn abandon(&self) {
        let mut store = self.store.write().unwrap_or_else(PoisonError::into_inner);
        std::mem::forget(std::mem::take(&mut store.writing));
    }

    /// The row of a folder; `None` when it has none or it cannot be read.
    pub(crate) fn row(&self, id: FolderId) -> Option<Row> {
        {
            let fresh = self.fresh.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(row) = fresh.rows.get(&id).or_else(|| fresh.sealed.get(&id)) {
                return row.as_deref().and_then(|bytes| postcard::from_bytes(bytes).ok());
            }
        }
        let store = self.store.read().unwrap_or_else(PoisonError::into_inner);
        let bytes = store.rows.as_ref()?.get(id.0).ok()??;
        postcard::from_bytes(bytes.value()).ok()
    }

    /// Takes in the row of a folder.
    pub(crate) fn put(&self, id: FolderId, row: &Row) {
        if let Ok(bytes) = postcard::to_allocvec(row) {
            self.take_in(id, Some(bytes));
        }
    }

    /// Forgets a folder.
    pub(crate) fn remove(&self, id: FolderId) {
        self.take_in(id, None);
    }

    fn take_in(&self, id: FolderId, row: Option<Vec<u8>>) {
        let mut fresh = self.fresh.lock().unwrap_or_else(PoisonError::into_inner);
        fresh.uncommitted = true;
        fresh.bytes += row.as_ref().map_or(16, Vec::len);
        fresh.rows.insert(id, row);
        // A durable write takes along all that was spilled before it: not while a flush is under way.
        if fresh.bytes > SPILL && self.may_write && !fresh.is_sealed {
            // What cannot be spilled stays in memory; the commit will say what is wrong.
            if self.write(&fresh.rows, Durability::None).is_ok() {
                fresh.rows.clear();
                fresh.bytes = 0;
            }
        }
    }

    /// A number for a folder that has none yet.
    pub(crate) fn new_folder(&self) -> FolderId {
        FolderId(self.next.fetch_add(1, Ordering::Relaxed))
    }

    /// The number of the next pass. Only passes that wrote something are counted in the file.
    pub(crate) fn next_pass(&self) -> u64 {
        self.passes.fetch_add(1, Ordering::Relaxed) + 1
    }

    /// Numbers of passes begin after this one: those up to it are taken.
    pub(crate) fn begin_after(&self, pass: u64) {
        self.passes.fetch_max(pass, Ordering::Relaxed);
    }

    /// The last moment at which the index took anything in; `None` when it is empty.
    pub(crate) fn indexed(&self) -> Option<Time> {
        *self.indexed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Says that all up to `now` has been taken in.
    pub(crate) fn set_indexed(&self, now: Time) {
        *self.indexed.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
    }

    /// True when there is something to commit.
    pub(crate) fn is_uncommitted(&self) -> bool {
        self.fresh.lock().unwrap_or_else(PoisonError::into_inner).uncommitted
    }

    /// Draws the line for the next [`Index::commit`]: what is taken in from here on is not part of it.
    pub(crate) fn seal(&self) {
        let mut fresh = self.fresh.lock().unwrap_or_else(PoisonError::into_inner);
        let rows = std::mem::take(&mut fresh.rows);
        fresh.sealed.extend(rows);
        fresh.is_sealed = true;
        fresh.bytes = 0;
    }

    /// Brings what was taken in (before [`Index::seal`], if that was called) to the disk. Call it only when the replica is
    /// there already.
    ///
    /// # Errors
    /// When it cannot be written; what was taken in is kept for the next try.
    pub fn commit(&self) -> Result<(), IndexError> {
        let mut fresh = self.fresh.lock().unwrap_or_else(PoisonError::into_inner);
        if !fresh.is_sealed {
            let rows = std::mem::take(&mut fresh.rows);
            fresh.sealed.extend(rows);
        }
        fresh.is_sealed = false;
        if !fresh.uncommitted || !self.may_write {
            return Ok(());
        }
        let sealed = std::mem::take(&mut fresh.sealed);
        if let Err(error) = self.write(&sealed, Durability::Immediate) {
            fresh.sealed = sealed;
            return Err(error);
        }
        fresh.uncommitted = !fresh.rows.is_empty();
        Ok(())
    }

    fn write(
        &self,
        rows: &HashMap<FolderId, Option<Vec<u8>>>,
        durability: Durability,
    ) -> Result<(), IndexError> {
        let mut store = self.store.write().unwrap_or_else(PoisonError::into_inner);
        if store.writing.is_none() {
            *store = Store::default();
            store.writing = Some(builder().create(&self.path).map_err(|why| self.error(why))?);
        }
        let Some(database) = &store.writing else { return Ok(()) };
        self.write_rows(database, rows, durability).map_err(|why| self.error(why))?;
        store.refresh().map_err(|why| self.error(why))
    }

    fn write_rows(
        &self,
        database: &Database,
        fresh: &HashMap<FolderId, Option<Vec<u8>>>,
        durability: Durability,
    ) -> Result<(), redb::Error> {
        let mut transaction = database.begin_write()?;
        transaction.set_durability(durability)?;
        {
            let mut rows = transaction.open_table(ROWS)?;
            let mut sorted: Vec<_> = fresh.iter().collect();
            sorted.sort_unstable_by_key(|(id, _)| **id);
            for (id, row) in sorted {
                match row {
                    Some(bytes) => rows.insert(id.0, bytes.as_slice())?,
                    None => rows.remove(id.0)?,
                };
            }
            let mut meta = transaction.open_table(META)?;
            meta.insert("format", FORMAT)?;
            meta.insert("next", self.next.load(Ordering::Relaxed))?;
            meta.insert("passes", self.passes.load(Ordering::Relaxed))?;
            if let Some(time) = self.indexed() {
                meta.insert("indexed_secs", time.secs.cast_unsigned())?;
                meta.insert("indexed_nanos", u64::from(time.nanos))?;
            }
        }
        transaction.commit()?;
        Ok(())
    }

    fn error(&self, why: impl ToString) -> IndexError {
        IndexError { path: self.path.clone(), why: why.to_string() }
    }
}

impl Store {
    fn reader(&self) -> Option<Result<redb::ReadTransaction, redb::TransactionError>> {
        match (&self.writing, &self.reading) {
            (Some(database), _) => Some(database.begin_read()),
            (None, Some(database)) => Some(database.begin_read()),
            (None, None) => None,
        }
    }

    /// Lets reads see what was last written.
    fn refresh(&mut self) -> Result<(), redb::Error> {
        self.rows = None;
        if let Some(reader) = self.reader() {
            self.rows = Some(reader?.open_table(ROWS)?);
        }
        Ok(())
    }
}

fn builder() -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE);
    builder
}
