//! What is known of all jobs that run, for whoever asks: `alike status`, the status page, hooks.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use alike_engine::monitor::{Event, Monitor, State};
use jiff::Timestamp;

use super::feed::{Feed, What};
use super::hooks::Hooks;
use super::kept::OnReplica;
use super::record::{Record, Turned, rfc};
use super::report::{JobReport, ReplicaReport, Report, Standing};
use crate::config::Job;
use crate::console::{Console, Voice};
use crate::log::one_line;

/// What is known of all jobs.
pub(crate) struct Board {
    since: Timestamp,
    jobs: Mutex<Vec<Arc<JobBoard>>>,
    told: Mutex<Config>,
    pub(crate) feed: Arc<Feed>,
}

#[derive(Default)]
struct Config {
    files: Vec<PathBuf>,
    trouble: Option<String>,
    web: Option<String>,
    web_trouble: Option<String>,
    token: String,
}

/// What is known of one job.
pub(crate) struct JobBoard {
    pub(crate) name: Arc<str>,
    source: PathBuf,
    pub(crate) replicas: Vec<ReplicaBoard>,
    hooks: Option<Hooks>,
    /// Its console, once its log could be opened.
    console: Mutex<Option<Arc<Console>>>,
}

/// What is known of one replica.
pub(crate) struct ReplicaBoard {
    pub(crate) path: PathBuf,
    pub(crate) shown: Arc<str>,
    pub(crate) record: Record,
    pub(crate) on_replica: OnReplica,
}

impl Board {
    pub(crate) fn new() -> Self {
        Self { since: Timestamp::now(), jobs: Mutex::default(), told: Mutex::default(), feed: Arc::default() }
    }

    /// The jobs that run now, in the order of the config file.
    pub(crate) fn jobs(&self) -> Vec<Arc<JobBoard>> {
        lock(&self.jobs).clone()
    }

    pub(crate) fn show(&self, jobs: Vec<Arc<JobBoard>>) {
        *lock(&self.jobs) = jobs;
    }

    /// The config that is in force.
    pub(crate) fn configured(&self, files: Vec<PathBuf>) {
        let mut told = lock(&self.told);
        (told.files, told.trouble) = (files, None);
    }

    /// The config file, as it is now, is not in force, and why.
    pub(crate) fn config_is_broken(&self, why: String) {
        lock(&self.told).trouble = Some(why);
    }

    /// Where the status page is.
    pub(crate) fn page_is_at(&self, web: Option<String>) {
        let mut told = lock(&self.told);
        (told.web, told.web_trouble) = (web, None);
    }

    /// It cannot be shown, and why.
    pub(crate) fn page_trouble(&self, why: String) {
        let mut told = lock(&self.told);
        (told.web, told.web_trouble) = (None, Some(why));
    }

    /// What the page takes changes with.
    pub(crate) fn token_is(&self, token: &str) {
        token.clone_into(&mut lock(&self.told).token);
    }

    /// The same with what only the owner of the control socket may know: the address of the page that brings the token.
    pub(crate) fn report_to_owner(&self) -> Report {
        let report = self.report();
        let token = lock(&self.told).token.clone();
        Report { web: report.web.map(|web| format!("{web}#token={token}")), ..report }
    }

    pub(crate) fn report(&self) -> Report {
        self.report_by(ReplicaBoard::report)
    }

    /// The same without what has to be looked for on the replicas.
    pub(crate) fn glance(&self) -> Report {
        self.report_by(|replica| replica.record.report(&replica.shown))
    }

    fn report_by(&self, of: impl Fn(&ReplicaBoard) -> ReplicaReport) -> Report {
        let jobs: Vec<JobReport> = self.jobs().iter().map(|job| job.report(&of)).collect();
        let told = lock(&self.told);
        Report {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            pid: std::process::id(),
            since: rfc(self.since),
            well: told.trouble.is_none() && !told.files.is_empty() && jobs.iter().all(|job| job.well),
            config: told.files.iter().map(|file| shown(file)).collect(),
            config_trouble: told.trouble.clone(),
            web: told.web.clone(),
            web_trouble: told.web_trouble.clone(),
            jobs,
        }
    }
}

impl JobBoard {
    /// Nothing is known of it yet.
    ///
    /// # Errors
    /// When the system has no more threads for its hooks.
    pub(crate) fn of(job: &Job) -> std::io::Result<Self> {
        let hooks = Hooks::start(&job.name.as_str().into(), &job.hooks)?;
        Ok(Self { hooks, ..Self::of_none(job) })
    }

