//! Lives the steps of a history in a room, and asks for every invariant after each that alike had a part in.

use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};

use alike_testkit::{Snapshot, Tree, remove_tree};

use crate::clock;
use crate::edits::{self, Edit, Place};
use crate::judge::{Fault, Shown, fault, last_words};
use crate::naive::{Mirrored, Wanted};
use crate::room::{Ground, PATIENCE, Room};
use crate::rules::Rules;
use crate::steps::{Deletes, Fate, Pass, Step, What};
use crate::supervise::{Call, End, Verdict, run as run_tool, supervise};
use crate::taken_back::Photo;
use crate::witness::{Asked, Before, Witness, everything};

/// Entries of a source: more make passes slow, and tell nothing new.
const ENTRIES: u64 = 50;

/// What was lived, in figures.
#[derive(Default)]
pub struct Tally {
    pub edits: AtomicUsize,
    pub passes: AtomicUsize,
    pub kills: AtomicUsize,
    pub errors: AtomicUsize,
    pub mirrors: AtomicUsize,
    pub undos: AtomicUsize,
}

impl Tally {
    pub fn count(counter: &AtomicUsize) {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

pub struct Life<'a> {
    pub ground: &'a Ground,
    pub room: &'a Room,
    pub witness: Witness,
    pub rules: Rules,
    /// There are rules now, or were some once.
    pub is_filtered: bool,
    pub clock: &'static str,
    pub tally: &'a Tally,
    /// How the replica was before the last pass, where taking that back must bring it about.
    pub photo: Option<Photo>,
}

impl<'a> Life<'a> {
    pub fn new((ground, room): (&'a Ground, &'a Room), rules: Rules, tally: &'a Tally) -> Self {
        let (witness, is_filtered) = (Witness::default(), rules.are_given());
        Self { ground, room, witness, rules, is_filtered, clock: clock::RIGHT, tally, photo: None }
    }

    pub fn say(&self, what: impl FnOnce() -> String) {
        if self.ground.only_point.is_some() {
            eprintln!("{}", what());
        }
    }

    pub fn step(&mut self, at: usize, step: &Step) -> Vec<Fault> {
        if !matches!(step.what, What::Edit(_) | What::Drift(_)) {
            self.say(|| format!("{at} {:?}", step.what));
        }
        match step.what {
            What::Edit(edit) => self.edit(at, edit, step.seed),
            What::Drift(edit) => self.drift(at, edit, step.seed),
            What::Pass(pass) => return self.pass(pass),
            What::Forget => remove_tree(&self.room.state).expect("delete the state"),
            What::Exclude(names) => {
                self.rules.exclude = names;
                self.is_filtered = true;
            }
            What::IgnoreFile(text) => {
                self.rules.file = text;
                self.is_filtered = true;
                std::fs::write(self.ignore_file(), text).expect("write an ignore file");
            }
            What::Clock(ahead) => self.clock = ahead,
            What::Undo => return self.undo(),
            What::Mirror(mirror) => return self.mirror(mirror, step.seed),
        }
        Vec::new()
    }

    pub fn edit(&mut self, at: usize, edit: Edit, seed: u64) {
        self.is_filtered |= edit == Edit::Ignore;
        self.made(at, "source", edits::make(&self.place(&self.room.source), edit, seed));
    }

    fn drift(&mut self, at: usize, edit: Edit, seed: u64) {
        self.witness.drifted = true;
        self.photo = None;
        self.made(at, "replica", edits::make(&self.place(&self.room.replica), edit, seed));
    }

