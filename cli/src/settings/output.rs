//! How much is said, and in which form.

use std::io::{IsTerminal, Write};

use clap::ValueEnum;
use clap::builder::BoolishValueParser;

use crate::exit::Failure;

/// In which form output is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum OutputForm {
    /// Lines for people.
    Text,
    /// JSON lines.
    Json,
}

/// How much a command says about itself, and in which form.
#[derive(Clone, Debug, Default, clap::Args)]
#[command(next_help_heading = "Output")]
pub(crate) struct OutputArgs {
    /// The form of messages on standard error, and of a result on standard output. Without it: text on a
    /// terminal, JSON lines when piped.
    #[arg(long, global = true, value_name = "FORM")]
    output: Option<OutputForm>,

    /// Say more: -v tells every commit and every expected failure, -vv what the Kafka client logs.
    #[arg(
        short,
        long,
        global = true,
        action = clap::ArgAction::Count
    )]
    pub(crate) verbose: u8,

    /// Say only what needs a human: no progress line and no summary either.
    #[arg(
        short,
        long,
        global = true,
        value_parser = BoolishValueParser::new(),
        conflicts_with = "verbose"
    )]
    pub(crate) quiet: bool,
}

impl OutputArgs {
    /// The form of what goes to standard error.
    pub(crate) fn format(&self) -> Format {
        let terminal = std::io::stderr().is_terminal();
        match self.output {
            Some(OutputForm::Json) => Format::Json,
            Some(OutputForm::Text) => Format::Text { colour: terminal && colours_wanted() },
            None if terminal => Format::Text { colour: colours_wanted() },
            None => Format::Json,
        }
    }

    /// Whether a result on standard output is JSON.
    pub(crate) fn json_on_stdout(&self) -> bool {
        match self.output {
            Some(form) => form == OutputForm::Json,
            None => !std::io::stdout().is_terminal(),
        }
    }

    /// Whether a progress line is shown: where a person looks at it, and no records are seen
    /// (`records_on_stdout` if they may be).
    pub(crate) fn progress(&self, records_on_stdout: bool) -> bool {
        let records_seen = records_on_stdout && std::io::stdout().is_terminal();
        let text = matches!(self.format(), Format::Text { .. });
        std::io::stderr().is_terminal() && text && !self.quiet && !records_seen
    }
}

/// Writes a result to standard output.
///
/// # Errors
/// When it cannot be written; that nobody reads on is none.
pub(crate) fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        // Nobody reads on: `| head`, say.
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        Err(error) => Err(Failure::Failed(format!("standard output: {error}"))),
        Ok(()) => Ok(()),
    }
}

/// <https://no-color.org>: set and not empty means no colours.
pub(crate) fn colours_wanted() -> bool {
    let none = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = std::env::var_os("TERM").is_some_and(|value| value == "dumb");
    !none && !dumb
}

/// The form of messages on standard error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    /// Lines for people.
    Text {
        /// Whether levels have colours.
        colour: bool,
    },
    /// JSON lines.
    Json,
}
