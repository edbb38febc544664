//! `alike doctor`: whether this machine and both ends are fit, a line each: good, or what to do.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use alike_engine::watch::{Means, Watcher};
use alike_engine::watching::without_fanotify;
use alike_model::path::Escaped;
use alike_storage::linux::{self, Confinement};
use alike_storage::{Folder, plain};
use clap::Args;

use crate::diagnosis::{pair, replica, source, writable};
use crate::run::{DIFFERS, Failure, IDENTICAL};
use crate::settings;

#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// The folder to copy from
    pub(crate) source: Option<PathBuf>,
    /// The folder to make identical; need not exist
    pub(crate) replica: Option<PathBuf>,
    /// Where alike keeps what it knows [default: $XDG_STATE_HOME/alike]
    #[arg(long, value_name = "DIR")]
    pub(crate) state_dir: Option<PathBuf>,
    /// Where the log is to be written as well
    #[arg(long, value_name = "FILE")]
    pub(crate) log_file: Option<PathBuf>,
    /// One JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
}

/// How it stands with one thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    Good,
    /// It goes, but not as well as it might.
    Note,
    Bad,
}

impl Verdict {
    fn word(self) -> &'static str {
        match self {
            Self::Good => "ok",
            Self::Note => "note",
            Self::Bad => "bad",
        }
    }
}

/// How it stands with one thing, and what would help.
#[derive(Debug)]
pub(crate) struct Line {
    verdict: Verdict,
    about: &'static str,
    text: String,
    remedy: Option<String>,
}

impl Line {
    pub(crate) fn good(about: &'static str, text: impl Into<String>) -> Self {
        Self { verdict: Verdict::Good, about, text: text.into(), remedy: None }
    }

    pub(crate) fn note(about: &'static str, text: impl Into<String>) -> Self {
        Self { verdict: Verdict::Note, ..Self::good(about, text) }
    }

    pub(crate) fn bad(about: &'static str, text: impl Into<String>) -> Self {
        Self { verdict: Verdict::Bad, ..Self::good(about, text) }
    }

    pub(crate) fn but(self, remedy: impl Into<String>) -> Self {
        Self { remedy: Some(remedy.into()), ..self }
    }

    fn shown(&self, json: bool) -> String {
        let (verdict, about) = (self.verdict.word(), self.about);
        let remedy = self.remedy.as_deref();
        if json {
            let fields =
                serde_json::json!({"verdict": verdict, "about": about, "text": self.text, "do": remedy});
            return format!("{fields}\n");
        }
        let remedy = remedy.map(|remedy| format!("; {remedy}")).unwrap_or_default();
        format!("{verdict:<4}  {about:<11}  {}{remedy}\n", self.text)
    }
}

pub(crate) fn doctor(args: &DoctorArgs) -> Result<ExitCode, Failure> {
    let state = settings::state_folder(args.state_dir.as_deref())?;
    let mut lines = machine();
    if let Some(path) = &args.source {
        lines.extend(source(path));
        lines.extend(watching(path));
    }
    let both = args.source.as_ref().zip(args.replica.as_ref());
    let pair = both.map(|(source, replica)| pair(source, replica, &state));
    if let Some(path) = &args.replica {
        // It may be in the source, say.
        let is_refused = pair.as_ref().is_some_and(|line| line.verdict == Verdict::Bad);
        lines.extend(replica(path, !is_refused));
    }
    lines.extend(pair);
    lines.push(writable("state", &state));
    let log = args.log_file.as_deref().and_then(|log| std::path::absolute(log).ok());
    lines.extend(log.as_deref().and_then(Path::parent).map(|folder| writable("log", folder)));
    let mut out = std::io::stdout().lock();
    for line in &lines {
        if out.write_all(line.shown(args.json).as_bytes()).is_err() {
            break;
        }
    }
    let is_bad = lines.iter().any(|line| line.verdict == Verdict::Bad);
    Ok(ExitCode::from(if is_bad { DIFFERS } else { IDENTICAL }))
}

/// A path that forges no line.
pub(crate) fn shown(path: &Path) -> String {
    use std::os::unix::ffi::OsStrExt;
    Escaped(path.as_os_str().as_bytes()).to_string()
}

// ---- the machine ----

fn machine() -> Vec<Line> {
    vec![kernel(), landlock(), rights(), descriptors()]
}

fn kernel() -> Line {
    // What alike has of later kernels, and does without on others.
    const LATER: [((u32, u32), &str); 4] = [
        ((5, 9), "watches a whole filesystem by one mark"),
        ((5, 17), "hears of a rename as one"),
        ((6, 0), "leaves out what is noisy next door"),
        ((6, 5), "sees what is written but not on the disk yet"),
    ];
    let (release, version) = linux::kernel();
    let without: Vec<String> = LATER
        .iter()
        .filter(|(since, _)| version < *since)
        .map(|((major, minor), what)| format!("{major}.{minor} {what}"))
        .collect();
    match without.is_empty() {
        true => Line::good("kernel", format!("Linux {release}, with all that alike makes use of")),
        false => {
            Line::note("kernel", format!("Linux {release}; a later one does more: {}", without.join(", ")))
        }
    }
}

