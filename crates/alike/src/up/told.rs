//! What the running `alike up` tells of one path: that it failed or is held back, and why.

use std::cell::OnceCell;
use std::path::Path;
use std::time::Duration;

use alike_model::event::Action;
use alike_model::path::RelPath;
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;

use super::report::{Report, Trouble};
use super::socket::reports;

/// Who hangs keeps nobody waiting for longer.
const PATIENCE: Duration = Duration::from_secs(1);

/// All that run here, asked once, when there is something to ask.
#[derive(Default)]
pub(crate) struct Running(OnceCell<Vec<Report>>);

/// What one of them tells of a path.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) job: String,
    pub(crate) action: Action,
    /// The path, or a folder above it.
    pub(crate) at: RelPath,
    pub(crate) why: String,
    pub(crate) since: String,
}

impl Running {
    /// What is told of a path of this replica, or of the nearest folder above it.
    pub(crate) fn tells(&self, replica: &Path, path: &RelPath) -> Option<Told> {
        let reports = self.0.get_or_init(|| reports(PATIENCE));
        reports.iter().find_map(|report| told(report, replica, path))
    }
}

fn told(report: &Report, replica: &Path, path: &RelPath) -> Option<Told> {
    let is_it = |shown: &str| {
        let at = Path::new(shown);
        at == replica || at.canonicalize().is_ok_and(|at| at == replica)
    };
    let of_jobs = report.jobs.iter().flat_map(|job| job.replicas.iter().map(move |one| (&job.name, one)));
    let here = of_jobs.filter(|(_, one)| is_it(&one.replica));
    let troubles = here.flat_map(|(job, one)| one.failed.iter().chain(&one.held).map(move |two| (job, two)));
    // What is wrong with the top folder itself says nothing of what is in it.
    let concerns = |at: &RelPath| at == path || path.is_within(at) && !at.is_root();
    let found = troubles.filter_map(|(job, trouble)| {
        let at = place(trouble).filter(concerns)?;
        let action = Action::parse(&trouble.action)?;
        let (why, since) = (trouble.reason.clone(), trouble.since.clone());
        Some(Told { job: job.clone(), action, at, why, since })
    });
    found.max_by_key(|told| told.at.as_bytes().len())
}

fn place(trouble: &Trouble) -> Option<RelPath> {
    match &trouble.path_bytes {
        Some(bytes) => RelPath::parse(&BASE64_STANDARD.decode(bytes).ok()?),
        None if trouble.path == "." => Some(RelPath::root()),
        None => RelPath::parse(trouble.path.as_bytes()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::time::Duration;

    use alike_engine::monitor::Event;

    use super::*;
    use crate::up::record::Record;
    use crate::up::report::JobReport;

    fn path(text: &[u8]) -> RelPath {
        RelPath::parse(text).unwrap()
    }

    fn report(troubles: &[(Action, &[u8])]) -> Report {
        let record = Record::new(Duration::from_secs(600));
        for (action, at) in troubles {
            record.event(&Event::about(1, *action, path(at), "permission denied"));
        }
        let replicas = vec![record.report("/r")];
        let hook_troubles = Vec::new();
        let (name, source) = ("one".to_owned(), "/s".to_owned());
        let job = JobReport { name, source, well: false, hook_troubles, replicas };
        let empty = r#"{"version":"0","pid":1,"since":"","well":false,"config":[],"jobs":[]}"#;
        Report { jobs: vec![job], ..serde_json::from_str(empty).unwrap() }
    }

    #[test]
    fn of_a_path_that_is_told_which_is_nearest_to_it_and_of_another_replica_nothing() {
        let report = report(&[
            (Action::Error, b""),
            (Action::Error, b"docs"),
            (Action::Hold, b"docs/a"),
            (Action::Error, b"docs/\xff"),
        ]);
        let at = |text: &[u8]| told(&report, Path::new("/r"), &path(text)).map(|told| (told.action, told.at));
        assert_eq!(at(b"docs/a/deep"), Some((Action::Hold, path(b"docs/a"))));
        assert_eq!(at(b"docs/ab"), Some((Action::Error, path(b"docs"))));
        assert_eq!(at(b"docs/\xff"), Some((Action::Error, path(b"docs/\xff"))));
        assert_eq!(at(b"elsewhere"), None, "the top folder is not everything in it");
        assert_eq!(at(b""), Some((Action::Error, RelPath::root())));
        assert_eq!(told(&report, Path::new("/another"), &path(b"docs/a")), None);
    }
}
