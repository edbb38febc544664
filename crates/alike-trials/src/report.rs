//! The figures, kept as JSON and shown as a page.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;
use std::{fs, io};

use crate::sweep::Figures;
use crate::trials::TRIALS;

const TOOLS: [&str; 5] = ["alike", "rsync", "rclone", "unison", "cp"];

/// Puts the figures among those of the file, and writes the page of all.
pub fn write(new: Vec<Figures>, json: Option<&Path>, page: Option<&Path>) -> io::Result<()> {
    let mut all: BTreeMap<(String, String), Figures> = BTreeMap::new();
    if let Some(text) = json.and_then(|file| fs::read_to_string(file).ok()) {
        let kept: Vec<Figures> = serde_json::from_str(&text)?;
        all.extend(kept.into_iter().map(|figures| (key(&figures), figures)));
    }
    all.extend(new.into_iter().map(|figures| (key(&figures), figures)));
    let all: Vec<Figures> = all.into_values().collect();
    if let Some(file) = json {
        fs::write(file, serde_json::to_string_pretty(&all)? + "\n")?;
    }
    if let Some(file) = page {
        fs::write(file, shown(&all))?;
    }
    Ok(())
}

fn key(figures: &Figures) -> (String, String) {
    (figures.trial.clone(), figures.tool.clone())
}

fn shown(all: &[Figures]) -> String {
    let mut page = String::from(OPENING);
    let dates: Vec<&str> = all.iter().map(|figures| figures.date.as_str()).collect();
    let (first, last) = (dates.iter().min().unwrap_or(&""), dates.iter().max().unwrap_or(&""));
    let when = if first == last { (*first).to_owned() } else { format!("{first} to {last}") };
    let machine = all.first().map_or("", |figures| figures.machine.as_str());
    let _ = writeln!(page, "Measured {when} on {machine}.\n");
    for tool in TOOLS {
        if let Some(figures) = all.iter().find(|figures| figures.tool == tool) {
            let _ = writeln!(page, "- {tool}: {}", figures.version);
        }
    }
    page.push_str("\n## Points that went wrong\n\n| trial | ");
    page.push_str(&TOOLS.join(" | "));
    page.push_str(" |\n| --- |");
    page.push_str(&" --- |".repeat(TOOLS.len()));
    page.push('\n');
    for trial in TRIALS {
        let cell = |tool: &&str| {
            let found = all.iter().find(|figures| figures.trial == trial.name && figures.tool == **tool);
            found.map_or_else(|| "-".to_owned(), cell)
        };
        let cells: Vec<String> = TOOLS.iter().map(cell).collect();
        let _ = writeln!(page, "| {} | {} |", trial.name, cells.join(" | "));
    }
    page.push_str(
        "\n## What each trial does\n\n| trial | what is done | what is a failure |\n| --- | --- | --- |\n",
    );
    for trial in TRIALS {
        let _ = writeln!(page, "| {} | {} | {} |", trial.name, trial.what, trial.failure);
    }
    page.push_str("\n## Which failures\n\n");
    for figures in all.iter().filter(|figures| figures.bad > 0) {
        let kinds: Vec<String> =
            figures.failures.iter().map(|(class, count)| format!("{class} {count}")).collect();
        let kinds = if kinds.is_empty() { figures.note.clone() } else { kinds.join(", ") };
        let _ = writeln!(page, "- {} {}: {kinds}", figures.trial, figures.tool);
    }
    page
}

fn cell(figures: &Figures) -> String {
    let tier = if figures.tier == "full" { ", full" } else { "" };
    match figures.points {
        0 => "not run".to_owned(),
        points => format!("{} of {points}{tier}", figures.bad),
    }
}

const OPENING: &str = "# Reliability

What becomes of a replica when things go wrong: each tool is driven through the same faults, most of them at an exact
system call, and what is left is judged by eyes that share no code with any of them. `trials` in `crates/alike-trials`
does it and wrote this page: `scripts/trials` for the quick tier, `trials --full` for every point.

A figure is the number of points at which anything was wrong, of the points tried. A peer is judged by what it leaves
when nobody disturbs it: what it never copies is not held against it. It runs with its usual flags, so that no tool but
alike here syncs what it wrote.

";
