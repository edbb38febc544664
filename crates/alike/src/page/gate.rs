//! Who may ask the page: by the address that it has, from the page itself, and for changes with the token.
//!
//! A page on the loopback can be reached by every page that a browser on this machine shows. One that turns its own name into
//! 127.0.0.1 (DNS rebinding) is told by the Host, one that asks across sites by Origin and Sec-Fetch-Site.

use std::net::{IpAddr, SocketAddr};

use axum::http::uri::Authority;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};

use super::token::Token;

/// Why something was not answered.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Refused(pub(crate) StatusCode, pub(crate) String);

/// The header that the token comes in: no page of another site can send it without being asked first, and that is refused.
pub(crate) const TOKEN: &str = "x-alike-token";

/// Judges a request by its head.
///
/// # Errors
/// When it is refused; the text says why.
pub(crate) fn judge(
    at: SocketAddr,
    token: &Token,
    (method, uri, headers): (&Method, &Uri, &HeaderMap),
) -> Result<(), Refused> {
    by_host(at, uri, headers)?;
    let changes = method != Method::GET && method != Method::HEAD;
    by_origin(at, (changes, uri), headers)?;
    if changes { by_token(token, headers) } else { Ok(()) }
}

fn by_host(at: SocketAddr, uri: &Uri, headers: &HeaderMap) -> Result<(), Refused> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let host = hosts.next().and_then(|host| host.to_str().ok()).unwrap_or_default();
    let asked = uri.authority().map_or(host, Authority::as_str);
    if hosts.next().is_none() && is_ours(at, host) && is_ours(at, asked) {
        return Ok(());
    }
    let why = format!(
        "this page answers only to its address {at} or, on this machine, to localhost:{}: not to a name, for any site can give \
         itself one that leads here",
        at.port()
    );
    Err(Refused(StatusCode::MISDIRECTED_REQUEST, why))
}

/// True for the address that it listens at, and for this machine with its port.
fn is_ours(at: SocketAddr, host: &str) -> bool {
    let Ok(authority) = host.parse::<Authority>() else { return false };
    if authority.as_str().contains('@') || authority.port_u16().unwrap_or(80) != at.port() {
        return false;
    }
    let name = authority.host();
    if name.eq_ignore_ascii_case("localhost") {
        return true;
    }
    let literal = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
    // Where it listens at every address, by which it was reached; a number is no name that somebody can turn.
    literal
        .parse::<IpAddr>()
        .is_ok_and(|ip| ip == at.ip() || ip.to_canonical().is_loopback() || at.ip().is_unspecified())
}

fn by_origin(at: SocketAddr, (changes, uri): (bool, &Uri), headers: &HeaderMap) -> Result<(), Refused> {
    let text = |name| headers.get(name).map(|value: &header::HeaderValue| value.to_str().unwrap_or("?"));
    let refused = |why: &str| Err(Refused(StatusCode::FORBIDDEN, why.to_owned()));
    match text("sec-fetch-site") {
        None | Some("same-origin" | "none") => {}
        // A link to the page, which shows nothing to who made it.
        Some(_) if !changes && uri.path() == "/" && text("sec-fetch-mode") == Some("navigate") => {}
        Some(_) => return refused("another site asked for this; only the page itself may"),
    }
    match text(header::ORIGIN.as_str()) {
        None if changes => refused("a change needs an Origin header with the address of this page"),
        None => Ok(()),
        Some(origin) if origin.strip_prefix("http://").is_some_and(|host| is_ours(at, host)) => Ok(()),
        Some(_) => refused("the Origin header names another site; only the page itself may ask"),
    }
}

fn by_token(token: &Token, headers: &HeaderMap) -> Result<(), Refused> {
    match headers.get(TOKEN) {
        Some(given) if token.is(given.as_bytes()) => Ok(()),
        given => {
            let which = if given.is_some() { "this is not the token" } else { "a change needs the token" };
            Err(Refused(
                StatusCode::UNAUTHORIZED,
                format!("{which} of the alike up that runs now; alike status shows the address that has it"),
            ))
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn is_let_in(at: &str, host: &str) -> bool {
        is_ours(at.parse().unwrap(), host)
    }

    #[test]
    fn only_numbers_of_this_machine_with_the_right_port_are_ours() {
        for host in ["127.0.0.1:7433", "localhost:7433", "LOCALHOST:7433", "127.0.0.2:7433", "[::1]:7433"] {
            assert!(is_let_in("127.0.0.1:7433", host), "{host}");
        }
        for host in [
            "",
            "127.0.0.1",
            "localhost",
            "127.0.0.1:80",
            "evil.example:7433",
            "localhost.evil.example:7433",
            "127.0.0.1.evil.example:7433",
            "evil@127.0.0.1:7433",
            "192.168.1.5:7433",
            "2130706433:7433",
            "0x7f.1:7433",
            "[::1]",
            "[::ffff:192.168.1.5]:7433",
            "localhost:7433:7433",
            "localhost:7433/",
        ] {
            assert!(!is_let_in("127.0.0.1:7433", host), "{host}");
        }
    }

    #[test]
    fn a_page_at_every_address_is_reached_by_any_number_and_no_name() {
        assert!(is_let_in("0.0.0.0:80", "192.168.1.5") && is_let_in("[::]:80", "[fe80::1]:80"));
        assert!(!is_let_in("0.0.0.0:80", "nas.example") && !is_let_in("0.0.0.0:80", "192.168.1.5:81"));
        assert!(
            is_let_in("192.168.1.5:81", "192.168.1.5:81") && !is_let_in("192.168.1.5:81", "192.168.1.6:81")
        );
    }
}
