//! What `alike why` says of one path and one replica, as text or JSON.

use std::io::Write;
use std::path::Path;

use alike_engine::chronicle::Written;
use alike_engine::monitor::Event;
use alike_engine::remembered::Remembered;
use alike_model::entry::{Kind, Stamp, Time};
use alike_model::event::Action;
use alike_model::failures::{Failure, Failures};
use alike_model::path::{Escaped, RelPath};
use serde_json::{Map, Value, json};

use crate::history::{event, moment, timestamp};
use crate::log::{Form, json_line, line, one_line, raw, shown, size};
use crate::up::told::Told;
use crate::zone;

/// How a path stands.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// It is on the replica as in the source.
    Identical,
    /// It, or a folder above it, is left out.
    LeftOut { at: RelPath, rule: String, pattern: Option<String> },
    /// The next pass would do this.
    Waiting { action: Action, at: RelPath, why: String },
    /// It is held back, skipped, or cannot be looked at.
    Held { action: Action, at: RelPath, why: String },
    /// The source's cannot be read.
    Unreadable { why: String },
    /// It is on neither side.
    Absent,
    /// It cannot be told.
    Unknown,
}

impl Verdict {
    /// From what a pass would say of it.
    pub(crate) fn of(event: &Event) -> Self {
        let (action, at, why) = (event.action, event.path.clone().unwrap_or_default(), event.reason.clone());
        match action {
            Action::Hold | Action::Skip | Action::Error => Self::Held { action, at, why },
            _ => Self::Waiting { action, at, why },
        }
    }

    /// True when both sides differ, and a pass is to see to that.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self, Self::Waiting { .. } | Self::Held { .. } | Self::Unreadable { .. } | Self::Unknown)
    }

    fn word(&self) -> &'static str {
        match self {
            Self::Identical => "identical",
            Self::LeftOut { .. } => "left-out",
            Self::Waiting { .. } => "waiting",
            Self::Held { action: Action::Hold, .. } => "held",
            Self::Held { action: Action::Skip, .. } => "skipped",
            Self::Held { .. } | Self::Unreadable { .. } => "error",
            Self::Absent => "absent",
            Self::Unknown => "unknown",
        }
    }
}

/// What is said.
pub(crate) struct Answer {
    replica: std::path::PathBuf,
    source: std::path::PathBuf,
    path: RelPath,
    /// How it looks in the source and on the replica.
    looks: [Option<Stamp>; 2],
    pub(crate) verdict: Verdict,
    /// What made it what it is on the replica, oldest first.
    pub(crate) past: Vec<Written>,
    /// What stood there can be brought back.
    pub(crate) restorable: bool,
    /// The job of the running `alike up` that told what became of it, and since when.
    running: Option<(String, String)>,
    /// What failed of it, or of a folder above it, in the last pass.
    failed: Option<(RelPath, Failure)>,
    notes: Vec<String>,
}

impl Answer {
    pub(crate) fn new(pair: &Remembered, path: &RelPath, looks: (Option<Stamp>, Option<Stamp>)) -> Self {
        Self {
            replica: pair.replica.clone(),
            source: pair.source.clone(),
            path: path.clone(),
            looks: looks.into(),
            verdict: Verdict::Unknown,
            past: Vec::new(),
            restorable: false,
            running: None,
            failed: None,
            notes: Vec::new(),
        }
    }

    pub(crate) fn note(&mut self, text: String) {
        self.notes.push(text);
    }

    /// What became of it in a mirror at work counts for more than what a rehearsed pass would do.
    pub(crate) fn is_told_by_running(&mut self, told: Told) {
        if let (Verdict::Waiting { action, why, .. }, Action::Error) = (&self.verdict, told.action) {
            let note = format!("the next pass tries again: {action}, {why}");
            self.note(note);
        }
        self.verdict = Verdict::Held { action: told.action, at: told.at, why: told.why };
        self.running = Some((told.job, told.since));
    }

