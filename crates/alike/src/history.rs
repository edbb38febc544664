//! `alike log`: what passes did to a replica, and which versions of a path can be brought back.

use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::ExitCode;

use alike_engine::back::changes;
use alike_engine::chronicle::{self, Written};
use alike_engine::hold::Site;
use alike_engine::monitor::Event;
use alike_model::entry::{Kind, Stamp, Time};
use alike_model::event::Action;
use alike_model::path::RelPath;
use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::args::LogArgs;
use crate::log::{Form, line, size};
use crate::run::{DIFFERS, Failure, IDENTICAL};

/// A line, when it was, and what can be brought back from before it.
type Row<'a> = (&'a Written, Option<(Time, Stamp)>);

pub(crate) fn log(args: &LogArgs) -> Result<ExitCode, Failure> {
    let Some(replica) = &args.replica else {
        return Err(Failure::Usage("say which history: alike log REPLICA".to_owned()));
    };
    let site = Site::open(replica)?;
    let all = chronicle::read(&site.trash)?;
    let rows: Vec<Row<'_>> = match &args.path {
        None => all.iter().map(|written| (written, None)).collect(),
        Some(path) => {
            let path = path_on(&site, path)?;
            let changes = changes(&site, &all, &path).map_err(|why| Failure::Failed(why.to_string()))?;
            changes.into_iter().map(|change| (change.written, change.before)).collect()
        }
    };
    let is_meant = |written: &Written| {
        let deed = &written.deed;
        args.pass.is_none_or(|pass| deed.pass == pass) && args.since.is_none_or(|since| deed.at >= since)
    };
    let rows: Vec<Row<'_>> = rows.into_iter().filter(|(written, _)| is_meant(written)).collect();
    let zone = crate::zone::here();
    let mut out = std::io::stdout().lock();
    let mut pass = None;
    for row in &rows {
        let number = row.0.deed.pass;
        let head =
            if pass.replace(number) == Some(number) { String::new() } else { format!("pass {number}\n") };
        let head = if args.json { String::new() } else { head };
        if out.write_all(format!("{head}{}", shown(row, &zone, args.json)).as_bytes()).is_err() {
            break;
        }
    }
    if rows.is_empty() {
        say!("alike: nothing in the history of {}", replica.display());
    }
    Ok(ExitCode::from(if rows.is_empty() { DIFFERS } else { IDENTICAL }))
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
    let form = if json { Form::Json } else { Form::Text };
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
