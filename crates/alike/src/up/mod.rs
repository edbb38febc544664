//! `alike up`: all jobs of a config file in one process, and the commands that ask it.

pub(crate) mod asking;
pub(crate) mod board;
mod day;
pub(crate) mod feed;
mod fleet;
mod hooks;
mod job;
mod notify;
pub(crate) mod record;
pub(crate) mod report;
pub(crate) mod socket;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use alike_storage::plain;
use clap::Args;
use signal_hook::consts::{SIGHUP, SIGUSR1};

use crate::config;
use crate::page::Page;
use crate::run::{DIFFERS, Failure, IDENTICAL};
use crate::{settings, signals};
use board::Board;
use fleet::Fleet;
use job::Manner;
use socket::{Answer, Asked, Question, Seat, serve};

#[derive(Debug, Args)]
pub(crate) struct UpArgs {
    /// The config file [default: $XDG_CONFIG_HOME/alike/alike.toml, then /etc/alike/alike.toml]
    #[arg(short, long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub(crate) config: Option<PathBuf>,
    /// One JSON object a line on standard output
    #[arg(long)]
    pub(crate) json: bool,
    /// Only errors
    #[arg(short, long, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// Also say what it works with
    #[arg(short, long)]
    pub(crate) verbose: bool,
}

/// systemd and who looks at the status line are told of changes at most this often.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// What the loop is woken by.
enum Wish {
    Asked(Asked),
    Reload,
    PassNow,
    Stop,
    /// Something changed that is worth a look.
    Look,
}

pub(crate) fn up(args: &UpArgs) -> Result<ExitCode, Failure> {
    let config = config::load(args.config.as_deref())?;
    let seat = Seat::take(&config.files[0])?;
    let board = Arc::new(Board::new());
    let (wishes, heard) = channel();
    hear_signals(&wishes)?;
    let listener = seat.listen()?;
    answer_others(listener, &board, &wishes)?;
    let manner = Manner {
        stdout_form: settings::stdout_form(args.quiet, args.json),
        verbose: args.verbose,
        held_folders: settings::held_folders(),
    };
    let page = page(&board, &wishes, &seat)?;
    let mut fleet = Fleet::new(Arc::clone(&board), manner);
    let web = config.web.clone();
    say!("alike: {}", fleet.apply(config));
    // Not before there are jobs to tell of: who asks whether all is well must not hear that nothing is wrong with none.
    page.apply(web.as_ref());
    let _listens = notify::is_heard().then(|| wake_at_changes(&board, &wishes));
    notify::ready();
    let waiting = run(&heard, &board, (&mut fleet, &page), args);
    notify::stopping();
    page.end();
    let found = fleet.end();
    for reply in waiting {
        let _ = reply.send(Answer::Done { text: "stopped".to_owned() });
    }
    // Who asked is still to be answered by another thread.
    std::thread::sleep(Duration::from_millis(20));
    Ok(ExitCode::from(if found == 0 { IDENTICAL } else { DIFFERS }))
}

/// Until it is to end. Returns who wants to know when it has.
fn run(
    heard: &Receiver<Wish>,
    board: &Board,
    (fleet, page): (&mut Fleet, &Page),
    args: &UpArgs,
) -> Vec<Sender<Answer>> {
    let mut due: Option<Instant> = Some(Instant::now());
    let watchdog = notify::watchdog();
    loop {
        let until_due = due.map(|due| due.saturating_duration_since(Instant::now()));
        let longest = [until_due, watchdog].into_iter().flatten().min().unwrap_or(Duration::MAX);
        let wish = match heard.recv_timeout(longest) {
            Ok(wish) => Some(wish),
            Err(RecvTimeoutError::Timeout) => None,
            Err(RecvTimeoutError::Disconnected) => return Vec::new(),
        };
        if watchdog.is_some() {
            notify::alive();
        }
        match wish {
            Some(Wish::Stop) => return Vec::new(),
            Some(Wish::Asked((Question::Down, reply))) => return vec![reply],
            Some(Wish::Reload) => drop(reload(board, (fleet, page), args)),
            Some(Wish::PassNow) => fleet.pass_now(),
            Some(Wish::Look) => due = due.or_else(|| Some(Instant::now() + TELL_EVERY)),
            Some(Wish::Asked((question, reply))) => {
                let _ = reply.send(do_as_asked(&question, board, (fleet, page), args));
            }
            None => {}
        }
        if due.is_some_and(|due| due <= Instant::now()) {
            notify::status(&notify::line(&board.report()));
            due = None;
        }
    }
}

