//! What is called for each record.

mod blocking;
#[cfg(feature = "tower")]
mod tower;

pub use blocking::{Blocking, BlockingFuture, blocking};
#[cfg(feature = "tower")]
pub use tower::{Tower, TowerFuture, service};

use crate::outcome::IntoOutcome;
use crate::record::Record;

/// Handles records. A closure `Fn(Record) -> impl Future` is one.
///
/// Up to `max_in_flight` futures exist at once; those of one lane (see
/// [`Ordering`](tidegate_engine::Ordering)) one after another. A handler that panics, in
/// [`handle`](Self::handle) or when polled, has failed its attempt and nothing more.
///
/// A handler should not block its thread; one that does holds up the futures that share the
/// worker with it, but not those of other workers. Use [`blocking`] for such work.
pub trait Handler: Send + Sync + 'static {
    /// What [`handle`](Self::handle) returns. Polled with tokio's cooperative budget off, by a
    /// worker that bounds its own work; kept in one place and reused, so its size is paid for
    /// `max_in_flight` times.
    type Future: Future<Output: IntoOutcome> + Send + 'static;

    /// Begins to handle a record.
    fn handle(&self, record: Record) -> Self::Future;

    /// What a cancelled attempt's future meets. [`OnCancel::Drop`] by default.
    fn on_cancel(&self) -> OnCancel {
        OnCancel::Drop
    }
}

/// What happens to the future of an attempt that is cancelled, beside that its
/// [token](Record::cancellation) fires.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnCancel {
    /// It is dropped, and the attempt has failed. Right for futures that stop when dropped.
    #[default]
    Drop,
    /// After a timeout it goes on until it ends by itself, and what it returns then counts: for
    /// work that a drop does not stop, so that the next attempt does not overlap with this one.
    /// When the partition is given away or the run ends, nobody waits: it is dropped.
    Wait,
}

impl<H, F> Handler for H
where
    H: Fn(Record) -> F + Send + Sync + 'static,
    F: Future<Output: IntoOutcome> + Send + 'static,
{
    type Future = F;

    fn handle(&self, record: Record) -> F {
        self(record)
    }
}
