//! Delivery reports, settled in batches: a lock for each batch and not for each record.

use std::sync::{Arc, Mutex, PoisonError};

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::Message as _;
use rdkafka::producer::{DeliveryResult, ProducerContext};
use tidegate_engine::Offset;
use tidegate_engine::gate::Fault;

use super::delivery::{Delivered, DeliveryError};
use super::on_their_way::{Flight, OnTheirWay, Slot};
use super::room::Room;
use super::topic::Topic;
use crate::clock;
use crate::kafka::context::Context;

/// So many reports are settled at once at most.
const BATCH: usize = 256;

/// A record's slot, and its offset or why it has none.
type Report = (Slot, Result<Option<Offset>, KafkaError>);

/// Reports that came and are not settled.
#[derive(Debug, Default)]
pub(super) struct Batch(Mutex<Vec<Report>>);

/// What the client's callbacks need.
pub(super) struct Reports {
    batch: Arc<Batch>,
    settling: Arc<Settling>,
}

impl Reports {
    pub(super) fn new(settling: Arc<Settling>) -> Self {
        Self { batch: Arc::default(), settling }
    }

    pub(super) fn batch(&self) -> Arc<Batch> {
        Arc::clone(&self.batch)
    }
}

impl ClientContext for Reports {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, text: &str) {
        Context.log(level, facility, text);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        tracing::warn!(target: "librdkafka", %error, "{reason}");
    }
}

impl ProducerContext for Reports {
    type DeliveryOpaque = Slot;

    fn delivery(&self, result: &DeliveryResult<'_>, slot: Slot) {
        let report = match result {
            Ok(message) => Ok(Some(message.offset()).filter(|offset| *offset >= 0).map(Offset)),
            Err((error, _)) => Err(error.clone()),
        };
        let mut batch = self.batch.0.lock().unwrap_or_else(PoisonError::into_inner);
        batch.push((slot, report));
        if batch.len() >= BATCH {
            drop(batch);
            self.settling.settle(&self.batch);
        }
    }
}

/// Where reports are settled.
pub(super) struct Settling {
    pub(super) topics: Vec<Arc<Topic>>,
    pub(super) room: Arc<Room>,
    pub(super) on_their_way: Arc<OnTheirWay>,
}

impl Settling {
    /// Settles the reports of a batch: credits go back to their gates, places to the room, and who
    /// waits is told.
    pub(super) fn settle(&self, batch: &Batch) {
        let reports = {
            let mut batch = batch.0.lock().unwrap_or_else(PoisonError::into_inner);
            if batch.is_empty() {
                return;
            }
            std::mem::replace(&mut *batch, Vec::with_capacity(BATCH))
        };
        let mut flights = Vec::with_capacity(reports.len());
        self.on_their_way.take(reports.iter().map(|(slot, _)| *slot), &mut flights);
        debug_assert_eq!(flights.len(), reports.len());
        let mut outcomes = Vec::with_capacity(reports.len());
        let mut bytes = 0;
        let mut flights = flights.into_iter().zip(reports).peekable();
        while let Some((Flight { topic: index, .. }, _)) = flights.peek() {
            let index = *index;
            let topic = &self.topics[index as usize];
            let mut failed = false;
            let mut gate = topic.gate();
            while let Some((flight, (slot, report))) =
                flights.next_if(|(flight, _)| flight.topic == index)
            {
                bytes += flight.bytes as usize;
                let partition = flight.credit.partition();
                let outcome = match report {
                    Ok(offset) => {
                        gate.handle_delivered(flight.credit, offset);
                        Ok(Delivered { partition, offset: offset.unwrap_or(Offset(-1)) })
                    }
                    Err(error) => {
                        failed = true;
                        let told = DeliveryError::of(&error, &topic.name, partition);
                        gate.handle_failed(flight.credit, fault(&told, &error), clock::now());
                        Err(told)
                    }
                };
                outcomes.push((slot, outcome));
            }
            drop(gate);
            if failed {
                topic.changed.notify_waiters();
            }
        }
        let mut woken = Vec::new();
        self.on_their_way.finish(outcomes.into_iter(), &mut woken);
        self.room.give_back(bytes);
        for waker in woken {
            waker.wake();
        }
    }

    /// A client is gone: what it never reported may be in the log or not.
    pub(super) fn abandon(&self, client: u32) {
        let lost = || Err(KafkaError::MessageProduction(Code::PurgeInflight));
        let reports = self.on_their_way.of_client(client).into_iter().map(|slot| (slot, lost()));
        self.settle(&Batch(Mutex::new(reports.collect())));
    }
}

fn fault(told: &DeliveryError, error: &KafkaError) -> Fault {
    match (told, error.rdkafka_error_code()) {
        // What was given up at the end says nothing about the broker.
        (DeliveryError::Rejected { .. }, _) | (_, Some(Code::PurgeQueue | Code::PurgeInflight)) => {
            Fault::Record
        }
        _ => Fault::Broker,
    }
}
