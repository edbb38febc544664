//! Landlock: a thread gives away the right to write anywhere but below some folders, for itself and all that it starts.

use std::fmt;
use std::os::fd::BorrowedFd;

use landlock::{
    ABI, AccessFs, CompatLevel, Compatible, PathBeneath, Ruleset, RulesetAttr, RulesetCreatedAttr,
    RulesetError, RulesetStatus,
};

/// What a thread may write to from here on, as far as the kernel has a say in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Confinement {
    /// Nothing but what was named.
    Full,
    /// The same, but this kernel does not know some of the ways to write (it is older than 6.10).
    Partial,
    /// As before: the kernel cannot or will not confine it, for this reason.
    None(String),
}

impl fmt::Display for Confinement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Full => f.write_str("confined by Landlock"),
            Self::Partial => f.write_str("confined by Landlock, as far as this kernel knows how"),
            Self::None(why) => write!(f, "not confined by Landlock: {why}"),
        }
    }
}

/// From here on this thread, and those that it makes, can make, write, cut off, rename, link and remove only what is below
/// these open folders. Reading stays free. What is open already stays as it is. There is no way back.
///
/// A folder counts as itself, wherever it is moved, with what is mounted inside it. What is mounted over it later is
/// another one: for that, confine a new thread of one that is not confined.
pub fn confine(writable: &[BorrowedFd<'_>]) -> Confinement {
    match restrict(writable) {
        Ok(RulesetStatus::FullyEnforced) => Confinement::Full,
        Ok(RulesetStatus::PartiallyEnforced) => Confinement::Partial,
        Ok(RulesetStatus::NotEnforced) => Confinement::None("the kernel has it not or not in use".to_owned()),
        Err(why) => Confinement::None(why.to_string()),
    }
}

fn restrict(writable: &[BorrowedFd<'_>]) -> Result<RulesetStatus, RulesetError> {
    // What was tested. Later kernels know more; a crate that learns of it must not forbid us more by that.
    let writing = AccessFs::from_write(ABI::V5);
    let rules = writable.iter().map(|folder| Ok::<_, RulesetError>(PathBeneath::new(folder, writing)));
    let status = Ruleset::default()
        // A kernel without this right (before 5.19) forbids every rename and link from folder to folder.
        .set_compatibility(CompatLevel::HardRequirement)
        .handle_access(AccessFs::Refer)?
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(writing)?
        .create()?
        .add_rules(rules)?
        .restrict_self()?;
    Ok(status.ruleset)
}
