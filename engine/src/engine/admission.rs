//! Taking records in: how much fits, and what was finished before.

use core::time::Duration;

use super::{Engine, Reservation};
use crate::canary::{Canary, is_planted};
use crate::lanes::Lane;
use crate::list::Track;
use crate::partition::{Partition, Phase};
use crate::{Arrival, Capacity, Instant, KeyHash, Offset, Ordering, PartitionId, Position};

/// Others wait so long for a large record, and then have so long for themselves.
const RESERVED_FOR: Duration = Duration::from_secs(1);

impl<P: Clone> Engine<P> {
    /// How much of a partition to read now. Zero when it is not assigned, is being revoked or has
    /// stopped; when a budget is used up; when its window is full (its first unfinished record is
    /// `max_window` offsets back); when commits do not succeed; and while another partition waits
    /// for room for a large record.
    ///
    /// When several partitions are assigned, none may hold more than is still free (the dynamic
    /// threshold of Choudhury and Hahne, "Dynamic queue length thresholds for shared-memory packet
    /// switches", 1998): alone it gets a half, beside `n` equals an `n + 2`nd part, so that one
    /// slow key cannot take the whole budget and starve every other partition.
    pub fn capacity(&self, id: PartitionId, now: Instant) -> Capacity {
        let none = Capacity::default();
        let Some(partition) = self.partition(id) else { return none };
        if partition.phase != Phase::Active || self.is_stalled(partition, now) {
            return none;
        }
        let reserved = match self.reserved {
            Some(reservation) if reservation.holder != id => {
                if self.holds(reservation, now) {
                    return none;
                }
                false
            }
            reservation => reservation.is_some(),
        };
        let window = self.window_left(partition);
        if window == 0 {
            return none;
        }

        let held = partition.queued + partition.in_flight;
        let free = (self.config.max_queued + self.limit).saturating_sub(self.admitted());
        // Beyond what is sure to fit in a commit, ranges are dropped: a few more repeats after a
        // restart are better than a partition that stands still behind ranges of earlier commits.
        let known = partition.unfinished + partition.ahead.len() as u32;
        let fitting = self.max_unfinished.saturating_sub(known);
        let least = self.limit.saturating_sub(partition.unfinished);
        let records = self
            .share(u64::from(held), u64::from(free), reserved)
            .min(u64::from(self.config.max_queued.saturating_sub(self.queued)))
            .min(u64::from(fitting.max(least)))
            .min(window) as u32;
        let free_bytes = self.config.max_bytes.saturating_sub(self.bytes);
        let bytes = self.share(partition.bytes, free_bytes, reserved);
        let first = if self.admitted() == 0 {
            u64::MAX
        } else if partition.bytes == 0 || reserved {
            free_bytes
        } else {
            bytes
        };
        if records == 0 || first == 0 {
            return none;
        }
        Capacity { records, bytes, first }
    }

    /// The next record of this partition has `bytes` bytes and did not fit: others are given no
    /// capacity until it does, but for a second at most, and then again only after a second.
    /// Without this a large record could wait for ever beside small ones that take every byte as
    /// it becomes free; without the second, one that cannot be helped would stop everybody.
    pub fn reserve(&mut self, id: PartitionId, bytes: u64, now: Instant) {
        if self.partition(id).is_none_or(|p| p.phase != Phase::Active) {
            return;
        }
        let over = |r: Reservation| now.saturating_since(r.since) >= 2 * RESERVED_FOR;
        if self.reserved.is_none_or(over) {
            self.reserved = Some(Reservation { holder: id, bytes, since: now });
        }
    }

    /// Whether others have to wait for a reservation: not when it would not help, because the
    /// holder is held back by something else than what others hold.
    fn holds(&self, reservation: Reservation, now: Instant) -> bool {
        let Reservation { holder, bytes, since } = reservation;
        let Some(partition) = self.partition(holder) else { return false };
        now.saturating_since(since) < RESERVED_FOR
            && !self.is_stalled(partition, now)
            && self.window_left(partition) > 0
            && (partition.bytes == 0 || partition.bytes + bytes <= self.config.max_bytes)
    }

