//! What a person with the token may do on the page: restore, undo, let a mirror go on, start a pass.
//!
//! The same as the commands of these names do from another process. Here the mirror runs in this one, so it is woken by
//! a word to whoever owns the jobs, not by a signal.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError, TryLockError};
use std::time::Duration;

use alike_engine::chronicle;
use alike_engine::hold::Site;
use alike_engine::monitor::{Event, Monitor};
use alike_engine::resuming::complete;
use alike_engine::undoing::{Job, Undone, preview};
use alike_model::event::Action;
use alike_model::path::RelPath;
use alike_storage::linux;
use axum::http::StatusCode;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::Deserialize;
use serde_json::{Value, json};

use super::Shared;
use super::gate::Refused;
use super::past::in_json;
use crate::args::moment;
use crate::log::{raw, shown};
use crate::recovery::{
    self, back_in_words, bring_back, carry_out, failed, hold, more_was_deleted, named, one_pass,
    undone_in_words,
};
use crate::run::{Failure, now};
use crate::up::board::JobBoard;
use crate::up::socket::{Answer, Question};

/// Whoever owns the jobs answers within this time.
const PATIENCE: Duration = Duration::from_secs(10);
/// So many steps of an undo are shown.
const STEPS: usize = 200;
/// What the page says instead of a command.
const GO_ON: &str = "\"Let the mirror go on\" ends this";

/// A wish, as the page sends it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wish {
    pub(crate) job: String,
    pub(crate) replica: Option<String>,
    path: Option<String>,
    /// Of a path that is no UTF-8.
    path_bytes: Option<String>,
    /// The moment whose version is meant.
    at: Option<String>,
    pass: Option<u64>,
    /// How many steps a person saw and said yes to; without it an undo is only shown.
    steps: Option<u64>,
}

/// A replica that something is to be done to.
pub(crate) struct On<'a> {
    pub(crate) shared: &'a Shared,
    pub(crate) job: &'a JobBoard,
    /// Its number in the job.
    pub(crate) number: usize,
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        let status = match &failure {
            Failure::Usage(_) => StatusCode::BAD_REQUEST,
            Failure::Halted(_) | Failure::Failed(_) => StatusCode::CONFLICT,
        };
        Self(status, failure.told().0)
    }
}

impl From<alike_engine::refusal::Refusal> for Refused {
    fn from(refusal: alike_engine::refusal::Refusal) -> Self {
        Failure::from(refusal).into()
    }
}

fn wrong(text: &str) -> Refused {
    Refused(StatusCode::BAD_REQUEST, text.to_owned())
}

impl On<'_> {
    pub(crate) fn restore(&self, wish: &Wish) -> Result<Value, Refused> {
        let path = path_of(wish)?;
        if path.is_root() || chronicle::is_in_trash(&path) {
            return Err(wrong("name a path on the replica"));
        }
        let at = wish.at.as_deref().map(moment).transpose().map_err(|why| wrong(&format!("at {why}")))?;
        let _alone = self.alone()?;
        let mut site = Site::open(self.replica())?;
        let back = bring_back(&mut site, (&path, at), &|pid| self.wake(pid), &self.shared.stop)?;
        let more = back.earlier.map(|(path, earlier)| more_was_deleted(&path, &earlier, &TimeZone::UTC));
        let failed: Vec<Value> = back.copied.failed.iter().map(|(path, why)| trouble(path, why)).collect();
        let text = back_in_words(&path, back.pass, GO_ON);
        for (path, why) in back.copied.failed {
            let event = Event::about(back.pass, Action::Error, path, why.clone());
            self.tell(Event { error: Some(why), ..event });
        }
        let reason = "brought back from the trash by a wish on the page";
        self.tell(Event::about(back.pass, Action::Create, path, reason));
        self.write_down();
        Ok(json!({ "text": text, "pass": back.pass, "more": more, "failed": failed }))
    }

    /// Shows what undoing a pass would do; does it when that is what a person has seen.
    pub(crate) fn undo(&self, wish: &Wish) -> Result<Value, Refused> {
        let pass = wish.pass.ok_or_else(|| wrong("say which pass"))?;
        let _alone = self.alone()?;
        let mut site = Site::open(self.replica())?;
        let Some(seen) = wish.steps else { return self.preview(&site, pass) };
        site.seize(&hold(0, "a pass is being undone"), &|pid| self.wake(pid))?;
        let done = self.undo_held(&site, (pass, seen));
        // What has not begun leaves everything as it was.
        if done.as_ref().is_err_and(|(_, has_begun)| !has_begun) {
            site.let_go().map_err(Failure::from)?;
        }
        done.map_err(|(refused, _)| refused)
    }

    fn preview(&self, site: &Site, pass: u64) -> Result<Value, Refused> {
        let all = chronicle::read(&site.trash).map_err(Failure::from)?;
        let (passes, begun) = recovery::chosen(site, &all, |all| one_pass(all, pass))?;
        let steps = Steps::unsaid();
        let undone = preview(site, Job { all: &all, passes: &passes, begun }, &steps).map_err(failed)?;
        Ok(
            json!({ "pass": pass, "preview": true, "undone": counts(&undone), "actions": steps.list(), "more": steps.more() }),
        )
    }

    /// With why it was not undone comes whether it was begun.
    fn undo_held(&self, site: &Site, (pass, seen): (u64, u64)) -> Result<Value, (Refused, bool)> {
        let before = |refused: Refused| (refused, false);
        complete(site, &now).map_err(|why| before(failed(why).into()))?;
        let all = chronicle::read(&site.trash).map_err(|why| before(Failure::from(why).into()))?;
        let (passes, begun) =
            recovery::chosen(site, &all, |all| one_pass(all, pass)).map_err(|why| before(why.into()))?;
        let job = Job { all: &all, passes: &passes, begun };
        let counted = preview(site, job, &Steps::unsaid()).map_err(|why| before(failed(why).into()))?;
        let no = |text: String| Err(before(Refused(StatusCode::CONFLICT, text)));
        if counted.steps != seen && begun.is_none() {
            return no(format!(
                "the replica changed since this was shown: it would be {} steps now, not {seen}; nothing was done",
                counted.steps
            ));
        }
        if counted.steps == 0 && begun.is_none() {
            let why = if counted.left > 0 { "nothing of it can be undone" } else { "it is as it was before" };
            return no(format!("{}: {why}", named(&passes)));
        }
        let steps = Steps { on: Some(self), ..Steps::unsaid() };
        let undone = carry_out(site, job, &steps, &self.shared.stop);
        self.write_down();
        let undone = undone.map_err(|why| (why.into(), true))?;
        let text = undone_in_words(&passes, &undone, GO_ON);
        Ok(
            json!({ "text": text, "pass": pass, "undone": counts(&undone), "actions": steps.list(), "more": steps.more() }),
        )
    }

    pub(crate) fn resume(&self) -> Result<Value, Refused> {
        let _alone = self.alone()?;
        let text = match recovery::resume(&mut Site::open(self.replica())?)? {
            Some(why) => format!("{why}; the mirror goes on"),
            None => "nothing is held".to_owned(),
        };
        Ok(json!({ "text": text }))
    }

    fn replica(&self) -> &Path {
        &self.job.replicas[self.number].path
    }

    /// Whoever follows, and whoever reads the log, sees what a wish did as they see what passes do.
    fn tell(&self, event: Event) {
        self.job.was_done(&self.shared.board.feed, self.number, event);
    }

    /// Held, the mirror may have nothing to say for long, and the log would wait for that.
    fn write_down(&self) {
        self.job.console().inspect(|console| console.flush());
    }

    fn alone(&self) -> Result<std::sync::MutexGuard<'_, ()>, Refused> {
        match self.shared.changing.try_lock() {
            Ok(alone) => Ok(alone),
            Err(TryLockError::Poisoned(poisoned)) => Ok(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => {
                let why = "another change from the page is under way; try again when it is done";
                Err(Refused(StatusCode::CONFLICT, why.to_owned()))
            }
        }
    }

    /// Whoever has the replica looks at it now, and sees the hold.
    fn wake(&self, pid: i32) {
        if u32::try_from(pid).is_ok_and(|pid| pid == std::process::id()) {
            let (reply, _) = std::sync::mpsc::channel();
            (self.shared.ask)(a_pass_of(&self.job.name), reply);
        } else {
            let _ = linux::wake_process(pid);
        }
    }
}

