//! `alike status`, `reload`, `pass` and `down`: asks the running `alike up`.

use std::fmt::Write as _;
use std::io::{IsTerminal, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use clap::Args;
use jiff::Timestamp;

use super::report::{JobReport, ReplicaReport, Report, Standing, Trouble};
use super::socket::{Answer, Question, ask, ask_to_end};
use crate::log::{json_line, size};
use crate::paint;
use crate::run::{DIFFERS, Failure, HALTED, IDENTICAL};
use crate::trash::entries;

#[derive(Debug, Args)]
pub(crate) struct AskArgs {
    /// The config file that the running alike up was given [default: the only one that runs]
    #[arg(short, long, value_name = "FILE", value_hint = clap::ValueHint::FilePath)]
    pub(crate) config: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct StatusArgs {
    /// Only this job
    pub(crate) job: Option<String>,
    #[command(flatten)]
    pub(crate) of: AskArgs,
    /// One JSON object
    #[arg(long)]
    pub(crate) json: bool,
    /// Again every second, until Ctrl+C
    #[arg(short, long)]
    pub(crate) watch: bool,
}

#[derive(Debug, Args)]
pub(crate) struct PassNowArgs {
    /// Only this job
    pub(crate) job: Option<String>,
    /// Let this pass delete as much as it has to: what lets a job go on that halted, or that holds what a filter left out
    #[arg(long, requires = "job")]
    pub(crate) allow_deletes: bool,
    #[command(flatten)]
    pub(crate) of: AskArgs,
}

pub(crate) fn status(args: &StatusArgs) -> Result<ExitCode, Failure> {
    loop {
        let report = report_of(args)?;
        let text = if args.json { json_line(&report) } else { in_words(&report) };
        let mut out = std::io::stdout().lock();
        if args.watch && !args.json && out.is_terminal() {
            // Home, what is below, and what is left of each line when it was longer.
            let text = text.replace('\n', "\x1b[K\n");
            let _ = write!(out, "\x1b[H{text}\x1b[J");
        } else {
            let _ = out.write_all(text.as_bytes());
        }
        if out.flush().is_err() || !args.watch {
            return Ok(ExitCode::from(code(&report)));
        }
        drop(out);
        std::thread::sleep(Duration::from_secs(1));
    }
}

fn report_of(args: &StatusArgs) -> Result<Report, Failure> {
    let Answer::Status(report) = ask(args.of.config.as_deref(), &Question::Status)? else {
        return Err(Failure::Failed("alike up gave no report; is it of another version?".to_owned()));
    };
    let Some(name) = &args.job else { return Ok(*report) };
    let all = report.jobs.iter().map(|job| job.name.as_str()).collect::<Vec<_>>().join(", ");
    let jobs: Vec<JobReport> = report.jobs.into_iter().filter(|job| job.name == *name).collect();
    match jobs.as_slice() {
        [] => Err(Failure::Usage(format!("there is no job {name}; there are {all}"))),
        [job] => Ok(Report { well: job.well, jobs, ..*report }),
        _ => Ok(Report { jobs, ..*report }),
    }
}

/// 0: all is well; 3: some replica is halted; 1: something else is not well.
fn code(report: &Report) -> u8 {
    let mut replicas = report.jobs.iter().flat_map(|job| &job.replicas);
    match report.well {
        true => IDENTICAL,
        false if replicas.any(|replica| replica.state == Standing::Halted) => HALTED,
        false => DIFFERS,
    }
}

pub(crate) fn reload(args: &AskArgs) -> Result<ExitCode, Failure> {
    said(ask(args.config.as_deref(), &Question::Reload)?, Failure::Usage)
}

pub(crate) fn pass(args: &PassNowArgs) -> Result<ExitCode, Failure> {
    let question = Question::Pass { job: args.job.clone(), allows_deletes: args.allow_deletes };
    said(ask(args.of.config.as_deref(), &question)?, Failure::Usage)
}

pub(crate) fn down(args: &AskArgs) -> Result<ExitCode, Failure> {
    said(ask_to_end(args.config.as_deref())?, Failure::Failed)
}

fn said(answer: Answer, refused: fn(String) -> Failure) -> Result<ExitCode, Failure> {
    match answer {
        Answer::Done { text } => say!("alike: {text}"),
        Answer::Refused { text } => return Err(refused(text)),
        Answer::Status(_) => {}
    }
    Ok(ExitCode::from(IDENTICAL))
}

fn in_words(report: &Report) -> String {
    let mut text = String::new();
    let since = ago(&report.since);
    let well = if report.well { "all is well" } else { "not all is well" };
    let well = paint::verdict(report.well, well);
    let _ = writeln!(text, "{well} · alike {} up for {since}, process {}", report.version, report.pid);
    if let Some(why) = &report.config_trouble {
        let _ = writeln!(text, "the config file is broken; what was loaded before is in force:\n{why}");
    }
    if let Some(web) = &report.web {
        let _ = writeln!(text, "page: {web}");
    }
    if let Some(why) = &report.web_trouble {
        let _ = writeln!(text, "{why}");
    }
    for job in &report.jobs {
        let _ = writeln!(text, "\n{}  {}", job.name, job.source);
        job.hook_troubles.iter().for_each(|why| _ = writeln!(text, "  {why}"));
        job.replicas.iter().for_each(|replica| text.push_str(&replica_in_words(replica)));
    }
    text
}

fn replica_in_words(replica: &ReplicaReport) -> String {
    let state = paint::verdict(replica.well, replica.state.word());
    let mut text = format!("  → {}\n    {state}", replica.replica);
    if !replica.why.is_empty() {
        let _ = write!(text, ": {}", replica.why);
    }
    match (&replica.identical_at, replica.state) {
        (Some(_), Standing::Identical) => {
            let files = if replica.files == 1 { "file" } else { "files" };
            let _ = write!(text, " · {} {files}", replica.files);
        }
        (Some(at), _) => {
            let _ = write!(text, " · identical {} ago", ago(at));
        }
        (None, _) => {}
    }
    if replica.lag_paths > 0 || replica.lag_ms > 0 {
        let _ = write!(text, " · {} behind, {} ms", replica.lag_paths, replica.lag_ms);
    }
    if let Some(progress) = &replica.progress {
        let copied = size(progress.bytes);
        let _ = write!(text, " · {} looked at, {} copied, {copied}", progress.looked, progress.copied);
    }
    text.push('\n');
    if let Some(pass) = &replica.last_pass {
        let _ = writeln!(
            text,
            "    last full pass {} ago ({}), {} ms: {}",
            ago(&pass.ended),
            pass.pass,
            pass.ms,
            pass.summary
        );
    }
    if let Some(trash) = replica.trash.as_ref().filter(|trash| trash.entries > 0) {
        let _ = writeln!(text, "    trash: {}, {}", entries(trash.entries), size(trash.bytes));
    }
    troubles(&mut text, &replica.failed, replica.failed_count);
    troubles(&mut text, &replica.held, replica.held_count);
    text
}

fn troubles(text: &mut String, named: &[Trouble], all: u64) {
    const SHOWN: usize = 20;
    for trouble in named.iter().take(SHOWN) {
        let _ = writeln!(text, "    {:<6}  {}  {}", trouble.action, trouble.path, trouble.reason);
    }
    let more = all.saturating_sub(named.len().min(SHOWN) as u64);
    if more > 0 && !named.is_empty() {
        let _ = writeln!(text, "    and {more} more; see the log");
    }
}

fn ago(at: &str) -> String {
    let at: Option<Timestamp> = at.parse().ok();
    let past = at.map_or(Duration::ZERO, |at| {
        Duration::try_from(Timestamp::now().duration_since(at)).unwrap_or_default()
    });
    crate::standing::ago(past)
}
