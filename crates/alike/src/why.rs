//! `alike why`: why a path is, or is not, on the replica as it is in the source.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use alike_engine::back::{changes, find};
use alike_engine::chronicle::Written;
use alike_engine::glean;
use alike_engine::hold::Site;
use alike_engine::monitor::Event;
use alike_engine::pair::Spec;
use alike_engine::remembered::{CommandLine, Remembered};
use alike_engine::why::{self as ends, Cause, LeftOut};
use alike_model::entry::{Kind, Stamp};
use alike_model::event::Action;
use alike_model::path::RelPath;
use alike_storage::{Local, plain};
use clap::{Args, Parser};

use crate::answer::{Answer, Verdict, quoted};
use crate::args::{Cli, Command, OutputArgs, PairArgs, PassArgs};
use crate::plan::would;
use crate::rule::shown as shown_rule;
use crate::run::{DIFFERS, Failure, IDENTICAL, worst};
use crate::settings;
use crate::up::told::Running;

#[derive(Debug, Args)]
pub(crate) struct WhyArgs {
    /// A path in a source or on a replica; it may be gone
    path: PathBuf,
    /// The replica that is meant [default: all that are known to have this path]
    #[arg(long, value_name = "REPLICA")]
    replica: Option<PathBuf>,
    /// One JSON object for each replica
    #[arg(long)]
    json: bool,
    /// Where alike keeps what it knows [default: $XDG_STATE_HOME/alike]
    #[arg(long, value_name = "DIR")]
    state_dir: Option<PathBuf>,
}

/// What a run was told, as far as it matters here.
struct Told {
    pass: PassArgs,
    output: OutputArgs,
    /// Nobody knows, so what is said holds for a run without flags.
    is_guess: bool,
}

pub(crate) fn why(args: &WhyArgs) -> Result<ExitCode, Failure> {
    let path = whole(&args.path)?;
    let state = settings::state_folder(args.state_dir.as_deref())?;
    let pairs = pairs(args, &path, &state)?;
    let (mut codes, running) = (Vec::new(), Running::default());
    for (pair, path) in &pairs {
        let mut answer = answer(pair, path, &state)?;
        // Where nothing is to be done, nobody need be asked.
        if answer.verdict.is_open() {
            match running.tells(&pair.replica, path) {
                Some(told) => answer.is_told_by_running(told),
                None => answer.is_told_by_last_pass(&pair.failures()),
            }
        }
        answer.show(args.json)?;
        codes.push(if answer.is_identical() { IDENTICAL } else { DIFFERS });
    }
    Ok(ExitCode::from(worst(codes)))
}

/// The absolute path, without symlinks above its last name as far as these are there.
fn whole(path: &Path) -> Result<PathBuf, Failure> {
    let path = std::path::absolute(path)?;
    let (Some(above), Some(name)) = (path.parent(), path.file_name()) else { return Ok(path) };
    let there = above
        .ancestors()
        .find_map(|there| Some(there.canonicalize().ok()?.join(above.strip_prefix(there).ok()?)));
    Ok(there.unwrap_or_else(|| above.to_owned()).join(name))
}

/// The pairs that have this path, and where in them it is.
fn pairs(args: &WhyArgs, path: &Path, state: &Path) -> Result<Vec<(Remembered, RelPath)>, Failure> {
    let known = Remembered::all(state);
    let named = args.replica.as_ref().map(|replica| replica.canonicalize()).transpose()?;
    let meant = |pair: &Remembered| named.as_ref().is_none_or(|named| pair.replica == *named);
    let placed = |pair: Remembered| pair.place(path).map(|place| (pair, place));
    let mut found: Vec<_> = known.into_iter().filter(meant).filter_map(placed).collect();
    if found.is_empty() {
        // The state may be gone, or another machine's: a replica tells of itself.
        let above = || path.ancestors().find(|above| above.join(".alike/pair.json").exists());
        let replica = named.as_deref().or_else(above);
        found.extend(replica.and_then(Remembered::on).and_then(placed));
    }
    match found.is_empty() {
        false => Ok(found),
        true => Err(Failure::Usage(format!(
            "{} is in no source and on no replica that is known here; name the replica: alike why {} --replica REPLICA",
            path.display(),
            quoted(path)
        ))),
    }
}

