//! The engine: one struct, its verbs, and what holds them together.

mod admission;
mod assignment;
mod commit;
mod dead_letter;
mod dispatch;
mod outcome;
mod runs;
mod watch;

use alloc::collections::VecDeque;
use alloc::vec::Vec;

use crate::lanes::Lanes;
use crate::list::{List, Turn};
use crate::partition::{Memory, Partition, Phase};
use crate::retry::{Jitter, RetryQueue};
use crate::slab::{NIL, Slab, State};
use crate::{
    Action, Config, ConfigChange, ConfigError, Counters, Instant, Offset, PartitionId,
    PartitionSnapshot, PartitionState, Snapshot, Ticket,
};

/// Decides which records are admitted, which may run, in which order, and what may be committed.
///
/// # How it is driven
/// The caller tells what happened and asks what to do; every method returns at once:
///
/// 1. [`handle_assigned`](Self::handle_assigned) when a partition comes.
/// 2. [`capacity`](Self::capacity) says how much of it to read,
///    [`handle_records`](Self::handle_records) takes it.
/// 3. [`poll_dispatch`](Self::poll_dispatch) gives the records whose turn it is while permits
///    last. Each holds its permit until [`handle_outcome`](Self::handle_outcome).
/// 4. [`poll_commits`](Self::poll_commits) at an interval;
///    [`handle_committed`](Self::handle_committed) with the log's answer.
/// 5. [`poll_action`](Self::poll_action) until it is empty after any of these, and
///    [`handle_timeout`](Self::handle_timeout) when [`poll_timeout`](Self::poll_timeout) is due.
/// 6. [`handle_revoking`](Self::handle_revoking) when the group wants a partition back: nothing
///    new starts; [`Action::Drained`] when nothing runs. At a deadline
///    [`cancel_partition`](Self::cancel_partition). After the last commit
///    [`handle_revoked`](Self::handle_revoked). If it is gone already,
///    [`handle_lost`](Self::handle_lost) at once.
///
/// # What it holds to
/// - Nothing starts while as many handlers run as the limit allows.
/// - Admitted bytes stay within the budget, or it is one record.
/// - Of one lane (a key, or a partition) one record runs at a time, in offset order, retries
///   included.
/// - The commit point of a partition is its first unfinished offset and never moves back.
/// - While no commit of a partition succeeds for `commit_stall`, nothing of it is admitted or
///   started: what runs then would only run again.
/// - A record that was admitted is finished, or stays unfinished for the partition's next owner.
///
/// # Payload
/// `P` is the caller's handle on a record. The engine keeps one until the record is finished and
/// gives a clone with each dispatch, so it should be cheap to clone.
///
/// # Cost
/// Every verb is O(1) for each record and allocates nothing once its tables have grown, except
/// [`poll_commits`](Self::poll_commits) (the metadata strings) and the verbs of a rebalance.
#[derive(Debug)]
pub struct Engine<P> {
    config: Config,
    limit: u32,
    max_unfinished: u32,
    slab: Slab<P>,
    lanes: Lanes,
    partitions: Vec<Option<Partition>>,
    assigned: u32,
    memories: Vec<Option<Memory>>,
    /// Partitions with ready records, first in, first out.
    ring: VecDeque<PartitionId>,
    /// Handlers by start time, so that the one that runs longest is the first.
    running: List,
    /// The first running handler that was not told to have timed out, and the first that was not
    /// told to be stuck: everything before it was.
    timeout_cursor: u32,
    stuck_cursor: u32,
    in_flight: u32,
    queued: u32,
    ready: u32,
    backing_off: u32,
    bytes: u64,
    /// Dead letters being written, and how many more there may be.
    writing: u32,
    letter_credit: u32,
    /// A partition whose next record is too large for what is free: others wait until it fits.
    reserved: Option<Reservation>,
    retries: RetryQueue,
    jitter: Jitter,
    actions: VecDeque<Action>,
    next_watch: Instant,
    next_stall_check: Instant,
    counters: Counters,
}

