//! Attempts at a record, and where a run starts and stops.

use std::time::Duration;

use clap::ValueEnum;
use clap::builder::BoolishValueParser;
use tidegate::{
    AfterLastAttempt, Backoff, Builder, ConfigChange, OnGap, SettingsChange, StartFrom,
};

use super::values::{duration, start_from};
use crate::exit::Failure;

const MS: Duration = Duration::from_millis(1);
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

/// What happens to a record whose last attempt failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum LastAttempt {
    /// The partition stops at it and nothing is lost; other partitions go on.
    Stop,
    /// The record is given up, and its partition goes on: it is lost to the target.
    Skip,
}

/// What happens when the offset to read is not in the log any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Gap {
    /// The partition stops and both offsets are named.
    Stop,
    /// Go on at the first record there is; those in between are lost.
    Earliest,
    /// Go on behind the last record there is; everything until then is lost.
    Latest,
}

/// Attempts at a record, and where a run starts and stops.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct DeliveryArgs {
    /// How often a failed record is tried again: N retries are N + 1 attempts. 0 to 999,999.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 5,
        value_parser = clap::value_parser!(u32).range(0..=999_999),
        help_heading = "Attempts"
    )]
    pub(crate) retries: u32,

    /// What happens to a record whose last attempt failed.
    #[arg(long, value_name = "POLICY", default_value = "stop", help_heading = "Attempts")]
    pub(crate) after_last_attempt: LastAttempt,

    /// Send a record whose last attempt failed to this topic instead, with its key, value and
    /// headers, and headers that say where it comes from and why. It is finished, and the next
    /// record of its key begins, when the topic has acknowledged it; a topic that is down holds it.
    #[arg(
        long,
        value_name = "TOPIC",
        value_parser = clap::builder::NonEmptyStringValueParser::new(),
        conflicts_with = "after_last_attempt",
        help_heading = "Attempts"
    )]
    pub(crate) dead_letter: Option<String>,

    /// The wait before the second attempt; it doubles with each further one, with jitter. 1ms to
    /// 1day.
    #[arg(
        long,
        value_name = "DURATION",
        default_value = "100ms",
        value_parser = duration(MS, DAY),
        help_heading = "Attempts"
    )]
    pub(crate) backoff: Duration,

    /// The longest wait between two attempts. From --backoff to 1day.
    #[arg(
        long,
        value_name = "DURATION",
        default_value = "30s",
        value_parser = duration(MS, DAY),
        help_heading = "Attempts"
    )]
    pub(crate) backoff_max: Duration,

    /// An attempt that takes longer is cancelled and has failed. 1ms to 1day; no timeout if not given,
    /// but a minute with an HTTP target, whose calls have it from the moment they are sent.
    #[arg(
        long,
        value_name = "DURATION",
        value_parser = duration(MS, DAY),
        help_heading = "Attempts"
    )]
    pub(crate) timeout: Option<Duration>,

    /// When an attempt that runs, or a partition without progress, is reported. 1ms to 1day.
    #[arg(
        long,
        value_name = "DURATION",
        default_value = "1m",
        value_parser = duration(MS, DAY),
        help_heading = "Attempts"
    )]
    pub(crate) stuck_after: Duration,

    /// Where a partition starts for which the group has committed nothing: earliest, latest, a
    /// time like 2026-03-01T12:00:00Z, or milliseconds since 1970. earliest if not given.
    #[arg(
        long,
        value_name = "START",
        value_parser = start_from,
        help_heading = "Start and end"
    )]
    pub(crate) from: Option<StartFrom>,

    /// What happens when the offset to read is not in the log any more.
    #[arg(long, value_name = "POLICY", default_value = "stop", help_heading = "Start and end")]
    pub(crate) on_gap: Gap,

    /// Stop when everything is handled up to the end that each partition had at the start.
    /// If a partition stopped before its end, the others are finished and the exit code is 1.
    #[arg(
        long,
        value_parser = BoolishValueParser::new(),
        help_heading = "Start and end"
    )]
    pub(crate) until_end: bool,

    /// Take at most N records, handle them and stop. At least 1.
    #[arg(
        long,
        value_name = "N",
        value_parser = clap::value_parser!(u64).range(1..),
        help_heading = "Start and end"
    )]
    pub(crate) max_records: Option<u64>,

    /// End with exit code 1 at the first trouble (no broker, unknown topic, refused login, missing
    /// ACL) instead of telling it and trying on.
    #[arg(
        long,
        value_parser = BoolishValueParser::new(),
        help_heading = "Start and end"
    )]
    pub(crate) fail_fast: bool,

    /// How long handlers may go on when their partition goes to another member. 0 to 5m.
    #[arg(
        long,
        value_name = "DURATION",
        default_value = "5s",
        value_parser = duration(Duration::ZERO, Duration::from_secs(300)),
        help_heading = "Start and end"
    )]
    pub(crate) drain_timeout: Duration,

    /// How long SIGTERM or Ctrl-C may take to finish what is in flight, commit and leave the group.
    /// 100ms to 1h. A second signal ends at once.
    #[arg(
        long,
        value_name = "DURATION",
        default_value = "25s",
        value_parser = duration(100 * MS, Duration::from_secs(3_600)),
        help_heading = "Start and end"
    )]
    pub(crate) shutdown_timeout: Duration,
}

