//! Hooks: programs that run when something becomes of a job, with JSON on their standard input.
//!
//! They run one after the other on a thread of their own, so that none can hold up a mirror. What happens while one runs, or
//! too soon after it, is gathered for the next run.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use alike_engine::monitor::Event;
use alike_model::event::Action;
use alike_model::path::RelPath;
use jiff::Timestamp;
use rustix::process::{Pid, Signal, kill_process_group};
use serde::Serialize;

use super::feed::What;
use super::record::rfc;
use super::report::Standing;
use crate::config;
use crate::log::{json_line, one_line, raw, shown};

/// The same hook runs at most this often for one replica.
const GAP: Duration = Duration::from_secs(5);
/// How long one may run, unless the config says so.
const TIMEOUT: Duration = Duration::from_secs(30);
/// How long it may take to end when it is told to.
const GRACE: Duration = Duration::from_secs(2);
/// How long what is still to be told may take once the job has ended.
const LAST_WORDS: Duration = Duration::from_secs(5);
/// So many bytes of paths are named; the others are counted. All of it has room in a pipe, so nobody has to read.
const NAMED_BYTES: usize = 32 * 1024;
/// So many paths that failed are remembered: that they fail again is no news.
const REMEMBERED: usize = 10_000;

/// The hooks of one job at work.
pub(crate) struct Hooks {
    shared: Arc<Shared>,
}

struct Shared {
    job: Arc<str>,
    wanted: config::Hooks,
    pending: Mutex<Pending>,
    woken: Condvar,
}

#[derive(Default)]
struct Pending {
    occasions: Vec<Occasion>,
    /// Paths that failed, by replica.
    failing: BTreeSet<(usize, RelPath)>,
    /// What was told last of each replica, halted or recovered, and why.
    last_told: BTreeMap<usize, (Hook, String)>,
    /// By hook, why its last run came to nothing.
    failed: BTreeMap<&'static str, String>,
    is_over: bool,
    /// Nothing is run any more.
    is_done: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Hook {
    Change,
    Halt,
    Error,
    Recovered,
}

/// What one run is told.
struct Occasion {
    hook: Hook,
    number: usize,
    replica: Arc<str>,
    /// Not before.
    due: Instant,
    told: Told,
    named: usize,
}

#[derive(Clone, Debug, Default, Serialize)]
struct Told {
    hook: &'static str,
    ts: String,
    job: String,
    replica: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<Standing>,
    #[serde(skip_serializing_if = "Option::is_none")]
    was: Option<Standing>,
    why: String,
    /// How many actions changed something, or how many paths failed.
    count: u64,
    bytes: u64,
    /// The first of them.
    paths: Vec<Named>,
}

#[derive(Clone, Debug, Serialize)]
struct Named {
    action: &'static str,
    path: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    path_bytes: Option<String>,
    reason: String,
}

impl Hook {
    /// Hooks of one kind share a place and a gap, so that none tells of what is over.
    const fn kind(self) -> Self {
        match self {
            Self::Recovered => Self::Halt,
            other => other,
        }
    }

    const fn key(self) -> &'static str {
        match self {
            Self::Change => "on_change",
            Self::Halt => "on_halt",
            Self::Error => "on_error",
            Self::Recovered => "on_recovered",
        }
    }

    fn argv(self, hooks: &config::Hooks) -> Option<&[String]> {
        let argv = match self {
            Self::Change => &hooks.on_change,
            Self::Halt => &hooks.on_halt,
            Self::Error => &hooks.on_error,
            Self::Recovered => &hooks.on_recovered,
        };
        argv.as_deref().filter(|argv| !argv.is_empty())
    }
}

impl Hooks {
    /// Those of a job; none where it has none.
    ///
    /// # Errors
    /// When the system has no more threads.
    pub(crate) fn start(job: &Arc<str>, wanted: &config::Hooks) -> std::io::Result<Option<Self>> {
        let all = [Hook::Change, Hook::Halt, Hook::Error, Hook::Recovered];
        if all.iter().all(|hook| hook.argv(wanted).is_none()) {
            return Ok(None);
        }
        let shared = Arc::new(Shared {
            job: Arc::clone(job),
            wanted: wanted.clone(),
            pending: Mutex::default(),
            woken: Condvar::new(),
        });
        let theirs = Arc::clone(&shared);
        std::thread::Builder::new().name("hooks".to_owned()).spawn(move || theirs.run())?;
        Ok(Some(Self { shared }))
    }

    /// Of each hook whose last run came to nothing, why: who counts on being told should see it.
    pub(crate) fn troubles(&self) -> Vec<String> {
        self.shared.lock().failed.values().cloned().collect()
    }

    /// Takes in what happened on a replica, by its number in the job.
    pub(crate) fn note(&self, (number, replica): (usize, &Arc<str>), what: &What) {
        match what {
            What::Event(event) => self.note_event((number, replica), event),
            What::Verdict { was, is, why } => self.note_verdict((number, replica), (*was, *is), why),
            What::Stands => {}
        }
    }

