//! The page of an `alike up` for which somebody else listens, as systemd does for the service.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::path::Path;

use alike_testkit::wait_until;
use common::up::Up;
use common::{SOON, text};

/// A listener at a free port, and where it is.
fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let at = listener.local_addr().unwrap();
    (listener, at)
}

fn configure(up: &Up, at: Option<SocketAddr>, more: &str) {
    let web = at.map_or(String::new(), |at| format!("[web]\nlisten = \"{at}\"\n"));
    up.configure(&format!("{}{web}", up.job("docs", more)));
}

fn reload(up: &Up) {
    let config = up.config_file();
    up.ask(&["reload", "-c", text(&config)]).expect(0);
}

/// A room with one job and its page at this address.
fn room(at: SocketAddr) -> Up {
    let up = Up::new();
    up.source("docs").file("a", "one");
    configure(&up, Some(at), "");
    up
}

/// What a visitor is answered: nothing when the connection ends without a word.
fn asked(at: SocketAddr) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(at)?;
    stream.set_read_timeout(Some(SOON))?;
    let _ = stream.write_all(format!("GET /api/status HTTP/1.0\r\nHost: {at}\r\n\r\n").as_bytes());
    let mut answer = Vec::new();
    match stream.read_to_end(&mut answer) {
        Err(why) if why.kind() == std::io::ErrorKind::ConnectionReset => {}
        read => drop(read?),
    }
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

#[track_caller]
fn wait_for_page(up: &mut Up, at: SocketAddr) {
    let came = wait_until(SOON, || asked(at).is_ok_and(|answer| answer.contains(" 200 ")));
    assert!(came, "no page at {at}: {}", up.live().err());
}

#[test]
fn the_page_is_where_somebody_else_listens_for_it() {
    let (listener, at) = listener();
    let mut up = room(at);
    up.start_for(listener, "page");
    // Nobody could listen here a second time.
    wait_for_page(&mut up, at);
    assert!(up.status().unwrap()["web"].as_str().unwrap().starts_with(&format!("http://{at}/")));
    assert_eq!(up.stop(), Some(0));
    assert!(TcpStream::connect(at).is_err(), "it is gone with the process");
}

#[test]
fn a_listener_by_another_name_is_left_alone() {
    let (theirs, _) = listener();
    let (ours, at) = listener();
    drop(ours);
    let mut up = room(at);
    up.start_for(theirs, "another");
    wait_for_page(&mut up, at);
}

#[test]
fn an_address_that_is_not_the_listeners_is_told_with_what_to_do_and_the_jobs_run_on() {
    let (listener, at) = listener();
    let elsewhere: SocketAddr = "127.0.0.1:1".parse().unwrap();
    let mut up = room(elsewhere);
    up.start_for(listener, "page");
    up.wait_until_same("docs");
    let told = format!(
        "the page cannot be shown at {elsewhere}: the socket unit listens at {at}; run \"alike service install\" again"
    );
    assert!(wait_until(SOON, || up.status().is_some_and(|status| status["web_trouble"] == told)));
    let config = up.config_file();
    let said = up.ask(&["status", "-c", text(&config)]).out();
    assert!(said.contains(&told), "{said}");
    assert!(up.live().err().contains(&format!("{told}; the jobs run on\n")), "{}", up.live().err());
    assert_eq!(asked(at).unwrap(), "", "who comes is sent away at once");
    // With the right one it is there, and with another one gone again.
    configure(&up, Some(at), "");
    reload(&up);
    wait_for_page(&mut up, at);
    configure(&up, Some(elsewhere), "");
    reload(&up);
    assert!(wait_until(SOON, || asked(at).is_ok_and(|answer| answer.is_empty())));
    up.source("docs").file("b", "two");
    up.wait_until_same("docs");
}

#[test]
fn a_page_that_is_taken_out_of_the_config_lets_nobody_in_until_it_is_there_again() {
    let (listener, at) = listener();
    let mut up = room(at);
    up.start_for(listener, "page");
    for _ in 0..2 {
        wait_for_page(&mut up, at);
        configure(&up, None, "");
        reload(&up);
        assert!(wait_until(SOON, || asked(at).is_ok_and(|answer| answer.is_empty())));
        let status = up.status().unwrap();
        assert!(status["web"].is_null() && status["web_trouble"].is_null(), "{status:#}");
        configure(&up, Some(at), "");
        reload(&up);
    }
    wait_for_page(&mut up, at);
}

#[test]
fn a_hook_does_not_get_the_listener() {
    let (listener, at) = listener();
    let socket = format!("/proc/self/fd/{}", listener.as_raw_fd());
    let socket = fs::read_link(socket).unwrap().display().to_string();
    let mut up = room(at);
    let told = up.path("open");
    let list = format!("ls -l /proc/self/fd > '{0}.new'; mv '{0}.new' '{0}'", told.display());
    let hook = format!("on_change = [\"/bin/sh\", \"-c\", {list:?}]");
    configure(&up, Some(at), &hook);
    up.start_for(listener, "page");
    wait_for_page(&mut up, at);
    let pid = up.status().unwrap()["pid"].as_u64().unwrap();
    let open = |pid: &str| {
        let open = fs::read_dir(Path::new("/proc").join(pid).join("fd")).unwrap().flatten();
        open.filter_map(|one| fs::read_link(one.path()).ok()).map(|to| to.display().to_string()).collect()
    };
    let has: Vec<String> = open(&pid.to_string());
    assert!(has.contains(&socket), "{has:?}");
    assert!(wait_until(SOON, || told.exists()));
    let has = fs::read_to_string(&told).unwrap();
    assert!(has.contains("-> ") && !has.contains(&socket), "{has}");
}
