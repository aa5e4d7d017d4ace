//! `tidegate bench load`: fills a topic with deterministic records.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use clap::Args;
use rdkafka::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{
    BaseProducer, BaseRecord, DeliveryResult, NoCustomPartitioner, Producer as _, ProducerContext,
};
use serde::Serialize;

use super::measure::{print, print_json, rounded};
use super::records::{RecordArgs, Records, topic};
use crate::exit::Failure;
use crate::kafka;
use crate::settings::{Connection, ConnectionArgs, OneTopicArgs, OutputArgs};

/// How long the last records may take to be acknowledged.
const FLUSH: Duration = Duration::from_secs(60);

/// Of the producer, over librdkafka's defaults.
const DEFAULTS: &[(&str, &str)] = &[
    // Java's choice of a partition.
    ("partitioner", "murmur2_random"),
    // A retry neither repeats a record nor changes the order.
    ("enable.idempotence", "true"),
    ("linger.ms", "20"),
    ("batch.size", "1000000"),
    ("queue.buffering.max.messages", "500000"),
    ("queue.buffering.max.kbytes", "262144"),
];

/// Flags of `tidegate bench load`.
#[derive(Debug, Args)]
pub(crate) struct LoadArgs {
    #[command(flatten)]
    connection: ConnectionArgs,
    #[command(flatten)]
    topic: OneTopicArgs,

    #[command(flatten)]
    records: RecordArgs,
}

/// The line of a load.
#[derive(Debug, Serialize)]
struct Loaded<'a> {
    topic: &'a str,
    partitions: usize,
    records: u64,
    value_bytes: u64,
    keys: u32,
    zipf: f64,
    seed: u64,
    wall_s: f64,
    records_per_s: f64,
}

/// Runs the command.
///
/// # Errors
/// When the topic cannot be made, or a record is refused.
pub(crate) fn run(args: &LoadArgs, output: &OutputArgs) -> Result<(), Failure> {
    let connection = args.connection.resolve()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::Failed(error.to_string()))?;
    let partitions = runtime.block_on(topic(&args.topic.topic, &args.records, &connection))?;
    let wall = write(args, &connection)?.as_secs_f64();
    let line = Loaded {
        topic: &args.topic.topic,
        partitions,
        records: args.records.records,
        value_bytes: args.records.value_bytes.0,
        keys: args.records.keys,
        zipf: args.records.zipf,
        seed: args.records.seed,
        wall_s: rounded(wall, 6),
        records_per_s: rounded(args.records.records as f64 / wall, 1),
    };
    if output.json_on_stdout() {
        return print_json(&line);
    }
    print(&format!(
        "{} records in {} partitions of {} in {:.3} s: {:.0} records/s",
        line.records, line.partitions, line.topic, line.wall_s, line.records_per_s
    ))
}

/// What the broker answered.
#[derive(Default)]
struct Deliveries {
    written: AtomicU64,
    refused: Mutex<Option<KafkaError>>,
}

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = ();

    fn delivery(&self, result: &DeliveryResult<'_>, (): ()) {
        match result {
            Ok(_) => {
                self.written.fetch_add(1, Ordering::Relaxed);
            }
            Err((error, _)) => {
                if let Ok(mut refused) = self.refused.lock() {
                    refused.get_or_insert_with(|| error.clone());
                }
            }
        }
    }
}

impl Deliveries {
    fn check(&self) -> Result<(), Failure> {
        match self.refused.lock().ok().and_then(|refused| refused.clone()) {
            Some(error) => Err(kafka::producer_failure(&error)),
            None => Ok(()),
        }
    }
}

/// Writes the records; returns how long it took until all were acknowledged.
fn write(args: &LoadArgs, connection: &Connection) -> Result<Duration, Failure> {
    let producer: BaseProducer<Deliveries, NoCustomPartitioner> =
        kafka::producer(connection, DEFAULTS)
            .create_with_context(Deliveries::default())
            .map_err(|error| kafka::producer_failure(&error))?;
    let started = Instant::now();
    let mut records = Records::new(&args.records)?;
    for number in 0..args.records.records {
        let (key, value) = records.next();
        let mut record: BaseRecord<'_, str, [u8]> =
            BaseRecord::to(&args.topic.topic).payload(value);
        record.key = key;
        while let Err((error, back)) = producer.send(record) {
            if !matches!(error, KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull)) {
                return Err(kafka::producer_failure(&error));
            }
            record = back;
            producer.poll(Duration::from_millis(5));
            producer.context().check()?;
        }
        if number % 1_024 == 0 {
            producer.poll(Duration::ZERO);
            producer.context().check()?;
        }
    }
    producer.flush(FLUSH).map_err(|error| kafka::producer_failure(&error))?;
    let took = started.elapsed();
    producer.context().check()?;
    match producer.context().written.load(Ordering::Relaxed) {
        written if written == args.records.records => Ok(took),
        written => Err(Failure::Failed(format!(
            "only {written} of {} records were acknowledged",
            args.records.records
        ))),
    }
}
