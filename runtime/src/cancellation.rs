//! The cancellation token of a record, without an allocation for each record.

use std::fmt;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::Notify;

/// Tells a handler that its attempt is to end.
///
/// It fires when the attempt exceeds the handler timeout, when its partition was revoked and the
/// drain deadline has passed, when its partition was lost, and at the shutdown deadline. A future
/// is usually dropped at the same moment and need not look; a token serves what a drop does not
/// reach: spawned tasks, and [blocking](crate::blocking) handlers.
///
/// Clones see the same. Once the attempt is over the token says nothing more: it may turn
/// cancelled at any time.
#[derive(Clone)]
pub struct Cancellation {
    signal: Arc<CancelSignal>,
    generation: u64,
}

impl Cancellation {
    /// Whether the attempt is to end.
    pub fn is_cancelled(&self) -> bool {
        self.signal.fired.load(Ordering::Acquire) >= self.generation
    }

    /// Waits until the attempt is to end; at once if it already is.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing.
    pub async fn cancelled(&self) {
        let mut notified = pin!(self.signal.notify.notified());
        loop {
            // Registered before the check, so that firing in between is not missed.
            notified.as_mut().enable();
            if self.is_cancelled() {
                return;
            }
            notified.as_mut().await;
            notified.set(self.signal.notify.notified());
        }
    }
}

impl fmt::Debug for Cancellation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cancellation").field("cancelled", &self.is_cancelled()).finish()
    }
}

/// The firing side. A worker's slot owns one for as long as the worker lives and counts a
/// generation up for each attempt, so that a token costs a reference count and no allocation.
#[derive(Debug, Default)]
pub(crate) struct CancelSignal {
    /// The latest generation that was fired.
    fired: AtomicU64,
    notify: Notify,
}

impl CancelSignal {
    /// The token of attempt `generation`; generations of one signal only grow, from 1.
    pub(crate) fn token(self: &Arc<Self>, generation: u64) -> Cancellation {
        Cancellation { signal: Arc::clone(self), generation }
    }

    /// Fires the token of `generation` and all earlier ones.
    pub(crate) fn fire(&self, generation: u64) {
        self.fired.fetch_max(generation, Ordering::AcqRel);
        self.notify.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_token_fires_for_its_own_generation_only() {
        let signal = Arc::new(CancelSignal::default());
        let first = signal.token(1);
        assert!(!first.is_cancelled());
        let waiter = tokio::spawn({
            let first = first.clone();
            async move { first.cancelled().await }
        });
        tokio::task::yield_now().await;
        signal.fire(1);
        waiter.await.unwrap();
        first.cancelled().await;
        let second = signal.token(2);
        assert!(first.is_cancelled() && !second.is_cancelled());
    }
}
