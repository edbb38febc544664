//! Finds a config file and its drop-ins, and has them read.

use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

use alike_storage::plain;
use etcetera::BaseStrategy;

use super::trouble::{Mistake, Spot, Text, Trouble};
use super::{Config, reading};
use crate::doctor::shown;

const FILE: &str = "alike.toml";
const DROP_INS: &str = "alike.d";
const SYSTEM: &str = "/etc/alike";
/// A file that is longer is none that a person wrote.
const MOST_BYTES: u64 = 1 << 20;

/// All that the config says: that of `-c`, or the first that is found where configs are.
///
/// # Errors
/// When there is none, it cannot be read, or anything in it is wrong. All that is wrong is told.
pub(crate) fn load(given: Option<&Path>) -> Result<Config, Trouble> {
    let texts = texts(&path_of(given)?, None)?;
    let config = reading::read(&texts)?;
    if config.jobs.is_empty() {
        let help = "write a line [[job]], and below it name, source and replicas";
        let spot = Spot::new(&texts[0], 0..0);
        return Err(Trouble::of(&[Mistake::new("there is no job in the config", spot, "").help(help)]));
    }
    Ok(config)
}

/// What the config would say if the file had this in it. One without jobs will do.
pub(crate) fn load_as_if(path: &Path, text: String) -> Result<Config, Trouble> {
    reading::read(&texts(path, Some(text))?)
}

/// Where the config is that this names, or the one that is found.
pub(crate) fn path_of(given: Option<&Path>) -> Result<PathBuf, Trouble> {
    let Some(given) = given else { return found() };
    let cannot = |why| Trouble::plain(format!("the config {}: {}", shown(given), plain(&why)));
    std::path::absolute(given).map_err(cannot)
}

/// Where the config of this user is, or would be.
pub(crate) fn of_user() -> Option<PathBuf> {
    let strategy = etcetera::choose_base_strategy().ok()?;
    Some(strategy.config_dir().join("alike").join(FILE))
}

fn found() -> Result<PathBuf, Trouble> {
    let places: Vec<PathBuf> = of_user().into_iter().chain([Path::new(SYSTEM).join(FILE)]).collect();
    // One that may not be looked at is there: whoever reads it says so.
    let is_there = |path: &&PathBuf| path.symlink_metadata().map_or_else(|why| !is_absent(&why), |_| true);
    if let Some(path) = places.iter().find(is_there) {
        return Ok(path.clone());
    }
    let places: Vec<String> = places.iter().map(|path| shown(path)).collect();
    Err(Trouble::plain(format!(
        "there is no config: neither {}; write one with \"alike config init SOURCE REPLICA\", or name yours with -c FILE",
        places.join(" nor ")
    )))
}

fn is_absent(why: &std::io::Error) -> bool {
    matches!(why.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory)
}

/// The file and its drop-ins, in the order in which they count.
fn texts(path: &Path, as_if: Option<String>) -> Result<Vec<Text>, Trouble> {
    let text = as_if.map_or_else(|| read_text(path), Ok)?;
    let mut texts = vec![Text { path: path.to_owned(), text }];
    for path in drop_ins(&path.with_file_name(DROP_INS))? {
        texts.push(Text { text: read_text(&path)?, path });
    }
    Ok(texts)
}

/// The drop-ins in order of their names. What an editor left beside them has another ending, or begins with a dot.
fn drop_ins(folder: &Path) -> Result<Vec<PathBuf>, Trouble> {
    let cannot =
        |why| Trouble::plain(format!("the drop-ins {} cannot be listed: {}", shown(folder), plain(&why)));
    let listing = match fs::read_dir(folder) {
        Ok(listing) => listing,
        Err(why) if is_absent(&why) => return Ok(Vec::new()),
        Err(why) => return Err(cannot(why)),
    };
    let mut paths = Vec::new();
    for entry in listing {
        let path = entry.map_err(cannot)?.path();
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if !hidden && path.extension().is_some_and(|extension| extension == "toml") {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

pub(crate) fn read_text(path: &Path) -> Result<String, Trouble> {
    let cannot = |why: String| Trouble::plain(format!("the config {} cannot be read: {why}", shown(path)));
    let mut bytes = Vec::new();
    let read = File::open(path).and_then(|file| file.take(MOST_BYTES + 1).read_to_end(&mut bytes));
    let read = read.map_err(|why| cannot(plain(&why)))?;
    if read as u64 > MOST_BYTES {
        return Err(cannot("it is longer than a megabyte".to_owned()));
    }
    String::from_utf8(bytes).map_err(|why| {
        let good = why.utf8_error().valid_up_to();
        let before = &why.as_bytes()[..good];
        let line = before.iter().filter(|byte| **byte == b'\n').count() + 1;
        let column = good - before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1) + 1;
        cannot(format!("line {line}, byte {column} is not UTF-8"))
    })
}
