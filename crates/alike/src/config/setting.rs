//! One key with its value: judged by the parser of the flag that it stands for.

use std::collections::BTreeMap;
use std::error::Error as _;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::time::Duration;

use alike_model::path::is_unsafe_to_show;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Parser};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::keys::{self, HOOK_TIMEOUT, Keys, Meaning, Shape, canonical, did_you_mean, shape};
use super::paths;
use super::reading::in_order;
use super::trouble::{Mistake, Spot, Text};
use crate::args::{Cli, Command, MirrorArgs, duration};
use crate::elsewhere::elsewhere;

/// A key as it was read, with what it comes to.
#[derive(Clone, Debug)]
pub(crate) struct Setting<'a> {
    pub(crate) key: Spot<'a>,
    pub(crate) value: Spot<'a>,
    pub(crate) says: Says<'a>,
}

#[derive(Clone, Debug)]
pub(crate) enum Says<'a> {
    Name(String),
    Paths(Vec<(Spot<'a>, PathBuf)>),
    /// Words of a command line; none for a switch that is off.
    Flag(Vec<OsString>),
    Hook(Vec<String>),
    Timeout(Duration),
}

/// The keys of one table, each by its name as this program writes it.
pub(crate) type Settings<'a> = BTreeMap<String, Setting<'a>>;

/// A value that is no good: what it is, the words below it, and where, when not all of it.
struct Bad<'a> {
    label: String,
    spot: Option<Spot<'a>>,
    help: Option<String>,
}

impl<'a> Bad<'a> {
    fn new(label: impl Into<String>) -> Self {
        Self { label: label.into(), spot: None, help: None }
    }

    fn at(mut self, spot: Spot<'a>) -> Self {
        self.spot = Some(spot);
        self
    }

    fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// Reads all keys of a job, or of `[defaults]` when `is_job` is false.
pub(crate) fn settings<'a>(
    text: &'a Text,
    table: &'a DeTable<'a>,
    is_job: bool,
    keys: &Keys,
    mistakes: &mut Vec<Mistake<'a>>,
) -> Settings<'a> {
    let mut settings = Settings::new();
    for (key, value) in in_order(table) {
        let (name, spot) = (canonical(key.get_ref()), Spot::new(text, key.span()));
        let value_spot = Spot::new(text, value.span());
        let says = match read(&name, (text, value), is_job, keys) {
            Ok(says) => says,
            Err(Wrong::Key(title, help)) => {
                mistakes.push(Mistake::new(title, spot, "").maybe_help(help));
                continue;
            }
            Err(Wrong::Value(bad)) => {
                let title = format!("`{name}` has no good value");
                let mistake = Mistake::new(title, bad.spot.unwrap_or(value_spot), bad.label);
                mistakes.push(mistake.maybe_help(bad.help));
                continue;
            }
        };
        if let Some(first) = settings.get(&name) {
            let first: &Setting<'a> = first;
            let title = format!("`{name}` is written twice");
            mistakes.push(Mistake::new(title, spot, "again").and(first.key.clone(), "first"));
            continue;
        }
        settings.insert(name, Setting { key: spot, value: value_spot, says });
    }
    settings
}

enum Wrong<'a> {
    Key(String, Option<String>),
    Value(Bad<'a>),
}

impl<'a> From<Bad<'a>> for Wrong<'a> {
    fn from(bad: Bad<'a>) -> Self {
        Self::Value(bad)
    }
}

