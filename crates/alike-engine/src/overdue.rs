//! Waits a while before what was kept long enough goes: a clock that jumped ahead must not take all that is kept with it.

use std::io;
use std::path::Path;
use std::time::Duration;

use alike_model::entry::Time;

/// What is overdue goes when it has been so for this part of the time that it was to be kept, and not for longer than that.
const PART: u32 = 10;
const LONGEST: Duration = Duration::from_secs(3 * 24 * 3600);

/// The moment, in seconds, by which it is judged what is overdue: one that was noted long enough ago; `None`: none was. It is noted in
/// alike's folder on the replica. One that is still to come was noted by a clock that was wrong.
///
/// # Errors
/// When it cannot be noted.
pub(crate) fn judged_by(own: &Path, keep: Duration, now: Time) -> io::Result<Option<i64>> {
    let note = own.join("overdue");
    let noted = std::fs::read_to_string(&note).ok().and_then(|text| text.trim().parse::<i64>().ok());
    let wait = i64::try_from((keep / PART).min(LONGEST).as_secs()).unwrap_or(i64::MAX);
    let noted = noted.filter(|noted| *noted <= now.secs);
    if noted.is_some_and(|noted| now.secs - noted < wait) {
        return Ok(None);
    }
    std::fs::write(note, format!("{}\n", now.secs))?;
    Ok(noted.or((wait == 0).then_some(now.secs)))
}

/// Nothing is overdue any more, or the clock says so no longer.
///
/// # Errors
/// When the note cannot be removed.
pub(crate) fn forget(own: &Path) -> io::Result<()> {
    match own.join("overdue") {
        note if note.try_exists()? => std::fs::remove_file(note),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn what_is_overdue_is_judged_by_a_moment_that_is_some_time_ago_and_never_by_one_to_come() {
        let own = std::env::temp_dir().join(format!("alike-overdue-{}", std::process::id()));
        std::fs::create_dir(&own).unwrap();
        let day = Duration::from_secs(24 * 3600);
        let at = |days: i64| {
            let now = Time { secs: days * 24 * 3600, nanos: 0 };
            judged_by(&own, 30 * day, now).unwrap().map(|secs| secs / (24 * 3600))
        };
        assert_eq!([100, 101, 103, 105].map(at), [None, None, Some(100), None]);
        assert_eq!([5000, 106, 107, 109].map(at), [Some(103), None, None, Some(106)], "the clock was wrong");
        forget(&own).unwrap();
        assert_eq!(at(5000), None, "nothing was overdue before");
        forget(&own).unwrap();
        let short = judged_by(&own, Duration::from_secs(9), Time { secs: 100, nanos: 0 });
        assert_eq!(short.unwrap(), Some(100));
        std::fs::remove_dir_all(own).unwrap();
    }
}
