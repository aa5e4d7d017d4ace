//! What a shell does around an engine: it reads, gives handlers their records, commits.

use tidegate_engine::{
    Action, Arrival, CancelReason, CommitPoint, KeyHash, Offset, PartitionId, Position,
};

use super::member::Held;
use super::{Happens, World};
use crate::Reached;
use crate::history::{Ending, What};

impl World<'_> {
    pub(super) fn engine_due(&mut self, slot: usize) {
        let now = self.instant();
        let Some(member) = &mut self.members[slot] else { return };
        member.due = u64::MAX;
        member.engine.handle_timeout(now);
    }

    pub(super) fn commit(&mut self, slot: usize) {
        let Some(member) = &mut self.members[slot] else { return };
        let life = member.life;
        let mut points = Vec::new();
        member.engine.poll_commits(&mut points);
        let held = |p: &CommitPoint| member.held.iter().find(|h| h.partition == p.partition.0);
        let held: Vec<_> = points.iter().map(|p| held(p).copied()).collect();
        for (mut point, held) in points.into_iter().zip(held) {
            let Some(held) = held else {
                return self.broken("commit", "a commit of a partition that is gone".to_owned());
            };
            if self.members[slot].as_ref().is_some_and(|m| m.is_older) {
                point.metadata = "tg0:AAAA".to_owned();
            }
            self.send_commit(life, held, point);
        }
    }

    /// A member looks at its engine and does what there is to do.
    pub(super) fn turn(&mut self, slot: usize) {
        if self.members[slot].is_none() || self.hung_until(slot).is_some() {
            return;
        }
        self.do_actions(slot);
        self.read(slot);
        self.dispatch(slot);
        self.do_actions(slot);
        self.give_back(slot);
        self.end_if_left(slot);
        let Some(member) = &mut self.members[slot] else { return };
        let due = member.engine.poll_timeout().map(|at| at.as_nanos().max(self.now + 1));
        if let Some(due) = due.filter(|due| *due < member.due) {
            member.due = due;
            let life = member.life;
            self.later(life, due - self.now, Happens::EngineDue);
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
                    if let Some(held) = member.held(partition.0) {
                        held.drained = true;
                    }
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
        let count = self.members[slot].as_ref().map_or(0, |m| m.held.len());
        // Begins elsewhere each time, so that none is always the first.
        for turn in 0..count {
            let index = (turn + self.sequence as usize) % count;
            let Some(held) = self.members[slot].as_ref().and_then(|m| m.held.get(index)) else {
                return;
            };
            let log = &self.logs[held.partition as usize];
            if held.revoking || held.stopped || held.topic != log.topic {
                continue;
            }
            match log.gap(held.position, held.epoch) {
                Some(_) => self.gap_found(slot, index),
                None => self.read_partition(slot, index),
            }
        }
    }

    fn read_partition(&mut self, slot: usize, index: usize) {
        let now = self.instant();
        let Some(member) = &mut self.members[slot] else { return };
        let (life, held) = (member.life, &mut member.held[index]);
        let log = &self.logs[held.partition as usize];
        let records = &log.records[log.index(held.position)..];
        let id = PartitionId(held.partition);
        if records.is_empty() {
            return;
        }
        let capacity = member.engine.capacity(id, now);
        if capacity.records == 0 {
            return self.coverage.hit(Reached::Full);
        }
        let most = self.plan.fetch.min(capacity.records as usize);
        let (mut taken, mut bytes) = (0, 0);
        for record in records.iter().take(most) {
            let room = if taken == 0 { capacity.first } else { capacity.bytes };
            bytes += u64::from(record.bytes);
            if bytes > room {
                break;
            }
            taken += 1;
        }
        if taken == 0 {
            member.engine.reserve(id, bytes, now);
            return self.coverage.hit(Reached::Reserved);
        }
        let base = held.base;
        // Behind the last one there may be offsets without a record.
        held.position = records.get(taken).map_or(log.end, |next| next.at.offset);
        let records = records[..taken].to_vec();
        let last = records[taken - 1].at.epoch;
        held.epoch = held.epoch.max(if held.position == log.end { log.epoch() } else { last });
        let arrivals = records.iter().map(|r| Arrival {
            offset: Offset(r.at.offset),
            bytes: r.bytes,
            key: r.key.map(|k| KeyHash(u64::from(k).wrapping_mul(0x9e37_79b9_7f4a_7c15))),
            leader_epoch: r.at.epoch - base,
            payload: *r,
        });
        let position = Offset(held.position);
        let position = Some(Position { offset: position, leader_epoch: held.epoch - base });
        let admitted = member.engine.handle_records(id, arrivals, position, now);
        self.coverage.add(Reached::AlreadyFinished, (taken as u64) - u64::from(admitted));
        for record in records {
            self.tell(life, What::Taken { record: record.at, bytes: record.bytes });
        }
    }
}
