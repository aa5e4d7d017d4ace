//! What happens during a run, to be shown, logged or counted.

mod words;

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use tidegate_engine::{MetadataError, Offset};

use crate::batch::TopicPartition;
use crate::source::SourceError;

/// How much an [`Event`] matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// Happens all the time.
    Debug,
    /// Good to know.
    Info,
    /// Something is wrong; the run goes on and what is to be done is done.
    Warning,
    /// Something needs a human: records are not processed, or may be lost.
    Error,
}

/// Why an attempt failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum FailureCause {
    /// The handler said so.
    Returned,
    /// The handler panicked.
    Panicked,
    /// The handler ran longer than the handler timeout.
    TimedOut,
    /// The handler's partition is given away or the run ends, and its time was up.
    Cancelled,
}

/// Something that happened during a run. `Display` says what, to which record or partition, and
/// what to do about it; never a key or a payload.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event {
    /// This member has a partition from now on.
    Assigned {
        /// The partition.
        partition: TopicPartition,
        /// Where the group left off; `None` if it never committed there.
        committed: Option<Offset>,
        /// Whether the commit names records above it that are finished already.
        finished_ahead: bool,
    },
    /// The finished ranges of a commit cannot be used.
    MetadataIgnored {
        /// The partition.
        partition: TopicPartition,
        /// Why; `None` if the topic's id is unknown now, or was when the commit was made, so that
        /// nobody can tell whether the commit speaks of this topic or an earlier one of its name.
        error: Option<MetadataError>,
    },
    /// The group takes a partition away; what is in flight is finished first.
    Revoking {
        /// The partition.
        partition: TopicPartition,
        /// How many handlers of it run.
        in_flight: u32,
    },
    /// A partition's handlers did not end before the drain or shutdown deadline.
    DrainDeadline {
        /// The partition.
        partition: TopicPartition,
        /// How many handlers of it are cancelled.
        in_flight: u32,
    },
    /// A partition was given back.
    Released {
        /// The partition.
        partition: TopicPartition,
        /// How many records of it were finished but could not be committed.
        uncommitted: u64,
    },
    /// A partition was taken away without notice; its handlers are cancelled.
    Lost {
        /// The partition.
        partition: TopicPartition,
        /// How many records of it were finished but not committed.
        uncommitted: u64,
    },
    /// The log has a commit.
    Committed {
        /// The partition.
        partition: TopicPartition,
        /// The next offset to process after a restart.
        offset: Offset,
    },
    /// The log did not take a commit. It is tried again.
    CommitFailed {
        /// The partition.
        partition: TopicPartition,
        /// The offset that was to be committed.
        offset: Offset,
        /// Why.
        error: SourceError,
    },
    /// No commit of a partition has succeeded for longer than the stall time: nothing more of it
    /// is read or started until one does. Told once; over with
    /// [`CommitsResumed`](Self::CommitsResumed), or when the partition is lost or released.
    CommitsStalled {
        /// The partition.
        partition: TopicPartition,
        /// For how long a commit has been tried.
        since: Duration,
    },
    /// A commit of a partition whose commits stalled has succeeded; it goes on.
    CommitsResumed {
        /// The partition.
        partition: TopicPartition,
        /// How long it took.
        after: Duration,
    },
    /// An attempt failed and the record will be tried again.
    AttemptFailed {
        /// The record's partition.
        partition: TopicPartition,
        /// The record.
        offset: Offset,
        /// The attempt that failed, from 1.
        attempt: u32,
        /// What ended it.
        cause: FailureCause,
        /// The handler's or the panic's words.
        reason: String,
        /// When the next attempt begins.
        next: Duration,
    },
    /// What the handler calls is overloaded. The record is tried again and no attempt charged.
    Overloaded {
        /// The record's partition.
        partition: TopicPartition,
        /// The record.
        offset: Offset,
        /// The handler's words.
        reason: String,
        /// When the next attempt begins.
        next: Duration,
    },
    /// An attempt did not finish and nobody tries again here: the partition is being given away,
    /// or has stopped. The record is delivered again to the partition's next owner.
    Unfinished {
        /// The record's partition.
        partition: TopicPartition,
        /// The record.
        offset: Offset,
        /// What ended it.
        cause: FailureCause,
        /// The handler's or the panic's words.
        reason: String,
    },
    /// The last attempt failed: the partition stopped at this record.
    PartitionStopped {
        /// The partition.
        partition: TopicPartition,
        /// The record.
        offset: Offset,
        /// How many attempts it had.
        attempts: u32,
        /// Why the last one failed.
        reason: String,
    },
    /// The last attempt failed: the record was skipped.
    GivenUp {
        /// The record's partition.
        partition: TopicPartition,
        /// The record.
        offset: Offset,
        /// How many attempts it had.
        attempts: u32,
        /// Why the last one failed.
        reason: String,
    },
    /// A record is in the dead-letter topic, and finished.
    DeadLettered {
        /// The record's partition.
        partition: TopicPartition,
        /// The record.
        offset: Offset,
        /// How many attempts it had.
        attempts: u32,
        /// Why the last one failed.
        reason: String,
    },
    /// A dead letter could not be written; it is tried again, and its record waits. Told once,
    /// until one was written.
    DeadLettersFail {
        /// The record's partition.
        partition: TopicPartition,
        /// The record.
        offset: Offset,
        /// Why.
        error: String,
    },
    /// A record is to become a dead letter, but too many have without a success in between: it is
    /// tried again. Told once, until the next letter is written.
    DeadLetterHeld {
        /// The record's partition.
        partition: TopicPartition,
        /// The record.
        offset: Offset,
        /// Why it failed.
        reason: String,
        /// When the next attempt begins.
        next: Duration,
    },
    /// A handler has been running for very long.
    Stuck {
        /// The record's partition.
        partition: TopicPartition,
        /// The record.
        offset: Offset,
        /// The attempt that runs, from 1.
        attempt: u32,
        /// For how long.
        running: Duration,
    },
    /// A partition's committed offset does not move though there is work.
    NoProgress {
        /// The partition.
        partition: TopicPartition,
        /// The first record that is not finished.
        offset: Offset,
        /// How many records are admitted and not finished.
        unfinished: u32,
        /// For how long it has not moved.
        since: Duration,
    },
    /// A partition cannot be read on; others go on.
    PartitionFailed {
        /// The partition.
        partition: TopicPartition,
        /// Why, and what to do.
        error: SourceError,
    },
    /// Something is wrong at the source; it goes on by itself.
    Trouble(SourceError),
    /// A trouble is over.
    Recovered(String),
    /// The source cannot go on; the run ends.
    Failed(SourceError),
    /// The run ends: nothing new starts, what is in flight is finished.
    Draining {
        /// How many handlers run.
        in_flight: u32,
        /// How many admitted records wait; they are delivered again after a restart.
        queued: u32,
        /// How long the handlers have.
        timeout: Duration,
    },
}

