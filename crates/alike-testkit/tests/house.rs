//! The house rules that a compiler does not check: arrows point downward, the model stays pure, `unsafe` stays at
//! the border, files stay small, and the documents name what is really there.
//!
//! How DESIGN.md may name a file: by its path from the root (`crates/alike-model/src/path.rs`), short
//! (`alike-model/src/path.rs`, `model/path.rs`, or `path.rs` when only one file ends so), or in a fenced block whose lines
//! are an indented tree with folders ending in `/`.

#[path = "house/code.rs"]
mod code;
#[path = "house/documents.rs"]
mod documents;
#[path = "house/repository.rs"]
mod repository;

use std::collections::BTreeSet;
use std::path::Path;

use code::{dependencies, has_word, without_comments, worldly_words};
use documents::{links_in, names_in, resolve};
use repository::{Found, Repository, design, is_document, manifests, read, root, sources};

const FLOORS: [(&str, u8); 4] = [("alike-model", 0), ("alike-storage", 1), ("alike-engine", 2), ("alike", 3)];
const TESTKIT: &str = "alike-testkit";
/// A tool for tests, like the testkit, on which alone of this workspace it stands.
const TRIALS: &str = "alike-trials";
/// The only places where `unsafe` is written.
const BORDERS: [&str; 3] = [
    "crates/alike-storage/src/linux/",
    "crates/alike-storage/src/linux.rs",
    "crates/alike-trials/src/system/",
];
const MOST_LINES: usize = 450;

const WORLDLY_CRATES: [&str; 3] = ["rustix", "tokio", "jiff"];

// ---- the rules ----

#[test]
fn arrows_point_only_downward() {
    let mut wrong = Vec::new();
    for (name, manifest) in manifests() {
        let below = dependencies(&manifest);
        if name == TRIALS {
            let ours = below.iter().filter(|other| floor_of(other).is_some());
            wrong.extend(
                ours.map(|other| format!("{name} depends on {other}: it drives the binary from outside")),
            );
            continue;
        }
        if below.contains(TRIALS) {
            wrong.push(format!("{name} depends on {TRIALS}, which only tests"));
        }
        if below.contains(TESTKIT) {
            wrong.push(format!("{name} depends on {TESTKIT}: move it to [dev-dependencies]"));
        }
        let Some(floor) = floor_of(&name) else {
            if name != TESTKIT {
                wrong.push(format!(
                    "{name} has no floor: give it one in FLOORS of this test and in DESIGN.md"
                ));
            }
            continue;
        };
        for other in &below {
            if floor_of(other).is_some_and(|theirs| theirs >= floor) {
                wrong.push(format!(
                    "{name} (floor {floor}) depends on {other}, which is not below it: move what they share down, \
                     or hand it in as a value or a trait"
                ));
            }
        }
    }
    all_right(wrong);
}

#[test]
fn the_model_does_not_reach_for_the_world() {
    let mut wrong = Vec::new();
    let manifest = read(&root().join("crates/alike-model/Cargo.toml"));
    for name in dependencies(&manifest) {
        if WORLDLY_CRATES.contains(&name.as_str()) {
            wrong.push(format!(
                "alike-model depends on {name}: do that on a higher floor and pass the value in"
            ));
        }
    }
    for file in sources().iter().filter(|file| file.starts_with("crates/alike-model/")) {
        let code = without_comments(&read(&root().join(file)));
        for word in worldly_words(&code) {
            wrong.push(format!("{file} says {word}: the model is pure; take the value as an argument"));
        }
    }
    all_right(wrong);
}

#[test]
fn unsafe_is_written_only_at_the_system_call_border() {
    let border = |file: &str| BORDERS.iter().any(|border| file.starts_with(border));
    let mut wrong = Vec::new();
    for file in sources().iter().filter(|file| !border(file)) {
        let code = without_comments(&read(&root().join(file)));
        if has_word(&code, "unsafe") {
            wrong.push(format!(
                "{file} says unsafe: use rustix, or move the call to crates/alike-storage/src/linux"
            ));
        }
    }
    all_right(wrong);
}

