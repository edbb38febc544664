//! Trials by fault: drives alike and its peers through the same faults, at the exact system call, and judges what is
//! left with eyes of its own.
//!
//! Like the testkit it stands on, this is a tool for tests: what the machine refuses it panics about, and the sweep
//! counts that as a trial that is broken.

#![allow(clippy::unwrap_used, clippy::expect_used)]

mod awake;
mod calls;
mod clock;
mod days;
mod disk;
mod edits;
mod judge;
mod life;
mod naive;
mod report;
mod rig;
mod room;
mod rules;
mod steps;
mod supervise;
mod sweep;
mod system;
mod taken_back;
mod tools;
mod trials;
mod witness;

use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::time::{Duration, Instant};

use alike_testkit::{Mount, is_root};
use clap::Parser;

use crate::room::{Ground, Usual};
use crate::sweep::{Figures, Sums};
use crate::tools::{Programs, Tool};
use crate::trials::{TRIALS, Trial};

/// Drives alike, rsync, rclone, unison and cp through the same faults and judges what is left
#[derive(Debug, Parser)]
struct Args {
    /// About ten minutes on two cores for alike (the default)
    #[arg(long, conflicts_with = "full")]
    quick: bool,
    /// Every point: hours
    #[arg(long)]
    full: bool,
    /// Only this trial (repeatable)
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// This tool (repeatable) [default: alike]
    #[arg(long, value_enum)]
    tool: Vec<Tool>,
    /// The binary on trial
    #[arg(long, value_name = "PATH")]
    alike: Option<PathBuf>,
    /// Which points a quick run takes
    #[arg(long, default_value_t = 4)]
    seed: u64,
    /// Points at once
    #[arg(long, value_name = "N")]
    jobs: Option<usize>,
    /// The time of each trial, as a share of what its tier gives it
    #[arg(long, default_value_t = 1.0)]
    share: f64,
    /// Only the point of this name, as a failure gives it; its room stays
    #[arg(long, value_name = "POINT")]
    point: Option<String>,
    /// Puts the figures into this file, among those of other trials and tools that it has
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Writes all figures (those of --json too) as a page
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

fn main() -> ExitCode {
    match prepare(Args::parse()) {
        Ok(code) => code,
        Err(why) => {
            eprintln!("trials: {why}");
            ExitCode::from(2)
        }
    }
}

fn prepare(args: Args) -> Result<ExitCode, String> {
    if !is_root() {
        return Err("needs root, for filesystems of its own and what only root can make".to_owned());
    }
    let names: Vec<&str> = TRIALS.iter().map(|trial| trial.name).collect();
    if let Some(unknown) = args.only.iter().find(|name| !names.contains(&name.as_str())) {
        return Err(format!("no trial is named {unknown}: there are {}", names.join(", ")));
    }
    let alike = args.alike.clone().unwrap_or_else(beside_us);
    let alike = std::path::absolute(alike).map_err(|why| why.to_string())?;
    let programs = Programs { alike };
    let tools = if args.tool.is_empty() { vec![Tool::Alike] } else { args.tool.clone() };
    let base = std::env::temp_dir().join(format!("alike-trials-{}", std::process::id()));
    let memory = Mount::tmpfs(&base, "3g");
    // A point's panic is a figure; its backtrace is noise.
    std::panic::set_hook(Box::new(|_| ()));
    let mut all = Vec::new();
    for tool in tools {
        let ground = Ground {
            tool,
            programs: programs.clone(),
            base: base.clone(),
            seed: args.seed,
            full: args.full,
            jobs: args.jobs.unwrap_or_else(|| std::thread::available_parallelism().map_or(2, usize::from)),
            only_point: args.point.clone(),
            share: args.share,
            usual: Usual::default(),
        };
        all.extend(try_tool(ground, &args.only)?);
    }
    if args.point.is_some() {
        // The room that a person wants to see is in this filesystem.
        std::mem::forget(memory);
    } else {
        drop(memory);
        let _ = std::fs::remove_dir(&base);
    }
    let bad = all.iter().filter(|figures| figures.tool == "alike").map(|figures| figures.bad).sum::<usize>();
    report::write(all, args.json.as_deref(), args.report.as_deref()).map_err(|why| why.to_string())?;
    Ok(if bad == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The binary that was built with this one.
fn beside_us() -> PathBuf {
    std::env::current_exe().map_or_else(|_| "alike".into(), |here| here.with_file_name("alike"))
}

fn try_tool(mut ground: Ground, only: &[String]) -> Result<Vec<Figures>, String> {
    let tool = ground.tool;
    if !ground.programs.has(tool) {
        return Err(format!("{} is not here: {}", tool.name(), ground.programs.path(tool).display()));
    }
    ground.learn();
    if tool == Tool::Alike && (ground.usual.code != Some(0) || !ground.usual.differences.is_empty()) {
        return Err(format!("alike fails with nobody disturbing it: {:?}", ground.usual.differences));
    }
    let wanted = |trial: &&Trial| only.is_empty() || only.iter().any(|name| name == trial.name);
    let mut all = Vec::new();
    for trial in TRIALS.iter().filter(wanted).filter(|trial| (trial.fits)(tool)) {
        let start = Instant::now();
        let run = std::panic::AssertUnwindSafe(|| (trial.run)(&ground));
        let sums = std::panic::catch_unwind(run).unwrap_or_else(|why| Sums::not_run(sweep::words(&*why)));
        let figures = figures(&ground, trial, sums, start.elapsed());
        say(&figures);
        all.push(figures);
    }
    Ok(all)
}

fn figures(ground: &Ground, trial: &Trial, sums: Sums, took: Duration) -> Figures {
    Figures {
        trial: trial.name.to_owned(),
        tool: ground.tool.name().to_owned(),
        version: ground.tool.version(&ground.programs),
        tier: if ground.full { "full" } else { "quick" }.to_owned(),
        date: jiff::Zoned::now().strftime("%Y-%m-%d").to_string(),
        machine: machine(),
        seed: ground.seed,
        // A trial that could not be run must not look like one that was passed.
        bad: sums.bad.max(usize::from(sums.points == 0 && ground.only_point.is_none())),
        points: sums.points,
        of: sums.of,
        failures: sums.failures,
        kept: sums.kept,
        seconds: (took.as_secs_f64() * 10.0).round() / 10.0,
        note: match ground.usual.code {
            Some(0) => sums.note,
            code => format!("ends with {code:?} when nobody disturbs it {}", sums.note),
        },
    }
}

fn machine() -> String {
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let said = Command::new("uname").arg("-m").output().map(|said| said.stdout).unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = kernel.trim().split('-').next().unwrap_or_default().to_owned();
    format!("Linux {kernel}, {}, {cores} cores", String::from_utf8_lossy(&said).trim())
}

fn say(figures: &Figures) {
    let Figures { trial, tool, points, of, bad, failures, seconds, note, .. } = figures;
    println!("{tool:7} {trial:12} {points:6} of {of:6} points, {bad:5} bad {failures:?} {seconds} s {note}");
    for kept in &figures.kept {
        println!("        {kept}");
    }
}
