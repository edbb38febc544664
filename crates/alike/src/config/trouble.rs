//! What is wrong with a config file: told as a compiler tells it, with the line, and a caret below the place.

use std::fmt;
use std::ops::Range;
use std::path::{Path, PathBuf};

use alike_model::path::is_unsafe_to_show;
use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};

/// One file as it was read.
#[derive(Debug)]
pub(crate) struct Text {
    pub(crate) path: PathBuf,
    pub(crate) text: String,
}

/// A place in a file.
#[derive(Clone, Debug)]
pub(crate) struct Spot<'a> {
    pub(crate) text: &'a Text,
    pub(crate) span: Range<usize>,
}

impl<'a> Spot<'a> {
    pub(crate) fn new(text: &'a Text, span: Range<usize>) -> Self {
        Self { text, span }
    }

    /// Where a relative path that stands here begins: in the folder of the file.
    pub(crate) fn folder(&self) -> &'a Path {
        self.text.path.parent().unwrap_or(Path::new("/"))
    }

    /// This part of what stands here, when it stands here as it is read; else all of it.
    pub(crate) fn part(&self, part: &str) -> Self {
        let here = self.text.text.get(self.span.clone()).unwrap_or_default();
        let span = match here.find(part).filter(|_| !part.is_empty()) {
            Some(at) => self.span.start + at..self.span.start + at + part.len(),
            None => self.span.clone(),
        };
        Self { text: self.text, span }
    }

    /// The same within what the file has, on whole characters.
    fn in_bounds(&self) -> Range<usize> {
        let text = &self.text.text;
        let mut start = self.span.start.min(text.len());
        let mut end = self.span.end.clamp(start, text.len());
        while !text.is_char_boundary(start) {
            start -= 1;
        }
        while !text.is_char_boundary(end) {
            end += 1;
        }
        start..end
    }
}

/// One thing that is wrong.
#[derive(Debug)]
pub(crate) struct Mistake<'a> {
    title: String,
    /// The first is where it is wrong; the others are what it is wrong against.
    spots: Vec<(Spot<'a>, String)>,
    help: Vec<String>,
}

impl<'a> Mistake<'a> {
    pub(crate) fn new(title: impl Into<String>, spot: Spot<'a>, label: impl Into<String>) -> Self {
        Self { title: title.into(), spots: vec![(spot, label.into())], help: Vec::new() }
    }

    #[must_use]
    pub(crate) fn and(mut self, spot: Spot<'a>, label: impl Into<String>) -> Self {
        self.spots.push((spot, label.into()));
        self
    }

    #[must_use]
    pub(crate) fn help(mut self, help: impl Into<String>) -> Self {
        self.help.push(help.into());
        self
    }

    #[must_use]
    pub(crate) fn maybe_help(self, help: Option<String>) -> Self {
        match help {
            Some(help) => self.help(help),
            None => self,
        }
    }

    /// Where it is wrong: the number of its file among these, and how far in it.
    pub(crate) fn order(&self, texts: &[Text]) -> Option<(usize, usize)> {
        let (spot, _) = self.spots.first()?;
        Some((texts.iter().position(|text| std::ptr::eq(text, spot.text))?, spot.span.start))
    }

    fn group(&self) -> Group<'_> {
        let mut group = Group::with_title(Level::ERROR.primary_title(self.title.as_str()));
        let mut shown: Vec<&Text> = Vec::new();
        for (spot, _) in &self.spots {
            if shown.iter().any(|text| std::ptr::eq(*text, spot.text)) {
                continue;
            }
            shown.push(spot.text);
            let path = spot.text.path.to_string_lossy();
            if spot.text.text.is_empty() {
                group = group.element(Origin::path(path));
                continue;
            }
            let here =
                self.spots.iter().enumerate().filter(|(_, (other, _))| std::ptr::eq(other.text, spot.text));
            let marks = here.map(|(number, (spot, label))| {
                let kind = if number == 0 { AnnotationKind::Primary } else { AnnotationKind::Context };
                let label = Some(label.as_str()).filter(|label| !label.is_empty());
                kind.span(spot.in_bounds()).label(label)
            });
            group = group.element(Snippet::source(&spot.text.text).path(path).annotations(marks));
        }
        self.help.iter().fold(group, |group, help| group.element(Level::HELP.message(help.as_str())))
    }
}

/// Why a config counts for nothing; the text is ready to print, the exit code is 2.
#[derive(Debug)]
pub(crate) struct Trouble(String);

impl Trouble {
    pub(crate) fn of(mistakes: &[Mistake<'_>]) -> Self {
        const MOST: usize = 20;
        let shown = mistakes.iter().take(MOST);
        let renderer = Renderer::plain().term_width(120);
        let reports: Vec<String> = shown.map(|mistake| tame(&renderer.render(&[mistake.group()]))).collect();
        let head = match mistakes.len() {
            1 => "the config has a mistake; nothing of it counts".to_owned(),
            count => format!("the config has {count} mistakes; nothing of it counts"),
        };
        let rest = mistakes.len().saturating_sub(MOST);
        let tail = if rest == 0 { String::new() } else { format!("\n\nand {rest} more") };
        Self(format!("{head}\n{}{tail}", reports.join("\n\n")))
    }

    pub(crate) fn plain(text: impl Into<String>) -> Self {
        Self(text.into())
    }
}

/// The renderer shows the older control characters as pictures, but lets those above ASCII through, and what turns text around.
fn tame(report: &str) -> String {
    let is_wild = |ch: char| ch != '\n' && (ch.is_control() || is_unsafe_to_show(ch));
    report.chars().map(|ch| if is_wild(ch) { '?' } else { ch }).collect()
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
