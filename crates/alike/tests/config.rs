//! The config file: its mistakes are told with line and caret, and nothing is done while there is one.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use alike_testkit::{Alike, Mount, Pair, Run, Scramble, root_or_say, rounds};
use common::{pair_with_files, text};

/// A folder with a source, and links to what is there and what is not.
fn folder(pair: &Pair) -> PathBuf {
    let folder = pair.beside("etc");
    for made in ["source", "replica"] {
        fs::create_dir_all(folder.join(made)).unwrap();
    }
    symlink("replica", folder.join("link-to-replica")).unwrap();
    folder
}

fn put(path: &Path, text: &str) -> PathBuf {
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(path, text).unwrap();
    path.to_owned()
}

fn check(alike: &Alike, file: &Path) -> Run {
    alike.run(["config", "check", "-c", text(file)])
}

/// A job with these further lines.
fn job(name: &str, source: &str, replica: &str, more: &str) -> String {
    format!("[[job]]\nname = \"{name}\"\nsource = \"{source}\"\nreplicas = [\"{replica}\"]\n{more}\n")
}

#[test]
fn each_mistake_is_told_with_its_line_and_a_caret_below_it() {
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/config/mistakes");
    let mut seen = 0;
    for entry in fs::read_dir(&golden).unwrap() {
        let file = entry.unwrap().path();
        if file.extension().is_none_or(|extension| extension != "toml") {
            continue;
        }
        seen += 1;
        let pair = pair_with_files(1);
        let folder = folder(&pair);
        let config = folder.join(file.file_name().unwrap());
        fs::copy(&file, &config).unwrap();
        let run = check(&pair.alike, &config);
        run.expect(2);
        assert!(run.stdout.is_empty(), "{}", run.report());
        let told =
            run.err().replace(text(&folder.canonicalize().unwrap()), "DIR").replace(text(&folder), "DIR");
        let expected = file.with_extension("txt");
        if std::env::var_os("ALIKE_GOLDEN").is_some() {
            fs::write(&expected, &told).unwrap();
        }
        let expected = fs::read_to_string(&expected).unwrap_or_default();
        assert_eq!(told, expected, "{} (look at it, then write it anew with ALIKE_GOLDEN=1)", file.display());
    }
    assert!(seen >= 20, "only {seen} mistakes were looked at");
}

#[test]
fn a_good_config_has_a_line_a_job_and_nothing_is_made() {
    let pair = pair_with_files(1);
    let folder = folder(&pair);
    let config = put(
        &folder.join("alike.toml"),
        &[
            job(
                "docs",
                "source",
                "new",
                "max-delete = 10\nexclude = \"*.tmp\"\non_halt = [\"sh\", \"-c\", \"\"]",
            ),
            job("photos", "source", "other", "no_watch = true"),
            "[web]\nlisten = \"localhost:7433\"\n".to_owned(),
        ]
        .concat(),
    );
    let run = check(&pair.alike, &config);
    run.expect(0);
    let lines: Vec<String> = run.out().lines().map(str::to_owned).collect();
    assert_eq!(lines.len(), 3, "{}", run.report());
    assert!(lines.iter().all(|line| line.starts_with("good")), "{}", run.report());
    assert!(run.stderr.is_empty() && !folder.join("new").exists() && !folder.join("other").exists());
}

#[test]
fn what_stands_in_the_way_now_is_a_warning_and_what_never_works_a_mistake() {
    let pair = pair_with_files(1);
    let folder = folder(&pair);
    let config = put(
        &folder.join("alike.toml"),
        &[
            job("away", "not-mounted", "new", ""),
            job("mute", "source", "other", "on_error = [\"/not/there\"]"),
            "[web]\nlisten = \"0.0.0.0:7433\"\n".to_owned(),
        ]
        .concat(),
    );
    let run = check(&pair.alike, &config);
    run.expect(0);
    let warned = run.out().lines().filter(|line| line.starts_with("warning")).count();
    assert_eq!(warned, 3, "{}", run.report());

    put(&config, &job("docs", "source", "new", "ignore_file = [\"missing\"]"));
    let run = check(&pair.alike, &config);
    run.expect(2);
    assert!(run.out().starts_with("mistake") && run.out().contains("missing"), "{}", run.report());
}

#[test]
fn a_replica_inside_its_source_is_fine_when_it_is_left_out() {
    let pair = pair_with_files(1);
    let folder = folder(&pair);
    let config =
        put(&folder.join("alike.toml"), &job("docs", "source", "source/backup", "exclude = [\"/backup/\"]"));
    check(&pair.alike, &config).expect(0);
    put(&config, &job("docs", "source", "source/backup", "exclude = [\"/else/\"]"));
    check(&pair.alike, &config).expect(2).expect_message_with("lies in its source");
}

