//! Partitions come and go.

use super::Engine;
use crate::canary::{Canary, is_planted};
use crate::list::{Queue, Track};
use crate::partition::{Memory, Partition, Phase};
use crate::slab::{NIL, State};
use crate::{
    Action, CancelReason, FinishedRanges, Instant, Metadata, MetadataError, Offset, OffsetRange,
    PartitionId, Start,
};

impl<P: Clone> Engine<P> {
    /// A partition is this member's from now on. What its last commit names as finished, and what
    /// this process itself finished while it had it before, is not processed again.
    ///
    /// # Errors
    /// When the commit's metadata cannot be used. That is a warning: the partition is assigned,
    /// and records that were finished out of order will be processed again.
    pub fn handle_assigned(
        &mut self,
        id: PartitionId,
        start: Start<'_>,
        now: Instant,
    ) -> Result<(), MetadataError> {
        if self.partition(id).is_some() {
            self.handle_lost(id, now);
        }
        if self.partitions.len() <= id.index() {
            self.partitions.resize_with(id.index() + 1, || None);
            self.memories.resize_with(id.index() + 1, || None);
        }
        let mut partition = Partition::new(now);
        partition.incarnation = start.incarnation;
        partition.committed = start.committed;
        partition.base = start.committed;

        let mut refused = Ok(());
        let mut decoded = Metadata { leader_epoch: -1, ..Metadata::default() };
        if let Some(committed) = start.committed {
            match Metadata::decode(start.metadata, committed) {
                Ok(found) if found.finished.is_empty() => {}
                Ok(found) if found.incarnation != start.incarnation => {
                    refused = Err(MetadataError::OtherIncarnation);
                }
                Ok(found) => decoded = found,
                Err(error) => refused = Err(error),
            }
        }
        let memory = self.memories[id.index()]
            .take()
            .filter(|memory| memory.incarnation == start.incarnation && start.incarnation != 0);
        let epochs = [
            (!decoded.finished.is_empty()).then_some(decoded.leader_epoch),
            memory.as_ref().map(|memory| memory.leader_epoch),
        ];
        let known = epochs.into_iter().flatten().filter(|epoch| *epoch >= 0);
        partition.ahead_epoch = known.min().unwrap_or(-1);
        let from_memory = memory.iter().flat_map(|memory| memory.finished.iter());
        partition.ahead = FinishedRanges::from_any(decoded.finished.iter().chain(from_memory));
        if let Some(committed) = start.committed {
            partition.ahead.advance(committed);
        }
        self.partitions[id.index()] = Some(partition);
        self.assigned += 1;
        refused
    }

    /// The group wants a partition back: nothing more of it is admitted or started, what is
    /// queued is dropped (it stays unfinished). [`Action::Drained`] tells when nothing of it runs.
    pub fn handle_revoking(&mut self, id: PartitionId, _now: Instant) {
        let Some(partition) = self.partition_mut(id) else { return };
        if partition.phase == Phase::Draining {
            return;
        }
        partition.phase = Phase::Draining;
        self.park_queued(id);
        if is_planted(Canary::RevokeForgets) {
            self.forget_one(id);
        }
        self.tell_if_drained(id);
    }

    /// Emits [`Action::Cancel`] for every handler of a partition, for what was given out to follow
    /// it (it may have been started meanwhile), and for every dead letter that is being written.
    /// The partition stays until
    /// [`handle_revoked`](Self::handle_revoked): a handler that ends first still counts.
    pub fn cancel_partition(&mut self, id: PartitionId, _now: Instant) {
        let mut slot = self.running.head;
        while slot != NIL {
            let entry = &self.slab[slot];
            if entry.partition == id && matches!(entry.state, State::InFlight | State::Writing) {
                let reason = CancelReason::Revoked;
                let mut last = slot;
                loop {
                    let ticket = self.slab.ticket(last);
                    self.actions.push_back(Action::Cancel { ticket, reason });
                    if !self.slab.is_followed(last) {
                        break;
                    }
                    last = self.slab[last].lane_next;
                }
            }
            slot = self.slab[slot].turn_next;
        }
    }

    /// The planted bug: a record that is queued counts as if it did not exist.
    fn forget_one(&mut self, id: PartitionId) {
        let Some(Some(partition)) = self.partitions.get_mut(id.index()) else { return };
        let slot = partition.track.head;
        if slot != NIL && self.slab[slot].state == State::Parked {
            partition.track.remove::<P, Track>(&mut self.slab, slot);
            partition.unfinished -= 1;
            self.slab.remove(slot);
        }
    }

    /// A partition is not this member's any more. Handlers that still run are cancelled and keep
    /// permit and lane until they end; their outcome says nothing.
    pub fn handle_revoked(&mut self, id: PartitionId, now: Instant) {
        self.forget(id, now);
    }

    /// A partition was taken away without notice: as [`handle_revoked`](Self::handle_revoked).
    pub fn handle_lost(&mut self, id: PartitionId, now: Instant) {
        self.forget(id, now);
    }

