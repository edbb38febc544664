//! A journal as bytes: frames of lines, each with a checksum.
//!
//! What a first pass copies is told in some fifty bytes an entry. A frame stands for itself, so damage costs that frame and
//! no more, and what the disk does not give back as it was is not believed.

use std::io::{self, Write};

use xxhash_rust::xxh3::xxh3_64;

use crate::history::Line;
use crate::packed::Before;
use crate::unpacked::{Glimpse, Left};

/// Before each frame: no text begins so, and no path has it.
const MAGIC: [u8; 4] = [0xf5, 0, b'a', 2];
/// Magic, length and checksum.
const HEAD: usize = 12;
/// A frame is written when it is this long: what a kill may cost of what was only added, and damage of everything.
const FULL: usize = 8 * 1024;

/// Writes lines.
pub(crate) struct Scribe<W: Write> {
    to: W,
    frame: Vec<u8>,
    before: Before,
}

impl<W: Write> Scribe<W> {
    pub(crate) fn new(to: W) -> Self {
        Self { to, frame: Vec::new(), before: Before::default() }
    }

    /// Writes a line, into memory at first.
    pub(crate) fn write(&mut self, line: &Line) -> io::Result<()> {
        let packed = self.before.pack(line);
        // Bytes into memory: there is nothing that could fail.
        self.frame =
            postcard::to_extend(&packed, std::mem::take(&mut self.frame)).map_err(io::Error::other)?;
        if self.frame.len() < FULL { Ok(()) } else { self.flush() }
    }

    /// What they are written to.
    pub(crate) fn to(&self) -> &W {
        &self.to
    }

    /// Hands all lines to the system. What fails is tried again with the next, so that a line may be there twice.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        let Ok(length) = u32::try_from(self.frame.len()) else {
            return Err(io::ErrorKind::FileTooLarge.into());
        };
        if length > 0 {
            let head = [MAGIC, length.to_le_bytes(), checksum(&self.frame)];
            self.to.write_all(&[head.as_flattened(), &self.frame].concat())?;
            self.frame.clear();
            self.before = Before::default();
        }
        Ok(())
    }
}

impl<W: Write> Drop for Scribe<W> {
    fn drop(&mut self) {
        let _ = self.flush();
    }
}

/// Reads lines, in the order in which they were written. What is no whole frame is passed over.
pub(crate) fn read(mut bytes: &[u8], mut line: impl FnMut(Line)) {
    while let Some(at) = bytes.windows(MAGIC.len()).position(|window| window == MAGIC) {
        match whole_frame(&bytes[at..]) {
            Some((frame, after)) => {
                read_frame(frame, &mut line);
                bytes = after;
            }
            None => bytes = &bytes[at + 1..],
        }
    }
}

/// The whole frames, in order, without their heads, and where each begins. What is none is passed over.
pub(crate) fn frames(bytes: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let mut left = bytes;
    std::iter::from_fn(move || {
        loop {
            let at = bytes.len() - left.len();
            if let Some((frame, after)) = left.starts_with(&MAGIC).then(|| whole_frame(left)).flatten() {
                left = after;
                return Some((at, frame));
            }
            let rest = left.get(1..)?;
            left = &rest[rest.windows(MAGIC.len()).position(|window| window == MAGIC)?..];
        }
    })
}

/// Where a frame ends that begins there.
pub(crate) fn end(at: usize, frame: &[u8]) -> usize {
    at + HEAD + frame.len()
}