/// What a command line says, when it is one that mirrors.
fn told_by(line: &CommandLine) -> Option<(PassArgs, OutputArgs)> {
    Some(match Cli::try_parse_from(&line.words).ok()?.command {
        Command::Mirror(mut args) => {
            args.read_older_order().ok()?;
            (args.pass, args.output)
        }
        Command::Once(args) => (args.pass, args.output),
        Command::Check(args) => (args.pass, args.output),
        _ => return None,
    })
}

/// True for a run that keeps nothing of what it takes away.
pub(crate) fn keeps_nothing(line: &CommandLine) -> bool {
    told_by(line).is_some_and(|(pass, _)| pass.trash.0.is_none())
}

impl Told {
    fn of(pair: &Remembered) -> Result<Self, Failure> {
        if let Some(line) = &pair.command_line
            && let Some((pass, output)) = told_by(line)
        {
            // What it names is named from there.
            let _ = std::env::set_current_dir(&line.folder);
            return Ok(Self { pass, output, is_guess: false });
        }
        let words = ["alike".as_ref(), "once".as_ref(), pair.source.as_os_str(), pair.replica.as_os_str()];
        match Cli::try_parse_from(words).map(|cli| cli.command) {
            Ok(Command::Once(args)) => Ok(Self { pass: args.pass, output: args.output, is_guess: true }),
            _ => Err(Failure::Failed("the pair has paths that cannot be told from text".to_owned())),
        }
    }
}

fn answer(pair: &Remembered, path: &RelPath, state: &Path) -> Result<Answer, Failure> {
    let told = Told::of(pair)?;
    let ends = PairArgs { source: pair.source.clone(), replica: pair.replica.clone() };
    let mut spec = settings::spec(&ends, &told.pass, &told.output)?;
    spec.state = state.to_owned();
    let failed = |why: alike_storage::Error| Failure::Failed(why.to_string());
    let [source, replica] = [&spec.source, &spec.replica].map(|top| Local::open(top));
    let look = |tree: &std::io::Result<Local>| match tree {
        Ok(tree) => ends::look(tree, path).map_err(failed),
        Err(_) => Ok(None),
    };
    let (original, copy) = (look(&source)?, look(&replica)?);
    let mut answer = Answer::new(pair, path, (original, copy));
    for (what, top, tree) in [("source", &spec.source, &source), ("replica", &spec.replica, &replica)] {
        if let Err(why) = tree {
            answer.note(format!("the {what} {} cannot be looked at: {}", top.display(), plain(why)));
        }
    }
    if told.is_guess {
        answer.note(
            "what the last run was told is not known: this is what a run without flags would do".to_owned(),
        );
    }
    tell_past(&mut answer, &spec, path)?;
    let policy = settings::policy(&told.pass);
    let was_folder = original.or(copy).is_some_and(|stamp| stamp.kind == Kind::Folder);
    let left_out = match &source {
        Ok(source) => ends::left_out(source, (&spec.filter, &policy), (path, was_folder)).map_err(failed)?,
        Err(_) => None,
    };
    answer.verdict = match left_out {
        Some(left_out) => verdict_of(&left_out, (&spec, &told)),
        None if original.is_none() && copy.is_none() => Verdict::Absent,
        None => verdict(&mut answer, (&spec, &told), (path, original, copy)),
    };
    if copy.is_some() && matches!(answer.verdict, Verdict::LeftOut { .. }) && !policy.delete_excluded {
        answer
            .note("what the replica has of it stays as it is; --delete-excluded would delete it".to_owned());
    }
    Ok(answer)
}