    fn place(&self, tree: &'a Tree) -> Place<'a> {
        Place { tree, outside: &self.room.outside, aside: &self.room.aside, most: ENTRIES }
    }

    fn made(&self, at: usize, side: &str, done: Option<String>) {
        if let Some(done) = done {
            Tally::count(&self.tally.edits);
            self.say(|| format!("{at} {side}: {done}"));
        }
    }

    pub fn pass(&mut self, pass: Pass) -> Vec<Fault> {
        self.photo = None;
        match pass.fate {
            Fate::Plain => self.undisturbed(pass),
            Fate::Twice => {
                let mut faults = self.undisturbed(pass);
                if faults.is_empty() {
                    faults = self.idle(pass);
                }
                faults
            }
            Fate::Plan => self.plan(pass),
            Fate::Kill(_) | Fate::Error { .. } => self.disturbed(pass),
        }
    }

    /// A pass that nobody disturbs makes all equal, if need be with a person's word that so much may be deleted.
    pub fn undisturbed(&mut self, pass: Pass) -> Vec<Fault> {
        let photo = Photo::take(self.room);
        let before = Before::look(self.room);
        let end = self.run("once", pass);
        let mut faults = self.judge(pass, &before, &end, true);
        self.photo = photo.filter(|photo| {
            let is_kept = end.code == Some(0) && pass.keeps_trash();
            is_kept && photo.is_of_another_day(self.room)
        });
        if !faults.is_empty() || end.code == Some(0) {
            return faults;
        }
        let must = self.must(pass);
        if end.code == Some(1) && must.is_empty() && self.may_stay(pass) {
            return faults;
        }
        if end.code == Some(1) && !self.waits_for_a_word(&end) {
            // What one pass left is worse when the next leaves it too.
            let (code, more) = self.once_more(pass);
            let class = if code == Some(0) { "one pass too few" } else { "stuck" };
            faults.extend(more);
            faults.push(fault(class, format!("{must:?} {}", last_words(&end.said))));
            return faults;
        }
        // Too many deletions, or of what nobody knew: a person says that they are meant.
        let (code, mut faults) = self.once_more(pass);
        let must = self.must(pass);
        let is_well = code == Some(0) || (code == Some(1) && must.is_empty() && self.may_stay(pass));
        if faults.is_empty() && !is_well {
            let what = format!("{code:?} with --allow-deletes: {must:?}, after {}", last_words(&end.said));
            faults.push(fault("stuck", what));
        }
        faults
    }

    fn judge(&mut self, pass: Pass, before: &Before, end: &End, undisturbed: bool) -> Vec<Fault> {
        // A disk that is full drops what the trash has, the oldest first, down to what this pass put there.
        let is_full = matches!(pass.fate, Fate::Error { errno: libc::ENOSPC | libc::EDQUOT, .. });
        let wanted = Wanted { rules: &self.rules, deletes: pass.deletes };
        let asked = Asked { undisturbed, keeps_trash: pass.keeps_trash() && !is_full, wanted };
        self.witness.judge(self.room, before, end, asked)
    }

    /// What is still to be done for all to be as it is to be.
    fn must(&self, pass: Pass) -> Vec<String> {
        let (versions, replica) = (Shown::of(self.room.source.top()), Shown::of(self.room.replica.top()));
        let wanted = Wanted { rules: &self.rules, deletes: pass.deletes };
        let mut wrong = Mirrored::of(wanted, &versions, &replica).differences(self.room, &replica);
        wrong.truncate(3);
        wrong
    }

    /// Whether something may stay on the replica, so that a pass that could do no more does not end with all equal.
    fn may_stay(&self, pass: Pass) -> bool {
        let (versions, replica) = (Shown::of(self.room.source.top()), Shown::of(self.room.replica.top()));
        let wanted = Wanted { rules: &self.rules, deletes: pass.deletes };
        let has_more = || replica.0.keys().any(|path| !versions.0.contains_key(path));
        !Mirrored::of(wanted, &versions, &replica).stays().is_empty() || (wanted.keeps_all() && has_more())
    }

    /// A folder that moves comes under other rules, for they may be anchored: what is gone from it, and was never known to be
    /// in it, waits for a person's word; and so does what rules that changed left out.
    pub fn waits_for_a_word(&self, end: &End) -> bool {
        self.is_filtered && end.said.contains("was excluded before the filters changed")
    }

    fn once_more(&mut self, pass: Pass) -> (Option<i32>, Vec<Fault>) {
        if pass.deletes == Deletes::Nothing {
            return (None, Vec::new());
        }
        let before = Before::look(self.room);
        let end = self.run_with("once", pass, &["--allow-deletes"]);
        let faults = self.judge(pass, &before, &end, true);
        (end.code, faults)
    }

    /// The pass that follows has nothing to do.
    pub fn idle(&mut self, pass: Pass) -> Vec<Fault> {
        let look = || Snapshot::of(self.room.replica.top()).without_own_folder();
        let before = look();
        let end = self.run("once", pass);
        // The disk failed in an earlier pass, and this one does not ask whether it has taken anything since.
        let is_unsure = pass.flags.contains(&"none") && end.said.contains("may not have reached the disk");
        let changes = before.changes(&look()).into_iter().filter(|_| !is_unsure);
        let mut faults: Vec<Fault> =
            changes.map(|what| fault("not idle", format!("{} after {what}", end.said))).collect();
        let is_well = end.code == Some(0) || (end.code == Some(1) && self.may_stay(pass));
        if !is_well {
            faults.push(fault("not idle", format!("{}: {}", end.ending(), end.said)));
        }
        faults
    }

    fn plan(&mut self, pass: Pass) -> Vec<Fault> {
        let before = everything(self.room);
        let end = self.run("plan", Pass { flags: &[], ..pass });
        let changes = before.iter().zip(everything(self.room)).flat_map(|(was, is)| was.changes(&is));
        let mut faults: Vec<Fault> = changes.map(|what| fault("plan wrote", what)).collect();
        if end.hung || end.panicked() {
            faults.push(fault("hang or panic", format!("plan: {}: {}", end.ending(), end.said)));
        }
        faults
    }

    fn disturbed(&mut self, pass: Pass) -> Vec<Fault> {
        let before = Before::look(self.room);
        let (mut broken, mut times) = (None, 0);
        let mut command = self.command("once", pass, &[]);
        // What gives alike its clock makes calls too, and none of them is on trial.
        if !matches!(pass.fate, Fate::Error { .. }) {
            clock::set(&mut command, self.clock);
        }
        let mut director = |call: &Call| match pass.fate {
            Fate::Kill(k) if call.k == k => Verdict::Kill,
            Fate::Error { k, errno, on } => {
                if call.k == k {
                    broken = Some(call.known.nr);
                }
                let hit = call.k == k || (on && broken == Some(call.known.nr));
                let hit = hit && !closes_elsewhere(call, self.room) && !tells_what_is_held(call, errno);
                // What is always interrupted may be tried for ever.
                times += u32::from(hit);
                if hit && times < STORM {
                    self.say(|| format!("call {} fails: {} {:?}", call.k, call.known.name, call.all_paths()));
                    return Verdict::Fail(errno);
                }
                Verdict::Go
            }
            _ => Verdict::Go,
        };
        let end = supervise(&mut command, self.room.top(), &self.room.said(), PATIENCE, &mut director);
        let count = if end.killed { &self.tally.kills } else { &self.tally.errors };
        count.fetch_add(usize::from(end.killed || times > 0), Ordering::Relaxed);
        self.note(&end);
        self.judge(pass, &before, &end, false)
    }

    pub fn run(&self, verb: &str, pass: Pass) -> End {
        self.run_with(verb, pass, &[])
    }

    fn run_with(&self, verb: &str, pass: Pass, more: &[&str]) -> End {
        let mut command = self.command(verb, pass, more);
        clock::set(&mut command, self.clock);
        let end = run_tool(&mut command, &self.room.said(), PATIENCE);
        self.note(&end);
        end
    }

    pub fn command(&self, verb: &str, pass: Pass, more: &[&str]) -> Command {
        let file = self.ignore_file();
        let mut flags: Vec<&str> = [pass.flags, pass.deletes.flags(), more].concat();
        flags.extend(self.rules.exclude.iter().flat_map(|name| ["--exclude", name]));
        if !self.rules.file.is_empty() {
            flags.extend(["--ignore-file", file.to_str().expect("rooms have plain paths")]);
        }
        self.ground.programs.ours(self.room, verb, &flags)
    }

    /// Where what `--ignore-file` names is.
    fn ignore_file(&self) -> std::path::PathBuf {
        self.room.home.join("rules")
    }

    pub fn note(&self, end: &End) {
        Tally::count(&self.tally.passes);
        clock::tidy_after(end.pid);
        self.say(|| format!("{}{} after {} calls", end.said, end.ending(), end.calls));
    }
}

/// The library that knows time zones lists a folder of the system, and Rust's own library panics when that cannot be closed.
fn closes_elsewhere(call: &Call, room: &Room) -> bool {
    let inside = || call.open_file(0).is_some_and(|open| open.starts_with(room.top()));
    call.known.name == "close" && !inside()
}

/// A filesystem that says so has no such attributes: that is its word, and no fault of a disk.
fn tells_what_is_held(call: &Call, errno: i32) -> bool {
    errno == libc::EOPNOTSUPP && call.known.name.ends_with("xattr")
}

/// A call that is interrupted this often goes through.
const STORM: u32 = 200;