fn read<'a>(
    name: &str,
    (text, value): (&'a Text, &'a Spanned<DeValue<'a>>),
    is_job: bool,
    keys: &Keys,
) -> Result<Says<'a>, Wrong<'a>> {
    match keys.meaning(name) {
        Meaning::Own(_) if !is_job => Err(Wrong::Key(
            format!("`{name}` cannot be in [defaults]"),
            Some("it belongs to a [[job]]".to_owned()),
        )),
        Meaning::Own(keys::NAME) => Ok(Says::Name(job_name(value)?)),
        Meaning::Own(keys::REPLICAS) => Ok(Says::Paths(several_paths(text, value)?)),
        Meaning::Own(_) => Ok(Says::Paths(vec![path(text, value)?])),
        Meaning::Hook => Ok(Says::Hook(hook(name, text, value)?)),
        Meaning::HookTimeout => Ok(Says::Timeout(hook_timeout(value)?)),
        Meaning::Flag(arg) => Ok(Says::Flag(flag(arg, text, value)?)),
        Meaning::Refused(why) => {
            Err(Wrong::Key(format!("`{name}` cannot be in a config file"), Some(why.to_owned())))
        }
        Meaning::Unknown => {
            let names = keys.names();
            let near =
                keys::here_it_is(name).or_else(|| did_you_mean(name, names.iter().map(String::as_str)));
            let help = near.or_else(|| Some("`alike config init --stdout` shows all keys".to_owned()));
            Err(Wrong::Key(format!("there is no key `{name}`"), help))
        }
    }
}

fn found<'a>(expected: &str, value: &DeValue<'_>) -> Bad<'a> {
    let article = |word: &str| if word.starts_with(['a', 'i']) { "an" } else { "a" };
    let is = value.type_str();
    Bad::new(format!("expected {expected}, found {} {is}", article(is)))
}

fn job_name<'a>(value: &Spanned<DeValue<'a>>) -> Result<String, Bad<'a>> {
    let Some(name) = value.get_ref().as_str() else {
        return Err(found("a string", value.get_ref()));
    };
    let bad = |why: &str| Err(Bad::new(why));
    match name {
        name if name.trim().is_empty() => bad("is empty"),
        name if name.trim() != name => bad("begins or ends with a blank"),
        name if name.starts_with('-') => bad("begins with -, as a flag does"),
        name if name.chars().any(|ch| ch.is_control() || is_unsafe_to_show(ch) || ch == '/') => {
            bad("has a / or a control character in it")
        }
        name if name.chars().count() > 64 => bad("is longer than 64 characters"),
        name => Ok(name.to_owned()),
    }
}

fn path<'a>(text: &'a Text, value: &'a Spanned<DeValue<'a>>) -> Result<(Spot<'a>, PathBuf), Bad<'a>> {
    let spot = Spot::new(text, value.span());
    let Some(written) = value.get_ref().as_str() else {
        return Err(found("a path in a string", value.get_ref()).at(spot));
    };
    let path = read_path(written, &spot)?;
    match elsewhere(OsStr::new(written), spot.folder()) {
        Some(why) => Err(Bad::new(why).at(spot)),
        None => Ok((spot, path)),
    }
}

fn read_path<'a>(written: &str, spot: &Spot<'a>) -> Result<PathBuf, Bad<'a>> {
    paths::read(written, spot.folder()).map_err(|bad| Bad::new(bad.why).at(spot.part(&bad.part)))
}

fn several_paths<'a>(
    text: &'a Text,
    value: &'a Spanned<DeValue<'a>>,
) -> Result<Vec<(Spot<'a>, PathBuf)>, Bad<'a>> {
    match value.get_ref() {
        DeValue::Array(array) if array.is_empty() => Err(Bad::new("expected at least one")),
        DeValue::Array(array) => array.iter().map(|value| path(text, value)).collect(),
        DeValue::String(_) => Ok(vec![path(text, value)?]),
        other => Err(found("an array of paths", other)),
    }
}

fn hook<'a>(name: &str, text: &'a Text, value: &'a Spanned<DeValue<'a>>) -> Result<Vec<String>, Bad<'a>> {
    let DeValue::Array(array) = value.get_ref() else {
        let words = value.get_ref().as_str().unwrap_or("/usr/local/bin/tell-me --loud");
        let words: Vec<String> = words.split_whitespace().map(quoted).collect();
        return Err(found("an array of strings", value.get_ref())
            .help(format!("no shell reads it; write each word by itself: {name} = [{}]", words.join(", "))));
    };
    let mut words = Vec::new();
    for word in array {
        let spot = Spot::new(text, word.span());
        match word.get_ref().as_str() {
            Some(word) if word.contains('\0') => return Err(Bad::new("has a NUL in it").at(spot)),
            Some(word) if words.is_empty() => words.push(program(word, &spot)?),
            Some(word) => words.push(word.to_owned()),
            None => return Err(found("a string", word.get_ref()).at(spot)),
        }
    }
    if words.is_empty() {
        return Err(Bad::new("expected a program, and what is handed to it"));
    }
    Ok(words)
}