#[test]
fn one_folder_is_seen_through_a_bind_mount_too() {
    if !root_or_say("one_folder_is_seen_through_a_bind_mount_too") {
        return;
    }
    let pair = pair_with_files(1);
    let folder = folder(&pair);
    fs::create_dir_all(folder.join("replica/inner")).unwrap();
    let _same = Mount::bind(&folder.join("replica"), &folder.join("bound"));
    for second in ["bound", "bound/inner", "bound/not-yet"] {
        let both = [job("one", "source", "replica", ""), job("two", "source", second, "")].concat();
        let run = check(&pair.alike, &put(&folder.join("alike.toml"), &both));
        run.expect(2).expect_message_with("the jobs \"one\" and \"two\" write one folder");
    }
}

#[test]
fn one_job_may_copy_on_what_another_copied() {
    let pair = pair_with_files(1);
    let folder = folder(&pair);
    let both = [job("there", "source", "replica", ""), job("further", "replica", "third", "")].concat();
    check(&pair.alike, &put(&folder.join("alike.toml"), &both)).expect(0);
}

#[test]
fn drop_ins_add_jobs_and_their_defaults_are_their_own() {
    let pair = pair_with_files(1);
    let folder = folder(&pair);
    let config = folder.join("alike.toml");
    put(
        &config,
        &format!("[defaults]\ninterval = \"7m\"\nexclude = [\"a\"]\n{}", job("main", "source", "r1", "")),
    );
    put(&folder.join("alike.d/20-b.toml"), &job("b", "source", "r3", ""));
    put(
        &folder.join("alike.d/10-a.toml"),
        &format!(
            "[defaults]\nexclude = [\"b\", \"c\"]\n{}[web]\nlisten = \"127.0.0.1:1\"\n",
            job("a", "source", "r2", "")
        ),
    );
    for ignored in ["30-c.toml~", ".40-d.toml", "README"] {
        put(&folder.join("alike.d").join(ignored), "no [ TOML");
    }
    let run = pair.alike.run(["config", "check", "-v", "-c", text(&config)]);
    run.expect(0);
    let said: Vec<String> =
        run.out().lines().filter_map(|l| l.trim().strip_prefix("alike mirror ").map(str::to_owned)).collect();
    assert!(said[0].starts_with("--exclude=a --interval=7m "), "{}", run.report());
    assert!(said[1].starts_with("--exclude=b --exclude=c --interval=7m "), "{}", run.report());
    assert!(said[2].starts_with("--exclude=a --interval=7m "), "{}", run.report());

    put(
        &folder.join("alike.d/20-b.toml"),
        &format!("{}[web]\nlisten = \"127.0.0.1:2\"\n", job("main", "s", "replica/../r1", "")),
    );
    let run = check(&pair.alike, &config);
    run.expect(2);
    for told in ["20-b.toml", "10-a.toml", "alike.toml:", "two [web]", "two jobs are called \"main\""] {
        run.expect_message_with(told);
    }
}

#[test]
fn the_users_own_config_is_found_and_without_one_it_is_said_what_to_do() {
    let pair = pair_with_files(1);
    pair.alike
        .run(["config", "check"])
        .expect(2)
        .expect_short_message()
        .expect_message_with("alike config init");
    let folder = folder(&pair);
    let (source, replica) = (folder.join("source"), folder.join("new"));
    pair.alike.run(["config", "init", text(&source), text(&replica)]).expect(0);
    let run = pair.alike.run(["config", "check"]);
    run.expect(0);
    assert!(run.out().starts_with("good     source: "), "{}", run.report());
    pair.alike.run(["config", "check", "-c", "/not/there"]).expect(2).expect_short_message();
    pair.alike.run(["config", "check", "-c", "/"]).expect(2).expect_short_message();
}

#[test]
fn home_variables_and_relative_paths_lead_where_they_say() {
    let pair = pair_with_files(1);
    let folder = folder(&pair);
    let config = put(
        &folder.join("alike.toml"),
        &job("docs", "~/Documents", "${ALIKE_DISK}/a$$b", "log_file = \"log/a\""),
    );
    let mut command = pair.alike.command(["config", "check", "-v", "-c", text(&config)]);
    let said = command.env("ALIKE_DISK", "/mnt/usb").env("HOME", "/home/ada").output().unwrap();
    let said = String::from_utf8(said.stdout).unwrap();
    let log = format!("--log-file={}/log/a ", text(&folder));
    assert!(said.contains(&log) && said.contains(" -- /home/ada/Documents '/mnt/usb/a$b'"), "{said}");
}

#[test]
fn init_writes_what_can_be_read_and_never_over_a_file() {
    let pair = pair_with_files(1);
    let folder = folder(&pair);
    let config = folder.join("not/yet/alike.toml");
    let words = ["config", "init", "-c", text(&config), "source", "one", "two"];
    pair.alike.run(words).expect(0);
    let run = check(&pair.alike, &config);
    run.expect(0);
    let written = fs::read_to_string(&config).unwrap();
    pair.alike.run(words).expect(2).expect_short_message();
    assert_eq!(fs::read_to_string(&config).unwrap(), written);
    let run = pair.alike.run(["config", "init", "--stdout"]);
    run.expect(0);
    // Only what a person writes makes it a config with jobs.
    let bare = put(&folder.join("bare.toml"), &run.out());
    check(&pair.alike, &bare).expect(2).expect_message_with("no job");
    pair.alike.run(["config", "init", "--stdout", "source"]).expect(2);
    pair.alike.run(["config", "init", "--stdout", "source", "source/below"]).expect(2);
}

