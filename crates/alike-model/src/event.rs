//! The words of the log.

use std::fmt;

/// What a log line tells of. The order and the words are the contract's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// An entry was made.
    Create,
    /// An entry was replaced.
    Update,
    /// Attributes were set.
    Meta,
    /// An entry got another name.
    Rename,
    /// An entry that is no folder was deleted.
    Delete,
    /// A folder was made.
    Mkdir,
    /// A folder was deleted.
    Rmdir,
    /// A hard link was made.
    Link,
    /// A change was held back.
    Hold,
    /// An entry was left alone.
    Skip,
    /// Something failed.
    Error,
    /// A pass began.
    PassStart,
    /// A pass ended.
    PassEnd,
    /// The mirror halted for safety.
    Halt,
    /// Watching began or changed.
    Watch,
    /// The mirror stopped.
    Stop,
}

impl Action {
    /// All of them.
    const ALL: [Self; 16] = [
        Self::Create,
        Self::Update,
        Self::Meta,
        Self::Rename,
        Self::Delete,
        Self::Mkdir,
        Self::Rmdir,
        Self::Link,
        Self::Hold,
        Self::Skip,
        Self::Error,
        Self::PassStart,
        Self::PassEnd,
        Self::Halt,
        Self::Watch,
        Self::Stop,
    ];

    /// The action of a word in the log.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|action| action.as_str() == word)
    }

    /// The word in the log.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Create => "create",
            Self::Update => "update",
            Self::Meta => "meta",
            Self::Rename => "rename",
            Self::Delete => "delete",
            Self::Mkdir => "mkdir",
            Self::Rmdir => "rmdir",
            Self::Link => "link",
            Self::Hold => "hold",
            Self::Skip => "skip",
            Self::Error => "error",
            Self::PassStart => "pass-start",
            Self::PassEnd => "pass-end",
            Self::Halt => "halt",
            Self::Watch => "watch",
            Self::Stop => "stop",
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
