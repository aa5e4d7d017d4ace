//! How far a group is, for those who only look.

use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use thiserror::Error;
use tidegate_engine::gate::{Commit, GateConfig, ProbeFailure, ProbeSample};
use tidegate_engine::{ConfigError, Offset};

use crate::kafka::probe::{Follower, Probe};
use crate::kafka::{KafkaSettings, SettingsError};

/// How far a group is in one partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct PartitionLag {
    /// The partition.
    pub partition: u32,
    /// The first offset of the log, if its leader answered.
    pub start: Option<Offset>,
    /// The offset that the log's next record gets.
    pub end: Option<Offset>,
    /// What the group has committed, if anything.
    pub committed: Option<Offset>,
    /// Records above it that the commit names as finished.
    pub finished: u64,
}

impl PartitionLag {
    /// Records that wait: from the committed offset (from the start of the log, where there is none or
    /// it is below) to the end, without those that are finished. `None` if the log is not known.
    pub fn lag(&self) -> Option<u64> {
        let (start, end) = (self.start?, self.end?);
        let from = self.committed.map_or(start, |committed| committed.max(start));
        let waiting = end.0.saturating_sub(from.0).max(0).unsigned_abs();
        Some(waiting.saturating_sub(self.finished))
    }
}

/// How far a group is in one topic.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct TopicLag {
    /// The topic.
    pub topic: String,
    /// When it was asked for.
    pub asked: Instant,
    /// The partitions, or why they are not known.
    pub partitions: Result<Vec<PartitionLag>, WatchError>,
}

/// Why it is not known how far a group is. It is asked again.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{message}")]
#[non_exhaustive]
pub struct WatchError {
    /// The kind of it.
    pub failure: ProbeFailure,
    /// In words, with names, and what to do.
    pub message: String,
}

/// Asks at an interval how far a group is in some topics, without joining it.
///
/// It needs the permission to describe the group and the topics. It ends when it is dropped.
#[derive(Debug)]
pub struct GroupWatch {
    topics: Vec<Arc<Watched>>,
    _probe: Probe,
}

impl GroupWatch {
    /// Begins to ask for the group and the topics of these settings (no patterns), every `interval`
    /// (10 ms to 60 s). Only the connection properties are used.
    ///
    /// # Errors
    /// When something is missing or not accepted, or the interval is outside its range.
    pub fn start(
        settings: &KafkaSettings,
        interval: Duration,
    ) -> Result<Self, crate::ProducerBuildError> {
        if settings.group.is_empty() {
            return Err(SettingsError::Missing("the consumer group").into());
        }
        if settings.topics.is_empty() {
            return Err(SettingsError::Missing("a topic").into());
        }
        GateConfig { probe_interval: interval, ..GateConfig::default() }
            .validate()
            .map_err(|error: ConfigError| crate::ProducerBuildError::Limit(error))?;
        let probe = Probe::start(settings.connection(), Some(&settings.group), interval)?;
        let watch = |topic: &String| {
            let (topic, groups) = (topic.clone(), vec![settings.group.clone()]);
            Arc::new(Watched { topic, groups, asked: Mutex::default(), latest: Mutex::default() })
        };
        let topics: Vec<_> = settings.topics.iter().map(watch).collect();
        for topic in &topics {
            let topic: Weak<Watched> = Arc::downgrade(topic);
            probe.follow(topic as Weak<dyn Follower>);
        }
        Ok(Self { topics, _probe: probe })
    }

    /// The newest answers, one for each topic that was answered for, in the order of the topics.
    pub fn latest(&self) -> Vec<TopicLag> {
        let lock = |topic: &Arc<Watched>| {
            topic.latest.lock().unwrap_or_else(PoisonError::into_inner).clone()
        };
        self.topics.iter().filter_map(lock).collect()
    }
}

/// One topic and the newest answer.
#[derive(Debug)]
struct Watched {
    topic: String,
    groups: Vec<String>,
    asked: Mutex<Option<Instant>>,
    latest: Mutex<Option<TopicLag>>,
}

impl Watched {
    fn set(&self, partitions: Result<Vec<PartitionLag>, WatchError>) {
        let asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner).take();
        let asked = asked.unwrap_or_else(Instant::now);
        let latest = TopicLag { topic: self.topic.clone(), asked, partitions };
        *self.latest.lock().unwrap_or_else(PoisonError::into_inner) = Some(latest);
    }
}

impl Follower for Watched {
    fn topic(&self) -> &str {
        &self.topic
    }

    fn groups(&self) -> &[String] {
        &self.groups
    }

    fn handle_partitions(&self, _: u32) {}

    fn handle_answer(&self, sample: &ProbeSample) {
        let now = crate::clock::now().saturating_since(sample.asked);
        *self.asked.lock().unwrap_or_else(PoisonError::into_inner) =
            Instant::now().checked_sub(now);
        let commits = sample.groups.first();
        let partition = |(index, span): (usize, &Option<tidegate_engine::gate::LogSpan>)| {
            let commit = commits.and_then(|commits| commits.get(index));
            let (committed, finished) = match commit {
                Some(Commit::At { offset, finished }) => {
                    let lengths = finished.iter().map(|r| r.end.0.abs_diff(r.start.0));
                    (Some(*offset), lengths.sum())
                }
                _ => (None, 0),
            };
            PartitionLag {
                partition: index as u32,
                start: span.map(|span| span.start),
                end: span.map(|span| span.end),
                committed,
                finished,
            }
        };
        self.set(Ok(sample.logs.iter().enumerate().map(partition).collect()));
    }

    fn handle_failure(&self, failure: ProbeFailure, detail: &str) {
        let event = crate::ProducerEvent::ProbeFailed {
            topic: self.topic.clone(),
            failure,
            detail: detail.to_owned(),
        };
        self.set(Err(WatchError { failure, message: event.to_string() }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lag_counts_what_is_in_the_log_and_not_finished() {
        let at = |committed, finished| PartitionLag {
            partition: 0,
            start: Some(Offset(100)),
            end: Some(Offset(150)),
            committed,
            finished,
        };
        assert_eq!(at(None, 0).lag(), Some(50));
        assert_eq!(at(Some(Offset(120)), 10).lag(), Some(20));
        assert_eq!(at(Some(Offset(10)), 0).lag(), Some(50), "retention passed it");
        assert_eq!(at(Some(Offset(200)), 0).lag(), Some(0));
        assert_eq!(PartitionLag { end: None, ..at(None, 0) }.lag(), None);
    }
}
