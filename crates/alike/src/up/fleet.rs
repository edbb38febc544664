//! The jobs that run, and what becomes of them when the config file changes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use alike_engine::turns::{Share, Turns};

use super::board::{Board, JobBoard};
use super::job::{Manner, Running};
use super::notify;
use super::report::Standing;
use crate::config::{self, Config, Job};

/// The jobs that run.
pub(crate) struct Fleet {
    board: Arc<Board>,
    turns: Arc<Turns>,
    manner: Manner,
    running: Vec<Running>,
    /// The names of all jobs, as the config has them.
    order: Vec<String>,
    started: u64,
    replicas: usize,
    /// Told to end, and not ended yet: their drives may hang.
    ending: Vec<Running>,
    /// Could not be started, for want of descriptors or threads; and when they are tried again.
    waiting: Vec<(Arc<Job>, Arc<JobBoard>)>,
    again: Instant,
    /// What the scrub found in jobs that have ended.
    found: u64,
}

/// Jobs that change are waited for so long; what is not over by then ends by itself.
const CHANGING: Duration = Duration::from_secs(20);
/// At the end everything is brought to the disk, and that may take a while.
const ENDING: Duration = Duration::from_secs(60);
/// Jobs that could not start are tried again this often.
const TRY_AGAIN: Duration = Duration::from_secs(10);

/// What a change of the config came to.
#[derive(Default)]
struct Changes {
    started: Vec<String>,
    changed: Vec<String>,
    stopped: Vec<String>,
    failed: Vec<String>,
    /// Do not end.
    hang: Vec<String>,
    unchanged: usize,
}

impl Fleet {
    pub(crate) fn new(board: Arc<Board>, manner: Manner) -> Self {
        Self {
            board,
            turns: Arc::default(),
            manner,
            running: Vec::new(),
            order: Vec::new(),
            started: 0,
            replicas: 0,
            ending: Vec::new(),
            waiting: Vec::new(),
            again: Instant::now(),
            found: 0,
        }
    }

    /// Makes the jobs that run those of this config: only what changed is started or stopped. Returns what was done, in words.
    pub(crate) fn apply(&mut self, config: Config) -> String {
        let mut changes = Changes::default();
        let wanted: Vec<Arc<Job>> = config.jobs.into_iter().map(Arc::new).collect();
        config::look_at_rules(&wanted);
        let (stay, go): (Vec<Running>, Vec<Running>) = std::mem::take(&mut self.running)
            .into_iter()
            .partition(|running| !running.has_ended() && wanted.iter().any(|job| job.runs_as(&running.job)));
        // All are told at once, and none is started before all that go are gone: one may take up what another lets go of.
        for running in &go {
            running.stop();
            let name = running.job.name.clone();
            let is_wanted = wanted.iter().any(|job| job.name == name);
            if is_wanted { &mut changes.changed } else { &mut changes.stopped }.push(name);
        }
        self.waiting.clear();
        // Those that hang since an earlier change were waited for then.
        let hang = std::mem::replace(&mut self.ending, go);
        self.await_ends(CHANGING);
        self.ending.extend(hang);
        self.await_ends(Duration::ZERO);
        changes.hang = self.ending.iter().map(|running| running.job.name.clone()).collect();
        changes.unchanged = stay.len();
        self.order = wanted.iter().map(|job| job.name.clone()).collect();
        self.replicas = wanted.iter().map(|job| job.replicas().count()).sum();
        let manner = self.manner_of_one();
        let mut stay: Vec<Option<Running>> = stay.into_iter().map(Some).collect();
        for job in wanted {
            let kept =
                stay.iter_mut().find(|slot| slot.as_ref().is_some_and(|running| running.job.runs_as(&job)));
            match kept.and_then(Option::take) {
                Some(running) => self.running.push(running),
                None => self.start(job, manner, &mut changes),
            }
        }
        self.show();
        self.board.configured(config.files);
        changes.told()
    }

