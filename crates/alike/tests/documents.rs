//! What README.md and the pages under docs show is run: commands say what the page says they say, and configs are right.
//!
//! The fence word of a block says what becomes of it:
//! `console` is run, line by line, in one shell and one folder a page; `console,beside` is one command that goes on beside
//! those that follow, as in a second terminal. `console,no-run WHY` and `sh` cannot be run here, but their flags are looked
//! up. `toml` goes through `alike config check`. Any other is another program's, or no command, and has to be one of those in `OTHERS`.

#![allow(clippy::unwrap_used, clippy::expect_used)]

#[path = "documents/page.rs"]
mod page;
#[path = "documents/said.rs"]
mod said;
#[path = "documents/stage.rs"]
mod stage;

use std::path::{Path, PathBuf};
use std::process::Command;

use page::{Block, Page};
use said::{differences, is_as};
use stage::Stage;

const ALIKE: &str = env!("CARGO_BIN_EXE_alike");
/// What other programs read, what is only shown, and what is drawn.
const OTHERS: [&str; 8] = ["text", "json", "ini", "lua", "sh", "crontab", "markdown", "gitignore"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_path_buf()
}

/// README.md and all pages under docs.
fn pages() -> Vec<Page> {
    let mut paths = vec![PathBuf::from("README.md")];
    let mut folders = vec![PathBuf::from("docs")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(root().join(&folder)).unwrap() {
            let entry = entry.unwrap();
            let path = folder.join(entry.file_name());
            match entry.file_type().unwrap().is_dir() {
                true => folders.push(path),
                false if path.extension().is_some_and(|end| end == "md") => paths.push(path),
                false => {}
            }
        }
    }
    paths.sort();
    assert!(paths.len() > 10, "the pages are looked for in the wrong place");
    paths.iter().map(|path| Page::read(&root(), path)).collect()
}

fn all_right(wrong: &[String]) {
    assert!(wrong.is_empty(), "\n\n{}\n", wrong.join("\n\n"));
}

#[test]
fn every_command_says_what_its_page_says() {
    let mut wrong = Vec::new();
    let mut runs = 0;
    for page in pages() {
        let blocks: Vec<&Block> = page.blocks.iter().filter(|block| block.is_run()).collect();
        if blocks.is_empty() {
            continue;
        }
        let mut stage = Stage::new(Path::new(ALIKE));
        for block in blocks {
            let found = match block.runs_beside() {
                true => stage.start_beside(block),
                false => stage.act(block),
            };
            runs += 1;
            wrong.extend(found.into_iter().map(|what| format!("{}:{what}", page.path)));
        }
        wrong.extend(stage.end().into_iter().map(|what| format!("{}:{what}", page.path)));
    }
    assert!(runs > 10, "only {runs} blocks were found");
    println!("{runs} blocks of commands were run");
    all_right(&wrong);
}

#[test]
fn every_config_is_right() {
    let mut wrong = Vec::new();
    let mut configs = 0;
    for page in pages() {
        for block in page.blocks.iter().filter(|block| block.is_config()) {
            configs += 1;
            let stage = Stage::new(Path::new(ALIKE));
            if let Err(why) = stage.check_config(&block.text()) {
                wrong.push(format!("{}:{}: {why}", page.path, block.line));
            }
        }
    }
    println!("{configs} configs were checked");
    all_right(&wrong);
}

/// A block that nothing looks at could say anything.
#[test]
fn what_is_not_run_says_why_and_has_flags_that_exist() {
    let (mut wrong, mut told) = (Vec::new(), Vec::new());
    for page in pages() {
        for block in &page.blocks {
            let at = format!("{}:{}", page.path, block.line);
            let (word, rest) = block.fence();
            match word {
                "console" | "console,beside" | "toml" => continue,
                "console,no-run" if rest.is_empty() => wrong.push(format!("{at}: say why it cannot be run")),
                "console,no-run" => told.push(format!("{at}: not run: {rest}")),
                other if OTHERS.contains(&other) => {}
                other => {
                    wrong.push(format!("{at}: a block of \"{other}\"; see the words in tests/documents.rs"))
                }
            }
            if ["sh", "console,no-run"].contains(&word) {
                let stage = Stage::new(Path::new(ALIKE));
                let refused = block.commands_of_alike().into_iter().filter_map(|line| stage.refuses(&line));
                wrong.extend(refused.map(|why| format!("{at}: {why}")));
            }
        }
    }
    println!("{}", told.join("\n"));
    println!("{} blocks were not run", told.len());
    all_right(&wrong);
}

