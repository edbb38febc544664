//! From the text of a config file and its drop-ins to jobs; whatever is wrong is noted, and reading goes on.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::net::{AddrParseError, SocketAddr};
use std::path::PathBuf;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::keys::{self, Keys, Meaning, did_you_mean};
use super::rules::Rules;
use super::setting::{Says, Setting, Settings, command_line, parsed, settings};
use super::trouble::{Mistake, Spot, Text, Trouble};
use super::{Config, Hooks, Job, Web, overlap};

/// What stands at the top of a file.
const TOP: [&str; 3] = ["defaults", "job", "web"];

/// What is being read, and what was found to be wrong with it.
struct Reading<'a> {
    keys: Keys,
    mistakes: Vec<Mistake<'a>>,
    jobs: Vec<Placed<'a>>,
    /// Where each name stands.
    names: BTreeMap<String, Spot<'a>>,
    web: Option<(Spot<'a>, Option<Web>)>,
}

/// A job, and where the file says what of it.
pub(crate) struct Placed<'a> {
    pub(crate) job: Job,
    pub(crate) source: Spot<'a>,
    pub(crate) replicas: Vec<Spot<'a>>,
}

/// Reads these as one config. What the first has in `[defaults]` counts for the jobs of all.
pub(crate) fn read(texts: &[Text]) -> Result<Config, Trouble> {
    let mut reading = Reading {
        keys: Keys::new(),
        mistakes: Vec::new(),
        jobs: Vec::new(),
        names: BTreeMap::new(),
        web: None,
    };
    let parsed: Vec<(&Text, Spanned<DeTable<'_>>)> =
        texts.iter().map(|text| (text, reading.syntax(text))).collect();
    // What stands behind a mistake of syntax may be read as something else.
    if !reading.mistakes.is_empty() {
        return Err(Trouble::of(&reading.mistakes));
    }
    let mut defaults = Settings::new();
    for (number, (text, table)) in parsed.iter().enumerate() {
        let own = reading.file(text, table.get_ref(), &defaults);
        if number == 0 {
            defaults = own;
        }
    }
    reading.done(texts)
}

impl<'a> Reading<'a> {
    fn syntax(&mut self, text: &'a Text) -> Spanned<DeTable<'a>> {
        let (table, mut errors) = DeTable::parse_recoverable(&text.text);
        errors.sort_by_key(|error| error.span().map(|span| span.start));
        for error in errors {
            let spot = Spot::new(text, error.span().unwrap_or(0..0));
            self.mistakes.push(Mistake::new("this is no TOML", spot, error.message()));
        }
        table
    }

    /// Takes in a file, and returns its own `[defaults]`.
    fn file(&mut self, text: &'a Text, table: &'a DeTable<'a>, defaults: &Settings<'a>) -> Settings<'a> {
        let entries = in_order(table);
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
                other => self.stranger(other, Spot::new(text, key.span())),
            }
        }
        own
    }

    /// A key at the top that is none; often one of a job that was written above the first `[[job]]`.
    fn stranger(&mut self, key: &str, spot: Spot<'a>) {
        let names = self.keys.names();
        let is_of_job = !matches!(self.keys.meaning(key), Meaning::Unknown);
        let help = if is_of_job {
            "it is a key of a job: write it below a line [[job]], or below [defaults] for all jobs".to_owned()
        } else {
            did_you_mean(key, TOP)
                .or_else(|| did_you_mean(key, names.iter().map(String::as_str)))
                .unwrap_or_else(|| "a config has [defaults], [[job]] and [web]".to_owned())
        };
        let title = format!("there is no `{key}` at the top of a config");
        self.mistakes.push(Mistake::new(title, spot, "").help(help));
    }

    fn defaults(&mut self, text: &'a Text, value: &'a Spanned<DeValue<'a>>) -> Settings<'a> {
        if let DeValue::Table(table) = value.get_ref() {
            return settings(text, table, false, &self.keys, &mut self.mistakes);
        }
        self.shape("defaults", "[defaults]", text, value);
        Settings::new()
    }

    /// Something at the top of the file has another form than it should.
    fn shape(&mut self, name: &str, form: &str, text: &'a Text, value: &'a Spanned<DeValue<'a>>) {
        let label = format!("expected a line {form}, and keys below it");
        let title = format!("`{name}` has another form");
        self.mistakes.push(Mistake::new(title, Spot::new(text, value.span()), label));
    }

    fn jobs(&mut self, text: &'a Text, value: &'a Spanned<DeValue<'a>>, defaults: &Settings<'a>) {
        let DeValue::Array(array) = value.get_ref() else {
            return self.shape("job", "[[job]] with two brackets", text, value);
        };
        for job in array {
            match job.get_ref() {
                DeValue::Table(table) => self.job(&Spot::new(text, job.span()), table, defaults),
                _ => self.shape("job", "[[job]]", text, job),
            }
        }
    }

    fn job(&mut self, spot: &Spot<'a>, table: &'a DeTable<'a>, defaults: &Settings<'a>) {
        let before = self.mistakes.len();
        let own = settings(spot.text, table, true, &self.keys, &mut self.mistakes);
        self.lacks(spot, table);
        if let (Some(one), Some(all)) = (own.get(keys::REPLICA), own.get(keys::REPLICAS)) {
            let mistake = Mistake::new("`replica` and `replicas` say the same", all.key.clone(), "");
            self.mistakes.push(mistake.and(one.key.clone(), "").help("write all of them in `replicas`"));
        }
        if let Some((Says::Name(name), value)) = own.get(keys::NAME).map(|name| (&name.says, &name.value)) {
            self.name(name, value);
        }
        if self.mistakes.len() > before {
            return;
        }
        let mut all = defaults.clone();
        all.extend(own);
        match placed(&all, spot) {
            Ok(placed) => self.jobs.extend(placed),
            Err(mistake) => self.mistakes.push(mistake),
        }
    }

    /// Tells what a job lacks. What is there and wrong is told elsewhere.
    fn lacks(&mut self, spot: &Spot<'a>, table: &DeTable<'_>) {
        let is_there =
            |key: &&str| table.iter().any(|(written, _)| keys::canonical(written.get_ref()) == **key);
        let examples = [
            (&[keys::NAME][..], "name = \"documents\""),
            (&[keys::SOURCE], "source = \"~/Documents\""),
            (&[keys::REPLICAS, keys::REPLICA], "replicas = [\"/mnt/usb/Documents\"]"),
        ];
        for (keys, example) in examples {
            if !keys.iter().any(is_there) {
                let mistake = Mistake::new(format!("a job has no `{}`", keys[0]), spot.clone(), "");
                self.mistakes.push(mistake.help(format!("for instance {example}")));
            }
        }
    }

    fn name(&mut self, name: &str, value: &Spot<'a>) {
        match self.names.get(name) {
            Some(first) => {
                let mistake = Mistake::new(format!("two jobs are called \"{name}\""), value.clone(), "again");
                self.mistakes.push(mistake.and(first.clone(), "first"));
            }
            None => drop(self.names.insert(name.to_owned(), value.clone())),
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
        let before = self.mistakes.len();
        let mut listen = None;
        for (key, value) in in_order(table) {
            let spot = Spot::new(text, value.span());
            match (key.get_ref().as_ref(), value.get_ref().as_str().map(address)) {
                ("listen", Some(Ok(address))) => listen = Some(address),
                ("listen", _) => {
                    let label = "expected an address and a port, such as \"127.0.0.1:7433\"";
                    self.mistakes.push(Mistake::new("`listen` has no good value", spot, label));
                }
                (other, _) => {
                    let help = did_you_mean(other, ["listen"]);
                    let help = help.unwrap_or_else(|| "[web] has one key, `listen`".to_owned());
                    let title = format!("there is no key `{other}` in [web]");
                    self.mistakes.push(Mistake::new(title, Spot::new(text, key.span()), "").help(help));
                }
            }
        }
        if listen.is_none() && self.mistakes.len() == before {
            let help = "for instance listen = \"127.0.0.1:7433\"";
            self.mistakes.push(Mistake::new("[web] has no `listen`", here.clone(), "").help(help));
        }
        self.web = Some((here, listen.map(|listen| Web { listen })));
    }

    fn done(mut self, texts: &[Text]) -> Result<Config, Trouble> {
        overlap::find(&self.jobs, &mut self.mistakes);
        if !self.mistakes.is_empty() {
            self.mistakes.sort_by_key(|mistake| mistake.order(texts));
            return Err(Trouble::of(&self.mistakes));
        }
        Ok(Config {
            jobs: self.jobs.into_iter().map(|placed| placed.job).collect(),
            web: self.web.and_then(|(_, web)| web),
            files: texts.iter().map(|text| text.path.clone()).collect(),
        })
    }
}

/// Where the page listens: an address, or the name that every machine has for itself.
fn address(written: &str) -> Result<SocketAddr, AddrParseError> {
    match written.strip_prefix("localhost:") {
        Some(port) => format!("127.0.0.1:{port}").parse(),
        None => written.parse(),
    }
}

/// The table as it was written: toml has its keys by the alphabet.
pub(crate) fn in_order<'a>(
    table: &'a DeTable<'a>,
) -> Vec<(&'a Spanned<toml::de::DeString<'a>>, &'a Spanned<DeValue<'a>>)> {
    let mut entries: Vec<_> = table.iter().collect();
    entries.sort_by_key(|(key, _)| key.span().start);
    entries
}

