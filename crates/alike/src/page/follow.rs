//! What the page is told while it is open: how all jobs stand, and each action, as server-sent events.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::response::sse::{Event, KeepAlive, Sse};
use futures_util::stream::{Stream, unfold};
use jiff::tz::TimeZone;
use tokio::sync::{Notify, watch};

use super::Shared;
use crate::history::with_fields;
use crate::log::{Form, json_line, line};
use crate::up::feed::{Told, What};

/// News are told at most this often.
const PACE: Duration = Duration::from_millis(200);
/// What no job tells of is looked at this often.
const LOOK: Duration = Duration::from_secs(1);
/// How all stand is told at least this often, so that whoever follows can tell silence from a lost connection.
const BEAT: Duration = Duration::from_secs(10);
/// So many actions are told at once; of more the newest.
const AT_ONCE: usize = 400;
/// So many of each replica are told to who comes new.
const LATEST: usize = 40;

/// What was told last, and who wakes whom.
pub(crate) struct News {
    wake: Arc<Notify>,
    status: watch::Sender<Arc<str>>,
    /// The number of the next event.
    next: watch::Sender<u64>,
}

impl Default for News {
    fn default() -> Self {
        Self { wake: Arc::default(), status: watch::Sender::new("".into()), next: watch::Sender::new(0) }
    }
}

impl News {
    /// Somebody should look.
    pub(crate) fn wake(&self) {
        self.wake.notify_one();
    }
}

/// Looks when something happened, and tells whoever follows.
pub(crate) async fn keep_up(shared: Arc<Shared>) {
    let woken = Arc::clone(&shared.news.wake);
    let listener: Arc<dyn Fn() + Send + Sync> = Arc::new(move || woken.notify_one());
    shared.board.feed.listen(&listener);
    let mut told_at = Instant::now();
    loop {
        let _ = tokio::time::timeout(LOOK, shared.news.wake.notified()).await;
        if shared.news.status.receiver_count() == 0 {
            // Of a large copy it is woken at each file.
            tokio::time::sleep(PACE).await;
            continue;
        }
        let next = shared.board.feed.next();
        let now = status(&shared).await;
        let is_beat = told_at.elapsed() >= BEAT;
        let is_new = shared.news.status.send_if_modified(|last| {
            let is_new = *last != now;
            *last = Arc::clone(&now);
            is_new || is_beat
        });
        if is_new {
            told_at = Instant::now();
        }
        shared.news.next.send_if_modified(|last| std::mem::replace(last, next) != next);
        tokio::time::sleep(PACE).await;
    }
}

/// How all stand, as JSON.
pub(crate) async fn status(shared: &Arc<Shared>) -> Arc<str> {
    let shared = Arc::clone(shared);
    // It looks at trashes, on disks that may be slow.
    let made = tokio::task::spawn_blocking(move || json_line(&shared.board.report()));
    made.await.unwrap_or_default().trim_end().into()
}

/// Somebody who follows.
struct Follower {
    shared: Arc<Shared>,
    status: watch::Receiver<Arc<str>>,
    news: watch::Receiver<u64>,
    ended: watch::Receiver<bool>,
    /// The number of the first event that was not told yet.
    next: u64,
    waiting: VecDeque<Event>,
}

/// Tells how all stand, what happened lately (or since the event with the number `last`), and from then on what happens.
pub(crate) async fn follow(
    shared: Arc<Shared>,
    last: Option<u64>,
    ended: watch::Receiver<bool>,
) -> Sse<impl Stream<Item = Result<Event, Infallible>>> {
    let (mut status_of, mut news) = (shared.news.status.subscribe(), shared.news.next.subscribe());
    let status = status(&shared).await;
    status_of.mark_unchanged();
    news.mark_unchanged();
    let next = shared.board.feed.next();
    // A number from before a restart says nothing.
    let from = last.map(|last| last + 1).filter(|from| *from <= next);
    let mut follower = Follower {
        shared,
        status: status_of,
        news,
        ended,
        next: from.unwrap_or(0),
        waiting: VecDeque::new(),
    };
    follower.waiting.push_back(Event::default().event("status").data(&*status).retry(LOOK));
    follower.take_news(from.is_none());
    let stream = unfold(follower, |mut follower| async move {
        let event = follower.next().await?;
        Some((Ok(event), follower))
    });
    Sse::new(stream).keep_alive(KeepAlive::new().interval(BEAT))
}

impl Follower {
    /// The next event; `None` at the end.
    async fn next(&mut self) -> Option<Event> {
        loop {
            if *self.ended.borrow() {
                return None;
            }
            if let Some(event) = self.waiting.pop_front() {
                return Some(event);
            }
            tokio::select! {
                changed = self.ended.changed() => changed.ok()?,
                changed = self.status.changed() => {
                    changed.ok()?;
                    let status = Arc::clone(&self.status.borrow_and_update());
                    self.waiting.push_back(Event::default().event("status").data(&*status));
                }
                changed = self.news.changed() => {
                    changed.ok()?;
                    self.news.mark_unchanged();
                    self.take_news(false);
                }
            }
        }
    }

    fn take_news(&mut self, comes_new: bool) {
        let told = self.shared.board.feed.from(self.next);
        let mut missed = told.first().map_or(0, |first| first.number.saturating_sub(self.next));
        self.next = told.last().map_or(self.next, |last| last.number + 1);
        let mut told: Vec<Told> =
            told.into_iter().filter(|told| !matches!(told.what, What::Stands)).collect();
        if comes_new {
            missed = 0;
            keep_latest(&mut told);
        }
        let surplus = told.len().saturating_sub(AT_ONCE);
        missed += surplus as u64;
        if missed > 0 {
            self.waiting.push_back(Event::default().event("missed").data(format!("{{\"missed\":{missed}}}")));
        }
        self.waiting.extend(told[surplus..].iter().map(event));
    }
}

/// Of each replica so many as are shown.
fn keep_latest(told: &mut Vec<Told>) {
    let mut seen: HashMap<(Arc<str>, Arc<str>), usize> = HashMap::new();
    let mut latest: Vec<Told> = Vec::new();
    for one in told.drain(..).rev() {
        let count = seen.entry((Arc::clone(&one.job), Arc::clone(&one.replica))).or_default();
        *count += 1;
        if *count <= LATEST {
            latest.push(one);
        }
    }
    latest.reverse();
    *told = latest;
}

fn event(told: &Told) -> Event {
    let of = [("job", (*told.job).into()), ("replica", (*told.replica).into())];
    let (name, text) = match &told.what {
        What::Event(event) => ("event", line(event, told.at, &TimeZone::UTC, Form::Json)),
        What::Verdict { was, is, why } => {
            ("verdict", json_line(&serde_json::json!({ "was": was.word(), "is": is.word(), "why": why })))
        }
        What::Stands => ("stands", "{}".to_owned()),
    };
    let text = escaped(&with_fields(&text, &of));
    Event::default().event(name).id(told.number.to_string()).data(text.trim_end())
}

/// No line break may end the field early.
fn escaped(text: &str) -> String {
    text.replace('\r', "\\r")
}
