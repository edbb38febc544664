//! `alike config check`: whether the file is right, and whether its jobs could start now.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use alike_engine::beside::{Standing, standing};
use alike_engine::claims::Claims;
use alike_engine::refusal::Refusal;

use super::command::CheckArgs;
use super::{Hooks, Job, load};
use crate::doctor::shown;
use crate::run::{Failure, MISTAKE};
use crate::settings;

/// What stands in the way of a job.
#[derive(Default)]
struct Said {
    /// It would never start so.
    mistakes: Vec<String>,
    /// It would not start now, or not do all that is wanted.
    warnings: Vec<String>,
}

impl Said {
    fn refused(&mut self, refusal: &Refusal) {
        let into = if refusal.is_usage() { &mut self.mistakes } else { &mut self.warnings };
        let text = refusal.to_string();
        if !into.contains(&text) {
            into.push(text);
        }
    }

    fn verdict(&self) -> &'static str {
        match (self.mistakes.is_empty(), self.warnings.is_empty()) {
            (false, _) => "mistake",
            (true, false) => "warning",
            (true, true) => "good",
        }
    }
}

pub(crate) fn check(args: &CheckArgs) -> Result<ExitCode, Failure> {
    let config = load(args.which.config.as_deref())?;
    let mut out = std::io::stdout().lock();
    let mut wrong = false;
    for file in config.files.iter().filter(|_| args.verbose) {
        let _ = writeln!(out, "{:<8} {}", "read", shown(file));
    }
    for job in &config.jobs {
        let said = said_of(job);
        wrong |= !said.mistakes.is_empty();
        let folders = format!("{} → {}", shown(&job.mirror.pair.source), replicas(job));
        let all = [&[folders][..], &said.mistakes, &said.warnings].concat().join("; ");
        let _ = writeln!(out, "{:<8} {}: {all}", said.verdict(), job.name);
        if args.verbose {
            let _ = writeln!(out, "         {}", typed(job));
        }
    }
    if let Some(web) = &config.web {
        let warned = if web.listen.ip().is_loopback() {
            ("good", "")
        } else {
            ("warning", "; whoever reaches this machine reaches the page")
        };
        let _ = writeln!(out, "{:<8} [web]: {}{}", warned.0, web.listen, warned.1);
    }
    Ok(if wrong { ExitCode::from(MISTAKE) } else { ExitCode::SUCCESS })
}

fn said_of(job: &Job) -> Said {
    let mut said = Said::default();
    let mirror = &job.mirror;
    match settings::specs((&mirror.pair, &mirror.also), &mirror.pass, &mirror.output) {
        Err(settings::Usage(text)) => said.mistakes.push(text),
        Ok(specs) => {
            if let Err(refusal) = Claims::of(&specs) {
                said.refused(&refusal);
            }
            for spec in &specs {
                match standing(spec) {
                    Err(refusal) => said.refused(&refusal),
                    Ok(Standing::Held(why)) => {
                        said.warnings.push(format!("{} is held: {why}", shown(&spec.replica)))
                    }
                    Ok(_) => {}
                }
            }
        }
    }
    said.warnings.extend(programs(&job.hooks).filter_map(missing));
    said
}

fn programs(hooks: &Hooks) -> impl Iterator<Item = &str> {
    let all = [&hooks.on_change, &hooks.on_halt, &hooks.on_error, &hooks.on_recovered];
    all.into_iter().flatten().filter_map(|words| words.first()).map(String::as_str)
}

/// What is said of a hook that nothing could start.
fn missing(program: &str) -> Option<String> {
    use std::os::unix::fs::PermissionsExt;
    let starts = |path: &Path| {
        path.metadata().is_ok_and(|found| found.is_file() && found.permissions().mode() & 0o111 != 0)
    };
    let path = Path::new(program);
    let found = match program.contains('/') {
        true => starts(path),
        false => {
            let places = std::env::var_os("PATH").unwrap_or_default();
            std::env::split_paths(&places).any(|place| starts(&place.join(program)))
        }
    };
    (!found).then(|| format!("the hook {} is no program that can be started", shown(path)))
}

fn replicas(job: &Job) -> String {
    let all = job.replicas();
    all.map(shown).collect::<Vec<_>>().join(", ")
}

/// The command line of the job as it would be typed.
fn typed(job: &Job) -> String {
    let words = job.argv.iter().map(|word| {
        let word = shown(Path::new(word));
        let is_plain = |ch: char| ch.is_ascii_alphanumeric() || "-_=./,:%+@".contains(ch);
        if !word.is_empty() && word.chars().all(is_plain) {
            return word;
        }
        format!("'{}'", word.replace('\'', "'\\''"))
    });
    words.collect::<Vec<_>>().join(" ")
}
