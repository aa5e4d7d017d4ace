//! `tidegate config` and `tidegate completions`.

use clap::Args;
use clap_complete::Shell;

use super::{example, reference, setting};
use crate::cli;
use crate::exit::Failure;
use crate::settings;

/// What `tidegate config` prints.
#[derive(Debug, Args)]
#[group(id = "what", required = true, multiple = false)]
pub(crate) struct ConfigArgs {
    /// A file with every setting, its words, range and default, each commented out: to begin one's own
    /// with.
    #[arg(long)]
    example: bool,

    /// The reference of all settings, in Markdown: docs/reference.md.
    #[arg(long)]
    reference: bool,
}

/// For whom `tidegate completions` prints.
#[derive(Debug, Args)]
pub(crate) struct CompletionsArgs {
    /// The shell. For bash: source <(tidegate completions bash).
    shell: Shell,
}

/// Prints the file, or the reference.
///
/// # Errors
/// When standard output cannot be written to.
pub(crate) fn print(args: &ConfigArgs) -> Result<(), Failure> {
    let command = setting::built();
    match args.reference {
        true => settings::print(&reference::page(&command)),
        false => settings::print(&example::file(&command)),
    }
}

/// Prints a shell's script.
///
/// # Errors
/// When standard output cannot be written to.
pub(crate) fn print_completions(args: &CompletionsArgs) -> Result<(), Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut cli::command(), "tidegate", &mut script);
    settings::print(&String::from_utf8_lossy(&script))
}