    /// Takes records that were read, at most [`capacity`](Self::capacity), in offset order.
    /// `position` is how far the partition was read, if known. Records that an earlier commit named as
    /// finished are left out, and so are those of a partition that is not active: they will be
    /// delivered again. Returns how many were admitted.
    pub fn handle_records(
        &mut self,
        id: PartitionId,
        arrivals: impl IntoIterator<Item = Arrival<P>>,
        position: Option<Position>,
        now: Instant,
    ) -> u32 {
        let Some(Some(partition)) = self.partitions.get_mut(id.index()) else { return 0 };
        if partition.phase != Phase::Active {
            return 0;
        }
        let was_idle = partition.unfinished == 0;
        let mut admitted = 0;
        let mut last = None;
        for arrival in arrivals {
            let Some(Some(partition)) = self.partitions.get_mut(id.index()) else { break };
            let offset = arrival.offset;
            partition.base.get_or_insert(offset);
            last = Some(offset);
            let was_finished = partition.was_finished(offset, arrival.leader_epoch);
            partition.leader_epoch = partition.leader_epoch.max(arrival.leader_epoch);
            if was_finished {
                self.counters.already_finished += 1;
                continue;
            }
            partition.unfinished += 1;
            partition.queued += 1;
            partition.bytes += u64::from(arrival.bytes);
            self.queued += 1;
            self.bytes += u64::from(arrival.bytes);
            admitted += 1;

            let key = match self.config.ordering {
                Ordering::Key => arrival.key,
                Ordering::Partition => Some(KeyHash(0)),
                Ordering::None => None,
            };
            let slot = self.slab.insert(id, offset, arrival.bytes, key, arrival.payload);
            partition.track.push_back::<P, Track>(&mut self.slab, slot);
            match key.and_then(|key| self.lanes.push(Lane { partition: id, key }, slot)) {
                Some(before) => self.slab[before].lane_next = slot,
                None => self.make_ready(slot),
            }
        }
        self.counters.admitted += u64::from(admitted);
        if last.is_some() && self.reserved.is_some_and(|r| r.holder == id) {
            self.reserved = None;
        }
        if let Some(partition) = self.partition_mut(id) {
            if was_idle {
                partition.progressed(now);
            }
            let read = last
                .map(|last| Position { offset: last.next(), leader_epoch: partition.leader_epoch });
            let further = position.filter(|p| read.is_none_or(|read| p.offset > read.offset));
            if let Some(next) = further.or(read) {
                partition.moved_to(next, now);
            }
        }
        admitted
    }

    /// How much a holder of `held` may take of what is `free`: all of it if it is alone (or the
    /// free part is reserved for it), otherwise so much that it then holds no more than is free.
    fn share(&self, held: u64, free: u64, reserved: bool) -> u64 {
        if self.assigned <= 1 || reserved {
            return free;
        }
        free.saturating_sub(held).div_ceil(2)
    }

    /// How many offsets further a partition may be read.
    fn window_left(&self, partition: &Partition) -> u64 {
        let ahead = match (partition.position, self.commit_point(partition)) {
            (Some(position), Some(point)) => (position.0 - point.0).max(0).unsigned_abs(),
            _ => 0,
        };
        self.config.max_window.saturating_sub(ahead)
    }

    /// Whether there has been something to commit for too long without a commit that succeeded.
    pub(super) fn is_stalled(&self, partition: &Partition, now: Instant) -> bool {
        partition
            .uncommitted_since
            .is_some_and(|since| now.saturating_since(since) > self.config.commit_stall)
    }
}

impl Partition {
    /// Whether an earlier commit named this record as finished. A record of a later leader epoch
    /// is a new one at an old offset: the log was truncated, and no range is valid any more.
    fn was_finished(&mut self, offset: Offset, leader_epoch: i32) -> bool {
        if self.ahead.is_empty() || !self.ahead.advance(offset) {
            return false;
        }
        let is_new = leader_epoch > self.ahead_epoch && self.ahead_epoch >= 0;
        if is_new && !is_planted(Canary::EpochNotChecked) {
            self.ahead.clear();
            return false;
        }
        true
    }

    fn moved_to(&mut self, position: Position, now: Instant) {
        if self.position.is_none_or(|before| position.offset > before) {
            self.position = Some(position.offset);
            self.position_epoch = position.leader_epoch;
            self.leader_epoch = self.leader_epoch.max(position.leader_epoch);
            self.base.get_or_insert(position.offset);
            self.changed(now);
        }
    }
}
