//! `alike up`: all jobs of a config file in one process, and the commands that ask it.

pub(crate) mod asking;
pub(crate) mod board;
mod conduct;
mod day;
pub(crate) mod feed;
mod fleet;
mod hooks;
mod job;
mod kept;
pub(crate) mod notify;
pub(crate) mod record;
pub(crate) mod report;
pub(crate) mod socket;
pub(crate) mod told;

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;

use alike_storage::plain;
use clap::Args;
use signal_hook::consts::{SIGHUP, SIGUSR1};

use crate::config;
use crate::page::{Page, Passed};
use crate::run::{DIFFERS, Failure, IDENTICAL};
use crate::{settings, signals};
use board::Board;
use conduct::{Conductor, Wish};
use fleet::Fleet;
use job::Manner;
use socket::{Answer, Asked, Seat, serve};

#[derive(Debug, Args)]
pub(crate) struct UpArgs {
    #[command(flatten)]
    pub(crate) which: config::WhichArgs,
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

pub(crate) fn up(args: &UpArgs) -> Result<ExitCode, Failure> {
    let passed = Passed::by_systemd();
    let config = config::load(args.which.config.as_deref())?;
    let file = config.files[0].clone();
    let seat = Seat::take(&file)?;
    let board = Arc::new(Board::new());
    let (wishes, heard) = channel();
    hear_signals(&wishes)?;
    let listener = seat.listen()?;
    let manner = Manner {
        stdout_form: settings::stdout_form(args.quiet, args.json),
        verbose: args.verbose,
        held_folders: settings::held_folders(),
    };
    let page = page(&board, &wishes, &seat, passed)?;
    let (fleet, looks) = (Fleet::new(Arc::clone(&board), manner), Arc::default());
    let mut conductor = Conductor { config: file, board: &board, fleet, page, looks };
    let web = config.web.clone();
    say!("alike: {}", conductor.fleet.apply(config));
    // Who asks before knows nothing: all would be well with no job at all.
    answer_others(listener, &board, &wishes)?;
    // Not before there are jobs to tell of: who asks whether all is well must not hear that nothing is wrong with none.
    conductor.page.apply(web.as_ref());
    let _listens = notify::is_heard().then(|| wake_at_changes(&board, &wishes, &conductor.looks));
    notify::ready();
    let waiting = conductor.run(&heard);
    notify::stopping();
    conductor.page.end();
    let found = conductor.fleet.end();
    if let Some(reply) = waiting {
        let _ = reply.send(Answer::Done { text: "stopped".to_owned() });
    }
    // Who asked is still to be answered by another thread.
    std::thread::sleep(Duration::from_millis(20));
    Ok(ExitCode::from(if found == 0 { IDENTICAL } else { DIFFERS }))
}

/// The page, shown nowhere yet.
fn page(
    board: &Arc<Board>,
    wishes: &Sender<Wish>,
    seat: &Seat,
    passed: Option<Passed>,
) -> Result<Page, Failure> {
    let wishes = wishes.clone();
    let ask = move |question, reply| drop(wishes.send(Wish::Asked((question, reply))));
    let file = seat.token_file();
    Page::new(board, Box::new(ask), &file, passed).map_err(|why| {
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
fn wake_at_changes(
    board: &Board,
    wishes: &Sender<Wish>,
    looks: &Arc<AtomicBool>,
) -> Arc<dyn Fn() + Send + Sync> {
    let (wishes, looks) = (wishes.clone(), Arc::clone(looks));
    let listener: Arc<dyn Fn() + Send + Sync> = Arc::new(move || {
        // One at a time, or a first copy of many files would fill the queue.
        if !looks.swap(true, Ordering::Relaxed) {
            let _ = wishes.send(Wish::Look);
        }
    });
    board.feed.listen(&listener);
    listener
}
