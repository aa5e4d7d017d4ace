//! Plain data for screens, metrics and tests.

use alloc::vec::Vec;
use core::time::Duration;

use super::{BreakerState, GateState, GroupId};

/// What happened since the gate was made, in records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GateCounters {
    /// Credits given.
    pub admitted: u64,
    /// Of these, by the floor rate.
    pub floor: u64,
    /// Times that a credit was asked for and not given.
    pub refused: u64,
    /// Credits that came back unused.
    pub cancelled: u64,
    /// Delivered.
    pub delivered: u64,
    /// Of these, with an unknown offset.
    pub untracked: u64,
    /// Not delivered.
    pub failed: u64,
    /// Own records that every group has done.
    pub released: u64,
}

/// One group at a moment.
#[derive(Clone, Debug, PartialEq)]
pub struct GroupSnapshot {
    /// Which.
    pub group: GroupId,
    /// It has committed something.
    pub has_commit: bool,
    /// Records that wait in the partitions in which it moves.
    pub lag: u64,
    /// Records a second that it does when it has work, if known.
    pub rate: Option<f64>,
    /// How long it needs for its lag, if known; at most 1,000 h.
    pub drain: Option<Duration>,
    /// The time between its commits of a partition, as far as probes can tell.
    pub commit_spacing: Duration,
    /// Partitions in which it has lag and does not move, though it moves elsewhere.
    pub stuck: Vec<u32>,
}

/// What one partition has outstanding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutstandingSnapshot {
    /// Which.
    pub partition: u32,
    /// Records sent and not released.
    pub outstanding: u64,
}

/// The gate at a moment.
#[derive(Clone, Debug, PartialEq)]
pub struct GateSnapshot {
    /// Whether records go through, and if not why.
    pub state: GateState,
    /// How many records may be outstanding; `u64::MAX` if no group is followed.
    pub window: u64,
    /// How many are.
    pub outstanding: u64,
    /// Of these, in partitions that are stuck and that the window does not count.
    pub set_aside: u64,
    /// The drain time that is aimed for: the configured one, or twice the commit spacing and a
    /// probe interval if that is more.
    pub target: Duration,
    /// The longest drain time of a group, if known.
    pub drain: Option<Duration>,
    /// Where the breaker stands.
    pub breaker: BreakerState,
    /// The absolute rate in records a second.
    pub rate: Option<u32>,
    /// How long ago the newest answer of a probe came.
    pub probe_age: Duration,
    /// Since the gate was made.
    pub counters: GateCounters,
    /// The groups.
    pub groups: Vec<GroupSnapshot>,
    /// The partitions.
    pub partitions: Vec<OutstandingSnapshot>,
}
