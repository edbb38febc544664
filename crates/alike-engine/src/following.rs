//! The history as it grows: what was written since the last look.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::sync::Arc;

use crate::chronicle::Written;
use crate::journal;
use crate::parts::Piece;
use crate::trash::Trash;

/// As many buckets may still grow, whatever the clock did.
const LOOKED_AT: usize = 16;
/// What takes something away is written down before it is done. It is shown when it is done, or after so many looks.
const PATIENCE: u32 = 4;

/// Where the history ended.
pub struct End {
    read: HashMap<String, u64>,
    /// Not known to be done, and seen so often.
    waiting: Vec<(Written, u32)>,
}

impl End {
    /// Where it ends now.
    ///
    /// # Errors
    /// When it cannot be listed.
    pub fn of(trash: &Trash) -> io::Result<Self> {
        let mut read = HashMap::new();
        for bucket in trash.buckets()? {
            let length = trash.journal_length(&bucket)?;
            read.insert(bucket, length);
        }
        Ok(Self { read, waiting: Vec::new() })
    }

    /// What was written since, in order.
    ///
    /// # Errors
    /// When a journal cannot be read.
    pub fn go_on(&mut self, trash: &Trash) -> io::Result<Vec<Written>> {
        let mut come = Vec::new();
        let buckets = trash.buckets()?;
        self.read.retain(|bucket, _| buckets.binary_search(bucket).is_ok());
        let newest = buckets.len().saturating_sub(LOOKED_AT);
        for (at, bucket) in buckets.iter().enumerate() {
            let from = self.read.get(bucket).copied();
            if at < newest && from.is_some() {
                continue;
            }
            let from = from.unwrap_or(0);
            let taken = match trash.journal_length(bucket)? {
                length if length > from => self.read_on(trash, (bucket, from), &mut come)?,
                _ => 0,
            };
            self.read.insert(bucket.clone(), from + taken);
        }
        self.waiting.iter_mut().for_each(|(_, looks)| *looks += 1);
        let is_over = |(written, looks): &(Written, u32)| written.deed.told || *looks >= PATIENCE;
        let (over, waiting) = std::mem::take(&mut self.waiting).into_iter().partition(is_over);
        self.waiting = waiting;
        // What was only told of now was done before what came with it.
        Ok(over.into_iter().map(|(written, _)| written).chain(come).collect())
    }

    /// Reads whole frames. Returns how many bytes these are.
    fn read_on(
        &mut self,
        trash: &Trash,
        (bucket, from): (&str, u64),
        come: &mut Vec<Written>,
    ) -> io::Result<u64> {
        let mut bytes = Vec::new();
        match File::open(trash.journal_path(bucket)) {
            // It was dropped meanwhile.
            Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(0),
            journal => {
                let mut journal = journal?;
                journal.seek(SeekFrom::Start(from))?;
                journal.read_to_end(&mut bytes)?;
            }
        }
        let mut piece = Piece::new(&|_| true);
        let mut taken = 0;
        for (at, frame) in journal::frames(&bytes) {
            piece.read(frame);
            taken = journal::end(at, frame);
        }
        let name: Arc<str> = bucket.into();
        for (n, mark) in piece.strays {
            let is_it = |(written, _): &(Written, u32)| written.deed.n == n && *written.bucket == *bucket;
            if let Some(at) = self.waiting.iter().position(is_it)
                && !mark.put_on(&mut self.waiting[at].0.deed)
            {
                self.waiting.remove(at);
            }
        }
        for deed in piece.deeds.into_iter().flatten() {
            let written = Written { bucket: Arc::clone(&name), deed };
            match written.deed.kept && !written.deed.told {
                true => self.waiting.push((written, 0)),
                false => come.push(written),
            }
        }
        Ok(taken as u64)
    }
}
