//! A rule that leaves something out, as people find it: the flag, or the file and the line.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use alike_engine::pair::Spec;
use alike_model::filter::{ALIKE_IGNORE, GIT_IGNORE, Origin, Rule};
use alike_model::path::{Escaped, Name, RelPath};

use crate::args::PassArgs;

pub(crate) fn shown(rule: &Rule, spec: &Spec, args: &PassArgs) -> String {
    let pattern = Escaped(rule.pattern.as_bytes());
    match &rule.origin {
        Origin::CommandLine if args.exclude.contains(&rule.pattern) => format!("--exclude \"{pattern}\""),
        Origin::CommandLine => format!("it is alike's own log ({pattern})"),
        Origin::IgnoreFile => {
            // Of lines that say the same, the last decides.
            let at =
                args.ignore_file.iter().rev().find_map(|file| Some((file, line_of(file, &rule.pattern)?)));
            match at {
                Some((file, line)) => {
                    format!("--ignore-file {}:{line}: {pattern}", Escaped(file.as_os_str().as_bytes()))
                }
                None => format!("--ignore-file: {pattern}"),
            }
        }
        Origin::Alike(folder) => in_file(spec, folder, ALIKE_IGNORE, rule),
        Origin::Git(folder) => in_file(spec, folder, GIT_IGNORE, rule),
    }
}

fn in_file(spec: &Spec, folder: &RelPath, name: &[u8], rule: &Rule) -> String {
    let file = Name::new(name).map_or_else(RelPath::root, |name| folder.join(&name));
    let at = spec.source.join(OsStr::from_bytes(file.as_bytes()));
    let line = line_of(&at, &rule.pattern).map_or_else(String::new, |line| format!(":{line}"));
    format!("{file}{line}: {}", Escaped(rule.pattern.as_bytes()))
}

/// The number of the last line that is this pattern.
fn line_of(file: &Path, pattern: &str) -> Option<usize> {
    let text = fs::read(file).ok()?;
    let text = String::from_utf8_lossy(&text);
    let is_it = |line: &str| line.trim_end() == pattern.trim_end();
    let at = text.lines().enumerate().filter(|(_, line)| is_it(line)).last()?.0;
    Some(at + 1)
}
