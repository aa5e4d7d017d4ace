//! A process with an engine: what a shell does around it.

use tidegate_engine::{Action, Arrival, CancelReason, Engine, KeyHash, Offset, PartitionId, Start};

use super::group::Owner;
use super::handlers::Handler;
use super::{MILLI, Record, SECOND, Timer, World};
use crate::Reached;
use crate::checkers::Violation;
use crate::history::{Ending, What};

/// A partition that a member has.
#[derive(Clone, Copy, Debug)]
pub(super) struct Held {
    pub(super) partition: u32,
    pub(super) assignment: u32,
    /// Index of the next record to read.
    next: usize,
    pub(super) revoking: bool,
    drained: bool,
}

pub(super) struct Member {
    pub(super) life: u32,
    pub(super) engine: Engine<Record>,
    pub(super) held: Vec<Held>,
    pub(super) handlers: Vec<Handler>,
    pub(super) serials: u32,
    /// When the engine is to be told the time.
    due: u64,
}

impl Member {
    pub(super) fn assignment(&self, partition: u32) -> Option<u32> {
        self.held.iter().find(|h| h.partition == partition).map(|h| h.assignment)
    }
}

impl World<'_> {
    pub(super) fn restart(&mut self, slot: u32) {
        let config = self.plan.config.clone();
        let limit = config.max_in_flight;
        let engine = match Engine::new(config, self.instant()) {
            Ok(engine) => engine,
            Err(error) => {
                let violation =
                    Violation { invariant: "config", text: error.to_string(), at: self.now };
                self.violation = Some(violation);
                return;
            }
        };
        let life = self.group.lives;
        self.group.lives += 1;
        if life >= self.plan.members {
            self.hit(Reached::Restart);
        }
        let (held, handlers) = (Vec::new(), Vec::new());
        let member = Member { life, engine, held, handlers, serials: 0, due: u64::MAX };
        self.members[slot as usize] = Some(member);
        self.tell(life, What::Joined { limit });
        self.join(life);
        self.after(self.plan.commit_every, Timer::CommitTick { life });
    }

    pub(super) fn kill(&mut self, life: u32) {
        let Some(slot) = self.slot(life) else { return };
        self.hit(Reached::Kill);
        self.members[slot] = None;
        self.tell(life, What::Ended);
        self.after(self.plan.session, Timer::SessionEnds { life });
        let delay = self.tape.up_to(3 * SECOND);
        self.after(delay, Timer::Restart { slot: slot as u32 });
    }

    pub(super) fn assigned(&mut self, owner: Owner, partition: u32) {
        let Owner { life, assignment } = owner;
        let Some(slot) = self.slot(life) else { return };
        let index = partition as usize;
        let now = self.instant();
        let (committed, metadata) = match &self.group.committed[index] {
            Some((offset, metadata)) => (Some(*offset), metadata.clone()),
            None => (None, String::new()),
        };
        if !metadata.is_empty() {
            self.hit(Reached::RangesUsed);
        }
        let Some(member) = &mut self.members[slot] else { return };
        let start = Start {
            committed: committed.map(Offset),
            metadata: &metadata,
            incarnation: 7 + u64::from(partition),
        };
        let begin = committed.unwrap_or(0);
        let next = self.logs[index].partition_point(|r| r.at.offset < begin);
        let refused = member.engine.handle_assigned(PartitionId(partition), start, now);
        let held = Held { partition, assignment, next, revoking: false, drained: false };
        member.held.push(held);
        self.tell(life, What::Assigned { partition, committed, ranges: true });
        if let Err(error) = refused {
            let text = format!("member {life} cannot read its group's metadata: {error}");
            self.violation.get_or_insert(Violation { invariant: "metadata", text, at: self.now });
        }
        self.after(0, Timer::EngineDue { life });
    }

    pub(super) fn revoke(&mut self, owner: Owner, partition: u32) {
        let Owner { life, assignment } = owner;
        let now = self.instant();
        let Some(slot) = self.slot(life) else { return };
        let Some(member) = &mut self.members[slot] else { return };
        let held = member.held.iter_mut().find(|h| h.partition == partition);
        let Some(held) = held.filter(|h| !h.revoking) else { return };
        held.revoking = true;
        member.engine.handle_revoking(PartitionId(partition), now);
        self.tell(life, What::Revoking { partition });
        self.after(self.plan.drain, Timer::DrainEnds { life, partition, assignment });
        self.after(0, Timer::EngineDue { life });
    }

    /// First the handlers are cancelled; the second time it is given back as it is.
    pub(super) fn drain_ends(&mut self, life: u32, partition: u32, assignment: u32) {
        let now = self.instant();
        let Some(slot) = self.slot(life) else { return };
        let Some(member) = &mut self.members[slot] else { return };
        let held = member.held.iter().find(|h| h.assignment == assignment);
        let Some(held) = held.copied() else { return };
        let id = PartitionId(partition);
        if !held.drained && !member.engine.is_idle(id) {
            member.engine.cancel_partition(id, now);
            self.hit(Reached::DrainDeadline);
            self.after(self.plan.drain, Timer::DrainEnds { life, partition, assignment });
            return self.turn(slot);
        }
        self.release(slot, partition);
        self.turn(slot);
    }

    fn release(&mut self, slot: usize, partition: u32) {
        let now = self.instant();
        let Some(member) = &mut self.members[slot] else { return };
        let (life, id) = (member.life, PartitionId(partition));
        let engine = &mut member.engine;
        let clean = engine.is_idle(id) && !engine.has_uncommitted(id) && !engine.is_committing(id);
        member.held.retain(|h| h.partition != partition);
        engine.handle_revoked(id, now);
        self.hit(if clean { Reached::ReleaseClean } else { Reached::ReleaseDirty });
        self.tell(life, What::Released { partition, clean });
        let owner = &mut self.group.owners[partition as usize];
        if owner.take_if(|o| o.life == life).is_some() {
            self.rebalance();
        }
    }

    /// An expelled member hears of it, and comes again.
    pub(super) fn learns(&mut self, life: u32) {
        let now = self.instant();
        let Some(slot) = self.slot(life) else { return };
        let Some(member) = &mut self.members[slot] else { return };
        for held in std::mem::take(&mut member.held) {
            let partition = held.partition;
            if let Some(member) = &mut self.members[slot] {
                member.engine.handle_lost(PartitionId(partition), now);
            }
            self.tell(life, What::Lost { partition });
        }
        self.hit(Reached::Zombie);
        self.turn(slot);
        self.join(life);
    }

    pub(super) fn change_limit(&mut self, slot: usize) {
        let limit = 1 + self.tape.below(self.plan.config.max_in_flight);
        let Some(member) = &mut self.members[slot] else { return };
        let life = member.life;
        if member.engine.set_max_in_flight(limit).is_ok() {
            self.hit(Reached::LimitDown);
            self.tell(life, What::Limit { limit });
            self.turn(slot);
        }
    }

    pub(super) fn engine_due(&mut self, life: u32) {
        let now = self.instant();
        let Some(slot) = self.slot(life) else { return };
        let Some(member) = &mut self.members[slot] else { return };
        member.due = u64::MAX;
        member.engine.handle_timeout(now);
        self.turn(slot);
    }

    pub(super) fn commit_tick(&mut self, life: u32) {
        let Some(slot) = self.slot(life) else { return };
        self.commit(slot);
        self.turn(slot);
        self.after(self.plan.commit_every, Timer::CommitTick { life });
    }

    fn commit(&mut self, slot: usize) {
        let Some(member) = &mut self.members[slot] else { return };
        let life = member.life;
        let mut points = Vec::new();
        member.engine.poll_commits(&mut points);
        let assignments: Vec<_> = points.iter().map(|p| member.assignment(p.partition.0)).collect();
        for (point, assignment) in points.into_iter().zip(assignments) {
            self.send_commit(life, assignment.unwrap_or(0), point);
        }
    }

    /// A member looks at its engine and does what there is to do.
    pub(super) fn turn(&mut self, slot: usize) {
        self.do_actions(slot);
        self.read(slot);
        self.dispatch(slot);
        self.do_actions(slot);
        self.give_back(slot);
        let Some(member) = &mut self.members[slot] else { return };
        let due = member.engine.poll_timeout().map(|at| at.as_nanos().max(self.now + 1));
        if let Some(due) = due.filter(|due| *due < member.due) {
            member.due = due;
            let life = member.life;
            self.at(due, Timer::EngineDue { life });
        }
    }

    fn do_actions(&mut self, slot: usize) {
        while let Some(action) = self.members[slot].as_mut().and_then(|m| m.engine.poll_action()) {
            match action {
                Action::Cancel { ticket, reason } => {
                    let ending = match reason {
                        CancelReason::Timeout => Ending::TimedOut,
                        _ => Ending::Cancelled,
                    };
                    self.cancel(slot, ticket, ending);
                }
                Action::Drained { partition } => {
                    let Some(member) = &mut self.members[slot] else { return };
                    let drained = member.held.iter_mut().find(|h| h.partition == partition.0);
                    drained.into_iter().for_each(|h| h.drained = true);
                    self.commit(slot);
                }
                Action::Stuck { .. } => self.hit(Reached::StuckTold),
                Action::NoProgress { .. } => self.hit(Reached::NoProgressTold),
                _ => {}
            }
        }
    }

    /// What is drained and committed goes back.
    fn give_back(&mut self, slot: usize) {
        let Some(member) = &self.members[slot] else { return };
        let ready = |h: &&Held| {
            let id = PartitionId(h.partition);
            let engine = &member.engine;
            h.revoking && h.drained && !engine.has_uncommitted(id) && !engine.is_committing(id)
        };
        let ready: Vec<_> = member.held.iter().filter(ready).map(|h| h.partition).collect();
        for partition in ready {
            self.release(slot, partition);
        }
    }

    fn read(&mut self, slot: usize) {
        let now = self.instant();
        let count = self.members[slot].as_ref().map_or(0, |m| m.held.len());
        for index in 0..count {
            let Some(member) = &mut self.members[slot] else { return };
            let (life, held) = (member.life, &mut member.held[index]);
            let log = &self.logs[held.partition as usize];
            if held.next == log.len() {
                continue;
            }
            let id = PartitionId(held.partition);
            let capacity = member.engine.capacity(id, now);
            if capacity.records == 0 {
                self.coverage.hit(Reached::Full);
                continue;
            }
            let (mut taken, mut bytes) = (Vec::new(), 0);
            for record in log[held.next..].iter().take(capacity.records as usize) {
                let most = if taken.is_empty() { capacity.first } else { capacity.bytes };
                bytes += u64::from(record.bytes);
                if bytes > most {
                    break;
                }
                taken.push(*record);
            }
            if taken.is_empty() {
                member.engine.reserve(id, bytes, now);
                self.coverage.hit(Reached::Reserved);
                continue;
            }
            held.next += taken.len();
            let position = taken.last().map(|r| Offset(r.at.offset + 1));
            let arrivals = taken.iter().map(|r| Arrival {
                offset: Offset(r.at.offset),
                bytes: r.bytes,
                key: r.key.map(|k| KeyHash(u64::from(k).wrapping_mul(0x9e37_79b9_7f4a_7c15))),
                leader_epoch: 0,
                payload: *r,
            });
            let admitted = member.engine.handle_records(id, arrivals, position, now);
            self.coverage.add(Reached::AlreadyFinished, (taken.len() as u64) - u64::from(admitted));
            for record in taken {
                self.tell(life, What::Taken { record: record.at, bytes: record.bytes });
            }
        }
    }

    /// Somebody looks after a member that has stopped a partition.
    pub(super) fn call_operator(&mut self, life: u32) {
        self.hit(Reached::Stopped);
        self.after(300 * MILLI, Timer::Kill { life });
    }
}
