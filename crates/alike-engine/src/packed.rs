//! A line of a journal, told by what differs from the lines before it in the same frame.

use alike_model::entry::{Identity, Kind, Time};
use alike_model::event::Action;
use alike_model::path::RelPath;
use alike_model::xattrs::Xattrs;
use serde::{Deserialize, Serialize};

use crate::history::{Deed, Line, Look};

/// As many values are remembered, to be named by a number.
const REMEMBERED: usize = 32;

/// A line. Numbers are differences to the line before.
#[derive(Serialize, Deserialize)]
#[allow(clippy::large_enum_variant, reason = "most are deeds, and each is gone at once")]
pub(crate) enum Packed<'a> {
    #[serde(borrow)]
    Deed(PackedDeed<'a>),
    Done(i64, Option<PackedLook>),
    Unkept(i64),
    Void(i64),
    /// A deed that took so many milliseconds. Apart, so that those that took less are no longer by it.
    Took(u64, #[serde(borrow)] PackedDeed<'a>),
}

#[derive(Serialize, Deserialize)]
pub(crate) struct PackedDeed<'a> {
    n: i64,
    pass: i64,
    at: i128,
    /// `kept`, `patch`, `swapped` and `live`, a bit each.
    bits: u8,
    /// Action and reason.
    #[serde(borrow)]
    why: Told<(&'a str, &'a str)>,
    #[serde(borrow)]
    folder: Told<Text<'a>>,
    name: &'a [u8],
    /// What it shares with the path.
    #[serde(borrow)]
    from: Option<Text<'a>>,
    old: Option<PackedLook>,
    xattrs: Option<Xattrs>,
    now: Option<PackedLook>,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct PackedLook {
    /// All that many entries have in common.
    common: Told<Common>,
    ino: i64,
    /// From the moment of the deed on, for most are as old as that.
    btime: Option<i128>,
    size: u64,
    mtime: i128,
}

/// Kind, mode, owner, group and number of names.
type Common = (Kind, u32, u32, u32, u32);

/// A value that was told before, or a new one.
#[derive(Serialize, Deserialize)]
pub(crate) enum Told<T> {
    Known(u8),
    New(T),
}

/// How much it has in common with another at its beginning, and the rest.
type Text<'a> = (u32, &'a [u8]);

/// What is known of a deed before it is unpacked.
pub(crate) struct Glimpse<'a> {
    pub(crate) n: u64,
    pub(crate) pass: u64,
    /// When, in nanoseconds.
    pub(crate) nanos: i128,
    pub(crate) action: Action,
    pub(crate) folder: &'a [u8],
    /// Empty for the root itself.
    pub(crate) name: &'a [u8],
    pub(crate) from: Option<&'a [u8]>,
}

/// What the lines before had.
#[derive(Default)]
pub(crate) struct Before {
    n: u64,
    pass: u64,
    at: i128,
    ino: u64,
    mtime: i128,
    whys: Recent<(Option<Action>, String)>,
    folders: Recent<Vec<u8>>,
    folder: Vec<u8>,
    commons: Recent<Option<Common>>,
}

impl Before {
    /// As at the beginning of a frame, with the room that there is.
    pub(crate) fn begin_frame(&mut self) {
        (self.n, self.pass, self.at, self.ino, self.mtime) = (0, 0, 0, 0, 0);
        (self.whys.learnt, self.folders.learnt, self.commons.learnt) = (0, 0, 0);
        self.folder.clear();
    }

