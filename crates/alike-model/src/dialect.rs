//! A line of gitignore syntax in the words of the crate that matches it, where that reads it otherwise than git.
//!
//! The crate lets `[!a]` stand for a slash too, so that `x[!a]*` would leave out all that is in a folder `x`; it takes
//! `{a,b}` for alternatives, knows no `[[:digit:]]` and no `\` in brackets, and trims tabs. What is left out by mistake is not on
//! the replica: `crates/alike/tests/ignore_syntax.rs` holds both against git itself.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::iter::Peekable;
use std::str::Chars;

/// Never in a name: it keeps the first character of brackets from having a meaning of its own.
const NOBODY: char = '\0';

/// The line as the crate has to be told it; as it is, where both read it alike. `None`: it says nothing.
pub(crate) fn spelled(line: &str) -> Option<Cow<'_, str>> {
    let end = if line.ends_with("\\ ") { line.len() } else { line.trim_end_matches(' ').len() };
    let (line, tail) = line[..end].split_at(line[..end].trim_end_matches(is_trimmed).len());
    // Nothing is left of it, it ends in the midst of a word, or a name in it is empty. The crate takes these for everything
    // or for all folders, git for no name.
    let is_broken_off = line.strip_suffix('/').is_some_and(ends_with_escape);
    let is_nothing = tail.is_empty() && matches!(line, "" | "!");
    if is_nothing || is_broken_off || line.contains("//") {
        return None;
    }
    if tail.is_empty() && !line.contains(['{', '}', '[']) {
        return Some(Cow::Borrowed(line));
    }
    let (mark, pattern) = line.strip_prefix('!').map_or(("", line), |pattern| ("!", pattern));
    let mut spelled = String::new();
    let mut left = pattern.chars().peekable();
    while let Some(character) = left.next() {
        match character {
            '\\' => spelled.extend(['\\'].into_iter().chain(left.next())),
            '{' | '}' => spelled.extend(['\\', character]),
            '[' => match Brackets::read(&mut left) {
                Ok(brackets) => brackets.spell(&mut spelled),
                // To git it is no name.
                Err(Unfit::Unclosed) => return None,
                // The crate finds words for that.
                Err(Unfit::Backwards) => return Some(Cow::Borrowed(line)),
            },
            other => spelled.push(other),
        }
    }
    tail.chars().for_each(|blank| spelled.extend(['[', blank, ']']));
    // A slash says that it is a path, to git also one within brackets, and to the crate also one of ours.
    let is_path = |text: &str| text.trim_end_matches('/').contains('/');
    let start = match (is_path(pattern), is_path(&spelled)) {
        (false, true) => "**/",
        (true, false) => "/",
        _ => "",
    };
    Some(Cow::Owned(format!("{mark}{start}{spelled}")))
}

/// True for what ends with a backslash that nothing follows.
fn ends_with_escape(pattern: &str) -> bool {
    (pattern.len() - pattern.trim_end_matches('\\').len()) % 2 == 1
}

/// True for what the crate trims and git does not.
fn is_trimmed(character: char) -> bool {
    character.is_whitespace() && character != ' '
}

/// What is between brackets, told apart.
#[derive(Default)]
struct Brackets {
    negated: bool,
    /// Of ASCII, each by itself.
    some: BTreeSet<char>,
    ranges: Vec<(char, char)>,
}

/// Why brackets are none.
enum Unfit {
    Unclosed,
    /// A range runs from the higher to the lower.
    Backwards,
}

impl Brackets {
    /// What follows an opening bracket, and takes it from there.
    fn read(left: &mut Peekable<Chars<'_>>) -> Result<Self, Unfit> {
        let negated = left.next_if(|next| matches!(next, '!' | '^')).is_some();
        let mut brackets = Self { negated, ..Self::default() };
        let mut is_first = true;
        loop {
            let next = left.next().ok_or(Unfit::Unclosed)?;
            match next {
                ']' if !is_first => return Ok(brackets),
                '[' if left.peek() == Some(&':') => brackets.add_class(left).ok_or(Unfit::Unclosed)?,
                _ => {
                    let from = if next == '\\' { left.next().ok_or(Unfit::Unclosed)? } else { next };
                    let to = end_of_range(left).ok_or(Unfit::Unclosed)?.unwrap_or(from);
                    if from > to {
                        return Err(Unfit::Backwards);
                    }
                    brackets.add(from, to);
                }
            }
            is_first = false;
        }
    }

