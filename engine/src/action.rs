//! What goes into the engine and what it asks its caller to do.

use alloc::string::String;
use core::time::Duration;

use crate::{KeyHash, Offset, PartitionId, Ticket};

/// A record as the engine sees it on admission.
#[derive(Clone, Debug)]
pub struct Arrival<P> {
    /// Its offset. Within a partition offsets only grow.
    pub offset: Offset,
    /// Key, value and headers together.
    pub bytes: u32,
    /// The hash of its key; `None` for a null key.
    pub key: Option<KeyHash>,
    /// The leader epoch that the record was written in, -1 if unknown.
    pub leader_epoch: i32,
    /// The caller's own handle on the record. A clone goes out with each dispatch.
    pub payload: P,
}

/// How far a partition was read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Position {
    /// The next offset to read.
    pub offset: Offset,
    /// The leader epoch of what lies before it, -1 if unknown. That may be a transaction marker of
    /// a later epoch than the last record: committed with the record's, the offset would look as if
    /// it lay beyond the end of that epoch, which is how a truncated log looks.
    pub leader_epoch: i32,
}

impl From<Offset> for Position {
    /// With an unknown leader epoch.
    fn from(offset: Offset) -> Self {
        Self { offset, leader_epoch: -1 }
    }
}

/// How much the engine would take from a partition now.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capacity {
    /// At most so many records.
    pub records: u32,
    /// At most so many bytes in all.
    pub bytes: u64,
    /// The first record may be as large as this, even if that is more than `bytes`: one record
    /// always fits into an empty budget.
    pub first: u64,
}

/// A record whose turn it is. It holds a permit until its outcome is handed in.
#[derive(Clone, Debug)]
pub struct Dispatch<P> {
    /// Goes back with the outcome.
    pub ticket: Ticket,
    /// Its partition.
    pub partition: PartitionId,
    /// Its offset.
    pub offset: Offset,
    /// Which attempt this is, from 1.
    pub attempt: u32,
    /// The caller's handle on the record.
    pub payload: P,
    /// Only for those of [`poll_followers`](crate::Engine::poll_followers): the index of the
    /// dispatch that must be done before this one is started.
    pub after: Option<u32>,
}

/// What the engine knows of a partition when it is assigned.
#[derive(Clone, Copy, Debug, Default)]
pub struct Start<'a> {
    /// The group's committed offset, if it has one.
    pub committed: Option<Offset>,
    /// The metadata string of that commit.
    pub metadata: &'a str,
    /// A number that tells this topic from an earlier one of the same name (a hash of its topic
    /// id); 0 if unknown. Finished ranges of another incarnation are ignored.
    pub incarnation: u64,
}

/// An offset to commit, with the finished ranges above it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommitPoint {
    /// The partition.
    pub partition: PartitionId,
    /// The next offset to process: everything below it is finished.
    pub offset: Offset,
    /// The highest leader epoch of the records read so far, -1 if unknown.
    pub leader_epoch: i32,
    /// The topic's incarnation and the finished ranges above `offset`, encoded; empty if neither
    /// is known.
    pub metadata: String,
}

/// Something the caller must do or tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Action {
    /// Stop the handler of this ticket and hand in [`Outcome::Retry`](crate::Outcome) for it; the
    /// permit stays taken until then. A handler that ends first wins.
    Cancel {
        /// The dispatch to cancel.
        ticket: Ticket,
        /// Why.
        reason: CancelReason,
    },
    /// A partition that is being revoked has nothing in flight any more.
    Drained {
        /// The partition.
        partition: PartitionId,
    },
    /// The watchdog: a handler has been running for `stuck_after`. Reported once for a dispatch.
    Stuck {
        /// The partition.
        partition: PartitionId,
        /// The record.
        offset: Offset,
        /// The attempt that is running.
        attempt: u32,
        /// For how long it has run.
        running: Duration,
    },
    /// The watchdog: the committed offset of a partition with unfinished records has not moved
    /// for `stuck_after`. Reported once until it moves.
    NoProgress {
        /// The partition.
        partition: PartitionId,
        /// The first unfinished record.
        offset: Offset,
        /// How many records above it are unfinished.
        unfinished: u32,
        /// For how long it has not moved.
        since: Duration,
    },
}

/// Why a handler is to be cancelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum CancelReason {
    /// It ran longer than `handler_timeout`.
    Timeout,
    /// Its partition is gone: its outcome will be ignored.
    Revoked,
}
