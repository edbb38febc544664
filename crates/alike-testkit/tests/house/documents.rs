//! The names and links in a Markdown page.

use std::collections::BTreeSet;
use std::path::{Component, Path, PathBuf};

/// Names that look like paths: in backticks in the text, and in the drawn trees of fenced blocks.
pub fn names_in(page: &str) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    let mut folders: Vec<(usize, String)> = Vec::new();
    let mut fenced = false;
    for line in page.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
            folders.clear();
        } else if fenced {
            names.extend(tree_line(line, &mut folders));
        } else {
            names.extend(
                line.split('`').skip(1).step_by(2).filter(|name| looks_like_path(name)).map(str::to_owned),
            );
        }
    }
    names
}

/// One line of a drawn tree: a folder is remembered with its indent, a file is given back with its folders.
pub fn tree_line(line: &str, folders: &mut Vec<(usize, String)>) -> Option<String> {
    let drawn = |c: char| c.is_whitespace() || ('\u{2500}'..='\u{257f}').contains(&c);
    let indent = line.chars().take_while(|c| drawn(*c)).count();
    let name = line.trim_start_matches(drawn).split_whitespace().next()?;
    folders.retain(|(at, _)| *at < indent);
    let path = folders.last().map_or_else(String::new, |(_, path)| path.clone()) + name;
    if name.ends_with('/') {
        folders.push((indent, path));
        return None;
    }
    // Words that go on below a folder's line are no names: a name has a folder or an ending.
    let named = name.contains('/') || name.rsplit_once('.').is_some_and(|(_, end)| !end.is_empty());
    (named && looks_like_path(&path)).then_some(path)
}

pub fn looks_like_path(name: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || "._-/".contains(c);
    let ours = name.contains('/') || [".rs", ".md", ".toml"].iter().any(|end| name.ends_with(end));
    ours && name.chars().all(plain) && !name.starts_with(['/', '-']) && !name.contains("..") && name.len() > 3
}

/// Targets of `[text](target)`, and of src, srcset and href in HTML, that lead to a file beside the document.
pub fn links_in(page: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut fenced = false;
    for line in page.lines() {
        if line.trim_start().starts_with("```") {
            fenced = !fenced;
        }
        if fenced {
            continue;
        }
        // A link inside backticks is an example.
        let text: String = line.split('`').step_by(2).collect::<Vec<_>>().join(" ");
        for (opening, closing) in [("](", ')'), ("src=\"", '"'), ("srcset=\"", '"'), ("href=\"", '"')] {
            found.extend(
                text.split(opening).skip(1).filter_map(|rest| rest.split(closing).next()).map(str::to_owned),
            );
        }
    }
    let elsewhere =
        |link: &String| link.starts_with('#') || link.contains("://") || link.starts_with("mailto:");
    found.retain(|link| !link.is_empty() && !elsewhere(link));
    found
}

/// The path from the root that a link in a document of `folder` means; none when it leaves the repository.
pub fn resolve(folder: &Path, link: &str) -> Option<PathBuf> {
    let target = link.split(['#', ' ']).next().unwrap_or("");
    let start = if target.starts_with('/') { PathBuf::new() } else { folder.to_path_buf() };
    let mut path = start;
    for part in Path::new(target.trim_start_matches('/')).components() {
        match part {
            Component::ParentDir if !path.pop() => return None,
            Component::Normal(name) => path.push(name),
            _ => {}
        }
    }
    Some(path)
}
