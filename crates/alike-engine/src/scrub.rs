//! The scrub: beside a mirror, all that is proven equal is read once in a period, a little at a time.
//!
//! It goes by the index, not by the trees: what still looks on both sides as the index knows it must have equal contents.
//! What looks otherwise is for a pass to compare. Nothing is copied; rot is an error in the log.

use std::collections::HashSet;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use alike_model::difference::{Change, Difference, Side, What, blame_contents};
use alike_model::entry::{Kind, Stamp, Time};
use alike_model::event::Action;
use alike_model::known::{Digest, FolderId, Known};
use alike_model::path::{Name, RelPath};
use alike_model::reason::Reason;
use alike_storage::{Error, Folder, Local, Source, linux};
use serde::{Deserialize, Serialize};

use crate::index::Index;
use crate::learnt::Learnt;
use crate::monitor::{Event, Monitor, State};
use crate::motion::is_racy;
use crate::pace::Pace;
use crate::reading::Reading;
use crate::stop::Stop;

const FILE: &str = "scrub";
/// How often it is written down how far it is.
const SAVED_EVERY: Duration = Duration::from_secs(30);
/// How long it waits for an index that is still empty.
const NOTHING_YET: Duration = Duration::from_secs(1);
const NAP: Duration = Duration::from_millis(50);
/// It is never slower than this while it reads a file: a disk that is asked for crumbs gets no rest either.
const SLOWEST: u64 = 256 * 1024;

/// Whether the scrub may read now.
#[derive(Default)]
pub(crate) struct Turn {
    /// So many passes are at work.
    taken: AtomicU32,
    over: AtomicBool,
}

impl Turn {
    /// A pass takes its turn, and gives it back.
    pub(crate) fn taken_by<T>(&self, pass: impl FnOnce() -> T) -> T {
        self.taken.fetch_add(1, Ordering::Relaxed);
        let done = pass();
        self.taken.fetch_sub(1, Ordering::Relaxed);
        done
    }

    /// The mirror is over.
    pub(crate) fn end(&self) {
        self.over.store(true, Ordering::Relaxed);
    }
}

/// What a scrub works on and with.
pub(crate) struct Scrub<'a> {
    source: &'a Local,
    replica: &'a Local,
    index: &'a Index,
    monitor: &'a dyn Monitor,
    clock: &'a (dyn Fn() -> Time + Sync),
    stop: &'a Stop,
    turn: &'a Turn,
    /// How much it found.
    found: &'a AtomicU64,
    period: Duration,
}

/// How far a round is; it outlives the process.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
struct Round {
    /// When it began, in seconds since 1970.
    began: i64,
    /// Bytes of the source that it has passed.
    done: u64,
    /// The last path that it has passed.
    cursor: Vec<u8>,
}

/// A round under way.
struct Progress {
    round: Round,
    cursor: Option<RelPath>,
    total: u64,
    learnt: Learnt,
    saved: std::time::Instant,
}

/// A folder on the way.
struct Level {
    path: RelPath,
    id: FolderId,
    entries: std::vec::IntoIter<(Name, Known)>,
    /// Both sides, once they are needed; `None` inside when they are not there.
    open: Option<Option<(Folder, Folder)>>,
}

