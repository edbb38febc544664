//! Whether a program said what a page says, but for times, and for what the page leaves out.

/// What the page leaves out: any lines where it stands alone, any text within a line.
pub const LEFT_OUT: &str = "…";

/// What is wrong with what a page says; none when it is as it was said.
pub fn differences(page: &str, real: &str) -> Option<String> {
    let mut expected: Vec<&str> = page.lines().map(str::trim_end).collect();
    let mut found: Vec<&str> = real.lines().map(str::trim_end).collect();
    if matches(&expected, &found) {
        return None;
    }
    // Folders are worked on side by side, so the order of their lines is nobody's promise.
    if !expected.contains(&LEFT_OUT) && expected.len() == found.len() {
        let taken = |line: &&str, found: &mut Vec<&str>| {
            let at = found.iter().position(|other| is_as(line, other));
            at.map(|at| found.remove(at)).is_some()
        };
        expected.retain(|line| !taken(line, &mut found));
        if expected.is_empty() {
            return None;
        }
    }
    Some(format!("the page says\n{}\nand it was\n{}", indented(page), indented(real)))
}

fn matches(expected: &[&str], found: &[&str]) -> bool {
    match (expected.split_first(), found.split_first()) {
        (None, None) => true,
        (Some((&LEFT_OUT, rest)), _) => (0..=found.len()).any(|skipped| matches(rest, &found[skipped..])),
        (Some((line, rest)), Some((other, others))) => is_as(line, other) && matches(rest, others),
        _ => false,
    }
}

/// Whether a line is what the page has there.
pub fn is_as(page: &str, real: &str) -> bool {
    let (page, real) = (timeless(page), timeless(real));
    let mut parts = page.split(LEFT_OUT);
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = real.strip_prefix(first) else { return false };
    let parts: Vec<&str> = parts.collect();
    let Some((last, middle)) = parts.split_last() else { return rest.is_empty() };
    for part in middle {
        let Some(at) = rest.find(part) else { return false };
        rest = &rest[at + part.len()..];
    }
    rest.ends_with(last)
}

/// Shapes that no two runs share: a digit stands for any digit, and a last one for as many as there are.
const TIMES: [(&str, &str); 8] = [
    ("0000-00-00 00:00:00.000", "TIME"),
    ("0000-00-00 00:00:00", "TIME"),
    ("0000-00-00T00:00:00.000Z", "TIME"),
    ("0000-00-00T00:00:00Z", "TIME"),
    ("00000000T000000Z", "BUCKET"),
    ("\"ms\":0", "\"ms\":0"),
    ("0 ms", "0 ms"),
    ("0 s", "0 s"),
];

/// A line without its times.
fn timeless(line: &str) -> String {
    let mut rest = line;
    let mut text = String::new();
    'line: while let Some(ch) = rest.chars().next() {
        for (shape, name) in TIMES {
            if let Some(long) = shape_at(shape, rest) {
                text += name;
                rest = &rest[long..];
                // A second bucket of one second has letters at its end.
                if name == "BUCKET" {
                    rest = rest.trim_start_matches(|ch: char| ch.is_ascii_lowercase());
                }
                continue 'line;
            }
        }
        text.push(ch);
        rest = &rest[ch.len_utf8()..];
    }
    text
}

/// How many bytes of the text have this shape.
fn shape_at(shape: &str, text: &str) -> Option<usize> {
    let is_number_then_unit = shape.starts_with("0 ") || shape.ends_with(":0");
    let (mut bytes, mut long) = (text.bytes().peekable(), 0);
    for wanted in shape.bytes() {
        if wanted != b'0' {
            (bytes.next()? == wanted).then_some(())?;
            long += 1;
            continue;
        }
        bytes.next().filter(u8::is_ascii_digit)?;
        long += 1;
        while is_number_then_unit && bytes.next_if(|byte| byte.is_ascii_digit() || *byte == b'.').is_some() {
            long += 1;
        }
    }
    // `0 s` is no beginning of `0 steps`.
    let goes_on = shape.starts_with("0 ") && bytes.next().is_some_and(|byte| byte.is_ascii_alphabetic());
    (!goes_on).then_some(long)
}

fn indented(text: &str) -> String {
    text.lines().map(|line| format!("    {line}\n")).collect()
}
