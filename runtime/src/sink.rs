//! Where dead letters go: the contract between the runtime and a dead-letter topic.

use std::pin::Pin;

use thiserror::Error;

use crate::event::FailureCause;
use crate::record::Record;

/// Writes dead letters.
///
/// The runtime calls [`write`](Self::write) for one record after another, also for several at
/// once, and takes a record as finished when its letter was acknowledged. What
/// [failed](SinkError::Failed) is tried again until it succeeds, or until the partition is given
/// away; meanwhile the record keeps its permit and its key, so that a sink that is down stops the
/// consumer and loses nothing.
pub trait Sink: Send + Sync + 'static {
    /// Writes a letter and waits until it is safe.
    ///
    /// # Errors
    /// [`SinkError`] says whether trying again may help.
    ///
    /// # Cancel safety
    /// Dropping the future gives the letter up; it may have been written all the same, and is
    /// then written again by the record's next owner.
    fn write<'a>(&'a self, letter: &'a Letter) -> SinkFuture<'a>;
}

/// What [`Sink::write`] returns.
pub type SinkFuture<'a> = Pin<Box<dyn Future<Output = Result<(), SinkError>> + Send + 'a>>;

/// A record that no attempt will process.
#[derive(Debug)]
#[non_exhaustive]
pub struct Letter {
    /// The record. Its attempt is the last one; its cancellation token never fires.
    pub record: Record,
    /// What ended its last attempt.
    pub cause: FailureCause,
    /// The handler's or the panic's words.
    pub reason: String,
}

/// Why a letter was not written.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SinkError {
    /// It may be written later.
    #[error("{0}")]
    Failed(String),
    /// It will never be written as it is: the record's partition stops.
    #[error("{0}")]
    Refused(String),
}
