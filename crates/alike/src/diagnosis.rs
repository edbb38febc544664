//! What the doctor has to say of both ends, of the pair that they are, and of the folders that alike writes to.

use std::path::{Path, PathBuf};
use std::time::Duration;

use alike_engine::beside::{Standing, standing};
use alike_engine::pair::Spec;
use alike_model::entry::Time;
use alike_model::filter::{Filter, Patterns};
use alike_model::policy::Policy;
use alike_storage::linux::{self, Space};
use alike_storage::{Local, Saving, Trial, plain, try_out};

use crate::doctor::{Line, shown};
use crate::log::size;
use crate::run::now;

/// What the source is on.
pub(crate) fn source(path: &Path) -> Vec<Line> {
    let tree = match Local::open(path) {
        Ok(tree) => tree,
        Err(why) => {
            let text = format!("{}: {}", shown(path), plain(&why));
            return vec![
                Line::bad("source", text)
                    .but("check the path, mount its drive, or run it as who may read it"),
            ];
        }
    };
    vec![Line::good("source", format!("{} is on {}", shown(path), kind(&tree)))]
}

/// What the replica is on, or will be, and what that can do. Where nothing may be tried, only what is there to be seen.
pub(crate) fn replica(path: &Path, may_try: bool) -> Vec<Line> {
    let Some((there, tree)) = nearest(path) else {
        let text = format!("{} cannot be opened", shown(path));
        let remedy = "check the path, mount its drive, or run it as who may write there";
        return vec![Line::bad("replica", text).but(remedy)];
    };
    let will_be = if there == path { "is" } else { "will be made" };
    let mut lines = vec![Line::good("replica", format!("{} {will_be} on {}", shown(path), kind(&tree)))];
    match linux::space(tree.descriptor()) {
        Ok(space) if space.is_read_only => {
            lines.push(Line::bad("replica", "it is mounted read-only").but("mount it read-write"));
            return lines;
        }
        Ok(space) => lines.push(room(&space)),
        Err(why) => lines.push(Line::note("room", format!("not known: {}", plain(&why)))),
    }
    lines.extend(habits(&tree));
    if may_try {
        match linux::may_write(&there).and_then(|()| try_out(&tree)) {
            Ok(trial) => lines.extend(abilities(&tree, &trial)),
            Err(why) => {
                let text = format!("nothing can be made in {}: {}", shown(&there), plain(&why));
                lines.push(Line::bad("replica", text).but("run it as who may write there"));
            }
        }
    }
    lines
}

/// What can be seen of a target's filesystem.
fn habits(tree: &Local) -> Vec<Line> {
    let mut lines = vec![match linux::is_synced_as_a_whole(tree.descriptor()) {
        Ok(true) => Line::good("sync", "all that was copied is brought to the disk at once"),
        Ok(false) => Line::note(
            "sync",
            "each name is brought to the disk by itself, for this filesystem promises no more; that takes longer",
        ),
        Err(why) => Line::note("sync", format!("not known: {}", plain(&why))),
    }];
    if linux::is_shared(tree.descriptor()) {
        let text = "other machines or programs may change it; the interval finds what they did";
        lines.push(Line::note("replica", text));
    }
    if linux::folds_case(tree.descriptor()) {
        let text =
            "names that differ in case alone are one name there: of two such files only one can be kept";
        let remedy = "choose a target that tells them apart, or rename them";
        lines.push(Line::note("names", text).but(remedy));
    }
    lines
}

/// What was found out by trying.
fn abilities(tree: &Local, trial: &Trial) -> Vec<Line> {
    let copies = match (trial.nameless, trial.clones) {
        (true, true) => Line::good("copies", "they get a name when they are whole, and can share blocks"),
        (true, false) => Line::good("copies", "they get a name when they are whole"),
        (false, _) => Line::note(
            "copies",
            "they are made under a name of alike's own, for this filesystem has no files without one",
        ),
    };
    let clock = trial.time.map(|time| clock(time, now(), tree.holds(false).times.grain));
    [holds(tree), copies].into_iter().chain(clock).collect()
}

/// The folder at a path, or the nearest one above it that exists.
fn nearest(path: &Path) -> Option<(PathBuf, Local)> {
    let whole = std::path::absolute(path).ok()?;
    let there = whole.ancestors().find(|above| above.symlink_metadata().is_ok())?;
    let tree = Local::open(there).ok()?;
    Some((if there == whole { path.to_owned() } else { there.to_owned() }, tree))
}

fn kind(tree: &Local) -> String {
    let mount = linux::mount_and_time(tree.descriptor()).map(|(mount, _)| mount);
    let kind = mount.ok().and_then(linux::kind_of_mount);
    kind.unwrap_or_else(|| "a filesystem that the system does not name".to_owned())
}

fn room(space: &Space) -> Line {
    const LEAST: u64 = 16 << 20;
    let entries = space.entries.map(|(free, _)| format!(", and {free} more entries")).unwrap_or_default();
    let text = format!("{} of {} free{entries}", size(space.free), size(space.bytes));
    let is_under = |share: u64, (free, all): (u64, u64)| free < all / share;
    let all = [Some((space.free, space.bytes)), space.entries];
    let remedy = "free some room, or choose a larger target";
    if space.free < LEAST || space.entries.is_some_and(|(free, _)| free == 0) {
        Line::bad("room", text).but(remedy)
    } else if all.into_iter().flatten().any(|part| is_under(20, part)) {
        Line::note("room", text).but(remedy)
    } else {
        Line::good("room", text)
    }
}

