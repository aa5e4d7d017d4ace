//! Plain data for screens, metrics and tests.

use alloc::vec::Vec;

use crate::{Offset, PartitionId};

/// What happened since the engine was made, in records unless named otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Admitted.
    pub admitted: u64,
    /// Read, but known to be finished from the ranges of an earlier commit.
    pub already_finished: u64,
    /// Attempts that were started.
    pub started: u64,
    /// Finished as done.
    pub done: u64,
    /// Finished as skipped by the handler.
    pub skipped: u64,
    /// Finished by giving up after the last attempt.
    pub given_up: u64,
    /// Finished as dead letters that were acknowledged.
    pub dead_lettered: u64,
    /// How often a record had to wait because there was no credit for its dead letter.
    pub held: u64,
    /// Attempts that failed, time-outs included.
    pub failed: u64,
    /// Attempts that were cancelled because they ran too long.
    pub timed_out: u64,
    /// Overload answers.
    pub overloaded: u64,
    /// Outcomes that came too late, of partitions that are gone.
    pub stale: u64,
    /// Finished ranges that did not fit into a commit's metadata.
    pub dropped_ranges: u64,
}

/// Whether a partition is being worked on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum PartitionState {
    /// It is.
    Active,
    /// It is being revoked: in flight finishes, nothing starts.
    Draining,
    /// It stopped and nothing of it starts any more.
    Stopped {
        /// The record it stopped at, if it was a record that stopped it.
        at: Option<Offset>,
    },
}

/// One partition at a moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionSnapshot {
    /// Which.
    pub partition: PartitionId,
    /// Whether it is being worked on.
    pub state: PartitionState,
    /// The next offset to read, if known.
    pub position: Option<Offset>,
    /// What the log has as committed, as far as known.
    pub committed: Option<Offset>,
    /// What could be committed: the first unfinished offset.
    pub commit_point: Option<Offset>,
    /// Read and not finished, those included that are not processed any more because the
    /// partition drains or has stopped.
    pub unfinished: u32,
    /// Admitted and waiting.
    pub queued: u32,
    /// Handlers running.
    pub in_flight: u32,
    /// Bytes of the admitted records.
    pub bytes: u64,
    /// Finished, but not known to be committed (neither below the committed offset nor in its
    /// ranges): what would come again after a crash, beside the admitted ones.
    pub uncommitted: u64,
}

/// The engine at a moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// The current limit of handlers in flight.
    pub limit: u32,
    /// Handlers running, orphans of revoked partitions included.
    pub in_flight: u32,
    /// Admitted and waiting.
    pub queued: u32,
    /// Of these, how many only wait for a permit.
    pub ready: u32,
    /// Of these, how many wait for a next attempt.
    pub backing_off: u32,
    /// Dead letters being written. They are part of `in_flight`.
    pub writing: u32,
    /// How many records may become dead letters before another one is done.
    pub dead_letter_credit: u32,
    /// Bytes of the admitted records.
    pub bytes: u64,
    /// Busy keys (or partitions, when ordered by partition).
    pub busy_lanes: usize,
    /// Whether admission is stopped because commits do not succeed.
    pub commits_stalled: bool,
    /// Since the engine was made.
    pub counters: Counters,
    /// The assigned partitions.
    pub partitions: Vec<PartitionSnapshot>,
}