    /// A class by its name, such as `[:digit:]`; one that nobody knows is nobody. `None` where it does not end.
    fn add_class(&mut self, left: &mut Peekable<Chars<'_>>) -> Option<()> {
        left.next();
        let name: String = left.take_while(|next| *next != ']').collect();
        let name = name.strip_suffix(':')?;
        let is_in = |byte: &u8| match name {
            "alnum" => byte.is_ascii_alphanumeric(),
            "alpha" => byte.is_ascii_alphabetic(),
            "blank" => matches!(byte, b' ' | b'\t'),
            "cntrl" => byte.is_ascii_control(),
            "digit" => byte.is_ascii_digit(),
            "graph" => byte.is_ascii_graphic(),
            "lower" => byte.is_ascii_lowercase(),
            "print" => byte.is_ascii_graphic() || *byte == b' ',
            "punct" => byte.is_ascii_punctuation(),
            "space" => byte.is_ascii_whitespace() || *byte == 0x0b,
            "upper" => byte.is_ascii_uppercase(),
            "xdigit" => byte.is_ascii_hexdigit(),
            _ => false,
        };
        self.some.extend((0..128_u8).filter(is_in).map(char::from));
        Some(())
    }

    fn add(&mut self, from: char, to: char) {
        self.some.extend((from..=to).take_while(char::is_ascii));
        if !to.is_ascii() {
            self.ranges.push((from.max('\u{80}'), to));
        }
    }

    /// A slash is never meant.
    fn spell(mut self, into: &mut String) {
        match self.negated {
            true => self.some.insert('/'),
            false => self.some.remove(&'/'),
        };
        into.push_str(if self.negated { "[!" } else { "[" });
        // These two stand for themselves when they come first, and the other then when it comes last.
        let closes = self.some.remove(&']');
        let joins = self.some.remove(&'-');
        into.push(if closes { ']' } else { NOBODY });
        into.extend(self.some);
        self.ranges.iter().for_each(|(from, to)| into.extend([*from, '-', *to]));
        into.push_str(if joins { "-]" } else { "]" });
    }
}

/// The character that a dash leads to; the outer `None` where nothing closes the brackets.
fn end_of_range(left: &mut Peekable<Chars<'_>>) -> Option<Option<char>> {
    let mut ahead = left.clone();
    if ahead.next_if_eq(&'-').is_none() || ahead.peek() == Some(&']') {
        return Some(None);
    }
    let to = match ahead.next()? {
        '\\' => ahead.next()?,
        to => to,
    };
    *left = ahead;
    Some(Some(to))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_both_read_alike_stays_as_it_is() {
        for line in ["*.tmp", "/a/b/", "!keep", "a\\ ", "\\#a", "**/x", "a?"] {
            assert!(matches!(spelled(line), Some(Cow::Borrowed(same)) if same == line), "{line}");
        }
        assert_eq!(spelled("a   ").as_deref(), Some("a"));
    }

    #[test]
    fn what_says_nothing_is_passed_over() {
        assert!(
            [" ", "", "!", "!  ", "\\/", "/**//", "a[", "[[:digit:]*", "[a\\]", "a\\\\\\/"]
                .into_iter()
                .all(|line| spelled(line).is_none())
        );
    }

    #[test]
    fn what_the_crate_reads_otherwise_is_spelled_for_it() {
        let cases = [
            ("{a}", "\\{a\\}"),
            ("\\{a", "\\{a"),
            ("x[!a]*", "**/x[!\0/a]*"),
            ("/x[!a]", "/x[!\0/a]"),
            ("![!b-]/", "!**/[!\0/b-]/"),
            ("[]a]", "[]a]"),
            ("[!]]", "**/[!]/]"),
            ("[.-0]", "[\0.0]"),
            ("[[:digit:]]", "[\x000123456789]"),
            ("[\\]]", "[]]"),
            ("[z-a]", "[z-a]"),
            ("[a/b]*", "/[\0ab]*"),
            ("a\t", "a[\t]"),
        ];
        for (line, said) in cases {
            assert_eq!(spelled(line).as_deref(), Some(said), "{line}");
        }
    }
}
