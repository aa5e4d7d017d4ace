//! What the gate says about itself, and to those that it does not let through.

use core::time::Duration;

use thiserror::Error;

use super::probe::{GroupId, ProbeFailure};

/// Whether records go through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GateState {
    /// As fast as they come.
    Open,
    /// They go through, but something held the producer back since the last probes, or may soon.
    Limited(Cause),
    /// None does at present.
    Shut(Cause),
}

/// What holds the producer back, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cause {
    /// What it is.
    pub reason: Reason,
    /// The group it is about, if it is about one.
    pub group: Option<GroupId>,
    /// The partition it is about, if it is about one.
    pub partition: Option<u32>,
}

impl Cause {
    pub(super) fn of(reason: Reason, group: Option<GroupId>) -> Self {
        Self { reason, group, partition: None }
    }
}

/// Why a record is not let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Reason {
    /// The topic's partitions are not known yet, or it does not have this one.
    #[error("the topic's partitions are not known")]
    NoPartition,
    /// As many records are outstanding as the window allows. The group is the slowest.
    #[error("the group has as much waiting as it does in the target drain time")]
    Window,
    /// As many records of this partition are outstanding as one partition may have.
    #[error("the partition has its share of the window outstanding")]
    PartitionCap,
    /// The same, and the group does not move in this partition.
    #[error("the group does not move in this partition")]
    PartitionStuck,
    /// The group has not committed anything yet: is it running?
    #[error("the group has no commit yet")]
    NoCommit,
    /// The group has lag and does not move in any partition.
    #[error("the group does not move")]
    NoProgress,
    /// The probe fails.
    #[error("the group's progress is not known")]
    ProbeFailed(ProbeFailure),
    /// There was no answer of a probe for too long, or none yet.
    #[error("the group's progress is not known, the probe has not answered")]
    ProbeOverdue,
    /// The absolute rate is used up.
    #[error("the configured rate is used up")]
    Rate,
    /// Deliveries failed in a row.
    #[error("deliveries to the broker fail")]
    Breaker,
}

/// A record that is not let through, why, and when to try again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("{}, try again after {retry_after:?}", cause.reason)]
pub struct Refusal {
    /// What holds it back.
    pub cause: Cause,
    /// When it is likely to be let through: by the group's drain rate, the configured rate or the
    /// breaker. From 1 ms to 60 s.
    pub retry_after: Duration,
}

/// Something that an operator should know. Each is told once, and again only after it was over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Alert {
    /// Retention, or a deletion, passed a group's committed offset: records that it has not
    /// processed are gone. They count as released.
    RetentionPassed {
        /// The group.
        group: GroupId,
        /// The partition.
        partition: u32,
        /// What the group has committed.
        committed: i64,
        /// Where the log begins now.
        start: i64,
    },
    /// The log ends before records that were delivered: it was truncated. They count as released.
    LogTruncated {
        /// The partition.
        partition: u32,
        /// Where the log ends now.
        end: i64,
        /// How many own records are gone.
        records: u64,
    },
    /// The topic was deleted and created again. Everything outstanding counts as released.
    TopicRecreated,
    /// The topic has fewer partitions than before. What was outstanding in the others counts as
    /// released.
    PartitionsRemoved {
        /// How many it has now.
        partitions: u32,
    },
    /// A group has lag in a partition and has not moved there for twice the target, though it moves
    /// elsewhere. Only this partition's own cap bounds it now.
    PartitionStuck {
        /// The group.
        group: GroupId,
        /// The partition.
        partition: u32,
    },
    /// It moves again.
    PartitionMoves {
        /// The group.
        group: GroupId,
        /// The partition.
        partition: u32,
    },
}
