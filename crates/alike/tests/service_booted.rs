//! `alike service` under a real systemd, booted in namespaces of its own: installed, reloaded, with a drive that comes and goes.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::fs;

use common::booted::{ALIKE, Booted, said};

/// A machine with a config of two jobs: one on its own disk, one whose replica is on a drive that is not there.
fn machine() -> Option<Booted> {
    let machine = Booted::boot()?;
    machine.sh("mkdir -p /srv/docs /srv/docs.replica /srv/photos /mnt/usb; echo one >/srv/docs/a; echo two >/srv/photos/b");
    configure(&machine, "");
    // A drive that need not be there. It is the same filesystem each time that it is mounted.
    machine.sh("mkdir /drive; mount -t tmpfs drive /drive");
    fs::write(machine.path("/etc/fstab"), "/drive /mnt/usb none bind,nofail,noauto 0 0\n").unwrap();
    machine.sh("systemctl daemon-reload");
    Some(machine)
}

fn configure(machine: &Booted, more: &str) {
    let jobs = "\
[[job]]
name = \"docs\"
source = \"/srv/docs\"
replicas = [\"/srv/docs.replica\"]
[[job]]
name = \"photos\"
source = \"/srv/photos\"
replicas = [\"/mnt/usb/photos\"]
";
    fs::write(machine.path("/etc/alike/alike.toml"), format!("{more}{jobs}")).unwrap();
}

const SHOW: &str = "systemctl show -P";

#[test]
fn installed_it_runs_says_how_it_stands_reloads_comes_back_when_killed_and_goes_when_removed() {
    let Some(machine) = machine() else { return };
    machine.sh(&format!("mount /mnt/usb; {ALIKE} service install"));
    machine.wait_for("cmp /srv/docs/a /srv/docs.replica/a && cmp /srv/photos/b /mnt/usb/photos/b");
    assert_eq!(
        machine.sh(&format!("{SHOW} ActiveState alike; {SHOW} UnitFileState alike")),
        "active\nenabled\n"
    );
    machine.wait_for(&format!("{SHOW} StatusText alike | grep -q '2 of 2 replicas identical'"));
    // Root that has logged in has a folder for sockets of its own, which the service has not.
    for folder in ["", "XDG_RUNTIME_DIR=/run/user/0"] {
        machine.sh(&format!(
            "env {folder} {ALIKE} status; env {folder} {ALIKE} status -c /etc/alike/alike.toml"
        ));
    }
    // A second time nothing is changed or stopped.
    let pid = machine.sh(&format!("{SHOW} MainPID alike"));
    assert!(machine.sh(&format!("{ALIKE} service install 2>&1")).contains("is as it should be"));
    assert_eq!(machine.sh(&format!("{SHOW} MainPID alike")), pid);
    // A reload takes up a changed config without a new process.
    configure(&machine, "[defaults]\nexclude = [\"*.tmp\"]\n");
    machine.sh("systemctl reload alike");
    // Before systemd 253 that does not wait until it is done.
    machine.wait_for("journalctl -q --no-pager | grep -q 'changed docs' || sleep 1");
    machine.sh("echo x >/srv/docs/x.tmp; echo y >/srv/docs/y");
    machine.wait_for("test -e /srv/docs.replica/y");
    machine.sh("test ! -e /srv/docs.replica/x.tmp");
    assert_eq!(machine.sh(&format!("{SHOW} MainPID alike")), pid);
    // Killed, it is started again.
    machine.sh("mkdir -p /run/systemd/system/alike.service.d; printf '[Service]\\nRestartSec=0\\n' >/run/systemd/system/alike.service.d/soon.conf");
    machine.sh("systemctl daemon-reload; systemctl kill --signal KILL --kill-whom main alike");
    machine.wait_for(&format!(
        "[ \"$({SHOW} MainPID alike)\" != {} ] && systemctl is-active --quiet alike",
        pid.trim()
    ));
    machine.sh("echo z >/srv/docs/z");
    machine.wait_for("test -e /srv/docs.replica/z");
    machine.sh(&format!("{ALIKE} service remove; {ALIKE} service remove"));
    assert!(!machine.run("systemctl is-active --quiet alike").status.success());
    machine.sh("test ! -e /etc/systemd/system/alike.service; test -e /srv/docs.replica/z");
}

#[test]
fn a_drive_that_is_missing_holds_up_no_other_job_and_is_seen_as_soon_as_it_comes() {
    let Some(machine) = machine() else { return };
    machine.sh(&format!("mount /mnt/usb; {ALIKE} service install"));
    machine.wait_for("cmp /srv/photos/b /mnt/usb/photos/b");
    machine.sh(&format!(
        "systemctl stop alike; umount /mnt/usb; {ALIKE} service install; echo later >/srv/docs/later"
    ));
    for round in 0..3 {
        machine.wait_for("cmp /srv/docs/later /srv/docs.replica/later");
        machine.wait_for(&format!("{ALIKE} status | grep -q 'halted: .*mount its drive'"));
        machine.sh("test -z \"$(ls -A /mnt/usb)\"");
        machine.sh(&format!("echo {round} >/srv/photos/round; mount /mnt/usb"));
        machine.wait_for(&format!("cmp /srv/photos/round /mnt/usb/photos/round && {ALIKE} status"));
        // Pulled, while it is worked on.
        machine.sh(&format!("umount -l /mnt/usb; echo {round} >/srv/docs/later"));
    }
}

#[test]
fn a_drive_that_was_there_at_the_start_is_not_kept_by_the_service_when_it_is_unmounted() {
    let Some(machine) = machine() else { return };
    machine.sh(&format!("mount /mnt/usb; mkdir /mnt/usb/photos; {ALIKE} service install"));
    machine.wait_for("cmp /srv/photos/b /mnt/usb/photos/b");
    let sees = || {
        machine.sh(&format!(
            "nsenter -t $({SHOW} MainPID alike) -m grep -c ' /mnt/usb' /proc/self/mountinfo || true"
        ))
    };
    assert_eq!(sees().trim(), "1");
    assert!(!machine.run("umount /mnt/usb").status.success(), "what is worked on is busy");
    // Its job lets go of it; what the service sees of the files is left as it is.
    configure_without_photos(&machine);
    machine.sh("systemctl reload alike");
    machine.wait_for("umount /mnt/usb");
    assert_eq!(sees().trim(), "0");
    configure(&machine, "");
    machine.sh("echo new >/srv/photos/b; mount /mnt/usb; systemctl reload alike");
    machine.wait_for("cmp /srv/photos/b /mnt/usb/photos/b");
}

fn configure_without_photos(machine: &Booted) {
    let job = "[[job]]\nname = \"docs\"\nsource = \"/srv/docs\"\nreplicas = [\"/srv/docs.replica\"]\n";
    fs::write(machine.path("/etc/alike/alike.toml"), job).unwrap();
}

#[test]
fn it_can_write_to_its_replicas_and_nowhere_else_and_keeps_what_root_may_keep() {
    let Some(machine) = machine() else { return };
    machine.sh("install -d -o 12 -g 13 -m 2750 /srv/docs/theirs; install -o 12 -g 13 -m 4755 /bin/true /srv/docs/theirs/tool");
    machine.sh(&format!("mknod /srv/docs/theirs/null c 1 3; mkfifo /srv/docs/pipe; {ALIKE} service install"));
    machine.wait_for("test -p /srv/docs.replica/pipe");
    machine.wait_for("cd /srv/docs; find . -path ./.alike -prune -o -printf '%p %m %U %G %y %T@\\n' | sort >/run/one; \
        cd /srv/docs.replica; find . -path ./.alike -prune -o -printf '%p %m %U %G %y %T@\\n' | sort >/run/other; cmp /run/one /run/other");
    let within = format!("nsenter -t $({SHOW} MainPID alike) -m");
    for place in ["/etc/x", "/srv/docs/x", "/usr/x", "/root/x", "/srv/x"] {
        let run = machine.run(&format!("{within} touch {place}"));
        assert!(
            String::from_utf8_lossy(&run.stderr).contains("Read-only file system"),
            "{place} {}",
            said(&run)
        );
    }
    machine.sh(&format!("{within} touch /srv/docs.replica/.alike/x"));
}

#[test]
fn a_replica_with_an_odd_name_can_be_written_and_its_neighbour_cannot() {
    let Some(machine) = machine() else { return };
    let odd = "/srv/my $copy 100%n \"x\" 'y' \\z;";
    fs::create_dir(machine.path(odd)).unwrap();
    let (config, replica) =
        (machine.path("/etc/alike/my $config 1%.toml"), format!("{:?}", odd.replace('$', "$$")));
    fs::write(config, format!("[[job]]\nname = \"odd\"\nsource = \"/srv/docs\"\nreplica = {replica}\n"))
        .unwrap();
    machine.sh(&format!("{ALIKE} service install -c '/etc/alike/my $config 1%.toml'"));
    machine.wait_for("cmp /srv/docs/a /srv/my*/a");
    assert!(machine.path(odd).join("a").exists());
    let run = machine.run(&format!("nsenter -t $({SHOW} MainPID alike) -m touch /srv/docs.replica/x"));
    assert!(String::from_utf8_lossy(&run.stderr).contains("Read-only file system"), "{}", said(&run));
}

#[test]
fn a_hook_that_systemd_runs_beside_the_service_is_told_what_happened_on_its_standard_input() {
    let Some(machine) = machine() else { return };
    configure(
        &machine,
        "[defaults]\non_change = [\"systemd-run\", \"--quiet\", \"--pipe\", \"--wait\", \"--collect\", \"/bin/sh\", \"-c\", \"cat >/srv/told\"]\n",
    );
    machine.sh(&format!("{ALIKE} service install"));
    machine.wait_for("grep -q '\"hook\":\"on_change\"' /srv/told");
    assert!(machine.sh("cat /etc/systemd/system/alike.service").contains("PrivateNetwork=yes"));
}

#[test]
fn when_it_hangs_the_watchdog_ends_it_and_it_is_started_again() {
    let Some(machine) = machine() else { return };
    machine.sh(&format!("{ALIKE} service install; mkdir -p /run/systemd/system/alike.service.d"));
    let impatient = "[Service]\nWatchdogSec=1\nRestartSec=0\nTimeoutAbortSec=1\n";
    fs::write(machine.path("/run/systemd/system/alike.service.d/impatient.conf"), impatient).unwrap();
    machine.sh("systemctl daemon-reload; systemctl restart alike");
    std::thread::sleep(std::time::Duration::from_secs(3));
    let pid = machine.sh(&format!("{SHOW} MainPID alike"));
    assert_eq!(machine.sh(&format!("{SHOW} NRestarts alike")), "0\n", "who is well is left alone");
    machine.sh(&format!("kill -STOP {}", pid.trim()));
    machine.wait_for(&format!("[ \"$({SHOW} NRestarts alike)\" = 1 ] && systemctl is-active --quiet alike"));
    machine.sh("echo after >/srv/docs/after");
    machine.wait_for("cmp /srv/docs/after /srv/docs.replica/after");
}

#[test]
fn a_broken_config_is_not_started_again_and_again() {
    let Some(machine) = machine() else { return };
    machine.sh(&format!("{ALIKE} service install; systemctl stop alike; echo x >>/etc/alike/alike.toml"));
    assert!(!machine.run("systemctl start alike").status.success());
    machine.wait_for("systemctl is-failed --quiet alike");
    assert_eq!(machine.sh(&format!("{SHOW} ExecMainStatus alike; {SHOW} NRestarts alike")), "2\n0\n");
    let run = machine.run(&format!("{ALIKE} service install"));
    assert_eq!(run.status.code(), Some(2), "and install says so before it starts anything");
}

#[test]
fn a_users_service_runs_under_the_systemd_of_that_user() {
    let Some(machine) = machine() else { return };
    machine.sh("install -d -o 65534 -g 65534 -m 700 /home/ada /run/user/65534; mkdir /home/ada/one; echo one >/home/ada/one/a; \
        mkdir -p /home/ada/.config/alike; \
        printf '[[job]]\\nname = \"one\"\\nsource = \"~/one\"\\nreplicas = [\"~/other\"]\\n' >/home/ada/.config/alike/alike.toml; \
        chown -R 65534:65534 /home/ada; \
        systemd-run --quiet --unit ada -p User=65534 -p Delegate=yes -E HOME=/home/ada -E XDG_RUNTIME_DIR=/run/user/65534 \
            /usr/lib/systemd/systemd --user");
    let ada = |words: &str| {
        format!(
            "setpriv --reuid 65534 --regid 65534 --clear-groups env HOME=/home/ada XDG_RUNTIME_DIR=/run/user/65534 {words}"
        )
    };
    machine.wait_for(&ada("systemctl --user is-system-running"));
    let run = machine.run(&format!("{} 2>&1", ada(&format!("{ALIKE} service install"))));
    assert!(run.status.success() && said(&run).contains("loginctl enable-linger"), "{}", said(&run));
    machine.wait_for("cmp /home/ada/one/a /home/ada/other/a");
    machine.wait_for(&ada(&format!("{ALIKE} status")));
    machine.sh(&ada(&format!("{ALIKE} service remove")));
    machine.sh("test ! -e /home/ada/.config/systemd/user/alike.service; test -e /home/ada/other/a");
}
