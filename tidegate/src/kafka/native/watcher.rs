#![allow(unsafe_code)]
//! A client that asks and belongs to no group.

use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, KafkaResult};
use rdkafka::producer::{BaseProducer, Producer as _};
use rdkafka_sys as sys;

use super::admin::Admin;
use super::client::Queue;
use super::event::{self, NativeEvent};
use crate::kafka::context::Context;

/// A client for admin requests, with a queue of its own for their answers. It is one that could
/// produce, since that kind looks for no group's coordinator by itself.
pub(crate) struct WatcherClient {
    /// Dropped before the client.
    answers: Queue,
    client: BaseProducer<Context>,
}

impl WatcherClient {
    /// Makes the client; nothing is sent yet.
    pub(crate) fn new(config: &ClientConfig) -> KafkaResult<Self> {
        let client: BaseProducer<Context> = config.create_with_context(Context)?;
        // SAFETY: the client is alive; the reference is given back by `Queue`.
        let queue = unsafe { sys::rd_kafka_queue_new(client.client().native_ptr()) };
        if queue.is_null() {
            return Err(KafkaError::ClientCreation("the client has no queue".into()));
        }
        Ok(Self { answers: Queue(queue), client })
    }

    /// The next answer, waited for so long at most. Also serves the client's own events.
    pub(crate) fn poll_event(&self, wait: Duration) -> Option<NativeEvent> {
        self.client.poll(Duration::ZERO);
        let wait = i32::try_from(wait.as_millis()).unwrap_or(i32::MAX);
        // SAFETY: queue and client are alive; `event::take` owns the event.
        unsafe {
            let raw = sys::rd_kafka_queue_poll(self.answers.0, wait);
            (!raw.is_null()).then(|| event::take(raw))
        }
    }

    /// Admin requests, answered by [`poll_event`](Self::poll_event).
    pub(crate) fn admin(&self) -> Admin<'_> {
        // SAFETY: both live as long as `self`.
        unsafe { Admin::new(self.client.client().native_ptr(), self.answers.0) }
    }
}
