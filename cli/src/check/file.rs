//! A file as each command in it would read it.

use std::collections::BTreeSet;
use std::ffi::OsString;
use std::path::Path;

use clap::error::{ContextKind, ContextValue};

use super::facts::Answered;
use super::plan::Plan;
use crate::cli::{Cli, Command};
use crate::config::{self, Loaded, Refused};
use crate::exit::Failure;

/// The commands that are checked, by name.
const COMMANDS: [&str; 5] = ["run", "ingest", "produce", "redrive", "lag"];

/// A command of the file.
pub(super) struct Checked {
    pub(super) plan: Plan,
    command: Command,
}

impl Checked {
    /// Asks its target whether it is there; `None` if it has none that could be asked.
    pub(super) async fn ask_target(&self) -> Option<Answered> {
        match &self.command {
            Command::Run(args) => args.ask_target().await,
            _ => None,
        }
    }
}

/// All commands that the file has a table for. One without tables is for the command that alone has a
/// setting in it.
///
/// # Errors
/// With everything that is wrong with it, or that keeps a command from starting.
pub(super) fn read(path: &Path) -> Result<Vec<Checked>, Failure> {
    let mut names = config::commands(path, &COMMANDS)?;
    if names.is_empty() {
        return Err(Failure::Config(format!(
            "{}: there is nothing to check: write a table [run], [ingest], [produce], [redrive] or [lag], \
             or a setting that only one of them has",
            path.display()
        )));
    }
    names.sort_by_key(|name| COMMANDS.iter().position(|command| command == name));
    let (mut all, mut wrong) = (Vec::new(), Vec::new());
    for name in names {
        match checked(path, &name) {
            Ok(checked) => all.extend(checked),
            Err(words) => wrong.push(words),
        }
    }
    if wrong.is_empty() {
        return Ok(all);
    }
    // What is above all tables is wrong for each command, and told once.
    let mut told = BTreeSet::new();
    let lines = wrong.iter().flat_map(|words| words.lines()).filter(|line| told.insert(*line));
    Err(Failure::Config(lines.collect::<Vec<_>>().join("\n")))
}

/// One command; `None` if there is nothing that could be checked of it.
fn checked(path: &Path, name: &str) -> Result<Option<Checked>, String> {
    let words = [OsString::from("tidegate"), "--config".into(), path.into(), name.into()];
    let here = |words: String| format!("{}: [{name}]: {words}", path.display());
    let (command, given) = match config::load(&words) {
        Ok(Loaded { cli: Cli { command, .. }, given }) => (command, given),
        Err(Refused::File(failure, _)) => return Err(failure.to_string()),
        Err(Refused::Usage(error)) => return Err(here(usage(&error))),
    };
    let plan = match &command {
        Command::Run(args) => args.plan(&given),
        Command::Ingest(args) => args.plan(),
        Command::Produce(args) => args.plan(),
        Command::Redrive(args) => args.plan(),
        Command::Lag(args) => args.plan(),
        _ => return Ok(None),
    };
    let plan = plan.map_err(|failure| here(failure.to_string()))?;
    Ok(Some(Checked { plan, command }))
}

/// Clap's words in one line, and of flags that are missing their keys.
fn usage(error: &clap::Error) -> String {
    if let Some(ContextValue::Strings(missing)) = error.get(ContextKind::InvalidArg)
        && error.kind() == clap::error::ErrorKind::MissingRequiredArgument
    {
        let keys = missing.iter().map(|flag| {
            let name = flag.trim_start_matches("--");
            name.split([' ', '=', '<']).next().unwrap_or(name)
        });
        return format!("{} is missing", keys.collect::<Vec<_>>().join(", "));
    }
    let words = error.to_string();
    let words = words.lines().next().unwrap_or_default();
    words.strip_prefix("error: ").unwrap_or(words).to_owned()
}
