//! A source and a replica that belong together: found, told apart from every other, refused or locked.
//!
//! Both ends have an identity that outlives a reboot: the filesystem's id. The replica carries a marker that says whose
//! replica it is; the state says on which filesystem the replica was. A drive that is not mounted is found by these two
//! before anything is written or deleted.

use std::fs::{self, File, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use alike_model::filter::Filter;
use alike_model::holds::Holds;
use alike_model::path::{OWN_FOLDER, RelPath};
use alike_model::policy::{Deletes, MaxDelete, Policy};
use alike_storage::{Local, Saving, Source, linux};

use crate::hold::{is_held, refuse_held};
use crate::index::Index;
use crate::marker::{Marker, describe, read_marker, read_state, same_filesystem, write_marker};
use crate::pass::Top;
use crate::refusal::Refusal;
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
    /// Where what is taken away goes.
    pub trash: Option<Trash>,
    /// What the replica can hold.
    pub holds: Holds,
    /// The source has a `.alike` of its own at the top, which is left out.
    source_has_own_folder: bool,
    /// Held as long as the pair is.
    _lock: Option<File>,
}

/// Both ends as they are found, before anything is made or opened for good.
pub(crate) struct Ends {
    pub(crate) source_path: PathBuf,
    pub(crate) source: Local,
    pub(crate) found: Found,
    /// The pair's folder in the state, and what it remembers.
    pub(crate) state: PathBuf,
    before: Option<Marker>,
    /// alike's own folder on the replica, and what marks it.
    own: PathBuf,
    marker: Option<Marker>,
}

impl Ends {
    pub(crate) fn find(spec: &Spec) -> Result<Self, Refusal> {
        let (source_path, source) = open_source(&spec.source)?;
        let found = find_replica(&spec.replica)?;
        refuse_same_or_nested(&source_path, &found, &spec.filter)?;
        let state = state_folder(spec, &source_path, &found.path);
        let before = read_state(&state)?;
        refuse_unmounted(before.as_ref(), &found, &state)?;
        let own = found.path.join(".alike");
        let marker = read_marker(&own.join("pair.json"))?;
        Ok(Self { source_path, source, found, state, before, own, marker })
    }

    /// Refuses a replica that is another source's, and a source that was emptied; returns what the pair is now.
    pub(crate) fn refuse_strangers(&self, spec: &Spec, replica: &Local) -> Result<Marker, Refusal> {
        let now = describe((&self.source_path, &self.source), (&self.found.path, replica))?;
        refuse_other_source(self.marker.as_ref(), &now, &self.found.path)?;
        refuse_emptied(spec, &self.source, replica)?;
        Ok(now)
    }

    /// True when state and replica are of one pair.
    pub(crate) fn is_known(&self) -> bool {
        self.before.as_ref().zip(self.marker.as_ref()).is_some_and(|(one, other)| one.id == other.id)
    }
}

impl Pair {
    /// Opens a pair to work on it: makes the replica's folder, marks and locks it.
    ///
    /// # Errors
    /// When it is refused.
    pub fn open(spec: &Spec) -> Result<Self, Refusal> {
        complete_changes(&spec.replica);
        let ends = Ends::find(spec)?;
        let Ends { found, own, state, .. } = &ends;
        refuse_held(own, &found.path)?;
        let unusable = |why| Refusal::ReplicaUnusable(found.path.clone(), why);
        make_replica(&found.path).map_err(unusable)?;
        let replica = Local::open(&found.path).map_err(unusable)?;
        let now = ends.refuse_strangers(spec, &replica)?;
        let own_folder = replica.own_folder().map_err(unusable)?;
        let lock = lock(own, &found.path)?;
        // Whoever takes a pass back first holds the replica, then takes the lock.
        refuse_held(own, &found.path)?;
        replica.clear_staging().map_err(unusable)?;
        let known = match &ends.marker {
            Some(marker) => Marker { id: marker.id.clone(), ..now },
            None => now,
        };
        let state_failed = |why| Refusal::StateUnusable(state.clone(), why);
        make_private(state).map_err(state_failed)?;
        write_marker(&own.join("pair.json"), ends.marker.as_ref(), &known).map_err(unusable)?;
        write_marker(&state.join("pair.json"), ends.before.as_ref(), &known).map_err(state_failed)?;
        let index = Index::open(state, true)?;
        if ends.before.as_ref().is_none_or(|before| before.id != known.id) {
            index.forget_all()?;
        }
        let top = if found.exists { Top::There } else { Top::Made };
        let holds = replica.holds(true);
        let trash = spec.keep.map(|keep| Trash::of(own_folder, keep)).transpose().map_err(unusable)?;
        index.begin_after(trash.as_ref().map_or(Ok(0), Trash::last_pass).map_err(unusable)?);
        let pair = Self::new(ends.source, replica.with(spec.saving), (top, holds), index, Some(lock))?;
        Ok(Self { trash, ..pair })
    }

