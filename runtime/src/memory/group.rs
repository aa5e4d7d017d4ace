//! Who has which partition.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use tidegate_engine::{CommitPoint, Offset, PartitionId};

use super::log::World;
use super::source::StartFrom;
use crate::batch::TopicPartition;
use crate::source::{Assignment, SourceError, SourceEvent, SourceWaker};

/// A group: its members and what they committed.
#[derive(Debug, Default)]
pub(super) struct Group {
    pub(super) committed: HashMap<TopicPartition, (Offset, String)>,
    /// By member number, so that older ones come first.
    pub(super) members: BTreeMap<u64, Member>,
    owners: HashMap<TopicPartition, u64>,
    /// Who is to have each partition once its owner has released it.
    targets: BTreeMap<TopicPartition, u64>,
}

/// One member, as the log sees it.
#[derive(Debug)]
pub(super) struct Member {
    topics: Vec<String>,
    waker: SourceWaker,
    start_from: StartFrom,
    pub(super) events: VecDeque<SourceEvent>,
    /// Numbers are given once and stay.
    ids: HashMap<TopicPartition, PartitionId>,
    names: Vec<TopicPartition>,
    pub(super) positions: HashMap<PartitionId, Offset>,
    revoking: HashSet<TopicPartition>,
    /// Expelled, and not yet joined again: with it, what it has still to release.
    expelled: Option<HashSet<PartitionId>>,
    /// How often each partition was released: an answer to a commit from before is not told.
    releases: HashMap<PartitionId, u64>,
    settled: bool,
}

impl Member {
    pub(super) fn new(topics: Vec<String>, waker: SourceWaker, start_from: StartFrom) -> Self {
        Self {
            topics,
            waker,
            start_from,
            events: VecDeque::new(),
            ids: HashMap::new(),
            names: Vec::new(),
            positions: HashMap::new(),
            revoking: HashSet::new(),
            expelled: None,
            releases: HashMap::new(),
            settled: false,
        }
    }

    pub(super) fn tell(&mut self, event: SourceEvent) {
        self.events.push_back(event);
        self.waker.wake();
    }

    pub(super) fn wake(&self) {
        self.waker.wake();
    }

    /// Changes when a partition is released.
    pub(super) fn releases(&self, id: PartitionId) -> u64 {
        self.releases.get(&id).copied().unwrap_or(0)
    }

    pub(super) fn name(&self, id: PartitionId) -> Option<&TopicPartition> {
        self.names.get(id.index())
    }

    fn id(&mut self, name: &TopicPartition) -> PartitionId {
        *self.ids.entry(name.clone()).or_insert_with(|| {
            self.names.push(name.clone());
            PartitionId(self.names.len() as u32 - 1)
        })
    }

    fn wants(&self, topic: &str) -> bool {
        self.expelled.is_none() && self.topics.iter().any(|wanted| wanted == topic)
    }
}

impl Group {
    pub(super) fn wake_owner(&self, name: &TopicPartition) {
        if let Some(member) = self.owners.get(name).and_then(|owner| self.members.get(owner)) {
            member.wake();
        }
    }

    pub(super) fn owns(&self, member: u64, name: &TopicPartition) -> bool {
        self.owners.get(name) == Some(&member)
    }

    /// Takes a member's commit of one partition, unless it does not have the partition.
    pub(super) fn commit(&mut self, number: u64, point: &CommitPoint) -> Result<(), SourceError> {
        let name = self.members.get(&number).and_then(|member| member.name(point.partition));
        let Some(name) = name.cloned().filter(|name| self.owns(number, name)) else {
            let detail = "this member does not have the partition (any more)".to_owned();
            return Err(SourceError::CommitRefused { detail });
        };
        self.committed.insert(name, (point.offset, point.metadata.clone()));
        Ok(())
    }

    /// A member gives partitions back, whether they were asked for or not.
    pub(super) fn release(&mut self, number: u64, ids: &[PartitionId]) {
        let Some(member) = self.members.get_mut(&number) else { return };
        for id in ids {
            let Some(name) = member.name(*id).cloned() else { continue };
            member.revoking.remove(&name);
            member.positions.remove(id);
            *member.releases.entry(*id).or_default() += 1;
            if let Some(left) = &mut member.expelled {
                left.remove(id);
            } else if self.owners.get(&name) == Some(&number) {
                self.owners.remove(&name);
            }
        }
        if member.expelled.as_ref().is_some_and(HashSet::is_empty) {
            member.expelled = None;
        }
    }

    /// A member goes: what it had is free.
    pub(super) fn leave(&mut self, number: u64) {
        self.owners.retain(|_, owner| *owner != number);
        self.members.remove(&number);
    }

