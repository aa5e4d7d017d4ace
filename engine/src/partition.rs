//! What the engine keeps for one assigned partition.

use crate::list::{List, Queue};
use crate::{FinishedRanges, Instant, Offset};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Phase {
    Active,
    Draining,
    Stopped { at: Option<Offset> },
}

/// A commit that was handed out and not answered.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sent {
    pub(crate) changes: u64,
    pub(crate) finished: u64,
}

#[derive(Debug)]
pub(crate) struct Partition {
    pub(crate) phase: Phase,
    /// Unfinished records in offset order: the first one is the commit point.
    pub(crate) track: List,
    /// Of these, the ones whose turn it is, first in, first out.
    pub(crate) ready: Queue,
    /// Whether the ring of partitions with ready records has it.
    pub(crate) in_ring: bool,
    /// How many are ready.
    pub(crate) ready_count: u32,
    /// No commit has succeeded for too long: nothing of it starts until one does.
    pub(crate) stalled: bool,
    pub(crate) unfinished: u32,
    /// Waiting, ready or backing off: admitted and not in flight.
    pub(crate) queued: u32,
    pub(crate) in_flight: u32,
    pub(crate) bytes: u64,
    /// Where this assignment began, once known.
    pub(crate) base: Option<Offset>,
    /// The next offset to read, once known.
    pub(crate) position: Option<Offset>,
    /// The leader epoch of what lies before it, -1 if unknown.
    pub(crate) position_epoch: i32,
    pub(crate) committed: Option<Offset>,
    /// Finished ranges of earlier commits that were not read past yet.
    pub(crate) ahead: FinishedRanges,
    /// The leader epoch up to which `ahead` is valid.
    pub(crate) ahead_epoch: i32,
    /// The highest leader epoch read.
    pub(crate) leader_epoch: i32,
    pub(crate) incarnation: u64,
    /// Counts everything that changes what a commit would say.
    pub(crate) changes: u64,
    pub(crate) committed_changes: u64,
    pub(crate) finished: u64,
    pub(crate) committed_finished: u64,
    pub(crate) sent: Option<Sent>,
    /// Since when there has been something to commit and no commit has succeeded.
    pub(crate) uncommitted_since: Option<Instant>,
    /// When the commit point moved last, or the first record came after a pause.
    pub(crate) progress: Instant,
    pub(crate) no_progress_told: bool,
}

impl Partition {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            phase: Phase::Active,
            track: List::EMPTY,
            ready: Queue::EMPTY,
            in_ring: false,
            ready_count: 0,
            stalled: false,
            unfinished: 0,
            queued: 0,
            in_flight: 0,
            bytes: 0,
            base: None,
            position: None,
            position_epoch: -1,
            committed: None,
            ahead: FinishedRanges::default(),
            ahead_epoch: -1,
            leader_epoch: -1,
            incarnation: 0,
            changes: 0,
            committed_changes: 0,
            finished: 0,
            committed_finished: 0,
            sent: None,
            uncommitted_since: None,
            progress: now,
            no_progress_told: false,
        }
    }

    /// There is something new to commit.
    pub(crate) fn changed(&mut self, now: Instant) {
        self.changes += 1;
        self.uncommitted_since.get_or_insert(now);
    }

    pub(crate) fn progressed(&mut self, now: Instant) {
        self.progress = now;
        self.no_progress_told = false;
    }

    /// The leader epoch up to which all known finished ranges are valid. Ranges of an earlier
    /// commit are valid up to the epoch they came with, and one string names one epoch: the lower
    /// one, which costs a repeat at worst.
    pub(crate) fn ranges_epoch(&self) -> i32 {
        match self.ahead.is_empty() {
            true => self.leader_epoch,
            false if self.leader_epoch < 0 => self.ahead_epoch,
            false => self.ahead_epoch.min(self.leader_epoch),
        }
    }

    pub(crate) fn has_uncommitted(&self) -> bool {
        self.changes != self.committed_changes
    }
}

/// What this process knows of a partition that it had before. Another member may have gone on
/// from an older commit; what was finished here stays finished.
#[derive(Debug)]
pub(crate) struct Memory {
    pub(crate) incarnation: u64,
    pub(crate) leader_epoch: i32,
    pub(crate) finished: FinishedRanges,
}