/// The job that these settings come to; none when they lack what was told of already.
fn placed<'a>(all: &Settings<'a>, spot: &Spot<'a>) -> Result<Option<Placed<'a>>, Mistake<'a>> {
    let source = paths(all, &[keys::SOURCE]).into_iter().next();
    let (spots, replicas): (Vec<_>, Vec<_>) =
        paths(all, &[keys::REPLICAS, keys::REPLICA]).into_iter().unzip();
    let name = all.get(keys::NAME).map(|setting| &setting.says);
    let (Some(Says::Name(name)), Some((source_spot, source))) = (name, source) else { return Ok(None) };
    let flags = all.values().filter_map(|setting| match &setting.says {
        Says::Flag(words) => Some(words.clone()),
        _ => None,
    });
    let argv = command_line(&flags.flatten().collect::<Vec<OsString>>(), &source, &replicas);
    let mirror = parsed(&argv, all, spot)?;
    let job = Job { name: name.clone(), argv, mirror, rules: Rules::default(), hooks: hooks(all) };
    Ok(Some(Placed { job, source: source_spot, replicas: spots }))
}

fn paths<'a>(all: &Settings<'a>, keys: &[&str]) -> Vec<(Spot<'a>, PathBuf)> {
    let found = keys.iter().filter_map(|key| all.get(*key));
    let paths =
        found.map(|setting| if let Says::Paths(paths) = &setting.says { paths.clone() } else { Vec::new() });
    paths.flatten().collect()
}

fn hooks(all: &Settings<'_>) -> Hooks {
    let says = |key: &str| all.get(key).map(|setting: &Setting<'_>| setting.says.clone());
    let words = |key: &str| if let Some(Says::Hook(words)) = says(key) { Some(words) } else { None };
    let [on_change, on_halt, on_error, on_recovered] = keys::HOOKS.map(|(key, _)| words(key));
    let hook_timeout =
        if let Some(Says::Timeout(time)) = says(keys::HOOK_TIMEOUT) { Some(time) } else { None };
    Hooks { on_change, on_halt, on_error, on_recovered, hook_timeout }
}
