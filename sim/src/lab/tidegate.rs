//! The consumer with the engine: what its runtime does, on virtual time.

use std::collections::VecDeque;

use tidegate_engine::{
    Action, Arrival, Config, Dispatch, Engine, KeyHash, LetterOutcome, Offset, Outcome,
    PartitionId, Start, Ticket, Verdict,
};

use super::downstream::{Reply, Request};
use super::member::{Load, Process};
use super::random::mix;
use super::run::{World, instant};
use super::{MILLI, Scenario, Strategy};

/// How long a dead letter takes to be written.
const LETTER: u64 = 5 * MILLI;

/// The topic's incarnation: any but 0.
const INCARNATION: u64 = 1;

#[derive(Debug)]
pub(super) struct Tidegate {
    pub(super) engine: Engine<()>,
    out: Vec<Dispatch<()>>,
    letters: VecDeque<(u64, Ticket, usize, usize)>,
}

impl Tidegate {
    pub(super) fn new(scenario: &Scenario, strategy: Strategy, now: u64) -> Option<Self> {
        let permits = strategy.permits()?;
        let config = Config { max_in_flight: permits, ..scenario.engine_config() };
        let engine = Engine::new(config, instant(now)).ok()?;
        Some(Self { engine, out: Vec::new(), letters: VecDeque::new() })
    }

    pub(super) fn load(&self, task_memory: u64, now: u64) -> Load {
        let snapshot = self.engine.snapshot(instant(now));
        let in_flight = u64::from(snapshot.in_flight);
        let bytes = snapshot.bytes + in_flight * task_memory;
        Load { queued: snapshot.queued.into(), in_flight, bytes }
    }
}

impl World {
    fn tidegate(&mut self, index: usize) -> Option<&mut Tidegate> {
        match &mut self.members[index].process {
            Process::Tidegate(tidegate) => Some(tidegate),
            _ => None,
        }
    }

    /// The partition is this member's.
    pub(super) fn begin_tidegate(&mut self, index: usize, partition: usize) {
        let now = instant(self.now);
        let (committed, metadata) = {
            let partition = &self.log.partitions[partition];
            (partition.committed, partition.metadata.clone())
        };
        let Some(tidegate) = self.tidegate(index) else { return };
        let committed = committed.map(|offset| Offset(offset as i64));
        let start = Start { committed, metadata: &metadata, incarnation: INCARNATION };
        let known = tidegate.engine.handle_assigned(PartitionId(partition as u32), start, now);
        debug_assert!(known.is_ok(), "{known:?}");
    }

    /// A turn of the pump: timers, letters, commits, reads, and what may start.
    pub(super) fn step_tidegate(&mut self, index: usize, has_room: bool, commits: bool) {
        let now = instant(self.now);
        let Some(tidegate) = self.tidegate(index) else { return };
        if tidegate.engine.poll_timeout().is_some_and(|at| at <= now) {
            tidegate.engine.handle_timeout(now);
        }
        self.write_letters(index);
        self.actions(index);
        if commits {
            self.commit_tidegate(index);
        }
        match has_room {
            true => self.read_tidegate(index),
            false => self.members[index].is_full = true,
        }
        self.run_tidegate(index);
    }

    /// Reads what fits. While a partition is being given away the client fetches nothing.
    fn read_tidegate(&mut self, index: usize) {
        let owned = |p: &super::topic::Partition| p.owner == Some(index);
        if self.log.partitions.iter().any(|p| owned(p) && p.moving.is_some()) {
            return;
        }
        let (now, count) = (instant(self.now), self.log.partitions.len());
        for turn in 0..count {
            let number = (self.steps as usize + turn) % count;
            let partition = &self.log.partitions[number];
            if !owned(partition) || partition.unread() == 0 {
                continue;
            }
            let Process::Tidegate(tidegate) = &mut self.members[index].process else { return };
            let id = PartitionId(number as u32);
            let capacity = tidegate.engine.capacity(id, now);
            let start = partition.position;
            let records = partition.entries[start..].iter().take(capacity.records as usize);
            let (mut taken, mut bytes) = (0, 0);
            for record in records {
                bytes += u64::from(record.fresh.bytes);
                if bytes > if taken == 0 { capacity.first } else { capacity.bytes } {
                    break;
                }
                taken += 1;
            }
            if taken == 0 {
                if bytes > 0 {
                    tidegate.engine.reserve(id, bytes, now);
                }
                continue;
            }
            let entries = partition.entries[start..start + taken].iter().enumerate();
            let arrivals = entries.map(|(n, entry)| Arrival {
                offset: Offset((start + n) as i64),
                bytes: entry.fresh.bytes,
                key: entry.fresh.key.map(|key| KeyHash(mix(key.into(), 6))),
                leader_epoch: 0,
                payload: (),
            });
            tidegate.engine.handle_records(id, arrivals, None, now);
            self.log.read(number, taken);
        }
    }

