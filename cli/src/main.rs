//! The command line of Tidegate.
//!
//! `cli` names the commands, each of which has a module (`lab`, `run`, `produce`, `ingest`, `redrive`,
//! `lag`, `check`, `bench`). `settings` are the flags
//! that commands share: names, environment variables, ranges and defaults live there and nowhere
//! else. `config` is the file that may stand for them. `report` shows what happens on standard error, `kafka` asks the cluster beside the
//! consumer, `server` is what HTTP servers have in common, `admin` the port for metrics and probes,
//! `exit` says how a process ends.

mod admin;
mod bench;
mod check;
mod cli;
mod config;
mod exit;
mod ingest;
mod kafka;
mod lab;
mod lag;
mod produce;
mod redrive;
mod report;
mod run;
mod server;
mod settings;

use std::process::ExitCode;

use crate::cli::{Cli, Command};
use crate::config::{Loaded, Reload};

fn main() -> ExitCode {
    let words: Vec<_> = std::env::args_os().collect();
    let Loaded { cli: Cli { output, command, .. }, given } = match config::load(&words) {
        Ok(loaded) => loaded,
        Err(refused) => return refused.tell(),
    };
    let blame = given.blame();
    let reload = Reload::new(words, given);
    let result = match command {
        Command::Lab(args) => lab::run(&args, &output, reload.given()),
        Command::Run(args) => run::run(*args, &output, reload),
        Command::Produce(args) => produce::run(&args, &output, reload),
        Command::Ingest(args) => ingest::run(&args, &output, reload),
        Command::Redrive(args) => redrive::run(&args, &output),
        Command::Lag(args) => lag::run(&args, &output),
        Command::Check(args) => check::run(&args, &output),
        Command::Bench(args) => bench::run(args, &output),
        Command::Config(args) => config::print(&args),
        Command::Completions(args) => config::print_completions(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => match blame {
            Some(blame) => blame.on(failure).tell(&output),
            None => failure.tell(&output),
        },
    }
}