/// A program with a slash in it is a path; any other is looked for where programs are.
fn program<'a>(word: &str, spot: &Spot<'a>) -> Result<String, Bad<'a>> {
    if !word.is_empty() && !word.contains('/') {
        return Ok(word.to_owned());
    }
    let path = read_path(word, spot)?;
    path.into_os_string().into_string().map_err(|_| Bad::new("is not UTF-8").at(spot.clone()))
}

fn hook_timeout<'a>(value: &Spanned<DeValue<'a>>) -> Result<Duration, Bad<'a>> {
    let Some(written) = one(value.get_ref()) else {
        return Err(found("a time", value.get_ref()).help(format!("{HOOK_TIMEOUT} = \"30s\"")));
    };
    match duration(&written).map_err(Bad::new)? {
        Duration::ZERO => Err(Bad::new("is no time to run in")),
        time => Ok(time),
    }
}

fn flag<'a>(arg: &Arg, text: &'a Text, value: &'a Spanned<DeValue<'a>>) -> Result<Vec<OsString>, Bad<'a>> {
    let long = arg.get_long().unwrap_or_default();
    let one_word = |value: &'a Spanned<DeValue<'a>>, written: String| -> Result<OsString, Bad<'a>> {
        let mut word = OsString::from(format!("--{long}="));
        if keys::is_path(arg) {
            word.push(read_path(&written, &Spot::new(text, value.span()))?);
        } else {
            word.push(written);
        }
        judged(&word).map_err(|bad| bad.at(Spot::new(text, value.span())))?;
        Ok(word)
    };
    match (shape(arg), value.get_ref()) {
        (Shape::Switch, DeValue::Boolean(on)) => {
            Ok(on.then(|| OsString::from(format!("--{long}"))).into_iter().collect())
        }
        (Shape::Switch, other) => Err(found("true or false", other)),
        (Shape::Several, DeValue::Array(array)) => array
            .iter()
            .map(|value| match value.get_ref().as_str() {
                Some(written) => one_word(value, written.to_owned()),
                None => Err(found("a string", value.get_ref()).at(Spot::new(text, value.span()))),
            })
            .collect(),
        (Shape::Several, DeValue::String(written)) => Ok(vec![one_word(value, written.to_string())?]),
        (Shape::Several, other) => Err(found("an array of strings", other)),
        (Shape::One, other) if keys::is_path(arg) && !other.is_str() => {
            Err(found("a path in a string", other))
        }
        (Shape::One, other) => match one(other) {
            Some(written) => Ok(vec![one_word(value, written)?]),
            None => Err(found("a string or a number", other).maybe_example(arg)),
        },
    }
}

impl Bad<'_> {
    fn maybe_example(self, arg: &Arg) -> Self {
        let key = canonical(arg.get_long().unwrap_or_default());
        match arg.get_default_values().first().and_then(|value| value.to_str()) {
            Some(value) => self.help(format!("for instance {key} = {}", quoted(value))),
            None => self,
        }
    }
}

