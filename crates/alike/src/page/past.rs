//! The history and the trash of a replica as JSON, newest first.

use std::collections::BTreeMap;
use std::path::Path;

use alike_engine::chronicle::{self, Written};
use alike_engine::hold::Site;
use alike_engine::kept::{Kept, kept};
use alike_engine::monitor::Event;
use alike_model::entry::Time;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde_json::{Value, json};

use crate::history::{event, timestamp};
use crate::log::{Form, line};
use crate::run::Failure;
use crate::up::record::rfc;

/// So many actions of a pass are shown.
const ACTIONS: usize = 200;

/// Part of what is known: at most so many, all before this number.
#[derive(Clone, Copy)]
pub(crate) struct Part {
    pub(crate) before: u64,
    pub(crate) limit: usize,
}

/// Passes that did something, with what they did.
pub(crate) fn passes(replica: &Path, part: Part) -> Result<Value, Failure> {
    let site = Site::open(replica)?;
    let all = chronicle::read(&site.trash)?;
    let mut passes: BTreeMap<u64, Vec<&Written>> = BTreeMap::new();
    for written in all.iter().filter(|written| written.deed.pass < part.before) {
        passes.entry(written.deed.pass).or_default().push(written);
    }
    let more = passes.len() > part.limit;
    let shown: Vec<Value> =
        passes.iter().rev().take(part.limit).map(|(pass, deeds)| one_pass(*pass, deeds)).collect();
    Ok(json!({ "passes": shown, "more": more }))
}

fn one_pass(pass: u64, deeds: &[&Written]) -> Value {
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for written in deeds {
        *counts.entry(written.deed.action.as_str()).or_default() += 1;
    }
    let times = || deeds.iter().map(|written| written.deed.at);
    let (first, last) = (times().min().unwrap_or_default(), times().max().unwrap_or_default());
    let actions: Vec<Value> =
        deeds.iter().take(ACTIONS).map(|written| told(&event(written), written)).collect();
    json!({
        "pass": pass,
        "began": rfc(timestamp(first)),
        "ended": rfc(timestamp(last)),
        "counts": counts,
        "actions": actions,
        "more": deeds.len().saturating_sub(ACTIONS),
    })
}

fn told(event: &Event, written: &Written) -> Value {
    in_json(event, timestamp(written.deed.at))
}

/// An event as the log has it.
pub(crate) fn in_json(event: &Event, at: Timestamp) -> Value {
    serde_json::from_str(&line(event, at, &TimeZone::UTC, Form::Json)).unwrap_or_default()
}

/// What the trash keeps, each with the moment before it was taken away. `before` is a place in it.
pub(crate) fn trash(replica: &Path, part: Part) -> Result<Value, Failure> {
    let site = Site::open(replica)?;
    let all = chronicle::read(&site.trash)?;
    let places: Vec<&Written> = all.iter().filter(|written| written.deed.kept).collect();
    let end = usize::try_from(part.before).unwrap_or(usize::MAX).min(places.len());
    let begin = end.saturating_sub(part.limit);
    // A folder is walked for its length: only those that are shown.
    let wanted: Vec<Written> = places[begin..end].iter().map(|written| (*written).clone()).collect();
    let kept = kept(&site, &wanted).map_err(|why| Failure::Failed(why.to_string()))?;
    let shown: Vec<Value> = kept.iter().rev().map(one_kept).collect();
    Ok(json!({ "trash": shown, "all": places.len(), "next": begin, "more": begin > 0 }))
}

fn one_kept(kept: &Kept<'_>) -> Value {
    let deed = &kept.written.deed;
    let mut value = told(&Event { bytes: Some(kept.bytes), took: None, ..event(kept.written) }, kept.written);
    value["kind"] = kept.stamp.kind.to_string().into();
    value["reason"] = deed.reason.clone().into();
    value["at"] = rfc(timestamp(before(deed.at))).into();
    value
}

/// The millisecond before a moment.
fn before(at: Time) -> Time {
    let millis = i64::from(at.nanos / 1_000_000) - 1;
    let nanos = u32::try_from(millis.rem_euclid(1000)).unwrap_or(0) * 1_000_000;
    Time { secs: at.secs + millis.div_euclid(1000), nanos }
}
