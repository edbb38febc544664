//! Bringing one file or folder back as it was: found by going back through the history, and copied out or put in place.

use std::collections::HashMap;
use std::path::Path;

use alike_model::entry::{Identity, Kind, Time};
use alike_model::holds::Holds;
use alike_model::past::{Past, Spot};
use alike_model::path::{Name, OWN_FOLDER, RelPath};
use alike_model::xattrs::{Namespaces, Xattrs};
use alike_storage::{
    Error, Local, MayGoOn, Replica, Result, Source, Want, copy_entry, link_entry, linux, remove_tree,
    rename_entry, unpatch,
};

use crate::back::Version;
use crate::chronicle::{Was, is_slot};
use crate::history::Look;
use crate::hold::Site;
use crate::mend::{Mend, aside, clear_aside};
use crate::reach::Reach;
use crate::settle::{lost, settle_copy};
use crate::stop::Stop;
use crate::undo::{Real, Thought, Twins, World};

/// What came of a copy.
#[derive(Debug, Default)]
pub struct Copied {
    /// Entries.
    pub entries: u64,
    /// What could not be copied, or not whole, and why.
    pub failed: Vec<(RelPath, String)>,
}

/// Copies an entry as it was.
struct Copier<'a, 'b> {
    site: &'b Site,
    past: &'a Past<Was>,
    reach: Reach<'b>,
    twins: Twins,
    target: &'a Local,
    to: Reach<'a>,
    holds: Holds,
    stop: &'a Stop,
    /// Where the first name of an inode with several was copied to.
    first: HashMap<(u64, Identity), RelPath>,
    copied: Copied,
}

impl Copier<'_, '_> {
    /// Copies all at and below a path of then to a free path of the target.
    fn copy(&mut self, from: &RelPath, to: &RelPath) -> Result<()> {
        let mut waiting = vec![(from.clone(), to.clone())];
        let mut folders = Vec::new();
        while let Some((from, to)) = waiting.pop() {
            if self.stop.is_set() {
                return Err(Error::Interrupted);
            }
            match self.copy_one(&from, &to) {
                Ok(Some(dress)) => {
                    waiting.extend(self.below(&from, &to)?);
                    folders.push((to, dress));
                    self.copied.entries += 1;
                }
                Ok(None) => self.copied.entries += 1,
                // What the disk has no room for is not brought back in part.
                Err(error) if error.is_full() || error.is_interrupted() => return Err(error),
                Err(error) => self.copied.failed.push((from, error.to_string())),
            }
        }
        for (path, want) in folders.into_iter().rev() {
            let dressed = self.to.folder(&path).and_then(|folder| {
                let may_go_on = || self.target.check_below(&folder, path.names().count());
                self.target.set_folder_attrs(&folder, &want, &may_go_on)
            });
            if let Err(error) = dressed {
                self.copied.failed.push((path, error.to_string()));
            }
        }
        Ok(())
    }

    /// What stood in a folder of then.
    fn below(&mut self, from: &RelPath, to: &RelPath) -> Result<Vec<(RelPath, RelPath)>> {
        let changed = self.past.names_in(from);
        let mut names: Vec<Name> = match self.past.whereabouts(from) {
            Some(Spot::At(today)) => self.reach.list(&today)?.into_iter().map(|entry| entry.name).collect(),
            _ => Vec::new(),
        };
        names.retain(|name| !changed.iter().any(|(one, _)| one == name));
        names.extend(changed.into_iter().filter(|(_, there)| *there).map(|(name, _)| name));
        names.retain(|name| !(from.is_root() && name.as_bytes() == OWN_FOLDER));
        Ok(names.into_iter().map(|name| (from.join(&name), to.join(&name))).collect())
    }

