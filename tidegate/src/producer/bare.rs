//! The client without anything of ours: what it can do at most.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::producer::{
    BaseProducer, BaseRecord, DeliveryResult, NoCustomPartitioner, Producer as _, ProducerContext,
};

use super::builder::{ProducerBuildError, ProducerBuilder};
use crate::kafka::SettingsError;

/// Reports are looked for once in so many records.
const POLLED: u64 = 1_024;
/// How long it waits for reports when the client's queue is full.
const FULL: Duration = Duration::from_millis(1);

/// rdkafka's `BaseProducer` with the settings and bounds of a [`Producer`](crate::Producer): the limit
/// that any producer built on it is measured against.
pub struct BareProducer {
    client: BaseProducer<Reports, NoCustomPartitioner>,
    sent: AtomicU64,
}

#[derive(Default)]
struct Reports {
    reported: AtomicU64,
    failed: Mutex<Option<KafkaError>>,
}

impl ClientContext for Reports {}

impl ProducerContext for Reports {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        self.reported.fetch_add(1, Ordering::Relaxed);
        if let (Err((error, _)), Ok(mut failed)) = (result, self.failed.lock()) {
            failed.get_or_insert_with(|| error.clone());
        }
    }
}

impl BareProducer {
    /// A producer with the builder's settings; its topics, gates and probe are left aside.
    ///
    /// # Errors
    /// As [`ProducerBuilder::build`].
    pub fn new(builder: ProducerBuilder) -> Result<Self, ProducerBuildError> {
        let client = builder
            .to_bare_config()?
            .create_with_context(Reports::default())
            .map_err(|error| SettingsError::Inconsistent(error.to_string()))?;
        Ok(Self { client, sent: AtomicU64::new(0) })
    }

    /// Sends a record; waits while the client's queue is full.
    ///
    /// # Errors
    /// When the client refuses it, or one before it was not delivered.
    pub fn send(&self, topic: &str, key: Option<&[u8]>, value: &[u8]) -> Result<(), KafkaError> {
        let mut record: BaseRecord<'_, [u8], [u8]> = BaseRecord::to(topic).payload(value);
        record.key = key;
        while let Err((error, back)) = self.client.send(record) {
            if error.rdkafka_error_code() != Some(Code::QueueFull) {
                return Err(error);
            }
            record = back;
            self.client.poll(FULL);
        }
        if self.sent.fetch_add(1, Ordering::Relaxed).is_multiple_of(POLLED) {
            self.client.poll(Duration::ZERO);
            self.check()?;
        }
        Ok(())
    }

    /// Waits until everything is delivered.
    ///
    /// # Errors
    /// When something is not, or not in time.
    pub fn flush(&self, deadline: Duration) -> Result<(), KafkaError> {
        self.client.flush(deadline)?;
        self.check()
    }

    /// Records that are not reported yet.
    pub fn on_their_way(&self) -> u64 {
        let reported = self.client.context().reported.load(Ordering::Relaxed);
        self.sent.load(Ordering::Relaxed).saturating_sub(reported)
    }

    fn check(&self) -> Result<(), KafkaError> {
        let failed = self.client.context().failed.lock().ok().and_then(|failed| failed.clone());
        failed.map_or(Ok(()), Err)
    }
}
