//! Flags as settings of a file: what clap knows of them.

use std::error::Error as _;
use std::ffi::{OsStr, OsString};
use std::num::{IntErrorKind, ParseIntError};

use clap::builder::{Arg, ArgAction, Command};
use clap::error::{ContextKind, ContextValue};

use crate::cli;

/// Commands that have no settings.
const WITHOUT: [&str; 4] = ["help", "config", "check", "completions"];
/// Flags that are no settings.
const NONE: [&str; 3] = ["help", "version", "config"];

/// All commands, with flags that belong to all of them in each.
pub(super) fn built() -> Command {
    let mut command = cli::command();
    command.build();
    command
}

/// The commands below this one that have settings.
pub(super) fn commands(command: &Command) -> impl Iterator<Item = &Command> {
    command.get_subcommands().filter(|command| !WITHOUT.contains(&command.get_name()))
}

/// The settings of a command.
pub(super) fn settings(command: &Command) -> impl Iterator<Item = Setting<'_>> {
    let flags = command.get_arguments().filter(|arg| !NONE.contains(&arg.get_id().as_str()));
    // The flags of all commands are settings of each, and so of those that have others in them.
    let has_own = WITHOUT.contains(&command.get_name());
    flags.filter(move |_| !has_own).map(|arg| Setting { arg })
}

/// The command with this path below `command`.
pub(super) fn at<'a>(command: &'a Command, path: &[String]) -> Option<&'a Command> {
    path.iter().try_fold(command, |command, name| {
        commands(command).find(|command| command.get_name() == name)
    })
}

/// Whether only one of two flags may be there. Either may be the one that says so.
pub(super) fn exclude(command: &Command, one: Setting<'_>, other: Setting<'_>) -> bool {
    let names = |a: Setting<'_>, b: Setting<'_>| {
        command.get_arg_conflicts_with(a.arg).iter().any(|arg| arg.get_id().as_str() == b.id())
    };
    names(one, other) || names(other, one)
}

/// A flag of a command, or an argument without a flag.
#[derive(Clone, Copy, Debug)]
pub(super) struct Setting<'a> {
    pub(super) arg: &'a Arg,
}

/// Which values a setting has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// On or off.
    Switch,
    /// How often it is given.
    Count,
    /// One value.
    One,
    /// Any number of values.
    Many {
        /// What separates them in one text.
        separator: Option<char>,
        /// Each is a name and a value.
        pairs: bool,
    },
}

