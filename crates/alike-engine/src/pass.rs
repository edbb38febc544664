//! One pass: what is dirty is scanned, compared, planned, guarded, applied, recorded and reported.
//!
//! The stages stand in the order in which they run. Folders are visited in parallel, each on its own; what can only be
//! judged when all of them are known (moves, deletions) waits for its stage.

use std::sync::atomic::{AtomicBool, AtomicU32};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use alike_model::dirty::Dirty;
use alike_model::entry::{Stamp, Time};
use alike_model::event::Action;
use alike_model::failures::{Failure, Failures};
use alike_model::filter::Filter;
use alike_model::guard::{self, Judgement};
use alike_model::known::{FolderId, Row};
use alike_model::outcome::{Ending, Outcome, Tally, Withheld};
use alike_model::path::RelPath;
use alike_model::policy::{Deletes, Policy};
use alike_storage::{Replica, Source, plain};

use crate::batch::{Ready, Settles};
use crate::crew;
use crate::deeds::Deeds;
use crate::error::PassError;
use crate::hands::{Hands, Working};
use crate::index::Index;
use crate::monitor::{Event, Monitor};
use crate::motion::Motion;
use crate::pace::{Pace, Paced};
use crate::place::Shelf;
use crate::rehearsing::Rehearsing;
use crate::siblings::Siblings;
use crate::stop::Stop;
use crate::thought::Thought;
use crate::trash::Trash;
use crate::waiting::Waiting;
use crate::watch::Watch;

/// What a pass works on and with.
pub struct Work<'a, S: Source, R: Replica> {
    /// The source.
    pub source: &'a S,
    /// The replica.
    pub replica: &'a R,
    /// Whether its top folder was there before.
    pub replica_top: Top,
    /// Inodes (device and number) of top folders, its own and those of others: none may turn up inside a tree.
    pub roots: Vec<(u64, u64)>,
    /// What is known of both.
    pub index: &'a Index,
    /// What the user asked for.
    pub policy: Policy,
    /// Why not all that is wanted can be compared, though it could be before ([`crate::pair::Pair::refuses`]).
    pub refuses: Option<String>,
    /// What is left out.
    pub filter: &'a Filter,
    /// Told of everything.
    pub monitor: &'a dyn Monitor,
    /// Told of each folder before it is listed.
    pub watch: &'a dyn Watch<S::Folder>,
    /// Tells the time.
    pub clock: &'a (dyn Fn() -> Time + Sync),
    /// Ends the pass early.
    pub stop: &'a Stop,
    /// How many folders are visited at once, at least 1.
    pub threads: usize,
    /// How fast contents are copied, over all threads and passes.
    pub pace: &'a Pace,
    /// What is done is on the disk before it is called done.
    pub sync: bool,
    /// Whether contents are on the disk before they get a name.
    pub settles: Settles,
    /// Where what is taken away goes; `None`: it goes for good.
    pub trash: Option<&'a Trash>,
    /// What nobody announced, an old inode under a new name or a name that is gone, is left for the next pass: its other
    /// end is about to be heard. But not at and below these, which were left once already. `None`: nothing is left.
    pub patient: Option<&'a Dirty>,
    /// A full pass is under way: this one keeps to folders that the index knows, and leaves the others to that.
    pub beside_full: bool,
    /// Other names of the files that a pass looks at; `None` when every pass looks at everything.
    pub siblings: Option<&'a Siblings>,
    /// How many folders may be held open at once; each costs two descriptors.
    pub held_folders: usize,
}

/// The top folder of a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Top {
    /// It was there.
    There,
    /// It was made just now.
    Made,
    /// It is not there: only a rehearsal can go on, and takes it for empty.
    Absent,
}

