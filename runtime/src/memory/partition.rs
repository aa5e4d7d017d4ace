//! One partition's records.

use std::collections::VecDeque;
use std::sync::Arc;

use tidegate_engine::{Capacity, Offset};

use crate::batch::{Batch, BatchBuilder, RecordParts, Timestamp, TopicPartition};
use crate::source::NextRead;

/// Records in batches as a source hands them out, so that reading copies nothing as long as whole
/// batches fit.
#[derive(Debug)]
pub(super) struct PartitionLog {
    name: TopicPartition,
    start: i64,
    next: i64,
    /// Full batches, none empty, with their bytes.
    sealed: VecDeque<(Arc<Batch>, u64)>,
    open: Option<BatchBuilder>,
    /// A reader found nothing and wants to be woken.
    pub(super) reader_waits: bool,
}

impl PartitionLog {
    pub(super) fn new(name: TopicPartition) -> Self {
        Self { name, start: 0, next: 0, sealed: VecDeque::new(), open: None, reader_waits: true }
    }

    pub(super) fn start(&self) -> Offset {
        Offset(self.start)
    }

    pub(super) fn end(&self) -> Offset {
        Offset(self.next)
    }

    /// Appends a record and returns its offset.
    pub(super) fn append<'a>(
        &mut self,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: impl IntoIterator<Item = (&'a str, Option<&'a [u8]>)>,
        timestamp: Timestamp,
    ) -> Offset {
        let bytes = key.map_or(0, <[u8]>::len) + value.map_or(0, <[u8]>::len);
        if self.open.as_ref().is_some_and(|open| open.is_full(bytes)) {
            self.seal();
        }
        let offset = Offset(self.next);
        let timestamp = Some(timestamp);
        let parts = RecordParts { offset, timestamp, leader_epoch: 0, key, value };
        self.open.get_or_insert_with(|| BatchBuilder::new(self.name.clone())).push(parts, headers);
        self.next += 1;
        offset
    }

    /// Leaves a hole of `count` offsets, as compaction and transaction markers do.
    pub(super) fn skip(&mut self, count: u32) {
        self.next += i64::from(count);
    }

    /// Deletes what is below `offset`, as retention does.
    pub(super) fn delete_below(&mut self, offset: Offset) {
        self.seal();
        self.start = self.start.max(offset.0.min(self.next));
        while self.sealed.front().is_some_and(|(batch, _)| last(batch) < self.start) {
            self.sealed.pop_front();
        }
    }

    fn seal(&mut self) {
        if let Some(open) = self.open.take() {
            let batch = open.finish();
            let bytes = (0..batch.len()).map(|index| u64::from(batch.bytes(index))).sum();
            self.sealed.push_back((batch, bytes));
        }
    }

    /// Reads from `position` on, which moves behind what was read.
    pub(super) fn read(
        &mut self,
        position: &mut Offset,
        capacity: Capacity,
        out: &mut Vec<Arc<Batch>>,
    ) -> NextRead {
        self.seal();
        let mut room = Room { capacity, records: 0, bytes: 0 };
        let first = self.sealed.partition_point(|(batch, _)| last(batch) < position.0);
        for (batch, bytes) in self.sealed.range(first..) {
            let whole = batch.offset(0) >= *position && batch.offset(0).0 >= self.start;
            if whole && room.takes_all(batch.len(), *bytes) {
                out.push(Arc::clone(batch));
                *position = Offset(last(batch) + 1);
                continue;
            }
            let wanted = |index: &usize| batch.offset(*index) >= *position;
            let Some(from) = (0..batch.len()).find(wanted) else { continue };
            let fitting = (from..batch.len()).take_while(|i| room.takes(batch.bytes(*i))).count();
            if fitting > 0 {
                out.push(copy(batch, from..from + fitting));
                *position = batch.offset(from + fitting - 1).next();
            }
            if from + fitting < batch.len() {
                let next = u64::from(batch.bytes(from + fitting));
                return if room.records == 0 { NextRead::TooLarge(next) } else { NextRead::More };
            }
        }
        // Behind the last record there may be a hole.
        *position = (*position).max(self.end());
        self.reader_waits = true;
        NextRead::Empty
    }
}

