//! Standard output and error: lines, and on a terminal a line below them that says what is going on.

use std::io::{self, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use alike_engine::monitor::{Event, Monitor, State, damaged};
use alike_model::event::Action;
use indicatif::{HumanCount, ProgressBar, ProgressDrawTarget, ProgressStyle};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::args::LogLevel;
use crate::log::{Form, LogFile, level, line, size};
use crate::signals::Received;

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
    looked: AtomicU64,
    copied: AtomicU64,
    bytes: AtomicU64,
    read: AtomicU64,
    /// Entries of the source, once they have been counted.
    total: Arc<AtomicU64>,
    state: Mutex<(Option<State>, Option<Instant>)>,
    /// Since when the oldest change waits, and how many paths do.
    lag: Mutex<Option<(Instant, u64)>>,
    quiet: AtomicBool,
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
        Self {
            zone: crate::zone::here(),
            stdout_form: options.stdout_form,
            least: options.least,
            verbose: options.verbose,
            log_form: options.log_form,
            lines: Mutex::new(lines),
            status,
            looked: AtomicU64::new(0),
            copied: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            read: AtomicU64::new(0),
            total: Arc::new(AtomicU64::new(0)),
            state: Mutex::new((None, None)),
            lag: Mutex::new(None),
            quiet: AtomicBool::new(false),
        }
    }

    /// True when there is a line to keep up to date.
    pub(crate) fn shows_status(&self) -> bool {
        !self.status.is_hidden()
    }

    /// Where the number of entries goes when it is known.
    pub(crate) fn total(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.total)
    }

    /// Brings the status line up to date.
    pub(crate) fn tick(&self) {
        self.status.set_message(self.status_text());
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

    fn status_text(&self) -> String {
        let (state, changed) = self.state.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let changed =
            changed.map_or_else(String::new, |at| format!(" · last change {} ago", ago(at.elapsed())));
        match state {
            None | Some(State::Working { full: true }) => self.progress_text(),
            Some(State::Working { full: false }) => format!("copying changes{}{changed}", self.behind()),
            Some(State::Identical { files }) => format!("identical · {} files{changed}", HumanCount(files)),
            Some(State::Differs { failed, held, in_motion }) => {
                let moving = still_written(in_motion);
                let behind = self.behind();
                format!(
                    "differs · {failed} failed, {held} held or skipped{moving}{behind} · trying again{changed}"
                )
            }
            Some(State::Damaged { found }) => format!("differs · {}{changed}", damaged(found)),
            Some(State::Halted(why)) => format!("halted · {why}"),
        }
    }

    /// How far the replica is behind, after what else is said of it.
    fn behind(&self) -> String {
        match *self.lag.lock().unwrap_or_else(PoisonError::into_inner) {
            Some((since, paths)) if since.elapsed() < Duration::from_secs(1) => {
                format!(" · {paths} behind, {} ms", since.elapsed().as_millis())
            }
            Some((since, paths)) => format!(" · {paths} behind, {}", ago(since.elapsed())),
            None => String::new(),
        }
    }

    fn progress_text(&self) -> String {
        let (looked, total) = (self.looked.load(Ordering::Relaxed), self.total.load(Ordering::Relaxed));
        let of = if total > 0 { format!(" of {}", HumanCount(total.max(looked))) } else { String::new() };
        let copied = self.copied.load(Ordering::Relaxed);
        let copied = match copied {
            0 => String::new(),
            count => format!(" · {} copied, {}", HumanCount(count), size(self.bytes.load(Ordering::Relaxed))),
        };
        let read = match self.read.load(Ordering::Relaxed) {
            0 => String::new(),
            bytes => format!(" · {} read", size(bytes)),
        };
        format!("comparing · {}{of} entries{copied}{read}", HumanCount(looked))
    }

    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn flush(&self) {
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
            self.gather(&mut lines, text);
        }
    }

    fn gather(&self, lines: &mut Lines, text: &str) {
        if self.quiet.load(Ordering::Relaxed) {
            return;
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

impl Monitor for Console {
    fn event(&self, event: Event) {
        if let Some(bytes) = event.bytes {
            self.copied.fetch_add(1, Ordering::Relaxed);
            self.bytes.fetch_add(bytes, Ordering::Relaxed);
        }
        let about_errors = level(&event) == LogLevel::Error;
        if !matches!(event.action, Action::PassStart | Action::PassEnd | Action::Watch) {
            self.state.lock().unwrap_or_else(PoisonError::into_inner).1 = Some(Instant::now());
        }
        if about_errors && self.stdout_form.is_none_or(|form| form == Form::Json) {
            self.say(&complaint(&event));
        }
        if level(&event) > self.least {
            return;
        }
        let now = Timestamp::now();
        let on_stdout = self.stdout_form.filter(|form| {
            let is_frame = matches!(event.action, Action::PassStart | Action::PassEnd);
            !(*form == Form::Step && is_frame)
        });
        let shown = on_stdout.map(|form| (form, line(&event, now, &self.zone, form)));
        let mut lines = self.lock();
        if let Some(log) = &mut lines.log {
            match &shown {
                Some((form, text)) if *form == self.log_form => log.write(text),
                _ => log.write(&line(&event, now, &self.zone, self.log_form)),
            }
        }
        if let Some((_, text)) = shown {
            self.gather(&mut lines, &text);
        }
        drop(lines);
        if event.path.is_none() {
            // What concerns the whole is rare, and it may be long before anything else is said: a halt, say.
            self.flush();
        }
    }

    fn read(&self, bytes: u64) {
        self.read.fetch_add(bytes, Ordering::Relaxed);
    }

    fn note(&self, text: &str) {
        if self.stdout_form.is_some() {
            self.say(text);
        }
    }

    fn detail(&self, text: &str) {
        if self.verbose {
            self.say(text);
        }
    }

    fn state(&self, state: State) {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).0 = Some(state.clone());
        if matches!(state, State::Working { full: true }) {
            self.looked.store(0, Ordering::Relaxed);
            self.copied.store(0, Ordering::Relaxed);
            self.bytes.store(0, Ordering::Relaxed);
        }
        self.flush();
        self.tick();
    }

    fn lag(&self, since: Option<Instant>, paths: u64) {
        *self.lag.lock().unwrap_or_else(PoisonError::into_inner) = since.map(|since| (since, paths));
    }

    fn looked(&self, entries: u64) {
        self.looked.fetch_add(entries, Ordering::Relaxed);
    }
}

/// What is said of files that are still being written, after what else is said; nothing when there are none.
pub(crate) fn still_written(files: u64) -> String {
    if files > 0 { format!(", {files} still being written") } else { String::new() }
}

fn complaint(event: &Event) -> String {
    match &event.path {
        Some(path) => format!("{path}: {}", event.reason),
        None => event.reason.clone(),
    }
}

fn ago(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..=59 => format!("{seconds} s"),
        seconds @ 60..=3599 => format!("{} min", seconds / 60),
        seconds @ 3600..=86_399 => format!("{} h", seconds / 3600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

/// Asks whoever is at the terminal. Ctrl+C is a no.
pub(crate) fn agreed(question: &str, signals: &Received) -> bool {
    let _ = write!(io::stderr(), "alike: {question} [y/N] ");
    let mut answer = String::new();
    let is_read = signals.waits_for_answer() && io::stdin().read_line(&mut answer).is_ok();
    is_read && matches!(answer.trim(), "y" | "Y" | "yes")
}