/// Starts a full pass of a job.
pub(crate) fn pass(shared: &Shared, job: &str) -> Result<Value, Refused> {
    let (reply, answer) = std::sync::mpsc::channel();
    (shared.ask)(a_pass_of(job), reply);
    match answer.recv_timeout(PATIENCE) {
        Ok(Answer::Done { text }) => Ok(json!({ "text": text })),
        Ok(Answer::Refused { text }) => Err(Refused(StatusCode::CONFLICT, text)),
        _ => Err(Refused(StatusCode::SERVICE_UNAVAILABLE, "it is ending, or busy with a reload".to_owned())),
    }
}

fn a_pass_of(job: &str) -> Question {
    Question::Pass { job: Some(job.to_owned()), allows_deletes: false }
}

fn path_of(wish: &Wish) -> Result<RelPath, Refused> {
    let bytes = match (&wish.path_bytes, &wish.path) {
        (Some(bytes), _) => BASE64_STANDARD.decode(bytes).map_err(|_| wrong("path_bytes is no base64"))?,
        (None, Some(path)) => path.clone().into_bytes(),
        (None, None) => return Err(wrong("say which path")),
    };
    let relative = Some(&bytes).filter(|bytes| !bytes.starts_with(b"/"));
    relative
        .and_then(|bytes| RelPath::parse(bytes))
        .ok_or_else(|| wrong("that is no path on the replica; name it as the log does, such as docs/a.txt"))
}

fn trouble(path: &RelPath, why: &str) -> Value {
    json!({ "path": shown(path), "path_bytes": raw(path), "reason": why })
}

fn counts(undone: &Undone) -> Value {
    json!({ "steps": undone.steps, "left": undone.left, "failed": undone.failed, "stopped": undone.stopped })
}

/// The steps of an undo, for who is to see them.
struct Steps<'a> {
    /// Where they are done, and told of as they are; in a look ahead, nowhere.
    on: Option<&'a On<'a>>,
    told: Mutex<Vec<Event>>,
    all: AtomicUsize,
}

impl Steps<'_> {
    fn unsaid() -> Self {
        Self { on: None, told: Mutex::default(), all: AtomicUsize::new(0) }
    }

    fn told(&self) -> Vec<Event> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn list(&self) -> Vec<Value> {
        self.told().iter().map(|event| in_json(event, Timestamp::now())).collect()
    }

    fn more(&self) -> usize {
        self.all.load(Ordering::Relaxed).saturating_sub(STEPS)
    }
}

impl Monitor for Steps<'_> {
    fn event(&self, event: Event) {
        self.on.inspect(|on| on.tell(event.clone()));
        if self.all.fetch_add(1, Ordering::Relaxed) < STEPS {
            self.told.lock().unwrap_or_else(PoisonError::into_inner).push(event);
        }
    }
}