/// What is left of a capacity.
struct Room {
    capacity: Capacity,
    records: u32,
    bytes: u64,
}

impl Room {
    fn takes_all(&mut self, records: usize, bytes: u64) -> bool {
        let records = self.records.saturating_add(records as u32);
        let fits = records <= self.capacity.records && self.bytes + bytes <= self.capacity.bytes;
        if fits {
            self.records = records;
            self.bytes += bytes;
        }
        fits
    }

    fn takes(&mut self, bytes: u32) -> bool {
        let bytes = u64::from(bytes);
        let limit = if self.records == 0 { self.capacity.first } else { self.capacity.bytes };
        let fits =
            self.records < self.capacity.records && self.bytes.saturating_add(bytes) <= limit;
        if fits {
            self.records += 1;
            self.bytes += bytes;
        }
        fits
    }
}

fn last(batch: &Batch) -> i64 {
    batch.offset(batch.len() - 1).0
}

fn copy(batch: &Batch, range: std::ops::Range<usize>) -> Arc<Batch> {
    let mut builder = BatchBuilder::new(batch.source().clone());
    for index in range {
        let parts = RecordParts {
            offset: batch.offset(index),
            timestamp: batch.timestamp(index),
            leader_epoch: batch.leader_epoch(index),
            key: batch.key(index),
            value: batch.value(index),
        };
        builder.push(parts, batch.headers(index).map(|header| (header.name, header.value)));
    }
    builder.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn log(sizes: &[usize]) -> PartitionLog {
        let mut log = PartitionLog::new(TopicPartition::new("t", 0));
        for size in sizes {
            log.append(None, Some(&vec![0; *size]), [], Timestamp::Created(0));
        }
        log
    }

    fn read(log: &mut PartitionLog, from: i64, capacity: Capacity) -> (Vec<i64>, i64, NextRead) {
        let mut out = Vec::new();
        let mut position = Offset(from);
        let next = log.read(&mut position, capacity, &mut out);
        let offsets = out.iter().flat_map(|b| (0..b.len()).map(|i| b.offset(i).0)).collect();
        (offsets, position.0, next)
    }

    #[test]
    fn reads_no_more_than_fits_and_says_what_comes() {
        let mut log = log(&[10, 10, 10, 50]);
        let capacity = |records, bytes, first| Capacity { records, bytes, first };
        assert_eq!(read(&mut log, 0, capacity(2, 99, 99)), (vec![0, 1], 2, NextRead::More));
        assert_eq!(read(&mut log, 1, capacity(9, 25, 25)), (vec![1, 2], 3, NextRead::More));
        assert_eq!(read(&mut log, 3, capacity(9, 25, 25)), (vec![], 3, NextRead::TooLarge(50)));
        assert_eq!(read(&mut log, 3, capacity(9, 25, 60)), (vec![3], 4, NextRead::Empty));
        assert_eq!(read(&mut log, 0, capacity(9, 99, 99)).0, [0, 1, 2, 3]);
    }

    #[test]
    fn holes_move_the_position_and_deleted_records_are_gone() {
        let mut log = log(&[1, 1]);
        log.skip(5);
        log.append(None, Some(b"x"), [], Timestamp::Created(0));
        log.skip(2);
        let all = Capacity { records: 9, bytes: 99, first: 99 };
        assert_eq!(read(&mut log, 0, all), (vec![0, 1, 7], 10, NextRead::Empty));
        log.delete_below(Offset(3));
        assert_eq!((log.start(), log.end()), (Offset(3), Offset(10)));
        assert_eq!(read(&mut log, 3, all).0, [7]);
    }
}
