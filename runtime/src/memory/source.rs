//! A member of a group, as a source.

use std::sync::Arc;

use tidegate_engine::{Capacity, CommitPoint, PartitionId};

use super::group::Member;
use super::log::{MemoryLog, World};
use crate::batch::Batch;
use crate::source::{NextRead, Read, Source, SourceError, SourceEvent, SourceWaker};

/// Where a member starts to read a partition for which its group has no committed offset.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum StartFrom {
    /// At the first record there is.
    #[default]
    Earliest,
    /// Behind the last record there is when it gets the partition.
    Latest,
}

/// A member of a group of a [`MemoryLog`]. Made by [`MemoryLog::source`]; joins when its consumer
/// runs, and leaves when it is closed or dropped.
#[derive(Debug)]
pub struct MemorySource {
    pub(super) log: MemoryLog,
    pub(super) group: String,
    pub(super) number: u64,
    topics: Vec<String>,
    start_from: StartFrom,
    closing: bool,
    closed: bool,
}

impl MemorySource {
    pub(super) fn new(
        log: MemoryLog,
        group: String,
        topics: Vec<String>,
        number: u64,
        start_from: StartFrom,
    ) -> Self {
        Self { log, group, number, topics, start_from, closing: false, closed: false }
    }

    /// Chooses where to start where nothing is committed. [`StartFrom::Earliest`] by default.
    #[must_use]
    pub fn start_from(mut self, start_from: StartFrom) -> Self {
        self.start_from = start_from;
        self
    }

    /// The member's number, by which a test can [expel](MemoryLog::expel) it.
    pub fn member(&self) -> u64 {
        self.number
    }

    fn leave(&mut self) {
        if !self.closed {
            self.closed = true;
            let mut world = self.log.lock();
            if let Some(group) = world.groups.get_mut(&self.group) {
                group.leave(self.number);
            }
            world.rebalance(&self.group);
        }
    }
}

impl World {
    fn member(&mut self, source: &MemorySource) -> Option<&mut Member> {
        self.groups.get_mut(&source.group)?.members.get_mut(&source.number)
    }
}

impl Source for MemorySource {
    fn start(&mut self, waker: SourceWaker) -> Result<(), SourceError> {
        let member = Member::new(self.topics.clone(), waker, self.start_from);
        let mut world = self.log.lock();
        let group = world.groups.entry(self.group.clone()).or_default();
        group.members.insert(self.number, member);
        world.rebalance(&self.group);
        Ok(())
    }

    fn poll_event(&mut self) -> Option<SourceEvent> {
        let mut world = self.log.lock();
        if world.faults.unreachable {
            return None;
        }
        if self.closing && !self.closed {
            drop(world);
            self.leave();
            return Some(SourceEvent::Closed);
        }
        world.member(self)?.events.pop_front()
    }

    fn has_records(&self, partition: PartitionId) -> bool {
        let mut world = self.log.lock();
        if world.faults.unreachable {
            return false;
        }
        let Some(member) = world.member(self) else { return false };
        let name = member.name(partition).cloned();
        let Some((name, position)) = name.zip(member.positions.get(&partition).copied()) else {
            return false;
        };
        let Some(log) = world.log(&name) else { return false };
        let any = position < log.end();
        log.reader_waits |= !any;
        any
    }

    fn read(
        &mut self,
        partition: PartitionId,
        capacity: Capacity,
        out: &mut Vec<Arc<Batch>>,
    ) -> Read {
        const NOTHING: Read = Read { position: None, next: NextRead::Empty };
        let mut world = self.log.lock();
        if world.faults.unreachable {
            return NOTHING;
        }
        let Some(member) = world.member(self) else { return NOTHING };
        let name = member.name(partition).cloned();
        let Some((name, mut position)) = name.zip(member.positions.get(&partition).copied()) else {
            return NOTHING;
        };
        let Some(log) = world.log(&name) else { return NOTHING };
        if position < log.start() || position > log.end() {
            let (log_start, log_end) = (log.start(), log.end());
            let error =
                SourceError::OutOfRange { partition: name, offset: position, log_start, log_end };
            if let Some(member) = world.member(self) {
                member.positions.remove(&partition);
                member.tell(SourceEvent::PartitionFailed { partition, error });
            }
            return NOTHING;
        }
        let next = log.read(&mut position, capacity, out);
        if let Some(member) = world.member(self) {
            member.positions.insert(partition, position);
        }
        Read { position: Some(position.into()), next }
    }

    fn commit(&mut self, points: &[CommitPoint]) {
        for point in points {
            self.log.take_commit(&self.group, self.number, point);
        }
    }

    fn release(&mut self, partitions: &[PartitionId]) {
        let mut world = self.log.lock();
        let Some(group) = world.groups.get_mut(&self.group) else { return };
        group.release(self.number, partitions);
        if !self.closing {
            world.rebalance(&self.group);
        }
    }

    fn close(&mut self) {
        self.closing = true;
        if let Some(member) = self.log.lock().member(self) {
            member.wake();
        }
    }
}

impl Drop for MemorySource {
    fn drop(&mut self) {
        self.leave();
    }
}