    pub(crate) fn pack<'a>(&mut self, line: &'a Line) -> Packed<'a> {
        match line {
            Line::Deed(deed) => match deed.took {
                Some(took) => Packed::Took(took, self.pack_deed(deed)),
                None => Packed::Deed(self.pack_deed(deed)),
            },
            Line::Done { done, now } => {
                Packed::Done(self.number(*done), now.as_ref().map(|now| self.pack_look(now)))
            }
            Line::Unkept { unkept } => Packed::Unkept(self.number(*unkept)),
            Line::Void { void } => Packed::Void(self.number(*void)),
        }
    }

    pub(crate) fn unpack(&mut self, packed: Packed<'_>) -> Option<Line> {
        Some(match packed {
            Packed::Deed(deed) => self.unpack_deed_if((deed, None), &mut |_| true)??,
            Packed::Took(took, deed) => self.unpack_deed_if((deed, Some(took)), &mut |_| true)??,
            Packed::Done(n, now) => {
                let done = self.number_of(n);
                let now = match now {
                    Some(now) => Some(self.unpack_look(&now)?),
                    None => None,
                };
                Line::Done { done, now }
            }
            Packed::Unkept(n) => Line::Unkept { unkept: self.number_of(n) },
            Packed::Void(n) => Line::Void { void: self.number_of(n) },
        })
    }

    fn number(&mut self, n: u64) -> i64 {
        n.wrapping_sub(std::mem::replace(&mut self.n, n)).cast_signed()
    }

    fn number_of(&mut self, difference: i64) -> u64 {
        self.n = self.n.wrapping_add_signed(difference);
        self.n
    }

    fn pack_deed<'a>(&mut self, deed: &'a Deed) -> PackedDeed<'a> {
        let (n, at) = (self.number(deed.n), nanos(deed.at));
        let path = deed.path.as_bytes();
        let (folder, name) = match path.iter().rposition(|byte| *byte == b'/') {
            Some(slash) => (&path[..slash], &path[slash + 1..]),
            None => (&path[..0], path),
        };
        let from = deed.from.as_ref().map(|from| rest(from.as_bytes(), path));
        PackedDeed {
            n,
            pass: deed.pass.wrapping_sub(std::mem::replace(&mut self.pass, deed.pass)).cast_signed(),
            at: at - std::mem::replace(&mut self.at, at),
            bits: u8::from(deed.kept)
                | u8::from(deed.patch) << 1
                | u8::from(deed.swapped) << 2
                | u8::from(deed.live) << 3,
            why: self.why(deed),
            folder: self.folder(folder),
            name,
            from,
            old: deed.old.as_ref().map(|old| self.pack_look(old)),
            xattrs: deed.xattrs.clone(),
            now: deed.now.as_ref().map(|now| self.pack_look(now)),
        }
    }

    /// The deed when it is wanted: of one that is not, only what the next lines need is taken in. `None`: it is no line.
    pub(crate) fn unpack_deed_if(
        &mut self,
        (packed, took): (PackedDeed<'_>, Option<u64>),
        wants: &mut impl FnMut(&Glimpse<'_>) -> bool,
    ) -> Option<Option<Line>> {
        let n = self.number_of(packed.n);
        self.pass = self.pass.wrapping_add_signed(packed.pass);
        self.at = self.at.checked_add(packed.at)?;
        let why = match packed.why {
            Told::Known(at) => self.whys.get(at)?,
            Told::New((action, reason)) => {
                let action = Action::parse(action)?;
                let next = self.whys.next();
                next.0 = Some(action);
                reason.clone_into(&mut next.1);
                next
            }
        };
        match packed.folder {
            Told::Known(at) => self.folders.get(at)?.clone_into(&mut self.folder),
            Told::New((shared, rest)) => {
                let shared = usize::try_from(shared).ok().filter(|shared| *shared <= self.folder.len())?;
                self.folder.truncate(shared);
                self.folder.extend_from_slice(rest);
                self.folder.clone_into(self.folders.next());
            }
        }
        let from = packed.from.is_some().then(|| full(&self.folder, packed.name));
        let from = match (packed.from, from) {
            (Some(text), Some(path)) => Some(whole(text, &path)?),
            _ => None,
        };
        let glimpse = Glimpse {
            n,
            pass: self.pass,
            nanos: self.at,
            action: why.0?,
            folder: &self.folder,
            name: packed.name,
            from: from.as_deref(),
        };
        if !wants(&glimpse) {
            packed.old.into_iter().chain(packed.now).try_for_each(|look| self.pass_over(&look))?;
            return Some(None);
        }
        let (action, reason) = (why.0?, why.1.clone());
        let path = RelPath::parse(&full(&self.folder, packed.name))?;
        let from = match from {
            Some(from) => Some(RelPath::parse(&from)?),
            None => None,
        };
        let old = packed.old.map(|old| self.unpack_look(&old));
        let now = packed.now.map(|now| self.unpack_look(&now));
        Some(Some(Line::Deed(Box::new(Deed {
            n,
            from,
            reason,
            old: if let Some(old) = old { Some(old?) } else { None },
            kept: packed.bits & 1 != 0,
            patch: packed.bits & 2 != 0,
            swapped: packed.bits & 4 != 0,
            live: packed.bits & 8 != 0,
            xattrs: packed.xattrs,
            now: if let Some(now) = now { Some(now?) } else { None },
            took,
            ..Deed::of((self.pass, moment(self.at)?), action, &path)
        }))))
    }

    /// What became of a deed, when that is wanted.
    pub(crate) fn unpack_done_if(
        &mut self,
        (n, now): (i64, Option<PackedLook>),
        wants: impl FnOnce(u64) -> bool,
    ) -> Option<Option<Line>> {
        let done = self.number_of(n);
        let Some(now) = now else { return Some(wants(done).then_some(Line::Done { done, now: None })) };
        if wants(done) {
            return Some(Some(Line::Done { done, now: Some(self.unpack_look(&now)?) }));
        }
        self.pass_over(&now)?;
        Some(None)
    }

    fn why<'a>(&mut self, deed: &'a Deed) -> Told<(&'a str, &'a str)> {
        match self.whys.find(|(action, reason)| *action == Some(deed.action) && *reason == deed.reason) {
            Some(at) => Told::Known(at),
            None => {
                self.whys.learn((Some(deed.action), deed.reason.clone()));
                Told::New((deed.action.as_str(), &deed.reason))
            }
        }
    }

    fn folder<'a>(&mut self, folder: &'a [u8]) -> Told<Text<'a>> {
        let told = match self.folders.find(|one| one == folder) {
            Some(at) => Told::Known(at),
            None => {
                self.folders.learn(folder.to_owned());
                Told::New(rest(folder, &self.folder))
            }
        };
        folder.clone_into(&mut self.folder);
        told
    }

    fn pack_look(&mut self, look: &Look) -> PackedLook {
        let common = (look.kind, look.mode, look.uid, look.gid, look.nlink);
        let mtime = nanos(look.mtime);
        PackedLook {
            common: match self.commons.find(|one| *one == Some(common)) {
                Some(at) => Told::Known(at),
                None => {
                    self.commons.learn(Some(common));
                    Told::New(common)
                }
            },
            ino: look.id.ino.wrapping_sub(std::mem::replace(&mut self.ino, look.id.ino)).cast_signed(),
            btime: look.id.btime.map(|btime| nanos(btime) - self.at),
            size: look.size,
            mtime: mtime - std::mem::replace(&mut self.mtime, mtime),
        }
    }

    fn pass_over(&mut self, packed: &PackedLook) -> Option<()> {
        if let Told::New(common) = packed.common {
            self.commons.learn(Some(common));
        }
        self.ino = self.ino.wrapping_add_signed(packed.ino);
        self.mtime = self.mtime.checked_add(packed.mtime)?;
        Some(())
    }

    fn unpack_look(&mut self, packed: &PackedLook) -> Option<Look> {
        let (kind, mode, uid, gid, nlink) = match packed.common {
            Told::Known(at) => (*self.commons.get(at)?)?,
            Told::New(common) => common,
        };
        self.pass_over(packed)?;
        let btime = match packed.btime {
            Some(btime) => Some(moment(self.at.checked_add(btime)?)?),
            None => None,
        };
        let id = Identity { ino: self.ino, btime };
        Some(Look { kind, id, size: packed.size, mode, uid, gid, mtime: moment(self.mtime)?, nlink })
    }
}

