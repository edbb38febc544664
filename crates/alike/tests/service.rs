//! `alike service` without a systemd that runs: the unit as text, what systemd's own checker says of it, and where it goes.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Command;

use common::text;
use common::up::Up;

/// A room with one job between folders that are there.
fn room() -> Up {
    let up = Up::new();
    up.source("docs").file("a", "one");
    fs::create_dir(up.path("docs.replica")).unwrap();
    up.configure(&up.job("docs", ""));
    up
}

#[track_caller]
fn printed(up: &Up, whose: &str) -> String {
    let config = up.config_file();
    let run = up.ask(&["service", "print", whose, "-c", text(&config)]);
    run.expect(0);
    run.out()
}

fn has(unit: &str, line: &str) -> bool {
    unit.lines().any(|other| other == line)
}

/// What is printed, as a file for each unit: a text that names no file is that of the service.
fn files(up: &Up, printed: &str) -> Vec<PathBuf> {
    let mut files: Vec<(PathBuf, String)> = vec![(up.path("alike.service"), String::new())];
    for line in printed.lines() {
        let named =
            line.strip_prefix("# ==== /etc/systemd/system/").and_then(|rest| rest.strip_suffix(" ===="));
        match named.map(|name| up.path(name)) {
            Some(path) if path == files[0].0 => {}
            Some(path) => files.push((path, String::new())),
            None => files.last_mut().unwrap().1.push_str(&format!("{line}\n")),
        }
    }
    files.iter().for_each(|(path, text)| fs::write(path, text).unwrap());
    files.into_iter().map(|(path, _)| path).collect()
}