/// That the page is there is a house rule; this is about the place on it.
#[test]
fn every_link_to_a_heading_finds_it() {
    let pages = pages();
    let (mut wrong, mut links) = (Vec::new(), 0);
    for page in &pages {
        for (target, heading) in &page.links {
            let here = root().join(&page.path);
            let to = if target.is_empty() { here } else { here.parent().unwrap().join(target) };
            let to = to.canonicalize().unwrap_or(to);
            let found = pages.iter().find(|other| root().join(&other.path).canonicalize().unwrap() == to);
            links += 1;
            if !found.is_some_and(|found| found.anchors.contains(heading)) {
                wrong.push(format!("{}: there is no #{heading} in {}", page.path, to.display()));
            }
        }
    }
    assert!(links > 20, "only {links} links to headings were found");
    all_right(&wrong);
}

/// Two pages are made by a script from what the program says of itself.
#[test]
fn the_reference_is_what_the_program_says() {
    let made = tempfile::tempdir().unwrap();
    let run = Command::new(root().join("scripts/reference")).arg("--to").arg(made.path()).arg(ALIKE).output();
    let run = run.expect("run scripts/reference");
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&run.stderr));
    let mut pages = 0;
    for entry in std::fs::read_dir(made.path()).unwrap() {
        let name = entry.unwrap().file_name();
        let fresh = std::fs::read_to_string(made.path().join(&name)).unwrap();
        let kept = std::fs::read_to_string(root().join("docs/reference").join(&name)).unwrap_or_default();
        assert!(fresh.len() > 2000, "{} has next to nothing in it", name.display());
        if let Some((number, (fresh, kept))) = first_difference(&fresh, &kept) {
            panic!(
                "docs/reference/{} is stale, from line {number} on: it has\n  {kept}\nand should have\n  {fresh}\nRun scripts/reference.",
                name.display()
            );
        }
        pages += 1;
    }
    assert_eq!(pages, 2);
}

/// The number of the first line that differs, and both.
fn first_difference(one: &str, other: &str) -> Option<(usize, (String, String))> {
    let line = |text: &str, at: usize| text.lines().nth(at).map(str::to_owned);
    let longest = one.lines().count().max(other.lines().count());
    (0..longest).find(|at| line(one, *at) != line(other, *at)).map(|at| {
        let shown = |text| line(text, at).unwrap_or_else(|| "(its end)".to_owned());
        (at + 1, (shown(one), shown(other)))
    })
}

// ---- a rule that cannot fail is no rule ----

#[test]
fn a_page_that_says_something_else_is_found_out() {
    let real = "2026-11-22 15:14:58.953 create  a  new  6 B  8 ms\nalike: done\n";
    for right in [
        "2025-01-01 00:00:00.000 create  a  new  6 B  0 ms\nalike: done",
        "…\nalike: done",
        "2026-11-22 15:14:58.953 create  a  …\nalike: done\n…",
    ] {
        assert_eq!(differences(right, real), None, "{right}");
    }
    for wrong in [
        "2025-01-01 00:00:00.000 create  a  new  7 B  0 ms\nalike: done",
        "alike: done",
        "…\nalike: gone",
        "…\nalike: done\nalike: done",
        "",
    ] {
        assert!(differences(wrong, real).is_some(), "{wrong}");
    }
    assert!(is_as("up for …, process …", "up for 3 s, process 17") && !is_as("up", "up for 3 s"));
}

#[test]
fn blocks_are_read_with_their_commands_and_what_these_say() {
    let page = Page::of(
        "x.md",
        "a\n```console\n$ cat > f <<EOF\n> one\n> EOF\n$ alike x\nsaid\n```\n\n```sh\nsudo alike up   # why\nls\n```\n",
    );
    let linking = Page::of("y.md", "# The `alike` x, y\n[a](b.md#c) [d](#e)\n```text\n# no [f](#g)\n```\n");
    assert_eq!(linking.anchors, ["the-alike-x-y"]);
    assert_eq!(linking.links, [("b.md".to_owned(), "c".to_owned()), (String::new(), "e".to_owned())]);
    let [console, sh] = page.blocks.as_slice() else { panic!("{:?}", page.blocks) };
    let acts = console.acts();
    assert_eq!((acts[0].command.as_str(), acts[0].said.as_str()), ("cat > f <<EOF\none\nEOF", ""));
    assert_eq!((acts[1].command.as_str(), acts[1].said.as_str(), acts[1].line), ("alike x", "said", 6));
    assert_eq!(sh.commands_of_alike(), ["alike up"]);
    let stage = Stage::new(Path::new(ALIKE));
    assert_eq!(stage.refuses("alike once a b --exclude '*.tmp'"), None);
    assert!(stage.refuses("alike once a b --exlude '*.tmp'").is_some());
    assert!(stage.check_config("[[job]]\nname = \"a\"\nsource = \"~/a\"\nreplica = \"/mnt/a\"\n").is_ok());
    assert!(stage.check_config("[[job]]\nname = \"a\"\nsorce = \"~/a\"\nreplica = \"/mnt/a\"\n").is_err());
}
