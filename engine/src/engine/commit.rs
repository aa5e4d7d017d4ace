//! What may be committed, and what the log answered.

use alloc::vec::Vec;

use super::Engine;
use crate::canary::{Canary, is_planted};
use crate::metadata;
use crate::partition::{Partition, Sent};
use crate::slab::NIL;
use crate::{CommitPoint, Instant, Offset, OffsetRange, PartitionId};

impl<P: Clone> Engine<P> {
    /// Appends what there is to commit: for each partition with something new and no commit
    /// unanswered, its commit point and the finished ranges above, taken in one look.
    pub fn poll_commits(&mut self, out: &mut Vec<CommitPoint>) {
        for index in 0..self.partitions.len() {
            let Some(partition) = &self.partitions[index] else { continue };
            if partition.sent.is_some() || !partition.has_uncommitted() {
                continue;
            }
            let Some(mut offset) = self.commit_point(partition) else { continue };
            if is_planted(Canary::CommitOneTooFar) && partition.track.head != NIL {
                offset = offset.next();
            }
            let (metadata, dropped) = metadata::encode(
                offset,
                partition.ranges_epoch(),
                partition.incarnation,
                self.finished_ranges(partition, offset),
                self.config.metadata_max_bytes as usize,
            );
            out.push(CommitPoint {
                partition: PartitionId(index as u32),
                offset,
                leader_epoch: match partition.track.head {
                    NIL => partition.position_epoch,
                    _ => partition.leader_epoch,
                },
                metadata,
            });
            if self.config.metadata_max_bytes > 0 {
                self.counters.dropped_ranges += u64::from(dropped);
            }
            if let Some(partition) = &mut self.partitions[index] {
                partition.sent =
                    Some(Sent { changes: partition.changes, finished: partition.finished });
            }
        }
    }

    /// The log's answer to a commit: whether it has it. A failed one is offered again.
    pub fn handle_committed(&mut self, id: PartitionId, offset: Offset, ok: bool, now: Instant) {
        let Some(partition) = self.partition_mut(id) else { return };
        let Some(sent) = partition.sent.take() else { return };
        if !ok {
            return;
        }
        assert!(
            partition.committed <= Some(offset) || partition.finished == 0,
            "the committed offset of a partition would move back to {offset}"
        );
        partition.committed = Some(offset);
        partition.committed_changes = sent.changes;
        partition.committed_finished = sent.finished;
        partition.uncommitted_since = partition.has_uncommitted().then_some(now);
        self.end_stall(id);
    }

    /// Holds back what is ready of partitions whose commits do not succeed, and nothing of others.
    pub(super) fn check_stalls(&mut self, now: Instant) {
        for index in 0..self.partitions.len() {
            let id = PartitionId(index as u32);
            let Some(partition) = self.partition(id) else { continue };
            if !self.is_stalled(partition, now) {
                self.end_stall(id);
                continue;
            }
            let Some(partition) = self.partition_mut(id) else { continue };
            if !core::mem::replace(&mut partition.stalled, true) {
                self.ready -= partition.ready_count;
            }
        }
    }

    /// What is ready of a partition may start again, if it was held back.
    fn end_stall(&mut self, id: PartitionId) {
        let Some(partition) = self.partition_mut(id) else { return };
        if core::mem::take(&mut partition.stalled) {
            let ready = partition.ready_count;
            let joins = ready > 0 && !core::mem::replace(&mut partition.in_ring, true);
            self.ready += ready;
            if joins {
                self.ring.push_back(id);
            }
        }
    }

    /// Whether a partition has something that no successful commit has covered.
    pub fn has_uncommitted(&self, id: PartitionId) -> bool {
        self.partition(id).is_some_and(|p| p.has_uncommitted() && self.commit_point(p).is_some())
    }

    /// Whether a commit of a partition is unanswered.
    pub fn is_committing(&self, id: PartitionId) -> bool {
        self.partition(id).is_some_and(|p| p.sent.is_some())
    }

    /// What lies between the unfinished records is finished, or does not exist; and what earlier
    /// commits named beyond the position.
    pub(super) fn finished_ranges<'a>(
        &'a self,
        partition: &'a Partition,
        point: Offset,
    ) -> impl Iterator<Item = OffsetRange> + 'a {
        let position = partition.position.unwrap_or(point);
        let mut slot = partition.track.head;
        let between = core::iter::from_fn(move || {
            while slot != NIL {
                let entry = &self.slab[slot];
                slot = entry.track_next;
                let start = entry.offset.next();
                let end = match slot {
                    NIL => position,
                    next => self.slab[next].offset,
                };
                if start < end {
                    return Some(OffsetRange { start, end });
                }
            }
            None
        });
        let above = position.max(point);
        let beyond = partition.ahead.iter().filter_map(move |range| {
            let start = range.start.max(above);
            (start < range.end).then_some(OffsetRange { start, end: range.end })
        });
        let shift = i64::from(is_planted(Canary::RangesShifted));
        joined(between.chain(beyond)).filter(move |range| range.start >= point).map(
            move |OffsetRange { start, end }| OffsetRange {
                start: Offset(start.0 + shift),
                end: Offset(end.0 + shift),
            },
        )
    }
}

/// Joins ranges that touch. They come sorted.
fn joined(ranges: impl Iterator<Item = OffsetRange>) -> impl Iterator<Item = OffsetRange> {
    let mut ranges = ranges.peekable();
    core::iter::from_fn(move || {
        let mut range = ranges.next()?;
        while let Some(next) = ranges.next_if(|next| next.start <= range.end) {
            range.end = range.end.max(next.end);
        }
        Some(range)
    })
}
