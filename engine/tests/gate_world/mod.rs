//! A little world on virtual time: producers with gates, a log, and a group that consumes it.
//!
//! Time goes in steps of 5 ms. A step delivers what was sent in the one before, lets the group
//! work and commit, answers probes, and lets the producers send. Beside each gate the world keeps
//! its own account, record by record, and compares.

#![allow(dead_code, unreachable_pub, clippy::unwrap_used, missing_docs)]

use std::time::Duration;

use tidegate_engine::gate::*;
use tidegate_engine::*;

pub const STEP_MS: u64 = 5;

/// SplitMix64.
pub struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.next() % (high - low + 1)
    }
}

/// The group that consumes.
pub struct Consumer {
    /// Records a second, over all partitions.
    pub rate: f64,
    /// Milliseconds between commits of a member.
    pub commit_ms: (u64, u64),
    /// Members, which share the partitions and commit each for itself.
    pub members: usize,
    /// Whether it has begun; before, there is no commit.
    pub started: bool,
    /// Partitions that do not move.
    pub stuck: Vec<usize>,
    processed: Vec<i64>,
    committed: Vec<Option<i64>>,
    /// By member.
    next_commit: Vec<u64>,
    turn: usize,
    credit: f64,
}

pub struct Producer {
    pub gate: Gate,
    /// Records a second that it would send.
    pub wants: f64,
    /// Records that it has to send and does not shed.
    pub burst: u64,
    pub sent: u64,
    /// How often it found the gate shut with something to send.
    pub waits: u64,
    pub probing: bool,
    pub alerts: Vec<Alert>,
    appetite: f64,
    unacknowledged: Vec<(Credit, i64)>,
    next_probe: u64,
    answer: Option<(u64, ProbeSample)>,
    /// The world's own account: unreleased sent records, and up to where each partition was counted.
    outstanding: i64,
    counted_to: Vec<i64>,
    id: u32,
}

pub struct World {
    pub now_ms: u64,
    pub consumer: Consumer,
    pub producers: Vec<Producer>,
    /// Who sent each record.
    log: Vec<Vec<u32>>,
    random: Random,
    next_id: u32,
    pub config: GateConfig,
}

pub fn at(ms: u64) -> Instant {
    Instant::from_nanos(ms * 1_000_000)
}

impl World {
    pub fn new(seed: u64, partitions: usize, rate: f64) -> Self {
        Self {
            now_ms: 10_000,
            consumer: Consumer {
                rate,
                commit_ms: (200, 500),
                members: 1,
                started: true,
                stuck: Vec::new(),
                processed: vec![0; partitions],
                committed: vec![None; partitions],
                next_commit: Vec::new(),
                turn: 0,
                credit: 0.0,
            },
            producers: Vec::new(),
            log: vec![Vec::new(); partitions],
            random: Random(seed),
            next_id: 0,
            config: GateConfig::default(),
        }
    }

    pub fn add_producer(&mut self, wants: f64) -> usize {
        let id = self.next_id;
        self.next_id += 1;
        let config = GateConfig { seed: id.into(), ..self.config.clone() };
        let mut gate = Gate::new(config, at(self.now_ms)).unwrap();
        gate.handle_partitions(self.log.len() as u32);
        let first = self.random.between(0, 500);
        self.producers.push(Producer {
            gate,
            wants,
            burst: 0,
            sent: 0,
            waits: 0,
            probing: true,
            alerts: Vec::new(),
            appetite: 0.0,
            unacknowledged: Vec::new(),
            next_probe: self.now_ms + first,
            answer: None,
            outstanding: 0,
            counted_to: vec![0; self.log.len()],
            id,
        });
        self.producers.len() - 1
    }

    /// The producer forgets everything and begins anew.
    pub fn restart(&mut self, index: usize) {
        let wants = self.producers[index].wants;
        let last = self.add_producer(wants);
        self.producers.swap(index, last);
        self.producers.pop();
    }

