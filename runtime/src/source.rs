//! Where records come from: the contract between the runtime and a log.

use std::sync::Arc;

use thiserror::Error;
use tidegate_engine::{Capacity, CommitPoint, Offset, PartitionId, Position};
use tokio::sync::Notify;

use crate::batch::{Batch, TopicPartition};

/// A log with partitions, a group and committed offsets.
///
/// The runtime calls every method from one task (or one thread of its own, see
/// [`NEEDS_THREAD`](Self::NEEDS_THREAD)), and none may block. A source tells of everything by
/// [`poll_event`](Self::poll_event) and wakes the runtime through its [`SourceWaker`] when there
/// may be an event or a record.
///
/// A partition's life: [`Assigned`](SourceEvent::Assigned), then reads and commits, then
/// [`Revoking`](SourceEvent::Revoking) (the runtime drains, commits and calls
/// [`release`](Self::release)) or [`Lost`](SourceEvent::Lost) (it calls `release` at once).
/// Until `release` the partition's [`PartitionId`] means this topic and partition; the same one
/// always gets the same id again.
pub trait Source: Send + 'static {
    /// Whether the source must be driven from an OS thread of its own (a client library whose
    /// calls may take a lock for a moment) and not from a tokio task.
    const NEEDS_THREAD: bool = false;

    /// Begins: join the group, keep the waker. Called once, before anything else.
    ///
    /// # Errors
    /// What makes it impossible to begin; the run ends with it.
    fn start(&mut self, waker: SourceWaker) -> Result<(), SourceError>;

    /// The next thing that happened, `None` if there is nothing (yet).
    fn poll_event(&mut self) -> Option<SourceEvent>;

    /// Whether a read of this partition could bring records now. Cheap; may be wrong in the
    /// affirmative.
    fn has_records(&self, partition: PartitionId) -> bool;

    /// Takes records of one assigned partition, at most `capacity`, in offset order, and appends
    /// them to `out` in batches.
    fn read(
        &mut self,
        partition: PartitionId,
        capacity: Capacity,
        out: &mut Vec<Arc<Batch>>,
    ) -> Read;

    /// Commits these offsets, without waiting. Each is answered by one
    /// [`Committed`](SourceEvent::Committed); the runtime sends no second one for a partition
    /// before that. When the partition was released meanwhile the answer is not told: it must not
    /// be taken for one to a commit of the partition's next assignment.
    fn commit(&mut self, points: &[CommitPoint]);

    /// The runtime is done with these partitions: let the group have them.
    fn release(&mut self, partitions: &[PartitionId]);

    /// Leaves the group. Everything was released before. The last event is
    /// [`Closed`](SourceEvent::Closed).
    fn close(&mut self);
}

/// What a [read](Source::read) brought besides the records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Read {
    /// How far it was read, if it is known. May have moved though no record came (transaction
    /// markers, compaction).
    pub position: Option<Position>,
    /// What the next read can expect.
    pub next: NextRead,
}

/// What the next [read](Source::read) can expect.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NextRead {
    /// Nothing is there now; the waker tells when there is.
    Empty,
    /// There may be more.
    More,
    /// The next record has so many bytes and did not fit.
    TooLarge(u64),
}

/// Wakes the runtime. Cheap, callable from any thread.
#[derive(Clone, Debug)]
pub struct SourceWaker(pub(crate) Arc<Notify>);

impl SourceWaker {
    /// There may be an event or a record.
    pub fn wake(&self) {
        self.0.notify_one();
    }
}

/// Something that happened at the source.
#[derive(Debug)]
#[non_exhaustive]
pub enum SourceEvent {
    /// This member has a partition from now on.
    Assigned(Assignment),
    /// The group takes these partitions away: finish, commit, [release](Source::release).
    Revoking(Vec<PartitionId>),
    /// These partitions are gone already; a commit would be refused.
    Lost(Vec<PartitionId>),
    /// The group gave this member its assignment; all its `Assigned` have come, maybe none.
    Settled,
    /// The answer to a commit.
    Committed {
        /// The partition.
        partition: PartitionId,
        /// The committed offset.
        offset: Offset,
        /// Whether the log has it.
        result: Result<(), SourceError>,
    },
    /// This partition cannot be read on; the others can.
    PartitionFailed {
        /// The partition.
        partition: PartitionId,
        /// Why, and what to do.
        error: SourceError,
    },
    /// Something went wrong that the source goes on from by itself.
    Trouble(SourceError),
    /// A trouble that was told is over.
    Recovered(String),
    /// The source cannot go on. The run drains what it can and ends with this error.
    Failed(SourceError),
    /// [`close`](Source::close) is done.
    Closed,
}