    /// One that does not run, and has no hooks.
    pub(crate) fn of_none(job: &Job) -> Self {
        Self {
            hooks: None,
            console: Mutex::default(),
            name: job.name.as_str().into(),
            source: job.mirror.pair.source.clone(),
            replicas: job.replicas().map(|path| ReplicaBoard::of(path, job.mirror.interval)).collect(),
        }
    }

    /// What it says is said there from now on.
    pub(crate) fn speaks_through(&self, console: &Arc<Console>) {
        *lock(&self.console) = Some(Arc::clone(console));
    }

    /// Its console, once its log could be opened.
    pub(crate) fn console(&self) -> Option<Arc<Console>> {
        lock(&self.console).clone()
    }

    /// Something was done to a replica by a person and not by its mirror: whoever follows and the log are told of it all the same.
    pub(crate) fn was_done(&self, feed: &Feed, number: usize, event: Event) {
        feed.tell((&self.name, &self.replicas[number].shown), What::Event(Arc::new(event.clone())));
        if let Some(console) = self.console() {
            console.voice(number).event(event);
        }
    }

    /// Tells whoever follows of something that becomes of a replica.
    fn tell(&self, feed: &Feed, number: usize, what: What) {
        let replica = &self.replicas[number].shown;
        if let Some(hooks) = &self.hooks {
            hooks.note((number, replica), &what);
        }
        feed.tell((&self.name, replica), what);
    }

    fn report(&self, of: &impl Fn(&ReplicaBoard) -> ReplicaReport) -> JobReport {
        let replicas: Vec<ReplicaReport> = self.replicas.iter().map(of).collect();
        JobReport {
            name: self.name.to_string(),
            source: shown(&self.source),
            well: replicas.iter().all(|replica| replica.well),
            hook_troubles: self.hooks.as_ref().map(Hooks::troubles).unwrap_or_default(),
            replicas,
        }
    }

    /// All its mirrors have ended.
    pub(crate) fn ended(&self, feed: &Feed, (is, why): (Standing, &str)) {
        for (number, replica) in self.replicas.iter().enumerate() {
            self.tell(feed, number, replica.record.ended(is, one_line(why)).into());
        }
    }
}

impl ReplicaBoard {
    fn of(path: &Path, interval: Duration) -> Self {
        Self {
            path: path.to_owned(),
            shown: shown(path).into(),
            record: Record::new(interval),
            on_replica: OnReplica::of(path),
        }
    }

    fn report(&self) -> ReplicaReport {
        let report = self.record.report(&self.shown);
        let found = self.on_replica.found();
        let hold = found.hold.filter(|_| report.state == Standing::Halted);
        ReplicaReport { trash: found.trash, hold, ..report }
    }
}

impl From<Option<Turned>> for What {
    fn from(turned: Option<Turned>) -> Self {
        turned.map_or(Self::Stands, |Turned { was, is, why }| Self::Verdict { was, is, why })
    }
}

/// Writes down what a mirror tells, and hands it on.
pub(crate) struct Sight<'a> {
    pub(crate) voice: Voice<'a>,
    pub(crate) job: &'a JobBoard,
    /// Which of its replicas it tells of.
    pub(crate) number: usize,
    pub(crate) feed: &'a Feed,
}

impl Sight<'_> {
    fn record(&self) -> &Record {
        &self.job.replicas[self.number].record
    }

    fn tell(&self, what: What) {
        self.job.tell(self.feed, self.number, what);
    }
}

impl Monitor for Sight<'_> {
    fn event(&self, event: Event) {
        self.record().event(&event);
        if event.kept.is_some() {
            self.job.replicas[self.number].on_replica.grew();
        }
        self.tell(What::Event(Arc::new(event.clone())));
        self.voice.event(event);
    }

    fn note(&self, text: &str) {
        self.voice.note(text);
    }

    fn detail(&self, text: &str) {
        self.voice.detail(text);
    }

    fn state(&self, state: State) {
        self.tell(self.record().state(&state).into());
        self.voice.state(state);
    }

    fn lag(&self, since: Option<Instant>, paths: u64) {
        self.record().lag(since, paths);
        self.tell(What::Stands);
        self.voice.lag(since, paths);
    }

    fn read(&self, bytes: u64) {
        self.voice.read(bytes);
    }

    fn looked(&self, entries: u64) {
        self.record().looked(entries);
        self.voice.looked(entries);
    }
}

fn shown(path: &Path) -> String {
    one_line(&path.display().to_string())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
