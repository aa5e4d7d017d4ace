//! What the command line and the environment say, before a file is read.
//!
//! Whether something is missing cannot be known before. So this reads the command line with flags that
//! are alone: the same names, and nothing that needs or excludes anything else.

use std::collections::BTreeSet;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

use clap::parser::ValueSource;
use clap::{ArgAction, ArgMatches, Command, FromArgMatches};

use super::setting::{self, Setting};
use crate::cli;
use crate::settings::OutputArgs;

/// A command line without its file.
pub(super) struct Asked {
    /// The names of the command, from the outermost one on; none if none is asked for.
    pub(super) path: Vec<String>,
    matches: ArgMatches,
    given: BTreeSet<String>,
}

impl Asked {
    /// Reads it; `None` if there is something wrong with it, or it asks for help.
    pub(super) fn read(command: &Command, words: &[OsString]) -> Option<Self> {
        let alone = alone(command, true);
        let all = alone.try_get_matches_from(words).ok()?;
        let (mut path, mut matches) = (Vec::new(), &all);
        while let Some((name, below)) = matches.subcommand() {
            path.push(name.to_owned());
            matches = below;
        }
        // A command without settings has no use for a file, nor has half a command.
        let command = setting::at(command, &path).filter(|c| !c.is_subcommand_required_set())?;
        let says = |id: &str| {
            matches!(
                matches.value_source(id),
                Some(ValueSource::CommandLine | ValueSource::EnvVariable)
            )
        };
        let given = setting::settings(command).map(Setting::id).filter(|id| says(id));
        let given = given.map(str::to_owned).collect();
        Some(Self { path, matches: matches.clone(), given })
    }

    /// The file that is named.
    pub(super) fn file(&self) -> Option<&Path> {
        let named = self.matches.try_get_one::<PathBuf>("config").ok().flatten();
        named.map(PathBuf::as_path)
    }

    /// How a command is to speak of what is wrong.
    pub(super) fn output(&self) -> OutputArgs {
        OutputArgs::from_arg_matches(&self.matches).unwrap_or_default()
    }

    /// Whether the command line or the environment gives a setting.
    pub(super) fn is_given(&self, id: &str) -> bool {
        self.given.contains(id)
    }

    /// The names in the pairs that are given of a setting.
    pub(super) fn names(&self, id: &str) -> Vec<String> {
        let name = |pair: &OsStr| {
            let pair = pair.to_string_lossy();
            pair.split_once('=').map(|(name, _)| name.trim().to_owned())
        };
        self.raw(id).iter().filter_map(|pair| name(pair)).collect()
    }

    /// The values that a variable gives a setting, as arguments.
    pub(super) fn of_variable(&self, setting: Setting<'_>) -> Vec<OsString> {
        if self.matches.value_source(setting.id()) != Some(ValueSource::EnvVariable) {
            return Vec::new();
        }
        let values = self.raw(setting.id());
        values.iter().map(|value| setting.argument(&value.to_string_lossy())).collect()
    }

    fn raw(&self, id: &str) -> Vec<OsString> {
        let given = self.is_given(id).then(|| self.matches.try_get_raw(id).ok().flatten());
        given.flatten().map_or_else(Vec::new, |raw| raw.map(OsStr::to_owned).collect())
    }

    /// The command line with the arguments of a file: behind everything else, but before what must not
    /// be taken for a flag.
    pub(super) fn words_with(
        &self,
        words: &[OsString],
        file: &super::arguments::Arguments,
    ) -> Vec<OsString> {
        let end = words.iter().position(|word| word == "--").unwrap_or(words.len());
        let (before, behind) = words.split_at(end);
        [before, &file.words, behind].concat()
    }
}

/// The same commands with flags that are alone.
fn alone(command: &Command, is_root: bool) -> Command {
    let mut alone = Command::new(command.get_name().to_owned());
    if is_root {
        alone = alone.arg_required_else_help(command.is_arg_required_else_help_set());
    }
    for arg in command.get_arguments() {
        let helps = matches!(
            arg.get_action(),
            ArgAction::Help | ArgAction::HelpShort | ArgAction::HelpLong | ArgAction::Version
        );
        // Those of all commands come down from the first one.
        if helps || (arg.is_global_set() && !is_root) {
            continue;
        }
        let mut flag = Setting { arg }.alone().global(arg.is_global_set());
        if let Some(long) = arg.get_long() {
            flag = flag.long(long.to_owned());
        }
        for alias in arg.get_all_aliases().unwrap_or_default() {
            flag = flag.alias(alias.to_owned());
        }
        if let Some(short) = arg.get_short() {
            flag = flag.short(short);
        }
        flag = flag.short_aliases(arg.get_all_short_aliases().unwrap_or_default());
        if let Some(variable) = arg.get_env().filter(|variable| !cli::is_empty(variable)) {
            flag = flag.env(variable.to_owned());
        }
        alone = alone.arg(flag);
    }
    let below = command.get_subcommands().filter(|below| below.get_name() != "help");
    below.fold(alone, |alone, below| alone.subcommand(self::alone(below, false)))
}
