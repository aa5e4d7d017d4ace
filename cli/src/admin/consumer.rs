//! What is shown of a run.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tidegate::{Monitor, PartitionState, PartitionStatus, TopicPartition};

use super::health::{Health, Look};
use super::histogram::Histogram;
use super::lags::Lags;
use super::numbers::{HANDLER, NUMBERS, Now, PARTITIONS};
use super::{Source, Text, VERSION};
use crate::exit::Failure;
use crate::settings::Connection;

/// What changes when a partition moves: commit point, position, unfinished, queued, in flight,
/// uncommitted.
type State = (Option<i64>, Option<i64>, u32, u32, u32, u64);

/// A consumer that is looked at.
pub(crate) struct Consumer {
    group: String,
    monitor: Monitor,
    lags: Arc<Lags>,
    health: Health<TopicPartition, State>,
    histogram: Arc<Histogram>,
    /// It has had partitions.
    assigned: AtomicBool,
    /// It takes nothing new.
    draining: AtomicBool,
}

impl Consumer {
    /// Begins to look at a consumer.
    ///
    /// # Errors
    /// When a property is not accepted.
    pub(crate) fn watch(
        connection: &Connection,
        monitor: Monitor,
        group: String,
    ) -> Result<Arc<Self>, Failure> {
        Ok(Arc::new(Self {
            lags: Lags::watch(connection, monitor.clone())?,
            health: Health::new(),
            histogram: Arc::default(),
            assigned: AtomicBool::new(false),
            draining: AtomicBool::new(false),
            group,
            monitor,
        }))
    }

    /// For the times of its handler.
    pub(crate) fn histogram(&self) -> Arc<Histogram> {
        Arc::clone(&self.histogram)
    }

    /// It takes nothing new from now on.
    pub(crate) fn drains(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    fn look(&self) -> Option<(TopicPartition, Duration)> {
        let snapshot = self.monitor.snapshot();
        if !snapshot.partitions.is_empty() {
            self.assigned.store(true, Ordering::Relaxed);
        }
        let backs_off = snapshot.engine.backing_off > 0;
        let look = |status: &PartitionStatus| {
            let numbers = &status.numbers;
            // What stopped is told as such, and what waits for a next attempt waits for its target.
            let elsewhere = status.stopped.is_some() || numbers.in_flight == 0 && backs_off;
            Look {
                of: status.partition.clone(),
                state: (
                    numbers.commit_point.map(|offset| offset.0),
                    numbers.position.map(|offset| offset.0),
                    numbers.unfinished,
                    numbers.queued,
                    numbers.in_flight,
                    numbers.uncommitted,
                ),
                waits: numbers.unfinished > 0 && !elsewhere,
            }
        };
        let patience = self.monitor.config().stuck_after;
        self.health.look(snapshot.partitions.iter().map(look).collect(), patience, Instant::now())
    }

    fn partition(&self, status: &PartitionStatus) -> Value {
        let numbers = &status.numbers;
        let state = match numbers.state {
            PartitionState::Active => "active",
            PartitionState::Draining => "draining",
            PartitionState::Stopped { .. } => "stopped",
            _ => "other",
        };
        json!({
            "topic": &*status.partition.topic,
            "partition": status.partition.partition,
            "state": state,
            "stopped_at": status.stopped.as_ref().and_then(|s| s.offset).map(|offset| offset.0),
            "position": numbers.position.map(|offset| offset.0),
            "committed": numbers.committed.map(|offset| offset.0),
            "commit_point": numbers.commit_point.map(|offset| offset.0),
            "unfinished": numbers.unfinished,
            "queued": numbers.queued,
            "in_flight": numbers.in_flight,
            "bytes": numbers.bytes,
            "uncommitted": numbers.uncommitted,
            "lag": self.lags.records(status),
            "lag_s": self.lags.seconds(status),
        })
    }
}

impl Source for Consumer {
    fn tick(&self) {
        let _ = self.look();
    }

    fn metrics(&self, text: &mut Text) {
        let now = Now { snapshot: self.monitor.snapshot(), config: self.monitor.config() };
        let group = ("group", self.group.as_str());
        for (metric, number) in &NUMBERS {
            text.one(metric, &[group], number(&now));
        }
        self.histogram.write(&HANDLER, &[group], text);
        for (metric, number) in &PARTITIONS {
            text.metric(metric);
            for status in &now.snapshot.partitions {
                let Some(value) = number(&self.lags, status) else { continue };
                let partition = status.partition.partition.to_string();
                let topic = ("topic", &*status.partition.topic);
                text.sample(metric.name, &[group, topic, ("partition", &partition)], value);
            }
        }
    }

    fn snapshot(&self) -> Value {
        let (snapshot, config) = (self.monitor.snapshot(), self.monitor.config());
        let (engine, counters) = (&snapshot.engine, &snapshot.engine.counters);
        let (count, sum) = self.histogram.total();
        json!({
            "version": VERSION,
            "command": "run",
            "group": self.group,
            "draining": self.draining.load(Ordering::Relaxed),
            "limit": engine.limit,
            "in_flight": engine.in_flight,
            "queued": engine.queued,
            "ready": engine.ready,
            "backing_off": engine.backing_off,
            "writing": engine.writing,
            "bytes": engine.bytes,
            "budget_bytes": config.max_bytes,
            "budget_queued": config.max_queued,
            "busy_keys": engine.busy_lanes,
            "commits_stalled": engine.commits_stalled,
            "uncommitted": snapshot.uncommitted,
            "handler": { "attempts": count, "seconds": sum },
            "counters": {
                "admitted": counters.admitted,
                "already_finished": counters.already_finished,
                "started": counters.started,
                "done": counters.done,
                "skipped": counters.skipped,
                "given_up": counters.given_up,
                "dead_lettered": counters.dead_lettered,
                "held": counters.held,
                "failed": counters.failed,
                "timed_out": counters.timed_out,
                "overloaded": counters.overloaded,
                "panicked": snapshot.panics,
                "dropped_ranges": counters.dropped_ranges,
            },
            "partitions": snapshot.partitions.iter().map(|s| self.partition(s)).collect::<Vec<_>>(),
        })
    }

    fn health(&self) -> Result<(), String> {
        let Some((partition, still)) = self.look() else { return Ok(()) };
        Err(format!(
            "{partition} has unfinished records and has not moved for {} s",
            still.as_secs()
        ))
    }

    fn ready(&self) -> Result<(), String> {
        let _ = self.look();
        if self.draining.load(Ordering::Relaxed) {
            return Err("it is shutting down".to_owned());
        }
        match self.assigned.load(Ordering::Relaxed) {
            true => Ok(()),
            false => Err(format!("group {} has given it no partition yet", self.group)),
        }
    }
}
