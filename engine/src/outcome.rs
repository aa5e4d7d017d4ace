//! What a handler says of a record, and what the engine made of it.

use core::time::Duration;

use crate::{Instant, Offset, PartitionId};

/// What became of one attempt at a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// The record is finished.
    Done,
    /// The record is finished, without having been processed: the handler wants none of it.
    Skip,
    /// The attempt failed. The record is tried again after `after`, or after the configured
    /// backoff; its key's later records wait, other keys flow. After the last attempt
    /// [`AfterLastAttempt`](crate::AfterLastAttempt) decides.
    Retry {
        /// The delay the handler asks for; `None` uses the exponential backoff.
        after: Option<Duration>,
    },
    /// What the handler calls is overloaded. Charges no attempt and never exhausts the record,
    /// except that while other records succeed, every 10th such answer for one record counts as
    /// one failed attempt, so that one poison record cannot hold its key for ever.
    Overloaded {
        /// When to try again, but not before the backoff's first delay; `None` uses the
        /// exponential backoff.
        retry_after: Option<Duration>,
    },
    /// No attempt will ever succeed. The record goes to the dead-letter topic; where
    /// [`AfterLastAttempt`](crate::AfterLastAttempt) is another policy, it is treated as if this
    /// had been its last attempt.
    DeadLetter,
}

/// What became of a dead letter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum LetterOutcome {
    /// The dead-letter topic has acknowledged it: the record is finished.
    Written,
    /// The dead-letter topic will never take it (it is too large, say): the partition stops.
    Refused,
    /// It was given up before an answer came, because the partition is given away. It may have
    /// been written all the same; then it is written twice.
    Abandoned,
}

/// What the engine did with an outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// The record is finished.
    Finished,
    /// It will be dispatched again at `at`, as attempt `attempt`.
    Again {
        /// When its turn comes again.
        at: Instant,
        /// The number of the coming attempt, from 1.
        attempt: u32,
    },
    /// The last attempt failed and the partition has stopped at this record.
    Stopped {
        /// The partition.
        partition: PartitionId,
        /// The record it stopped at.
        offset: Offset,
        /// How many attempts it had.
        attempts: u32,
    },
    /// The last attempt failed and the record was skipped.
    GivenUp {
        /// The partition.
        partition: PartitionId,
        /// The skipped record.
        offset: Offset,
        /// How many attempts it had.
        attempts: u32,
    },
    /// Write the record to the dead-letter topic, and hand in what came of it by
    /// [`handle_dead_letter`](crate::Engine::handle_dead_letter). Until then it keeps its permit
    /// and its lane; the handler timeout does not apply.
    DeadLetter {
        /// The partition.
        partition: PartitionId,
        /// The record.
        offset: Offset,
        /// How many attempts it had.
        attempts: u32,
    },
    /// It is to become a dead letter, but there is no
    /// [credit](crate::Config::dead_letter_credit): it is tried again at `at`, at no charge.
    Held {
        /// When its turn comes again.
        at: Instant,
    },
    /// The attempt failed while its partition drains or is stopped: it stays unfinished and
    /// will be delivered again, to whoever owns the partition next.
    Unfinished,
    /// The ticket is of an earlier epoch; nothing happened.
    Stale,
}
