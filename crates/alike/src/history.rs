//! `alike log`: what passes did to a replica, and which versions of a path can be brought back.

use std::collections::HashSet;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use alike_engine::back::changes;
use alike_engine::chronicle::Written;
use alike_engine::following::End;
use alike_engine::glean::{self, Wanted};
use alike_engine::hold::Site;
use alike_engine::monitor::Event;
use alike_engine::remembered::Remembered;
use alike_model::entry::{Kind, Stamp, Time};
use alike_model::event::Action;
use alike_model::path::RelPath;
use alike_model::pattern::Pattern;
use clap::Args;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::args::moment as parse_moment;
use crate::follow::follow;
use crate::log::{Form, line, one_line, size};
use crate::meant::{JobArgs, each, only};
use crate::run::{DIFFERS, Failure, IDENTICAL};
use crate::settings::state_folder;

#[derive(Debug, Args)]
pub(crate) struct LogArgs {
    /// The replica whose history is shown [default: the only one that is known]
    #[arg(value_hint = clap::ValueHint::DirPath, conflicts_with = "job")]
    pub(crate) replica: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) of: JobArgs,
    /// Only what was done to this path or below it, and which versions of it can be brought back; or to all that match a
    /// pattern (gitignore syntax: *.txt, docs/**/a?)
    #[arg(long, value_name = "PATH")]
    pub(crate) path: Option<PathBuf>,
    /// Only this pass
    #[arg(long, value_name = "N")]
    pub(crate) pass: Option<u64>,
    /// Only from then on: 2026-11-21 21:05, or 2h for two hours ago
    #[arg(long, value_name = "TIME", value_parser = parse_moment)]
    pub(crate) since: Option<Time>,
    /// Only until then
    #[arg(long, value_name = "TIME", value_parser = parse_moment)]
    pub(crate) until: Option<Time>,
    /// Only these: create, update, meta, rename, delete, mkdir, rmdir, link (several with commas)
    #[arg(long, value_name = "ACTION", value_delimiter = ',', value_parser = deed)]
    pub(crate) action: Vec<Action>,
    /// Only the last N
    #[arg(short = 'n', long, value_name = "N")]
    pub(crate) last: Option<usize>,
    /// Go on with what is done from now on, until Ctrl+C
    #[arg(short, long, conflicts_with = "until")]
    pub(crate) follow: bool,
    /// One JSON object a line
    #[arg(long)]
    pub(crate) json: bool,
    /// Where alike keeps what it knows [default: $XDG_STATE_HOME/alike]
    #[arg(long, value_name = "DIR")]
    pub(crate) state_dir: Option<PathBuf>,
}

/// What stands in a history: passes that begin and end, and what was only held or failed, do not.
fn deed(word: &str) -> Result<Action, String> {
    use Action::{Create, Delete, Link, Meta, Mkdir, Rename, Rmdir, Update};
    let is_deed =
        |action: &Action| matches!(action, Create | Update | Meta | Rename | Delete | Mkdir | Rmdir | Link);
    Action::parse(word.trim()).filter(is_deed).ok_or_else(|| {
        "is not in a history; it has create, update, meta, rename, delete, mkdir, rmdir and link".to_owned()
    })
}

/// A line, when it was, and what can be brought back from before it.
type Row<'a> = (&'a Written, Option<(Time, Stamp)>);

pub(crate) fn log(args: &LogArgs) -> Result<ExitCode, Failure> {
    let replicas = match args.of.replicas()? {
        None => vec![replica(args)?],
        Some(replicas) if args.follow => vec![only(replicas, "log -f")?],
        Some(replicas) => replicas,
    };
    each(&replicas, args.json, |replica| log_of(args, replica))
}

/// The history of one replica; returns the exit code.
fn log_of(args: &LogArgs, replica: &Path) -> Result<u8, Failure> {
    let site = Site::open(replica)?;
    // What is done from here on is followed.
    let end = args.follow.then(|| End::of(&site.trash)).transpose()?;
    let question = Question::of(args, &site)?;
    let (count, seen) = show_past(&site, &question, args)?;
    if let Some(end) = end {
        let is_seen = |written: &Written| seen.contains(&(Arc::clone(&written.bucket), written.deed.n));
        return follow(&site, end, |written| question.has(written) && !is_seen(written), args.json);
    }
    if count == 0 {
        let why = why_none(&site, args)?;
        say!("alike: nothing in the history of {}{why}", replica.display());
    }
    Ok(if count == 0 { DIFFERS } else { IDENTICAL })
}

