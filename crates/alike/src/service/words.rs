//! Words as systemd reads them in a unit file: paths, arguments, and names of mount units.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Why something cannot be written into a unit file.
pub(super) type Unwritable = String;

/// A path in a list of paths, with `prefix` before it.
pub(super) fn listed(prefix: &str, path: &Path) -> Result<String, Unwritable> {
    Ok(quoted(&format!("{prefix}{}", plain(path)?)))
}

/// An argument of a command.
pub(super) fn argument(path: &Path) -> Result<String, Unwritable> {
    Ok(quoted(&plain(path)?.replace('$', "$$")))
}

/// A variable of the environment with its value.
pub(super) fn variable(name: &str, value: &Path) -> Result<String, Unwritable> {
    Ok(quoted(&format!("{name}={}", plain(value)?)))
}

/// The name of a path's mount unit, as `systemd-escape --path --suffix=mount` has it.
pub(super) fn mount_unit(path: &Path) -> String {
    let names: Vec<&[u8]> =
        path.as_os_str().as_bytes().split(|byte| *byte == b'/').filter(|name| !name.is_empty()).collect();
    let mut unit = String::new();
    for (number, byte) in names.join(&b'/').into_iter().enumerate() {
        match byte {
            b'/' => unit.push('-'),
            b'.' if number == 0 => unit.push_str("\\x2e"),
            b'_' | b'.' | b':' => unit.push(char::from(byte)),
            byte if byte.is_ascii_alphanumeric() => unit.push(char::from(byte)),
            byte => unit.push_str(&format!("\\x{byte:02x}")),
        }
    }
    format!("{}.mount", if unit.is_empty() { "-" } else { &unit })
}

fn quoted(text: &str) -> String {
    let text = text.replace('%', "%%");
    if text.bytes().all(is_plain) {
        return text;
    }
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

fn is_plain(byte: u8) -> bool {
    !matches!(byte, b' ' | b'"' | b'\'' | b'\\' | b';')
}

fn plain(path: &Path) -> Result<&str, Unwritable> {
    let text = path.to_str().filter(|text| !text.chars().any(char::is_control));
    text.ok_or_else(|| {
        format!("{} has characters in its name that a unit file cannot have", crate::doctor::shown(path))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_unit_is_called_as_systemd_escape_calls_it() {
        for (path, unit) in [
            ("/", "-.mount"),
            ("/mnt/usb", "mnt-usb.mount"),
            ("/mnt//my disk-2/", "mnt-my\\x20disk\\x2d2.mount"),
            ("/.hidden/.a_b:c", "\\x2ehidden-.a_b:c.mount"),
            ("/ä", "\\xc3\\xa4.mount"),
        ] {
            assert_eq!(mount_unit(Path::new(path)), unit);
        }
    }

    #[test]
    fn a_path_with_odd_characters_is_one_word_and_steers_nothing() {
        let path = |text: &'static str| Path::new(text);
        assert_eq!(listed("-", path("/mnt/usb")).as_deref(), Ok("-/mnt/usb"));
        assert_eq!(listed("-", path("/a b/100%")).as_deref(), Ok("\"-/a b/100%%\""));
        assert_eq!(listed("-", path("/a\"b\\")).as_deref(), Ok("\"-/a\\\"b\\\\\""));
        assert_eq!(argument(path("/a b/$HOME\\\"%i")).as_deref(), Ok("\"/a b/$$HOME\\\\\\\"%%i\""));
        assert_eq!(variable("HOME", path("/root")).as_deref(), Ok("HOME=/root"));
        assert!(listed("", path("/a\nExecStartPre=/bin/sh")).is_err());
        assert!(argument(path("/a\tb")).is_err());
    }
}
