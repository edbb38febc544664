//! How all replicas stand as figures, in the form and by the naming conventions of Prometheus.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

use crate::up::report::{ReplicaReport, Report, Standing};

/// What the text that [`metrics`] makes is called.
pub(crate) const FORM: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

type Labels = Vec<(&'static str, String)>;
/// A replica with its labels.
type Replica<'a> = (&'a ReplicaReport, Labels);

/// All figures as text.
pub(crate) fn metrics(report: &Report) -> String {
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
    text
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
