//! Several replicas of one source, live: what changes is heard once and reaches all, and one that is away, full or stuck
//! holds up no other.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use alike_testkit::{Live, Mount, root_or_say, wait_until};
use common::several::{also, assert_identical, of, one, wait_identical};
use common::{SOON, count, events, pair_with_files, parse, steps, text};

fn system(program: &str, args: &[&str]) {
    let done = Command::new(program).args(args).output().unwrap();
    assert!(done.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&done.stderr));
}

// ---- live ----

fn changes_reach_all(watcher: &str) {
    let pair = pair_with_files(40);
    let others = [pair.beside("second"), pair.beside("third")];
    let mut live = pair.mirror_with(&also(&others, &["--interval", "1h", "--json", "--watcher", watcher]));
    wait_identical(&pair, &mut live, &others, SOON);
    let changes: [&dyn Fn(); 9] = [
        &|| {
            pair.source.file("even/new", "x");
        },
        &|| {
            pair.source.file("even/new", "longer");
        },
        &|| {
            pair.source.rename("even", "moved");
        },
        &|| {
            pair.source.file("moved/after", "x");
        },
        &|| {
            pair.source.remove("odd");
        },
        &|| {
            pair.source.file("odd/again/deep/file", "x");
        },
        &|| {
            pair.source.file("odd/again/deep/more", "x").mode("odd/again", 0o700);
        },
        // Out of the tree, changed there, and something new under its name.
        &|| {
            fs::rename(pair.source.path("odd"), pair.beside("out")).unwrap();
            fs::write(pair.beside("out/again/deep/elsewhere"), "x").unwrap();
            pair.source.file("odd/other", "x");
        },
        &|| {
            pair.source.file("odd/last", "x");
        },
    ];
    for change in changes {
        change();
        wait_identical(&pair, &mut live, &others, SOON);
    }
    let events = parse(&live.out());
    for replica in [pair.replica.top(), &others[0], &others[1]] {
        let renames = of(&events, replica).iter().filter(|event| event.action == "rename").count();
        assert_eq!(renames, 1, "a rename stays one on {}\n{}", replica.display(), live.out());
    }
    let watches =
        events.iter().filter(|event| event.action == "watch" && event.text("reason").contains("notify"));
    assert_eq!(watches.count(), 1, "there is one watcher: {}", live.out());
    live.stop();
}

#[test]
fn what_changes_is_heard_once_and_reaches_all_replicas() {
    changes_reach_all("inotify");
}

#[test]
fn what_changes_reaches_all_replicas_by_one_mark_for_the_filesystem_too() {
    if root_or_say("a mark for a filesystem") {
        changes_reach_all("fanotify");
    }
}

#[test]
fn a_storm_reaches_all_replicas() {
    let pair = pair_with_files(20);
    let others = [pair.beside("second"), pair.beside("third")];
    let mut live = pair.mirror_with(&also(&others, &["--interval", "1h", "-q"]));
    wait_identical(&pair, &mut live, &others, SOON);
    for round in 0..20 {
        for number in 0..30 {
            pair.source.file(format!("storm/{}/{number}", number % 7), format!("{round} {number}"));
        }
        if round % 3 == 0 {
            let away = format!("away-{round}");
            fs::rename(pair.source.path("storm"), pair.source.path(&away)).unwrap();
        }
        if round % 5 == 4 {
            pair.source.remove(format!("away-{}", round - round % 3));
        }
    }
    wait_identical(&pair, &mut live, &others, Duration::from_secs(60));
    live.stop();
    let run = pair.once_with(&also(&others, &["--json"]));
    assert_eq!(steps(&events(&run)), [""; 0], "{}", run.report());
}

#[test]
fn sigusr1_starts_a_pass_for_each() {
    let pair = pair_with_files(10);
    let second = pair.beside("second");
    let mut live = pair.mirror_with(&also(one(&second), &["--interval", "1h", "--no-watch"]));
    wait_identical(&pair, &mut live, one(&second), SOON);
    assert!(wait_until(SOON, || live.out().matches("pass-end").count() == 2), "{}", live.out());
    pair.source.file("after", "x");
    std::thread::sleep(Duration::from_millis(300));
    assert!(!pair.replica.has("after") && !second.join("after").exists(), "nobody watches");
    live.ask_for_a_pass();
    wait_identical(&pair, &mut live, one(&second), SOON);
    live.stop();
}

// ---- one of them is away, full or stuck ----

#[test]
fn a_replica_that_is_missing_at_the_start_is_waited_for_while_the_others_go_on() {
    let pair = pair_with_files(20);
    let (missing, drive) = (pair.beside("missing"), pair.beside("drive"));
    std::os::unix::fs::symlink(&drive, &missing).unwrap();
    let mut live = pair.mirror_with(&also(one(&missing), &["--interval", "1h", "--json"]));
    live.wait_identical(SOON);
    pair.source.file("even/live", "x");
    live.wait_identical(SOON);
    let halts = |live: &Live| of(&parse(&live.out()), &missing).iter().filter(|e| e.action == "halt").count();
    assert!(wait_until(SOON, || halts(&live) == 1), "{}", live.out());
    fs::create_dir(&drive).unwrap();
    wait_identical(&pair, &mut live, one(&missing), SOON);
    pair.source.file("even/both", "x");
    wait_identical(&pair, &mut live, one(&missing), SOON);
    assert_eq!(halts(&live), 1, "it says so once");
    live.stop();
}

#[test]
fn when_all_replicas_are_refused_at_the_start_the_mirror_ends() {
    let pair = pair_with_files(4);
    pair.source.remove("");
    let mut live = pair.mirror_with(&also(&[pair.beside("second")], &[]));
    assert_eq!(live.wait_exit(SOON), Some(3), "{}", live.err());
    assert!(live.err().contains("does not exist"), "{}", live.err());
    assert!(!pair.replica.has("") && !pair.beside("second").exists());
}

