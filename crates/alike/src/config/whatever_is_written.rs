//! Whatever is written in a config: it is one or a mistake, and no key lags behind the flag that it is.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use alike_testkit::{Pair, Scramble, rounds};
use clap::{Arg, CommandFactory, Parser};

use super::init::{explained, value_name};
use super::keys::{Keys, Meaning, Shape, canonical, shape};
use super::load::load_as_if;
use super::setting::quoted;
use super::{load, save};
use crate::args::{Cli, Command, MirrorArgs};

/// A config that is not there, beside which there are no drop-ins.
fn nowhere() -> PathBuf {
    PathBuf::from("/nowhere/alike.toml")
}

fn config_with(lines: &str) -> String {
    format!("[[job]]\nname = \"a\"\nsource = \"/nowhere/s\"\nreplicas = [\"/nowhere/r\"]\n{lines}\n")
}

/// What the only job comes to.
fn read(lines: &str) -> Result<MirrorArgs, String> {
    let config = load_as_if(&nowhere(), config_with(lines)).map_err(|why| why.to_string())?;
    Ok(config.jobs.into_iter().next().ok_or("there is no job")?.mirror)
}

fn typed(flags: &[OsString]) -> MirrorArgs {
    let words = ["alike", "mirror"].map(OsString::from).into_iter().chain(flags.iter().cloned());
    match Cli::try_parse_from(words.chain(["/nowhere/s", "/nowhere/r"].map(OsString::from))) {
        Ok(Cli { command: Command::Mirror(args), .. }) => args,
        other => panic!("{flags:?}: {other:?}"),
    }
}

fn told(args: &MirrorArgs) -> String {
    format!("{args:?}")
}

/// A value that is not what counts anyway.
fn sample(arg: &Arg) -> String {
    let counts_anyway = arg.get_default_values().first().and_then(|value| value.to_str());
    let mut values = arg.get_possible_values().into_iter();
    if let Some(other) = values.find(|value| Some(value.get_name()) != counts_anyway) {
        return other.get_name().to_owned();
    }
    match value_name(arg).as_str() {
        "TIME" | "TIME|off" => "77m",
        "RATE" | "SIZE|off" => "20M",
        "N" => "3",
        "50%|N" => "7%",
        "PATTERN" => "-*.tmp",
        "FILE" | "DIR" => "/nowhere/a",
        other => panic!("give this test a sample of {other}"),
    }
    .to_owned()
}

/// A flag as it is typed, and as it is written.
fn both_ways(arg: &Arg) -> (Vec<OsString>, String) {
    let long = arg.get_long().unwrap_or_default();
    let (key, value) = (canonical(long), sample_of(arg));
    match shape(arg) {
        Shape::Switch => (vec![format!("--{long}").into()], format!("{key} = true")),
        Shape::One => (vec![format!("--{long}={value}").into()], format!("{key} = {}", quoted(&value))),
        Shape::Several => {
            let word = OsString::from(format!("--{long}={value}"));
            (vec![word.clone(), word], format!("{key} = [{0}, {0}]", quoted(&value)))
        }
    }
}

fn sample_of(arg: &Arg) -> String {
    if shape(arg) == Shape::Switch { String::new() } else { sample(arg) }
}

#[test]
fn every_long_flag_of_mirror_is_a_key_or_refused_with_a_reason() {
    let keys = Keys::new();
    let all = Cli::command();
    let mirror = all.find_subcommand("mirror");
    let mut count = 0;
    for long in mirror.into_iter().flat_map(clap::Command::get_arguments).filter_map(Arg::get_long) {
        count += 1;
        for key in [canonical(long), long.to_owned()] {
            match keys.meaning(&key) {
                Meaning::Flag(arg) => assert_eq!(arg.get_long(), Some(long)),
                Meaning::Refused(why) => assert!(!why.is_empty(), "{long}"),
                _ => panic!("--{long} is neither a key nor refused"),
            }
        }
    }
    assert!(count > 25, "only {count} flags were looked at");
}

#[test]
fn every_key_comes_to_the_same_as_its_flag() {
    for arg in Keys::new().flags() {
        let (flags, line) = both_ways(arg);
        let same = typed(&flags);
        assert_ne!(told(&same), told(&typed(&[])), "{line} must change something to tell anything");
        assert_eq!(read(&line).map(|args| told(&args)), Ok(told(&same)), "{line}");
    }
}

