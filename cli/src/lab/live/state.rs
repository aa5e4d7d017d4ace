//! What producers, handlers and the meter share.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tidegate::{Monitor, Outcome, Record};
use tidegate_sim::lab::{Scenario, Strategy, mix};
use tokio::sync::Semaphore;
use tokio::time::sleep;

use super::downstream::{NotDone, Servers};

pub(super) struct Live {
    pub(super) begun: Instant,
    pub(super) scenario: Scenario,
    pub(super) strategy: Strategy,
    pub(super) servers: Servers,
    pub(super) monitor: Monitor,
    pub(super) producing: AtomicBool,
    /// Records in channels.
    pub(super) waiting: AtomicU64,
    pub(super) made: AtomicU64,
    /// Records that Kafka has.
    pub(super) written: AtomicU64,
    pub(super) refused: AtomicU64,
    /// A producer was held back since the meter looked last; and at the first time, when that was
    /// and how many records there were.
    pub(super) blocked: AtomicBool,
    pub(super) first_block: Mutex<Option<(Duration, u64)>>,
    /// The part of records that has one key, in 10,000.
    pub(super) hot: AtomicU32,
    /// Rates by producer, in records a second.
    pub(super) rates: Mutex<Vec<f64>>,
    /// Tasks of the naive consumer, and how many more memory is for.
    tasks: AtomicU64,
    memory: Arc<Semaphore>,
    pub(super) finished: AtomicU64,
    pub(super) repeated: AtomicU64,
    pub(super) lost: AtomicU64,
    /// Ages of what was finished since somebody looked, in seconds.
    pub(super) ages: Mutex<Vec<f64>>,
    /// Which records a handler had, by producer.
    seen: Mutex<Vec<Vec<bool>>>,
}

/// What is written into each record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Stamp {
    /// Nanoseconds from the beginning.
    pub(super) made: u64,
    pub(super) producer: u32,
    pub(super) number: u64,
}

impl Stamp {
    pub(super) const BYTES: usize = 20;

    /// A value of this size.
    pub(super) fn value(self, bytes: usize) -> Vec<u8> {
        let mut value = Vec::with_capacity(bytes.max(Self::BYTES));
        value.extend(self.made.to_le_bytes());
        value.extend(self.producer.to_le_bytes());
        value.extend(self.number.to_le_bytes());
        value.resize(bytes.max(Self::BYTES), 0);
        value
    }

    fn read(value: &[u8]) -> Option<Self> {
        let (made, rest) = value.split_first_chunk()?;
        let (producer, rest) = rest.split_first_chunk()?;
        let (number, _) = rest.split_first_chunk()?;
        Some(Self {
            made: u64::from_le_bytes(*made),
            producer: u32::from_le_bytes(*producer),
            number: u64::from_le_bytes(*number),
        })
    }
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How much there is where.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Levels {
    pub(super) channel: u64,
    pub(super) kafka: u64,
    pub(super) queued: u64,
    pub(super) in_flight: u64,
    pub(super) bytes: u64,
}

impl Levels {
    pub(super) fn total(self) -> u64 {
        self.channel + self.kafka + self.queued + self.in_flight
    }
}

impl Live {
    pub(super) fn new(scenario: Scenario, strategy: Strategy, monitor: Monitor) -> Self {
        let record = scenario.producers.iter().map(|p| *p.size.end()).max().unwrap_or(0);
        let tasks = usize::try_from(scenario.consumers.tasks(record)).unwrap_or(usize::MAX);
        Self {
            begun: Instant::now(),
            servers: Servers::new(scenario.downstream),
            monitor,
            producing: AtomicBool::new(true),
            waiting: AtomicU64::new(0),
            made: AtomicU64::new(0),
            written: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            blocked: AtomicBool::new(false),
            first_block: Mutex::new(None),
            hot: AtomicU32::new(0),
            rates: Mutex::new(scenario.producers.iter().map(|p| p.rate).collect()),
            tasks: AtomicU64::new(0),
            memory: Arc::new(Semaphore::new(tasks.min(Semaphore::MAX_PERMITS))),
            finished: AtomicU64::new(0),
            repeated: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            ages: Mutex::new(Vec::new()),
            seen: Mutex::new(Vec::new()),
            scenario,
            strategy,
        }
    }