    fn note_event(&self, at: (usize, &Arc<str>), event: &Event) {
        let hook = match event.action {
            Action::Error => Hook::Error,
            Action::Hold | Action::Skip => return,
            _ if event.path.is_some() => Hook::Change,
            _ => return,
        };
        let mut pending = self.shared.lock();
        if let (Hook::Error, Some(path)) = (hook, &event.path) {
            let is_full = pending.failing.len() >= REMEMBERED;
            if is_full || !pending.failing.insert((at.0, path.clone())) {
                return;
            }
        }
        let Some(occasion) = self.shared.occasion(&mut pending, hook, at) else { return };
        occasion.told.count += 1;
        occasion.told.bytes += event.bytes.unwrap_or(0);
        match &event.path {
            Some(path) => {
                if hook == Hook::Error && occasion.told.why.is_empty() {
                    occasion.told.why = one_line(&format!("{}: {}", shown(path), event.reason));
                }
                occasion.name(path, event);
            }
            None => occasion.told.why = one_line(&event.reason),
        }
        self.shared.woken.notify_all();
    }

    fn note_verdict(&self, at: (usize, &Arc<str>), (was, is): (Standing, Standing), why: &str) {
        let hook = match (was, is) {
            (_, Standing::Stopped) => return self.shared.last_words(),
            (_, Standing::Halted) => Hook::Halt,
            (_, Standing::Damaged) => Hook::Error,
            (Standing::Starting | Standing::Identical, Standing::Identical) => return,
            (_, Standing::Identical) => Hook::Recovered,
            _ => return,
        };
        let mut pending = self.shared.lock();
        if is == Standing::Identical {
            pending.failing.retain(|(number, _)| *number != at.0);
        }
        let was = match pending.take_back(hook, at.0) {
            Some(before) => match pending.since_told((hook, why), (at.0, before)) {
                Some(was) => was,
                None => return,
            },
            None => was,
        };
        let Some(occasion) = self.shared.occasion(&mut pending, hook, at) else { return };
        occasion.told.state = Some(is);
        occasion.told.was.get_or_insert(was);
        occasion.told.why = why.to_owned();
        self.shared.woken.notify_all();
    }
}

impl Pending {
    /// Forgets that a replica halted, or recovered, where that was not told yet and this is the other. Returns how it stood
    /// before.
    fn take_back(&mut self, hook: Hook, number: usize) -> Option<Standing> {
        let is_other = |occasion: &Occasion| {
            occasion.number == number && occasion.hook != hook && occasion.hook.kind() == hook.kind()
        };
        let at = self.occasions.iter().position(is_other)?;
        self.occasions.remove(at).told.was
    }

    /// Takes out what is to be told now.
    fn take(&mut self, at: usize) -> Occasion {
        let occasion = self.occasions.remove(at);
        if occasion.hook.kind() == Hook::Halt {
            self.last_told.insert(occasion.number, (occasion.hook, occasion.told.why.clone()));
        }
        occasion
    }

    /// From what state this is a change for whoever was told last; none where it is no news to them.
    fn since_told(&self, (hook, why): (Hook, &str), (number, before): (usize, Standing)) -> Option<Standing> {
        match (hook, self.last_told.get(&number)) {
            (Hook::Halt, Some((Hook::Halt, told))) if told == why => None,
            (Hook::Halt, _) => Some(before),
            (_, Some((Hook::Halt, _))) => Some(Standing::Halted),
            _ => Some(before).filter(|before| matches!(before, Standing::Differs | Standing::Damaged)),
        }
    }
}

impl Drop for Hooks {
    fn drop(&mut self) {
        self.shared.lock().is_over = true;
        self.shared.woken.notify_all();
    }
}

impl Occasion {
    fn name(&mut self, path: &RelPath, event: &Event) {
        let named = Named {
            action: event.action.as_str(),
            path: shown(path),
            path_bytes: raw(path),
            reason: one_line(&event.reason),
        };
        // Escaped, a byte may become six.
        let takes = 6 * (named.path.len() + named.reason.len()) + 64;
        if self.named + takes <= NAMED_BYTES {
            self.named += takes;
            self.told.paths.push(named);
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The run that is to be told of it; none where nobody wants to know.
    fn occasion<'a>(
        &self,
        pending: &'a mut Pending,
        hook: Hook,
        (number, replica): (usize, &Arc<str>),
    ) -> Option<&'a mut Occasion> {
        hook.argv(&self.wanted)?;
        let is_it = |occasion: &Occasion| (occasion.hook, occasion.number) == (hook, number);
        let at = pending.occasions.iter().position(is_it).unwrap_or_else(|| {
            let told = Told {
                hook: hook.key(),
                job: self.job.to_string(),
                replica: replica.to_string(),
                ..Told::default()
            };
            // Of changes, those that come together are told together.
            let wait = if hook == Hook::Change { Duration::from_millis(200) } else { Duration::ZERO };
            let (replica, due) = (Arc::clone(replica), Instant::now() + wait);
            pending.occasions.push(Occasion { hook, number, replica, due, told, named: 0 });
            pending.occasions.len() - 1
        });
        pending.occasions.get_mut(at)
    }

