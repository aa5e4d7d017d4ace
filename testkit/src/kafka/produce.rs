//! Sends records, also in transactions, and says where each went.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use rdkafka::{
    ClientContext,
    error::{KafkaError, RDKafkaErrorCode},
    message::{Header, Message as _, OwnedHeaders},
    producer::{
        BaseProducer, BaseRecord, DeliveryResult, NoCustomPartitioner, Producer as _,
        ProducerContext,
    },
};

use super::{CALL, NewRecord, Properties, Written, client, offsets};

/// How a transaction ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// Its records are there for readers of committed records.
    Commit,
    /// Its records are in the log, and readers of committed records skip them.
    Abort,
}

/// Sends the records and waits for all acknowledgements. The result is in the order of sending.
///
/// The records of a partition are in the log in the order of sending. The producer is not
/// idempotent, because that costs a second at each start; so set `enable.idempotence` in the
/// properties, which win over the test kit's, when the broker may die under it: a lost
/// acknowledgement would otherwise write a record twice.
///
/// # Panics
/// When the broker refuses a record or does not answer.
#[must_use]
pub fn send(
    properties: &Properties,
    topic: &str,
    records: impl IntoIterator<Item = NewRecord>,
) -> Vec<Written> {
    // One request at a time: a retry cannot overtake what comes after it.
    let producer = producer(properties, &[("max.in.flight", "1")]);
    send_all(producer, topic, records).1
}

/// As [`send`], in one transaction that is then committed or aborted.
///
/// Aborted records are written as well: their offsets exist, and nobody who reads committed
/// records sees them. After the last record of each partition comes a marker with an offset of
/// its own.
///
/// # Panics
/// When the broker refuses a record or does not answer.
#[must_use]
pub fn send_in_transaction(
    properties: &Properties,
    topic: &str,
    records: impl IntoIterator<Item = NewRecord>,
    end: End,
) -> Vec<Written> {
    send_in_transaction_and(properties, topic, records, end, || {})
}

/// As [`send_in_transaction`], and `then` happens between the acknowledgement of the last record
/// and the end of the transaction.
///
/// # Panics
/// When the broker refuses a record or does not answer.
#[must_use]
pub fn send_in_transaction_and(
    properties: &Properties,
    topic: &str,
    records: impl IntoIterator<Item = NewRecord>,
    end: End,
    then: impl FnOnce(),
) -> Vec<Written> {
    let id = format!("tidegate-test-{}-{}", std::process::id(), crate::history::now_us());
    let producer = producer(properties, &[("transactional.id", &id)]);
    producer.init_transactions(CALL).expect("begin as a transactional producer");
    producer.begin_transaction().expect("begin a transaction");
    // Waits for the acknowledgements: an abort would otherwise drop what is still queued here.
    let (producer, written) = send_all(producer, topic, records);
    then();
    match end {
        End::Commit => producer.commit_transaction(CALL).expect("commit a transaction"),
        End::Abort => producer.abort_transaction(CALL).expect("abort a transaction"),
    }
    wait_for_markers(properties, topic, &written);
    written
}

