//! Random histories as values: edits, drift, passes and what else happens, all from a seed, so that any part of one can be
//! lived again.

use crate::clock::CLOCKS;
use crate::edits::Edit;
use crate::rules::{EXCLUDES, FILES, Rules};
use crate::sweep::Dice;

/// One step of a history. Its dice are its own: what is left out before it does not change it.
#[derive(Debug, Clone, Copy)]
pub struct Step {
    pub what: What,
    pub seed: u64,
}

#[derive(Debug, Clone, Copy)]
pub enum What {
    /// In the source.
    Edit(Edit),
    /// On the replica, behind our back.
    Drift(Edit),
    Pass(Pass),
    /// The state of the pair is deleted.
    Forget,
    /// From now on passes are told to leave out other things.
    Exclude(&'static [&'static str]),
    /// The file that `--ignore-file` names says something else now.
    IgnoreFile(&'static str),
    /// From now on the clock is so far ahead or behind.
    Clock(&'static str),
    /// The last pass is taken back, and after a while the mirror is told to go on.
    Undo,
    Mirror(Mirror),
}

#[derive(Debug, Clone, Copy)]
pub struct Pass {
    pub fate: Fate,
    pub flags: &'static [&'static str],
    pub deletes: Deletes,
}

/// What a pass does with what it would delete.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deletes {
    /// It deletes what is gone from the source.
    Gone,
    /// It deletes what filters leave out, too.
    Excluded,
    /// It deletes nothing.
    Nothing,
}

impl Deletes {
    pub fn flags(self) -> &'static [&'static str] {
        match self {
            Self::Gone => &[],
            Self::Excluded => &["--delete-excluded"],
            Self::Nothing => &["--no-delete"],
        }
    }

    fn roll(dice: &mut Dice) -> Self {
        match dice.below(10) {
            0 => Self::Excluded,
            1 | 2 => Self::Nothing,
            _ => Self::Gone,
        }
    }
}

/// An `alike mirror` that runs for a while.
#[derive(Debug, Clone, Copy)]
pub struct Mirror {
    /// How often the source is changed while it runs.
    pub bursts: u64,
    /// It is killed in the middle of them, and not stopped when all is equal.
    pub killed: bool,
    pub watcher: &'static str,
    /// The clock of the machine is set meanwhile.
    pub jumps: bool,
    pub deletes: Deletes,
}

impl Mirror {
    fn roll(dice: &mut Dice) -> Self {
        Self {
            bursts: 1 + dice.below(5),
            killed: dice.below(4) == 0,
            watcher: ["auto", "inotify"][dice.below(2) as usize],
            jumps: dice.below(4) == 0,
            deletes: Deletes::roll(dice),
        }
    }
}

/// What becomes of a pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    Plain,
    /// Once more: the second pass must have nothing to do.
    Twice,
    /// Only a plan: nothing at all may change.
    Plan,
    /// SIGKILL at this call.
    Kill(u64),
    /// This call fails with this error, once or from there on.
    Error {
        k: u64,
        errno: i32,
        on: bool,
    },
}

const FLAGS: [&[&str]; 20] = [
    &["--sync", "none"],
    &["--sync", "none"],
    &["--sync", "none"],
    &["--sync", "none"],
    &["--sync", "none"],
    &["--sync", "none"],
    &["--sync", "none"],
    &["--sync", "none"],
    &["--sync", "none"],
    &["--sync", "none"],
    &["--sync", "none"],
    &["--sync", "none"],
    &["--sync", "none", "--compare", "content"],
    &["--sync", "none", "--trash", "off"],
    &["--sync", "none", "--trash", "off"],
    &["--sync", "none", "--max-delete", "100%"],
    &["--sync", "file"],
    &["--sync", "pass"],
    &["--sync", "pass"],
    &["--sync", "pass"],
];

impl Pass {
    pub fn keeps_trash(&self) -> bool {
        !self.flags.contains(&"off")
    }

    /// The pass that ends every history: nobody disturbs it, and it must make all equal.
    pub fn last() -> Self {
        Self { fate: Fate::Twice, flags: FLAGS[0], deletes: Deletes::Gone }
    }

    fn roll_mixed(dice: &mut Dice, errors: &[i32]) -> Self {
        let deletes = Deletes::roll(dice);
        Self { deletes, ..Self::roll(dice, errors) }
    }

