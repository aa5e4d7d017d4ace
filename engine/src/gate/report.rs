//! What the gate says about itself, and when it wants to be looked at again.

use core::time::Duration;

use super::math::duration;
use super::{
    BreakerState, Cause, Gate, GateSnapshot, GateState, GroupId, GroupSnapshot, Mode,
    OutstandingSnapshot, Reason,
};
use crate::Instant;

/// The longest drain time that is shown.
const MOST_DRAIN: Duration = Duration::from_secs(3_600_000);

impl Gate {
    /// When something changes by itself: an open breaker, a token of the absolute or the floor rate,
    /// the end of the grace time.
    pub fn poll_timeout(&self, now: Instant) -> Option<Instant> {
        let breaker = match self.breaker.state() {
            BreakerState::Open { until } => Some(until),
            _ => None,
        };
        let future = |at: Option<Instant>| at.filter(|at| *at > now);
        let bucket = self.bucket.and_then(|bucket| future(bucket.next_at(now)));
        let floor = match self.mode {
            Mode::Following => None,
            Mode::Window(_) | Mode::Floor(_) => future(self.floor.next_at(now)),
        };
        let grace = match self.mode {
            Mode::Following | Mode::Window(_) if self.follows() => {
                future(Some(self.answered + self.grace()))
            }
            _ => None,
        };
        [breaker, bucket, floor, grace].into_iter().flatten().min()
    }

    /// Does what has become due.
    pub fn handle_timeout(&mut self, now: Instant) {
        self.breaker.handle_timeout(now);
        self.refresh(now);
    }

    /// Whether records go through now, and if not why.
    pub fn state(&self, now: Instant) -> GateState {
        let breaker = Cause::of(Reason::Breaker, None);
        if self.breaker.check(now).is_err() {
            return GateState::Shut(breaker);
        }
        if self.partitions == 0 {
            return GateState::Shut(Cause::of(Reason::NoPartition, None));
        }
        let token = self.floor.next_at(now).is_some_and(|next| next <= now);
        let full = self.ledger.counted() >= self.limit;
        match self.mode {
            Mode::Floor(cause) if token => return GateState::Limited(cause),
            Mode::Window(cause) if token || !full => return GateState::Limited(cause),
            Mode::Floor(cause) | Mode::Window(cause) => return GateState::Shut(cause),
            Mode::Following if full => {
                return GateState::Shut(Cause::of(Reason::Window, self.slowest()));
            }
            Mode::Following => {}
        }
        let stuck = self.logs.iter().position(|log| log.stuck_cap.is_some());
        let stuck = stuck.map(|partition| Cause {
            reason: Reason::PartitionStuck,
            group: self.stuck_group(partition),
            partition: Some(partition as u32),
        });
        let failing = self.failure.map(|failure| Cause::of(Reason::ProbeFailed(failure), None));
        let half_open = (self.breaker.state() == BreakerState::HalfOpen).then_some(breaker);
        let held = self.held_back[0].or(self.held_back[1]);
        match half_open.or(failing).or(stuck).or(held) {
            Some(cause) => GateState::Limited(cause),
            None => GateState::Open,
        }
    }

    /// Everything that a screen, a metric or a test reads. Allocates.
    pub fn snapshot(&self, now: Instant) -> GateSnapshot {
        let group = |(index, group): (usize, &super::Group)| {
            let stuck = |(partition, known): (usize, &super::Known)| {
                known.stuck.then_some(partition as u32)
            };
            GroupSnapshot {
                group: GroupId(index as u32),
                has_commit: group.has_commit,
                lag: group.estimate.lag(),
                rate: group.estimate.rate(),
                drain: group.estimate.drain_time().map(|drain| duration(drain, MOST_DRAIN)),
                commit_spacing: duration(group.estimate.spacing(), MOST_DRAIN),
                stuck: group.released.iter().enumerate().filter_map(stuck).collect(),
            }
        };
        let partition = |partition: u32| OutstandingSnapshot {
            partition,
            outstanding: self.ledger.of(partition as usize),
        };
        let groups: alloc::vec::Vec<_> = self.groups.iter().enumerate().map(group).collect();
        let drains = groups.iter().map(|group| group.drain);
        GateSnapshot {
            state: self.state(now),
            window: self.limit,
            outstanding: self.ledger.outstanding(),
            set_aside: self.ledger.outstanding() - self.ledger.counted(),
            target: self.target,
            drain: drains.reduce(|a, b| Some(a?.max(b?))).flatten(),
            breaker: self.breaker.state(),
            rate: self.bucket.map(|bucket| bucket.rate()),
            probe_age: now.saturating_since(self.answered),
            counters: self.counters,
            groups,
            partitions: (0..self.partitions).map(partition).collect(),
        }
    }
}