/// Values that were told in a frame; the latest take the place of the first.
struct Recent<T> {
    /// What is beyond those in use is of an earlier frame, and its room is used again.
    told: Vec<T>,
    learnt: usize,
}

impl<T> Default for Recent<T> {
    fn default() -> Self {
        Self { told: Vec::new(), learnt: 0 }
    }
}

impl<T> Recent<T> {
    fn in_use(&self) -> &[T] {
        &self.told[..self.learnt.min(REMEMBERED).min(self.told.len())]
    }

    fn find(&self, is_it: impl FnMut(&T) -> bool) -> Option<u8> {
        self.in_use().iter().position(is_it).and_then(|at| u8::try_from(at).ok())
    }

    fn get(&self, at: u8) -> Option<&T> {
        self.in_use().get(usize::from(at))
    }

    fn learn(&mut self, value: T) -> &T
    where
        T: Default,
    {
        let next = self.next();
        *next = value;
        next
    }

    /// Where the next value goes: what is there is to be overwritten.
    fn next(&mut self) -> &mut T
    where
        T: Default,
    {
        let at = self.learnt % REMEMBERED;
        self.learnt += 1;
        if at == self.told.len() {
            self.told.push(T::default());
        }
        &mut self.told[at]
    }
}

fn rest<'a>(text: &'a [u8], like: &[u8]) -> Text<'a> {
    let shared = text.iter().zip(like).take_while(|(one, other)| one == other).count();
    let told = u32::try_from(shared).unwrap_or(0);
    (told, &text[usize::try_from(told).unwrap_or(0)..])
}

fn whole((shared, rest): Text<'_>, like: &[u8]) -> Option<Vec<u8>> {
    Some([like.get(..usize::try_from(shared).ok()?)?, rest].concat())
}

/// A path from its folder and its name.
pub(crate) fn full(folder: &[u8], name: &[u8]) -> Vec<u8> {
    match (folder, name) {
        (folder, b"") => folder.to_owned(),
        (b"", name) => name.to_owned(),
        (folder, name) => [folder, b"/", name].concat(),
    }
}

const SECOND: i128 = 1_000_000_000;

pub(crate) fn nanos(time: Time) -> i128 {
    i128::from(time.secs) * SECOND + i128::from(time.nanos)
}

fn moment(nanos: i128) -> Option<Time> {
    let secs = i64::try_from(nanos.div_euclid(SECOND)).ok()?;
    Some(Time { secs, nanos: u32::try_from(nanos.rem_euclid(SECOND)).ok()? })
}
