//! The walk of a check: folders opened on both sides, listed and sorted out.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use alike_model::compare::{Finding, Verdict, compare_folder};
use alike_model::difference::{Change, blame, difference_of};
use alike_model::entry::{Entry, Kind, Stamp, Time};
use alike_model::known::{FolderId, Row};
use alike_model::path::{Name, OWN_FOLDER, RelPath};
use alike_model::policy::{Compare, Policy};
use alike_storage::{Error, Replica, Result, Source};

use crate::check::{Batch, Print, Task, Walk};
use crate::crew::Tasks;
use crate::error::PassError;
use crate::ignore_files::read_ignore_files;
use crate::place::{Here, Opened, Place};
use crate::walk::is_rules;

impl<S: Source, R: Replica> Walk<'_, S, R> {
    pub(crate) fn open_root(&self) -> std::result::Result<Here<S, R>, PassError> {
        let (original, copy) = (self.check.source, self.check.replica);
        let source = original.root().map_err(PassError::Source)?;
        let replica = copy.root().map_err(PassError::Replica)?;
        let filter = read_ignore_files(original, &source, self.check.filter, &RelPath::root);
        let (filter, _) = filter.map_err(PassError::Source)?;
        let opened = self.opened(source, replica).map_err(PassError::Source)?;
        Ok(Place::new(None, opened, FolderId::ROOT, filter))
    }

    fn opened(&self, source: S::Folder, replica: R::Folder) -> Result<Opened<S, R>> {
        let which = self.check.policy.xattrs;
        let source_stamp = self.check.source.stamp(&source)?;
        let replica_stamp = Some(self.check.replica.stamp(&replica)?);
        let wanted = self.check.source.folder_xattrs(&source, which)?;
        let xattrs = self.check.replica.folder_xattrs(&replica, which)?.differ_from(&wanted);
        Ok(Opened { source, replica: Some(replica), source_stamp, replica_stamp, xattrs, filter_there: None })
    }

    pub(crate) fn visit(&self, task: Task<S, R>, more: &Tasks<Task<S, R>>) {
        if self.check.stop.is_set() {
            return;
        }
        match task {
            Task::Enter { parent, name, id, only_itself } => match self.enter(&parent, &name, id) {
                Ok(place) => {
                    self.compare_folder_attributes(&place, Some((&parent, &name)));
                    let elsewhere = place.source_stamp.dev != parent.source_stamp.dev;
                    drop(parent);
                    if !(only_itself || self.check.policy.one_filesystem && elsewhere) {
                        self.list(&place, more);
                    }
                }
                Err(error) => self.failed(&parent, &name, (None, None), None, &error),
            },
            Task::List(place) => self.list(&place, more),
            Task::Again(place, before) => self.look(&place, before, more),
            Task::Compare(batch) => self.compare(batch),
        }
    }

    fn enter(&self, parent: &Here<S, R>, name: &Name, id: Option<FolderId>) -> Result<Here<S, R>> {
        let (original, copy) = (self.check.source, self.check.replica);
        let source = original.open_folder(&*parent.source(original)?, name)?;
        let replica = copy.open_folder(&*parent.replica(copy)?, name)?;
        let path = || parent.path().join(name);
        let (filter, _) = read_ignore_files(original, &source, &parent.filter, &path)?;
        let opened = self.opened(source, replica)?;
        let stamps = [Some(&opened.source_stamp), opened.replica_stamp.as_ref()];
        if stamps.into_iter().flatten().any(|stamp| self.check.roots.contains(&(stamp.dev, stamp.ino))) {
            let cause = "it is the top folder of the source or the replica; exclude it";
            return Err(Error::of("go on here", std::io::Error::other(cause)));
        }
        let id = id.unwrap_or_else(|| self.check.index.new_folder());
        let place = Place::new(Some((Arc::clone(parent), name.clone())), opened, id, filter);
        self.shelf.put(&place);
        Ok(place)
    }

    fn list(&self, place: &Here<S, R>, more: &Tasks<Task<S, R>>) {
        let now = (self.check.clock)();
        let (original, copy) = (self.check.source, self.check.replica);
        let lists = || Ok((original.list(&*place.source(original)?)?, copy.list(&*place.replica(copy)?)?));
        match lists() {
            Ok((mut source, mut replica)) => {
                if place.parent.is_none() {
                    source.retain(|entry| entry.name.as_bytes() != OWN_FOLDER);
                    replica.retain(|entry| entry.name.as_bytes() != OWN_FOLDER);
                }
                self.check.monitor.looked(source.len() as u64);
                let row = self.check.index.row(place.id);
                self.sort_out(place, (&source, &replica), row, (Arc::default(), now), more);
            }
            Err(error) => self.failed_folder(place, &error),
        }
    }

    /// Looks at some names again.
    fn look(&self, place: &Here<S, R>, before: BTreeMap<Name, Print>, more: &Tasks<Task<S, R>>) {
        let now = (self.check.clock)();
        let (original, copy) = (self.check.source, self.check.replica);
        let look = || -> Result<(Vec<Entry>, Vec<Entry>)> {
            let (source, replica) = (&*place.source(original)?, &*place.replica(copy)?);
            let mut lists = (Vec::new(), Vec::new());
            for name in before.keys() {
                let entry = |stamp| Entry { name: name.clone(), look: Ok(stamp) };
                lists.0.extend(original.look(source, name)?.map(entry));
                lists.1.extend(copy.look(replica, name)?.map(entry));
            }
            Ok(lists)
        };
        match look() {
            Ok((source, replica)) => {
                let row = self.check.index.row(place.id).map(|mut row| {
                    row.entries.retain(|(name, _)| before.contains_key(name));
                    row
                });
                self.sort_out(place, (&source, &replica), row, (Arc::new(before), now), more);
            }
            // The folder is gone, or another by now.
            Err(error) => self.failed_folder(place, &error),
        }
    }

    /// Names what differs by stamps, and leaves what must be looked into to tasks.
    fn sort_out(
        &self,
        place: &Here<S, R>,
        (source, replica): (&[Entry], &[Entry]),
        row: Option<Row>,
        (before, now): (Arc<BTreeMap<Name, Print>>, Time),
        more: &Tasks<Task<S, R>>,
    ) {
        let path = if place.filter.is_empty() { RelPath::root() } else { place.path() };
        let excluded = |name: &Name, is_folder: bool| place.filter.excludes(&path, name, is_folder);
        let (has_row, row) = (row.is_some(), row.unwrap_or_default());
        let policy = Policy { compare: Compare::Auto, delete_excluded: false, ..self.check.policy };
        let (mut folders, mut batches) = (Vec::new(), Batches::new());
        for finding in compare_folder(source, replica, &row, &policy, excluded) {
            if self.is_kept_for_what_is_below(place, &finding) {
                continue;
            }
            let print = (finding.source, finding.replica);
            let kind = finding.source.or(finding.replica).map(|stamp| stamp.kind);
            let counts =
                before.is_empty() && !matches!(finding.verdict, Verdict::Excluded | Verdict::Forgotten);
            self.files.fetch_add(u64::from(counts && kind != Some(Kind::Folder)), Ordering::Relaxed);
            match &finding.verdict {
                Verdict::Folders => {
                    let known = finding.known.filter(|known| {
                        finding.source.is_some_and(|source| known.source.identity == source.identity())
                    });
                    // What was a folder on both sides before has been checked, but for itself.
                    let seen = before.get(&finding.name);
                    let only_itself = seen.is_some_and(|seen| is_folder(seen.0) && is_folder(seen.1));
                    let id = known.and_then(|known| known.folder);
                    folders.push(Task::Enter {
                        parent: Arc::clone(place),
                        name: finding.name,
                        id,
                        only_itself,
                    });
                }
                Verdict::Same { .. } | Verdict::Meta(_) | Verdict::Doubt => batches.add(finding),
                verdict => {
                    let what = difference_of(verdict, print.0.as_ref(), print.1.as_ref());
                    let change = match verdict {
                        Verdict::Unreadable(_) => Change::Failed,
                        _ => blame(finding.known.as_ref(), has_row, print.0.as_ref(), print.1.as_ref()),
                    };
                    if let Some(what) = what {
                        self.differs(place, &finding.name, (print, before.get(&finding.name)), what, change);
                    }
                }
            }
        }
        let batches = batches.all.into_iter().map(|findings| {
            Task::Compare(Batch { place: Arc::clone(place), findings, before: Arc::clone(&before), now })
        });
        more.push(batches.chain(folders).collect::<Vec<_>>().into_iter());
    }
}

