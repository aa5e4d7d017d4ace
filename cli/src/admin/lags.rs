//! How far behind a consumer is: asked by a client of its own, since the consumer's numbers go stale
//! exactly while it is held back.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tidegate::{Monitor, PartitionStatus, TopicPartition};

use crate::exit::Failure;
use crate::kafka::Observer;
use crate::settings::Connection;

/// How often it asks.
const EVERY: Duration = Duration::from_secs(2);
/// How soon it looks again whether there are partitions.
const SOON: Duration = Duration::from_millis(200);

/// One partition, as the log was when it was asked for last.
#[derive(Clone, Copy, Debug, Default)]
struct Seen {
    begin: i64,
    end: i64,
    /// When the first unfinished record came to be, in milliseconds since 1970.
    oldest: Option<i64>,
}

/// The newest answers.
#[derive(Debug, Default)]
pub(super) struct Lags(Mutex<HashMap<TopicPartition, Seen>>);

impl Lags {
    /// Begins to ask, from a thread of its own, until the process ends.
    ///
    /// # Errors
    /// When a property is not accepted.
    pub(super) fn watch(connection: &Connection, monitor: Monitor) -> Result<Arc<Self>, Failure> {
        let observer = Observer::new(connection, "tidegate-admin")?;
        let lags = Arc::new(Self::default());
        let asking = Arc::clone(&lags);
        let thread = std::thread::Builder::new().name("tidegate-lags".to_owned());
        let thread = thread.spawn(move || {
            loop {
                let partitions = monitor.snapshot().partitions;
                let pause = if partitions.is_empty() { SOON } else { EVERY };
                asking.ask(&observer, &partitions);
                std::thread::sleep(pause);
            }
        });
        thread.map(|_| lags).map_err(|error| Failure::Failed(error.to_string()))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<TopicPartition, Seen>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A cluster that does not answer is told by the consumer itself; what was known stays.
    fn ask(&self, observer: &Observer, partitions: &[PartitionStatus]) {
        let mut waiting = Vec::new();
        for status in partitions {
            let TopicPartition { topic, partition } = &status.partition;
            let Ok((begin, end)) = observer.watermarks(topic, *partition) else { continue };
            let reached = reached(status, begin);
            if reached < end {
                waiting.push((topic.to_string(), *partition, reached));
            }
            let mut all = self.lock();
            let seen = all.entry(status.partition.clone()).or_default();
            (seen.begin, seen.end) = (begin, end);
        }
        self.lock().retain(|known, _| partitions.iter().any(|status| status.partition == *known));
        let Ok(found) = observer.timestamps(&waiting) else { return };
        for ((topic, partition), millis) in found {
            if let Some(seen) = self.lock().get_mut(&TopicPartition::new(topic, partition)) {
                seen.oldest = Some(millis);
            }
        }
    }

    /// Records from the first unfinished one to the end of the log; `None` if not known yet.
    pub(super) fn records(&self, status: &PartitionStatus) -> Option<u64> {
        let seen = self.lock().get(&status.partition).copied()?;
        let behind = seen.end.saturating_sub(reached(status, seen.begin));
        Some(behind.max(0).unsigned_abs())
    }

    /// How old the first unfinished record is, in seconds.
    pub(super) fn seconds(&self, status: &PartitionStatus) -> Option<f64> {
        if self.records(status)? == 0 {
            return Some(0.0);
        }
        let oldest = self.lock().get(&status.partition)?.oldest?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let now = i64::try_from(now).unwrap_or(i64::MAX);
        Some(now.saturating_sub(oldest).max(0) as f64 / 1e3)
    }
}

/// The first offset that is not finished.
fn reached(status: &PartitionStatus, begin: i64) -> i64 {
    let reached = status.numbers.commit_point.or(status.numbers.committed);
    reached.map_or(begin, |offset| offset.0.max(begin))
}
