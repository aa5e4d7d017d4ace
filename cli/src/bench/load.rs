//! `tidegate bench load`: fills a topic with deterministic records.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytesize::ByteSize;
use clap::Args;
use clap::builder::BoolishValueParser;
use rdkafka::ClientContext;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{
    BaseProducer, BaseRecord, DeliveryResult, NoCustomPartitioner, Producer as _, ProducerContext,
};
use serde::Serialize;

use super::keys::{SplitMix, Zipf, fill};
use super::measure::{print, print_json, rounded};
use crate::exit::Failure;
use crate::kafka::{self, Admin, Observer};
use crate::settings::{Connection, ConnectionArgs, OneTopicArgs, OutputArgs, size};

/// How long the last records may take to be acknowledged.
const FLUSH: Duration = Duration::from_secs(60);
/// How long a topic may take to appear or to go.
const TOPIC: Duration = Duration::from_secs(30);

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

    /// Partitions of the topic if it is created, with one replica each. 1 to 10,000.
    #[arg(
        long,
        value_name = "N",
        env = "TIDEGATE_BENCH_PARTITIONS",
        hide_env_values = true,
        default_value_t = 12,
        value_parser = clap::value_parser!(i32).range(1..=10_000),
        help_heading = "Records"
    )]
    partitions: i32,

    /// How many records are written. 1 to 10^12.
    #[arg(
        long,
        value_name = "N",
        env = "TIDEGATE_BENCH_RECORDS",
        hide_env_values = true,
        default_value_t = 1_000_000,
        value_parser = clap::value_parser!(u64).range(1..=1_000_000_000_000),
        help_heading = "Records"
    )]
    records: u64,

    /// The size of each value. 0 to 1 GiB.
    #[arg(
        long,
        value_name = "SIZE",
        env = "TIDEGATE_BENCH_VALUE_BYTES",
        hide_env_values = true,
        default_value = "100",
        value_parser = size(0, 1 << 30),
        help_heading = "Records"
    )]
    value_bytes: ByteSize,

    /// How many different keys there are: key-0, key-1 and on. 0 to 10,000,000; 0 writes no keys.
    #[arg(
        long,
        value_name = "N",
        env = "TIDEGATE_BENCH_KEYS",
        hide_env_values = true,
        default_value_t = 10_000,
        value_parser = clap::value_parser!(u32).range(0..=10_000_000),
        help_heading = "Records"
    )]
    keys: u32,

    /// How uneven the keys are: key-N has a weight of 1 / (N + 1)^ZIPF. 0 to 10; 0 makes all
    /// alike.
    #[arg(
        long,
        value_name = "ZIPF",
        env = "TIDEGATE_BENCH_ZIPF",
        hide_env_values = true,
        default_value_t = 1.0,
        value_parser = exponent,
        help_heading = "Records"
    )]
    zipf: f64,

    /// Which record gets which key and value follows from this number.
    #[arg(
        long,
        value_name = "N",
        env = "TIDEGATE_BENCH_SEED",
        hide_env_values = true,
        default_value_t = 1,
        help_heading = "Records"
    )]
    seed: u64,

    /// Delete the topic and create it anew. Without it, records are added to a topic that exists.
    #[arg(
        long,
        env = "TIDEGATE_BENCH_REPLACE",
        hide_env_values = true,
        value_parser = BoolishValueParser::new(),
        help_heading = "Records"
    )]
    replace: bool,
}

fn exponent(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(exponent) if (0.0..=10.0).contains(&exponent) => Ok(exponent),
        _ => Err("must be from 0 to 10".to_owned()),
    }
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
    let partitions = runtime.block_on(topic(args, &connection))?;
    let wall = write(args, &connection)?.as_secs_f64();
    let line = Loaded {
        topic: &args.topic.topic,
        partitions,
        records: args.records,
        value_bytes: args.value_bytes.0,
        keys: args.keys,
        zipf: args.zipf,
        seed: args.seed,
        wall_s: rounded(wall, 6),
        records_per_s: rounded(args.records as f64 / wall, 1),
    };
    if output.json_on_stdout() {
        return print_json(&line);
    }
    print(&format!(
        "{} records in {} partitions of {} in {:.3} s: {:.0} records/s",
        line.records, line.partitions, line.topic, line.wall_s, line.records_per_s
    ))
}

/// Makes sure that the topic is there; returns how many partitions it has.
async fn topic(args: &LoadArgs, connection: &Connection) -> Result<usize, Failure> {
    let name = &args.topic.topic;
    let observer = Observer::new(connection, "tidegate-bench")?;
    let admin = Admin::new(connection)?;
    let count = || tokio::task::block_in_place(|| observer.partitions(name)).map(|p| p.len());
    let mut found = count()?;
    if found > 0 && args.replace {
        admin.delete_topic(name).await?;
        found = until(&count, |count| count == 0).await?;
        if found > 0 {
            return Err(Failure::Failed(format!("topic {name} was deleted but is still there")));
        }
    }
    if found > 0 {
        return match usize::try_from(args.partitions) {
            Ok(wanted) if wanted != found => Err(Failure::Failed(format!(
                "topic {name} has {found} partitions and not {wanted}: give --partitions {found}, \
                 or --replace to delete it and create it anew"
            ))),
            _ => Ok(found),
        };
    }
    // The deletion may still go on behind the scenes.
    let deadline = Instant::now() + TOPIC;
    while let Err(error) = admin.create_topic(name, args.partitions).await {
        if !args.replace || Instant::now() > deadline {
            return Err(error);
        }
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    match until(&count, |count| count > 0).await? {
        0 => Err(Failure::Failed(format!("topic {name} was created but does not appear"))),
        found => Ok(found),
    }
}

/// Asks until the answer is right, or it took too long; returns the last one.
async fn until(
    count: &impl Fn() -> Result<usize, Failure>,
    right: impl Fn(usize) -> bool,
) -> Result<usize, Failure> {
    let deadline = Instant::now() + TOPIC;
    loop {
        let found = count()?;
        if right(found) || Instant::now() > deadline {
            return Ok(found);
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
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
    let zipf = Zipf::new(args.keys, args.zipf);
    let mut random = SplitMix::new(args.seed);
    let bytes = usize::try_from(args.value_bytes.0)
        .map_err(|_| Failure::Usage("--value-bytes is too large for this machine".to_owned()))?;
    let mut value = vec![0; bytes];
    let mut key = String::new();
    for number in 0..args.records {
        let has_key = match zipf.next(&mut random) {
            Some(rank) => {
                use std::fmt::Write as _;
                key.clear();
                // Writing to a string does not fail.
                let _ = write!(key, "key-{rank}");
                true
            }
            None => false,
        };
        fill(&mut value, &mut random);
        let mut record: BaseRecord<'_, str, [u8]> =
            BaseRecord::to(&args.topic.topic).payload(value.as_slice());
        if has_key {
            record = record.key(&key);
        }
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
        written if written == args.records => Ok(took),
        written => Err(Failure::Failed(format!(
            "only {written} of {} records were acknowledged",
            args.records
        ))),
    }
}