/// The replica that is meant.
fn replica(args: &LogArgs) -> Result<PathBuf, Failure> {
    if let Some(replica) = &args.replica {
        return Ok(replica.clone());
    }
    let known = Remembered::all(&state_folder(args.state_dir.as_deref())?);
    let mut there: Vec<PathBuf> = known.into_iter().map(|pair| pair.replica).collect();
    there.dedup();
    match there.as_slice() {
        [] => Err(Failure::Usage("say which history: alike log REPLICA".to_owned())),
        [alone] => Ok(alone.clone()),
        several => {
            let named: Vec<String> = several.iter().map(|one| one.display().to_string()).collect();
            let named = one_line(&named.join(", "));
            Err(Failure::Usage(format!("say which history: alike log REPLICA, one of {named}")))
        }
    }
}

/// Why there is nothing, when that can be told.
fn why_none(site: &Site, args: &LogArgs) -> Result<String, Failure> {
    let is_narrow =
        args.path.is_some() || args.pass.is_some() || args.since.is_some() || args.until.is_some();
    if !site.trash.buckets()?.is_empty() {
        return Ok(if is_narrow || !args.action.is_empty() { " that was asked for" } else { "" }.to_owned());
    }
    let known = Remembered::all(&state_folder(args.state_dir.as_deref())?);
    let line = known.into_iter().find(|pair| pair.replica == site.path).and_then(|pair| pair.command_line);
    Ok(if line.is_some_and(|line| crate::why::keeps_nothing(&line)) {
        ": it is mirrored with --trash off, and the history is kept with the trash".to_owned()
    } else {
        ": nothing was done yet, the trash was emptied, or --trash off keeps none".to_owned()
    })
}

/// What was asked for.
struct Question {
    wanted: Wanted,
    about: About,
}

/// What of the history is meant.
enum About {
    All,
    Path(RelPath),
    /// What a pattern matches, found when it was looked whether it is a path.
    Found(Vec<Written>),
}

impl Question {
    fn of(args: &LogArgs, site: &Site) -> Result<Self, Failure> {
        let mut wanted = Wanted {
            since: args.since,
            until: args.until,
            pass: args.pass,
            actions: args.action.clone(),
            matching: None,
            last: args.last,
        };
        let Some(path) = &args.path else { return Ok(Self { wanted, about: About::All }) };
        let plain = path_on(site, path)?;
        let is_pattern = path.as_os_str().as_bytes().iter().any(|byte| b"*?[".contains(byte));
        if !is_pattern {
            return Ok(Self { wanted, about: About::Path(plain) });
        }
        // A name may well have such signs in it, and be no pattern that can be read.
        let pattern = match Pattern::new(&path.to_string_lossy()) {
            Ok(pattern) => pattern,
            Err(_) if glean::is_named(&site.trash, &plain)? => {
                return Ok(Self { wanted, about: About::Path(plain) });
            }
            Err(why) => return Err(Failure::Usage(why.to_string())),
        };
        wanted.matching = Some(pattern);
        match glean::wanted_unless_named(&site.trash, &wanted, &plain)? {
            None => Ok(Self { wanted: Wanted { matching: None, ..wanted }, about: About::Path(plain) }),
            Some(found) => Ok(Self { wanted, about: About::Found(found) }),
        }
    }

    fn has(&self, written: &Written) -> bool {
        let concerns = |path: &RelPath| {
            let is_it = |one: &RelPath| one.is_within(path) || path.is_within(one);
            is_it(&written.deed.path) || written.deed.from.as_ref().is_some_and(is_it)
        };
        self.wanted.has(&written.deed)
            && match &self.about {
                About::Path(path) => concerns(path),
                About::All | About::Found(_) => true,
            }
    }
}

/// A deed as its bucket and its number.
type Place = (Arc<str>, u64);

