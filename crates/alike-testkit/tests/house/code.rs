//! What a manifest depends on and what Rust code says, as far as the house rules ask.

use std::collections::BTreeSet;

/// What the model may not say. A path such as `std::fs` also covers everything below it.
const WORLD: [&str; 10] = [
    "std::fs",
    "std::net",
    "std::env",
    "std::process",
    "std::thread",
    "std::time::SystemTime",
    "SystemTime::now",
    "Instant::now",
    "println!",
    "eprintln!",
];
/// Line comments go; a `//` inside a string takes the rest of its line along, which hides nothing we look for.
pub fn without_comments(code: &str) -> String {
    code.lines().map(|line| line.split("//").next().unwrap_or("")).collect::<Vec<_>>().join("\n")
}

pub fn has_word(code: &str, word: &str) -> bool {
    code.split(|c: char| !c.is_alphanumeric() && c != '_').any(|found| found == word)
}

/// The entries of `WORLD` that the code uses, written out or through `use std::{…}`.
pub fn worldly_words(code: &str) -> Vec<&'static str> {
    let mut plain = code.to_owned();
    for import in code.split("use ").skip(1) {
        let import: String = import.split(';').next().unwrap_or("").split_whitespace().collect();
        spread("", &import, &mut plain);
    }
    let mut found: Vec<&str> = WORLD.into_iter().filter(|word| says(&plain, word)).collect();
    found.sort_unstable();
    found
}

/// `std::{a,b::{c,d}}` becomes the lines `std::a`, `std::b::c`, `std::b::d`.
pub fn spread(prefix: &str, import: &str, into: &mut String) {
    let Some((head, group)) = import.split_once('{') else {
        into.push_str(&format!("\n{prefix}{import}"));
        return;
    };
    let (mut depth, mut start) = (0_usize, 0);
    let group = group.strip_suffix('}').unwrap_or(group);
    for (at, c) in group.char_indices().chain([(group.len(), ',')]) {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                spread(&format!("{prefix}{head}"), &group[start..at], into);
                start = (at + 1).min(group.len());
            }
            _ => {}
        }
    }
}

/// Whether the code contains the word, and not only as the start or the end of a longer one.
pub fn says(code: &str, word: &str) -> bool {
    let part_of_name = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    code.match_indices(word).any(|(at, _)| {
        !part_of_name(code[..at].chars().next_back()) && !part_of_name(code[at + word.len()..].chars().next())
    })
}

/// The crates under `[dependencies]`, also per target and as a table each; not the dev- and build- ones.
pub fn dependencies(manifest: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let mut inside = false;
    for line in manifest.lines().map(|line| line.split('#').next().unwrap_or("").trim()) {
        if let Some(header) = line.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            let own = |header: &str| header == "dependencies" || header.ends_with(".dependencies");
            inside = own(header);
            let single = header.rsplit_once('.').filter(|(table, _)| own(table));
            found.extend(single.map(|(_, name)| name.trim_matches('"').to_owned()));
        } else if let Some((key, value)) = line.split_once('=').filter(|_| inside) {
            found.insert(key.split('.').next().unwrap_or("").trim().trim_matches('"').to_owned());
            if let Some((_, package)) = value.split_once("package") {
                found.extend(package.split('"').nth(1).map(str::to_owned));
            }
        }
    }
    found
}
