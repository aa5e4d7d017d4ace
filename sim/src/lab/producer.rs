//! Producers: what they make, their channels, and their gates.

use std::collections::VecDeque;
use std::time::Duration;

use tidegate_engine::gate::{
    Commit, Credit as Permission, Gate, GateConfig, LogSpan, ProbeSample, until_next_probe,
};
use tidegate_engine::{FinishedRanges, Metadata, Offset};

use super::random::{Keys, mix, unit};
use super::run::{World, instant};
use super::scenario::{Burst, Producer, WhenFull};
use super::topic::{Fresh, Log};
use super::{MILLI, SECOND, Strategy, nanos};

/// From a record's being written until its producer knows, and from a probe's question to its
/// answer.
const ACKNOWLEDGED_AFTER: u64 = MILLI;
const ANSWERED_AFTER: u64 = 10 * MILLI;

/// A producer that runs.
#[derive(Debug)]
pub(super) struct Source {
    plan: Producer,
    seed: u64,
    keys: Keys,
    pub(super) rate: f64,
    pub(super) hot_share: f64,
    pub(super) poison: u32,
    /// Records that are due: of its rate, and of bursts with the moment of each.
    due: f64,
    pending: VecDeque<(u64, u32)>,
    next_burst: u64,
    /// The record that waits to be let through.
    next: Option<Fresh>,
    number: u64,
    channel: VecDeque<(Fresh, Option<Permission>)>,
    gate: Option<Valve>,
    pub(super) is_blocked: bool,
}

/// A gate with its probe.
#[derive(Debug)]
struct Valve {
    gate: Gate,
    written: VecDeque<(u64, Permission, usize)>,
    every: u64,
    next_probe: u64,
    answer: Option<(u64, ProbeSample)>,
}

impl Source {
    pub(super) fn new(world: &super::Scenario, strategy: Strategy, index: usize) -> Self {
        let plan = world.producers[index].clone();
        let seed = mix(world.seed, index as u64);
        let gate = match strategy {
            Strategy::ClosedLoop { .. } => {
                let config = GateConfig {
                    target: world.credit.target,
                    probe_interval: world.credit.probe,
                    seed,
                    ..GateConfig::default()
                };
                Gate::new(config, instant(0)).ok()
            }
            _ => None,
        };
        let every = nanos(world.credit.probe);
        let gate = gate.map(|mut gate| {
            gate.handle_partitions(world.topic.partitions);
            Valve { gate, written: VecDeque::new(), every, next_probe: 0, answer: None }
        });
        Self {
            seed,
            keys: Keys::new(plan.keys, plan.zipf),
            rate: plan.rate,
            hot_share: 0.0,
            poison: 0,
            due: 0.0,
            pending: VecDeque::new(),
            next_burst: plan.burst.map_or(u64::MAX, |burst| nanos(burst.every)),
            next: None,
            number: 0,
            channel: VecDeque::new(),
            gate,
            is_blocked: false,
            plan,
        }
    }

    /// Records made that are not in Kafka.
    pub(super) fn waiting(&self) -> u64 {
        let pending: u32 = self.pending.iter().map(|(_, records)| records).sum();
        self.channel.len() as u64 + u64::from(pending)
    }

    /// What becomes due in a step that ends now.
    fn advance(&mut self, step: u64, now: u64) {
        self.due += self.rate * step as f64 / SECOND as f64;
        if let Some(Burst { every, records }) = self.plan.burst
            && now >= self.next_burst
        {
            self.next_burst += nanos(every);
            self.pending.push_back((now, records));
        }
    }

    /// The next record, made now or with its burst.
    fn make(&mut self, partitions: u32, now: u64) -> Fresh {
        let random = mix(self.seed, self.number);
        self.number += 1;
        let is_hot = unit(mix(random, 2)) < self.hot_share;
        let key = if is_hot { Some(0) } else { self.keys.pick(mix(random, 3)) };
        let spread = key.map_or(self.number / 16, u64::from);
        let (least, most) = (*self.plan.size.start(), *self.plan.size.end());
        let range = f64::from(most - least) + 1.0;
        let is_poison = self.poison > 0;
        self.poison -= u32::from(is_poison);
        Fresh {
            made: self.pending.front().map_or(now, |(at, _)| *at),
            random,
            key: key.filter(|_| self.plan.keys > 0),
            bytes: least + (unit(mix(random, 4)) * range) as u32,
            partition: (mix(spread, 5) % u64::from(partitions)) as u32,
            is_poison,
        }
    }

    fn is_due(&self) -> bool {
        !self.pending.is_empty() || self.due >= 1.0
    }

    fn took_one(&mut self) {
        match self.pending.front_mut() {
            Some((_, 1)) => _ = self.pending.pop_front(),
            Some((_, records)) => *records -= 1,
            None => self.due -= 1.0,
        }
    }