    /// Records in the log that are not processed.
    pub fn backlog(&self) -> u64 {
        (0..self.log.len()).map(|p| self.backlog_of(p)).sum()
    }

    pub fn processed(&self) -> u64 {
        self.consumer.processed.iter().map(|p| *p as u64).sum()
    }

    /// Those of one partition.
    pub fn backlog_of(&self, partition: usize) -> u64 {
        self.log[partition].len() as u64 - self.consumer.processed[partition] as u64
    }

    /// Seconds until what waits is done, as it really is.
    pub fn drain(&self) -> f64 {
        self.backlog() as f64 / self.consumer.rate
    }

    /// Runs for so long, and says how it went.
    pub fn watch(&mut self, seconds: f64) -> Seen {
        let sent: Vec<_> = self.producers.iter().map(|p| p.sent).collect();
        let (processed, started) = (self.processed(), self.now_ms);
        let mut drains = Vec::new();
        self.run(seconds, |world| drains.push(world.drain()));
        let capacity = self.consumer.rate * (self.now_ms - started) as f64 / 1_000.0;
        // Credit comes with each probe, half a second's worth: what lies between is no news.
        let two_seconds = (2_000 / STEP_MS) as usize;
        let means: Vec<_> = drains.chunks_exact(two_seconds).map(mean).collect();
        Seen {
            mean: mean(&drains),
            low: means.iter().copied().fold(f64::INFINITY, f64::min),
            high: means.iter().copied().fold(0.0, f64::max),
            peak: drains.iter().copied().fold(0.0, f64::max),
            throughput: (self.processed() - processed) as f64 / capacity,
            shares: self.producers.iter().zip(&sent).map(|(p, s)| (p.sent - s) as f64).collect(),
        }
    }

    pub fn run(&mut self, seconds: f64, mut each: impl FnMut(&mut Self)) {
        for _ in 0..(seconds * 1_000.0) as u64 / STEP_MS {
            self.step();
            each(self);
        }
    }

    fn step(&mut self) {
        self.now_ms += STEP_MS;
        let now = at(self.now_ms);
        for producer in &mut self.producers {
            for (credit, offset) in producer.unacknowledged.drain(..) {
                producer.gate.handle_delivered(credit, Some(Offset(offset)));
            }
        }
        self.consume();
        self.probe(now);
        let first = self.random.between(0, 1_000) as usize;
        for turn in 0..self.producers.len() {
            self.send((first + turn) % self.producers.len(), now);
        }
    }

    fn consume(&mut self) {
        let consumer = &mut self.consumer;
        if !consumer.started {
            return;
        }
        consumer.credit += consumer.rate * STEP_MS as f64 / 1_000.0;
        let mut idle = 0;
        while consumer.credit >= 1.0 && idle < self.log.len() {
            consumer.turn = (consumer.turn + 1) % self.log.len();
            let p = consumer.turn;
            if consumer.processed[p] < self.log[p].len() as i64 && !consumer.stuck.contains(&p) {
                consumer.processed[p] += 1;
                consumer.credit -= 1.0;
                idle = 0;
            } else {
                idle += 1;
            }
        }
        consumer.credit = consumer.credit.min(1.0);
        let ((low, high), members) = (consumer.commit_ms, consumer.members);
        consumer.next_commit.resize_with(members, || self.now_ms + self.random.between(0, high));
        for member in 0..members {
            if self.now_ms < consumer.next_commit[member] {
                continue;
            }
            consumer.next_commit[member] = self.now_ms + self.random.between(low, high);
            for p in (member..self.log.len()).step_by(members) {
                if consumer.processed[p] > 0 {
                    consumer.committed[p] = Some(consumer.processed[p]);
                }
            }
        }
    }

