//! A line of a journal as it is written, told by what differs from the lines before it in the same frame.

use alike_model::entry::{Kind, Time};
use alike_model::event::Action;
use alike_model::xattrs::Xattrs;
use serde::Serialize;

use crate::history::{Deed, Line, Look};

/// As many values are remembered, to be named by a number.
const REMEMBERED: usize = 32;

/// A line. Numbers are differences to the line before.
#[derive(Serialize)]
#[allow(clippy::large_enum_variant, reason = "most are deeds, and each is gone at once")]
pub(crate) enum Packed<'a> {
    Deed(PackedDeed<'a>),
    Done(i64, Option<PackedLook>),
    Unkept(i64),
    Void(i64),
    /// A deed that took so many milliseconds. Apart, so that those that took less are no longer by it.
    Took(u64, PackedDeed<'a>),
}

#[derive(Serialize)]
pub(crate) struct PackedDeed<'a> {
    n: i64,
    pass: i64,
    at: i128,
    /// `kept`, `patch`, `swapped` and `live`, a bit each.
    bits: u8,
    /// Action and reason.
    why: Told<(&'a str, &'a str)>,
    folder: Told<Text<'a>>,
    name: &'a [u8],
    /// What it shares with the path.
    from: Option<Text<'a>>,
    old: Option<PackedLook>,
    xattrs: Option<Xattrs>,
    now: Option<PackedLook>,
}

#[derive(Serialize)]
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
pub(crate) type Common = (Kind, u32, u32, u32, u32);

/// A value that was told before, or a new one.
#[derive(Serialize)]
pub(crate) enum Told<T> {
    Known(u8),
    New(T),
}

/// How much it has in common with another at its beginning, and the rest.
type Text<'a> = (u32, &'a [u8]);

/// What the lines before had.
#[derive(Default)]
pub(crate) struct Before {
    pub(crate) n: u64,
    pub(crate) pass: u64,
    pub(crate) at: i128,
    pub(crate) ino: u64,
    pub(crate) mtime: i128,
    pub(crate) whys: Recent<(Option<Action>, Vec<u8>)>,
    pub(crate) folders: Recent<Vec<u8>>,
    pub(crate) folder: Vec<u8>,
    pub(crate) commons: Recent<Option<Common>>,
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

    fn number(&mut self, n: u64) -> i64 {
        n.wrapping_sub(std::mem::replace(&mut self.n, n)).cast_signed()
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

    fn why<'a>(&mut self, deed: &'a Deed) -> Told<(&'a str, &'a str)> {
        match self
            .whys
            .find(|(action, reason)| *action == Some(deed.action) && *reason == deed.reason.as_bytes())
        {
            Some(at) => Told::Known(at),
            None => {
                self.whys.learn((Some(deed.action), deed.reason.clone().into_bytes()));
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
}

/// Values that were told in a frame; the latest take the place of the first.
pub(crate) struct Recent<T> {
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

    pub(crate) fn get(&self, at: u8) -> Option<&T> {
        self.in_use().get(usize::from(at))
    }

    pub(crate) fn learn(&mut self, value: T) -> &T
    where
        T: Default,
    {
        let next = self.next();
        *next = value;
        next
    }

    /// The place of the latest value.
    pub(crate) fn last(&self) -> u8 {
        u8::try_from(self.learnt.wrapping_sub(1) % REMEMBERED).unwrap_or(u8::MAX)
    }

    /// Where the next value goes: what is there is to be overwritten.
    pub(crate) fn next(&mut self) -> &mut T
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

pub(crate) const SECOND: i128 = 1_000_000_000;

pub(crate) fn nanos(time: Time) -> i128 {
    i128::from(time.secs) * SECOND + i128::from(time.nanos)
}
