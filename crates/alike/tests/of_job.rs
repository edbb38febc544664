//! `--job NAME` of trash, undo, restore and check: the replicas of a job of the config file, instead of paths.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::fs;

use alike_testkit::Run;
use common::up::Up;
use common::{parse, text};

/// Two jobs, which do not run: one with two replicas, one with one; each has had three passes, the last of which deleted.
fn two_jobs() -> Up {
    let up = Up::new();
    let (docs, mail) = (up.source("docs"), up.source("mail"));
    let both = format!(
        "[[job]]\nname = \"both\"\nsource = {:?}\nreplicas = [{:?}, {:?}]\n",
        docs.top(),
        up.path("first"),
        up.path("second")
    );
    up.configure(&format!("{both}{}", up.job("mail", "exclude = [\"*.tmp\"]")));
    docs.file("letter", "dear").file("stays", "x");
    mail.file("inbox", "one").file("stays", "x").file("left.tmp", "x");
    pass(&up);
    docs.file("letter", "dear Anna");
    mail.file("inbox", "one, two");
    pass(&up);
    docs.remove("letter");
    mail.remove("inbox");
    pass(&up);
    up
}

#[track_caller]
fn pass(up: &Up) {
    let (docs, mail) = (up.path("docs"), up.path("mail"));
    up.ask(&["once", "-q", text(&docs), text(&up.path("first")), "--also", text(&up.path("second"))])
        .expect(0);
    up.ask(&["once", "-q", text(&mail), text(&up.path("mail.replica")), "--exclude", "*.tmp"]).expect(0);
}

/// A command of a job, with more words after.
fn of(up: &Up, command: &str, job: &str, more: &[&str]) -> Run {
    let config = up.config_file();
    up.ask(&[&[command, "--job", job, "-c", text(&config)], more].concat())
}

#[test]
fn the_trash_of_each_replica_of_a_job_is_listed_and_only_that_of_one_is_emptied() {
    let up = two_jobs();
    let listed = of(&up, "trash", "both", &[]);
    listed.expect(0);
    assert_eq!(listed.out().matches("  letter  ").count(), 4, "{}", listed.report());
    let (first, second) = (up.path("first"), up.path("second"));
    for replica in [&first, &second] {
        assert!(listed.err().contains(text(replica)), "{}", listed.report());
        of(&up, "trash", "both", &["--empty"])
            .expect(2)
            .expect_short_message()
            .expect_message_with(text(replica));
    }
    assert_eq!(parse(&of(&up, "trash", "both", &["--json"]).out()).len(), 4);
    fs::rename(&first, up.path("away")).unwrap();
    let one_away = of(&up, "trash", "both", &[]);
    assert_ne!(one_away.code, Some(0), "{}", one_away.report());
    assert_eq!(one_away.out().matches("  letter  ").count(), 2, "{}", one_away.report());

    of(&up, "trash", "mail", &["--empty"]).expect(0).expect_message_with("emptied: ");
    let emptied = of(&up, "trash", "mail", &[]);
    assert!(emptied.out().starts_with("0 entries"), "{}", emptied.report());
    of(&up, "trash", "nobody", &[]).expect(2).expect_message_with("there are both, mail");
    of(&up, "trash", "mail", &[text(&second)]).expect(2).expect_short_message();
}

#[test]
fn a_pass_of_a_job_is_undone_by_its_number_or_the_last_and_several_replicas_are_named() {
    let up = two_jobs();
    let dry = of(&up, "undo", "mail", &["2", "-n"]);
    dry.expect(1).expect_message_with("nothing was changed");
    let undone = of(&up, "undo", "mail", &["--yes"]);
    undone
        .expect(0)
        .expect_message_with("pass 3 is undone")
        .expect_message_with(text(&up.path("mail.replica")));
    assert_eq!(fs::read(up.path("mail.replica/inbox")).unwrap(), b"one, two");
    of(&up, "undo", "mail", &["--resume"]).expect(0).expect_message_with("goes on");
    for more in [&["3", "--resume"][..], &["3", "--since", "1h"], &["soon"], &["3", "3"]] {
        of(&up, "undo", "mail", more).expect(2).expect_short_message();
    }
    for replica in ["first", "second"] {
        of(&up, "undo", "both", &["--yes"])
            .expect(2)
            .expect_short_message()
            .expect_message_with("alike undo REPLICA")
            .expect_message_with(text(&up.path(replica)));
    }
    assert!(!up.path("first/letter").exists() && !up.path("first/.alike/hold").exists());
    up.ask(&["undo", "--yes"]).expect(2).expect_short_message();
}