    fn sample(&self, asked: Instant) -> ProbeSample {
        let commit = |committed: &Option<i64>| match committed {
            Some(offset) => {
                Commit::At { offset: Offset(*offset), finished: FinishedRanges::default() }
            }
            None => Commit::None,
        };
        let span =
            |log: &Vec<u32>| Some(LogSpan { start: Offset(0), end: Offset(log.len() as i64) });
        ProbeSample {
            asked,
            incarnation: 1,
            logs: self.log.iter().map(span).collect(),
            groups: vec![self.consumer.committed.iter().map(commit).collect()],
        }
    }

    fn probe(&mut self, now: Instant) {
        for index in 0..self.producers.len() {
            if self.producers[index].answer.as_ref().is_some_and(|(due, _)| *due <= self.now_ms) {
                let producer = &mut self.producers[index];
                let (_, sample) = producer.answer.take().unwrap();
                producer.take(&sample, &self.log, now);
            }
            let producer = &self.producers[index];
            if producer.probing && producer.answer.is_none() && producer.next_probe <= self.now_ms {
                let sample = self.sample(now);
                let due = self.now_ms + self.random.between(5, 30);
                let producer = &mut self.producers[index];
                producer.answer = Some((due, sample));
                let wait = until_next_probe(Duration::from_millis(500), self.random.next());
                producer.next_probe = self.now_ms + wait.as_millis() as u64;
            }
        }
    }

    fn send(&mut self, index: usize, now: Instant) {
        let producer = &mut self.producers[index];
        producer.appetite += producer.wants * STEP_MS as f64 / 1_000.0;
        let fresh = producer.appetite as u64;
        producer.appetite -= fresh as f64;
        let mut left = fresh + producer.burst;
        let mut tries = 0;
        while left > 0 && tries < 3 {
            let partition = producer.gate.pick_partition(None, now);
            match producer.gate.try_acquire(partition, now) {
                Ok(credit) => {
                    let log = &mut self.log[partition as usize];
                    producer.unacknowledged.push((credit, log.len() as i64));
                    log.push(producer.id);
                    producer.outstanding += 1;
                    producer.sent += 1;
                    left -= 1;
                }
                Err(_) => tries += 1,
            }
        }
        producer.waits += u64::from(left > 0);
        producer.burst = left.min(producer.burst);
    }
}

impl Producer {
    /// Hands a probe's answer in, and counts by hand what it releases.
    fn take(&mut self, sample: &ProbeSample, log: &[Vec<u32>], now: Instant) {
        self.gate.handle_probe(sample, now);
        for (partition, commit) in sample.groups[0].iter().enumerate() {
            let Commit::At { offset, .. } = commit else { continue };
            let counted = &mut self.counted_to[partition];
            let released = &log[partition][*counted as usize..offset.0 as usize];
            self.outstanding -= released.iter().filter(|id| **id == self.id).count() as i64;
            *counted = offset.0;
        }
        let snapshot = self.gate.snapshot(now);
        assert_eq!(snapshot.outstanding as i64, self.outstanding, "the gate miscounts");
        while let Some(alert) = self.gate.poll_alert() {
            self.alerts.push(alert);
        }
    }

    pub fn snapshot(&self, now_ms: u64) -> GateSnapshot {
        self.gate.snapshot(at(now_ms))
    }
}

/// How a while went. Drain times are what the consumer really needs, in seconds.
#[derive(Debug)]
pub struct Seen {
    pub mean: f64,
    /// The extremes of its averages over 2 s.
    pub low: f64,
    pub high: f64,
    /// The extreme of any moment.
    pub peak: f64,
    /// Of what the consumer could do.
    pub throughput: f64,
    /// What each producer sent.
    pub shares: Vec<f64>,
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// Jain's index: 1 if all are equal.
pub fn jain(shares: &[f64]) -> f64 {
    let sum: f64 = shares.iter().sum();
    let squares: f64 = shares.iter().map(|s| s * s).sum();
    sum * sum / (shares.len() as f64 * squares)
}

pub const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}
