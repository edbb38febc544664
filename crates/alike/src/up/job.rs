//! One job at work, on a thread of its own: whatever becomes of it, the others do not notice.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use alike_engine::controls::Controls;
use alike_engine::monitor::{Event, Monitor};
use alike_engine::remembered::CommandLine;
use alike_engine::several::mirror;
use alike_engine::turns::Share;
use alike_engine::worker::Rhythm;
use alike_model::event::Action;

use super::board::{Board, JobBoard, Sight};
use super::feed::Feed;
use super::report::Standing;
use crate::config::Job;
use crate::console::Console;
use crate::log::Form;
use crate::run::{Failure, now};
use crate::settings;

/// A job that could not begin is tried again this often: its log's folder may be on a drive that comes later.
const TRY_AGAIN: Duration = Duration::from_secs(10);

/// How a job tells of itself beside its own log.
#[derive(Clone, Copy)]
pub(crate) struct Manner {
    /// How events are written to standard output; `None`: not at all.
    pub(crate) stdout_form: Option<Form>,
    pub(crate) verbose: bool,
    /// Its part of the descriptors that this process may have.
    pub(crate) held_folders: usize,
}

/// A job at work.
pub(crate) struct Running {
    pub(crate) job: Arc<Job>,
    pub(crate) board: Arc<JobBoard>,
    controls: Arc<Controls>,
    /// Its mirror runs: it does not wait for what it needs to begin.
    mirrors: Arc<AtomicBool>,
    thread: JoinHandle<u64>,
}

impl Running {
    /// Starts it.
    ///
    /// # Errors
    /// When the system has no more descriptors or threads. What is wrong with the job itself, its status says.
    pub(crate) fn start(
        job: Arc<Job>,
        board: &Board,
        (share, manner): (Share, Manner),
    ) -> Result<Self, Failure> {
        let controls = Arc::new(Controls::new()?);
        let mirrors = Arc::<AtomicBool>::default();
        let own = Arc::new(JobBoard::of(&job)?);
        let work = Work {
            job: Arc::clone(&job),
            board: Arc::clone(&own),
            feed: Arc::clone(&board.feed),
            controls: Arc::clone(&controls),
            mirrors: Arc::clone(&mirrors),
            share,
            manner,
        };
        let name = format!("job {}", job.name);
        let thread = std::thread::Builder::new().name(name).spawn(move || work.run())?;
        Ok(Self { job, board: own, controls, mirrors, thread })
    }

    /// A full pass is wanted now; it may delete as much as it has to, if that is allowed.
    pub(crate) fn pass_now(&self, allows_deletes: bool) {
        self.controls.ask_for_pass(allows_deletes);
    }

    /// True while its mirror runs, which may wait for a drive.
    pub(crate) fn is_mirroring(&self) -> bool {
        self.mirrors.load(Ordering::Relaxed)
    }

    /// Its log file may have been renamed.
    pub(crate) fn reopen_log(&self) {
        if let Some(console) = self.board.console() {
            console.reopen_log();
        }
    }

    /// Tells it to end; it is still at work when this returns.
    pub(crate) fn stop(&self) {
        self.controls.stop.set();
        self.controls.waker.wake();
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.thread.is_finished()
    }

    /// How much the scrub found damaged; it must have ended.
    pub(crate) fn found(self) -> u64 {
        self.thread.join().unwrap_or(0)
    }
}

/// What the thread of a job has.
struct Work {
    job: Arc<Job>,
    board: Arc<JobBoard>,
    feed: Arc<Feed>,
    controls: Arc<Controls>,
    mirrors: Arc<AtomicBool>,
    share: Share,
    manner: Manner,
}

impl Work {
    fn run(self) -> u64 {
        let mut said = String::new();
        loop {
            // A fault of ours in one job must not end the others; what it was at is done again.
            let tried = catch_unwind(AssertUnwindSafe(|| self.mirror()));
            self.mirrors.store(false, Ordering::Relaxed);
            let why = match tried {
                Ok(Ok(found)) => {
                    self.board.ended(&self.feed, (Standing::Stopped, ""));
                    return found;
                }
                Ok(Err(failure)) => failure.told().0,
                Err(_) => {
                    "a fault in alike itself ended this job; it begins again. Please report it".to_owned()
                }
            };
            self.controls.allow_no_more();
            if why != said {
                self.halt(&why);
                said = why;
            }
            if self.rests() {
                self.board.ended(&self.feed, (Standing::Stopped, &said));
                return 0;
            }
        }
    }

    fn mirror(&self) -> Result<u64, Failure> {
        let console = settings::console_of_job(&self.job, self.manner.stdout_form, self.manner.verbose)?;
        let console = Arc::new(console);
        self.board.speaks_through(&console);
        let done = self.mirror_with(&console);
        console.finish();
        done
    }

    fn mirror_with(&self, console: &Console) -> Result<u64, Failure> {
        let args = &self.job.mirror;
        let mut specs = settings::specs((&args.pair, &args.also), &args.pass, &args.output)?;
        for spec in &mut specs {
            // What `alike why` finds later is how to run this job alone, not how to run all.
            spec.command_line =
                spec.command_line.take().map(|line| CommandLine { words: self.job.argv.clone(), ..line });
        }
        let rhythm = Rhythm {
            held_folders: self.manner.held_folders,
            waits_at_start: true,
            turns: Some(self.share.clone()),
            ..settings::rhythm(args)
        };
        let sights: Vec<Sight<'_>> = (0..specs.len()).map(|number| self.sight(console, number)).collect();
        let monitors: Vec<&dyn Monitor> = sights.iter().map(|sight| sight as &dyn Monitor).collect();
        let policy = settings::policy(&args.pass);
        self.mirrors.store(true, Ordering::Relaxed);
        Ok(mirror(&specs, policy, &rhythm, (&monitors, &now), &self.controls)?)
    }

    fn sight<'a>(&'a self, console: &'a Console, number: usize) -> Sight<'a> {
        Sight { voice: console.voice(number), job: &self.board, number, feed: &self.feed }
    }

    fn halt(&self, why: &str) {
        match self.board.console() {
            Some(console) => {
                for number in 0..self.board.replicas.len() {
                    self.sight(&console, number).event(Event::general(0, Action::Halt, why));
                }
            }
            None => say!("alike: {}: {why}", self.job.name),
        }
        self.board.ended(&self.feed, (Standing::Halted, why));
    }

    /// Waits before the next try; true when stopped meanwhile.
    fn rests(&self) -> bool {
        let until = std::time::Instant::now() + TRY_AGAIN;
        while !self.controls.stop.is_set() {
            let left = until.saturating_duration_since(std::time::Instant::now());
            if left.is_zero() {
                return false;
            }
            let _ = self.controls.waker.wait(None, left);
            self.controls.waker.clear();
        }
        true
    }
}
