//! A Markdown page: its fenced blocks, and the commands in them.

use std::path::Path;

/// A page, and the blocks in it.
#[derive(Debug)]
pub struct Page {
    pub path: String,
    pub blocks: Vec<Block>,
    /// What links to a heading call it.
    pub anchors: Vec<String>,
    /// Links to headings: the page, which is none for this one, and the heading.
    pub links: Vec<(String, String)>,
}

/// What stands between two fences.
#[derive(Debug)]
pub struct Block {
    /// All that stands behind the opening fence.
    info: String,
    /// The line of the opening fence.
    pub line: usize,
    lines: Vec<String>,
}

/// A command, and what the page says that it says.
#[derive(Debug, PartialEq, Eq)]
pub struct Act {
    pub line: usize,
    pub command: String,
    pub said: String,
}

impl Page {
    pub fn read(root: &Path, path: &Path) -> Self {
        let text = std::fs::read_to_string(root.join(path));
        Self::of(&path.display().to_string(), &text.unwrap_or_else(|why| panic!("{}: {why}", path.display())))
    }

    pub fn of(path: &str, text: &str) -> Self {
        let (mut blocks, mut anchors, mut links) = (Vec::new(), Vec::new(), Vec::new());
        let mut open: Option<(Block, usize)> = None;
        for (number, line) in text.lines().enumerate() {
            let bare = line.trim_start();
            let indent = line.len() - bare.len();
            match (&mut open, bare.strip_prefix("```")) {
                (None, Some(info)) => {
                    let block = Block { info: info.trim().to_owned(), line: number + 1, lines: Vec::new() };
                    open = Some((block, indent));
                }
                (Some(_), Some("")) => blocks.extend(open.take().map(|(block, _)| block)),
                (Some((block, indent)), _) => {
                    block.lines.push(line.get(*indent..).unwrap_or_default().to_owned());
                }
                (None, None) => {
                    anchors.extend(line.strip_prefix('#').map(anchor));
                    links.extend(line.split("](").skip(1).filter_map(|rest| link(rest.split(')').next()?)));
                }
            }
        }
        assert!(open.is_none(), "{path}: the last block has no end");
        Self { path: path.to_owned(), blocks, anchors, links }
    }
}

/// A heading as links call it.
fn anchor(heading: &str) -> String {
    let heading = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = heading.chars().filter(|ch| ch.is_alphanumeric() || " -_".contains(*ch));
    kept.map(|ch| if ch == ' ' { '-' } else { ch }).collect()
}

fn link(target: &str) -> Option<(String, String)> {
    let (page, heading) = target.split_once('#')?;
    (!page.contains("://")).then(|| (page.to_owned(), heading.to_owned()))
}

/// What a further line of a command says.
fn further(line: &str) -> Option<&str> {
    line.strip_prefix("> ").or_else(|| line.strip_prefix('>').filter(|rest| rest.is_empty()))
}

impl Block {
    /// The word that says what it is, and what stands behind it.
    pub fn fence(&self) -> (&str, &str) {
        let (word, rest) = self.info.split_once(' ').unwrap_or((&self.info, ""));
        (word, rest.trim())
    }

    pub fn is_run(&self) -> bool {
        matches!(self.fence().0, "console" | "console,beside")
    }

    pub fn runs_beside(&self) -> bool {
        self.fence().0 == "console,beside"
    }

    pub fn is_config(&self) -> bool {
        self.fence().0 == "toml"
    }

    pub fn text(&self) -> String {
        self.lines.join("\n") + "\n"
    }

    /// Commands stand behind `$ `, their further lines behind `> `; all else is said by them.
    pub fn acts(&self) -> Vec<Act> {
        let mut acts: Vec<Act> = Vec::new();
        for (at, line) in self.lines.iter().enumerate() {
            let said_nothing = acts.last().is_some_and(|act| act.said.is_empty());
            if let Some(command) = line.strip_prefix("$ ") {
                let (line, command) = (self.line + at + 1, command.to_owned());
                acts.push(Act { line, command, said: String::new() });
            } else if let (true, Some(more)) = (said_nothing, further(line)) {
                let act = acts.last_mut().expect("there is one");
                act.command += &format!("\n{more}");
            } else if let Some(act) = acts.last_mut() {
                let gap = if act.said.is_empty() { "" } else { "\n" };
                act.said += &format!("{gap}{line}");
            } else {
                panic!("line {}: said before any command: {line}", self.line + at + 1);
            }
        }
        acts
    }

    /// The calls of alike, without what a shell does with them.
    pub fn commands_of_alike(&self) -> Vec<String> {
        let bare = |line: &String| {
            let line = line.trim_start_matches(['$', ' ']).trim_start_matches("sudo ");
            let ends = [" |", " >", " 2>", " &", ";", "  #", " \\"];
            let end = ends.iter().filter_map(|end| line.find(end)).min().unwrap_or(line.len());
            line[..end].trim().to_owned()
        };
        self.lines.iter().map(bare).filter(|line| line.starts_with("alike ")).collect()
    }
}
