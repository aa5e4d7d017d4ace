//! Where a producer's records go: the log in memory with a gate of its own, or Kafka.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use tidegate::gate::{Commit, Credit, Gate, GateConfig, LogSpan, ProbeSample, until_next_probe};
use tidegate::{Metadata, NotSent, Offset, Producer, ProducerRecord};
use tidegate_engine::{FinishedRanges, Instant as Moment};
use tidegate_runtime::memory::{MemoryLog, NewRecord};
use tidegate_sim::lab::mix;

use crate::exit::Failure;

/// How long the last records may take until the cluster has them.
const DELIVERY: Duration = Duration::from_secs(30);

/// A record on its way from a producer.
#[derive(Clone, Debug)]
pub(super) struct Fresh {
    pub(super) key: Option<u32>,
    pub(super) value: Vec<u8>,
}

impl Fresh {
    fn key(&self) -> Option<Vec<u8>> {
        self.key.map(|key| format!("key-{key}").into_bytes())
    }
}

pub(super) enum Sink {
    Memory(Box<Memory>),
    Kafka { producer: Producer, topic: String },
}

/// The log in memory.
pub(super) struct Memory {
    pub(super) log: MemoryLog,
    pub(super) topic: String,
    pub(super) group: String,
    pub(super) partitions: u32,
    gate: Option<Gate>,
    written: VecDeque<(Credit, Offset)>,
    next_probe: Duration,
    begun: Instant,
}

impl Memory {
    /// With a gate, if it is set up.
    pub(super) fn new(
        log: MemoryLog,
        topic: &str,
        group: &str,
        partitions: u32,
        gate: Option<GateConfig>,
        begun: Instant,
    ) -> Result<Self, Failure> {
        let gate = gate.map(|config| Gate::new(config, Moment::from_nanos(0))).transpose();
        let mut gate = gate.map_err(|error| Failure::Usage(error.to_string()))?;
        if let Some(gate) = &mut gate {
            gate.handle_partitions(partitions);
        }
        Ok(Self {
            log,
            topic: topic.to_owned(),
            group: group.to_owned(),
            partitions,
            gate,
            written: VecDeque::new(),
            next_probe: Duration::ZERO,
            begun,
        })
    }

    /// What a probe finds.
    fn probe(&self, now: Moment) -> ProbeSample {
        let partitions = 0..i32::try_from(self.partitions).unwrap_or(0);
        let span = |partition| {
            let end = self.log.end_offset(&self.topic, partition).ok()?;
            Some(LogSpan { start: Offset(0), end })
        };
        let commit = |partition| match self.log.committed(&self.group, &self.topic, partition) {
            Some((offset, metadata)) => {
                let ranges = Metadata::decode(&metadata, offset).map(|metadata| metadata.finished);
                Commit::At {
                    offset,
                    finished: ranges.unwrap_or_else(|_| FinishedRanges::default()),
                }
            }
            None => Commit::None,
        };
        ProbeSample {
            asked: now,
            incarnation: 1,
            logs: partitions.clone().map(span).collect(),
            groups: vec![partitions.map(commit).collect()],
        }
    }
}

impl Sink {
    /// Whether it knows its topic.
    pub(super) fn is_ready(&self) -> bool {
        match self {
            Self::Memory(_) => true,
            Self::Kafka { producer, topic } => producer.partitions(topic) > 0,
        }
    }

    /// What is to be done now and then.
    pub(super) fn turn(&mut self) {
        let Self::Memory(memory) = self else { return };
        let now = memory.begun.elapsed();
        let moment = moment(now);
        let sample =
            (memory.gate.is_some() && now >= memory.next_probe).then(|| memory.probe(moment));
        let Some(gate) = &mut memory.gate else { return };
        for (credit, offset) in memory.written.drain(..) {
            gate.handle_delivered(credit, Some(offset));
        }
        if let Some(sample) = sample {
            gate.handle_probe(&sample, moment);
            while gate.poll_alert().is_some() {}
            let random = mix(now.as_nanos() as u64, 0);
            memory.next_probe = now + until_next_probe(gate.config().probe_interval, random);
        }
        if gate.poll_timeout(moment).is_some_and(|at| at <= moment) {
            gate.handle_timeout(moment);
        }
    }

    /// Sends a record, or gives it back if it is not let through now.
    pub(super) fn send(&mut self, fresh: Fresh) -> Result<Option<Fresh>, Failure> {
        let failed = |error: &dyn std::fmt::Display| Failure::Failed(error.to_string());
        match self {
            Self::Memory(memory) => {
                let now = moment(memory.begun.elapsed());
                let key = fresh.key();
                let mut record = NewRecord::value(fresh.value.clone());
                let mut credit = None;
                if let Some(gate) = &mut memory.gate {
                    let partition = gate.pick_partition(key.as_deref(), now);
                    match gate.try_acquire(partition, now) {
                        Ok(granted) => credit = Some(granted),
                        Err(_) => return Ok(Some(fresh)),
                    }
                    record = record.partition(i32::try_from(partition).unwrap_or(0));
                }
                if let Some(key) = key {
                    record = record.key(key);
                }
                let written = memory.log.produce(&memory.topic, record);
                let (_, offset) = written.map_err(|error| failed(&error))?;
                memory.written.extend(credit.map(|credit| (credit, offset)));
                Ok(None)
            }
            Self::Kafka { producer, topic } => {
                let mut record = ProducerRecord::to(topic.as_str()).with_value(fresh.value.clone());
                if let Some(key) = fresh.key() {
                    record = record.with_key(key);
                }
                match producer.try_send(record) {
                    Ok(_) => Ok(None),
                    Err(error) if matches!(error.cause, NotSent::Shut { .. } | NotSent::Full) => {
                        Ok(Some(fresh))
                    }
                    Err(error) => Err(failed(&error)),
                }
            }
        }
    }
}

impl Sink {
    /// Waits until the log has everything that was sent: a producer that is dropped before gives up
    /// what is on its way, and that would be waited for in vain by those who count.
    pub(super) async fn close(&self) -> Result<(), Failure> {
        match self {
            Self::Memory(_) => Ok(()),
            Self::Kafka { producer, .. } => {
                let closed = producer.close(DELIVERY).await;
                closed.map_err(|undelivered| Failure::Failed(undelivered.to_string()))
            }
        }
    }
}

fn moment(at: Duration) -> Moment {
    Moment::from_nanos(u64::try_from(at.as_nanos()).unwrap_or(u64::MAX))
}
