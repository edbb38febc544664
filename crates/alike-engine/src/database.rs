//! The file of the index: a redb database, open for reading or for writing, or not at all.

use std::sync::{PoisonError, RwLock, RwLockWriteGuard};

use redb::{
    Builder, Database, ReadOnlyDatabase, ReadOnlyTable, ReadableDatabase, StorageBackend, TableDefinition,
    backends::InMemoryBackend,
};

use crate::damage::guarded;

pub(crate) const ROWS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("rows");
/// redb's own cache; what it does not hold the page cache does.
const CACHE: usize = 1024 * 1024;

/// The rows as they were at one moment.
pub(crate) type Snapshot = Option<ReadOnlyTable<u64, &'static [u8]>>;

/// The rows as they were last written: who looks one up does not wait for who writes, which takes as long as a disk takes.
#[derive(Default)]
pub(crate) struct Shown(RwLock<Snapshot>);

/// The database behind, as far as it is open.
#[derive(Default)]
pub(crate) struct Store {
    pub(crate) reading: Option<ReadOnlyDatabase>,
    pub(crate) writing: Option<Database>,
}

impl Shown {
    /// Shows these from now on.
    pub(crate) fn show(&self, rows: Snapshot) {
        let before = std::mem::replace(&mut *self.write(), rows);
        // Closing reads, and so may meet damage.
        let _ = guarded(|| {
            drop(before);
            Ok(())
        });
    }

    /// Shows nothing while the database is opened anew, and lets nobody look: all rows would seem to be gone.
    pub(crate) fn reopen(
        &self,
        open: impl FnOnce() -> Result<Snapshot, redb::Error>,
    ) -> Result<(), redb::Error> {
        let mut shown = self.write();
        *shown = None;
        *shown = open()?;
        Ok(())
    }

    /// Shows nothing any more, and leaves what was shown as it is, for closing it may panic.
    pub(crate) fn abandon(&self) {
        std::mem::forget(self.write().take());
    }

    /// The bytes of a row, as they are read by `read`.
    pub(crate) fn row<T>(
        &self,
        number: u64,
        read: impl FnOnce(&[u8]) -> Option<T>,
    ) -> Result<Option<T>, redb::Error> {
        let shown = self.0.read().unwrap_or_else(PoisonError::into_inner);
        guarded(|| {
            let found = shown.as_ref().map(|rows| rows.get(number)).transpose()?.flatten();
            Ok(found.and_then(|bytes| read(bytes.value())))
        })
    }

    fn write(&self) -> RwLockWriteGuard<'_, Snapshot> {
        self.0.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Store {
    /// Closing reads and writes, and so may meet damage; then the next start finds it.
    pub(crate) fn close(&mut self) {
        let store = std::mem::take(self);
        let _ = guarded(|| {
            drop(store);
            Ok(())
        });
    }

    pub(crate) fn reader(&self) -> Option<Result<redb::ReadTransaction, redb::TransactionError>> {
        match (&self.writing, &self.reading) {
            (Some(database), _) => Some(database.begin_read()),
            (None, Some(database)) => Some(database.begin_read()),
            (None, None) => None,
        }
    }

    /// The rows as they are now.
    pub(crate) fn rows(&self) -> Result<Snapshot, redb::Error> {
        self.reader().map(|reader| Ok(reader?.open_table(ROWS)?)).transpose()
    }
}

pub(crate) fn in_memory(bytes: &[u8]) -> Result<Database, redb::Error> {
    let memory = InMemoryBackend::new();
    memory.set_len(bytes.len() as u64)?;
    memory.write(0, bytes)?;
    Ok(builder().create_with_backend(memory)?)
}

pub(crate) fn builder() -> Builder {
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE);
    builder
}
