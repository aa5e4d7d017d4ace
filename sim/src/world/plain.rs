//! Another group that gates may follow: a consumer that commits plain offsets at an interval, as
//! other clients do. It reads its topic in strides and has no handlers.

use super::{SECOND, Timer, World};
use crate::Reached;
use crate::history::{NOBODY, What};

#[derive(Debug)]
pub(super) struct PlainGroup {
    position: Vec<i64>,
    pub(super) committed: Vec<Option<i64>>,
    /// A record that it cannot get past before.
    held_until: Vec<u64>,
}

impl PlainGroup {
    pub(super) fn new(partitions: usize) -> Self {
        Self {
            position: vec![0; partitions],
            committed: vec![None; partitions],
            held_until: vec![0; partitions],
        }
    }

    pub(super) fn add_partition(&mut self) {
        self.position.push(0);
        self.committed.push(None);
        self.held_until.push(0);
    }

    /// The partition belongs to another topic now.
    pub(super) fn forget(&mut self, partition: u32) {
        self.position[partition as usize] = 0;
        self.committed[partition as usize] = None;
    }
}

impl World<'_> {
    pub(super) fn begin_plain_group(&mut self) {
        if self.plan.gates.config.groups > 1 {
            let begins = SECOND + self.plan.gates.plain.begins;
            self.at(begins, Timer::PlainReads);
            self.at(begins, Timer::PlainCommits);
        }
    }

    pub(super) fn plain_reads(&mut self) {
        self.after(self.plan.gates.plain.reads_every, Timer::PlainReads);
        let most = if self.calm { 1_000 } else { self.plan.gates.plain.reads_most };
        for partition in 0..self.logs.len() {
            if self.fault(self.plan.gates.plain.poison_per_mille / 10) {
                self.hit(Reached::PlainPoison);
                self.plain.held_until[partition] = self.now + self.tape.up_to(8 * SECOND);
            }
            if self.now < self.plain.held_until[partition] {
                continue;
            }
            let log = &self.logs[partition];
            let position = &mut self.plain.position[partition];
            if *position < log.start || *position > log.end {
                self.coverage.hit(Reached::PlainReset);
            }
            let from = (*position).clamp(log.start, log.end);
            *position = (from + i64::from(most)).min(log.end);
        }
    }

    pub(super) fn plain_commits(&mut self) {
        self.after(self.plan.gates.plain.commits_every, Timer::PlainCommits);
        for partition in 0..self.logs.len() {
            if self.fault(self.plan.gates.plain.back_per_mille) {
                // It was thrown out of its group, and begins again where an earlier commit was.
                let back = 1 + i64::from(self.tape.below(20));
                let position = &mut self.plain.position[partition];
                *position = (*position - back).max(self.logs[partition].start);
                self.hit(Reached::PlainBack);
            }
            let offset = self.plain.position[partition];
            let before = self.plain.committed[partition];
            if before == Some(offset) || (before.is_none() && offset == 0) {
                continue;
            }
            self.plain.committed[partition] = Some(offset);
            let partition = partition as u32;
            self.tell(NOBODY, What::PlainCommit { group: 1, partition, offset });
        }
    }
}
