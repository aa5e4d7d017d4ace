//! `tidegate bench raw`: the client library alone.

use std::time::{Duration, Instant};

use clap::Args;
use tidegate::KafkaSettings;
use tidegate::bare::BareConsumer;

use super::measure::{BenchGroup, Mark, Measured};
use crate::exit::Failure;
use crate::kafka::Observer;
use crate::settings::{ConnectionArgs, OneTopicArgs, OutputArgs};

/// How long nothing may come before the end is taken to be reached.
const SILENCE: Duration = Duration::from_secs(30);

/// Flags of `tidegate bench raw`.
#[derive(Debug, Args)]
pub(crate) struct RawArgs {
    #[command(flatten)]
    connection: ConnectionArgs,
    #[command(flatten)]
    topic: OneTopicArgs,

    /// Stop after N records, or at the end of the topic. At least 1; no bound if not given.
    #[arg(
        long,
        value_name = "N",
        env = "TIDEGATE_BENCH_MAX_RECORDS",
        value_parser = clap::value_parser!(u64).range(1..),
        help_heading = "Measurement"
    )]
    max_records: Option<u64>,
}

/// Runs the command.
///
/// # Errors
/// When the topic cannot be read.
pub(crate) fn run(args: &RawArgs, output: &OutputArgs) -> Result<(), Failure> {
    let connection = args.connection.resolve()?;
    let topic = args.topic.topic.as_str();
    let group = BenchGroup::new(None);
    let offsets = Observer::new(&connection, group.name())?.offsets(topic)?;
    let wanted = args.max_records.unwrap_or(u64::MAX).min(offsets);

    let mut settings = KafkaSettings::new(&connection.brokers, group.name(), [topic]);
    settings.properties.clone_from(&connection.properties);
    let mut consumer = BareConsumer::new(&settings)?;
    let failed = |error| Failure::Failed(format!("cannot read {topic}: {error}"));
    let mut records = 0;
    let mut first = None;
    let mut last = Instant::now();
    while records < wanted {
        match consumer.read(Duration::from_millis(100)).map_err(failed)? as u64 {
            0 if last.elapsed() > SILENCE => break,
            0 => {}
            taken => {
                first.get_or_insert_with(Mark::now);
                records += taken;
                last = Instant::now();
            }
        }
    }
    let span = first.map(|first| (first, Mark::now_but_at(last)));
    if records > 0 {
        consumer.commit().map_err(failed)?;
    }
    drop(consumer);

    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::Failed(error.to_string()))?;
    let committed = runtime.block_on(group.finish(&connection, topic))?;
    Measured {
        peer: "librdkafka-batch",
        topic,
        ordering: "partition",
        concurrency: 1,
        work: Duration::ZERO,
        records,
        span,
        peak_in_flight: 1,
        committed,
    }
    .print(output)
}
