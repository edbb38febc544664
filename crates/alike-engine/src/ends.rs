//! Both ends of a pair as they are found, and what is refused at once: found by path a single time, and held from then on.

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use alike_model::filter::Filter;
use alike_model::holds::Holds;
use alike_model::path::{OWN_FOLDER, RelPath};
use alike_model::policy::{Deletes, MaxDelete};
use alike_storage::{Folder, Local, Source, linux};

use crate::marker::{Held, Marker, describe, read_marker, read_state, same_filesystem};
use crate::pair::Spec;
use crate::refusal::Refusal;

/// Both ends as they are found, before anything is made or opened for good.
pub(crate) struct Ends {
    pub(crate) source_path: PathBuf,
    pub(crate) source: Local,
    pub(crate) found: Found,
    /// The pair's folder in the state, and what it remembers.
    pub(crate) state: PathBuf,
    pub(crate) before: Option<Marker>,
    /// What marks the replica.
    pub(crate) marker: Option<Marker>,
}

impl Ends {
    pub(crate) fn find(spec: &Spec) -> Result<Self, Refusal> {
        Self::with(spec, find_replica(&spec.replica))
    }

    pub(crate) fn with(spec: &Spec, found: Result<Found, Refusal>) -> Result<Self, Refusal> {
        let (source_path, source) = open_source(&spec.source)?;
        let found = found?;
        refuse_same_or_nested(&source_path, &found, &spec.filter)?;
        let state = state_folder(spec, &source_path, &found.path);
        let before = read_state(&state)?;
        refuse_unmounted(before.as_ref(), &found, &state)?;
        let marker_at = found.path.join(".alike/pair.json");
        let marker = match found.own().map_err(|why| Refusal::MarkerUnreadable(marker_at.clone(), why))? {
            Some(own) => {
                read_marker(&own.path().join("pair.json")).map_err(|error| error.about(&marker_at))?
            }
            None => None,
        };
        if before.is_none() && marker.is_none() {
            refuse_without_its_drive(&found)?;
        }
        Ok(Self { source_path, source, found, state, before, marker })
    }

    /// Refuses a replica that is another source's, and a source that was emptied; returns what the pair is now.
    pub(crate) fn refuse_strangers(&self, spec: &Spec, replica: &Local) -> Result<Marker, Refusal> {
        let now = describe((&self.source_path, &self.source), (&self.found.path, replica))?;
        refuse_other_source(self.marker.as_ref(), &now, &self.found.path)?;
        refuse_emptied(spec, &self.source, replica)?;
        Ok(now)
    }

    /// What the replica held when somebody with the same rights last worked on it, and does not now.
    pub(crate) fn refused(&self, holds: &Holds) -> Vec<String> {
        let before = self.before.as_ref().filter(|_| self.is_known()).and_then(|before| before.held.as_ref());
        before.map(|before| Held::of(holds).gone_since(before)).unwrap_or_default()
    }

    /// True when state and replica are of one pair.
    pub(crate) fn is_known(&self) -> bool {
        self.before.as_ref().zip(self.marker.as_ref()).is_some_and(|(one, other)| one.id == other.id)
    }
}

/// Refuses a replica that nobody has seen yet where a drive belongs that is not mounted: it would fill the disk below.
fn refuse_without_its_drive(found: &Found) -> Result<(), Refusal> {
    match linux::unmounted_above(&found.path) {
        Some(point) => Err(Refusal::DriveAway { replica: found.path.clone(), point }),
        None => Ok(()),
    }
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
    pub(crate) nearest: Local,
}

impl Found {
    /// alike's own folder on the replica, when it is there. Its path leads to what was found first, whatever takes its name.
    pub(crate) fn own(&self) -> io::Result<Option<Folder>> {
        if self.exists { self.nearest.find_own_folder() } else { Ok(None) }
    }
}

pub(crate) fn find_replica(path: &Path) -> Result<Found, Refusal> {
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

/// Where a path leads, one name after the other: also through links to what is not there, and on from there.
///
/// # Errors
/// When it is relative and the current folder is not to be had, or when it is empty.
pub fn foreseen(path: &Path) -> io::Result<PathBuf> {
    // As many as the kernel follows.
    const MOST_LINKS: usize = 40;
    let mut links = 0;
    let mut at = PathBuf::new();
    let mut rest = std::path::absolute(path)?;
    loop {
        let mut parts = rest.components();
        let Some(part) = parts.next() else { return Ok(at) };
        let mut then = parts.as_path().to_owned();
        match part {
            Component::ParentDir => drop(at.pop()),
            part => at.push(part),
        }
        if let (Component::Normal(_), Ok(to)) = (part, at.read_link())
            && links < MOST_LINKS
        {
            links += 1;
            at.pop();
            then = to.join(then);
        }
        rest = then;
    }
}

/// Refuses a replica that is the source, lies in it or around it, as far as both are there.
pub(crate) fn refuse_nested_in_source(spec: &Spec) -> Result<(), Refusal> {
    match (open_source(&spec.source), find_replica(&spec.replica)) {
        (Ok((source, _)), Ok(found)) => refuse_same_or_nested(&source, &found, &spec.filter),
        // What is wrong with it, whoever opens the pair says.
        _ => Ok(()),
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
pub(crate) fn refuse_emptied(spec: &Spec, source: &Local, replica: &Local) -> Result<(), Refusal> {
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
