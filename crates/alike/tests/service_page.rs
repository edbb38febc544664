//! The page of `alike service` under a real systemd, which listens for it: the service itself has no network.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::fs;

use common::booted::{ALIKE, Booted, said};

const SHOW: &str = "systemctl show -P";

/// A machine with one job, and a page at this address.
fn machine(listen: &str) -> Option<Booted> {
    let machine = Booted::boot()?;
    machine.sh("mkdir -p /srv/docs /srv/docs.replica; echo one >/srv/docs/a");
    configure(&machine, Some(listen));
    Some(machine)
}

fn configure(machine: &Booted, listen: Option<&str>) {
    let job = "[[job]]\nname = \"docs\"\nsource = \"/srv/docs\"\nreplicas = [\"/srv/docs.replica\"]\n";
    let web = listen.map_or(String::new(), |listen| format!("[web]\nlisten = \"{listen}\"\n"));
    fs::write(machine.path("/etc/alike/alike.toml"), format!("{job}{web}")).unwrap();
}

/// Lines of shell that succeed when the page answers at this port of this machine.
fn answers(port: u16) -> String {
    format!(
        "exec 3<>/dev/tcp/127.0.0.1/{port}; printf 'GET /healthz HTTP/1.0\\r\\nHost: 127.0.0.1:{port}\\r\\n\\r\\n' >&3; head -n 1 <&3 | grep ' 200 '"
    )
}

/// Succeeds when nobody listens there.
fn is_closed(port: u16) -> String {
    format!("! (exec 3<>/dev/tcp/127.0.0.1/{port}) 2>/dev/null")
}

#[test]
fn a_page_is_shown_by_a_service_that_has_no_network_and_is_exposed_below_two() {
    for listen in ["127.0.0.1:7433", "0.0.0.0:7433"] {
        let Some(machine) = machine(listen) else { return };
        machine.sh(&format!("{ALIKE} service install"));
        // It does not wait for a visitor.
        machine.wait_for("cmp /srv/docs/a /srv/docs.replica/a");
        machine.wait_for(&answers(7433));
        let of = |pid: &str| machine.sh(&format!("readlink /proc/{pid}/ns/net"));
        let pid = machine.sh(&format!("{SHOW} MainPID alike"));
        assert_ne!(of(pid.trim()), of("1"), "it has no network of its own");
        let said = machine.sh("systemd-analyze security --no-pager alike");
        let line = said.lines().last().unwrap();
        let figure = line.split(": ").nth(1).and_then(|rest| rest.split(' ').next());
        let figure: f64 = figure.and_then(|figure| figure.parse().ok()).unwrap_or_else(|| panic!("{said}"));
        eprintln!("exposure with a page at {listen}: {figure}");
        assert!(figure < 2.0, "{figure}");
        // What it is, it stays when it is started anew, and when it died.
        machine.sh("systemctl restart alike");
        machine.wait_for(&answers(7433));
        machine.sh("mkdir -p /run/systemd/system/alike.service.d; printf '[Service]\\nRestartSec=0\\n' >/run/systemd/system/alike.service.d/soon.conf");
        machine.sh("systemctl daemon-reload; systemctl kill --signal KILL --kill-whom main alike");
        machine.wait_for(&format!("[ \"$({SHOW} NRestarts alike)\" = 1 ]; {}", answers(7433)));
        machine.sh("systemctl reload alike");
        machine.wait_for(&answers(7433));
    }
}

#[test]
fn who_stopped_the_service_has_stopped_it_whoever_visits_the_page() {
    let Some(machine) = machine("127.0.0.1:7433") else { return };
    for stops in [format!("{ALIKE} down"), "systemctl stop alike".to_owned()] {
        machine.sh(&format!("{ALIKE} service install"));
        machine.wait_for(&answers(7433));
        machine.sh(&stops);
        machine.wait_for(&is_closed(7433));
        std::thread::sleep(std::time::Duration::from_secs(1));
        assert!(!machine.run("systemctl is-active --quiet alike").status.success(), "{stops}");
    }
    machine.sh("systemctl start alike");
    machine.wait_for(&answers(7433));
}