fn do_as_asked(
    question: &Question,
    board: &Board,
    (fleet, page): (&mut Fleet, &Page),
    args: &UpArgs,
) -> Answer {
    let done = match question {
        Question::Reload => reload(board, (fleet, page), args),
        Question::Pass { job: None } => {
            fleet.pass_now();
            Ok("a pass of every job begins".to_owned())
        }
        Question::Pass { job: Some(name) } => fleet.pass_of(name),
        Question::Status | Question::Down => Ok(String::new()),
    };
    match done {
        Ok(text) => Answer::Done { text },
        Err(text) => Answer::Refused { text },
    }
}

/// Takes up the config file as it is now. A broken one changes nothing.
fn reload(board: &Board, (fleet, page): (&mut Fleet, &Page), args: &UpArgs) -> Result<String, String> {
    notify::reloading();
    let loaded = config::load(args.config.as_deref()).map_err(|trouble| Failure::from(trouble).told().0);
    fleet.reopen_logs();
    let told = match loaded {
        Ok(config) => {
            let web = config.web.clone();
            let told = fleet.apply(config);
            page.apply(web.as_ref());
            Ok(told)
        }
        Err(why) => {
            board.config_is_broken(why.clone());
            Err(format!("the config file is broken, and nothing was changed:\n{why}"))
        }
    };
    page.look();
    let (Ok(text) | Err(text)) = &told;
    say!("alike: {text}");
    notify::ready();
    told
}

/// The page, shown nowhere yet.
fn page(board: &Arc<Board>, wishes: &Sender<Wish>, seat: &Seat) -> Result<Page, Failure> {
    let wishes = wishes.clone();
    let ask = move |question, reply| drop(wishes.send(Wish::Asked((question, reply))));
    let file = seat.token_file();
    Page::new(board, Box::new(ask), &file).map_err(|why| {
        Failure::Failed(format!(
            "the token of the page, {}, cannot be written: {}",
            file.display(),
            plain(&why)
        ))
    })
}

fn hear_signals(wishes: &Sender<Wish>) -> Result<(), Failure> {
    let wishes = wishes.clone();
    let is_ending = AtomicBool::new(false);
    signals::hear(move |signal| {
        let wish = match signal {
            SIGHUP => Wish::Reload,
            SIGUSR1 => Wish::PassNow,
            ending => {
                if is_ending.swap(true, Ordering::Relaxed) {
                    std::process::exit(128 + ending);
                }
                Wish::Stop
            }
        };
        let _ = wishes.send(wish);
    })?;
    Ok(())
}

fn answer_others(
    listener: std::os::unix::net::UnixListener,
    board: &Arc<Board>,
    wishes: &Sender<Wish>,
) -> Result<(), Failure> {
    let (board, wishes) = (Arc::clone(board), wishes.clone());
    let report = move || board.report_to_owner();
    let asked = move |asked: Asked| {
        let _ = wishes.send(Wish::Asked(asked));
    };
    std::thread::Builder::new().name("control".to_owned()).spawn(move || serve(listener, report, asked))?;
    Ok(())
}

/// Wakes the loop when something changes; as long as the value lives.
fn wake_at_changes(board: &Board, wishes: &Sender<Wish>) -> Arc<dyn Fn() + Send + Sync> {
    let wishes = wishes.clone();
    let listener: Arc<dyn Fn() + Send + Sync> = Arc::new(move || {
        // One at a time, or a first copy of many files would fill the queue.
        if !looks.swap(true, Ordering::Relaxed) {
            let _ = wishes.send(Wish::Look);
        }
    });
    board.feed.listen(&listener);
    listener
}
