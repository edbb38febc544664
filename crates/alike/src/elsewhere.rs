//! Source and replica as people write them.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use clap::builder::{OsStringValueParser, TypedValueParser};

/// Reads a folder from the command line.
pub(crate) fn folder() -> impl TypedValueParser<Value = PathBuf> {
    OsStringValueParser::new().try_map(|written: OsString| match elsewhere(&written, Path::new("")) {
        Some(why) => Err(why),
        None if written.is_empty() => Err("is empty; name a folder".to_owned()),
        None => Ok(PathBuf::from(written)),
    })
}

/// Why this names no folder of this machine: rsync and scp, which people come from, would look for it on another, and a
/// folder `user@nas:` made here would pass for a copy that is there. `below` is where a relative path begins.
pub(crate) fn elsewhere(written: &OsStr, below: &Path) -> Option<String> {
    let bytes = written.as_encoded_bytes();
    let colon = bytes.iter().position(|byte| *byte == b':').filter(|at| *at > 0)?;
    if bytes[..colon].contains(&b'/') || below.join(written).symlink_metadata().is_ok() {
        return None;
    }
    let own = if bytes[colon..].starts_with(b"://") { "" } else { "; a folder of that name here is ./NAME" };
    Some(format!("is a place on another machine: mount it, and name the folder that it is mounted on{own}"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn is_elsewhere(written: &str) -> bool {
        elsewhere(OsStr::new(written), Path::new("/nonexistent")).is_some()
    }

    #[test]
    fn what_rsync_would_look_for_on_another_machine_is_no_folder_of_this_one() {
        for written in
            ["nas:", "ada@nas:/backup", "nas:backup", "nas::module", "smb://nas/share", "sftp://nas"]
        {
            assert!(is_elsewhere(written), "{written}");
        }
        for written in ["./nas:backup", "/mnt/a:b", "folder/a:b", ":a", "plain", "~/a:b"] {
            assert!(!is_elsewhere(written), "{written}");
        }
    }

    #[test]
    fn a_folder_that_is_there_is_one_of_here_whatever_it_is_called() {
        let room = tempfile::tempdir().unwrap();
        std::fs::create_dir(room.path().join("12:30")).unwrap();
        assert_eq!(elsewhere(OsStr::new("12:30"), room.path()), None);
        assert!(elsewhere(OsStr::new("12:31"), room.path()).is_some());
    }
}
