//! Names and paths inside a tree: bytes as the filesystem has them, and a way to show them safely.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The name of alike's own folder at the top of a replica; never mirrored from a source.
pub const OWN_FOLDER: &[u8] = b".alike";

/// One component of a path: any bytes but `/` and NUL, and neither empty, `.` nor `..`.
///
/// Ordered by bytes, which is the order in which folders are compared.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Name(Box<[u8]>);

impl Name {
    /// Takes a component; `None` when it could not be one (empty, `.`, `..`, with `/` or NUL).
    #[must_use]
    pub fn new(bytes: &[u8]) -> Option<Self> {
        let fits = !bytes.is_empty()
            && bytes != b"."
            && bytes != b".."
            && !bytes.iter().any(|byte| matches!(byte, b'/' | 0));
        fits.then(|| Self(bytes.into()))
    }

    /// The bytes of the name.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", Escaped(&self.0))
    }
}

/// A path below a root, components joined by `/`; the root itself is the empty path.
///
/// May be longer than `PATH_MAX`: it is for people and for matching, never handed to the kernel whole. Ordered so that
/// what lies below a folder comes right after it.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct RelPath(Vec<u8>);

impl Ord for RelPath {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        // With the slash lowest of all bytes, `a/b` comes before `a-b`.
        let differs = self.0.iter().zip(&other.0).position(|(one, other)| one != other);
        match differs {
            None => self.0.len().cmp(&other.0.len()),
            Some(at) => {
                let rank = |path: &Self| if path.0[at] == b'/' { 0 } else { path.0[at] };
                rank(self).cmp(&rank(other))
            }
        }
    }
}

impl PartialOrd for RelPath {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl RelPath {
    /// The root.
    #[must_use]
    pub fn root() -> Self {
        Self::default()
    }

    /// Reads a `/`-joined path, leaving out empty and `.` components; `None` when one is `..` or has a NUL.
    #[must_use]
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let mut path = Self::root();
        for part in bytes.split(|byte| *byte == b'/') {
            if part.is_empty() || part == b"." {
                continue;
            }
            path.push(&Name::new(part)?);
        }
        Some(path)
    }

    /// The bytes, without a leading `/`.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// True for the root.
    #[must_use]
    pub fn is_root(&self) -> bool {
        self.0.is_empty()
    }

    /// Appends a component.
    pub fn push(&mut self, name: &Name) {
        if !self.0.is_empty() {
            self.0.push(b'/');
        }
        self.0.extend_from_slice(name.as_bytes());
    }

    /// This path with one more component.
    #[must_use]
    pub fn join(&self, name: &Name) -> Self {
        let mut path = Self(Vec::with_capacity(self.0.len() + name.as_bytes().len() + 1));
        path.0.extend_from_slice(&self.0);
        path.push(name);
        path
    }

    /// This path with more components.
    #[must_use]
    pub fn joined(mut self, names: &[Name]) -> Self {
        names.iter().for_each(|name| self.push(name));
        self
    }

    /// The folder that holds this path, and the name in it; `None` for the root.
    #[must_use]
    pub fn split(&self) -> Option<(Self, Name)> {
        let cut = self.0.iter().rposition(|byte| *byte == b'/');
        let (parent, name) = match cut {
            Some(at) => (&self.0[..at], &self.0[at + 1..]),
            None => (&self.0[..0], &self.0[..]),
        };
        Name::new(name).map(|name| (Self(parent.to_vec()), name))
    }

    /// The components, top first.
    pub fn names(&self) -> impl Iterator<Item = Name> + '_ {
        self.0.split(|byte| *byte == b'/').filter_map(Name::new)
    }

    /// True when `self` is `other` or lies below it.
    #[must_use]
    pub fn is_within(&self, other: &Self) -> bool {
        other.is_root()
            || self == other
            || (self.0.starts_with(&other.0) && self.0.get(other.0.len()) == Some(&b'/'))
    }
}

impl fmt::Display for RelPath {
    /// Shown escaped; the root is `.`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_root() { f.write_str(".") } else { Escaped(&self.0).fmt(f) }
    }
}

impl fmt::Debug for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

/// Shows bytes of a name so that they can neither forge a line nor steer a terminal.
///
/// Control characters (C0, DEL, C1), line and paragraph separators, bidirectional controls, the backslash and bytes
/// that are no UTF-8 come as `\n`, `\t`, `\r`, `\\`, `\xNN` or `\u{NNNN}`; all else stands as it is.
#[derive(Clone, Copy)]
pub struct Escaped<'a>(pub &'a [u8]);

impl fmt::Display for Escaped<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.iter().all(|byte| matches!(byte, b' '..=b'~') && *byte != b'\\') {
            // The common case, without a look at each character.
            return std::str::from_utf8(self.0).map_err(|_| fmt::Error).and_then(|text| f.write_str(text));
        }
        for chunk in self.0.utf8_chunks() {
            for ch in chunk.valid().chars() {
                match ch {
                    '\n' => f.write_str("\\n")?,
                    '\t' => f.write_str("\\t")?,
                    '\r' => f.write_str("\\r")?,
                    '\\' => f.write_str("\\\\")?,
                    ch if ch.is_ascii_control() => write!(f, "\\x{:02x}", u32::from(ch))?,
                    ch if is_unsafe_to_show(ch) => write!(f, "\\u{{{:x}}}", u32::from(ch))?,
                    ch => fmt::Write::write_char(f, ch)?,
                }
            }
            for byte in chunk.invalid() {
                write!(f, "\\x{byte:02x}")?;
            }
        }
        Ok(())
    }
}

/// Characters beyond ASCII that reorder, hide or break a line when shown.
#[must_use]
pub fn is_unsafe_to_show(ch: char) -> bool {
    matches!(ch,
        '\u{80}'..='\u{9f}' | '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}
