//! The man command: manual pages, from the definition of the command line and of the keys.

use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use alike_storage::plain;
use clap::{Args, Command, CommandFactory, ValueHint};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, italic, roman};

use crate::args::Cli;
use crate::config::explained;
use crate::doctor::shown;
use crate::run::Failure;

/// The page about the config file.
const OF_CONFIG: &str = "alike.toml";

#[derive(Debug, Args)]
pub(crate) struct ManArgs {
    /// The command, as it is typed (mirror, config check), or alike.toml; read it with: alike man mirror | man -l -
    command: Vec<String>,
    /// Write the pages of all commands and of alike.toml into this folder, which is made
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath, conflicts_with = "command")]
    all: Option<PathBuf>,
}

pub(crate) fn man(args: &ManArgs) -> Result<ExitCode, Failure> {
    if let Some(folder) = &args.all {
        write_all(folder).map_err(|why| Failure::Failed(format!("{}: {}", shown(folder), plain(&why))))?;
        return Ok(ExitCode::SUCCESS);
    }
    let page = match args.command.as_slice() {
        [name] if name == OF_CONFIG => config_page()?,
        words => page(find(words)?)?,
    };
    io::stdout().lock().write_all(&page)?;
    Ok(ExitCode::SUCCESS)
}

fn commands() -> Command {
    let mut all = Cli::command().disable_help_subcommand(true);
    all.build();
    all
}

fn find(words: &[String]) -> Result<Command, Failure> {
    let unknown = |word: &str| {
        Failure::Usage(format!(
            "there is no page about {}; alike --help lists the commands",
            shown(Path::new(word))
        ))
    };
    words.iter().try_fold(commands(), |command, word| {
        command.find_subcommand(word).cloned().ok_or_else(|| unknown(word))
    })
}

fn write_all(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder)?;
    let mut left = vec![commands()];
    while let Some(command) = left.pop() {
        left.extend(command.get_subcommands().filter(|below| !below.is_hide_set()).cloned());
        let name = format!("{}.1", name_of(&command));
        File::create(folder.join(name))?.write_all(&page(command)?)?;
    }
    File::create(folder.join(format!("{OF_CONFIG}.5")))?.write_all(&config_page()?)
}

fn name_of(command: &Command) -> String {
    command.get_display_name().unwrap_or_else(|| command.get_name()).to_owned()
}

fn release() -> String {
    format!("alike {}", env!("CARGO_PKG_VERSION"))
}

fn page(command: Command) -> io::Result<Vec<u8>> {
    let name = name_of(&command);
    let is_top = name == "alike";
    let mut text = Vec::new();
    Man::new(command).title(name).source(release()).manual("alike").render(&mut text)?;
    let mut rest = Roff::new();
    if is_top {
        exit_codes(&mut rest);
        files(&mut rest);
    }
    rest.control("SH", ["SEE ALSO"]);
    let others = [("alike", "(1), "), ("alike.toml", "(5)")];
    rest.text(others.iter().flat_map(|(page, section)| [bold(*page), roman(*section)]).collect::<Vec<_>>());
    rest.to_writer(&mut text)?;
    Ok(text)
}

fn exit_codes(page: &mut Roff) {
    page.control("SH", ["EXIT STATUS"]);
    for (code, text) in [
        ("0", "The replica is identical; for mirror and up also a clean stop after Ctrl+C or SIGTERM."),
        ("1", "Finished, but some path failed, was held back or differs."),
        ("2", "The command line or the config is wrong."),
        ("3", "Halted for safety; nothing was deleted."),
        ("130, 143", "once and check were stopped half-way by a signal, cleanly."),
    ] {
        term(page, code, text);
    }
}

fn files(page: &mut Roff) {
    page.control("SH", ["FILES"]);
    for (path, text) in [
        ("REPLICA/.alike/", "alike's own folder on a replica: whose it is, its lock, trash and history."),
        (
            "$XDG_STATE_HOME/alike/",
            "What is known of each pair. It may be deleted: the next pass builds it again.",
        ),
        (
            "$XDG_CONFIG_HOME/alike/alike.toml, /etc/alike/alike.toml",
            "The config of alike up; see alike.toml(5).",
        ),
    ] {
        term(page, path, text);
    }
}

fn term(page: &mut Roff, term: &str, text: &str) {
    page.control("TP", []);
    page.text([bold(term)]);
    page.text([roman(text)]);
}

fn section(page: &mut Roff, name: &str, paragraphs: &[&str]) {
    page.control("SH", [name]);
    paragraphs_of(page, paragraphs);
}

