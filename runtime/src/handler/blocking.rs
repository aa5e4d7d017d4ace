//! Handlers that block their thread, on a pool of their own.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinHandle;

use super::{Handler, OnCancel};
use crate::outcome::{IntoOutcome, Outcome};
use crate::record::Record;

/// Handles records with a closure that blocks: file or database work without async, heavy
/// computation.
///
/// It runs on threads of its own, started when needed, at most 512 (see [`Blocking::threads`]).
///
/// A closure that runs cannot be stopped. After a handler timeout its
/// [token](Record::cancellation) fires, and the record stays in flight until the closure returns;
/// what it returns then counts. When its partition is given away, lost, or the run reaches its
/// shutdown deadline, the token fires and nobody waits: **the closure may still run while another
/// member already handles the record again**. Look at the token between steps, and make the last
/// step idempotent. A closure that waits for a thread when it is cancelled never starts.
///
/// ```
/// use tidegate_runtime::{Record, blocking};
///
/// let handler = blocking(|record: Record| {
///     std::fs::write("/dev/null", record.value().unwrap_or_default())
/// });
/// # drop(handler);
/// ```
pub fn blocking<F, O>(work: F) -> Blocking<F>
where
    F: Fn(Record) -> O + Send + Sync + 'static,
    O: IntoOutcome + Send + 'static,
{
    Blocking { work: Arc::new(work), threads: 512, pool: OnceLock::new() }
}

/// The handler that [`blocking`] makes.
///
/// Dropping it does not wait for closures that still run.
pub struct Blocking<F> {
    work: Arc<F>,
    threads: usize,
    /// Made at the first record. Its only use is its pool of blocking threads, which grows on
    /// demand and shrinks when idle.
    pool: OnceLock<Result<Runtime, String>>,
}

impl<F> Blocking<F> {
    /// How many threads there may be; 1 to 100,000, values outside are moved to the nearer end.
    /// 512 by default. Records that find none wait in flight, and their handler timeout runs.
    #[must_use]
    pub fn threads(mut self, threads: usize) -> Self {
        self.threads = threads.clamp(1, 100_000);
        self
    }

    fn pool(&self) -> &Result<Runtime, String> {
        self.pool.get_or_init(|| {
            Builder::new_current_thread()
                .thread_name("tidegate-blocking")
                .max_blocking_threads(self.threads)
                .build()
                .map_err(|error| format!("cannot make a pool of blocking threads: {error}"))
        })
    }
}

impl<F, O> Handler for Blocking<F>
where
    F: Fn(Record) -> O + Send + Sync + 'static,
    O: IntoOutcome + Send + 'static,
{
    type Future = BlockingFuture;

    fn handle(&self, record: Record) -> BlockingFuture {
        match self.pool() {
            Ok(pool) => {
                let work = Arc::clone(&self.work);
                BlockingFuture(Ok(pool.spawn_blocking(move || {
                    if record.cancellation().is_cancelled() {
                        return Outcome::retry("cancelled before a thread was free");
                    }
                    work(record).into_outcome()
                })))
            }
            Err(reason) => BlockingFuture(Err(Outcome::retry(reason))),
        }
    }

    fn on_cancel(&self) -> OnCancel {
        OnCancel::Wait
    }
}

impl<F> Drop for Blocking<F> {
    fn drop(&mut self) {
        // A plain drop of a runtime waits for its threads, and panics where waiting is forbidden.
        if let Some(Ok(pool)) = self.pool.take() {
            pool.shutdown_background();
        }
    }
}

impl<F> fmt::Debug for Blocking<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Blocking").field("threads", &self.threads).finish_non_exhaustive()
    }
}

/// The future of a [`Blocking`] handler.
#[derive(Debug)]
pub struct BlockingFuture(Result<JoinHandle<Outcome>, Outcome>);

impl Future for BlockingFuture {
    type Output = Outcome;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Outcome> {
        match &mut self.0 {
            Ok(work) => match ready!(Pin::new(work).poll(cx)) {
                Ok(outcome) => Poll::Ready(outcome),
                // Goes on as the worker's own: a failed attempt with this message.
                Err(error) if error.is_panic() => std::panic::resume_unwind(error.into_panic()),
                Err(_) => Poll::Ready(Outcome::retry("the pool of blocking threads was closed")),
            },
            Err(outcome) => Poll::Ready(outcome.clone()),
        }
    }
}

impl Drop for BlockingFuture {
    fn drop(&mut self) {
        if let Ok(work) = &self.0 {
            // Only keeps it from starting; what runs cannot be stopped.
            work.abort();
        }
    }
}
