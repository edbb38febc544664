//! A mirror that runs for a while as one step of a history: its source is changed under it, and it is stopped or killed.

use std::collections::BTreeSet;
use std::fs::{File, read_to_string};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use alike_testkit::Snapshot;
use rustix::process::{Pid, Signal, kill_process};

use crate::clock::{self, CLOCKS};
use crate::edits::Edit;
use crate::judge::{Fault, Shown, Sight, fault, last_words, staged};
use crate::life::{Life, Tally};
use crate::naive::{Mirrored, Wanted, tells_of};
use crate::room::Room;
use crate::steps::{Deletes, Mirror, Pass};
use crate::supervise::End;
use crate::sweep::Dice;
use crate::witness::{Before, Outside, elsewhere, lost, torn};

/// Until the first pass is over, until all is equal, and until it has ended.
const PATIENCE: Duration = Duration::from_secs(20);
/// Longer than any change that is heard takes.
const A_WHILE: Duration = Duration::from_secs(2);
/// Between two looks.
const MOMENT: Duration = Duration::from_millis(5);

/// Edits of one burst, at most, and the longest rest after one, in milliseconds.
const MOST_EDITS: u64 = 8;
const LONGEST_REST: u64 = 40;

impl Life<'_> {
    pub fn mirror(&mut self, mirror: Mirror, seed: u64) -> Vec<Fault> {
        self.photo = None;
        Tally::count(&self.tally.mirrors);
        let pass = Pass { deletes: mirror.deletes, ..Pass::last() };
        let before = Before::look(self.room);
        let mut running = self.start(mirror, pass);
        let mut meanwhile = Meanwhile { contents: contents(&before.versions), linked: BTreeSet::new() };
        let mut faults = Vec::new();
        if !running.says("pass-end") {
            faults.push(fault("hang", "the first pass of a mirror did not end"));
        }
        faults.extend(before.outside.changes(self.room));
        meanwhile.note(self.room);
        let mut outside = Outside::look(self.room);
        if faults.is_empty() {
            faults = self.bursts((mirror, seed), &running, &mut meanwhile, &mut outside);
        }
        let before = before.with_source(self.room, outside);
        if faults.is_empty() && !mirror.killed {
            faults.extend(self.comes_to_rest(pass, &mut running, &meanwhile));
        }
        let end = running.end(if mirror.killed { Signal::KILL } else { Signal::TERM });
        self.note(&end);
        faults.extend(self.judge_mirror(pass, &before, &meanwhile.contents, &end));
        if faults.is_empty() && !mirror.killed {
            faults = match self.waits_for_a_word(&end) {
                true => self.undisturbed(pass),
                false if self.knows_all_names(pass) => self.idle(pass),
                false => Vec::new(),
            };
        }
        faults
    }

    /// What only the replica has, filters leave out, or the trash keeps, may be one file with others there: a mirror hears nothing
    /// of that, and leaves it to a pass that looks at everything.
    fn knows_all_names(&self, pass: Pass) -> bool {
        let (versions, replica) = (Shown::of(self.room.source.top()), Shown::of(self.room.replica.top()));
        let wanted = Wanted { rules: &self.rules, deletes: pass.deletes };
        let mirrored = Mirrored::of(wanted, &versions, &replica);
        let found = Snapshot::of(self.room.replica.top());
        let is_linked = |path: &Vec<u8>| found.get(path).is_some_and(|found| found.links > 1);
        let is_file = |path: &Vec<u8>| {
            found.get(path).is_some_and(|found| u32::from(found.mode) & libc::S_IFMT != libc::S_IFDIR)
        };
        let mut kept = found.paths().into_iter().filter(|path| path.starts_with(b".alike/trash/"));
        if kept.any(|path| is_file(&path) && is_linked(&path)) {
            return false;
        }
        let is_extra = |path: &Vec<u8>| mirrored.left_out.contains(path) || !versions.0.contains_key(path);
        let files = replica.0.iter().filter(|(_, sight)| **sight != Sight::Folder);
        !files.map(|(path, _)| path).any(|path| is_extra(path) && is_linked(path))
    }

    fn start(&self, mirror: Mirror, pass: Pass) -> Running {
        // As a person would who knows what is gone: the first pass deletes as much as it has to.
        let allows: &[&str] = if mirror.deletes == Deletes::Nothing { &[] } else { &["--allow-deletes"] };
        let flags = [&["--interval", "1h", "--watcher", mirror.watcher], allows].concat();
        let mut command = self.command("mirror", pass, &flags);
        let clock = self.room.home.join("clock");
        if mirror.jumps || self.clock != clock::RIGHT {
            clock::write(&clock, self.clock);
            clock::follow(&mut command, &clock);
        }
        Running::start(&mut command, self.room, clock)
    }

    /// Changes the source, again and again; notes what it has meanwhile. An edit may follow a link of the source out of it,
    /// alike may not.
    fn bursts(
        &mut self,
        (mirror, seed): (Mirror, u64),
        running: &Running,
        meanwhile: &mut Meanwhile,
        outside: &mut Outside,
    ) -> Vec<Fault> {
        let mut faults = Vec::new();
        let mut dice = Dice::new(seed);
        for burst in 0..mirror.bursts {
            for edit in 0..1 + dice.below(MOST_EDITS) {
                let kind = match (self.is_filtered, dice.below(12)) {
                    (true, 0) => Edit::Ignore,
                    (true, _) => Edit::of_a_filtered_source(&mut dice),
                    (false, _) => Edit::of_a_source(&mut dice),
                };
                faults.extend(outside.changes(self.room));
                self.edit((burst * 100 + edit) as usize, kind, dice.roll());
                *outside = Outside::look(self.room);
                meanwhile.note(self.room);
            }
            std::thread::sleep(Duration::from_millis(dice.below(LONGEST_REST)));
            if mirror.jumps {
                self.clock = CLOCKS[dice.below(CLOCKS.len() as u64) as usize];
                self.say(|| format!("the clock is {}", self.clock));
                clock::write(&running.clock, self.clock);
            }
        }
        faults
    }

    /// Waits until all is as it is to be. What is changed through a name that is gone again is told of that name alone, so it
    /// is left to a full pass, which a person may ask for.
    fn comes_to_rest(&self, pass: Pass, running: &mut Running, meanwhile: &Meanwhile) -> Vec<Fault> {
        let mut is_asked = false;
        let versions = Shown::of(self.room.source.top());
        let wanted = Wanted { rules: &self.rules, deletes: pass.deletes };
        let began = Instant::now();
        loop {
            let replica = Shown::of(self.room.replica.top());
            let wrong = Mirrored::of(wanted, &versions, &replica).differences(self.room, &replica);
            let said = End { said: running.said(), ..End::default() };
            if wrong.is_empty() {
                return Vec::new();
            }
            // What waits stays where it is, and so may what it is in.
            let waits = || self.waits_for_a_word(&said) && wrong.iter().all(|what| is_of_what_waits(what));
            if began.elapsed() >= A_WHILE && waits() {
                return Vec::new();
            }
            if !is_asked && began.elapsed() >= A_WHILE && meanwhile.was_linked(self.room, &wrong) {
                running.signal(Signal::USR1);
                is_asked = true;
            }
            if began.elapsed() >= PATIENCE || !running.is_there() {
                return wrong.into_iter().take(3).map(|what| fault("not mirrored", what)).collect();
            }
            std::thread::sleep(MOMENT);
        }
    }

    fn judge_mirror(
        &mut self,
        pass: Pass,
        before: &Before,
        meanwhile: &BTreeSet<Vec<u8>>,
        end: &End,
    ) -> Vec<Fault> {
        let mut faults = Vec::new();
        if end.hung || end.panicked() || (!end.killed && end.code != Some(0)) {
            faults.push(fault("hang or panic", "it did not end well"));
        }
        let after = Shown::of(self.room.replica.top());
        // Killed in the middle of it, a mirror may have seen the beginning of what was being written, as anybody could.
        let is_begun = |content: &Vec<u8>| meanwhile.iter().any(|whole| whole.starts_with(content));
        let seen = contents(&after).into_iter().filter(|content| end.killed && is_begun(content));
        faults.extend(torn(before, &after, &meanwhile.iter().cloned().chain(seen).collect()));
        faults.extend(lost(self.room, before, &after));
        faults.extend(elsewhere(self.room, before));
        if !end.killed {
            faults.extend(staged(self.room).into_iter().map(|what| fault("litter", what)));
        }
        for fault in &mut faults {
            fault.what = format!("{} [mirror: {}: {}]", fault.what, end.ending(), last_words(&end.said));
        }
        let wanted = Wanted { rules: &self.rules, deletes: pass.deletes };
        let mirrored = Mirrored::of(wanted, &before.versions, &after);
        let is_equal = !end.killed && faults.is_empty() && mirrored.differences(self.room, &after).is_empty();
        self.witness.saw(before, &mirrored, is_equal);
        self.witness.drifted &= !is_equal;
        faults
    }
}