/// The end of a transaction is decided when it is acknowledged; its markers come a little later,
/// and until then nobody who reads committed records gets past the first one.
fn wait_for_markers(properties: &Properties, topic: &str, written: &[Written]) {
    let until = Instant::now() + CALL;
    let is_marked = |record: &Written| {
        let end = offsets::watermarks(properties, topic)[&(topic.to_owned(), record.partition)].end;
        end > record.offset + 1
    };
    let mut last = BTreeMap::new();
    last.extend(written.iter().map(|record| (record.partition, record)));
    while !last.values().all(|record| is_marked(record)) {
        assert!(Instant::now() < until, "no marker in {topic} behind {last:?}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// The partition and offset that a record got.
type Place = Result<(i32, i64), KafkaError>;

/// Where record n went, filled in by the delivery reports.
#[derive(Default)]
struct Deliveries(Mutex<Vec<Option<Place>>>);

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = usize;

    fn delivery(&self, result: &DeliveryResult<'_>, number: usize) {
        let answer = match result {
            Ok(message) => Ok((message.partition(), message.offset())),
            Err((error, _)) => Err(error.clone()),
        };
        let mut places = self.0.lock().expect("no panic while holding the lock");
        if places.len() <= number {
            places.resize(number + 1, None);
        }
        places[number] = Some(answer);
    }
}

type Sender = BaseProducer<Deliveries, NoCustomPartitioner>;

fn producer(properties: &Properties, defaults: &[(&str, &str)]) -> Sender {
    let mut config = client(&Vec::new());
    config
        .set("partitioner", "murmur2_random")
        .set("linger.ms", "5")
        .set("batch.size", "262144")
        .set("message.max.bytes", "4000000")
        .set("queue.buffering.max.messages", "200000")
        .set("queue.buffering.max.kbytes", "262144");
    for (name, value) in defaults {
        config.set(*name, *value);
    }
    for (name, value) in properties {
        config.set(name, value);
    }
    config.create_with_context(Deliveries::default()).expect("a producer")
}

fn send_all(
    producer: Sender,
    topic: &str,
    records: impl IntoIterator<Item = NewRecord>,
) -> (Sender, Vec<Written>) {
    let mut sending = Sending::by(producer, topic);
    for record in records {
        sending.send(&record);
    }
    let written = sending.finish();
    (sending.producer, written)
}

/// Records on their way to a topic.
pub(crate) struct Sending {
    producer: Sender,
    topic: Arc<str>,
    key_hashes: Vec<Option<u64>>,
}

impl Sending {
    /// By a producer with these properties.
    pub(crate) fn start(properties: &Properties, topic: &str) -> Self {
        Self::by(producer(properties, &[]), topic)
    }

    fn by(producer: Sender, topic: &str) -> Self {
        Self { producer, topic: topic.into(), key_hashes: Vec::new() }
    }

    pub(crate) fn send(&mut self, record: &NewRecord) {
        let number = self.key_hashes.len();
        self.key_hashes.push(Written::hash_of(record));
        send_one(&self.producer, &self.topic, number, record);
        if number.is_multiple_of(1_024) {
            self.producer.poll(Duration::ZERO);
        }
    }

    /// Takes the acknowledgements that have come.
    pub(crate) fn serve(&self) {
        self.producer.poll(Duration::ZERO);
    }

    /// Waits for all acknowledgements: where each record went, in the order of sending.
    pub(crate) fn finish(&self) -> Vec<Written> {
        let topic = &self.topic;
        // As long as a patient producer tries.
        self.producer.flush(CALL * 3).expect("all records acknowledged in time");
        let answers = std::mem::take(&mut *self.producer.context().0.lock().expect("no panic"));
        assert_eq!(answers.len(), self.key_hashes.len(), "a delivery report for every record");
        let written = answers.into_iter().zip(&self.key_hashes).enumerate();
        written
            .map(|(number, (answer, key_hash))| {
                let (partition, offset) =
                    answer.expect("a delivery report for every record").unwrap_or_else(|error| {
                        panic!("{topic}: record {number} was refused: {error}")
                    });
                Written { topic: Arc::clone(topic), partition, offset, key_hash: *key_hash }
            })
            .collect()
    }
}

fn send_one(producer: &Sender, topic: &str, number: usize, record: &NewRecord) {
    let mut next: BaseRecord<'_, [u8], [u8], usize> = BaseRecord::with_opaque_to(topic, number);
    next.partition = record.partition;
    next.key = record.key.as_deref();
    next.payload = record.value.as_deref();
    next.timestamp = record.timestamp;
    if !record.headers.is_empty() {
        let mut headers = OwnedHeaders::new_with_capacity(record.headers.len());
        for (key, value) in &record.headers {
            headers = headers.insert(Header { key, value: value.as_ref() });
        }
        next.headers = Some(headers);
    }
    loop {
        match producer.send(next) {
            Ok(()) => return,
            Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), refused)) => {
                next = refused;
                producer.poll(Duration::from_millis(10));
            }
            Err((error, _)) => panic!("{topic}: record {number} was refused: {error}"),
        }
    }
}
