//! The index: for each folder one row that says how both sides looked when they were last proven equal.
//!
//! It takes in outcomes only, and reaches the disk only after the replica has ([`Index::commit`]), so it can be behind
//! the replica, which costs a look, but never ahead of it, which would be silent loss. It is never the only copy of
//! anything: a missing, damaged or foreign file counts as an empty index, and everything is compared again.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use alike_model::entry::Time;
use alike_model::known::{FolderId, Row};
use alike_model::path::Name;
use redb::{Database, Durability, TableDefinition};

use crate::damage::{bytes_at_rest, guarded};
use crate::database::{ROWS, Shown, Snapshot, Store, builder, in_memory};
use crate::disk::Disk;
use crate::fresh::{Fresh, Rows};
use crate::learnt::Learnt;
use crate::rows;

const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
/// Raised when rows change their form; an index of another form counts as empty.
const FORMAT: u64 = 4;
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
    /// Held while it is written. Who holds `fresh` may try for it, but not wait.
    store: Mutex<Store>,
    shown: Shown,
    fresh: Mutex<Fresh>,
    /// Held while a row is changed.
    edits: Mutex<()>,
    next: AtomicU64,
    passes: AtomicU64,
    indexed: Mutex<Option<Time>>,
    /// Whether the replica's disk took all that it was given.
    pub(crate) disk: Disk,
}

impl Index {
    /// Opens the index in `folder`. With `may_write` false nothing is written there, ever.
    ///
    /// # Errors
    /// When the file cannot be read; not when it is missing or damaged.
    pub fn open(folder: &Path, may_write: bool) -> Result<Self, IndexError> {
        let index = Self::closed(folder, may_write);
        if index.path.exists() && index.load().is_err() {
            index.forget_all()?;
        }
        Ok(index)
    }

    fn closed(folder: &Path, may_write: bool) -> Self {
        Self {
            path: folder.join("index.redb"),
            may_write,
            store: Mutex::default(),
            shown: Shown::default(),
            fresh: Mutex::default(),
            edits: Mutex::default(),
            next: AtomicU64::new(1),
            passes: AtomicU64::new(0),
            indexed: Mutex::new(None),
            disk: Disk::open(folder, may_write),
        }
    }

    /// A copy in memory of what the index in `folder` says now, for who looks on while another is at work with it. What
    /// cannot be had counts as empty.
    #[must_use]
    pub(crate) fn copy_of(folder: &Path) -> Self {
        let index = Self::closed(folder, false);
        if let Some(bytes) = bytes_at_rest(&index.path)
            && let Ok(copy) = guarded(|| in_memory(&bytes))
        {
            let store = Store { writing: Some(copy), ..Store::default() };
            if let Ok(rows) = guarded(|| store.rows().and_then(|rows| index.read_meta(&store).map(|()| rows)))
            {
                index.shown.show(rows);
                *index.store() = store;
            }
        }
        Learnt::read(folder).put_into(&index);
        index
    }

    /// Where what concerns it may be kept beside it; `None` when nothing may be written.
    pub(crate) fn folder(&self) -> Option<&Path> {
        self.path.parent().filter(|_| self.may_write)
    }

    /// Takes in what checks have learnt since.
    pub fn take_in_learnt(&self) {
        if let Some(folder) = self.folder() {
            Learnt::take(folder).put_into(self);
        }
    }

    fn load(&self) -> Result<(), IndexError> {
        let mut store = Store::default();
        match guarded(|| self.load_into(&mut store)) {
            Ok(rows) => {
                *self.store() = store;
                self.shown.show(rows);
            }
            Err(why) => {
                std::mem::forget(store);
                return Err(self.error(why));
            }
        }
        Ok(())
    }

    fn load_into(&self, store: &mut Store) -> Result<Snapshot, redb::Error> {
        match guarded(|| Ok(builder().open_read_only(&self.path)?)) {
            Ok(database) => store.reading = Some(database),
            // Not closed in good order: opening for writing repairs it. A rehearsal does that to a copy in memory.
            Err(_) if self.may_write => store.writing = Some(builder().open(&self.path)?),
            Err(_) => store.writing = Some(in_memory(&std::fs::read(&self.path)?)?),
        }
        let rows = store.rows()?;
        self.read_meta(store)?;
        Ok(rows)
    }

