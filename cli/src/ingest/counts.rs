//! What is counted, and how it is shown.

use std::sync::atomic::{AtomicU64, Ordering};

use hyper::StatusCode;
use tidegate::gate::GateState;
use tidegate::{Level, Producer};

use crate::report::{Message, ProgressLine, Rate, whole};

/// Since the start.
#[derive(Debug, Default)]
pub(super) struct Counts {
    requests: AtomicU64,
    delivered: AtomicU64,
    refused: AtomicU64,
    bad: AtomicU64,
    failed: AtomicU64,
    connections: AtomicU64,
}

impl Counts {
    /// A connection is served from now on.
    pub(super) fn connected(&self) {
        self.connections.fetch_add(1, Ordering::Relaxed);
    }

    /// It has ended.
    pub(super) fn disconnected(&self) {
        self.connections.fetch_sub(1, Ordering::Relaxed);
    }

    /// A record that the broker acknowledged.
    pub(super) fn count_delivered(&self, records: u64) {
        self.delivered.fetch_add(records, Ordering::Relaxed);
    }

    /// A request that a shut gate refused.
    pub(super) fn count_refused(&self) {
        self.refused.fetch_add(1, Ordering::Relaxed);
    }

    /// A request that was answered.
    pub(super) fn count_answer(&self, status: StatusCode) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        if status.is_server_error() {
            self.failed.fetch_add(1, Ordering::Relaxed);
        } else if status.is_client_error() {
            self.bad.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Records that the broker acknowledged.
    pub(super) fn delivered(&self) -> u64 {
        self.delivered.load(Ordering::Relaxed)
    }

    pub(super) fn now(&self) -> Numbers {
        let load = |count: &AtomicU64| count.load(Ordering::Relaxed);
        let refused = load(&self.refused);
        Numbers {
            requests: load(&self.requests),
            delivered: load(&self.delivered),
            refused,
            // A refusal has a status of one or the other kind, as the flags say.
            other: (load(&self.bad) + load(&self.failed)).saturating_sub(refused),
            connections: load(&self.connections),
        }
    }

    /// What is said at the end.
    pub(super) fn summary(&self, cut_off: usize, not_delivered: u64) -> Message {
        let Numbers { requests, delivered, refused, other, .. } = self.now();
        let mut words = format!(
            "{requests} requests, {delivered} records delivered, {refused} requests refused by a \
             shut gate, {other} others not taken"
        );
        if cut_off > 0 {
            words += &format!(", {cut_off} connections cut off");
        }
        if not_delivered > 0 {
            words += &format!(", {not_delivered} records not delivered");
        }
        Message::new(Level::Info, "summary", words)
            .with("requests", requests)
            .with("delivered", delivered)
            .with("refused", refused)
            .with("not_taken", other)
    }
}

/// All of them at a moment.
pub(super) struct Numbers {
    pub(super) requests: u64,
    pub(super) delivered: u64,
    pub(super) refused: u64,
    /// Not taken for another reason than a shut gate.
    pub(super) other: u64,
    pub(super) connections: u64,
}

/// The progress line.
pub(super) struct Progress {
    producer: Producer,
    counts: std::sync::Arc<Counts>,
    rate: Rate,
}

impl Progress {
    /// The progress of what these count.
    pub(super) fn new(producer: Producer, counts: std::sync::Arc<Counts>) -> Self {
        Self { producer, counts, rate: Rate::default() }
    }
}

impl ProgressLine for Progress {
    fn line(&mut self) -> String {
        let Numbers { delivered, refused, other, connections, .. } = self.counts.now();
        let rate = whole(self.rate.update(delivered, std::time::Instant::now()));
        let mut line = format!(
            "{delivered} delivered, {rate}/s, {refused} refused, {other} not taken, {connections} \
             connections"
        );
        for topic in self.producer.snapshot() {
            line += &format!(", {}: ", topic.topic);
            line += match topic.gate.state {
                GateState::Open => "open",
                GateState::Limited(_) => "limited",
                _ => "shut",
            };
            if let Some(drain) = topic.gate.drain.filter(|_| !topic.groups.is_empty()) {
                line += &format!(" {:.1} s", drain.as_secs_f64());
            }
        }
        line
    }
}
