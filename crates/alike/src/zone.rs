//! The time zone of this machine, read from its one file.
//!
//! jiff finds it by its name, for which it lists all zones that there are and opens each: hundreds of calls at every start,
//! and a listing that the standard library ends with a panic when the system will not close it.

use std::path::Path;

use jiff::tz::TimeZone;

/// Where the zones are.
const ZONES: &str = "/usr/share/zoneinfo";

/// The zone that `TZ` names, or else the machine's.
pub(crate) fn here() -> TimeZone {
    let named = std::env::var("TZ").ok();
    let zone = match named.as_deref().map(|named| named.strip_prefix(':').unwrap_or(named)) {
        None => Some(read(Path::new("/etc/localtime")).unwrap_or(TimeZone::UTC)),
        Some("" | "UTC") => Some(TimeZone::UTC),
        Some(named) => named_zone(named),
    };
    // In other words, or elsewhere.
    zone.unwrap_or_else(TimeZone::system)
}

fn named_zone(named: &str) -> Option<TimeZone> {
    let is_plain = !named.split('/').any(|part| part == "..");
    let file = Path::new(ZONES).join(named);
    is_plain.then(|| read(&file)).flatten().or_else(|| TimeZone::posix(named).ok())
}

fn read(file: &Path) -> Option<TimeZone> {
    // Larger ones are no zones.
    const LARGEST: u64 = 1024 * 1024;
    if !std::fs::metadata(file).is_ok_and(|found| found.is_file() && found.len() <= LARGEST) {
        return None;
    }
    TimeZone::tzif("here", &std::fs::read(file).ok()?).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use jiff::Timestamp;

    use super::*;

    #[test]
    fn a_zone_read_from_its_file_tells_the_same_times_as_one_found_by_its_name() {
        if !Path::new(ZONES).exists() {
            return eprintln!("NOT RUN: this machine has no time zones");
        }
        for named in ["Europe/Berlin", "America/New_York", "Asia/Kolkata", "UTC", "Pacific/Apia"] {
            let (ours, theirs) = (named_zone(named).unwrap(), TimeZone::get(named).unwrap());
            for month in 0..12 * 80 {
                let at = Timestamp::from_second(month * 2_629_746).unwrap();
                assert_eq!(ours.to_datetime(at), theirs.to_datetime(at), "{named} at {at}");
            }
        }
    }

    #[test]
    fn a_zone_in_posix_words_is_understood_and_nonsense_is_none() {
        let winter = Timestamp::from_second(1_700_000_000).unwrap();
        let zone = named_zone("EST5EDT,M3.2.0,M11.1.0").unwrap();
        assert_eq!(zone.to_offset(winter), jiff::tz::offset(-5));
        assert!(named_zone("../../../etc/passwd").is_none());
        assert!(named_zone("no zone").is_none());
    }
}