    /// Sends what is due, as far as channel and gate let it. Returns how many records were made
    /// and how many refused.
    fn send(&mut self, partitions: u32, step: u64, now: u64) -> (u64, u64) {
        self.advance(step, now);
        let (mut made, mut refused) = (0, 0);
        self.is_blocked = false;
        while self.is_due() {
            let fresh = match self.next.take() {
                Some(fresh) => fresh,
                None => {
                    made += 1;
                    self.make(partitions, now)
                }
            };
            let is_full = self.channel.len() >= self.plan.channel as usize;
            let credit = match &mut self.gate {
                _ if is_full => None,
                Some(valve) => valve.gate.try_acquire(fresh.partition, instant(now)).ok().map(Some),
                None => Some(None),
            };
            match (credit, self.plan.when_full) {
                (Some(credit), _) => self.channel.push_back((fresh, credit)),
                (None, WhenFull::Refuse) => {
                    self.is_blocked = true;
                    refused += 1;
                }
                (None, WhenFull::Wait) => {
                    self.is_blocked = true;
                    self.next = Some(fresh);
                    // What it does not make while it waits, it never makes.
                    self.due = self.due.min(1.0);
                    break;
                }
            }
            self.took_one();
        }
        (made, refused)
    }
}

impl World {
    /// A step of all producers: what they hear, and what they make.
    pub(super) fn produce(&mut self, step: u64) {
        let (now, partitions) = (self.now, self.scenario.topic.partitions);
        for index in 0..self.sources.len() {
            self.acknowledge(index);
            self.probe(index);
            if self.producing {
                let (made, refused) = self.sources[index].send(partitions, step, now);
                self.meter.made += made;
                self.meter.refused += refused;
            } else {
                self.sources[index].stop();
            }
        }
    }

    /// Takes records from the channels in turn, as long as Kafka takes any.
    pub(super) fn refill(&mut self) {
        let mut empty = 0;
        while empty < self.sources.len() && self.log.unread < self.scenario.topic.quota {
            self.turn = (self.turn + 1) % self.sources.len();
            let source = &mut self.sources[self.turn];
            let Some((fresh, credit)) = source.channel.pop_front() else {
                empty += 1;
                continue;
            };
            empty = 0;
            let offset = self.log.append(fresh);
            if let (Some(credit), Some(valve)) = (credit, &mut source.gate) {
                valve.written.push_back((self.now + ACKNOWLEDGED_AFTER, credit, offset));
            }
        }
    }

    fn acknowledge(&mut self, index: usize) {
        let Some(valve) = &mut self.sources[index].gate else { return };
        while valve.written.front().is_some_and(|(at, ..)| *at <= self.now) {
            let Some((_, credit, offset)) = valve.written.pop_front() else { return };
            valve.gate.handle_delivered(credit, Some(Offset(offset as i64)));
        }
    }

    fn probe(&mut self, index: usize) {
        let now = self.now;
        let Some(valve) = &mut self.sources[index].gate else { return };
        if let Some((_, sample)) = valve.answer.take_if(|(at, _)| *at <= now) {
            valve.gate.handle_probe(&sample, instant(now));
            while valve.gate.poll_alert().is_some() {}
        }
        if valve.gate.poll_timeout(instant(now)).is_some_and(|at| at <= instant(now)) {
            valve.gate.handle_timeout(instant(now));
        }
        if valve.next_probe <= now && valve.answer.is_none() {
            valve.answer = Some((now + ANSWERED_AFTER, sample(&self.log, now)));
            let every = Duration::from_nanos(valve.every);
            let wait = until_next_probe(every, mix(now, index as u64));
            valve.next_probe = now + wait.as_nanos() as u64;
        }
    }
}

impl Source {
    /// Nothing more is made; what a burst made is sent.
    fn stop(&mut self) {
        self.pending.clear();
        self.due = 0.0;
        self.is_blocked = false;
    }
}

fn sample(log: &Log, now: u64) -> ProbeSample {
    let commit = |partition: &super::topic::Partition| {
        let Some(committed) = partition.committed else { return Commit::None };
        let offset = Offset(committed as i64);
        let finished = match Metadata::decode(&partition.metadata, offset) {
            Ok(metadata) => metadata.finished,
            Err(_) => FinishedRanges::default(),
        };
        Commit::At { offset, finished }
    };
    let span = |partition: &super::topic::Partition| {
        let end = Offset(partition.entries.len() as i64);
        Some(LogSpan { start: Offset(0), end })
    };
    ProbeSample {
        asked: instant(now),
        incarnation: 1,
        logs: log.partitions.iter().map(span).collect(),
        groups: vec![log.partitions.iter().map(commit).collect()],
    }
}