fn verdict_of(left_out: &LeftOut, (spec, told): (&Spec, &Told)) -> Verdict {
    let (rule, pattern) = match &left_out.cause {
        Cause::Own => ("it is alike's own folder, or one like it".to_owned(), None),
        Cause::Special => ("it is a special file, and --no-special leaves these out".to_owned(), None),
        Cause::OtherFilesystem => {
            ("it is on another filesystem than the source, and -x stays on that".to_owned(), None)
        }
        Cause::Rule(rule) => (shown_rule(rule, spec, &told.pass), Some(rule.pattern.clone())),
    };
    Verdict::LeftOut { at: left_out.at.clone(), rule, pattern }
}

/// What a pass would do to it, and from that how it stands.
fn verdict(
    answer: &mut Answer,
    (spec, told): (&Spec, &Told),
    (path, original, copy): (&RelPath, Option<Stamp>, Option<Stamp>),
) -> Verdict {
    if let Some(why) = cannot_be_read(spec, path, original) {
        return Verdict::Unreadable { why };
    }
    let events = match would(spec, &told.pass, path) {
        Ok(events) => events,
        Err(failure) => {
            answer.note(format!("what a pass would do cannot be told: {}", failure.told().0));
            Vec::new()
        }
    };
    // What is done to a folder above is done to it as well, unless that folder is there already.
    let is_its = |event: &&Event| event.path.as_ref() == Some(path);
    let is_above = |event: &&Event| {
        let above = event.path.as_ref().filter(|above| path.is_within(above));
        above.is_some() && event.action != Action::Meta
    };
    match events.iter().find(is_its).or_else(|| events.iter().find(is_above)) {
        Some(event) => Verdict::of(event),
        None if original.is_some() && copy.is_some() && answer.is_sure() => Verdict::Identical,
        None => Verdict::Unknown,
    }
}

/// Why the source's cannot be read, when that is so.
fn cannot_be_read(spec: &Spec, path: &RelPath, original: Option<Stamp>) -> Option<String> {
    use std::os::unix::ffi::OsStrExt;
    original.filter(|stamp| stamp.kind == Kind::File)?;
    let at = spec.source.join(std::ffi::OsStr::from_bytes(path.as_bytes()));
    std::fs::File::open(at).err().map(|why| plain(&why))
}

/// What the history knows of it.
fn tell_past(answer: &mut Answer, spec: &Spec, path: &RelPath) -> Result<(), Failure> {
    let Ok(site) = Site::open(&spec.replica) else { return Ok(()) };
    if let Some(hold) = site.hold() {
        let replica = quoted(&spec.replica);
        answer.note(format!(
            "the replica is held ({}): no pass is made before alike undo {replica} --resume",
            hold.why
        ));
    }
    let all = glean::of_path(&site.trash, path)?;
    let failed = |why: alike_storage::Error| Failure::Failed(why.to_string());
    let done = changes(&site, &all, path).map_err(failed)?;
    // Not what was done to something in it, nor that a folder above was made.
    let is_its = |written: &&Written| {
        let deed = &written.deed;
        let above = path.is_within(&deed.path) && (written.is_removal() || deed.action == Action::Rename);
        deed.path == *path || above || deed.from.as_ref().is_some_and(|from| path.is_within(from))
    };
    let mut last: Vec<&Written> = done.iter().map(|change| change.written).filter(is_its).collect();
    // The last that made it what it is, and what was set on it since.
    let made = last.iter().rposition(|written| written.deed.action != Action::Meta).unwrap_or(0);
    last.drain(..made);
    answer.past = last.into_iter().cloned().collect();
    if answer.past.is_empty() && !answer.is_gone() {
        answer.note(match site.trash.buckets()?.is_empty() {
            true if spec.keep.is_none() => "--trash off keeps no history".to_owned(),
            true => "there is no history: nothing was done yet, or the trash was emptied".to_owned(),
            false => "it is not in the history, which goes back as far as the trash".to_owned(),
        });
    }
    if answer.is_gone() && find(&site, &all, path, (None, None)).map_err(failed)?.is_some() {
        answer.restorable = true;
    }
    Ok(())
}
