//! The completions command: what a shell needs to complete commands, flags, their values and paths.

use std::io::Write;
use std::process::ExitCode;

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::args::Cli;
use crate::run::Failure;

#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// Which shell; bash reads them from ~/.local/share/bash-completion/completions/alike, fish from
    /// ~/.config/fish/completions/alike.fish, zsh as _alike from a folder in its fpath
    shell: Shell,
}

pub(crate) fn completions(args: &CompletionsArgs) -> Result<ExitCode, Failure> {
    let mut text = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "alike", &mut text);
    std::io::stdout().lock().write_all(&text)?;
    Ok(ExitCode::SUCCESS)
}
