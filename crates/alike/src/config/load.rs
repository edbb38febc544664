//! Finds a config file and its drop-ins, and reads them as one.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use alike_storage::plain;
use etcetera::BaseStrategy;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::keys::{self, Keys, did_you_mean};
use super::setting::{Says, Settings, command_line, parsed, settings};
use super::trouble::{Mistake, Spot, Text, Trouble};
use super::{Config, Hooks, Job, Web, overlap};

const FILE: &str = "alike.toml";
const DROP_INS: &str = "alike.d";
const SYSTEM: &str = "/etc/alike";
/// A file that is longer is none that a person wrote.
const MOST_BYTES: u64 = 1 << 20;

/// All that the config says: that of `-c`, or the first that is found where configs are.
///
/// # Errors
/// When there is none, it cannot be read, or anything in it is wrong. All that is wrong is told.
pub(crate) fn load(given: Option<&Path>) -> Result<Config, Trouble> {
    let path = match given {
        Some(given) => absolute(given)?,
        None => found()?,
    };
    read(&texts(&path, None)?)
}

/// The same, as if the file had this in it.
pub(crate) fn load_as_if(path: &Path, text: String) -> Result<Config, Trouble> {
    read(&texts(path, Some(text))?)
}

fn absolute(path: &Path) -> Result<PathBuf, Trouble> {
    std::path::absolute(path)
        .map_err(|why| Trouble::plain(format!("the config {}: {}", path.display(), plain(&why))))
}

/// Where the config of this user is, or would be.
pub(crate) fn of_user() -> Option<PathBuf> {
    let strategy = etcetera::choose_base_strategy().ok()?;
    Some(strategy.config_dir().join("alike").join(FILE))
}

/// The first config that is there.
pub(crate) fn found() -> Result<PathBuf, Trouble> {
    let places: Vec<PathBuf> = of_user().into_iter().chain([Path::new(SYSTEM).join(FILE)]).collect();
    // One that may not be looked at is there: whoever reads it says so.
    let is_there = |path: &&PathBuf| !matches!(path.symlink_metadata(), Err(why) if matches!(why.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory));
    if let Some(path) = places.iter().find(is_there) {
        return Ok(path.clone());
    }
    let places: Vec<String> = places.iter().map(|path| path.display().to_string()).collect();
    Err(Trouble::plain(format!(
        "there is no config: neither {}; write one with \"alike config init SOURCE REPLICA\", or name yours with -c FILE",
        places.join(" nor ")
    )))
}

/// The file and its drop-ins, in the order in which they count.
fn texts(path: &Path, as_if: Option<String>) -> Result<Vec<Text>, Trouble> {
    let text = as_if.map_or_else(|| read_text(path), Ok)?;
    let mut texts = vec![Text { path: path.to_owned(), text }];
    let folder = path.with_file_name(DROP_INS);
    let cannot =
        |why| Trouble::plain(format!("the drop-ins {} cannot be listed: {}", folder.display(), plain(&why)));
    let listing = match fs::read_dir(&folder) {
        Ok(listing) => listing,
        Err(why) if matches!(why.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => return Ok(texts),
        Err(why) => return Err(cannot(why)),
    };
    let mut paths = Vec::new();
    for entry in listing {
        let path = entry.map_err(cannot)?.path();
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if !hidden && path.extension().is_some_and(|extension| extension == "toml") {
            paths.push(path);
        }
    }
    paths.sort();
    for path in paths {
        texts.push(Text { text: read_text(&path)?, path });
    }
    Ok(texts)
}

pub(crate) fn read_text(path: &Path) -> Result<String, Trouble> {
    let cannot = |why: String| Trouble::plain(format!("the config {} cannot be read: {why}", path.display()));
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MOST_BYTES + 1).read_to_end(&mut bytes));
    let read = read.map_err(|why| cannot(plain(&why)))?;
    if read as u64 > MOST_BYTES {
        return Err(cannot("it is longer than a megabyte".to_owned()));
    }
    String::from_utf8(bytes).map_err(|why| {
        let good = why.utf8_error().valid_up_to();
        let before = &why.as_bytes()[..good];
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        let column = good - before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1) + 1;
        cannot(format!("line {line}, byte {column} is not UTF-8"))
    })
}

/// What is being read, and what was found to be wrong with it.
struct Reading<'a> {
    keys: Keys,
    mistakes: Vec<Mistake<'a>>,
    jobs: Vec<Placed<'a>>,
    /// Where each name stands.
    names: BTreeMap<String, Spot<'a>>,
    web: Option<(Spot<'a>, Web)>,
}

/// A job, and where the file says what of it.
pub(crate) struct Placed<'a> {
    pub(crate) job: Job,
    pub(crate) source: Spot<'a>,
    pub(crate) replicas: Vec<Spot<'a>>,
}

