//! The Kafka client.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::thread;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{
    BaseProducer, BaseRecord, NoCustomPartitioner, Producer as _, PurgeConfig,
};

use super::on_their_way::Slot;
use super::record::ProducerRecord;
use super::reports::{Reports, Settling};

/// How long the thread waits for reports before it looks whether it is still needed.
const REPORTS: Duration = Duration::from_millis(100);

type Inner = BaseProducer<Reports, NoCustomPartitioner>;

/// One client: the first, or the one that replaced it.
struct Current {
    inner: Arc<Inner>,
    number: u32,
}

/// The client, replaced when it cannot go on.
pub(super) struct Client {
    config: ClientConfig,
    settling: Arc<Settling>,
    current: RwLock<Current>,
    rebuilding: Mutex<()>,
    made: AtomicU32,
}

impl Client {
    pub(super) fn new(config: ClientConfig, settling: Arc<Settling>) -> Result<Self, ClientError> {
        let current = make(&config, &settling, 0)?;
        let (current, rebuilding) = (RwLock::new(current), Mutex::new(()));
        Ok(Self { config, settling, current, rebuilding, made: AtomicU32::new(1) })
    }

    /// Gives a record to the client. `begin` is told which client it is, and gives the slot whose
    /// number comes back with the report. When the client does not take it, that slot is given back.
    pub(super) fn enqueue(
        &self,
        record: &ProducerRecord,
        partition: u32,
        begin: impl FnOnce(u32) -> Slot,
    ) -> Result<Slot, (KafkaError, Slot)> {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        let slot = begin(current.number);
        let mut out = BaseRecord::<[u8], [u8], Slot>::with_opaque_to(&record.topic, slot);
        out.partition = Some(partition as i32);
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
        match current.inner.send(out) {
            Ok(()) => Ok(slot),
            Err((error, _)) => Err((error, slot)),
        }
    }

    /// Replaces a client that had a fatal error, after which it takes no record. Says why, if it did.
    pub(super) fn mend(&self) -> Option<String> {
        let _one = self.rebuilding.lock().unwrap_or_else(PoisonError::into_inner);
        let (_, detail) = {
            let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
            current.inner.client().fatal_error()?
        };
        let number = self.made.fetch_add(1, Ordering::Relaxed);
        let new = make(&self.config, &self.settling, number).ok()?;
        // The old one is left to its thread, which reports what it still had.
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = new;
        Some(detail)
    }

    /// Gives up everything that is on its way. Reports come all the same.
    pub(super) fn purge(&self) {
        let current = self.current.read().unwrap_or_else(PoisonError::into_inner);
        current.inner.purge(PurgeConfig::default().queue().inflight());
    }
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub(super) enum ClientError {
    #[error(transparent)]
    Kafka(#[from] KafkaError),
    #[error("no thread: {0}")]
    Thread(#[from] std::io::Error),
}

/// A client, and the thread that takes its reports. The thread ends, and the client with it, when
/// nobody else has the client any more.
fn make(
    config: &ClientConfig,
    settling: &Arc<Settling>,
    number: u32,
) -> Result<Current, ClientError> {
    let reports = Reports::new(Arc::clone(settling));
    let batch = reports.batch();
    let inner: Arc<Inner> = Arc::new(config.create_with_context(reports)?);
    let (client, settling) = (Arc::clone(&inner), Arc::clone(settling));
    thread::Builder::new().name("tidegate-reports".to_owned()).spawn(move || {
        while Arc::strong_count(&client) > 1 {
            client.poll(REPORTS);
            settling.settle(&batch);
        }
        // What it still has is given up, which brings reports.
        drop(client);
        settling.settle(&batch);
        settling.abandon(number);
    })?;
    Ok(Current { inner, number })
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use tidegate_testkit::kafka::{Broker, Isolation, NewTopic, read_topic};

    use super::*;
    use crate::kafka::fail_fatally;
    use crate::{DeliveryError, Producer, ProducerEvent, ProducerRecord, TopicGate};

    #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
    async fn a_client_that_cannot_go_on_is_replaced_and_what_it_had_is_named() {
        const TOPIC: &str = "fatal";
        let broker = Broker::shared();
        broker.admin().create_topic(NewTopic::new(TOPIC).partitions(1));
        let told = Arc::new(Mutex::new(Vec::new()));
        let tell = Arc::clone(&told);
        let producer = Producer::builder()
            .brokers(broker.bootstrap())
            // What is sent waits in the client for so long.
            .property("linger.ms", "1000")
            .topic(TopicGate::new(TOPIC))
            .on_event(move |event: &ProducerEvent| tell.lock().unwrap().push(event.clone()))
            .build()
            .unwrap();
        let send = |name: String| producer.send(ProducerRecord::to(TOPIC).with_value(name));
        let before = send("before".to_owned()).await.unwrap().await.unwrap();
        assert_eq!(before.offset.0, 0);

        let mut caught = Vec::new();
        for number in 0..5 {
            caught.push((number, send(format!("caught {number}")).await.unwrap()));
        }
        {
            let current = producer.client().current.read().unwrap();
            fail_fatally(current.inner.client());
        }
        let mut failed = Vec::new();
        for (number, delivery) in caught {
            match delivery.await {
                Ok(_) => {}
                // Those that were sent already are uncertain, the others are not in the log.
                Err(
                    DeliveryError::Uncertain { topic, partition, .. }
                    | DeliveryError::NotDelivered { topic, partition, .. },
                ) => {
                    assert_eq!((topic.as_str(), partition), (TOPIC, 0));
                    failed.push(number);
                }
                Err(other) => panic!("record {number}: {other}"),
            }
        }
        assert!(!failed.is_empty(), "the client went on");

        // The next send finds a new client.
        let after = send("after".to_owned()).await.unwrap().await.unwrap();
        assert!(after.offset > before.offset);
        let replaced = |event: &ProducerEvent| matches!(event, ProducerEvent::Rebuilt { detail } if detail.contains("a test"));
        assert_eq!(told.lock().unwrap().iter().filter(|event| replaced(event)).count(), 1);
        producer.close(Duration::from_secs(30)).await.unwrap();
        let values: Vec<_> = read_topic(&broker.properties(), TOPIC, Isolation::Committed)
            .into_iter()
            .map(|record| String::from_utf8(record.value.unwrap_or_default()).unwrap())
            .collect();
        assert_eq!(values.iter().filter(|value| *value == "before").count(), 1);
        assert_eq!(values.iter().filter(|value| *value == "after").count(), 1);
        // What was told as delivered is there, and nothing is there twice.
        for number in (0..5).filter(|number| !failed.contains(number)) {
            let name = format!("caught {number}");
            assert_eq!(values.iter().filter(|value| **value == name).count(), 1);
        }
    }
}