fn holds(tree: &Local) -> Line {
    let lacks = tree.holds(false).lacks(&Policy::default());
    if lacks.is_empty() {
        return Line::good(
            "attributes",
            "it keeps owners, modes, ACLs, all other attributes, device nodes and times",
        );
    }
    let line = Line::note("attributes", format!("it cannot hold: {}", lacks.join(", ")));
    match linux::am_root() {
        true => line.but("what it lacks is left out, and said once"),
        false => line.but("what is left out may be for want of rights: as root it may hold more"),
    }
}

/// The clock of the target's filesystem against this machine's: which stamps may be trusted depends on it.
fn clock(theirs: Time, ours: Time, grain: u32) -> Line {
    const NANOS: i128 = 1_000_000_000;
    let nanos = |time: Time| i128::from(time.secs) * NANOS + i128::from(time.nanos);
    let apart = nanos(theirs) - nanos(ours);
    let millis = apart.unsigned_abs() / 1_000_000;
    let allowed = 100 + u128::from(grain) / 1_000_000;
    let side = if apart > 0 { "ahead of" } else { "behind" };
    if millis <= allowed {
        return Line::good("clock", "the replica's filesystem has this machine's time");
    }
    let text = format!(
        "the replica's filesystem is {millis} ms {side} this machine: what is changed right after a pass could be missed"
    );
    Line::bad("clock", text).but("set both clocks by NTP")
}

/// Whether a pass on this pair would be refused.
pub(crate) fn pair(source: &Path, replica: &Path, state: &Path) -> Line {
    let filter = match Filter::new(&Patterns::default()) {
        Ok(filter) => filter,
        Err(why) => return Line::bad("pair", why.to_string()),
    };
    let spec = Spec {
        source: source.to_owned(),
        replica: replica.to_owned(),
        state: state.to_owned(),
        filter,
        deletes: Policy::default().deletes,
        saving: Saving::default(),
        keep: Some(Duration::ZERO),
        command_line: None,
    };
    match standing(&spec) {
        Ok(Standing::NoReplica) => Line::good("pair", "new: the first pass makes the replica"),
        Ok(Standing::Unmarked) => {
            Line::note("pair", "no pass has worked on this replica: the first one compares all, and deletes what the source lacks")
                .but("see what it would do: alike plan")
        }
        Ok(Standing::Known) => Line::good("pair", "the replica is this source's"),
        Ok(Standing::InUse) => Line::good("pair", "the replica is this source's, and another alike is at work on it"),
        Ok(Standing::Unknown) => Line::note("pair", "the replica is this source's, and all is compared, for what was known of it is not in the state folder"),
        Ok(Standing::Held(why)) => Line::note("pair", format!("the replica is held: {why}")).but("alike undo REPLICA --resume lets passes go on"),
        Err(refusal) => Line::bad("pair", refusal.to_string()),
    }
}

/// Whether a folder of alike's own can be written to, or made.
pub(crate) fn writable(about: &'static str, folder: &Path) -> Line {
    let Some((there, tree)) = nearest(folder) else {
        return Line::bad(about, format!("{} cannot be opened", shown(folder)));
    };
    let text = if there == folder { shown(folder) } else { format!("{} will be made", shown(folder)) };
    let read_only = linux::space(tree.descriptor()).is_ok_and(|space| space.is_read_only);
    match linux::may_write(&there) {
        Ok(()) if read_only => Line::bad(about, format!("{} is mounted read-only", shown(&there))),
        Ok(()) if about == "state" && linux::is_shared(tree.descriptor()) => Line::note(
            about,
            format!(
                "{text}, on a filesystem that others share: slow, and a lost connection costs a full look"
            ),
        )
        .but("name one on a disk of this machine with --state-dir"),
        Ok(()) => Line::good(about, text),
        Err(why) => Line::bad(about, format!("{} cannot be written to: {}", shown(&there), plain(&why)))
            .but("name another one, or run it as who may write there"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filesystem_whose_clock_is_another_is_bad_unless_its_times_are_that_coarse() {
        let at = |secs, nanos| Time { secs, nanos };
        let said = |theirs, grain| format!("{:?}", clock(theirs, at(1000, 500_000_000), grain));
        assert!(said(at(1000, 496_000_000), 1).contains("Good"));
        assert!(said(at(1000, 0), 2_000_000_000).contains("Good"));
        assert!(said(at(1000, 0), 1).contains("500 ms behind"));
        assert!(said(at(1037, 500_000_000), 1).contains("37000 ms ahead of"));
    }

    #[test]
    fn room_is_bad_when_there_is_none_and_a_note_when_there_is_little() {
        let said = |free, entries| {
            format!("{:?}", room(&Space { free, bytes: 1 << 40, entries, is_read_only: false }))
        };
        assert!(said(1 << 39, Some((1000, 2000))).contains("Good"));
        assert!(said(1 << 30, None).contains("Note"));
        assert!(said(1 << 39, Some((10, 2000))).contains("Note"));
        assert!(said(1 << 39, Some((0, 2000))).contains("Bad"));
        assert!(said(1 << 20, None).contains("Bad"));
    }
}
