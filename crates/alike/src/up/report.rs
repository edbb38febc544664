//! How all jobs stand, as `alike status`, the status page and hooks are told.

use serde::{Deserialize, Serialize};

/// All of one `alike up`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Report {
    /// Of the program that runs.
    pub(crate) version: String,
    /// Its process.
    pub(crate) pid: u32,
    /// When it was started.
    pub(crate) since: String,
    /// Every replica is identical, or catching up within its limit, and the config file is good.
    pub(crate) well: bool,
    /// The config file and its drop-ins.
    pub(crate) config: Vec<String>,
    /// Why the config file, as it is now, was not taken up: what was loaded before is still in force.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) config_trouble: Option<String>,
    /// Where the status page is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) web: Option<String>,
    /// Why it is nowhere, though the config file wants it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) web_trouble: Option<String>,
    /// In the order of the config file.
    pub(crate) jobs: Vec<JobReport>,
}

/// One job.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct JobReport {
    pub(crate) name: String,
    pub(crate) source: String,
    pub(crate) well: bool,
    /// Hooks whose last run failed, and why; the job goes on.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    pub(crate) hook_troubles: Vec<String>,
    pub(crate) replicas: Vec<ReplicaReport>,
}

/// One replica of a job.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct ReplicaReport {
    pub(crate) replica: String,
    /// What it is doing or what is known of it: the worst of both.
    pub(crate) state: Standing,
    /// More about that, in words.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub(crate) why: String,
    pub(crate) well: bool,
    /// Why it is held, until a person lets it go on.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub(crate) hold: Option<String>,
    /// Entries of the source that are no folders.
    pub(crate) files: u64,
    /// When it was last known to be identical.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) identical_at: Option<String>,
    /// How long the oldest change waits that is not on the replica; 0 when none does.
    pub(crate) lag_ms: u64,
    /// How many paths wait.
    pub(crate) lag_paths: u64,
    /// Of the full pass that is under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) progress: Option<Progress>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) last_pass: Option<PassReport>,
    /// When something was last changed on the replica.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) last_change: Option<String>,
    /// Actions that changed the replica since the start, and the bytes that they copied.
    pub(crate) changes: u64,
    pub(crate) bytes: u64,
    /// What failed, and what is held back or skipped; of very many, the first.
    pub(crate) failed: Vec<Trouble>,
    pub(crate) held: Vec<Trouble>,
    /// How many these are in all.
    pub(crate) failed_count: u64,
    pub(crate) held_count: u64,
    /// What the trash keeps; absent where it is not known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) trash: Option<TrashReport>,
}

/// How a replica stands, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Standing {
    /// Nothing has been looked at yet.
    Starting,
    /// A full pass is under way, and nothing is wrong that is known of.
    Comparing,
    /// Changes are on their way.
    Copying,
    Identical,
    /// Some paths failed, or are held back.
    Differs,
    /// The scrub found contents that differ.
    Damaged,
    /// Nothing is deleted, or nothing done at all, until this is over.
    Halted,
    /// It has ended.
    Stopped,
}

/// How far a full pass is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Progress {
    pub(crate) looked: u64,
    pub(crate) copied: u64,
    pub(crate) bytes: u64,
}

/// A full pass that is over.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct PassReport {
    pub(crate) pass: u64,
    pub(crate) ended: String,
    pub(crate) ms: u64,
    /// What it did, in words.
    pub(crate) summary: String,
}

/// A path that is not as in the source.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Trouble {
    pub(crate) path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) path_bytes: Option<String>,
    pub(crate) action: String,
    pub(crate) reason: String,
    pub(crate) since: String,
}

/// What a trash keeps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct TrashReport {
    pub(crate) entries: u64,
    pub(crate) bytes: u64,
}

impl Standing {
    pub(crate) fn word(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Comparing => "comparing",
            Self::Copying => "copying",
            Self::Identical => "identical",
            Self::Differs => "differs",
            Self::Damaged => "damaged",
            Self::Halted => "halted",
            Self::Stopped => "stopped",
        }
    }
}
