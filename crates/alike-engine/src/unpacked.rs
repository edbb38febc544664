//! A line of a journal read back, and of those that are not wanted no more than the next lines need: a history has millions.
//!
//! `postcard` wrote them. To read every field by it costs several times what it does to look at the bytes.

use alike_model::entry::{Identity, Time};
use alike_model::event::Action;
use alike_model::path::RelPath;
use alike_model::xattrs::Xattrs;
use serde::Deserialize;

use crate::history::{Deed, Line, Look};
use crate::journal::Asks;
use crate::packed::{Before, Common, SECOND};

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

/// What is left of a frame. As everywhere here, `None` means that it is damaged.
pub(crate) struct Left<'a>(pub(crate) &'a [u8]);

impl<'a> Left<'a> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    /// Seven bits a byte, the lowest first.
    fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..u64::BITS).step_by(7) {
            let byte = self.byte()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(number);
            }
        }
        None
    }

    /// The lowest bit is the sign.
    fn difference(&mut self) -> Option<i64> {
        self.number().map(signed)
    }

    /// The same of up to 128 bits.
    fn far(&mut self) -> Option<i128> {
        const SHORT: u32 = 63;
        let mut short = 0;
        // Nearly all end here, and 64 bits are quicker.
        for shift in (0..SHORT).step_by(7) {
            let byte = self.byte()?;
            short |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some(i128::from(signed(short)));
            }
        }
        let mut number = u128::from(short);
        for shift in (SHORT..u128::BITS).step_by(7) {
            let byte = self.byte()?;
            number |= u128::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Some((number >> 1).cast_signed() ^ -(number & 1).cast_signed());
            }
        }
        None
    }

    fn pass_number(&mut self) -> Option<()> {
        let end = self.0.iter().position(|byte| *byte < 0x80)?;
        self.0 = &self.0[end + 1..];
        Some(())
    }

    fn text(&mut self) -> Option<&'a [u8]> {
        let length = self.number()?;
        let (text, rest) = self.0.split_at_checked(usize::try_from(length).ok()?)?;
        self.0 = rest;
        Some(text)
    }

    /// What shares its beginning with another text.
    fn text_like(&mut self, other: &mut Vec<u8>) -> Option<()> {
        let shared = usize::try_from(self.number()?).ok().filter(|shared| *shared <= other.len())?;
        other.truncate(shared);
        other.extend_from_slice(self.text()?);
        Some(())
    }

    /// True where the second of two cases follows: something and not nothing, a new value and not a known one.
    fn is_second(&mut self) -> Option<bool> {
        match self.byte()? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }

    /// What is seldom there.
    fn rare<T: Deserialize<'a>>(&mut self) -> Option<T> {
        let (value, rest) = postcard::take_from_bytes(self.0).ok()?;
        self.0 = rest;
        Some(value)
    }
}

impl Before {
    /// Reads a line, and hands it on if it is wanted. The cases are those of [`Packed`](crate::packed::Packed).
    pub(crate) fn read(&mut self, left: &mut Left<'_>, asks: &mut impl Asks) -> Option<()> {
        match left.number()? {
            0 => return self.read_deed(left, None, asks),
            1 => {
                let done = self.read_n(left)?;
                let is_wanted = asks.done(done);
                let now = self.read_look(left, is_wanted)?;
                if is_wanted {
                    asks.take(Line::Done { done, now });
                }
            }
            2 => asks.take(Line::Unkept { unkept: self.read_n(left)? }),
            3 => asks.take(Line::Void { void: self.read_n(left)? }),
            4 => {
                let took = left.number()?;
                return self.read_deed(left, Some(took), asks);
            }
            _ => return None,
        }
        Some(())
    }

    fn read_n(&mut self, left: &mut Left<'_>) -> Option<u64> {
        self.n = self.n.wrapping_add_signed(left.difference()?);
        Some(self.n)
    }

