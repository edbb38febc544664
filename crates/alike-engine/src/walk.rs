//! Walks what is to be deleted, contents first, and keeps back what must stay.

use std::sync::Arc;

use alike_model::entry::{Entry, Kind, Stamp};
use alike_model::event::Action;
use alike_model::filter::Filter;
use alike_model::known::{FolderId, Known, Row};
use alike_model::path::{Name, OWN_FOLDER, RelPath};
use alike_model::plan::{Removal, Step, Verb};
use alike_model::reason::Reason;
use alike_storage::{Error, Replica, Result, Source};

use crate::hands::Hands;
use crate::ignore_files::read_ignore_files;
use crate::monitor::Event;
use crate::pass::Run;
use crate::place::Here;

/// What is done with each entry that may go: `Ok(true)` when it is gone.
pub(crate) type Remove<'a, F> = dyn FnMut(&F, &RelPath, Step) -> Result<bool> + 'a;

/// A folder of the replica on its way out.
struct Leaving<F> {
    /// `None` when it was let go because too many were held.
    folder: Option<Arc<F>>,
    name: Name,
    stamp: Stamp,
    id: Option<FolderId>,
    row: Row,
    filter: Filter,
    /// What the replica has of older filters, where these were others.
    older: Option<Filter>,
    filter_changed: bool,
    /// What its row is to say of the filters.
    fingerprint: u64,
    left: std::vec::IntoIter<Entry>,
    /// Something in it stays, so it does.
    stays: bool,
}

/// A walk under way.
struct Walk<F> {
    top: Arc<F>,
    stack: Vec<Leaving<F>>,
    /// Of the last on the stack.
    path: RelPath,
    reason: Reason,
    walking: Walking,
}

/// What a walk is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Walking {
    /// To see what would go; nothing is told.
    Counting,
    /// To remove it.
    Removing,
    /// To tell what is gone already.
    Telling,
}

