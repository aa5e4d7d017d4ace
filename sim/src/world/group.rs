//! The coordinator: who is a member, who has which partition, and what is committed.

use tidegate_engine::{CommitPoint, Metadata, Offset};

use super::member::Held;
use super::{Happens, MILLI, Timer, World};
use crate::Reached;
use crate::history::What;

#[derive(Clone, Copy, Debug)]
pub(super) struct Owner {
    pub(super) life: u32,
    pub(super) assignment: u32,
    /// Whether it knows.
    pub(super) told: bool,
}

/// What the group has of a partition.
#[derive(Clone, Debug)]
pub(super) struct Committed {
    pub(super) offset: i64,
    pub(super) epoch: i32,
    pub(super) metadata: String,
    /// Whether a member of this version wrote the metadata.
    pub(super) is_ours: bool,
}

/// A commit on its way.
#[derive(Debug)]
pub(super) struct Request {
    life: u32,
    held: Held,
    point: CommitPoint,
    sent: u64,
    ok: bool,
}

#[derive(Debug)]
pub(super) struct Group {
    pub(super) joined: Vec<u32>,
    pub(super) owners: Vec<Option<Owner>>,
    pub(super) committed: Vec<Option<Committed>>,
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

    pub(super) fn add_partition(&mut self) {
        self.owners.push(None);
        self.committed.push(None);
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
        let owns = self.group.owners.iter().flatten().any(|o| o.life == life);
        if !owns && !self.group.joined.contains(&life) {
            return;
        }
        self.hit(Reached::Expelled);
        self.tell(life, What::Expelled);
        let delay = self.tape.up_to(self.plan.session);
        self.later(life, delay, Happens::Learns);
        self.leave(life);
    }

    /// Free partitions are given out, and others asked back that are not where they belong.
    pub(super) fn rebalance(&mut self) {
        let count = self.group.joined.len();
        for partition in 0..self.group.owners.len() as u32 {
            let index = partition as usize;
            let target = (count > 0).then(|| self.group.joined[index % count.max(1)]);
            let owner = &mut self.group.owners[index];
            match *owner {
                Some(owner) if Some(owner.life) == target => continue,
                Some(Owner { life, assignment, told: true }) => {
                    let delay = self.tape.up_to(self.plan.network);
                    let asked = Happens::RevokeAsked { partition, assignment };
                    self.later(life, delay, asked);
                    continue;
                }
                Some(_) | None => *owner = None,
            }
            let Some(life) = target else { continue };
            self.group.assignments += 1;
            let assignment = self.group.assignments;
            self.group.owners[index] = Some(Owner { life, assignment, told: false });
            let delay = self.tape.up_to(self.plan.network);
            self.later(life, delay, Happens::Assigned { partition, assignment });
        }
    }

    pub(super) fn send_commit(&mut self, life: u32, held: Held, point: CommitPoint) {
        let mut delay = self.tape.up_to(self.plan.network);
        if self.fault(self.plan.commit_slow_per_mille) {
            self.hit(Reached::CommitSlow);
            delay += self.tape.up_to(2_000 * MILLI);
        }
        let request = Request { life, held, point, sent: self.now, ok: false };
        self.group.requests.push(Some(request));
        let request = self.group.requests.len() as u32 - 1;
        let mut arrives = self.now + delay;
        if let Some(Some(member)) = self.slot(life).map(|slot| self.members[slot].as_mut()) {
            // One connection: what is sent later does not arrive before.
            arrives = arrives.max(member.last_arrival);
            member.last_arrival = arrives;
        }
        self.at(arrives, Timer::CommitArrives { request });
    }

    pub(super) fn commit_arrives(&mut self, number: u32) {
        let Some(mut request) = self.group.requests[number as usize].take() else { return };
        let owner = self.group.owners[request.point.partition.index()];
        let Held { assignment, topic, .. } = request.held;
        let owns = owner.is_some_and(|o| o.life == request.life && o.assignment == assignment)
            && topic == self.logs[request.point.partition.index()].topic;
        let mut lost = false;
        if !owns {
            self.hit(Reached::CommitFenced);
        } else if self.fault(self.plan.commit_lost_per_mille) {
            self.hit(Reached::CommitLost);
            lost = true;
        } else if self.fault(self.plan.commit_refused_per_mille) {
            self.hit(Reached::CommitRebalancing);
        } else {
            self.apply(&request);
            request.ok = true;
            if self.fault(self.plan.commit_lost_per_mille) {
                self.hit(Reached::CommitAnswerLost);
                (request.ok, lost) = (false, true);
            }
        }
        let delay = match lost {
            true => 500 * MILLI,
            false => self.tape.up_to(self.plan.network),
        };
        let life = request.life;
        self.group.requests[number as usize] = Some(request);
        self.later(life, delay, Happens::CommitAnswered { request: number });
    }

    fn apply(&mut self, request: &Request) {
        let (life, sent) = (request.life, request.sent);
        let CommitPoint { partition, offset, leader_epoch: epoch, metadata } = &request.point;
        let (partition, at) = (partition.0, offset.0);
        let is_ours = !metadata.starts_with("tg0:");
        let found = match Metadata::decode(metadata, Offset(at)) {
            Ok(found) => found,
            Err(_) if !is_ours => Metadata::default(),
            Err(error) => {
                let text = format!("member {life} commits what it cannot read: {error}");
                return self.broken("metadata", text);
            }
        };
        // Two numbers of at most ten bytes may not have had room.
        let room = self.plan.config.metadata_max_bytes as usize;
        let partial = !is_ours || metadata.len() + 28 > room;
        let ranges: Vec<_> = found.finished.iter().map(|r| (r.start.0, r.end.0)).collect();
        let base = request.held.base;
        let counted_on = |epoch: i32| if epoch < 0 { -1 } else { epoch + base };
        let (metadata, epoch) = (metadata.clone(), counted_on(*epoch));
        let ranges_epoch = counted_on(found.leader_epoch);
        self.group.committed[partition as usize] =
            Some(Committed { offset: at, epoch, metadata, is_ours });
        let ranges_count = ranges.len() as u32;
        self.tell(
            life,
            What::Commit { partition, offset: at, epoch, sent, ranges: ranges_count, partial },
        );
        for (start, end) in ranges {
            self.tell(life, What::Range { partition, start, end, epoch: ranges_epoch });
        }
    }

    pub(super) fn commit_answered(&mut self, slot: usize, number: u32) {
        let Some(request) = self.group.requests[number as usize].take() else { return };
        let now = self.instant();
        let id = request.point.partition;
        let Some(member) = &mut self.members[slot] else { return };
        if member.begun(id.0) != Some(request.held.begun) {
            return self.hit(Reached::AnswerStale);
        }
        member.engine.handle_committed(id, request.point.offset, request.ok, now);
    }
}
