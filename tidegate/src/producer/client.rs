//! The Kafka client and its delivery reports.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread;

use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use rdkafka::message::{Header, Message as _, OwnedHeaders};
use rdkafka::producer::{
    BaseRecord, DeliveryResult, Producer as _, ProducerContext, PurgeConfig, ThreadedProducer,
};
use rdkafka::{ClientConfig, ClientContext};
use tidegate_engine::Offset;
use tidegate_engine::gate::{Credit, Fault};
use tokio::sync::oneshot;

use super::delivery::{Delivered, DeliveryError};
use super::record::ProducerRecord;
use super::room::{Place, Room};
use super::topic::Topic;
use crate::clock;
use crate::kafka::context::Context;

/// A record on its way: everything that is settled by its report.
pub(super) struct OnItsWay {
    pub(super) topic: Arc<Topic>,
    pub(super) credit: Credit,
    pub(super) place: Place,
    pub(super) reply: oneshot::Sender<Result<Delivered, DeliveryError>>,
}

/// What the client's callbacks need.
struct Reports {
    room: Arc<Room>,
    broken: Arc<AtomicBool>,
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
    type DeliveryOpaque = Box<OnItsWay>;

    fn delivery(&self, result: &DeliveryResult<'_>, record: Box<OnItsWay>) {
        let OnItsWay { topic, credit, place, reply } = *record;
        let partition = credit.partition();
        let outcome = match result {
            Ok(message) => {
                let offset = Some(message.offset()).filter(|offset| *offset >= 0).map(Offset);
                topic.gate().handle_delivered(credit, offset);
                Ok(Delivered { partition, offset: offset.unwrap_or(Offset(-1)) })
            }
            Err((error, _)) => {
                let error = self.failed(&topic, credit, error);
                topic.changed.notify_waiters();
                Err(error)
            }
        };
        topic.on_their_way.fetch_sub(1, Ordering::Relaxed);
        // Nobody may be waiting for it.
        let _ = reply.send(outcome);
        drop(place);
        self.room.end();
    }
}

impl Reports {
    fn failed(&self, topic: &Topic, credit: Credit, error: &KafkaError) -> DeliveryError {
        let told = DeliveryError::of(error, &topic.name, credit.partition());
        let fault = match (&told, error.rdkafka_error_code()) {
            // What was given up at the end says nothing about the broker.
            (DeliveryError::Rejected { .. }, _)
            | (_, Some(Code::PurgeQueue | Code::PurgeInflight)) => Fault::Record,
            _ => Fault::Broker,
        };
        if error.rdkafka_error_code() == Some(Code::Fatal) {
            self.broken.store(true, Ordering::Relaxed);
        }
        topic.gate().handle_failed(credit, fault, clock::now());
        told
    }
}

type Inner = ThreadedProducer<Reports>;

/// The client, replaced when it cannot go on.
pub(super) struct Client {
    config: ClientConfig,
    room: Arc<Room>,
    current: RwLock<Arc<Inner>>,
    /// A fatal error came.
    broken: Arc<AtomicBool>,
    rebuilding: Mutex<()>,
}

impl Client {
    pub(super) fn new(config: ClientConfig, room: Arc<Room>) -> Result<Self, KafkaError> {
        let broken = Arc::new(AtomicBool::new(false));
        let current = make(&config, &room, &broken)?;
        let (current, rebuilding) = (RwLock::new(Arc::new(current)), Mutex::new(()));
        Ok(Self { config, room, current, broken, rebuilding })
    }

    fn current(&self) -> Arc<Inner> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Gives a record to the client, or back with what belongs to it.
    pub(super) fn enqueue(
        &self,
        record: &ProducerRecord,
        on_its_way: OnItsWay,
    ) -> Result<(), (KafkaError, Box<OnItsWay>)> {
        let mut out = BaseRecord::<[u8], [u8], Box<OnItsWay>>::with_opaque_to(
            &record.topic,
            Box::new(on_its_way),
        );
        out.partition = Some(out.delivery_opaque.credit.partition() as i32);
        out.key = record.key.as_deref();
        out.payload = record.value.as_deref();
        out.timestamp = record.timestamp;
        if !record.headers.is_empty() {
            let empty = OwnedHeaders::new_with_capacity(record.headers.len());
            let add = |all: OwnedHeaders, (name, value): &(String, Option<Vec<u8>>)| {
                all.insert(Header { key: name, value: value.as_deref() })
            };
            out.headers = Some(record.headers.iter().fold(empty, add));
        }
        let topic = Arc::clone(&out.delivery_opaque.topic);
        self.room.begin();
        topic.on_their_way.fetch_add(1, Ordering::Relaxed);
        self.current().send(out).map_err(|(error, out)| {
            topic.on_their_way.fetch_sub(1, Ordering::Relaxed);
            self.room.end();
            (error, out.delivery_opaque)
        })
    }

    /// Replaces a client that had a fatal error. Says why, if it did.
    pub(super) fn mend(&self) -> Option<String> {
        if !self.broken.load(Ordering::Relaxed) {
            return None;
        }
        let _one = self.rebuilding.lock().unwrap_or_else(PoisonError::into_inner);
        let old = self.current();
        let (_, detail) = old.client().fatal_error()?;
        let new = make(&self.config, &self.room, &self.broken).ok()?;
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(new);
        self.broken.store(false, Ordering::Relaxed);
        // Its end may take a moment: it reports what it still had.
        thread::spawn(move || drop(old));
        Some(detail)
    }

    /// Gives up everything that is on its way. Reports come all the same.
    pub(super) fn purge(&self) {
        self.current().purge(PurgeConfig::default().queue().inflight());
    }
}

fn make(
    config: &ClientConfig,
    room: &Arc<Room>,
    broken: &Arc<AtomicBool>,
) -> Result<Inner, KafkaError> {
    config.create_with_context(Reports { room: Arc::clone(room), broken: Arc::clone(broken) })
}
