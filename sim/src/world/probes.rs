//! Who asks for the gates how far the groups are, and how the answers get lost, late and mixed up.

use std::fmt::Write as _;

use tidegate_engine::gate::{
    Alert, BreakerState, Commit, GateState, GroupId, LogSpan, ProbeFailure, ProbeSample, Reason,
    until_next_probe,
};
use tidegate_engine::{FinishedRanges, Instant, Metadata, Offset};

use super::producers::{Producer, Said};
use super::{SECOND, Timer, World};
use crate::Reached;
use crate::history::{NOBODY, What};

/// A round of questions for one gate. A round that is lost is not kept.
#[derive(Debug)]
pub(super) struct Probe {
    life: u32,
    sample: ProbeSample,
    step: Step,
    whole: bool,
}

/// What comes next. As in production: the topic, then the commits, then the ends of the log, so
/// that no commit is beyond the end it is compared with.
#[derive(Clone, Copy, Debug)]
enum Step {
    Commits,
    Logs,
    Arrives,
    ArrivesAgain,
    Fails(ProbeFailure),
}

/// SplitMix64's last step.
pub(super) fn mixed(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl World<'_> {
    pub(super) fn ask(&mut self, life: u32) {
        if self.producer(life).is_none() {
            return;
        }
        // Not by the tape: once it has ended, all would wait for the same time.
        let random = mixed(self.now ^ u64::from(life) << 40);
        let wait = until_next_probe(self.plan.gates.config.probe_interval, random);
        self.after(wait.as_nanos() as u64, Timer::ProbeDue { life });
        let mut step = Step::Commits;
        if self.fault(self.plan.gates.probe.lost_per_mille) {
            return self.hit(Reached::ProbeLost);
        }
        let is_down = self.now < self.probes_down_until && !self.calm;
        if is_down || self.fault(self.plan.gates.probe.failed_per_mille) {
            self.hit(Reached::ProbeFailed);
            step = Step::Fails(self.tape.pick(&[
                ProbeFailure::Unreachable,
                ProbeFailure::GroupNotAuthorized(GroupId(0)),
                ProbeFailure::TopicNotAuthorized,
                ProbeFailure::UnknownTopic,
            ]));
        }
        let sample = ProbeSample { asked: self.instant(), ..ProbeSample::default() };
        self.probes.push(Some(Probe { life, sample, step, whole: true }));
        let probe = self.probes.len() as u32 - 1;
        let delay = self.tape.up_to(self.plan.network);
        self.after(delay, Timer::ProbeStep { probe });
    }

    pub(super) fn probe_step(&mut self, number: u32) {
        let Some(mut probe) = self.probes[number as usize].take() else { return };
        let mut delay = self.tape.up_to(self.plan.network);
        probe.step = match probe.step {
            Step::Commits => {
                self.look_at_commits(&mut probe);
                Step::Logs
            }
            Step::Logs => {
                self.look_at_logs(&mut probe);
                if self.fault(self.plan.gates.probe.late_per_mille) {
                    self.hit(Reached::ProbeLate);
                    delay += self.tape.up_to(4 * SECOND);
                }
                Step::Arrives
            }
            Step::Arrives if self.fault(self.plan.gates.probe.twice_per_mille) => {
                self.hit(Reached::ProbeTwice);
                self.answer(&probe);
                delay += self.tape.up_to(SECOND);
                Step::ArrivesAgain
            }
            Step::Arrives | Step::ArrivesAgain => return self.answer(&probe),
            Step::Fails(failure) => {
                let now = self.instant();
                let Some((slot, producer)) = self.producer(probe.life) else { return };
                producer.gate.handle_probe_failed(failure, now);
                self.listen(slot);
                return self.send(slot);
            }
        };
        self.probes[number as usize] = Some(probe);
        self.after(delay, Timer::ProbeStep { probe: number });
    }

    /// The topic and what is committed, as the coordinator has it.
    fn look_at_commits(&mut self, probe: &mut Probe) {
        let groups = self.plan.gates.config.groups;
        if self.is_partial(probe) {
            probe.sample.incarnation = 0;
        } else {
            let topics: u32 = self.logs.iter().map(|log| log.topic).sum();
            probe.sample.incarnation = 1 + u64::from(topics);
        }
        for group in 0..groups {
            let mut commits = Vec::new();
            for partition in 0..self.logs.len() {
                commits.push(match (self.is_partial(probe), group) {
                    (true, _) => Commit::Unknown,
                    (false, 0) => self.commit_of_members(partition),
                    (false, _) => match self.plain.committed[partition] {
                        Some(offset) => {
                            let finished = FinishedRanges::default();
                            Commit::At { offset: Offset(offset), finished }
                        }
                        None => Commit::None,
                    },
                });
            }
            probe.sample.groups.push(commits);
        }
    }

    /// The commit with its ranges, read as production reads them.
    fn commit_of_members(&self, partition: usize) -> Commit {
        let Some(committed) = &self.group.committed[partition] else { return Commit::None };
        let offset = Offset(committed.offset);
        let incarnation = self.incarnation(partition);
        match Metadata::decode(&committed.metadata, offset) {
            Ok(found) if found.incarnation != 0 && found.incarnation != incarnation => Commit::None,
            found => Commit::At { offset, finished: found.unwrap_or_default().finished },
        }
    }

    fn look_at_logs(&mut self, probe: &mut Probe) {
        for partition in 0..self.logs.len() {
            let log = &self.logs[partition];
            let span = LogSpan { start: Offset(log.start), end: Offset(log.end) };
            let is_partial = self.is_partial(probe);
            probe.sample.logs.push((!is_partial).then_some(span));
        }
    }

    fn is_partial(&mut self, probe: &mut Probe) -> bool {
        let is_partial = self.fault(self.plan.gates.probe.partial_per_mille);
        if is_partial {
            self.hit(Reached::ProbePartial);
            probe.whole = false;
        }
        is_partial
    }

    /// An answer comes to its gate.
    fn answer(&mut self, probe: &Probe) {
        let now = self.instant();
        let Probe { life: gate, sample, whole, .. } = probe;
        let (gate, asked) = (*gate, sample.asked.as_nanos());
        let partitions = self.logs.len();
        let Some((slot, producer)) = self.producer(gate) else { return };
        let is_stale = asked <= producer.asked;
        producer.asked = producer.asked.max(asked);
        let whole = *whole && sample.logs.len() == partitions;
        if is_stale {
            self.hit(Reached::ProbeStale);
        }
        self.tell(NOBODY, What::Answer { gate, asked, incarnation: sample.incarnation, whole });
        for (partition, span) in (0..).zip(&sample.logs) {
            if let Some(LogSpan { start, end }) = span {
                let (start, end) = (start.0, end.0);
                self.tell(NOBODY, What::AnswerLog { gate, partition, start, end });
            }
        }
        for (group, commits) in (0..).zip(&sample.groups) {
            for (partition, commit) in (0..).zip(commits) {
                let (offset, finished) = match commit {
                    Commit::Unknown => continue,
                    Commit::None => (None, None),
                    Commit::At { offset, finished } => (Some(offset.0), Some(finished)),
                };
                self.tell(NOBODY, What::AnswerCommit { gate, group, partition, offset });
                for range in finished.into_iter().flat_map(FinishedRanges::iter) {
                    let (start, end) = (range.start.0, range.end.0);
                    self.tell(NOBODY, What::AnswerRange { gate, start, end });
                }
            }
        }
        if let Some(producer) = &mut self.slots[slot].process {
            producer.gate.handle_probe(sample, now);
        }
        self.listen(slot);
        self.send(slot);
    }

    /// Reads what a gate says, as an operator would.
    pub(super) fn listen(&mut self, slot: usize) {
        let now = self.instant();
        let Some(producer) = &mut self.slots[slot].process else { return };
        while let Some(alert) = producer.gate.poll_alert() {
            self.coverage.hit(match alert {
                Alert::RetentionPassed { .. } => Reached::AlertRetention,
                Alert::LogTruncated { .. } => Reached::AlertTruncated,
                Alert::TopicRecreated => Reached::AlertRecreated,
                Alert::PartitionMoves { .. } => Reached::AlertMoves,
                _ => Reached::AlertStuck,
            });
        }
        let snapshot = producer.gate.snapshot(now);
        let stuck = snapshot.groups.iter().flat_map(|g| &g.stuck);
        let stuck = stuck.fold(0, |bits, partition| bits | 1u64 << (partition % 64));
        let partitions = snapshot.partitions.len() as u32;
        let said = Said { window: snapshot.window, partitions, stuck };
        if producer.is_new && producer.asked > 0 && snapshot.drain.is_some() {
            producer.is_new = false;
            if snapshot.drain > Some(snapshot.target) {
                self.coverage.hit(Reached::RestartLate);
            }
        }
        if snapshot.target > self.plan.gates.config.target {
            self.coverage.hit(Reached::TargetRaised);
        }
        match snapshot.breaker {
            BreakerState::Open { .. } => self.coverage.hit(Reached::BreakerOpen),
            BreakerState::HalfOpen => self.coverage.hit(Reached::BreakerHalfOpen),
            _ => {}
        }
        if let GateState::Limited(cause) = snapshot.state
            && matches!(cause.reason, Reason::ProbeFailed(_))
        {
            self.coverage.hit(Reached::Grace);
        }
        let floor = snapshot.counters.floor;
        self.coverage.add(Reached::Floor, floor - producer.floor);
        producer.floor = floor;
        if said != producer.said {
            producer.said = said;
            let gate = producer.life;
            let Said { window, partitions, stuck } = said;
            self.tell(NOBODY, What::GateSays { gate, window, partitions, stuck });
        }
    }

    /// The processes with a gate that run.
    pub(super) fn gates(&self) -> Vec<u32> {
        self.slots.iter().flat_map(|s| &s.process).map(|p| p.life).collect()
    }
}

impl Producer {
    /// What its gate says, for a reader of a run that came to no end.
    pub(super) fn waits_for(&self, now: u64) -> String {
        let s = self.gate.snapshot(Instant::from_nanos(now));
        let mut text = format!(
            "gate {}: {:?}, {} outstanding of {}, breaker {:?}, last answer {:?} ago",
            self.life, s.state, s.outstanding, s.window, s.breaker, s.probe_age
        );
        for p in s.partitions.iter().filter(|p| p.outstanding > 0) {
            let _ = write!(text, ", {} of partition {}", p.outstanding, p.partition);
        }
        text
    }
}
