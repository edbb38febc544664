//! Gives an inode its attributes, in the order that keeps each of them, and finds out which a target can hold.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use alike_model::entry::{Kind, Stamp, Time};
use alike_model::holds::{Holds, Times};
use alike_model::path::Escaped;
use alike_model::reason::set_id_for;
use alike_model::xattrs::{Namespace, Namespaces, Xattrs};

use rustix::io::Errno;

use crate::error::{Error, Result, is_any};
use crate::linux::Inode;
use crate::{MayGoOn, Want, linux};

/// Owner first, for a change of owner takes set-id bits and capabilities away; then ACLs and other attributes; then the
/// mode, which an inherited ACL would narrow; the time last.
///
/// At no moment may somebody read it who may neither before nor after: what the new mode lacks goes first. Set-id bits
/// come last, and only where the owner is the one in the source.
///
/// `now` is how the inode looks; what is so already is not set again. An attribute that cannot be set does not keep the
/// others from being set.
pub(crate) fn dress(
    inode: &Inode<'_>,
    held: BorrowedFd<'_>,
    now: Option<&Stamp>,
    kind: Kind,
    want: &Want,
) -> Result<()> {
    dress_while(inode, held, (now, kind), want, &|| Ok(()))
}

/// The same for an inode that others may move away meanwhile: before each change, `may_go_on` says whether it is still ours.
pub(crate) fn dress_while(
    inode: &Inode<'_>,
    held: BorrowedFd<'_>,
    (now, kind): (Option<&Stamp>, Kind),
    want: &Want,
    may_go_on: MayGoOn<'_>,
) -> Result<()> {
    let failed = |cause| Error::of("set its attributes", cause);
    let now = match now {
        Some(now) => *now,
        None => linux::look_at_open(held).map_err(failed)?,
    };
    let owner = want.owner.filter(|owner| (now.uid, now.gid) != *owner);
    let mut have = read_xattrs(inode, want.namespaces)?;
    let mut mode = now.mode;
    if kind != Kind::Symlink {
        mode = least_mode(&now, &have, owner, want);
        if mode != now.mode {
            may_go_on()?;
            set_mode(inode, held, mode).map_err(failed)?;
        }
    }
    if let Some(owner) = owner {
        may_go_on()?;
        linux::set_owner(held, owner).map_err(failed)?;
        if have.get(CAPABILITY).is_some() {
            have = read_xattrs(inode, want.namespaces)?;
        }
    }
    let mut dressed = set_xattrs(inode, &have, &want.xattrs, may_go_on);
    if kind != Kind::Symlink && dressed.as_ref().is_err_and(Error::is_denied) {
        // Without root, attributes of what is read-only can be set only while it is not.
        may_go_on()?;
        set_mode(inode, held, mode | 0o700).map_err(failed)?;
        dressed = read_xattrs(inode, want.namespaces)
            .and_then(|have| set_xattrs(inode, &have, &want.xattrs, may_go_on))
            .map(|_| true);
    }
    if dressed.as_ref().is_err_and(Error::is_changed) {
        return dressed.map(drop);
    }
    let last = last_mode(inode, kind, owner.unwrap_or((now.uid, now.gid)), (want, dressed.is_err()));
    // An owner or an ACL that was set may have changed the mode.
    let is_so = mode == last && owner.is_none() && last & SET_ID == 0 && matches!(dressed, Ok(false));
    if kind != Kind::Symlink && !is_so {
        may_go_on()?;
        set_mode(inode, held, last).map_err(failed)?;
    }
    if now.mtime != want.mtime {
        may_go_on()?;
        linux::set_mtime(held, want.mtime).map_err(failed)?;
    }
    dressed.map(drop)
}

const SET_ID: u32 = 0o6000;
const ACL: &[u8] = b"system.posix_acl_access";
const CAPABILITY: &[u8] = b"security.capability";

/// True when owner and ACL of what looks like `now` are to stay. With others, contents that are written into it would be
/// read under the old ones for a moment.
pub(crate) fn is_for_the_same(inode: &Inode<'_>, now: &Stamp, want: &Want) -> bool {
    let acl = want.namespaces.and(Namespaces::NONE.with(Namespace::Acl));
    want.owner.is_none_or(|owner| owner == (now.uid, now.gid))
        && inode.xattrs(acl).is_ok_and(|have| have.get(ACL) == want.xattrs.get(ACL))
}

/// Takes from an open file what it may not have in the end, before contents are written into it.
pub(crate) fn close_to_others(open: BorrowedFd<'_>, want: &Want) -> std::io::Result<()> {
    let now = linux::look_at_open(open)?;
    if now.mode & !want.mode == 0 { Ok(()) } else { linux::set_mode(open, now.mode & want.mode) }
}

/// The mode that an inode has to have before its owner and its ACL change, one after the other.
fn least_mode(now: &Stamp, have: &Xattrs, owner: Option<(u32, u32)>, want: &Want) -> u32 {
    let (old, new) = (have.get(ACL), want.xattrs.get(ACL));
    let least = now.mode & want.mode & 0o777;
    match owner {
        // The ACL says less than the mode for the owning group, and that is another one until the ACL is there.
        Some(_) if new.is_some() && old != new => least & 0o700,
        Some(_) => least,
        // Where an ACL goes, what it granted at most becomes what the owning group may.
        None if old.is_some() && new.is_none() => least,
        None => now.mode,
    }
}

