//! What can go wrong with one operation on a tree, and what to do about it.

use std::io;

use rustix::io::Errno;

/// A failed operation. Names the operation; the path is known to whoever reports it, and stands there once.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The system refused.
    #[error("cannot {op}: {}", explain(.cause))]
    Io {
        /// What was tried, as it reads after "cannot".
        op: &'static str,
        /// The system's answer.
        cause: io::Error,
    },
    /// One extended attribute or ACL could not be set; everything else was.
    #[error("cannot set the attribute {name}: {}", explain(.cause))]
    Attribute {
        /// Its name, escaped.
        name: String,
        /// The system's answer.
        cause: io::Error,
    },
    /// A flag of the file or its folder forbids it.
    #[error("cannot {op}: {what} is {flag}; take the flag away with chattr -{letter}")]
    Flagged {
        /// What was tried, as it reads after "cannot".
        op: &'static str,
        /// "it" or "its folder".
        what: &'static str,
        /// "immutable" or "append-only".
        flag: &'static str,
        /// As chattr has it.
        letter: char,
    },
    /// It is not what it was when it was looked at: look again, overwrite nothing.
    #[error("changed meanwhile")]
    Changed,
    /// Another folder was mounted over it since it was looked at.
    #[error("something was mounted over it meanwhile; left to the next pass")]
    MountedOver,
    /// Asked to stop half-way.
    #[error("stopped")]
    Interrupted,
}

/// The result of an operation on a tree.
pub type Result<T> = std::result::Result<T, Error>;

impl Error {
    /// Wraps what the system answered; what says "it is not there any more" becomes [`Error::Changed`].
    #[must_use]
    pub fn of(op: &'static str, cause: io::Error) -> Self {
        let changed = [Errno::NOENT, Errno::NOTDIR, Errno::LOOP, Errno::STALE, Errno::EXIST, Errno::ISDIR];
        if is_any(&cause, &changed) { Self::Changed } else { Self::Io { op, cause } }
    }

    /// True when a second look may find it otherwise.
    #[must_use]
    pub fn is_changed(&self) -> bool {
        matches!(self, Self::Changed)
    }

    /// True when two names of one file cannot be had here: the filesystem has no such thing, or has enough of them.
    #[must_use]
    pub fn forbids_links(&self) -> bool {
        let never = [Errno::PERM, Errno::OPNOTSUPP, Errno::NOSYS, Errno::MLINK, Errno::XDEV];
        matches!(self, Self::Io { cause, .. } if is_any(cause, &never))
    }

    /// True when two names cannot be of one file for where they are, not for what the filesystem is. Landlock says so too, of a
    /// folder that stands outside at that moment.
    #[must_use]
    pub fn is_across(&self) -> bool {
        matches!(self, Self::Io { cause, .. } if is_any(cause, &[Errno::XDEV]))
    }

    /// True when a stop was asked for.
    #[must_use]
    pub fn is_interrupted(&self) -> bool {
        matches!(self, Self::Interrupted)
    }

    /// The same once more, for another path that it befell too.
    #[must_use]
    pub fn twin(&self) -> Self {
        let again = |cause: &io::Error| {
            cause.raw_os_error().map_or_else(|| cause.kind().into(), io::Error::from_raw_os_error)
        };
        match self {
            Self::Io { op, cause } => Self::Io { op, cause: again(cause) },
            Self::Attribute { name, cause } => Self::Attribute { name: name.clone(), cause: again(cause) },
            Self::Flagged { op, what, flag, letter } => Self::Flagged { op, what, flag, letter: *letter },
            Self::Changed => Self::Changed,
            Self::MountedOver => Self::MountedOver,
            Self::Interrupted => Self::Interrupted,
        }
    }

    /// True when only an extended attribute is missing.
    #[must_use]
    pub fn is_attribute(&self) -> bool {
        matches!(self, Self::Attribute { .. })
    }

    /// True when the rights do not suffice.
    #[must_use]
    pub fn is_denied(&self) -> bool {
        matches!(self, Self::Io { cause, .. } | Self::Attribute { cause, .. } if cause.kind() == io::ErrorKind::PermissionDenied)
    }

    /// True when the target has no room left.
    #[must_use]
    pub fn is_full(&self) -> bool {
        use io::ErrorKind::{QuotaExceeded, StorageFull};
        matches!(self, Self::Io { cause, .. } | Self::Attribute { cause, .. } if matches!(cause.kind(), StorageFull | QuotaExceeded))
    }
}

/// True when the system's answer is one of these.
pub(crate) fn is_any(cause: &io::Error, answers: &[Errno]) -> bool {
    answers.iter().any(|errno| cause.raw_os_error() == Some(errno.raw_os_error()))
}

/// The system's words without Rust's "(os error N)".
#[must_use]
pub fn plain(cause: &io::Error) -> String {
    let text = cause.to_string();
    match cause.raw_os_error() {
        Some(_) => text.split(" (os error").next().unwrap_or(&text).to_lowercase(),
        // Words of our own, with paths as they are.
        None => text,
    }
}

/// The system's words, and with what to do where there is something to do.
fn explain(cause: &io::Error) -> String {
    let text = plain(cause);
    let advice = match cause.kind() {
        io::ErrorKind::StorageFull => "; free some room, it is tried again",
        io::ErrorKind::QuotaExceeded => "; the quota is used up, it is tried again",
        io::ErrorKind::ReadOnlyFilesystem => "; mount it read-write",
        _ if is_any(cause, &[Errno::MFILE]) => "; raise \"ulimit -n\"",
        _ => "",
    };
    format!("{text}{advice}")
}
