//! A disk that has taken the place of the replica's own is neither filled nor emptied because of what is written on it.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use alike_testkit::{Mount, Pair, Snapshot, root_or_say};
use common::{pair, pair_with_files, text};

/// A pair that was mirrored to a disk of its own, which is gone; and the marker that it had.
fn orphaned() -> (Pair, Vec<u8>) {
    let pair = pair_with_files(30);
    let disk = Mount::loop_filesystem(pair.replica.top(), "ext4", 32);
    pair.mirrored();
    let marker = fs::read(pair.replica.path(".alike/pair.json")).unwrap();
    drop(disk);
    (pair, marker)
}

fn blank_with_marker(pair: &Pair, marker: &[u8]) -> Mount {
    let disk = Mount::loop_filesystem(pair.replica.top(), "ext4", 32);
    let own = disk.at().join(".alike");
    fs::create_dir(&own).unwrap();
    fs::set_permissions(&own, fs::Permissions::from_mode(0o700)).unwrap();
    fs::write(own.join("pair.json"), marker).unwrap();
    disk
}

fn names(at: &Path) -> usize {
    fs::read_dir(at).unwrap().count()
}

#[test]
fn another_disk_halts_also_with_the_marker_of_the_one_that_was_there() {
    if !root_or_say("mkfs.ext4") {
        return;
    }
    let (pair, marker) = orphaned();
    let disk = blank_with_marker(&pair, &marker);
    let before = Snapshot::of(disk.at());
    for flags in [&[][..], &["--allow-deletes"]] {
        pair.once_with(flags).expect(3).expect_short_message();
        assert_eq!(before.changes(&Snapshot::of(disk.at())), [""; 0]);
    }
}

#[test]
fn a_marker_on_a_blank_disk_makes_it_no_more_than_a_first_run() {
    if !root_or_say("mkfs.ext4") {
        return;
    }
    let (pair, marker) = orphaned();
    fs::remove_dir_all(pair.alike.state_dir()).unwrap();
    let disk = blank_with_marker(&pair, &marker);
    for own in 0..60 {
        fs::write(disk.at().join(format!("somebody's own {own}")), "precious").unwrap();
    }
    let run = pair.once();
    run.expect(3);
    assert!(run.err().contains("--allow-deletes"), "{}", run.report());
    let kept = |at: &Path| names(at) >= 60 && at.join("somebody's own 7").exists();
    assert!(kept(disk.at()), "nothing of it was deleted");
    assert!(disk.at().join("even/file-000").exists(), "what is new was copied");
    pair.once_with(&["--allow-deletes"]).expect(0);
    let trash = pair.alike.run(["trash", text(disk.at())]);
    assert!(trash.out().contains("somebody's own 7"), "{}", trash.report());
}

#[test]
fn the_right_disk_goes_on_where_it_was() {
    if !root_or_say("mkfs.ext4") {
        return;
    }
    let pair = pair();
    pair.source.file("first", "x");
    let disk = Mount::loop_filesystem(pair.replica.top(), "ext4", 32);
    pair.mirrored();
    let image = pair.beside("kept.img");
    let synced = std::process::Command::new("sync").arg("-f").arg(disk.at()).status();
    assert!(synced.unwrap().success());
    fs::copy(disk.image().unwrap(), &image).unwrap();
    drop(disk);
    pair.once().expect(3);
    let status =
        std::process::Command::new("mount").args(["-o", "loop"]).arg(&image).arg(pair.replica.top()).status();
    assert!(status.unwrap().success());
    pair.source.file("second", "x");
    let run = pair.once();
    let gone = std::process::Command::new("umount").arg(pair.replica.top()).status();
    assert!(gone.unwrap().success());
    run.expect(0);
}

#[test]
fn a_replica_that_nobody_has_seen_is_not_begun_below_a_drive_that_fstab_lists_and_that_is_away() {
    if !root_or_say("mounts of its own") {
        return;
    }
    let mut pair = pair();
    pair.source.file("file", "x");
    let drive = pair.beside("drive");
    fs::create_dir(&drive).unwrap();
    let fstab = pair.beside("fstab");
    fs::write(&fstab, format!("/dev/none {} ext4 noauto 0 0\n", drive.display())).unwrap();
    let replica = drive.join("backup");
    let words = |mount: &str| {
        // In namespaces of their own: nobody else sees this fstab, and all is gone with the program.
        let inside = format!("mount --bind {} /etc/fstab && {mount} exec \"$0\" \"$@\"", fstab.display());
        format!("exec unshare --mount sh -c '{inside}' \"$0\" \"$@\"")
    };
    pair.alike.run_after(&words(""));
    for verb in ["once", "plan"] {
        let run = pair.alike.run([verb.as_ref(), pair.source.top().as_os_str(), replica.as_os_str()]);
        run.expect(3).expect_message_with("where a drive belongs");
    }
    assert_eq!(fs::read_dir(&drive).unwrap().count(), 0, "nothing is made below it");
    pair.alike.run_after(&words(&format!("mount -t tmpfs none {} &&", drive.display())));
    pair.alike.run(["once".as_ref(), pair.source.top().as_os_str(), replica.as_os_str()]).expect(0);
}

#[test]
fn a_replica_that_nobody_has_seen_is_not_begun_where_a_desktop_would_mount_a_drive_that_is_away() {
    let pair = pair();
    pair.source.file("file", "x");
    // Root has a name everywhere; nothing is made there, so anybody may try.
    for top in ["/media/root", "/run/media/root"] {
        let replica = format!("{top}/alike-has-no-such-drive/backup");
        for verb in ["once", "plan"] {
            let run = pair.alike.run([verb, text(pair.source.top()), &replica]);
            run.expect(3).expect_message_with("alike-has-no-such-drive, where a drive belongs");
        }
    }
    assert!(!Path::new("/media/root/alike-has-no-such-drive").exists());
}
