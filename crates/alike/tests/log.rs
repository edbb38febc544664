//! The log: one line an action, in text and JSON, that no file name can forge.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::fs;

use alike_testkit::{Pair, name, odd_names};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use common::{CHANGES, Event, SOON, events, has, pair, pair_with_files, parse, text};

const ACTIONS: [&str; 16] = [
    "create",
    "update",
    "meta",
    "rename",
    "delete",
    "mkdir",
    "rmdir",
    "link",
    "hold",
    "skip",
    "error",
    "pass-start",
    "pass-end",
    "halt",
    "watch",
    "stop",
];

/// A line of the text log: its action and what follows.
#[track_caller]
fn text_line(line: &str) -> (String, String) {
    let shape: String = line.chars().take(24).map(|c| if c.is_ascii_digit() { '0' } else { c }).collect();
    assert_eq!(shape, "0000-00-00 00:00:00.000 ", "the time in {line:?}");
    let (action, rest) = line[24..].split_once(' ').unwrap_or((&line[24..], ""));
    assert!(ACTIONS.contains(&action), "the action in {line:?}");
    (action.to_owned(), rest.trim_start().to_owned())
}

/// A mirrored pair, then one change of each kind.
fn busy_pair() -> Pair {
    let pair = pair_with_files(20);
    pair.source
        .file("edited", "x")
        .file("touched", "x")
        .file("from", "moves")
        .file("deleted", "x")
        .folder("hollow");
    pair.mirrored();
    pair.source
        .file("edited", "x, and longer")
        .mode("touched", 0o600)
        .rename("from", "to")
        .remove("deleted")
        .remove("hollow")
        .file("created", "x")
        .folder("made");
    pair
}

const BUSY: [(&str, &str); 7] = [
    ("update", "edited"),
    ("meta", "touched"),
    ("rename", "to"),
    ("delete", "deleted"),
    ("rmdir", "hollow"),
    ("create", "created"),
    ("mkdir", "made"),
];

#[test]
fn every_action_is_one_text_line_with_time_action_path_and_reason() {
    let pair = busy_pair();
    let run = pair.mirrored();
    let out = run.out();
    let lines: Vec<(String, String)> = out.lines().map(text_line).collect();
    for (action, path) in BUSY {
        let of = |line: &&(String, String)| {
            line.0 == action && (line.1 == path || line.1.starts_with(&format!("{path} ")))
        };
        let found: Vec<_> = lines.iter().filter(of).collect();
        // The old name may stand before the new one in a rename.
        if action == "rename" {
            assert!(
                lines.iter().any(|l| l.0 == action && l.1.contains("from") && l.1.contains("to")),
                "{out}"
            );
            continue;
        }
        assert_eq!(found.len(), 1, "{action} {path}\n{}", run.report());
        assert!(found[0].1.len() > path.len() + 2, "a reason follows\n{}", run.report());
    }
    let update = lines.iter().find(|l| l.0 == "update").unwrap();
    assert!(update.1.contains("size 1→13"), "{update:?}");
}

#[test]
fn every_action_is_one_json_line_with_the_keys_of_the_contract() {
    let pair = busy_pair();
    let run = pair.mirrored_with(&["--json"]);
    let events = events(&run);
    for (action, path) in BUSY {
        assert!(has(&events, action, path), "{action} {path}\n{}", run.report());
    }
    for Event { action, line, .. } in &events {
        assert!(ACTIONS.contains(&action.as_str()), "{line}");
        let time = line["ts"].as_str().unwrap_or_default();
        assert!(time.ends_with('Z') && time.contains('T'), "{line}");
        assert!(line["pass"].is_u64(), "{line}");
        if CHANGES.contains(&action.as_str()) {
            assert!(line["path"].is_string() && line["reason"].is_string(), "{line}");
            assert!(line["bytes"].is_u64() && line["ms"].is_number(), "{line}");
            assert_eq!(line["result"], "ok", "{line}");
        }
    }
    let update = events.iter().find(|e| e.action == "update").unwrap();
    assert_eq!(update.text("reason"), "size 1→13");
    assert_eq!(update.line["bytes"], 13);
}

#[test]
fn a_pass_has_a_start_an_end_and_a_number_that_grows() {
    let pair = busy_pair();
    let first = events(&pair.mirrored_with(&["--json"]));
    pair.source.file("more", "x");
    let second = events(&pair.mirrored_with(&["--json"]));
    let number = |events: &[Event]| {
        let numbers: Vec<u64> = events.iter().filter_map(|e| e.line["pass"].as_u64()).collect();
        assert!(numbers.windows(2).all(|pair| pair[0] == pair[1]), "{numbers:?}");
        numbers[0]
    };
    for events in [&first, &second] {
        assert_eq!(events.first().unwrap().action, "pass-start");
        assert_eq!(events.last().unwrap().action, "pass-end");
    }
    assert!(number(&second) > number(&first));
}