#[test]
fn no_source_file_is_too_long_to_read() {
    let mut wrong = Vec::new();
    for file in sources() {
        let lines = read(&root().join(&file)).lines().count();
        if lines > MOST_LINES {
            wrong.push(format!(
                "{file} has {lines} lines, {MOST_LINES} at most: split it by what it is about"
            ));
        }
    }
    all_right(wrong);
}

#[test]
fn every_file_that_the_design_names_exists() {
    let files = Repository::look();
    let mut wrong = Vec::new();
    for name in names_in(&design()) {
        if files.find(&name) == Found::Nothing && files.would_be_ours(&name) {
            wrong.push(format!("DESIGN.md names {name}, which does not exist: correct or remove it"));
        }
    }
    all_right(wrong);
}

#[test]
fn every_source_file_is_on_the_map_of_the_design() {
    let files = Repository::look();
    let names = names_in(&design());
    let named: BTreeSet<String> = names.iter().filter_map(|name| files.find(name).one()).collect();
    let ambiguous: Vec<&String> = names.iter().filter(|name| files.find(name) == Found::Several).collect();
    let mut wrong = Vec::new();
    for file in sources().into_iter().filter(|file| !named.contains(file)) {
        let hint = match ambiguous.iter().find(|name| file.ends_with(&format!("/{name}"))) {
            Some(name) => format!("`{name}` fits several files: write more of the path"),
            None => "add it to the map with a few words on what it is for".to_owned(),
        };
        wrong.push(format!("DESIGN.md does not name {file}: {hint}"));
    }
    all_right(wrong);
}

#[test]
fn every_link_in_the_documents_leads_somewhere() {
    let files = Repository::look();
    let mut wrong = Vec::new();
    for document in files.all.iter().filter(|file| is_document(file)) {
        for link in links_in(&read(&root().join(document))) {
            let folder = Path::new(document).parent().unwrap_or(Path::new(""));
            if !resolve(folder, &link).is_some_and(|target| root().join(target).exists()) {
                wrong.push(format!(
                    "{document} links to {link}, which does not exist: correct or remove the link"
                ));
            }
        }
    }
    all_right(wrong);
}

fn floor_of(name: &str) -> Option<u8> {
    FLOORS.iter().find(|(known, _)| *known == name).map(|(_, floor)| *floor)
}

fn all_right(wrong: Vec<String>) {
    assert!(wrong.is_empty(), "\n  {}\n", wrong.join("\n  "));
}

// ---- a rule that cannot fail is no rule ----

#[test]
fn an_arrow_is_seen_however_the_manifest_writes_it() {
    let manifest = "[package]\nname = \"x\"\n[dependencies]\nalike-model.workspace = true\n\
                    \"alike-engine\" = { path = \"..\" } # why\n[dependencies.alike-storage]\npath = \"..\"\n\
                    [target.'cfg(unix)'.dependencies]\nrustix = \"1\"\n\
                    renamed = { package = \"jiff\", version = \"0.2\" }\n\
                    [dev-dependencies]\nalike-testkit.workspace = true\n";
    let found: Vec<String> = dependencies(manifest).into_iter().collect();
    assert_eq!(found, ["alike-engine", "alike-model", "alike-storage", "jiff", "renamed", "rustix"]);
}

#[test]
fn the_world_is_seen_inside_a_grouped_import_and_not_inside_a_comment() {
    let code =
        without_comments("// std::net\nuse std::{cmp, time::{Duration, SystemTime}, fs};\nlet a = \"//\";");
    assert_eq!(worldly_words(&code), ["std::fs", "std::time::SystemTime"]);
    assert!(has_word("x = unsafe { y }", "unsafe") && !has_word("unsafe_code", "unsafe"));
}

#[test]
fn names_are_read_from_prose_and_from_a_drawn_tree() {
    let page = "See `model/path.rs`, `alike once A B/` and `--sync none`.\n\n```text\ncrates/\n├── alike/src/  the program\n\
                │   └── main.rs     starts\n│       and goes on.\n└── alike-model/\n    └── Cargo.toml\n```\n";
    let names: Vec<String> = names_in(page).into_iter().collect();
    assert_eq!(names, ["crates/alike-model/Cargo.toml", "crates/alike/src/main.rs", "model/path.rs"]);
}
