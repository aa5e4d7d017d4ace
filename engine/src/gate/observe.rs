//! What a probe's answer changes.

use alloc::vec::Vec;
use core::time::Duration;

use super::drain::Seen;
use super::ledger::Released;
use super::math::weight;
use super::window::Signal;
use super::{
    Alert, BreakerState, Cause, Commit, Gate, GroupId, LogSpan, Mode, ProbeFailure, ProbeSample,
    Reason,
};
use crate::canary::{Canary, is_planted};
use crate::{FinishedRanges, Instant, Offset, OffsetRange};

const NEVER: Instant = Instant::from_nanos(u64::MAX);
/// What is released in a second, for the time that a refused producer is told to wait.
const RELEASE_HORIZON: Duration = Duration::from_secs(5);
/// The target is not raised beyond this, however seldom a group commits.
const MOST_TARGET: Duration = Duration::from_secs(3_600);

impl Gate {
    /// A probe's answer. One that was asked for before the newest that is known changes nothing.
    pub fn handle_probe(&mut self, sample: &ProbeSample, now: Instant) {
        if self.asked.is_some_and(|asked| sample.asked <= asked) {
            return;
        }
        let elapsed =
            self.asked.map_or(Duration::ZERO, |asked| sample.asked.saturating_since(asked));
        self.asked = Some(sample.asked);
        self.answered = now;
        self.failure = None;
        self.notice_incarnation(sample.incarnation);
        self.notice_logs(sample, now);
        let mut seen = Vec::new();
        for group in 0..self.groups.len() {
            self.notice_commits(group, sample, &mut seen);
            let target = self.target;
            self.groups[group].estimate.update(&seen, target, sample.asked);
        }
        let released = self.release(elapsed);
        self.raise_target();
        self.notice_stuck();
        let above = self.wave.end(released, now);
        self.follow(elapsed, above);
        self.refresh(now);
    }

    /// A probe brought nothing. The last window is kept for the grace time.
    pub fn handle_probe_failed(&mut self, failure: ProbeFailure, now: Instant) {
        self.failure = Some(failure);
        self.refresh(now);
    }

    /// A topic of another id under the same name is another topic.
    fn notice_incarnation(&mut self, incarnation: u64) {
        if incarnation == 0 {
            return;
        }
        let before = core::mem::replace(&mut self.incarnation, incarnation);
        if before == 0 || before == incarnation {
            return;
        }
        for partition in 0..self.logs.len() {
            self.ledger.forget(partition);
            self.logs[partition].delivered = None;
        }
        for group in &mut self.groups {
            group.estimate.forget_positions();
            group.released.fill_with(Default::default);
        }
        self.alert(Alert::TopicRecreated);
    }

    /// What the logs hold, and whether they still hold what was delivered.
    fn notice_logs(&mut self, sample: &ProbeSample, now: Instant) {
        for partition in 0..self.logs.len() {
            let span = sample.logs.get(partition).copied().flatten();
            let log = &mut self.logs[partition];
            let Some(LogSpan { end, .. }) = span else { continue };
            log.span = span;
            // Only what was delivered before the probe asked must be in its answer.
            let expected = log.delivered.filter(|(_, by)| *by <= sample.asked);
            // Since when that is known: an answer must not make it newer, or no probe that was asked
            // for while another was on its way would ever be of use.
            let known = |end: Offset| log.delivered.filter(|(before, _)| *before == end);
            let end_of_own = self.ledger.delivered_end(partition);
            log.delivered = end_of_own.map(|end| known(end).unwrap_or((end, now)));
            // Whoever writes there next writes something that nobody has released yet.
            self.ledger.log_ends(partition, end);
            for group in &mut self.groups {
                let known = group.released.get_mut(partition);
                if let Some(released) = known.and_then(|known| known.released.as_mut()) {
                    released.log_ends(end);
                }
            }
            let is_cut = expected.is_some_and(|(expected, _)| end < expected);
            if is_cut && !is_planted(Canary::CutNotNoticed) {
                let records = self.ledger.truncate(partition, end);
                if records > 0 {
                    let partition = partition as u32;
                    self.alert(Alert::LogTruncated { partition, end: end.0, records });
                }
            }
        }
    }