#[test]
fn a_file_and_a_folder_that_go_each_have_their_line() {
    let pair = pair_with_files(40);
    pair.source.file("folder/one", "x").file("folder/sub/two", "x");
    pair.mirrored();
    pair.source.remove("folder").remove("even/file-000");
    let run = pair.mirrored_with(&["--json"]);
    let events = events(&run);
    for (action, path) in [
        ("delete", "even/file-000"),
        ("delete", "folder/one"),
        ("delete", "folder/sub/two"),
        ("rmdir", "folder/sub"),
        ("rmdir", "folder"),
    ] {
        assert!(has(&events, action, path), "{action} {path}\n{}", run.report());
    }
}

#[test]
fn no_name_forges_a_line_or_sends_a_control_byte() {
    let forged = "x\n2026-11-21 21:05:07.123 delete  everything";
    let json = "x\n{\"action\":\"delete\",\"path\":\"everything\"}";
    let pair = pair();
    for odd in odd_names() {
        pair.source.file(name(b"names").join(&odd), "x").file(name(b"folders").join(&odd).join("x"), "x");
    }
    pair.source.file(forged, "x").file(json, "x").symlink("link", forged).symlink("\u{1b}]0;title\u{7}", "x");
    let log = pair.beside("logs/text.log");
    let lines = |text: &str| text.lines().map(text_line).collect::<Vec<_>>();
    let check = |shown: &str| {
        let raw: Vec<char> = shown.chars().filter(|c| c.is_control() && *c != '\n').collect();
        assert!(raw.is_empty(), "raw control characters {raw:?} in\n{shown}");
    };
    let plan = pair.plan_with(&[]);
    let run = pair.mirrored_with(&["--log-file", text(&log)]);
    let logged = fs::read_to_string(&log).expect("the log is UTF-8");
    for shown in [&plan.out(), &plan.err(), &run.out(), &run.err(), &logged] {
        check(shown);
    }
    for (action, rest) in lines(&run.out()).into_iter().chain(lines(&logged)) {
        assert!(action != "delete", "forged: {action} {rest}");
    }
    pair.source.remove("names").remove("folders").remove(forged).file("left", "x");
    let json_run = pair.mirrored_with(&["--json", "--allow-deletes"]);
    check(&json_run.out());
    check(&json_run.err());
    let events = events(&json_run);
    assert!(has(&events, "delete", forged), "{}", json_run.report());
    assert!(!has(&events, "delete", "everything"), "{}", json_run.report());
}

#[test]
fn a_name_that_is_not_utf8_is_in_path_bytes_too() {
    let pair = pair();
    let raw: [&[u8]; 3] = [b"plain-\xff", b"half-\xe2\x82", b"\xfe\xfe"];
    for bytes in raw {
        pair.source.file(name(b"folder-\xe9").join(name(bytes)), "x");
    }
    pair.source.file("fine", "x");
    let events = events(&pair.mirrored_with(&["--json"]));
    for bytes in raw {
        let full = [b"folder-\xe9/".as_slice(), bytes].concat();
        let found = events
            .iter()
            .filter(|e| e.action == "create")
            .any(|e| STANDARD.decode(e.text("path_bytes")).is_ok_and(|decoded| decoded == full));
        assert!(found, "{bytes:?} in {events:#?}");
    }
    let fine = events.iter().find(|e| e.path == "fine").unwrap();
    assert!(fine.line.get("path_bytes").is_none(), "only where it is needed: {fine:?}");
}

#[test]
fn the_log_file_is_made_with_its_folder_and_added_to() {
    let pair = busy_pair();
    let log = pair.beside("not/yet/there/alike.log");
    pair.mirrored_with(&["--log-file", text(&log)]);
    let first = fs::read_to_string(&log).unwrap();
    for (action, path) in BUSY {
        let found = first.lines().map(text_line).any(|line| line.0 == action && line.1.contains(path));
        assert!(found, "{action} {path} in\n{first}");
    }
    pair.source.file("more", "x");
    pair.mirrored_with(&["--log-file", text(&log)]);
    let second = fs::read_to_string(&log).unwrap();
    assert!(second.starts_with(&first) && second.contains("more"), "{second}");
}

