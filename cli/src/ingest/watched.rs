//! What is shown of ingest on the admin port.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tidegate::{Producer, TopicSnapshot};

use super::counts::{Counts, Numbers};
use crate::admin::{self, Health, Look, Metric, Source, Text};

/// Records of a topic that are on their way for so long without one being settled are stuck.
const PATIENCE: Duration = Duration::from_secs(60);

/// Gates, and what is counted beside them.
pub(super) struct Watched {
    producer: Producer,
    counts: Arc<Counts>,
    /// It takes nothing new.
    ending: Arc<AtomicBool>,
    health: Health<String, u64>,
}

type Number = (Metric, fn(&Numbers) -> u64);

/// One number each.
pub(crate) const NUMBERS: [Number; 5] = [
    (Metric::gauge("tidegate_ingest_connections", "Connections that are served."), |numbers| {
        numbers.connections
    }),
    (
        Metric::counter("tidegate_ingest_requests_total", "Requests that were answered."),
        |numbers| numbers.requests,
    ),
    (
        Metric::counter(
            "tidegate_ingest_refused_requests_total",
            "Of these, refused by a shut gate.",
        ),
        |numbers| numbers.refused,
    ),
    (
        Metric::counter(
            "tidegate_ingest_not_taken_requests_total",
            "Of these, not taken for another reason.",
        ),
        |numbers| numbers.other,
    ),
    (
        Metric::counter(
            "tidegate_ingest_delivered_records_total",
            "Records that the broker acknowledged.",
        ),
        |numbers| numbers.delivered,
    ),
];

impl Watched {
    pub(super) fn new(producer: Producer, counts: Arc<Counts>, ending: Arc<AtomicBool>) -> Self {
        Self { producer, counts, ending, health: Health::new() }
    }

    fn look(&self) -> Option<(String, Duration)> {
        let look = |topic: TopicSnapshot| Look {
            state: topic.gate.counters.delivered + topic.gate.counters.failed,
            waits: topic.on_their_way > 0,
            of: topic.topic,
        };
        let looks = self.producer.snapshot().into_iter().map(look).collect();
        self.health.look(looks, PATIENCE, Instant::now())
    }
}

impl Source for Watched {
    fn tick(&self) {
        let _ = self.look();
    }

    fn metrics(&self, text: &mut Text) {
        let numbers = self.counts.now();
        for (metric, number) in &NUMBERS {
            text.one(metric, &[], number(&numbers) as f64);
        }
        admin::gate_metrics(&self.producer.snapshot(), text);
    }

    fn snapshot(&self) -> Value {
        let Numbers { requests, delivered, refused, other, connections } = self.counts.now();
        json!({
            "version": admin::VERSION,
            "command": "ingest",
            "draining": self.ending.load(Ordering::Relaxed),
            "connections": connections,
            "requests": requests,
            "refused": refused,
            "not_taken": other,
            "delivered": delivered,
            "topics": admin::gate_snapshot(&self.producer.snapshot()),
        })
    }

    fn health(&self) -> Result<(), String> {
        let Some((topic, still)) = self.look() else { return Ok(()) };
        let still = still.as_secs();
        Err(format!("topic {topic} has records on their way and none was settled for {still} s"))
    }

    fn ready(&self) -> Result<(), String> {
        if self.ending.load(Ordering::Relaxed) {
            return Err("it is shutting down".to_owned());
        }
        let topics = self.producer.snapshot();
        match topics.iter().find(|topic| self.producer.partitions(&topic.topic) == 0) {
            Some(topic) => Err(format!("the partitions of topic {} are not known", topic.topic)),
            None => Ok(()),
        }
    }
}
