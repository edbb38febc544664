//! Colours, where they are wanted: on a terminal, unless NO_COLOR or TERM=dumb says otherwise; or as `--color` has it.

use std::sync::OnceLock;

use alike_model::event::Action;
use anstyle::{AnsiColor, Style};
use clap::ValueEnum;

/// When to use colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum ColorArg {
    Auto,
    Always,
    Never,
}

static CHOSEN: OnceLock<ColorArg> = OnceLock::new();

/// What the command line says; the first call counts.
pub(crate) fn choose(color: ColorArg) {
    let _ = CHOSEN.set(color);
}

/// True when standard output is to have colours.
pub(crate) fn is_wanted() -> bool {
    match CHOSEN.get() {
        Some(ColorArg::Always) => true,
        Some(ColorArg::Never) => false,
        Some(ColorArg::Auto) | None => {
            anstream::AutoStream::choice(&std::io::stdout()) != anstream::ColorChoice::Never
        }
    }
}

/// An action in its colour.
pub(crate) fn action(action: Action, shown: &str) -> String {
    let style = match action {
        Action::Create | Action::Mkdir | Action::Link => colour(AnsiColor::Green),
        Action::Update | Action::Meta | Action::Rename => colour(AnsiColor::Cyan),
        Action::Delete | Action::Rmdir => colour(AnsiColor::Magenta),
        Action::Hold | Action::Skip => colour(AnsiColor::Yellow),
        Action::Error | Action::Halt => colour(AnsiColor::Red).bold(),
        Action::PassStart | Action::PassEnd | Action::Watch | Action::Stop => Style::new().dimmed(),
    };
    format!("{style}{shown}{style:#}")
}

/// Good or bad, where colours are wanted.
pub(crate) fn verdict(is_good: bool, shown: &str) -> String {
    if !is_wanted() {
        return shown.to_owned();
    }
    let style = colour(if is_good { AnsiColor::Green } else { AnsiColor::Red }).bold();
    format!("{style}{shown}{style:#}")
}

fn colour(colour: AnsiColor) -> Style {
    Style::new().fg_color(Some(colour.into()))
}
