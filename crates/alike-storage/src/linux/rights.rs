//! What this process may do that others may not.

use rustix::thread::CapabilitySet;

/// A right of root that can be had without being root, as far as alike makes use of it.
#[derive(Debug, PartialEq, Eq)]
pub struct Right {
    /// As the system calls it.
    pub name: &'static str,
    /// What alike does with it.
    pub gives: &'static str,
    set: CapabilitySet,
}

/// All of them.
pub const RIGHTS: [Right; 9] = [
    Right { name: "CAP_CHOWN", gives: "keeps owners", set: CapabilitySet::CHOWN },
    Right {
        name: "CAP_DAC_READ_SEARCH",
        gives: "reads what is closed to others, and watches by fanotify",
        set: CapabilitySet::DAC_READ_SEARCH,
    },
    Right {
        name: "CAP_DAC_OVERRIDE",
        gives: "writes where others are kept out",
        set: CapabilitySet::DAC_OVERRIDE,
    },
    Right {
        name: "CAP_FOWNER",
        gives: "sets modes and times of what others own",
        set: CapabilitySet::FOWNER,
    },
    Right { name: "CAP_FSETID", gives: "keeps set-id bits", set: CapabilitySet::FSETID },
    Right { name: "CAP_MKNOD", gives: "makes device nodes", set: CapabilitySet::MKNOD },
    Right { name: "CAP_SETFCAP", gives: "keeps capabilities of files", set: CapabilitySet::SETFCAP },
    Right {
        name: "CAP_SYS_ADMIN",
        gives: "watches by fanotify, and keeps trusted attributes",
        set: CapabilitySet::SYS_ADMIN,
    },
    Right {
        name: "CAP_LEASE",
        gives: "learns from the kernel whether others are writing to a file of theirs",
        set: CapabilitySet::LEASE,
    },
];

/// Those that this process lacks.
#[must_use]
pub fn lacking_rights() -> Vec<&'static Right> {
    let have = effective();
    RIGHTS.iter().filter(|right| !have.contains(right.set)).collect()
}

/// The names of those that watching by fanotify takes and this process lacks.
#[must_use]
pub fn lacking_for_fanotify() -> Vec<&'static str> {
    let needs = CapabilitySet::SYS_ADMIN | CapabilitySet::DAC_READ_SEARCH;
    lacking_rights().into_iter().filter(|right| needs.contains(right.set)).map(|right| right.name).collect()
}

/// True when the process may change owners.
#[must_use]
pub fn am_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// The number of the user whose rights the process has.
#[must_use]
pub fn user() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// True where numbers of users are not those of the whole machine, and rights are good for fewer files.
#[must_use]
pub fn is_in_user_namespace() -> bool {
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    !map.is_empty() && map.split_whitespace().collect::<Vec<_>>() != ["0", "0", "4294967295"]
}

/// Who the process is and what it may do, as text that can be told from any other.
#[must_use]
pub fn rights() -> String {
    format!("{}:{:x}", user(), effective().bits())
}

/// True when the process may make device nodes (`CAP_MKNOD`).
#[must_use]
pub fn may_make_devices() -> bool {
    effective().contains(CapabilitySet::MKNOD)
}

fn effective() -> CapabilitySet {
    rustix::thread::capabilities(None).map_or(CapabilitySet::empty(), |sets| sets.effective)
}