    pub(super) fn now(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Records that were read.
    fn read(&self) -> u64 {
        let counters = self.monitor.snapshot().engine.counters;
        counters.admitted + counters.already_finished
    }

    /// Records in Kafka that were not read.
    pub(super) fn unread(&self) -> u64 {
        // In this order, so that none is counted as read before it was written.
        let read = self.read();
        self.written.load(Ordering::Acquire).saturating_sub(read)
    }

    pub(super) fn levels(&self) -> Levels {
        let engine = self.monitor.snapshot().engine;
        let read = engine.counters.admitted + engine.counters.already_finished;
        let tasks = self.tasks.load(Ordering::Relaxed);
        let in_flight = match self.strategy {
            Strategy::Unbounded { .. } => tasks,
            _ => u64::from(engine.in_flight),
        };
        let record = self.scenario.producers.first().map_or(0, |p| u64::from(*p.size.end()));
        let task_memory = self.scenario.consumers.task_memory;
        Levels {
            channel: self.waiting.load(Ordering::Relaxed),
            kafka: self.written.load(Ordering::Acquire).saturating_sub(read),
            queued: u64::from(engine.queued),
            in_flight,
            bytes: engine.bytes + tasks * record + in_flight * task_memory,
        }
    }

    /// A producer was held back.
    pub(super) fn held_back(&self) {
        if !self.blocked.swap(true, Ordering::Relaxed) {
            let mut first = lock(&self.first_block);
            if first.is_none() {
                *first = Some((self.now(), self.levels().total()));
            }
        }
    }

    /// One record.
    pub(super) async fn handle(self: Arc<Self>, record: Record) -> Outcome {
        let Some(stamp) = record.value().and_then(Stamp::read) else { return Outcome::Skip };
        if record.attempt() == 1 {
            self.note(stamp);
        }
        let random = mix(mix(self.scenario.seed, stamp.producer.into()), stamp.number);
        if let Strategy::Unbounded { .. } = self.strategy {
            return self.spawn(stamp, random).await;
        }
        match self.servers.call(mix(random, 16 + u64::from(record.attempt()))).await {
            Ok(()) => {
                self.finish(stamp);
                Outcome::Done
            }
            Err(NotDone::Failed) => Outcome::retry("the downstream failed"),
            Err(NotDone::Overloaded) => Outcome::overloaded(None, "the downstream is overloaded"),
        }
    }

    /// The consumer of the incident: a task that returns at once, as long as there is memory.
    async fn spawn(self: Arc<Self>, stamp: Stamp, random: u64) -> Outcome {
        let Ok(memory) = Arc::clone(&self.memory).acquire_owned().await else {
            return Outcome::Done;
        };
        self.tasks.fetch_add(1, Ordering::Relaxed);
        tokio::spawn(async move {
            let mut pause = Duration::from_millis(100);
            for attempt in 1..=self.scenario.consumers.attempts {
                if self.servers.call(mix(random, 16 + u64::from(attempt))).await.is_ok() {
                    self.finish(stamp);
                    break;
                }
                if attempt == self.scenario.consumers.attempts {
                    self.lost.fetch_add(1, Ordering::Relaxed);
                    break;
                }
                sleep(pause).await;
                pause = (pause * 2).min(Duration::from_secs(30));
            }
            self.tasks.fetch_sub(1, Ordering::Relaxed);
            drop(memory);
        });
        Outcome::Done
    }

    fn note(&self, stamp: Stamp) {
        let mut seen = lock(&self.seen);
        let producer = stamp.producer as usize;
        if seen.len() <= producer {
            seen.resize(producer + 1, Vec::new());
        }
        let number = stamp.number as usize;
        if seen[producer].len() <= number {
            seen[producer].resize(number + 1, false);
        }
        if std::mem::replace(&mut seen[producer][number], true) {
            self.repeated.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn finish(&self, stamp: Stamp) {
        let age = self.now().as_secs_f64() - stamp.made as f64 / 1e9;
        self.finished.fetch_add(1, Ordering::Relaxed);
        lock(&self.ages).push(age.max(0.0));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_are_read_as_they_are_written() {
        let stamp = Stamp { made: 5, producer: 7, number: 9 };
        assert_eq!(Stamp::read(&stamp.value(100)), Some(stamp));
        assert_eq!((stamp.value(100).len(), stamp.value(1).len()), (100, Stamp::BYTES));
        assert_eq!(Stamp::read(b"foreign"), None);
    }
}
