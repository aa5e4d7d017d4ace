//! `tidegate bench consume`: a consumer with a handler that does nothing, or sleeps.

use std::future::{Ready, ready};
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use clap::Args;
use tidegate::{Builder, Event, Handler, Record, StartFrom, Summary};

use super::measure::{BenchGroup, Mark, Measured};
use crate::exit::Failure;
use crate::kafka::Observer;
use crate::report::Reporter;
use crate::run::signals;
use crate::settings::{ConnectionArgs, LimitArgs, OneTopicArgs, OutputArgs, duration};

/// Flags of `tidegate bench consume`.
#[derive(Debug, Args)]
pub(crate) struct ConsumeArgs {
    #[command(flatten)]
    connection: ConnectionArgs,
    #[command(flatten)]
    topic: OneTopicArgs,

    /// The consumer group; it should have committed nothing. Without it, one of its own that is
    /// deleted afterwards.
    #[arg(
        short = 'G',
        long,
        value_name = "GROUP",
        value_parser = clap::builder::NonEmptyStringValueParser::new(),
        help_heading = "Kafka"
    )]
    group: Option<String>,

    #[command(flatten)]
    limits: LimitArgs,

    /// How long a handler sleeps; 0 for one that does nothing. 0 to 1h.
    #[arg(
        long,
        value_name = "DURATION",
        env = "TIDEGATE_BENCH_WORK",
        default_value = "0",
        value_parser = duration(Duration::ZERO, Duration::from_secs(3_600)),
        help_heading = "Measurement"
    )]
    work: Duration,

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
/// When the topic cannot be consumed.
pub(crate) fn run(args: &ConsumeArgs, output: &OutputArgs) -> Result<(), Failure> {
    let connection = args.connection.resolve()?;
    let topic = args.topic.topic.as_str();
    let group = BenchGroup::new(args.group.as_deref());
    let offsets = Observer::new(&connection, group.name())?.offsets(topic)?;
    let builder = connection
        .builder()
        .group(group.name())
        .topic(topic)
        .from(StartFrom::Earliest)
        .until_end(true)
        .fail_fast(true);
    let mut builder = args.limits.apply(builder);
    if let Some(records) = args.max_records {
        builder = builder.max_records(records);
    }
    let gauge = Arc::new(Gauge::new(args.max_records.unwrap_or(u64::MAX).min(offsets)));

    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|error| Failure::Failed(error.to_string()))?;
    let (summary, committed) = runtime.block_on(async {
        let summary = match args.work {
            Duration::ZERO => consume(builder, Idle(Arc::clone(&gauge)), &gauge, output).await?,
            work => consume(builder, Sleeping(Arc::clone(&gauge), work), &gauge, output).await?,
        };
        let committed = group.finish(&connection, topic).await?;
        Ok::<_, Failure>((summary, committed))
    })?;
    let measured = Measured {
        peer: "tidegate",
        topic,
        ordering: args.limits.ordering.name(),
        concurrency: args.limits.concurrency,
        work: args.work,
        records: gauge.ended.load(Ordering::Relaxed),
        span: gauge.span(),
        peak_in_flight: gauge.peak.load(Ordering::Relaxed),
        committed,
    };
    measured.print(output)?;
    match summary.stopped.first() {
        Some(stopped) => Err(Failure::Failed(stopped.to_string())),
        None => Ok(()),
    }
}

async fn consume<H: Handler>(
    builder: Builder,
    handler: H,
    gauge: &Arc<Gauge>,
    output: &OutputArgs,
) -> Result<Summary, Failure> {
    let reporter = Reporter::start(output);
    let tell = reporter.sender();
    let consumer = builder.build()?;
    let monitor = consumer.monitor();
    let draining = Arc::clone(gauge);
    let run = consumer
        .on_event(move |event| {
            if matches!(event, Event::Draining { .. }) {
                draining.drained();
            }
            tell.quiet_event(event);
        })
        .run(handler)
        .with_graceful_shutdown(signals::first(monitor, reporter.sender(), false, || {})?);
    let result = run.await;
    drop(reporter);
    Ok(result?)
}

/// Counts handlers without a look at the clock for each.
#[derive(Debug)]
struct Gauge {
    /// With this many ended it is over.
    wanted: u64,
    started: AtomicU64,
    ended: AtomicU64,
    peak: AtomicU64,
    first: OnceLock<Mark>,
    last: OnceLock<Mark>,
}

impl Gauge {
    fn new(wanted: u64) -> Self {
        Self {
            wanted,
            started: AtomicU64::new(0),
            ended: AtomicU64::new(0),
            peak: AtomicU64::new(0),
            first: OnceLock::new(),
            last: OnceLock::new(),
        }
    }

    /// A handler begins.
    fn begin(&self) {
        self.first.get_or_init(Mark::now);
        let started = self.started.fetch_add(1, Ordering::Relaxed) + 1;
        let in_flight = started.saturating_sub(self.ended.load(Ordering::Relaxed));
        if in_flight > self.peak.load(Ordering::Relaxed) {
            self.peak.fetch_max(in_flight, Ordering::Relaxed);
        }
    }

    /// A handler ends.
    fn end(&self) {
        if self.ended.fetch_add(1, Ordering::Relaxed) + 1 == self.wanted {
            self.last.get_or_init(Mark::now);
        }
    }

    /// The run drains: when the log had fewer records than offsets (compaction, transactions), the
    /// last one has ended just now.
    fn drained(&self) {
        self.last.get_or_init(Mark::now);
    }

    fn span(&self) -> Option<(Mark, Mark)> {
        let first = *self.first.get()?;
        Some((first, self.last.get().copied().unwrap_or_else(Mark::now)))
    }
}

/// Does nothing.
struct Idle(Arc<Gauge>);

impl Handler for Idle {
    type Future = Ready<()>;

    fn handle(&self, record: Record) -> Ready<()> {
        self.0.begin();
        drop(record);
        self.0.end();
        ready(())
    }
}

/// Sleeps.
struct Sleeping(Arc<Gauge>, Duration);

impl Handler for Sleeping {
    type Future = Pin<Box<dyn Future<Output = ()> + Send>>;

    fn handle(&self, record: Record) -> Self::Future {
        let (gauge, work) = (Arc::clone(&self.0), self.1);
        gauge.begin();
        Box::pin(async move {
            tokio::time::sleep(work).await;
            drop(record);
            gauge.end();
        })
    }
}