impl<'a> Scrub<'a> {
    /// A scrub of these trees, in this time.
    pub(crate) fn new(
        (source, replica): (&'a Local, &'a Local),
        index: &'a Index,
        (monitor, clock): (&'a dyn Monitor, &'a (dyn Fn() -> Time + Sync)),
        (stop, turn, found): (&'a Stop, &'a Turn, &'a AtomicU64),
        period: Duration,
    ) -> Self {
        Self { source, replica, index, monitor, clock, stop, turn, found, period }
    }

    /// Round after round until the mirror is over.
    pub(crate) fn run(&self) {
        // Best effort: refused, it reads as everybody does.
        let _ = linux::stand_back();
        while !self.is_over() {
            let total = self.total(FolderId::ROOT);
            if total == 0 {
                self.rest(NOTHING_YET);
                continue;
            }
            let round = self.load();
            let cursor = RelPath::parse(&round.cursor).filter(|path| !path.is_root());
            let saved = std::time::Instant::now();
            let mut progress = Progress { round, cursor, total, learnt: Learnt::default(), saved };
            self.walk(&mut progress);
            if !self.is_over() {
                // What was not there to be read leaves time over.
                progress.round.done = total;
                self.wait_for_time(&progress);
                progress.round = self.fresh();
            }
            self.save(&mut progress);
        }
    }

    fn is_over(&self) -> bool {
        self.stop.is_set() || self.turn.over.load(Ordering::Relaxed)
    }

    /// Waits while a pass is at work; true when the mirror is over.
    fn wait_for_turn(&self) -> bool {
        while self.turn.taken.load(Ordering::Relaxed) > 0 && !self.is_over() {
            std::thread::sleep(NAP);
        }
        self.is_over()
    }

    fn rest(&self, time: Duration) {
        let until = std::time::Instant::now() + time;
        while !self.is_over() && std::time::Instant::now() < until {
            std::thread::sleep(NAP.min(until.saturating_duration_since(std::time::Instant::now())));
        }
    }

    fn fresh(&self) -> Round {
        Round { began: (self.clock)().secs, ..Round::default() }
    }

    fn load(&self) -> Round {
        let bytes = self.index.folder().and_then(|folder| std::fs::read(folder.join(FILE)).ok());
        let round: Option<Round> = bytes.and_then(|bytes| postcard::from_bytes(&bytes).ok());
        // A clock that was set back would stop it for as long.
        round.filter(|round| round.began <= (self.clock)().secs).unwrap_or_else(|| self.fresh())
    }

    /// Writes down how far it is, and lays aside what was learnt. Lost, it is done again.
    fn save(&self, progress: &mut Progress) {
        progress.saved = std::time::Instant::now();
        let Some(folder) = self.index.folder() else { return };
        let learnt = std::mem::take(&mut progress.learnt);
        if !learnt.is_empty() {
            let _ = learnt.lay(folder);
        }
        if let Ok(bytes) = postcard::to_allocvec(&progress.round) {
            let _ = write_whole(folder, &bytes);
        }
    }

    /// Bytes of all files that the index knows.
    fn total(&self, top: FolderId) -> u64 {
        let (mut total, mut folders, mut seen) = (0_u64, vec![top], HashSet::from([top]));
        while let Some(row) = folders.pop().filter(|_| !self.is_over()).map(|id| self.index.row(id)) {
            for (_, known) in row.into_iter().flat_map(|row| row.entries) {
                // While there is something that no pass has seen, rows may tell of one folder twice, or in a circle.
                folders.extend(known.folder.filter(|id| seen.insert(*id)));
                total += if known.kind == Kind::File { weight(&known) } else { 0 };
            }
        }
        total
    }

    /// All of it in the order of paths, so that the last path says what is done.
    fn walk(&self, progress: &mut Progress) {
        let mut levels = vec![self.level(RelPath::root(), FolderId::ROOT)];
        while let Some(level) = levels.last_mut() {
            if self.wait_for_turn() {
                return;
            }
            let Some((name, known)) = level.entries.next() else {
                levels.pop();
                continue;
            };
            let path = level.path.join(&name);
            if let Some(folder) = known.folder {
                // Held, each level would cost two descriptors.
                level.open = None;
                if levels.iter().all(|above| above.id != folder) {
                    levels.push(self.level(path, folder));
                }
            } else if known.kind == Kind::File && progress.cursor.as_ref().is_none_or(|cursor| path > *cursor)
            {
                let open = level.open.get_or_insert_with(|| self.open(&level.path));
                if let Some((source, replica)) = open {
                    self.file((&path, level.id, &name, &known), (source, replica), progress);
                }
                if self.is_over() {
                    return;
                }
                self.pass_by(&path, &known, progress);
            }
        }
    }

    fn level(&self, path: RelPath, id: FolderId) -> Level {
        let entries = self.index.row(id).unwrap_or_default().entries.into_iter();
        Level { path, id, entries, open: None }
    }

    fn pass_by(&self, path: &RelPath, known: &Known, progress: &mut Progress) {
        progress.round.done += weight(known);
        progress.round.cursor = path.as_bytes().to_vec();
        self.wait_for_time(progress);
        if progress.saved.elapsed() >= SAVED_EVERY {
            self.save(progress);
        }
    }

    /// A folder on both sides, opened one name at a time; `None` when it is not there.
    fn open(&self, path: &RelPath) -> Option<(Folder, Folder)> {
        let open = |tree: &Local| -> alike_storage::Result<Folder> {
            path.names().try_fold(tree.root()?, |folder, name| tree.open_folder(&folder, &name))
        };
        Some((open(self.source).ok()?, open(self.replica).ok()?))
    }

    fn file(
        &self,
        (path, id, name, known): (&RelPath, FolderId, &Name, &Known),
        (source, replica): (&Folder, &Folder),
        progress: &mut Progress,
    ) {
        let now = (self.clock)();
        let looks = (self.source.look(source, name), self.replica.look(replica, name));
        let (Ok(Some(original)), Ok(Some(copy))) = looks else { return };
        if !known.holds_for_source(&original) || !known.holds_for_replica(&copy) {
            return;
        }
        let read = || self.digests((source, &original), (replica, &copy), name, progress);
        // Memory and cables err as well as disks: rot counts when it was read twice.
        let digests = match read() {
            Ok((one, other)) if one != other => read(),
            other => other,
        };
        match digests {
            Ok((hash, theirs)) if hash == theirs => {
                if known.hash != Some(hash) && !is_racy(&original, now) && !is_racy(&copy, now) {
                    progress.learnt.learn(id, name, known, hash);
                }
            }
            Ok(digests) => {
                let change = blame_contents(Some(known), (&original, &copy), Some(digests));
                let what = What::Other(Reason::Content);
                self.tell(Difference { path: path.clone(), what, change });
            }
            Err((_, Error::Interrupted)) => {}
            // A pass will see what has changed.
            Err((_, error)) if error.is_changed() => {}
            Err((side, error)) => {
                let side = if side == Side::Source { "the source" } else { "the replica" };
                let what = What::Said(format!("{side}: {error}"));
                self.tell(Difference { path: path.clone(), what, change: Change::Failed });
            }
        }
    }

    fn digests(
        &self,
        (source, original): (&Folder, &Stamp),
        (replica, copy): (&Folder, &Stamp),
        name: &Name,
        progress: &Progress,
    ) -> Result<(Digest, Digest), (Side, Error)> {
        let mut content = self.source.read_file(source, name).map_err(|error| (Side::Source, error))?;
        let mut theirs = self.replica.read_file(replica, name).map_err(|error| (Side::Replica, error))?;
        // Twice as fast as it would have to be: so it makes up for time when the mirror was busy or down.
        let rate = progress.total.saturating_mul(4) / self.period.as_secs().max(1);
        let reading = Reading {
            pace: &Pace::new(Some(rate.max(SLOWEST))),
            interrupted: &|| self.wait_for_turn(),
            read: &|_| {},
        };
        reading.both((&mut content, original), (&mut theirs, copy))
    }

    fn tell(&self, difference: Difference) {
        let reason = format!("scrub: {difference}");
        let event = Event::about(0, Action::Error, difference.path, reason.clone());
        self.monitor.event(Event { error: Some(reason), ..event });
        let found = self.found.fetch_add(1, Ordering::Relaxed) + 1;
        self.monitor.state(State::Damaged { found });
    }

    /// Waits until as much of the period is over as of the bytes.
    fn wait_for_time(&self, progress: &Progress) {
        #[allow(clippy::cast_precision_loss, reason = "a pace is no exact thing")]
        let share = progress.round.done.min(progress.total) as f64 / progress.total.max(1) as f64;
        let due = self.period.mul_f64(share);
        let is_early = || {
            let now = (self.clock)();
            let gone = u64::try_from(now.secs - progress.round.began).unwrap_or(0);
            due.saturating_sub(Duration::new(gone, now.nanos))
        };
        while !is_early().is_zero() && !self.is_over() {
            self.rest(is_early().min(SAVED_EVERY));
        }
    }
}

/// What a file counts for: its bytes, and something for being opened.
fn weight(known: &Known) -> u64 {
    known.source.size + 4096
}

fn write_whole(folder: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let beside = folder.join("scrub.new");
    std::fs::write(&beside, bytes)?;
    std::fs::rename(beside, folder.join(FILE))
}