impl Event {
    /// Its kind as a short name that stays the same over versions: for logs, metrics and JSON.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Assigned { .. } => "assigned",
            Self::MetadataIgnored { .. } => "metadata-ignored",
            Self::Revoking { .. } => "revoking",
            Self::DrainDeadline { .. } => "drain-deadline",
            Self::Released { .. } => "released",
            Self::Lost { .. } => "lost",
            Self::Committed { .. } => "committed",
            Self::CommitFailed { .. } => "commit-failed",
            Self::CommitsStalled { .. } => "commits-stalled",
            Self::CommitsResumed { .. } => "commits-resumed",
            Self::AttemptFailed { .. } => "attempt-failed",
            Self::Overloaded { .. } => "overloaded",
            Self::Unfinished { .. } => "unfinished",
            Self::PartitionStopped { .. } => "partition-stopped",
            Self::GivenUp { .. } => "given-up",
            Self::DeadLettered { .. } => "dead-lettered",
            Self::DeadLettersFail { .. } => "dead-letters-fail",
            Self::DeadLetterHeld { .. } => "dead-letter-held",
            Self::Stuck { .. } => "stuck",
            Self::NoProgress { .. } => "no-progress",
            Self::PartitionFailed { .. } => "partition-failed",
            Self::Trouble(_) => "trouble",
            Self::Recovered(_) => "recovered",
            Self::Failed(_) => "source-failed",
            Self::Draining { .. } => "draining",
        }
    }

    /// How much it matters.
    pub fn level(&self) -> Level {
        match self {
            Self::Committed { .. } => Level::Debug,
            Self::Assigned { .. }
            | Self::Revoking { .. }
            | Self::Released { uncommitted: 0, .. }
            | Self::Unfinished { .. }
            | Self::Recovered(_)
            | Self::CommitsResumed { .. }
            | Self::Draining { .. } => Level::Info,
            Self::MetadataIgnored { .. }
            | Self::DrainDeadline { .. }
            | Self::Released { .. }
            | Self::Lost { .. }
            | Self::CommitFailed { .. }
            | Self::CommitsStalled { .. }
            | Self::AttemptFailed { .. }
            | Self::Overloaded { .. }
            | Self::DeadLettered { .. }
            | Self::DeadLettersFail { .. }
            | Self::DeadLetterHeld { .. }
            | Self::Stuck { .. }
            | Self::NoProgress { .. }
            | Self::Trouble(_) => Level::Warning,
            Self::PartitionStopped { .. }
            | Self::GivenUp { .. }
            | Self::PartitionFailed { .. }
            | Self::Failed(_) => Level::Error,
        }
    }
}

/// Where events go. Called outside of all locks.
#[derive(Clone)]
pub(crate) struct Events(Arc<dyn Fn(&Event) + Send + Sync>);

impl Events {
    pub(crate) fn to(listener: impl Fn(&Event) + Send + Sync + 'static) -> Self {
        Self(Arc::new(listener))
    }

    /// A listener that panics does not take the run with it; the panic hook has shown it.
    pub(crate) fn emit(&self, event: &Event) {
        let _ = catch_unwind(AssertUnwindSafe(|| self.0(event)));
    }
}

impl Default for Events {
    fn default() -> Self {
        Self::to(|event| match event.level() {
            Level::Debug => tracing::debug!(target: "tidegate", "{event}"),
            Level::Info => tracing::info!(target: "tidegate", "{event}"),
            Level::Warning => tracing::warn!(target: "tidegate", "{event}"),
            Level::Error => tracing::error!(target: "tidegate", "{event}"),
        })
    }
}

impl fmt::Debug for Events {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Events")
    }
}
