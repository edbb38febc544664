//! How all replicas stand as figures, in the form and by the naming conventions of Prometheus.

use std::collections::HashMap;
use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use crate::up::report::{ReplicaReport, Report, Standing};

/// In which of the two forms of Prometheus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// What Prometheus asks for.
    OpenMetrics,
    /// What older readers and `promtool check metrics` read.
    Plain,
}

impl Form {
    /// The one that is asked for by an `Accept` header.
    pub(crate) fn wanted(accept: &str) -> Self {
        if accept.contains("application/openmetrics-text") { Self::OpenMetrics } else { Self::Plain }
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Plain => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

type Labels = Vec<(&'static str, String)>;
/// A replica with its labels.
type Replica<'a> = (&'a ReplicaReport, Labels);

/// All figures as text.
pub(crate) fn metrics(report: &Report, form: Form) -> String {
    let mut registry = Registry::default();
    registry.register("alike_up", "The alike up that runs", Info::new([("version", report.version.clone())]));
    let replicas: Vec<Replica<'_>> = report
        .jobs
        .iter()
        .flat_map(|job| job.replicas.iter().map(|replica| (job.name.clone(), replica)))
        .map(|(job, replica)| (replica, vec![("job", job), ("replica", replica.replica.clone())]))
        .collect();
    state(&mut registry, &replicas);
    work(&mut registry, &replicas);
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = encode(&mut text, &registry);
    if form == Form::Plain { plain(&text) } else { text }
}

/// The older form: a family is called as its samples are, and there are only gauges and counters.
fn plain(text: &str) -> String {
    let kinds = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let kinds: HashMap<&str, &str> = kinds.collect();
    let mut told = String::with_capacity(text.len());
    for line in text.lines() {
        let named = line.strip_prefix("# ").and_then(|rest| rest.split_once(' '));
        let Some((word, (name, rest))) = named.and_then(|(word, rest)| Some((word, rest.split_once(' ')?)))
        else {
            if !line.starts_with('#') {
                told.push_str(line);
                told.push('\n');
            }
            continue;
        };
        let (ending, kind) = match kinds.get(name) {
            Some(&"counter") => ("_total", "counter"),
            Some(&"info") => ("_info", "gauge"),
            _ => ("", "gauge"),
        };
        let rest = if word == "TYPE" { kind } else { rest };
        told.push_str(&format!("# {word} {name}{ending} {rest}\n"));
    }
    told
}

fn state(registry: &mut Registry, replicas: &[Replica<'_>]) {
    let mut gauge = |name: &str, help: &str, value: &dyn Fn(&ReplicaReport) -> Option<f64>| {
        let family = Family::<Labels, Gauge<f64, AtomicU64>>::default();
        for (replica, labels) in replicas {
            if let Some(value) = value(replica) {
                family.get_or_create(labels).set(value);
            }
        }
        registry.register(name, help, family);
    };
    let is = |yes: bool| Some(if yes { 1.0 } else { 0.0 });
    gauge("alike_replica_identical", "1 while nothing is known that differs from the source", &|replica| {
        is(replica.state == Standing::Identical)
    });
    gauge("alike_replica_well", "1 while it is identical or catching up within its limit", &|replica| {
        is(replica.well)
    });
    gauge(
        "alike_replica_halted",
        "1 while no pass is made, until the world or a person changes that",
        &|replica| is(replica.state == Standing::Halted),
    );
    gauge(
        "alike_replica_lag_seconds",
        "How long the oldest change waits that is not there yet",
        &|replica| Some(float(replica.lag_ms) / 1000.0),
    );
    gauge("alike_replica_lag_paths", "How many paths wait", &|replica| Some(float(replica.lag_paths)));
    gauge("alike_replica_failed_paths", "Paths that failed and are tried again", &|replica| {
        Some(float(replica.failed_count))
    });
    gauge("alike_replica_held_paths", "Paths that are held back or skipped", &|replica| {
        Some(float(replica.held_count))
    });
    gauge("alike_replica_files", "Entries of the source that are no folders", &|replica| {
        Some(float(replica.files))
    });
    gauge(
        "alike_replica_last_identical_timestamp_seconds",
        "When it was last known to be identical",
        &|replica| seconds(replica.identical_at.as_deref()?),
    );
    gauge("alike_replica_last_pass_seconds", "How long the last full pass took", &|replica| {
        Some(float(replica.last_pass.as_ref()?.ms) / 1000.0)
    });
    gauge("alike_replica_last_pass_timestamp_seconds", "When the last full pass ended", &|replica| {
        seconds(&replica.last_pass.as_ref()?.ended)
    });
    gauge("alike_replica_trash_entries", "What the trash keeps", &|replica| {
        Some(float(replica.trash.as_ref()?.entries))
    });
    gauge("alike_replica_trash_bytes", "The length of what the trash keeps", &|replica| {
        Some(float(replica.trash.as_ref()?.bytes))
    });
}

fn work(registry: &mut Registry, replicas: &[Replica<'_>]) {
    let mut counter = |name: &str, help: &str, value: &dyn Fn(&ReplicaReport) -> u64| {
        let family = Family::<Labels, Counter>::default();
        for (replica, labels) in replicas {
            family.get_or_create(labels).inc_by(value(replica));
        }
        registry.register(name, help, family);
    };
    counter("alike_replica_changes", "Actions that changed the replica since the start", &|replica| {
        replica.changes
    });
    counter("alike_replica_copied_bytes", "Bytes that they copied", &|replica| replica.bytes);
}

#[allow(clippy::cast_precision_loss, reason = "all figures of Prometheus are such")]
fn float(number: u64) -> f64 {
    number as f64
}

fn seconds(at: &str) -> Option<f64> {
    let at: jiff::Timestamp = at.parse().ok()?;
    Some(at.as_duration().as_secs_f64())
}
