//! How one replica stands: what a pass has counted so far, what its mirror is doing, how far it is behind, and the words for it.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use alike_engine::monitor::{State, damaged};
use indicatif::HumanCount;

use crate::log::{one_line, size};
use crate::progress::{Done, Progress, Total, about};

/// How one replica stands.
#[derive(Default)]
pub(crate) struct Standing {
    /// What it is called, when there are several.
    pub(crate) label: Option<Label>,
    pub(crate) looked: AtomicU64,
    pub(crate) copied: AtomicU64,
    pub(crate) bytes: AtomicU64,
    pub(crate) read: AtomicU64,
    state: Mutex<(Option<State>, Option<Instant>)>,
    progress: Progress,
    /// Since when the oldest change waits, and how many paths do.
    lag: Mutex<Option<(Instant, u64)>>,
}

/// What one of several replicas is called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Label {
    /// The job that it is a replica of, where there are jobs.
    pub(crate) job: Option<String>,
    /// Its path, as it was given.
    pub(crate) path: String,
    /// The same, as wide as the longest, for lines below each other.
    pub(crate) padded: String,
    /// Its last name, where that is enough to tell it from the others.
    short: String,
}

impl Label {
    /// Those of all replicas; none where there is one.
    pub(crate) fn all(replicas: &[&Path]) -> Vec<Option<Self>> {
        if replicas.len() < 2 {
            return vec![None; replicas.len()];
        }
        let paths: Vec<String> = replicas.iter().map(|path| one_line(&path.display().to_string())).collect();
        let widest = paths.iter().map(|path| path.chars().count()).max().unwrap_or_default();
        let last = |path: &Path| path.file_name().map(|name| one_line(&name.to_string_lossy()));
        let label = |(replica, path): (&&Path, &String)| {
            let mine = last(replica);
            let alike = replicas.iter().filter(|other| last(other) == mine).count();
            let short = mine.filter(|_| alike == 1).unwrap_or_else(|| path.clone());
            Some(Self { job: None, padded: format!("{path:<widest$}"), path: path.clone(), short })
        };
        replicas.iter().zip(&paths).map(label).collect()
    }

    /// What it is called when it is spoken of.
    pub(crate) fn name(&self) -> String {
        match &self.job {
            Some(job) if *job == self.short => job.clone(),
            Some(job) => format!("{job}: {}", self.path),
            None => self.path.clone(),
        }
    }

    /// Those of the replicas of a job.
    pub(crate) fn of_job(job: &str, replicas: &[&Path]) -> Vec<Option<Self>> {
        let job = one_line(job);
        let alone = |path: &&Path| {
            let path = one_line(&path.display().to_string());
            Some(Self { job: Some(job.clone()), padded: job.clone(), short: job.clone(), path })
        };
        if let [path] = replicas {
            return vec![alone(path)];
        }
        let of_job = |label: Self| Self {
            job: Some(job.clone()),
            padded: format!("{job}  {}", label.padded),
            ..label
        };
        Self::all(replicas).into_iter().map(|label| label.map(of_job)).collect()
    }
}

impl Standing {
    pub(crate) fn of(label: Option<Label>) -> Self {
        Self { label, ..Self::default() }
    }

    /// Something changed on the replica.
    pub(crate) fn changed(&self) {
        lock(&self.state).1 = Some(Instant::now());
    }

    pub(crate) fn becomes(&self, state: State) {
        if matches!(state, State::Working { full: true }) {
            for count in [&self.looked, &self.copied, &self.bytes] {
                count.store(0, Ordering::Relaxed);
            }
            self.progress.begin(Instant::now());
        }
        lock(&self.state).0 = Some(state);
    }

    pub(crate) fn is_behind(&self, lag: Option<(Instant, u64)>) {
        *lock(&self.lag) = lag;
    }

    /// All that is to be said of it.
    fn text(&self, total: &Total) -> String {
        let (state, changed) = lock(&self.state).clone();
        let changed =
            changed.map_or_else(String::new, |at| format!(" · last change {} ago", ago(at.elapsed())));
        match state {
            None | Some(State::Working { full: true }) => self.progress_text(total),
            Some(State::Working { full: false }) => format!("copying changes{}{changed}", self.behind()),
            Some(State::Identical { files }) => format!("identical · {} files{changed}", HumanCount(files)),
            Some(State::Differs { failed, held, in_motion }) => {
                let moving = still_written(in_motion);
                let behind = self.behind();
                format!(
                    "differs · {failed} failed, {held} held or skipped{moving}{behind} · trying again{changed}"
                )
            }
            Some(State::Damaged { found }) => format!("differs · {}{changed}", damaged(found)),
            Some(State::Halted(why)) => format!("halted · {why}"),
        }
    }

    /// The same in a word or two, beside others.
    fn brief(&self) -> String {
        let word = match lock(&self.state).0 {
            None | Some(State::Working { full: true }) => "comparing",
            Some(State::Working { full: false }) => "copying",
            Some(State::Identical { .. }) => "identical",
            Some(State::Differs { .. } | State::Damaged { .. }) => "differs",
            Some(State::Halted(_)) => "halted",
        };
        format!("{word}{}", self.behind())
    }