#[test]
fn save_adds_a_job_and_keeps_all_that_was_in_the_file() {
    let pair = pair_with_files(1);
    let folder = folder(&pair);
    let real =
        put(&folder.join("real.toml"), &format!("# mine\n{}", job("source", "source", "r1", "").trim_end()));
    fs::set_permissions(&real, fs::Permissions::from_mode(0o640)).unwrap();
    let before = fs::read_to_string(&real).unwrap();
    let link = folder.join("alike.toml");
    symlink("real.toml", &link).unwrap();
    let (source, replica, save) =
        (folder.join("source"), folder.join("r$2"), format!("--save={}", text(&link)));
    let words =
        ["mirror", text(&source), text(&replica), "--exclude", "a", "--exclude=-b", "-x", "-q", "-n", &save];
    let run = pair.alike.run(words);
    run.expect(0);
    assert!(
        run.err().contains("--quiet is not written") && run.err().contains("--dry-run is not"),
        "{}",
        run.report()
    );
    assert!(!replica.exists(), "it is written, not run");
    let after = fs::read_to_string(&real).unwrap();
    assert!(after.starts_with(&before) && after.contains("name = \"source-2\""), "{after}");
    assert!(link.is_symlink() && fs::metadata(&real).unwrap().permissions().mode() & 0o777 == 0o640);
    let run = pair.alike.run(["config", "check", "-v", "-c", text(&link)]);
    run.expect(0);
    let same = format!(
        "alike mirror --exclude=a --exclude=-b --one-file-system -- {} '{}'",
        text(&source),
        text(&replica)
    );
    assert!(run.out().contains(&same), "{same}\n{}", run.report());

    // The same folder again: nothing is written.
    let names = |folder: &Path| fs::read_dir(folder).unwrap().count();
    let count = names(&folder);
    pair.alike.run(words).expect(2).expect_message_with("nothing is written");
    assert_eq!((fs::read_to_string(&real).unwrap(), names(&folder)), (after, count));
}

#[test]
fn what_is_saved_is_not_changed_by_defaults() {
    let pair = pair_with_files(1);
    let folder = folder(&pair);
    let config = put(
        &folder.join("alike.toml"),
        "[defaults]\ninterval = \"1h\"\ngitignore = true\nexclude = [\"a\"]\nscrub = \"30d\"\n",
    );
    let save = format!("--save={}", text(&config));
    let run = pair.alike.run(["mirror", text(&folder.join("source")), text(&folder.join("new")), &save]);
    run.expect(0).expect_message_with("scrub is said in [defaults], and counts for this job too");
    let run = pair.alike.run(["config", "check", "-v", "-c", text(&config)]);
    assert!(run.out().contains("alike mirror --interval=10m --scrub=30d -- "), "{}", run.report());
}

#[test]
fn the_older_orders_are_saved_as_flags() {
    let pair = pair_with_files(1);
    let folder = folder(&pair);
    let config = folder.join("alike.toml");
    let save = format!("--save={}", text(&config));
    let [source, new, logs] = ["source", "new", "logs"].map(|name| folder.join(name));
    let words = ["mirror", text(&source), text(&new), "1.5", text(&logs), &save];
    pair.alike.run(words).expect(0);
    let run = pair.alike.run(["config", "check", "-v", "-c", text(&config)]);
    run.expect(0);
    let same = format!("alike mirror --interval=1.5s --log-file={}/logs/logfile.log -- ", text(&folder));
    assert!(run.out().contains(&same), "{}", run.report());
}

#[test]
fn a_job_with_a_name_that_is_no_text_is_refused_before_anything_is_written() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;
    let pair = pair_with_files(1);
    let folder = folder(&pair);
    let save = format!("--save={}", text(&folder.join("alike.toml")));
    let odd = folder.join(OsStr::from_bytes(b"odd-\xff"));
    let words = [OsStr::new("mirror"), odd.as_os_str(), folder.join("new").as_os_str(), OsStr::new(&save)]
        .map(OsStr::to_owned);
    pair.alike.run(words).expect(2).expect_short_message().expect_message_with("UTF-8");
    assert!(!folder.join("alike.toml").exists());
}

#[test]
fn whatever_bytes_are_in_the_file_it_is_a_config_or_a_mistake() {
    let pair = pair_with_files(1);
    let folder = folder(&pair);
    let config = folder.join("alike.toml");
    let seeds =
        [job("a", "source", "new", "interval = 3"), "[web]\nlisten = \"127.0.0.1:7433\"\n".to_owned()];
    let mut scramble = Scramble::new("bytes of a config");
    for _ in 0..rounds(60) {
        fs::write(&config, scramble.mutate(&seeds)).unwrap();
        let run = check(&pair.alike, &config);
        run.expect_one_of(&[0, 2]);
        let control = |ch: char| ch.is_control() && ch != '\n';
        assert!(!run.err().contains("panicked") && !run.err().contains(control), "{}", run.report());
    }
}
