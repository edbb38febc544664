//! Small files of JSON that are replaced as a whole.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::Path;

use serde::Serialize;

/// Writes it beside and then over the old one, so that nobody reads half of it; `for_good`: it is on the disk before it takes
/// that place.
///
/// # Errors
/// When it cannot be written; the old one stays then.
pub(crate) fn replace(path: &Path, value: &impl Serialize, for_good: bool) -> io::Result<()> {
    let beside = path.with_extension("new");
    let mut text = serde_json::to_vec_pretty(value)?;
    text.push(b'\n');
    // What broke off, or was put there to lead elsewhere, is not written through.
    match fs::remove_file(&beside) {
        Err(why) if why.kind() != io::ErrorKind::NotFound => return Err(why),
        _ => {}
    }
    let mut file = File::create_new(&beside)?;
    file.write_all(&text)?;
    if for_good {
        file.sync_all()?;
    }
    fs::rename(&beside, path)
}