/// Room that is kept free for a partition's next record.
#[derive(Clone, Copy, Debug)]
struct Reservation {
    holder: PartitionId,
    bytes: u64,
    since: Instant,
}

impl<P: Clone> Engine<P> {
    /// An engine without partitions.
    ///
    /// # Errors
    /// When a limit is [outside its range](Config::validate).
    pub fn new(config: Config, now: Instant) -> Result<Self, ConfigError> {
        config.validate()?;
        // Grown on demand beyond this, so that a large limit costs nothing until it is used.
        let expected = (config.max_queued + config.max_in_flight).min(16_384) as usize;
        Ok(Self {
            limit: config.max_in_flight,
            max_unfinished: config.max_unfinished(),
            slab: Slab::with_capacity(expected),
            lanes: Lanes::with_capacity(expected),
            partitions: Vec::new(),
            assigned: 0,
            memories: Vec::new(),
            ring: VecDeque::new(),
            running: List::EMPTY,
            timeout_cursor: NIL,
            stuck_cursor: NIL,
            in_flight: 0,
            queued: 0,
            ready: 0,
            backing_off: 0,
            bytes: 0,
            writing: 0,
            letter_credit: config.dead_letter_credit,
            reserved: None,
            retries: RetryQueue::default(),
            jitter: Jitter::new(config.seed),
            actions: VecDeque::new(),
            next_watch: now + config.stuck_after,
            next_stall_check: now + config.commit_stall,
            counters: Counters::default(),
            config,
        })
    }

    /// The configuration, with what was changed since it was made.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// Changes limits and policies, all of them or none. Where the limit of handlers shrinks, nothing
    /// starts until fewer run. What is admitted stays admitted: where a budget shrinks below what is
    /// held, nothing is admitted until less is held than it allows, and what is held only falls until
    /// then. With a wider window, ranges of a partition that has many
    /// unfinished records may not fit into its commits for a while; they are dropped and counted.
    ///
    /// # Errors
    /// When a limit would be [outside its range](Config::validate).
    pub fn change_config(
        &mut self,
        change: &ConfigChange,
        now: Instant,
    ) -> Result<(), ConfigError> {
        let config = change.of(&self.config);
        config.validate()?;
        self.limit = config.max_in_flight;
        self.max_unfinished = config.max_unfinished();
        self.config = config;
        self.next_watch = now;
        self.check_stalls(now);
        Ok(())
    }

    /// Handlers running, those of revoked partitions and followers included.
    pub fn in_flight(&self) -> u32 {
        self.in_flight
    }

    /// Records admitted and not finished: in flight or queued.
    pub fn admitted(&self) -> u32 {
        self.in_flight + self.queued
    }

    /// Whether [`poll_dispatch`](Self::poll_dispatch) would give something.
    pub fn has_ready(&self) -> bool {
        self.ready > 0 && self.in_flight < self.limit
    }

    /// Whether handlers could run for which no record is ready.
    pub fn is_hungry(&self) -> bool {
        self.ready == 0 && self.in_flight < self.limit
    }

    /// Whether [`poll_action`](Self::poll_action) would give something.
    pub fn has_actions(&self) -> bool {
        !self.actions.is_empty()
    }

    /// The next thing to do or tell.
    pub fn poll_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// The payload of a dispatched record whose attempt, or dead letter, is not over.
    pub fn payload(&self, ticket: Ticket) -> Option<&P> {
        self.slab.get(ticket)?.payload.as_ref()
    }

    /// The next offset to read of a partition, once known.
    pub fn position(&self, partition: PartitionId) -> Option<Offset> {
        self.partition(partition)?.position
    }

    /// Whether nothing of a partition is left to do: no record is unfinished, or it has stopped
    /// and nothing of it is in flight. True for one that is not assigned.
    pub fn is_idle(&self, partition: PartitionId) -> bool {
        self.partition(partition).is_none_or(|p| match p.phase {
            Phase::Active => p.unfinished == 0,
            Phase::Draining | Phase::Stopped { .. } => p.in_flight == 0,
        })
    }

