//! Where the page listens: by itself, or where systemd listens for it.

use std::future::pending;
use std::io;
use std::net::{self, SocketAddr};
use std::time::Duration;

use alike_storage::{linux, plain};
use rustix::io::Errno;
use tokio::net::TcpListener;
use tokio::time::sleep;

use crate::up::notify;

/// The name that the listener of the page has in the socket unit.
pub(crate) const LISTENER: &str = "page";
/// What to do about an address that a service without network cannot have.
const REMEDY: &str = "run \"alike service install\" again";

/// A listener that systemd opened. It stays open as long as this process, whether the page is shown or not.
pub(crate) struct Passed {
    listener: net::TcpListener,
    at: SocketAddr,
}

/// Why the page is not shown.
pub(super) struct Trouble {
    pub(super) why: String,
    /// It may be otherwise soon, without anybody's doing.
    pub(super) may_pass: bool,
}

impl Passed {
    /// What systemd passed for the page. It must be asked before a program is started, which would have it too.
    pub(crate) fn by_systemd() -> Option<Self> {
        match Self::find() {
            Ok(passed) => passed,
            Err(why) => {
                say!("alike: what systemd passed for the page cannot be used: {}", plain(&why));
                None
            }
        }
    }

    fn find() -> io::Result<Option<Self>> {
        let page = sd_notify::listen_fds_with_names()?.find(|(_, name)| name == LISTENER);
        let Some((number, _)) = page else { return Ok(None) };
        let listener = linux::passed_listener(number)?;
        let at = listener.local_addr()?;
        Ok(Some(Self { listener, at }))
    }

    fn listener(&self) -> io::Result<TcpListener> {
        TcpListener::from_std(self.listener.try_clone()?)
    }
}

/// The listener for an address, and where it is.
pub(super) async fn open(
    passed: Option<&Passed>,
    wanted: SocketAddr,
) -> Result<(SocketAddr, TcpListener), Trouble> {
    let opened = match passed {
        Some(passed) if passed.at != wanted => return Err(elsewhere(passed.at, wanted)),
        Some(passed) => passed.listener(),
        None => TcpListener::bind(wanted).await,
    };
    opened.and_then(|listener| Ok((listener.local_addr()?, listener))).map_err(|why| {
        let text = format!("the page cannot be shown at {wanted}: {}", plain(&why));
        // The unit of a page has no network, and one that was written for none has no listener either.
        let is_forbidden =
            why.raw_os_error() == Some(Errno::AFNOSUPPORT.raw_os_error()) && notify::is_heard();
        match is_forbidden {
            true => Trouble {
                why: format!(
                    "{text}; the service has no network, and systemd passed it no listener: {REMEDY}"
                ),
                may_pass: false,
            },
            false => Trouble { why: text, may_pass: true },
        }
    })
}

fn elsewhere(at: SocketAddr, wanted: SocketAddr) -> Trouble {
    let why = format!("the page cannot be shown at {wanted}: the socket unit listens at {at}; {REMEDY}");
    Trouble { why, may_pass: false }
}

/// Who comes while the page is not shown goes at once, and does not wait for it. It never ends.
pub(super) async fn turn_away(passed: Option<&Passed>) {
    let Some(listener) = passed.and_then(|passed| passed.listener().ok()) else { return pending().await };
    loop {
        match listener.accept().await {
            Ok(visitor) => drop(visitor),
            Err(_) => sleep(Duration::from_millis(100)).await,
        }
    }
}