    /// The worse, the higher.
    fn rank(&self) -> u8 {
        match lock(&self.state).0 {
            Some(State::Identical { .. }) => 0,
            Some(State::Working { full: false }) => 1,
            None | Some(State::Working { full: true }) => 2,
            Some(State::Differs { .. } | State::Damaged { .. }) => 3,
            Some(State::Halted(_)) => 4,
        }
    }

    /// How far it is behind, after what else is said of it.
    fn behind(&self) -> String {
        match *lock(&self.lag) {
            Some((since, paths)) if since.elapsed() < Duration::from_secs(1) => {
                format!(" · {paths} behind, {} ms", since.elapsed().as_millis())
            }
            Some((since, paths)) => format!(" · {paths} behind, {}", ago(since.elapsed())),
            None => String::new(),
        }
    }

    fn progress_text(&self, total: &Total) -> String {
        let [looked, copied, bytes] =
            [&self.looked, &self.copied, &self.bytes].map(|count| count.load(Ordering::Relaxed));
        let told = self.progress.tell(Done { looked, copied, bytes }, total, Instant::now());
        // What people look for first comes first: a narrow terminal cuts the end off.
        let far = told.map_or_else(String::new, |(of, left)| match left {
            Some(left) => format!("{of} %, {} · ", about(left)),
            None => format!("{of} % · "),
        });
        let of = match total.entries.load(Ordering::Relaxed) {
            0 => String::new(),
            total => format!(" of {}", HumanCount(total.max(looked))),
        };
        let copied = match copied {
            0 => String::new(),
            count => format!(" · {} copied, {}", HumanCount(count), size(bytes)),
        };
        let read = match self.read.load(Ordering::Relaxed) {
            0 => String::new(),
            bytes => format!(" · {} read", size(bytes)),
        };
        format!("comparing · {far}{}{of} entries{copied}{read}", HumanCount(looked))
    }
}

/// The status line: of several replicas all about the one that is worst off, and a word about each other.
pub(crate) fn status(standings: &[Standing], total: &Total) -> String {
    let worst = standings.iter().enumerate().max_by_key(|(number, standing)| {
        // Of those that are as bad, the first.
        (standing.rank(), usize::MAX - number)
    });
    let Some((at, worst)) = worst else { return String::new() };
    if standings.len() == 1 {
        return worst.text(total);
    }
    if worst.rank() == 0 {
        return format!("all {} {}", standings.len(), worst.text(total));
    }
    let short =
        |standing: &Standing| standing.label.as_ref().map_or_else(String::new, |label| label.short.clone());
    let others = standings.iter().enumerate().filter(|(number, _)| *number != at);
    let others = others.map(|(_, standing)| format!(" | {}: {}", short(standing), standing.brief()));
    format!("{}: {}{}", short(worst), worst.text(total), others.collect::<String>())
}

/// What is said of files that are still being written, after what else is said; nothing when there are none.
pub(crate) fn still_written(files: u64) -> String {
    if files > 0 { format!(", {files} still being written") } else { String::new() }
}

pub(crate) fn ago(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..=59 => format!("{seconds} s"),
        seconds @ 60..=3599 => format!("{} min", seconds / 60),
        seconds @ 3600..=86_399 => format!("{} h", seconds / 3600),
        seconds => format!("{} days", seconds / 86_400),
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn several(paths: &[&str]) -> Vec<Standing> {
        let paths: Vec<&Path> = paths.iter().map(Path::new).collect();
        Label::all(&paths).into_iter().map(Standing::of).collect()
    }

    #[test]
    fn a_replica_is_called_by_its_last_name_unless_another_has_the_same() {
        let short = |paths: &[&str]| -> Vec<String> {
            several(paths)
                .into_iter()
                .filter_map(|standing| standing.label)
                .map(|label| label.short)
                .collect()
        };
        assert_eq!(short(&["/mnt/usb", "/srv/nas/"]), ["usb", "nas"]);
        assert_eq!(short(&["/mnt/one/docs", "/srv/docs", "x"]), ["/mnt/one/docs", "/srv/docs", "x"]);
        assert_eq!(short(&["/mnt/usb"]), [""; 0], "alone it needs no name");
    }

    #[test]
    fn the_status_line_tells_all_of_the_worst_and_a_word_of_each_other() {
        let all = several(&["/mnt/usb", "/srv/nas", "/srv/third"]);
        all.iter().for_each(|one| one.becomes(State::Identical { files: 7 }));
        assert_eq!(status(&all, &Total::default()), "all 3 identical · 7 files");
        all[0].becomes(State::Working { full: false });
        all[1].becomes(State::Halted("the drive is away".to_owned()));
        let since = Instant::now().checked_sub(Duration::from_secs(3));
        all[0].is_behind(since.map(|since| (since, 12)));
        assert_eq!(
            status(&all, &Total::default()),
            "nas: halted · the drive is away | usb: copying · 12 behind, 3 s | third: identical"
        );
    }

    #[test]
    fn the_status_line_of_one_replica_does_not_name_it() {
        let one = several(&["/mnt/usb"]);
        one[0].becomes(State::Identical { files: 7 });
        assert_eq!(status(&one, &Total::default()), "identical · 7 files");
    }
}
