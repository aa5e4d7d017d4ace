//! Whose fault it is when settings do not go together.

use std::path::PathBuf;

use super::given::{Given, Origin};
use crate::exit::Failure;

/// The settings of a command that has a file.
pub(crate) struct Blame {
    file: PathBuf,
    /// Keys, and who said what.
    settings: Vec<(String, Origin)>,
}

impl Blame {
    /// `None` without a file.
    pub(super) fn of(given: &Given) -> Option<Self> {
        let file = given.file()?.to_owned();
        let settings = given.origins().map(|(key, origin)| (key.to_owned(), origin)).collect();
        Some(Self { file, settings })
    }

    /// The failure as one of the file, if a setting that is named in it stands there.
    pub(crate) fn on(&self, failure: Failure) -> Failure {
        let file = self.file.display();
        match failure {
            Failure::Usage(words) => match self.line(&words) {
                Some(line) => Failure::Config(format!("{file}:{line}: {words}")),
                None => Failure::Usage(words),
            },
            // Whoever gave the command a table of its own wanted it to be there.
            Failure::Missing(words) if self.has_table() => {
                Failure::Config(format!("{file}: {words}"))
            }
            Failure::Missing(words) => {
                Failure::Missing(format!("{words} (settings of {file} are among them)"))
            }
            other => other,
        }
    }

    /// Whether the file has settings for this command alone.
    fn has_table(&self) -> bool {
        self.settings.iter().any(|(_, origin)| matches!(origin, Origin::File { own: true, .. }))
    }

    /// The first line of what is named and stands in the file.
    fn line(&self, words: &str) -> Option<usize> {
        let named = names(words);
        let here = self.settings.iter().filter(|(key, _)| named.contains(key));
        let lines = here.filter_map(|(_, origin)| match origin {
            Origin::File { line, .. } => Some(*line),
            _ => None,
        });
        lines.min()
    }
}

/// The settings that are named: flags, and names as the library has them.
fn names(words: &str) -> Vec<String> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    let all = words.split(|c| !is_name(c));
    let named = all.filter_map(|word| match word.strip_prefix("--") {
        Some(flag) => Some(flag.to_owned()),
        None => word.contains('_').then(|| word.replace('_', "-")),
    });
    named.collect()
}
