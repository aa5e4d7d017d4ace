//! The consumer: a source, settings, and a handler to run.

use std::fmt;
use std::sync::Arc;

use tidegate_engine::ConfigError;

use crate::event::{Event, Events};
use crate::handler::Handler;
use crate::monitor::Monitor;
use crate::run::Run;
use crate::settings::Settings;
use crate::shared::Shared;
use crate::sink::Sink;
use crate::source::Source;

/// Consumes a [`Source`]: reads what fits, runs a [`Handler`] for each record in order and within
/// limits, and commits what is finished.
///
/// ```
/// use tidegate_runtime::{Consumer, Settings, memory::{MemoryLog, NewRecord}};
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// let log = MemoryLog::new();
/// log.create_topic("greetings", 2)?;
/// log.produce("greetings", NewRecord::value("hello").key("world"))?;
///
/// let settings = Settings { until_end: true, ..Settings::default() };
/// let summary = Consumer::new(log.source("example", ["greetings"]), settings)?
///     .run(|record: tidegate_runtime::Record| async move {
///         assert_eq!(record.value(), Some(&b"hello"[..]));
///     })
///     .await?;
/// assert_eq!(summary.finished(), 1);
/// # Ok(())
/// # }
/// ```
pub struct Consumer<S> {
    pub(crate) source: S,
    pub(crate) settings: Settings,
    pub(crate) events: Events,
    pub(crate) shared: Arc<Shared>,
    pub(crate) sink: Option<Arc<dyn Sink>>,
}

impl<S: Source> Consumer<S> {
    /// A consumer of `source`. Does nothing until it is run.
    ///
    /// # Errors
    /// When a setting is [outside its range](Settings::validate).
    pub fn new(source: S, settings: Settings) -> Result<Self, ConfigError> {
        settings.validate()?;
        let shared = Shared::new(settings.clone())?;
        Ok(Self { source, settings, events: Events::default(), shared, sink: None })
    }

    /// Tells events to `listener` and no longer to `tracing` (the default: target `tidegate`, at
    /// the event's level).
    ///
    /// It is called from the run's own tasks, outside of all locks and in the order in which one
    /// task saw things happen; it should be quick and must not block. A panic in it is ignored.
    #[must_use]
    pub fn on_event(mut self, listener: impl Fn(&Event) + Send + Sync + 'static) -> Self {
        self.events = Events::to(listener);
        self
    }

    /// Where dead letters go, if [`AfterLastAttempt::DeadLetter`] is chosen.
    ///
    /// [`AfterLastAttempt::DeadLetter`]: tidegate_engine::AfterLastAttempt::DeadLetter
    #[must_use]
    pub fn dead_letters(mut self, sink: impl Sink) -> Self {
        self.sink = Some(Arc::new(sink));
        self
    }

    /// Looks at this consumer from outside.
    pub fn monitor(&self) -> Monitor {
        Monitor::new(Arc::clone(&self.shared))
    }

    /// Runs `handler` for each record. Begins when the returned [`Run`] is awaited.
    pub fn run<H: Handler>(self, handler: H) -> Run<S, H> {
        Run::new(self, handler)
    }
}

impl<S> fmt::Debug for Consumer<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Consumer").field("settings", &self.settings).finish_non_exhaustive()
    }
}
