//! The lane of each record, and how far it is finished.

use super::{ByOffset, Lanes, entry};
use crate::history::{Event, RecordAt, What};

/// No lane, or no record.
const NONE: u32 = u32::MAX;

#[derive(Clone, Copy, Debug)]
struct Cell {
    epoch: i32,
    lane: u32,
    written: bool,
    finished: bool,
}

impl Default for Cell {
    fn default() -> Self {
        Self { epoch: 0, lane: NONE, written: false, finished: false }
    }
}

/// The records of one lane in offset order.
#[derive(Debug, Default)]
struct Lane {
    offsets: Vec<i64>,
    /// The index of the first that never finished.
    head: usize,
}

/// Which records there are, by lane. It has to see every event.
#[derive(Debug)]
pub struct LaneBook {
    order: Lanes,
    cells: ByOffset<Cell>,
    lanes: Vec<Vec<Lane>>,
    start: Vec<i64>,
}

impl LaneBook {
    /// A book of the lanes of this order.
    pub fn new(order: Lanes) -> Self {
        Self { order, cells: ByOffset::default(), lanes: Vec::new(), start: Vec::new() }
    }

    /// The record's lane, if it has one and still is in the log.
    pub fn lane(&mut self, record: RecordAt) -> Option<u32> {
        let cell = self.cells.at(record.partition, record.offset);
        let known = cell.written && cell.epoch == record.epoch;
        (known && cell.lane != NONE).then_some(cell.lane)
    }

    /// The first record of a lane that never finished.
    pub fn head(&mut self, partition: u32, lane: u32) -> Option<i64> {
        let start = entry(&mut self.start, partition);
        let cells = self.cells.partition(partition);
        let lane = entry(entry(&mut self.lanes, partition), lane);
        while let Some(&offset) = lane.offsets.get(lane.head) {
            if offset >= *start && !cells[offset as usize].finished {
                return Some(offset);
            }
            lane.head += 1;
        }
        None
    }

    /// Takes the next event.
    pub fn see(&mut self, event: &Event) {
        match event.what {
            What::Written { record, key, .. } => {
                let lane = match self.order {
                    Lanes::ByKey => key.unwrap_or(NONE),
                    Lanes::ByPartition => 0,
                    Lanes::None => NONE,
                };
                let cell = self.cells.at(record.partition, record.offset);
                *cell = Cell { epoch: record.epoch, lane, written: true, finished: false };
                if lane != NONE {
                    let lane = entry(entry(&mut self.lanes, record.partition), lane);
                    lane.offsets.push(record.offset);
                }
            }
            What::Truncated { partition, offset, .. } => {
                for cell in self.cells.partition(partition).iter_mut().skip(offset as usize) {
                    *cell = Cell::default();
                }
                for lane in entry(&mut self.lanes, partition) {
                    lane.offsets.truncate(lane.offsets.partition_point(|o| *o < offset));
                    lane.head = lane.head.min(lane.offsets.len());
                }
            }
            What::Expired { partition, offset } => *entry(&mut self.start, partition) = offset,
            What::End { record, ending, .. } if ending.finishes() => self.finish(record),
            What::GivenUp { record } | What::LetterAnswered { record } => self.finish(record),
            _ => {}
        }
    }

    fn finish(&mut self, record: RecordAt) {
        let cell = self.cells.at(record.partition, record.offset);
        cell.finished |= cell.written && cell.epoch == record.epoch;
    }
}
