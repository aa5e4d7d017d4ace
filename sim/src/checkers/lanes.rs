//! The lane of each record, and how far it is finished.

use super::book::Book;
use super::{ByOffset, Lanes, entry};
use crate::history::{Event, RecordAt, What};

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
    book: Book,
    /// The lane of each record.
    names: ByOffset<Option<u32>>,
    lanes: Vec<Vec<Lane>>,
}

impl LaneBook {
    /// A book of the lanes of this order.
    pub fn new(order: Lanes) -> Self {
        Self { order, book: Book::default(), names: ByOffset::default(), lanes: Vec::new() }
    }

    /// The record's lane, if it has one and still is in the log.
    pub fn lane(&mut self, record: RecordAt) -> Option<u32> {
        self.book.get(record)?;
        *self.names.at(record.partition, record.offset)
    }

    /// The first record of a lane that never finished.
    pub fn head(&mut self, partition: u32, lane: u32) -> Option<i64> {
        let start = self.book.start(partition);
        let entries = self.book.entries(partition);
        let lane = entry(entry(&mut self.lanes, partition), lane);
        while let Some(&offset) = lane.offsets.get(lane.head) {
            if offset as usize >= start && !entries[offset as usize].finished {
                return Some(offset);
            }
            lane.head += 1;
        }
        None
    }

    /// Takes the next event.
    pub fn see(&mut self, event: &Event) {
        self.book.see(event);
        match event.what {
            What::Written { record, key, .. } => {
                let lane = match self.order {
                    Lanes::ByKey => key,
                    Lanes::ByPartition => Some(0),
                    Lanes::None => None,
                };
                *self.names.at(record.partition, record.offset) = lane;
                if let Some(lane) = lane {
                    let lane = entry(entry(&mut self.lanes, record.partition), lane);
                    lane.offsets.push(record.offset);
                }
            }
            What::Truncated { partition, offset, .. } => {
                for lane in entry(&mut self.lanes, partition) {
                    lane.offsets.truncate(lane.offsets.partition_point(|o| *o < offset));
                    lane.head = lane.head.min(lane.offsets.len());
                }
            }
            _ => {}
        }
    }
}
