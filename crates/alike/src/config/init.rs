//! A config file written anew: all keys with their help and defaults, from the definition of the flags.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Arg;

use super::command::{InitArgs, put_new};
use super::keys::{self, Keys, Shape, canonical, shape};
use super::load::{load_as_if, of_user};
use super::paths::written;
use super::setting::quoted;
use crate::doctor::shown;
use crate::run::Failure;

const HEAD: &str = "\
# What `alike up` keeps identical. After a change: `alike config check`, then `alike reload`.
#
# A key is a long flag of `alike mirror`, without its dashes in front. All are here, commented out, with what counts when
# nothing is said, or with what is to be written. Paths may begin with ~ and have $VARIABLES in them ($$ is a dollar);
# one that is relative begins in the folder of this file. Files in alike.d/ beside this one that end in .toml count as
# well, in the order of their names. alike.toml(5) has more.

# For all jobs. A job that has the same key has its own word instead, not both.
[defaults]
";

const SAMPLE: &str = "
# One for each source.
#[[job]]
#name = \"documents\"
#source = \"~/Documents\"
#replicas = [\"/mnt/usb/Documents\", \"/srv/mirror/Documents\"]
";

const WEB: &str = "
# The status page, with /metrics and /healthz; off when there is none.
#[web]
#listen = \"127.0.0.1:7433\"
";

pub(crate) fn init(args: &InitArgs) -> Result<ExitCode, Failure> {
    let path = place(args.config.as_deref())?;
    let job = match &args.source {
        Some(source) => {
            let name = name_for(source, &[]);
            format!("\n{}", job(&name, source, &args.replica, &[])?)
        }
        None => SAMPLE.to_owned(),
    };
    let text = format!("{HEAD}{}{job}{WEB}", all_keys());
    load_as_if(&path, text.clone())?;
    if args.stdout {
        let _ = std::io::stdout().lock().write_all(text.as_bytes());
        return Ok(ExitCode::SUCCESS);
    }
    put_new(&path, &text)?;
    let then =
        if args.source.is_some() { "alike up starts it" } else { "write a [[job]] in it, then: alike up" };
    say!("alike: {} is written; {then}", shown(&path));
    Ok(ExitCode::SUCCESS)
}

/// Where a config is written: as it is given, or where this user's is looked for.
pub(crate) fn place(given: Option<&Path>) -> Result<PathBuf, Failure> {
    let path = given.map(Path::to_owned).or_else(of_user);
    let path = path.ok_or_else(|| {
        Failure::Usage("there is no home folder to write a config in; name a file".to_owned())
    })?;
    Ok(std::path::absolute(path)?)
}

/// Every key that `[defaults]` may have, as comments.
fn all_keys() -> String {
    let mut text = String::new();
    for key in explained() {
        comment(&mut text, &key.help);
        let _ = writeln!(text, "#{} = {}", key.name, key.value);
    }
    text
}

/// A key for people: its help, and what counts when it is not there, or what is to be written.
pub(crate) struct Explained {
    pub(crate) name: String,
    pub(crate) value: String,
    pub(crate) help: String,
}

/// Every key that `[defaults]` may have, in the order of the help.
pub(crate) fn explained() -> Vec<Explained> {
    let keys = Keys::new();
    let flags = keys.flags().map(|arg| {
        let help = arg.get_help().map(ToString::to_string).unwrap_or_default();
        let values: Vec<String> = match shape(arg) {
            Shape::Switch => Vec::new(),
            _ => arg.get_possible_values().iter().map(|value| value.get_name().to_owned()).collect(),
        };
        let values = if values.is_empty() { String::new() } else { format!(" ({})", values.join(", ")) };
        let name = canonical(arg.get_long().unwrap_or_default());
        Explained { name, value: when_unsaid(arg), help: format!("{help}{values}") }
    });
    let hooks = keys::HOOKS.iter().map(|(hook, help)| Explained {
        name: (*hook).to_owned(),
        value: format!("[\"/usr/local/bin/tell-me\", \"{}\"]", hook.trim_start_matches("on_")),
        help: format!("{help}: a program and its words, no shell; it gets JSON on its standard input"),
    });
    let timeout = Explained {
        name: keys::HOOK_TIMEOUT.to_owned(),
        value: "\"30s\"".to_owned(),
        help: "How long a hook may run".to_owned(),
    };
    flags.chain(hooks).chain([timeout]).collect()
}

/// What counts when the key is not there; of a flag without a default what is to be written.
pub(crate) fn when_unsaid(arg: &Arg) -> String {
    let default = arg.get_default_values().first().and_then(|value| value.to_str());
    match (shape(arg), default) {
        (Shape::Switch, _) => "false".to_owned(),
        (Shape::Several, _) => "[]".to_owned(),
        (Shape::One, Some(default)) if default.parse::<u32>().is_ok() => default.to_owned(),
        (Shape::One, Some(default)) => quoted(default),
        (Shape::One, None) => quoted(&value_name(arg)),
    }
}

pub(crate) fn value_name(arg: &Arg) -> String {
    arg.get_value_names().and_then(|names| names.first()).map(ToString::to_string).unwrap_or_default()
}

/// Help as lines of a comment that fit on a screen.
fn comment(text: &mut String, help: &str) {
    const WIDTH: usize = 110;
    let mut line = String::from("\n#");
    let mut width = 1;
    for word in help.split_whitespace() {
        let length = word.chars().count() + 1;
        if width + length > WIDTH {
            line.push_str("\n#");
            width = 1;
        }
        line.push(' ');
        line.push_str(word);
        width += length;
    }
    text.push_str(&line);
    text.push('\n');
}

/// A job as it is written in a file.
pub(crate) fn job(
    name: &str,
    source: &Path,
    replicas: &[PathBuf],
    settings: &[(String, String)],
) -> Result<String, Failure> {
    let replicas: Vec<String> = replicas.iter().map(|replica| path(replica)).collect::<Result<_, _>>()?;
    let mut text = format!("[[job]]\nname = {}\nsource = {}\n", quoted(name), path(source)?);
    let _ = writeln!(text, "replicas = [{}]", replicas.join(", "));
    for (key, value) in settings {
        let _ = writeln!(text, "{key} = {value}");
    }
    Ok(text)
}

/// A path as it is written in a file: absolute, for the file lies elsewhere.
pub(crate) fn path(path: &Path) -> Result<String, Failure> {
    if path.as_os_str().is_empty() {
        return Err(Failure::Usage("a path is empty".to_owned()));
    }
    let whole = std::path::absolute(path)?;
    let text = written(whole.as_os_str()).map(|text| quoted(&text));
    text.ok_or_else(|| Failure::Usage(format!("{} is not UTF-8, which a config file has to be", shown(path))))
}

/// A name for a job, after the last name of its source, that no other job has.
pub(crate) fn name_for(source: &Path, taken: &[&str]) -> String {
    let whole = std::path::absolute(source).unwrap_or_else(|_| source.to_owned());
    let last = whole.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let tame = |ch: char| if ch.is_control() || ch == '\u{fffd}' { '_' } else { ch };
    let name: String = last.chars().map(tame).take(48).collect();
    let name = name.trim().trim_start_matches('-').trim();
    let name = if name.is_empty() { "root" } else { name };
    if !taken.contains(&name) {
        return name.to_owned();
    }
    let numbered = (2_usize..).map(|number| format!("{name}-{number}"));
    numbered.into_iter().find(|name| !taken.contains(&name.as_str())).unwrap_or_default()
}
