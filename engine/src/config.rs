//! The engine's limits, their ranges and defaults, and the refusal of absurd ones.

use core::time::Duration;

use thiserror::Error;

use crate::metadata;

/// In which order records are handled.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Ordering {
    /// Records of one key, within one partition, one after another. A record without a key has
    /// no order; an empty key is a key like any other.
    #[default]
    Key,
    /// All records of one partition one after another.
    Partition,
    /// No order at all.
    None,
}

/// What happens to a record whose last attempt failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum AfterLastAttempt {
    /// The partition stops at this record: nothing is lost and nothing behind it is processed,
    /// other partitions go on. It is tried again after a restart or a rebalance.
    #[default]
    StopPartition,
    /// The record counts as finished: **it is lost** to the handler, and counted as given up.
    Skip,
    /// The record goes to a dead-letter topic, and is finished when that has it. Needs a caller
    /// that writes letters ([`Verdict::DeadLetter`](crate::Verdict::DeadLetter)).
    DeadLetter,
}

/// Exponential backoff with equal jitter: attempt `n` waits between a half and the whole of
/// `min(max, initial * 2^(n-1))`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The first delay. 100 ms by default.
    pub initial: Duration,
    /// The longest delay. 30 s by default.
    pub max: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { initial: Duration::from_millis(100), max: Duration::from_secs(30) }
    }
}

/// Limits and policies of one [`Engine`](crate::Engine).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Which records wait for which. [`Ordering::Key`] by default.
    pub ordering: Ordering,
    /// Permits: how many handlers run at once. 1 to 100,000; 100 by default.
    pub max_in_flight: u32,
    /// How many records may be admitted beyond those in flight. 1 to 1,000,000; 4,096 by default:
    /// enough to find 100 distinct keys on skewed traffic, and a second of work at that rate.
    pub max_queued: u32,
    /// Bytes (key, value and headers) of all admitted records. At least 1,024; 64 MiB by
    /// default. One record always fits, however large.
    pub max_bytes: u64,
    /// Span of offsets from committed to the last admitted one, per partition. 1 to 2^40;
    /// 131,072 by default, the span for which the finished ranges of 1,000 unfinished records are
    /// sure to fit in a commit's metadata.
    pub max_window: u64,
    /// The broker's `offset.metadata.max.bytes`. 0 commits no finished ranges; otherwise 128 to
    /// 65,536; 4,096 by default, as brokers have it.
    pub metadata_max_bytes: u32,
    /// Attempts for one record, the first included. 1 to 1,000,000; 6 by default.
    pub max_attempts: u32,
    /// What happens after the last attempt.
    pub after_last_attempt: AfterLastAttempt,
    /// How many more records may become dead letters than were done or skipped meanwhile: each
    /// letter takes one credit, each success gives one back, up to this many. Without credit a
    /// record is tried again, so that something the handler needs being down stops the consumer
    /// instead of flushing a topic into its dead-letter topic. 1 to 1,000,000; 10 by default.
    pub dead_letter_credit: u32,
    /// Delay between attempts, unless the handler names its own.
    pub backoff: Backoff,
    /// A handler that runs longer is cancelled, and that counts as a failed attempt. 1 ms to 24 h,
    /// or `None` (the default).
    pub handler_timeout: Option<Duration>,
    /// A record in flight for longer, or a partition whose committed offset does not move for
    /// longer though it has unfinished records, is reported. 1 ms to 24 h; 60 s by default.
    pub stuck_after: Duration,
    /// When no commit of a partition has succeeded for this long though there is something to
    /// commit, nothing more of it is admitted or started until one does, so that a broker that is
    /// gone, or a member that was expelled and does not know it, cannot pile up repeats. 100 ms to 1 h;
    /// 3 s by default.
    pub commit_stall: Duration,
    /// Seeds the key hasher and the jitter.
    pub seed: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            ordering: Ordering::Key,
            max_in_flight: 100,
            max_queued: 4_096,
            max_bytes: 64 << 20,
            max_window: 131_072,
            metadata_max_bytes: 4_096,
            max_attempts: 6,
            after_last_attempt: AfterLastAttempt::StopPartition,
            dead_letter_credit: 10,
            backoff: Backoff::default(),
            handler_timeout: None,
            stuck_after: Duration::from_secs(60),
            commit_stall: Duration::from_secs(3),
            seed: 0,
        }
    }
}