fn is_of_what_waits(what: &str) -> bool {
    what.ends_with("only on the replica") || what.ends_with("replica Directory") || what.contains(": links: ")
}

/// What the source had while a mirror ran.
struct Meanwhile {
    contents: BTreeSet<Vec<u8>>,
    /// Inodes that had several names at some time.
    linked: BTreeSet<u64>,
}

impl Meanwhile {
    fn note(&mut self, room: &Room) {
        self.contents.extend(contents(&Shown::of(room.source.top())));
        let now = Snapshot::of(room.source.top());
        let several =
            now.paths().into_iter().filter_map(|path| now.get(path).filter(|found| found.links > 1));
        self.linked.extend(several.map(|found| found.ino));
    }

    /// True when all that differs is of files that had several names at some time.
    fn was_linked(&self, room: &Room, wrong: &[String]) -> bool {
        let now = Snapshot::of(room.source.top());
        let is_linked = |path: &Vec<u8>| now.get(path).is_some_and(|found| self.linked.contains(&found.ino));
        let linked: Vec<Vec<u8>> = now.paths().into_iter().filter(is_linked).collect();
        wrong.iter().all(|line| linked.iter().any(|path| tells_of(line, path)))
    }
}

fn contents(shown: &Shown) -> BTreeSet<Vec<u8>> {
    shown.files().map(|(_, content)| content.clone()).collect()
}