    /// Takes everything from a member at once; it joins again when it has released it.
    pub(super) fn expel(&mut self, number: u64) {
        let owners = &mut self.owners;
        let Some(member) = self.members.get_mut(&number) else { return };
        let mut lost = Vec::new();
        owners.retain(|name, owner| {
            if *owner == number {
                lost.push(member.id(name));
            }
            *owner != number
        });
        lost.sort_unstable();
        member.revoking.clear();
        member.settled = false;
        if !lost.is_empty() {
            member.expelled = Some(lost.iter().copied().collect());
            let detail = "by a test".to_owned();
            member.tell(SourceEvent::Trouble(SourceError::Expelled { detail }));
            member.tell(SourceEvent::Lost(lost));
        }
    }

    /// Balances each topic over the members that want it, moving as little as possible.
    fn retarget(&mut self, topics: &[(Arc<str>, usize)]) {
        let owners = &self.owners;
        self.targets.clear();
        for (topic, partitions) in topics {
            let members: Vec<u64> =
                self.members.iter().filter(|(_, m)| m.wants(topic)).map(|(n, _)| *n).collect();
            if members.is_empty() {
                continue;
            }
            let (least, mut extra) = (partitions / members.len(), partitions % members.len());
            let mut counts: HashMap<u64, usize> = members.iter().map(|m| (*m, 0)).collect();
            let mut homeless = Vec::new();
            for partition in 0..*partitions {
                let name = TopicPartition::new(Arc::clone(topic), partition as i32);
                let owner = owners.get(&name).copied();
                match owner.and_then(|owner| Some((owner, counts.get_mut(&owner)?))) {
                    Some((owner, count)) if *count < least || (*count == least && extra > 0) => {
                        extra -= usize::from(*count == least);
                        *count += 1;
                        self.targets.insert(name, owner);
                    }
                    _ => homeless.push(name),
                }
            }
            for name in homeless {
                let poorest = members.iter().min_by_key(|member| counts[*member]);
                let Some(&poorest) = poorest else { continue };
                *counts.entry(poorest).or_default() += 1;
                self.targets.insert(name, poorest);
            }
        }
        self.members.values_mut().for_each(|member| member.settled = false);
    }

    /// Asks owners for what is to move.
    fn revoke_movers(&mut self) {
        for (number, member) in &mut self.members {
            let mut ids = Vec::new();
            for (name, owner) in &self.owners {
                let moves = self.targets.get(name) != Some(number);
                if owner == number && moves && member.revoking.insert(name.clone()) {
                    ids.push(member.id(name));
                }
            }
            if !ids.is_empty() {
                ids.sort_unstable();
                member.tell(SourceEvent::Revoking(ids));
            }
        }
    }
}

impl World {
    /// Balances every group anew.
    pub(super) fn rebalance_all(&mut self) {
        let groups: Vec<_> = self.groups.keys().cloned().collect();
        groups.iter().for_each(|group| self.rebalance(group));
    }

    /// After members or topics changed: who is to have what, and who must give what back.
    pub(super) fn rebalance(&mut self, name: &str) {
        let topics: Vec<_> =
            self.topics.values().map(|t| (Arc::clone(&t.name), t.partitions.len())).collect();
        if let Some(group) = self.groups.get_mut(name) {
            group.retarget(&topics);
            group.revoke_movers();
            self.assign_free(name);
        }
    }

    /// Assigns what nobody has, and tells members that have all that they are to have.
    pub(super) fn assign_free(&mut self, name: &str) {
        let Self { topics, groups, .. } = self;
        let Some(group) = groups.get_mut(name) else { return };
        for (name, target) in &group.targets {
            if group.owners.contains_key(name) {
                continue;
            }
            let (Some(topic), Some(member)) =
                (topics.get(&name.topic), group.members.get_mut(target))
            else {
                continue;
            };
            let Some(log) = topic.partitions.get(name.partition as usize) else { continue };
            let (committed, metadata) = match group.committed.get(name) {
                Some((offset, metadata)) => (Some(*offset), metadata.clone()),
                None => (None, String::new()),
            };
            let id = member.id(name);
            let start = match member.start_from {
                StartFrom::Earliest => log.start(),
                StartFrom::Latest => log.end(),
            };
            member.positions.insert(id, committed.unwrap_or(start));
            member.tell(SourceEvent::Assigned(Assignment {
                id,
                name: name.clone(),
                committed,
                metadata,
                incarnation: topic.incarnation,
                end: Some(log.end()),
            }));
            group.owners.insert(name.clone(), *target);
        }
        for (number, member) in &mut group.members {
            let all = group
                .targets
                .iter()
                .filter(|(_, target)| *target == number)
                .all(|(name, _)| group.owners.get(name) == Some(number));
            if all && !member.settled && member.expelled.is_none() {
                member.settled = true;
                member.tell(SourceEvent::Settled);
            }
        }
    }
}
