//! The token without which the page changes nothing: made at each start, in a file that only its owner may read.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The token; its file goes with it.
pub(crate) struct Token {
    text: String,
    file: PathBuf,
}

impl Token {
    /// Makes one.
    ///
    /// # Errors
    /// When the system gives nothing random, or the file cannot be written.
    pub(crate) fn make(file: &Path) -> io::Result<Self> {
        let mut random = [0; 24];
        File::open("/dev/urandom")?.read_exact(&mut random)?;
        let text: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        // What a process left behind that was killed goes; nothing is written through what somebody put there.
        match fs::remove_file(file) {
            Err(why) if why.kind() != io::ErrorKind::NotFound => return Err(why),
            _ => {}
        }
        let mut open = File::options().write(true).create_new(true).mode(0o600).open(file)?;
        open.write_all(format!("{text}\n").as_bytes())?;
        Ok(Self { text, file: file.to_owned() })
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    /// Compares in a time that tells nothing of where they differ.
    pub(crate) fn is(&self, given: &[u8]) -> bool {
        let mine = self.text.as_bytes();
        let differs = mine.iter().zip(given).fold(0, |so_far, (mine, given)| so_far | (mine ^ given));
        mine.len() == given.len() && std::hint::black_box(differs) == 0
    }
}

impl Drop for Token {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.file);
    }
}