/// A string or a number as text.
fn one(value: &DeValue<'_>) -> Option<String> {
    match value {
        DeValue::String(text) => Some(text.to_string()),
        DeValue::Float(float) => Some(float.as_str().to_owned()),
        DeValue::Integer(integer) if integer.radix() == 10 => Some(integer.as_str().to_owned()),
        DeValue::Integer(integer) => {
            Some(i128::from_str_radix(integer.as_str(), integer.radix()).ok()?.to_string())
        }
        _ => None,
    }
}

/// As it stands in a file.
pub(crate) fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

/// What the flag's own parser has to say of the word.
fn judged<'a>(word: &OsString) -> Result<(), Bad<'a>> {
    let error = match Cli::try_parse_from(command_line(
        std::slice::from_ref(word),
        Path::new("/"),
        &[PathBuf::from("/")],
    )) {
        Ok(_) => return Ok(()),
        Err(error) => error,
    };
    let several = |kind: ContextKind| match error.get(kind) {
        Some(ContextValue::Strings(all)) => all.clone(),
        Some(ContextValue::String(one)) => vec![one.clone()],
        _ => Vec::new(),
    };
    if let (ErrorKind::ValueValidation, Some(why)) = (error.kind(), error.source()) {
        return Err(Bad::new(why.to_string()));
    }
    let valid = several(ContextKind::ValidValue);
    if error.kind() == ErrorKind::InvalidValue && !valid.is_empty() {
        let bad = Bad::new(format!("expected one of {}", valid.join(", ")));
        let near = several(ContextKind::SuggestedValue).into_iter().next();
        return Err(match near {
            Some(near) => bad.help(format!("did you mean {}?", quoted(&near))),
            None => bad,
        });
    }
    let text = error.to_string();
    let first = text.split("\n\n").next().unwrap_or_default().trim_start_matches("error: ");
    Err(Bad::new(first.lines().map(str::trim).collect::<Vec<_>>().join(" ")))
}

/// The command line of `alike mirror` with these flags.
pub(crate) fn command_line(flags: &[OsString], source: &Path, replicas: &[PathBuf]) -> Vec<OsString> {
    let also = |replica: &PathBuf| {
        let mut word = OsString::from("--also=");
        word.push(replica);
        word
    };
    let mut words: Vec<OsString> = vec!["alike".into(), "mirror".into()];
    words.extend(flags.iter().cloned());
    words.extend(replicas.iter().skip(1).map(also));
    words.extend(["--".into(), source.into()]);
    words.extend(replicas.first().map(|replica| replica.clone().into()));
    words
}

/// Which of these settings exclude each other, when the whole command line is not taken.
pub(crate) fn parsed<'a>(
    words: &[OsString],
    settings: &Settings<'a>,
    job: &Spot<'a>,
) -> Result<MirrorArgs, Mistake<'a>> {
    let error = match Cli::try_parse_from(words) {
        Ok(Cli { command: Command::Mirror(args), .. }) => return Ok(args),
        Ok(_) => return Err(Mistake::new("this is no job of a mirror", job.clone(), "")),
        Err(error) => error,
    };
    let named = |kind| match error.get(kind) {
        Some(ContextValue::String(flag)) => Some(flag.clone()),
        Some(ContextValue::Strings(flags)) => flags.first().cloned(),
        _ => None,
    };
    let setting = |flag: Option<String>| {
        let flag = flag?;
        let long = flag.strip_prefix("--")?.split([' ', '=']).next()?;
        settings.get_key_value(&canonical(long))
    };
    match (setting(named(ContextKind::InvalidArg)), setting(named(ContextKind::PriorArg))) {
        (Some((one, first)), Some((other, second))) => {
            let title = format!("`{one}` and `{other}` exclude each other");
            Err(Mistake::new(title, first.key.clone(), "")
                .and(second.key.clone(), "")
                .and(job.clone(), "in this job"))
        }
        _ => {
            let text = error.to_string();
            let first = text.lines().next().unwrap_or_default().trim_start_matches("error: ").to_owned();
            Err(Mistake::new("this job makes no command line", job.clone(), first))
        }
    }
}
