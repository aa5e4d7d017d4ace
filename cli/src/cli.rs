//! The commands.

use std::ffi::OsStr;
use std::path::PathBuf;

use clap::builder::Resettable;
use clap::{CommandFactory, Parser, Subcommand};

use crate::bench::BenchArgs;
use crate::check::CheckArgs;
use crate::config::{CompletionsArgs, ConfigArgs};
use crate::exit::EXIT_CODES;
use crate::ingest::IngestArgs;
use crate::lab::LabArgs;
use crate::lag::LagArgs;
use crate::produce::ProduceArgs;
use crate::redrive::RedriveArgs;
use crate::run::RunArgs;
use crate::settings::OutputArgs;

/// Consume Kafka with a bounded number of records in flight, in order per key, and commit only
/// what is finished.
#[derive(Debug, Parser)]
#[command(name = "tidegate", version, max_term_width = 100, after_help = EXIT_CODES)]
#[command(propagate_version = true, arg_required_else_help = true)]
pub(crate) struct Cli {
    /// A TOML file with a key for each flag; a table [run] is for that command alone. The command line
    /// and variables come over it. docs/config.md has all of it.
    #[arg(long, global = true, value_name = "FILE", help_heading = "Configuration")]
    pub(crate) config: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// The commands. A flag has a variable, `TIDEGATE_` and its name, unless it names one itself; -1 is taken
/// for a number that is refused by its flag, and not for a flag.
pub(crate) fn command() -> clap::Command {
    fn completed(command: clap::Command) -> clap::Command {
        // What these two print is no setting.
        if matches!(command.get_name(), "config" | "completions") {
            return command;
        }
        let command = command.mut_args(|arg| {
            let arg = match (arg.get_long(), arg.get_env()) {
                (Some(flag), None) => {
                    let variable = flag.to_uppercase().replace('-', "_");
                    arg.env(format!("TIDEGATE_{variable}"))
                }
                _ => arg,
            };
            let takes_values = arg.get_action().takes_values();
            // Some are secrets.
            let arg = arg.hide_env_values(true);
            if takes_values { arg.allow_negative_numbers(true) } else { arg }
        });
        command.mut_subcommands(completed)
    }
    completed(Cli::command())
}

/// The same to read words with: a variable that is empty is as if it were not set. Compose files and
/// manifests name variables that nobody has given a value.
pub(crate) fn reader() -> clap::Command {
    fn without_empty(command: clap::Command) -> clap::Command {
        let command = command.mut_args(|arg| match arg.get_env().is_some_and(is_empty) {
            true => arg.env(Resettable::Reset),
            false => arg,
        });
        command.mut_subcommands(without_empty)
    }
    without_empty(command())
}

/// Whether a variable is set to nothing.
pub(crate) fn is_empty(variable: &OsStr) -> bool {
    std::env::var_os(variable).is_some_and(|value| value.is_empty())
}

/// What can be done.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// See what large buffers do and what the remedy does, without a broker: scenarios on virtual
    /// time, under several strategies side by side.
    #[command(after_help = EXIT_CODES)]
    Lab(Box<LabArgs>),
    /// Take records from topics to a command, to standard output or to nowhere.
    #[command(after_help = EXIT_CODES)]
    Run(Box<RunArgs>),
    /// Send the lines of standard input to a topic, as fast as the groups that it follows keep up.
    #[command(after_help = EXIT_CODES)]
    Produce(Box<ProduceArgs>),
    /// Take records over HTTP to topics, as fast as the groups that each follows keep up.
    #[command(after_help = EXIT_CODES)]
    Ingest(Box<IngestArgs>),
    /// Move dead letters back to the topics that they came from; a dry run without --yes.
    #[command(after_help = EXIT_CODES)]
    Redrive(Box<RedriveArgs>),
    /// Show how far a group is: lag in records and in time, rates, drain time.
    #[command(after_help = EXIT_CODES)]
    Lag(Box<LagArgs>),
    /// Say what a file of --config would do, whether cluster and target let it, and what will hurt. Nothing
    /// is consumed, and no record is sent.
    #[command(after_help = EXIT_CODES)]
    Check(CheckArgs),
    /// Fill a topic and measure how fast it is consumed.
    Bench(BenchArgs),
    /// Print a file for --config with every setting, or the reference of all settings.
    #[command(after_help = EXIT_CODES)]
    Config(ConfigArgs),
    /// Print what makes a shell complete commands and flags.
    #[command(after_help = EXIT_CODES)]
    Completions(CompletionsArgs),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(command: &clap::Command) {
        for arg in command.get_arguments() {
            let name = arg.get_id().as_str();
            if matches!(name, "help" | "version") {
                continue;
            }
            let variable = arg.get_env().and_then(|name| name.to_str()).unwrap_or_default();
            let flag = arg.get_long().unwrap_or_default().to_uppercase().replace('-', "_");
            assert!(variable.starts_with("TIDEGATE_") && variable.ends_with(&flag), "{name}");
            assert!(arg.is_hide_env_values_set(), "{name} might show a secret");
            assert!(arg.get_help().is_some() || arg.get_long_help().is_some(), "{name}");
        }
        // What these two print is no setting.
        let others = command.get_subcommands();
        others.filter(|c| !matches!(c.get_name(), "config" | "completions")).for_each(check);
    }

    #[test]
    fn every_flag_has_a_variable_and_words() {
        command().debug_assert();
        check(&command());
    }
}
