//! The jobs that run, and what becomes of them when the config file changes.

use std::sync::Arc;

use alike_engine::turns::{Share, Turns};

use super::board::Board;
use super::job::{Manner, Running};
use crate::config::{Config, Job};

/// The jobs that run.
pub(crate) struct Fleet {
    board: Arc<Board>,
    turns: Arc<Turns>,
    manner: Manner,
    running: Vec<Running>,
    started: u64,
    /// What the scrub found in jobs that have ended.
    found: u64,
}

/// What a change of the config came to.
#[derive(Default)]
struct Changes {
    started: Vec<String>,
    changed: Vec<String>,
    stopped: Vec<String>,
    failed: Vec<String>,
    unchanged: usize,
}

impl Fleet {
    pub(crate) fn new(board: Arc<Board>, manner: Manner) -> Self {
        Self { board, turns: Arc::default(), manner, running: Vec::new(), started: 0, found: 0 }
    }

    /// Makes the jobs that run those of this config: only what changed is started or stopped. Returns what was done, in words.
    pub(crate) fn apply(&mut self, config: Config) -> String {
        let mut changes = Changes::default();
        let wanted: Vec<Arc<Job>> = config.jobs.into_iter().map(Arc::new).collect();
        let (stay, go): (Vec<Running>, Vec<Running>) = std::mem::take(&mut self.running)
            .into_iter()
            .partition(|running| !running.has_ended() && wanted.contains(&running.job));
        // All are told at once, and none is started before all that go are gone: one may take up what another lets go of.
        go.iter().for_each(Running::stop);
        for running in go {
            let name = running.job.name.clone();
            let is_wanted = wanted.iter().any(|job| job.name == name);
            if is_wanted { &mut changes.changed } else { &mut changes.stopped }.push(name);
            self.found += running.end();
        }
        changes.unchanged = stay.len();
        let replicas: usize = wanted.iter().map(|job| job.replicas().count()).sum();
        let manner = Manner { held_folders: self.manner.held_folders / replicas.max(4), ..self.manner };
        let mut stay: Vec<Option<Running>> = stay.into_iter().map(Some).collect();
        for job in wanted {
            let kept = stay.iter_mut().find(|slot| slot.as_ref().is_some_and(|running| running.job == job));
            match kept.and_then(Option::take) {
                Some(running) => self.running.push(running),
                None => self.start(job, manner, &mut changes),
            }
        }
        self.board.show(self.running.iter().map(|running| Arc::clone(&running.board)).collect());
        self.board.configured(config.files);
        changes.told()
    }

    fn start(&mut self, job: Arc<Job>, manner: Manner, changes: &mut Changes) {
        self.started += 1;
        let (name, share) = (job.name.clone(), Share::of(&self.turns, self.started));
        match Running::start(job, &self.board, (share, manner)) {
            Ok(running) => {
                self.running.push(running);
                if !changes.changed.contains(&name) {
                    changes.started.push(name);
                }
            }
            Err(failure) => changes.failed.push(format!("{name} ({})", failure.told().0)),
        }
    }

    pub(crate) fn pass_now(&self) {
        self.running.iter().for_each(Running::pass_now);
    }

    pub(crate) fn pass_of(&self, name: &str) -> Result<String, String> {
        match self.running.iter().find(|running| running.job.name == name) {
            Some(running) => {
                running.pass_now();
                Ok(format!("a pass of {name} begins"))
            }
            None => Err(format!("there is no job {name}")),
        }
    }

    pub(crate) fn reopen_logs(&self) {
        self.running.iter().for_each(Running::reopen_log);
    }

    /// Ends all of them. Returns how much the scrub found damaged since the start.
    pub(crate) fn end(self) -> u64 {
        self.running.iter().for_each(Running::stop);
        self.found + self.running.into_iter().map(Running::end).sum::<u64>()
    }
}

impl Changes {
    fn told(&self) -> String {
        let list = |what: &str, names: &[String]| match names {
            [] => None,
            names => Some(format!("{what} {}", names.join(", "))),
        };
        let unchanged = match self.unchanged {
            0 => None,
            1 => Some("1 job unchanged".to_owned()),
            jobs => Some(format!("{jobs} jobs unchanged")),
        };
        let told = [
            list("started", &self.started),
            list("changed", &self.changed),
            list("stopped", &self.stopped),
            list("could not start", &self.failed),
            unchanged,
        ];
        told.into_iter().flatten().collect::<Vec<_>>().join("; ")
    }
}
