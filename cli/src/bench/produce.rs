//! `tidegate bench produce`: a producer whose gate is open, or the client library alone.

use std::sync::Arc;
use std::time::{Duration, Instant};

use clap::Args;
use clap::builder::BoolishValueParser;
use tidegate::bare::BareProducer;
use tidegate::{Producer, ProducerRecord, TopicGate};

use super::measure::{Mark, Measured};
use super::records::{RecordArgs, Records, topic};
use crate::exit::Failure;
use crate::kafka::Observer;
use crate::settings::{Connection, ConnectionArgs, OneTopicArgs, OutputArgs};

/// How long the last records may take to be acknowledged.
const FLUSH: Duration = Duration::from_secs(60);
/// How long the leaders of a topic may take to answer.
const LEADERS: Duration = Duration::from_secs(10);

/// Flags of `tidegate bench produce`.
#[derive(Debug, Args)]
pub(crate) struct ProduceArgs {
    #[command(flatten)]
    connection: ConnectionArgs,
    #[command(flatten)]
    topic: OneTopicArgs,
    #[command(flatten)]
    records: RecordArgs,

    /// Without Tidegate: rdkafka's BaseProducer with the same settings.
    #[arg(
        long,
        env = "TIDEGATE_BENCH_BARE",
        value_parser = BoolishValueParser::new(),
        help_heading = "Measurement"
    )]
    bare: bool,
}

/// What a run was like.
struct Sent {
    span: (Mark, Mark),
    peak: u64,
}

/// Runs the command.
///
/// # Errors
/// When the topic cannot be made, or a record is not delivered.
pub(crate) fn run(args: &ProduceArgs, output: &OutputArgs) -> Result<(), Failure> {
    let connection = args.connection.resolve()?;
    let name = args.topic.topic.as_str();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::Failed(error.to_string()))?;
    runtime.block_on(topic(name, &args.records, &connection))?;
    let before = end(&connection, name)?;
    let (peer, sent) = match args.bare {
        true => ("librdkafka-producer", bare(args, &connection)?),
        false => ("tidegate", runtime.block_on(gated(args, &connection))?),
    };
    let after = end(&connection, name)?;
    // What the log has is what counts, and not what was reported.
    let written = u64::try_from(after - before).unwrap_or(0);
    Measured {
        peer,
        topic: name,
        ordering: "key",
        concurrency: 1,
        work: Duration::ZERO,
        records: written,
        span: Some(sent.span),
        peak_in_flight: sent.peak,
        committed: after,
    }
    .print(output)?;
    match written == args.records.records {
        true => Ok(()),
        false => Err(Failure::Failed(format!(
            "topic {name} has {written} records more, and {} were sent",
            args.records.records
        ))),
    }
}

/// The sum of the end offsets. Leaders of a new topic may need a moment.
fn end(connection: &Connection, topic: &str) -> Result<i64, Failure> {
    let observer = Observer::new(connection, "tidegate-bench")?;
    let partitions = observer.partitions(topic)?;
    let sum = || partitions.iter().map(|p| Ok(observer.watermarks(topic, *p)?.1)).sum();
    let deadline = Instant::now() + LEADERS;
    loop {
        let found: Result<i64, Failure> = sum();
        if found.is_ok() || Instant::now() > deadline {
            return found;
        }
        std::thread::sleep(LEADERS / 100);
    }
}

fn bare(args: &ProduceArgs, connection: &Connection) -> Result<Sent, Failure> {
    let name = args.topic.topic.as_str();
    let producer = BareProducer::new(connection.producer().topic(TopicGate::new(name)))?;
    let failed = |error| Failure::Failed(format!("cannot produce to {name}: {error}"));
    let mut records = Records::new(&args.records)?;
    let (first, mut peak) = (Mark::now(), 0);
    for _ in 0..args.records.records {
        let (key, value) = records.next();
        producer.send(name, key.map(str::as_bytes), value).map_err(failed)?;
        peak = producer.on_their_way().max(peak);
    }
    producer.flush(FLUSH).map_err(failed)?;
    Ok(Sent { span: (first, Mark::now()), peak })
}

async fn gated(args: &ProduceArgs, connection: &Connection) -> Result<Sent, Failure> {
    let name = args.topic.topic.as_str();
    let producer: Producer = connection.producer().topic(TopicGate::new(name)).build()?;
    let shared: Arc<str> = name.into();
    let mut records = Records::new(&args.records)?;
    let (first, mut peak) = (Mark::now(), 0);
    for _ in 0..args.records.records {
        let (key, value) = records.next();
        let mut record = ProducerRecord::to(Arc::clone(&shared)).with_value(value);
        if let Some(key) = key {
            record = record.with_key(key);
        }
        producer.send(record).await.map_err(|error| Failure::Failed(error.to_string()))?;
        peak = producer.on_their_way().max(peak);
    }
    producer.close(FLUSH).await.map_err(|error| Failure::Failed(error.to_string()))?;
    Ok(Sent { span: (first, Mark::now()), peak })
}
