//! A run from its first await to its summary.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tidegate_engine::AfterLastAttempt;
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, JoinSet};

use crate::consumer::Consumer;
use crate::handler::Handler;
use crate::letters::Letters;
use crate::pump::{Finished, Pump};
use crate::settings::MAX_WORKERS;
use crate::shared::Shared;
use crate::source::{Source, SourceError};
use crate::summary::{RunError, Summary};
use crate::worker::{Doorbell, Worker};

/// The most handlers that may ever be in flight, and so the most slots of a worker.
const MAX_SLOTS: usize = 100_000;
/// At the end, workers are waited for so long; longer only if a handler blocks its thread.
const WORKER_WAIT: Duration = Duration::from_secs(1);

type Shutdown = Pin<Box<dyn Future<Output = ()> + Send>>;

/// A run that begins when it is awaited, inside a tokio runtime with timers.
///
/// It ends when the future given to [`with_graceful_shutdown`](Self::with_graceful_shutdown)
/// completes, when [`until_end`](crate::Settings::until_end) or
/// [`max_records`](crate::Settings::max_records) is reached, or when the source cannot go on. In
/// each case it drains: nothing new starts, what is in flight finishes (until the shutdown
/// deadline), what is finished is committed, the group is left. With a broker that is gone this
/// ends within the shutdown timeout all the same, and the summary says what was not committed.
///
/// # Errors
/// [`RunError`], when the source could not begin or not go on.
///
/// # Cancel safety
/// Dropping the future stops everything: handlers are dropped, and nothing that is not finished
/// is committed. What was finished since the last commit is delivered again, as after a crash. It
/// does not wait for any of this; a source with a thread of its own ends shortly after. To see
/// nothing twice, shut down gracefully.
pub struct Run<S, H> {
    consumer: Consumer<S>,
    handler: H,
    shutdown: Shutdown,
}

impl<S: Source, H: Handler> Run<S, H> {
    pub(crate) fn new(consumer: Consumer<S>, handler: H) -> Self {
        Self { consumer, handler, shutdown: Box::pin(std::future::pending()) }
    }

    /// Drains and ends when `shutdown` completes. A later call replaces an earlier one.
    #[must_use]
    pub fn with_graceful_shutdown(
        mut self,
        shutdown: impl Future<Output = ()> + Send + 'static,
    ) -> Self {
        self.shutdown = Box::pin(shutdown);
        self
    }
}

impl<S, H> fmt::Debug for Run<S, H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Run").field("consumer", &self.consumer).finish_non_exhaustive()
    }
}

impl<S: Source, H: Handler> IntoFuture for Run<S, H> {
    type Output = Result<Summary, RunError>;
    type IntoFuture = Pin<Box<dyn Future<Output = Self::Output> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(drive(self))
    }
}

/// Stops everything when the run's future is dropped, or ends.
struct AbortOnDrop {
    shared: Arc<Shared>,
    pump: Option<JoinHandle<()>>,
}

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.shared.abort();
        if let Some(pump) = &self.pump {
            pump.abort();
        }
    }
}

type PumpResult = Result<Finished, SourceError>;

async fn drive<S: Source, H: Handler>(run: Run<S, H>) -> Result<Summary, RunError> {
    let Run { consumer, handler, mut shutdown } = run;
    let Consumer { source, settings, events, shared, sink } = consumer;
    if settings.engine.after_last_attempt == AfterLastAttempt::DeadLetter && sink.is_none() {
        return Err(RunError::NoSink);
    }
    let runtime = Handle::try_current().map_err(|_| RunError::NoRuntime)?;
    let mut guard = AbortOnDrop { shared: Arc::clone(&shared), pump: None };

    let count = settings.workers.unwrap_or_else(|| runtime.metrics().num_workers());
    let count = count.clamp(1, MAX_WORKERS);
    let doorbells: Vec<_> = (0..count).map(|_| Doorbell::new(MAX_SLOTS)).collect();
    shared.lock().workers = count;
    let handler = Arc::new(handler);
    let letters = Arc::new(Letters::new(sink, Arc::clone(&shared), events.clone()));
    let mut workers = JoinSet::new();
    for (index, doorbell) in doorbells.iter().enumerate() {
        let worker = Worker::new(
            index,
            Arc::clone(&shared),
            Arc::clone(doorbell),
            Arc::clone(&handler),
            events.clone(),
            Arc::clone(&letters),
            !S::NEEDS_THREAD,
        );
        workers.spawn(tokio::task::unconstrained(worker));
    }
    drop(handler);
    // Set once: a consumer is consumed by its run.
    let _ = shared.workers.set(doorbells);

    let (tell, mut finished) = oneshot::channel::<PumpResult>();
    let pump = Pump::new(source, Arc::clone(&shared), events, settings);
    if S::NEEDS_THREAD {
        spawn_thread(pump, tell).map_err(RunError::Thread)?;
    } else {
        guard.pump = Some(tokio::spawn(async move {
            let _ = tell.send(pump.run().await);
        }));
    }

    let mut asked = false;
    let result = loop {
        tokio::select! {
            biased;
            result = &mut finished => break result,
            Some(ended) = workers.join_next() => {
                if let Err(error) = ended {
                    return Err(RunError::Fault(format!("a worker ended: {error}")));
                }
            }
            () = &mut shutdown, if !asked => {
                asked = true;
                shared.shutdown.store(true, Ordering::Release);
                shared.pump.notify_one();
            }
        }
    };
    let result = result.map_err(|_| RunError::Fault("the pump ended".to_owned()))?;
    if shared.is_aborted() {
        return Err(RunError::Fault("a lock was left in an unknown state".to_owned()));
    }

    shared.lock().ended = true;
    shared.ring_all();
    let all_ended = async { while workers.join_next().await.is_some() {} };
    let _ = tokio::time::timeout(WORKER_WAIT, all_ended).await;

    let finished = result.map_err(RunError::Start)?;
    let summary = summarise(&shared, &finished);
    match finished.failure {
        Some(error) => Err(RunError::Source { error, summary: Box::new(summary) }),
        None => Ok(summary),
    }
}

/// Drives the pump on a thread of its own, with a runtime of its own for its timers: it then
/// neither waits for threads that handlers block, nor outlives a runtime whose timers it uses.
fn spawn_thread<S: Source>(
    pump: Pump<S>,
    tell: oneshot::Sender<PumpResult>,
) -> std::io::Result<()> {
    let runtime = Builder::new_current_thread().enable_time().build()?;
    std::thread::Builder::new().name("tidegate-source".to_owned()).spawn(move || {
        let _ = tell.send(runtime.block_on(pump.run()));
    })?;
    Ok(())
}

fn summarise(shared: &Shared, finished: &Finished) -> Summary {
    let core = shared.lock();
    Summary {
        counters: core.engine.snapshot(shared.clock.now()).counters,
        panics: core.panics,
        stopped: core.stopped(),
        unfinished: finished.unfinished,
        uncommitted: finished.uncommitted,
        closed: finished.closed,
    }
}
