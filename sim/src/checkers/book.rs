//! Which records there are, and which of them are finished.

use super::{ByOffset, entry};
use crate::history::{Event, RecordAt, What};

/// What is known of an offset.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Entry {
    pub(super) epoch: i32,
    /// Whether there is a record.
    pub(super) written: bool,
    pub(super) finished: bool,
    /// How many records lie before it.
    pub(super) rank: u64,
}

#[derive(Clone, Debug, Default)]
struct Partition {
    /// Records below it are gone.
    start: usize,
    /// Records below it are finished or gone.
    head: usize,
    /// Each unclean election: where it cut, and the epoch that followed.
    cuts: Vec<(i64, i32)>,
}

/// The records of every partition. It has to see every event.
#[derive(Debug, Default)]
pub(super) struct Book {
    entries: ByOffset<Entry>,
    partitions: Vec<Partition>,
}

impl Book {
    /// The partition by offset, up to its last record.
    pub(super) fn entries(&mut self, partition: u32) -> &[Entry] {
        self.entries.partition(partition)
    }

    /// The record, unless it was cut off.
    pub(super) fn get(&mut self, record: RecordAt) -> Option<Entry> {
        self.find(record).copied()
    }

    /// The first offset that retention has left.
    pub(super) fn start(&mut self, partition: u32) -> usize {
        entry(&mut self.partitions, partition).start
    }

    /// The first record that is left and never finished.
    pub(super) fn head(&mut self, partition: u32) -> Option<usize> {
        let state = entry(&mut self.partitions, partition);
        let entries = self.entries.partition(partition);
        state.head = state.head.max(state.start);
        while entries.get(state.head).is_some_and(|e| !e.written || e.finished) {
            state.head += 1;
        }
        (state.head < entries.len()).then_some(state.head)
    }

    /// Whether an offset up to which records of `epoch` were read is one of a log that an unclean
    /// election has cut since.
    pub(super) fn was_cut(&mut self, partition: u32, offset: i64, epoch: i32) -> bool {
        let cuts = &entry(&mut self.partitions, partition).cuts;
        cuts.iter().any(|(at, after)| *after > epoch && *at < offset)
    }

    pub(super) fn see(&mut self, event: &Event) {
        match event.what {
            What::Written { record, .. } => {
                let before = self.entries.partition(record.partition).last();
                let rank = before.map_or(0, |before| before.rank + 1);
                let epoch = record.epoch;
                *self.entries.at(record.partition, record.offset) =
                    Entry { epoch, written: true, finished: false, rank };
            }
            What::Truncated { partition, offset, epoch } => {
                let entries = self.entries.partition(partition);
                entries.truncate(offset as usize);
                let last = entries.iter().rposition(|e| e.written);
                entries.truncate(last.map_or(0, |last| last + 1));
                let state = entry(&mut self.partitions, partition);
                state.head = state.head.min(entries.len());
                state.start = state.start.min(offset as usize);
                state.cuts.push((offset, epoch));
            }
            What::Expired { partition, offset } => {
                entry(&mut self.partitions, partition).start = offset as usize;
            }
            What::End { record, ending, .. } if ending.finishes() => self.finish(record),
            What::GivenUp { record } | What::LetterAnswered { record } => self.finish(record),
            _ => {}
        }
    }

    fn finish(&mut self, record: RecordAt) {
        if let Some(entry) = self.find(record) {
            entry.finished = true;
        }
    }

    fn find(&mut self, record: RecordAt) -> Option<&mut Entry> {
        let entries = self.entries.partition(record.partition);
        let entry = entries.get_mut(record.offset as usize);
        entry.filter(|entry| entry.written && entry.epoch == record.epoch)
    }
}