    /// What failed in the last pass tells more than what a rehearsed one would do, which cannot fail.
    pub(crate) fn is_told_by_last_pass(&mut self, failures: &Failures) {
        let Some((at, failure)) = failures.nearest(&self.path) else {
            if failures.others() > 0 {
                let others = failures.others();
                self.note(format!("{others} more paths failed in the last pass; the log has each"));
            }
            return;
        };
        if self.is_made_since(failure.since) {
            return;
        }
        let again = match &self.verdict {
            Verdict::Waiting { action, why, .. } => Some(format!(": {action}, {why}")),
            Verdict::Unknown | Verdict::Held { action: Action::Error, .. } => Some(String::new()),
            _ => None,
        };
        match again {
            Some(how) => {
                self.verdict =
                    Verdict::Held { action: Action::Error, at: at.clone(), why: failure.why.clone() };
                self.note(format!("the next pass tries again{how}"));
            }
            // What was just found is no less true.
            None => self.note(format!("{}: {}", self.failed_since(&at, failure.since), failure.why)),
        }
        self.failed = Some((at, failure.clone()));
    }

    fn failed_since(&self, at: &RelPath, since: Time) -> String {
        let of = if *at == self.path { String::new() } else { format!(" (for {at})") };
        format!("failed since {}{of}", moment(since, &zone::here()))
    }

    /// A later pass made it what the replica has now: what failed is over, and what is open came after that. Of a folder
    /// that cannot be told, for others change it too; nor where attributes were set, and perhaps not all.
    fn is_made_since(&self, since: Time) -> bool {
        let Some(Written { deed, .. }) = self.past.last() else { return false };
        let shows = match &self.looks[1] {
            Some(copy) => copy.kind != Kind::Folder && copy.ctime > since,
            None => matches!(deed.action, Action::Delete | Action::Rmdir),
        };
        shows && deed.at > since && deed.action != Action::Meta
    }

    pub(crate) fn is_identical(&self) -> bool {
        matches!(self.verdict, Verdict::Identical)
    }

    /// It is not on the replica.
    pub(crate) fn is_gone(&self) -> bool {
        self.looks[1].is_none()
    }

    /// False when a pass could not be rehearsed.
    pub(crate) fn is_sure(&self) -> bool {
        !self.notes.iter().any(|note| note.starts_with("what a pass would do"))
    }

    pub(crate) fn show(&self, json: bool) -> std::io::Result<()> {
        let text = if json { self.json() } else { self.text() };
        // A reader that went away is no error.
        let _ = std::io::stdout().write_all(text.as_bytes());
        Ok(())
    }

    fn text(&self) -> String {
        let mut text = format!("{}: {}\n", self.path, self.headline());
        for written in &self.past {
            let done = line(&event(written), timestamp(written.deed.at), &zone::here(), Form::text());
            text.push_str(&format!("  {} · {}\n", done.trim_end(), by(written)));
        }
        for (side, look) in ["source", "replica"].into_iter().zip(&self.looks) {
            text.push_str(&format!(
                "  {side}: {}\n",
                look.as_ref().map_or_else(|| "nothing".to_owned(), looks)
            ));
        }
        if let Some(command) = self.restore() {
            text.push_str(&format!("  {command}\n"));
        }
        for note in &self.notes {
            text.push_str(&format!("  {}\n", one_line(note)));
        }
        text
    }

    fn headline(&self) -> String {
        let replica = self.replica.display().to_string();
        let replica = one_line(&replica);
        let of = |at: &RelPath| if *at == self.path { String::new() } else { format!(" (for {at})") };
        if let (Verdict::Held { action: Action::Error, .. }, Some((at, failure))) =
            (&self.verdict, &self.failed)
        {
            let failed = self.failed_since(at, failure.since);
            return format!("not on {replica} as in the source: {failed}: {}", one_line(&failure.why));
        }
        match &self.verdict {
            Verdict::Identical => format!("on {replica} as in the source"),
            Verdict::LeftOut { at, rule, .. } if *at == self.path => format!("left out: {}", one_line(rule)),
            Verdict::LeftOut { at, rule, .. } => format!("left out with the folder {at}: {}", one_line(rule)),
            Verdict::Waiting { action, at, why } => {
                format!(
                    "not on {replica} as in the source; the next pass: {action}{}, {}",
                    of(at),
                    one_line(why)
                )
            }
            Verdict::Held { action, at, why } if self.running.is_some() => {
                let what = match action {
                    Action::Hold => "held",
                    Action::Skip => "skipped",
                    _ => "failed",
                };
                let job = self.running.as_ref().map_or_else(String::new, |(job, _)| one_line(job));
                let (of, why) = (of(at), one_line(why));
                format!(
                    "not on {replica} as in the source: {what} under the running alike up, job {job}{of}: {why}"
                )
            }
            Verdict::Held { action, at, why } => {
                format!("not on {replica} as in the source: {action}{}, {}", of(at), one_line(why))
            }
            Verdict::Unreadable { why } => format!("the source's cannot be read: {}", one_line(why)),
            Verdict::Absent => format!("neither in the source nor on {replica}"),
            Verdict::Unknown if self.looks[0].is_none() => format!("on {replica}, and not in the source"),
            Verdict::Unknown if self.is_gone() => format!("not on {replica}"),
            Verdict::Unknown => format!("on {replica}; whether as in the source is not known"),
        }
    }