    fn run(&self) {
        let mut last: Vec<((Hook, usize), Instant)> = Vec::new();
        while let Some(occasion) = self.next(&last) {
            let key = (occasion.hook.kind(), occasion.number);
            last.retain(|(other, at)| *other != key && at.elapsed() < GAP);
            last.push((key, Instant::now()));
            let hook = occasion.hook.key();
            match self.tell(occasion) {
                Ok(()) => drop(self.lock().failed.remove(hook)),
                Err(why) => {
                    say!("alike: {}: {why}", self.job);
                    self.lock().failed.insert(hook, one_line(&format!("{why} ({})", rfc(Timestamp::now()))));
                }
            }
        }
        self.lock().is_done = true;
        self.woken.notify_all();
    }

    /// The job has ended: what is still to be told is told now, or never. Who is slower is not waited for.
    fn last_words(&self) {
        let mut pending = self.lock();
        pending.is_over = true;
        self.woken.notify_all();
        let longest = LAST_WORDS + GRACE;
        drop(self.woken.wait_timeout_while(pending, longest, |pending| !pending.is_done));
    }

    /// Waits for what is due next; `None` when it is over, and nothing but changes is left to tell.
    fn next(&self, last: &[((Hook, usize), Instant)]) -> Option<Occasion> {
        let due = |occasion: &Occasion| {
            let key = (occasion.hook.kind(), occasion.number);
            let before = last.iter().find(|(other, _)| *other == key);
            before.map_or(occasion.due, |(_, at)| occasion.due.max(*at + GAP))
        };
        let mut pending = self.lock();
        while !pending.is_over {
            let now = Instant::now();
            let first = pending.occasions.iter().enumerate().min_by_key(|(_, occasion)| due(occasion));
            match first.map(|(at, occasion)| (at, due(occasion))) {
                Some((at, due)) if due <= now => return Some(pending.take(at)),
                Some((_, due)) => {
                    let waited = self.woken.wait_timeout(pending, due - now);
                    pending = waited.unwrap_or_else(PoisonError::into_inner).0;
                }
                None => pending = self.woken.wait(pending).unwrap_or_else(PoisonError::into_inner),
            }
        }
        let left = pending.occasions.iter().position(|occasion| occasion.hook != Hook::Change)?;
        Some(pending.take(left))
    }

    /// Runs a hook.
    ///
    /// # Errors
    /// What went wrong, in words.
    fn tell(&self, occasion: Occasion) -> Result<(), String> {
        let Some([program, args @ ..]) = occasion.hook.argv(&self.wanted) else { return Ok(()) };
        let failed = |why: String| format!("the hook {} ({program}) {why}", occasion.hook.key());
        let started = Command::new(program)
            .args(args)
            .env("ALIKE_HOOK", occasion.hook.key())
            .env("ALIKE_JOB", &*self.job)
            .env("ALIKE_REPLICA", &*occasion.replica)
            .env("ALIKE_STATE", occasion.told.state.map_or("", Standing::word))
            .env("ALIKE_WHY", &occasion.told.why)
            .stdin(Stdio::piped())
            // Standard output is for the log's lines.
            .stdout(Stdio::null())
            .process_group(0)
            .spawn();
        let mut child =
            started.map_err(|why| failed(format!("could not be started: {}", alike_storage::plain(&why))))?;
        if let Some(mut input) = child.stdin.take() {
            // It need not read.
            let _ =
                input.write_all(json_line(&Told { ts: rfc(Timestamp::now()), ..occasion.told }).as_bytes());
        }
        let limit = self.wanted.hook_timeout.unwrap_or(TIMEOUT);
        let limit = if self.lock().is_over { limit.min(LAST_WORDS) } else { limit };
        match wait(&mut child, limit) {
            Some(status) if status.success() => Ok(()),
            Some(status) => Err(failed(format!("failed: {status}"))),
            None => {
                end(&mut child);
                Err(failed(format!("took longer than {} s and was ended", limit.as_secs_f64())))
            }
        }
    }
}

/// Waits for the end of a process, but not longer than this.
fn wait(child: &mut Child, longest: Duration) -> Option<ExitStatus> {
    let until = Instant::now() + longest;
    let mut pause = Duration::from_millis(1);
    loop {
        match child.try_wait() {
            Ok(Some(status)) => return Some(status),
            Ok(None) if Instant::now() < until => {}
            _ => return None,
        }
        std::thread::sleep(pause);
        pause = (pause * 2).min(Duration::from_millis(50));
    }
}

/// Ends a process and those that it started.
fn end(child: &mut Child) {
    let group = i32::try_from(child.id()).ok().and_then(Pid::from_raw);
    let signal = |signal| group.map(|group| kill_process_group(group, signal));
    let _ = signal(Signal::TERM);
    let ended = wait(child, GRACE);
    // Some of them may have outlived it.
    let _ = signal(Signal::KILL);
    if ended.is_none() {
        let _ = child.wait();
    }
}
