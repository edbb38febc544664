//! The trials, in the order of what they are worth.

mod errno;
mod flipper;
mod flips;
mod full;
mod kill;
mod model;
mod names;
mod power;
mod races;
mod rewrites;
mod short;
mod sync;
mod sync_calls;
mod undo;
mod writer;

use crate::room::Ground;
use crate::sweep::Sums;
use crate::tools::Tool;

/// One trial.
pub struct Trial {
    pub name: &'static str,
    /// What is done to the tool.
    pub what: &'static str,
    /// What counts as a failure.
    pub failure: &'static str,
    /// Whether it says anything about this tool.
    pub fits: fn(Tool) -> bool,
    pub run: fn(&Ground) -> Sums,
}

pub static TRIALS: &[Trial] = &[
    Trial {
        name: "kill",
        what: "SIGKILL at the k-th system call of a pass, and again in the pass that follows",
        failure: "a torn file, a gap, a change outside; a next pass that does not converge or leaves litter",
        fits: |_| true,
        run: kill::once,
    },
    Trial {
        name: "kill-mirror",
        what: "SIGKILL at the k-th system call of a running mirror while its source changes",
        failure: "as for kill",
        fits: |tool| tool == Tool::Alike,
        run: kill::mirror,
    },
    Trial {
        name: "undo",
        what: "SIGKILL at the k-th call that writes of undo and restore, and at another in the same command again; then that command or a pass",
        failure: "a version gone from the replica and its trash, a torn file, a history that cannot be read; the same command does not end as it should, \
                  the next pass does not converge, a check finds anything, litter",
        fits: |tool| tool == Tool::Alike,
        run: undo::run,
    },
    Trial {
        name: "errno",
        what: "the k-th system call fails with one of 17 errors, once or from there on",
        failure: "exit 0 and wrong, a deletion, a torn file with exit 0, a hang, a panic; no recovery after it",
        fits: |_| true,
        run: errno::run,
    },
    Trial {
        name: "short",
        what: "reads and writes give half of what was asked for, from the k-th on",
        failure: "as for errno",
        fits: |_| true,
        run: short::run,
    },
    Trial {
        name: "power",
        what: "power cut at the k-th system call and soon after the end, ext4 and xfs, with the journal written and without",
        failure: "a torn file, a gap, something gone that exit 0 had promised; no recovery",
        fits: |_| true,
        run: power::run,
    },
    Trial {
        name: "sync",
        what: "a sync or write that fails once or from there on, or lies, on a disk with a cache (FUSE, and ext4 on it), power cut after the end; the k-th sync call fails on ext4 and xfs",
        failure: "something gone that exit 0 had promised; what may be lost is not copied again; a lie that no check finds; no recovery",
        fits: |_| true,
        run: sync::run,
    },
    Trial {
        name: "writer",
        what: "stopped at each read of the source while the file is rewritten (in place, mmap, append, truncate)",
        failure: "a file of no version the source had, published with exit 0; no recovery",
        fits: |_| true,
        run: writer::run,
    },
    Trial {
        name: "races",
        what: "at each path call: folder swapped for a link, leaf for a link, pipe or hard link, folder moved out, mount over",
        failure: "anything outside changed, a secret from outside in the replica, a hang; anything changed in a folder that was moved out, but for the one call that each thread may have had under way at that moment",
        fits: |_| true,
        run: races::run,
    },
    Trial {
        name: "flipper",
        what: "folders and files of both trees change places with links, pipes and folders outside, at full speed, pass after pass",
        failure: "anything outside changed, a secret from outside in the replica, a hang; no recovery at rest",
        fits: |_| true,
        run: flipper::run,
    },
    Trial {
        name: "flips",
        what: "every kind becomes every kind, with a watcher polling the name on the replica",
        failure: "the name is absent for a moment; the pass does not converge",
        fits: |_| true,
        run: flips::run,
    },
    Trial {
        name: "names",
        what: "hostile names, random bytes, alike's own private names, deep folders",
        failure: "not equal; a raw control byte in what the tool says",
        fits: |_| true,
        run: names::run,
    },
    Trial {
        name: "full",
        what: "disk full, quota, read-only remount, 24 descriptors, 64 MiB of memory",
        failure: "exit 0 and wrong, an old version damaged, litter; no recovery when there is room again",
        fits: |_| true,
        run: full::run,
    },
    Trial {
        name: "rewrites",
        what: "rewritten with the same size 0 to 3 s after a pass, with its time as it comes or put back",
        failure: "the next pass misses it",
        fits: |_| true,
        run: rewrites::run,
    },
    Trial {
        name: "model",
        what: "random histories: edits of every kind, moves, flips, links, drift, times of 1902 and 2400; passes of which some are killed or meet an \
               error. A point is a step: an edit or a pass",
        failure: "after a pass: not equal with exit 0, torn, a gap, gone and not in the trash, source or outside written, litter; a next pass \
                  that is not idle, a plan that writes. One bad step ends its history",
        fits: |tool| tool == Tool::Alike,
        run: model::run,
    },
    Trial {
        name: "mixed",
        what: "such histories in which some passes delete nothing (`--no-delete`) or more (`--delete-excluded`), some are taken back (`undo`, then \
               `--resume`); filters on the command line, in `--ignore-file` and in `.alikeignore` files, which come, change and go; a clock that jumps \
               by 2 seconds to 20 years",
        failure: "as in `model`; left out and copied or gone, or not gone with `--delete-excluded`; anything gone in spite of `--no-delete`, or anything \
                  else that differs then; an undo that does not bring back what was, a pass before `--resume`",
        fits: |tool| tool == Tool::Alike,
        run: model::mixed,
    },
    Trial {
        name: "live",
        what: "the same with mirrors that run while the source changes, and are stopped or killed",
        failure: "as in `mixed`; a change that a mirror does not bring over within 20 seconds",
        fits: |tool| tool == Tool::Alike,
        run: model::live,
    },
];