    /// How to get back what stood there.
    fn restore(&self) -> Option<String> {
        use std::os::unix::ffi::OsStrExt;
        let path = Path::new(std::ffi::OsStr::from_bytes(self.path.as_bytes()));
        self.restorable.then(|| format!("alike restore {} {}", quoted(&self.replica), quoted(path)))
    }

    fn json(&self) -> String {
        let mut object = Map::new();
        let mut put = |key: &str, value: Value| drop(object.insert(key.to_owned(), value));
        put("path", shown(&self.path).into());
        if let Some(bytes) = raw(&self.path) {
            put("path_bytes", bytes.into());
        }
        put("source", self.source.display().to_string().into());
        put("replica", self.replica.display().to_string().into());
        put("verdict", self.verdict.word().into());
        match &self.verdict {
            Verdict::LeftOut { at, rule, pattern } => {
                put("at", shown(at).into());
                put("rule", rule.as_str().into());
                put("pattern", pattern.as_deref().map_or(Value::Null, Into::into));
            }
            Verdict::Waiting { action, at, why } | Verdict::Held { action, at, why } => {
                put("at", shown(at).into());
                put("action", action.as_str().into());
                put("reason", why.as_str().into());
            }
            Verdict::Unreadable { why } => put("reason", why.as_str().into()),
            Verdict::Identical | Verdict::Absent | Verdict::Unknown => {}
        }
        if let Some((job, since)) = &self.running {
            put("running", json!({ "job": job, "since": since }));
        }
        if let Some((at, failure)) = &self.failed {
            let since = timestamp(failure.since).to_string();
            put("failed", json!({ "at": shown(at), "reason": failure.why, "since": since }));
        }
        let look = |look: &Option<Stamp>| look.as_ref().map_or(Value::Null, json_look);
        put("in_source", look(&self.looks[0]));
        put("on_replica", look(&self.looks[1]));
        let past = self.past.iter().map(|written| {
            let at = timestamp(written.deed.at);
            let line = line(&event(written), at, &zone::here(), Form::Json);
            let mut done: Value = serde_json::from_str(&line).unwrap_or_default();
            done["live"] = written.deed.live.into();
            done
        });
        put("past", past.collect());
        put("restore", self.restore().map_or(Value::Null, Into::into));
        put("notes", self.notes.as_slice().into());
        json_line(&object)
    }
}

fn by(written: &Written) -> String {
    let deed = &written.deed;
    let kind = if deed.live { "live: the system told of a change" } else { "which looked at everything" };
    format!("pass {}, {kind}", deed.pass)
}

fn looks(stamp: &Stamp) -> String {
    let what = if stamp.kind == Kind::File { size(stamp.size) } else { stamp.kind.to_string() };
    format!("{what}, changed {}", moment(stamp.mtime, &zone::here()))
}

fn json_look(stamp: &Stamp) -> Value {
    let at = timestamp(stamp.mtime).to_string();
    json!({ "kind": stamp.kind.to_string(), "size": stamp.size, "mtime": at })
}

/// A path as a shell takes it, and no terminal acts on.
pub(crate) fn quoted(path: &Path) -> String {
    use std::os::unix::ffi::OsStrExt;
    let text = Escaped(path.as_os_str().as_bytes()).to_string();
    let is_plain = |ch: char| ch.is_alphanumeric() || "/._-+,:@%".contains(ch);
    match text.chars().all(is_plain) && !text.is_empty() && !text.starts_with('-') {
        true => text,
        false => format!("'{}'", text.replace('\'', "'\\''")),
    }
}