    /// What a group has committed: for its estimate, and as released.
    fn notice_commits(&mut self, group: usize, sample: &ProbeSample, seen: &mut Vec<Option<Seen>>) {
        seen.clear();
        let commits = sample.groups.get(group);
        for partition in 0..self.logs.len() {
            let commit = commits.and_then(|c| c.get(partition)).unwrap_or(&Commit::Unknown);
            let span = self.logs[partition].span;
            seen.push(self.notice_commit(group, partition, commit, span));
        }
        self.groups[group].has_commit |= self.groups[group].released.iter().any(|k| k.committed);
    }

    fn notice_commit(
        &mut self,
        group: usize,
        partition: usize,
        commit: &Commit,
        span: Option<LogSpan>,
    ) -> Option<Seen> {
        let own = self.ledger.delivered_count(partition);
        let known = &mut self.groups[group].released[partition];
        // A commit beyond the end belongs to a log that is not there any more: as good as none.
        let commit = match (commit, span) {
            (Commit::At { offset, .. }, Some(span)) if *offset > span.end => &Commit::None,
            (commit, _) => commit,
        };
        match commit {
            Commit::Unknown => {
                if is_planted(Canary::UnknownReleases) {
                    let below = span?.end;
                    known.released = Some(Released { below, finished: FinishedRanges::default() });
                }
                None
            }
            Commit::None => {
                let start = span?.start;
                known.committed = false;
                known.released =
                    Some(Released { below: start, finished: FinishedRanges::default() });
                Some(Seen { committed: start, finished: 0, lag: own, displaced: false })
            }
            Commit::At { offset, finished } => {
                let start = span.map_or(*offset, |span| span.start);
                let passed = *offset < start;
                let first = !core::mem::replace(&mut known.committed, true);
                let committed = start.max(*offset);
                known.released = Some(Released { below: committed, finished: finished.clone() });
                let told = core::mem::replace(&mut known.passed, passed);
                if passed && !told {
                    let (group, partition) = (GroupId(group as u32), partition as u32);
                    let (committed, start) = (offset.0, start.0);
                    self.alert(Alert::RetentionPassed { group, partition, committed, start });
                }
                let above = |range: OffsetRange| {
                    let (start, end) = (range.start.max(committed), range.end.min(span?.end));
                    (start < end).then(|| end.0.abs_diff(start.0))
                };
                let finished: u64 = finished.iter().filter_map(above).sum();
                let waiting = span?.end.0.saturating_sub(committed.0).max(0).unsigned_abs();
                let lag = waiting.saturating_sub(finished);
                Some(Seen { committed, finished, lag, displaced: passed || first })
            }
        }
    }

    /// Releases what every group has done; returns how many own records that were.
    fn release(&mut self, elapsed: Duration) -> u64 {
        let mut released = 0;
        for partition in 0..self.logs.len() {
            let of_group = |group: &super::Group| group.released.get(partition)?.released.clone();
            let all = self.groups.iter().map(of_group);
            let all = all.reduce(|a, b| Some(a?.and(&b?))).flatten();
            let idle = |group: &super::Group| group.estimate.lag() == 0;
            if is_planted(Canary::IdleStaysShut) && self.groups.iter().all(idle) {
                continue;
            }
            if let Some(Released { below, finished }) = all {
                released += self.ledger.release(partition, below, &finished);
            }
        }
        self.counters.released += released;
        if elapsed > Duration::ZERO {
            let seen = released as f64 / elapsed.as_secs_f64();
            let new = weight(elapsed, RELEASE_HORIZON);
            self.release_rate += new * (seen - self.release_rate);
        }
        released
    }

    /// The target has room for two commits and a probe.
    fn raise_target(&mut self) {
        let spacing = self.groups.iter().map(|g| g.estimate.spacing()).fold(0.0, f64::max);
        let spacing = super::math::duration(spacing, MOST_TARGET);
        let needed = (spacing * 2 + self.config.probe_interval).min(MOST_TARGET);
        self.target = self.config.target.max(needed);
    }

