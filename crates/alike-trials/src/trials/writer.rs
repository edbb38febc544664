//! Somebody writes to the source while it is copied: the tool waits at a read, and the file is another afterwards.

use std::collections::BTreeSet;
use std::fs::File;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::calls::Kind;
use crate::days::{self, LARGE};
use crate::judge::{Fault, Shown, Sight, fault, recovers, show};
use crate::room::{Ground, PATIENCE};
use crate::supervise::{Call, Verdict};
use crate::sweep::{Limit, Sums, keep_when_asked, sweep};
use crate::system::rewrite_by_mapping;

#[derive(Debug, Clone, Copy)]
enum Way {
    InPlace,
    Mapped,
    Append,
    Truncate,
    /// Shorter and then as long as before, as editors do that write to the same file.
    TruncateAndWrite,
}

const WAYS: [Way; 5] = [Way::InPlace, Way::Mapped, Way::Append, Way::Truncate, Way::TruncateAndWrite];

/// FICLONE, FICLONERANGE: a copy in one call, which is a read as well.
const CLONES: [u64; 2] = [0x4004_9409, 0x4020_940D];

pub fn run(ground: &Ground) -> Sums {
    let reads = count_reads(ground);
    let points: Vec<(u64, Way)> = (1..=reads).flat_map(|k| WAYS.map(|way| (k, way))).collect();
    let limit = match ground.full {
        true => Limit { points: 10_000, seconds: 1_800.0 },
        false => Limit { points: 200, seconds: 25.0 },
    };
    let label = |(k, way): &(u64, Way)| format!("writer {k} {way:?}");
    sweep(ground, points, limit, label, |(k, way), room| try_point(ground, *k, *way, room))
}

/// The file of the source that the call is about to read, if it is one.
fn reads(call: &Call, source: &Path) -> Option<PathBuf> {
    let argument = match call.known.kind {
        Kind::Read(argument) => argument,
        _ if call.known.name == "ioctl" && CLONES.contains(&call.argument(1)) => 2,
        _ => return None,
    };
    let path = call.open_file(argument)?;
    (path.starts_with(source) && path.is_file()).then_some(path)
}

fn count_reads(ground: &Ground) -> u64 {
    let room = ground.ready("count");
    let mut count = 0;
    ground.directed(&room, PATIENCE, &mut |call: &Call| {
        count += u64::from(reads(call, room.source.top()).is_some());
        Verdict::Go
    });
    count
}

fn try_point(ground: &Ground, k: u64, way: Way, name: &str) -> Vec<Fault> {
    let mut room = ground.ready(name);
    keep_when_asked(ground, &mut room);
    let (mut count, mut rewritten) = (0, None);
    let mut versions: BTreeSet<Vec<u8>> = BTreeSet::new();
    let top = room.source.top().to_owned();
    let end = ground.directed(&room, PATIENCE, &mut |call: &Call| {
        let Some(path) = reads(call, &top) else { return Verdict::Go };
        count += 1;
        if count == k {
            versions.extend(expected(&path, way));
            // A tool with a lease on the file makes the writer wait, and must go on meanwhile.
            let (done, is_done) = std::sync::mpsc::channel();
            let at = path.clone();
            let thread = std::thread::spawn(move || {
                let wrote = rewrite(&at, way);
                let _ = done.send(());
                wrote
            });
            let _ = is_done.recv_timeout(Duration::from_millis(20));
            rewritten = Some((path, thread));
        }
        Verdict::Go
    });
    let Some((path, thread)) = rewritten else { return Vec::new() };
    let mut faults = Vec::new();
    match thread.join() {
        Ok(Ok(())) => {}
        other => faults.push(fault("trial broken", format!("the writer: {other:?}"))),
    }
    if end.hung || end.panicked() {
        faults.push(fault("hang or panic", end.ending()));
    }
    let relative = path.strip_prefix(room.source.top()).expect("below the source");
    let replica = Shown::of(room.replica.top());
    if let Some(Sight::File(content)) = replica.0.get(relative.as_os_str().as_encoded_bytes()) {
        let before = [&ground.usual.first, &ground.usual.second];
        let whole = versions.contains(content)
            || before.iter().any(|shown| shown.files().any(|(_, known)| known == content));
        if !whole && end.code == ground.usual.code {
            let what = format!(
                "{}: {} bytes of no version, {}",
                show(relative.as_os_str().as_encoded_bytes()),
                content.len(),
                end.ending()
            );
            faults.push(fault("torn published as good", what));
        }
    }
    faults.extend(recovers(ground, &room));
    faults
}

fn next_version(path: &Path) -> (Vec<u8>, Vec<u8>) {
    let now = std::fs::read(path).expect("read a source file");
    let whose = path.file_name().and_then(|name| name.to_str()).unwrap_or("odd");
    let next = days::content(whose, 3, now.len().min(2 * LARGE));
    (now, next)
}

/// The whole versions that the file has on its way.
fn expected(path: &Path, way: Way) -> Vec<Vec<u8>> {
    let (now, next) = next_version(path);
    let half = now[..now.len() / 2].to_vec();
    let longer = [now.clone(), next.clone()].concat();
    match way {
        Way::InPlace | Way::Mapped => vec![now, next],
        Way::Append => vec![now, longer],
        Way::Truncate => vec![now, half],
        Way::TruncateAndWrite => vec![now, Vec::new(), next],
    }
}

fn rewrite(path: &Path, way: Way) -> std::io::Result<()> {
    let (now, next) = next_version(path);
    let mut options = File::options();
    options.read(true).write(true);
    let file = options.custom_flags(libc::O_NOCTTY).open(path)?;
    match way {
        Way::InPlace => file.write_all_at(&next, 0),
        Way::Mapped if next.is_empty() => Ok(()),
        Way::Mapped => rewrite_by_mapping(&file, &next),
        Way::Append => file.write_all_at(&next, now.len() as u64),
        Way::Truncate => file.set_len(now.len() as u64 / 2),
        Way::TruncateAndWrite => {
            file.set_len(0)?;
            file.write_all_at(&next, 0)
        }
    }
}
