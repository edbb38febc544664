//! What systemd is told: ready, reloading, stopping, alive, and one line about how things stand.
//!
//! Without systemd there is nobody to tell, and all of this does nothing. The protocol is that of sd_notify(3).

use std::time::Duration;

use sd_notify::NotifyState;

use super::report::{Report, Standing};

pub(crate) fn ready() {
    tell(&[NotifyState::Ready]);
}

pub(crate) fn reloading() {
    if let Ok(now) = NotifyState::monotonic_usec_now() {
        tell(&[NotifyState::Reloading, now]);
    }
}

pub(crate) fn stopping() {
    tell(&[NotifyState::Stopping]);
}

pub(crate) fn alive() {
    tell(&[NotifyState::Watchdog]);
}

pub(crate) fn status(text: &str) {
    tell(&[NotifyState::Status(text)]);
}

/// How often it wants to hear that this process is alive; half of what it allows.
pub(crate) fn watchdog() -> Option<Duration> {
    sd_notify::watchdog_enabled().map(|allowed| allowed / 2)
}

/// True when somebody listens.
pub(crate) fn is_heard() -> bool {
    std::env::var_os("NOTIFY_SOCKET").is_some()
}

fn tell(state: &[NotifyState<'_>]) {
    // Who started us may be gone; a mirror goes on without.
    let _ = sd_notify::notify(state);
}

/// All jobs in one line: what is wrong first.
pub(crate) fn line(report: &Report) -> String {
    let replicas =
        || report.jobs.iter().flat_map(|job| job.replicas.iter().map(move |replica| (job, replica)));
    let of = replicas().count();
    let wrong = replicas().filter(|(_, replica)| {
        matches!(replica.state, Standing::Halted | Standing::Differs | Standing::Damaged | Standing::Stopped)
    });
    let wrong: Vec<String> =
        wrong.map(|(job, replica)| format!("{} {}", job.name, replica.state.word())).collect();
    let identical = replicas().filter(|(_, replica)| replica.state == Standing::Identical).count();
    let behind = replicas().map(|(_, replica)| replica.lag_ms).max().unwrap_or_default();
    let mut line = match wrong.is_empty() {
        true => format!("{identical} of {of} replicas identical"),
        false => format!("{}; {identical} of {of} replicas identical", wrong.join(", ")),
    };
    if behind >= 1000 {
        line.push_str(&format!(", {} s behind", behind / 1000));
    }
    if report.config_trouble.is_some() {
        line.push_str("; the config file is broken, the one before is in force");
    }
    line
}