/// The mode in the end: without set-id bits for another owner than in the source, and without the group's rights where an ACL
/// narrows those and could not be set.
fn last_mode(inode: &Inode<'_>, kind: Kind, owner: (u32, u32), (want, lacks): (&Want, bool)) -> u32 {
    let mode = if kind == Kind::Folder { want.mode } else { set_id_for(want.mode, owner, want.whose) };
    let acl = want.xattrs.get(ACL);
    let is_open = lacks
        && acl.is_some()
        && inode.xattrs(Namespaces::NONE.with(Namespace::Acl)).map_or(true, |have| have.get(ACL) != acl);
    if is_open { mode & !0o070 } else { mode }
}

fn set_mode(inode: &Inode<'_>, held: BorrowedFd<'_>, mode: u32) -> std::io::Result<()> {
    match inode {
        Inode::Open(open) => linux::set_mode(*open, mode),
        _ => linux::set_mode_of_held(held, mode),
    }
}

fn read_xattrs(inode: &Inode<'_>, which: Namespaces) -> Result<Xattrs> {
    inode.xattrs(which).map_err(|cause| Error::of("read its extended attributes", cause))
}

/// Makes attributes that are like `have` just like `want`; true when any was changed.
fn set_xattrs(inode: &Inode<'_>, have: &Xattrs, want: &Xattrs, may_go_on: MayGoOn<'_>) -> Result<bool> {
    let mut changed = false;
    let mut refused = None;
    for (name, _) in have.iter().filter(|(name, _)| want.get(name).is_none()) {
        changed = true;
        may_go_on()?;
        refused = refused.or(inode.remove(name).err().map(|cause| (name, cause)));
    }
    for (name, value) in want.iter().filter(|(name, value)| have.get(name) != Some(value)) {
        changed = true;
        may_go_on()?;
        refused = refused.or(inode.set(name, value).err().map(|cause| (name, cause)));
    }
    match refused {
        None => Ok(changed),
        Some((name, cause)) => Err(Error::Attribute { name: Escaped(name).to_string(), cause }),
    }
}

/// Finds out on a nameless file what its filesystem and the rights of this process allow. Leaves nothing behind.
pub(crate) fn probe(file: &OwnedFd) -> std::io::Result<Holds> {
    let inode = Inode::Open(file.as_fd());
    let xattrs = Namespace::ALL.into_iter().filter(|one| {
        let (name, value) = example(*one);
        inode.set(name, &value).map_or_else(|cause| !is_never(&cause), |()| true)
    });
    let xattrs = xattrs.fold(Namespaces::NONE, Namespaces::with);
    let times = probe_times(file.as_fd())?;
    let now = linux::look_at_open(file.as_fd())?;
    let odd = 0o751;
    linux::set_mode(file.as_fd(), odd)?;
    let modes = linux::look_at_open(file.as_fd())?.mode == odd;
    // Last, for the file is another's then.
    let owner = linux::set_owner(file.as_fd(), (now.uid ^ 1, now.gid ^ 1));
    let owner = owner.map_or_else(|cause| !is_never(&cause), |()| true);
    Ok(Holds { owner, modes, devices: linux::may_make_devices(), xattrs, times })
}

/// What is held where nothing can be tried: all that the rights allow.
pub(crate) fn unprobed() -> Holds {
    Holds { owner: linux::am_root(), devices: linux::may_make_devices(), ..Holds::default() }
}

/// True for answers that will be the same tomorrow: a full disk, say, is none.
fn is_never(cause: &std::io::Error) -> bool {
    is_any(cause, &[Errno::OPNOTSUPP, Errno::PERM, Errno::ACCESS, Errno::INVAL, Errno::NOSYS])
}

/// An attribute of each class that any target takes which takes that class.
fn example(one: Namespace) -> (&'static [u8], Vec<u8>) {
    // struct vfs_cap_data, revision 2: no capability at all.
    const NO_CAPABILITY: [u8; 20] = [0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    match one {
        Namespace::User => (b"user.alike", b"?".to_vec()),
        Namespace::Trusted => (b"trusted.alike", b"?".to_vec()),
        Namespace::Security => (b"security.alike", b"?".to_vec()),
        Namespace::Capability => (b"security.capability", NO_CAPABILITY.to_vec()),
        Namespace::Acl => (b"system.posix_acl_access", example_acl()),
    }
}

/// `user::rw-, user:1:r--, group::r--, mask::r--, other::---`: one that a mode alone cannot say.
fn example_acl() -> Vec<u8> {
    const VERSION: u32 = 2;
    const ENTRIES: [(u16, u16, u32); 5] =
        [(1, 6, u32::MAX), (2, 4, 1), (4, 4, u32::MAX), (16, 4, u32::MAX), (32, 0, u32::MAX)];
    let entries = ENTRIES.iter().flat_map(|(tag, allowed, id)| {
        [tag.to_le_bytes().to_vec(), allowed.to_le_bytes().to_vec(), id.to_le_bytes().to_vec()].concat()
    });
    VERSION.to_le_bytes().into_iter().chain(entries).collect()
}

fn probe_times(file: BorrowedFd<'_>) -> std::io::Result<Times> {
    let kept = |secs, nanos| -> std::io::Result<Time> {
        linux::set_mtime(file, Time { secs, nanos })?;
        Ok(linux::look_at_open(file)?.mtime)
    };
    const FAR: i64 = 1 << 40;
    // Odd, so that a filesystem that counts in twos shows.
    const ODD: i64 = 1_000_000_001;
    let (min, max, fine) = (kept(-FAR, 0)?.secs, kept(FAR, 0)?.secs, kept(ODD, 999_999_999)?);
    Ok(Times {
        min: if min <= -FAR { i64::MIN } else { min },
        max: if max >= FAR { i64::MAX } else { max },
        grain: match (fine.secs, fine.nanos) {
            (ODD, 0) => 1_000_000_000,
            (ODD, nanos) => 1_000_000_000 - nanos,
            _ => 2_000_000_000,
        },
    })
}
