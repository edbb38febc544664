//! The socket unit, as text: systemd listens for the page, and the service that shows it needs no network.

use std::net::{IpAddr, SocketAddr};

use super::unit::{For, Network, OURS, Start};
use super::words::{self, Unwritable};
use crate::config::Config;
use crate::page::LISTENER;

/// What the service says of its socket unit. It is wanted and not required: where the address is taken, the mirrors run.
pub(super) const BESIDE: &str = "\
# systemd listens for the page, and passes the listener on.
Sockets=alike.socket
";

/// Where systemd listens for the page. None: there is no page, or the service has a network and listens itself.
///
/// # Errors
/// When the address is none that a unit can name.
pub(super) fn address(of: For, config: &Config) -> Result<Option<SocketAddr>, Unwritable> {
    // To a user's service no network can be forbidden.
    let is_for_us = of == For::System && Network::of(config) == Network::None;
    let listen = config.web.as_ref().filter(|_| is_for_us).map(|web| web.listen);
    match listen {
        Some(listen) if listen.port() == 0 => {
            Err(format!("[web] listens at {listen}; a page in a service needs a port that is not 0"))
        }
        listen => Ok(listen),
    }
}

/// The socket unit, where there is to be one.
///
/// # Errors
/// When the address or the path of the config cannot be written into a unit file.
pub(super) fn unit(of: For, start: &Start, config: &Config) -> Result<Option<String>, Unwritable> {
    let Some(listen) = address(of, config)? else { return Ok(None) };
    let mut unit = format!("{OURS} from {}.\n", words::listed("", &start.config)?);
    unit.push_str("# Its next run writes it anew; it is due when the page gets another address. Changes of your own go into:\n");
    unit.push_str(
        "# systemctl edit alike.socket\n\n[Unit]\nDescription=alike: listens for the status page\n",
    );
    unit.push_str("Documentation=man:alike(1) man:alike.toml(5)\n");
    unit.push_str("# It comes and goes with the service: a visitor starts nothing that was stopped.\nBindsTo=alike.service\n");
    unit.push_str(&format!("\n[Socket]\nListenStream={}\nFileDescriptorName={LISTENER}\n", written(listen)));
    unit.push_str(match listen.ip() {
        IpAddr::V4(ip) if ip.is_loopback() => THIS_MACHINE,
        IpAddr::V6(ip) if ip.is_loopback() => THIS_MACHINE,
        ip if ip.is_unspecified() => "",
        _ => "# The address may come later than this.\nFreeBind=yes\n",
    });
    Ok(Some(unit))
}

const THIS_MACHINE: &str = "\
# This machine alone. (What is said of the service is not said of what is passed to it.)
IPAddressDeny=any
IPAddressAllow=localhost
";

fn written(listen: SocketAddr) -> String {
    match listen {
        // The interface stands behind the port there, and a % begins a word of systemd's own.
        SocketAddr::V6(v6) if v6.scope_id() != 0 => format!("[{}]:{}%%{}", v6.ip(), v6.port(), v6.scope_id()),
        _ => listen.to_string(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_written_as_systemd_reads_it() {
        for (listen, line) in [
            ("127.0.0.1:7433", "127.0.0.1:7433"),
            ("[::]:80", "[::]:80"),
            ("[fe80::1%3]:80", "[fe80::1]:80%%3"),
        ] {
            assert_eq!(written(listen.parse().unwrap()), line);
        }
    }
}