/// A mirror that runs; it ends with the value.
struct Running {
    child: Child,
    heard: PathBuf,
    clock: PathBuf,
}

impl Running {
    fn start(command: &mut Command, room: &Room, clock: PathBuf) -> Self {
        let heard = room.said();
        let _ = std::fs::remove_file(&heard);
        let open = || File::options().append(true).create(true).open(&heard).expect("open a mirror's log");
        let command = command.process_group(0).stdin(Stdio::null()).stdout(open()).stderr(open());
        Self { child: command.spawn().expect("start a mirror"), heard, clock }
    }

    fn said(&self) -> String {
        read_to_string(&self.heard).unwrap_or_default()
    }

    fn is_there(&mut self) -> bool {
        self.child.try_wait().expect("look at a mirror").is_none()
    }

    /// Waits until it says so.
    fn says(&mut self, what: &str) -> bool {
        let until = Instant::now() + PATIENCE;
        while Instant::now() < until && self.is_there() {
            if self.said().contains(what) {
                return true;
            }
            std::thread::sleep(MOMENT);
        }
        self.said().contains(what)
    }

    fn signal(&mut self, signal: Signal) {
        if self.is_there() {
            // It was not waited for, so nobody else has its id.
            let _ = kill_process(Pid::from_child(&self.child), signal);
        }
    }

    fn end(&mut self, signal: Signal) -> End {
        self.signal(signal);
        let until = Instant::now() + PATIENCE;
        while self.is_there() && Instant::now() < until {
            std::thread::sleep(MOMENT);
        }
        let hung = self.is_there();
        let _ = self.child.kill();
        let status = self.child.wait().expect("wait for a mirror");
        End {
            code: status.code(),
            signal: status.signal(),
            hung,
            killed: signal == Signal::KILL,
            calls: 0,
            pid: self.child.id(),
            said: self.said(),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