/// A partition that this member now has.
#[derive(Clone, Debug)]
pub struct Assignment {
    /// The number by which the runtime knows it.
    pub id: PartitionId,
    /// Its name.
    pub name: TopicPartition,
    /// The group's committed offset, if there is one.
    pub committed: Option<Offset>,
    /// The metadata of that commit.
    pub metadata: String,
    /// A hash of the topic's id, 0 if unknown.
    pub incarnation: u64,
    /// The end offset now, for runs that stop there.
    pub end: Option<Offset>,
}

/// What can go wrong at a source. Messages say what to do.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum SourceError {
    /// No broker answers.
    #[error(
        "no broker of {brokers} can be reached: {detail}; check the address and that the broker runs"
    )]
    Unreachable {
        /// The configured bootstrap servers.
        brokers: String,
        /// The client's words.
        detail: String,
    },
    /// A topic does not exist.
    #[error(
        "topic {topic} does not exist; create it, or check the name and the ACLs that let this user see it"
    )]
    UnknownTopic {
        /// Its name.
        topic: String,
    },
    /// The broker refused the login.
    #[error(
        "the broker refused the login: {detail}; check sasl.mechanism, sasl.username, sasl.password and security.protocol"
    )]
    AuthenticationFailed {
        /// The client's words.
        detail: String,
    },
    /// An ACL is missing.
    #[error("not allowed: {operation} on {resource}; ask for an ACL that grants it")]
    Denied {
        /// What was tried, as Kafka names it.
        operation: &'static str,
        /// On what, with its name.
        resource: String,
    },
    /// The log no longer has (or does not have yet) the offset to start at.
    #[error(
        "{partition}: offset {offset} is not in the log, which has {log_start} to {log_end}; records may be lost. Choose with on-gap (earliest or latest), or set the group's offset"
    )]
    OutOfRange {
        /// The partition.
        partition: TopicPartition,
        /// The offset that was to be read.
        offset: Offset,
        /// The first offset there is.
        log_start: Offset,
        /// The next offset to be written.
        log_end: Offset,
    },
    /// The log lost its end in an unclean leader election, and records from there on are others
    /// than those that were read.
    #[error("{partition}: the log was truncated below offset {offset} in an unclean leader election{}; it has {log_start} to {log_end} now, and records at old offsets are new ones. Choose with on-gap (earliest or latest), or set the group's offset", lost_from(*.kept_until))]
    Truncated {
        /// The partition.
        partition: TopicPartition,
        /// The offset that was to be read.
        offset: Offset,
        /// The first offset that was lost, if it is known: everything below is as it was.
        kept_until: Option<Offset>,
        /// The first offset there is.
        log_start: Offset,
        /// The next offset to be written.
        log_end: Offset,
    },
    /// The group expelled this member.
    #[error(
        "the group expelled this member: {detail}; its records will be delivered again, it joins again by itself"
    )]
    Expelled {
        /// The client's words.
        detail: String,
    },
    /// The group refused this member.
    #[error("group {group} refused this member: {detail}")]
    Refused {
        /// The group.
        group: String,
        /// Why, and what to do.
        detail: String,
    },
    /// A commit was not accepted.
    #[error("commit refused: {detail}")]
    CommitRefused {
        /// The client's words.
        detail: String,
    },
    /// Anything else.
    #[error("{0}")]
    Other(String),
}

fn lost_from(kept_until: Option<Offset>) -> String {
    kept_until.map_or_else(String::new, |end| format!(" and lost its records from {end} on"))
}