    fn read_meta(&self, store: &Store) -> Result<(), redb::Error> {
        let Some(reader) = store.reader() else { return Ok(()) };
        let transaction = reader?;
        let meta = transaction.open_table(META)?;
        let value =
            |key: &str| -> Result<Option<u64>, redb::Error> { Ok(meta.get(key)?.map(|found| found.value())) };
        if value("format")? != Some(FORMAT) {
            return Err(redb::Error::Corrupted("has another form".to_owned()));
        }
        let [next, passes, secs, nanos] =
            [value("next")?, value("passes")?, value("indexed_secs")?, value("indexed_nanos")?];
        if value("checksum")? != Some(rows::checksum_of(&[next, passes, secs, nanos])) {
            return Err(redb::Error::Corrupted("is damaged".to_owned()));
        }
        self.next.store(next.unwrap_or(1), Ordering::Relaxed);
        self.passes.store(passes.unwrap_or(0), Ordering::Relaxed);
        if let (Some(secs), Some(nanos)) = (secs, nanos) {
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
        let mut store = self.store();
        self.shown.show(None);
        store.close();
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

    /// Leaves the file as it was last committed, whatever was spilled since: for the end of the process, when the replica
    /// has not been brought to the disk. Closed in good order, the database would bring along what was spilled.
    pub(crate) fn abandon(&self) {
        std::mem::forget(std::mem::take(&mut self.store().writing));
    }

    /// The row of a folder; `None` when it has none or it is not as it was written.
    pub(crate) fn row(&self, id: FolderId) -> Option<Row> {
        self.read(id, rows::from_bytes)
    }

    /// True for a folder that has a row, which takes much less than to read it.
    pub(crate) fn has_row(&self, id: FolderId) -> bool {
        self.read(id, rows::is_there).is_some()
    }

    /// Only the folders in the row of a folder, which takes less than all of it.
    pub(crate) fn folders(&self, id: FolderId) -> Vec<(Name, FolderId)> {
        self.read(id, rows::folders_from_bytes).unwrap_or_default()
    }

    fn read<T>(&self, id: FolderId, parse: fn(FolderId, &[u8]) -> Option<T>) -> Option<T> {
        {
            let fresh = self.fresh.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(row) = fresh.row(id) {
                return row.and_then(|bytes| parse(id, bytes));
            }
        }
        self.shown.row(id.0, |bytes| parse(id, bytes)).ok()?
    }

    fn put(&self, id: FolderId, row: &Row) {
        if let Some(bytes) = rows::to_bytes(id, row) {
            self.take_in(id, Some(bytes));
        }
    }

    /// Changes the row of a folder; of two passes that do, none undoes what the other has learnt.
    pub(crate) fn edit(&self, id: FolderId, edit: impl FnOnce(Row) -> Row) {
        let _one = self.edits.lock().unwrap_or_else(PoisonError::into_inner);
        self.put(id, &edit(self.row(id).unwrap_or_default()));
    }

    /// Forgets a folder.
    pub(crate) fn remove(&self, id: FolderId) {
        self.take_in(id, None);
    }

    fn take_in(&self, id: FolderId, row: Option<Vec<u8>>) {
        let mut fresh = self.fresh.lock().unwrap_or_else(PoisonError::into_inner);
        fresh.take_in(id, row);
        // A durable write takes along all that was spilled before it: not while a flush is under way.
        if fresh.bytes() > SPILL
            && self.may_write
            && !fresh.is_sealed()
            && let Ok(mut store) = self.store.try_lock()
        {
            // What cannot be spilled stays in memory; the commit will say what is wrong.
            if self.write(&mut store, fresh.unsealed(), Durability::None).is_ok() {
                fresh.spilled();
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

    /// True when it has seen a pass: else only the history knows what numbers are taken.
    pub(crate) fn knows_of_passes(&self) -> bool {
        self.passes.load(Ordering::Relaxed) > 0
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
        self.fresh.lock().unwrap_or_else(PoisonError::into_inner).is_uncommitted()
    }

    /// Draws the line for the next [`Index::commit`]: what is taken in from here on is not part of it.
    pub(crate) fn seal(&self) {
        self.fresh.lock().unwrap_or_else(PoisonError::into_inner).seal();
    }

    /// Brings what was taken in (before [`Index::seal`], if that was called) to the disk. Call it only when the replica is
    /// there already.
    ///
    /// # Errors
    /// When it cannot be written; what was taken in is kept for the next try.
    pub fn commit(&self) -> Result<(), IndexError> {
        let mut store = self.store();
        let sealed = {
            let mut fresh = self.fresh.lock().unwrap_or_else(PoisonError::into_inner);
            let sealed = fresh.begin_flush();
            if !fresh.is_uncommitted() || !self.may_write {
                fresh.end_flush(false);
                return Ok(());
            }
            sealed
        };
        // Rows are looked up and taken in meanwhile: what is sealed can be seen until the database has it.
        let written = self.write(&mut store, &sealed, Durability::Immediate);
        self.fresh.lock().unwrap_or_else(PoisonError::into_inner).end_flush(written.is_ok());
        written
    }

    fn write(&self, store: &mut Store, rows: &Rows, durability: Durability) -> Result<(), IndexError> {
        let mut written = guarded(|| self.write_to(store, rows, durability));
        if let Err(redb::Error::Corrupted(_)) = written {
            // Damaged where nobody had to read yet. A new one has these rows alone; the others are compared again.
            self.shown.abandon();
            std::mem::forget(std::mem::take(store));
            std::fs::remove_file(&self.path).map_err(|why| self.error(why))?;
            written = guarded(|| self.write_to(store, rows, durability));
        }
        written.map_err(|why| self.error(why))
    }

    fn write_to(&self, store: &mut Store, rows: &Rows, durability: Durability) -> Result<(), redb::Error> {
        if store.writing.is_none() {
            self.shown.reopen(|| {
                *store = Store::default();
                store.writing = Some(builder().create(&self.path)?);
                // One that was made just now has none.
                Ok(store.rows().unwrap_or_default())
            })?;
        }
        let Some(database) = &store.writing else { return Ok(()) };
        self.write_rows(database, rows, durability)?;
        self.shown.show(store.rows()?);
        Ok(())
    }

    fn store(&self) -> MutexGuard<'_, Store> {
        self.store.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write_rows(
        &self,
        database: &Database,
        fresh: &Rows,
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
            let (next, passes) = (self.next.load(Ordering::Relaxed), self.passes.load(Ordering::Relaxed));
            let indexed = self.indexed();
            let secs = indexed.map(|time| time.secs.cast_unsigned());
            let nanos = indexed.map(|time| u64::from(time.nanos));
            let numbers = [
                ("next", Some(next)),
                ("passes", Some(passes)),
                ("indexed_secs", secs),
                ("indexed_nanos", nanos),
            ];
            for (key, number) in numbers {
                if let Some(number) = number {
                    meta.insert(key, number)?;
                } else {
                    meta.remove(key)?;
                }
            }
            meta.insert("checksum", rows::checksum_of(&numbers.map(|(_, number)| number)))?;
        }
        transaction.commit()?;
        Ok(())
    }

    fn error(&self, why: impl ToString) -> IndexError {
        IndexError { path: self.path.clone(), why: why.to_string() }
    }
}

impl Drop for Index {
    fn drop(&mut self) {
        self.shown.show(None);
        self.store.get_mut().unwrap_or_else(PoisonError::into_inner).close();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    #[test]
    fn rows_are_looked_up_and_taken_in_while_the_index_is_being_written() {
        let folder = std::env::temp_dir().join(format!("alike-index-{}", std::process::id()));
        std::fs::create_dir(&folder).unwrap();
        let index = Index::open(&folder, true).unwrap();
        let (old, new) = (index.new_folder(), index.new_folder());
        index.put(old, &Row::default());
        index.commit().unwrap();
        index.put(new, &Row::default());
        index.seal();
        // As long as the disk takes to take it.
        let writing = index.store();
        let (tell, told) = mpsc::channel();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let found = [old, new].map(|id| index.row(id).is_some());
                index.edit(old, |row| row);
                tell.send(found)
            });
            assert_eq!(told.recv_timeout(Duration::from_secs(10)), Ok([true, true]));
            drop(writing);
        });
        index.commit().unwrap();
        assert!(
            index.row(new).is_some() && index.is_uncommitted(),
            "what came after the seal is for the next"
        );
        std::fs::remove_dir_all(folder).unwrap();
    }
}