impl<S: Source, R: Replica, H: Hands<S, R>> Run<'_, S, R, H> {
    /// Walks an entry of the replica, contents first, and hands each that may go to `remove`. Excluded entries, and
    /// folders that hold one, stay. Returns whether the entry itself is gone.
    pub(crate) fn walk(
        &self,
        place: &Here<S, R>,
        removal: &Removal,
        walking: Walking,
        remove: &mut Remove<'_, R::Folder>,
    ) -> Result<bool> {
        let top = place.replica(self.work.replica)?;
        self.walk_in((top, &removal.name), (place, removal), walking, remove)
    }

    /// The same for an entry that stands elsewhere now.
    pub(crate) fn walk_in(
        &self,
        (top, at): (Arc<R::Folder>, &Name),
        (place, removal): (&Here<S, R>, &Removal),
        walking: Walking,
        remove: &mut Remove<'_, R::Folder>,
    ) -> Result<bool> {
        let reason = removal.reason.clone();
        if removal.replica.kind != Kind::Folder {
            let step =
                Step { name: removal.name.clone(), verb: Verb::Delete { replica: removal.replica }, reason };
            return remove(&top, &place.path().join(&removal.name), step);
        }
        let mut walk = Walk { top, stack: Vec::new(), path: place.path(), reason, walking };
        let filters = (&place.filter, place.filter_there.as_ref());
        if !self.go_down(&mut walk, (at, &removal.name), removal.replica, removal.known, filters)? {
            return Ok(false);
        }
        loop {
            if self.work.stop.is_set() {
                return Err(Error::Interrupted);
            }
            let Some(here) = walk.stack.last_mut() else { return Ok(true) };
            match here.left.next() {
                Some(entry) => self.walk_entry(&mut walk, entry, remove)?,
                None => {
                    let gone = self.go_up(&mut walk, remove)?;
                    match (gone, walk.stack.last_mut()) {
                        (false, Some(above)) => above.stays = true,
                        (false, None) => return Ok(false),
                        (true, _) => {}
                    }
                }
            }
        }
    }

    /// Handles one entry of the folder that the walk is in.
    fn walk_entry(
        &self,
        walk: &mut Walk<R::Folder>,
        entry: Entry,
        remove: &mut Remove<'_, R::Folder>,
    ) -> Result<()> {
        let aloud = walk.walking != Walking::Counting;
        let path = walk.path.join(&entry.name);
        let Some(here) = walk.stack.last_mut() else { return Ok(()) };
        let stamp = match entry.look {
            Ok(stamp) => stamp,
            Err(why) => {
                here.stays = true;
                return aloud.then(|| self.fail(path, why.0)).map_or(Ok(()), Ok);
            }
        };
        let is_folder = stamp.kind == Kind::Folder;
        if !self.work.policy.delete_excluded && here.filter.excludes(&walk.path, &entry.name, is_folder) {
            here.stays = true;
            return Ok(());
        }
        // Without its rules, the next pass would not know why something stays.
        if here.stays && is_rules(&here.filter, &entry) {
            return Ok(());
        }
        let known = here.row.get(&entry.name).copied();
        let was_left_out =
            || here.older.as_ref().is_some_and(|older| older.excludes(&walk.path, &entry.name, is_folder));
        if known.is_none() && !self.deletes_allowed() && (here.filter_changed || was_left_out()) {
            here.stays = true;
            if aloud {
                self.wait_for(|waiting| waiting.held_by_rules.push(walk.path.clone()));
                self.tell(Event::about(self.number, Action::Hold, path, Reason::FilterChanged.to_string()));
            }
            return Ok(());
        }
        if !is_folder {
            let step =
                Step { name: entry.name, verb: Verb::Delete { replica: stamp }, reason: walk.reason.clone() };
            let folder = self.reach(walk)?;
            if !remove(&folder, &path, step)?
                && let Some(here) = walk.stack.last_mut()
            {
                here.stays = true;
            }
            return Ok(());
        }
        let (filter, older) = (here.filter.clone(), here.older.clone());
        match self.go_down(walk, (&entry.name, &entry.name), stamp, known, (&filter, older.as_ref())) {
            Ok(true) => Ok(()),
            Ok(false) => {
                walk.stack.last_mut().into_iter().for_each(|here| here.stays = true);
                Ok(())
            }
            Err(error) => {
                // One that cannot be opened stays, and so does what holds it.
                walk.stack.last_mut().into_iter().for_each(|here| here.stays = true);
                if aloud {
                    self.fail(path, error.to_string());
                }
                Ok(())
            }
        }
    }

    /// Opens a folder below the one that the walk is in, and steps into it, unless what is in it is not alike's: then it
    /// stays. It may be called otherwise than it is named.
    fn go_down(
        &self,
        walk: &mut Walk<R::Folder>,
        (name, called): (&Name, &Name),
        stamp: Stamp,
        known: Option<Known>,
        (filter, older): (&Filter, Option<&Filter>),
    ) -> Result<bool> {
        let above = self.reach(walk)?;
        let folder = Arc::new(self.work.replica.open_folder(&above, name)?);
        let now = self.work.replica.stamp(&folder)?;
        self.refuse_roots(&now)?;
        if now.identity() != stamp.identity() {
            return Err(Error::Changed);
        }
        let path = walk.path.join(called);
        // A row belongs to a folder, not to its name: what was known here may stand under another name by now.
        let id = known.filter(|known| known.replica.ino == stamp.ino).and_then(|known| known.folder);
        let row = id.and_then(|id| self.row(id));
        let id = id.filter(|_| row.is_some());
        let is_mount = self.work.replica.is_mount(&folder)?;
        if walk.walking == Walking::Removing && !is_mount {
            self.hands.unlock(&folder, &stamp)?;
        }
        if is_mount || self.is_other_replica(&folder, row.as_ref()) {
            let why = if is_mount { Reason::MountedHere } else { Reason::OtherReplica };
            if walk.walking != Walking::Counting {
                self.tell(Event::about(self.number, Action::Hold, path, why.to_string()));
            }
            return Ok(false);
        }
        // The source's ignore files are gone with the folder; the replica still has them as they were.
        let inside =
            |around: &Filter| read_ignore_files(self.work.replica, &folder, around, &|| path.clone());
        let ((filter, _), older) = (inside(filter)?, older.map(inside).transpose()?);
        let changed_above = walk.stack.last().is_some_and(|above| above.filter_changed);
        let fingerprint = filter.fingerprint_in(&path);
        let filter_changed = changed_above || row.as_ref().is_some_and(|row| row.filter != fingerprint);
        let (rules, mut left): (Vec<_>, Vec<_>) =
            self.work.replica.list(&folder)?.into_iter().partition(|entry| is_rules(&filter, entry));
        left.extend(rules);
        let left = left.into_iter();
        let (folder, name, row) = (Some(folder), name.clone(), row.unwrap_or_default());
        let stays = false;
        walk.stack.push(Leaving {
            folder,
            name,
            stamp,
            id,
            row,
            filter,
            older: older.map(|(older, _)| older),
            filter_changed,
            fingerprint,
            left,
            stays,
        });
        walk.path = path;
        if let Some(longest) = walk.stack.len().checked_sub(self.work.held_folders.max(2)) {
            walk.stack[longest].folder = None;
        }
        Ok(true)
    }

    /// True for a folder with the marker of a pair, unless alike copied that from the source. What has none is not looked into.
    fn is_other_replica(&self, folder: &R::Folder, row: Option<&Row>) -> bool {
        let (Some(own), Some(marker)) = (Name::new(OWN_FOLDER), Name::new(b"pair.json")) else {
            return false;
        };
        let replica = self.work.replica;
        let is_there = |folder: &R::Folder, name: &Name| matches!(replica.look(folder, name), Ok(Some(_)));
        // Where nothing can be looked at, nothing is deleted either.
        row.is_none_or(|row| row.get(&own).is_none())
            && is_there(folder, &own)
            && replica.open_folder(folder, &own).is_ok_and(|own| is_there(&own, &marker))
    }

    /// Leaves the folder that the walk is in, and removes it when it may go.
    fn go_up(&self, walk: &mut Walk<R::Folder>, remove: &mut Remove<'_, R::Folder>) -> Result<bool> {
        // What went from a folder that stays, here or in the trash, has nobody else to settle it.
        let device = walk.stack.last().map(|here| here.stamp.dev);
        if walk.walking == Walking::Removing && self.hands.must_settle_names(device) {
            self.hands.settle_names(&*self.reach(walk)?, &[])?;
        }
        let Some(done) = walk.stack.pop() else { return Ok(true) };
        let path = walk.path.clone();
        walk.path = path.split().map(|(above, _)| above).unwrap_or_default();
        if done.stays {
            // A person said what becomes of what older filters left out; what still stays is left out by those of today.
            if let (Some(id), Walking::Removing, true) = (done.id, walk.walking, self.deletes_allowed()) {
                self.work.index.edit(id, |row| Row { filter: done.fingerprint, ..row });
            }
            return Ok(false);
        }
        let verb = Verb::Rmdir { replica: done.stamp };
        let step = Step { name: done.name, verb, reason: walk.reason.clone() };
        let gone = remove(&*self.reach(walk)?, &path, step)?;
        if gone && walk.walking != Walking::Counting {
            done.id.into_iter().for_each(|id| self.work.index.remove(id));
        }
        Ok(gone)
    }

    /// The open folder that the walk is in, opened again from the nearest above when it was let go.
    fn reach(&self, walk: &mut Walk<R::Folder>) -> Result<Arc<R::Folder>> {
        let first = walk.stack.iter().rposition(|here| here.folder.is_some());
        let mut open =
            first.and_then(|at| walk.stack[at].folder.clone()).unwrap_or_else(|| Arc::clone(&walk.top));
        let from = first.map_or(0, |at| at + 1);
        let last = walk.stack.len();
        for at in from..last {
            open = Arc::new(self.work.replica.open_folder(&open, &walk.stack[at].name)?);
            // Those next to be left are held again.
            if at + 32 >= last {
                walk.stack[at].folder = Some(Arc::clone(&open));
            }
        }
        Ok(open)
    }
}

/// True for an ignore file: it goes last, or stays with what it keeps.
pub(crate) fn is_rules(filter: &Filter, entry: &Entry) -> bool {
    filter.ignore_files().contains(&entry.name.as_bytes())
        && entry.look.as_ref().is_ok_and(|stamp| stamp.kind == Kind::File)
}
