//! `alike mirror … --save`: the command line as a job of a config file, instead of running it.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Args, CommandFactory, ValueHint};

use super::command::{put_new, put_over};
use super::keys::{self, Keys, Shape, canonical, shape};
use super::load::{load_as_if, path_of, read_text};
use super::setting::quoted;
use super::{Config, Job, init};
use crate::args::{Cli, MirrorArgs};
use crate::doctor::shown;
use crate::run::Failure;

#[derive(Debug, Args)]
pub(crate) struct SaveArgs {
    /// Write this command line into the config file as a job for alike up, and exit [default: the one that alike up reads]
    #[arg(long, help_heading = None::<&str>, value_name = "FILE", num_args = 0..=1, require_equals = true, value_hint = ValueHint::FilePath)]
    pub(crate) save: Option<Option<PathBuf>>,
}

/// What is written of a command line.
struct Saved {
    /// Keys with their values as they stand in a file.
    settings: Vec<(String, String)>,
    /// The same as flags, to compare what the file comes to.
    flags: Vec<OsString>,
    /// Flags that no file can have.
    left_out: Vec<String>,
}

/// Writes the job of these arguments, which `typed` are, to the file.
pub(crate) fn save(args: &MirrorArgs, file: Option<&Path>, typed: &[OsString]) -> Result<ExitCode, Failure> {
    let path = match file {
        Some(file) => init::place(Some(file))?,
        None => path_of(None).or_else(|_| init::place(None))?,
    };
    let there = path.symlink_metadata().is_ok();
    let before = if there { read_text(&path)? } else { String::new() };
    let config = load_as_if(&path, before.clone())?;
    let mut saved = saved(args, typed)?;
    let names: Vec<&str> = config.jobs.iter().map(|job| job.name.as_str()).collect();
    let name = init::name_for(&args.pair.source, &names);
    let replicas: Vec<PathBuf> =
        std::iter::once(&args.pair.replica).chain(&args.also.also).cloned().collect();
    let gap = if before.is_empty() || before.ends_with('\n') { "" } else { "\n" };
    let written = |saved: &Saved| -> Result<(String, Config), Failure> {
        let job = init::job(&name, &args.pair.source, &replicas, &saved.settings)?;
        let text = format!("{before}{gap}{}{job}", if before.is_empty() { "" } else { "\n" });
        let config = load_as_if(&path, text.clone());
        let config =
            config.map_err(|why| Failure::Usage(format!("nothing is written; with this job {why}")))?;
        Ok((text, config))
    };
    let (mut text, mut config) = written(&saved)?;
    let mut inherited = inherited(&config, &name, &saved);
    if !inherited.is_empty() {
        inherited.retain(|arg| !saved.say_default(arg));
        (text, config) = written(&saved)?;
    }
    drop(config);
    if there {
        put_over(&path, &text)?
    } else {
        put_new(&path, &text)?
    }
    for flag in &saved.left_out {
        say!("alike: {flag}");
    }
    for arg in inherited {
        say!(
            "alike: {} is said in [defaults], and counts for this job too",
            canonical(arg.get_long().unwrap_or_default())
        );
    }
    say!("alike: the job \"{name}\" is written to {}; alike up starts it", shown(&path));
    Ok(ExitCode::SUCCESS)
}

impl Saved {
    /// Says what counts without the flag, so that `[defaults]` do not; false where nothing could be said.
    fn say_default(&mut self, arg: &Arg) -> bool {
        if shape(arg) == Shape::One && arg.get_default_values().is_empty() {
            return false;
        }
        self.settings.push((canonical(arg.get_long().unwrap_or_default()), init::when_unsaid(arg)));
        true
    }
}

/// The flags that the job has from `[defaults]`, and the command line did not have.
fn inherited(config: &Config, name: &str, saved: &Saved) -> Vec<Arg> {
    let job: Option<&Job> = config.jobs.iter().find(|job| job.name == name);
    let own = |long: &str| saved.flags.iter().any(|flag| long_of(flag) == Some(long));
    let words = job.map(|job| job.argv.as_slice()).unwrap_or_default();
    let keys = Keys::new();
    let from_defaults = keys.flags().filter(|arg| {
        let long = arg.get_long().unwrap_or_default();
        !own(long) && words.iter().any(|word| long_of(word) == Some(long))
    });
    from_defaults.cloned().collect()
}

fn long_of(word: &OsString) -> Option<&str> {
    word.to_str()?.strip_prefix("--")?.split('=').next()
}

fn saved(args: &MirrorArgs, typed: &[OsString]) -> Result<Saved, Failure> {
    let mut saved = Saved { settings: Vec::new(), flags: Vec::new(), left_out: Vec::new() };
    let matches = Cli::command().try_get_matches_from(typed).ok();
    let matches = matches.as_ref().and_then(|matches| matches.subcommand_matches("mirror"));
    let Some(matches) = matches else {
        return Err(Failure::Usage("this is no command line of alike mirror".to_owned()));
    };
    let command = Cli::command();
    let mirror = command.find_subcommand("mirror");
    for arg in mirror.into_iter().flat_map(clap::Command::get_arguments) {
        let Some(long) = arg.get_long() else { continue };
        let by_hand = matches.value_source(arg.get_id().as_str()) == Some(ValueSource::CommandLine);
        match keys::refused(long) {
            _ if !by_hand => {}
            Some(_) if matches!(long, "also" | "save") => {}
            Some(why) => saved.left_out.push(format!("--{long} is not written: {why}")),
            None => saved.add(arg, matches)?,
        }
    }
    saved.add_older_order(args)?;
    Ok(saved)
}

impl Saved {
    fn add(&mut self, arg: &Arg, matches: &ArgMatches) -> Result<(), Failure> {
        let long = arg.get_long().unwrap_or_default();
        let raw = matches.get_raw(arg.get_id().as_str()).into_iter().flatten();
        let values: Vec<String> = raw
            .map(|value| match keys::is_path(arg) {
                true => init::path(Path::new(value)),
                false => value.to_str().map(quoted).ok_or_else(|| {
                    Failure::Usage(format!(
                        "the value of --{long} is not UTF-8, which a config file has to be"
                    ))
                }),
            })
            .collect::<Result<_, _>>()?;
        let value = match shape(arg) {
            Shape::Switch => "true".to_owned(),
            Shape::Several => format!("[{}]", values.join(", ")),
            Shape::One => values.last().cloned().unwrap_or_default(),
        };
        self.note(long, value);
        Ok(())
    }

    fn note(&mut self, long: &str, value: String) {
        self.flags.push(format!("--{long}").into());
        self.settings.push((canonical(long), value));
    }

    /// LOGFILE INTERVAL and INTERVAL LOGDIR are flags in a file.
    fn add_older_order(&mut self, args: &MirrorArgs) -> Result<(), Failure> {
        if args.older.is_empty() {
            return Ok(());
        }
        self.settings.retain(|(key, _)| key != "interval");
        self.note("interval", quoted(&format!("{}s", args.interval.as_secs_f64())));
        let has_log = self.settings.iter().any(|(key, _)| key == "log_file");
        if let Some(log) = args.output.log_file.as_deref().filter(|_| !has_log) {
            self.note("log-file", init::path(log)?);
        }
        Ok(())
    }
}