    /// Starts the handlers whose turn it is.
    pub(super) fn run_tidegate(&mut self, index: usize) {
        let now = instant(self.now);
        let life = self.members[index].life;
        let Some(tidegate) = self.tidegate(index) else { return };
        let mut out = std::mem::take(&mut tidegate.out);
        tidegate.engine.poll_dispatch(&mut out, usize::MAX, now);
        for dispatch in out.drain(..) {
            let request = Request {
                member: index,
                life,
                partition: dispatch.partition.index(),
                offset: dispatch.offset.0 as usize,
                attempt: dispatch.attempt,
                ticket: Some(dispatch.ticket),
            };
            if dispatch.attempt == 1 {
                self.deliver(&request);
            }
            self.ask(request);
        }
        if let Some(tidegate) = self.tidegate(index) {
            tidegate.out = out;
        }
    }

    /// A handler has its answer.
    pub(super) fn answered_tidegate(&mut self, request: Request, reply: Reply) {
        let now = self.now;
        let Some(ticket) = request.ticket else { return };
        let Some(tidegate) = self.tidegate(request.member) else { return };
        let outcome = match reply {
            Reply::Done => Outcome::Done,
            Reply::Failed => Outcome::Retry { after: None },
            Reply::Overloaded => Outcome::Overloaded { retry_after: None },
        };
        let verdict = tidegate.engine.handle_outcome(ticket, outcome, instant(now));
        if let Verdict::DeadLetter { .. } = verdict {
            tidegate.letters.push_back((now + LETTER, ticket, request.partition, request.offset));
        }
        self.run_tidegate(request.member);
    }

    fn write_letters(&mut self, index: usize) {
        let now = self.now;
        loop {
            let Some(tidegate) = self.tidegate(index) else { return };
            if tidegate.letters.front().is_none_or(|(at, ..)| *at > now) {
                return;
            }
            let Some((_, ticket, partition, offset)) = tidegate.letters.pop_front() else { return };
            let written = LetterOutcome::Written;
            if tidegate.engine.handle_dead_letter(ticket, written, instant(now))
                == Verdict::Finished
            {
                self.meter.dead_letters += 1;
                let entry = &mut self.log.partitions[partition].entries[offset];
                (entry.is_done, entry.holder) = (true, 0);
            }
        }
    }

    fn actions(&mut self, index: usize) {
        let now = instant(self.now);
        let life = self.members[index].life;
        loop {
            let Some(tidegate) = self.tidegate(index) else { return };
            let Some(action) = tidegate.engine.poll_action() else { return };
            if let Action::Cancel { ticket, .. } = action {
                let outcome = Outcome::Retry { after: None };
                tidegate.engine.handle_outcome(ticket, outcome, now);
                self.hang_up_one(life, ticket);
            }
        }
    }

    /// Commits what is finished, with the ranges above it.
    pub(super) fn commit_tidegate(&mut self, index: usize) {
        let now = instant(self.now);
        let mut points = Vec::new();
        let Process::Tidegate(tidegate) = &mut self.members[index].process else { return };
        tidegate.engine.poll_commits(&mut points);
        for point in points {
            tidegate.engine.handle_committed(point.partition, point.offset, true, now);
            let partition = &mut self.log.partitions[point.partition.index()];
            partition.committed = Some(point.offset.0 as usize);
            partition.metadata = point.metadata;
        }
    }

    /// A partition is to be given away: nothing more of it starts.
    pub(super) fn revoke_tidegate(&mut self, index: usize, partition: usize) {
        let now = instant(self.now);
        if let Some(tidegate) = self.tidegate(index) {
            tidegate.engine.handle_revoking(PartitionId(partition as u32), now);
        }
    }

    /// The deadline is over: its handlers are cancelled.
    pub(super) fn cancel_tidegate(&mut self, index: usize, partition: usize) {
        let now = instant(self.now);
        if let Some(tidegate) = self.tidegate(index) {
            tidegate.engine.cancel_partition(PartitionId(partition as u32), now);
        }
        self.actions(index);
    }

    /// Nothing of it runs any more: returns whether it was, and then is, given back.
    pub(super) fn release_tidegate(&mut self, index: usize, partition: usize) -> bool {
        let (now, id) = (instant(self.now), PartitionId(partition as u32));
        let Some(tidegate) = self.tidegate(index) else { return true };
        if !tidegate.engine.is_idle(id) {
            return false;
        }
        self.commit_tidegate(index);
        if let Some(tidegate) = self.tidegate(index) {
            tidegate.engine.handle_revoked(id, now);
        }
        true
    }
}