#[test]
fn a_drive_that_goes_and_comes_back_holds_up_no_other_and_catches_up() {
    if !root_or_say("a drive") {
        return;
    }
    let pair = pair_with_files(20);
    let at = pair.beside("drive");
    let drive = Mount::loop_filesystem(&at, "ext4", 32);
    let second = at.join("replica");
    let mut live = pair.mirror_with(&also(one(&second), &["--interval", "1"]));
    wait_identical(&pair, &mut live, one(&second), SOON);
    for round in 0..2 {
        system("umount", &["-l", text(&at)]);
        pair.source.file(format!("even/while it was away {round}"), "x");
        live.wait_identical(SOON);
        std::thread::sleep(Duration::from_millis(1500));
        assert!(!second.exists(), "nothing is written below the mount point");
        system("mount", &["-o", "loop", text(&at.with_extension("img")), text(&at)]);
        pair.source.file(format!("odd/since it is back {round}"), "x");
        wait_identical(&pair, &mut live, one(&second), Duration::from_secs(20));
    }
    live.stop();
    drop(drive);
}

#[test]
fn a_full_disk_holds_up_no_other_and_is_filled_when_there_is_room() {
    if !root_or_say("a small filesystem") {
        return;
    }
    let pair = pair_with_files(4);
    let disk = Mount::tmpfs(&pair.beside("disk"), "2m");
    let second = disk.at().join("replica");
    let mut live = pair.mirror_with(&also(one(&second), &["--interval", "1h", "--json", "--trash", "off"]));
    wait_identical(&pair, &mut live, one(&second), SOON);
    pair.source.file("even/large", vec![7; 4 << 20]);
    live.wait_identical(SOON);
    let errors = |live: &Live, replica: &Path| {
        of(&parse(&live.out()), replica).iter().filter(|e| e.action == "error").count()
    };
    assert!(wait_until(SOON, || errors(&live, &second) > 0), "{}", live.out());
    pair.source.file("odd/small", "x");
    live.wait_identical(SOON);
    assert_eq!(errors(&live, pair.replica.top()), 0, "{}", live.out());
    pair.source.remove("even/large");
    wait_identical(&pair, &mut live, one(&second), Duration::from_secs(30));
    live.stop();
    drop(disk);
}

/// A filesystem on which whatever writes stands still until the value ends.
struct Frozen(PathBuf);

impl Frozen {
    fn new(at: &Path) -> Self {
        system("fsfreeze", &["-f", text(at)]);
        Self(at.to_owned())
    }
}

impl Drop for Frozen {
    fn drop(&mut self) {
        system("fsfreeze", &["-u", text(&self.0)]);
    }
}

#[test]
fn a_disk_that_hangs_holds_up_no_other_and_catches_up() {
    if !root_or_say("a disk that hangs") {
        return;
    }
    let pair = pair_with_files(20);
    let at = pair.beside("drive");
    let drive = Mount::loop_filesystem(&at, "ext4", 32);
    let second = at.join("replica");
    let mut live = pair.mirror_with(&also(one(&second), &["--interval", "1h", "--json"]));
    wait_identical(&pair, &mut live, one(&second), SOON);
    assert!(wait_until(SOON, || count(&parse(&live.out()), "pass-end") == 2));
    let frozen = Frozen::new(&at);
    for number in 0..5 {
        pair.source
            .file(format!("even/while it hangs {number}"), "x")
            .rename("odd", "odd now")
            .rename("odd now", "odd");
        live.wait_identical(SOON);
    }
    assert!(!second.join("even/while it hangs 0").exists());
    drop(frozen);
    wait_identical(&pair, &mut live, one(&second), SOON);
    live.stop();
    drop(drive);
}

// ---- the end ----

#[test]
fn a_stop_ends_all_mirrors_also_one_that_waits_for_its_replica() {
    let pair = pair_with_files(20);
    let (second, missing) = (pair.beside("second"), pair.beside("missing"));
    std::os::unix::fs::symlink(pair.beside("nowhere"), &missing).unwrap();
    let others = [second.clone(), missing.clone()];
    let mut live = pair.mirror_with(&also(&others, &["--json"]));
    wait_identical(&pair, &mut live, one(&second), SOON);
    live.stop();
    wait_until(SOON, || count(&parse(&live.out()), "stop") == 3);
    let events = parse(&live.out());
    for replica in [pair.replica.top(), &second, &missing] {
        assert_eq!(of(&events, replica).iter().filter(|event| event.action == "stop").count(), 1);
    }
}

#[test]
fn after_a_kill_at_any_moment_the_next_run_makes_all_identical_and_leaves_no_litter() {
    let pair = pair_with_files(60);
    let others = [pair.beside("second"), pair.beside("third")];
    for round in 0..6 {
        for number in 0..30 {
            pair.source.file(format!("round-{}/{number}", round % 3), format!("{round} {number}"));
        }
        let mut live = pair.mirror_with(&also(&others, &["--interval", "1h"]));
        std::thread::sleep(Duration::from_millis(15 * round));
        pair.source.file("even/file-000", format!("in round {round}"));
        live.kill();
        let run = pair.once_with(&also(&others, &[]));
        run.expect(0);
        for replica in others.iter().map(PathBuf::as_path).chain([pair.replica.top()]) {
            assert_identical(&pair, replica, &run.report());
            let staging = fs::read_dir(replica.join(".alike/staging")).map_or(0, Iterator::count);
            assert_eq!(staging, 0, "litter in {}", replica.display());
        }
    }
}
