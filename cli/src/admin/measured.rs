//! A handler whose time is measured.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use tidegate::{Handler, OnCancel, Record};

use super::histogram::Histogram;

/// Measures each attempt from its beginning until it ends or is cancelled.
pub(crate) struct Measured<H> {
    handler: H,
    histogram: Arc<Histogram>,
}

impl<H> Measured<H> {
    pub(crate) fn new(handler: H, histogram: Arc<Histogram>) -> Self {
        Self { handler, histogram }
    }
}

impl<H: Handler> Handler for Measured<H> {
    type Future = Attempt<H::Future>;

    fn handle(&self, record: Record) -> Self::Future {
        let timer = Timer { since: Instant::now(), histogram: Arc::clone(&self.histogram) };
        Attempt { future: Box::pin(self.handler.handle(record)), timer: Some(timer) }
    }

    fn on_cancel(&self) -> OnCancel {
        self.handler.on_cancel()
    }
}

/// One attempt.
pub(crate) struct Attempt<F> {
    future: Pin<Box<F>>,
    /// Until it has ended.
    timer: Option<Timer>,
}

impl<F: Future> Future for Attempt<F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let result = self.future.as_mut().poll(context);
        if result.is_ready() {
            self.timer = None;
        }
        result
    }
}

/// Counts when it is dropped.
struct Timer {
    since: Instant,
    histogram: Arc<Histogram>,
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.histogram.observe(self.since.elapsed());
    }
}
