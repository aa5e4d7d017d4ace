//! What becomes of a record that was sent.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use thiserror::Error;
use tidegate_engine::Offset;

use super::on_their_way::{OnTheirWay, Slot};

/// A record that the broker has, on all replicas that are in sync.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delivered {
    /// Its partition.
    pub partition: u32,
    /// Its offset.
    pub offset: Offset,
}

/// A record that the broker does not have, or perhaps has.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum DeliveryError {
    /// The topic does not take this record; it would not the next time either.
    #[error("topic {topic} partition {partition} does not take the record: {detail}")]
    Rejected {
        /// The topic.
        topic: String,
        /// The partition.
        partition: u32,
        /// The broker's or the client's words.
        detail: String,
    },
    /// It is not in the log.
    #[error("topic {topic} partition {partition}: not delivered: {detail}")]
    NotDelivered {
        /// The topic.
        topic: String,
        /// The partition.
        partition: u32,
        /// The broker's or the client's words.
        detail: String,
    },
    /// It was sent and never acknowledged: it may be in the log, and sent again it may be there
    /// twice.
    #[error("topic {topic} partition {partition}: perhaps delivered, never acknowledged: {detail}")]
    Uncertain {
        /// The topic.
        topic: String,
        /// The partition.
        partition: u32,
        /// The client's words.
        detail: String,
    },
}

impl DeliveryError {
    /// What an error of the client means for a record.
    pub(super) fn of(error: &KafkaError, topic: &str, partition: u32) -> Self {
        let (topic, detail) = (topic.to_owned(), error.to_string());
        match error.rdkafka_error_code() {
            Some(
                Code::MessageSizeTooLarge
                | Code::InvalidMessageSize
                | Code::InvalidMessage
                | Code::InvalidRecord
                | Code::InvalidTimestamp
                | Code::UnsupportedForMessageFormat
                | Code::PolicyViolation,
            ) => Self::Rejected { topic, partition, detail },
            Some(Code::MessageTimedOut | Code::PurgeInflight | Code::Fatal) => {
                Self::Uncertain { topic, partition, detail }
            }
            _ => Self::NotDelivered { topic, partition, detail },
        }
    }
}

/// A record on its way. Await it to learn what became of it; dropped, it is delivered all the same.
///
/// # Panics
/// When it is polled again after it was answered.
///
/// # Cancel safety
/// Safe: it can be polled by reference and dropped at any time.
pub struct Delivery {
    pub(super) on_their_way: Arc<OnTheirWay>,
    /// Until it was answered.
    pub(super) slot: Option<Slot>,
    pub(super) partition: u32,
}

impl fmt::Debug for Delivery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Delivery").field("partition", &self.partition).finish_non_exhaustive()
    }
}

impl Delivery {
    /// The partition it goes to.
    pub fn partition(&self) -> u32 {
        self.partition
    }
}

impl Future for Delivery {
    type Output = Result<Delivered, DeliveryError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let Some(slot) = self.slot else { panic!("a delivery was polled after it was answered") };
        let answer = self.on_their_way.poll(slot, cx);
        if answer.is_ready() {
            self.slot = None;
        }
        answer
    }
}

impl Drop for Delivery {
    fn drop(&mut self) {
        if let Some(slot) = self.slot {
            self.on_their_way.forget(slot);
        }
    }
}
