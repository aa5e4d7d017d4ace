//! What is wrong with a file.

use std::fmt;
use std::path::{Path, PathBuf};

/// How many problems are told: what is no file of settings may have thousands.
const MOST: usize = 20;

/// Everything that is wrong with a file, by line. Values that may be secrets are never in it.
#[derive(Debug, Default)]
pub(crate) struct Problems {
    path: PathBuf,
    /// Line (none for the file as a whole) and words.
    found: Vec<(Option<usize>, String)>,
}

impl Problems {
    /// None yet.
    pub(super) fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), found: Vec::new() }
    }

    /// The file as a whole cannot be used.
    pub(super) fn whole(path: &Path, words: impl Into<String>) -> Self {
        Self { path: path.to_owned(), found: vec![(None, words.into())] }
    }

    pub(super) fn add(&mut self, line: usize, words: impl Into<String>) {
        self.found.push((Some(line), words.into()));
    }

    /// `value`, if nothing is wrong.
    pub(super) fn none_or<T>(mut self, value: T) -> Result<T, Self> {
        if self.found.is_empty() {
            return Ok(value);
        }
        self.found.sort_by_key(|(line, _)| *line);
        Err(self)
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (line, words)) in self.found.iter().take(MOST).enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            match line {
                Some(line) => write!(f, "{}:{line}: {words}", self.path.display())?,
                None => write!(f, "{}: {words}", self.path.display())?,
            }
        }
        match self.found.len().saturating_sub(MOST) {
            0 => Ok(()),
            more => write!(f, "\n{}: and {more} more", self.path.display()),
        }
    }
}
