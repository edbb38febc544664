//! Standard output and error: lines, and on a terminal a line below them that says what is going on.

use std::io::{self, IsTerminal, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use alike_engine::monitor::{Event, Monitor, State};
use alike_model::event::Action;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::args::LogLevel;
use crate::journald::{Priority, leads_to_journal};
use crate::log::{Form, level, line, line_of};
use crate::log_file::LogFile;
use crate::progress::Total;
use crate::signals::Received;
use crate::standing::{Label, Standing, status};

/// What is said, and where.
pub(crate) struct Console {
    zone: TimeZone,
    /// How events are written to standard output; `None`: not at all.
    stdout_form: Option<Form>,
    least: LogLevel,
    verbose: bool,
    log_form: Form,
    lines: Mutex<Lines>,
    status: ProgressBar,
    /// One for each replica.
    standings: Vec<Standing>,
    /// What is in the source, once it has been counted.
    total: Arc<Total>,
    quiet: AtomicBool,
    /// Standard output is the journal of the system.
    to_journal: bool,
}

struct Lines {
    log: Option<LogFile>,
    /// Not yet on standard output.
    pending: Vec<u8>,
    written: Instant,
}

/// What a console is made from.
pub(crate) struct Options {
    pub(crate) stdout_form: Option<Form>,
    /// On a terminal, a line says how far it is.
    pub(crate) status: bool,
    pub(crate) least: LogLevel,
    pub(crate) verbose: bool,
    pub(crate) log: Option<LogFile>,
    pub(crate) log_form: Form,
}

/// Lines wait this long for others, and this many bytes.
const GATHER: Duration = Duration::from_millis(100);
const GATHER_BYTES: usize = 64 * 1024;

impl Console {
    pub(crate) fn new(options: Options) -> Self {
        let shows_status = io::stderr().is_terminal() && options.status;
        let target =
            if shows_status { ProgressDrawTarget::stderr_with_hz(8) } else { ProgressDrawTarget::hidden() };
        let status = ProgressBar::with_draw_target(None, target);
        if let Ok(style) = ProgressStyle::with_template("{wide_msg}") {
            status.set_style(style);
        }
        let lines = Lines { log: options.log, pending: Vec::new(), written: Instant::now() };
        let to_journal = leads_to_journal(io::stdout().as_fd());
        let in_journal = |form| if to_journal && form == Form::Text { Form::Journal } else { form };
        Self {
            zone: crate::zone::here(),
            stdout_form: options.stdout_form.map(in_journal),
            to_journal,
            least: options.least,
            verbose: options.verbose,
            log_form: options.log_form,
            lines: Mutex::new(lines),
            status,
            standings: vec![Standing::default()],
            total: Arc::default(),
            quiet: AtomicBool::new(false),
        }
    }

    /// The same, to tell of these replicas: of several, it says which it speaks of.
    pub(crate) fn telling_of(mut self, replicas: &[&Path], job: Option<&str>) -> Self {
        let labels = job.map_or_else(|| Label::all(replicas), |job| Label::of_job(job, replicas));
        self.standings = labels.into_iter().map(Standing::of).collect();
        self
    }

    /// Tells of one of the replicas.
    pub(crate) fn voice(&self, of: usize) -> Voice<'_> {
        Voice { console: self, of }
    }

    /// True when there is a line to keep up to date.
    pub(crate) fn shows_status(&self) -> bool {
        !self.status.is_hidden()
    }

    /// Where it is told what is in the source.
    pub(crate) fn total(&self) -> Arc<Total> {
        Arc::clone(&self.total)
    }

    /// Brings the status line up to date.
    pub(crate) fn tick(&self) {
        self.status.set_message(status(&self.standings, &self.total));
    }

    /// Says something to the person at the terminal.
    pub(crate) fn say(&self, text: &str) {
        self.flush();
        self.status.suspend(|| say!("alike: {text}"));
    }

    /// Asks the person at the terminal; without one, the answer is no.
    pub(crate) fn asks(&self, question: &str, signals: &Received) -> bool {
        if !io::stdin().is_terminal() || !self.shows_status() {
            return false;
        }
        self.flush();
        agreed(question, signals)
    }

    /// Opens the log file anew.
    pub(crate) fn reopen_log(&self) {
        if let Some(log) = &mut self.lock().log {
            log.reopen();
        }
    }

    /// Writes all that waits, and takes the status line away.
    pub(crate) fn finish(&self) {
        self.flush();
        self.status.finish_and_clear();
    }

    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Writes all that waits.
    pub(crate) fn flush(&self) {
        let mut lines = self.lock();
        self.write_out(&mut lines);
        if let Some(log) = &mut lines.log {
            log.flush();
        }
    }

    /// A line for standard output, and, where there is a log file, the event that it tells of.
    pub(crate) fn result(&self, text: Option<&str>, event: &Event) {
        let mut lines = self.lock();
        if let Some(log) = lines.log.as_mut().filter(|_| level(event) <= self.least) {
            log.write(&line(event, Timestamp::now(), &self.zone, self.log_form));
        }
        if let Some(text) = text {
            self.gather(&mut lines, level(event).into(), text);
        }
    }

    /// A line above those of one replica, where there are several.
    pub(crate) fn head(&self, text: &str) {
        self.gather(&mut self.lock(), Priority::Info, text);
    }

    fn write(&self, event: &Event, label: Option<&Label>) {
        if level(event) > self.least {
            return;
        }
        let now = Timestamp::now();
        let on_stdout = self.stdout_form.filter(|form| {
            let is_frame = matches!(event.action, Action::PassStart | Action::PassEnd);
            !(matches!(form, Form::Step | Form::ColouredStep) && is_frame)
        });
        let of = (event, label);
        let shown = on_stdout.map(|form| (form, line_of(of, now, &self.zone, form)));
        let mut lines = self.lock();
        if let Some(log) = &mut lines.log {
            match &shown {
                Some((form, text)) if *form == self.log_form => log.write(text),
                _ => log.write(&line_of(of, now, &self.zone, self.log_form)),
            }
        }
        if let Some((_, text)) = shown {
            self.gather(&mut lines, level(event).into(), &text);
        }
        drop(lines);
        if event.path.is_none() {
            // What concerns the whole is rare, and it may be long before anything else is said: a halt, say.
            self.flush();
        }
    }

    fn gather(&self, lines: &mut Lines, priority: Priority, text: &str) {
        if self.quiet.load(Ordering::Relaxed) {
            return;
        }
        if self.to_journal {
            lines.pending.extend_from_slice(priority.mark().as_bytes());
        }
        lines.pending.extend_from_slice(text.as_bytes());
        if lines.pending.len() >= GATHER_BYTES || lines.written.elapsed() >= GATHER {
            self.write_out(lines);
        }
    }

    fn write_out(&self, lines: &mut Lines) {
        if lines.pending.is_empty() {
            return;
        }
        let pending = std::mem::take(&mut lines.pending);
        lines.written = Instant::now();
        self.status.suspend(|| {
            let mut stdout = io::stdout().lock();
            // A reader that went away is no reason to stop a mirror; from then on nothing is written there.
            if stdout.write_all(&pending).and_then(|()| stdout.flush()).is_err() {
                self.quiet.store(true, Ordering::Relaxed);
            }
        });
    }
}