    /// Everything that a screen, a metric or a test reads. Allocates.
    pub fn snapshot(&self, now: Instant) -> Snapshot {
        let assigned = |(index, partition): (usize, &Option<Partition>)| {
            let p = partition.as_ref()?;
            Some(PartitionSnapshot {
                partition: PartitionId(index as u32),
                state: match p.phase {
                    Phase::Active => PartitionState::Active,
                    Phase::Draining => PartitionState::Draining,
                    Phase::Stopped { at } => PartitionState::Stopped { at },
                },
                position: p.position,
                committed: p.committed,
                commit_point: self.commit_point(p),
                unfinished: p.unfinished,
                queued: p.queued,
                in_flight: p.in_flight,
                bytes: p.bytes,
                uncommitted: p.finished - p.committed_finished,
            })
        };
        Snapshot {
            limit: self.limit,
            in_flight: self.in_flight,
            queued: self.queued,
            ready: self.ready,
            backing_off: self.backing_off,
            writing: self.writing,
            dead_letter_credit: self.letter_credit,
            bytes: self.bytes,
            busy_lanes: self.lanes.len(),
            commits_stalled: self.partitions.iter().flatten().any(|p| self.is_stalled(p, now)),
            counters: self.counters,
            partitions: self.partitions.iter().enumerate().filter_map(assigned).collect(),
        }
    }

    fn partition(&self, id: PartitionId) -> Option<&Partition> {
        self.partitions.get(id.index())?.as_ref()
    }

    fn partition_mut(&mut self, id: PartitionId) -> Option<&mut Partition> {
        self.partitions.get_mut(id.index())?.as_mut()
    }

    /// The first unfinished offset, or the position if there is none.
    fn commit_point(&self, partition: &Partition) -> Option<Offset> {
        match partition.track.head {
            NIL => partition.position,
            head => Some(self.slab[head].offset),
        }
    }

    /// Puts a queued record in its partition's list of those whose turn it is.
    fn make_ready(&mut self, slot: u32) {
        let entry = &mut self.slab[slot];
        entry.state = State::Ready;
        let id = entry.partition;
        let Some(Some(partition)) = self.partitions.get_mut(id.index()) else { return };
        partition.ready.push_back(&mut self.slab, slot);
        partition.ready_count += 1;
        if partition.stalled {
            return;
        }
        self.ready += 1;
        if !partition.in_ring {
            partition.in_ring = true;
            self.ring.push_back(id);
        }
    }

    /// Takes a handler out of the list of those that run, and frees its permit.
    fn end_running(&mut self, slot: u32) {
        let next = self.slab[slot].turn_next;
        for cursor in [&mut self.timeout_cursor, &mut self.stuck_cursor] {
            if *cursor == slot {
                *cursor = next;
            }
        }
        self.running.remove::<P, Turn>(&mut self.slab, slot);
        self.in_flight -= 1;
    }

    /// Puts a record among those that run, by its start: a handler, or the writing of a letter.
    fn begin_running(&mut self, slot: u32, now: Instant) {
        self.running.push_back::<P, Turn>(&mut self.slab, slot);
        for cursor in [&mut self.timeout_cursor, &mut self.stuck_cursor] {
            if *cursor == NIL {
                *cursor = slot;
            }
        }
        self.slab.attempt_mut(slot).since = now;
    }

    /// Gives a lane's turn to the record behind `slot`, or frees the lane.
    fn release_lane(&mut self, slot: u32, now: Instant) {
        let entry = &mut self.slab[slot];
        let Some(lane) = entry.lane() else { return };
        match core::mem::replace(&mut entry.lane_next, NIL) {
            NIL => self.lanes.remove_if_last(lane, slot),
            next if self.slab[next].state.follows() => self.begin_follower(next, now),
            next => self.make_ready(next),
        }
    }
}
