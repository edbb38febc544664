//! The loop of `alike up`: it owns the jobs, and does one thing after the other that signals, questions and time ask for.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use super::board::Board;
use super::fleet::Fleet;
use super::notify;
use super::socket::{Answer, Asked, Question};
use crate::config;
use crate::page::Page;
use crate::run::Failure;

/// systemd is told of changes at most this often.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// What the loop is woken by.
pub(crate) enum Wish {
    Asked(Asked),
    Reload,
    PassNow,
    Stop,
    /// Something changed that systemd should be told.
    Look,
}

/// The loop, and what it owns.
pub(crate) struct Conductor<'a> {
    /// The config file: the one that was found at the start, also when it is gone for a moment and there is another.
    pub(crate) config: PathBuf,
    pub(crate) board: &'a Board,
    pub(crate) fleet: Fleet,
    pub(crate) page: Page,
    /// A [`Wish::Look`] is on its way.
    pub(crate) looks: Arc<AtomicBool>,
}

impl Conductor<'_> {
    /// Until it is to end. Returns who wants to know when it has.
    pub(crate) fn run(&mut self, heard: &Receiver<Wish>) -> Option<Sender<Answer>> {
        let mut due: Option<Instant> = Some(Instant::now());
        let watchdog = notify::watchdog();
        loop {
            let until_due = due.map(|due| due.saturating_duration_since(Instant::now()));
            let longest = [until_due, watchdog, self.fleet.waits()]
                .into_iter()
                .flatten()
                .min()
                .unwrap_or(Duration::MAX);
            let wish = match heard.recv_timeout(longest) {
                Ok(wish) => Some(wish),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return None,
            };
            if watchdog.is_some() {
                notify::alive();
            }
            self.fleet.try_again();
            match wish {
                Some(Wish::Stop) => return None,
                Some(Wish::Asked((Question::Down, reply))) => return Some(reply),
                Some(Wish::Reload) => drop(self.reload()),
                Some(Wish::PassNow) => self.fleet.pass_now(),
                Some(Wish::Look) => due = due.or_else(|| Some(Instant::now() + TELL_EVERY)),
                Some(Wish::Asked((question, reply))) => {
                    let _ = reply.send(self.do_as_asked(&question));
                }
                None => {}
            }
            if due.is_some_and(|due| due <= Instant::now()) {
                self.looks.store(false, Ordering::Relaxed);
                notify::status(&notify::line(&self.board.glance()));
                due = None;
            }
        }
    }

    fn do_as_asked(&mut self, question: &Question) -> Answer {
        let done = match question {
            Question::Reload => self.reload(),
            Question::Pass { job: None, .. } => {
                self.fleet.pass_now();
                Ok("a pass of every job begins".to_owned())
            }
            Question::Pass { job: Some(name), allows_deletes } => self.fleet.pass_of(name, *allows_deletes),
            Question::Status | Question::Down => Ok(String::new()),
        };
        match done {
            Ok(text) => Answer::Done { text },
            Err(text) => Answer::Refused { text },
        }
    }

    /// Takes up the config file as it is now. A broken one changes nothing.
    fn reload(&mut self) -> Result<String, String> {
        notify::reloading();
        let loaded = config::load(Some(&self.config));
        self.fleet.reopen_logs();
        let told = match loaded {
            Ok(config) => {
                let web = config.web.clone();
                let told = self.fleet.apply(config);
                self.page.apply(web.as_ref());
                Ok(told)
            }
            Err(trouble) => {
                let why = Failure::from(trouble).told().0;
                self.board.config_is_broken(why.clone());
                Err(format!("the jobs run on as they were: {why}"))
            }
        };
        self.page.look();
        let (Ok(text) | Err(text)) = &told;
        say!("alike: {text}");
        notify::ready();
        told
    }
}
