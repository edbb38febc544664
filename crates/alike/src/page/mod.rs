//! The status page: a small server on a thread of its own, which shows what the board knows and does what a person with the token asks.

mod changes;
mod door;
mod follow;
mod gate;
mod html;
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
use alike_storage::plain;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::config::Web;
use crate::up::board::Board;
use crate::up::socket::{Answer, Question};
use door::{Answered, Door};
use follow::News;
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
    pub(crate) fn new(board: &Arc<Board>, ask: Ask, token_file: &Path) -> std::io::Result<Self> {
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
            runtime.block_on(run(&theirs, &mut where_to));
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
async fn run(shared: &Arc<Shared>, wanted: &mut watch::Receiver<Option<SocketAddr>>) {
    let mut said = String::new();
    loop {
        let Some(listen) = *wanted.borrow_and_update() else {
            shared.board.page_is_at(None);
            if wanted.changed().await.is_err() {
                return;
            }
            continue;
        };
        let bound = TcpListener::bind(listen).await.and_then(|bound| Ok((bound.local_addr()?, bound)));
        let goes_on = match bound {
            Ok((at, listener)) => {
                said.clear();
                shared.board.page_is_at(Some(format!("http://{at}/")));
                say!("alike: the page is at http://{at}/");
                serve(shared, Door::new(listener), at, wanted).await
            }
            Err(why) => {
                let why = format!("the page cannot be shown at {listen}: {}", plain(&why));
                shared.board.page_trouble(why.clone());
                if why != said {
                    say!("alike: {why}; the jobs run on, and it is tried again");
                    said = why;
                }
                tokio::select! {
                    changed = wanted.changed() => changed.is_ok(),
                    () = tokio::time::sleep(TRY_AGAIN) => true,
                }
            }
        };
        shared.news.wake();
        if !goes_on {
            return;
        }
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
