//! Who said what: the settings of a command, and where each came from.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use clap::ArgMatches;
use clap::parser::ValueSource;

use super::arguments::Arguments;
use super::blame::Blame;
use super::setting;

/// Where a setting came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Nobody said anything.
    Default,
    /// The file.
    File {
        /// The line of its key.
        line: usize,
        /// It is in the command's own table, and not meant for others as well.
        own: bool,
    },
    /// A `TIDEGATE_*` variable.
    Variable,
    /// The command line.
    CommandLine,
}

/// The settings of a command.
#[derive(Default)]
pub(crate) struct Given {
    /// The outermost name of the command.
    command: String,
    file: Option<PathBuf>,
    /// By clap's name.
    settings: BTreeMap<String, One>,
}

/// One setting.
struct One {
    key: String,
    origin: Origin,
    /// As it was written. It may be a secret.
    values: Vec<OsString>,
}

impl Given {
    /// What clap found.
    pub(super) fn new(matches: &ArgMatches, file: Option<(&Path, &Arguments)>) -> Self {
        let root = setting::built();
        let (mut path, mut matches) = (Vec::new(), matches);
        while let Some((name, below)) = matches.subcommand() {
            path.push(name.to_owned());
            matches = below;
        }
        let from_file = |id: &str| file.and_then(|(_, file)| file.origins.get(id));
        let mut settings = BTreeMap::new();
        for setting in setting::at(&root, &path).into_iter().flat_map(setting::settings) {
            let id = setting.id();
            let origin = match (from_file(id), matches.value_source(id)) {
                (Some((line, own)), _) => Origin::File { line: *line, own: *own },
                (_, Some(ValueSource::CommandLine)) => Origin::CommandLine,
                (_, Some(ValueSource::EnvVariable)) => Origin::Variable,
                _ => Origin::Default,
            };
            let raw = matches.try_get_raw(id).ok().flatten();
            let values = raw.into_iter().flatten().map(ToOwned::to_owned).collect();
            let key = setting.key().to_owned();
            settings.insert(id.to_owned(), One { key, origin, values });
        }
        let command = path.into_iter().next().unwrap_or_default();
        Self { command, file: file.map(|(path, _)| path.to_owned()), settings }
    }

    /// The command, by its outermost name.
    pub(crate) fn command(&self) -> &str {
        &self.command
    }

    /// The file, if there is one.
    pub(crate) fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// Where a setting came from, by clap's name: that of the field.
    pub(crate) fn origin(&self, id: &str) -> Origin {
        self.settings.get(id).map_or(Origin::Default, |one| one.origin)
    }

    /// To tell with whose settings something is wrong; `None` without a file.
    pub(crate) fn blame(&self) -> Option<Blame> {
        Blame::of(self)
    }

    /// All settings by their keys, and where each came from.
    pub(super) fn origins(&self) -> impl Iterator<Item = (&str, Origin)> {
        self.settings.values().map(|one| (one.key.as_str(), one.origin))
    }

    /// The values of a setting as they were written.
    #[cfg(test)]
    pub(super) fn values(&self, id: &str) -> &[OsString] {
        self.settings.get(id).map_or(&[], |one| &one.values)
    }

    /// The keys of those that are not as they were `before`.
    pub(crate) fn changed_since(&self, before: &Self) -> Vec<&str> {
        let changed = self.settings.iter().filter(|(id, one)| {
            before.settings.get(*id).is_none_or(|before| before.values != one.values)
        });
        changed.map(|(_, one)| one.key.as_str()).collect()
    }

    /// The value of a setting that is no secret.
    pub(super) fn told(&self, key: &str) -> String {
        let one = self.settings.values().find(|one| one.key == key);
        let values = one.map_or(&[][..], |one| &one.values);
        let values: Vec<_> = values.iter().map(|value| value.to_string_lossy()).collect();
        if values.is_empty() { "not set".to_owned() } else { values.join(" ") }
    }

    /// Takes over settings of `newer` with these keys.
    pub(super) fn take(&mut self, newer: Self, keys: &[String]) {
        let taken = newer.settings.into_iter().filter(|(_, one)| keys.contains(&one.key));
        self.settings.extend(taken);
    }
}
