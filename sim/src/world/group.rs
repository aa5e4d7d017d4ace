//! The coordinator: who is a member, who has which partition, and what is committed.

use tidegate_engine::{CommitPoint, Metadata, Offset};

use super::{MILLI, Timer, World};
use crate::Reached;
use crate::checkers::Violation;
use crate::history::What;

#[derive(Clone, Copy, Debug)]
pub(super) struct Owner {
    pub(super) life: u32,
    pub(super) assignment: u32,
}

/// A commit on its way.
#[derive(Debug)]
pub(super) struct Request {
    life: u32,
    assignment: u32,
    point: CommitPoint,
    sent: u64,
    ok: bool,
    lost: bool,
}

#[derive(Debug)]
pub(super) struct Group {
    pub(super) joined: Vec<u32>,
    pub(super) owners: Vec<Option<Owner>>,
    pub(super) committed: Vec<Option<(i64, String)>>,
    requests: Vec<Option<Request>>,
    pub(super) lives: u32,
    assignments: u32,
}

impl Group {
    pub(super) fn new(partitions: usize) -> Self {
        Self {
            joined: Vec::new(),
            owners: vec![None; partitions],
            committed: vec![None; partitions],
            requests: Vec::new(),
            lives: 0,
            assignments: 0,
        }
    }
}

impl World<'_> {
    pub(super) fn join(&mut self, life: u32) {
        self.group.joined.push(life);
        self.rebalance();
    }

    /// What a member had is free.
    pub(super) fn leave(&mut self, life: u32) {
        self.group.joined.retain(|l| *l != life);
        for owner in &mut self.group.owners {
            owner.take_if(|o| o.life == life);
        }
        self.rebalance();
    }

    /// The group takes everything from a member, which hears of it later.
    pub(super) fn expel(&mut self, life: u32) {
        if !self.group.joined.contains(&life) {
            return;
        }
        self.hit(Reached::Expelled);
        self.tell(life, What::Expelled);
        let delay = self.tape.up_to(self.plan.session);
        self.after(delay, Timer::Learns { life });
        self.leave(life);
    }

    /// Free partitions are given out, and others asked back that are not where they belong.
    pub(super) fn rebalance(&mut self) {
        let count = self.group.joined.len();
        if count == 0 {
            return;
        }
        for partition in 0..self.plan.partitions {
            let index = partition as usize;
            let target = self.group.joined[index % count];
            match self.group.owners[index] {
                Some(owner) if owner.life != target => self.revoke(owner, partition),
                Some(_) => {}
                None => {
                    self.group.assignments += 1;
                    let owner = Owner { life: target, assignment: self.group.assignments };
                    self.group.owners[index] = Some(owner);
                    self.assigned(owner, partition);
                }
            }
        }
    }

    pub(super) fn send_commit(&mut self, life: u32, assignment: u32, point: CommitPoint) {
        let mut delay = self.tape.up_to(self.plan.network);
        if self.fault(self.plan.commit_slow_per_mille) {
            self.hit(Reached::CommitSlow);
            delay += self.tape.up_to(2_000 * MILLI);
        }
        let sent = self.now;
        let request = Request { life, assignment, point, sent, ok: false, lost: false };
        self.group.requests.push(Some(request));
        let request = self.group.requests.len() as u32 - 1;
        self.after(delay, Timer::CommitArrives { request });
    }

    pub(super) fn commit_arrives(&mut self, number: u32) {
        let Some(mut request) = self.group.requests[number as usize].take() else { return };
        let owner = self.group.owners[request.point.partition.index()];
        let owns =
            owner.is_some_and(|o| o.life == request.life && o.assignment == request.assignment);
        if !owns {
            self.hit(Reached::CommitFenced);
        } else if self.fault(self.plan.commit_lost_per_mille) {
            self.hit(Reached::CommitLost);
            request.lost = true;
        } else if self.fault(self.plan.commit_refused_per_mille) {
            self.hit(Reached::CommitRebalancing);
        } else {
            self.apply(&request);
            request.ok = true;
            if self.fault(self.plan.commit_lost_per_mille) {
                self.hit(Reached::CommitAnswerLost);
                (request.ok, request.lost) = (false, true);
            }
        }
        let delay = match request.lost {
            true => 500 * MILLI,
            false => self.tape.up_to(self.plan.network),
        };
        self.group.requests[number as usize] = Some(request);
        self.after(delay, Timer::CommitAnswered { request: number });
    }

    fn apply(&mut self, request: &Request) {
        let (life, sent) = (request.life, request.sent);
        let CommitPoint { partition, offset, leader_epoch: epoch, metadata } = &request.point;
        let (partition, at) = (partition.0, offset.0);
        let found = match Metadata::decode(metadata, Offset(at)) {
            Ok(found) => found,
            Err(error) => {
                let text = format!("member {life} commits what it cannot read: {error}");
                let violation = Violation { invariant: "metadata", text, at: self.now };
                self.violation.get_or_insert(violation);
                return;
            }
        };
        // Two numbers of at most ten bytes may not have had room.
        let partial = metadata.len() + 28 > self.plan.config.metadata_max_bytes as usize;
        let ranges: Vec<_> = found.finished.iter().map(|r| (r.start.0, r.end.0)).collect();
        self.group.committed[partition as usize] = Some((at, metadata.clone()));
        let count = ranges.len() as u32;
        let commit =
            What::Commit { partition, offset: at, epoch: *epoch, sent, ranges: count, partial };
        self.tell(life, commit);
        for (start, end) in ranges {
            self.tell(life, What::Range { partition, start, end });
        }
    }

    pub(super) fn commit_answered(&mut self, number: u32) {
        let Some(request) = self.group.requests[number as usize].take() else { return };
        let now = self.instant();
        let id = request.point.partition;
        let Some(slot) = self.slot(request.life) else { return };
        let Some(member) = &mut self.members[slot] else { return };
        if member.assignment(id.0) != Some(request.assignment) {
            return self.hit(Reached::AnswerStale);
        }
        member.engine.handle_committed(id, request.point.offset, request.ok, now);
        self.turn(slot);
    }
}
