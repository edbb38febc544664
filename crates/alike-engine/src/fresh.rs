//! Rows that are not in the database yet.

use std::collections::HashMap;
use std::sync::Arc;

use alike_model::known::FolderId;

/// Rows as bytes; `None`: to be removed.
pub(crate) type Rows = HashMap<FolderId, Option<Vec<u8>>>;

/// What was taken in since the last flush, and before the one that is under way.
#[derive(Default)]
pub(crate) struct Fresh {
    rows: Rows,
    /// Rows taken in before the flush that is under way: they are what it commits.
    sealed: Arc<Rows>,
    is_sealed: bool,
    bytes: usize,
    /// Something, spilled or not, is not on the disk yet.
    uncommitted: bool,
}

impl Fresh {
    /// A row that was taken in; the database knows of the others.
    pub(crate) fn row(&self, id: FolderId) -> Option<Option<&[u8]>> {
        self.rows.get(&id).or_else(|| self.sealed.get(&id)).map(Option::as_deref)
    }

    pub(crate) fn take_in(&mut self, id: FolderId, row: Option<Vec<u8>>) {
        self.uncommitted = true;
        self.bytes += row.as_ref().map_or(16, Vec::len);
        self.rows.insert(id, row);
    }

    /// How much was taken in since the line was drawn.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// What was taken in since the line was drawn.
    pub(crate) fn unsealed(&self) -> &Rows {
        &self.rows
    }

    /// The database has these.
    pub(crate) fn spilled(&mut self) {
        self.rows.clear();
        self.bytes = 0;
    }

    /// True from [`Fresh::seal`] to the end of the flush.
    pub(crate) fn is_sealed(&self) -> bool {
        self.is_sealed
    }

    pub(crate) fn is_uncommitted(&self) -> bool {
        self.uncommitted
    }

    /// Draws the line.
    pub(crate) fn seal(&mut self) {
        let rows = std::mem::take(&mut self.rows);
        Arc::make_mut(&mut self.sealed).extend(rows);
        self.is_sealed = true;
        self.bytes = 0;
    }

    /// What is to be committed, which can be seen here until that is done. Draws the line if it was not drawn.
    pub(crate) fn begin_flush(&mut self) -> Arc<Rows> {
        if !self.is_sealed {
            self.seal();
        }
        Arc::clone(&self.sealed)
    }

    /// What was sealed is on the disk, or else stays for the next try.
    pub(crate) fn end_flush(&mut self, committed: bool) {
        self.is_sealed = false;
        if committed {
            self.sealed = Arc::default();
            self.uncommitted = !self.rows.is_empty();
        }
    }
}
