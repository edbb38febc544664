//! Random histories as values: edits, drift and passes, all from a seed, so that any part of one can be lived again.

use crate::edits::Edit;
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
}

#[derive(Debug, Clone, Copy)]
pub struct Pass {
    pub fate: Fate,
    pub flags: &'static [&'static str],
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
        Self { fate: Fate::Twice, flags: FLAGS[0] }
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
        Self { fate, flags: FLAGS[dice.below(FLAGS.len() as u64) as usize] }
    }
}

/// What the passes of a history leave out by its name, and the flags that say so.
#[derive(Debug, Clone, Copy)]
pub struct Filter {
    pub name: &'static str,
    pub flags: &'static [&'static str],
}

/// The filters of the history of this seed. They are the same in all of its passes: what was left out, and is so no more, is
/// held until a person says what is meant.
pub fn filter(seed: u64) -> Option<Filter> {
    (seed % 5 == 3).then_some(Filter { name: "e", flags: &["--exclude", "e"] })
}

/// The history of this seed: bursts of edits, and a pass after each.
pub fn history(seed: u64, length: usize, errors: &[i32]) -> Vec<Step> {
    let mut dice = Dice::new(seed);
    let mut steps = Vec::with_capacity(length);
    // Half of the histories are of a replica that nobody touches: there, more may be asked for.
    let filtered = filter(seed).is_some();
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
