//! The loop: virtual time in steps of a millisecond, and answers between them at their moment.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use tidegate_engine::{ConfigError, Instant};

use super::downstream::{Request, Servers};
use super::member::Member;
use super::meter::{Levels, Meter};
use super::producer::Source;
use super::topic::Log;
use super::{Change, MILLI, Played, SECOND, Scenario, ScenarioError, Strategy, nanos};

const STEP: u64 = MILLI;
/// The backlog is watched for so long after the end of production.
const PATIENCE: u64 = 600 * SECOND;

/// Something that happens later.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Timer {
    Answer { slot: u32, generation: u32 },
    Retry { member: usize, life: u32, partition: usize, offset: usize, attempt: u32 },
}

/// Everything there is.
#[derive(Debug)]
pub(super) struct World {
    pub(super) now: u64,
    pub(super) steps: u64,
    pub(super) scenario: Scenario,
    pub(super) strategy: Strategy,
    pub(super) sources: Vec<Source>,
    /// Whose channel was emptied into Kafka last.
    pub(super) turn: usize,
    pub(super) producing: bool,
    pub(super) log: Log,
    pub(super) members: Vec<Member>,
    pub(super) lives: u32,
    pub(super) servers: Servers,
    pub(super) meter: Meter,
    /// The largest record there may be.
    pub(super) largest: u64,
    next_event: usize,
    timers: BinaryHeap<Reverse<(u64, u64, Timer)>>,
    sequence: u64,
}

pub(super) fn instant(nanos: u64) -> Instant {
    Instant::from_nanos(nanos)
}

/// Plays a scenario under one strategy. The same scenario, the same result, to the last bit.
///
/// # Errors
/// When the scenario [makes no sense](Scenario::validate).
pub fn play(scenario: &Scenario, strategy: Strategy) -> Result<Played, ScenarioError> {
    scenario.validate()?;
    if let Some(permits) = strategy.permits() {
        ConfigError::number("permits", permits.into(), 1, 100_000)?;
    }
    Ok(World::new(scenario, strategy).play())
}

impl World {
    fn new(scenario: &Scenario, strategy: Strategy) -> Self {
        let mut scenario = strategy.applied_to(scenario);
        scenario.events.sort_by_key(|event| event.at);
        let keys = scenario.producers.iter().map(|p| p.keys).max().unwrap_or(0);
        let largest = scenario.producers.iter().map(|p| *p.size.end()).max().unwrap_or(0);
        let source = |index| Source::new(&scenario, strategy, index);
        Self {
            now: 0,
            steps: 0,
            sources: (0..scenario.producers.len()).map(source).collect(),
            turn: 0,
            producing: true,
            log: Log::new(scenario.topic.partitions, keys),
            members: Vec::new(),
            lives: 0,
            servers: Servers::new(scenario.downstream),
            meter: Meter::new(nanos(scenario.duration)),
            largest: largest.into(),
            next_event: 0,
            timers: BinaryHeap::new(),
            sequence: 0,
            strategy,
            scenario,
        }
    }

    fn play(mut self) -> Played {
        let end = nanos(self.scenario.duration);
        (0..self.scenario.consumers.members).for_each(|_| self.add_member());
        while self.now < end {
            let levels = self.step();
            let blocked = self.sources.iter().any(|source| source.is_blocked);
            let capacity = self.servers.capacity();
            self.meter.see(levels, blocked, capacity, STEP, self.now);
        }
        self.producing = false;
        let mut drained = None;
        while drained.is_none() && self.now < end + PATIENCE {
            let levels = self.step();
            drained = (levels.total() == 0).then_some(self.now);
        }
        let strategy = self.strategy;
        self.meter.played(strategy, drained)
    }

    /// The next step, and what there is after it.
    fn step(&mut self) -> Levels {
        let until = self.now + STEP;
        while let Some(Reverse((at, _, timer))) = self.timers.peek().copied() {
            if at > until {
                break;
            }
            self.timers.pop();
            self.now = at;
            self.fire(timer);
        }
        self.now = until;
        self.steps += 1;
        self.happen();
        self.step_group();
        self.step_members();
        // What was just read makes room, first for what waits.
        self.refill();
        self.produce(STEP);
        self.refill();
        self.levels()
    }

    fn fire(&mut self, timer: Timer) {
        match timer {
            Timer::Answer { slot, generation } => self.answer(slot, generation),
            Timer::Retry { member, life, partition, offset, attempt } => {
                let ticket = None;
                let request = Request { member, life, partition, offset, attempt, ticket };
                self.retry_unbounded(request);
            }
        }
    }

    pub(super) fn after(&mut self, delay: u64, timer: Timer) {
        self.sequence += 1;
        self.timers.push(Reverse((self.now + delay, self.sequence, timer)));
    }

    fn levels(&self) -> Levels {
        let mut levels = Levels {
            channel: self.sources.iter().map(Source::waiting).sum(),
            kafka: self.log.unread,
            ..Levels::default()
        };
        for index in 0..self.members.len() {
            let load = self.load(index);
            levels.queued += load.queued;
            levels.in_flight += load.in_flight;
            levels.bytes += load.bytes;
        }
        levels
    }

    /// The scenario's events that are due.
    fn happen(&mut self) {
        while let Some(event) = self.scenario.events.get(self.next_event) {
            if nanos(event.at) > self.now {
                return;
            }
            self.next_event += 1;
            match event.change.clone() {
                Change::Downstream { servers, service, failures } => {
                    let plan = &mut self.servers.plan;
                    plan.servers = servers.unwrap_or(plan.servers);
                    plan.service = service.unwrap_or(plan.service);
                    plan.failures = failures.unwrap_or(plan.failures);
                    self.serve_waiting();
                }
                Change::Rate { producer, rate } => {
                    let names = self.scenario.producers.iter().map(|p| &p.name);
                    for (source, name) in self.sources.iter_mut().zip(names) {
                        if producer.as_ref().is_none_or(|wanted| wanted == name) {
                            source.rate = rate;
                        }
                    }
                }
                Change::HotKey { share } => {
                    self.sources.iter_mut().for_each(|source| source.hot_share = share);
                }
                Change::Poison { records } => self.sources[0].poison += records,
                Change::Crash { member } => {
                    let index = member as usize - 1;
                    if index < self.members.len() {
                        self.kill(index);
                    }
                }
                Change::AddMembers(count) => (0..count).for_each(|_| self.add_member()),
                Change::RemoveMembers(count) => (0..count).for_each(|_| self.remove_member()),
            }
        }
    }
}
