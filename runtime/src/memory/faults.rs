//! What a test can break.

use std::time::Duration;

use tidegate_engine::CommitPoint;

use super::log::MemoryLog;
use crate::source::{SourceError, SourceEvent};

/// What is broken now.
#[derive(Debug, Default)]
pub(super) struct Faults {
    pub(super) unreachable: bool,
    pub(super) no_letters: bool,
    hold_commits: bool,
    fail_commits: u32,
    delay_commits: Duration,
    held: Vec<Held>,
}

/// A commit that was not answered yet.
#[derive(Debug)]
struct Held {
    group: String,
    member: u64,
    point: CommitPoint,
    /// Of the partition by this member until then.
    releases: u64,
}

impl MemoryLog {
    /// Refuses the next `count` commits, each partition counted.
    pub fn fail_commits(&self, count: u32) {
        self.lock().faults.fail_commits = count;
    }

    /// Takes and answers each commit only after `delay`. Needs a tokio runtime.
    pub fn delay_commits(&self, delay: Duration) {
        self.lock().faults.delay_commits = delay;
    }

    /// Takes and answers no commit until this is called again with `false`.
    pub fn hold_commits(&self, hold: bool) {
        self.lock().faults.hold_commits = hold;
        self.answer_held();
    }

    /// Whether [sinks](Self::sink) can write nothing, until this is called again with `false`.
    pub fn refuse_letters(&self, refuse: bool) {
        self.lock().faults.no_letters = refuse;
    }

    /// Whether the log is out of reach: nothing can be read or committed, no event comes, and
    /// nobody can leave, until this is called again with `false`.
    pub fn unreachable(&self, unreachable: bool) {
        self.lock().faults.unreachable = unreachable;
        self.answer_held();
    }

    /// Expels a member: its partitions are given to others at once, and it learns of it
    /// afterwards. It joins again by itself.
    pub fn expel(&self, group: &str, member: u64) {
        let mut world = self.lock();
        if let Some(group) = world.groups.get_mut(group) {
            group.expel(member);
        }
        world.rebalance(group);
    }

    pub(super) fn take_commit(&self, group: &str, member: u64, point: &CommitPoint) {
        let mut world = self.lock();
        let sender = world.groups.get(group).and_then(|group| group.members.get(&member));
        let releases = sender.map_or(0, |member| member.releases(point.partition));
        let held = Held { group: group.to_owned(), member, point: point.clone(), releases };
        let delay = {
            let faults = &mut world.faults;
            if faults.hold_commits || faults.unreachable {
                faults.held.push(held);
                return;
            }
            faults.delay_commits
        };
        drop(world);
        if delay.is_zero() {
            self.answer(held);
        } else {
            let log = self.clone();
            tokio::spawn(async move {
                tokio::time::sleep(delay).await;
                log.answer(held);
            });
        }
    }

    /// Takes what is not held any more, and wakes everybody.
    fn answer_held(&self) {
        let held = {
            let mut world = self.lock();
            if world.faults.hold_commits || world.faults.unreachable {
                return;
            }
            let members = world.groups.values().flat_map(|group| group.members.values());
            members.for_each(super::group::Member::wake);
            std::mem::take(&mut world.faults.held)
        };
        held.into_iter().for_each(|held| self.answer(held));
    }

    fn answer(&self, held: Held) {
        let Held { group, member, point, releases } = held;
        let mut world = self.lock();
        let failed = world.faults.fail_commits > 0;
        world.faults.fail_commits = world.faults.fail_commits.saturating_sub(1);
        let Some(group) = world.groups.get_mut(&group) else { return };
        let result = if failed {
            Err(SourceError::CommitRefused { detail: "by a test".to_owned() })
        } else {
            group.commit(member, &point)
        };
        if let Some(member) = group.members.get_mut(&member)
            && member.releases(point.partition) == releases
        {
            let CommitPoint { partition, offset, .. } = point;
            member.tell(SourceEvent::Committed { partition, offset, result });
        }
    }
}