/// Shows what was done so far. Returns how many lines that took, and what stands in the last of them.
fn show_past(site: &Site, question: &Question, args: &LogArgs) -> Result<(usize, HashSet<Place>), Failure> {
    // More than can come while the past is shown.
    const REMEMBERED: usize = 10_000;
    let gleaned;
    let all = match &question.about {
        About::Found(found) => found,
        About::All => {
            gleaned = glean::wanted(&site.trash, &question.wanted)?;
            &gleaned
        }
        About::Path(path) => {
            gleaned = glean::of_path(&site.trash, path)?;
            &gleaned
        }
    };
    let mut rows: Vec<Row<'_>> = match &question.about {
        About::All | About::Found(_) => all.iter().map(|written| (written, None)).collect(),
        About::Path(path) => {
            let changes = changes(site, all, path).map_err(|why| Failure::Failed(why.to_string()))?;
            let is_meant = |row: &Row<'_>| question.wanted.has(&row.0.deed);
            changes.into_iter().map(|change| (change.written, change.before)).filter(is_meant).collect()
        }
    };
    rows.drain(..rows.len().saturating_sub(args.last.unwrap_or(usize::MAX)));
    let (zone, mut pass) = (crate::zone::here(), None);
    let mut out = io::BufWriter::new(io::stdout().lock());
    for row in &rows {
        if write_row(&mut out, row, &mut pass, (&zone, args.json)).is_err() {
            break;
        }
    }
    let _ = out.flush();
    let seen = rows.iter().rev().take(REMEMBERED).map(|(one, _)| (Arc::clone(&one.bucket), one.deed.n));
    Ok((rows.len(), seen.collect()))
}

/// A line, below the number of its pass where that is another than before.
pub(crate) fn write_row(
    out: &mut impl Write,
    row: &Row<'_>,
    pass: &mut Option<u64>,
    (zone, json): (&TimeZone, bool),
) -> io::Result<()> {
    let number = row.0.deed.pass;
    if pass.replace(number) != Some(number) && !json {
        writeln!(out, "pass {number}")?;
    }
    out.write_all(shown(row, zone, json).as_bytes())
}

/// A path that the user names, from the replica's top.
pub(crate) fn path_on(site: &Site, path: &Path) -> Result<RelPath, Failure> {
    let below = path.strip_prefix(&site.path).unwrap_or(path);
    let inside = if below.is_absolute() { None } else { RelPath::parse(below.as_os_str().as_bytes()) };
    inside.ok_or_else(|| {
        let shown = path.display();
        Failure::Usage(format!(
            "{shown} is no path on the replica; name it as the log does, such as docs/a.txt"
        ))
    })
}

/// A deed as the log's event.
pub(crate) fn event(written: &Written) -> Event {
    let deed = &written.deed;
    let is_copied = matches!(deed.action, Action::Create | Action::Update) && deed.from.is_none();
    let file = deed.now.filter(|now| is_copied && now.kind == Kind::File);
    Event {
        from: deed.from.clone().filter(|_| deed.action == Action::Rename),
        bytes: file.map(|now| now.size),
        took: deed.took.map(Duration::from_millis),
        kept: deed.kept.then(|| written.shown()),
        ..Event::about(deed.pass, deed.action, deed.path.clone(), deed.reason.clone())
    }
}

pub(crate) fn timestamp(at: Time) -> Timestamp {
    let nanos = i32::try_from(at.nanos).unwrap_or(0);
    Timestamp::new(at.secs, nanos).unwrap_or_default()
}

/// A moment as `--at` takes it.
pub(crate) fn moment(at: Time, zone: &TimeZone) -> String {
    timestamp(at).to_zoned(zone.clone()).strftime("%Y-%m-%d %H:%M:%S%.3f").to_string()
}

fn shown((written, before): &Row<'_>, zone: &TimeZone, json: bool) -> String {
    let form = if json { Form::Json } else { Form::text() };
    let text = line(&event(written), timestamp(written.deed.at), zone, form);
    let Some((at, stamp)) = before else { return text };
    let what = if stamp.kind == Kind::File { size(stamp.size) } else { stamp.kind.to_string() };
    let at = moment(*at, zone);
    match json {
        true => with_fields(&text, &[("restorable", true.into()), ("at", at.into()), ("was", what.into())]),
        false => format!("{}  · before: {what}, --at \"{at}\"\n", text.trim_end_matches('\n')),
    }
}

/// A JSON line with more fields.
pub(crate) fn with_fields(line: &str, fields: &[(&str, serde_json::Value)]) -> String {
    let mut text = line.trim_end().trim_end_matches('}').to_owned();
    for (name, value) in fields {
        text.push_str(&format!(",\"{name}\":{value}"));
    }
    text.push_str("}\n");
    text
}
