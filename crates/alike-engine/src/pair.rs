//! A source and a replica that belong together: found, told apart from every other, refused or locked.
//!
//! Both ends have an identity that outlives a reboot: the filesystem's id. The replica carries a marker that says whose
//! replica it is; the state says on which filesystem the replica was. A drive that is not mounted is found by these two
//! before anything is written or deleted.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use alike_model::dirty::Dirty;
use alike_model::filter::Filter;
use alike_model::holds::Holds;
use alike_model::outcome::{Ending, Outcome};
use alike_model::path::OWN_FOLDER;
use alike_model::policy::{Deletes, Policy};
use alike_storage::{Local, Saving, Source, linux};

use crate::ends::{Ends, Found, find_replica, refuse_emptied};
use crate::failing::Failing;
use crate::hold::{is_held, refuse_held};
use crate::index::Index;
use crate::marker::{Held, Marker, write_marker};
use crate::mend::clear_aside;
use crate::pass::Top;
use crate::refusal::Refusal;
use crate::remembered::CommandLine;
use crate::trash::Trash;

/// What a pair is made from.
#[derive(Clone, Debug)]
pub struct Spec {
    /// The source's path.
    pub source: PathBuf,
    /// The replica's path; need not exist.
    pub replica: PathBuf,
    /// The folder that holds the state of all pairs.
    pub state: PathBuf,
    /// The filters: a replica inside the source must be excluded by them.
    pub filter: Filter,
    /// What may be deleted: an emptied source is refused unless all may.
    pub deletes: Deletes,
    /// How contents come to the replica.
    pub saving: Saving,
    /// How long what is taken away is kept; `None`: it goes for good.
    pub keep: Option<Duration>,
    /// What is remembered of this run.
    pub command_line: Option<CommandLine>,
}

/// Both ends, open, checked and (unless for a rehearsal) locked.
pub struct Pair {
    /// The source.
    pub source: Local,
    /// The replica; where it does not exist yet, a stand-in that is never touched.
    pub replica: Local,
    /// Whether its top folder was there before.
    pub replica_top: Top,
    /// What is known of both.
    pub index: Index,
    /// Inodes of both top folders.
    pub roots: [(u64, u64); 2],
    /// The mounts through which both were opened.
    mounts: [Option<u64>; 2],
    /// Where what is taken away goes.
    pub trash: Option<Trash>,
    /// What failed in the last passes; nobody keeps that in a rehearsal.
    failing: Option<Failing>,
    /// What the replica can hold.
    pub holds: Holds,
    /// What it held of that when somebody with the same rights last worked on it, and does not now.
    pub(crate) refuses: Vec<String>,
    /// The source has a `.alike` of its own at the top, which is left out.
    source_has_own_folder: bool,
    /// Held as long as the pair is.
    _lock: Option<File>,
}

impl Pair {
    /// Opens a pair to work on it: makes the replica's folder, marks and locks it.
    ///
    /// # Errors
    /// When it is refused.
    pub fn open(spec: &Spec) -> Result<Self, Refusal> {
        // The replica and alike's own folder on it are opened once: what takes their names meanwhile is not written to.
        let found = find_replica(&spec.replica);
        found.iter().for_each(complete_changes);
        let ends = Ends::with(spec, found)?;
        let Ends { found, state, .. } = &ends;
        let unusable = |why| Refusal::ReplicaUnusable(found.path.clone(), why);
        if let Some(own) = found.own().map_err(unusable)? {
            refuse_held(&own.path(), &found.path)?;
        }
        make_replica(&found.path).map_err(unusable)?;
        let replica = if found.exists { found.nearest.twin() } else { Local::open(&found.path) };
        let replica = replica.map_err(unusable)?;
        let now = ends.refuse_strangers(spec, &replica)?;
        let own_folder = replica.own_folder().map_err(unusable)?;
        let own = own_folder.path();
        let lock = lock(&own, &found.path)?;
        // Whoever takes a pass back first holds the replica, then takes the lock.
        refuse_held(&own, &found.path)?;
        replica.clear_staging().map_err(unusable)?;
        clear_aside(&own_folder).map_err(unusable)?;
        let known = match &ends.marker {
            Some(marker) => Marker { id: marker.id.clone(), ..now },
            None => now,
        };
        let state_failed = |why| Refusal::StateUnusable(state.clone(), why);
        make_private(state).map_err(state_failed)?;
        write_marker(&own.join("pair.json"), ends.marker.as_ref(), &known).map_err(unusable)?;
        let holds = replica.holds(true);
        let refuses = ends.refused(&holds);
        let remembered = Marker { held: Some(Held::of(&holds).and(&refuses)), ..known.clone() };
        write_marker(&state.join("pair.json"), ends.before.as_ref(), &remembered).map_err(state_failed)?;
        // Who asks later why a path is where it is does without, if need be.
        spec.command_line.iter().for_each(|line| drop(line.write(state)));
        let index = Index::open(state, true)?;
        if ends.before.as_ref().is_none_or(|before| before.id != known.id) {
            index.forget_all()?;
        }
        let top = if found.exists { Top::There } else { Top::Made };
        let trash = spec.keep.map(|keep| Trash::of(own_folder, keep)).transpose().map_err(unusable)?;
        let last = |trash: &Trash| trash.last_pass(!index.knows_of_passes());
        index.begin_after(trash.as_ref().map_or(Ok(0), last).map_err(unusable)?);
        let pair = Self::new(ends.source, replica.with(spec.saving), (top, holds), index, Some(lock))?;
        Ok(Self { trash, refuses, ..pair })
    }

