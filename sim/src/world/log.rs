//! The log: what is written, what retention takes, and what an unclean election cuts off.

use super::producers::Pending;
use super::{Happens, SECOND, Timer, World};
use crate::Reached;
use crate::history::{NOBODY, RecordAt, What};

/// A record of the log.
#[derive(Clone, Copy, Debug)]
pub(super) struct Record {
    pub(super) at: RecordAt,
    pub(super) key: Option<u32>,
    pub(super) bytes: u32,
}

/// One partition.
#[derive(Debug, Default)]
pub(super) struct Log {
    pub(super) records: Vec<Record>,
    /// The first offset that is left.
    pub(super) start: i64,
    /// The next offset to write.
    pub(super) end: i64,
    /// The leader epoch, counted on over topics of the same name.
    epoch: i32,
    /// Which topic of this name it is, and the epoch that its own leader epochs begin at: a topic
    /// that is made again begins with leader epoch 0.
    pub(super) topic: u32,
    pub(super) base: i32,
    /// Each unclean election: where it cut, and the leader epoch that followed.
    cuts: Vec<(i64, i32)>,
}

impl Log {
    pub(super) fn epoch(&self) -> i32 {
        self.epoch
    }

    /// Index of the first record from `offset` on.
    pub(super) fn index(&self, offset: i64) -> usize {
        self.records.partition_point(|r| r.at.offset < offset)
    }

    /// Where to go on instead, if a reader that has read up to `offset`, the last of it in
    /// `epoch`, finds the log without what it read or would read.
    pub(super) fn gap(&self, offset: i64, epoch: i32) -> Option<i64> {
        let cut = self.cuts.iter().filter(|(at, after)| *after > epoch && *at < offset);
        let to = cut.map(|(at, _)| *at).min().unwrap_or(offset).clamp(self.start, self.end);
        (to != offset).then_some(to)
    }
}

impl World<'_> {
    /// A hash of the topic's id, as far as one partition is concerned.
    pub(super) fn incarnation(&self, partition: usize) -> u64 {
        7 + partition as u64 + 1_000 * u64::from(self.logs[partition].topic)
    }

    /// Somebody writes without a gate.
    pub(super) fn produce(&mut self) {
        let ungated = self.plan.gates.ungated;
        for _ in 0..self.plan.batch {
            if self.produced == ungated {
                break;
            }
            self.produced += 1;
            self.write();
        }
        if self.produced < ungated {
            self.after(self.plan.produce_every, Timer::Produce);
        }
        for slot in 0..self.members.len() {
            self.turn(slot);
        }
    }

    fn write(&mut self) {
        let byte = u32::from(self.tape.byte());
        let partition = byte % self.logs.len() as u32;
        let pending = self.draw_record(byte);
        self.append(partition, pending);
    }

    /// A record to write.
    pub(super) fn draw_record(&mut self, byte: u32) -> Pending {
        let key = (!self.tape.chance(self.plan.keyless_per_mille)).then(|| {
            // Low keys are hot.
            self.tape.below(self.plan.keys) * self.tape.below(256) / 256
        });
        let bytes = match self.tape.chance(self.plan.large_per_mille) {
            true => self.plan.config.max_bytes as u32 / 4 * (1 + byte % 5),
            false => 20 + byte,
        };
        if key.is_none() {
            self.hit(Reached::Keyless);
        }
        Pending { key, bytes }
    }

    pub(super) fn append(&mut self, partition: u32, pending: Pending) -> RecordAt {
        let Pending { key, bytes } = pending;
        let before = self.tape.chance(self.plan.gap_per_mille);
        let behind = self.tape.chance(self.plan.gap_per_mille);
        self.coverage.add(Reached::Gap, u64::from(before) + u64::from(behind));
        let log = &mut self.logs[partition as usize];
        let offset = log.end + i64::from(before);
        log.end = offset + 1 + i64::from(behind);
        let at = RecordAt { partition, offset, epoch: log.epoch };
        log.records.push(Record { at, key, bytes });
        self.written += 1;
        self.tell(NOBODY, What::Written { record: at, key, bytes });
        at
    }

    /// A replica that had not everything becomes the leader.
    pub(super) fn truncate(&mut self) {
        let partition = self.tape.below(self.logs.len() as u32);
        let most = self.plan.keys.min(30);
        let back = i64::from(1 + self.tape.below(most));
        let log = &mut self.logs[partition as usize];
        let offset = (log.end - back).max(log.start);
        if offset == log.end {
            return;
        }
        log.records.truncate(log.index(offset));
        log.end = offset;
        log.epoch += 1;
        log.cuts.push((offset, log.epoch));
        let epoch = log.epoch;
        self.hit(Reached::Truncated);
        self.tell(NOBODY, What::Truncated { partition, offset, epoch });
    }

    /// Retention removes the oldest records, read or not.
    pub(super) fn expire(&mut self) {
        let partition = self.tape.below(self.logs.len() as u32);
        let further = i64::from(1 + self.tape.below(100));
        let log = &mut self.logs[partition as usize];
        let offset = (log.start + further).min(log.end);
        if offset == log.start {
            return;
        }
        log.start = offset;
        self.hit(Reached::Expired);
        self.tell(NOBODY, What::Expired { partition, offset });
    }

    /// Somebody deletes the topic and makes it again. (One partition at a time is enough to show
    /// what matters.)
    pub(super) fn recreate(&mut self) {
        let partition = self.tape.below(self.logs.len() as u32);
        let log = &mut self.logs[partition as usize];
        let epoch = log.epoch + 1;
        let cuts = std::mem::take(&mut log.cuts);
        *log = Log { topic: log.topic + 1, epoch, base: epoch, cuts, ..Log::default() };
        log.cuts.push((0, epoch));
        self.hit(Reached::Recreated);
        self.tell(NOBODY, What::Truncated { partition, offset: 0, epoch });
        self.tell(NOBODY, What::Reset { partition, offset: 0 });
        self.group.committed[partition as usize] = None;
        self.plain.forget(partition);
        if let Some(owner) = self.group.owners[partition as usize].take().filter(|o| o.told) {
            let delay = self.tape.up_to(self.plan.session);
            let gone = Happens::TopicGone { partition, assignment: owner.assignment };
            self.later(owner.life, delay, gone);
        }
        self.rebalance();
    }

    /// The topic gets another partition.
    pub(super) fn add_partition(&mut self) {
        if self.logs.len() as u32 >= self.plan.partitions + 2 {
            return;
        }
        self.hit(Reached::PartitionAdded);
        self.logs.push(Log::default());
        self.group.add_partition();
        self.plain.add_partition();
        for life in self.gates() {
            let delay = self.tape.up_to(SECOND);
            self.after(delay, Timer::PartitionsLearned { life });
        }
        self.rebalance();
    }
}