/// None where there is no systemd-analyze; then it is said.
fn analyze(up: &Up, units: &str, words: &[&str]) -> Option<String> {
    let files = files(up, units);
    let of = if words[0] == "security" { &files[..1] } else { &files };
    let run = Command::new("systemd-analyze").args(words).args(of).output();
    let Ok(run) = run else {
        eprintln!("NOT RUN: there is no systemd-analyze here (CI installs it)");
        return None;
    };
    let said = [run.stdout, run.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(run.status.success(), "{words:?}: {said}");
    Some(said)
}

fn exposure(up: &Up, unit: &str) -> Option<f64> {
    let said = analyze(up, unit, &["security", "--offline=yes", "--no-pager"])?;
    let line = said.lines().last().unwrap().to_owned();
    let figure = line.split(": ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap();
    Some(figure.parse().unwrap_or_else(|_| panic!("no figure in {line:?}")))
}

#[test]
fn systemd_reads_the_unit_without_a_complaint_and_finds_it_exposed_below_two() {
    let up = room();
    let unit = printed(&up, "--system");
    let Some(said) = analyze(&up, &unit, &["verify", "--man=no"]) else { return };
    assert_eq!(said, "");
    let figure = exposure(&up, &unit).unwrap();
    eprintln!("exposure: {figure}");
    assert!(figure < 2.0, "{figure}");
}

#[test]
fn the_network_is_there_for_hooks_alone_and_not_for_those_that_run_elsewhere_and_for_a_page_systemd_listens()
{
    let up = room();
    let with = |hook: &str, web: &str| {
        up.configure(&format!("{}{web}", up.job("docs", hook)));
        printed(&up, "--system")
    };
    let hook = "on_halt = [\"/usr/bin/curl\", \"https://example.org\"]";
    let beside = "on_halt = [\"systemd-run\", \"--pipe\", \"/usr/bin/curl\"]";
    let web = |address: &str| format!("[web]\nlisten = \"{address}:7433\"\n");
    let (apart, open) =
        ("RestrictAddressFamilies=AF_UNIX", "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK");
    let (this, later) = ("IPAddressAllow=localhost", "FreeBind=yes");
    let cases = [
        ("", "", apart, &[][..]),
        (beside, "", apart, &[]),
        ("", "127.0.0.1", apart, &[this]),
        (beside, "[::1]", apart, &[this]),
        ("", "0.0.0.0", apart, &[]),
        ("", "192.0.2.1", apart, &[later]),
        (hook, "", open, &[]),
        (hook, "127.0.0.1", open, &[]),
    ];
    for (hook, address, line, of_socket) in cases {
        let printed = with(hook, &if address.is_empty() { String::new() } else { web(address) });
        let files = files(&up, &printed);
        let unit = fs::read_to_string(&files[0]).unwrap();
        assert!(has(&unit, line), "{hook} {address}: {unit}");
        let is_apart = line == apart;
        assert_eq!(has(&unit, "PrivateNetwork=yes"), is_apart, "{hook} {address}");
        let listens = is_apart && !address.is_empty();
        assert_eq!((files.len(), has(&unit, "Sockets=alike.socket")), (1 + usize::from(listens), listens));
        if listens {
            let socket = fs::read_to_string(up.path("alike.socket")).unwrap();
            assert!(has(&socket, &format!("ListenStream={address}:7433")), "{socket}");
            for line in [this, later] {
                assert_eq!(has(&socket, line), of_socket.contains(&line), "{socket}");
            }
            let Some(said) = analyze(&up, &printed, &["verify", "--man=no"]) else { return };
            assert_eq!(said, "");
        }
        // With a hook in the service there is a network for it, and that is half a point.
        if let Some(figure) = exposure(&up, &printed) {
            eprintln!("exposure with {hook:?} {address:?}: {figure}");
            assert!(figure < if is_apart { 2.0 } else { 3.0 }, "{figure}");
        }
    }
}

#[test]
fn a_page_without_a_port_of_its_own_has_no_unit() {
    let up = room();
    up.configure(&format!("{}[web]\nlisten = \"127.0.0.1:0\"\n", up.job("docs", "")));
    let config = up.config_file();
    let run = up.ask(&["service", "print", "--system", "-c", text(&config)]);
    run.expect(2).expect_message_with("needs a port that is not 0");
}

#[test]
fn what_is_written_is_named_and_a_source_is_not() {
    let up = room();
    let (log, state) = (up.path("logs"), up.path("state"));
    fs::create_dir_all(log.join("deep")).unwrap();
    fs::create_dir(&state).unwrap();
    up.configure(
        &up.job("docs", &format!("log_file = {:?}\nstate_dir = {state:?}", log.join("deep/alike.log"))),
    );
    let unit = printed(&up, "--system");
    let room = up.room.path().canonicalize().unwrap();
    let named: Vec<PathBuf> = unit
        .lines()
        .filter_map(|line| line.strip_prefix("ReadWritePaths=-"))
        .map(|path| PathBuf::from(path).strip_prefix(&room).unwrap_or(path.as_ref()).to_owned())
        .collect();
    assert_eq!(named, ["docs.replica", "logs/deep", "state"].map(PathBuf::from));
    assert!(has(&unit, "PrivateTmp=no"), "the room of a test is below /tmp");
}

#[test]
fn names_with_odd_characters_give_a_unit_that_systemd_reads() {
    let up = Up::new();
    let odd = "my $disk 100% \"x\" 'y' \\z;";
    up.source(odd).file("a", "one");
    let replica = up.path(&format!("{odd}.replica"));
    fs::create_dir(&replica).unwrap();
    let escaped = |path: PathBuf| format!("{:?}", text(&path).replace('$', "$$"));
    let (source, replica) = (escaped(up.path(odd)), escaped(replica));
    up.configure(&format!("[[job]]\nname = \"odd\"\nsource = {source}\nreplica = {replica}\n"));
    let odd_config = up.path("my $config 100%.toml");
    fs::rename(up.config_file(), &odd_config).unwrap();
    let run = up.ask(&["service", "print", "--system", "-c", text(&odd_config)]);
    run.expect(0);
    let Some(said) = analyze(&up, &run.out(), &["verify", "--man=no"]) else { return };
    assert_eq!(said, "");
}

#[test]
fn a_config_with_a_variable_that_a_service_lacks_is_refused_with_its_name() {
    let mut up = room();
    let source = up.path("docs");
    up.configure(&up.job("docs", "").replace(text(&source), "$SHELF/docs"));
    up.alike.run_after(&format!("export SHELF='{}'", up.room.path().display()));
    let config = up.config_file();
    up.ask(&["config", "check", "-c", text(&config)]).expect(0);
    let run = up.ask(&["service", "print", "--system", "-c", text(&config)]);
    run.expect(2).expect_message_with("good here, and not for a service");
    run.expect_message_with("SHELF");
}

/// A PATH with a systemctl that only says yes: what runs this machine is not asked.
fn with_a_systemctl_that_says_yes(up: &mut Up) {
    let folder = up.path("programs");
    fs::create_dir(&folder).unwrap();
    let program = folder.join("systemctl");
    fs::write(&program, "#!/bin/sh\nexit 0\n").unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    up.alike.run_after(&format!("export PATH='{}'", folder.display()));
}

#[test]
fn a_users_unit_is_written_once_changed_with_the_config_and_removed() {
    let mut up = room();
    with_a_systemctl_that_says_yes(&mut up);
    let config = up.config_file();
    let install = ["service", "install", "--user", "--no-start", "-c", text(&config)];
    let unit = up.alike.runtime_dir().with_file_name("xdg-config").join("systemd/user/alike.service");
    up.ask(&install).expect(0).expect_message_with("nothing was started");
    let first = fs::read_to_string(&unit).unwrap();
    assert!(has(&first, "WantedBy=default.target") && !first.contains("Capabilit"), "{first}");
    up.ask(&install).expect(0).expect_message_with("is as it should be");
    let other = up.path("other.toml");
    fs::copy(&config, &other).unwrap();
    let run = up.ask(&["service", "install", "--user", "--no-start", "-c", text(&other)]);
    run.expect(0).expect_message_with("- ExecStart=");
    run.expect_message_with("+ ExecStart=");
    assert_ne!(fs::read_to_string(&unit).unwrap(), first);
    up.ask(&["service", "remove", "--user"]).expect(0).expect_message_with("removed");
    assert!(!unit.exists());
    up.ask(&["service", "remove", "--user"]).expect(0).expect_message_with("nothing to remove");
}

#[test]
fn a_unit_that_somebody_else_wrote_is_neither_overwritten_nor_removed() {
    let mut up = room();
    with_a_systemctl_that_says_yes(&mut up);
    let folder = up.alike.runtime_dir().with_file_name("xdg-config").join("systemd/user");
    fs::create_dir_all(&folder).unwrap();
    let unit = folder.join("alike.service");
    fs::write(&unit, "[Service]\nExecStart=/bin/true\n").unwrap();
    let config = up.config_file();
    for words in [
        &["service", "install", "--user", "--no-start", "-c", text(&config)][..],
        &["service", "remove", "--user"],
    ] {
        up.ask(words).expect(1).expect_message_with("was not written by alike");
    }
    assert_eq!(fs::read_to_string(&unit).unwrap(), "[Service]\nExecStart=/bin/true\n");
}

#[test]
fn where_there_is_no_systemd_to_start_it_that_is_said_and_nothing_is_written() {
    let mut up = room();
    let empty = up.path("empty");
    fs::create_dir(&empty).unwrap();
    up.alike.run_after(&format!("export PATH='{}'", empty.display()));
    let config = up.config_file();
    let run = up.ask(&["service", "install", "--user", "-c", text(&config)]);
    run.expect(1);
    let said = run.err();
    assert!(said.contains("--no-start only writes") || said.contains("there is no systemctl"), "{said}");
}