    /// The source cannot read a partition on: nothing more of it is admitted or started. What is
    /// finished can still be committed.
    pub fn stop_partition(&mut self, id: PartitionId) {
        if self.partition(id).is_some_and(|p| p.phase == Phase::Active) {
            self.stop(id, None);
        }
    }

    pub(super) fn stop(&mut self, id: PartitionId, at: Option<Offset>) {
        if let Some(partition) = self.partition_mut(id) {
            partition.phase = Phase::Stopped { at };
        }
        self.park_queued(id);
    }

    pub(super) fn tell_if_drained(&mut self, id: PartitionId) {
        let drained = |p: &Partition| p.phase == Phase::Draining && p.in_flight == 0;
        if self.partition(id).is_some_and(drained) {
            self.actions.push_back(Action::Drained { partition: id });
        }
    }

    fn forget(&mut self, id: PartitionId, now: Instant) {
        if self.partition(id).is_none() {
            return;
        }
        self.park_queued(id);
        self.cancel_partition(id, now);
        let Some(partition) = self.partitions.get_mut(id.index()).and_then(Option::take) else {
            return;
        };
        self.memories[id.index()] = Some(self.remember(&partition));
        let mut letters = 0;
        let mut slot = partition.track.head;
        while slot != NIL {
            let entry = &mut self.slab[slot];
            let next = entry.track_next;
            match entry.state {
                State::InFlight | State::Writing => {
                    // A letter whose fate stays unknown is not charged.
                    letters += u32::from(entry.state == State::Writing);
                    entry.state = State::Orphaned;
                    entry.payload = None;
                }
                State::Following => {
                    entry.state = State::OrphanedFollowing;
                    entry.payload = None;
                }
                _ => self.slab.remove(slot),
            }
            slot = next;
        }
        self.writing -= letters;
        (0..letters).for_each(|_| self.earn_letter());
        self.assigned -= 1;
    }

    /// What was finished while this process had the partition, or was known to be.
    fn remember(&self, partition: &Partition) -> Memory {
        let point = self.commit_point(partition).or(partition.base);
        let below = partition.base.zip(point).map(|(start, end)| OffsetRange { start, end });
        let above = point.into_iter().flat_map(|point| self.finished_ranges(partition, point));
        let known = below.into_iter().chain(above).chain(partition.ahead.iter());
        Memory {
            incarnation: partition.incarnation,
            leader_epoch: partition.ranges_epoch(),
            finished: FinishedRanges::from_any(known),
        }
    }

    /// Drops what is queued of a partition: budget and lanes are given back, the offsets stay
    /// unfinished. Handlers that run keep their lanes, those of earlier epochs included.
    fn park_queued(&mut self, id: PartitionId) {
        let Some(Some(partition)) = self.partitions.get_mut(id.index()) else { return };
        let mut slot = partition.track.head;
        let (mut queued, mut ready, mut backing_off, mut bytes) = (0, 0, 0, 0);
        while slot != NIL {
            let is_followed = self.slab.is_followed(slot);
            let entry = &mut self.slab[slot];
            let next = entry.track_next;
            let lane = entry.lane();
            if !is_followed {
                entry.lane_next = NIL;
            }
            match entry.state {
                State::Waiting | State::Ready | State::Backoff => {
                    queued += 1;
                    ready += u32::from(entry.state == State::Ready);
                    backing_off += u32::from(entry.state == State::Backoff);
                    bytes += u64::from(entry.bytes);
                    entry.state = State::Parked;
                    entry.payload = None;
                    if let Some(lane) = lane {
                        self.lanes.remove_if_last(lane, slot);
                    }
                }
                State::InFlight | State::Following | State::Writing => {
                    if let Some(lane) = lane {
                        self.lanes.push(lane, slot);
                    }
                }
                State::Parked | State::Orphaned | State::OrphanedFollowing | State::Free => {}
            }
            slot = next;
        }
        let ready = match partition.stalled {
            true => 0,
            false => ready,
        };
        partition.ready = Queue::EMPTY;
        partition.ready_count = 0;
        partition.queued -= queued;
        partition.bytes -= bytes;
        self.queued -= queued;
        self.ready -= ready;
        self.backing_off -= backing_off;
        self.bytes -= bytes;
        self.reserved = self.reserved.filter(|r| r.holder != id);

        // An orphan of an earlier epoch may have had parked records behind it.
        let mut slot = self.running.head;
        while slot != NIL {
            let entry = &self.slab[slot];
            let next = entry.turn_next;
            if entry.partition == id && entry.state == State::Orphaned {
                let mut last = slot;
                while self.slab.is_followed(last) {
                    last = self.slab[last].lane_next;
                }
                let entry = &mut self.slab[last];
                entry.lane_next = NIL;
                if let Some(lane) = entry.lane() {
                    self.lanes.push(lane, last);
                }
            }
            slot = next;
        }
    }
}
