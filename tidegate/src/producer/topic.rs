//! One topic: its gate, and its part in the probe.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tidegate_engine::gate::{Gate, GateSnapshot, GroupId, ProbeFailure, ProbeSample, Refusal};
use tokio::sync::Notify;

use super::error::NotSent;
use super::event::ProducerEvent;
use crate::clock;
use crate::kafka::probe::Follower;

/// A probe that fails is told when it has failed so many times.
const TOLD: u32 = 3;

pub(super) type Listener = Arc<dyn Fn(&ProducerEvent) + Send + Sync>;

/// A topic's gate at a moment, with the names that the gate does not know.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct TopicSnapshot {
    /// The topic.
    pub topic: String,
    /// The groups that are followed; [`GroupId`] counts them.
    pub groups: Vec<String>,
    /// Its gate.
    pub gate: GateSnapshot,
    /// Records on their way to the broker.
    pub on_their_way: u64,
}

/// A topic that is produced to.
pub(super) struct Topic {
    pub(super) name: String,
    pub(super) groups: Vec<String>,
    gate: Mutex<Gate>,
    /// Told when a record may be let through that was not before.
    pub(super) changed: Notify,
    /// Probes that failed since the last answer.
    failing: AtomicU32,
    listener: Listener,
}

impl Topic {
    pub(super) fn new(name: String, groups: Vec<String>, gate: Gate, listener: Listener) -> Self {
        let failing = AtomicU32::new(0);
        let gate = Mutex::new(gate);
        Self { name, groups, gate, changed: Notify::new(), failing, listener }
    }

    /// The gate. Nothing foreign runs while it is held.
    pub(super) fn gate(&self) -> MutexGuard<'_, Gate> {
        self.gate.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn snapshot(&self, on_their_way: u64) -> TopicSnapshot {
        TopicSnapshot {
            topic: self.name.clone(),
            groups: self.groups.clone(),
            gate: self.gate().snapshot(clock::now()),
            on_their_way,
        }
    }

    /// A refusal with names.
    pub(super) fn shut(&self, refusal: &Refusal) -> NotSent {
        let name = |group: GroupId| self.groups.get(group.0 as usize).cloned();
        NotSent::Shut {
            topic: self.name.clone(),
            partition: refusal.cause.partition,
            group: refusal.cause.group.and_then(name),
            reason: refusal.cause.reason,
            retry_after: refusal.retry_after,
        }
    }

    fn tell_alerts(&self) {
        loop {
            let alert = self.gate().poll_alert();
            let Some(alert) = alert else { return };
            (self.listener)(&ProducerEvent::alert(&self.name, &self.groups, alert));
        }
    }
}

impl Follower for Topic {
    fn topic(&self) -> &str {
        &self.name
    }

    fn groups(&self) -> &[String] {
        &self.groups
    }

    fn handle_partitions(&self, partitions: u32) {
        self.gate().handle_partitions(partitions);
        self.changed.notify_waiters();
        self.tell_alerts();
    }

    fn handle_answer(&self, sample: &ProbeSample) {
        self.gate().handle_probe(sample, clock::now());
        self.changed.notify_waiters();
        if self.failing.swap(0, Ordering::Relaxed) >= TOLD {
            let topic = self.name.clone();
            (self.listener)(&ProducerEvent::ProbeRecovered { topic });
        }
        self.tell_alerts();
    }

    fn handle_failure(&self, failure: ProbeFailure, detail: &str) {
        self.gate().handle_probe_failed(failure, clock::now());
        // The coordinator of a group that is new needs a moment; what is refused is told at once.
        let weight = if failure == ProbeFailure::Unreachable { 1 } else { TOLD };
        let before = self.failing.fetch_add(weight, Ordering::Relaxed);
        if before < TOLD && before + weight >= TOLD {
            let (topic, detail) = (self.name.clone(), detail.to_owned());
            (self.listener)(&ProducerEvent::ProbeFailed { topic, failure, detail });
        }
    }
}