impl DeliveryArgs {
    /// Adds to `change` what of them a run takes over while it runs.
    ///
    /// # Errors
    /// When flags contradict each other.
    pub(crate) fn change(
        &self,
        mut change: SettingsChange,
        times_itself: bool,
    ) -> Result<SettingsChange, Failure> {
        let backoff = self.backoff()?;
        change.shutdown_timeout = Some(self.shutdown_timeout);
        change.engine = ConfigChange {
            max_attempts: Some(self.retries + 1),
            backoff: Some(backoff),
            handler_timeout: Some(self.timeout.filter(|_| !times_itself)),
            stuck_after: Some(self.stuck_after),
            ..change.engine
        };
        Ok(change)
    }

    fn backoff(&self) -> Result<Backoff, Failure> {
        if self.backoff_max < self.backoff {
            return Err(Failure::Usage(format!(
                "--backoff-max is {}, but must not be less than --backoff, which is {}",
                humantime::format_duration(self.backoff_max),
                humantime::format_duration(self.backoff)
            )));
        }
        Ok(Backoff { initial: self.backoff, max: self.backoff_max })
    }

    /// Sets them. `reset` is the start that a property file names, for when no flag does; a handler
    /// that `times_itself` has no timeout set around it.
    ///
    /// # Errors
    /// When flags contradict each other.
    pub(crate) fn apply(
        &self,
        builder: Builder,
        reset: Option<StartFrom>,
        times_itself: bool,
    ) -> Result<Builder, Failure> {
        let backoff = self.backoff()?;
        let mut builder = builder
            .max_attempts(self.retries + 1)
            .after_last_attempt(match self.after_last_attempt {
                LastAttempt::Stop => AfterLastAttempt::StopPartition,
                LastAttempt::Skip => AfterLastAttempt::Skip,
            })
            .backoff(backoff)
            .stuck_after(self.stuck_after)
            .from(self.from.or(reset).unwrap_or_default())
            .on_gap(match self.on_gap {
                Gap::Stop => OnGap::Stop,
                Gap::Earliest => OnGap::Earliest,
                Gap::Latest => OnGap::Latest,
            })
            .until_end(self.until_end)
            .fail_fast(self.fail_fast)
            .drain_timeout(self.drain_timeout)
            .shutdown_timeout(self.shutdown_timeout);
        if let Some(topic) = &self.dead_letter {
            builder = builder.dead_letter_topic(topic);
        }
        if let Some(timeout) = self.timeout.filter(|_| !times_itself) {
            builder = builder.handler_timeout(timeout);
        }
        if let Some(records) = self.max_records {
            builder = builder.max_records(records);
        }
        Ok(builder)
    }
}

#[cfg(test)]
mod tests {
    use clap::{Args, Command, FromArgMatches};

    use super::*;

    #[test]
    fn defaults_are_those_of_the_library() {
        let command = DeliveryArgs::augment_args(Command::new("test"));
        let matches = command.get_matches_from(["test"]);
        let args = DeliveryArgs::from_arg_matches(&matches).unwrap();
        let config = tidegate::Config::default();
        let settings = tidegate::Settings::default();
        assert_eq!(args.retries + 1, config.max_attempts);
        assert_eq!(config.after_last_attempt, AfterLastAttempt::StopPartition);
        assert_eq!(args.after_last_attempt, LastAttempt::Stop);
        assert_eq!(Backoff { initial: args.backoff, max: args.backoff_max }, config.backoff);
        assert_eq!(args.timeout, config.handler_timeout);
        assert_eq!(args.stuck_after, config.stuck_after);
        assert_eq!(args.drain_timeout, settings.drain_timeout);
        assert_eq!(args.shutdown_timeout, settings.shutdown_timeout);
        assert_eq!((args.until_end, args.max_records), (settings.until_end, settings.max_records));
    }
}