    fn roll(dice: &mut Dice, errors: &[i32]) -> Self {
        // A pass over such a tree makes some hundreds of calls, the first of which come in every pass.
        let most = [60, 400, 600, 1_200][dice.below(4) as usize];
        let k = 1 + dice.below(most);
        let fate = match dice.below(20) {
            0..=8 => Fate::Plain,
            9 | 10 => Fate::Twice,
            11 => Fate::Plan,
            12..=15 => Fate::Kill(k),
            _ => {
                let errno = errors[dice.below(errors.len() as u64) as usize];
                Fate::Error { k, errno, on: dice.below(4) == 0 }
            }
        };
        let flags = FLAGS[dice.below(FLAGS.len() as u64) as usize];
        Self { fate, flags, deletes: Deletes::Gone }
    }
}

/// What a history is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Edits and passes; in every fifth history under one filter.
    Passes,
    /// Also filters that change, passes that delete nothing or more, passes that are taken back, and a clock that jumps.
    Mixed,
    /// The same, with mirrors that run for a while in place of most passes.
    Live,
}

impl Kind {
    /// Steps of a history, but for the pass that ends it.
    pub fn length(self) -> usize {
        match self {
            Self::Passes | Self::Mixed => 250,
            // A mirror has to be waited for, again and again.
            Self::Live => 60,
        }
    }
}

/// What passes are told to leave out when a history begins.
pub fn rules(kind: Kind, seed: u64) -> Rules {
    match kind {
        Kind::Passes if is_filtered(seed) => Rules { exclude: &["e"], file: "" },
        _ => Rules::default(),
    }
}

fn is_filtered(seed: u64) -> bool {
    seed % 5 == 3
}

/// The history of this seed: bursts of edits, and a pass after each.
pub fn history(kind: Kind, seed: u64, errors: &[i32]) -> Vec<Step> {
    match kind {
        Kind::Passes => passes(seed, errors),
        Kind::Mixed | Kind::Live => mixed(kind, seed, errors),
    }
}

fn passes(seed: u64, errors: &[i32]) -> Vec<Step> {
    let mut dice = Dice::new(seed);
    let length = Kind::Passes.length();
    let mut steps = Vec::with_capacity(length);
    // Half of the histories are of a replica that nobody touches: there, more may be asked for.
    let filtered = is_filtered(seed);
    let drifts = dice.below(2) == 0 && !filtered;
    while steps.len() < length {
        for _ in 0..1 + dice.below(24) {
            let what = match dice.below(100) {
                0..=9 if drifts => What::Drift(Edit::of_a_replica(&mut dice)),
                10 => What::Forget,
                _ if filtered => What::Edit(Edit::of_a_filtered_source(&mut dice)),
                _ => What::Edit(Edit::of_a_source(&mut dice)),
            };
            steps.push(Step { what, seed: dice.roll() });
        }
        let pass = Pass::roll(&mut dice, errors);
        steps.push(Step { what: What::Pass(pass), seed: dice.roll() });
    }
    steps
}

/// What may happen in a history, for some more than for others.
#[derive(Clone, Copy)]
struct Bent {
    drifts: bool,
    filters: bool,
    jumps: bool,
}

fn mixed(kind: Kind, seed: u64, errors: &[i32]) -> Vec<Step> {
    let mut dice = Dice::new(seed);
    let mut steps = Vec::with_capacity(kind.length());
    let mut half = || dice.below(2) == 0;
    let bent = Bent { drifts: half(), filters: half() || half(), jumps: half() };
    while steps.len() < kind.length() {
        for _ in 0..1 + dice.below(16) {
            let what = between(&mut dice, bent);
            steps.push(Step { what, seed: dice.roll() });
        }
        let what = match kind {
            Kind::Live if dice.below(3) > 0 => What::Mirror(Mirror::roll(&mut dice)),
            _ => What::Pass(Pass::roll_mixed(&mut dice, errors)),
        };
        steps.push(Step { what, seed: dice.roll() });
        if dice.below(8) == 0 {
            steps.push(Step { what: What::Undo, seed: dice.roll() });
        }
    }
    steps
}

/// Something that happens between two passes.
fn between(dice: &mut Dice, Bent { drifts, filters, jumps }: Bent) -> What {
    match dice.below(100) {
        0..=9 if drifts => What::Drift(Edit::of_a_replica(dice)),
        10 => What::Forget,
        11..=16 if filters => What::Edit(Edit::Ignore),
        17 | 18 if filters => What::Exclude(EXCLUDES[dice.below(EXCLUDES.len() as u64) as usize]),
        19 if filters => What::IgnoreFile(FILES[dice.below(FILES.len() as u64) as usize]),
        20..=22 if jumps => What::Clock(CLOCKS[dice.below(CLOCKS.len() as u64) as usize]),
        _ if filters => What::Edit(Edit::of_a_filtered_source(dice)),
        _ => What::Edit(Edit::of_a_source(dice)),
    }
}
