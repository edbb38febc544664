//! The completions command: what a shell needs to complete commands, flags, their values, paths and jobs.

use std::io::Write;
use std::process::ExitCode;

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::args::Cli;
use crate::run::Failure;

/// How each shell asks for the jobs of the config, which the command line does not know. bash and fish are told so after all
/// else; zsh is handed a function, which completes where the description says that a job comes.
const BASH: &str = include_str!("jobs.bash");
const FISH: &str = include_str!("jobs.fish");
const ZSH: &str = include_str!("jobs.zsh");

#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// Which shell; bash reads them from ~/.local/share/bash-completion/completions/alike, fish from
    /// ~/.config/fish/completions/alike.fish, zsh as _alike from a folder in its fpath
    shell: Shell,
}

pub(crate) fn completions(args: &CompletionsArgs) -> Result<ExitCode, Failure> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "alike", &mut text);
    let text = with_jobs(args.shell, &String::from_utf8_lossy(&text));
    std::io::stdout().lock().write_all(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

fn with_jobs(shell: Shell, text: &str) -> String {
    match shell {
        Shell::Bash => format!("{text}{BASH}"),
        Shell::Fish => format!("{text}{FISH}"),
        Shell::Zsh => {
            let is_of_job = |line: &&str| line.starts_with("'::job --") || line.contains("--job=[");
            let lines = text.lines().map(|line| match Some(line).filter(is_of_job) {
                Some(line) => format!("{}\n", line.replace(":_default'", ":_alike_jobs'")),
                None => format!("{line}\n"),
            });
            let text: String = lines.collect();
            // Its last lines call or register what is above them.
            let (above, last) = text.rsplit_once("\nif [").unwrap_or((&text, ""));
            format!("{above}{ZSH}\nif [{last}")
        }
        _ => text.to_owned(),
    }
}