/// A pass under way.
pub(crate) struct Run<'a, S: Source, R: Replica, H> {
    pub(crate) work: &'a Work<'a, S, R>,
    pub(crate) hands: &'a H,
    /// It looks at everything; only such passes are announced.
    pub(crate) full: bool,
    /// What it was told to look at, where what nobody announced is left.
    pub(crate) announced: Dirty,
    started: Instant,
    pub(crate) number: u64,
    /// What was born later cannot be a moved acquaintance; see [`alike_model::plan::Horizon`].
    pub(crate) indexed: Option<Time>,
    /// The look at what failed or changed meanwhile; the last one reports instead of trying again.
    pub(crate) round: AtomicU32,
    pub(crate) shelf: Shelf<S, R>,
    pub(crate) waiting: Mutex<Waiting<S, R>>,
    pub(crate) tally: Mutex<Tally>,
    pub(crate) unsettled: Mutex<Dirty>,
    failed: Mutex<Failures>,
    withheld: Mutex<Withheld>,
    pub(crate) awaited: Mutex<Dirty>,
    /// A folder is among what waits for the next pass, and with it what may be in it.
    pub(crate) folder_waits: AtomicBool,
    pub(crate) linked: AtomicBool,
    /// What waits to be on the disk before it gets its name.
    pub(crate) ready: Mutex<Vec<Ready<S, R>>>,
    /// How often the disk had failed before.
    failures: u64,
    pub(crate) motion: Motion,
}

/// Makes the dirty part of the replica identical.
///
/// # Errors
/// When nothing could be compared at all, or the outcome could not be brought to the disk; a single path that fails is
/// no error but part of the outcome.
pub fn pass<S: Source, R: Replica>(work: &Work<'_, S, R>, dirty: Dirty) -> Result<Outcome, PassError> {
    let hands = Working {
        source: work.source,
        replica: work.replica,
        policy: work.policy,
        sync: work.sync,
        settles: work.settles,
        disk: &work.index.disk,
        deeds: Deeds {
            trash: work.trash,
            pass: work.index.next_pass(),
            live: !dirty.is_everything(),
            clock: work.clock,
            staying: Mutex::default(),
            linked: Mutex::default(),
        },
        flow: Paced { pace: work.pace, interrupted: &|| work.stop.is_set() },
    };
    let number = hands.deeds.pass;
    run((work, number), &hands, dirty)
}

/// Says what [`pass`] would do, and does none of it.
///
/// # Errors
/// When nothing could be compared at all.
pub fn rehearse<S: Source, R: Replica>(work: &Work<'_, S, R>, dirty: Dirty) -> Result<Outcome, PassError> {
    let thought = Thought::of(work.replica);
    run((&work.on(&thought), work.index.next_pass()), &Rehearsing(&thought), dirty)
}

