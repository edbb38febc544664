//! From arguments to what the engine takes.

use std::path::{Path, PathBuf};

use alike_engine::batch::Settles;
use alike_engine::pair::Spec;
use alike_engine::remembered::CommandLine;
use alike_engine::watch::Means;
use alike_engine::worker::Rhythm;
use alike_model::filter::{Filter, Patterns};
use alike_model::path::RelPath;
use alike_model::policy::{Compare, Deletes, Hash, Policy};
use alike_model::xattrs::Namespaces;
use alike_storage::{Saving, linux, plain};
use etcetera::BaseStrategy;

use crate::args::{
    AlsoArgs, CompareArg, HashArg, MirrorArgs, OutputArgs, PairArgs, PassArgs, SyncArg, WatcherArg, WhenArg,
    is_verbose_by_environment,
};
use crate::config::Job;
use crate::console::{Console, Options};
use crate::log::Form;
use crate::log_file::LogFile;
use crate::rotation::{self, Turns};

/// A command line that cannot be carried out; the text says what to do.
#[derive(Debug)]
pub(crate) struct Usage(pub(crate) String);

pub(crate) fn policy(args: &PassArgs) -> Policy {
    let hash = match args.hash {
        HashArg::Blake3 => Hash::Blake3,
        HashArg::Xxh3 => Hash::Xxh3,
        HashArg::Sha256 => Hash::Sha256,
    };
    Policy {
        compare: match args.compare {
            CompareArg::Auto => Compare::Auto,
            CompareArg::Content => Compare::Content(hash),
            CompareArg::Newer => Compare::Newer,
        },
        deletes: match (args.no_delete, args.allow_deletes) {
            (true, _) => Deletes::Never,
            (false, true) => Deletes::Allowed,
            (false, false) => Deletes::Within(args.max_delete),
        },
        delete_excluded: args.delete_excluded,
        owner: !args.no_owner,
        xattrs: if args.no_xattrs { Namespaces::NONE } else { Namespaces::ALL },
        special: !args.no_special,
        one_filesystem: args.one_file_system,
        ..Policy::default()
    }
}

/// A pair for each replica.
pub(crate) fn specs(
    (pair, also): (&PairArgs, &AlsoArgs),
    args: &PassArgs,
    output: &OutputArgs,
) -> Result<Vec<Spec>, Usage> {
    let replicas = std::iter::once(&pair.replica).chain(&also.also);
    replicas
        .map(|replica| {
            let pair = PairArgs { source: pair.source.clone(), replica: replica.clone() };
            spec(&pair, args, output)
        })
        .collect()
}

pub(crate) fn spec(pair: &PairArgs, args: &PassArgs, output: &OutputArgs) -> Result<Spec, Usage> {
    let mut patterns = Patterns {
        exclude: args.exclude.clone(),
        include: args.include.clone(),
        gitignore: args.gitignore,
        ..Patterns::default()
    };
    for path in &args.ignore_file {
        let bytes = std::fs::read(path).map_err(|why| {
            Usage(format!("the ignore file {} cannot be read: {}", path.display(), plain(&why)))
        })?;
        patterns.ignore_files.push(String::from_utf8_lossy(&bytes).into_owned());
    }
    if let Some(log) = &output.log_file {
        patterns.exclude.extend(own_log_patterns(log, output.turns, pair)?);
    }
    let filter = Filter::new(&patterns).map_err(|why| Usage(why.to_string()))?;
    let spec = Spec {
        source: pair.source.clone(),
        replica: pair.replica.clone(),
        state: state_folder(args.state_dir.as_deref())?,
        filter,
        deletes: policy(args).deletes,
        saving: Saving { reflink: args.reflink == WhenArg::Auto, delta: args.inplace_delta == WhenArg::Auto },
        keep: args.trash.0,
        command_line: std::env::current_dir()
            .ok()
            .map(|folder| CommandLine { folder, words: std::env::args_os().collect() }),
    };
    refuse_state_inside(&spec)?;
    Ok(spec)
}

/// True when the filters of this mirror leave out the folder at `rest` below either top.
pub(crate) fn excludes(args: &MirrorArgs, rest: &Path) -> bool {
    use std::os::unix::ffi::OsStrExt;
    // A filter that cannot be read leaves nothing out here; whoever starts the mirror says what is wrong with it. Of a pipe
    // only one may read, who then waits for who writes it.
    if args.pass.ignore_file.iter().any(|path| !path.is_file()) {
        return false;
    }
    let Ok(spec) = spec(&args.pair, &args.pass, &args.output) else { return false };
    RelPath::parse(rest.as_os_str().as_bytes())
        .is_some_and(|rest| spec.filter.excludes_with_parents(&rest, true))
}

pub(crate) fn state_folder(given: Option<&Path>) -> Result<PathBuf, Usage> {
    if let Some(given) = given {
        return std::path::absolute(given).map_err(|why| Usage(format!("--state-dir: {why}")));
    }
    let strategy = etcetera::choose_base_strategy().map_err(|_| {
        Usage("there is no home folder to keep state in; name one with --state-dir".to_owned())
    })?;
    strategy
        .state_dir()
        .map(|state| state.join("alike"))
        .ok_or_else(|| Usage("there is no state folder; name one with --state-dir".to_owned()))
}

/// Refuses a state folder inside either end, unless it is excluded: there it would be mirrored and watched, or deleted.
fn refuse_state_inside(spec: &Spec) -> Result<(), Usage> {
    use std::os::unix::ffi::OsStrExt;
    for (end, folder) in [("source", &spec.source), ("replica", &spec.replica)] {
        let Some(rest) = inside(&spec.state, folder) else { continue };
        let rest = RelPath::parse(rest.as_os_str().as_bytes()).unwrap_or_default();
        if !spec.filter.excludes_with_parents(&rest, true) {
            let shown = spec.state.display();
            return Err(Usage(format!(
                "the state folder {shown} lies inside the {end}; choose another, or exclude it"
            )));
        }
    }
    Ok(())
}