fn paragraphs_of(page: &mut Roff, paragraphs: &[&str]) {
    for paragraph in paragraphs {
        page.control("PP", []);
        page.text([roman(*paragraph)]);
    }
}

fn example(page: &mut Roff, text: &str) {
    page.control("PP", []);
    page.control("nf", []);
    for line in text.lines() {
        match line {
            "" => page.control("sp", []),
            line => page.text([roman(line)]),
        };
    }
    page.control("fi", []);
}

const EXAMPLE: &str = "\
[defaults]
interval = \"10m\"
trash = \"30d\"
on_halt = [\"/usr/local/bin/tell-me\", \"a mirror halted\"]

[[job]]
name = \"documents\"
source = \"~/Documents\"
replicas = [\"/mnt/usb/Documents\", \"/srv/mirror/Documents\"]
exclude = [\"*.tmp\", \"/cache/\"]

[web]
listen = \"127.0.0.1:7433\"";

/// alike.toml(5): words by hand, keys from their definition.
fn config_page() -> io::Result<Vec<u8>> {
    let mut page = Roff::new();
    let release = release();
    page.control("TH", [OF_CONFIG, "5", "", release.as_str(), "alike"]);
    section(
        &mut page,
        "NAME",
        &["alike.toml - the config of alike up: which folders are kept identical, and how"],
    );
    section(
        &mut page,
        "DESCRIPTION",
        &[
            "A TOML file. alike up reads the one that -c names, else $XDG_CONFIG_HOME/alike/alike.toml (~/.config when that \
         variable is not set), else /etc/alike/alike.toml. alike config init writes one, alike mirror with --save adds what \
         was typed as a job, and alike config check says what is wrong, with line and column. What has a mistake in it does \
         not count at all; a running alike up goes on with what it had.",
            "Files in the folder alike.d beside it whose names end in .toml are read after it, in the order of their names. \
         They may have [[job]] and, if no other file has it, [web]. What they have in [defaults] counts for the jobs of the \
         same file only, and goes before what the main file has there.",
        ],
    );
    example(&mut page, EXAMPLE);
    section(
        &mut page,
        "PATHS",
        &[
            "A path may begin with ~, the home folder of whoever runs alike, and may have $NAME or ${NAME} in it, which stand for \
         variables of the environment. One that is empty or not set is a mistake. $$ stands for a dollar. A relative path \
         begins in the folder of the file that it stands in. This holds for source, replicas and all keys whose value is a \
         path, and for the program of a hook when it has a slash in it; patterns are taken as they are.",
        ],
    );
    section(&mut page, "JOBS", &["Each [[job]] is one source and its replicas."]);
    term(&mut page, "name", "What it is called. No two jobs have the same name.");
    term(&mut page, "source", "The folder to copy from; never written.");
    term(
        &mut page,
        "replicas",
        "An array of the folders to make identical. For one, replica with a string does too.",
    );
    paragraphs_of(
        &mut page,
        &[
            "No two replicas may be one folder or lie in each other, also in different jobs and through links. A replica may lie \
         in its source only where the filters leave it out. Jobs may not copy to each other in a circle.",
        ],
    );
    section(
        &mut page,
        "KEYS",
        &[
            "These may stand in a [[job]], and in [defaults] for all jobs. A job that has a key of its own has only that, also \
         where the value is an array. They are the long flags of alike mirror; - may be written for _ in their names. A flag \
         without a value is true or false here, one that can be repeated is an array of strings, and any other value is a \
         string, or a number.",
        ],
    );
    for key in explained() {
        page.control("TP", []);
        page.text([bold(key.name), roman(" = "), italic(key.value)]);
        page.text([roman(key.help)]);
    }
    section(
        &mut page,
        "HOOKS",
        &[
            "A hook is an array: a program, and the words that it is started with. No shell reads them. It gets one JSON object \
         on its standard input.",
        ],
    );
    section(&mut page, "THE PAGE", &["[web] turns the status page on. It is off when there is no [web]."]);
    term(
        &mut page,
        "listen",
        "Address and port, for instance 127.0.0.1:7433. Another address than one of this machine's own \
         loopback lets others see the page.",
    );
    page.control("SH", ["SEE ALSO"]);
    page.text([
        bold("alike"),
        roman("(1), "),
        bold("alike-mirror"),
        roman("(1), "),
        bold("alike-config"),
        roman("(1)"),
    ]);
    let mut text = Vec::new();
    page.to_writer(&mut text)?;
    Ok(text)
}