    fn read_deed(&mut self, left: &mut Left<'_>, took: Option<u64>, asks: &mut impl Asks) -> Option<()> {
        let n = self.read_n(left)?;
        self.pass = self.pass.wrapping_add_signed(left.difference()?);
        self.at = self.at.checked_add(left.far()?)?;
        let bits = left.byte()?;
        let why = self.read_why(left)?;
        self.read_folder(left)?;
        let name = left.text()?;
        let from = match left.is_second()? {
            true => {
                let mut from = full(&self.folder, name);
                left.text_like(&mut from)?;
                Some(from)
            }
            false => None,
        };
        let action = self.whys.get(why)?.0?;
        let is_wanted = asks.deed(&Glimpse {
            n,
            pass: self.pass,
            nanos: self.at,
            action,
            folder: &self.folder,
            name,
            from: from.as_deref(),
        });
        let old = self.read_look(left, is_wanted)?;
        let xattrs = if left.is_second()? { Some(left.rare::<Xattrs>()?) } else { None };
        let now = self.read_look(left, is_wanted)?;
        if !is_wanted {
            return Some(());
        }
        let from = if let Some(from) = from { Some(RelPath::parse(&from)?) } else { None };
        let path = RelPath::parse(&full(&self.folder, name))?;
        asks.take(Line::Deed(Box::new(Deed {
            n,
            from,
            reason: String::from_utf8_lossy(&self.whys.get(why)?.1).into_owned(),
            old,
            kept: bits & 1 != 0,
            patch: bits & 2 != 0,
            swapped: bits & 4 != 0,
            live: bits & 8 != 0,
            xattrs,
            now,
            took,
            ..Deed::of((self.pass, moment(self.at)?), action, &path)
        })));
        Some(())
    }

    /// Action and reason, by their place among those that are remembered.
    fn read_why(&mut self, left: &mut Left<'_>) -> Option<u8> {
        if !left.is_second()? {
            return left.byte();
        }
        let action = Action::parse(std::str::from_utf8(left.text()?).ok()?)?;
        let reason = left.text()?;
        let next = self.whys.next();
        next.0 = Some(action);
        reason.clone_into(&mut next.1);
        Some(self.whys.last())
    }

    fn read_folder(&mut self, left: &mut Left<'_>) -> Option<()> {
        match left.is_second()? {
            false => self.folders.get(left.byte()?)?.clone_into(&mut self.folder),
            true => {
                left.text_like(&mut self.folder)?;
                self.folder.clone_into(self.folders.next());
            }
        }
        Some(())
    }

    /// How an entry looked, where that is told and wanted.
    fn read_look(&mut self, left: &mut Left<'_>, is_wanted: bool) -> Option<Option<Look>> {
        if !left.is_second()? {
            return Some(None);
        }
        let common = match left.is_second()? {
            false => {
                let at = left.byte()?;
                if is_wanted { *self.commons.get(at)? } else { None }
            }
            true => *self.commons.learn(Some(left.rare::<Common>()?)),
        };
        self.ino = self.ino.wrapping_add_signed(left.difference()?);
        let has_btime = left.is_second()?;
        if !is_wanted {
            if has_btime {
                left.pass_number()?;
            }
            left.pass_number()?;
            self.mtime = self.mtime.checked_add(left.far()?)?;
            return Some(None);
        }
        let btime = if has_btime { Some(moment(self.at.checked_add(left.far()?)?)?) } else { None };
        let size = left.number()?;
        self.mtime = self.mtime.checked_add(left.far()?)?;
        let (kind, mode, uid, gid, nlink) = common?;
        let id = Identity { ino: self.ino, btime };
        Some(Some(Look { kind, id, size, mode, uid, gid, mtime: moment(self.mtime)?, nlink }))
    }
}

/// A path from its folder and its name.
pub(crate) fn full(folder: &[u8], name: &[u8]) -> Vec<u8> {
    match (folder, name) {
        (folder, b"") => folder.to_owned(),
        (b"", name) => name.to_owned(),
        (folder, name) => [folder, b"/", name].concat(),
    }
}

fn signed(number: u64) -> i64 {
    (number >> 1).cast_signed() ^ -(number & 1).cast_signed()
}

fn moment(nanos: i128) -> Option<Time> {
    let secs = i64::try_from(nanos.div_euclid(SECOND)).ok()?;
    Some(Time { secs, nanos: u32::try_from(nanos.rem_euclid(SECOND)).ok()? })
}
