//! Paths as they are written in a file: `~` and variables, and where one that is relative begins.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

/// Why a path cannot be read, and the part of it that is to blame.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Unreadable {
    pub(crate) part: String,
    pub(crate) why: String,
}

fn unreadable<T>(part: &str, why: impl Into<String>) -> Result<T, Unreadable> {
    Err(Unreadable { part: part.to_owned(), why: why.into() })
}

/// The absolute path that this means in a file of `folder`.
pub(crate) fn read(written: &str, folder: &Path) -> Result<PathBuf, Unreadable> {
    let expanded = expand(written, |name| std::env::var_os(name))?;
    // Without `.` and slashes that say nothing; what `..` leads to only the disk knows.
    Ok(folder.join(expanded).components().collect())
}

/// A variable that is empty is no better than one that is not set: `$DISK/photos` would be a folder of another disk.
fn expand(written: &str, variable: impl Fn(&str) -> Option<OsString>) -> Result<PathBuf, Unreadable> {
    if written.is_empty() {
        return unreadable("", "is empty");
    }
    if written.contains('\0') {
        return unreadable("", "has a NUL in it");
    }
    let value = |part: &str, name: &str| match variable(name) {
        Some(value) if !value.is_empty() => Ok(value),
        Some(_) => unreadable(part, format!("the variable {name} is empty")),
        None => unreadable(part, format!("the variable {name} is not set")),
    };
    let mut whole = OsString::new();
    let mut rest = written;
    if let Some(after) = written.strip_prefix('~') {
        if !after.is_empty() && !after.starts_with('/') {
            return unreadable(
                written,
                "only ~ alone is read, your own home folder; write another's in full",
            );
        }
        whole.push(value("~", "HOME")?);
        rest = after;
    }
    while let Some((before, after)) = rest.split_once('$') {
        whole.push(before);
        if let Some(after) = after.strip_prefix('$') {
            whole.push("$");
            rest = after;
            continue;
        }
        let (part, name, after) = name_of_variable(after)?;
        whole.push(value(&part, name)?);
        rest = after;
    }
    whole.push(rest);
    Ok(whole.into())
}

/// From what stands after a `$`: the variable as it is written, its name, and what follows.
fn name_of_variable(after: &str) -> Result<(String, &str, &str), Unreadable> {
    let is_in_name = |ch: char| ch.is_ascii_alphanumeric() || ch == '_';
    if let Some(inner) = after.strip_prefix('{') {
        let Some((name, after)) = inner.split_once('}') else {
            return unreadable("${", "} is missing");
        };
        if name.is_empty() || !name.chars().all(is_in_name) {
            return unreadable(
                &format!("${{{name}}}"),
                "is no name of a variable; for the character write $$",
            );
        }
        return Ok((format!("${{{name}}}"), name, after));
    }
    let end = after.find(|ch| !is_in_name(ch)).unwrap_or(after.len());
    if end == 0 {
        return unreadable("$", "no variable is named; for the character write $$");
    }
    let (name, after) = after.split_at(end);
    Ok((format!("${name}"), name, after))
}

/// A path as it is written in a file so that it is read as itself.
pub(crate) fn written(path: &OsStr) -> Option<String> {
    Some(path.to_str()?.replace('$', "$$"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn expanded(written: &str) -> Result<String, Unreadable> {
        let variable = |name: &str| match name {
            "HOME" => Some("/home/ada".into()),
            "DISK" => Some("usb".into()),
            "EMPTY" => Some("".into()),
            _ => None,
        };
        expand(written, variable).map(|path| path.to_str().unwrap_or_default().to_owned())
    }

    #[test]
    fn home_and_variables_are_read_and_a_dollar_can_be_written() {
        for (written, read) in [
            ("~", "/home/ada"),
            ("~/Documents", "/home/ada/Documents"),
            ("/mnt/$DISK/a", "/mnt/usb/a"),
            ("/mnt/${DISK}a~", "/mnt/usba~"),
            ("/a/$$DISK", "/a/$DISK"),
            ("rel/ative", "rel/ative"),
        ] {
            assert_eq!(expanded(written), Ok(read.to_owned()), "{written}");
        }
    }

    #[test]
    fn what_is_not_set_or_empty_is_no_path() {
        for written in
            ["$NONE/a", "${NONE}", "/a/$EMPTY/b", "~other/x", "$", "/a/$/b", "${", "${a b}", "", "\0"]
        {
            assert!(expanded(written).is_err(), "{written}");
        }
    }
}