    /// Opens a pair to rehearse a pass: the same refusals, and nothing is made, marked or written.
    ///
    /// # Errors
    /// When it is refused.
    pub fn open_to_rehearse(spec: &Spec) -> Result<Self, Refusal> {
        let ends = Ends::find(spec)?;
        let Ends { found, own, state, .. } = &ends;
        if !found.exists {
            let index = Index::open(&state.join("none"), false)?;
            let stand_in = Local::open(&ends.source_path)
                .map_err(|why| Refusal::SourceUnreadable(ends.source_path.clone(), why))?;
            return Self::new(ends.source, stand_in, (Top::Absent, Holds::default()), index, None);
        }
        let replica =
            Local::open(&found.path).map_err(|why| Refusal::ReplicaUnusable(found.path.clone(), why))?;
        let lock = if own.join("lock").exists() { Some(lock(own, &found.path)?) } else { None };
        ends.refuse_strangers(spec, &replica)?;
        let index = Index::open(&if ends.is_known() { state.clone() } else { state.join("none") }, false)?;
        let holds = replica.holds(false);
        Self::new(ends.source, replica, (Top::There, holds), index, lock)
    }

    /// True while both paths still lead to the folders that are open, and nobody holds the replica.
    #[must_use]
    pub fn is_in_place(&self, spec: &Spec) -> bool {
        use std::os::unix::fs::MetadataExt;
        let inode = |path: &Path| fs::metadata(path).ok().map(|meta| (meta.dev(), meta.ino()));
        [inode(&spec.source), inode(&spec.replica)] == self.roots.map(Some) && !is_held(&spec.replica)
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
        let trash = None;
        Ok(Self {
            source,
            replica,
            replica_top,
            index,
            roots,
            trash,
            holds,
            source_has_own_folder,
            _lock: lock,
        })
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
fn complete_changes(replica: &Path) {
    let own = replica.join(".alike");
    if own.join("staging").is_dir()
        && let (Ok(replica), Ok(_lock)) = (Local::open(replica), lock(&own, replica))
    {
        let _ = replica.complete_changes();
    }
}

fn has_own_folder(source: &Local) -> bool {
    let own = alike_model::path::Name::new(OWN_FOLDER);
    own.is_some_and(|own| {
        source.root().and_then(|root| source.look(&root, &own)).is_ok_and(|found| found.is_some())
    })
}

fn open_source(path: &Path) -> Result<(PathBuf, Local), Refusal> {
    let whole = match path.canonicalize() {
        Ok(whole) => whole,
        Err(why) if why.kind() == io::ErrorKind::NotFound => {
            return Err(Refusal::SourceMissing(path.to_owned()));
        }
        Err(why) => return Err(Refusal::SourceUnreadable(path.to_owned(), why)),
    };
    if !whole.is_dir() {
        return Err(Refusal::SourceNoFolder(path.to_owned()));
    }
    let source = Local::open(&whole).map_err(|why| Refusal::SourceUnreadable(path.to_owned(), why))?;
    Ok((whole, source))
}

/// Where the replica is or will be.
pub(crate) struct Found {
    pub(crate) path: PathBuf,
    pub(crate) exists: bool,
    /// What is open: the replica, or the nearest folder above it that exists.
    nearest: Local,
}

fn find_replica(path: &Path) -> Result<Found, Refusal> {
    let unusable = |why| Refusal::ReplicaUnusable(path.to_owned(), why);
    if let Ok(whole) = path.canonicalize() {
        if !whole.is_dir() {
            return Err(Refusal::ReplicaNoFolder(path.to_owned()));
        }
        let nearest = Local::open(&whole).map_err(unusable)?;
        return Ok(Found { path: whole, exists: true, nearest });
    }
    if path.symlink_metadata().is_ok() {
        return Err(Refusal::ReplicaNoFolder(path.to_owned()));
    }
    let absolute = std::path::absolute(path).map_err(unusable)?;
    for above in absolute.ancestors().skip(1) {
        match above.canonicalize() {
            Ok(whole) if whole.is_dir() => {
                let rest = absolute.strip_prefix(above).unwrap_or(&absolute);
                let nearest = Local::open(&whole).map_err(unusable)?;
                return Ok(Found { path: whole.join(rest), exists: false, nearest });
            }
            Ok(whole) => return Err(Refusal::ReplicaNoFolder(whole)),
            Err(why) if why.kind() == io::ErrorKind::NotFound => {}
            Err(why) => return Err(unusable(why)),
        }
    }
    Err(unusable(io::ErrorKind::NotFound.into()))
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

fn refuse_same_or_nested(source: &Path, replica: &Found, filter: &Filter) -> Result<(), Refusal> {
    use std::os::unix::ffi::OsStrExt;
    use std::os::unix::fs::MetadataExt;
    let inode = |path: &Path| fs::metadata(path).ok().map(|meta| (meta.dev(), meta.ino()));
    if replica.path == *source || (replica.exists && inode(&replica.path) == inode(source)) {
        return Err(Refusal::Same(source.to_owned()));
    }
    let excluded = |rest: &Path| {
        RelPath::parse(rest.as_os_str().as_bytes())
            .is_some_and(|path| filter.excludes_with_parents(&path, true))
    };
    let (inside, around) = (nested(source, &replica.path), nested(&replica.path, source));
    if let Some(rest) = inside.filter(|rest| !excluded(rest)) {
        return Err(Refusal::ReplicaInside { path: replica.path.clone(), exclude: rest });
    }
    if let Some(rest) = around.filter(|rest| !excluded(rest)) {
        return Err(Refusal::SourceInside { path: source.to_owned(), exclude: rest });
    }
    Ok(())
}

/// The path of `inner` below `outer`, when it lies there: by name, or through a bind mount.
fn nested(outer: &Path, inner: &Path) -> Option<PathBuf> {
    let by_name = inner.strip_prefix(outer).ok().map(Path::to_owned);
    by_name.or_else(|| {
        let (outer_device, outer) = linux::path_in_filesystem(outer)?;
        let (device, inner) = linux::path_in_filesystem(inner)?;
        let rest = inner.strip_prefix(outer).ok().filter(|_| device == outer_device)?;
        Some(rest.to_owned())
    })
}

/// The replica's drive: the filesystem on which the replica is or would be made must be the one it was on.
fn refuse_unmounted(before: Option<&Marker>, replica: &Found, state: &Path) -> Result<(), Refusal> {
    let Some(before) = before else { return Ok(()) };
    let now =
        replica.nearest.filesystem_id().map_err(|why| Refusal::ReplicaUnusable(replica.path.clone(), why))?;
    if same_filesystem(&now, &before.replica_filesystem) {
        return Ok(());
    }
    Err(Refusal::ReplicaElsewhere { replica: replica.path.clone(), state: state.to_owned() })
}

fn refuse_other_source(marker: Option<&Marker>, now: &Marker, replica: &Path) -> Result<(), Refusal> {
    let Some(marker) = marker else { return Ok(()) };
    let same_disk = same_filesystem(&marker.source_filesystem, &now.source_filesystem);
    if marker.source != now.source && !(same_disk && marker.source_inode == now.source_inode) {
        return Err(Refusal::OtherSource { replica: replica.to_owned(), of: marker.source.clone() });
    }
    if !same_disk {
        return Err(Refusal::SourceElsewhere { is: now.source.clone(), replica: replica.to_owned() });
    }
    Ok(())
}

/// An empty source is more often an unmounted or half-mounted one than a wish.
fn refuse_emptied(spec: &Spec, source: &Local, replica: &Local) -> Result<(), Refusal> {
    if !matches!(spec.deletes, Deletes::Within(_)) {
        return Ok(());
    }
    let holds = |tree: &Local, most: u64| count_entries(tree, &spec.filter, most).map_err(Refusal::Look);
    if holds(source, 1)? == 0 && holds(replica, MaxDelete::ALWAYS_FINE)? >= MaxDelete::ALWAYS_FINE {
        return Err(Refusal::SourceEmptied(spec.source.clone()));
    }
    Ok(())
}

/// Counts entries that are not excluded, up to `most`.
fn count_entries(tree: &Local, filter: &Filter, most: u64) -> Result<u64, alike_storage::Error> {
    let mut count = 0;
    let mut folders = vec![(tree.root()?, RelPath::root())];
    while let Some((folder, path)) = folders.pop() {
        for entry in tree.list(&folder)? {
            let is_folder =
                entry.look.as_ref().is_ok_and(|stamp| stamp.kind == alike_model::entry::Kind::Folder);
            let own = path.is_root() && entry.name.as_bytes() == OWN_FOLDER;
            if own || filter.excludes(&path, &entry.name, is_folder) {
                continue;
            }
            count += 1;
            if count >= most {
                return Ok(count);
            }
            if is_folder && let Ok(below) = tree.open_folder(&folder, &entry.name) {
                folders.push((below, path.join(&entry.name)));
            }
        }
    }
    Ok(count)
}

/// Takes the replica's lock.
pub(crate) fn lock(own: &Path, replica: &Path) -> Result<File, Refusal> {
    let failed = |why| Refusal::ReplicaUnusable(replica.to_owned(), why);
    // Opened so that nothing is written when it is there: a pass with nothing to do leaves no trace.
    let file = File::options()
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

/// One folder a pair, found by both paths; its name starts with the replica's for people who look.
fn state_folder(spec: &Spec, source: &Path, replica: &Path) -> PathBuf {
    use std::os::unix::ffi::OsStrExt;
    let mut hasher = blake3::Hasher::new();
    hasher.update(source.as_os_str().as_bytes()).update(&[0]).update(replica.as_os_str().as_bytes());
    let name: String = replica
        .file_name()
        .map(|name| name.to_string_lossy().chars().filter(|ch| ch.is_ascii_alphanumeric()).take(32).collect())
        .unwrap_or_default();
    spec.state.join(format!("{name}-{}", &hasher.finalize().to_hex()[..16]))
}
