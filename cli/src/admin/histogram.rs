//! How long handlers take.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::text::{Label, Metric, Text};

/// Upper ends of the buckets, as the label has them and in microseconds.
const BUCKETS: [(&str, u64); 15] = [
    ("0.001", 1_000),
    ("0.0025", 2_500),
    ("0.005", 5_000),
    ("0.01", 10_000),
    ("0.025", 25_000),
    ("0.05", 50_000),
    ("0.1", 100_000),
    ("0.25", 250_000),
    ("0.5", 500_000),
    ("1", 1_000_000),
    ("2.5", 2_500_000),
    ("5", 5_000_000),
    ("10", 10_000_000),
    ("30", 30_000_000),
    ("60", 60_000_000),
];

/// Counts durations.
#[derive(Debug, Default)]
pub(crate) struct Histogram {
    /// One for each bucket, and the last for what is longer.
    counts: [AtomicU64; BUCKETS.len() + 1],
    micros: AtomicU64,
}

impl Histogram {
    /// Counts one.
    pub(super) fn observe(&self, took: Duration) {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
        let at = BUCKETS.partition_point(|(_, end)| *end < micros);
        self.counts[at].fetch_add(1, Ordering::Relaxed);
        self.micros.fetch_add(micros, Ordering::Relaxed);
    }

    /// How many, and their sum in seconds.
    pub(super) fn total(&self) -> (u64, f64) {
        let count = self.counts.iter().map(|count| count.load(Ordering::Relaxed)).sum();
        (count, self.micros.load(Ordering::Relaxed) as f64 / 1e6)
    }

    /// Writes it.
    pub(super) fn write(&self, metric: &Metric, labels: &[Label<'_>], text: &mut Text) {
        text.metric(metric);
        let bucket = format!("{}_bucket", metric.name);
        let sum = self.micros.load(Ordering::Relaxed) as f64 / 1e6;
        let mut below = 0;
        let ends = BUCKETS.iter().map(|(end, _)| *end).chain(["+Inf"]);
        for (end, count) in ends.zip(&self.counts) {
            below += count.load(Ordering::Relaxed);
            let labels = [labels, &[("le", end)]].concat();
            text.sample(&bucket, &labels, below as f64);
        }
        text.sample(&format!("{}_sum", metric.name), labels, sum);
        text.sample(&format!("{}_count", metric.name), labels, below as f64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_has_everything_up_to_its_end() {
        let histogram = Histogram::default();
        for micros in [1, 1_000, 1_001, 60_000_000, 60_000_001] {
            histogram.observe(Duration::from_micros(micros));
        }
        let mut text = Text::default();
        histogram.write(&Metric::histogram("h_seconds", "x"), &[("group", "g")], &mut text);
        let text = text.into_string();
        for line in [
            "h_seconds_bucket{group=\"g\",le=\"0.001\"} 2\n",
            "h_seconds_bucket{group=\"g\",le=\"0.0025\"} 3\n",
            "h_seconds_bucket{group=\"g\",le=\"60\"} 4\n",
            "h_seconds_bucket{group=\"g\",le=\"+Inf\"} 5\n",
            "h_seconds_sum{group=\"g\"} 120.002003\n",
            "h_seconds_count{group=\"g\"} 5\n",
        ] {
            assert!(text.contains(line), "{line} is not in {text}");
        }
        assert_eq!(histogram.total(), (5, 120.002_003));
    }
}
