//! What bounds and orders a consumer.

use std::time::Duration;

use bytesize::ByteSize;
use clap::ValueEnum;
use clap::builder::RangedU64ValueParser;
use tidegate::{Builder, ConfigChange, Ordering, SettingsChange};

use super::values::{duration, size};

const MS: Duration = Duration::from_millis(1);

/// Which records wait for which.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Order {
    /// Records of one key one after another; a slow key holds nobody else. Records without a key
    /// have no order.
    Key,
    /// All records of a partition one after another.
    Partition,
    /// No order at all.
    None,
}

impl Order {
    /// As results write it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Key => "key",
            Self::Partition => "partition",
            Self::None => "none",
        }
    }
}

/// Order, budgets and commits of a consumer.
#[derive(Clone, Debug, clap::Args)]
#[command(next_help_heading = "Limits")]
pub(crate) struct LimitArgs {
    /// Which records wait for which.
    #[arg(long, value_name = "ORDER", default_value = "key")]
    pub(crate) ordering: Order,

    /// How many records are handled at once. 1 to 100,000.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 100,
        value_parser = clap::value_parser!(u32).range(1..=100_000)
    )]
    pub(crate) concurrency: u32,

    /// Key, value and header bytes of all records taken and not finished. 1 KiB to 1 TiB; one
    /// record always fits.
    #[arg(
        long,
        value_name = "SIZE",
        default_value = "64MiB",
        value_parser = size(1 << 10, 1 << 40)
    )]
    pub(crate) max_bytes: ByteSize,

    /// How many records may wait in memory beside those being handled. 1 to 1,000,000; the rest
    /// stays in Kafka.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 4_096,
        value_parser = clap::value_parser!(u32).range(1..=1_000_000)
    )]
    pub(crate) max_queued: u32,

    /// How many offsets a partition may be ahead of its first unfinished record. 1 to 2^40.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 131_072,
        value_parser = clap::value_parser!(u64).range(1..=1 << 40)
    )]
    pub(crate) max_window: u64,

    /// How often finished records are committed. 1ms to 1m.
    #[arg(
        long,
        value_name = "DURATION",
        default_value = "200ms",
        value_parser = duration(MS, Duration::from_secs(60))
    )]
    pub(crate) commit_interval: Duration,

    /// Without a successful commit for so long, nothing more is read until one succeeds. 100ms to
    /// 1h.
    #[arg(
        long,
        value_name = "DURATION",
        default_value = "3s",
        value_parser = duration(100 * MS, Duration::from_secs(3_600))
    )]
    pub(crate) commit_stall: Duration,

    /// The broker's offset.metadata.max.bytes, which bounds what a commit says of records that
    /// finished out of order. 128 to 65,536, or 0 to say nothing, so that they are repeated after
    /// a restart.
    #[arg(
        long,
        value_name = "BYTES",
        default_value_t = 4_096,
        value_parser = metadata_bytes
    )]
    pub(crate) metadata_max_bytes: u32,

    /// The most worker tasks that run handlers. 1 to 64; as many as there are cores if not given.
    #[arg(
        long,
        value_name = "N",
        value_parser = RangedU64ValueParser::<usize>::new().range(1..=64)
    )]
    workers: Option<usize>,
}

impl LimitArgs {
    /// What of them a run takes over while it runs.
    pub(crate) fn change(&self) -> SettingsChange {
        SettingsChange {
            engine: ConfigChange {
                max_in_flight: Some(self.concurrency),
                max_queued: Some(self.max_queued),
                max_bytes: Some(self.max_bytes.0),
                max_window: Some(self.max_window),
                commit_stall: Some(self.commit_stall),
                ..ConfigChange::default()
            },
            commit_interval: Some(self.commit_interval),
            ..SettingsChange::default()
        }
    }

    /// Sets them.
    pub(crate) fn apply(&self, builder: Builder) -> Builder {
        let builder = builder
            .ordering(match self.ordering {
                Order::Key => Ordering::Key,
                Order::Partition => Ordering::Partition,
                Order::None => Ordering::None,
            })
            .max_in_flight(self.concurrency)
            .max_bytes(self.max_bytes.0)
            .max_queued(self.max_queued)
            .max_window(self.max_window)
            .commit_interval(self.commit_interval)
            .commit_stall(self.commit_stall)
            .metadata_max_bytes(self.metadata_max_bytes);
        match self.workers {
            Some(workers) => builder.workers(workers),
            None => builder,
        }
    }
}

fn metadata_bytes(text: &str) -> Result<u32, String> {
    match text.parse() {
        Ok(bytes @ (0 | 128..=65_536)) => Ok(bytes),
        _ => Err("must be 0 or from 128 to 65536".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use clap::{Args, Command, FromArgMatches};

    use super::*;

    #[test]
    fn defaults_are_those_of_the_library() {
        let command = LimitArgs::augment_args(Command::new("test"));
        let matches = command.get_matches_from(["test"]);
        let args = LimitArgs::from_arg_matches(&matches).unwrap();
        let config = tidegate::Config::default();
        let settings = tidegate::Settings::default();
        assert_eq!(args.ordering, Order::Key);
        assert_eq!(args.concurrency, config.max_in_flight);
        assert_eq!(args.max_bytes.0, config.max_bytes);
        assert_eq!(args.max_queued, config.max_queued);
        assert_eq!(args.max_window, config.max_window);
        assert_eq!(args.metadata_max_bytes, config.metadata_max_bytes);
        assert_eq!(args.commit_stall, config.commit_stall);
        assert_eq!(args.commit_interval, settings.commit_interval);
        assert_eq!(args.workers, settings.workers);
    }
}
