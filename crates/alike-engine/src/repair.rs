//! Mends what a check found: a pass, after the index has been told what it must not believe any more.

use std::collections::BTreeMap;

use alike_model::difference::{Change, Side, What};
use alike_model::dirty::Dirty;
use alike_model::known::{FolderId, Known};
use alike_model::outcome::Outcome;
use alike_model::path::Name;
use alike_model::reason::Reason;
use alike_storage::{Replica, Source};

use crate::check::Found;
use crate::error::PassError;
use crate::pass::{Work, pass};

/// Makes the replica identical again. What rotted in the source is not copied, nor, unless `trust_source`, what rotted on a
/// side that cannot be told.
///
/// # Errors
/// Those of a pass.
pub fn repair<S: Source, R: Replica>(
    work: &Work<'_, S, R>,
    found: &[Found],
    trust_source: bool,
) -> Result<Outcome, PassError> {
    let mut distrusted: BTreeMap<FolderId, Vec<&Name>> = BTreeMap::new();
    for Found { difference, at } in found {
        let goes = match difference.change {
            Change::Rot(Side::Replica) => true,
            Change::Rot(Side::Unknown) => trust_source,
            // Attributes of an entry that was not touched: the pass compares them anyway, but for the extended ones.
            _ => matches!(difference.what, What::Other(Reason::Attrs(_) | Reason::Target)),
        };
        if let (true, Some((folder, name))) = (goes, at) {
            distrusted.entry(*folder).or_default().push(name);
        }
    }
    for (folder, names) in distrusted {
        let Some(row) = work.index.row(folder) else { continue };
        let edits: Vec<(Name, Option<Known>)> = names
            .into_iter()
            .filter_map(|name| row.get(name).map(|known| (name.clone(), Some(known.distrusted()))))
            .collect();
        work.index.edit(folder, |row| row.edited(edits));
    }
    pass(work, Dirty::everything())
}
