//! Bytes that nobody would write: seeded mutations for whatever parses, the same in each run until told otherwise.
//!
//! `ALIKE_FUZZ=N` makes every test of this kind N times as long, `ALIKE_SEED=N` takes another way through.

/// A source of damage. When a test fails, it says how to get the same damage again.
#[derive(Debug)]
pub struct Scramble {
    name: &'static str,
    seed: u64,
    state: u64,
    made: u64,
}

/// Values at which parsers break: borders of lengths, signs and encodings.
const BORDERS: [u8; 12] = [0, 1, 9, b'\n', b'"', b'%', b'0', b'{', 0x7f, 0x80, 0xfe, 0xff];

/// How often to try: `quick` times, and more when `ALIKE_FUZZ` says so.
pub fn rounds(quick: u64) -> u64 {
    quick * number_in("ALIKE_FUZZ").unwrap_or(1)
}

fn number_in(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is no number: {text}")))
}

impl Scramble {
    /// One for a test of this name.
    pub fn new(name: &'static str) -> Self {
        Self::with_seed(name, number_in("ALIKE_SEED").unwrap_or(1))
    }

    /// One with a seed that failed once.
    pub fn with_seed(name: &'static str, seed: u64) -> Self {
        let named = name.bytes().fold(seed, |sum, byte| sum.rotate_left(7) ^ u64::from(byte));
        Self { name, seed, state: named, made: 0 }
    }

    fn next(&mut self) -> u64 {
        // splitmix64
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.state ^ (self.state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// A number below `end`, which must not be 0.
    pub fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end as u64).expect("it is below a usize")
    }

    /// One of these.
    pub fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    /// One of the seeds, damaged in a few ways; now and then just noise.
    pub fn mutate(&mut self, seeds: &[impl AsRef<[u8]>]) -> Vec<u8> {
        self.made += 1;
        let mut bytes = self.pick(seeds).as_ref().to_vec();
        if self.below(20) == 0 {
            let length = self.below(64);
            bytes = (0..length).map(|_| self.byte()).collect();
        }
        for _ in 0..=self.below(4) {
            self.damage(&mut bytes, seeds);
        }
        bytes
    }

    /// As [`Scramble::mutate`], as text.
    pub fn mutate_text(&mut self, seeds: &[&str]) -> String {
        String::from_utf8_lossy(&self.mutate(seeds)).into_owned()
    }

    /// Flips one to eight bits in place, mostly where there is something. Says where.
    pub fn flip(&mut self, bytes: &mut [u8]) -> String {
        self.made += 1;
        let set: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at] != 0).collect();
        let mut flipped = Vec::new();
        for _ in 0..=self.below(8) {
            let anywhere = set.is_empty() || self.below(8) == 0;
            let at = if anywhere { self.below(bytes.len()) } else { *self.pick(&set) };
            let bit = self.below(8);
            bytes[at] ^= 1 << bit;
            flipped.push(format!("{at}.{bit}"));
        }
        flipped.join(" ")
    }

    fn byte(&mut self) -> u8 {
        if self.below(3) == 0 { *self.pick(&BORDERS) } else { (self.next() & 0xff) as u8 }
    }

    fn damage(&mut self, bytes: &mut Vec<u8>, seeds: &[impl AsRef<[u8]>]) {
        let at = self.below(bytes.len() + 1);
        match self.below(7) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, self.byte()),
            2 if at < bytes.len() => drop(bytes.remove(at)),
            3 if at < bytes.len() => bytes[at] = self.byte(),
            4 if at < bytes.len() => bytes[at] ^= 1 << self.below(8),
            5 => {
                // A stretch once more, or many times.
                let end = at + self.below(bytes.len() - at + 1);
                let stretch = bytes[at..end].repeat(1 + self.below(3) * self.below(40));
                bytes.splice(at..at, stretch);
            }
            _ => {
                let other = self.pick(seeds).as_ref().to_vec();
                let from = self.below(other.len() + 1);
                bytes.truncate(at);
                bytes.extend_from_slice(&other[from..]);
            }
        }
    }
}

impl Drop for Scramble {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("scramble {}: ALIKE_SEED={}, number {}", self.name, self.seed, self.made);
        }
    }
}
