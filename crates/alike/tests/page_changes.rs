//! What a person changes on the page: restore, undo, and letting the mirror go on, while the mirror runs.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "common/page.rs"]
mod asked;
mod common;

use std::time::{Duration, Instant};

use alike_testkit::wait_until;
use asked::Page;
use common::{Event, SOON, pair_with_files, parse};
use serde_json::json;

fn page() -> Page {
    Page::of(pair_with_files(4))
}

#[test]
fn what_was_deleted_comes_back_while_the_mirror_runs_and_stays_until_it_may_go_on() {
    let page = page();
    page.pair.source.remove("even/file-000");
    page.wait_gone("even/file-000");
    let kept = page.get("/api/trash?job=documents").json()["trash"][0].clone();
    assert_eq!((&kept["path"], &kept["kind"]), (&json!("even/file-000"), &json!("file")), "{kept}");
    let started = Instant::now();
    let wish = page.wish(json!({ "path": kept["path"], "at": kept["at"] }));
    let done = page.post("/api/restore", &wish);
    done.expect(200, "even/file-000 is back on the replica");
    done.expect(200, "The mirror is held, or its next pass would take it away again");
    assert!(started.elapsed() < Duration::from_secs(5), "it took {:?}", started.elapsed());
    assert_eq!(page.pair.replica.read("even/file-000"), b"content 0");
    let mut told = page.follow(None);
    assert!(told.any(|sent| sent.said.contains("brought back from the trash by a wish on the page")));
    drop(told);
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

#[test]
fn a_restore_comes_in_the_middle_of_a_long_pass() {
    let pair = pair_with_files(4);
    pair.mirrored();
    pair.source.remove("odd/file-001");
    pair.mirrored();
    pair.source.file("large", vec![5; 40_000_000]);
    let page = Page::starting(pair, "bwlimit = \"2M\"");
    page.wait_for(SOON, "copying", |report| report["jobs"][0]["replicas"][0]["state"] == "comparing");
    std::thread::sleep(Duration::from_millis(500));
    let started = Instant::now();
    page.post("/api/restore", &page.wish(json!({ "path": "odd/file-001" })))
        .expect(200, "is back on the replica");
    assert!(started.elapsed() < Duration::from_secs(8), "{:?}", started.elapsed());
    assert_eq!(page.pair.replica.read("odd/file-001"), b"content 1");
    assert!(!page.pair.replica.has("large"), "no half file has its name");
    page.wait_for(SOON, "held", |report| report["jobs"][0]["replicas"][0]["hold"].is_string());
}

#[test]
fn of_several_replicas_only_the_one_that_is_meant_is_held() {
    let pair = pair_with_files(2);
    let (from, one, two) = (pair.beside("from"), pair.beside("one"), pair.beside("two"));
    std::fs::create_dir(&from).unwrap();
    std::fs::write(from.join("letter"), "dear").unwrap();
    let more = format!("[[job]]\nname = \"both\"\nsource = {from:?}\nreplicas = [{one:?}, {two:?}]");
    let page = Page::of_job(pair, &more);
    assert!(wait_until(SOON, || one.join("letter").exists() && two.join("letter").exists()));
    std::fs::remove_file(from.join("letter")).unwrap();
    assert!(wait_until(SOON, || !one.join("letter").exists() && !two.join("letter").exists()));
    let wish = json!({ "job": "both", "path": "letter" });
    page.post("/api/restore", &wish).expect(400, "say which replica");
    let wish = json!({ "job": "both", "path": "letter", "replica": two });
    page.post("/api/restore", &wish).expect(200, "letter is back");
    std::fs::write(from.join("next"), "x").unwrap();
    assert!(wait_until(SOON, || one.join("next").exists()), "the other goes on");
    std::thread::sleep(Duration::from_millis(500));
    assert!(two.join("letter").exists() && !two.join("next").exists() && !one.join("letter").exists());
    page.post("/api/resume", &wish).expect(200, "goes on");
    assert!(wait_until(SOON, || two.join("next").exists() && !two.join("letter").exists()));
}

#[test]
fn a_pass_is_undone_only_as_it_was_shown() {
    let page = page();
    page.pair.source.remove("even/file-000").remove("even/file-002");
    page.wait_gone("even/file-000");
    page.wait_gone("even/file-002");
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
    page.wait_gone("even/file-000");
    page.wait_gone("even/file-002");
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
        ("/api/undo", json!({ "pass": 1, "force": true }), 422, "no other fields than"),
        ("/api/pass", json!({ "job": "other" }), 409, "there is no job other"),
    ] {
        page.post(path, &page.wish(wish)).expect(status, text);
    }
    let long = json!({ "job": "x".repeat(100_000) });
    page.post("/api/pass", &long).expect(413, "");
    assert!(!page.pair.replica.path(".alike/hold").exists());
}

/// The lines of a log file in JSON, without the files around.
fn logged(page: &Page) -> Vec<Event> {
    parse(&std::fs::read_to_string(page.pair.beside("documents.log")).unwrap())
}

#[test]
fn what_is_brought_back_and_undone_on_the_page_is_in_the_log_file_of_the_job_step_by_step() {
    let pair = pair_with_files(6);
    let keys = format!("log_file = {:?}\nlog_format = \"json\"", pair.beside("documents.log"));
    let page = Page::of_job(pair, &keys);
    page.pair.source.remove("even");
    page.wait_gone("even");
    let before = logged(&page).len();
    page.post("/api/restore", &page.wish(json!({ "path": "even/file-000" }))).expect(200, "is back");
    let is_restore =
        |line: &&Event| line.text("reason") == "brought back from the trash by a wish on the page";
    // It is there at once: the mirror is held, and has nothing more to say.
    let lines = logged(&page);
    let restored: Vec<&Event> = lines[before..].iter().filter(is_restore).collect();
    assert_eq!(restored.len(), 1, "{lines:?}");
    assert_eq!((restored[0].path.as_str(), restored[0].action.as_str()), ("even/file-000", "create"));
    page.post("/api/resume", &page.wish(json!({}))).expect(200, "goes on");
    page.wait_gone("even/file-000");

    let passes = page.get("/api/history?job=documents").json();
    let all = passes["passes"].as_array().unwrap();
    let pass = &all.iter().rfind(|pass| pass["pass"] == 1).unwrap()["pass"];
    let shown = page.post("/api/undo", &page.wish(json!({ "pass": pass }))).expect(200, "preview").json();
    let before = logged(&page).len();
    let wish = page.wish(json!({ "pass": pass, "steps": shown["undone"]["steps"] }));
    let done = page.post("/api/undo", &wish).expect(200, "is undone").json();
    let steps = done["undone"]["steps"].as_u64().unwrap();
    let lines = logged(&page);
    let undone = lines[before..].iter().filter(|line| line.changes()).count();
    assert!(steps > 0 && undone as u64 == steps, "{steps} steps: {:?}", &lines[before..]);
}
