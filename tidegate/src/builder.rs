//! From names and limits to a consumer.

use std::time::Duration;

use thiserror::Error;
use tidegate_engine::{AfterLastAttempt, Backoff, ConfigError, Ordering};
use tidegate_runtime::Settings;

use crate::consumer::Consumer;
use crate::kafka::{KafkaDeadLetters, KafkaSettings, KafkaSource, OnGap, SettingsError, StartFrom};

/// Why a consumer could not be built.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum BuildError {
    /// A limit is outside its range.
    #[error(transparent)]
    Limit(#[from] ConfigError),
    /// Something for the Kafka client is missing or not accepted.
    #[error(transparent)]
    Kafka(#[from] SettingsError),
}

/// Builds a [`Consumer`]. Needed are brokers, a group and a topic; everything else has a default.
///
/// Limits are checked by [`build`](Self::build), which connects to nothing.
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Builder {
    kafka: KafkaSettings,
    settings: Settings,
    dead_letter_topic: Option<String>,
}

impl Builder {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Bootstrap servers: `host:port`, several separated by commas.
    pub fn brokers(mut self, brokers: impl Into<String>) -> Self {
        self.kafka.brokers = brokers.into();
        self
    }

    /// The consumer group. Members of one group share the partitions of their topics.
    pub fn group(mut self, group: impl Into<String>) -> Self {
        self.kafka.group = group.into();
        self
    }

    /// A topic to consume, or a regular expression that begins with `^`. Call it again for more.
    pub fn topic(mut self, topic: impl Into<String>) -> Self {
        self.kafka.topics.push(topic.into());
        self
    }

    /// Several topics at once, as [`topic`](Self::topic).
    pub fn topics(mut self, topics: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.kafka.topics.extend(topics.into_iter().map(Into::into));
        self
    }

    /// Which records wait for which. [`Ordering::Key`] by default.
    pub fn ordering(mut self, ordering: Ordering) -> Self {
        self.settings.engine.ordering = ordering;
        self
    }

    /// How many handlers run at once. 1 to 100,000; 100 by default. By Little's law, throughput
    /// is this divided by what one record takes.
    pub fn max_in_flight(mut self, handlers: u32) -> Self {
        self.settings.engine.max_in_flight = handlers;
        self
    }

    /// How many records may wait in memory beyond those in flight. 1 to 1,000,000; 4,096 by
    /// default. The rest stays in Kafka, where it is safe and visible.
    pub fn max_queued(mut self, records: u32) -> Self {
        self.settings.engine.max_queued = records;
        self
    }

    /// Bytes (key, value and headers) of all records taken from Kafka and not finished. At least
    /// 1,024; 64 MiB by default. One record always fits.
    pub fn max_bytes(mut self, bytes: u64) -> Self {
        self.settings.engine.max_bytes = bytes;
        self
    }

    /// How many offsets one partition may be ahead of its first unfinished record. 1 to 2^40;
    /// 131,072 by default, for which the finished ranges always fit in a commit.
    pub fn max_window(mut self, offsets: u64) -> Self {
        self.settings.engine.max_window = offsets;
        self
    }

    /// The broker's `offset.metadata.max.bytes`, 4,096 by default; 0 commits no finished ranges,
    /// so that records finished out of order are processed again after a restart.
    pub fn metadata_max_bytes(mut self, bytes: u32) -> Self {
        self.settings.engine.metadata_max_bytes = bytes;
        self
    }

    /// Attempts for one record, the first included. 1 to 1,000,000; 6 by default. Not carried
    /// over a restart or a rebalance.
    pub fn max_attempts(mut self, attempts: u32) -> Self {
        self.settings.engine.max_attempts = attempts;
        self
    }

    /// What happens after the last attempt. The partition stops by default.
    pub fn after_last_attempt(mut self, policy: AfterLastAttempt) -> Self {
        self.settings.engine.after_last_attempt = policy;
        self
    }

    /// Sends what no attempt processes to this topic of the same cluster, and chooses
    /// [`AfterLastAttempt::DeadLetter`]; the letters are those of
    /// [`KafkaDeadLetters`](crate::KafkaDeadLetters). The record is finished, and the next one of
    /// its key begins, when the topic has acknowledged the letter.
    pub fn dead_letter_topic(mut self, topic: impl Into<String>) -> Self {
        self.dead_letter_topic = Some(topic.into());
        self.after_last_attempt(AfterLastAttempt::DeadLetter)
    }

    /// How many more records may become dead letters than succeeded meanwhile. 1 to 1,000,000; 10
    /// by default. Without credit a record is tried again, so that something that is down stops
    /// the consumer instead of flushing the topic into its dead-letter topic.
    pub fn dead_letter_credit(mut self, letters: u32) -> Self {
        self.settings.engine.dead_letter_credit = letters;
        self
    }

    /// Delays between attempts: 100 ms doubling to 30 s by default, with jitter.
    pub fn backoff(mut self, backoff: Backoff) -> Self {
        self.settings.engine.backoff = backoff;
        self
    }

    /// A handler that runs longer is cancelled, and that counts as a failed attempt. 1 ms to
    /// 24 h; none by default.
    pub fn handler_timeout(mut self, timeout: Duration) -> Self {
        self.settings.engine.handler_timeout = Some(timeout);
        self
    }

    /// When a record in flight, or a partition without progress, is reported as stuck. 1 ms to
    /// 24 h; 60 s by default.
    pub fn stuck_after(mut self, after: Duration) -> Self {
        self.settings.engine.stuck_after = after;
        self
    }

    /// When no commit succeeds for so long, nothing more is read or started until one does. 100 ms to 1 h;
    /// 3 s by default.
    pub fn commit_stall(mut self, after: Duration) -> Self {
        self.settings.engine.commit_stall = after;
        self
    }

    /// How often finished records are committed. 1 ms to 60 s; 200 ms by default.
    pub fn commit_interval(mut self, interval: Duration) -> Self {
        self.settings.commit_interval = interval;
        self
    }

    /// How long handlers may go on when their partition goes to another member. 0 to 5 min; 5 s
    /// by default, and at most half of `max.poll.interval.ms`: a member that has not given a
    /// partition back by then, counted from when another one asked for it, is thrown out of the
    /// group, its last commit is refused and its records run twice. The other half is for hearing
    /// of it, for cancelling what is not done, and for the last commit.
    pub fn drain_timeout(mut self, timeout: Duration) -> Self {
        self.settings.drain_timeout = timeout;
        self
    }

    /// How long a graceful shutdown may take in all. 100 ms to 1 h; 25 s by default.
    pub fn shutdown_timeout(mut self, timeout: Duration) -> Self {
        self.settings.shutdown_timeout = timeout;
        self
    }

    /// The most worker tasks that poll handlers. 1 to 64; by default as many as the tokio runtime
    /// has worker threads.
    pub fn workers(mut self, workers: usize) -> Self {
        self.settings.workers = Some(workers);
        self
    }

    /// Seeds the hash of keys and the jitter of retries. A different one in each process by
    /// default, so that nobody can choose keys that collide.
    pub fn seed(mut self, seed: u64) -> Self {
        self.settings.engine.seed = seed;
        self
    }

    /// Where a partition begins for which the group has no committed offset. At the earliest
    /// record by default.
    pub fn from(mut self, from: StartFrom) -> Self {
        self.kafka.from = from;
        self
    }

    /// What happens when an offset is not in the log any more. The partition stops by default.
    pub fn on_gap(mut self, on_gap: OnGap) -> Self {
        self.kafka.on_gap = on_gap;
        self
    }

    /// Static membership (`group.instance.id`): a restart within the session timeout causes no
    /// rebalance. Each process needs an id of its own.
    pub fn group_instance_id(self, id: impl Into<String>) -> Self {
        self.property("group.instance.id", id)
    }

    /// A librdkafka property. It comes over the defaults; what Tidegate must decide itself
    /// (auto-commit, offset reset) is refused by [`build`](Self::build).
    pub fn property(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.kafka.properties.push((name.into(), value.into()));
        self
    }

    /// End the run with the first trouble (no broker, unknown topic, refused login, missing ACL)
    /// instead of telling it and trying on.
    pub fn fail_fast(mut self, fail_fast: bool) -> Self {
        self.kafka.fail_fast = fail_fast;
        self
    }

    /// Stop when the end offsets that a partition had when it was assigned are reached,
    /// transaction markers and compacted records included.
    pub fn until_end(mut self, until_end: bool) -> Self {
        self.kafka.until_end = until_end;
        self.settings.until_end = until_end;
        self
    }

    /// Take at most so many records, handle them and stop. At least 1.
    pub fn max_records(mut self, records: u64) -> Self {
        self.settings.max_records = Some(records);
        self
    }

    /// The consumer. Nothing is connected before it is run.
    ///
    /// # Errors
    /// When something is missing, a limit is outside its range, or librdkafka does not accept a
    /// property; the message names it.
    pub fn build(self) -> Result<Consumer, BuildError> {
        let Self { kafka, mut settings, dead_letter_topic } = self;
        if settings.engine.seed == 0 {
            settings.engine.seed = random_seed();
        }
        settings.validate()?;
        ConfigError::duration(
            "drain_timeout (at most half of max.poll.interval.ms)",
            settings.drain_timeout,
            Duration::ZERO,
            kafka.max_poll_interval() / 2,
        )?;
        let sink = dead_letter_topic.map(|topic| KafkaDeadLetters::new(&kafka, topic));
        let sink = sink.transpose()?;
        let source = KafkaSource::new(kafka)?;
        let consumer = tidegate_runtime::Consumer::new(source, settings)?;
        Ok(Consumer(match sink {
            Some(sink) => consumer.dead_letters(sink),
            None => consumer,
        }))
    }
}

/// The standard library's hash maps are seeded at random; so are ours.
fn random_seed() -> u64 {
    use std::hash::{BuildHasher, RandomState};
    RandomState::new().hash_one(0u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drain_that_would_cost_the_membership_is_refused() {
        let with = |drain: u64| {
            let builder = Consumer::builder().brokers("b:1").group("g").topic("t");
            builder.drain_timeout(Duration::from_secs(drain)).build()
        };
        assert!(with(150).is_ok());
        let refused = with(151).unwrap_err().to_string();
        assert!(refused.contains("half of max.poll.interval.ms"), "{refused}");
        let session = |interval| {
            let builder = Consumer::builder().brokers("b:1").group("g").topic("t");
            builder
                .property("session.timeout.ms", "6000")
                .property("max.poll.interval.ms", interval)
                .build()
        };
        assert!(session("10000").is_ok());
        let refused = session("9000").unwrap_err().to_string();
        assert!(refused.contains("4.5s"), "{refused}");
    }
}
