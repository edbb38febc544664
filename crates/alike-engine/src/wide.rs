//! Watching a whole filesystem: what the kernel reports of its folders becomes dirt of a tree that lies somewhere in it.
//!
//! A report names a folder by a handle, and where that folder is now tells whether it concerns the tree. What happens
//! elsewhere on the filesystem is told too: where that is much in one folder, the kernel is asked to leave that out.

use std::collections::{BTreeSet, HashMap};
use std::ffi::OsStr;
use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};

use alike_model::dirty::{Dirty, Extent};
use alike_model::path::RelPath;
use alike_storage::Folder;
use alike_storage::linux::{Fanotify, Handle, Report, Where, mount_and_time};

use crate::watch::{Heard, MOST_BUFFERS};

/// So many folders are kept in mind, with where they are.
const MOST_KNOWN: usize = 16_384;
/// A folder elsewhere of which this was reported so often is a nuisance.
const NUISANCE: u32 = 64;

/// A folder in the tree, or one that is somewhere below.
#[derive(Clone)]
struct At {
    path: RelPath,
    is_below: bool,
}

/// A mark for a whole filesystem.
pub(crate) struct Wide {
    fanotify: Fanotify,
    /// The mount that the tree is seen through.
    mount: u64,
    known: Mutex<Known>,
}

#[derive(Default)]
struct Known {
    /// Where the tree is.
    root: PathBuf,
    /// Where folders are in the tree; `Err`: elsewhere, and how much was heard of it.
    folders: HashMap<Handle, Result<At, u32>>,
    /// Some are left out by the kernel.
    ignores: bool,
    /// Those should no longer be left out, but the kernel could not be told.
    is_deaf: bool,
}

impl Wide {
    /// Marks the filesystem that the tree with this top folder is on.
    pub(crate) fn new(root: &Folder) -> io::Result<Self> {
        let fanotify = Fanotify::of_filesystem(root.descriptor())?;
        let (mount, _) = mount_and_time(root.descriptor())?;
        let known = Known { root: fanotify.anchored_at()?, ..Known::default() };
        Ok(Self { fanotify, mount, known: Mutex::new(known) })
    }

    /// True for folders that are seen through this mount.
    pub(crate) fn covers(&self, mount: u64) -> bool {
        self.mount == mount
    }

    /// Can be read when there is something to hear.
    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        self.fanotify.descriptor()
    }

    /// Takes what is there; does not wait.
    pub(crate) fn hear(&self, heard: &mut Heard) -> io::Result<()> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let done = self.hear_all(&mut known, heard);
        if done.is_err() {
            // There may have been renames among what is lost.
            known.is_deaf = self.forget_places(&mut known).is_err();
        }
        done
    }

    fn hear_all(&self, known: &mut Known, heard: &mut Heard) -> io::Result<()> {
        if known.is_deaf {
            self.start_over(known, heard)?;
            known.is_deaf = false;
        }
        let mut buffer = vec![0; 64 * 1024];
        let mut reports = Vec::new();
        for _ in 0..MOST_BUFFERS {
            if !self.fanotify.take(&mut buffer, &mut reports)? {
                break;
            }
            for report in reports.drain(..) {
                self.sort_in(report, known, heard)?;
            }
        }
        // The tree may have another path, by a rename of what is above it, say. Of other filesystems nobody reports that.
        let root = self.fanotify.anchored_at()?;
        if known.root != root {
            known.root = root;
            self.start_over(known, heard)?;
        }
        Ok(())
    }

    fn sort_in(&self, report: Report, known: &mut Known, heard: &mut Heard) -> io::Result<()> {
        if report.overflow {
            heard.overflow = true;
            heard.dirty.absorb(Dirty::everything());
        }
        if report.overflow || report.moved_folder {
            // What was elsewhere may be in the tree now, and the other way round.
            self.forget_places(known)?;
        }
        if report.moved_folder {
            return self.sort_in_move(report, known, heard);
        }
        for (handle, name) in report.at {
            let Some(At { path, is_below }) = self.find(known, handle)? else { continue };
            if is_below {
                heard.dirty.mark(path, Extent::Subtree);
                continue;
            }
            match name {
                None => heard.dirty.mark(path, Extent::Names(BTreeSet::new())),
                Some(name) if report.changed => heard.dirty.mark_name(path, name),
                Some(name) => {
                    if report.created {
                        heard.created.mark_name(path.clone(), name.clone());
                    }
                    if report.written {
                        heard.written.mark_name(path, name);
                    }
                }
            }
        }
        Ok(())
    }

    /// What was changed in a folder while it had another name was heard under that name, or as elsewhere: all of the folder is
    /// looked at, where it was and where it is.
    fn sort_in_move(&self, report: Report, known: &mut Known, heard: &mut Heard) -> io::Result<()> {
        for (handle, name) in report.at {
            let Some(place) = self.fanotify.path_of(&handle)? else { continue };
            match (known.in_tree(&place), name) {
                (Some(At { path, is_below: false }), Some(name)) => {
                    heard.left = true;
                    heard.dirty.mark(path.join(&name), Extent::Subtree);
                    heard.dirty.mark_name(path, name);
                }
                (Some(At { path, .. }), _) => {
                    heard.left = true;
                    heard.dirty.mark(path, Extent::Subtree);
                }
                (None, Some(name)) => {
                    // It may have come back by now.
                    if known.root.starts_with(place.path.join(OsStr::from_bytes(name.as_bytes()))) {
                        self.start_over(known, heard)?;
                    }
                }
                (None, None) => {}
            }
        }
        Ok(())
    }

    /// What was changed in the tree may have been taken for something elsewhere, also what was deleted.
    fn start_over(&self, known: &mut Known, heard: &mut Heard) -> io::Result<()> {
        heard.dirty.absorb(Dirty::everything());
        heard.judge = true;
        self.forget_places(known)
    }

    /// Where folders are is to be found out anew, and none is left out any more.
    fn forget_places(&self, known: &mut Known) -> io::Result<()> {
        known.folders.clear();
        if known.ignores {
            self.fanotify.ignore_none()?;
            known.ignores = false;
        }
        Ok(())
    }

    /// Where a folder is in the tree; `None` when it is elsewhere or gone, which what holds it reports as well.
    fn find(&self, known: &mut Known, handle: Handle) -> io::Result<Option<At>> {
        if known.folders.len() > MOST_KNOWN {
            known.folders.clear();
        }
        match known.folders.get_mut(&handle) {
            Some(Ok(at)) => return Ok(Some(at.clone())),
            Some(Err(heard)) => {
                *heard += 1;
                if *heard == NUISANCE {
                    // Before Linux 6.0 it is not done; then it costs time, and nothing else.
                    known.ignores |= self.fanotify.ignore(&handle).is_ok();
                }
                return Ok(None);
            }
            None => {}
        }
        let Some(place) = self.fanotify.path_of(&handle)? else { return Ok(None) };
        let found = known.in_tree(&place);
        known.folders.insert(handle, found.clone().ok_or(0));
        Ok(found)
    }
}

impl Known {
    fn in_tree(&self, place: &Where) -> Option<At> {
        let is_below = place.is_below;
        match place.path.strip_prefix(&self.root) {
            Ok(inside) => Some(At { path: RelPath::parse(inside.as_os_str().as_bytes())?, is_below }),
            // It may be in the tree or beside.
            Err(_) if is_below && self.root.starts_with(&place.path) => {
                Some(At { path: RelPath::root(), is_below })
            }
            Err(_) => None,
        }
    }
}