    /// Opens a pair to rehearse a pass: the same refusals, and nothing is made, marked or written.
    ///
    /// # Errors
    /// When it is refused.
    pub fn open_to_rehearse(spec: &Spec) -> Result<Self, Refusal> {
        let ends = Ends::find(spec)?;
        let Ends { found, state, .. } = &ends;
        if !found.exists {
            let index = Index::open(&state.join("none"), false)?;
            let stand_in = Local::open(&ends.source_path)
                .map_err(|why| Refusal::SourceUnreadable(ends.source_path.clone(), why))?;
            return Self::new(ends.source, stand_in, (Top::Absent, Holds::default()), index, None);
        }
        let replica =
            Local::open(&found.path).map_err(|why| Refusal::ReplicaUnusable(found.path.clone(), why))?;
        let own = found.own().map_err(|why| Refusal::ReplicaUnusable(found.path.clone(), why))?;
        let lock = match own.map(|own| own.path()).filter(|own| own.join("lock").exists()) {
            Some(own) => Some(lock(&own, &found.path)?),
            None => None,
        };
        ends.refuse_strangers(spec, &replica)?;
        let index = Index::open(&if ends.is_known() { state.clone() } else { state.join("none") }, false)?;
        let holds = replica.holds(false);
        let refuses = ends.refused(&holds);
        Ok(Self { refuses, ..Self::new(ends.source, replica, (Top::There, holds), index, lock)? })
    }

    /// True while both paths still lead to the folders that are open, and nobody holds the replica.
    #[must_use]
    pub fn is_in_place(&self, spec: &Spec) -> bool {
        use std::os::unix::fs::MetadataExt;
        let inode = |path: &Path| fs::metadata(path).ok().map(|meta| (meta.dev(), meta.ino()));
        let ends = [&spec.source, &spec.replica];
        // A drive that was away for a moment has the same inodes, and what is open leads past what is mounted on it now.
        ends.map(|path| inode(path)) == self.roots.map(Some)
            && ends.map(|path| linux::mount_of(path).ok()) == self.mounts
            && !is_held(&spec.replica)
    }

    /// Refuses a source that has become empty while the replica has not.
    ///
    /// # Errors
    /// When that is so, or cannot be told.
    pub fn refuse_emptied(&self, spec: &Spec) -> Result<(), Refusal> {
        refuse_emptied(spec, &self.source, &self.replica)
    }