    /// Takes partitions in which a group does not move out of what the window counts, as long as it
    /// moves in others.
    fn notice_stuck(&mut self) {
        for partition in 0..self.logs.len() {
            let mut any = false;
            for index in 0..self.groups.len() {
                let group = &mut self.groups[index];
                let moves = group.estimate.standing() < self.target * 2;
                let stuck = moves && group.estimate.is_stuck(partition);
                any |= stuck;
                let Some(known) = group.released.get_mut(partition) else { continue };
                if core::mem::replace(&mut known.stuck, stuck) != stuck {
                    let (group, partition) = (GroupId(index as u32), partition as u32);
                    self.alert(match stuck {
                        true => Alert::PartitionStuck { group, partition },
                        false => Alert::PartitionMoves { group, partition },
                    });
                }
            }
            let cap = any.then_some(self.logs[partition].stuck_cap.unwrap_or(self.share));
            self.logs[partition].stuck_cap = cap;
            self.ledger.set_aside(partition, any);
        }
    }

    /// Moves the window. There were so many more own records on average than the answer found.
    fn follow(&mut self, elapsed: Duration, above: f64) {
        let held_back = self.held_back.iter().flatten();
        let held_back = held_back
            .into_iter()
            .any(|cause| matches!(cause.reason, Reason::Window | Reason::PartitionCap));
        self.held_back = [None, self.held_back[0]];
        if self.groups.iter().any(|group| !group.has_commit) {
            self.window.begin_without_group();
        } else if let Some(slowest) = self.slowest() {
            let estimate = &self.groups[slowest.0 as usize].estimate;
            let stands = estimate.stands(self.config.probe_interval);
            // What is done and not committed yet, half of a commit's worth on average, does not wait.
            let above = estimate.rate().map_or(0.0, |rate| above / rate);
            let mean = |drain: f64| (drain + above - estimate.spacing() / 2.0).max(0.0);
            let signal = Signal {
                drain: estimate.drain_time().filter(|_| !stands).map(mean),
                upper_bound: estimate.is_upper_bound(),
                rate: estimate.rate(),
                target: self.target.as_secs_f64(),
                held_back,
            };
            self.window.update(signal, elapsed);
        }
        self.set_limit();
    }

    /// The group with the longest drain time; one whose drain time is unknown is slower than any.
    pub(super) fn slowest(&self) -> Option<GroupId> {
        let drain =
            |index: &usize| self.groups[*index].estimate.drain_time().unwrap_or(f64::INFINITY);
        let slowest = (0..self.groups.len()).max_by(|a, b| drain(a).total_cmp(&drain(b)));
        slowest.map(|index| GroupId(index as u32))
    }

    /// The group that does not move in a partition.
    pub(super) fn stuck_group(&self, partition: usize) -> Option<GroupId> {
        let stuck = |group: &super::Group| group.released.get(partition).is_some_and(|k| k.stuck);
        self.groups.iter().position(stuck).map(|index| GroupId(index as u32))
    }

    /// For how long the last window is kept.
    pub(super) fn grace(&self) -> Duration {
        self.config.grace.max(self.target * 2)
    }

    /// Finds out what the window is worth now.
    pub(super) fn refresh(&mut self, now: Instant) {
        let (grace, groups) = (self.grace(), &self.groups);
        let id = |index: usize| Some(GroupId(index as u32));
        let stands = |group: &super::Group| group.estimate.standing() >= grace;
        self.mode = if groups.is_empty() {
            Mode::Following
        } else if now.saturating_since(self.answered) >= grace {
            let group = match self.failure {
                Some(ProbeFailure::GroupNotAuthorized(group)) => Some(group),
                _ => None,
            };
            let reason = self.failure.map_or(Reason::ProbeOverdue, Reason::ProbeFailed);
            Mode::Floor(Cause::of(reason, group))
        } else if self.asked.is_none() {
            Mode::Following
        } else if let Some(index) = groups.iter().position(|g| !g.has_commit) {
            Mode::Window(Cause::of(Reason::NoCommit, id(index)))
        } else if let Some(index) = groups.iter().position(stands) {
            Mode::Window(Cause::of(Reason::NoProgress, id(index)))
        } else {
            Mode::Following
        };
        let over = match self.mode {
            Mode::Floor(_) => None,
            Mode::Following | Mode::Window(_) => Some(self.answered + grace),
        };
        let breaker = match self.breaker.state() {
            BreakerState::Open { until } => Some(until),
            _ => None,
        };
        self.due = over.into_iter().chain(breaker).min().unwrap_or(NEVER);
    }
}
