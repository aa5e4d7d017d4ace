//! The file of `--config`: TOML with a key for each flag.
//!
//! A file is as if its flags stood on the command line, except for those that the command line or the
//! environment gives. So nothing is declared here: names, kinds, ranges and words of all settings are
//! those of the flags, read from clap (`setting`). `file` reads TOML and knows which names there are,
//! `interpolate` puts variables in, `arguments` makes arguments of what concerns one command and has
//! each looked at by its flag, `asked` finds out what the command line and the environment give, `given`
//! remembers where a setting came from, `problem` is what is told of a file. `catalog` lists all settings,
//! `example` and `reference` write them down, `command` prints that. `reload` reads the file again while a
//! command runs, and takes over what `live` names.
//!
//! # From other modules
//! [`load`] takes the words of a command line (with the program's name first) and gives the command and
//! its [`Given`]: with which value each setting goes, and who said so. The words of another command line
//! can be loaded as well, to see whether a file suits that command; and the same words again, when the
//! file may have changed. What is wrong with the file is one [`Failure::Config`] with all problems of it,
//! a line each, `FILE:LINE: ...`; nothing is printed and the process does not end.

mod arguments;
mod asked;
mod blame;
mod catalog;
mod command;
mod example;
mod file;
mod given;
mod interpolate;
mod live;
mod problem;
mod reference;
mod reload;
mod setting;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::Path;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{FromArgMatches, builder::StyledStr};

use self::asked::Asked;
pub(crate) use self::command::{CompletionsArgs, ConfigArgs, print, print_completions};
use self::file::File;
pub(crate) use self::given::{Given, Origin};
#[cfg(test)]
pub(crate) use self::live::keys as live_keys;
pub(crate) use self::reload::Reload;
use crate::cli::{self, Cli};
use crate::exit::Failure;
use crate::settings::OutputArgs;

/// Flags whose values may be secrets.
const SECRET: [&str; 2] = ["--property", "--header"];

/// A command line with its file.
pub(crate) struct Loaded {
    /// The command and its settings.
    pub(crate) cli: Cli,
    /// Where they came from.
    pub(crate) given: Given,
}

/// Why there is no command to run.
pub(crate) enum Refused {
    /// The command line is wrong, or asks for help. Clap's words.
    Usage(clap::Error),
    /// The file cannot be used.
    File(Failure, OutputArgs),
}

impl Refused {
    /// Says so; the exit code is for `main` to return.
    pub(crate) fn tell(&self) -> ExitCode {
        match self {
            Self::Usage(error) => {
                // Nobody is left to be told that standard error cannot be written to.
                let _ = error.print();
                ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2))
            }
            Self::File(failure, output) => failure.tell(output),
        }
    }
}

impl From<clap::Error> for Refused {
    fn from(error: clap::Error) -> Self {
        Self::Usage(error)
    }
}

/// Reads a command line, its variables and its file.
///
/// # Errors
/// When one of them cannot be used, or help is asked for.
pub(crate) fn load(words: &[OsString]) -> Result<Loaded, Refused> {
    let command = setting::built();
    // What is wrong without a file is told by the command itself.
    let Some(asked) = Asked::read(&command, words) else { return finish(words, None) };
    let Some(path) = asked.file() else { return finish(words, None) };
    let from_file = File::read(path, &command)
        .and_then(|file| arguments::of(file, &command, &asked))
        .map_err(|problems| Refused::File(Failure::Config(problems.to_string()), asked.output()))?;
    let loaded = finish(&asked.words_with(words, &from_file), Some((path, &from_file)));
    loaded.map_err(|refused| match refused {
        // Whoever gave the command a table of its own wanted it to be there.
        Refused::Usage(error) if is_missing(&error) && from_file.has_table() => {
            let (file, table) = (path.display(), asked.path.join("."));
            let words = format!("{file}: [{table}]: {} is missing", missing(&error));
            Refused::File(Failure::Config(words), asked.output())
        }
        other => other,
    })
}

fn is_missing(error: &clap::Error) -> bool {
    error.kind() == ErrorKind::MissingRequiredArgument
}

/// The keys of the flags that are missing.
fn missing(error: &clap::Error) -> String {
    let Some(ContextValue::Strings(flags)) = error.get(ContextKind::InvalidArg) else {
        return "a setting".to_owned();
    };
    let key = |flag: &String| {
        let name = flag.trim_start_matches(['-', '<']).split([' ', '=', '<', '>']).next();
        name.unwrap_or_default().to_owned()
    };
    flags.iter().map(key).collect::<Vec<_>>().join(", ")
}

/// Those of `names` that a file has a table for; without such a table, those that alone have a setting
/// that is in it.
///
/// # Errors
/// When the file cannot be read or is no TOML, or has nothing but names that are not known.
pub(crate) fn commands(path: &Path, names: &[&str]) -> Result<Vec<String>, Failure> {
    let command = setting::built();
    let file = File::read(path, &command);
    let file = file.map_err(|problems| Failure::Config(problems.to_string()))?;
    let with_table = file.tables.iter().filter(|name| names.contains(&name.as_str()));
    let with_table: BTreeSet<_> = with_table.cloned().collect();
    if !with_table.is_empty() {
        return Ok(with_table.into_iter().collect());
    }
    let has = |name: &&str, key: &str| {
        let command = setting::at(&command, &[(*name).to_owned()]);
        command.is_some_and(|command| setting::settings(command).any(|its| its.key() == key))
    };
    let alone = file.keys().filter_map(|key| {
        let mut those = names.iter().filter(|name| has(name, key));
        those.next().filter(|_| those.next().is_none())
    });
    let alone: BTreeSet<_> = alone.map(|name| (*name).to_owned()).collect();
    if alone.is_empty() {
        let problems = file.problems.none_or(());
        problems.map_err(|problems| Failure::Config(problems.to_string()))?;
    }
    Ok(alone.into_iter().collect())
}

/// Takes the value out of what is told of a flag whose values may be secrets.
fn hide_secret(error: &mut clap::Error) {
    let told = |kind| error.get(kind).map(ToString::to_string).unwrap_or_default();
    let flag = told(ContextKind::InvalidArg);
    if SECRET.iter().any(|secret| flag.starts_with(secret)) {
        error.insert(ContextKind::InvalidValue, ContextValue::String("***".to_owned()));
    }
}

/// Reads a command line that is complete.
fn finish(
    words: &[OsString],
    file: Option<(&Path, &arguments::Arguments)>,
) -> Result<Loaded, Refused> {
    let matches = cli::reader().try_get_matches_from(words).map_err(|mut error| {
        match error.kind() {
            // Help names every variable, be it empty.
            ErrorKind::DisplayHelp | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
                return cli::command().try_get_matches_from(words).err().unwrap_or(error);
            }
            ErrorKind::ValueValidation | ErrorKind::InvalidValue => hide_secret(&mut error),
            _ => {}
        }
        if let Some((path, _)) = file.filter(|_| is_missing(&error)) {
            let tip = format!("what is missing can also be set in {}", path.display());
            let tips = ContextValue::StyledStrs(vec![StyledStr::from(tip)]);
            error.insert(ContextKind::Suggested, tips);
        }
        error
    })?;
    let cli = Cli::from_arg_matches(&matches)?;
    let given = Given::new(&matches, file);
    Ok(Loaded { cli, given })
}
