//! Rates from successive answers.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use tidegate::PartitionLag;

/// How far back rates look.
const WINDOW: Duration = Duration::from_secs(10);

/// Records a second.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Rates {
    /// Written to the log.
    pub(super) written: f64,
    /// Finished by the group.
    pub(super) done: f64,
}

/// The answers of the last while for one topic.
#[derive(Debug, Default)]
pub(super) struct History(VecDeque<(Instant, Vec<PartitionLag>)>);

impl History {
    pub(super) fn add(&mut self, asked: Instant, partitions: &[PartitionLag]) {
        self.0.push_back((asked, partitions.to_vec()));
        while self.0.len() > 2 && self.0[0].0 + WINDOW < asked {
            self.0.pop_front();
        }
    }

    /// The rates of a partition, once there are two answers.
    pub(super) fn rates(&self, partition: u32) -> Option<Rates> {
        let of = |entry: &(Instant, Vec<PartitionLag>)| {
            let found = entry.1.iter().find(|lag| lag.partition == partition)?;
            let done = found.committed.map_or(0, |c| c.0).saturating_add_unsigned(found.finished);
            Some((entry.0, found.end?.0, done))
        };
        let (first, last) = (of(self.0.front()?)?, of(self.0.back()?)?);
        let seconds = last.0.saturating_duration_since(first.0).as_secs_f64();
        let rate = |from: i64, to: i64| to.saturating_sub(from).max(0) as f64 / seconds;
        (seconds > 0.0)
            .then(|| Rates { written: rate(first.1, last.1), done: rate(first.2, last.2) })
    }
}
