//! The log: one line for each event, as text or JSON, in which no name can forge a line or steer a terminal.

use std::fmt::Write as _;

use alike_engine::monitor::Event;
use alike_model::event::Action;
use alike_model::path::{RelPath, is_unsafe_to_show};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Serialize;

use crate::args::{LogFormat, LogLevel};
use crate::paint;
use crate::standing::Label;

/// How an event is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// A line of text with the local time.
    Text,
    /// The same in colours.
    Coloured,
    /// The same without times: what a plan is shown as.
    Step,
    /// That in colours.
    ColouredStep,
    /// The same for the journal of the system, which has the time: with a priority before it.
    Journal,
    /// A JSON object.
    Json,
}

impl From<LogFormat> for Form {
    fn from(format: LogFormat) -> Self {
        match format {
            LogFormat::Text => Self::Text,
            LogFormat::Json => Self::Json,
        }
    }
}

impl Form {
    /// Text on standard output.
    pub(crate) fn text() -> Self {
        if paint::is_wanted() { Self::Coloured } else { Self::Text }
    }

    /// A plan on standard output.
    pub(crate) fn step() -> Self {
        if paint::is_wanted() { Self::ColouredStep } else { Self::Step }
    }
}

/// How important an event is.
pub(crate) fn level(event: &Event) -> LogLevel {
    match event.action {
        Action::Error | Action::Halt => LogLevel::Error,
        Action::Hold | Action::Skip => LogLevel::Warn,
        _ if event.best_effort => LogLevel::Warn,
        _ => LogLevel::Info,
    }
}

/// An event as a line, with its end.
pub(crate) fn line(event: &Event, at: Timestamp, zone: &TimeZone, form: Form) -> String {
    line_of((event, None), at, zone, form)
}

/// The same, with the replica that it tells of, where there are several.
pub(crate) fn line_of(
    (event, of): (&Event, Option<&Label>),
    at: Timestamp,
    zone: &TimeZone,
    form: Form,
) -> String {
    match form {
        Form::Json => json((event, of), at),
        Form::Text | Form::Coloured => {
            let at = at.to_zoned(zone.clone());
            let of = of.map_or_else(String::new, |label| format!("{}  ", label.padded));
            format!(
                "{} {of}{}",
                at.strftime("%Y-%m-%d %H:%M:%S%.3f"),
                text(event, true, form == Form::Coloured)
            )
        }
        Form::Step => text(event, false, false),
        Form::ColouredStep => text(event, false, true),
        Form::Journal => {
            let of = of.map_or_else(String::new, |label| format!("{}  ", label.path));
            format!("{of}{}", text(event, true, false))
        }
    }
}

fn text(event: &Event, timed: bool, painted: bool) -> String {
    let action = format!("{:<6}", event.action);
    let mut line = if painted { paint::action(event.action, &action) } else { action };
    if let Some(path) = &event.path {
        let _ = write!(line, "  {path}");
    }
    if !event.reason.is_empty() {
        let _ = write!(line, "  {}", one_line(&event.reason));
    }
    if let Some(bytes) = event.bytes {
        let _ = write!(line, "  {}", size(bytes));
    }
    if let Some(kept) = &event.kept {
        let _ = write!(line, "  trash {kept}");
    }
    if let (Some(took), true) = (event.took, timed) {
        let _ = write!(line, "  {} ms", took.as_millis());
    }
    line.push('\n');
    line
}

/// Reasons are alike's own words, but may carry a path or the system's words.
pub(crate) fn one_line(text: &str) -> String {
    text.chars().map(|ch| if ch.is_control() || is_unsafe_to_show(ch) { '?' } else { ch }).collect()
}

#[derive(Serialize)]
struct Line<'a> {
    ts: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    job: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    replica: Option<&'a str>,
    pass: u64,
    action: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    path_bytes: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from_bytes: Option<String>,
    reason: &'a str,
    bytes: u64,
    ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    trash: Option<&'a str>,
    result: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
}

/// A path as JSON has it.
pub(crate) fn shown(path: &RelPath) -> String {
    String::from_utf8_lossy(if path.is_root() { b"." } else { path.as_bytes() }).into_owned()
}

/// The bytes of a path that is no UTF-8.
pub(crate) fn raw(path: &RelPath) -> Option<String> {
    std::str::from_utf8(path.as_bytes()).is_err().then(|| BASE64_STANDARD.encode(path.as_bytes()))
}

fn json((event, of): (&Event, Option<&Label>), at: Timestamp) -> String {
    let result = match event.action {
        Action::Error | Action::Halt => "error",
        Action::Hold => "held",
        Action::Skip => "skipped",
        _ if event.best_effort => "best-effort",
        _ => "ok",
    };
    let line = Line {
        ts: at.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string(),
        job: of.and_then(|label| label.job.as_deref()),
        replica: of.map(|label| label.path.as_str()),
        pass: event.pass,
        action: event.action.as_str(),
        path: event.path.as_ref().map(shown),
        path_bytes: event.path.as_ref().and_then(raw),
        from: event.from.as_ref().map(shown),
        from_bytes: event.from.as_ref().and_then(raw),
        reason: &event.reason,
        bytes: event.bytes.unwrap_or(0),
        ms: event.took.map_or(0, |took| u64::try_from(took.as_millis()).unwrap_or(u64::MAX)),
        trash: event.kept.as_deref(),
        result,
        error: event.error.as_deref(),
    };
    json_line(&line)
}

/// A value as a line of JSON, with its end.
pub(crate) fn json_line(value: &impl Serialize) -> String {
    let mut text = serde_json::to_string(value).unwrap_or_default();
    if !text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
        text = escape_beyond_ascii(&text);
    }
    text.push('\n');
    text
}

/// JSON escapes the C0 controls by itself; the others that a terminal or a reader may act on come as `\uNNNN` as well.
fn escape_beyond_ascii(json: &str) -> String {
    let mut escaped = String::with_capacity(json.len());
    for ch in json.chars() {
        if ch == '\u{7f}' || is_unsafe_to_show(ch) {
            let mut units = [0; 2];
            for unit in ch.encode_utf16(&mut units) {
                let _ = write!(escaped, "\\u{unit:04x}");
            }
        } else {
            escaped.push(ch);
        }
    }
    escaped
}

/// Bytes for people: `4.1 KiB`.
pub(crate) fn size(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    #[allow(clippy::cast_precision_loss, reason = "one decimal is shown")]
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1023.95 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_read_as_people_write_them() {
        for (bytes, text) in
            [(0, "0 B"), (1023, "1023 B"), (1024, "1.0 KiB"), (4198, "4.1 KiB"), (1 << 30, "1.0 GiB")]
        {
            assert_eq!(size(bytes), text);
        }
    }
}
