//! alike keeps a replica folder identical to a source folder.
//!
//! Floor 3, the program: words in, words out. See `DESIGN.md` for the map.

/// A line on standard error. Nobody may be there to read it: that is no reason to stop.
macro_rules! say {
    ($($words:tt)*) => {{
        use std::io::Write as _;
        let mark = $crate::journald::Priority::Notice.on_stderr();
        let _ = writeln!(std::io::stderr(), "{mark}{}", format_args!($($words)*));
    }};
}

mod answer;
mod args;
mod check;
mod completions;
mod config;
mod console;
mod diagnosis;
mod doctor;
mod elsewhere;
mod follow;
mod history;
mod journald;
mod log;
mod log_file;
mod manual;
mod meant;
mod once;
mod page;
mod paint;
mod plan;
mod progress;
mod recover;
mod recovery;
mod rotation;
mod rule;
mod run;
mod service;
mod settings;
mod signals;
mod standing;
mod trash;
mod up;
#[cfg(test)]
mod whatever_is_typed;
mod why;
mod zone;

use std::process::ExitCode;

use clap::Parser;
use clap::error::ErrorKind;

use crate::args::{Cli, Command};
use crate::run::Failure;

fn main() -> ExitCode {
    alike_engine::damage::hush();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => return complain(&error),
    };
    paint::choose(cli.color);
    let result = match cli.command {
        Command::Once(args) => once::once(&args),
        Command::Plan(args) => plan::plan(&args),
        Command::Check(args) => check::check(&args),
        Command::Log(args) => history::log(&args),
        Command::Why(args) => why::why(&args),
        Command::Undo(args) => recover::undo(&args),
        Command::Restore(args) => recover::restore(&args),
        Command::Trash(args) => trash::trash(&args),
        Command::Doctor(args) => doctor::doctor(&args),
        Command::Up(args) => up::up(&args),
        Command::Status(args) => up::asking::status(&args),
        Command::Reload(args) => up::asking::reload(&args),
        Command::Pass(args) => up::asking::pass(&args),
        Command::Down(args) => up::asking::down(&args),
        Command::Config(args) => config::config(&args),
        Command::Service(args) => service::service(&args),
        Command::Completions(args) => completions::completions(&args),
        Command::Man(args) => manual::man(&args),
        Command::Mirror(mut args) => {
            args.read_older_order().map_err(Failure::Usage).and_then(|()| match &args.save.save {
                None => run::mirror_until_stopped(&args),
                Some(file) => config::save(&args, file.as_deref(), &std::env::args_os().collect::<Vec<_>>()),
            })
        }
    };
    let (text, code) = match result {
        Ok(code) => return code,
        Err(failure) => failure.told(),
    };
    journald::Priority::Error.say(&text);
    ExitCode::from(code)
}

/// Help and version as they are; of a mistake one line, and one that says where to look.
fn complain(error: &clap::Error) -> ExitCode {
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => {
            let _ = error.print();
            return ExitCode::SUCCESS;
        }
        ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand | ErrorKind::MissingSubcommand => {
            say!("alike: say what to do, for instance: alike mirror SOURCE REPLICA");
        }
        _ => {
            let text = error.to_string();
            let first = text.split("\n\n").next().unwrap_or_default();
            let first: Vec<&str> = first.lines().map(str::trim).collect();
            say!("alike: {}", first.join(" ").trim_start_matches("error: "));
        }
    }
    say!("alike: \"alike --help\" lists the commands, \"alike COMMAND --help\" its flags");
    ExitCode::from(2)
}