/// The patterns that leave out a log file inside one of the ends, and what it is turned into: mirrored, it would feed itself;
/// on the replica it would be deleted.
fn own_log_patterns(log: &Path, turns: Turns, pair: &PairArgs) -> Result<Vec<String>, Usage> {
    let Some(rest) = inside(log, &pair.source).or_else(|| inside(log, &pair.replica)) else {
        return Ok(Vec::new());
    };
    let Some(rest) = rest.to_str() else {
        return Err(Usage(format!(
            "the log file {} lies inside an end; choose another place",
            log.display()
        )));
    };
    let escaped =
        rest.chars().flat_map(|ch| [Some('\\').filter(|_| "\\*?[]{}!# ".contains(ch)), Some(ch)]).flatten();
    Ok(rotation::patterns(&format!("/{}", escaped.collect::<String>()), turns))
}

/// The path below `folder`, when it lies there.
fn inside(path: &Path, folder: &Path) -> Option<PathBuf> {
    whole(path)?.strip_prefix(whole(folder)?).map(Path::to_owned).ok()
}

/// The absolute path without symlinks, as far as it exists.
fn whole(path: &Path) -> Option<PathBuf> {
    let path = std::path::absolute(path).ok()?;
    path.ancestors().find_map(|above| Some(above.canonicalize().ok()?.join(path.strip_prefix(above).ok()?)))
}

pub(crate) fn console(output: &OutputArgs, plan: bool) -> Result<Console, Usage> {
    let stdout_form = match plan {
        true if !output.json => Some(Form::step()),
        true => Some(Form::Json),
        false => stdout_form(output.quiet, output.json),
    };
    // A plan leaves no trace, not even in a log.
    let log = if plan { None } else { log_file(output)? };
    Ok(Console::new(Options {
        stdout_form,
        status: stdout_form.is_some(),
        least: output.log_level,
        verbose: output.verbose || is_verbose_by_environment(),
        log,
        log_form: output.log_format.into(),
    }))
}

/// A console that tells of the replicas of these pairs.
pub(crate) fn console_of(output: &OutputArgs, specs: &[Spec], plan: bool) -> Result<Console, Usage> {
    let replicas: Vec<&Path> = specs.iter().map(|spec| spec.replica.as_path()).collect();
    Ok(console(output, plan)?.telling_of(&replicas, None))
}

/// How events are written to standard output; `None`: not at all.
pub(crate) fn stdout_form(quiet: bool, json: bool) -> Option<Form> {
    match (quiet, json) {
        (true, _) => None,
        (false, true) => Some(Form::Json),
        (false, false) => Some(Form::text()),
    }
}

/// The console of one of several jobs: what it says, and how, is for all of them alike; its log is its own.
pub(crate) fn console_of_job(job: &Job, form: Option<Form>, verbose: bool) -> Result<Console, Usage> {
    let output = &job.mirror.output;
    let log = log_file(output)?;
    let console = Console::new(Options {
        stdout_form: form,
        status: false,
        least: output.log_level,
        verbose: verbose || is_verbose_by_environment(),
        log,
        log_form: output.log_format.into(),
    });
    Ok(console.telling_of(&job.replicas().collect::<Vec<&Path>>(), Some(&job.name)))
}

/// The console of a check: what a pass does for it goes to the log file only.
pub(crate) fn console_of_check(output: &OutputArgs) -> Result<Console, Usage> {
    let log = log_file(output)?;
    Ok(Console::new(Options {
        stdout_form: None,
        status: !output.quiet,
        least: output.log_level,
        verbose: output.verbose,
        log,
        log_form: output.log_format.into(),
    }))
}

/// The log file, where there is to be one.
pub(crate) fn log_file(output: &OutputArgs) -> Result<Option<LogFile>, Usage> {
    let open = |path: &PathBuf| LogFile::open(path, output.turns);
    output.log_file.as_ref().map(open).transpose().map_err(Usage)
}

pub(crate) fn threads(args: &PassArgs) -> usize {
    let cores = || std::thread::available_parallelism().map_or(2, usize::from).clamp(2, 8);
    args.threads.map_or_else(cores, usize::from)
}

pub(crate) fn syncs(args: &PassArgs) -> bool {
    args.sync != SyncArg::None
}

fn means(args: &MirrorArgs) -> Means {
    match args.watcher {
        _ if args.no_watch => Means::None,
        WatcherArg::Auto => Means::Auto,
        WatcherArg::Fanotify => Means::Fanotify,
        WatcherArg::Inotify => Means::Inotify,
    }
}

pub(crate) fn rhythm(args: &MirrorArgs) -> Rhythm {
    Rhythm {
        interval: args.interval,
        watch: means(args),
        settle: args.settle,
        later_deletes: Deletes::Within(args.pass.max_delete),
        threads: threads(&args.pass),
        sync: syncs(&args.pass),
        settles: settles(&args.pass),
        held_folders: held_folders(),
        scrub: args.scrub,
        bwlimit: args.pass.bwlimit,
        waits_at_start: false,
        turns: None,
    }
}

pub(crate) fn settles(args: &PassArgs) -> Settles {
    match args.sync {
        SyncArg::Pass => Settles::Together,
        SyncArg::File => Settles::Each,
        SyncArg::None => Settles::No,
    }
}

/// How many folders may be held open at once: two descriptors each, as many files that wait to be on the disk, and some
/// for everything else.
pub(crate) fn held_folders() -> usize {
    linux::raise_descriptor_limit().saturating_sub(192) / 3
}
