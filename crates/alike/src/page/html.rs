//! The page itself: one file with its style and its script inside, and how all stand as plain HTML for who has scripts off.

use std::fmt::Write as _;
use std::sync::LazyLock;

use alike_model::path::Escaped;
use axum::http::HeaderValue;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use sha2::{Digest, Sha256};

use crate::log::size;
use crate::up::report::{ReplicaReport, Report, Standing, Trouble};

const FRAME: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
/// One block, so that no name in it is a browser's own.
const SCRIPT: &str = concat!(
    "\"use strict\";\n{\n",
    include_str!("words.js"),
    include_str!("replica.js"),
    include_str!("page.js"),
    "}\n"
);

/// What a browser may do on this page: nothing but this style, this script, and questions to where it came from.
pub(crate) fn policy() -> HeaderValue {
    static POLICY: LazyLock<String> = LazyLock::new(|| {
        let hash = |text: &str| format!("'sha256-{}'", BASE64_STANDARD.encode(Sha256::digest(text)));
        format!(
            "default-src 'none'; style-src {}; script-src {}; connect-src 'self'; img-src data:; frame-ancestors 'none'; \
             base-uri 'none'; form-action 'none'",
            hash(STYLE),
            hash(SCRIPT)
        )
    });
    HeaderValue::from_str(&POLICY).unwrap_or(HeaderValue::from_static("default-src 'none'"))
}

pub(crate) fn page(report: &Report) -> String {
    let mut jobs = String::new();
    for job in &report.jobs {
        let _ = write!(
            jobs,
            "<section class=\"job\"><header class=\"job-head\"><h2>{}</h2><p class=\"path\">{}</p></header>",
            text(&job.name),
            text(&job.source)
        );
        job.replicas.iter().for_each(|replica| one_replica(&mut jobs, replica));
        jobs.push_str("</section>");
    }
    let verdict = match (report.well, &report.config_trouble) {
        (true, _) => "All is well".to_owned(),
        (false, None) => "Not all is well".to_owned(),
        (false, Some(why)) => {
            format!("The config file is broken; what was loaded before is in force: {}", text(why))
        }
    };
    // In one go: what comes from the world is not looked at again.
    let mut page = String::with_capacity(FRAME.len() + STYLE.len() + SCRIPT.len() + jobs.len());
    let mut rest = FRAME;
    while let Some((before, after)) = rest.split_once("{{") {
        let Some((name, after)) = after.split_once("}}") else { break };
        page.push_str(before);
        page.push_str(match name {
            "style" => STYLE,
            "script" => SCRIPT,
            "jobs" => &jobs,
            "verdict" => &verdict,
            "version" => &report.version,
            _ => "",
        });
        rest = after;
    }
    page.push_str(rest);
    page
}

fn one_replica(html: &mut String, replica: &ReplicaReport) {
    let _ = write!(
        html,
        "<article class=\"replica\"><h3 class=\"path\">{}</h3><p class=\"state {}\"><span class=\"word\">{}</span> \
         <span class=\"why\">{}</span></p><dl class=\"facts\">",
        text(&replica.replica),
        tone(replica),
        replica.state.word(),
        text(&replica.why)
    );
    let mut fact = |name: &str, value: &str| {
        let _ = write!(html, "<div><dt>{name}</dt><dd>{value}</dd></div>");
    };
    fact("Identical as of", &replica.identical_at.as_deref().map_or_else(|| "not yet".to_owned(), here));
    let behind = match (replica.lag_paths, replica.lag_ms) {
        (0, 0) => "nothing waits".to_owned(),
        (paths, ms) => format!("{}, {ms} ms", counted(paths, "path", "paths")),
    };
    fact("Behind", &behind);
    fact("Files", &replica.files.to_string());
    fact("Copied since the start", &size(replica.bytes));
    if let Some(trash) = &replica.trash {
        fact("Trash", &format!("{}, {}", counted(trash.entries, "entry", "entries"), size(trash.bytes)));
    }
    let pass = replica.last_pass.as_ref();
    let told = pass.map(|pass| format!("{}, {} ms: {}", here(&pass.ended), pass.ms, text(&pass.summary)));
    fact("Last full pass", told.as_deref().unwrap_or("not yet"));
    html.push_str("</dl>");
    troubles(html, "Failed", &replica.failed, replica.failed_count);
    troubles(html, "Held back or skipped", &replica.held, replica.held_count);
    html.push_str("</article>");
}

fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// A moment by the clock of this machine.
fn here(at: &str) -> String {
    let at: Option<jiff::Timestamp> = at.parse().ok();
    at.map_or_else(String::new, |at| {
        at.to_zoned(crate::zone::here()).strftime("%Y-%m-%d %H:%M:%S").to_string()
    })
}

fn troubles(html: &mut String, title: &str, named: &[Trouble], all: u64) {
    if named.is_empty() {
        return;
    }
    let _ = write!(html, "<h4>{title} ({all})</h4><ul class=\"rows\">");
    for trouble in named {
        let _ = write!(
            html,
            "<li><span class=\"path\">{}</span> {}</li>",
            path(&trouble.path, trouble.path_bytes.as_deref()),
            text(&trouble.reason)
        );
    }
    html.push_str("</ul>");
}

/// The colour that a state is shown in, beside its word.
fn tone(replica: &ReplicaReport) -> &'static str {
    match replica.state {
        Standing::Identical if replica.well => "good",
        Standing::Identical | Standing::Differs => "warn",
        Standing::Starting | Standing::Comparing | Standing::Copying => "busy",
        Standing::Halted | Standing::Damaged => "bad",
        Standing::Stopped => "off",
    }
}

/// A path with what could mislead shown as an escape.
fn path(path: &str, bytes: Option<&str>) -> String {
    let bytes = bytes.and_then(|bytes| BASE64_STANDARD.decode(bytes).ok());
    text(&Escaped(bytes.as_deref().unwrap_or(path.as_bytes())).to_string())
}

/// Text as HTML.
fn text(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for ch in text.chars() {
        match ch {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            _ => html.push(ch),
        }
    }
    html
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_becomes_markup_and_none_misleads() {
        assert_eq!(
            path("<img src=x onerror=\"a('b')\">&", None),
            "&lt;img src=x onerror=&quot;a(&#39;b&#39;)&quot;&gt;&amp;"
        );
        assert_eq!(path("a\nb\u{202e}c", None), "a\\nb\\u{202e}c");
        assert_eq!(path("\u{fffd}", Some("/25hbWU=")), "\\xffname");
    }
}