/// What of a [`Config`] may change while records are admitted; `None` leaves it as it is. The order, the
/// seed and what a commit may say are not among it: what is admitted was admitted under them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigChange {
    /// [`Config::max_in_flight`].
    pub max_in_flight: Option<u32>,
    /// [`Config::max_queued`].
    pub max_queued: Option<u32>,
    /// [`Config::max_bytes`].
    pub max_bytes: Option<u64>,
    /// [`Config::max_window`].
    pub max_window: Option<u64>,
    /// [`Config::max_attempts`]. A record that has had as many already has its last one next.
    pub max_attempts: Option<u32>,
    /// [`Config::backoff`]. Attempts that wait already wait as long as they were told.
    pub backoff: Option<Backoff>,
    /// [`Config::handler_timeout`], `Some(None)` for none. It counts for handlers that run already.
    pub handler_timeout: Option<Option<Duration>>,
    /// [`Config::stuck_after`].
    pub stuck_after: Option<Duration>,
    /// [`Config::commit_stall`].
    pub commit_stall: Option<Duration>,
}

impl ConfigChange {
    /// The configuration with this change.
    pub fn of(&self, config: &Config) -> Config {
        Config {
            max_in_flight: self.max_in_flight.unwrap_or(config.max_in_flight),
            max_queued: self.max_queued.unwrap_or(config.max_queued),
            max_bytes: self.max_bytes.unwrap_or(config.max_bytes),
            max_window: self.max_window.unwrap_or(config.max_window),
            max_attempts: self.max_attempts.unwrap_or(config.max_attempts),
            backoff: self.backoff.unwrap_or(config.backoff),
            handler_timeout: self.handler_timeout.unwrap_or(config.handler_timeout),
            stuck_after: self.stuck_after.unwrap_or(config.stuck_after),
            commit_stall: self.commit_stall.unwrap_or(config.commit_stall),
            ..config.clone()
        }
    }
}

/// A limit outside its range.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum ConfigError {
    /// A number is outside its range.
    #[error("{name} is {value}, but must be from {min} to {max}")]
    OutOfRange {
        /// The setting.
        name: &'static str,
        /// What was given.
        value: u64,
        /// The least that is allowed.
        min: u64,
        /// The most that is allowed.
        max: u64,
    },
    /// A duration is outside its range.
    #[error("{name} is {value:?}, but must be from {min:?} to {max:?}")]
    DurationOutOfRange {
        /// The setting.
        name: &'static str,
        /// What was given.
        value: Duration,
        /// The least that is allowed.
        min: Duration,
        /// The most that is allowed.
        max: Duration,
    },
}

const DAY: Duration = Duration::from_secs(24 * 60 * 60);

impl Config {
    /// Checks every limit against its range.
    ///
    /// # Errors
    /// The first limit that is outside of it, with its name and range.
    pub fn validate(&self) -> Result<(), ConfigError> {
        ConfigError::number("max_in_flight", self.max_in_flight.into(), 1, 100_000)?;
        ConfigError::number("max_queued", self.max_queued.into(), 1, 1_000_000)?;
        ConfigError::number("max_bytes", self.max_bytes, 1_024, 1 << 40)?;
        ConfigError::number("max_window", self.max_window, 1, 1 << 40)?;
        if self.metadata_max_bytes != 0 {
            ConfigError::number("metadata_max_bytes", self.metadata_max_bytes.into(), 128, 65_536)?;
        }
        ConfigError::number("max_attempts", self.max_attempts.into(), 1, 1_000_000)?;
        let credit = self.dead_letter_credit.into();
        ConfigError::number("dead_letter_credit", credit, 1, 1_000_000)?;
        let ms = Duration::from_millis;
        ConfigError::duration("backoff.initial", self.backoff.initial, ms(1), DAY)?;
        ConfigError::duration("backoff.max", self.backoff.max, self.backoff.initial, DAY)?;
        if let Some(timeout) = self.handler_timeout {
            ConfigError::duration("handler_timeout", timeout, ms(1), DAY)?;
        }
        ConfigError::duration("stuck_after", self.stuck_after, ms(1), DAY)?;
        ConfigError::duration(
            "commit_stall",
            self.commit_stall,
            ms(100),
            Duration::from_secs(3_600),
        )
    }

    /// How many unfinished records one partition may hold: as many as are sure to fit in a
    /// commit's metadata, at least 100.
    pub fn max_unfinished(&self) -> u32 {
        match self.metadata_max_bytes {
            0 => u32::MAX,
            bytes => metadata::unfinished_that_fit(bytes as usize, self.max_window).max(100),
        }
    }
}

impl ConfigError {
    /// Checks that a number is within its range.
    ///
    /// # Errors
    /// When it is not, with the name and the range.
    pub fn number(name: &'static str, value: u64, min: u64, max: u64) -> Result<(), Self> {
        if (min..=max).contains(&value) {
            return Ok(());
        }
        Err(Self::OutOfRange { name, value, min, max })
    }

    /// Checks that a duration is within its range.
    ///
    /// # Errors
    /// When it is not, with the name and the range.
    pub fn duration(
        name: &'static str,
        value: Duration,
        min: Duration,
        max: Duration,
    ) -> Result<(), Self> {
        if (min..=max).contains(&value) {
            return Ok(());
        }
        Err(Self::DurationOutOfRange { name, value, min, max })
    }
}
