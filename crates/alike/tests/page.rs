//! The page over HTTP: what it answers, whom it refuses, and what it changes.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "common/page.rs"]
mod asked;
mod common;

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;
use std::time::{Duration, Instant};

use alike_testkit::{Pair, name, wait_until};
use asked::Page;
use common::{SOON, pair, pair_with_files};
use serde_json::json;

fn page() -> Page {
    Page::of(pair_with_files(4))
}

#[test]
fn every_address_answers_and_forbids_a_browser_all_that_it_needs_not() {
    let page = page();
    for (path, form, text) in [
        ("/", "text/html; charset=utf-8", "<h2>documents</h2>"),
        ("/healthz", "text/plain; charset=utf-8", "ok\n"),
        ("/metrics", "text/plain; version=0.0.4; charset=utf-8", "alike_up_info{version="),
        ("/api/status", "application/json", "\"state\":\"identical\""),
        ("/api/history?job=documents", "application/json", "even/file-000"),
        ("/api/trash?job=documents", "application/json", "\"trash\":[]"),
        ("/api/day?job=documents", "application/json", "\"changes\":"),
    ] {
        let answer = page.get(path);
        answer.expect(200, text);
        assert_eq!(answer.header("content-type"), form, "{path}");
        let policy = answer.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'; style-src 'sha256-"), "{policy}");
        assert!(policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"), "{policy}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff");
        assert_eq!(answer.header("referrer-policy"), "no-referrer");
        assert_eq!(answer.header("cache-control"), "no-store");
    }
    page.get("/nothing").expect(404, "nothing at this address");
    page.get("/api/restore").expect(405, "not asked in this way");
    page.get("/api/history?job=none").expect(404, "there is no job none");
    page.get("/api/day?job=documents&replica=/elsewhere").expect(404, "no such replica");
}

#[test]
fn a_host_that_is_a_name_is_refused_whatever_is_asked() {
    let page = page();
    let port = page.at.rsplit(':').next().unwrap();
    for host in [
        "evil.example",
        "localhost.evil.example",
        "192.168.7.7",
        "127.0.0.1.evil.example",
        "a@127.0.0.1",
        "2130706433",
    ] {
        let host = format!("{host}:{port}");
        for path in ["/", "/api/status", "/metrics", "/healthz", "/api/events"] {
            page.get_with(path, &[("host", &host)]).expect(421, "this page answers only to its address");
        }
        let wish = page.wish(json!({}));
        let headers =
            [("host", host.as_str()), ("x-alike-token", &page.token), ("origin", &format!("http://{host}"))];
        page.post_with("/api/pass", &wish, &headers).expect(421, "only to its address");
    }
    for host in ["localhost", "localhost:1", "127.0.0.1"] {
        page.get_with("/healthz", &[("host", host)]).expect(421, "only to its address");
    }
    for host in [format!("localhost:{port}"), format!("127.0.0.1:{port}"), format!("[::1]:{port}")] {
        page.get_with("/healthz", &[("host", &host)]).expect(200, "ok");
    }
}

#[test]
fn another_site_can_neither_read_nor_change_anything() {
    let page = page();
    let ours = format!("http://{}", page.at);
    let wish = page.wish(json!({}));
    let token = ("x-alike-token", page.token.as_str());
    for origin in [
        "http://evil.example",
        "null",
        "https://127.0.0.1",
        "http://127.0.0.1:1",
        "",
        &ours.replace("http:", "https:"),
    ] {
        page.post_with("/api/pass", &wish, &[token, ("origin", origin)])
            .expect(403, "Origin header names another site");
        page.get_with("/api/status", &[("origin", origin)]).expect(403, "Origin header names another site");
    }
    page.post_with("/api/pass", &wish, &[token]).expect(403, "needs an Origin header");
    for site in ["cross-site", "same-site"] {
        let headers = [token, ("origin", &ours), ("sec-fetch-site", site)];
        page.post_with("/api/pass", &wish, &headers).expect(403, "another site asked");
        page.get_with("/api/status", &[("sec-fetch-site", site)]).expect(403, "another site asked");
        page.get_with("/", &[("sec-fetch-site", site), ("sec-fetch-mode", "no-cors")])
            .expect(403, "another site");
        page.get_with("/", &[("sec-fetch-site", site), ("sec-fetch-mode", "navigate")])
            .expect(200, "<!doctype");
    }
    page.post_with("/api/pass", &wish, &[token, ("origin", &ours), ("sec-fetch-site", "same-origin")])
        .expect(200, "a pass of documents begins");
}

#[test]
fn without_the_token_nothing_is_changed_and_only_its_owner_can_read_it() {
    let page = page();
    let origin = format!("http://{}", page.at);
    page.pair.source.remove("even/file-000");
    page.wait_gone("even/file-000");
    for path in ["/api/restore", "/api/undo", "/api/resume", "/api/pass"] {
        let wish = page.wish(json!({ "path": "even/file-000", "pass": 1 }));
        page.post_with(path, &wish, &[("origin", &origin)]).expect(401, "a change needs the token");
        let other = "0".repeat(page.token.len());
        for wrong in [other.as_str(), "", &page.token[1..], &format!("{}0", page.token)] {
            let headers = [("origin", origin.as_str()), ("x-alike-token", wrong)];
            page.post_with(path, &wish, &headers).expect(401, "this is not the token");
        }
    }
    assert!(!page.pair.replica.path(".alike/hold").exists());
    let folder = page.pair.beside("run/alike");
    let files = std::fs::read_dir(&folder).unwrap().flatten();
    let token =
        files.map(|file| file.path()).find(|path| path.extension().is_some_and(|it| it == "page-token"));
    assert_eq!(token.unwrap().metadata().unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(folder.metadata().unwrap().permissions().mode() & 0o777, 0o700);
    let shown = page.pair.alike.run(["status", "-c", common::text(&page.pair.beside("alike.toml"))]);
    shown.expect(0);
    assert!(shown.out().contains(&format!("http://{}/#token={}", page.at, page.token)), "{}", shown.report());
    for path in ["/", "/api/status", "/metrics"] {
        assert!(!page.get(path).text.contains(&page.token), "{path} tells the token to whoever asks");
    }
}

#[test]
fn the_events_tell_each_action_once_also_to_who_was_away() {
    let page = page();
    let mut events = page.follow(None);
    let first = events.next().unwrap();
    assert_eq!((first.event.as_str(), first.json()["well"].as_bool()), ("status", Some(true)));
    let started = Instant::now();
    page.pair.source.file("one", "1");
    let is_one = |sent: &asked::Sent| sent.event == "event" && sent.json()["path"] == "one";
    let is_counted =
        |sent: &asked::Sent| sent.event == "status" && sent.json()["jobs"][0]["replicas"][0]["files"] == 5;
    let (mut one, mut counted) = (None, false);
    while one.is_none() || !counted {
        let sent = events.next().unwrap();
        counted |= is_counted(&sent);
        one = one.or(Some(sent).filter(is_one));
    }
    let one = one.unwrap();
    assert!(started.elapsed() < Duration::from_secs(2), "{:?}", started.elapsed());
    let told = one.json();
    assert_eq!(
        (&told["action"], &told["job"], &told["result"]),
        (&json!("create"), &json!("documents"), &json!("ok"))
    );
    drop(events);
    page.pair.source.file("two", "2");
    assert!(wait_until(SOON, || page.pair.replica.has("two")));
    let mut since = page.follow(Some(&one.id));
    assert_eq!(since.next().unwrap().event, "status");
    let next = since.find(|sent| sent.event == "event" && sent.json()["path"].is_string()).unwrap();
    assert!(next.json()["path"] != "one", "{next:?} was told before");
    let mut anew = page.follow(None);
    assert!(anew.any(|sent| is_one(&sent)), "who comes new is told of what was");
}

#[test]
fn of_a_storm_a_part_is_told_and_the_rest_is_counted() {
    const FILES: u64 = 3000;
    let page = page();
    let mut events = page.follow(None);
    events.next().unwrap();
    for number in 0..FILES {
        page.pair.source.file(format!("storm/{number}"), "x");
    }
    let (mut told, mut missed, mut is_over) = (0, 0, false);
    while !is_over || told + missed < FILES {
        let sent = events.next().unwrap();
        match sent.event.as_str() {
            "event" if sent.json()["action"] == "create" => told += 1,
            "missed" => missed += sent.json()["missed"].as_u64().unwrap(),
            "status" => {
                let replica = &sent.json()["jobs"][0]["replicas"][0];
                is_over = replica["state"] == "identical" && replica["files"].as_u64() >= Some(FILES);
            }
            _ => {}
        }
    }
    assert!(told > 0, "nothing was told, {missed} missed");
    page.get("/healthz").expect(200, "ok");
}

#[test]
fn names_are_told_whole_in_json_and_harmless_in_html() {
    let hostile =
        ["<img src=x onerror=alert(1)>", "line\nbreak", "\u{202e}txt.exe", "</script><b>", "\"'&amp;"];
    let pair = pair();
    for name in hostile {
        pair.source.file(name, "x");
    }
    pair.source.file(name(b"not\xffutf8"), "x").file("failing", "x").mode("failing", 0o000);
    let page = Page::of(pair);
    let history = page.get("/api/history?job=documents");
    assert!(
        history.text.is_ascii() || !history.text.contains('\u{202e}'),
        "what reorders a line comes escaped"
    );
    let history = history.json();
    let actions = history["passes"][0]["actions"].as_array().unwrap().clone();
    for name in hostile {
        assert!(actions.iter().any(|action| action["path"] == name), "{name:?} is not in {actions:#?}");
    }
    assert!(actions.iter().any(|action| action["path_bytes"] == "bm90/3V0Zjg="), "{actions:#?}");
    let html = page.get("/").text;
    assert_eq!(html.matches("<script>").count(), 1);
    assert!(!html.contains("<img"), "a name became markup");
    for name in hostile {
        page.pair.source.remove(name);
        page.wait_gone(name);
    }
    let trash = page.get("/api/trash?job=documents").json();
    assert_eq!(trash["trash"].as_array().unwrap().len(), hostile.len());
    let restored = page.post("/api/restore", &page.wish(json!({ "path": "line\nbreak" })));
    restored.expect(200, "line\\\\nbreak is back");
    page.post("/api/resume", &page.wish(json!({}))).expect(200, "goes on");
    page.pair.source.remove(name(b"not\xffutf8"));
    assert!(wait_until(SOON, || !page.pair.replica.has(name(b"not\xffutf8"))));
    let wish = json!({ "path": "ignored", "path_bytes": "bm90/3V0Zjg=" });
    page.post("/api/restore", &page.wish(wish)).expect(200, "is back");
    assert!(page.pair.replica.has(name(b"not\xffutf8")));
}

#[test]
fn the_figures_follow_the_conventions() {
    let page = page();
    let plain = page.get("/metrics").text;
    if let Some(promtool) = promtool(&plain) {
        assert!(promtool.status.success() && promtool.stderr.is_empty(), "{promtool:?}\n{plain}");
    }
    for line in plain.lines() {
        assert!(
            line.starts_with("# HELP ") || line.starts_with("# TYPE ") || line.starts_with("alike_"),
            "{line}"
        );
    }
    for told in ["# TYPE alike_up_info gauge\n", "# TYPE alike_replica_changes_total counter\n"] {
        assert!(plain.contains(told), "{plain}");
    }
    let answer = page.get_with(
        "/metrics",
        &[("accept", "application/openmetrics-text;version=1.0.0;q=0.7,text/plain;q=0.3")],
    );
    assert_eq!(answer.header("content-type"), "application/openmetrics-text; version=1.0.0; charset=utf-8");
    let text = answer.text;
    let mut families = std::collections::BTreeMap::new();
    for line in text.lines().take_while(|line| *line != "# EOF") {
        let words: Vec<&str> = line.splitn(4, ' ').collect();
        match words.as_slice() {
            ["#", "HELP", name, help] => assert!(help.len() > 5, "{name} has no help"),
            ["#", "TYPE", name, kind] => drop(families.insert((*name).to_owned(), (*kind).to_owned())),
            _ => sample(line, &families),
        }
    }
    assert!(text.ends_with("# EOF\n"));
    for (name, kind) in [
        ("alike_up", "info"),
        ("alike_replica_identical", "gauge"),
        ("alike_replica_lag_seconds", "gauge"),
        ("alike_replica_lag_paths", "gauge"),
        ("alike_replica_failed_paths", "gauge"),
        ("alike_replica_held_paths", "gauge"),
        ("alike_replica_changes", "counter"),
        ("alike_replica_copied_bytes", "counter"),
        ("alike_replica_last_identical_timestamp_seconds", "gauge"),
        ("alike_replica_trash_bytes", "gauge"),
    ] {
        assert_eq!(families.get(name).map(String::as_str), Some(kind), "{name}: {families:#?}");
    }
    let labels = format!("{{job=\"documents\",replica=\"{}\"}}", page.pair.replica.top().display());
    assert!(text.contains(&format!("alike_replica_identical{labels} 1.0\n")), "{text}");
    assert!(text.contains(&format!("alike_replica_copied_bytes_total{labels} ")), "{text}");
}

/// What Prometheus' own checker says, where it is installed.
fn promtool(text: &str) -> Option<std::process::Output> {
    let mut child = std::process::Command::new("promtool");
    child.args(["check", "metrics"]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = child.spawn().ok()?;
    child.stdin.take()?.write_all(text.as_bytes()).ok()?;
    child.wait_with_output().ok()
}

/// A sample belongs to a family that was announced, and its value is a number.
#[track_caller]
fn sample(line: &str, families: &std::collections::BTreeMap<String, String>) {
    let (name, value) = (line.split(['{', ' ']).next().unwrap(), line.rsplit(' ').next().unwrap());
    let family = families.iter().find(|(family, kind)| match kind.as_str() {
        "counter" => name == format!("{family}_total"),
        "info" => name == format!("{family}_info"),
        _ => name == *family,
    });
    assert!(family.is_some(), "{line} has no family");
    assert!(value.parse::<f64>().is_ok_and(f64::is_finite), "{line} has no value");
}

#[test]
fn health_is_good_only_when_every_replica_is_well() {
    let pair = pair_with_files(12);
    let missing = pair.beside("missing");
    let more =
        format!("[[job]]\nname = \"gone\"\nsource = {missing:?}\nreplicas = [{:?}]", pair.beside("other"));
    let page = Page::of_job(pair, &more);
    page.get("/healthz").expect(503, "gone").expect(503, "halted");
    assert!(!page.get("/healthz").text.contains("documents"));
    std::fs::create_dir(&missing).unwrap();
    std::fs::write(missing.join("file"), "x").unwrap();
    assert!(wait_until(SOON, || page.get("/healthz").status == 200), "{:?}", page.get("/healthz"));
    std::fs::rename(page.pair.source.top(), page.pair.beside("away")).unwrap();
    let halts = wait_until(SOON, || page.get("/healthz").status == 503);
    assert!(halts, "{:?} {}", page.get("/healthz"), page.live.err());
    page.get("/healthz").expect(503, "documents").expect(503, "halted");
}

#[test]
fn the_page_moves_and_ends_with_the_config() {
    let mut page = page();
    let old = page.at.clone();
    Page::configure(&page.pair, "127.0.0.2:0", "");
    page.live.hang_up();
    assert!(wait_until(SOON, || page.live.err().contains("http://127.0.0.2:")), "{}", page.live.err());
    page.find();
    page.get("/healthz").expect(200, "ok");
    assert!(std::net::TcpStream::connect(&old).is_err(), "it still listens at {old}");
    let mut events = page.follow(None);
    let config = page.pair.beside("alike.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    std::fs::write(&config, text.split_once("[[job]]").map(|(_, job)| format!("[[job]]{job}")).unwrap())
        .unwrap();
    page.live.hang_up();
    assert!(wait_until(SOON, || std::net::TcpStream::connect(&page.at).is_err()), "it still listens");
    assert!(events.by_ref().take(100).count() < 100, "the stream ends with the page");
    page.pair.source.file("later", "x");
    assert!(wait_until(SOON, || page.pair.replica.has("later")), "the job runs on");
    page.live.stop();
    assert_eq!(
        std::fs::read_dir(page.pair.beside("run/alike")).unwrap().flatten().count(),
        1,
        "only the lock stays"
    );
}

#[test]
fn a_port_that_is_taken_is_said_and_tried_again_while_the_jobs_run() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let at = taken.local_addr().unwrap();
    let mut pair: Pair = pair_with_files(2);
    Page::configure(&pair, &at.to_string(), "");
    let run = pair.beside("run");
    std::fs::create_dir_all(&run).unwrap();
    pair.alike.run_after(&format!("export XDG_RUNTIME_DIR='{}'", run.display()));
    let config = pair.beside("alike.toml");
    let config = common::text(&config);
    let mut live = pair.alike.start(&["up", "-c", config], pair.source.top(), pair.replica.top());
    live.wait_identical(SOON);
    assert!(live.err().contains(&format!("the page cannot be shown at {at}")), "{}", live.err());
    assert!(pair.alike.run(["status", "-c", config]).out().contains("the page cannot be shown"));
    drop(taken);
    assert!(
        wait_until(SOON, || live.err().contains(&format!("the page is at http://{at}/"))),
        "{}",
        live.err()
    );
    assert!(pair.alike.run(["status", "-c", config]).out().contains(&format!("page: http://{at}/#token=")));
    live.stop();
}

#[test]
fn an_open_stream_does_not_hold_up_the_end() {
    let mut page = page();
    let mut streams: Vec<_> = (0..5).map(|_| page.follow(None)).collect();
    streams.iter_mut().for_each(|stream| assert!(stream.next().is_some()));
    page.live.stop();
}

#[test]
fn who_asks_half_a_question_or_none_gives_up_the_place_and_who_follows_stays() {
    let page = page();
    let connect = || std::net::TcpStream::connect(&page.at).unwrap();
    let mut follower = connect();
    write!(follower, "GET /api/events HTTP/1.1\r\nHost: {}\r\n\r\n", page.at).unwrap();
    follower.set_read_timeout(Some(2 * SOON)).unwrap();
    // More than are let in at once.
    let idle: Vec<_> = (0..110)
        .map(|number| {
            let mut visitor = connect();
            let half = if number % 2 == 0 { "GET / HTTP/1.1\r\nHost: x\r\n" } else { "" };
            visitor.write_all(half.as_bytes()).unwrap();
            visitor
        })
        .collect();
    let start = Instant::now();
    page.get("/healthz").expect(200, "ok");
    assert!(start.elapsed() < Duration::from_secs(25), "{:?}", start.elapsed());
    // Until who follows was there for longer than a visitor may rest.
    let until = Instant::now() + Duration::from_secs(33).saturating_sub(start.elapsed());
    while Instant::now() < until {
        assert!(follower.read(&mut [0; 4096]).unwrap() > 0, "who follows was sent away");
    }
    drop(idle);
}

#[test]
fn a_body_that_is_no_wish_is_answered_with_the_fields_that_it_may_have() {
    let page = page();
    for wish in [json!({}), json!({ "job": 1 }), json!([]), json!({ "job": "documents", "what": 1 })] {
        let answer = page.post("/api/pass", &wish);
        answer.expect(422, "the text \"job\" and no other fields than");
        assert!(!answer.text.contains("deserialize"), "{answer:?}");
    }
}
