//! The consumer of the incident: poll, start a task for each record, poll again.

use super::downstream::{Reply, Request};
use super::member::{Load, Process};
use super::run::{Timer, World};
use super::{MILLI, SECOND, Strategy};

/// Tasks that run. There is nothing else that it knows.
#[derive(Debug, Default)]
pub(super) struct Unbounded {
    tasks: u64,
    bytes: u64,
}

impl Unbounded {
    pub(super) fn load(&self, task_memory: u64) -> Load {
        Load { queued: 0, in_flight: self.tasks, bytes: self.bytes + self.tasks * task_memory }
    }
}

impl World {
    /// One poll: what it brings, at most `poll` records, becomes tasks. Memory alone is a bound.
    pub(super) fn step_unbounded(&mut self, index: usize, mut used: u64, commits: bool) {
        if commits {
            self.commit_unbounded(index);
        }
        let (life, count) = (self.members[index].life, self.log.partitions.len());
        let mut left = self.scenario.consumers.poll;
        for turn in 0..count {
            let partition = (self.steps as usize + turn) % count;
            if self.log.partitions[partition].owner != Some(index) {
                continue;
            }
            while left > 0 && self.log.partitions[partition].unread() > 0 {
                let offset = self.log.partitions[partition].position;
                let bytes = self.log.partitions[partition].entries[offset].fresh.bytes;
                used += u64::from(bytes) + self.scenario.consumers.task_memory;
                if used > self.scenario.consumers.memory {
                    self.members[index].is_full = true;
                    return;
                }
                left -= 1;
                self.log.read(partition, 1);
                if let Process::Unbounded(process) = &mut self.members[index].process {
                    process.tasks += 1;
                    process.bytes += u64::from(bytes);
                }
                let request =
                    Request { member: index, life, partition, offset, attempt: 1, ticket: None };
                self.deliver(&request);
                self.ask(request);
            }
        }
    }

    /// Commits what was polled, or with `commit-when-done` what lies below the first record that is
    /// not done.
    pub(super) fn commit_unbounded(&mut self, index: usize) {
        let when_done = self.strategy == Strategy::Unbounded { when_done: true };
        for partition in self.log.partitions.iter_mut().filter(|p| p.owner == Some(index)) {
            let point = if when_done { partition.settle() } else { partition.position };
            partition.committed = Some(point.max(partition.committed.unwrap_or(0)));
        }
    }

    /// A task ends, or tries again after a pause that doubles each time, or gives up.
    pub(super) fn answered_unbounded(&mut self, request: Request, reply: Reply) {
        let gives_up = request.attempt >= self.scenario.consumers.attempts;
        if reply != Reply::Done && !gives_up {
            let pause = ((100 * MILLI) << (request.attempt - 1).min(16)).min(30 * SECOND);
            let Request { member, life, partition, offset, attempt, .. } = request;
            let attempt = attempt + 1;
            return self.after(pause, Timer::Retry { member, life, partition, offset, attempt });
        }
        let entry = &mut self.log.partitions[request.partition].entries[request.offset];
        if reply != Reply::Done && !entry.is_done {
            entry.is_lost = true;
            entry.holder = 0;
            self.meter.lost += 1;
        }
        let bytes = u64::from(entry.fresh.bytes);
        if let Process::Unbounded(process) = &mut self.members[request.member].process {
            process.tasks -= 1;
            process.bytes -= bytes;
        }
    }

    /// A task tries again.
    pub(super) fn retry_unbounded(&mut self, request: Request) {
        if self.members[request.member].life == request.life
            && matches!(self.members[request.member].process, Process::Unbounded(_))
        {
            self.ask(request);
        }
    }
}