fn landlock() -> Line {
    // On a thread of its own, for there is no way back.
    let confined = std::thread::spawn(|| linux::confine(&[])).join();
    match confined.unwrap_or_else(|_| Confinement::None("its thread broke off".to_owned())) {
        Confinement::Full => Line::good("landlock", "the kernel confines a mirror to what it may write to"),
        Confinement::Partial => Line::good(
            "landlock",
            "the kernel confines a mirror to what it may write to, but for device commands (6.10)",
        ),
        Confinement::None(why) => {
            let text = format!("the kernel does not confine a mirror to what it may write to: {why}");
            Line::note("landlock", text).but("add landlock to lsm= on the kernel's command line")
        }
    }
}

fn rights() -> Line {
    let user = if linux::am_root() { "root".to_owned() } else { format!("user {}", linux::user()) };
    let lacks = linux::lacking_rights();
    if linux::is_in_user_namespace() {
        let text = format!("{user} of a user namespace, whose rights end with what its users own");
        return Line::note("rights", text).but("owners beyond it are not kept; run it outside for those");
    }
    if lacks.is_empty() {
        return Line::good("rights", format!("{user}, with all rights that alike makes use of"));
    }
    let told: Vec<String> = lacks.iter().map(|right| format!("{} ({})", right.name, right.gives)).collect();
    let names: Vec<&str> = lacks.iter().map(|right| right.name).collect();
    Line::note("rights", format!("{user}, without {}", told.join(", "))).but(format!(
        "what is yours alone is mirrored all the same; for the rest run it as root, or as a service with AmbientCapabilities={}",
        names.join(" ")
    ))
}

fn descriptors() -> Line {
    const PLENTY: usize = 4096;
    const FEW: usize = 512;
    let limit = linux::raise_descriptor_limit();
    let text = format!("{limit} open files at most");
    let remedy = "raise it: ulimit -n 65536, or LimitNOFILE=65536 of a service";
    match limit {
        PLENTY.. => Line::good("descriptors", text),
        FEW.. => {
            Line::note("descriptors", format!("{text}: deep trees are walked in more steps")).but(remedy)
        }
        _ => Line::bad("descriptors", format!("{text}: too few for a deep tree")).but(remedy),
    }
}

// ---- watching ----

fn watching(path: &Path) -> Vec<Line> {
    // What is wrong with the folder itself is said elsewhere.
    let Ok(top) = Folder::open(path) else { return Vec::new() };
    let limits = linux::limits();
    let watcher = match Watcher::new(&top, Means::Auto) {
        Ok(watcher) => watcher,
        Err(why) => {
            let line = Line::bad(
                "watching",
                format!("not at all: {}; only the interval finds what changed", plain(&why)),
            );
            return vec![line.but(linux::advice(&why).unwrap_or("see \"ulimit -n\" and sysctl fs.inotify"))];
        }
    };
    let mut lines = Vec::new();
    if watcher.is_wide() {
        lines.push(Line::good("watching", "fanotify: the whole filesystem by one mark"));
        lines.push(queue("fanotify", limits.fanotify_queue));
    } else {
        let why = watcher.why_narrow().map(without_fanotify).unwrap_or_default();
        let line = Line::note("watching", format!("inotify: one mark a folder; {why}"));
        lines.push(match linux::lacking_for_fanotify() {
            lacks if lacks.is_empty() => line,
            lacks => line
                .but(format!("run it as root, or as a service with AmbientCapabilities={}", lacks.join(" "))),
        });
        lines.push(marks(folders_in(top), &limits));
        lines.push(queue("inotify", limits.inotify_queue));
    }
    if watcher.is_shared() {
        let text =
            "others may change this filesystem and nobody tells of it: all is looked at again and again";
        lines.push(Line::note("watching", text).but("watch where the files really are, if you can"));
    }
    lines
}

/// How many folders there are, this one counted.
fn folders_in(top: Folder) -> u64 {
    let mut count = 1;
    let mut next = vec![top];
    while let Some(folder) = next.pop() {
        let below = linux::names(folder.descriptor()).unwrap_or_default();
        let folders = below.into_iter().filter(|(_, is_folder)| *is_folder);
        let before = next.len();
        next.extend(folders.filter_map(|(name, _)| folder.below(&name).ok()));
        count += (next.len() - before) as u64;
    }
    count
}

fn marks(folders: u64, limits: &linux::Limits) -> Line {
    let (Some(most), by) = (limits.marks, limits.marks_by) else {
        return Line::note(
            "marks",
            format!("{folders} folders; the system does not say how many a user may mark"),
        );
    };
    let noun = if folders == 1 { "folder" } else { "folders" };
    let text = format!("{folders} {noun}, and all programs of a user may mark {most}");
    let remedy = format!("raise the limit: sysctl {by}={}", (folders.saturating_mul(2)).next_power_of_two());
    match folders {
        _ if folders >= most => {
            Line::bad("marks", format!("{text}: those beyond are looked at again and again")).but(remedy)
        }
        _ if folders > most / 2 => Line::note("marks", text).but(remedy),
        _ => Line::good("marks", text),
    }
}

fn queue(means: &str, most: Option<u64>) -> Line {
    const USUAL: u64 = 16_384;
    let remedy = format!("raise it: sysctl fs.{means}.max_queued_events=1048576");
    match most {
        Some(most) if most < USUAL => {
            let text =
                format!("{most} changes may wait, which a storm of changes overflows: all is looked at then");
            Line::note("queue", text).but(remedy)
        }
        Some(most) => Line::good("queue", format!("{most} changes may wait")),
        None => Line::note("queue", "the system does not say how many changes may wait"),
    }
}
