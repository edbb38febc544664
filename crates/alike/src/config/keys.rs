//! The keys of a job: the long flags of `alike mirror`, and the few that only a file has.

use clap::{Arg, ArgAction, Command, CommandFactory, ValueHint};

use crate::args::Cli;

/// What only a file says of a job.
pub(crate) const NAME: &str = "name";
pub(crate) const SOURCE: &str = "source";
pub(crate) const REPLICAS: &str = "replicas";
pub(crate) const REPLICA: &str = "replica";
pub(crate) const HOOK_TIMEOUT: &str = "hook_timeout";

/// Those that say which job it is, and so cannot be in `[defaults]`.
pub(crate) const OWN: [&str; 4] = [NAME, SOURCE, REPLICAS, REPLICA];

/// What runs when something becomes of a job, and a line of help each.
pub(crate) const HOOKS: [(&str, &str); 4] = [
    ("on_change", "Runs after a pass that changed something on a replica"),
    ("on_halt", "Runs when a mirror halted: nothing is deleted, or nothing done at all, until you look"),
    ("on_error", "Runs when a path could not be copied"),
    ("on_recovered", "Runs when all is well again"),
];

/// Flags of `alike mirror` that mean nothing in a file, and why.
const REFUSED: [(&str, &str); 7] = [
    ("also", "all replicas of a job stand in `replicas`"),
    (
        "allow-deletes",
        "it is for one pass; `alike pass JOB --allow-deletes` asks the running `alike up` for one",
    ),
    ("dry-run", "a job does what it says; `alike plan SOURCE REPLICA` shows what a pass would do"),
    ("json", "it is said of a command, not of a job; `log_format = \"json\"` is for the log file"),
    ("quiet", "it is said of a command, not of a job; `log_level` is for the log"),
    ("verbose", "it is said of a command, not of a job; `log_level` is for the log"),
    ("save", "it writes a config file, which this is"),
];

/// How the value of a flag is written in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// `true` or `false`.
    Switch,
    /// A string or a number.
    One,
    /// An array of strings, or one.
    Several,
}

/// What a key means.
pub(crate) enum Meaning<'a> {
    Own(&'static str),
    Flag(&'a Arg),
    Hook,
    HookTimeout,
    Refused(&'static str),
    Unknown,
}

/// All keys, from the definition of the command line.
pub(crate) struct Keys {
    mirror: Command,
}

impl Keys {
    pub(crate) fn new() -> Self {
        let mirror = Cli::command().find_subcommand("mirror").cloned();
        Self { mirror: mirror.unwrap_or_default() }
    }

    /// The flags that are keys, in the order of the help.
    pub(crate) fn flags(&self) -> impl Iterator<Item = &Arg> {
        let is_key =
            |arg: &&Arg| arg.get_long().is_some_and(|long| refused(long).is_none() && !is_clap_s_own(long));
        self.mirror.get_arguments().filter(is_key)
    }

    pub(crate) fn meaning(&self, key: &str) -> Meaning<'_> {
        let key = canonical(key);
        if let Some(own) = OWN.iter().find(|own| **own == key) {
            return Meaning::Own(own);
        }
        if HOOKS.iter().any(|(hook, _)| *hook == key) {
            return Meaning::Hook;
        }
        if key == HOOK_TIMEOUT {
            return Meaning::HookTimeout;
        }
        let long = key.replace('_', "-");
        if let Some(why) = refused(&long) {
            return Meaning::Refused(why);
        }
        match self.flags().find(|arg| arg.get_long() == Some(&long)) {
            Some(arg) => Meaning::Flag(arg),
            None => Meaning::Unknown,
        }
    }

    /// Every key of a job, as it is written.
    pub(crate) fn names(&self) -> Vec<String> {
        let own = OWN.iter().chain(HOOKS.iter().map(|(hook, _)| hook)).map(|key| (*key).to_owned());
        let flags = self.flags().filter_map(Arg::get_long).map(canonical);
        own.chain([HOOK_TIMEOUT.to_owned()]).chain(flags).collect()
    }
}

/// A key as this program writes it.
pub(crate) fn canonical(key: &str) -> String {
    key.replace('-', "_")
}

pub(crate) fn shape(arg: &Arg) -> Shape {
    match arg.get_action() {
        ArgAction::SetTrue | ArgAction::SetFalse => Shape::Switch,
        ArgAction::Append => Shape::Several,
        _ => Shape::One,
    }
}

/// True when the value is a path, and so may begin with `~` or have variables in it.
pub(crate) fn is_path(arg: &Arg) -> bool {
    matches!(arg.get_value_hint(), ValueHint::AnyPath | ValueHint::FilePath | ValueHint::DirPath)
}

/// Why this flag is no key.
pub(crate) fn refused(long: &str) -> Option<&'static str> {
    REFUSED.iter().find(|(flag, _)| *flag == long).map(|(_, why)| *why)
}

fn is_clap_s_own(long: &str) -> bool {
    matches!(long, "help" | "version")
}

/// Words that people from other programs write, and what says it here.
const FROM_ELSEWHERE: [(&str, &str); 1] = [(
    "delete",
    "what is gone from the source is deleted anyway, and kept in the trash; `no_delete = true` keeps all of it",
)];

/// What says this here.
pub(crate) fn here_it_is(written: &str) -> Option<String> {
    FROM_ELSEWHERE.iter().find(|(word, _)| *word == written).map(|(_, here)| (*here).to_owned())
}

/// "did you mean …?", when one of these is near.
pub(crate) fn did_you_mean<'a>(written: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    const NEAR: f64 = 0.8;
    let written = canonical(written).to_lowercase();
    let by_nearness = known.into_iter().map(|known| (strsim::jaro_winkler(&written, known), known));
    let nearest = by_nearness.max_by(|one, other| one.0.total_cmp(&other.0));
    nearest.filter(|(nearness, _)| *nearness > NEAR).map(|(_, known)| format!("did you mean `{known}`?"))
}
