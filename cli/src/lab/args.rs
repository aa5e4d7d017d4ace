//! The flags of `tidegate lab`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use clap::builder::BoolishValueParser;
use tidegate_sim::lab::Strategy;

use super::scenario::Changes;
use super::sweep::Sweep;
use crate::settings::{ConnectionArgs, duration, property};

/// Flags of `tidegate lab`.
#[derive(Debug, Args)]
pub(crate) struct LabArgs {
    /// A shipped scenario (see --list), or a file that ends in .toml.
    #[arg(value_name = "SCENARIO", env = "TIDEGATE_LAB_SCENARIO", default_value = "incident")]
    pub(super) scenario: String,

    /// How records are consumed, in place of what the scenario compares; once for each, or with
    /// commas. unbounded, unbounded:commit-when-done, bounded, small-buffers, closed-loop; the last
    /// three also with a number of permits, as in bounded:600.
    #[arg(long, value_name = "STRATEGY", env = "TIDEGATE_LAB_STRATEGY", value_delimiter = ',')]
    strategy: Vec<Strategy>,

    /// Change a setting of the scenario: its name in the file, as in downstream.service=200ms or
    /// producers.orders.rate=5000/s; concurrency=N gives every strategy so many permits. Once for
    /// each.
    #[arg(
        long,
        value_name = "KEY=VALUE",
        env = "TIDEGATE_LAB_SET",
        value_parser = property
    )]
    set: Vec<(String, String)>,

    /// Everything random follows from this number. Without it the scenario's own.
    #[arg(long, value_name = "N", env = "TIDEGATE_LAB_SEED")]
    seed: Option<u64>,

    /// For how long producers produce, in virtual time. 1 s to 1 h. Without it the scenario's own.
    #[arg(
        long,
        value_name = "TIME",
        env = "TIDEGATE_LAB_DURATION",
        value_parser = duration(Duration::from_secs(1), Duration::from_secs(3_600))
    )]
    duration: Option<Duration>,

    /// Play the scenario over a range of one setting and show what becomes of throughput, age and
    /// memory: concurrency=10..1000, or a list as in downstream.service=50ms,100ms,200ms.
    #[arg(long, value_name = "KEY=RANGE", env = "TIDEGATE_LAB_SWEEP")]
    pub(super) sweep: Option<Sweep>,

    /// Play it in real time, through the real runtime and a log in memory, or with --brokers on a
    /// cluster, in a topic of its own that is removed at the end; under one strategy, closed-loop if
    /// none is given. On a terminal: s and f make the downstream slower and faster, p adds a
    /// producer, q ends it.
    #[arg(
        long,
        env = "TIDEGATE_LAB_LIVE",
        value_parser = BoolishValueParser::new(),
        conflicts_with = "sweep"
    )]
    pub(super) live: bool,

    #[command(flatten)]
    pub(super) connection: ConnectionArgs,

    /// Write a report: a page that needs nothing else (.html), or a picture (.svg).
    #[arg(long, value_name = "FILE", env = "TIDEGATE_LAB_REPORT")]
    #[arg(help_heading = "Result")]
    pub(super) report: Option<PathBuf>,

    /// List the shipped scenarios.
    #[arg(
        long,
        env = "TIDEGATE_LAB_LIST",
        value_parser = BoolishValueParser::new(),
        help_heading = "Result"
    )]
    pub(super) list: bool,

    /// Print the scenario's file, to begin one's own with.
    #[arg(
        long,
        env = "TIDEGATE_LAB_PRINT",
        value_parser = BoolishValueParser::new(),
        help_heading = "Result"
    )]
    pub(super) print: bool,
}

impl LabArgs {
    /// What the command line changes.
    pub(super) fn changes(&self) -> Changes {
        Changes {
            strategies: self.strategy.clone(),
            settings: self.set.clone(),
            seed: self.seed,
            duration: self.duration,
        }
    }
}
