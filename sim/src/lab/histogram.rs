//! How many of each duration, to about one in a hundred.

/// Buckets for each doubling.
const PARTS: usize = 64;
const PART_BITS: u32 = 6;

/// Counts durations in buckets whose width is a 64th of what they count.
#[derive(Clone, Debug, Default)]
pub(super) struct Histogram {
    counts: Vec<u32>,
    total: u64,
}

impl Histogram {
    /// Counts one, in nanoseconds.
    pub(super) fn add(&mut self, nanos: u64) {
        let bucket = bucket(nanos / 1_000);
        if bucket >= self.counts.len() {
            self.counts.resize(bucket + 1, 0);
        }
        self.counts[bucket] += 1;
        self.total += 1;
    }

    /// The duration that so large a part does not exceed, in seconds; `None` without any.
    pub(super) fn quantile(&self, part: f64) -> Option<f64> {
        let rank = ((self.total as f64 * part).ceil() as u64).max(1);
        let mut seen = 0;
        let found = self.counts.iter().position(|count| {
            seen += u64::from(*count);
            seen >= rank
        });
        found.map(|bucket| middle(bucket) / 1e6)
    }

    /// Forgets all of them.
    pub(super) fn clear(&mut self) {
        self.counts.fill(0);
        self.total = 0;
    }
}

fn bucket(micros: u64) -> usize {
    if micros < PARTS as u64 {
        return micros as usize;
    }
    let doubling = micros.ilog2() - PART_BITS;
    (doubling as usize + 1) * PARTS + (micros >> doubling) as usize - PARTS
}

/// In microseconds.
fn middle(bucket: usize) -> f64 {
    if bucket < PARTS {
        return bucket as f64;
    }
    let (doubling, part) = (bucket / PARTS - 1, bucket % PARTS);
    ((PARTS + part) as f64 + 0.5) * (1u64 << doubling) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_right_to_a_hundredth() {
        let mut histogram = Histogram::default();
        assert_eq!(histogram.quantile(0.5), None);
        (1..=1_000).for_each(|ms| histogram.add(ms * 1_000_000));
        for part in [0.01, 0.5, 0.99, 1.0] {
            let seen = histogram.quantile(part).unwrap();
            assert!((seen / part - 1.0).abs() < 0.01, "{part}: {seen}");
        }
        histogram.clear();
        assert_eq!(histogram.quantile(0.5), None);
    }

    #[test]
    fn buckets_do_not_overlap() {
        let mut before = 0;
        for micros in 0..100_000 {
            let bucket = bucket(micros);
            assert!(bucket == before || bucket == before + 1, "{micros}");
            before = bucket;
        }
    }
}