#[test]
fn what_config_init_shows_as_the_default_is_what_counts() {
    let keys = Keys::new();
    for key in explained() {
        let has_default = match keys.meaning(&key.name) {
            Meaning::Flag(arg) => shape(arg) != Shape::One || !arg.get_default_values().is_empty(),
            _ => false,
        };
        assert!(!key.help.is_empty(), "{} has no help", key.name);
        let read = read(&format!("{} = {}", key.name, key.value));
        if has_default {
            assert_eq!(read.map(|args| told(&args)), Ok(told(&typed(&[]))), "{}", key.name);
        } else if let Err(why) = read {
            assert!(why.contains("has no good value"), "{why}");
        }
    }
}

#[test]
fn what_is_saved_comes_to_the_same_command_line() {
    let pair = Pair::new("not run");
    let mut all: Vec<Vec<OsString>> = Keys::new().flags().map(|arg| both_ways(arg).0).collect();
    all.push(vec![]);
    all.push(
        ["--also=/nowhere/r$2", "--also=/nowhere/r3", "--exclude=\"\\'\t#", "-x"]
            .map(OsString::from)
            .to_vec(),
    );
    for (number, flags) in all.iter().enumerate() {
        let file = pair.beside(format!("{number}.toml"));
        let words = ["alike", "mirror"].map(OsString::from).into_iter().chain(flags.iter().cloned());
        let ends = ["/nowhere/s", "/nowhere/r"].map(OsString::from);
        let words: Vec<OsString> = words.chain(ends).collect();
        let args = typed(flags);
        assert!(save(&args, Some(&file), &words).is_ok(), "{flags:?}");
        let config = load(Some(&file)).unwrap_or_else(|why| panic!("{flags:?}: {why}"));
        assert_eq!(told(&config.jobs[0].mirror), told(&args), "{flags:?}");
    }
}

#[test]
fn hooks_are_programs_with_their_words() {
    let lines = "on_halt = [\"mail\", \"-s\", \"$HOME ~\"]\non-error = [\"bin/tell\"]\nhook_timeout = \"1m\"";
    let config = load_as_if(&nowhere(), config_with(lines)).unwrap_or_else(|why| panic!("{why}"));
    let hooks = &config.jobs[0].hooks;
    let words = |hook: &Option<Vec<String>>| hook.as_deref().unwrap_or_default().join("|");
    assert_eq!(words(&hooks.on_halt), "mail|-s|$HOME ~", "only the program is a path");
    assert_eq!(words(&hooks.on_error), "/nowhere/bin/tell");
    assert_eq!((hooks.on_change.as_ref(), hooks.hook_timeout.map(|time| time.as_secs())), (None, Some(60)));
}

const CONFIGS: [&str; 6] = [
    "[defaults]\ninterval = \"10m\"\ntrash = \"30d\"\n\n[[job]]\nname = \"documents\"\nsource = \"~/Documents\"\nreplicas = [\"/mnt/usb/Documents\", \"/srv/a\"]\nexclude = [\"*.tmp\", \"/cache/\"]\n\n[web]\nlisten = \"127.0.0.1:7433\"\n",
    "[[job]]\nname = 'a'\nsource = '/a'\nreplica = '/b/../c'\nmax-delete = 0x10\nno_watch = true\nthreads = 1_0\n",
    "job = [{ name = \"ä\u{202e}\", source = \"/a\", replicas = [\"/a/b\"] }, { name = \"b\" }]\n",
    "[[job]]\r\nname = \"\"\"\r\nx\"\"\"\r\nsource = \"$HOME/${HOME}$$\"\r\nreplicas = [[1], {}, 1979-05-27]\r\n",
    "on_halt = [\"a\"]\n[defaults.x.y]\n[[job.z]]\n[defaults]\nwatcher = \"inotify\"\nno_watch = true\nscrub = nan\nbwlimit = 1e9\n",
    "\u{feff}# only a comment\n",
];

#[test]
fn whatever_is_written_it_is_a_config_or_a_mistake_that_shows_its_line() {
    let mut scramble = Scramble::new("config");
    for _ in 0..rounds(1_500) {
        let text = scramble.mutate_text(&CONFIGS);
        match load_as_if(&nowhere(), text.clone()) {
            Ok(config) => assert!(config.jobs.iter().all(|job| is_whole(&job.mirror)), "{text:?}"),
            Err(why) => {
                let why = why.to_string();
                assert!(why.contains("/nowhere/alike.toml"), "{text:?}\n{why}");
                assert!(!why.contains(|ch: char| ch.is_control() && ch != '\n'), "{text:?}\n{why}");
            }
        }
    }
}

fn is_whole(args: &MirrorArgs) -> bool {
    let paths = [&args.pair.source, &args.pair.replica].into_iter().chain(&args.also.also);
    paths.into_iter().all(|path: &PathBuf| path.is_absolute() && Path::new("/") != path)
}
