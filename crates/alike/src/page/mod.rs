//! The status page: a small server on a thread of its own, which shows what the board knows and does what a person with the token asks.

mod changes;
mod door;
mod follow;
mod gate;
mod html;
mod listener;
mod metrics;
mod past;
mod routes;
mod token;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::Sender;
use std::thread::JoinHandle;
use std::time::Duration;

use alike_engine::stop::Stop;
use tokio::sync::watch;

use crate::config::Web;
use crate::up::board::Board;
use crate::up::socket::{Answer, Question};
use door::{Answered, Door};
use follow::News;
use listener::Trouble;
pub(crate) use listener::{LISTENER, Passed};
pub(crate) use token::Token;

/// A place that is taken is tried again this often.
const TRY_AGAIN: Duration = Duration::from_secs(5);
/// How long answers that are under way may take once the page ends or moves.
const LAST_WORDS: Duration = Duration::from_secs(1);
/// How long an undo or a restore may take to come to a good place when all ends.
const PATIENCE: Duration = Duration::from_secs(30);

/// Whoever owns the jobs is asked something, and where the answer goes.
pub(crate) type Ask = Box<dyn Fn(Question, Sender<Answer>) + Send + Sync>;

/// What all answers are made from.
pub(crate) struct Shared {
    pub(crate) board: Arc<Board>,
    ask: Ask,
    token: Token,
    /// Ends what is being undone or brought back.
    stop: Stop,
    /// One change at a time.
    changing: std::sync::Mutex<()>,
    news: News,
}

/// The page, whether it is shown or not.
pub(crate) struct Page {
    shared: Arc<Shared>,
    wanted: watch::Sender<Option<SocketAddr>>,
    thread: JoinHandle<()>,
}

impl Page {
    /// Starts the thread; nothing is shown yet.
    ///
    /// # Errors
    /// When the token cannot be written, or the system has no more threads.
    pub(crate) fn new(
        board: &Arc<Board>,
        ask: Ask,
        token_file: &Path,
        passed: Option<Passed>,
    ) -> std::io::Result<Self> {
        let token = Token::make(token_file)?;
        board.token_is(token.as_str());
        let shared = Arc::new(Shared {
            board: Arc::clone(board),
            ask,
            token,
            stop: Stop::default(),
            changing: std::sync::Mutex::default(),
            news: News::default(),
        });
        let (wanted, mut where_to) = watch::channel(None);
        let theirs = Arc::clone(&shared);
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .max_blocking_threads(4)
            .thread_name("page reads")
            .build()?;
        let thread = std::thread::Builder::new().name("page".to_owned()).spawn(move || {
            runtime.block_on(run(&theirs, passed.as_ref(), &mut where_to));
            theirs.board.page_is_at(None);
            runtime.shutdown_timeout(PATIENCE);
        })?;
        Ok(Self { shared, wanted, thread })
    }

    /// Shows it where the config says; moves or ends it.
    pub(crate) fn apply(&self, web: Option<&Web>) {
        let listen = web.map(|web| web.listen);
        self.wanted.send_if_modified(|wanted| std::mem::replace(wanted, listen) != listen);
        self.look();
    }

    /// Something changed that the jobs do not tell of.
    pub(crate) fn look(&self) {
        self.shared.news.wake();
    }

    /// Ends it, and what it is undoing or bringing back.
    pub(crate) fn end(self) {
        self.shared.stop.set();
        drop(self.wanted);
        let _ = self.thread.join();
    }
}

/// Listens where it is wanted, until nobody wants anything any more.
async fn run(
    shared: &Arc<Shared>,
    passed: Option<&Passed>,
    wanted: &mut watch::Receiver<Option<SocketAddr>>,
) {
    let mut said = String::new();
    loop {
        let listen = *wanted.borrow_and_update();
        let goes_on = match listen {
            None => {
                said.clear();
                shared.board.page_is_at(None);
                is_shown_nowhere(passed, wanted, None).await
            }
            Some(listen) => match listener::open(passed, listen).await {
                Ok((at, listener)) => {
                    said.clear();
                    shared.board.page_is_at(Some(format!("http://{at}/")));
                    say!("alike: the page is at http://{at}/");
                    serve(shared, Door::new(listener), at, wanted).await
                }
                Err(trouble) => {
                    tell(shared, &trouble, &mut said);
                    is_shown_nowhere(passed, wanted, trouble.may_pass.then_some(TRY_AGAIN)).await
                }
            },
        };
        shared.news.wake();
        if !goes_on {
            return;
        }
    }
}

/// Says it to all who may want to know, and in the journal once.
fn tell(shared: &Shared, trouble: &Trouble, said: &mut String) {
    shared.board.page_trouble(trouble.why.clone());
    if trouble.why != *said {
        let then = if trouble.may_pass { ", and it is tried again" } else { "" };
        say!("alike: {}; the jobs run on{then}", trouble.why);
        said.clone_from(&trouble.why);
    }
}

/// Until another place is wanted, or this time is over; false when none will be.
async fn is_shown_nowhere(
    passed: Option<&Passed>,
    wanted: &mut watch::Receiver<Option<SocketAddr>>,
    longest: Option<Duration>,
) -> bool {
    let over = async {
        match longest {
            Some(longest) => tokio::time::sleep(longest).await,
            None => std::future::pending().await,
        }
    };
    tokio::select! {
        changed = wanted.changed() => changed.is_ok(),
        () = listener::turn_away(passed) => true,
        () = over => true,
    }
}

/// Answers until another place is wanted; false when none will be.
async fn serve(
    shared: &Arc<Shared>,
    door: Door,
    at: SocketAddr,
    wanted: &mut watch::Receiver<Option<SocketAddr>>,
) -> bool {
    let (end, ended) = watch::channel(false);
    let watching = tokio::spawn(follow::keep_up(Arc::clone(shared)));
    let router = routes::router(Arc::clone(shared), at, ended.clone());
    let router = router.into_make_service_with_connect_info::<Answered>();
    let mut until = ended;
    let mut serving = tokio::spawn(async move {
        let is_over = async move { drop(until.wait_for(|over| *over).await) };
        axum::serve(door, router).with_graceful_shutdown(is_over).await
    });
    let goes_on = tokio::select! {
        changed = wanted.changed() => changed.is_ok(),
        _ = &mut serving => true,
    };
    let _ = end.send(true);
    if tokio::time::timeout(LAST_WORDS, &mut serving).await.is_err() {
        serving.abort();
    }
    watching.abort();
    goes_on
}