/// Tells of one replica.
pub(crate) struct Voice<'a> {
    console: &'a Console,
    of: usize,
}

impl Voice<'_> {
    fn standing(&self) -> &Standing {
        &self.console.standings[self.of]
    }

    /// What the replica is called; nothing when there is one.
    pub(crate) fn label(&self) -> Option<&Label> {
        self.standing().label.as_ref()
    }

    /// Says something of it to the person at the terminal.
    pub(crate) fn say(&self, text: &str) {
        match self.label() {
            Some(label) => self.console.say(&format!("{}: {text}", label.name())),
            None => self.console.say(text),
        }
    }
}

impl Monitor for Voice<'_> {
    fn event(&self, event: Event) {
        if let Some(bytes) = event.bytes {
            self.standing().copied.fetch_add(1, Ordering::Relaxed);
            self.standing().bytes.fetch_add(bytes, Ordering::Relaxed);
        }
        if !matches!(event.action, Action::PassStart | Action::PassEnd | Action::Watch) {
            self.standing().changed();
        }
        let about_errors = level(&event) == LogLevel::Error;
        if about_errors && self.console.stdout_form.is_none_or(|form| form == Form::Json) {
            self.say(&complaint(&event));
        }
        self.console.write(&event, self.label());
    }

    fn read(&self, bytes: u64) {
        self.standing().read.fetch_add(bytes, Ordering::Relaxed);
    }

    fn note(&self, text: &str) {
        if self.console.stdout_form.is_some() {
            self.say(text);
        }
    }

    fn detail(&self, text: &str) {
        if self.console.verbose {
            self.say(text);
        }
    }

    fn state(&self, state: State) {
        self.standing().becomes(state);
        self.console.flush();
        self.console.tick();
    }

    fn lag(&self, since: Option<Instant>, paths: u64) {
        self.standing().is_behind(since.map(|since| (since, paths)));
    }

    fn looked(&self, entries: u64) {
        self.standing().looked.fetch_add(entries, Ordering::Relaxed);
    }
}

/// A console that tells of one replica only.
impl Monitor for Console {
    fn event(&self, event: Event) {
        self.voice(0).event(event);
    }

    fn read(&self, bytes: u64) {
        self.voice(0).read(bytes);
    }

    fn note(&self, text: &str) {
        self.voice(0).note(text);
    }

    fn detail(&self, text: &str) {
        self.voice(0).detail(text);
    }

    fn state(&self, state: State) {
        self.voice(0).state(state);
    }

    fn lag(&self, since: Option<Instant>, paths: u64) {
        self.voice(0).lag(since, paths);
    }

    fn looked(&self, entries: u64) {
        self.voice(0).looked(entries);
    }
}

fn complaint(event: &Event) -> String {
    match &event.path {
        Some(path) => format!("{path}: {}", event.reason),
        None => event.reason.clone(),
    }
}

/// Asks whoever is at the terminal. Ctrl+C is a no.
pub(crate) fn agreed(question: &str, signals: &Received) -> bool {
    let _ = write!(io::stderr(), "alike: {question} [y/N] ");
    let mut answer = String::new();
    let is_read = signals.waits_for_answer() && io::stdin().read_line(&mut answer).is_ok();
    is_read && matches!(answer.trim(), "y" | "Y" | "yes")
}