    /// Copies one entry; of a folder that is made, how it is to look when it is full.
    fn copy_one(&mut self, from: &RelPath, to: &RelPath) -> Result<Option<Want>> {
        const NOT_KEPT: &str = "it was not kept";
        let not_kept = || Error::of("copy it", std::io::Error::other(NOT_KEPT));
        let (today, patches) = match self.past.whereabouts(from) {
            Some(Spot::At(today)) => (today, Vec::new()),
            Some(Spot::Patched(today, patches)) => (today, patches),
            Some(Spot::Twin(id)) => (self.twins.find(&mut self.reach, id).ok_or_else(not_kept)?, Vec::new()),
            Some(Spot::Lost) | None => return Err(not_kept()),
        };
        let stamp = self.reach.look(&today)?.ok_or_else(not_kept)?;
        let (folder, new) = self.to.place(to)?;
        let was = self.past.look(from);
        let then = was.and_then(|(_, xattrs)| xattrs.clone());
        let look = was.map_or_else(|| Look::from(&stamp), |(look, _)| *look);
        if stamp.kind == Kind::Folder {
            let open = self.reach.folder(&today)?;
            let xattrs = then.map_or_else(|| self.site.tree.folder_xattrs(&open, self.holds.xattrs), Ok)?;
            self.target.make_folder(&folder, &new, None)?;
            return Ok(Some(want(&look, xattrs, &self.holds)));
        }
        let (source, name) = self.reach.place(&today)?;
        let xattrs = then.map_or_else(|| self.site.tree.xattrs(&source, &name, self.holds.xattrs), Ok)?;
        let want = want(&look, xattrs, &self.holds);
        let key = (stamp.dev, stamp.identity());
        if let Some(first) = self.first.get(&key).filter(|_| stamp.nlink > 1) {
            let (folder, other) = self.to.place(first)?;
            let place = self.to.place(to)?;
            return link_entry((&folder, &other), (&place.0, &place.1)).map(|()| None);
        }
        let stop = self.stop;
        let target = self.target;
        let may_go_on = || target.check_below(&folder, to.names().count().saturating_sub(1));
        let how = (&want, &may_go_on as MayGoOn<'_>);
        let copied = copy_entry((&source, &name), &stamp, (&folder, &new), how, &|| stop.is_set())?;
        if !patches.is_empty() {
            let places: Vec<_> = patches.iter().map(|path| self.reach.place(path)).collect::<Result<_>>()?;
            let places: Vec<_> = places.iter().map(|(folder, name)| (&**folder, name)).collect();
            let now = unpatch((&folder, &new), &copied.now, &places)?;
            self.target.set_attrs(&folder, &new, &now, &want, &may_go_on)?;
        }
        if stamp.nlink > 1 {
            self.first.insert(key, to.clone());
        }
        if let Some(lack) = copied.lacks {
            self.copied.failed.push((from.clone(), lack.to_string()));
        }
        Ok(None)
    }
}

fn want(look: &Look, xattrs: Xattrs, holds: &Holds) -> Want {
    Want {
        mode: look.mode,
        owner: holds.owner.then_some((look.uid, look.gid)),
        whose: (look.uid, look.gid),
        mtime: holds.times.fit(look.mtime),
        namespaces: if holds.xattrs.is_empty() { Namespaces::NONE } else { holds.xattrs },
        xattrs,
    }
}

/// Copies a version into the folder at `to`, under `name`, which must be free: whole, or not at all.
///
/// # Errors
/// When it could not be copied; nothing of it is left then.
pub fn copy_out(site: &Site, version: &Version, (to, name): (&Path, &Name), stop: &Stop) -> Result<Copied> {
    let target = Local::open(to).map_err(|cause| Error::of("open the folder", cause))?;
    let top = target.root()?;
    if target.look(&top, name)?.is_some() {
        return Err(Error::of(
            "copy it there",
            std::io::Error::other("there is something of that name already"),
        ));
    }
    let holds = target.holds(false);
    let aside = aside_of_ours()?;
    let path = RelPath::root().join(&aside);
    let copied = copy_to(site, version, (&target, &path), (holds, stop));
    let done = copied.and_then(|copied| {
        settle_copy(&target, &path)?;
        rename_entry((&top, &aside), (&top, name))?;
        linux::sync_way_to(target.descriptor()).map_err(lost)?;
        Ok(copied)
    });
    if done.is_err() {
        let _ = remove_tree(&top, &aside);
    }
    done
}

fn aside_of_ours() -> Result<Name> {
    Name::new(format!(".alike-restoring-{}", std::process::id()).as_bytes()).ok_or(Error::Changed)
}

fn copy_to(
    site: &Site,
    version: &Version,
    (target, to): (&Local, &RelPath),
    (holds, stop): (Holds, &Stop),
) -> Result<Copied> {
    let mut copier = Copier {
        site,
        past: &version.past,
        reach: Reach::new(&site.tree)?,
        twins: Twins::default(),
        target,
        to: Reach::new(target)?,
        holds,
        stop,
        first: HashMap::new(),
        copied: Copied::default(),
    };
    copier.copy(&version.path, to)?;
    Ok(copier.copied)
}

/// Puts a version back on the replica under `path`, as the pass `number`; what is there goes to the trash.
///
/// # Errors
/// When it could not be put back, or may not have reached the disk.
pub fn put_back(
    site: &Site,
    (version, path, number): (&Version, &RelPath, u64),
    clock: &(dyn Fn() -> Time + Sync),
    stop: &Stop,
) -> Result<Copied> {
    let mut mend = Mend::new((&site.tree, &site.trash), number, clock)?;
    let (from, copied) = match version.past.whereabouts(&version.path) {
        // One that was killed had it in its place already.
        Some(Spot::At(there)) if there == *path && version.past.is_whole(&version.path) => {
            mend.finish(&mut |_, _| ())?;
            return Ok(Copied::default());
        }
        // What the trash keeps whole goes back as it is, at no cost.
        Some(Spot::At(slot)) if is_slot(&slot) && version.past.is_whole(&version.path) => {
            (slot, Copied::default())
        }
        _ => copy_beside(site, version, (mend.holds, stop))?,
    };
    let reason = format!("brought back {}", version.path);
    make_parents(&mut mend, version, path, &reason)?;
    let kept = mend.reach.look(&from)?.ok_or(Error::Changed)?;
    let old = version.past.look(&version.path).map_or_else(|| Look::from(&kept), |(look, _)| *look);
    match mend.reach.look(path)? {
        None => mend.put_back(&from, &kept, path, &old, &reason)?,
        Some(there) => mend.replace((path, &there), (&from, &kept), &old, &reason).map(drop)?,
    }
    let mut failed = Vec::new();
    mend.finish(&mut |path, error| failed.push((path.clone(), error.to_string())))?;
    let failed = copied.failed.into_iter().chain(failed).collect();
    Ok(Copied { entries: copied.entries, failed })
}

/// Copies a version into alike's own folder, on the way to its place.
fn copy_beside(site: &Site, version: &Version, how: (Holds, &Stop)) -> Result<(RelPath, Copied)> {
    let failed = |cause| Error::of("copy it", cause);
    let own = site.tree.own_folder().map_err(failed)?;
    let (name, path) = (clear_aside(&own).map_err(failed)?, aside());
    let copied = copy_to(site, version, (&site.tree, &path), how);
    match copied.and_then(|copied| settle_copy(&site.tree, &path).map(|()| copied)) {
        Ok(copied) => Ok((path, copied)),
        Err(error) => {
            let _ = remove_tree(&own, &name);
            Err(error)
        }
    }
}

/// Makes the folders above a path that are gone, as they were.
fn make_parents(mend: &mut Mend<'_>, version: &Version, path: &RelPath, reason: &str) -> Result<()> {
    let mut missing = Vec::new();
    let mut above = path.split().map(|(parent, _)| parent);
    while let Some(folder) = above.filter(|folder| !folder.is_root()) {
        match mend.reach.look(&folder)? {
            None => missing.push(folder.clone()),
            Some(there) if there.kind == Kind::Folder => break,
            Some(_) => {
                let what = format!("{folder} is no folder; bring it back with --to");
                return Err(Error::of("put it back", std::io::Error::other(what)));
            }
        }
        above = folder.split().map(|(parent, _)| parent);
    }
    for folder in missing.into_iter().rev() {
        let mut twins = Twins::default();
        let real = Real { reach: &mut mend.reach, twins: &mut twins, taken: None, goes_on: false };
        let was = Thought { real, past: &version.past }.look(&folder)?;
        let look = was.filter(|was| was.kind == Kind::Folder).map(|was| Look::from(&was));
        mend.make_folder(&folder, look.as_ref(), reason)?;
    }
    Ok(())
}