    pub(crate) fn new(
        source: Local,
        replica: Local,
        (replica_top, holds): (Top, Holds),
        index: Index,
        lock: Option<File>,
    ) -> Result<Self, Refusal> {
        let root = |tree: &Local| -> Result<(u64, u64), alike_storage::Error> {
            let stamp = tree.stamp(&tree.root()?)?;
            Ok((stamp.dev, stamp.ino))
        };
        let source_root = root(&source).map_err(Refusal::Look)?;
        let replica_root =
            if replica_top == Top::Absent { source_root } else { root(&replica).map_err(Refusal::Look)? };
        let source_has_own_folder = has_own_folder(&source);
        let roots = [source_root, replica_root];
        let mounts = [&source, &replica].map(|tree| linux::mount_and_time(tree.descriptor()).ok());
        let mounts = mounts.map(|found| found.map(|(mount, _)| mount));
        let (trash, failing) = (None, index.folder().map(Failing::of));
        Ok(Self {
            source,
            replica,
            replica_top,
            index,
            roots,
            mounts,
            trash,
            failing,
            holds,
            refuses: Vec::new(),
            source_has_own_folder,
            _lock: lock,
        })
    }

    /// What is wanted, and the target held it when somebody with the same rights last worked on it, but refuses it now: what differs in it is
    /// neither seen nor mended, so nothing may be called identical.
    #[must_use]
    pub fn refuses(&self, policy: &Policy) -> Option<String> {
        let lacks = self.holds.lacks(policy);
        let refused: Vec<&str> =
            self.refuses.iter().filter(|what| lacks.contains(what)).map(String::as_str).collect();
        let what = refused.join(", ");
        (!refused.is_empty()).then(|| {
            format!("the target held {what} before and refuses it now; if it shall go without, give --no-owner or --no-xattrs")
        })
    }

    /// A pass that was to look at `looked` came to this: what fails now is kept for who asks why.
    pub fn keep_failures(&self, looked: &Dirty, outcome: &Outcome) {
        // One that was stopped may have looked at none of it.
        let none = Dirty::new();
        let looked = if outcome.ending == Ending::Stopped { &none } else { looked };
        self.failing
            .iter()
            .for_each(|failing| failing.end_pass((looked, &outcome.awaited), outcome.failures.clone()));
    }

    /// What people should know before the first pass, a line each.
    #[must_use]
    pub fn notes(&self, policy: &Policy) -> Vec<String> {
        let own = "the source has a .alike of its own at the top; it is left out".to_owned();
        let lacks = self.holds.lacks(policy);
        let lacks = (!lacks.is_empty()).then(|| format!("this target cannot hold: {}", lacks.join(", ")));
        self.source_has_own_folder.then_some(own).into_iter().chain(lacks).collect()
    }
}

/// Completes a change in place that broke off, before anything is refused: the source may be gone for good, and the replica
/// shall be whole all the same. What cannot be done now is compared by the next pass.
fn complete_changes(replica: &Found) {
    if let Ok(Some(own)) = replica.own()
        && own.path().join("staging").is_dir()
        && let Ok(_lock) = lock(&own.path(), &replica.path)
    {
        let _ = replica.nearest.complete_changes();
    }
}

fn has_own_folder(source: &Local) -> bool {
    let own = alike_model::path::Name::new(OWN_FOLDER);
    own.is_some_and(|own| {
        source.root().and_then(|root| source.look(&root, &own)).is_ok_and(|found| found.is_some())
    })
}

/// Makes a folder that only its owner may enter: the index has the names of files in folders that are closed to others.
fn make_private(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(path)
}

/// Makes the replica's folder, closed to others until its own mode is set, and the folders above it.
fn make_replica(path: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    if let Some(above) = path.parent() {
        fs::create_dir_all(above)?;
    }
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Err(why) if why.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

/// Takes the replica's lock.
pub(crate) fn lock(own: &Path, replica: &Path) -> Result<File, Refusal> {
    use std::os::unix::fs::OpenOptionsExt;
    let failed = |why| Refusal::ReplicaUnusable(replica.to_owned(), why);
    // Opened so that nothing is written when it is there: a pass with nothing to do leaves no trace.
    let file = File::options()
        .custom_flags(linux::NO_FOLLOW)
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .open(own.join("lock"))
        .map_err(failed)?;
    let mut locked = file.try_lock();
    if matches!(locked, Err(TryLockError::WouldBlock)) {
        // A check that looks whether somebody is at work holds it for a moment.
        std::thread::sleep(Duration::from_millis(20));
        locked = file.try_lock();
    }
    match locked {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Refusal::InUse(replica.to_owned())),
        Err(TryLockError::Error(why)) => Err(failed(why)),
    }
}