#[test]
fn a_path_of_a_job_is_restored_and_several_replicas_are_named() {
    let up = two_jobs();
    let to = up.path("to");
    of(&up, "restore", "mail", &["inbox", "--to", text(&to)]).expect(0);
    assert_eq!(fs::read(to.join("inbox")).unwrap(), b"one, two");
    let back = of(&up, "restore", "mail", &["inbox"]);
    back.expect(0).expect_message_with(&format!("alike undo {} --resume", text(&up.path("mail.replica"))));
    assert_eq!(fs::read(up.path("mail.replica/inbox")).unwrap(), b"one, two");
    of(&up, "restore", "mail", &[]).expect(2).expect_short_message();
    of(&up, "restore", "mail", &[text(&up.path("mail.replica")), "inbox"]).expect(2).expect_short_message();
    for replica in ["first", "second"] {
        of(&up, "restore", "both", &["letter", "--to", text(&to)])
            .expect(2)
            .expect_short_message()
            .expect_message_with("alike restore REPLICA")
            .expect_message_with(text(&up.path(replica)));
    }
    assert!(!to.join("letter").exists());
    up.ask(&["restore", text(&up.path("first"))]).expect(2).expect_short_message();
}

#[test]
fn a_job_is_checked_as_it_is_mirrored_each_replica_for_itself() {
    let up = two_jobs();
    let mail = [up.path("mail"), up.path("mail.replica")];
    up.ask(&["check", text(&mail[0]), text(&mail[1])]).expect(1);
    of(&up, "check", "mail", &["--bwlimit", "100M"]).expect(0).expect_message_with("identical");
    of(&up, "check", "mail", &["--exclude", "stays"]).expect(2).expect_short_message();
    of(&up, "check", "mail", &[text(&mail[0]), text(&mail[1])]).expect(2).expect_short_message();
    up.ask(&["check", text(&mail[0])]).expect(2).expect_short_message();

    fs::write(up.path("second/stays"), "y").unwrap();
    let checked = of(&up, "check", "both", &[]);
    checked.expect(1);
    for replica in ["first", "second"] {
        assert!(checked.err().contains(text(&up.path(replica))), "{}", checked.report());
    }
    assert!(checked.out().contains("  stays  content; the replica was changed"), "{}", checked.report());
    let lines = parse(&of(&up, "check", "both", &["--json"]).out());
    let of_second = |line: &common::Event| line.text("replica") == text(&up.path("second"));
    assert!(!lines.is_empty() && lines.iter().all(of_second), "{lines:?}");
    of(&up, "check", "both", &["--repair"]).expect(0);
    assert_eq!(fs::read(up.path("second/stays")).unwrap(), b"x");
    fs::write(up.path("second/stays"), "y").unwrap();
    fs::rename(up.path("first"), up.path("away")).unwrap();
    let one_away = of(&up, "check", "both", &[]);
    assert_ne!(one_away.code, Some(0), "{}", one_away.report());
    assert!(one_away.out().contains("  stays  "), "{}", one_away.report());
}

#[test]
fn a_mended_job_is_remembered_as_the_job() {
    let up = two_jobs();
    fs::write(up.path("mail.replica/stays"), "y").unwrap();
    of(&up, "check", "mail", &["--repair"]).expect(0);
    let why = up.ask(&["why", text(&up.path("mail/left.tmp"))]);
    why.expect(1);
    assert!(why.out().contains("left out: --exclude \"*.tmp\""), "{}", why.report());
}

#[test]
fn each_command_still_says_what_it_is_for() {
    let up = Up::new();
    for (command, about) in [
        ("log", "What passes did"),
        ("trash", "What the trash"),
        ("undo", "Take a pass back"),
        ("restore", "Bring one file"),
        ("check", "Compare every byte"),
    ] {
        let help = up.ask(&[command, "--help"]);
        assert!(help.out().starts_with(about), "{}", help.report());
        assert!(help.out().contains("--job <NAME>"), "{}", help.report());
    }
}
