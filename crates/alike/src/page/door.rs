//! Where visitors come in: so many at once and no more, for each takes a descriptor that a mirror may need.

use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use axum::extract::connect_info::Connected;
use axum::serve::{IncomingStream, Listener};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, Sleep, sleep};

/// The most that are let in; a browser takes six.
const VISITORS: usize = 96;
/// Who comes in asks something within this time, or goes.
pub(super) const TO_ASK: Duration = Duration::from_secs(10);
/// Who was answered and then neither asks nor reads goes after this time. Who follows is told something more often.
const TO_REST: Duration = Duration::from_secs(30);

pub(crate) struct Door {
    listener: TcpListener,
    free: Arc<Semaphore>,
}

impl Door {
    pub(crate) fn new(listener: TcpListener) -> Self {
        Self { listener, free: Arc::new(Semaphore::new(VISITORS)) }
    }
}

impl Listener for Door {
    type Io = Visitor;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Visitor, SocketAddr) {
        loop {
            let place = Arc::clone(&self.free).acquire_owned().await.ok();
            match self.listener.accept().await {
                Ok((stream, from)) => return (Visitor::new(stream, place), from),
                // No descriptor is free, or who came is gone again.
                Err(_) => sleep(Duration::from_millis(100)).await,
            }
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection, and its place among those that are let in.
pub(crate) struct Visitor {
    stream: TcpStream,
    /// When it has to go.
    leaves: Pin<Box<Sleep>>,
    answered: Answered,
    _place: Option<OwnedSemaphorePermit>,
}

impl Visitor {
    fn new(stream: TcpStream, place: Option<OwnedSemaphorePermit>) -> Self {
        let leaves = Box::pin(sleep(TO_ASK));
        Self { stream, leaves, answered: Answered::default(), _place: place }
    }

    /// Ready when it has had its time; an answer that is being made takes as long as it takes.
    fn has_to_go(&mut self, context: &mut Context<'_>) -> Poll<io::Error> {
        loop {
            ready!(self.leaves.as_mut().poll(context));
            if !self.answered.0.load(Ordering::Relaxed) {
                return Poll::Ready(io::ErrorKind::TimedOut.into());
            }
            self.stays();
        }
    }

    fn stays(&mut self) {
        self.leaves.as_mut().reset(Instant::now() + TO_REST);
    }
}

/// Whether an answer to a visitor is being made.
#[derive(Clone, Default)]
pub(super) struct Answered(Arc<AtomicBool>);

/// An answer that is being made, as long as the value lives.
pub(super) struct Answering(Answered);

impl Answered {
    pub(super) fn begins(&self) -> Answering {
        self.0.store(true, Ordering::Relaxed);
        Answering(self.clone())
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        self.0.0.store(false, Ordering::Relaxed);
    }
}

impl Connected<IncomingStream<'_, Door>> for Answered {
    fn connect_info(stream: IncomingStream<'_, Door>) -> Self {
        stream.io().answered.clone()
    }
}

impl AsyncRead for Visitor {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        // First, for who sends a byte now and then would never go.
        if let Poll::Ready(why) = self.has_to_go(context) {
            return Poll::Ready(Err(why));
        }
        Pin::new(&mut self.stream).poll_read(context, into)
    }
}

impl AsyncWrite for Visitor {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if let Poll::Ready(written) = Pin::new(&mut self.stream).poll_write(context, bytes) {
            self.stays();
            return Poll::Ready(written);
        }
        self.has_to_go(context).map(Err)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}
