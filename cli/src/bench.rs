//! `tidegate bench`: fills a topic, and measures how fast it is consumed and produced to.

mod consume;
mod keys;
mod load;
mod measure;
mod produce;
mod raw;
mod records;

use clap::{Args, Subcommand};

use crate::exit::{EXIT_CODES, Failure};
use crate::settings::OutputArgs;

/// Fill a topic; measure how fast it is consumed and produced to.
#[derive(Debug, Args)]
#[command(after_help = EXIT_CODES)]
pub(crate) struct BenchArgs {
    #[command(subcommand)]
    command: BenchCommand,
}

/// What is measured.
#[derive(Debug, Subcommand)]
enum BenchCommand {
    /// Fill a topic with deterministic records; creates it if it is missing.
    #[command(after_help = EXIT_CODES)]
    Load(Box<load::LoadArgs>),
    /// Consume a topic from its earliest offset with a handler that does nothing, or sleeps.
    #[command(after_help = EXIT_CODES)]
    Consume(Box<consume::ConsumeArgs>),
    /// Read a topic with librdkafka's batch call and no handler: what the client can do at most.
    #[command(after_help = EXIT_CODES)]
    Raw(Box<raw::RawArgs>),
    /// Produce deterministic records with the gate open; creates the topic if it is missing.
    #[command(after_help = EXIT_CODES)]
    Produce(Box<produce::ProduceArgs>),
}

/// Runs the command.
///
/// # Errors
/// When it fails.
pub(crate) fn run(args: BenchArgs, output: &OutputArgs) -> Result<(), Failure> {
    match args.command {
        BenchCommand::Load(args) => load::run(&args, output),
        BenchCommand::Consume(args) => consume::run(&args, output),
        BenchCommand::Raw(args) => raw::run(&args, output),
        BenchCommand::Produce(args) => produce::run(&args, output),
    }
}
