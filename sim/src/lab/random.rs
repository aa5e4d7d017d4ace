//! Numbers that look random and follow from what they are about: the seed, a producer, its
//! `n`th record, an attempt. So a record is the same under every strategy.

use std::time::Duration;

use super::{ServiceTime, nanos};

/// A number that looks random and follows from two others: SplitMix64's last step.
pub fn mix(a: u64, b: u64) -> u64 {
    let mut z = a ^ b.wrapping_add(0x9e37_79b9_7f4a_7c15).wrapping_mul(0xd1b5_4a32_d192_ed03);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

/// As a number from 0 up to but not including 1.
pub(super) fn unit(random: u64) -> f64 {
    (random >> 11) as f64 / (1u64 << 53) as f64
}

impl ServiceTime {
    /// How long a request takes that this number decides about.
    pub fn sample(&self, random: u64) -> Duration {
        Duration::from_nanos(service(self, random))
    }
}

/// How long a request takes, in nanoseconds: never nothing.
pub(super) fn service(time: &ServiceTime, random: u64) -> u64 {
    let taken = match *time {
        ServiceTime::Constant(time) => return nanos(time).max(1),
        ServiceTime::Uniform(least, most) => {
            least.as_secs_f64() + unit(random) * (most.as_secs_f64() - least.as_secs_f64())
        }
        ServiceTime::Exponential(mean) => -(1.0 - unit(random)).ln() * mean.as_secs_f64(),
        ServiceTime::Lognormal { median, p99 } => {
            // Box and Muller.
            let radius = (-2.0 * (1.0 - unit(random)).ln()).sqrt();
            let normal = radius * (std::f64::consts::TAU * unit(mix(random, 1))).cos();
            median.as_secs_f64() * (normal * ServiceTime::sigma(median, p99)).exp()
        }
    };
    nanos(Duration::try_from_secs_f64(taken).unwrap_or(Duration::MAX))
        .clamp(1, 86_400 * super::SECOND)
}

/// Which of so many keys a record has.
#[derive(Clone, Debug)]
pub struct Keys {
    count: u32,
    /// For uneven ones, the sum of the weights up to each.
    sums: Vec<f64>,
}

impl Keys {
    /// So many keys, of which key `n` has a weight of `1 / n^zipf`; 0 makes all alike.
    pub fn new(count: u32, zipf: f64) -> Self {
        let mut sum = 0.0;
        let weigh = |n| {
            sum += f64::from(n).powf(-zipf);
            sum
        };
        let sums = if zipf > 0.0 { (1..=count).map(weigh).collect() } else { Vec::new() };
        Self { count, sums }
    }

    /// A key, from 0; `None` if there are none.
    pub fn pick(&self, random: u64) -> Option<u32> {
        if self.count == 0 {
            return None;
        }
        let Some(total) = self.sums.last() else {
            return Some(((u128::from(random) * u128::from(self.count)) >> 64) as u32);
        };
        let at = unit(random) * total;
        Some((self.sums.partition_point(|sum| *sum <= at) as u32).min(self.count - 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mean(time: &ServiceTime) -> f64 {
        let all = (0..100_000).map(|n| service(time, mix(7, n)) as f64 / 1e9);
        all.sum::<f64>() / 100_000.0
    }

    #[test]
    fn service_times_have_their_mean() {
        let ms = Duration::from_millis;
        for time in [
            ServiceTime::Constant(ms(100)),
            ServiceTime::Uniform(ms(50), ms(150)),
            ServiceTime::Exponential(ms(100)),
            ServiceTime::Lognormal { median: ms(50), p99: ms(500) },
        ] {
            let (seen, said) = (mean(&time), time.mean().as_secs_f64());
            assert!((seen / said - 1.0).abs() < 0.02, "{time:?}: {seen} {said}");
        }
    }

    #[test]
    fn keys_are_even_or_uneven() {
        let count = |keys: Keys| (0..10_000).filter(|n| keys.pick(mix(3, *n)) == Some(0)).count();
        assert!((80..120).contains(&count(Keys::new(100, 0.0))));
        assert!((1_800..2_100).contains(&count(Keys::new(100, 1.0))));
        assert_eq!(Keys::new(0, 1.0).pick(5), None);
    }
}