impl<S: Source, R: Replica> Walk<'_, S, R> {
    /// True for a folder that the source has no more and that passes leave, for all that is left in it is left out: they call
    /// the replica identical then.
    fn is_kept_for_what_is_below(&self, place: &Here<S, R>, finding: &Finding) -> bool {
        let is_gone = finding.verdict == Verdict::Gone && is_folder(finding.replica);
        is_gone
            && !self.check.policy.delete_excluded
            && self.all_below_stays(place, &finding.name).unwrap_or(false)
    }

    /// Each folder below has something that is left out, or a folder, and nothing else but its rules.
    fn all_below_stays(&self, place: &Here<S, R>, name: &Name) -> Result<bool> {
        let copy = self.check.replica;
        let mut left = vec![(place.replica(copy)?, name.clone(), place.path(), place.filter.clone())];
        while let Some((above, name, path, filter)) = left.pop() {
            let folder = Arc::new(copy.open_folder(&above, &name)?);
            let path = path.join(&name);
            let (filter, _) = read_ignore_files(copy, &folder, &filter, &|| path.clone())?;
            let mut holds_any = false;
            for entry in copy.list(&folder)? {
                let Ok(stamp) = &entry.look else { return Ok(false) };
                let is_folder = stamp.kind == Kind::Folder;
                if filter.excludes(&path, &entry.name, is_folder) {
                    holds_any = true;
                } else if is_folder {
                    holds_any = true;
                    left.push((Arc::clone(&folder), entry.name, path.clone(), filter.clone()));
                } else if !is_rules(&filter, &entry) {
                    return Ok(false);
                }
            }
            if !holds_any || copy.is_mount(&folder)? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

fn is_folder(stamp: Option<Stamp>) -> bool {
    stamp.is_some_and(|stamp| stamp.kind == Kind::Folder)
}

/// Names in batches that are worth a task each.
struct Batches {
    all: Vec<Vec<Finding>>,
    bytes: u64,
}

impl Batches {
    const MOST_NAMES: usize = 64;
    const MOST_BYTES: u64 = 8 * 1024 * 1024;

    fn new() -> Self {
        Self { all: Vec::new(), bytes: 0 }
    }

    fn add(&mut self, finding: Finding) {
        let size = finding.source.map_or(0, |source| source.size);
        let is_full = self.bytes + size > Self::MOST_BYTES;
        match self.all.last_mut() {
            Some(last) if last.len() < Self::MOST_NAMES && !is_full => last.push(finding),
            _ => {
                self.bytes = 0;
                self.all.push(vec![finding]);
            }
        }
        self.bytes += size;
    }
}
