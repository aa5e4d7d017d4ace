//! The group: who has which partition, moved cooperatively.

use super::member::{Process, State};
use super::run::World;
use super::topic::Move;
use super::{SECOND, Strategy};

/// How long handlers may go on when their partition is being given away.
const DRAIN: u64 = 5 * SECOND;

impl World {
    /// Shares the partitions out anew, so that as few as possible move.
    pub(super) fn rebalance(&mut self) {
        let members: Vec<_> =
            (0..self.members.len()).filter(|m| self.members[*m].state.is_member()).collect();
        if members.is_empty() {
            return;
        }
        let count = self.log.partitions.len();
        let (share, extra) = (count / members.len(), count % members.len());
        let mut held: Vec<Vec<usize>> = vec![Vec::new(); self.members.len()];
        let mut free = Vec::new();
        for (number, partition) in self.log.partitions.iter().enumerate() {
            let heading = partition.moving.map_or(partition.owner, |moving| moving.to);
            match heading.filter(|owner| members.contains(owner)) {
                Some(owner) => held[owner].push(number),
                None => free.push(number),
            }
        }
        let mut by_size = members;
        by_size.sort_by_key(|m| (std::cmp::Reverse(held[*m].len()), *m));
        let quota = |rank: usize| share + usize::from(rank < extra);
        for (rank, member) in by_size.iter().enumerate() {
            while held[*member].len() > quota(rank) {
                free.extend(held[*member].pop());
            }
        }
        for (rank, member) in by_size.iter().enumerate() {
            while held[*member].len() < quota(rank) {
                let Some(partition) = free.pop() else { break };
                held[*member].push(partition);
                self.give(partition, *member);
            }
        }
    }

    /// A partition goes to a member: at once, or when its owner is through with it.
    fn give(&mut self, partition: usize, to: usize) {
        let owner = self.log.partitions[partition].owner;
        let from = owner.filter(|owner| self.members[*owner].state.runs());
        match from {
            Some(owner) if owner == to => self.log.partitions[partition].moving = None,
            Some(owner) => self.revoke(partition, owner, Some(to)),
            None => self.assign(partition, Some(to)),
        }
    }

    fn revoke(&mut self, partition: usize, owner: usize, to: Option<usize>) {
        if let Some(moving) = &mut self.log.partitions[partition].moving {
            moving.to = to;
            return;
        }
        if let Strategy::Unbounded { .. } = self.strategy {
            // Its tasks go on, whoever has the partition.
            self.commit_unbounded(owner);
            return self.assign(partition, to);
        }
        let deadline = self.now + DRAIN;
        self.log.partitions[partition].moving = Some(Move { to, deadline, cancelled: false });
        self.revoke_tidegate(owner, partition);
    }

    /// Moves on what its owners are through with.
    pub(super) fn step_group(&mut self) {
        for partition in 0..self.log.partitions.len() {
            let Some(moving) = self.log.partitions[partition].moving else { continue };
            let Some(owner) = self.log.partitions[partition].owner else { continue };
            if moving.deadline <= self.now && !moving.cancelled {
                self.log.partitions[partition].moving = Some(Move { cancelled: true, ..moving });
                self.cancel_tidegate(owner, partition);
            }
            if self.release_tidegate(owner, partition) {
                self.log.partitions[partition].moving = None;
                self.assign(partition, moving.to);
            }
        }
        for index in 0..self.members.len() {
            let has_any = self.log.partitions.iter().any(|p| p.owner == Some(index));
            if self.members[index].state == State::Leaving && !has_any {
                self.members[index].state = State::Gone;
                self.bury(index);
            }
        }
    }

    /// A partition has another owner, who begins at the committed offset.
    pub(super) fn assign(&mut self, partition: usize, to: Option<usize>) {
        let member = to.filter(|to| self.members[*to].state.is_member());
        self.log.partitions[partition].owner = member;
        self.log.rewind(partition);
        match member {
            Some(member) => self.begin(member, partition),
            // It went meanwhile; somebody else gets it.
            None if to.is_some() => self.rebalance(),
            None => {}
        }
    }

    /// A member that runs begins with a partition.
    pub(super) fn begin(&mut self, member: usize, partition: usize) {
        if let Process::Tidegate(_) = self.members[member].process {
            self.begin_tidegate(member, partition);
        }
    }

    /// A process is asked to end, as a deployment does it. Without Tidegate it commits and exits,
    /// whatever its tasks are at; with it, it drains.
    pub(super) fn remove_member(&mut self) {
        let up = |m: &super::member::Member| m.state == State::Up;
        if self.members.iter().filter(|m| up(m)).count() < 2 {
            return;
        }
        let Some(index) = self.members.iter().rposition(up) else { return };
        if let Strategy::Unbounded { .. } = self.strategy {
            self.commit_unbounded(index);
            self.members[index].state = State::Gone;
            self.bury(index);
        } else {
            self.members[index].state = State::Leaving;
        }
        self.rebalance();
    }
}