fn read(texts: &[Text]) -> Result<Config, Trouble> {
    let mut reading = Reading {
        keys: Keys::new(),
        mistakes: Vec::new(),
        jobs: Vec::new(),
        names: BTreeMap::new(),
        web: None,
    };
    let parsed: Vec<(&Text, Spanned<DeTable<'_>>)> =
        texts.iter().map(|text| (text, reading.syntax(text))).collect();
    if !reading.mistakes.is_empty() {
        return Err(Trouble::of(&reading.mistakes));
    }
    let mut defaults = Settings::new();
    for (number, (text, table)) in parsed.iter().enumerate() {
        let mut these = defaults.clone();
        these.extend(reading.file(text, table.get_ref(), &defaults));
        if number == 0 {
            defaults = these;
        }
    }
    reading.done(texts)
}

impl<'a> Reading<'a> {
    fn syntax(&mut self, text: &'a Text) -> Spanned<DeTable<'a>> {
        let (table, errors) = DeTable::parse_recoverable(&text.text);
        for error in errors {
            let spot = Spot::new(text, error.span().unwrap_or(0..0));
            self.mistakes.push(Mistake::new("this is no TOML", spot, error.message()));
        }
        table
    }

    /// Takes in a file, and returns its own `[defaults]`.
    fn file(&mut self, text: &'a Text, table: &'a DeTable<'a>, defaults: &Settings<'a>) -> Settings<'a> {
        let mut entries: Vec<_> = table.iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        let named =
            |name: &str| entries.iter().find(|(key, _)| key.get_ref() == name).map(|(_, value)| *value);
        let own = named("defaults").map(|value| self.defaults(text, value)).unwrap_or_default();
        let mut all = defaults.clone();
        all.extend(own.clone());
        for (key, value) in &entries {
            match key.get_ref().as_ref() {
                "defaults" => {}
                "job" => self.jobs(text, value, &all),
                "web" => self.web(text, value),
                other => {
                    let spot = Spot::new(text, key.span());
                    let near = did_you_mean(other, ["defaults", "job", "web"]);
                    let near = near.or_else(|| {
                        let belongs = !matches!(self.keys.meaning(other), keys::Meaning::Unknown);
                        belongs.then(|| "it is a key of a job: write it below a line [[job]], or below [defaults] for all".to_owned())
                    });
                    let help =
                        near.unwrap_or_else(|| "a config has [defaults], [[job]] and [web]".to_owned());
                    self.mistakes.push(
                        Mistake::new(format!("there is no `{other}` at the top of a config"), spot, "")
                            .help(help),
                    );
                }
            }
        }
        own
    }

    fn defaults(&mut self, text: &'a Text, value: &'a Spanned<DeValue<'a>>) -> Settings<'a> {
        match value.get_ref() {
            DeValue::Table(table) => settings(text, table, false, &self.keys, &mut self.mistakes),
            _ => {
                self.shape("defaults", "[defaults]", text, value);
                Settings::new()
            }
        }
    }

    /// Something at the top of the file is written in another form than it has.
    fn shape(&mut self, name: &str, form: &str, text: &'a Text, value: &'a Spanned<DeValue<'a>>) {
        let label = format!("expected a line {form} and keys below it");
        self.mistakes.push(Mistake::new(
            format!("`{name}` is written otherwise"),
            Spot::new(text, value.span()),
            label,
        ));
    }

    fn jobs(&mut self, text: &'a Text, value: &'a Spanned<DeValue<'a>>, defaults: &Settings<'a>) {
        let DeValue::Array(array) = value.get_ref() else {
            return self.shape("job", "[[job]], with two brackets,", text, value);
        };
        for job in array {
            match job.get_ref() {
                DeValue::Table(table) => self.job(Spot::new(text, job.span()), table, defaults),
                _ => self.shape("job", "[[job]]", text, job),
            }
        }
    }

    fn job(&mut self, spot: Spot<'a>, table: &'a DeTable<'a>, defaults: &Settings<'a>) {
        let wrong = self.mistakes.len();
        let own = settings(spot.text, table, true, &self.keys, &mut self.mistakes);
        self.whole(&spot, table, &own);
        if let (Some(setting), Some(other)) = (own.get(keys::REPLICA), own.get(keys::REPLICAS)) {
            let mistake = Mistake::new("`replica` and `replicas` say the same", other.key.clone(), "");
            self.mistakes.push(mistake.and(setting.key.clone(), "").help("write all in `replicas`"));
        }
        let Some(name) = own.get(keys::NAME).and_then(|setting| match &setting.says {
            Says::Name(name) => Some((name, setting)),
            _ => None,
        }) else {
            return;
        };
        if let Some(first) = self.names.get(name.0) {
            let title = format!("two jobs are called \"{}\"", name.0);
            self.mistakes
                .push(Mistake::new(title, name.1.value.clone(), "again").and(first.clone(), "first"));
        }
        self.names.entry(name.0.clone()).or_insert_with(|| name.1.value.clone());
        let mut all = defaults.clone();
        all.extend(own.clone());
        if self.mistakes.len() > wrong {
            return;
        }
        let (source, replicas) =
            (paths_of(&own, &[keys::SOURCE]), paths_of(&own, &[keys::REPLICAS, keys::REPLICA]));
        let Some(((source_spot, source), replicas_paths)) = source
            .into_iter()
            .next()
            .map(|source| (source, replicas.iter().map(|(_, path)| path.clone()).collect::<Vec<_>>()))
        else {
            return;
        };
        let flags = all.values().filter_map(|setting| match &setting.says {
            Says::Flag(words) => Some(words.clone()),
            _ => None,
        });
        let words = command_line(&flags.flatten().collect::<Vec<_>>(), &source, &replicas_paths);
        match parsed(&words, &all, &spot) {
            Ok(mirror) => {
                let job = Job { name: name.0.clone(), argv: words, mirror, hooks: hooks(&all) };
                let replicas = replicas.into_iter().map(|(spot, _)| spot).collect();
                self.jobs.push(Placed { job, source: source_spot, replicas });
            }
            Err(mistake) => self.mistakes.push(mistake),
        }
    }

    /// Tells what a job lacks. What is there and wrong has been told already.
    fn whole(&mut self, spot: &Spot<'a>, table: &DeTable<'_>, own: &Settings<'a>) {
        let is_there = |key: &str| {
            table.iter().any(|(written, _)| keys::canonical(written.get_ref()) == key)
                || own.contains_key(key)
        };
        for (key, example) in
            [(keys::NAME, "name = \"documents\""), (keys::SOURCE, "source = \"~/Documents\"")]
        {
            if !is_there(key) {
                self.mistakes.push(
                    Mistake::new(format!("a job has no `{key}`"), spot.clone(), "")
                        .help(format!("for instance {example}")),
                );
            }
        }
        if !is_there(keys::REPLICAS) && !is_there(keys::REPLICA) {
            let help = "for instance replicas = [\"/mnt/usb/Documents\"]";
            self.mistakes.push(Mistake::new("a job has no `replicas`", spot.clone(), "").help(help));
        }
    }

    fn web(&mut self, text: &'a Text, value: &'a Spanned<DeValue<'a>>) {
        let DeValue::Table(table) = value.get_ref() else {
            return self.shape("web", "[web]", text, value);
        };
        let here = Spot::new(text, value.span());
        if let Some((first, _)) = &self.web {
            let mistake = Mistake::new("there are two [web]", here, "again").and(first.clone(), "first");
            return self.mistakes.push(mistake);
        }
        let mut listen = None;
        for (key, value) in table {
            let (key_spot, spot) = (Spot::new(text, key.span()), Spot::new(text, value.span()));
            if key.get_ref() != "listen" {
                let help = did_you_mean(key.get_ref(), ["listen"])
                    .unwrap_or_else(|| "[web] has `listen`".to_owned());
                let title = format!("there is no key `{}` in [web]", key.get_ref());
                self.mistakes.push(Mistake::new(title, key_spot, "").help(help));
                continue;
            }
            match value.get_ref().as_str().map(str::parse) {
                Some(Ok(address)) => listen = Some(address),
                _ => {
                    let label = "expected an address and a port, such as \"127.0.0.1:7433\"";
                    self.mistakes.push(Mistake::new("`listen` has no good value", spot, label));
                    return;
                }
            }
        }
        match listen {
            Some(listen) => self.web = Some((here, Web { listen })),
            None => {
                let help = "for instance listen = \"127.0.0.1:7433\"";
                self.mistakes.push(Mistake::new("[web] has no `listen`", here, "").help(help));
            }
        }
    }

    fn done(mut self, texts: &'a [Text]) -> Result<Config, Trouble> {
        overlap::find(&self.jobs, &mut self.mistakes);
        if self.jobs.is_empty() && self.mistakes.is_empty() {
            let spot = Spot::new(&texts[0], 0..0);
            let help = "write a line [[job]], and below it name, source and replicas";
            self.mistakes.push(Mistake::new("there is no job in the config", spot, "").help(help));
        }
        if !self.mistakes.is_empty() {
            return Err(Trouble::of(&self.mistakes));
        }
        Ok(Config {
            jobs: self.jobs.into_iter().map(|placed| placed.job).collect(),
            web: self.web.map(|(_, web)| web),
            files: texts.iter().map(|text| text.path.clone()).collect(),
        })
    }
}

fn paths_of<'a>(own: &Settings<'a>, keys: &[&str]) -> Vec<(Spot<'a>, PathBuf)> {
    let says = keys.iter().filter_map(|key| own.get(*key)).map(|setting| &setting.says);
    says.flat_map(|says| if let Says::Paths(paths) = says { paths.clone() } else { Vec::new() }).collect()
}

fn hooks(all: &Settings<'_>) -> Hooks {
    let words = |key: &str| match all.get(key).map(|setting| &setting.says) {
        Some(Says::Hook(words)) => Some(words.clone()),
        _ => None,
    };
    let hook_timeout = match all.get(keys::HOOK_TIMEOUT).map(|setting| &setting.says) {
        Some(Says::Timeout(time)) => Some(*time),
        _ => None,
    };
    let [on_change, on_halt, on_error, on_recovered] = keys::HOOKS.map(|(key, _)| words(key));
    Hooks { on_change, on_halt, on_error, on_recovered, hook_timeout }
}
