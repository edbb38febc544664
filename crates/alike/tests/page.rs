//! The page over HTTP: what it answers, whom it refuses, and what it changes.

#[path = "common/page.rs"]
mod asked;
mod common;

use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, Instant};

use alike_testkit::{Pair, name, wait_until};
use asked::Page;
use common::{SOON, pair, pair_with_files};
use serde_json::{Value, json};

fn page() -> Page {
    Page::of(pair_with_files(4))
}

#[test]
fn every_address_answers_and_forbids_a_browser_all_that_it_needs_not() {
    let page = page();
    for (path, form, text) in [
        ("/", "text/html; charset=utf-8", "<h2>documents</h2>"),
        ("/healthz", "text/plain; charset=utf-8", "ok\n"),
        ("/metrics", "application/openmetrics-text; version=1.0.0; charset=utf-8", "# EOF"),
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
    gone(&page, "even/file-000");
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
fn a_wish_that_is_wrong_is_refused_with_what_is_wrong() {
    let page = page();
    for (path, wish, status, text) in [
        ("/api/restore", json!({}), 400, "say which path"),
        ("/api/restore", json!({ "path": "../etc" }), 400, "no path on the replica"),
        ("/api/restore", json!({ "path": "/etc" }), 400, "no path on the replica"),
        ("/api/restore", json!({ "path": ".alike/lock" }), 400, "name a path on the replica"),
        ("/api/restore", json!({ "path": "even", "at": "soon" }), 400, "at is no time"),
        ("/api/restore", json!({ "path": "never", "replica": "/x" }), 404, "no such replica"),
        ("/api/restore", json!({ "path": "never" }), 409, "nothing is kept"),
        ("/api/undo", json!({}), 400, "say which pass"),
        ("/api/undo", json!({ "pass": 99 }), 409, "pass 99 did nothing"),
        ("/api/undo", json!({ "pass": 1, "force": true }), 422, "unknown field"),
        ("/api/pass", json!({ "job": "other" }), 409, "there is no job other"),
    ] {
        page.post(path, &page.wish(wish)).expect(status, text);
    }
    let long = json!({ "job": "x".repeat(100_000) });
    page.post("/api/pass", &long).expect(413, "");
    assert!(!page.pair.replica.path(".alike/hold").exists());
}

#[test]
fn what_was_deleted_comes_back_while_the_mirror_runs_and_stays_until_it_may_go_on() {
    let page = page();
    page.pair.source.remove("even/file-000");
    gone(&page, "even/file-000");
    let kept = page.get("/api/trash?job=documents").json()["trash"][0].clone();
    assert_eq!((&kept["path"], &kept["kind"]), (&json!("even/file-000"), &json!("file")), "{kept}");
    let started = Instant::now();
    let wish = page.wish(json!({ "path": kept["path"], "at": kept["at"] }));
    let done = page.post("/api/restore", &wish);
    done.expect(200, "even/file-000 is back on the replica");
    done.expect(200, "The mirror is held, or its next pass would take it away again");
    assert!(started.elapsed() < Duration::from_secs(5), "it took {:?}", started.elapsed());
    assert_eq!(page.pair.replica.read("even/file-000"), b"content 0");
    page.wait_for(SOON, "held", |report| {
        let replica = &report["jobs"][0]["replicas"][0];
        replica["state"] == "halted" && replica["hold"] == "even/file-000 was brought back"
    });
    page.get("/healthz").expect(503, "documents").expect(503, "halted");
    page.pair.source.file("new", "waits");
    page.post("/api/pass", &page.wish(json!({}))).expect(200, "begins");
    std::thread::sleep(Duration::from_millis(1500));
    assert!(
        page.pair.replica.has("even/file-000") && !page.pair.replica.has("new"),
        "a pass was made in spite of the hold"
    );
    std::fs::copy(page.pair.replica.path("even/file-000"), page.pair.source.path("even/file-000")).unwrap();
    page.post("/api/resume", &page.wish(json!({}))).expect(200, "the mirror goes on");
    page.wait_for(SOON, "identical", |report| report["jobs"][0]["replicas"][0]["state"] == "identical");
    page.pair.assert_identical("after the restore");
    assert_eq!(page.pair.replica.read("even/file-000"), b"content 0");
    page.get("/healthz").expect(200, "ok");
    page.post("/api/resume", &page.wish(json!({}))).expect(200, "nothing is held");
}

#[track_caller]
fn gone(page: &Page, path: &str) {
    assert!(wait_until(SOON, || !page.pair.replica.has(path)), "{path} is still there");
    let all_told = |report: &Value| {
        let replica = &report["jobs"][0]["replicas"][0];
        replica["state"] == "identical" && replica["lag_paths"] == 0
    };
    page.wait_for(SOON, "calm", all_told);
}

#[test]
fn a_pass_is_undone_only_as_it_was_shown() {
    let page = page();
    page.pair.source.remove("even/file-000").remove("even/file-002");
    gone(&page, "even/file-000");
    gone(&page, "even/file-002");
    let passes = page.get("/api/history?job=documents").json();
    let pass =
        passes["passes"].as_array().unwrap().iter().find(|pass| pass["counts"]["delete"].is_u64()).unwrap();
    let number = &pass["pass"];
    let shown = page.post("/api/undo", &page.wish(json!({ "pass": number }))).expect(200, "preview").json();
    let steps = shown["undone"]["steps"].as_u64().unwrap();
    assert!(steps >= 1 && !shown["actions"].as_array().unwrap().is_empty(), "{shown:#}");
    assert!(!page.pair.replica.path(".alike/hold").exists(), "a look holds nothing");
    let other = page.wish(json!({ "pass": number, "steps": steps + 1 }));
    page.post("/api/undo", &other).expect(409, "the replica changed since this was shown");
    assert!(!page.pair.replica.path(".alike/hold").exists(), "what was refused holds nothing");
    let done = page.post("/api/undo", &page.wish(json!({ "pass": number, "steps": steps })));
    done.expect(200, &format!("pass {number} is undone: {steps} step"));
    assert!(page.pair.replica.has("even/file-000") || page.pair.replica.has("even/file-002"));
    page.wait_for(SOON, "held", |report| report["jobs"][0]["replicas"][0]["hold"].is_string());
    page.post("/api/resume", &page.wish(json!({}))).expect(200, "goes on");
    gone(&page, "even/file-000");
    gone(&page, "even/file-002");
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
        gone(&page, name);
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
    let text = page.get("/metrics").text;
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