impl<'a> Setting<'a> {
    /// Its name in a file: that of the flag.
    pub(super) fn key(self) -> &'a str {
        self.arg.get_long().unwrap_or_else(|| self.arg.get_id().as_str())
    }

    /// The name by which clap knows it.
    pub(super) fn id(self) -> &'a str {
        self.arg.get_id().as_str()
    }

    /// Which values it has.
    pub(super) fn kind(self) -> Kind {
        match self.arg.get_action() {
            ArgAction::SetTrue | ArgAction::SetFalse => Kind::Switch,
            ArgAction::Count => Kind::Count,
            ArgAction::Append => Kind::Many {
                separator: self.arg.get_value_delimiter(),
                pairs: self.value_name().contains('='),
            },
            _ => Kind::One,
        }
    }

    /// What stands for its value in the help.
    pub(super) fn value_name(self) -> &'a str {
        self.arg.get_value_names().and_then(<[_]>::first).map_or("", |name| name.as_str())
    }

    /// What it does, in sentences; paragraphs are separated by empty lines.
    pub(super) fn words(self) -> String {
        let words = self.arg.get_long_help().or_else(|| self.arg.get_help());
        let words = words.map(ToString::to_string).unwrap_or_default();
        match words.ends_with(['.', '?', '!']) {
            true => words,
            false => words + ".",
        }
    }

    /// Its default; none if nothing is there when nobody says anything.
    pub(super) fn defaults(self) -> Option<String> {
        let values = self.arg.get_default_values();
        let values: Vec<_> = values.iter().map(|value| value.to_string_lossy()).collect();
        (!values.is_empty() && self.arg.get_action().takes_values()).then(|| values.join(" "))
    }

    /// The words that it may be, each with what it means; none if it is no choice of words.
    pub(super) fn choices(self) -> Vec<(String, String)> {
        if !self.arg.get_action().takes_values() {
            return Vec::new();
        }
        let meaning = |value: &clap::builder::PossibleValue| {
            value.get_help().map(ToString::to_string).unwrap_or_default()
        };
        let values = self.arg.get_possible_values();
        values.iter().map(|value| (value.get_name().to_owned(), meaning(value))).collect()
    }

    /// Its variable.
    pub(super) fn variable(self) -> String {
        self.arg.get_env().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
    }

    /// The name of the pair in an argument that gives it one.
    pub(super) fn name_in(self, argument: &OsStr) -> Option<String> {
        let argument = argument.to_string_lossy();
        let behind = argument.strip_prefix("--")?.strip_prefix(self.key())?.strip_prefix('=')?;
        behind.split_once('=').map(|(name, _)| name.trim().to_owned())
    }

    /// Whether the pairs that the command line, the file's table of the command and its top give are
    /// joined by their names.
    pub(super) fn is_joined(self) -> bool {
        self.key() == "property"
    }

    /// The argument that gives it this value.
    pub(super) fn argument(self, value: &str) -> OsString {
        match self.arg.get_long() {
            Some(long) => format!("--{long}={value}").into(),
            None => value.into(),
        }
    }

    /// The same flag without its relations to others and without a variable.
    pub(super) fn alone(self) -> Arg {
        let arg = Arg::new(self.arg.get_id().clone())
            .action(self.arg.get_action().clone())
            .value_parser(self.arg.get_value_parser().clone());
        let arg = match self.arg.get_value_delimiter() {
            Some(delimiter) => arg.value_delimiter(delimiter),
            None => arg,
        };
        arg.allow_negative_numbers(self.arg.is_allow_negative_numbers_set())
    }

    /// Has a value read by its flag; why it is refused, without the value.
    pub(super) fn check(self, value: &str) -> Result<(), String> {
        let command = Command::new("value")
            .no_binary_name(true)
            .disable_help_flag(true)
            .arg(self.alone().long("value"));
        match command.try_get_matches_from([format!("--value={value}")]) {
            Ok(_) => Ok(()),
            Err(_) if value.is_empty() => Err("must not be empty".to_owned()),
            Err(error) => Err(reason(&error)),
        }
    }
}

/// Why clap refuses a value.
fn reason(error: &clap::Error) -> String {
    if let Some(source) = error.source() {
        let number = source.downcast_ref::<ParseIntError>().map(ParseIntError::kind);
        return match number {
            Some(IntErrorKind::PosOverflow | IntErrorKind::NegOverflow) => {
                "is too large".to_owned()
            }
            Some(_) => "must be a whole number".to_owned(),
            None => source.to_string(),
        };
    }
    match error.get(ContextKind::ValidValue) {
        Some(ContextValue::Strings(values)) if !values.is_empty() => {
            format!("write one of {}", values.join(", "))
        }
        _ => "cannot be read".to_owned(),
    }
}

/// The name that is most like what was written, if one is like it at all.
pub(super) fn nearest<'a>(
    written: &str,
    names: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let written = written.to_lowercase().replace('_', "-");
    let like = |name: &str| strsim::jaro_winkler(&written, name);
    let names = names.into_iter().map(|name| (like(name), name));
    // Clap's own threshold is 0.7 of Jaro; with the weight on the first letters that is a little more.
    let best = names.filter(|(like, _)| *like > 0.8).max_by(|a, b| a.0.total_cmp(&b.0));
    best.map(|(_, name)| name)
}