    fn start(&mut self, job: Arc<Job>, manner: Manner, changes: &mut Changes) {
        self.started += 1;
        let (name, share) = (job.name.clone(), Share::of(&self.turns, self.started));
        match Running::start(Arc::clone(&job), &self.board, (share, manner)) {
            Ok(running) => {
                self.running.push(running);
                if !changes.changed.contains(&name) {
                    changes.started.push(name);
                }
            }
            Err(failure) => {
                let (why, _) = failure.told();
                let board = Arc::new(JobBoard::of_none(&job));
                board.ended(&self.board.feed, (Standing::Halted, &format!("it could not start: {why}")));
                changes.failed.push(format!("{name} ({why}; it is tried again)"));
                self.waiting.push((job, board));
                self.again = Instant::now() + TRY_AGAIN;
            }
        }
    }

    fn manner_of_one(&self) -> Manner {
        Manner { held_folders: self.manner.held_folders / self.replicas.max(4), ..self.manner }
    }

    /// How long until something is to be tried again.
    pub(crate) fn waits(&self) -> Option<Duration> {
        (!self.waiting.is_empty()).then(|| self.again.saturating_duration_since(Instant::now()))
    }

    /// Starts what could not be started before, when it is time.
    pub(crate) fn try_again(&mut self) {
        if self.waits() != Some(Duration::ZERO) {
            return;
        }
        let mut changes = Changes::default();
        for (job, _) in std::mem::take(&mut self.waiting) {
            self.start(job, self.manner_of_one(), &mut changes);
        }
        self.show();
    }

    fn show(&self) {
        let running = self.running.iter().map(|running| Arc::clone(&running.board));
        let waiting = self.waiting.iter().map(|(_, board)| Arc::clone(board));
        let mut boards: Vec<Arc<JobBoard>> = running.chain(waiting).collect();
        boards.sort_by_key(|board| self.order.iter().position(|name| **name == *board.name));
        self.board.show(boards);
    }

    /// Waits for those that are to end, but not longer than this.
    fn await_ends(&mut self, longest: Duration) {
        let until = Instant::now() + longest;
        while !self.ending.is_empty() {
            let (over, ending): (Vec<Running>, Vec<Running>) =
                std::mem::take(&mut self.ending).into_iter().partition(Running::has_ended);
            self.found += over.into_iter().map(Running::found).sum::<u64>();
            self.ending = ending;
            if self.ending.is_empty() || Instant::now() >= until {
                return;
            }
            notify::alive();
            std::thread::sleep(Duration::from_millis(5));
        }
    }

    pub(crate) fn pass_now(&self) {
        self.running.iter().for_each(|running| running.pass_now(false));
    }

    pub(crate) fn pass_of(&self, name: &str, allows_deletes: bool) -> Result<String, String> {
        let Some(running) = self.running.iter().find(|running| running.job.name == name) else {
            return Err(self.no_such(name));
        };
        let keeps = allows_deletes && running.job.mirror.pass.no_delete;
        if keeps {
            return Err(format!("{name} deletes nothing, ever: its config says no_delete"));
        }
        if allows_deletes && !running.is_mirroring() {
            return Err(format!("{name} could not begin; alike status says why. Nothing was allowed"));
        }
        running.pass_now(allows_deletes);
        let how = if allows_deletes { ", and may delete as much as it has to" } else { "" };
        Ok(format!("a pass of {name} begins{how}"))
    }

    fn no_such(&self, name: &str) -> String {
        if self.waiting.iter().any(|(job, _)| job.name == name) {
            return format!("{name} could not start; alike status says why");
        }
        let all: Vec<&str> = self.running.iter().map(|running| running.job.name.as_str()).collect();
        format!("there is no job {name}; there are {}", all.join(", "))
    }

    pub(crate) fn reopen_logs(&self) {
        self.running.iter().for_each(Running::reopen_log);
    }

    /// Ends all of them, or as many as end in time: what is left hangs, and ends with the process. Returns how much the scrub found
    /// damaged since the start.
    pub(crate) fn end(mut self) -> u64 {
        self.running.iter().for_each(Running::stop);
        let running = std::mem::take(&mut self.running);
        self.ending.extend(running);
        self.await_ends(ENDING);
        for running in &self.ending {
            say!("alike: {} does not end; what it was at is done again the next time", running.job.name);
        }
        self.found
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
            list("told to end, and not ended yet:", &self.hang),
            unchanged,
        ];
        told.into_iter().flatten().collect::<Vec<_>>().join("; ")
    }
}