#[test]
fn the_log_file_takes_json_too() {
    let pair = busy_pair();
    let log = pair.beside("alike.jsonl");
    let run = pair.mirrored_with(&["--log-file", text(&log), "--log-format", "json"]);
    let logged = parse(&fs::read_to_string(&log).unwrap());
    for (action, path) in BUSY {
        assert!(has(&logged, action, path), "{action} {path}\n{logged:#?}\n{}", run.report());
    }
}

#[test]
fn a_log_file_that_cannot_be_written_is_a_clear_error_and_nothing_is_touched() {
    let pair = pair_with_files(3);
    fs::create_dir(pair.beside("a folder")).unwrap();
    fs::write(pair.beside("a file"), "precious").unwrap();
    for log in [pair.beside("a folder"), pair.beside("a file/alike.log")] {
        for verb in ["once", "mirror"] {
            let words = [verb, "--log-file", text(&log), text(pair.source.top()), text(pair.replica.top())];
            let run = pair.alike.run(words);
            run.expect_one_of(&[2, 3]).expect_short_message().expect_message_with("a f");
            assert!(!pair.replica.has("even"), "{}", run.report());
        }
    }
    assert_eq!(fs::read(pair.beside("a file")).unwrap(), b"precious");
}

#[test]
fn quiet_says_nothing_when_all_is_well() {
    let pair = busy_pair();
    let run = pair.mirrored_with(&["-q"]);
    assert_eq!((run.out(), run.err()), (String::new(), String::new()));
}

#[test]
fn a_log_that_lies_inside_the_source_does_not_feed_itself() {
    let pair = pair_with_files(3);
    let log = pair.source.path("alike.log");
    let mut live = pair.mirror_with(&["--log-file", text(&log)]);
    pair.source.file("new", "x");
    assert!(alike_testkit::wait_until(SOON, || pair.replica.has("new")));
    std::thread::sleep(std::time::Duration::from_millis(1500));
    let before = fs::metadata(&log).unwrap().len();
    std::thread::sleep(std::time::Duration::from_secs(2));
    let grown = fs::metadata(&log).unwrap().len() - before;
    assert!(grown < 2000, "the log grew by {grown} bytes while nothing happened");
    live.stop();
}

#[test]
fn a_running_mirror_logs_watching_each_change_and_its_stop() {
    let pair = pair_with_files(3);
    let mut live = pair.mirror_with(&["--json"]);
    live.wait_identical(SOON);
    live.wait_for_output("\"watch\"", SOON);
    pair.source.file("new", "x");
    live.wait_identical(SOON);
    pair.source.remove("new");
    live.wait_identical(SOON);
    live.stop();
    let events = parse(&live.out());
    for action in ["pass-start", "pass-end", "watch", "stop"] {
        assert!(events.iter().any(|e| e.action == action), "{action} in {}", live.out());
    }
    assert!(has(&events, "create", "new") && has(&events, "delete", "new"), "{}", live.out());
    assert_eq!(events.last().unwrap().action, "stop");
}

#[test]
fn rust_log_says_how_much_is_told_unless_a_flag_does() {
    let pair = pair();
    let lines = |level: &str, flags: &[&str]| {
        pair.source.file("file", format!("{level}{flags:?}"));
        let words = ["once", "--state-dir", text(&pair.alike.state_dir())].map(str::to_owned);
        let words = words.into_iter().chain(flags.iter().map(|flag| (*flag).to_owned()));
        let ends = [pair.source.top(), pair.replica.top()].map(|end| text(end).to_owned());
        let mut command = pair.alike.command(words.chain(ends));
        command.env("RUST_LOG", level);
        let done = command.output().unwrap();
        String::from_utf8_lossy(&done.stdout).lines().count()
    };
    assert!(lines("info", &[]) >= 3);
    assert_eq!((lines("error", &[]), lines("other=debug,alike=warn", &[])), (0, 0));
    assert!(lines("error", &["--log-level", "info"]) >= 3);
}

#[test]
fn a_pipe_as_a_log_file_is_refused_at_once_and_a_device_is_taken() {
    let pair = pair_with_files(3);
    let pipe = pair.beside("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    let refused = pair.once_with(&["--log-file", text(&pipe)]);
    refused.expect(2).expect_short_message();
    assert!(refused.err().contains("neither a file nor a device"), "{}", refused.report());
    let _reader = fs::File::options().read(true).write(true).open(&pipe).unwrap();
    pair.once_with(&["--log-file", text(&pipe)]).expect(2).expect_short_message();
    pair.once_with(&["--log-file", text(pair.source.top())]).expect(2).expect_short_message();
    pair.mirrored_with(&["--log-file", "/dev/null", "--log-size", "1K"]);
    pair.mirrored_with(&["--log-file", "/dev/stderr", "--log-size", "1K"]);
}