/// What is asked of lines before they are unpacked.
pub(crate) trait Asks {
    /// True for a deed that is wanted.
    fn deed(&mut self, glimpse: &Glimpse<'_>) -> bool;
    /// True when what became of a deed is wanted, from its number.
    fn done(&mut self, n: u64) -> bool;
    /// Takes a line that is wanted.
    fn take(&mut self, line: Line);
}

/// Reads of a frame the lines that are wanted.
pub(crate) fn glean(frame: &[u8], before: &mut Before, asks: &mut impl Asks) {
    before.begin_frame();
    let mut left = Left(frame);
    while !left.0.is_empty() && before.read(&mut left, asks).is_some() {}
}

fn whole_frame(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (head, rest) = bytes.split_at_checked(HEAD)?;
    let length = u32::from_le_bytes(head[4..8].try_into().ok()?);
    let (frame, after) = rest.split_at_checked(usize::try_from(length).ok()?)?;
    (head[8..] == checksum(frame)).then_some((frame, after))
}

fn checksum(frame: &[u8]) -> [u8; 4] {
    let [a, b, c, d, ..] = xxh3_64(frame).to_le_bytes();
    [a, b, c, d]
}

fn read_frame(frame: &[u8], line: &mut impl FnMut(Line)) {
    glean(frame, &mut Before::default(), &mut All(line));
}

/// Asks for every line.
struct All<F>(F);

impl<F: FnMut(Line)> Asks for All<F> {
    fn deed(&mut self, _: &Glimpse<'_>) -> bool {
        true
    }

    fn done(&mut self, _: u64) -> bool {
        true
    }

