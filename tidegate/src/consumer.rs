//! The consumer of Kafka topics.

use tidegate_runtime::{Event, Handler, Monitor, Run, Sink};

use crate::builder::Builder;
use crate::kafka::KafkaSource;

/// Consumes Kafka topics: reads what fits, runs a handler for each record in order and within
/// limits, and commits what is finished.
///
/// ```no_run
/// # async fn bill(_: &[u8]) -> Result<(), std::io::Error> { Ok(()) }
/// # #[tokio::main]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use tidegate::{Consumer, Record};
///
/// let consumer = Consumer::builder()
///     .brokers("localhost:9092")
///     .group("billing")
///     .topic("orders")
///     .max_in_flight(100)
///     .build()?;
///
/// consumer
///     .run(|record: Record| async move { bill(record.value().unwrap_or_default()).await })
///     .with_graceful_shutdown(async { tokio::signal::ctrl_c().await.unwrap_or(()) })
///     .await?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Consumer(pub(crate) tidegate_runtime::Consumer<KafkaSource>);

impl Consumer {
    /// Begins to build one.
    pub fn builder() -> Builder {
        Builder::new()
    }

    /// Tells events to `listener` and no longer to `tracing` (the default: target `tidegate`, at
    /// the event's level). Called outside of all locks; it should be quick and must not block.
    #[must_use]
    pub fn on_event(self, listener: impl Fn(&Event) + Send + Sync + 'static) -> Self {
        Self(self.0.on_event(listener))
    }

    /// Sends dead letters to `sink` instead of the builder's
    /// [dead-letter topic](Builder::dead_letter_topic).
    #[must_use]
    pub fn dead_letters(self, sink: impl Sink) -> Self {
        Self(self.0.dead_letters(sink))
    }

    /// Looks at this consumer from outside, also while it runs.
    pub fn monitor(&self) -> Monitor {
        self.0.monitor()
    }

    /// Runs `handler` for each record. Begins when the returned [`Run`] is awaited, and ends
    /// gracefully when the future of [`Run::with_graceful_shutdown`] completes.
    pub fn run<H: Handler>(self, handler: H) -> Run<KafkaSource, H> {
        self.0.run(handler)
    }
}