#[test]
fn another_address_is_told_until_install_runs_again_and_a_page_that_is_gone_takes_its_unit_along() {
    let Some(machine) = machine("127.0.0.1:7433") else { return };
    machine.sh(&format!("{ALIKE} service install"));
    machine.wait_for(&answers(7433));
    configure(&machine, Some("127.0.0.1:7434"));
    machine.sh("systemctl reload alike");
    let told = "the socket unit listens at 127.0.0.1:7433; run .alike service install. again";
    machine.wait_for(&format!("({ALIKE} status || true) | grep '{told}'; journalctl -q --no-pager | grep '{told}; the jobs run on' || [ -z \"$(journalctl -q -n 1)\" ]"));
    machine.sh("echo two >/srv/docs/b");
    machine.wait_for("cmp /srv/docs/b /srv/docs.replica/b");
    let wrote = machine.sh(&format!("{ALIKE} service install 2>&1"));
    assert!(wrote.contains("+ ListenStream=127.0.0.1:7434"), "{wrote}");
    machine.wait_for(&answers(7434));
    machine.sh(&is_closed(7433));
    // A second time nothing is stopped.
    let pid = machine.sh(&format!("{SHOW} MainPID alike"));
    assert_eq!(machine.sh(&format!("{ALIKE} service install 2>&1")).matches("is as it should be").count(), 2);
    assert_eq!(machine.sh(&format!("{SHOW} MainPID alike")), pid);
    configure(&machine, None);
    let gone = machine.sh(&format!("{ALIKE} service install 2>&1"));
    assert!(gone.contains("removed /etc/systemd/system/alike.socket"), "{gone}");
    machine.sh(&format!("test ! -e /etc/systemd/system/alike.socket; {}", is_closed(7434)));
    machine.sh("echo three >/srv/docs/c");
    machine.wait_for("cmp /srv/docs/c /srv/docs.replica/c");
    // A page that comes without its unit says what it lacks.
    configure(&machine, Some("127.0.0.1:7433"));
    machine.sh("systemctl reload alike");
    machine.wait_for(&format!("({ALIKE} status || true) | grep 'systemd passed it no listener: run'"));
    machine.sh(&format!("{ALIKE} service install"));
    machine.wait_for(&answers(7433));
    machine.sh(&format!("{ALIKE} service remove; {ALIKE} service remove"));
    machine.sh(&format!(
        "test ! -e /etc/systemd/system/alike.socket; test ! -e /etc/systemd/system/alike.service; {}",
        is_closed(7433)
    ));
    let left = machine.sh("systemctl list-units --all --no-legend 'alike.*'");
    assert_eq!(left, "");
}

#[test]
fn a_service_that_listened_itself_hands_its_address_to_systemd_when_install_runs_again() {
    let Some(machine) = machine("127.0.0.1:7433") else { return };
    machine.sh(&format!("{ALIKE} service install --no-start; cd /etc/systemd/system; rm alike.socket"));
    // As the unit was before systemd listened, and as it is with hooks.
    machine.sh("sed -i -E '/^(Sockets|PrivateNetwork|RestrictAddressFamilies|IPAddressDeny)=/d' /etc/systemd/system/alike.service");
    machine.sh("systemctl daemon-reload; systemctl start alike");
    machine.wait_for(&answers(7433));
    machine.sh(&format!("{ALIKE} service install; systemctl is-active alike.socket"));
    machine.wait_for(&answers(7433));
    machine.sh("! journalctl -q --no-pager -u alike.socket | grep -i 'refus\\|fail'");
}

#[test]
fn an_address_that_another_program_has_keeps_no_job_from_running() {
    let Some(machine) = machine("127.0.0.1:7433") else { return };
    machine.sh("systemd-run --quiet --unit other --socket-property=ListenStream=127.0.0.1:7433 /bin/true");
    let told = machine.run(&format!("{ALIKE} service install 2>&1"));
    assert!(told.status.success() && said(&told).contains("nothing listens for it"), "{}", said(&told));
    machine.wait_for("cmp /srv/docs/a /srv/docs.replica/a");
    machine.wait_for(&format!("({ALIKE} status || true) | grep 'systemd passed it no listener: run'"));
    machine.sh(&format!("systemctl stop other.socket; {ALIKE} service install"));
    machine.wait_for(&answers(7433));
}

#[test]
fn an_address_that_this_machine_has_not_yet_is_waited_for() {
    let Some(machine) = machine("10.77.0.1:7433") else { return };
    machine.sh(&format!("{ALIKE} service install"));
    machine.wait_for(&format!("{ALIKE} status | grep 'page: http://10.77.0.1:7433/'"));
    let knocks = "(exec 3<>/dev/tcp/10.77.0.1/7433) 2>/dev/null";
    machine.sh(&format!("! timeout 1 bash -c '{knocks}'"));
    machine.sh("ip addr add 10.77.0.1/32 dev lo");
    machine.wait_for(knocks);
}

#[test]
fn a_socket_unit_that_somebody_else_wrote_is_neither_overwritten_nor_removed() {
    let Some(machine) = machine("127.0.0.1:7433") else { return };
    let theirs = "[Socket]\nListenStream=127.0.0.1:7000\n";
    let socket = machine.path("/etc/systemd/system/alike.socket");
    fs::write(&socket, theirs).unwrap();
    let refused = |words: &str| {
        let run = machine.run(&format!("{ALIKE} service {words} 2>&1"));
        assert_eq!(run.status.code(), Some(1), "{words}");
        assert!(
            said(&run).contains("/etc/systemd/system/alike.socket was not written by alike"),
            "{}",
            said(&run)
        );
    };
    refused("install");
    machine.sh("test ! -e /etc/systemd/system/alike.service");
    // Without a page there is nothing to write there.
    configure(&machine, None);
    machine.sh(&format!("{ALIKE} service install"));
    refused("remove");
    machine.wait_for("cmp /srv/docs/a /srv/docs.replica/a; systemctl is-active --quiet alike");
    assert_eq!(fs::read_to_string(&socket).unwrap(), theirs);
}
