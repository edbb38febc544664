//! `alike trash`: what is kept of what passes took away, and emptying it.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use alike_engine::chronicle;
use alike_engine::hold::Site;
use alike_engine::kept::{Kept, empty, kept};
use alike_engine::monitor::Event;
use alike_model::entry::Time;
use clap::{Args, ValueHint};
use jiff::tz::TimeZone;

use crate::args::duration;
use crate::history::{event, timestamp, with_fields};
use crate::log::{Form, line, size};
use crate::meant::{JobArgs, each, only};
use crate::run::{Failure, IDENTICAL, now};

#[derive(Debug, Args)]
#[command(override_usage = "alike trash [OPTIONS] <REPLICA>\n       alike trash [OPTIONS] --job <NAME>")]
pub(crate) struct TrashArgs {
    /// The replica
    #[arg(value_hint = ValueHint::DirPath, required_unless_present = "job", conflicts_with = "job")]
    replica: Option<PathBuf>,
    #[command(flatten)]
    of: JobArgs,
    /// Remove what it keeps, for good, and the history of that time: what passes did then can be neither shown by alike
    /// log nor undone any more
    #[arg(long)]
    empty: bool,
    /// Only what has been kept at least this long
    #[arg(long, value_name = "TIME", value_parser = duration)]
    older: Option<Duration>,
    /// One JSON object a line
    #[arg(long)]
    json: bool,
}

pub(crate) fn trash(args: &TrashArgs) -> Result<ExitCode, Failure> {
    let replicas = match args.of.replicas()? {
        None => args.replica.iter().cloned().collect(),
        // What is gone for good goes from one place at a time.
        Some(replicas) if args.empty => vec![only(replicas, "trash --empty")?],
        Some(replicas) => replicas,
    };
    each(&replicas, args.json, |replica| trash_of(args, replica))
}

fn trash_of(args: &TrashArgs, replica: &Path) -> Result<u8, Failure> {
    let mut site = Site::open(replica)?;
    let before = args.older.map_or(Time { secs: i64::MAX, nanos: 0 }, ago);
    if args.empty {
        return empty_it(&mut site, before);
    }
    let all = chronicle::read(&site.trash)?;
    let listed = kept(&site, &all).map_err(|why| Failure::Failed(why.to_string()))?;
    let listed: Vec<Kept<'_>> = listed.into_iter().filter(|kept| kept.written.deed.at < before).collect();
    let zone = crate::zone::here();
    let mut out = std::io::stdout().lock();
    let total: u64 = listed.iter().map(|kept| kept.bytes).sum();
    for kept in &listed {
        if out.write_all(shown(kept, &zone, args.json).as_bytes()).is_err() {
            return Ok(IDENTICAL);
        }
    }
    if !args.json {
        let _ = writeln!(out, "{}, {}", entries(listed.len() as u64), size(total));
    }
    Ok(IDENTICAL)
}

pub(crate) fn entries(count: u64) -> String {
    if count == 1 { "1 entry".to_owned() } else { format!("{count} entries") }
}

fn ago(time: Duration) -> Time {
    let now = now();
    Time { secs: now.secs.saturating_sub(i64::try_from(time.as_secs()).unwrap_or(i64::MAX)), ..now }
}

fn shown(kept: &Kept<'_>, zone: &TimeZone, json: bool) -> String {
    let deed = &kept.written.deed;
    let told = event(kept.written);
    let reason = format!("pass {}, {}; {}", deed.pass, kept.stamp.kind, deed.reason);
    let reason = if json { deed.reason.clone() } else { reason };
    // That is how long it took to copy what came in its place.
    let told = Event { bytes: Some(kept.bytes), took: None, reason, ..told };
    let form = if json { Form::Json } else { Form::text() };
    let text = line(&told, timestamp(deed.at), zone, form);
    if json { with_fields(&text, &[("kind", kept.stamp.kind.to_string().into())]) } else { text }
}

fn empty_it(site: &mut Site, before: Time) -> Result<u8, Failure> {
    // With the lock nobody fills a bucket; beside a mirror only those go that it cannot be filling any more.
    let is_alone = site.try_lock()?;
    let all = chronicle::read(&site.trash)?;
    let emptied = empty(site, &all, (before, now()), is_alone)?;
    let what = match emptied.gone {
        0 => "nothing to remove".to_owned(),
        _ => format!(
            "emptied: {}, {}, are gone for good, and with them the history of that time: what passes did then \
             can be neither shown nor undone any more",
            entries(emptied.entries),
            size(emptied.bytes)
        ),
    };
    let stays = match emptied.in_use {
        0 => "",
        _ => "; what was taken away in the last hour stays, for a mirror is running",
    };
    say!("alike: {what}{stays}");
    Ok(IDENTICAL)
}
