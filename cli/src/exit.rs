//! How a process ends: its exit codes, and what is said with them.

use std::io::Write;
use std::process::ExitCode;

use clap::CommandFactory;
use clap::error::ErrorKind;
use tidegate::{BuildError, ProducerBuildError, RunError, SettingsError};

use crate::cli::Cli;
use crate::settings::OutputArgs;

/// The exit codes as `--help` lists them.
pub(crate) const EXIT_CODES: &str = "\
Exit codes:
  0   done
  1   failed: the message on standard error says why
  2   bad usage: an unknown flag, or a value outside its range
  78  bad configuration: a file, a property or a command that cannot be used";

/// Why a command did not do what it was asked to.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It began and could not finish. Exit code 1.
    Failed(String),
    /// The flags do not go together. Exit code 2.
    Usage(String),
    /// Something must be said, and nobody said it. Exit code 2.
    Missing(String),
    /// A file, a property or a command cannot be used. Exit code 78 (`EX_CONFIG`).
    Config(String),
}

impl Failure {
    /// Exit code and words.
    fn parts(&self) -> (u8, &str) {
        match self {
            Self::Failed(message) => (1, message),
            Self::Usage(message) | Self::Missing(message) => (2, message),
            Self::Config(message) => (78, message),
        }
    }

    /// The words alone.
    pub(crate) fn message(&self) -> &str {
        self.parts().1
    }

    /// Says why on standard error; the exit code is for `main` to return.
    pub(crate) fn tell(&self, output: &OutputArgs) -> ExitCode {
        let (code, message) = self.parts();
        if let Self::Usage(message) | Self::Missing(message) = self {
            // As every other misuse of a flag is told.
            let _ = Cli::command().error(ErrorKind::MissingRequiredArgument, message).print();
            return ExitCode::from(code);
        }
        let line = output.format().failure(message);
        // Nobody is left to be told that standard error cannot be written to.
        let _ = writeln!(std::io::stderr(), "{line}");
        ExitCode::from(code)
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.parts().1)
    }
}

impl From<SettingsError> for Failure {
    fn from(error: SettingsError) -> Self {
        Self::Config(error.to_string())
    }
}

impl From<BuildError> for Failure {
    fn from(error: BuildError) -> Self {
        match error {
            BuildError::Limit(_) => Self::Usage(error.to_string()),
            _ => Self::Config(error.to_string()),
        }
    }
}

impl From<ProducerBuildError> for Failure {
    fn from(error: ProducerBuildError) -> Self {
        match error {
            ProducerBuildError::Kafka(_) => Self::Config(error.to_string()),
            _ => Self::Usage(error.to_string()),
        }
    }
}

impl From<RunError> for Failure {
    fn from(error: RunError) -> Self {
        Self::Failed(error.to_string())
    }
}