fn run<S: Source, R: Replica>(
    (work, number): (&Work<'_, S, R>, u64),
    hands: &impl Hands<S, R>,
    dirty: Dirty,
) -> Result<Outcome, PassError> {
    work.index.disk.begin_at((work.clock)(), work.index.indexed());
    let run = Run::begin((work, number), hands, &dirty);
    let mut tasks = run.scan(dirty)?;
    while !tasks.is_empty() {
        // Each visit scans, compares and plans one folder, and applies what need not wait.
        crew::run(work.threads, tasks, |task, more| run.visit(task, more));
        run.publish_ready();
        tasks = run.match_moves();
        run.publish_ready();
        if tasks.is_empty() {
            tasks = run.look_at_links();
        }
        if tasks.is_empty() {
            run.join_links();
            tasks = run.look_again();
        }
    }
    run.postpone_unannounced();
    run.postpone_unmounted();
    if let (true, Some(refuses)) = (run.full, &work.refuses) {
        // Looking again would not help.
        let event = Event::about(run.number, Action::Error, RelPath::root(), refuses.clone());
        run.tell(Event { error: Some(refuses.clone()), ..event });
    }
    let judgement = guard::judge(run.proposal(), &work.policy);
    match judgement {
        Judgement::Go => run.delete(),
        Judgement::Halt(_) => run.hold_deletions(),
    }
    run.record()?;
    Ok(run.report(judgement))
}

impl<'a, S: Source, R: Replica, H: Hands<S, R>> Run<'a, S, R, H> {
    fn begin((work, number): (&'a Work<'a, S, R>, u64), hands: &'a H, dirty: &Dirty) -> Self {
        let full = dirty.is_everything();
        if full {
            work.monitor.event(Event::general(number, Action::PassStart, "full"));
            work.siblings.into_iter().for_each(Siblings::forget);
            work.index.take_in_learnt();
        }
        Self {
            work,
            hands,
            full,
            announced: work.patient.map_or_else(Dirty::new, |_| dirty.clone()),
            started: Instant::now(),
            number,
            indexed: work.index.indexed(),
            round: AtomicU32::new(0),
            shelf: Shelf::new(work.held_folders),
            waiting: Mutex::new(Waiting::new()),
            tally: Mutex::default(),
            unsettled: Mutex::default(),
            failed: Mutex::default(),
            withheld: Mutex::default(),
            awaited: Mutex::default(),
            folder_waits: AtomicBool::new(false),
            linked: AtomicBool::new(false),
            ready: Mutex::default(),
            failures: work.index.disk.failures(),
            motion: Motion::default(),
        }
    }

    /// Replica first, index after: the index must never claim what a power cut could take back.
    fn record(&self) -> Result<(), PassError> {
        self.let_go_of_links();
        self.forget_replaced();
        if let Some(trash) = self.work.trash {
            // Neither stops a mirror: what is not written down cannot be taken back, what does not go goes later.
            let _ = trash.flush();
            if self.hands.must_settle_names(Some(trash.device()))
                && let Err(cause) = trash.settle()
            {
                self.fail(RelPath::root(), format!("cannot bring the trash to the disk: {}", plain(&cause)));
            }
            let _ = if self.full { trash.tidy((self.work.clock)()) } else { Ok(()) };
            if let Some(text) = trash.evicted.tell() {
                self.work.monitor.event(Event::general(self.number, Action::Skip, text));
            }
        }
        // Also what was only found equal: a pass that was killed may have left it in memory alone.
        let changed = self.tally(|tally| tally.changes()) > 0 || self.work.index.is_uncommitted();
        let before = (self.work.clock)();
        let synced = if changed { self.hands.sync() } else { Ok(()) };
        if let Err(why) = synced.and_then(|()| self.work.index.disk.failed_since(self.failures)) {
            // What is on the disk is unknown now, so what the index says of it is worth nothing. That also goes when it failed
            // earlier: told once, it may have been about what was copied beside, and says yes to that ever after.
            self.work.index.forget_all()?;
            return Err(PassError::Sync(why));
        }
        if self.work.sync {
            let everything = self.full && !self.work.stop.is_set() && self.tally(|tally| tally.is_clean());
            self.work.index.disk.took_all(before, everything);
        }
        if self.work.index.is_uncommitted() {
            self.work.index.set_indexed((self.work.clock)());
        }
        Ok(())
    }

    fn report(self, judgement: Judgement) -> Outcome {
        let tally = self.tally.into_inner().unwrap_or_default();
        let unsettled = self.unsettled.into_inner().unwrap_or_default();
        let withheld = self.withheld.into_inner().unwrap_or_default();
        let failures = self.failed.into_inner().unwrap_or_default();
        let awaited = self.awaited.into_inner().unwrap_or_default();
        let linked = self.linked.into_inner();
        let (restless, unclosed) = self.motion.into_left();
        let ending = match judgement {
            _ if self.work.stop.is_set() => Ending::Stopped,
            Judgement::Halt(over) => Ending::Halted(over),
            Judgement::Go if tally.is_clean() => Ending::Identical,
            Judgement::Go => Ending::Differs,
        };
        if let Ending::Halted(over) = &ending {
            self.work.monitor.event(Event::general(self.number, Action::Halt, over.to_string()));
        }
        if self.full {
            let event = Event::general(self.number, Action::PassEnd, summary(&tally, &ending));
            self.work.monitor.event(Event { took: Some(self.started.elapsed()), ..event });
        }
        Outcome {
            pass: self.number,
            tally,
            ending,
            failures,
            unsettled,
            restless,
            unclosed,
            withheld,
            linked,
            awaited,
        }
    }

    /// The row of a folder, as evidence for what this pass compares.
    pub(crate) fn row(&self, id: FolderId) -> Option<Row> {
        self.work.index.row(id).map(|row| row.for_xattrs(self.work.policy.xattrs))
    }

    /// Works on the tally.
    pub(crate) fn tally<T>(&self, work: impl FnOnce(&mut Tally) -> T) -> T {
        work(&mut self.tally.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Counts an event and tells the monitor of it.
    pub(crate) fn tell(&self, event: Event) {
        self.tally(|tally| {
            tally.count(event.action, event.bytes.unwrap_or(0));
            tally.in_motion += u64::from(event.best_effort);
        });
        match (event.action, &event.path) {
            (Action::Hold | Action::Skip, Some(path)) => {
                self.withheld.lock().unwrap_or_else(PoisonError::into_inner).note(path.clone());
            }
            (Action::Error, Some(path)) => {
                let failure = Failure { why: event.reason.clone(), since: (self.work.clock)() };
                self.failed.lock().unwrap_or_else(PoisonError::into_inner).note(path.clone(), failure);
            }
            _ => {}
        }
        self.work.monitor.event(event);
    }

    /// Notes that a path has to be looked at again after this pass.
    pub(crate) fn is_unsettled(&self, path: &RelPath) {
        let mut unsettled = self.unsettled.lock().unwrap_or_else(PoisonError::into_inner);
        match path.split() {
            Some((folder, name)) => unsettled.mark_name(folder, name),
            None => unsettled.absorb(Dirty::everything()),
        }
    }

    /// Leaves a path alone because it changed.
    pub(crate) fn put_off(&self, path: RelPath, reason: &str) {
        self.is_unsettled(&path);
        self.tell(Event::about(self.number, Action::Skip, path, reason));
    }

    /// Reports a path that failed.
    pub(crate) fn fail(&self, path: RelPath, error: String) {
        self.is_unsettled(&path);
        let event = Event::about(self.number, Action::Error, path, error.clone());
        self.tell(Event { error: Some(error), ..event });
    }

    /// Stops at a top folder that turns up inside a tree (through a bind mount, say): mirroring or deleting it there would
    /// eat the pair.
    pub(crate) fn refuse_roots(&self, folder: &Stamp) -> alike_storage::Result<()> {
        if self.work.roots.contains(&(folder.dev, folder.ino)) {
            let cause = "it is the top folder of the source or of a replica; exclude it";
            return Err(alike_storage::Error::of("go on here", std::io::Error::other(cause)));
        }
        Ok(())
    }

    /// True when deletions need no judgement and no evidence.
    pub(crate) fn deletes_allowed(&self) -> bool {
        self.work.policy.deletes == Deletes::Allowed
    }
}

/// The end of a pass in words.
fn summary(tally: &Tally, ending: &Ending) -> String {
    let ending = match ending {
        Ending::Identical => "identical",
        Ending::Differs => "differs",
        Ending::Halted(_) => "halted",
        Ending::Stopped => "stopped",
    };
    let counts = [
        (tally.created, "created"),
        (tally.linked, "linked"),
        (tally.updated, "updated"),
        (tally.meta, "meta"),
        (tally.renamed, "renamed"),
        (tally.folders, "mkdir"),
        (tally.deleted + tally.folders_deleted, "deleted"),
        (tally.failed, "failed"),
        (tally.held, "held"),
        (tally.skipped, "skipped"),
        (tally.in_motion, "still being written"),
    ];
    let noun = if tally.files == 1 { "file" } else { "files" };
    let mut text = format!("{ending}, {} {noun}", tally.files);
    for (count, what) in counts.into_iter().filter(|(count, _)| *count > 0) {
        text.push_str(&format!(", {count} {what}"));
    }
    text
}
