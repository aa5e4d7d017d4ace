//! Why a record was not sent, and what was left at the end.

use std::fmt;
use std::time::Duration;

use thiserror::Error;
use tidegate_engine::gate::Reason;

use super::record::ProducerRecord;

/// A record that was not sent, and why. Nothing of it reached the client.
#[derive(Debug, Error)]
#[error("{cause}")]
pub struct SendError {
    /// The record, as it was given.
    pub record: ProducerRecord,
    /// Why it was not sent.
    #[source]
    pub cause: NotSent,
}

/// Why a record was not sent.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum NotSent {
    /// The topic's gate is shut.
    #[error("topic {topic}{}: {reason}; try again after {retry_after:?}", place(*partition, group.as_deref()))]
    Shut {
        /// The topic.
        topic: String,
        /// The partition, if it is about one.
        partition: Option<u32>,
        /// The group, if it is about one.
        group: Option<String>,
        /// What holds it back.
        reason: Reason,
        /// When it is likely to be let through. From 1 ms to 60 s.
        retry_after: Duration,
    },
    /// As many records, or bytes, are on their way as may be. Only [`try_send`] says so.
    ///
    /// [`try_send`]: super::Producer::try_send
    #[error("as many records or bytes are on their way to the broker as may be")]
    Full,
    /// The producer has no gate for this topic. Name its topics when it is built.
    #[error("the producer was not built for topic {topic}")]
    UnknownTopic {
        /// The topic.
        topic: String,
    },
    /// The topic does not have the partition that the record names.
    #[error("topic {topic} has no partition {partition}: it has {partitions}, counted from 0")]
    UnknownPartition {
        /// The topic.
        topic: String,
        /// The partition.
        partition: u32,
        /// How many there are.
        partitions: u32,
    },
    /// The producer is closed.
    #[error("the producer is closed")]
    Closed,
    /// The client does not take it.
    #[error("topic {topic}: the client does not take the record: {detail}")]
    Refused {
        /// The topic.
        topic: String,
        /// The client's words.
        detail: String,
    },
}

fn place(partition: Option<u32>, group: Option<&str>) -> String {
    let partition = partition.map(|partition| format!(" partition {partition}"));
    let group = group.map(|group| format!(", group {group}"));
    partition.unwrap_or_default() + &group.unwrap_or_default()
}

impl NotSent {
    /// When it is likely to be let through; `None` if never.
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Shut { retry_after, .. } => Some(*retry_after),
            Self::Full => Some(Duration::from_millis(10)),
            _ => None,
        }
    }
}

/// Records that were not delivered by a deadline.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub struct Undelivered {
    /// How many, by topic; only topics that have some. What became of each is said by its
    /// [`Delivery`](super::Delivery).
    pub topics: Vec<(String, u64)>,
}

impl fmt::Display for Undelivered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not delivered by the deadline:")?;
        for (index, (topic, records)) in self.topics.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            write!(f, "{comma} {records} records of topic {topic}")?;
        }
        Ok(())
    }
}
