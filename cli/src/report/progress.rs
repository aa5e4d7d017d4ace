//! The progress line: rate, in flight, queued, lag, time to go.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tidegate::{Monitor, TopicPartition};

/// How far the rate looks back.
const WINDOW: Duration = Duration::from_secs(3);

/// End offsets as another client saw them last; see [`crate::run`].
#[derive(Clone, Debug, Default)]
pub(crate) struct Lag(Arc<Mutex<HashMap<TopicPartition, i64>>>);

impl Lag {
    /// The end of a partition's log; with `keep`, only the first one counts.
    pub(crate) fn set(&self, partition: TopicPartition, end: i64, keep: bool) {
        if let Ok(mut ends) = self.0.lock() {
            let known = ends.entry(partition).or_insert(end);
            if !keep {
                *known = end;
            }
        }
    }

    fn end(&self, partition: &TopicPartition) -> Option<i64> {
        self.0.lock().ok()?.get(partition).copied()
    }
}

/// Draws the progress line of a run.
pub(crate) struct Progress {
    monitor: Monitor,
    lag: Lag,
    /// Whether the run ends, so that a time to go makes sense.
    ends: bool,
    rate: Rate,
}

impl Progress {
    /// The progress of what `monitor` looks at.
    pub(crate) fn new(monitor: Monitor, lag: Lag, ends: bool) -> Self {
        Self { monitor, lag, ends, rate: Rate::default() }
    }

    /// The line as it is now.
    pub(super) fn line(&mut self) -> String {
        let snapshot = self.monitor.snapshot();
        let counters = &snapshot.engine.counters;
        let finished =
            counters.done + counters.skipped + counters.given_up + counters.dead_lettered;
        let rate = self.rate.update(finished, Instant::now());
        // Of all that is finished; the committed offset alone would stand still behind a slow one.
        let mut lag = Some(0);
        for status in &snapshot.partitions {
            let end = self.lag.end(&status.partition);
            let reached = status.numbers.commit_point.or(status.numbers.committed);
            let behind = end.map(|end| end.saturating_sub(reached.map_or(0, |offset| offset.0)));
            lag = lag.zip(behind).map(|(sum, behind)| sum + behind.max(0).unsigned_abs());
        }
        if snapshot.partitions.is_empty() {
            lag = None;
        }
        let mut line = format!(
            "{finished} done, {}/s, {} in flight, {} queued",
            whole(rate),
            snapshot.engine.in_flight,
            snapshot.engine.queued
        );
        if let Some(lag) = lag {
            line.push_str(&format!(", lag {lag}"));
            if self.ends && rate >= 1.0 {
                let left = Duration::from_secs((lag as f64 / rate) as u64);
                line.push_str(&format!(", {} to go", humantime::format_duration(left)));
            }
        }
        let stopped = snapshot.partitions.iter().filter(|status| status.stopped.is_some()).count();
        if stopped > 0 {
            line.push_str(&format!(", {stopped} partitions stopped"));
        }
        line
    }
}

/// Without digits behind the point from 10 on.
fn whole(rate: f64) -> String {
    if rate < 10.0 && rate > 0.0 { format!("{rate:.1}") } else { format!("{rate:.0}") }
}

/// Records a second over the last [`WINDOW`].
#[derive(Default)]
struct Rate {
    seen: std::collections::VecDeque<(Instant, u64)>,
}

impl Rate {
    fn update(&mut self, count: u64, now: Instant) -> f64 {
        self.seen.push_back((now, count));
        while self.seen.len() > 2
            && self.seen.front().is_some_and(|(at, _)| now.duration_since(*at) > WINDOW)
        {
            self.seen.pop_front();
        }
        match self.seen.front() {
            Some((at, first)) if now > *at => {
                count.saturating_sub(*first) as f64 / now.duration_since(*at).as_secs_f64()
            }
            _ => 0.0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_rate_looks_back_a_little() {
        let mut rate = Rate::default();
        let start = Instant::now();
        assert_eq!(rate.update(0, start), 0.0);
        for second in 1..=10 {
            rate.update(second * 100, start + Duration::from_secs(second));
        }
        let last = rate.update(1_000, start + Duration::from_secs(11));
        assert!((60.0..80.0).contains(&last), "{last}");
        assert_eq!(whole(0.25), "0.2");
        assert_eq!(whole(1_234.5), "1234");
    }
}