    fn take(&mut self, line: Line) {
        self.0(line);
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use alike_model::entry::{Identity, Kind, Time};
    use alike_model::event::Action;
    use alike_model::path::RelPath;
    use alike_model::xattrs::Xattrs;
    use alike_testkit::{Scramble, rounds};

    use super::*;
    use crate::history::{Deed, Look};

    fn path(text: &[u8]) -> RelPath {
        RelPath::parse(text).unwrap()
    }

    fn time(n: u64) -> Time {
        Time {
            secs: 1_790_000_000 + (n / 9000).cast_signed(),
            nanos: u32::try_from(n % 9000 * 111_111).unwrap(),
        }
    }

    fn look(n: u64, kind: Kind) -> Look {
        let id = Identity { ino: 4_000_000 + n, btime: Some(time(n)) };
        let mtime = Time { secs: 1_700_000_000 + (n * 7919 % 50_000_000).cast_signed(), nanos: 123_456_789 };
        Look { kind, id, size: n * 31 % 70_000, mode: 0o644, uid: 1000, gid: 1000, mtime, nlink: 1 }
    }

    /// As a first copy writes them, with two threads.
    fn created(n: u64) -> Line {
        let name = format!("drivers/net/ethernet/vendor-{}/{}/some_file_{n}.c", n / 60, n % 2);
        let now = Some(look(n, Kind::File));
        let deed = Deed::of((3, time(n)), Action::Create, &path(name.as_bytes()));
        Line::Deed(Box::new(Deed { n, now, reason: "new".to_owned(), ..deed }))
    }

    /// Lines of every kind, with everything that can be told.
    fn odd() -> Vec<Line> {
        let xattrs = Xattrs::new(vec![(b"user.\xff".to_vec(), vec![0; 300])]);
        let far = Look {
            id: Identity { ino: u64::MAX, btime: None },
            size: u64::MAX,
            mtime: Time { secs: i64::MIN, nanos: 999_999_999 },
            nlink: u32::MAX,
            ..look(1, Kind::BlockDevice)
        };
        let deed = |n, action, text: &[u8]| Deed { n, ..Deed::of((u64::MAX, time(n)), action, &path(text)) };
        let mut lines: Vec<Line> = [
            Deed {
                old: Some(look(5, Kind::Folder)),
                xattrs: Some(xattrs),
                now: Some(far),
                ..deed(9, Action::Meta, b"")
            },
            Deed {
                kept: true,
                patch: true,
                old: Some(far),
                ..deed(2, Action::Update, b"a\n\xff/\xf5\x01a\x02")
            },
            Deed {
                swapped: true,
                from: Some(path(b"a\n\xff/x")),
                ..deed(u64::MAX, Action::Rename, b"a\n\xff/y")
            },
            Deed { from: Some(path(b"")), reason: "size 1→2 \"".to_owned(), ..deed(3, Action::Link, b"z") },
            Deed { took: Some(1), now: Some(far), ..deed(4, Action::Create, b"z/slow") },
            Deed { took: Some(u64::MAX), old: Some(far), ..deed(7, Action::Update, b"z/slower") },
        ]
        .into_iter()
        .map(|deed| Line::Deed(Box::new(deed)))
        .collect();
        lines.push(Line::Done { done: 2, now: Some(far) });
        lines.push(Line::Done { done: u64::MAX, now: None });
        lines.push(Line::Unkept { unkept: 2 });
        lines.push(Line::Void { void: 3 });
        lines
    }

    fn written(lines: &[Line]) -> Vec<u8> {
        let mut bytes = Vec::new();
        let mut scribe = Scribe::new(&mut bytes);
        for line in lines {
            scribe.write(line).unwrap();
        }
        drop(scribe);
        bytes
    }

    fn read_back(bytes: &[u8]) -> Vec<Line> {
        let mut lines = Vec::new();
        read(bytes, |line| lines.push(line));
        lines
    }

    #[test]
    fn all_that_is_written_down_is_read_back() {
        let mut lines = odd();
        lines.extend((0..3000).map(created));
        lines.extend(odd());
        assert_eq!(read_back(&written(&lines)), lines);
        // Each line handed to the system at once: a frame each.
        let mut bytes = Vec::new();
        let mut scribe = Scribe::new(&mut bytes);
        for line in &lines {
            scribe.write(line).and_then(|()| scribe.flush()).unwrap();
        }
        drop(scribe);
        assert_eq!(read_back(&bytes), lines);
    }

    /// As it was written before deeds had a duration.
    const BEFORE: &str = "f50061024700000000416b3a0002048c998bacdbedb7ea310101067570646174650a73697a652032e286923701000464 \
         6f6373016100010100a403000001f894e90901a3e78719028aea99a2daedb7ea310000f5006102960000007bd06aad01 \
         02010100a403000001a294e90901e8cf9caadbedb7ea3107b8be95a1dbedb7ea31000204deb2afacdbedb7ea31000104 \
         6d6574610001000004646f637300010101ed030000024e01e197d7198020add4fb7e000100010001e197d71980200000 \
         0200fabb0701010664656c65746514676f6e652066726f6d2074686520736f7572636500000162000100000101b1c29c \
         1b02000000f500610248000000647e09be010600000204eed7bbacdbedb7ea310001046d657461000100000000010101 \
         ed03000004c294e90901eda1a22380208aea99a2daedb7ea31000100000001eda1a2238020aed4fb7e";

    #[test]
    fn a_journal_of_the_version_before_is_read_as_it_was_meant() {
        let digits: Vec<u8> = BEFORE.bytes().filter(u8::is_ascii_hexdigit).collect();
        let byte = |two: &[u8]| u8::from_str_radix(std::str::from_utf8(two).unwrap(), 16).unwrap();
        let bytes: Vec<u8> = digits.chunks(2).map(byte).collect();
        let deeds = crate::history::read(&bytes);
        let told = |deed: &Deed| (deed.action, deed.path.to_string(), deed.kept, deed.told, deed.took);
        assert_eq!(
            deeds.iter().map(told).collect::<Vec<_>>(),
            [
                (Action::Update, "docs/a".to_owned(), true, true, None),
                (Action::Meta, "docs".to_owned(), false, false, None),
                (Action::Delete, "b".to_owned(), true, true, None),
                (Action::Meta, ".".to_owned(), false, false, None),
            ]
        );
        assert_eq!((deeds[0].at.secs, deeds[0].now.map(|now| now.size)), (1_795_370_232, Some(7)));
    }

    #[test]
    fn of_any_journal_just_the_lines_that_are_wanted_are_read() {
        struct Odd(Vec<Line>);
        impl Asks for Odd {
            fn deed(&mut self, glimpse: &Glimpse<'_>) -> bool {
                glimpse.n % 3 == 1
            }
            fn done(&mut self, n: u64) -> bool {
                n % 3 == 1
            }
            fn take(&mut self, line: Line) {
                self.0.push(line);
            }
        }
        let mut lines: Vec<Line> = (0..500).map(created).chain(odd()).collect();
        lines
            .extend((0..400).map(|n| Line::Done { done: n, now: (n % 2 == 0).then(|| look(n, Kind::Fifo)) }));
        lines.extend((500..900).map(created));
        let mut whole = written(&lines);
        let at = whole.len() / 3;
        for damaged in [false, true] {
            whole[at] ^= u8::from(damaged);
            let is_wanted = |line: &Line| match line {
                Line::Deed(deed) => deed.n % 3 == 1,
                Line::Done { done, .. } => done % 3 == 1,
                _ => true,
            };
            let wanted: Vec<Line> = read_back(&whole).into_iter().filter(is_wanted).collect();
            let mut got = Odd(Vec::new());
            let mut before = Before::default();
            frames(&whole).for_each(|(_, frame)| glean(frame, &mut before, &mut got));
            assert_eq!(got.0, wanted);
        }
    }

    #[test]
    fn a_created_file_costs_less_than_sixty_bytes() {
        let lines: Vec<Line> = (0..20_000).map(created).collect();
        let each = written(&lines).len() / lines.len();
        assert!(each < 60, "{each} bytes");
    }

    #[test]
    fn damage_costs_the_frame_that_it_is_in_and_no_line_is_believed_that_was_not_written() {
        let lines: Vec<Line> = (0..2000).map(created).collect();
        let whole = written(&lines);
        let mut scramble = Scramble::new("journal damage");
        for _ in 0..rounds(50) {
            let mut bytes = whole.clone();
            let at = scramble.below(bytes.len());
            bytes[at] ^= 1 << scramble.below(8);
            let left = read_back(&bytes);
            assert!(left.len() + 400 > lines.len(), "only {} are left", left.len());
            let mut written = lines.iter();
            assert!(left.iter().all(|line| written.any(|one| one == line)), "byte {at}");
        }
        for cut in [0, 1, HEAD, FULL, whole.len() - 1] {
            let left = read_back(&whole[..cut]);
            assert_eq!(left[..], lines[..left.len()], "cut off at {cut}");
        }
    }

    #[test]
    fn whatever_bytes_come_as_a_journal_nothing_panics() {
        let mut some = odd();
        some.extend((0..5).map(created));
        let frame = written(&some)[HEAD..].to_vec();
        let seeds = [frame, written(&odd())];
        let mut scramble = Scramble::new("journal");
        for _ in 0..rounds(6000) {
            let bytes = scramble.mutate(&seeds);
            // As if the checksum had been right.
            read_frame(&bytes, &mut drop);
            read(&bytes, drop);
        }
    }

    #[test]
    fn what_could_not_be_written_is_written_with_the_next() {
        /// Takes nothing, or half of what comes.
        struct Full<'a>(&'a mut Vec<u8>, usize);
        impl Write for Full<'_> {
            fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
                let taken = bytes.len().min(self.1);
                self.1 -= taken;
                self.0.extend_from_slice(&bytes[..taken]);
                if taken == 0 { Err(io::ErrorKind::StorageFull.into()) } else { Ok(taken) }
            }

            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let mut bytes = Vec::new();
        let mut scribe = Scribe::new(Full(&mut bytes, 40));
        scribe.write(&created(1)).unwrap();
        scribe.flush().unwrap_err();
        scribe.to.1 = usize::MAX;
        scribe.write(&created(2)).and_then(|()| scribe.flush()).unwrap();
        drop(scribe);
        assert_eq!(read_back(&bytes), [created(1), created(2)]);
    }
}
