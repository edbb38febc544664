//! What a target can hold, as far as it was found out: its filesystem and the rights of whoever runs alike.

use crate::entry::Time;
use crate::policy::Policy;
use crate::xattrs::{Namespace, Namespaces};

/// What a target can hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Holds {
    /// Owners other than the one who runs alike.
    pub owner: bool,
    /// Permission bits.
    pub modes: bool,
    /// Block and character devices.
    pub devices: bool,
    /// Extended attributes and ACLs.
    pub xattrs: Namespaces,
    /// Modification times.
    pub times: Times,
}

impl Default for Holds {
    /// Everything.
    fn default() -> Self {
        Self { owner: true, modes: true, devices: true, xattrs: Namespaces::ALL, times: Times::default() }
    }
}

impl Holds {
    /// What is held of owners and attributes, each in a word.
    #[must_use]
    pub fn held(&self) -> Vec<String> {
        let xattrs = Namespace::ALL.into_iter().filter(|one| self.xattrs.has(*one));
        let owner = self.owner.then(|| "owner".to_owned());
        owner.into_iter().chain(xattrs.map(|one| one.to_string())).collect()
    }

    /// What of that which is wanted cannot be held, in words.
    #[must_use]
    pub fn lacks(&self, wanted: &Policy) -> Vec<String> {
        let xattrs =
            Namespace::ALL.into_iter().filter(|one| wanted.xattrs.has(*one) && !self.xattrs.has(*one));
        let owner = (wanted.owner && !self.owner).then(|| "owner".to_owned());
        let modes = (!self.modes).then(|| "modes".to_owned());
        let devices = (wanted.special && !self.devices).then(|| "device nodes".to_owned());
        let times = [self.times.shown_range(), self.times.shown_grain()];
        let xattrs = xattrs.map(|one| one.to_string());
        owner
            .into_iter()
            .chain(modes)
            .chain(xattrs)
            .chain(devices)
            .chain(times.into_iter().flatten())
            .collect()
    }
}

/// The times that a filesystem can hold; others it rounds down and cuts off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Times {
    /// The earliest, in seconds since 1970.
    pub min: i64,
    /// The latest, in seconds since 1970.
    pub max: i64,
    /// Nanoseconds between one time and the next: 1 to 2,000,000,000.
    pub grain: u32,
}

impl Default for Times {
    fn default() -> Self {
        Self { min: i64::MIN, max: i64::MAX, grain: 1 }
    }
}

impl Times {
    const SECOND: u32 = 1_000_000_000;

    /// The time that is kept when `time` is set; as the kernel's `timestamp_truncate` has it.
    #[must_use]
    pub fn fit(&self, time: Time) -> Time {
        if time.secs <= self.min || time.secs >= self.max {
            let (end, secs) =
                if time.secs <= self.min { (self.min, time.secs) } else { (self.max, time.secs) };
            let is_open = end == i64::MIN || end == i64::MAX;
            return if is_open { time } else { Time { secs: secs.clamp(self.min, self.max), nanos: 0 } };
        }
        match self.grain {
            0 | 1 => time,
            grain if grain >= Self::SECOND => {
                let step = i64::from(grain / Self::SECOND);
                Time { secs: time.secs - time.secs.rem_euclid(step), nanos: 0 }
            }
            grain => Time { nanos: time.nanos - time.nanos % grain, ..time },
        }
    }

    fn shown_range(&self) -> Option<String> {
        // Beyond these, no filesystem of our days keeps a time: nothing to say.
        const EARLIEST: i64 = -(1 << 31);
        const LATEST: i64 = 1 << 33;
        let narrow = self.min > EARLIEST || self.max < LATEST;
        let year = |secs: i64| 1970 + secs.div_euclid(31_556_952);
        narrow.then(|| format!("times before {} and after {}", year(self.min), year(self.max)))
    }

    fn shown_grain(&self) -> Option<String> {
        let text = match self.grain {
            0 | 1 => return None,
            grain if grain >= Self::SECOND => format!("times finer than {} s", grain / Self::SECOND),
            grain => format!("times finer than {grain} ns"),
        };
        Some(text)
    }
}
